"""Names of pods: husk's own resolver, which runs only where config.yaml asks for it."""
import json
import os
import signal
import socket
import struct
import threading
import time

import pytest

from conftest import BUSYBOX, SLOW, until

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
%s
  containers:
  - name: app
    image: """ + BUSYBOX + """
    command: [sh, -c, "touch /ready; exec sleep 100000"]
    readinessProbe: {exec: {command: [test, -e, /ready]}, periodSeconds: 1, failureThreshold: 1}
"""
A, PTR, AAAA = 1, 12, 28


def labels(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def question(name, kind, edns=0):
    head = struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 1 if edns else 0)
    return head + labels(name) + struct.pack(">HH", kind, 1) + (b"\0" + struct.pack(">HHIH", 41, edns, 0, 0) if edns else b"")


def name_at(message, at):
    parts = []
    while message[at]:
        if message[at] >= 0xc0:
            return ".".join(parts + [name_at(message, struct.unpack(">H", message[at:at + 2])[0] & 0x3fff)])
        parts.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(parts)


class Answer:
    """rcode, whether it was cut, and the records' data as text."""

    def __init__(self, message):
        self.size = len(message)
        self.id, flags, _, answers, _, self.additional = struct.unpack(">HHHHHH", message[:12])
        self.rcode, self.cut, self.data = flags & 15, bool(flags & 0x200), []
        at = 12
        while message[at]:
            at += 1 + message[at]
        at += 5
        for _ in range(answers):
            assert message[at] >= 0xc0
            kind, _, self.ttl, size = struct.unpack(">HHIH", message[at + 2:at + 12])
            data = message[at + 12:at + 12 + size]
            family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
            self.data.append(socket.inet_ntop(family, data) if family else name_at(message, at + 12) if kind == PTR else data.decode())
            at += 12 + size


def receive(s, size):
    data = b""
    while len(data) < size:
        more = s.recv(size - len(data))
        if not more:
            raise ConnectionError("ended after %d of %d" % (len(data), size))
        data += more
    return data


