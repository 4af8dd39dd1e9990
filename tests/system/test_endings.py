"""Containers that do not want to end, or take what they can get: a deaf one, a fork bomb, gigabytes of output, all of the memory.
The pod ends when it was told to, its neighbours go on, and the status says what happened."""
import glob
import json
import os
import time

import pytest

from conftest import BUSYBOX, program, until
from test_huskd import container

DEAF = "trap '' TERM; echo up > /out/$NAME; while :; do sleep 0.1; done"
HEARS = "trap 'echo $NAME >> /out/seen; exit 5' TERM; echo up > /out/$NAME; while :; do sleep 0.05; done"


def talker(name, script, **more):
    return dict({"name": name, "image": BUSYBOX, "command": ["sh", "-c", script], "env": [{"name": "NAME", "value": name}],
                 "volumeMounts": [{"name": "out", "mountPath": "/out"}]}, **more)


def apply(node, name, out, containers, **spec):
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": dict({
        "containers": containers, "restartPolicy": "Never", "volumes": [{"name": "out", "hostPath": {"path": str(out)}}]}, **spec)}))


def seen(out):
    path = os.path.join(out, "seen")
    return open(path).read().split() if os.path.exists(path) else []


def events(node, name, reason):
    return [e["message"] for e in json.loads(node.husk("get", "events", "-o", "json").out)["items"]
            if e["involvedObject"]["name"] == name and e["reason"] == reason]


def ended(pod, name):
    statuses = pod["status"]["containerStatuses"] + pod["status"].get("initContainerStatuses", [])
    state = [s for s in statuses if s["name"] == name][0]["state"]["terminated"]
    return state["exitCode"], state["reason"]


# ---- those that ignore SIGTERM ----

def test_the_deaf_are_killed_at_the_end_of_their_grace_and_sidecars_after_them(node, tmp_path):
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /out/seen; sleep 0.3; echo hooked >> /out/seen"]}}}
    apply(node, "deaf", tmp_path, [talker("deaf1", DEAF), talker("deaf2", DEAF, lifecycle=hook), talker("hears", HEARS)],
          initContainers=[talker("side1", HEARS, restartPolicy="Always"), talker("side2", DEAF, restartPolicy="Always")],
          activeDeadlineSeconds=1, terminationGracePeriodSeconds=2)
    pod = node.phase("deaf", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert {n: ended(pod, n) for n in ("deaf1", "deaf2", "hears", "side1", "side2")} == {
        "deaf1": (137, "Error"), "deaf2": (137, "Error"), "hears": (5, "Error"), "side1": (5, "Error"), "side2": (137, "Error")}
    words = seen(tmp_path)
    assert sorted(words) == ["hears", "hook", "hooked", "side1"] and words[-1] == "side1"  # the sidecar's turn came when all mains were gone
    assert sorted(events(node, "deaf", "Killing")) == ["Stopping container " + n for n in ("deaf1", "deaf2", "hears", "side1", "side2")]


def test_a_hook_that_does_not_end_ends_with_the_grace(node, tmp_path):
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /out/seen; sleep 1000"]}}}
    apply(node, "hooked", tmp_path, [talker("deaf", DEAF, lifecycle=hook), talker("hears", HEARS, lifecycle=hook)],
          activeDeadlineSeconds=1, terminationGracePeriodSeconds=1)
    pod = node.phase("hooked", "Failed")
    assert (ended(pod, "deaf"), ended(pod, "hears")) == ((137, "Error"), (5, "Error"))
    assert sorted(seen(tmp_path)) == ["hears", "hook", "hook"]


@pytest.mark.parametrize("how,least,hears", [
    (["--now"], 1, True), (["--grace-period=1"], 1, True), (["--grace-period=0"], 1, True), (["--force"], 0, False),
    (["--force", "--grace-period=0"], 0, False), (["--timeout=60s"], 3, True)], ids=lambda v: "_".join(v) if isinstance(v, list) else "")
def test_how_much_time_a_deletion_gives(node, tmp_path, how, least, hears):
    """As kubectl: zero without --force is one second; with it nobody is asked at all."""
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /out/seen"]}}}
    apply(node, "given", tmp_path, [talker("deaf", DEAF), talker("hears", HEARS, lifecycle=hook)], terminationGracePeriodSeconds=3)
    until("both are up", lambda: {"deaf", "hears"} <= set(os.listdir(tmp_path)))
    begun = time.time()
    node.husk("delete", "pod", "given", *how)
    assert node.get("given") is None and time.time() - begun >= least
    assert seen(tmp_path) == (["hook", "hears"] if hears else [])
    assert node.in_cgroups() == {}


def test_a_shorter_grace_overtakes_a_longer_one(node, tmp_path):
    apply(node, "twice", tmp_path, [talker("deaf", DEAF)], terminationGracePeriodSeconds=1000)
    until("it is up", lambda: "deaf" in os.listdir(tmp_path))
    node.husk("delete", "pod", "twice", "--wait=false")
    assert node.get("twice")["metadata"]["deletionGracePeriodSeconds"] == 1000
    node.husk("delete", "pod", "twice", "--now")
    assert node.get("twice") is None


def test_a_deaf_container_that_fails_its_liveness_probe_is_killed_and_comes_back(node, tmp_path):
    probe = {"exec": {"command": ["test", "-e", "/out/well"]}, "periodSeconds": 1, "failureThreshold": 1, "terminationGracePeriodSeconds": 1}
    (tmp_path / "well").write_text("")
    apply(node, "ill", tmp_path, [talker("deaf", DEAF, livenessProbe=probe), talker("other", DEAF)], terminationGracePeriodSeconds=0, restartPolicy="Always")
    node.running("ill")
    (tmp_path / "well").unlink()
    node.wait("ill", "a restart", lambda p: container(p, "deaf")["restartCount"] == 1)
    (tmp_path / "well").write_text("")
    pod = node.running("ill")
    last = container(pod, "deaf")["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"], container(pod, "other")["restartCount"]) == (137, "Error", 0)
    assert events(node, "ill", "Killing") == ["Container deaf failed liveness probe, will be restarted"]


