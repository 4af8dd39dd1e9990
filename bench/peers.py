"""Whom husk is compared with: bare crun, and podman where it is installed."""
import json
import os
import shutil
import statistics
import subprocess
import sys


def bundles(node):
    """Two bundles as husk wrote them for a pod, made to stand alone: fresh namespaces of their own, no cgroup of the pod's,
    a root filesystem mounted beforehand. Returns their folders."""
    node.apply_until_running("model")
    uid = node.uid("model")
    configs = []
    for at, _, files in os.walk(node.run):
        if "config.json" in files and uid in at:
            with open(os.path.join(at, "config.json")) as f:
                configs.append(json.load(f))
    node.delete("model")
    if len(configs) < 2:
        sys.exit("no bundles of husk's found to compare with")
    found = subprocess.run(["find", node.folder + "/root/images", "-path", "*/bin/busybox"], capture_output=True, text=True).stdout.split()
    lower = os.path.dirname(os.path.dirname(found[0]))
    made = []
    for i, config in enumerate(configs[:2]):
        folder = "%s/bundle%d" % (node.folder, i)
        for d in ("rootfs", "upper", "work"):
            os.makedirs(os.path.join(folder, d))
        config["root"]["path"] = folder + "/rootfs"
        config["linux"]["namespaces"] = [{"type": t} for t in ("network", "ipc", "uts", "mount", "pid", "cgroup")]
        config["linux"]["cgroupsPath"] = "/husk-bench/%d" % i
        config["mounts"] = [m for m in config["mounts"] if not m.get("source", "").startswith("/")] + [
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]}]
        made.append(folder)
        with open(folder + "/config.json", "w") as f:
            json.dump(config, f)
        with open(folder + "/mount", "w") as f:
            f.write("lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % (lower, folder, folder))
    return made


# What runs in a private mount namespace with the unified hierarchy of a hybrid host covered, as husk does it. Each line of
# input asks for a round, whose seconds (or "failed") are answered: so peers take turns with husk and see the same machine.
PEER = r"""
import os, subprocess, sys, time
if os.path.isdir("/sys/fs/cgroup/unified"):
    subprocess.run(["mount", "-t", "tmpfs", "none", "/sys/fs/cgroup/unified"], check=True)
def rounds(work, clear):
    for line in sys.stdin:
        start = time.perf_counter()
        good = work()
        print(time.perf_counter() - start if good else "failed", flush=True)
        clear()
"""

CRUN_PAIR = PEER + r"""
folders = sys.argv[1:]
for f in folders:
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", open(f + "/mount").read(), f + "/rootfs"], check=True)
def work():
    ps = [subprocess.Popen(["crun", "--root", f + "/state", "run", "-d", "--bundle", f, "bench%d" % i], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=open(f + "/errors", "w")) for i, f in enumerate(folders)]
    return [p.wait() for p in ps] == [0, 0]
def clear():
    for i, f in enumerate(folders):
        subprocess.run(["crun", "--root", f + "/state", "delete", "--force", "bench%d" % i], capture_output=True)
rounds(work, clear)
"""

PODMAN_PLAY = PEER + r"""
folder, manifest = sys.argv[1:]
podman = ["podman", "--root", folder + "/storage", "--runroot", folder + "/run", "--network-config-dir", folder + "/networks"]
def run(*words):
    return subprocess.run([*podman, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(folder + "/errors", "w")).returncode == 0
run("load", "-i", folder + "/../image.tar")
rounds(lambda: run("kube", "play", manifest), lambda: run("pod", "rm", "-f", "-t", "0", "-a"))
run("network", "rm", "-f", "podman-default-kube-network")
"""

PODMAN_CONF = """[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[engine.runtimes]
crun = ["%s/bin/crun"]
"""

# `podman kube play` 4.3 gives every container 1048576 open files whatever its configuration says. Where the caller may not
# raise its own limits so far (no CAP_SYS_RESOURCE) crun refuses; there the numbers are lowered on their way. It costs
# podman 2 or 3 ms for each container.
PODMAN_CRUN = """#!/bin/sh
for word; do
    [ "$before" = --bundle ] && sed -i 's/"hard":[0-9]*,"soft":[0-9]*/"hard":1024,"soft":1024/g' "$word/config.json"
    before=$word
done
exec %s "$@"
"""


class Peer:
    def __init__(self, name, script, *words, errors, env=None):
        self.name, self.errors = name, errors
        self.process = subprocess.Popen(["unshare", "-m", sys.executable, "-c", script, *words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=dict(os.environ, **(env or {})))
        self.times = []

    def round(self):
        """False if it failed."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        if line in ("", "failed"):
            print("%s does not work here: %s" % (self.name, "".join(open(f).read() for f in self.errors)[-500:]))
            return False
        self.times.append(float(line))
        return True

    def close(self):
        """Median of the rounds but the first, in seconds; None if none worked."""
        self.process.stdin.close()
        self.process.wait()
        return statistics.median(self.times[1:]) if len(self.times) > 1 else None


def crun_pair(node):
    """Two `crun run -d` started together."""
    folders = bundles(node)
    return Peer("bare crun", CRUN_PAIR, *folders, errors=[f + "/errors" for f in folders])


def podman_play(node):
    folder = node.folder + "/podman"
    os.makedirs(folder + "/bin")
    with open(folder + "/containers.conf", "w") as f:
        f.write(PODMAN_CONF % folder)
    with open(folder + "/bin/crun", "w") as f:
        f.write(PODMAN_CRUN % shutil.which("crun"))
    os.chmod(folder + "/bin/crun", 0o755)
    return Peer("podman kube play", PODMAN_PLAY, folder, node.manifest("podman"), errors=[folder + "/errors"],
                env={"CONTAINERS_CONF": folder + "/containers.conf"})
