"""A husk node of a bench's own, and what is measured of its pods."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HUSK = os.environ.get("HUSK", os.path.join(TOP, "build", "husk"))
IMAGE = "localhost/husk/busybox:1"
REST = 0.15  # seconds between rounds: the kernel clears away namespaces and cgroups in the background

POD = """apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: a, image: %s, command: [sleep, "100000"]}
  - {name: b, image: %s, command: [sleep, "100000"]}
"""


def ms(seconds):
    return "%.1f ms" % (seconds * 1e3)


class Node:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="husk-bench-")
        # <run> is a tmpfs, as /run is; a machine that has none there shows it nowhere else either.
        self.run = tempfile.mkdtemp(prefix="husk-bench-", dir="/dev/shm")
        self.env = dict(os.environ, HUSK_ROOT=self.folder + "/root", HUSK_RUN=self.run)
        archive = self.folder + "/image.tar"
        subprocess.run([TOP + "/scripts/make-image", archive, IMAGE, "--busybox"], check=True)
        self.husk("image", "load", archive)

    def husk(self, *args, extra=(), **kw):
        return subprocess.run([HUSK, *args], env=dict(self.env, **dict(extra)), check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, **kw).stdout

    def manifest(self, name, text=None):
        path = "%s/%s.yaml" % (self.folder, name)
        with open(path, "w") as f:
            f.write(text or POD % (name, IMAGE, IMAGE))
        return path

    def uid(self, name):
        return os.path.basename(os.readlink("%s/root/objects/default/Pod/%s" % (self.folder, name)))

    def apply_until_running(self, name, text=None):
        """Seconds from the start of `husk apply` until the status says that both containers run."""
        path = self.manifest(name, text)
        link = "%s/root/objects/default/Pod/%s" % (self.folder, name)
        start = time.perf_counter()
        p = subprocess.Popen([HUSK, "apply", "-f", path], env=self.env, stdout=subprocess.DEVNULL)
        status = None
        while True:
            try:
                status = status or "%s/pods/%s/status.json" % (self.run, os.path.basename(os.readlink(link)))
                with open(status) as f:
                    if f.read().count('"running":') == 2:
                        break
            except OSError:
                pass
            if time.perf_counter() - start > 20:
                sys.exit("the pod does not start: " + self.husk("get", "pod", name, "-o", "yaml").decode())
            time.sleep(0.0002)
        seconds = time.perf_counter() - start
        p.wait()
        return seconds

    def delete(self, *names):
        self.husk("delete", "pod", *names, "--grace-period=0", "--force", stderr=subprocess.DEVNULL)

    def close(self):
        subprocess.run([HUSK, "delete", "pods", "--all", "--grace-period=0", "--force"], env=self.env, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.run, ignore_errors=True)


def rollup(pid):
    with open("/proc/%d/smaps_rollup" % pid) as f:
        text = f.read()

    def value(key):
        return int(re.search(key + r":\s+(\d+)", text).group(1))
    return value("Pss"), value("Private_Clean") + value("Private_Dirty")


def machinery(node, name):
    """{program: pid} of one pod: keeper and supervisor by the pod's uid among their arguments, infra as the keeper's child."""
    uid = node.uid(name)
    found, parents = {}, {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                words = f.read().decode(errors="replace").split("\0")
            with open("/proc/%d/stat" % pid) as f:
                stat = f.read()
        except OSError:
            continue
        if uid in words and os.path.basename(words[0]).startswith("husk-"):
            found[os.path.basename(words[0])] = pid
        parents[pid] = (stat[stat.index("(") + 1:stat.rindex(")")], int(stat.rsplit(")", 1)[1].split()[1]))
    for pid, (comm, parent) in parents.items():
        if parent == found.get("husk-keeper") and "infra" in comm:
            found["husk-infra"] = pid
    return found
