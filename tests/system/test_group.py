"""A pod is a group of processes around its infra container: what its containers share, and what survives whom."""
import os
import signal
import subprocess
import time

import pytest

from conftest import BUSYBOX

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
    os.kill(node.infra("reborn"), signal.SIGKILL)
    pod = node.wait("reborn", "both restarted", lambda p: all(s["restartCount"] == 1 and "running" in s["state"]
                                                              for s in p["status"]["containerStatuses"]))
    assert pod["metadata"]["uid"] == first["metadata"]["uid"]
    after = node.sh("reborn", "for n in net ipc; do readlink /proc/self/ns/$n; done; ls /dev/shm", c="b")
    assert all(line not in before for line in after.splitlines())
    assert "mark" not in after
    assert status(pod, "a")["lastState"]["terminated"]["exitCode"] == 137


IPC_PROGRAM = r"""
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>
#define KEY 0x4855
/* ipc make|look: makes one of each kind of System V and POSIX object, or tells which of them are there. */
int main(int argc, char **argv) {
	int make = argc > 1 && !strcmp(argv[1], "make"), flags = make ? IPC_CREAT | 0600 : 0;
	int oflags = make ? O_CREAT | O_RDWR : O_RDWR;
	int q = msgget(KEY, flags), s = semget(KEY, 1, flags), m = shmget(KEY, 4096, flags);
	struct mq_attr attr = { .mq_maxmsg = 4, .mq_msgsize = 64 };
	mqd_t mq = make ? mq_open("/husk", oflags, 0600, &attr) : mq_open("/husk", oflags);
	sem_t *ps = make ? sem_open("/husk", O_CREAT, 0600, 1) : sem_open("/husk", 0);
	int pm = shm_open("/husk", oflags, 0600);
	if (make && m >= 0) strcpy(shmat(m, NULL, 0), "shared");
	if (make && q >= 0) { struct { long type; char text[8]; } t = { 1, "queued" }; msgsnd(q, &t, 8, 0); }
	if (make && mq >= 0) mq_send(mq, "posted", 7, 0);
	if (make && pm >= 0 && ftruncate(pm, 4096) == 0) strcpy(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, pm, 0), "mapped");
	char text[128] = "";
	if (!make) {
		if (m >= 0) strcat(text, shmat(m, NULL, 0));
		struct { long type; char text[8]; } t;
		if (q >= 0 && msgrcv(q, &t, 8, 0, IPC_NOWAIT) > 0) strcat(strcat(text, " "), t.text);
		char buf[64];
		if (mq >= 0 && mq_receive(mq, buf, 64, NULL) > 0) strcat(strcat(text, " "), buf);
		if (pm >= 0) strcat(strcat(text, " "), mmap(NULL, 4096, PROT_READ, MAP_SHARED, pm, 0));
	}
	printf("msg=%d sem=%d shm=%d mq=%d psem=%d pshm=%d %s\n", q >= 0, s >= 0, m >= 0, mq >= 0, ps != SEM_FAILED, pm >= 0, text);
	return 0;
}
"""


@pytest.fixture(scope="module")
def ipc_image(shared_node, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ipc")
    source = folder / "ipc.c"
    source.write_text(IPC_PROGRAM)
    subprocess.run(["cc", "-static", "-O1", "-o", str(folder / "ipc"), str(source), "-lrt", "-pthread"], check=True)
    shared_node.load("--busybox", "--program", "%s:/bin/ipc" % (folder / "ipc"), reference="localhost/husk/ipc:1")


def test_queues_semaphores_and_shared_memory_work_in_the_pod_and_not_between_pods(node, ipc_image):
    for name in ("ipc-one", "ipc-two"):
        node.apply((TWO % name).replace(BUSYBOX, "localhost/husk/ipc:1"))
    for name in ("ipc-one", "ipc-two"):
        node.running(name)
    assert node.sh("ipc-one", "ipc make", c="a") == "msg=1 sem=1 shm=1 mq=1 psem=1 pshm=1"
    assert node.sh("ipc-two", "ipc look", c="a") == "msg=0 sem=0 shm=0 mq=0 psem=0 pshm=0"
    assert node.sh("ipc-one", "ipc look", c="b") == "msg=1 sem=1 shm=1 mq=1 psem=1 pshm=1 shared queued posted mapped"


def test_dual_stack_and_the_way_out(node):
    node.apply(TWO % "stack")
    pod = node.running("stack")
    ips = [i["ip"] for i in pod["status"]["podIPs"]]
    assert len(ips) == 2 and "." in ips[0] and ":" in ips[1] and ips[0] == pod["status"]["podIP"]
    shown = node.sh("stack", "ip addr show eth0", c="a")
    assert all(" %s/" % ip in shown for ip in ips)
    assert "default via" in node.sh("stack", "ip route; ip -6 route", c="a")
    # the node reaches the pod over both
    for ip in ips:
        assert subprocess.run(["ping", "-c", "1", "-W", "2", ip], capture_output=True).returncode == 0


def test_host_ports_lead_into_the_pod(node):
    node.apply("""
    apiVersion: v1
    kind: Pod
    metadata: {name: ports}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: tcp
        image: localhost/husk/busybox:1
        command: [nc, -lk, -p, "8080", -e, echo, "over tcp"]
        ports:
        - {containerPort: 8080, hostPort: 30871}
        - {containerPort: 8080, hostPort: 30872, hostIP: 127.0.0.1}
      - name: udp
        image: localhost/husk/busybox:1
        command: [nc, -lk, -u, -p, "8080", -e, echo, "over udp"]
        ports: [{containerPort: 8080, hostPort: 30871, protocol: UDP}]
    """)
    pod = node.running("ports")
    host = pod["status"]["hostIP"]

    def ask(ip, port, *flags):
        for _ in range(20):
            r = subprocess.run(["busybox", "nc", "-w", "2", *flags, ip, str(port)], input="x\n", capture_output=True, text=True)
            if r.stdout:
                return r.stdout.strip()
            time.sleep(0.2)
        return None
    assert ask("127.0.0.1", 30871) == "over tcp"
    assert ask(host, 30871) == "over tcp"
    assert ask("127.0.0.1", 30872) == "over tcp"
    assert subprocess.run(["busybox", "nc", "-w", "2", host, "30872"], input="x\n", capture_output=True, text=True).stdout == ""
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
