"""Benches of a pod's life, for bench/run: what pods cost that do nothing, what probes cost, how fast output is taken in."""
import collections
import json
import os
import re
import shutil
import signal
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


# ---- logs ----

FLOOD = """apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers: [%s]
"""


def flood_program(folder):
    path = folder + "/flood"
    subprocess.run(["cc", "-static", "-O2", "-o", path, TOP + "/bench/flood.c"], check=True)
    return path


def written(pid):
    try:
        with open("/proc/%d/io" % pid) as f:
            return int(re.search(r"wchar: (\d+)", f.read()).group(1))
    except OSError:
        return 0


def level(pids):
    """Lets programs have the processor as others of the machine do, not as their cgroup's share of a busy one, whoever started
    them: else it is the writers that are measured."""
    for pid in pids:
        for root in "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct":
            try:
                with open(root + "/cgroup.procs", "w") as f:
                    f.write(str(pid))
                break
            except OSError:
                pass
        os.setpriority(os.PRIO_PROCESS, pid, os.nice(0))


def throughput(floods, pumps, seconds=5):
    """MB/s that the programs got rid of, and MB for each second of processor time of those who took it."""
    level(floods)
    time.sleep(1)
    bytes_before, cpu_before, start = sum(map(written, floods)), sum(map(cpu_ns, pumps)), time.perf_counter()
    time.sleep(seconds)
    taken = (sum(map(written, floods)) - bytes_before) / 1e6
    return taken / (time.perf_counter() - start), taken / max((sum(map(cpu_ns, pumps)) - cpu_before) / 1e9, 1e-9)


def floods_of(folder, n):
    deadline = time.time() + 20
    while True:
        found = [pid for pid, program in processes("flood").items() if program == "flood" and os.stat("/proc/%d/root/flood" % pid).st_ino ==
                 os.stat(folder + "/flood").st_ino]
        if len(found) == n:
            return found
        if time.time() > deadline:
            sys.exit("%d of %d floods run" % (len(found), n))
        time.sleep(0.05)


