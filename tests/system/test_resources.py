"""Resources of a pod and its containers: cgroups of pod and container, resize in place, the pod's own resources; on cgroup v1 and v2."""
import glob
import json
import math
import os

import pytest

V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
%s
  containers:
%s
"""
CONTAINER = "  - {name: %s, image: 'localhost/husk/busybox:1', command: [sh, -c, %s], resources: %s%s}\n"
SLEEP = "sleep 100000"
# holds some 40 MB of memory that cannot be reclaimed, until it is told to let go
HOLD = "head -c 40000000 /dev/zero > /dev/shm/x; echo held; while [ ! -e /let-go ]; do sleep 0.1; done; rm /dev/shm/x; echo gone; sleep 100000"


def container(name="a", resources=None, command=SLEEP, more=""):
    return CONTAINER % (name, json.dumps(command), json.dumps(resources or {}), more)


def pod(node, name, *containers, spec="", wait=True):
    node.apply(POD % (name, "\n".join("  " + line for line in spec.splitlines()), "".join(containers)))
    return node.running(name) if wait else None


class Cgroup:
    """The control files of a pod, or of one of its containers."""

    def __init__(self, p, name=None):
        self.uid, self.id = p["metadata"]["uid"], None
        if name:
            statuses = p["status"].get("initContainerStatuses", []) + p["status"]["containerStatuses"]
            self.id = [s for s in statuses if s["name"] == name][0]["containerID"].split("//")[1]

    def read(self, controller, v1, v2):
        top = "/sys/fs/cgroup" + ("" if V2 else "/" + controller)
        found = glob.glob("%s/husk-*/pod%s" % (top, self.uid)) + glob.glob("%s/husk-*/*/pod%s" % (top, self.uid))
        assert len(found) == 1, found
        with open(os.path.join(found[0], self.id or "", v2 if V2 else v1)) as f:
            return f.read().strip()

    @property
    def memory(self):
        """Bytes, or None."""
        text = self.read("memory", "memory.limit_in_bytes", "memory.max")
        return None if text == "max" or int(text) > 1 << 60 else int(text)

    @property
    def cpu(self):
        """Thousandths of a processor, or None."""
        text = self.read("cpu", "cpu.cfs_quota_us", "cpu.max").split()[0]
        return None if text in ("max", "-1") else int(text) // 100

    @property
    def shares(self):
        """The weight, as v1 counts it (v2 has less of a scale)."""
        return int(self.read("cpu", "cpu.shares", "cpu.weight"))


def weight(shares, container=None):
    """Of a pod as a kubelet computes it, of a container as Debian's OCI runtimes do."""
    if not V2:
        return shares
    if container:
        return 1 + (shares - 2) * 9999 // 262142
    lg = math.log2(shares)
    return 1 if shares <= 2 else math.ceil(10 ** ((lg * lg + 125 * lg) / 612 - 7 / 34))


def status(p, name="a"):
    return [s for s in p["status"].get("initContainerStatuses", []) + p["status"]["containerStatuses"] if s["name"] == name][0]


def condition(p, kind):
    return next((c for c in p["status"].get("conditions", []) if c["type"] == kind), None)


def resize(node, name, containers=None, own=None, init=None, check=True):
    spec = {}
    for field, value in (("containers", containers), ("initContainers", init)):
        if value:
            spec[field] = [{"name": n, "resources": r} for n, r in value.items()]
    if own:
        spec["resources"] = own
    return node.husk("patch", "pod", name, "--subresource=resize", "-p", json.dumps({"spec": spec}), check=check)


def resized(node, name, what="the resize to be over"):
    """All that was asked for is there."""
    return node.wait(name, what, lambda p: not condition(p, "PodResizePending") and not condition(p, "PodResizeInProgress")
                     and p["status"].get("observedGeneration") == p["metadata"]["generation"])


def events(node, name):
    return {(e["reason"], e["message"]) for e in node.events(name)}


