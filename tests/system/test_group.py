"""A pod is a group of processes around its infra container: what its containers share, and what survives whom."""
import os
import signal
import socket
import subprocess
import time

import pytest

from conftest import BUSYBOX, program

TWO = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: a, image: localhost/husk/busybox:1, command: [sh, -c, "trap 'exit 3' TERM; while :; do sleep 1 & wait; done"]}
  - {name: b, image: localhost/husk/busybox:1, command: [sleep, "100000"]}
"""


def group(node, name, c="b"):
    """What must not change while the pod lives: address, MAC, namespaces, a file in /dev/shm."""
    return node.sh(name, "ip -o addr show eth0 | awk '{print $2,$3,$4}'; cat /sys/class/net/eth0/address; "
                         "for n in net ipc uts; do readlink /proc/self/ns/$n; done; cat /dev/shm/mark", c=c)


def status(pod, name):
    return next(s for s in pod["status"]["containerStatuses"] if s["name"] == name)


def test_containers_may_crash_and_change_their_image_and_the_pod_stays(node):
    node.load("--busybox", "--env", "VERSION=2", reference="localhost/husk/busybox:2")
    node.apply(TWO % "group")
    node.running("group")
    node.sh("group", "echo mark > /dev/shm/mark", c="a")
    before = group(node, "group")
    assert "mark" in before

    node.exec("group", "kill", "1", c="a", check=False)
    pod = node.wait("group", "a restarted", lambda p: status(p, "a")["restartCount"] == 1 and "running" in status(p, "a")["state"])
    assert status(pod, "a")["lastState"]["terminated"]["exitCode"] == 3
    assert group(node, "group") == before and group(node, "group", "a") == before

    node.apply((TWO % "group").replace("busybox:1", "busybox:2", 1))
    node.wait("group", "a in its new image", lambda p: status(p, "a")["restartCount"] == 2 and "running" in status(p, "a")["state"])
    assert node.sh("group", "echo $VERSION", c="a") == "2"
    assert group(node, "group") == before and group(node, "group", "a") == before
    assert status(node.get("group"), "b")["restartCount"] == 0


def test_the_pod_dies_with_its_infra_and_is_born_again(node):
    node.apply(TWO % "reborn")
    first = node.running("reborn")
    node.sh("reborn", "echo mark > /dev/shm/mark", c="a")
    before = group(node, "reborn")
    infra = node.infra("reborn")
    # held open, for the number of a namespace that is gone may be given to the next one
    held = [os.open("/proc/%d/ns/%s" % (infra, n), os.O_RDONLY) for n in ("net", "ipc")]
    os.kill(infra, signal.SIGKILL)
    pod = node.wait("reborn", "both restarted", lambda p: all(s["restartCount"] == 1 and "running" in s["state"]
                                                              for s in p["status"]["containerStatuses"]))
    assert pod["metadata"]["uid"] == first["metadata"]["uid"]
    after = node.sh("reborn", "for n in net ipc; do readlink /proc/self/ns/$n; done; ls /dev/shm", c="b")
    for fd in held:
        os.close(fd)
    assert all(line not in before for line in after.splitlines())
    assert "mark" not in after
    assert status(pod, "a")["lastState"]["terminated"]["exitCode"] == 137




@pytest.fixture(scope="module")
def tools_image(shared_node):
    """Busybox, and what it lacks: a client of System V and POSIX IPC, a server on UDP."""
    shared_node.load("--busybox", "--program", program("ipc") + ":/bin/ipc", "--program", program("udp-answer") + ":/bin/udp-answer",
                     reference="localhost/husk/tools:1")


def test_queues_semaphores_and_shared_memory_work_in_the_pod_and_not_between_pods(node, tools_image):
    for name in ("ipc-one", "ipc-two"):
        node.apply((TWO % name).replace(BUSYBOX, "localhost/husk/tools:1"))
    for name in ("ipc-one", "ipc-two"):
        node.running(name)
    assert node.sh("ipc-one", "ipc make", c="a") == "msg=1 sem=1 shm=1 mq=1 psem=1 pshm=1"
    assert node.sh("ipc-two", "ipc look", c="a") == "msg=0 sem=0 shm=0 mq=0 psem=0 pshm=0"
    assert node.sh("ipc-one", "ipc look", c="b") == "msg=1 sem=1 shm=1 mq=1 psem=1 pshm=1 shared queued posted mapped"


def test_dual_stack_and_the_way_out(own_node):
    node = own_node
    node.load("--busybox")
    with open(os.path.join(node.root, "net.json"), "w") as f:
        f.write('{"ipv6": true}')
    node.apply(TWO % "stack")
    pod = node.running("stack")
    ips = [i["ip"] for i in pod["status"]["podIPs"]]
    assert len(ips) == 2 and "." in ips[0] and ":" in ips[1] and ips[0] == pod["status"]["podIP"]
    shown = node.sh("stack", "ip addr show eth0", c="a")
    assert all(" %s/" % ip in shown for ip in ips)
    assert "default via" in node.sh("stack", "ip route; ip -6 route", c="a")
    # the node reaches the pod over both
    for ip in ips:
        assert subprocess.run(["busybox", "ping", "-c", "1", "-W", "2", ip], capture_output=True).returncode == 0


def test_host_ports_lead_into_the_pod(node, tools_image):
    node.apply("""
    apiVersion: v1
    kind: Pod
    metadata: {name: ports}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: tcp
        image: localhost/husk/busybox:1
        command: [nc, -ll, -p, "8080", -e, echo, "over tcp"]
        ports:
        - {containerPort: 8080, hostPort: 30871}
        - {containerPort: 8080, hostPort: 30872, hostIP: 127.0.0.1}
      - name: udp
        image: localhost/husk/tools:1
        command: [udp-answer, "8080", "over udp"]
        ports: [{containerPort: 8080, hostPort: 30871, protocol: UDP}]
    """)
    pod = node.running("ports")
    host = pod["status"]["hostIP"]

    def ask(ip, port, kind=socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as s:
            s.settimeout(2)
            s.connect((ip, port))
            s.send(b"x\n")
            return s.recv(100).decode().strip()

    def ask_again(*args):
        """The server in the container may not listen yet."""
        for _ in range(20):
            try:
                return ask(*args)
            except OSError:
                time.sleep(0.2)
        return None
    for ip in ("127.0.0.1", host):
        assert ask_again(ip, 30871) == "over tcp"
        assert ask_again(ip, 30871, socket.SOCK_DGRAM) == "over udp"
    assert ask_again("127.0.0.1", 30872) == "over tcp"
    with pytest.raises(OSError):
        ask(host, 30872)
    # a second pod that wants the same port waits, and says why
    node.apply("""
    apiVersion: v1
    kind: Pod
    metadata: {name: ports-too}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: a, image: localhost/husk/busybox:1, command: [sleep, "1000"], ports: [{containerPort: 1, hostPort: 30871}]}
    """)
    waiting = node.wait("ports-too", "Unschedulable", lambda p: any(c.get("reason") == "Unschedulable" for c in p["status"].get("conditions", [])))
    assert "didn't have free ports for the requested pod ports" in str(waiting["status"]["conditions"])
    node.husk("delete", "pod", "ports")
    node.running("ports-too")


def test_all_containers_see_one_tree_when_they_share_it(node):
    node.apply((TWO % "tree").replace("spec:", "spec:\n  shareProcessNamespace: true", 1))
    node.running("tree")
    assert "infra" in node.sh("tree", "tr '\\0' ' ' < /proc/1/cmdline; cat /proc/1/comm", c="a")
    assert node.sh("tree", "readlink /proc/self/ns/pid", c="a") == node.sh("tree", "readlink /proc/self/ns/pid", c="b")
    # an orphan is reaped by the infra process
    node.sh("tree", "sh -c 'sleep 0.2 & exit 0'; sleep 1; ! grep -l '^State:.Z' /proc/[0-9]*/status", c="b")


@pytest.mark.parametrize("field,namespace", [("hostNetwork", "net"), ("hostPID", "pid"), ("hostIPC", "ipc")])
def test_what_the_host_lends(node, field, namespace):
    name = field.lower()
    node.apply((TWO % name).replace("spec:", "spec:\n  %s: true" % field, 1))
    node.running(name)
    assert node.sh(name, "readlink /proc/self/ns/" + namespace, c="a") == os.readlink("/proc/self/ns/" + namespace)
    for other in {"net", "pid", "ipc"} - {namespace}:
        assert node.sh(name, "readlink /proc/self/ns/" + other, c="a") != os.readlink("/proc/self/ns/" + other)


def test_tree_shows_who_shares_what_and_lets_no_container_write_on_the_terminal(node):
    node.apply((TWO % "shown").replace('[sleep, "100000"]', '[sh, -c, "sleep 100000; : \\e[31m%s"]' % ("long " * 30)))
    node.running("shown")
    lines = [line.split(None, 9) for line in node.husk("tree", "shown").out.split("\n\n")[0].splitlines()]
    assert lines[0] == ["CONTAINER", "PID", "NET", "IPC", "UTS", "PID", "MNT", "USER", "CGROUP", "COMMAND"]
    rows = {}
    for line in lines[1:]:
        rows.setdefault(line[0], dict(zip(["PID"] + lines[0][2:5] + ["pid"] + lines[0][6:], line[1:])))
    assert set(rows) == {"(infra)", "a", "b", "(keeper)", "(supervisor)"}
    infra, a, b = rows["(infra)"], rows["a"], rows["b"]
    for shared in ("NET", "IPC", "UTS"):
        assert infra[shared] == a[shared] == b[shared] == "A" and rows["(keeper)"][shared] == "-"
    assert a["pid"] != b["pid"] and a["MNT"] != b["MNT"]
    assert int(infra["PID"]) == node.infra("shown")
    assert b["COMMAND"].endswith("…") and "\x1b" not in node.husk("tree", "shown", "--full").out
    assert "long " * 29 + "long" in node.husk("tree", "shown", "--full").out
