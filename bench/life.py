"""Benches of a pod's life, for bench/run: what pods cost that do nothing, what probes cost, how fast output is taken in."""
import collections
import json
import os
import re
import subprocess
import sys
import time

from node import HUSK, IMAGE, TOP


def processes(match):
    """{pid: program} of those whose command line has `match` in it."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                line = f.read().decode(errors="replace")
        except OSError:
            continue
        if match in line:
            found[int(pid)] = os.path.basename(line.split("\0")[0])
    return found


def cpu_ns(pid):
    """Processor time of a process with all its threads, from the scheduler: the ticks of stat are too coarse."""
    total = 0
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, thread)) as f:
                total += int(f.read().split()[0])
    except OSError:
        pass
    return total


def counters(pids):
    """Processor time, bytes written by write(2), bytes sent towards a disk, and wake-ups, of all of them together."""
    c = collections.Counter()
    for pid in pids:
        try:
            c["cpu"] += cpu_ns(pid)
            with open("/proc/%d/io" % pid) as f:
                io = dict(line.split(": ") for line in f.read().splitlines())
            c["written"] += int(io["wchar"])
            c["disk"] += int(io["write_bytes"])
            with open("/proc/%d/status" % pid) as f:
                c["woken"] += sum(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt"))
        except OSError:
            pass
    return c


def over(pids, seconds):
    before, start = counters(pids), time.perf_counter()
    time.sleep(seconds)
    after, spent = counters(pids), time.perf_counter() - start
    return {k: after[k] - before[k] for k in ("cpu", "written", "disk", "woken")}, spent


def machinery(node):
    """Pids of husk's processes for the node: by their arguments, and infra as children of keepers."""
    own = {pid for pid, program in processes(node.run).items() if program.startswith("husk")}
    for pid in list(own):
        try:
            with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                children = map(int, f.read().split())
        except OSError:
            continue
        for child in children:
            try:
                with open("/proc/%d/comm" % child) as f:
                    if f.read().startswith("husk-"):
                        own.add(child)
            except OSError:
                pass
    return own


def files_below(folder):
    """{path: (size, time of change)} of all files."""
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                st = os.lstat(os.path.join(at, name))
                found[os.path.join(at, name)] = (st.st_size, st.st_mtime_ns)
            except OSError:
                pass
    return found


SLEEPER = """apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: %s, command: [sleep, "100000"]}]
"""


def start_pods(node, text, names):
    for name in names:
        node.husk("apply", "-f", node.manifest(name, text(name)))
    deadline = time.time() + 120
    while node.husk("get", "pods", "--no-headers").decode().count("Running") < len(names):
        if time.time() > deadline:
            sys.exit("the pods do not start: " + node.husk("get", "pods", "-o", "wide").decode())
        time.sleep(0.5)


def more_addresses(node):
    """The range that a node picks by itself has room for 253 pods; one that is there when the first pod starts is kept to."""
    with open(node.folder + "/root/net.json", "w") as f:
        json.dump({"ipv4": "10.234.0.0/22"}, f)


def idle(node, a, pods=300, seconds=20):
    more_addresses(node)
    daemon = subprocess.Popen([os.path.join(os.path.dirname(HUSK), "huskd")], env=node.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    names = ["idle%d" % i for i in range(pods)]
    try:
        start_pods(node, lambda name: SLEEPER % (name, IMAGE), names)
        time.sleep(5)
        pids = machinery(node) | {daemon.pid}
        before = files_below(node.folder + "/root")
        used, spent = over(pids, seconds)
        changed = [path for path, what in files_below(node.folder + "/root").items() if before.get(path) != what]
        pss = 0
        for pid in pids:
            with open("/proc/%d/smaps_rollup" % pid) as f:
                pss += int(re.search(r"Pss:\s+(\d+)", f.read()).group(1))
        print("idle: %d pods and huskd, %d processes of husk's, %.0f s: %.3f %% of a core (at most 1 %%), %d wake-ups, %d bytes written, %d of them "
              "towards a disk, %d files changed (none at all); %.2f MB PSS, %.0f kB a pod" % (
                  pods, len(pids), spent, used["cpu"] / spent / 1e7, used["woken"], used["written"], used["disk"], len(changed), pss / 1024, pss / pods))
    finally:
        node.delete(*names)
        daemon.terminate()
        daemon.wait()


PROBED = """apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: a
    image: %s
    command: [sh, -c, "mkdir -p /www; echo ok > /www/index.html; exec httpd -f -h /www"]
    livenessProbe: {%s, periodSeconds: 1}
"""


def probes(node, a, pods=200, seconds=20):
    for kind, probe in ("tcpSocket", "tcpSocket: {port: 80}"), ("httpGet", "httpGet: {port: 80}"):
        names = ["probe%d" % i for i in range(pods)]
        start_pods(node, lambda name: PROBED % (name, IMAGE, probe), names)
        time.sleep(5)
        used, spent = over(machinery(node), seconds)
        print("probes: %d pods, a %s probe a second each: %.2f %% of a core (at most 5 %%), %.0f us a probe, %d bytes towards a disk" % (
            pods, kind, used["cpu"] / spent / 1e7, used["cpu"] / 1e3 / (pods * spent), used["disk"]))
        node.delete(*names)
