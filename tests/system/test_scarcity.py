"""What husk needs of the machine runs out under running pods: the disk is full, or may not be written to, or nothing can be
forked. It is told in the status, the rest goes on, what was scarce comes back and so does the pod, and deleting works."""
import os
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BUSYBOX, HUSK, SLOW, TOP, make_node, until
from test_huskd import POD as STATIC_POD
from test_huskd import Daemon, container

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
    os.makedirs(node.root, exist_ok=True)
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


class Processes:
    """A cgroup that limits how many processes there are in it."""

    def __init__(self, most):
        v1 = "/sys/fs/cgroup/pids"
        self.path = os.path.join(v1 if os.path.isdir(v1) else "/sys/fs/cgroup", "husk-test-%d" % os.getpid())
        if not os.path.isdir(v1):
            with open("/sys/fs/cgroup/cgroup.subtree_control", "w") as f:
                f.write("+pids")
        os.mkdir(self.path)
        self.limit(most)

    def put(self, file, text):
        with open(os.path.join(self.path, file), "w") as f:
            f.write(str(text))

    def limit(self, most):
        self.put("pids.max", most)

    def remove(self):
        def removed():
            try:
                os.rmdir(self.path)
            except OSError:
                return False
            return True
        until("an empty cgroup", removed)


@pytest.fixture
def processes():
    group = Processes("max")
    yield group
    group.remove()


def test_nothing_can_be_forked(own_node, processes):
    node = own_node
    node.load("--busybox")
    node.apply(POD % "alone")
    uid = node.running("alone")["metadata"]["uid"]
    try:
        for pid in node.of_program("husk-keeper", uid) + node.of_program("husk-pod", uid):
            processes.put("cgroup.procs", pid)
        processes.limit(2)
        kill_dies(node, "alone")
        waits_with(node, "alone", "Resource temporarily unavailable")
        os.kill(node.of_program("husk-pod", uid)[0], signal.SIGKILL)
        processes.limit(1)
        time.sleep(1)
        assert node.of_program("husk-pod", uid) == []  # the keeper cannot start one, and goes on trying
        processes.limit("max")
        until("a supervisor", lambda: node.of_program("husk-pod", uid))
        comes_back(node, "alone")
    finally:
        processes.limit("max")
        node.delete_all()
    node.nothing_left()


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_pod_whose_supervisor_cannot_be_forked_is_not_half_made(node, processes, most):
    """With room for one process husk cannot start a keeper, with room for two the keeper cannot start husk-pod, and so on."""
    processes.limit(most)
    r = subprocess.run(["sh", "-c", "echo $$ > %s/cgroup.procs; exec \"$0\" apply -f -" % processes.path, HUSK], input=POD % "stillborn", text=True,
                       env=node.env, capture_output=True, timeout=60 * SLOW)
    if most == 1:
        assert r.returncode == 1 and "Resource temporarily unavailable" in r.stderr and node.get("stillborn") is None, r
        node.nothing_left()
    else:  # it is there, and comes as soon as there is room
        assert r.returncode == 0, r
        processes.limit("max")
        node.running("stillborn", 60)
    node.delete_all()


# ---- what was begun on a full disk is whole, or was not begun ----

def room(node):
    os.unlink(os.path.join(node.root, "ballast"))


