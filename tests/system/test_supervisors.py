"""What a pod keeps when its supervisors are killed: restart counts, ids and log; with both gone, get tells so, apply and delete heal."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import HUSK, SLOW, program

# `count` writes numbered lines without a pause, the way that is hardest to hand over; `crash` has restarts to be remembered.
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: count
    image: localhost/husk/busybox:1
    command: [sh, -c, 'i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i; done; sleep 100000']
    volumeMounts: [{name: scratch, mountPath: /scratch}]
  - name: still
    image: localhost/husk/busybox:1
    command: [sh, -c, 'trap "exit 7" USR1; while :; do sleep 0.1; done']
    volumeMounts: [{name: scratch, mountPath: /scratch}]
  volumes: [{name: scratch, emptyDir: {}}]
"""
LINES = 60000


def start(node, name, lines=LINES):
    node.apply(POD % (name, lines))
    pod = node.running(name)
    node.remember(name)
    return pod["metadata"]["uid"]


def status_of(node, name, container):
    return [s for s in node.get(name)["status"]["containerStatuses"] if s["name"] == container][0]


def restart_once(node, name):
    """Gives `still` a restart to its name, by a signal that it answers with exit code 7."""
    node.sh(name, "kill -USR1 1", c="still")
    node.wait(name, "a restart", lambda p: any(s["name"] == "still" and s["restartCount"] == 1 and "running" in s["state"] for s in p["status"]["containerStatuses"]))


def containers(node, name):
    """What tells a run of a container from any other: its id, when it started, how often it was started."""
    return {s["name"]: (s["containerID"], s["state"].get("running"), s["restartCount"], s.get("lastState")) for s in node.get(name)["status"]["containerStatuses"]}


