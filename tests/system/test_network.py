"""Addresses of pods: who has which, and what happens when none is left."""
import json
import os
import signal

from conftest import BUSYBOX

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: """ + BUSYBOX + """, command: [sleep, "100000"]}]
"""


def addresses(node, *names):
    return [node.running(name)["status"]["podIP"] for name in names]


def test_a_pod_without_an_address_waits_and_says_so_until_one_is_free(own_node):
    node = own_node
    node.load("--busybox")
    with open(os.path.join(node.root, "net.json"), "w") as f:
        f.write('{"ipv4": "10.213.255.252/30", "ipv6": null}')  # the gateway, and one pod
    node.apply(POD % "has")
    ip, = addresses(node, "has")
    assert ip == "10.213.255.254"
    node.apply(POD % "waits")
    words = "all addresses of the pods' range 10.213.255.252/30 are in use (1 pod)"
    pod = node.wait("waits", "an event that says why", lambda p: words in node.husk("get", "events", "-o", "json").out)
    assert pod["status"]["phase"] == "Pending"
    event, = {(e["reason"], e["type"]) for e in json.loads(node.husk("get", "events", "-o", "json").out)["items"] if words in e["message"]}
    assert event == ("FailedCreatePodSandBox", "Warning")
    node.husk("delete", "pod", "has", "--grace-period=0")
    assert addresses(node, "waits") == [ip]
    node.husk("delete", "pod", "waits", "--grace-period=0")
    node.nothing_left()


def test_addresses_stay_with_their_pods_whatever_of_husk_dies(node):
    names = ["kept-a", "kept-b", "kept-c"]
    for name in names:
        node.apply(POD % name)
    before = addresses(node, *names)
    for name in names:
        node.remember(name)
    for program in "husk-keeper", "husk-pod":
        for pid in node.of_program(program):
            os.kill(pid, signal.SIGKILL)
    node.husk("start", "--all")
    node.apply(POD % "fresh")
    node.remember("fresh")
    after = addresses(node, *names, "fresh")
    assert after[:3] == before and after[3] not in before
    leases = os.listdir(os.path.join(node.run, "net", "pods"))
    assert len(leases) == 4 and len({name.split("-")[0] for name in leases}) == 4