# ---- those that take what they can get ----

GIGABYTES = float(os.environ.get("HUSK_TEST_GIGABYTES", "0.5"))


def memory_peak_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return [int(line.split()[1]) for line in f if line.startswith("VmHWM:")][0]


def test_gigabytes_of_output_take_no_more_than_their_files(node, tmp_path):
    """HUSK_TEST_GIGABYTES of them (0.5). Meanwhile the log stays within its five files of 10 MiB, the neighbour is probed and heard."""
    size = int(GIGABYTES * 1e9)
    apply(node, "wordy", tmp_path, [talker("wordy", "yes 'a line of forty characters, more or less' | head -c %d; echo; echo the end" % size),
                                    talker("still", "echo up > /out/still; exec sleep 100000", readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1})])
    uid = node.wait("wordy", "its start", lambda p: container(p, "still")["state"].get("running"))["metadata"]["uid"]
    folder = glob.glob(os.path.join(node.root, "logs", "*" + uid, "wordy"))[0]
    most, looks = 0, 0

    def over():
        nonlocal most, looks
        try:
            most, looks = max(most, sum(e.stat().st_size for e in os.scandir(folder))), looks + 1
        except FileNotFoundError:
            pass  # the oldest one has just gone
        return "terminated" in container(node.get("wordy"), "wordy")["state"]
    until("all of it is written", over, 60 + 60 * GIGABYTES)
    pod = node.get("wordy")
    assert ended(pod, "wordy") == (0, "Completed") and looks > 1
    assert 10 << 20 < most <= 52 << 20  # one that is full is about to be renamed, and what came meanwhile is in it
    assert node.logs("wordy", "-c", "wordy", "--tail=1") == "the end\n"
    assert node.sh("wordy", "echo here", c="still") == "here" and container(pod, "still")["ready"]
    supervisor, = node.of_program("husk-pod", uid)
    assert memory_peak_kib(supervisor) < 16 << 10


@pytest.fixture
def few_processes(own_node):
    own_node.load("--busybox")
    own_node.load("--busybox", "--program", program("fork-bomb") + ":/bin/fork-bomb", reference="localhost/husk/bomb:1")
    with open(os.path.join(own_node.root, "config.yaml"), "w") as f:
        f.write("podPidsLimit: 40\n")
    yield own_node
    own_node.delete_all()
    own_node.nothing_left()


def test_a_fork_bomb_hits_its_limit_and_nobody_else(few_processes, tmp_path):
    node = few_processes
    counts = "i=0; while sleep 0.1; do i=$((i+1)); echo $i > /out/count; done"
    apply(node, "other", tmp_path, [talker("counts", counts)], terminationGracePeriodSeconds=0)
    node.running("other")
    apply(node, "bomb", tmp_path, [talker("still", "echo up > /out/still; exec sleep 100000"), dict(talker("bomb", "while [ ! -e /out/still ]; do sleep 0.1; done; exec fork-bomb"),
                                                                                                     image="localhost/husk/bomb:1")],
          terminationGracePeriodSeconds=1)
    until("as many processes as there may be", lambda: list(node.in_cgroups().values()).count("fork-bomb") > 30)
    until("the count", lambda: os.path.exists(tmp_path / "count"))
    count = lambda: int((tmp_path / "count").read_text() or 0)
    before = count()
    until("the other pod goes on", lambda: count() > before + 3)
    pod = node.get("bomb")
    assert pod["status"]["phase"] == "Running" and container(pod, "still")["restartCount"] == 0
    node.husk("delete", "pod", "bomb", "--now", timeout=60)
    assert node.get("bomb") is None and [p for p in node.in_cgroups().values() if p == "husk-infra"] == ["husk-infra"]


def test_who_fills_its_memory_is_killed_and_its_neighbour_is_not(node, tmp_path):
    limit = {"resources": {"limits": {"memory": "24Mi"}}}
    apply(node, "greedy", tmp_path, [talker("greedy", "echo up >> /out/greedy; exec tail /dev/zero", **limit), talker("still", "exec sleep 100000", **limit)],
          restartPolicy="Always", terminationGracePeriodSeconds=0)
    pod = node.wait("greedy", "a restart", lambda p: container(p, "greedy")["restartCount"] >= 1 and "waiting" in container(p, "greedy")["state"])
    last = container(pod, "greedy")["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)
    assert container(pod, "greedy")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container(pod, "still")["restartCount"] == 0 and "running" in container(pod, "still")["state"]
    assert (tmp_path / "greedy").read_text().split() == ["up", "up"]
    assert node.sh("greedy", "echo here", c="still") == "here"
