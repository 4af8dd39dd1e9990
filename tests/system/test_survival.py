"""Supervisors die, pods live: kill -9 of husk-pod and husk-keeper, the log that loses no line, an upgrade under running pods."""
import glob
import json
import os
import random
import re
import signal
import subprocess
import time

from conftest import HUSK, SLOW

COUNTING = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: fast, image: localhost/husk/busybox:1, command: [sh, -c, "i=0; while [ $i -lt 150000 ]; do echo line $i; i=$((i+1)); done; exec sleep 100000"]}
  - {name: slow, image: localhost/husk/busybox:1, command: [sh, -c, "i=0; while :; do echo line $i >&2; i=$((i+1)); sleep 0.05; done"]}
"""


def wait(what, pred, timeout=15):
    end = time.time() + timeout * SLOW
    while not pred():
        assert time.time() < end, "no " + what
        time.sleep(0.02)


def supervisor(node, uid):
    found = node.of_program("husk-pod", uid)
    return found[0] if found else None


def keeper(node, uid):
    found = node.of_program("husk-keeper", uid)
    return found[0] if found else None


def kill(pid):
    try:
        if pid:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def instance(node, uid, container):
    for path in glob.glob("%s/pods/%s/instances/*.json" % (node.run, uid)):
        record = json.load(open(path))
        if record["name"] == container:
            return record
    return None


def numbers(node, uid, container):
    """The numbers of all lines, over all files of the log, in order; every record is whole."""
    folder = glob.glob("%s/logs/*_%s/%s" % (node.root, uid, container))[0]
    files = sorted(f for f in os.listdir(folder) if f != "0.log") + ["0.log"]
    out = []
    for f in files:
        for line in open(os.path.join(folder, f)):
            m = re.fullmatch(r"\d{4}-\S+Z (stdout|stderr) F line (\d+)\n", line)
            assert m, line
            out.append(int(m[2]))
    return out


def untouched(first, now):
    for a, b in zip(first["status"]["containerStatuses"], now["status"]["containerStatuses"]):
        assert b["restartCount"] == 0 and b["containerID"] == a["containerID"] and b["state"] == a["state"]
    assert now["status"]["podIP"] == first["status"]["podIP"]


def test_a_killed_supervisor_is_replaced_and_no_line_of_the_log_is_lost_or_doubled(node):
    dice = random.Random(1)
    node.apply(COUNTING % "counting")
    first = node.running("counting")
    uid = first["metadata"]["uid"]
    for _ in range(12):
        time.sleep(dice.uniform(0.05, 0.3))
        kill(supervisor(node, uid))
    wait("successor", lambda: supervisor(node, uid))
    wait("last line", lambda: (numbers(node, uid, "fast") or [0])[-1] == 149999, 40)
    untouched(first, node.get("counting"))
    fast, slow = numbers(node, uid, "fast"), numbers(node, uid, "slow")
    assert fast == list(range(150000)) and slow == list(range(len(slow))) and len(slow) > 20


def test_a_killed_keeper_is_replaced_by_the_supervisor_and_exits_are_still_known(node):
    node.apply(COUNTING % "orphan")
    first = node.running("orphan")
    uid = first["metadata"]["uid"]
    for _ in range(3):
        old = keeper(node, uid)
        kill(old)
        wait("new keeper", lambda: keeper(node, uid) not in (None, old) and supervisor(node, uid))
        time.sleep(0.3)
    untouched(first, node.get("orphan"))
    before = len(numbers(node, uid, "slow"))
    time.sleep(0.5)
    slow = numbers(node, uid, "slow")
    assert len(slow) > before and slow == list(range(len(slow)))
    # A container of the first keeper is nobody's child by now. It ends, and how it ended is known all the same.
    os.kill(instance(node, uid, "slow")["pid"], signal.SIGKILL)
    pod = node.wait("orphan", "restart", lambda p: any(s["name"] == "slow" and s["restartCount"] == 1 and "running" in s["state"]
                                                      for s in p["status"]["containerStatuses"]))
    ended = [s for s in pod["status"]["containerStatuses"] if s["name"] == "slow"][0]["lastState"]["terminated"]
    assert ended["exitCode"] == 137 and ended["reason"] == "Error"


def test_an_exit_while_no_supervisor_runs_is_reported_by_the_next_one(node):
    node.apply("""
    apiVersion: v1
    kind: Pod
    metadata: {name: away}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers:
      - {name: a, image: localhost/husk/busybox:1, command: [sh, -c, "trap 'echo farewell > /dev/termination-log; exit 7' TERM; while :; do sleep 0.05; done"]}
    """)
    uid = node.running("away")["metadata"]["uid"]
    pid, old = instance(node, uid, "a")["pid"], supervisor(node, uid)
    os.kill(old, signal.SIGSTOP)
    os.kill(pid, signal.SIGTERM)
    wait("end of the container", lambda: not os.path.exists("/proc/%d" % pid))
    kill(old)
    pod = node.phase("away", "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (7, "Error", "farewell\n")


def test_keeper_and_supervisor_killed_together_the_pod_begins_anew(own_node):
    node = own_node
    node.load("--busybox")
    node.apply(COUNTING % "both")
    first = node.running("both")
    uid = first["metadata"]["uid"]
    boss, old = keeper(node, uid), supervisor(node, uid)
    os.kill(boss, signal.SIGSTOP)
    kill(old)
    kill(boss)
    wait("their end", lambda: not keeper(node, uid) and not supervisor(node, uid))
    # What runs on without a supervisor is found by the next one (huskd, or a person).
    subprocess.Popen([os.path.join(os.path.dirname(HUSK), "husk-keeper"), "--root", node.root, "--run", node.run, "--uid", uid],
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    pod = node.wait("both", "both restarted once", lambda p: all(s["restartCount"] == 1 and "running" in s["state"]
                                                                for s in p["status"]["containerStatuses"]))
    for s in pod["status"]["containerStatuses"]:
        assert s["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    node.husk("delete", "pod", "both")
    node.nothing_left()


def test_terminating_the_supervisor_is_an_upgrade(node):
    node.apply(COUNTING % "upgrade")
    first = node.running("upgrade")
    uid = first["metadata"]["uid"]
    old = supervisor(node, uid)
    os.kill(old, signal.SIGTERM)
    wait("successor", lambda: supervisor(node, uid) not in (None, old))
    time.sleep(0.3)
    untouched(first, node.get("upgrade"))
    node.husk("delete", "pod", "upgrade")
    assert node.get("upgrade") is None


def test_a_quiet_pod_wakes_nobody_up_writes_nothing_and_takes_less_than_a_megabyte(node):
    node.apply("""
    apiVersion: v1
    kind: Pod
    metadata: {name: quiet}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: a, image: localhost/husk/busybox:1, command: [sleep, "100000"]}
      - {name: b, image: localhost/husk/busybox:1, command: [sleep, "100000"]}
    """)
    uid = node.running("quiet")["metadata"]["uid"]
    time.sleep(3.5)
    machinery = [keeper(node, uid), supervisor(node, uid), node.infra("quiet")]

    def switches():
        return sum(int(line.split()[1]) for pid in machinery for line in open("/proc/%d/status" % pid) if "ctxt_switches" in line)

    def written():
        return [int(line.split()[1]) for pid in machinery for line in open("/proc/%d/io" % pid) if line.startswith("wchar")]

    before = switches(), written()
    time.sleep(3)
    assert (switches(), written()) == before
    pss = sum(int(line.split()[1]) for pid in machinery for line in open("/proc/%d/smaps_rollup" % pid) if line.startswith("Pss:"))
    assert pss <= 1024, "%d kB" % pss
