"""What every system test gets: nodes of its own (root, run, bridge, addresses, cgroups), a husk command line on them, images
made from this machine's busybox and redis, bounded waits, and a check that nothing of a node is left behind."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time

import pytest

import fields_table
from fields_table import pytest_addoption, pytest_collection_modifyitems, pytest_pyfunc_call  # noqa: F401

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HUSK = os.environ.get("HUSK", os.path.join(TOP, "build", "husk"))
EXAMPLES = os.path.join(TOP, "examples")
SLOW = float(os.environ.get("HUSK_TEST_SLOW", "1"))
BUSYBOX = "localhost/husk/busybox:1"


def program(name):
    """Path of a static program made from tests/system/programs; where there is no compiler it has been made before."""
    source, out = os.path.join(TOP, "tests/system/programs", name + ".c"), os.path.join(TOP, "build/programs", name)
    if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(source):
        os.makedirs(os.path.dirname(out), exist_ok=True)
        fresh = "%s.%d" % (out, os.getpid())
        subprocess.run(["cc", "-static", "-O1", "-o", fresh, source], check=True)
        os.rename(fresh, out)
    return out


def fnv1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 % (1 << 64)
    return value


def fold(value):
    return (value ^ value >> 40) & 0xffffffffff


def orphaned_infra():
    """Infra processes that are nobody's child and in no pod's cgroup: no record leads to them any more."""
    left = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                name, rest = re.match(r"\d+ \((.*)\) (.*)", f.read(), re.S).groups()
            with open("/proc/%s/cgroup" % pid) as f:
                cgroups = f.read()
        except OSError:
            continue
        if name == "husk-infra" and rest.split()[:2] == ["S", "1"] and "/pod" not in cgroups:
            left.append("process %s husk-infra without a parent" % pid)
    return left


def until(what, question, timeout=30):
    """Asks again and again until the answer is true, and returns it; `what` says what was waited for, or is asked at the end."""
    end = time.monotonic() + fields_table.patience(timeout) * SLOW
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < end, "not in %ss: %s" % (timeout, what() if callable(what) else what)
        time.sleep(0.05)


def sleeper(name="sleep", seconds=1000, more=""):
    """A container, in YAML's flow form, that does nothing for long."""
    return "{name: %s, image: %s, command: [sleep, \"%d\"]%s}" % (name, BUSYBOX, seconds, more)


def pod_text(*containers, name="web", labels="{app: web}"):
    """A manifest of a pod that ends at once when it is told to."""
    return """
apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: %s
spec:
  terminationGracePeriodSeconds: 0
  containers:
%s""" % (name, labels, "".join("  - %s\n" % c for c in containers))


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return "exit %d\nstdout: %s\nstderr: %s" % (self.code, self.out[-3000:], self.err[-3000:])


