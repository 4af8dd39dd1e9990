"""Pods that are made and ended in every ugly way, several at a time, and then nothing of them is there: no address, link, rule,
namespace, mount, cgroup, process or file.

HUSK_TEST_UGLY (64) is how many pods come and go, HUSK_TEST_SEED repeats a run's choices; a summary is printed (pytest -s)."""
import collections
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import HUSK, SLOW, until
from test_huskd import Daemon, reboot

PODS = int(os.environ.get("HUSK_TEST_UGLY", "64"))
SEED = int(os.environ.get("HUSK_TEST_SEED", "0")) or random.randrange(1 << 30)
LANES = 4
IMAGE = "localhost/husk/busybox:1"


# ---- what is killed ----

def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def of_pod(node, uid, want):
    """Processes of the pod that want(program, is in its cgroup) is true of. A husk-image is known by whose child it is."""
    found, ours = [], set()
    for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                line = f.read().decode(errors="replace")
            with open("/proc/%s/cgroup" % pid) as f:
                inside = "/pod" + uid in f.read()
            with open("/proc/%s/stat" % pid) as f:
                parent = f.read().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if not line or not (inside or uid in line or parent in ours):
            continue
        ours.add(pid)
        if want(os.path.basename(line.split("\0")[0]), inside):
            found.append(int(pid))
    return found


VICTIMS = {
    "supervisor": lambda program, inside: program == "husk-pod",
    "keeper": lambda program, inside: program == "husk-keeper",
    "supervisor and keeper": lambda program, inside: program in ("husk-pod", "husk-keeper"),
    "infra": lambda program, inside: program == "husk-infra",
    "crun": lambda program, inside: program.startswith("crun"),
    "husk-image": lambda program, inside: program == "husk-image",
    "containers": lambda program, inside: inside and not program.startswith(("husk", "crun")),
    "all of it": lambda program, inside: True,
}


# ---- pods that have something to undo ----

