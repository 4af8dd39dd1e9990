"""Addresses of pods: who has which, and what happens when none is left; SCTP, where the kernel has it."""
import json
import os
import signal
import socket
import subprocess

import pytest

from conftest import BUSYBOX, HUSK, SLOW, program, until

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
    keepers = node.of_program("husk-keeper")
    for pid in keepers:
        os.kill(pid, signal.SIGKILL)
    # both at once would be a new sandbox, with a new address
    until("they have keepers again", lambda: len(set(node.of_program("husk-keeper")) - set(keepers)) == len(names))
    for pid in node.of_program("husk-pod"):
        os.kill(pid, signal.SIGKILL)
    node.husk("start", "--all")
    node.apply(POD % "fresh")
    node.remember("fresh")
    after = addresses(node, *names, "fresh")
    assert after[:3] == before and after[3] not in before
    leases = os.listdir(os.path.join(node.run, "net", "pods"))
    assert len(leases) == 4 and len({name.split("-")[0] for name in leases}) == 4


@pytest.fixture
def outside():
    """Two machines that are network namespaces: a function that makes a command run in the first, which has IPv6, or the other."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        pytest.skip("this kernel has no SCTP")
    machines = [subprocess.Popen(["unshare", "-n", "sleep", "1000"]) for _ in range(2)]
    own = os.readlink("/proc/self/ns/net")
    for m in machines:
        until("a namespace of its own", lambda: os.readlink("/proc/%d/ns/net" % m.pid) != own)

    def within(machine, *command):
        return ["nsenter", "-t", str(machines[machine].pid), "-n", *command]

    def ip(machine, *lines):
        for line in lines:  # not by a shell, which may have a smaller ip of its own
            subprocess.run(within(machine, "ip", *line.split()), check=True)
    ip(0, "link set lo up", "link add out0 type veth peer name in0 netns %d" % machines[1].pid, "link set out0 up", "addr add 192.0.2.2/24 dev out0",
       "-6 addr add 2001:db8::2/64 dev out0 nodad", "route add default via 192.0.2.1", "-6 route add default via 2001:db8::1")
    ip(1, "link set lo up", "link set in0 up", "addr add 192.0.2.1/24 dev in0", "-6 addr add 2001:db8::1/64 dev in0 nodad")
    yield within
    for m in machines:
        m.kill()
        m.wait()


def test_sctp_associations_reach_a_host_port_from_wherever_they_are_begun(own_node, outside):
    """That packets are translated is shown where there is no SCTP, too: tests/unit/net/test-host-port.c."""
    node, sctp = own_node, program("sctp")
    node.load("--busybox")
    pod = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: sctp, hostPath: {path: %s, type: File}}]
  containers:
  - {name: a, image: "%s", command: [/sctp, serve, "8080"], ports: [{containerPort: 8080, protocol: SCTP%s}], volumeMounts: [{name: sctp, mountPath: /sctp}]}
"""
    for name, port in ("serves", ", hostPort: 80"), ("asks", ""):
        subprocess.run(outside(0, HUSK, "apply", "-f", "-"), input=pod % (name, sctp, BUSYBOX, port), text=True, check=True, env=node.env, timeout=60 * SLOW)
    ips = [i["ip"] for i in node.running("serves")["status"]["podIPs"]]
    node.running("asks")
    gateway4 = ips[0].rsplit(".", 1)[0] + ".1"

    def ask(within, ip):
        r = subprocess.run([*within, "ask", ip, "80"], capture_output=True, text=True, env=node.env, timeout=60 * SLOW)
        return r.stdout.strip() or r.stderr.strip()
    origins = {"outside": outside(1, sctp), "node": outside(0, sctp), "pod": outside(0, HUSK, "exec", "asks", "--", "/sctp"),
               "itself": outside(0, HUSK, "exec", "serves", "--", "/sctp")}
    until("a server", lambda: ask(origins["node"], "192.0.2.2") == "192.0.2.2")
    want = {("outside", "192.0.2.2"): "192.0.2.1", ("node", "192.0.2.2"): "192.0.2.2", ("node", "127.0.0.1"): gateway4,
            ("pod", "192.0.2.2"): gateway4, ("itself", "192.0.2.2"): gateway4}
    gateway6 = json.load(open(node.root + "/net.json"))["ipv6"].split("/")[0] + "1"
    want.update({("outside", "2001:db8::2"): "2001:db8::1", ("node", "2001:db8::2"): "2001:db8::2", ("pod", "2001:db8::2"): gateway6,
                 ("itself", "2001:db8::2"): gateway6})
    assert len(ips) == 2 and {(origin, ip): ask(origins[origin], ip) for origin, ip in want} == want