# ---- the pod's cgroup ----

def test_the_pods_cgroup_is_the_sum_of_its_containers(node):
    p = pod(node, "sum", container("a", {"limits": {"cpu": "200m", "memory": "32Mi"}}),
            container("b", {"limits": {"cpu": "300m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}}))
    g = Cgroup(p)
    assert (g.memory, g.cpu, g.shares) == (96 << 20, 500, weight(307))


def test_one_container_without_a_limit_leaves_the_pod_without(node):
    p = pod(node, "open", container("a", {"limits": {"cpu": "200m", "memory": "32Mi"}}), container("b"))
    assert (Cgroup(p).memory, Cgroup(p).cpu) == (None, None)
    assert (Cgroup(p, "a").memory, Cgroup(p, "b").memory) == (32 << 20, None)


# ---- the pod's own resources ----

def test_pod_level_resources(node):
    """spec.resources bounds all containers together, decides the class, and is the limit of who has none."""
    p = pod(node, "level", container("a", {"limits": {"memory": "16Mi"}}), container("b"), spec="resources: {limits: {cpu: 500m, memory: 64Mi}}")
    # without a request of its own the pod requests what its containers do, else its limit
    assert p["spec"]["resources"]["requests"] == {"cpu": "500m", "memory": "16Mi"}
    assert p["status"]["qosClass"] == "Burstable"
    assert (Cgroup(p).memory, Cgroup(p).cpu, Cgroup(p).shares) == (64 << 20, 500, weight(512))
    assert (Cgroup(p, "a").memory, Cgroup(p, "b").memory, Cgroup(p, "b").cpu) == (16 << 20, 64 << 20, 500)
    assert p["status"]["resources"] == p["spec"]["resources"]
    assert p["status"]["allocatedResources"] == {"cpu": "500m", "memory": "16Mi"}
    p = pod(node, "guaranteed", container("a"), spec="resources: {limits: {cpu: 100m, memory: 32Mi}}")
    assert p["status"]["qosClass"] == "Guaranteed" and Cgroup(p, "a").shares == weight(102, "a")


def test_pod_level_memory_is_shared_by_the_containers(node):
    """A container without a limit of its own is killed at the pod's."""
    pod(node, "shared", container("a", command="exec tail /dev/zero"), spec="resources: {limits: {memory: 24Mi}}\nrestartPolicy: Never", wait=False)
    p = node.phase("shared", "Failed")
    ended = status(p)["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_pod_level_resources_are_checked(node):
    text = POD % ("bad", "  resources: {requests: {cpu: 100m}}", container("a", {"requests": {"cpu": "200m"}}))
    r = node.fails("apply", "-f", "-", input=text)
    assert "spec.resources.requests[cpu]" in r.err and "aggregate container requests of 200m" in r.err
    assert "OutOfcpu" not in r.err and node.get("bad") is None


def test_pod_level_resources_are_resized(node):
    p = pod(node, "level-up", container("a"), spec="resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 100m, memory: 32Mi}}")
    before = status(p)["containerID"]
    resize(node, "level-up", own={"limits": {"cpu": "600m", "memory": "96Mi"}, "requests": {"cpu": "200m"}})
    p = resized(node, "level-up")
    assert (Cgroup(p).memory, Cgroup(p).cpu, Cgroup(p).shares) == (96 << 20, 600, weight(204))
    assert (Cgroup(p, "a").memory, Cgroup(p, "a").cpu) == (96 << 20, 600)  # which has no limit of its own
    assert p["status"]["resources"]["limits"] == {"cpu": "600m", "memory": "96Mi"}
    assert p["status"]["allocatedResources"]["cpu"] == "200m"
    assert status(p)["containerID"] == before


# ---- resize ----

def test_resize_in_place(node):
    """limits and requests of a running container change, without a restart, in cgroup, status and events."""
    p = pod(node, "up", container("a", {"limits": {"cpu": "200m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}}))
    before = status(p)["containerID"]
    assert status(p)["allocatedResources"] == {"cpu": "100m", "memory": "32Mi"}
    resize(node, "up", {"a": {"limits": {"cpu": "300m", "memory": "96Mi"}, "requests": {"cpu": "200m", "memory": "48Mi"}}})
    p = resized(node, "up")
    for g in (Cgroup(p), Cgroup(p, "a")):
        assert (g.memory, g.cpu, g.shares) == (96 << 20, 300, weight(204, g.id))
    assert status(p)["resources"] == {"limits": {"cpu": "300m", "memory": "96Mi"}, "requests": {"cpu": "200m", "memory": "48Mi"}}
    assert status(p)["allocatedResources"] == {"cpu": "200m", "memory": "48Mi"}
    resize(node, "up", {"a": {"limits": {"cpu": "150m", "memory": "72Mi"}, "requests": {"cpu": "50m"}}})
    p = resized(node, "up")
    for g in (Cgroup(p), Cgroup(p, "a")):
        assert (g.memory, g.cpu, g.shares) == (72 << 20, 150, weight(51, g.id))
    assert (status(p)["containerID"], status(p)["restartCount"]) == (before, 0)
    assert {r for r, _ in events(node, "up")} >= {"ResizeStarted", "ResizeCompleted"}


def test_resize_one_up_one_down(node):
    pod(node, "swap", container("a", {"limits": {"cpu": "100m", "memory": "32Mi"}}), container("b", {"limits": {"cpu": "600m", "memory": "96Mi"}}))
    resize(node, "swap", {"a": {"limits": {"cpu": "200m", "memory": "64Mi"}, "requests": {"cpu": "200m", "memory": "64Mi"}},
                          "b": {"limits": {"cpu": "100m", "memory": "32Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}}})
    p = resized(node, "swap")
    assert [(g.memory, g.cpu) for g in (Cgroup(p), Cgroup(p, "a"), Cgroup(p, "b"))] == [(96 << 20, 300), (64 << 20, 200), (32 << 20, 100)]


def test_resize_policy(node):
    """resizePolicy RestartContainer: that container is started anew with the new limits; the pod and its neighbour stay."""
    more = ", resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]"
    p = pod(node, "again", container("a", {"limits": {"cpu": "100m", "memory": "32Mi"}}, more=more), container("b", {"limits": {"cpu": "100m", "memory": "32Mi"}}))
    other = status(p, "b")["containerID"]
    resize(node, "again", {"a": {"limits": {"cpu": "150m"}, "requests": {"cpu": "150m"}}})
    p = resized(node, "again")
    assert (status(p)["restartCount"], Cgroup(p, "a").cpu) == (0, 150)
    resize(node, "again", {"a": {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}})
    p = node.wait("again", "a restart", lambda p: status(p)["restartCount"] == 1 and "running" in status(p)["state"])
    p = resized(node, "again")
    assert (Cgroup(p).memory, Cgroup(p, "a").memory) == (96 << 20, 64 << 20)
    assert (status(p, "b")["restartCount"], status(p, "b")["containerID"]) == (0, other)


def test_resize_of_a_sidecar(node):
    init = "initContainers:\n- {name: s, image: 'localhost/husk/busybox:1', restartPolicy: Always, command: [sleep, '100000'], resources: {limits: {memory: 32Mi}}}"
    pod(node, "side", container("a", {"limits": {"memory": "32Mi"}}), spec=init)
    resize(node, "side", init={"s": {"limits": {"memory": "48Mi"}, "requests": {"memory": "48Mi"}}})
    p = resized(node, "side")
    assert (Cgroup(p, "s").memory, Cgroup(p).memory, status(p, "s")["restartCount"]) == (48 << 20, 80 << 20, 0)
    assert status(p, "s")["resources"]["limits"] == {"memory": "48Mi"}


def test_resize_of_an_init_container_that_runs(node):
    init = ("initContainers:\n- {name: i, image: 'localhost/husk/busybox:1', command: [sh, -c, 'while [ ! -e /go ]; do sleep 0.1; done'], "
            "resources: {limits: {memory: 32Mi}}}")
    pod(node, "first", container("a", {"limits": {"memory": "32Mi"}}), spec=init, wait=False)
    node.wait("first", "a running init container", lambda p: "running" in (p["status"].get("initContainerStatuses") or [{"state": {}}])[0]["state"])
    resize(node, "first", init={"i": {"limits": {"memory": "48Mi"}, "requests": {"memory": "48Mi"}}})
    p = resized(node, "first")
    assert (Cgroup(p, "i").memory, Cgroup(p).memory) == (48 << 20, 48 << 20)
    node.exec("first", "touch", "/go", c="i")
    assert node.running("first")["status"]["initContainerStatuses"][0]["restartCount"] == 0


def test_resize_that_the_node_cannot_give(node):
    """More than the node has at all is Infeasible; nothing changes, and going back ends it."""
    before = {"limits": {"cpu": "100m"}, "requests": {"cpu": "100m"}}
    pod(node, "vast", container("a", before))
    resize(node, "vast", {"a": {"limits": {"cpu": "10000"}, "requests": {"cpu": "10000"}}})
    p = node.wait("vast", "PodResizePending", lambda p: condition(p, "PodResizePending"))
    c = condition(p, "PodResizePending")
    assert (c["status"], c["reason"], c["observedGeneration"]) == ("True", "Infeasible", p["metadata"]["generation"])
    assert c["message"].startswith("Node didn't have enough capacity: cpu, requested: 10000000, capacity: ")
    assert (Cgroup(p, "a").cpu, status(p)["allocatedResources"], p["spec"]["containers"][0]["resources"]["limits"]) == (100, {"cpu": "100m"}, {"cpu": "10k"})
    resize(node, "vast", {"a": before})
    assert condition(resized(node, "vast"), "PodResizePending") is None


def test_resize_waits_for_room(node):
    """What the node has, but other pods hold, is Deferred until they give it back; a restart meanwhile keeps to the old."""
    cpus = int(node.get(node.husk("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}").out, kind="node")["status"]["allocatable"]["cpu"])
    half = "%dm" % (cpus * 500)
    pod(node, "holder", container("a", {"requests": {"cpu": half}}))
    pod(node, "waiter", container("a", {"requests": {"cpu": "100m"}}))
    resize(node, "waiter", {"a": {"requests": {"cpu": "%dm" % (cpus * 500 + 100)}}})
    p = node.wait("waiter", "PodResizePending", lambda p: condition(p, "PodResizePending"))
    assert condition(p, "PodResizePending")["reason"] == "Deferred"
    assert "cpu, requested" in condition(p, "PodResizePending")["message"]
    node.exec("waiter", "sh", "-c", "kill -9 1; kill -TERM 1", check=False)
    node.husk("delete", "pod", "holder", "--grace-period=0", "--force")
    p = resized(node, "waiter")
    assert Cgroup(p, "a").shares == weight((cpus * 500 + 100) * 1024 // 1000, "a")


def test_resize_below_what_is_used(node):
    """Memory that is in use is not taken away: the resize says why, and is done when it is free."""
    pod(node, "less", container("a", {"limits": {"memory": "96Mi"}}, command=HOLD))
    node.wait_log("held", "less")
    resize(node, "less", {"a": {"limits": {"memory": "24Mi"}, "requests": {"memory": "24Mi"}}})
    p = node.wait("less", "an error", lambda p: (condition(p, "PodResizeInProgress") or {}).get("reason") == "Error")
    message = condition(p, "PodResizeInProgress")["message"]
    assert message.startswith("cannot decrease memory limits: [attempting to set pod memory limit (25165824) below current usage (")
    assert 'attempting to set container "a" memory limit (25165824) below current usage (' in message
    assert (Cgroup(p, "a").memory, status(p)["resources"]["limits"], status(p)["allocatedResources"]) == (96 << 20, {"memory": "96Mi"}, {"memory": "24Mi"})
    assert any(r == "ResizeError" and m.startswith("Pod resize error: {") for r, m in events(node, "less"))
    node.exec("less", "touch", "/let-go")
    node.wait_log("gone", "less")
    p = resized(node, "less")
    assert (Cgroup(p, "a").memory, status(p)["restartCount"]) == (24 << 20, 0)


@pytest.mark.parametrize("change,field,words", [
    ({"requests": {"cpu": "50m"}}, "spec", "Pod QOS Class may not change as a result of resizing"),
    ({"limits": {"cpu": None}}, "spec.containers[0].resources.limits", "resource limits cannot be removed"),
    ({"requests": {"ephemeral-storage": "1Gi"}}, "spec", "only cpu and memory resources are mutable")])
def test_resize_is_checked(node, change, field, words):
    if node.get("checked") is None:
        pod(node, "checked", container("a", {"limits": {"cpu": "100m", "memory": "32Mi"}}))
    r = resize(node, "checked", {"a": change}, check=False)
    assert r.code != 0 and field in r.err and words in r.err, r
    assert node.get("checked")["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "100m", "memory": "32Mi"}


def test_a_plain_patch_does_not_resize(node):
    pod(node, "plain", container("a", {"limits": {"cpu": "100m"}}))
    r = node.fails("patch", "pod", "plain", "-p", json.dumps({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "200m"}}}]}}))
    assert "pod updates may not change fields other than" in r.err


# ---- what the node decides ----

@pytest.fixture
def config(node):
    """Writes the node's configuration for the time of a test."""
    path = os.path.join(node.root, "config.yaml")

    def write(text):
        with open(path, "w") as f:
            f.write(text)
    yield write
    if os.path.exists(path):
        os.unlink(path)


@pytest.mark.skipif(V2, reason="cgroup v2: the OCI runtime prepares the container outside of its cgroup, and busybox fits in")
def test_a_memory_limit_that_is_too_low_for_any_start(node):
    pod(node, "tiny", container(resources={"limits": {"memory": "512Ki"}}), spec="restartPolicy: Never", wait=False)
    p = node.wait("tiny", "failure to start", lambda p: p["status"].get("containerStatuses") and "terminated" in status(p)["state"])
    end = status(p)["state"]["terminated"]
    assert end["reason"] == "StartError" and end["exitCode"] == 128 and "memory limit too low" in end["message"], end


@pytest.mark.skipif(V2, reason="cgroup v2: what is charged to a new process is another amount")
def test_a_memory_limit_that_is_too_low_even_for_the_infra_process(node):
    pod(node, "tinier", container(resources={"limits": {"memory": "4Ki"}}), wait=False)
    event = node.told("the infra process was killed for want of memory; the pod's limit is too low for it", "tinier")
    assert event["reason"] == "FailedCreatePodSandBox", event


def groups_of(pid):
    """{hierarchy: cgroup} of a process; the unified one of a hybrid machine is nobody's."""
    with open("/proc/%s/cgroup" % pid) as f:
        lines = [line.strip().split(":", 2) for line in f]
    return {name: path for number, name, path in lines if V2 or number != "0"}


def sleepers(group):
    """{seconds: pid} of the processes of a cgroup that sleep: one that is elsewhere is not found."""
    found = {}
    for pid in group.read("pids", "cgroup.procs", "cgroup.procs").split():
        try:
            with open("/proc/%s/cmdline" % pid) as f:
                words = f.read().split("\0")
        except OSError:
            continue
        if words[0] == "sleep":
            found[words[1]] = pid
    return found


def test_what_is_executed_in_a_container_is_in_its_cgroup(node):
    """A command of `husk exec` and that of a probe, in each hierarchy: they are limited and killed with the container."""
    probe = ", readinessProbe: {exec: {command: [sh, -c, 'sleep 77.5']}, timeoutSeconds: 60}"
    p = pod(node, "inside", container(resources={"limits": {"memory": "64Mi", "cpu": "500m"}}, more=probe))
    group = Cgroup(p, "a")
    node.sh("inside", "sleep 78.5 > /dev/null 2>&1 &")
    node.wait("inside", "commands of exec and probe beside the container's", lambda _: {"100000", "77.5", "78.5"} <= sleepers(group).keys())
    found = sleepers(group)
    first = groups_of(found["100000"])
    assert all(group.id in path for path in first.values()), first
    assert groups_of(found["77.5"]) == first and groups_of(found["78.5"]) == first


def test_the_node_limits_the_processes_of_a_pod(node, config):
    """podPidsLimit of the configuration: a fork bomb stops there, and its neighbours in the pod with it."""
    config("podPidsLimit: 25\n")
    p = pod(node, "bomb", container("a", command="sh -c 'while :; do sleep 100000 & done' 2>/dev/null; exec sleep 100000"))
    assert Cgroup(p).read("pids", "pids.max", "pids.max") == "25"
    node.wait("bomb", "all the processes there may be", lambda _: int(Cgroup(p).read("pids", "pids.current", "pids.current")) >= 20)
    # (not all 25: the OCI runtime may have been one of them when the shell could fork no more)
    config("podPidsLimit: 0\n")
    pod(node, "mistaken", container("a"), wait=False)
    node.wait("mistaken", "words about the mistake", lambda p: "podPidsLimit: must be a positive number" in (condition(p, "PodScheduled") or {}).get("message", ""))
    config("podPidsLimit: 1000\n")
    assert Cgroup(node.running("mistaken", timeout=60)).read("pids", "pids.max", "pids.max") == "1000"


def test_nothing_of_a_pod_is_swapped(node):
    p = pod(node, "swapless", container("a", {"limits": {"memory": "32Mi"}}))
    try:
        if V2:
            assert Cgroup(p).read("memory", "", "memory.swap.max") == "0"
        else:
            assert Cgroup(p, "a").read("memory", "memory.memsw.limit_in_bytes", "") == str(32 << 20)
    except FileNotFoundError:
        pytest.skip("this kernel does not count swap")
    resize(node, "swapless", {"a": {"limits": {"memory": "48Mi"}, "requests": {"memory": "48Mi"}}})
    p = resized(node, "swapless")
    if not V2:
        assert Cgroup(p, "a").read("memory", "memory.memsw.limit_in_bytes", "") == str(48 << 20)


# ---- huge pages ----

NR_HUGE = "/proc/sys/vm/nr_hugepages"


@pytest.fixture
def huge_pages(node):
    """Sixteen pages of 2 MiB for the time of a test; the node counts them when it is asked."""
    before = open(NR_HUGE).read()
    with open(NR_HUGE, "w") as f:
        f.write(str(int(before) + 16))
    if int(open(NR_HUGE).read()) < int(before) + 16:
        open(NR_HUGE, "w").write(before)
        pytest.skip("this machine cannot set sixteen huge pages aside")
    yield
    open(NR_HUGE, "w").write(before)


HUGE = {"limits": {"cpu": "100m", "memory": "32Mi", "hugepages-2Mi": "8Mi"}}


def test_huge_pages_that_the_node_does_not_have(node):
    pod(node, "none", container("a", {"limits": {"cpu": "100m", "hugepages-2Mi": "1Ti"}}), wait=False)
    p = node.wait("none", "a reason", lambda p: condition(p, "PodScheduled"))
    assert "Insufficient hugepages-2Mi" in condition(p, "PodScheduled")["message"]


def test_huge_pages(node, huge_pages):
    """limits.hugepages-2Mi is the limit of the cgroups, and other pods get none; where the controller cannot be used the pod says so."""
    pod(node, "huge", container("a", HUGE), wait=False)
    if not V2 and not os.path.isdir("/sys/fs/cgroup/hugetlb"):
        node.wait("huge", "a reason", lambda _: any(r == "FailedCreatePodSandBox" and "huge pages of 2MB cannot be limited" in m and "hugetlb" in m
                                                    for r, m in events(node, "huge")))
        return
    p = node.running("huge")
    for g in (Cgroup(p), Cgroup(p, "a")):
        assert g.read("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max") == str(8 << 20)
        assert g.read("hugetlb", "hugetlb.2MB.rsvd.limit_in_bytes", "hugetlb.2MB.rsvd.max") == str(8 << 20)
    p = pod(node, "plain-pages", container("a"))
    assert Cgroup(p).read("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max") == "0"


def test_huge_pages_as_a_volume(node, huge_pages):
    """emptyDir with medium HugePages is a file system of the pages that the container has a limit for."""
    if not V2 and not os.path.isdir("/sys/fs/cgroup/hugetlb"):
        pytest.skip("the hugetlb controller cannot be used here")
    p = pod(node, "huge-volume", container("a", HUGE, more=", volumeMounts: [{name: h, mountPath: /huge}]"),
            spec="volumes: [{name: h, emptyDir: {medium: HugePages}}]")
    assert " hugetlbfs " in node.sh("huge-volume", "grep ' /huge ' /proc/mounts") and p["status"]["qosClass"] == "Guaranteed"
    assert node.sh("huge-volume", "stat -f -c %s /huge") == str(2 << 20)


# ---- the rest of what a container may ask for ----

def test_oom_scores(node):
    """Who asks for nothing dies first, who is guaranteed last; what this machine does not let husk do is said once."""
    pod(node, "least", container("a"))
    assert node.sh("least", "cat /proc/1/oom_score_adj") == "1000"
    p = pod(node, "most", container("a", {"limits": {"cpu": "10m", "memory": "16Mi"}}), container("b", {"limits": {"cpu": "10m", "memory": "16Mi"}}))
    score = int(node.sh("most", "cat /proc/1/oom_score_adj", c="a"))
    with open(os.path.join(node.run, "pods", p["metadata"]["uid"], "supervisor.log")) as f:
        told = f.read().count("without the capability SYS_RESOURCE")
    assert (score, told) == (-997, 0) if can("SYS_RESOURCE") else (score > -997 and told == 1)


def can(capability):
    number = {"SYS_RESOURCE": 24}[capability]
    with open("/proc/self/status") as f:
        return int(next(line for line in f if line.startswith("CapEff")).split()[1], 16) >> number & 1


def test_ephemeral_storage_is_counted_at_admission(node):
    pod(node, "large", container("a", {"requests": {"ephemeral-storage": "1Pi"}}), wait=False)
    p = node.wait("large", "a reason", lambda p: condition(p, "PodScheduled"))
    assert "Insufficient ephemeral-storage" in condition(p, "PodScheduled")["message"]


def test_a_volume_shows_the_resources_as_they_are_resized(node):
    """downwardAPI resourceFieldRef follows a resize, and fieldRef a new label."""
    pod(node, "shown", container("a", {"limits": {"cpu": "1"}}, more=", volumeMounts: [{name: i, mountPath: /i}]"), spec="""
volumes:
- name: i
  downwardAPI:
    items:
    - {path: cpu, resourceFieldRef: {containerName: a, resource: limits.cpu, divisor: 1m}}
    - {path: labels, fieldRef: {fieldPath: metadata.labels}}
""")
    assert node.sh("shown", "cat /i/cpu") == "1000"
    resize(node, "shown", {"a": {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}})
    node.until("shown", "cat /i/cpu", "500")
    node.husk("label", "pod", "shown", "v=two")
    node.until("shown", "cat /i/labels", 'v="two"')