def some_pod(dice, name, number, silent="127.0.0.1:1/x/absent:1"):
    container = {"name": "a", "image": IMAGE, "command": ["sleep", "100000"]}
    spec = {"terminationGracePeriodSeconds": dice.choice([0, 1]), "containers": [container], "volumes": []}

    def mount(name, **volume):
        spec["volumes"].append(dict(name=name, **volume))
        container.setdefault("volumeMounts", []).append({"name": name, "mountPath": "/" + name})
    traits = dice.sample(["users", "memory", "claim", "ports", "sidecar", "deaf", "hook", "crash", "ends", "probe", "host", "pids",
                          "absent", "bad hook"], dice.choice([1, 2, 3]))
    if "users" in traits and "host" not in traits:
        spec["hostUsers"] = False
    if "memory" in traits:
        mount("memory", emptyDir={"medium": "Memory"})
        mount("scratch", emptyDir={})
    if "claim" in traits:
        mount("claim", ephemeral={"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}})
    if "ports" in traits:
        container["ports"] = [{"containerPort": 80, "hostPort": 20000 + number % 10000}]
    if "sidecar" in traits:
        spec["initContainers"] = [{"name": "side", "image": IMAGE, "restartPolicy": "Always", "command": ["sleep", "100000"]},
                                  {"name": "init", "image": IMAGE, "command": ["true"]}]
    if "deaf" in traits:
        container["command"] = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    if "hook" in traits:
        container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", "1000"]}}, "postStart": {"exec": {"command": ["sleep", "0.1"]}}}
    if "bad hook" in traits:
        container["lifecycle"] = {"postStart": {"exec": {"command": ["false"]}}}
    if "crash" in traits:
        container["command"] = ["sh", "-c", "sleep 0.05; exit 3"]
    if "ends" in traits:
        container["command"], spec["restartPolicy"] = ["sleep", "0.1"], "Never"
    if "probe" in traits:
        container["livenessProbe"] = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    if "host" in traits:
        spec["hostNetwork"] = True
        container.pop("ports", None)
    if "pids" in traits:
        spec["shareProcessNamespace"] = True
    if "absent" in traits:
        spec["containers"].append({"name": "b", "image": dice.choice(["localhost/husk/absent:1", "127.0.0.1:1/x/absent:1", silent, silent])})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class SilentRegistry:
    """Takes connections and never says a word, so that there is a husk-image to kill."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.image = "127.0.0.1:%d/x/silent:1" % self.socket.getsockname()[1]


# ---- one pod, and how it goes ----

class Lane(threading.Thread):
    def __init__(self, leaks, number):
        super().__init__(daemon=True)
        self.leaks, self.node, self.number, self.name = leaks, leaks.node, number, "ugly%d" % number
        self.dice, self.error, self.did = random.Random("%d/%d" % (SEED, number)), None, []
        self.start()

    def run(self):
        try:
            self.live()
        except BaseException as e:
            self.error = e

    def start_husk(self, *args, input=None):
        p = subprocess.Popen([HUSK, *args], stdin=subprocess.PIPE if input else subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             env=self.node.env, text=True)
        if input:
            try:
                p.stdin.write(input)
                p.stdin.close()
            except BrokenPipeError:
                pass
        return p

    def uid(self):
        """Of the name's link: also of a pod that is only half there."""
        try:
            return os.path.basename(os.readlink(os.path.join(self.node.root, "objects/default/Pod", self.name)))
        except OSError:
            return None

    def strike(self, what):
        uid = self.uid()
        self.leaks.note(uid)
        found = of_pod(self.node, uid, VICTIMS[what]) if uid else []
        if what == "supervisor and keeper":  # neither may answer the other's end
            for pid in found:
                try:
                    os.kill(pid, signal.SIGSTOP)
                except ProcessLookupError:
                    pass
        if sum(kill(pid) for pid in found):
            self.did.append(what + " killed")

    def live(self):
        dice = self.dice
        apply = self.start_husk("apply", "-f", "-", input=json.dumps(some_pod(dice, self.name, self.number, self.leaks.registry.image)))
        children = [apply]
        time.sleep(dice.choice([0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5]))
        for _ in range(dice.choice([1, 1, 2, 3])):
            what = dice.choice(["apply killed", "delete", "delete", "delete and strike", "delete killed"] + 2 * sorted(VICTIMS))
            if what == "apply killed":
                if apply.poll() is None:
                    apply.kill()
                    self.did.append(what)
            elif what in VICTIMS:
                self.strike(what)
            else:
                how = dice.choice([["--force"], ["--now"], ["--grace-period=1"], ["--wait=false"]])
                children.append(self.start_husk("delete", "pod", self.name, "--ignore-not-found", *how))
                self.did.append("delete " + how[0] + (" while created" if apply.poll() is None else ""))
                time.sleep(dice.uniform(0, 0.1))
                if what == "delete and strike":
                    self.strike(dice.choice(sorted(VICTIMS)))
                if what == "delete killed" and children[-1].poll() is None:
                    children[-1].kill()
                    self.did.append(what)
            time.sleep(dice.choice([0, 0.01, 0.1, 0.3]))
        self.leaks.note(self.uid())
        for p in children:
            if p.poll() is None and p is not apply:
                p.kill()  # whoever waits for a pod that fell back to waiting waits for good; the last delete is below
            p.wait(60 * SLOW)
        self.leaks.note(self.uid())


class Leaks:
    """A node, what was there before any pod, and what has been done to it."""

    def __init__(self, node):
        self.node, self.did, self.uids, self.lock, self.addresses = node, collections.Counter(), set(), threading.Lock(), 0
        self.daemon, self.waited, self.swept, self.registry = Daemon(node), 0, 0, SilentRegistry()
        node.apply(json.dumps(some_pod(random.Random(1), "first", 0)))
        node.get("first")
        node.husk("delete", "pod", "first", "--force")
        node.nothing_left()
        self.before = self.files()

    def note(self, uid):
        with self.lock:
            self.uids |= {uid} if uid else set()
            self.node._uids = set(self.uids)

    def files(self):
        """All files of the node but images, and locks, which stay once they are made."""
        out = set()
        for top in self.node.root, self.node.run:
            for at, dirs, files in os.walk(top):
                dirs[:] = [d for d in dirs if (at, d) != (self.node.root, "images")]
                out |= {os.path.join(at, f) for f in files if f != "lock"}
        return out

    def check_addresses(self):
        """No address is given out twice."""
        names, shown = os.path.join(self.node.run, "net", "pods"), collections.Counter()
        leases = collections.Counter(f.split("-")[0] for f in (os.listdir(names) if os.path.isdir(names) else []) if f[0] != ".")
        for pod in json.loads(self.node.husk("get", "pods", "-A", "-o", "json").out)["items"]:
            if not pod["spec"].get("hostNetwork") and pod["status"].get("phase") == "Running":
                shown.update(a["ip"] for a in pod["status"].get("podIPs", []))
        self.addresses += len(leases)
        assert [n for n, times in leases.items() if times > 1] == [] and [a for a, times in shown.items() if times > 1] == [], (SEED, leases, shown)

    def strangers(self):
        """Processes that carry the node's folder in their environment: whatever husk has started for it, by whatever name."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if ("HUSK_RUN=" + self.node.run).encode() not in f.read().split(b"\0") or int(pid) == self.daemon.process.pid:
                        continue
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    found.append("process %s %s" % (pid, f.read().replace(b"\0", b" ").decode(errors="replace")))
            except OSError:
                pass
        return found

    def leftovers(self):
        own = "process %d " % self.daemon.process.pid
        return ([x for x in self.node.leftovers() if not x.startswith(own)] + self.strangers() +
                ["file " + f for f in sorted(self.files() - self.before)])

    def nothing_is_left(self, numbers):
        begun, swept = time.time(), False
        end = begun + 20 * SLOW
        while True:
            left = self.leftovers()
            if not left:
                self.waited = max(self.waited, time.time() - begun)
                return
            if not swept and all(f.startswith("file ") and f.endswith(".tmp") for f in left):
                # What somebody was writing when it was killed, with nobody left to come after: it goes with the next pod.
                swept, self.swept = True, self.swept + 1
                self.node.apply(json.dumps(some_pod(random.Random(1), "last", 0)))
                self.node.husk("delete", "pod", "last", "--force")
            assert time.time() < end, "seed %d, pods %s: left behind:\n%s" % (SEED, numbers, "\n".join(left))
            time.sleep(0.1)

    def remove_static_pod(self):
        there = lambda: [p["metadata"]["name"] for p in json.loads(self.node.husk("get", "pods", "-o", "json").out)["items"] if p["metadata"]["name"].startswith("static")]
        if os.path.exists(os.path.join(self.daemon.folder, "static.yaml")):
            self.did.update(["static"] if there() else [])
            self.daemon.remove("static.yaml")
        if self.daemon.process.poll() is not None:
            self.daemon.start()
        until(lambda: "no static pod: %s" % there(), lambda: not there(), 40)

    def static_pod(self, number, dice):
        """Comes with a file of huskd's folder, and goes with it."""
        pod = some_pod(dice, "static%d" % number, number)
        if "ephemeral" not in json.dumps(pod):  # its claim would be asked for under another name
            self.daemon.put("static.yaml", json.dumps(pod))

    def batch(self, numbers, dice):
        if dice.random() < 0.4:
            self.static_pod(numbers[0], dice)
        lanes = [Lane(self, n) for n in numbers]
        whole = dice.choice(["", "", "", "", "huskd killed", "huskd killed", "huskd away", "reboot", "reboot and start"])
        if whole.startswith("huskd"):
            time.sleep(dice.uniform(0, 0.5))
            self.daemon.end(signal.SIGKILL)
            if whole == "huskd killed":
                self.daemon.start()
        for lane in lanes:
            lane.join()
        for lane in lanes:
            assert lane.error is None, (SEED, lane.number, lane.did, repr(lane.error))
            self.did.update(lane.did)
        if whole.startswith("reboot"):
            self.daemon.end()
            reboot(self.node)
            if whole == "reboot and start":
                self.node.husk("start", "--all", check=False)
                time.sleep(dice.uniform(0, 0.3))
        self.did.update([whole] if whole else [])
        self.check_addresses()
        names = ["ugly%d" % n for n in numbers]
        self.remove_static_pod()
        self.node.husk("delete", "pods", "--force", "--ignore-not-found", *names, timeout=60)
        assert [n for n in names if self.node.get(n)] == [], SEED
        self.nothing_is_left(numbers)


@pytest.fixture
def leaks(own_node):
    own_node.load("--busybox")
    found = Leaks(own_node)
    yield found
    found.daemon.end()
    found.registry.socket.close()


def test_a_pull_ends_with_the_supervisor_that_wanted_it(leaks):
    """Of a pod that nobody looks after any more, and that is deleted then."""
    node = leaks.node
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pulls"}, "spec": {"containers": [{"name": "a", "image": leaks.registry.image}]}}))
    uid = node.get("pulls")["metadata"]["uid"]
    pulls = lambda: [pid for pid, (program, words) in node.processes().items() if program == "husk-image" and leaks.registry.image in words]
    until("a pull", pulls)
    leaks.daemon.end()
    for how in signal.SIGSTOP, signal.SIGKILL:
        for pid in of_pod(node, uid, VICTIMS["supervisor and keeper"]):
            os.kill(pid, how)
    until("its end", lambda: not pulls(), 5)
    node.husk("delete", "pod", "pulls", "--force")
    node.nothing_left()


def test_pods_that_end_in_every_ugly_way_leave_nothing(leaks):
    begun, dice = time.time(), random.Random(SEED)
    for first in range(0, PODS, LANES):
        leaks.batch(range(first, min(first + LANES, PODS)), dice)
    print("\n%d pods in %.0f s, seed %d; at most %.1f s until all was gone (%d times an unfinished file went with the next pod); %d addresses looked at, none twice; %s" % (
        PODS, time.time() - begun, SEED, leaks.waited, leaks.swept, leaks.addresses, dict(sorted(leaks.did.items()))))
    assert len(leaks.uids) > PODS / 2 and sum(leaks.did.values()) >= PODS, (SEED, leaks.did)


def ready(pod):
    return any("running" in c["state"] for c in pod["status"].get("containerStatuses", []))


def test_who_finds_no_address_waits_and_says_so_and_no_two_get_the_same(own_node):
    """Twelve creators at once for the nine addresses there are; who goes makes room for who waits."""
    node = own_node
    os.makedirs(node.root, mode=0o700, exist_ok=True)
    network = "10.199.%d.%d/28" % (random.randrange(256), 16 * random.randrange(16))
    with open(os.path.join(node.root, "net.json"), "w") as f:
        json.dump({"ipv4": network, "ipv6": None}, f)
    node.load("--busybox")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "a", "image": IMAGE, "command": ["sleep", "100000"]}]}}

    def create(names):
        creators = [subprocess.Popen([HUSK, "apply", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=node.env) for _ in names]
        for name, p in zip(names, creators):
            p.stdin.write(json.dumps(dict(pod, metadata={"name": name})).encode())
            p.stdin.close()
        assert [p.wait(60 * SLOW) for p in creators] == [0] * len(creators)

    def pods():
        return json.loads(node.husk("get", "pods", "-o", "json").out)["items"]

    def addresses():
        found = [p["status"]["podIP"] for p in pods() if p["status"].get("podIP")]
        assert len(found) == len(set(found)), found
        return set(found)
    create(["here%d" % n for n in range(4)])
    until("four pods", lambda: len(addresses()) == 4)
    create(["race%02d" % n for n in range(12)])
    until("as many pods as there are addresses", lambda: len([p for p in pods() if ready(p)]) == 13)
    assert len(addresses()) == 13
    waiting = [p for p in pods() if not ready(p)]
    assert [p["status"]["phase"] for p in waiting] == ["Pending"] * 3
    for p in waiting:
        said = until("why", lambda: [e for e in json.loads(node.husk("get", "events", "-o", "json").out)["items"] if e["reason"] == "FailedCreatePodSandBox" and
                                     e["involvedObject"]["name"] == p["metadata"]["name"]])
        assert "all addresses of the pods' range %s are in use (13 pods)" % network in said[0]["message"]
    node.husk("delete", "pods", "here0", "here1", "here2", "--force")
    until("those that waited", lambda: all(ready(p) for p in pods()), 40)
    assert len(addresses()) == 13
    for p in pods():
        node.remember(p["metadata"]["name"])
    node.delete_all()
    node.nothing_left()
