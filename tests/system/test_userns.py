"""hostUsers: false: a pod's users are nobody's on this machine, and everything of the pod still works as without."""
import json
import os
import re
import signal
import time

import pytest

from conftest import BUSYBOX

IDS = 65536


def text(name, script="sleep 100000", spec="", container="", volumes="", mounts=""):
    return """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  hostUsers: false
  terminationGracePeriodSeconds: 0
  %s
  volumes: [%s]
  containers:
  - name: a
    image: %s
    command: [sh, -c, %s]
    volumeMounts: [%s]
    %s
""" % (name, spec, volumes, BUSYBOX, json.dumps(script), mounts, container)


def pod(node, name, *args, **kw):
    node.apply(text(name, *args, **kw))
    node.running(name)
    return node.remember(name)


def id_range(node, name):
    inside, outside, count = map(int, node.sh(name, "cat /proc/self/uid_map").split())
    assert (inside, count) == (0, IDS) and node.sh(name, "cat /proc/self/gid_map").split() == [str(n) for n in (inside, outside, count)]
    return outside


def main_process(node, name):
    """Pid on the host of the container's first process."""
    return node.oldest_in(name, "pid")


def ids_of(pid):
    with open("/proc/%d/status" % pid) as f:
        status = f.read()
    return [list(map(int, re.search(r"^%s:\s+(.*)$" % word, status, re.M).group(1).split()))[0] for word in ("Uid", "Gid")]


def leases(node):
    folder = os.path.join(node.run, "userns")
    return sorted(f for f in os.listdir(folder) if f != "lock") if os.path.isdir(folder) else []


def test_root_of_the_container_is_nobody_on_the_machine(node):
    pod(node, "mapped")
    first = id_range(node, "mapped")
    assert first >= IDS and first % IDS == 0
    assert node.sh("mapped", "id -u; id -g").split() == ["0", "0"]
    assert ids_of(main_process(node, "mapped")) == [first, first]
    assert ids_of(node.infra("mapped")) == [first + 65529] * 2
    # its capabilities are worth nothing outside: the machine's root still owns what it owns
    assert node.exec("mapped", "sh", "-c", "echo x > /proc/sys/kernel/hostname", check=False).code != 0
    assert node.exec("mapped", "mount", "-t", "tmpfs", "none", "/mnt", check=False).code != 0


def test_every_namespace_of_the_pod_belongs_to_its_users(node):
    pod(node, "owned", spec="shareProcessNamespace: true")
    users = node.sh("owned", "readlink /proc/self/ns/user")
    assert users != os.readlink("/proc/self/ns/user")
    assert os.readlink("/proc/%d/ns/user" % node.infra("owned")) == users
    # a bound port below 1024, an address, a message queue: rights of its root over its own network and IPC
    assert node.sh("owned", "ip -o addr show eth0 | wc -l") != "0"
    assert "infra" in node.sh("owned", "cat /proc/1/comm")


def test_two_pods_have_different_users_and_a_range_comes_back(node):
    for name in ("one", "two"):
        pod(node, name)
    first, second = id_range(node, "one"), id_range(node, "two")
    assert abs(first - second) >= IDS
    assert len(leases(node)) == 2
    node.husk("delete", "pod", "one")
    assert leases(node) == ["%d-%s" % (second, node.get("two")["metadata"]["uid"])]
    node.husk("delete", "pod", "two")
    assert leases(node) == []


