"""Benches of the pods' network, for bench/run: what a sandbox takes, alone and among many, and what goes through."""
import json
import re
import shutil
import statistics
import subprocess
import time

from node import IMAGE, REST, machinery, ms

ONE = """apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: %s, command: [sleep, "100000"]}]
"""
STEPS = ("cgroups", "namespaces", "network", "ready")


def steps(node, rounds):
    """Medians of each step of a sandbox, as husk-pod itself measures them, and of all together."""
    found = []
    for _ in range(rounds + 1):
        time.sleep(REST)
        node.husk("apply", "-f", node.manifest("sandbox", ONE % ("sandbox", IMAGE)), extra={"HUSK_LOG": "debug"})
        time.sleep(REST)  # who starts a program to wait with takes the processor that the infra process would have
        node.husk("wait", "pod/sandbox", "--for=condition=Ready", "--timeout=60s")
        with open("%s/pods/%s/supervisor.log" % (node.run, node.uid("sandbox"))) as f:
            found.append({what: int(us) / 1e6 for what, us in re.findall(r"sandbox: (\w+) (\d+) us", f.read())})
        node.delete("sandbox")
    each = {step: statistics.median(f[step] for f in found[1:]) for step in STEPS}
    return statistics.median(sum(f.values()) for f in found[1:]), each


def sandbox(node, a):
    present = 0
    for pods, aim in (1, 3), (500, 6):
        names = ["present%d" % i for i in range(present, pods)]
        for name in names:
            node.husk("apply", "-f", node.manifest(name, ONE % (name, IMAGE)))
        for name in names:
            node.husk("wait", "pod/" + name, "--for=condition=Ready", "--timeout=120s")
        present = pods
        time.sleep(2)
        all_of_it, each = steps(node, a.rounds)
        print("sandbox: beside %d pod%s %s (at most %d ms): %s" % (
            pods, "" if pods == 1 else "s", ms(all_of_it), aim, ", ".join("%s %s" % (step, ms(each[step])) for step in STEPS)), flush=True)
    node.husk("delete", "pods", "--all", "--grace-period=0", "--force")


# ---- throughput ----

SECONDS = 2


def in_netns(pid, *command, **kw):
    return subprocess.run(["nsenter", "-t", str(pid), "-n", *command], check=True, stdout=subprocess.PIPE, **kw).stdout


class Pair:
    """Two network namespaces and one veth pair between them, nothing else; `bridged`: a pair each, on a bridge in a third."""

    def __init__(self, mtu, bridged=False):
        self.holders = [subprocess.Popen(["unshare", "-n", "sleep", "1000"]) for _ in range(3)]
        time.sleep(0.3)
        self.pids, self.ips = [h.pid for h in self.holders[:2]], ["192.0.2.1", "192.0.2.2"]
        middle, link = self.holders[2].pid, ["mtu", str(mtu), "type", "veth", "peer", "name", "e0", "mtu", str(mtu), "netns"]
        if bridged:
            in_netns(middle, "ip", "link", "add", "b0", "mtu", str(mtu), "type", "bridge")
            in_netns(middle, "ip", "link", "set", "b0", "up")
            for n, pid in enumerate(self.pids):
                in_netns(middle, "ip", "link", "add", "p%d" % n, "master", "b0", *link, str(pid))
                in_netns(middle, "ip", "link", "set", "p%d" % n, "up")
        else:
            in_netns(self.pids[0], "ip", "link", "add", "e0", *link, str(self.pids[1]))
        for pid, ip in zip(self.pids, self.ips):
            in_netns(pid, "ip", "addr", "add", ip + "/24", "dev", "e0")
            in_netns(pid, "ip", "link", "set", "e0", "up")
            in_netns(pid, "ip", "link", "set", "lo", "up")

    def close(self):
        for h in self.holders:
            h.kill()
            h.wait()


def gigabits(server, client, ip):
    """What goes from one to the other in a second, by TCP."""
    s = subprocess.Popen(["nsenter", "-t", str(server), "-n", "iperf3", "-s", "-1", "-p", "5201"], stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    out = json.loads(in_netns(client, "iperf3", "-c", ip, "-p", "5201", "-t", str(SECONDS), "-J"))
    s.wait()
    return out["end"]["sum_received"]["bits_per_second"] / 1e9


def throughput(node, a):
    if not shutil.which("iperf3"):
        print("throughput: iperf3 is not installed (Debian: iperf3)")
        return
    for name in "left", "right":
        node.husk("apply", "-f", node.manifest(name, ONE % (name, IMAGE)))
        node.husk("wait", "pod/" + name, "--for=condition=Ready", "--timeout=60s")
    seen = {p["pod"]: p for p in json.loads(node.husk("network", "-o", "json"))["pods"]}
    pids = [machinery(node, name)["husk-infra"] for name in ("left", "right")]
    mtu = seen["default/left"]["mtu"]
    pair, bridge = Pair(mtu), Pair(mtu, bridged=True)
    ways = {"pods": (pids, seen["default/left"]["ipv4"]), "pair": (pair.pids, pair.ips[0]), "bridge": (bridge.pids, bridge.ips[0])}
    found = {way: [] for way in ways}
    try:
        for n in range(max(a.rounds // 2, 5)):
            for way in (list(ways) * 2)[n % 3:n % 3 + 3]:  # in turns: whoever comes first has it better
                (server, client), ip = ways[way]
                found[way].append(gigabits(server, client, ip))
    finally:
        pair.close()
        bridge.close()
    pods, bare, bridged = (statistics.median(found[way]) for way in ways)
    print("throughput: pod to pod %.1f Gbit/s; a bare veth pair %.1f, ratio %.3f (at least 0.95); two bare pairs on a bare bridge %.1f, ratio %.3f" % (
        pods, bare, pods / bare, bridged, pods / bridged))
    node.delete("left", "right")
