"""How fast output is taken in: husk, conmon, containerd as a kubelet runs it, and containerd's shim alone."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import cri
from life import cpu_ns, processes
from node import IMAGE, TOP

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
        code = subprocess.run([*cri.COVERED, "sh", "-c", "\n".join(script)], stdin=subprocess.DEVNULL, stdout=errors, stderr=errors).returncode
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
        subprocess.run([*cri.COVERED, *crun.split(), "delete", "--force", name], capture_output=True)
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
        self.process = subprocess.Popen([*cri.COVERED, "containerd", "-c", folder + "/config.toml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.time() + 20
        while not os.path.exists(self.address) and time.time() < deadline:
            time.sleep(0.1)

    def ctr(self, *args):
        return subprocess.run([*cri.COVERED, "ctr", "-a", self.address, *args], capture_output=True, text=True, timeout=60)

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


def kubernetes_logs(folder, n):
    """containerd as the CRI runtime: a shim copies into pipes of containerd's, which stamps, formats and writes. Both count."""
    if not shutil.which("containerd") or not shutil.which("ctr"):
        return None
    if not cri.grpc:
        print("logs: containerd over CRI needs Debian's python3-grpcio, and /usr/bin/python3 to run this")
        return None
    c = None
    try:
        c = cri.Cri(folder)
        c.run(folder + "/flood", n)
        pumps = [pid for pid, program in processes(c.address).items() if program.startswith("containerd")]
        return throughput(floods_of(folder, n), pumps + [c.process.pid])
    except Exception as e:  # whatever this version of it has against us
        print("logs: containerd does not run pods here: %s" % str(e)[-400:])
        return None
    finally:
        if c:
            c.close()


def logs(node, a):
    """Each peer in the same run, on the same disk, with a pipe of its own kind."""
    folder = node.folder + "/logs-bench"
    os.makedirs(folder)
    flood_program(folder)
    if shutil.which("containerd"):
        print("logs: " + subprocess.run(["containerd", "--version"], capture_output=True, text=True).stdout.strip())
    for n in 1, 8:
        husk = husk_logs(node, folder, n)
        print("logs: %d container%s: husk %.0f MB/s, %.0f MB per CPU-second" % (n, "" if n == 1 else "s", *husk), flush=True)
        for peer, measure, aim in ("conmon", conmon_logs, "at least twice"), ("containerd with CRI", kubernetes_logs, "at least twice"), (
                "containerd's shim alone, which writes no times and rotates nothing", containerd_logs, "for what it is worth"):
            measured = measure(folder, n)
            if measured:
                print("logs: ... %s %.0f and %.0f: %.1f and %.1f times (%s)" % (
                    peer, *measured, husk[0] / measured[0], husk[1] / measured[1], aim), flush=True)
