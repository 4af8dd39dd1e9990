"""What husk needs of the machine runs out under running pods: the disk is full, or may not be written to, or nothing can be
forked. It is told in the status, the rest goes on, what was scarce comes back and so does the pod, and deleting works."""
import os
import signal
import subprocess
import time

import pytest

from conftest import BUSYBOX, SLOW, TOP, make_node
from test_huskd import container, until

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: dies, image: localhost/husk/busybox:1, command: [sleep, "100000"]}
  - {name: still, image: localhost/husk/busybox:1, command: [sh, -c, "while sleep 0.2; do echo alive; done"]}
"""


@pytest.fixture
def disk_node(tmp_path):
    """A node whose <root> is a small disk of its own; `disk.image` and its mount go with it."""
    node = make_node()
    image = os.path.join(node.folder, "disk.image")
    os.makedirs(node.root)
    subprocess.run(["truncate", "-s", "48M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, node.root], capture_output=True).returncode:
        pytest.skip("no loop devices here")
    try:
        archive = str(tmp_path / "image.tar")
        subprocess.run([os.path.join(TOP, "scripts/make-image"), archive, BUSYBOX, "--busybox"], check=True)
        node.husk("image", "load", "--keep-free=1M", archive)
        yield node
        node.close()
    finally:
        subprocess.run(["umount", "-l", node.root], check=True)
        subprocess.run(["rm", "-rf", node.folder], check=True)


def fill(node):
    with open(os.path.join(node.root, "ballast"), "wb") as f:
        for size in 1 << 20, 4096, 1:
            try:
                while True:
                    os.write(f.fileno(), b"x" * size)
            except OSError:
                pass


def kill_dies(node, name):
    os.kill(node.oldest_in(name, "pid", c="dies"), signal.SIGKILL)


def waits_with(node, name, words):
    """The container that was killed cannot come back, and says why; the other one runs on."""
    pod = node.wait(name, "a message with " + words, lambda p: words in container(p, "dies")["state"].get("waiting", {}).get("message", ""), 40)
    assert container(pod, "dies")["state"]["waiting"]["reason"].startswith(("Create", "RunContainer", "CrashLoop")), pod["status"]
    assert "running" in container(pod, "still")["state"] and container(pod, "still")["restartCount"] == 0
    return pod


def comes_back(node, name):
    node.wait(name, "both containers", lambda p: all("running" in s["state"] for s in p["status"]["containerStatuses"]), 60)
    assert container(node.get(name), "still")["restartCount"] == 0


def test_a_disk_that_fills_up_under_running_pods(disk_node):
    node = disk_node
    node.apply(POD % "full")
    node.apply(POD % "other")
    node.running("full"), node.running("other")
    fill(node)
    r = node.fails("apply", "-f", "-", input=POD % "late")
    assert "No space left on device" in r.err and node.get("late") is None
    kill_dies(node, "full")
    waits_with(node, "full", "No space left on device")
    assert node.sh("full", "echo here", c="still") == "here"
    node.remember("other")
    node.husk("delete", "pod", "other")  # on a full disk: that is what frees it
    assert node.get("other") is None
    os.unlink(os.path.join(node.root, "ballast"))
    comes_back(node, "full")
    node.delete_all()


def test_a_disk_that_may_no_longer_be_written_to(disk_node):
    node = disk_node
    node.apply(POD % "frozen")
    uid = node.running("frozen")["metadata"]["uid"]
    path = os.path.join(node.root, "pods", uid, "state.json")
    until("the state is kept", lambda: os.path.exists(path))
    if subprocess.run(["mount", "-o", "remount,ro", node.root], capture_output=True).returncode:
        subprocess.run(["mount", "-o", "remount,ro,bind", node.root], check=True)
    assert "ead-only file system" in node.fails("apply", "-f", "-", input=POD % "late").err
    os.kill(node.of_program("husk-pod", uid)[0], signal.SIGKILL)  # its successor needs no disk
    until("a successor", lambda: node.of_program("husk-pod", uid))
    assert node.get("frozen")["status"]["phase"] == "Running"
    assert node.sh("frozen", "echo here", c="still") == "here"
    subprocess.run(["mount", "-o", "remount,rw", node.root], check=True)
    kill_dies(node, "frozen")
    comes_back(node, "frozen")
    node.delete_all()


def test_nothing_can_be_forked(own_node):
    node = own_node
    node.load("--busybox")
    node.apply(POD % "alone")
    uid = node.running("alone")["metadata"]["uid"]
    v1 = "/sys/fs/cgroup/pids"
    group = os.path.join(v1 if os.path.isdir(v1) else "/sys/fs/cgroup", "husk-test-%d" % os.getpid())
    if not os.path.isdir(v1):
        with open("/sys/fs/cgroup/cgroup.subtree_control", "w") as f:
            f.write("+pids")
    os.mkdir(group)

    def put(file, text):
        with open(os.path.join(group, file), "w") as f:
            f.write(str(text))
    try:
        supervisors = node.of_program("husk-keeper", uid) + node.of_program("husk-pod", uid)
        for pid in supervisors:
            put("cgroup.procs", pid)
        put("pids.max", 2)
        kill_dies(node, "alone")
        waits_with(node, "alone", "Resource temporarily unavailable")
        os.kill(node.of_program("husk-pod", uid)[0], signal.SIGKILL)
        put("pids.max", 1)
        time.sleep(1)
        assert node.of_program("husk-pod", uid) == []  # the keeper cannot start one, and goes on trying
        put("pids.max", "max")
        until("a supervisor", lambda: node.of_program("husk-pod", uid))
        comes_back(node, "alone")
    finally:
        put("pids.max", "max")
        node.delete_all()
        end = time.time() + 10 * SLOW
        while os.path.isdir(group) and time.time() < end:
            try:
                os.rmdir(group)
            except OSError:
                time.sleep(0.1)
    node.nothing_left()