def test_volumes_look_right_inside_and_keep_the_machines_ids_outside(node, tmp_path):
    host = tmp_path / "host"
    host.mkdir(mode=0o755)
    os.chmod(str(tmp_path), 0o755)
    (host / "of-root").write_text("x")
    (host / "of-1000").write_text("x")
    os.chown(str(host / "of-1000"), 1000, 2000)
    node.apply("""
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: settings}
        data: {color: blue}
        """)
    node.apply("""
        apiVersion: v1
        kind: Secret
        metadata: {name: key}
        stringData: {word: swordfish}
        """)
    pod(node, "volumes", volumes="""{name: disk, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}, {name: host, hostPath: {path: %s}},
          {name: settings, configMap: {name: settings}}, {name: key, secret: {secretName: key, defaultMode: 0400}},
          {name: self, downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}""" % host,
        mounts="""{name: disk, mountPath: /disk}, {name: memory, mountPath: /memory}, {name: host, mountPath: /host}, {name: settings, mountPath: /settings},
          {name: key, mountPath: /key}, {name: self, mountPath: /self}, {name: disk, mountPath: /part, subPath: part/of}""")
    listed = dict(line.split(" ", 1) for line in node.sh(
        "volumes", "stat -c '%n %u:%g' /disk /memory /host/of-root /host/of-1000 /settings/..data/color /key/..data/word /self/..data/name /part "
        "/etc/hosts /etc/hostname /etc/resolv.conf /dev/termination-log /dev/shm /bin/busybox /").splitlines())
    assert listed.pop("/host/of-1000") == "1000:2000"
    assert set(listed.values()) == {"0:0"}, listed
    assert node.sh("volumes", "cat /key/word /settings/color /self/name") == "swordfishbluevolumes"
    node.sh("volumes", "for d in /disk /memory /host /part; do touch $d/new; chown 7:8 $d/new; done; touch /new; echo x > /dev/termination-log")
    assert (os.stat(str(host / "new")).st_uid, os.stat(str(host / "new")).st_gid) == (7, 8)
    uid = node.get("volumes")["metadata"]["uid"]
    disk = os.path.join(node.root, "pods", uid, "volumes/disk")
    assert (os.stat(disk + "/new").st_uid, os.stat(disk + "/part/of/new").st_gid) == (7, 8)
    # the container's own files are nobody else's on this machine
    upper = os.path.join(node.root, "pods", uid, "containers/a/0/upper")
    assert os.stat(upper + "/new").st_uid == os.stat(upper).st_uid == id_range(node, "volumes")


def test_a_changed_object_reaches_a_pod_with_users_of_its_own(node):
    node.apply("""
        apiVersion: v1
        kind: Secret
        metadata: {name: turning}
        stringData: {word: one}
        """)
    pod(node, "turning", volumes="{name: s, secret: {secretName: turning, defaultMode: 0400}}", mounts="{name: s, mountPath: /s}")
    assert node.sh("turning", "cat /s/word") == "one"
    node.apply("""
        apiVersion: v1
        kind: Secret
        metadata: {name: turning}
        stringData: {word: two}
        """)
    node.until("turning", "cat /s/word", "two")
    assert node.sh("turning", "stat -c %u:%a /s/..data/word") == "0:400"


def test_users_and_groups_are_those_of_the_pod(node):
    pod(node, "groups", spec="securityContext: {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, supplementalGroups: [4000]}",
        volumes="{name: disk, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}",
        mounts="{name: disk, mountPath: /disk}, {name: memory, mountPath: /memory}")
    assert node.sh("groups", "id -u; id -g; id -G").split() == ["1000", "3000", "3000", "2000", "4000"]
    first = id_range(node, "groups")
    assert ids_of(main_process(node, "groups")) == [first + 1000, first + 3000]
    assert node.sh("groups", "touch /disk/x /memory/x; stat -c %u:%g /disk /memory /disk/x /memory/x").split() == ["0:2000"] * 2 + ["1000:2000"] * 2


def test_images_are_volumes_of_a_pod_with_users_of_its_own(node):
    pod(node, "image", volumes="{name: image, image: {reference: %s}}" % BUSYBOX, mounts="{name: image, mountPath: /image}")
    assert node.sh("image", "stat -c %u:%g /image /image/bin/busybox").split() == ["0:0", "0:0"]
    assert node.exec("image", "touch", "/image/x", check=False).code != 0