class Upstream:
    """A nameserver on an address of its own: a text record of `size` bytes for big.…, an address for other names."""

    def __init__(self, address):
        self.address, self.asked, self.silent = address, [], False
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 53))
        self.tcp = socket.create_server((address, 53))
        for serve in self.serve_udp, self.serve_tcp:
            threading.Thread(target=serve, daemon=True).start()

    def answer(self, message, most):
        name = name_at(message, 12)
        at = 12 + len(labels(name)) + 4
        record = struct.pack(">HHHIH", 0xc00c, A, 1, 60, 4) + bytes([192, 0, 2, 53])
        if name.startswith("big."):
            record = struct.pack(">HHHIH", 0xc00c, 16, 1, 60, 2048) + b"x" * 2048
        head = message[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
        if at + len(record) > most:
            return message[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + message[12:at]
        return head + message[12:at] + record

    def serve_udp(self):
        while True:
            try:
                message, client = self.udp.recvfrom(4096)
            except OSError:
                return
            self.asked.append(("udp", name_at(message, 12), len(message)))
            if not self.silent:
                edns = struct.unpack(">H", message[10:12])[0]
                self.udp.sendto(self.answer(message, struct.unpack(">H", message[-8:-6])[0] if edns else 512), client)

    def serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
                with connection:
                    message = receive(connection, struct.unpack(">H", receive(connection, 2))[0])
                    self.asked.append(("tcp", name_at(message, 12), len(message)))
                    answer = self.answer(message, 65535)
                    connection.sendall(struct.pack(">H", len(answer)) + answer)
            except (OSError, ConnectionError):
                if self.tcp.fileno() < 0:
                    return


@pytest.fixture(scope="module")
def upstream(shared_node):
    n = int(shared_node.tag()[:4], 16)
    return Upstream("127.7.%d.%d" % (n >> 8, n & 255))


@pytest.fixture
def named(node, upstream, tmp_path):
    """The node with a resolver; `named()` asks it from the machine, as pods of the machine's own network do."""
    os.makedirs(node.root, exist_ok=True)
    nameservers, config = tmp_path / "resolv.conf", node.root + "/config.yaml"
    del upstream.asked[:]
    nameservers.write_text("nameserver %s\nsearch example.org\n" % upstream.address)

    def ask(name, kind=A, edns=0, tcp=False, source=None, patience=20 * SLOW):
        server = json.load(open(node.root + "/net.json"))["ipv4"].rsplit(".", 1)[0] + ".1"
        message = question(name, kind, edns)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
            s.settimeout(patience if source is None else 1)
            if source:
                s.bind((source, 0))
            s.connect((server, 53))
            if tcp:
                s.sendall(struct.pack(">H", len(message)) + message)
                return Answer(receive(s, struct.unpack(">H", receive(s, 2))[0]))
            s.send(message)
            return Answer(s.recv(65535))

    def until(name, want, kind=A):
        end = time.time() + 20 * SLOW
        while True:
            try:
                answer = ask(name, kind, patience=1)
                if (answer.rcode, sorted(answer.data)) == want:
                    return answer
                seen = answer.rcode, answer.data
            except OSError as e:
                seen = e
            assert time.time() < end, (name, want, seen)
            time.sleep(0.1)

    def processes():
        return node.of_program("husk-resolver")

    with open(config, "w") as f:
        f.write("resolver: true\nresolvConf: %s\n" % nameservers)
    ask.until, ask.upstream, ask.nameservers, ask.processes = until, upstream, nameservers, processes
    yield ask
    node.delete_all()
    end = time.time() + 20 * SLOW
    while processes():  # it ends with the last pod
        assert time.time() < end
        time.sleep(0.05)
    os.unlink(config)


def apply(node, name, fields="", ready=True):
    node.apply(POD % (name, fields))
    pod = node.running(name)
    node.remember(name)
    if ready:
        node.wait(name, "readiness", lambda p: any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"]["conditions"]))
    return [i["ip"] for i in pod["status"]["podIPs"]]


def test_pods_find_one_another_by_hostname_and_subdomain_and_by_name(node, named):
    one = apply(node, "peer-a", "  hostname: one\n  subdomain: peers")
    two = apply(node, "peer-b", "  subdomain: peers")
    for name, ips in ("one.peers.default.svc.cluster.local", one), ("peer-b.peers.default.svc.cluster.local", two), \
            ("peer-a.default.svc.cluster.local", one):
        named.until(name, (0, ips[:1]))
        assert named(name, AAAA).data == ips[1:]
    assert sorted(named("peers.default.svc.cluster.local").data) == sorted([one[0], two[0]])
    reverse = ".".join(reversed(one[0].split("."))) + ".in-addr.arpa"
    assert named(reverse, PTR).data == ["one.peers.default.svc.cluster.local"]
    assert named("nobody.default.svc.cluster.local").rcode == 3
    # as programs in pods ask: by the search list, short
    text = node.sh("peer-b", "cat /etc/resolv.conf")
    assert text.splitlines()[0] == "search default.svc.cluster.local svc.cluster.local cluster.local example.org"
    assert text.splitlines()[2] == "options ndots:5" and len(text.splitlines()) == 3
    assert one[0] in node.sh("peer-b", "nslookup one.peers.default.svc.cluster.local")
    assert one[0] in node.sh("peer-b", "nslookup peer-a 2>&1; true")
    if one[1:]:
        gateway6 = json.load(open(node.root + "/net.json"))["ipv6"].split("/")[0] + "1"
        assert one[0] in node.sh("peer-b", "nslookup one.peers.default.svc.cluster.local %s" % gateway6)


def test_only_ready_pods_have_names_of_a_subdomain(node, named):
    ip = apply(node, "moody", "  subdomain: moods")[:1]
    name, own = "moody.moods.default.svc.cluster.local", "moody.default.svc.cluster.local"
    named.until(name, (0, ip))
    node.sh("moody", "rm /ready")
    named.until(name, (3, []))
    named.until("moods.default.svc.cluster.local", (0, []))
    assert named(own).data == ip  # whoever asks for the pod itself has no other to go to
    node.sh("moody", "touch /ready")
    named.until(name, (0, ip))
    apply(node, "stays")
    node.husk("delete", "pod", "moody", "--grace-period=0")
    named.until(name, (3, []))
    named.until(own, (3, []))


def test_other_names_are_asked_of_the_machines_nameservers(node, named):
    apply(node, "curious")
    named.until("www.example.org", (0, ["192.0.2.53"]))
    assert named("www.example.org", tcp=True).data == ["192.0.2.53"]
    assert named.upstream.asked[-1][0] == "tcp"
    assert named("www.example.org").id == 0x1234  # its own number, whatever the server was asked with
    cut = named("big.example.org", 16)
    assert cut.cut and not cut.data and cut.size <= 512
    whole = named("big.example.org", 16, edns=4096)
    assert not whole.cut and whole.size > 2048
    assert not named("big.example.org", 16, tcp=True).cut
    assert "192.0.2.53" in node.sh("curious", "nslookup www.example.org")
    named.upstream.silent = True  # by UDP; nobody else is there to ask
    assert named("mute.example.org").rcode == 2
    assert len([a for a in named.upstream.asked if a[1] == "mute.example.org"]) == 2
    named.upstream.silent = False
    named.nameservers.write_text("nameserver 127.7.7.7\nnameserver %s\n" % named.upstream.address)
    named.until("second.example.org", (0, ["192.0.2.53"]))  # of the list as it is now, the first does not answer


def test_who_is_no_pod_gets_no_answer(node, named):
    ip = apply(node, "private")[:1]
    named.until("private.default.svc.cluster.local", (0, ip))
    with pytest.raises(OSError):
        named("private.default.svc.cluster.local", source="127.0.0.1")
    with pytest.raises(OSError):
        named("private.default.svc.cluster.local", source="127.0.0.1", tcp=True)


def test_a_resolver_that_dies_is_started_anew_and_goes_with_the_last_pod(node, named):
    assert named.processes() == []
    ip = apply(node, "first")[:1]
    name = "first.default.svc.cluster.local"
    named.until(name, (0, ip))
    assert "Names are answered by husk-resolver" in node.husk("network").out
    child, = (pid for pid in named.processes() if int(open("/proc/%d/stat" % pid).read().split()[3]) in named.processes())
    with open("/proc/%d/status" % child) as f:
        status = dict(line.split(":\t", 1) for line in f if ":\t" in line)
    assert int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0 and status["NoNewPrivs"].strip() == "1"
    os.kill(child, signal.SIGKILL)
    named.until(name, (0, ip))
    for pid in named.processes():
        os.kill(pid, signal.SIGKILL)
    end = time.time() + 10 * SLOW
    while "does not run" not in node.husk("network").out:
        assert time.time() < end
        time.sleep(0.05)
    apply(node, "second")  # whoever starts a pod starts it
    named.until(name, (0, ip))
    node.husk("delete", "pod", "first", "second", "--grace-period=0")
    node.nothing_left()


def test_a_pod_on_the_machines_network_may_ask_too(node, named):
    apply(node, "agent", "  hostNetwork: true\n  dnsPolicy: ClusterFirstWithHostNet")
    gateway = json.load(open(node.root + "/net.json"))["ipv4"].rsplit(".", 1)[0] + ".1"
    assert "nameserver " + gateway in node.sh("agent", "cat /etc/resolv.conf")
    ip = apply(node, "web")[:1]
    named.until("web.default.svc.cluster.local", (0, ip))
    assert ip[0] in node.sh("agent", "nslookup web.default.svc.cluster.local")
    node.husk("delete", "pod", "web", "--grace-period=0")
    named.until("web.default.svc.cluster.local", (3, []))  # the bridge is still there
    assert named("agent.default.svc.cluster.local").rcode == 0


def test_a_pods_folder_without_a_manifest_harms_nobody(node, named):
    ip = apply(node, "whole")[0]
    named.until("whole.default.svc.cluster.local", (0, [ip]))
    before, empty = named.processes(), node.run + "/pods/00000000-0000-0000-0000-000000000000"
    os.mkdir(empty)
    try:
        spelled = ip.replace(".", "-") + ".default.pod.cluster.local"
        named.until(spelled, (0, [ip]))
        for name, kind in (("nobody.default.svc.cluster.local", A), ("10-0-0-0.default.pod.cluster.local", A), ("0.0.0.10.in-addr.arpa", PTR)):
            named(name, kind)
        assert sorted(named.processes()) == sorted(before)
    finally:
        os.rmdir(empty)


def test_the_resolver_goes_also_when_a_pods_folder_of_this_boot_is_the_last(node, named):
    """As whoever cleans up once more makes it, when all else of the pod is gone."""
    apply(node, "last")
    left = node.run + "/pods/00000000-0000-0000-0000-000000000000"
    os.mkdir(left)
    node.husk("delete", "pod", "last")
    time.sleep(0.5)
    os.rmdir(left)
    end = time.time() + 20 * SLOW
    while named.processes():
        assert time.time() < end
        time.sleep(0.05)


def test_a_resolver_that_cannot_start_costs_no_pod(node, named):
    place = node.run + "/resolver"
    for file in os.listdir(place) if os.path.isdir(place) else []:
        os.unlink(os.path.join(place, file))
    if os.path.isdir(place):
        os.rmdir(place)
    with open(place, "w"):  # where its folder belongs
        pass
    try:
        uid = node.apply(POD % ("whole", "")) and node.running("whole")["metadata"]["uid"]
        assert named.processes() == [] and len(node.of_program("husk-keeper", uid)) == 1
    finally:
        os.unlink(place)
    apply(node, "second")
    named.until("whole.default.svc.cluster.local", (0, [node.get("whole")["status"]["podIP"]]))


def taker(node, name, host_ip="", check=True):
    """A pod whose host port 53 is a server of its own, which says its name."""
    return node.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: %s}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - {name: a, image: "%s", command: [sh, -c, "while true; do echo of the pod | nc -l -p 53; done"],
             ports: [{containerPort: 53, hostPort: 53, protocol: TCP, hostIP: "%s"}, {containerPort: 53, hostPort: 53, protocol: UDP, hostIP: "%s"}]}
        """ % (name, BUSYBOX, host_ip, host_ip), check)


def gateway_of(node):
    return json.load(open(node.root + "/net.json"))["ipv4"].rsplit(".", 1)[0] + ".1"


def configure(node, text):
    with open(node.root + "/config.yaml.new", "w") as f:
        f.write(text)
    os.rename(node.root + "/config.yaml.new", node.root + "/config.yaml")


def test_a_host_port_53_leaves_the_resolver_alone(node, named):
    taker(node, "taker")
    pod = node.running("taker")
    node.remember("taker")
    named.until("taker.default.svc.cluster.local", (0, [pod["status"]["podIP"]]))
    assert pod["status"]["podIP"] in node.sh("taker", "nslookup taker.default.svc.cluster.local")
    # of the bridge's own address it is the resolver's, and that is said
    apply(node, "stays")
    node.husk("delete", "pod", "taker", "--grace-period=0")
    taker(node, "greedy", gateway_of(node))
    node.remember("greedy")
    words = node.told("this port of the bridge's own address is the resolver's", "greedy")["message"]
    assert "host port 53" in words and node.root + "/config.yaml" in words


def test_the_resolver_is_turned_on_and_off_while_pods_run(node, named):
    own = open(node.root + "/config.yaml").read()
    configure(node, "resolver: false\n")
    taker(node, "taker")
    ip = node.running("taker")["status"]["podIP"]
    node.remember("taker")
    gateway = gateway_of(node)
    ask = "echo | nc -w 2 %s 53" % gateway  # the bridge's address is one of the machine's, so the host port answers there
    apply(node, "peer")
    node.until("peer", ask, "of the pod")
    configure(node, own)
    apply(node, "second")  # starts it
    named.until("taker.default.svc.cluster.local", (0, [ip]))
    assert node.sh("second", "nslookup taker.default.svc.cluster.local").count(ip) == 1
    # a mistake in the file changes nothing
    running = named.processes()
    configure(node, "resolver: maybe\n")
    until("the resolver has looked at the file", lambda: "going on with what it said before" in open(node.run + "/resolver/log").read())
    named.until("taker.default.svc.cluster.local", (0, [ip]))
    assert min(running) in named.processes()
    configure(node, "resolver: false\n")
    until("no resolver", lambda: named.processes() == [])
    node.until("peer", ask, "of the pod")
    configure(node, own)


def test_the_nameservers_are_followed_whatever_their_file_is_called(node, named, tmp_path):
    link, between, file = tmp_path / "servers", tmp_path / "links" / "current", tmp_path / "files" / "upstream-1"
    for path in between, file:
        path.parent.mkdir()
    file.write_text("nameserver 127.7.7.7\n")
    between.symlink_to(file)
    link.symlink_to("links/current")
    configure(node, "resolver: true\nresolvConf: %s\n" % link)
    apply(node, "curious")
    named.until("curious.default.svc.cluster.local", (0, [node.get("curious")["status"]["podIP"]]))
    file.write_text("nameserver %s\n" % named.upstream.address)  # written
    named.until("one.example.org", (0, ["192.0.2.53"]))
    file.write_text("nameserver 127.7.7.7\n")
    named.until("two.example.org", (2, []))
    other = tmp_path / "files" / "upstream-2"
    other.write_text("nameserver %s\n" % named.upstream.address)
    between.with_name("new").symlink_to(other)
    os.rename(between.with_name("new"), between)  # the link between leads elsewhere
    named.until("three.example.org", (0, ["192.0.2.53"]))


def test_a_resolver_that_cannot_listen_says_so(node, named):
    apply(node, "first")
    named.until("first.default.svc.cluster.local", (0, [node.get("first")["status"]["podIP"]]))
    assert "Names are answered by husk-resolver\n" in node.husk("network").out
    parent, = (pid for pid in named.processes() if int(open("/proc/%d/stat" % pid).read().split()[3]) not in named.processes())
    child, = set(named.processes()) - {parent}
    os.kill(parent, signal.SIGSTOP)  # so that its child is not started anew
    try:
        os.kill(child, signal.SIGKILL)
        until("its end", lambda: open("/proc/%d/stat" % child).read().split()[2] == "Z")  # its sockets are closed then
        taken = socket.create_server((gateway_of(node), 53))
    finally:
        os.kill(parent, signal.SIGCONT)
    with taken:
        until("that it does not run", lambda: "which does not run: see " in node.husk("network").out)
        until("why", lambda: "listen on port 53" in open(node.run + "/resolver/log").read())
    until("that it runs", lambda: "Names are answered by husk-resolver\n" in node.husk("network").out)


def test_servers_and_domain_may_be_named_instead(node):
    path = node.root + "/config.yaml"
    os.makedirs(node.root, exist_ok=True)
    try:
        with open(path, "w") as f:
            f.write("clusterDNS: [10.96.0.10, fd00::10]\nclusterDomain: pods.test\n")
        apply(node, "elsewhere", "  subdomain: sub")
        assert node.sh("elsewhere", "head -3 /etc/resolv.conf").splitlines()[:3:2] == [
            "search default.svc.pods.test svc.pods.test pods.test" + "".join(
                " " + s for line in open("/etc/resolv.conf") if line.startswith("search") for s in line.split()[1:]), "nameserver fd00::10"]
        assert "elsewhere.sub.default.svc.pods.test" in node.sh("elsewhere", "cat /etc/hosts")
        assert node.of_program("husk-resolver") == []
    finally:
        node.delete_all()
        os.unlink(path)
