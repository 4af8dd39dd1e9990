"""Faults at random moments while a workload counts what it serves: nothing leaks, nothing runs twice, the status tells the truth.

HUSK_TEST_FAULT_SECONDS (15) is how long each part lasts, HUSK_TEST_SEED repeats one; a summary is printed (pytest -s)."""
import collections
import json
import os
import random
import signal
import subprocess
import threading
import time
import urllib.request

import pytest

from conftest import SLOW, TOP, until
from test_huskd import Daemon

SECONDS = float(os.environ.get("HUSK_TEST_FAULT_SECONDS", "15"))
SEED = int(os.environ.get("HUSK_TEST_SEED", "0")) or random.randrange(1 << 30)
SERVES = """
apiVersion: v1
kind: Pod
metadata: {name: serves%(n)d}
spec:
  terminationGracePeriodSeconds: 0
  initContainers:
  - {name: side, image: localhost/husk/busybox:1, restartPolicy: Always, command: [sleep, "86400.%(n)d1"]}
  containers:
  - name: httpd
    image: localhost/husk/busybox:1
    command: [sh, -c, "mkdir -p /www; echo served > /www/index.html; exec httpd -f -h /www"]
    readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
  - {name: still, image: localhost/husk/busybox:1, command: [sleep, "86400.%(n)d2"]}
"""


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Client(threading.Thread):
    """Asks a pod for a page again and again, and counts; looks its address up anew when it does not answer."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node, self.name, self.stop, self.served, self.failed = node, name, threading.Event(), 0, 0
        self.start()

    def run(self):
        ip = None
        while not self.stop.wait(0.005):
            try:
                ip = ip or self.node.get(self.name)["status"]["podIP"]
                with urllib.request.urlopen("http://%s/" % ip, timeout=5) as r:
                    assert r.read() == b"served\n"
                self.served += 1
            except Exception:
                self.failed, ip = self.failed + 1, None
                self.stop.wait(0.1)

    def end(self):
        self.stop.set()
        self.join()


class Doubles(threading.Thread):
    """Looks for two processes of one container: each `sleep` has a number that no other container has."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stop, self.found, self.looks = threading.Event(), [], 0
        self.start()

    def run(self):
        while not self.stop.wait(0.05):
            counts = collections.Counter()
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open("/proc/%s/cmdline" % pid, "rb") as f:
                        line = f.read()
                    if line.startswith(b"sleep\0" b"86400."):
                        counts[self.namespace(pid) + line.decode()] += 1
                except OSError:
                    pass
            self.looks += 1
            self.found += [(line, n) for line, n in counts.items() if n > 1]

    @staticmethod
    def namespace(pid):
        """Other nodes on the machine may run the same test: told apart by the cgroup of their node."""
        with open("/proc/%s/cgroup" % pid) as f:
            text = f.read()
        return text.split("/husk-", 1)[-1][:10]

    def end(self):
        self.stop.set()
        self.join()
        assert self.looks > 0 and self.found == []


def main_processes(node, uid):
    """{container: alive} by the records of runs, which name the pid."""
    found = {}
    folder = os.path.join(node.run, "pods", uid, "instances")
    for file in os.listdir(folder) if os.path.isdir(folder) else []:
        if not file.endswith(".json"):
            continue
        try:
            with open(os.path.join(folder, file)) as f:
                record = json.load(f)
            with open(os.path.join(folder, file[:-5] + ".pid")) as f:
                pid = int(f.read() or 0)
            with open("/proc/%d/stat" % pid) as f:
                alive = f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
        except (OSError, ValueError):
            continue
        found[record["name"]] = found.get(record["name"], False) or alive
    return found