class Node:
    """One husk node: a root, a run folder, and the command line on them."""

    def __init__(self, folder):
        self.folder = folder
        self.root, self.run = os.path.join(folder, "root"), os.path.join(folder, "run")
        self.env = dict(os.environ, HUSK_ROOT=self.root, HUSK_RUN=self.run)
        self.env.pop("HUSK_LOG", None)

    def husk(self, *args, input=None, timeout=60, check=True, env=None):
        p = subprocess.run([HUSK, *args], input=input, capture_output=True, text=True, timeout=timeout * SLOW,
                           env=dict(self.env, **fields_table.environment(), **(env or {})), stdin=None if input is not None else subprocess.DEVNULL, errors="replace")
        r = Result(p.returncode, p.stdout, p.stderr)
        if check:
            assert p.returncode == 0, (args, r)
        return r

    def fails(self, *args, **kw):
        r = self.husk(*args, check=False, **kw)
        assert r.code != 0, (args, r)
        return r

    def apply(self, text, check=True):
        return self.husk("apply", "-f", "-", input=textwrap.dedent(text), check=check)

    def get(self, name, kind="pod", ns=None):
        r = self.husk("get", kind, name, "-o", "json", *(["-n", ns] if ns else []), check=False)
        if r.code:
            assert "not found" in r.err, r
            return None
        return json.loads(r.out)

    def wait(self, name, what, pred, timeout=30):
        end = time.monotonic() + fields_table.patience(timeout) * SLOW
        while True:
            pod = self.get(name)
            if pod is not None and pred(pod):
                return pod
            assert time.monotonic() < end, "%s: no %s in %ss: %s" % (name, what, timeout, json.dumps((pod or {}).get("status"), indent=1))
            time.sleep(0.05)

    def running(self, name, timeout=30):
        """All containers of the pod run."""
        return self.wait(name, "running containers", lambda p: len(p["status"].get("containerStatuses", [])) == len(p["spec"]["containers"])
                         and all("running" in s["state"] for s in p["status"]["containerStatuses"]), timeout)

    def phase(self, name, phase, timeout=30):
        return self.wait(name, "phase " + phase, lambda p: p["status"].get("phase") == phase, timeout)

    def events(self, name=None):
        """Events of the default namespace, or those about the object of that name."""
        return [e for e in json.loads(self.husk("get", "events", "-o", "json").out)["items"] if name in (None, e["involvedObject"]["name"])]

    def told(self, words, name=None, timeout=30):
        """Waits for an event that has these words in its message."""
        return until(lambda: "an event with %r: %s" % (words, [e["message"] for e in self.events(name)]),
                     lambda: next((e for e in self.events(name) if words in e["message"]), None), timeout)

    def logs(self, *args):
        return self.husk("logs", *args).out

    def wait_log(self, needle, *args, timeout=30):
        end = time.monotonic() + fields_table.patience(timeout) * SLOW
        while True:
            r = self.husk("logs", *args, check=False)
            if r.code == 0 and (re.search(needle, r.out)):
                return r.out
            assert time.monotonic() < end, "%r not in the log of %s: %r" % (needle, args, r)
            time.sleep(0.1)

    def exec(self, name, *command, c=None, check=True, input=None, timeout=30):
        return self.husk("exec", *(["-i"] if input is not None else []), name, *(["-c", c] if c else []), "--", *command,
                         check=check, input=input, timeout=timeout)

    def sh(self, name, script, c=None):
        return self.exec(name, "sh", "-c", script, c=c).out.strip()

    def until(self, name, script, want, c=None, timeout=30):
        """Repeats a shell script in the container until it prints `want` (or want(output) is true)."""
        end = time.monotonic() + fields_table.patience(timeout) * SLOW
        while True:
            r = self.exec(name, "sh", "-c", script, c=c, check=False)
            out = r.out.strip()
            if want(out) if callable(want) else out == want:
                return out
            assert time.monotonic() < end, "%s: still %r" % (script, r)
            time.sleep(0.2)

    def load(self, *options, reference=BUSYBOX):
        with tempfile.NamedTemporaryFile(suffix=".tar") as f:
            subprocess.run([os.path.join(TOP, "scripts/make-image"), f.name, reference, *options], check=True)
            self.husk("image", "load", f.name)

    def processes(self):
        """Processes of husk that serve this node: {pid: (program, arguments)}."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if self.run in words or self.root in words:
                found[int(pid)] = (os.path.basename(words[0]), words)
        return found

    def of_program(self, program, uid=None):
        return [pid for pid, (name, words) in self.processes().items() if name == program and (uid is None or uid in words)]

    def infra(self, name):
        """Host pid of the pod's infra process: the oldest one in its network namespace."""
        return self.oldest_in(name, "net")

    def oldest_in(self, name, namespace, c=None):
        """Host pid of the oldest process in a namespace of the container: of its process namespace, what it was started with."""
        ns = self.sh(name, "readlink /proc/self/ns/" + namespace, c=c)
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink("/proc/%s/ns/%s" % (pid, namespace)) == ns:
                    stat = open("/proc/%s/stat" % pid).read().rsplit(")", 1)[1].split()
                    if stat[0] not in "ZX":
                        found.append((int(stat[19]), int(pid)))
            except OSError:
                pass
        return sorted(found)[0][1]

    def delete_all(self):
        names = [n for n in self.husk("get", "pods", "-A", "--no-headers", "-o", "name", check=False).out.split()]
        if names:
            self.husk("delete", "pods", "--all", "-A", "--grace-period=0", "--force", check=False, timeout=60)
        self.husk("delete", "configmaps,secrets,persistentvolumeclaims", "--all", "--ignore-not-found", check=False)

    # ---- what must not be left behind ----
    def leftovers(self):
        """Everything on this machine that belongs to a pod of this node: an empty list once all pods are deleted."""
        left = ["process %d %s" % (pid, " ".join(words)) for pid, (program, words) in self.processes().items()
                if program.startswith(("husk-", "crun"))]
        for folder, name in ((self.root, "pods"), (self.run, "pods"), (self.root, "logs")):
            path = os.path.join(folder, name)
            left += ["file " + os.path.join(path, f) for f in (os.listdir(path) if os.path.isdir(path) else [])]
        with open("/proc/self/mountinfo") as f:
            left += ["mount " + line.split()[4] for line in f if self.folder in line]
        volumes = os.path.join(self.root, "persistent-volumes")
        left += ["file " + os.path.join(volumes, f) for f in (os.listdir(volumes) if os.path.isdir(volumes) else [])]
        names = os.path.join(self.root, "objects")
        for at, dirs, files in os.walk(names):
            if at.endswith("/Pod"):
                left += ["name " + os.path.join(at, f) for f in files + dirs]
        left += self.kernel_leftovers()
        return left

    def tag(self):
        """What the names of this node's kernel objects begin with (src/store/tag.c): FNV-1a of the root's real path."""
        return "%010x" % fold(fnv1a(os.path.realpath(self.root).encode()))

    def veth(self, uid):
        """The node's end of a pod's link (src/net/net.c)."""
        return "hkv%010x" % fold(fnv1a(self.tag().encode() + uid.encode()))

    def in_cgroups(self):
        """Processes in the cgroups of this node's pods: {pid: program}."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cgroup" % pid) as f:
                    if "/husk-" + self.tag() not in f.read():
                        continue
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    program = os.path.basename(f.read().decode(errors="replace").split("\0")[0])
            except OSError:
                continue
            if program:  # a zombie has none
                found[int(pid)] = program
        return found

    def kernel_leftovers(self):
        """Without pods a node with a root of its own has nothing in the kernel, neither bridge nor table nor cgroup."""
        left = ["process %d %s in a cgroup" % item for item in self.in_cgroups().items()]
        for name in ["hk" + self.tag()] + [self.veth(uid) for uid in self.uids_seen()]:
            if os.path.exists("/sys/class/net/" + name):
                left.append("interface " + name)
        if "husk-" + self.tag() in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout:
            left.append("nftables table husk-" + self.tag())
        leases = os.path.join(self.run, "net", "pods")
        left += ["lease " + f for f in (os.listdir(leases) if os.path.isdir(leases) else [])]
        users = os.path.join(self.run, "userns")
        devices = os.path.join(self.run, "devices")
        left += ["devices of " + f for f in (os.listdir(devices) if os.path.isdir(devices) else []) if f != "lock"]
        left += ["user ids " + f for f in (os.listdir(users) if os.path.isdir(users) else []) if f != "lock"]
        for at, dirs, _ in os.walk("/sys/fs/cgroup"):
            left += ["cgroup " + os.path.join(at, d) for d in dirs if d == "husk-" + self.tag() or
                     d.startswith("pod") and any(uid in d for uid in self.uids_seen())]
        left += self.mounts_elsewhere() + orphaned_infra()
        for path in (os.path.join(self.run, "claims.json"), os.path.join(self.root, "claims.json")):
            if os.path.exists(path):
                with open(path) as f:
                    text = f.read()
                left += ["claim of " + uid for uid in self.uids_seen() if uid in text]
        return left

    def mounts_elsewhere(self):
        """Mounts of this node in the mount namespaces of other processes. But not <root> and <run> themselves: these are a test's
        own disk, of which another node's pod that came up meanwhile has a copy (where / is no shared mount)."""
        seen, left = {os.readlink("/proc/self/ns/mnt")}, []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                namespace = os.readlink("/proc/%s/ns/mnt" % pid)
                if namespace in seen:
                    continue
                seen.add(namespace)
                with open("/proc/%s/mountinfo" % pid) as f:
                    left += ["mount %s in the namespace of %s" % (line.split()[4], pid) for line in f
                             if self.folder in line and line.split()[4] not in (self.root, self.run)]
            except OSError:
                pass
        return left

    def uids_seen(self):
        return getattr(self, "_uids", set())

    def remember(self, name):
        pod = self.get(name)
        if pod:
            self._uids = self.uids_seen() | {pod["metadata"]["uid"]}
        return pod

    def nothing_left(self, timeout=10):
        end = time.monotonic() + fields_table.patience(timeout) * SLOW
        while True:
            left = self.leftovers()
            if not left:
                return
            assert time.monotonic() < end, "left behind:\n" + "\n".join(left)
            time.sleep(0.1)

    def close(self):
        self.delete_all()
        for pid, (program, _) in self.processes().items():
            if program.startswith("husk"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass


def make_node():
    folder = tempfile.mkdtemp(prefix="husk-node-")
    os.chmod(folder, 0o755)
    node = Node(folder)
    os.makedirs(node.root, mode=0o700)
    with open(node.root + "/config.yaml", "w") as f:
        f.write("imageGCHighThresholdPercent: 100\n")  # the disk of whoever runs the tests may be as full as it likes
    return node


@pytest.fixture(scope="session")
def shared_node():
    """One node for all tests of a worker, with the busybox image."""
    node = make_node()
    node.load("--busybox")
    yield node
    node.close()
    shutil.rmtree(node.folder, ignore_errors=True)


@pytest.fixture
def node(shared_node):
    """The worker's node, empty of pods after the test, and nothing of them left."""
    yield shared_node
    shared_node.delete_all()
    shared_node.nothing_left()


@pytest.fixture
def own_node():
    """A node of this test's own, without any image."""
    node = make_node()
    yield node
    node.close()
    shutil.rmtree(node.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_images(shared_node):
    """The images of the examples that use Redis."""
    subprocess.run([os.path.join(EXAMPLES, "images")], check=True, env=dict(shared_node.env, HUSK=HUSK), capture_output=True)
    return shared_node