def test_a_log_on_a_full_disk_holds_up_nobody_and_goes_on_when_there_is_room(disk_node):
    node = disk_node
    node.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: wordy}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - {name: a, image: localhost/husk/busybox:1, command: [sh, -c, "i=0; while usleep 10000; do i=$((i+1)); echo line $i; echo $i > /dev/shm/at; done"]}
        """)
    uid = node.running("wordy")["metadata"]["uid"]
    at = lambda: int(node.sh("wordy", "cat /dev/shm/at") or 0)
    until("some lines", lambda: at() > 20)
    fill(node)
    before = at()
    until("it is not held up", lambda: at() > before + 300)
    room(node)
    freed = at()
    numbers = lambda: [int(line.split()[1]) for line in node.logs("wordy").splitlines()]
    until("the log goes on", lambda: numbers()[-1] > freed + 50)
    lines = numbers()
    assert lines[:20] == list(range(1, 21)) and lines == sorted(set(lines))  # what there was no room for is lost, nothing is torn or doubled
    with open(os.path.join(node.root, "logs", "default_wordy_" + uid, "a", "0.log")) as f:
        assert all(line.split(" ", 3)[1:3] == ["stdout", "F"] for line in f.read().splitlines())
    assert node.get("wordy")["status"]["containerStatuses"][0]["restartCount"] == 0
    node.delete_all()


def test_how_a_pod_ended_is_told_on_a_full_disk_and_kept_when_there_is_room(disk_node):
    node = disk_node
    node.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: job}
        spec:
          restartPolicy: Never
          containers: [{name: a, image: localhost/husk/busybox:1, command: [sh, -c, "while [ ! -e /dev/shm/end ]; do sleep 0.1; done; exit 3"]}]
        """)
    uid = node.running("job")["metadata"]["uid"]
    fill(node)
    node.sh("job", "touch /dev/shm/end")
    assert container(node.phase("job", "Failed"), "a")["state"]["terminated"]["exitCode"] == 3
    kept = os.path.join(node.root, "pods", uid, "status.json")
    room(node)
    until("it is kept", lambda: os.path.exists(kept))
    until("nobody looks after it any more", lambda: not node.of_program("husk-keeper", uid))
    assert node.get("job")["status"]["phase"] == "Failed"
    assert node.husk("start", "--all").out == "0 pods started\n"
    node.delete_all()