def kill(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def wait_for_other(node, program, uid, old, timeout=10):
    end = time.time() + timeout * SLOW
    while True:
        new = [pid for pid in node.of_program(program, uid) if pid not in old]
        if new:
            return new
        assert time.time() < end, "no new %s" % program
        time.sleep(0.02)


def answers(node, name):
    """The supervisor acts: it notices an end, counts it, starts the container again."""
    before = status_of(node, name, "still")["restartCount"]
    node.sh(name, "kill -USR1 1", c="still")
    pod = node.wait(name, "an answer", lambda p: any(s["name"] == "still" and s["restartCount"] == before + 1 and "running" in s["state"]
                                                     for s in p["status"]["containerStatuses"]), 60)
    assert [s for s in pod["status"]["containerStatuses"] if s["name"] == "still"][0]["lastState"]["terminated"]["exitCode"] == 7


def whole_log(node, name, lines=LINES):
    node.wait_log(r"(?m)^line %d$" % lines, name, "-c", "count", timeout=60)
    assert node.logs(name, "-c", "count").split("\n") == ["line %d" % i for i in range(1, lines + 1)] + [""]


def test_a_killed_husk_pod_is_not_noticed(node):
    uid = start(node, "heir")
    restart_once(node, "heir")
    before = containers(node, "heir")
    keeper = node.of_program("husk-keeper", uid)
    for _ in range(5):
        old = node.of_program("husk-pod", uid)
        kill(old)
        wait_for_other(node, "husk-pod", uid, old)
    assert node.of_program("husk-keeper", uid) == keeper
    assert containers(node, "heir") == before
    whole_log(node, "heir")
    answers(node, "heir")


def test_a_killed_keeper_is_replaced_by_husk_pod(node):
    uid = start(node, "adopted")
    restart_once(node, "adopted")
    before = containers(node, "adopted")
    for _ in range(3):
        old = node.of_program("husk-keeper", uid)
        kill(old)
        wait_for_other(node, "husk-keeper", uid, old)
        node.wait("adopted", "a supervisor", lambda p: p["status"]["phase"] == "Running")
    assert containers(node, "adopted") == before
    whole_log(node, "adopted")
    answers(node, "adopted")


def test_an_end_that_comes_while_nobody_looks_is_known_afterwards(node):
    uid = start(node, "unseen", 10)
    victim = int(status_of_pid(node, "unseen", "still"))
    keeper, pod = node.of_program("husk-keeper", uid), node.of_program("husk-pod", uid)
    for pid in pod:
        os.kill(pid, signal.SIGSTOP)
    os.kill(victim, signal.SIGUSR1)
    time.sleep(0.5)
    kill(pod)
    status = [s for s in node.wait("unseen", "a restart", lambda p: any(s["name"] == "still" and s["restartCount"] == 1 for s in p["status"]["containerStatuses"]))
              ["status"]["containerStatuses"] if s["name"] == "still"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 7
    assert node.of_program("husk-keeper", uid) == keeper


def status_of_pid(node, name, container):
    """Host pid of a container's first process: the one in its cgroup whose parent is not."""
    ident = status_of(node, name, container)["containerID"].split("://")[1]
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cgroup" % pid) as f:
                if ident in f.read():
                    with open("/proc/%s/stat" % pid) as s:
                        found[int(pid)] = int(s.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass
    return [pid for pid, parent in found.items() if parent not in found][0]


def kill_both(node, uid):
    """Keeper and husk-pod in one moment: stopped first, so that neither can answer the other's end."""
    inside = node.in_cgroups()
    both = [pid for pid in node.of_program("husk-keeper", uid) + node.of_program("husk-pod", uid) if pid not in inside]
    assert len(both) == 2
    for pid in both:
        os.kill(pid, signal.SIGSTOP)
    kill(both)


def begun_anew(node, name, counts):
    """All containers run again, in a new sandbox, each with one restart more; nothing of the old sandbox runs beside them."""
    node.wait(name, "new containers", lambda p: p["status"]["phase"] == "Running" and {
        s["name"]: s["restartCount"] for s in p["status"].get("containerStatuses", []) if "running" in s["state"]} == counts, 60)
    node.wait(name, "readiness", lambda p: any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"]["conditions"]))
    assert len([1 for program in node.in_cgroups().values() if program == "husk-infra"]) == 1


def test_with_both_killed_get_says_so_and_apply_heals(node):
    uid = start(node, "orphan", 1000)
    restart_once(node, "orphan")
    whole_log(node, "orphan", 1000)
    old = status_of_pid(node, "orphan", "still")
    kill_both(node, uid)
    pod = node.wait("orphan", "phase Unknown", lambda p: p["status"]["phase"] == "Unknown")
    assert pod["status"]["reason"] == "SupervisorLost" and "pply the pod again" in pod["status"]["message"]
    assert [c["status"] for c in pod["status"]["conditions"] if c["type"] == "Ready"] == ["Unknown"]
    assert "SupervisorLost" in node.husk("get", "pod", "orphan").out
    assert node.apply(POD % ("orphan", 1000)).out == "pod/orphan unchanged\n"
    # their mounts went with keeper and husk-pod: the pod goes on in a new sandbox, and what was written is there still
    begun_anew(node, "orphan", {"count": 1, "still": 2})
    assert status_of_pid(node, "orphan", "still") != old
    assert node.logs("orphan", "-c", "count", "--previous").split("\n") == ["line %d" % i for i in range(1, 1001)] + [""]
    whole_log(node, "orphan", 1000)
    answers(node, "orphan")


def test_with_everything_killed_apply_starts_it_anew(node):
    uid = start(node, "ashes", 10)
    infra = node.infra("ashes")
    kill_both(node, uid)
    kill([infra])
    node.apply(POD % ("ashes", 10))
    begun_anew(node, "ashes", {"count": 1, "still": 1})
    assert node.get("ashes")["metadata"]["uid"] == uid


@pytest.mark.parametrize("grace", ["--grace-period=0", "--grace-period=1"])
def test_with_both_killed_delete_removes_everything(node, grace):
    uid = start(node, "orphan3", 10)
    kill_both(node, uid)
    node.husk("delete", "pod", "orphan3", grace, *(["--force"] if grace.endswith("0") else []))
    assert node.get("orphan3") is None
    node.nothing_left()


def test_an_ended_pod_needs_no_supervisor_and_shows_what_it_was(node):
    node.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: over}
        spec:
          restartPolicy: Never
          containers: [{name: a, image: "localhost/husk/busybox:1", command: [sh, -c, "echo done"]}]
        """)
    uid = node.phase("over", "Succeeded")["metadata"]["uid"]
    end = time.time() + 10 * SLOW
    while node.of_program("husk-keeper", uid):
        assert time.time() < end
        time.sleep(0.05)
    pod = node.get("over")
    assert pod["status"]["phase"] == "Succeeded" and "reason" not in pod["status"]
    assert re.search(r"over\s+0/1\s+Completed", node.husk("get", "pod", "over").out)


# ---- who is taken for a supervisor, and who gets its signals ----

@pytest.fixture
def pretender(node):
    node.load("--busybox", "--program", program("pretend") + ":/bin/husk-keeper", "--program", program("pretend") + ":/bin/husk-pod",
              reference="localhost/husk/pretend:1")
    return "localhost/husk/pretend:1"


@pytest.mark.parametrize("name", ["husk-keeper", "husk-pod"])
def test_what_a_container_calls_its_processes_keeps_no_pod_from_its_supervisor(node, pretender, name):
    uid = start(node, "robbed", 10)
    node.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: robber}
        spec:
          terminationGracePeriodSeconds: 0
          containers: [{name: a, image: %s, command: [%s, --root, %s, --run, %s, --uid, %s]}]
        """ % (pretender, name, node.root, node.run, uid))
    node.running("robber")
    assert len(node.of_program(name, uid)) == 2
    kill_both(node, uid)
    node.wait("robbed", "phase Unknown", lambda p: p["status"]["phase"] == "Unknown")
    assert "1 pod started" in node.husk("start", "--all").out
    node.wait("robbed", "containers that run again", lambda p: [s["restartCount"] for s in p["status"].get("containerStatuses", [])
                                                                if "running" in s["state"]] == [1, 1])


def test_a_container_that_is_called_husk_pod_is_no_old_husk_pod(node, pretender):
    node.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: namesake}
        spec:
          terminationGracePeriodSeconds: 0
          containers: [{name: a, image: %s, command: [husk-pod]}]
        """ % pretender)
    uid = node.running("namesake")["metadata"]["uid"]
    old = node.of_program("husk-pod", uid)
    kill(old)  # its successor is a younger child of the keeper than the container
    wait_for_other(node, "husk-pod", uid, old)
    assert "0 supervisors renewed" in node.husk("start", "--all", "--renew").out


@pytest.fixture
def held_by(node, tmp_path):
    """A pod whose supervisors are gone, and whose lock is held by a program of this name and these words."""
    uid, holders = start(node, "held", 10), []
    infra = node.infra("held")
    kill_both(node, uid)
    kill([infra])
    node.wait("held", "phase Unknown", lambda p: p["status"]["phase"] == "Unknown")

    def hold(name, *words):
        path = tmp_path / name
        shutil.copy(program("pretend"), path)
        p = subprocess.Popen([str(path), "lock", os.path.join(node.run, "pods", uid, "lock"), *words], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE)
        assert p.stdout.readline() == b"locked\n"
        holders.append(p)
        return p
    yield hold
    for p in holders:
        p.kill()
        p.wait()


@pytest.mark.parametrize("name,words,says,status", [
    ("husk-keeper", [], "is only just starting", None), ("husk-keeper", ["handles"], "1 supervisor renewed", 7),
    ("husk-pod", [], "0 supervisors renewed", None)], ids=["not_ready", "ready", "another_program"])
def test_the_signal_that_renews_goes_to_keepers_that_know_it(node, held_by, name, words, says, status):
    holder = held_by(name, *words)
    r = node.husk("start", "--all", "--renew", check=False)
    assert says in r.out + r.err, r
    if status is None:
        time.sleep(0.3)
        assert holder.poll() is None
    else:
        assert holder.wait(20 * SLOW) == status


def test_a_keeper_whose_lock_can_be_seen_lives_through_the_signal_that_renews(node):
    """A pipe in its log's place stops it right after it has taken the lock."""
    uid = start(node, "begins", 10)
    kill_both(node, uid)
    node.wait("begins", "phase Unknown", lambda p: p["status"]["phase"] == "Unknown")
    log = os.path.join(node.run, "pods", uid, "supervisor.log")
    os.unlink(log)
    os.mkfifo(log)
    keeper = subprocess.Popen([os.path.join(os.path.dirname(HUSK), "husk-keeper"), "--root", node.root, "--run", node.run, "--uid", uid],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lock, end = os.path.join(node.run, "pods", uid, "lock"), time.time() + 20 * SLOW
    while not re.search(r"POSIX .* %d [^ ]*:%d " % (keeper.pid, os.stat(lock).st_ino), open("/proc/locks").read()):
        assert time.time() < end and keeper.poll() is None
    os.kill(keeper.pid, signal.SIGUSR2)
    with open(log, "rb") as reader:
        node.wait("begins", "both containers again", lambda p: p["status"]["phase"] == "Running" and
                  all("running" in s["state"] and s["restartCount"] == 1 for s in p["status"]["containerStatuses"]))
        assert keeper.poll() is None
        node.husk("delete", "pod", "begins", "--force")
        keeper.wait(20 * SLOW)
