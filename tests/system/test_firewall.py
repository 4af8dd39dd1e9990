"""Other firewalls beside husk's table: firewalld and Docker themselves, and whoever empties nftables, each on a machine that is
nothing but namespaces: network, mounts, /run, and Debian's packages laid over /usr and /etc where they are not installed."""
import fcntl
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import BUSYBOX, HUSK, SLOW, TOP, until

PACKAGES = os.path.join(TOP, "build/unpacked/firewalls")
SETUP = """
set -e
for d in usr etc; do mount -t overlay overlay -o lowerdir=%s/root/$d:/$d /$d; done
mount -t tmpfs none /run && mkdir -p /run/dbus /run/lock
cat > /run/dbus.conf <<X
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth><policy context="default">
<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow send_type="method_call"/><allow receive_sender="*"/></policy></busconfig>
X
ip link set lo up
ip netns add outside
ip link add out0 type veth peer name in0 netns outside
ip addr add 192.0.2.2/24 dev out0 && ip link set out0 up && ip route add default via 192.0.2.1
ip -6 addr add 2001:db8::2/64 dev out0 nodad && ip -6 route add default via 2001:db8::1
ip -n outside -6 addr add 2001:db8::1/64 dev in0 nodad
ip -n outside link set lo up && ip -n outside addr add 192.0.2.1/24 dev in0 && ip -n outside link set in0 up
echo 0 > /proc/sys/net/ipv4/ip_forward
touch /run/is-set-up
exec sleep infinity
""" % PACKAGES
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: "%s", command: [sh, -c, "echo of the pod > /index.html; exec httpd -f -p 8080 -h /"], ports: [{containerPort: 8080%s}]}]
"""


class Machine:
    def __init__(self, node):
        self.node, self.started = node, []
        # killed with its first process are all that were started in it; pods are not of this pid namespace
        self.unshare = subprocess.Popen(["unshare", "-n", "-m", "-p", "-f", "--kill-child=KILL", "--propagation", "private", "sh", "-c", SETUP],
                                        stdin=subprocess.DEVNULL)
        self.first = until("a first process", lambda: open("/proc/%d/task/%d/children" % ((self.unshare.pid,) * 2)).read().split())[0]
        until("the machine is set up", lambda: os.path.exists("/proc/%s/root/run/is-set-up" % self.first))
        self.files = self.node.folder + "/of-the-machine"
        os.mkdir(self.files)
        with open(self.files + "/index.html", "w") as f:
            f.write("of the machine")

    def end(self):
        for p in self.started:
            p.kill()
            p.wait()
        self.unshare.kill()
        self.unshare.wait()

    def line(self, *command, pids=False):
        return ["nsenter", "-t", self.first, "-n", "-m", *(["-p"] if pids else []), *command]

    def run(self, *command, check=True, input=None, timeout=60, **kw):
        r = subprocess.run(self.line(*command), capture_output=True, text=True, timeout=timeout * SLOW, input=input, **kw)
        assert not check or r.returncode == 0, (command, r)
        return r

    def start(self, *command, **kw):
        self.started.append(subprocess.Popen(self.line(*command, pids=True), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw))
        return self.started[-1]

    def husk(self, *args, **kw):
        return self.run(HUSK, *args, env=self.node.env, **kw).stdout

    def apply(self, name, ports=""):
        self.husk("apply", "-f", "-", input=POD % (name, BUSYBOX, ports))
        return self.node.running(name)["status"]["podIP"]

    def answer(self, *within, url):
        # not wget -T, which crashes in Debian's static busybox
        return self.run(*within, "busybox", "timeout", str(2 * SLOW), "busybox", "wget", "-q", "-O", "-", url, check=False, env=self.node.env).stdout.strip()

    def web_servers(self):
        """Of the machine and of the world outside, at port 81."""
        for within in [], ["nsenter", "--net=/run/netns/outside"]:
            self.start(*within, "busybox", "httpd", "-f", "-p", "81", "-h", self.files)

    def paths(self, pod, other_ip):
        """Each way that pods have: what answers there."""
        ranges = json.load(open(self.node.root + "/net.json"))
        gateway, gateway6 = ranges["ipv4"].rsplit(".", 1)[0] + ".1", ranges["ipv6"].split("/")[0] + "1"
        outside, inside = ["nsenter", "--net=/run/netns/outside"], [HUSK, "exec", pod, "--"]
        ways = [("from outside to a host port", outside, "http://192.0.2.2:80/"), ("from the machine to a host port", [], "http://127.0.0.1:80/"),
                ("from a pod to a host port", inside, "http://192.0.2.2:80/"), ("from pod to pod", inside, "http://%s:8080/" % other_ip),
                ("from a pod to the outside", inside, "http://192.0.2.1:81/"), ("from a pod to the machine", inside, "http://%s:81/" % gateway),
                ("from outside to a host port, IPv6", outside, "http://[2001:db8::2]:80/"), ("from a pod to a host port, IPv6", inside, "http://[2001:db8::2]:80/"),
                ("from a pod to the outside, IPv6", inside, "http://[2001:db8::1]:81/"), ("from a pod to the machine, IPv6", inside, "http://[%s]:81/" % gateway6)]
        with ThreadPoolExecutor(4) as pool:
            return dict(zip([what for what, _, _ in ways], pool.map(lambda way: self.answer(*way[1], url=way[2]), ways)))

    def closed(self, pod, other_ip):
        return [what for what, answer in self.paths(pod, other_ip).items() if not answer.startswith("of the ")]

    def all_open(self, pod, other_ip):
        """Soon: a server may only just begin to listen."""
        until(lambda: "these ways: %s" % self.closed(pod, other_ip), lambda: self.closed(pod, other_ip) == [], 20)


@pytest.fixture(scope="module", autouse=True)
def packages():
    if subprocess.run([TOP + "/scripts/unpack-packages", PACKAGES, "firewalld", "docker.io"]).returncode:
        pytest.skip("Debian's packages of firewalld and Docker cannot be had")


@pytest.fixture
def machine(own_node):
    own_node.load("--busybox")
    m = Machine(own_node)
    yield m
    own_node.delete_all()
    m.end()


def huskd(machine):
    machine.start(os.path.join(os.path.dirname(HUSK), "huskd"), env=machine.node.env)
    until("huskd", lambda: os.path.exists(machine.node.run + "/huskd.lock"))
    time.sleep(0.2)


def bridge(machine):
    return "hk" + machine.node.tag()


# ---- firewalld ----

@pytest.fixture
def firewalld(machine):
    machine.start("dbus-daemon", "--config-file=/run/dbus.conf", "--nofork")
    until("a bus", lambda: machine.run("test", "-S", "/run/dbus/system_bus_socket", check=False).returncode == 0)
    firewalld_starts(machine)
    return machine


def firewalld_starts(machine):
    machine.start("firewalld", "--nofork")
    until("firewalld", lambda: machine.run("firewall-cmd", "--state", check=False).stdout.strip() == "running", 60)


def zone_of(machine):
    return machine.run("firewall-cmd", "--get-zone-of-interface=" + bridge(machine), check=False).stdout.strip()


def test_beside_firewalld_pods_have_all_their_ways_and_have_them_again_after_its_reload(firewalld):
    machine, node = firewalld, firewalld.node
    os.makedirs(node.root, exist_ok=True)
    with open(node.root + "/config.yaml", "w") as f:
        f.write("resolver: true\n")
    machine.web_servers()
    ip, _ = machine.apply("guarded", ", hostPort: 80"), machine.apply("peer")
    machine.all_open("peer", ip)
    assert zone_of(machine) == "trusted" and "firewalld" not in machine.husk("network")
    assert ip in until("the resolver's answer", lambda: node.exec("peer", "nslookup", "guarded.default.svc.cluster.local", check=False).out)
    # a reload forgets it; without huskd the next pod, or whoever asks, sees to it
    machine.run("firewall-cmd", "--reload")
    assert "firewalld has the bridge in no zone" in machine.husk("network")
    assert "from a pod to the outside" in machine.closed("peer", ip)
    machine.husk("network", "--repair")
    machine.all_open("peer", ip)
    assert zone_of(machine) == "trusted"
    machine.run("firewall-cmd", "--reload")
    machine.apply("third")
    assert zone_of(machine) == "trusted"
    huskd(machine)
    machine.run("firewall-cmd", "--reload")
    until("huskd has put it back", lambda: zone_of(machine) == "trusted")
    machine.all_open("peer", ip)
    # it ends, and begins when pods are there already
    subprocess.run(machine.line("sh", "-c", "kill $(cat /run/firewalld.pid)", pids=True), check=True)
    until("no firewalld", lambda: "firewalld" not in machine.run("nft", "list", "tables").stdout)
    machine.all_open("peer", ip)
    firewalld_starts(machine)
    until("huskd has told it of the bridge", lambda: zone_of(machine) == "trusted")
    machine.all_open("peer", ip)
    machine.husk("delete", "pod", "guarded", "peer", "third", "--grace-period=0")
    until("no trace of the node", lambda: zone_of(machine) != "trusted")


def test_firewalld_is_left_alone_where_that_is_asked_for_and_pods_run_where_it_refuses(firewalld):
    machine, node = firewalld, firewalld.node
    os.makedirs(node.root, exist_ok=True)
    with open(node.root + "/config.yaml", "w") as f:
        f.write("firewalldZone: ''\n")
    machine.web_servers()
    ip, _ = machine.apply("guarded", ", hostPort: 80"), machine.apply("peer")
    assert zone_of(machine) != "trusted"
    text = machine.husk("network")
    assert "firewalld has the bridge in no zone" in text and "could not" not in text
    assert {"from a pod to the machine", "from a pod to the outside"} <= set(machine.closed("peer", ip))
    with open(node.root + "/config.yaml", "w") as f:
        f.write("firewalldZone: nowhere\n")
    machine.apply("third")
    assert "INVALID_ZONE" in machine.husk("network")
    with open(node.root + "/config.yaml", "w") as f:
        f.write("firewalldZone: internal\n")
    machine.husk("network", "--repair")
    assert zone_of(machine) == "internal"
    # what is advised helps, and what whoever runs the machine chose stays
    machine.run("firewall-cmd", "--zone=trusted", "--change-interface=" + bridge(machine))
    machine.apply("fourth")
    machine.all_open("peer", ip)
    assert zone_of(machine) == "trusted"


# ---- Docker ----

class Dockerd:
    def __init__(self, machine):
        self.machine, self.folder = machine, "/run/docker-%d" % len(machine.started)
        self.process = machine.start("dockerd", "--data-root", self.folder + "/root", "--exec-root", self.folder + "/exec", "-p", self.folder + "/pid",
                                     "-H", "unix://%s/sock" % self.folder, "--storage-driver", "vfs")
        until("Docker listens", lambda: machine.run("test", "-S", self.folder + "/sock", check=False).returncode == 0, 60)
        until("Docker's chain is asked", lambda: "-A FORWARD -j DOCKER-USER" in machine.run("iptables", "-S").stdout)

    def end(self):
        subprocess.run(self.machine.line("sh", "-c", "kill $(cat %s/pid)" % self.folder, pids=True), check=True)
        self.process.wait(30 * SLOW)


def rules(machine):
    return machine.run("iptables", "-S", "DOCKER-USER", check=False).stdout.count(" %s " % bridge(machine))


def test_beside_docker_pods_have_all_their_ways_whoever_comes_first_or_again(machine):
    docker = Dockerd(machine)
    assert "-P FORWARD DROP" in machine.run("iptables", "-S").stdout
    machine.web_servers()
    ip, _ = machine.apply("guarded", ", hostPort: 80"), machine.apply("peer")
    machine.all_open("peer", ip)
    assert rules(machine) == 2
    docker.end()
    docker = Dockerd(machine)
    machine.all_open("peer", ip)
    assert rules(machine) == 2
    # somebody takes one of the two rules away: both are there again, once, with the next pod
    rule = next(line for line in machine.run("iptables", "-S", "DOCKER-USER").stdout.splitlines() if "-o " + bridge(machine) in line)
    machine.run("iptables", *rule.replace("-A ", "-D ", 1).split())
    assert "from outside to a host port" in machine.closed("peer", ip)
    machine.apply("third")
    machine.all_open("peer", ip)
    assert rules(machine) == 2
    # iptables is emptied: nobody asks Docker's chain any more until Docker is started again
    huskd(machine)
    machine.run("iptables", "-F")
    until("huskd has made the rules again", lambda: rules(machine) == 2)
    assert "drops what is forwarded" in machine.husk("network")
    docker.end()
    docker = Dockerd(machine)
    machine.all_open("peer", ip)
    assert "drops" not in machine.husk("network")
    # husk was first: everything goes, husk's table comes back, then Docker begins
    docker.end()
    machine.run("nft", "flush", "ruleset")
    until("huskd has made husk's table again", lambda: "inet husk-" + machine.node.tag() in machine.run("nft", "list", "tables").stdout)
    machine.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    docker = Dockerd(machine)
    assert "-P FORWARD DROP" in machine.run("iptables", "-S").stdout
    until("huskd has made the rules again", lambda: rules(machine) == 2)
    machine.all_open("peer", ip)
    machine.husk("delete", "pod", "guarded", "peer", "third", "--grace-period=0")
    until("no rule of the node's is left", lambda: rules(machine) == 0)


# ---- nft flush ruleset ----

def test_what_a_flush_took_comes_back_by_huskd_and_without_it_with_the_next_pod(machine):
    machine.web_servers()
    ip, _ = machine.apply("guarded", ", hostPort: 80"), machine.apply("peer")
    machine.all_open("peer", ip)
    machine.run("nft", "flush", "ruleset")
    assert "from outside to a host port" in machine.closed("peer", ip)
    assert "is gone" in machine.run(HUSK, "network", "--check", env=machine.node.env, check=False).stdout
    machine.apply("third")
    machine.all_open("peer", ip)
    huskd(machine)
    # as Debian's nftables.service loads its file: everything goes and another table comes, in one step
    machine.run("nft", "-f", "-", input="flush ruleset\ntable inet filter { chain input { type filter hook input priority 0; }; }\n")
    until("huskd has made it again", lambda: machine.closed("peer", ip) == [])


def test_huskd_does_its_work_while_a_repair_of_the_network_waits(machine):
    machine.apply("guarded", ", hostPort: 80")
    huskd(machine)
    manifest = machine.node.root + "/manifests/host.yaml"
    with open(machine.node.run + "/net/lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        machine.run("nft", "flush", "ruleset")
        until("the repair waits", lambda: [p for p, (name, words) in machine.node.processes().items() if name == "husk" and "--repair" in words])
        with open(manifest, "w") as f:
            f.write(POD.replace("spec:", "spec:\n  hostNetwork: true") % ("host", BUSYBOX, ""))
        until("a static pod meanwhile", lambda: machine.node.husk("get", "pods", "-o", "name").out.count("pod/host-"))
    until("the table is there again", lambda: "husk-" + machine.node.tag() in machine.run("nft", "list", "tables").stdout)
    os.unlink(manifest)
    until("the static pod is gone", lambda: "pod/host-" not in machine.node.husk("get", "pods", "-o", "name").out)