def test_a_pod_whose_end_cannot_be_written_does_not_run_again_though_its_supervisor_is_killed(node, tmp_path):
    """Until its end is on the disk, only what is kept for a successor says that it has ended."""
    node.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: once}
        spec:
          restartPolicy: Never
          containers:
          - name: a
            image: localhost/husk/busybox:1
            command: [sh, -c, "echo run >> /out/runs; while [ ! -e /out/end ]; do sleep 0.1; done"]
            volumeMounts: [{name: out, mountPath: /out}]
          volumes: [{name: out, hostPath: {path: %s}}]
        """ % tmp_path)
    uid = node.running("once")["metadata"]["uid"]
    kept = os.path.join(node.root, "pods", uid, "status.json")
    os.makedirs(os.path.join(kept, "in-the-way"))
    (tmp_path / "end").write_text("")
    node.phase("once", "Succeeded")
    bundles = os.path.join(node.run, "pods", uid, "bundles")
    until("only its end is still to be written", lambda: not os.path.exists(bundles))
    for _ in range(2):
        old = node.of_program("husk-pod", uid)
        os.kill(old[0], signal.SIGKILL)
        until("a successor", lambda: set(node.of_program("husk-pod", uid)) - set(old))
    time.sleep(0.5)
    shutil.rmtree(kept)
    until("it is kept", lambda: os.path.isfile(kept))
    until("nobody looks after it any more", lambda: not node.of_program("husk-keeper", uid))
    assert (tmp_path / "runs").read_text() == "run\n" and node.get("once")["status"]["phase"] == "Succeeded"


def test_an_archive_without_room_is_not_tried_again_at_once_and_holds_up_no_manifest(disk_node):
    """The whole disk is smaller than what loading leaves free."""
    node, folder = disk_node, os.path.join(disk_node.root, "images.d")
    os.makedirs(folder)
    os.makedirs(os.path.join(node.root, "manifests"))
    subprocess.run([os.path.join(TOP, "scripts/make-image"), os.path.join(folder, "large.tar"), "localhost/large:1", "--text", "/x=1"], check=True)
    with open(os.path.join(node.root, "manifests", "web.yaml"), "w") as f:
        f.write(STATIC_POD % ("web", "up"))
    daemon = Daemon(node)
    try:
        daemon.running("web", "up")
        time.sleep(1)
        assert daemon.text().count("large.tar was not taken in, it is tried again in five minutes: ") == 1, daemon.text()
        daemon.remove("web.yaml")
        daemon.gone("web")
    finally:
        daemon.end()


def test_objects_and_images_are_not_half_made_on_a_full_disk(disk_node, tmp_path):
    node, claim = disk_node, "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}"
    big, archive = "{apiVersion: v1, kind: ConfigMap, metadata: {name: big}, data: {k: %s}}" % ("x" * 100000), str(tmp_path / "second.tar")
    (tmp_path / "noise").write_bytes(os.urandom(6 << 20))
    subprocess.run([os.path.join(TOP, "scripts/make-image"), archive, "localhost/second:1", "--busybox", "--file", "%s:/noise" % (tmp_path / "noise")], check=True)
    fill(node)
    for text in claim, big:
        assert "No space left on device" in node.fails("apply", "-f", "-", input=text).err
    r = node.husk("image", "load", "--keep-free=0", archive, check=False)
    assert r.code == 8 and "second" not in node.husk("image", "ls").out, r
    assert node.get("c", "pvc") is None and node.get("big", "configmap") is None
    assert [f for at, _, files in os.walk(os.path.join(node.root, "objects")) for f in files if f.endswith(".tmp")] == []
    room(node)
    for text in claim, big:
        node.apply(text)
    node.husk("image", "load", "--keep-free=1M", archive)
    node.husk("image", "verify", "--keep-free=1M")
    assert "second" in node.husk("image", "ls").out


@pytest.fixture
def small_run():
    """A node whose <run> has three megabytes."""
    node = make_node()
    os.makedirs(node.run)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", node.run], check=True)
    try:
        node.load("--busybox")
        yield node
        node.close()
    finally:
        subprocess.run(["umount", "-l", node.run], check=True)
        subprocess.run(["rm", "-rf", node.folder], check=True)


def test_without_room_for_the_status_it_is_told_as_soon_as_there_is_some(small_run):
    node = small_run
    node.apply((POD % "mute").replace("sleep, \"100000\"", "sh, -c, 'while [ ! -e /dev/shm/end ]; do sleep 0.1; done; exit 4'"))
    uid = node.running("mute")["metadata"]["uid"]
    ballast = os.path.join(node.run, "ballast")
    with open(ballast, "wb") as f:
        for size in 1 << 20, 4096, 1:
            try:
                while True:
                    os.write(f.fileno(), b"x" * size)
            except OSError:
                pass
    node.sh("mute", "touch /dev/shm/end", c="dies")

    def waits(pid):
        try:
            with open("/proc/%d/cmdline" % pid) as f:
                return "/shm/end" in f.read()
        except OSError:  # it has ended just now
            return False
    until("its end", lambda: not [pid for pid, name in node.in_cgroups().items() if name == "sh" and waits(pid)])
    time.sleep(1.5)
    os.unlink(ballast)
    pod = node.wait("mute", "the end that nobody could write down", lambda p: container(p, "dies")["lastState"].get("terminated"))
    assert container(pod, "dies")["lastState"]["terminated"]["exitCode"] == 4
    node.wait("mute", "its next run", lambda p: container(p, "dies")["restartCount"] >= 1, 40)
    assert container(node.get("mute"), "still")["restartCount"] == 0
    assert len(node.of_program("husk-pod", uid)) == 1
    node.delete_all()


def test_a_node_that_may_not_be_written_to_from_the_start(disk_node):
    node = disk_node
    os.makedirs(os.path.join(node.root, "manifests"))
    node.husk("get", "nodes")  # made when it is first asked for
    subprocess.run(["mount", "-o", "remount,ro", node.root], check=True)
    try:
        r = node.fails("apply", "-f", "-", input=POD % "late")
        assert "ead-only file system" in r.err and node.root in r.err
        assert node.husk("get", "pods").err == "No resources found in default namespace.\n"
        assert "busybox" in node.husk("image", "ls").out
        daemon = Daemon(node)  # is ready all the same: pods that run are looked after
        assert node.husk("start", "--all").out == "0 pods started\n"
        daemon.end()
    finally:
        subprocess.run(["mount", "-o", "remount,rw", node.root], check=True)
    node.apply(POD % "late")
    node.running("late")
    node.delete_all()