def husk_logs(node, folder, n):
    # As much of a busy machine's time as the peers' cgroup has: without a request the programs would get next to none of it.
    one = '{name: c%d, image: ' + IMAGE + ', command: [/flood], volumeMounts: [{name: f, mountPath: /flood}], resources: {requests: {cpu: ' + \
        '%dm}}}' % (1000 // n)
    text = FLOOD % ("flood", ", ".join(one % i for i in range(n))) + "  volumes: [{name: f, hostPath: {path: %s/flood, type: File}}]\n" % folder
    node.husk("apply", "-f", node.manifest("flood", text))
    floods = floods_of(folder, n)
    pumps = [pid for pid, program in processes(node.uid("flood")).items() if program == "husk-pod"]
    result = throughput(floods, pumps)
    node.delete("flood")
    return result


def bundle(folder, name):
    """A bundle that runs flood with nothing around it; the OCI runtime, not its log, is the same for all."""
    path = "%s/%s" % (folder, name)
    shutil.rmtree(path, ignore_errors=True)
    for where in "proc", "dev", "sys":
        os.makedirs(path + "/rootfs/" + where)
    os.link(folder + "/flood", path + "/rootfs/flood")
    config = {"ociVersion": "1.0.2", "process": {"args": ["/flood"], "cwd": "/", "user": {"uid": 0, "gid": 0}}, "root": {"path": path + "/rootfs"},
              "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
              "linux": {"namespaces": [{"type": t} for t in ("mount", "pid", "ipc", "uts")], "cgroupsPath": "/husk-bench/" + name}}
    with open(path + "/config.json", "w") as f:
        json.dump(config, f)
    return path


COVERED = ["unshare", "-m", "sh", "-c", '[ -d /sys/fs/cgroup/unified ] && mount -t tmpfs none /sys/fs/cgroup/unified; exec "$@"', "sh"]


def conmon_logs(folder, n):
    """conmon as podman and CRI-O start it: the same format (k8s-file), rotated at the same size."""
    if not shutil.which("conmon"):
        return None
    names, sockets = ["conmon%d" % i for i in range(n)], folder + "/sockets"  # conmon puts a link of the container's name there
    os.makedirs(sockets, exist_ok=True)
    crun = "%s --root %s/crun" % (shutil.which("crun"), folder)
    script = ["set -e"]
    for name in names:
        path = bundle(folder, name)
        script.append("conmon -c %s -u %s -r %s --runtime-arg --root --runtime-arg %s/crun -b %s -p %s/pid -l k8s-file:%s/log --log-size-max 10485760 "
                      "--exit-dir %s --socket-dir-path %s" % (name, name, shutil.which("crun"), folder, path, path, path, sockets, sockets))
        script.append("for i in $(seq 200); do [ -s %s/pid ] && break; sleep 0.05; done; %s start %s" % (path, crun, name))
    with open(folder + "/errors", "w+") as errors:  # not a pipe: conmon would keep it open
        code = subprocess.run([*COVERED, "sh", "-c", "\n".join(script)], stdin=subprocess.DEVNULL, stdout=errors, stderr=errors).returncode
        errors.seek(0)
        if code:
            print("logs: conmon does not run here: " + errors.read().strip()[-200:])
            return None
    floods = floods_of(folder, n)
    result = throughput(floods, [pid for pid, program in processes(folder).items() if program == "conmon"])
    for pid in floods:
        os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    for name in names:
        subprocess.run([*COVERED, *crun.split(), "delete", "--force", name], capture_output=True)
        shutil.rmtree("%s/%s" % (folder, name))
    return result


class Containerd:
    """A containerd of its own, on the kind of runtime that husk uses, and its shim's plain file as the log: no format, no rotation."""

    def __init__(self, folder):
        self.folder, self.address = folder + "/containerd", folder + "/containerd.sock"
        os.makedirs(self.folder)
        with open(folder + "/config.toml", "w") as f:
            f.write('version = 2\nroot = "%s/root"\nstate = "%s/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "%s"\n' % (
                self.folder, self.folder, self.address))
        self.process = subprocess.Popen([*COVERED, "containerd", "-c", folder + "/config.toml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.time() + 20
        while not os.path.exists(self.address) and time.time() < deadline:
            time.sleep(0.1)

    def ctr(self, *args):
        return subprocess.run([*COVERED, "ctr", "-a", self.address, *args], capture_output=True, text=True, timeout=60)

    def run(self, name, path):
        return self.ctr("run", "-d", "--config", path + "/config.json", "--log-uri", "file://%s/log" % path, "--runc-binary", shutil.which("crun"), name)

    def close(self):
        self.process.terminate()
        self.process.wait()


def containerd_logs(folder, n):
    if not shutil.which("containerd") or not shutil.which("ctr"):
        return None
    c, names, result = Containerd(folder), ["ctr%d" % i for i in range(n)], None
    try:
        for name in names:
            r = c.run(name, bundle(folder, name))
            if r.returncode:
                print("logs: containerd does not run here: " + r.stderr.strip()[-300:])
                return None
        floods = floods_of(folder, n)
        pumps = [pid for pid, program in processes(c.address).items() if program.startswith("containerd")]
        result = throughput(floods, pumps)
    finally:
        for name in names:
            c.ctr("task", "kill", "-s", "SIGKILL", name)
        time.sleep(1)
        for name in names:
            c.ctr("task", "delete", name)
            c.ctr("container", "delete", name)
            shutil.rmtree("%s/%s" % (folder, name), ignore_errors=True)
        c.close()
        shutil.rmtree(c.folder, ignore_errors=True)
    return result


def logs(node, a):
    """Each peer in the same run, on the same disk, with a pipe of its own kind."""
    folder = node.folder + "/logs-bench"
    os.makedirs(folder)
    flood_program(folder)
    for n in 1, 8:
        husk = husk_logs(node, folder, n)
        text = "logs: %d container%s: husk %.0f MB/s, %.0f MB per CPU-second" % (n, "" if n == 1 else "s", *husk)
        for peer, measured in ("conmon", conmon_logs(folder, n)), ("containerd's shim", containerd_logs(folder, n)):
            if measured:
                text += "; %s %.0f and %.0f: %.1f and %.1f times (at least twice)" % (peer, *measured, husk[0] / measured[0], husk[1] / measured[1])
        print(text, flush=True)
