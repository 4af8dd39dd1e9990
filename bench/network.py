"""Benches of the pods' network, for bench/run: what a sandbox takes, alone and among many, and what goes through."""
import re
import statistics
import time

from node import IMAGE, REST, ms

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
        node.husk("wait", "pod/sandbox", "--for=condition=Ready", "--timeout=60s")
        with open("%s/pods/%s/supervisor.log" % (node.run, node.uid("sandbox"))) as f:
            found.append({what: int(us) / 1e6 for what, us in re.findall(r"sandbox: (\w+) (\d+) us", f.read())})
        node.delete("sandbox")
    each = {step: statistics.median(f[step] for f in found[1:]) for step in STEPS}
    return statistics.median(sum(f.values()) for f in found[1:]), each


def sandbox(node, a):
    begin, present = time.time(), 0
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