def lies(node, name):
    """What the status says of containers and what there is, where that is not the same. Told by container ids and cgroups."""
    pod = node.get(name)
    if pod is None:
        return ["%s: no such pod" % name]
    status, uid = pod["status"], pod["metadata"]["uid"]
    statuses = status.get("containerStatuses", []) + status.get("initContainerStatuses", [])
    alive, wrong = main_processes(node, uid), []
    if status["phase"] == "Unknown" or not statuses:
        wrong.append("%s: %s" % (name, status["phase"]))
    for s in statuses:
        if ("running" in s["state"]) != alive.get(s["name"], False):
            wrong.append("%s/%s: %s, but a process is %sthere" % (name, s["name"], list(s["state"]), "" if alive.get(s["name"]) else "not "))
        if s["ready"] and "running" not in s["state"] and s in status.get("containerStatuses", []):
            wrong.append("%s/%s: ready and not running" % (name, s["name"]))
    return wrong


def busy():
    """How many processes want each processor at the moment: by so much everything takes longer than on a quiet machine."""
    with open("/proc/loadavg") as f:
        return max(1, int(f.read().split()[3].split("/")[0]) - 1) / os.cpu_count()


class Truth:
    """How long after the last fault the statuses are true, and stay so. A second is what is promised; on a machine where several
    processes want each processor it is that many seconds, and HUSK_TEST_SLOW times that: both are printed."""

    def __init__(self, node, names):
        self.node, self.names, self.delays, self.most_busy = node, names, [], 1

    def measure(self):
        begun, since, loads = time.time(), None, []
        while since is None or time.time() < since + 0.3:
            loads.append(busy())
            now = time.time()
            wrong = sum((lies(self.node, name) for name in self.names), [])
            if wrong:
                since = None
            elif since is None:
                since = now  # it was so when it was read, that is, after this
            stretch = max(1, sum(loads) / len(loads))
            assert not wrong or now < begun + 1 * SLOW * stretch, (SEED, "%.2f s after the last fault, %.1f processes a processor" % (now - begun, stretch), wrong)
            time.sleep(0.02)
        self.delays.append(since - begun)
        self.most_busy = max(self.most_busy, stretch)

    def __str__(self):
        delays = sorted(self.delays)
        return "the statuses were true %.2f s (median), %.2f s (at most) after the last fault, looked at %d times, with up to %.1f processes a processor" % (
            delays[len(delays) // 2], delays[-1], len(delays), self.most_busy)


def started(node, n):
    for i in range(n):
        node.apply(SERVES % {"n": i})
    names = ["serves%d" % i for i in range(n)]
    for name in names:
        node.wait(name, "readiness", lambda p: any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", [])))
    return names


@pytest.fixture
def storm(own_node):
    own_node.load("--busybox")
    daemon = Daemon(own_node)
    yield own_node, daemon, random.Random(SEED)
    own_node.delete_all()
    own_node.nothing_left(30)
    daemon.end()


def test_supervisors_killed_one_after_the_other_cost_no_request(storm):
    node, daemon, dice = storm
    names = started(node, 2)
    before = {name: node.get(name) for name in names}
    clients, doubles, kills = [Client(node, name) for name in names], Doubles(), collections.Counter()
    end = time.time() + SECONDS
    while time.time() < end:
        what, name = dice.choice(["husk-pod", "husk-pod", "husk-keeper", "huskd"]), dice.choice(names)
        if what == "huskd":
            daemon.end(signal.SIGKILL)
            daemon.start()
        else:
            uid = before[name]["metadata"]["uid"]
            victims = node.of_program(what, uid)
            if len(victims) != 1 or not kill(victims[0]):
                continue
            until("another " + what, lambda: [p for p in node.of_program(what, uid) if p not in victims] and len(node.of_program("husk-pod", uid)) == 1)
            lock = os.path.join(node.run, "pods", uid, "lock")
            until("%s is looked after again" % name, lambda: os.path.exists(lock) and node.get(name)["status"]["phase"] == "Running")
            time.sleep(dice.uniform(0, 0.3))
        kills[what] += 1
    truth = Truth(node, names)
    truth.measure()
    for client in clients:
        client.end()
    doubles.end()
    print("\nstorm, seed %d: %s; %d requests served, %d failed; %s" % (SEED, dict(kills), sum(c.served for c in clients), sum(c.failed for c in clients), truth))
    assert sum(kills.values()) > 0 and all(c.served > 0 for c in clients) and all(c.failed == 0 for c in clients)
    for name in names:
        after = node.get(name)["status"]
        assert [(c["containerID"], c["restartCount"]) for c in after["containerStatuses"]] == \
            [(c["containerID"], c["restartCount"]) for c in before[name]["status"]["containerStatuses"]], SEED
        assert after["podIP"] == before[name]["status"]["podIP"]


def victims(node, daemon, kind):
    if kind == "huskd":
        return [daemon.process.pid] if daemon.process.poll() is None else []
    if kind == "container":
        return [pid for pid, program in node.in_cgroups().items() if program in ("sleep", "httpd", "sh")]
    if kind == "husk-infra":
        return [pid for pid, program in node.in_cgroups().items() if program == "husk-infra"]
    return working_for(node, kind)


def working_for(node, program):
    """Processes of a program that have a path of the node's in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                line = f.read().decode(errors="replace")
            names = os.path.basename(line.split("\0")[0]), os.path.basename(os.readlink("/proc/%s/exe" % pid))
        except OSError:
            continue
        if any(name.startswith(program) for name in names) and node.folder in line:
            found.append(int(pid))
    return found


class Churn(threading.Thread):
    """Pods that come and go, and images that are fetched, so that there is a crun and a husk-image to kill."""

    def __init__(self, node, archive):
        super().__init__(daemon=True)
        self.node, self.archive, self.stop, self.rounds = node, archive, threading.Event(), 0
        self.start()

    def run(self):
        while not self.stop.is_set():
            self.rounds += 1
            self.node.husk("apply", "-f", "-", input=SERVES.replace("serves", "churn") % {"n": 9}, check=False)
            self.node.husk("image", "load", self.archive, check=False)
            self.node.husk("delete", "pod", "churn9", "--grace-period=0", "--force", "--timeout=20s", check=False, timeout=60)

    def end(self):
        self.stop.set()
        self.join()


def test_whatever_is_killed_whenever_it_heals(storm, tmp_path):
    node, daemon, dice = storm
    names = started(node, 3)
    archive = str(tmp_path / "image.tar")
    subprocess.run([os.path.join(TOP, "scripts/make-image"), archive, "localhost/husk/busybox:1", "--busybox"], check=True)
    clients, doubles, churn, kills = [Client(node, name) for name in names], Doubles(), Churn(node, archive), collections.Counter()
    truth = Truth(node, names)
    kinds = ["husk-pod", "husk-keeper", "husk-infra", "container", "crun", "husk-image", "huskd"]
    end, bag = time.time() + SECONDS, []
    while time.time() < end:
        bag = bag or dice.sample(kinds, len(kinds))  # each kind once, in any order, then again
        kind = bag.pop()
        found = victims(node, daemon, kind)
        patience = time.time() + 1
        while not found and kind in ("crun", "husk-image") and time.time() < patience:
            found = victims(node, daemon, kind)
        if found and kill(dice.choice(found)):
            kills[kind] += 1
        returns = daemon.process.poll() is not None and dice.random() < 0.5
        if returns:
            daemon.start()
        if dice.random() < (0.5 if returns else 0.15) and daemon.process.poll() is None:
            truth.measure()  # from this fault on, or from huskd's return
        else:
            time.sleep(dice.choice([0, 0.01, 0.05, 0.2, 0.5]))
    if daemon.process.poll() is not None:
        daemon.start()
    truth.measure()
    churn.end()
    truth.measure()
    doubles.end()
    for client in clients:
        client.end()
    print("\nstorm, seed %d: %s; %d requests served, %d failed; %d pods came and went; %s" % (
        SEED, dict(kills), sum(c.served for c in clients), sum(c.failed for c in clients), churn.rounds, truth))
    assert len(kills) >= 5, kills
    # left alone all of it runs again, though a restart may have to wait for its back-off: that is told, too
    for name in names:
        pod = node.wait(name, "rest", lambda p: all("running" in s["state"] or s["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
                                                    for s in p["status"].get("containerStatuses", [{"state": {}}])), 60)
        assert pod["status"]["phase"] == "Running", (SEED, pod["status"])
        assert len([1 for _, program in node.in_cgroups().items() if program == "husk-infra"]) == len(names), SEED