def test_exec_copy_and_probes_work_across_the_users(node, tmp_path):
    pod(node, "tools", container="""securityContext: {runAsUser: 1000}
    readinessProbe: {exec: {command: [sh, -c, 'echo looked > /dev/stdout && id -u | grep -qx 1000']}, periodSeconds: 1}
    lifecycle: {postStart: {exec: {command: [touch, /tmp/started]}}}""")
    node.wait("tools", "readiness", lambda p: any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"]["conditions"]))
    assert node.exec("tools", "sh", "-c", "id -u; echo again > /dev/stdout").out.split() == ["1000", "again"]
    (tmp_path / "in").write_text("content")
    node.husk("cp", str(tmp_path / "in"), "tools:/tmp/in")
    assert node.sh("tools", "stat -c %u /tmp/in /tmp/started; cat /tmp/in").split() == ["1000", "1000", "content"]
    node.husk("cp", "tools:/tmp/in", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "content"


def test_standard_streams_are_the_containers_and_the_machines_devices_stay_its_own(node):
    before = os.stat("/dev/null")
    pod(node, "streams", "echo out > /dev/stdout; echo err > /dev/stderr; sleep 100000", container="securityContext: {runAsUser: 1000}")
    assert sorted(node.wait_log("(?s)out.*err|err.*out", "streams").split()) == ["err", "out"]
    after = os.stat("/dev/null")
    assert (before.st_uid, before.st_gid, before.st_mode) == (after.st_uid, after.st_gid, after.st_mode)


def test_sysctls_reach_the_namespaces_of_such_a_pod(node):
    pod(node, "sysctls", spec="""securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "80"}, {name: kernel.shm_rmid_forced, value: "1"}]}""")
    assert node.sh("sysctls", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced").split() == ["80", "1"]


def test_a_restarted_container_and_a_new_sandbox_keep_the_users(node):
    pod(node, "again")
    first = id_range(node, "again")
    os.kill(main_process(node, "again"), signal.SIGKILL)
    restarts = lambda p: p["status"]["containerStatuses"][0]["restartCount"]
    node.wait("again", "restart", lambda p: restarts(p) == 1 and "running" in p["status"]["containerStatuses"][0]["state"])
    assert id_range(node, "again") == first
    os.kill(node.infra("again"), signal.SIGKILL)
    node.wait("again", "new sandbox", lambda p: restarts(p) == 2 and "running" in p["status"]["containerStatuses"][0]["state"])
    assert id_range(node, "again") == first


def test_killed_supervisors_leave_nothing_of_the_users_behind(node):
    """Both husk processes of a pod are killed at several moments of its life; deleting it undoes mounts and range alike."""
    for delay in (0, 0.01, 0.03, 0.06, 0.1, 0.2):
        node.apply(text("killed", volumes="{name: e, emptyDir: {medium: Memory}}", mounts="{name: e, mountPath: /e}"))
        node.remember("killed")
        time.sleep(delay)
        for program in ("husk-keeper", "husk-pod"):
            for pid in node.of_program(program):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        node.husk("delete", "pod", "killed", "--force", "--grace-period=0", check=False)
        node.nothing_left()
        assert leases(node) == []


def test_unmasked_proc_needs_and_has_users_of_its_own(node):
    pod(node, "unmasked", container="securityContext: {procMount: Unmasked}")
    mounts = node.sh("unmasked", "grep ' /proc' /proc/self/mounts")
    assert len(mounts.splitlines()) == 1, mounts
    # what is visible is not writable all the same: the files belong to the machine's root
    assert node.exec("unmasked", "sh", "-c", "echo 1 > /proc/sys/kernel/panic", check=False).code != 0
    assert node.exec("unmasked", "sh", "-c", "echo b > /proc/sysrq-trigger", check=False).code != 0
    r = node.husk("apply", "-f", "-", input=text("masked", container="securityContext: {procMount: Unmasked}").replace("hostUsers: false", "hostUsers: true"), check=False)
    assert r.code != 0 and "spec.containers[0].securityContext.procMount" in r.err


@pytest.mark.parametrize("field", ["hostNetwork", "hostPID", "hostIPC"])
def test_users_of_its_own_exclude_namespaces_of_the_machine(node, field):
    r = node.husk("apply", "-f", "-", input=text("mixed", spec=field + ": true"), check=False)
    assert r.code != 0 and re.search(r"spec\.%s: Forbidden: when `pod.Spec.HostUsers` is false" % field, r.err, re.I), r


def test_a_pod_waits_when_no_users_are_left_and_says_so(own_node):
    node = own_node
    node.load("--busybox")
    with open(os.path.join(node.root, "config.yaml"), "w") as f:
        f.write("userNamespaces: {firstID: 1000013824, pods: 1}\n")
    pod(node, "first")
    assert id_range(node, "first") == 1000013824
    node.apply(text("second"))
    end = time.time() + 20 * float(os.environ.get("HUSK_TEST_SLOW", "1"))
    while "no user ids are left" not in node.husk("events", "--for", "pod/second", check=False).out:
        assert time.time() < end, node.husk("describe", "pod", "second")
        time.sleep(0.2)
    node.husk("delete", "pod", "first")
    node.running("second", timeout=60)


def test_a_hostpath_that_cannot_be_mapped_is_named(node):
    node.apply(text("unmappable", volumes="{name: sys, hostPath: {path: /sys/kernel}}", mounts="{name: sys, mountPath: /x}"))
    p = node.wait("unmappable", "message", lambda p: any("hostUsers" in s["state"].get("waiting", {}).get("message", "")
                                                        for s in p["status"].get("containerStatuses", [])))
    assert 'volume "sys" in a pod with hostUsers: false: its file system has no id-mapped mounts' in json.dumps(p["status"]["containerStatuses"]).replace('\\"', '"')
