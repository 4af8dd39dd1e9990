"""The containers' cgroups, which husk makes and not the OCI runtime, on cgroup v1 and v2: devices, cgroups inside of a container, and
containers whose cgroup was made by an OCI runtime all the same."""
import os
import shutil
import signal

import pytest

from conftest import until
from test_resources import Cgroup, V2, container, groups_of, pod, resize, resized, sleepers, status


# /dev/kmsg, which no container has by default
OPEN = "mknod /tmp/k c 1 11 && head -c 0 /tmp/k && echo open; mknod /tmp/z c 1 5 && head -c 2 /tmp/z | wc -c"


def test_a_container_may_use_the_usual_devices_and_no_others(node):
    pod(node, "plain", container("a"))
    r = node.exec("plain", "sh", "-c", OPEN)
    assert r.out == "2\n" and "Operation not permitted" in r.err, r
    pod(node, "privileged", container("a", more=", securityContext: {privileged: true}"))
    assert node.sh("privileged", OPEN) == "open\n2"


def test_a_container_sees_its_own_cgroup_as_the_top(node):
    pod(node, "seen", container("a", {"limits": {"memory": "64Mi"}}))
    paths = {line.split(":", 2)[2] for line in node.sh("seen", "cat /proc/self/cgroup").splitlines() if V2 or not line.startswith("0:")}
    assert paths == {"/"}
    limit = "/sys/fs/cgroup/memory.max" if V2 else "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert node.sh("seen", "cat " + limit) == str(64 << 20)
    assert "Read-only" in node.exec("seen", "sh", "-c", "echo 1 > %s" % limit, check=False).err


@pytest.mark.skipif(not V2, reason="cgroup v1: a process may be in any cgroup")
def test_what_is_executed_beside_a_container_that_manages_cgroups(node):
    """Its own cgroup has given its controllers away and takes no process any more."""
    script = ("own=$(cut -d: -f3 /proc/self/cgroup); cd /sys/fs/cgroup$own 2>/dev/null || cd /sys/fs/cgroup; mkdir leaf; echo 1 > leaf/cgroup.procs;"
              " until echo +pids > cgroup.subtree_control; do sleep 0.1; done; exec sleep 100000")
    probe = ", securityContext: {privileged: true}, readinessProbe: {exec: {command: [grep, leaf, /proc/self/cgroup]}, periodSeconds: 1}"
    p = pod(node, "inner", container("a", command=script, more=probe))
    node.wait("inner", "readiness", lambda p: status(p)["ready"])
    assert Cgroup(p, "a").read("", "", "cgroup.subtree_control").split() == ["pids"]
    assert node.sh("inner", "cat /proc/self/cgroup").endswith(status(p)["containerID"].split("//")[1] + "/leaf")


def test_a_container_whose_cgroup_the_runtime_made(node, tmp_path):
    """One that was started before husk made cgroups itself: what comes later works on it, and nothing of it is left."""
    as_it_was = tmp_path / "crun-as-it-was"
    as_it_was.symlink_to(shutil.which("crun"))
    node.env["HUSK_RUNTIME"] = str(as_it_was)
    probe = ", readinessProbe: {exec: {command: [cat, /tmp/ready]}, periodSeconds: 1, timeoutSeconds: 10}"
    try:
        p = pod(node, "before", container("a", {"limits": {"cpu": "200m", "memory": "64Mi"}}, more=probe))
    finally:
        del node.env["HUSK_RUNTIME"]
    uid = p["metadata"]["uid"]
    with open(os.path.join(node.run, "pods", uid, "oci-program"), "w") as f:
        f.write(shutil.which("crun"))
    old = until("the supervisor", lambda: node.of_program("husk-pod", uid))[0]
    os.kill(old, signal.SIGKILL)
    until("another supervisor", lambda: [pid for pid in node.of_program("husk-pod", uid) if pid != old])
    node.sh("before", "echo > /tmp/ready")
    node.wait("before", "readiness", lambda p: status(p)["ready"])
    r = node.exec("before", "sh", "-c", OPEN)
    assert r.out == "2\n" and "Operation not permitted" in r.err, r
    node.sh("before", "sleep 79.5 > /dev/null 2>&1 &")
    group = Cgroup(p, "a")
    until("both in the cgroup", lambda: sleepers(group).keys() == {"100000", "79.5"})
    inside = sleepers(group)
    assert groups_of(inside["100000"]) == groups_of(inside["79.5"])
    resize(node, "before", {"a": {"limits": {"cpu": "300m", "memory": "96Mi"}, "requests": {"cpu": "300m", "memory": "96Mi"}}})
    p = resized(node, "before")
    assert (Cgroup(p, "a").memory, Cgroup(p, "a").cpu) == (96 << 20, 300)
    os.kill(int(inside["100000"]), signal.SIGKILL)
    p = node.wait("before", "restart", lambda p: status(p)["restartCount"] == 1 and "running" in status(p)["state"])
    assert (Cgroup(p, "a").memory, Cgroup(p, "a").cpu) == (96 << 20, 300)
