"""The pods' network made by CNI plugins: Debian's, chained, and one of our own that keeps a record and fails on purpose."""
import json
import os
import socket
import stat
import subprocess
import time

import pytest

from conftest import BUSYBOX, until

PLUGINS = "/usr/lib/cni"

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: %s
  annotations: %s
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: """ + BUSYBOX + """
    command: [sh, -c, "echo hello > /index.html; httpd -f -p 8080 -h /"]
    ports: %s
"""

RECORDER = r"""#!/bin/sh
# Writes down each call, and does what the files beside it say: for all commands but VERSION, or COMMAND alone.
cd %(dir)s
[ "$CNI_COMMAND" != VERSION ] || exec cat version
cat > input.$$
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS" >> calls
mv input.$$ input.$CNI_COMMAND
is() { [ -e $1-$CNI_COMMAND ]; }
if is once-fail; then rm once-fail-$CNI_COMMAND; echo '{"code": 11, "msg": "busy"}'; exit 1; fi
if is fail; then cat fail-$CNI_COMMAND; exit 1; fi
if is hang; then sleep 1001; fi
if is child; then sleep 1002 & fi
if is garbage; then printf 'no\377\033[31m JSON'; exit 0; fi
if is big; then head -c 3000000 /dev/zero | tr '\0' ' '; exit 0; fi
[ $CNI_COMMAND != ADD ] || echo '{"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:07", "sandbox": "x"}],
  "ips": [{"address": "192.0.2.7/24", "gateway": "192.0.2.1", "interface": 0}, {"address": "2001:db8::7/64", "interface": 0}]}'
"""

FAILURE = '{"code": 11, "msg": "not today", "details": "told to"}'


@pytest.fixture
def cni(node, tmp_path):
    """Puts the node on CNI: `cni(plugins, version=…)` writes the configuration."""
    conf, own = tmp_path / "net.d", tmp_path / "bin"
    conf.mkdir()
    own.mkdir()
    recorder = own / "recorder"
    recorder.write_text(RECORDER % {"dir": tmp_path})
    recorder.chmod(recorder.stat().st_mode | stat.S_IXUSR)
    os.makedirs(node.root, exist_ok=True)

    def write(*plugins, version="1.0.0", seconds=60, **more):
        (conf / "10-test.conflist").write_text(json.dumps({"cniVersion": version, "name": "test-" + node.tag(), "plugins": plugins, **more}))
        with open(node.root + "/config.yaml", "w") as f:
            f.write("cniConfDir: %s\ncniBinDirs: [%s, %s]\ncniTimeoutSeconds: %d\n" % (conf, own, PLUGINS, seconds))
    write.folder = tmp_path
    write.calls = lambda: [line.split() for line in (tmp_path / "calls").read_text().splitlines()] if (tmp_path / "calls").exists() else []
    write.commands = lambda: [c[0] for c in write.calls()]
    write.do = lambda what, text="": (tmp_path / what).write_text(text)
    write.undo = lambda what: (tmp_path / what).unlink()
    write.input = lambda command: json.loads((tmp_path / ("input." + command)).read_text())
    yield write
    node.delete_all()
    if os.path.exists(node.root + "/config.yaml"):
        os.unlink(node.root + "/config.yaml")


def bridge(node, folder):
    """A bridge of the test's own in a network of its own."""
    n = int(node.tag()[:2], 16)
    return {"type": "bridge", "bridge": "hkt" + node.tag(), "isGateway": True, "ipMasq": False, "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.213.%d.0/24" % n}]], "routes": [{"dst": "0.0.0.0/0"}],
                     "dataDir": str(folder / "ipam")}}


def records(node):
    return [f for f in os.listdir(node.root + "/cni") if f.endswith(".json")]


def remove_bridge(node):
    subprocess.run(["ip", "link", "del", "hkt" + node.tag()], check=False, capture_output=True)


def apply(node, name, ports="[]", annotations="{}"):
    node.apply(POD % (name, annotations, ports))
    pod = node.running(name)
    node.remember(name)
    return pod


def test_debians_plugins_make_the_network_and_take_it_back(node, cni):
    cni(bridge(node, cni.folder), {"type": "portmap", "capabilities": {"portMappings": True}})
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    try:
        pod = apply(node, "cni-a", "[{containerPort: 8080, hostPort: %d}]" % port)
        ip = pod["status"]["podIP"]
        other = apply(node, "cni-b")
        assert ip.startswith("10.213.") and other["status"]["podIP"].startswith("10.213.") and ip != other["status"]["podIP"]
        assert "inet %s/24" % ip in node.sh("cni-a", "ip -4 addr show eth0")
        assert "inet 127.0.0.1" in node.sh("cni-a", "ip addr show lo")
        assert node.sh("cni-b", "wget -q -O - http://%s:8080/" % ip) == "hello"
        gateway = ip.rsplit(".", 1)[0] + ".1"
        assert node.sh("cni-b", "wget -q -O - http://%s:%d/" % (gateway, port)) == "hello"  # the host port, by the node's address
        assert "default/cni-b: ok" in node.husk("network", "cni-b", "--check").out
        row = next(line.split() for line in node.husk("network").out.splitlines() if line.startswith("cni-a "))
        assert row[1] == ip and row[-1] == "CNI"
        subprocess.run(["nsenter", "-t", str(node.infra("cni-b")), "-n", "ip", "addr", "flush", "dev", "eth0"], check=True)
        checked = node.husk("network", "cni-b", "--check", check=False)
        assert checked.code == 1 and "CHECK failed" in checked.out
        node.husk("delete", "pod", "cni-a", "cni-b", "--grace-period=0")
        node.nothing_left()
        left = [f for _, _, files in os.walk(cni.folder / "ipam") for f in files if f.startswith("10.213.")]
        assert left == []  # every address was given back
        assert records(node) == []
    finally:
        remove_bridge(node)


def test_plugins_are_told_what_the_specification_says(node, cni):
    cni({"type": "recorder", "capabilities": {"portMappings": True, "bandwidth": True}, "mine": 1}, version="1.1.0")
    pod = apply(node, "cni-c", "[{containerPort: 8080, hostPort: 18080, protocol: TCP, hostIP: 127.0.0.1}]",
                "{kubernetes.io/ingress-bandwidth: 10M, kubernetes.io/egress-bandwidth: 1k}")
    assert [p["ip"] for p in pod["status"]["podIPs"]] == ["192.0.2.7", "2001:db8::7"]
    uid = pod["metadata"]["uid"]
    calls = cni.calls()
    assert [c[0] for c in calls] == ["STATUS", "ADD"]
    add = calls[1]
    assert add[1] == uid and add[2].startswith("/proc/") and add[2].endswith("/ns/net") and add[3] == "eth0"
    assert dict(a.split("=") for a in add[4].split(";")) == {
        "IgnoreUnknown": "1", "K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "cni-c", "K8S_POD_INFRA_CONTAINER_ID": uid, "K8S_POD_UID": uid}
    told = cni.input("ADD")
    assert told["cniVersion"] == "1.1.0" and told["name"] == "test-" + node.tag() and told["mine"] == 1 and "capabilities" not in told
    dns = told["runtimeConfig"].pop("dns", None)
    assert dns is None  # not of a capability that the plugin does not have
    assert told["runtimeConfig"] == {
        "portMappings": [{"hostPort": 18080, "containerPort": 8080, "protocol": "tcp", "hostIP": "127.0.0.1"}],
        "bandwidth": {"ingressRate": 10000000, "ingressBurst": 2147483647, "egressRate": 1000, "egressBurst": 2147483647}}
    node.husk("delete", "pod", "cni-c", "--grace-period=0")
    node.nothing_left()
    assert [c[0] for c in cni.calls()][2:] == ["DEL"]
    assert cni.input("DEL")["prevResult"]["ips"][0]["address"] == "192.0.2.7/24"


def test_a_plugin_that_fails_is_quoted_and_everything_is_taken_back(node, cni):
    cni({"type": "recorder"}, {"type": "recorder"})
    cni.do("fail-ADD", FAILURE)
    node.apply(POD % ("cni-d", "{}", "[]"))
    node.remember("cni-d")
    node.told("not today: told to")
    assert [c[0] for c in cni.calls()][:3] == ["ADD", "DEL", "DEL"]
    cni.undo("fail-ADD")
    node.running("cni-d")  # tried again
    cni.do("fail-DEL", FAILURE)
    node.husk("delete", "pod", "cni-d", "--grace-period=0", "--force", check=False)
    assert records(node)  # it stays on record
    cni.undo("fail-DEL")
    before = len(cni.calls())
    cni({"type": "recorder"}, version="1.1.0")
    apply(node, "cni-e")  # whoever comes next takes the dead pod's network back, and lets the plugins compare
    commands = [c[0] for c in cni.calls()[before:]]
    assert commands.count("DEL") >= 1 and commands[-1] == "ADD" and "GC" in commands
    assert len(records(node)) == 1


def test_what_was_attached_before_a_reboot_is_taken_back(node, cni):
    """After a reboot the plugins' addresses are still reserved, the namespaces gone, and their numbers given anew."""
    cni({"type": "recorder"})
    pod = apply(node, "cni-r")
    uid = pod["metadata"]["uid"]
    path = "%s/cni/%s.json" % (node.root, uid)
    record = json.load(open(path))
    record["boot"] = "another"
    json.dump(record, open(path, "w"))
    before = len(cni.calls())
    os.kill(node.infra("cni-r"), 9)  # a new sandbox: nothing of the old record may be believed
    until("the network is made anew", lambda: "ADD" in [c[0] for c in cni.calls()[before:]])
    calls = cni.calls()[before:]
    assert calls[0][0] == "DEL" and len(calls[0]) == 4  # CNI_NETNS is empty
    node.running("cni-r")


def test_a_host_port_that_no_plugin_carries_out_is_refused(node, cni):
    cni({"type": "recorder"})
    node.apply(POD % ("cni-f", "{}", "[{containerPort: 8080, hostPort: 18081}]"))
    node.remember("cni-f")
    node.told("no plugin of")
    assert cni.calls() == []


def test_a_missing_configuration_or_plugin_says_what_to_do(node, cni):
    cni({"type": "nowhere"})
    node.apply(POD % ("cni-g", "{}", "[]"))
    node.remember("cni-g")
    node.told("apt-get install containernetworking-plugins")
    os.unlink(cni.folder / "net.d/10-test.conflist")
    node.told("there is no CNI configuration", timeout=60)


def test_a_damaged_record_is_named_and_what_husk_made_itself_goes_all_the_same(node):
    node.apply(POD % ("damaged", "{}", "[]"))
    uid = node.running("damaged")["metadata"]["uid"]
    node.remember("damaged")
    folder = os.path.join(node.root, "cni")
    os.makedirs(folder, exist_ok=True)
    record, unfinished = os.path.join(folder, uid + ".json"), os.path.join(folder, ".%s.json.1.1.tmp" % uid)
    for path in record, unfinished:
        with open(path, "w") as f:
            f.write("{")
    node.husk("delete", "pod", "damaged", "--force", "--grace-period=0")  # by no configuration can anything be taken back
    node.nothing_left()
    assert not os.path.exists(record) and not os.path.exists(unfinished)


def test_a_damaged_record_heals_and_is_taken_back_without_its_result(node, cni):
    cni({"type": "recorder"})
    uid = apply(node, "cni-h")["metadata"]["uid"]
    path = "%s/cni/%s.json" % (node.root, uid)
    with open(path, "w") as f:
        f.write('{"config": {"name": "x"')
    before = len(cni.calls())
    os.kill(node.infra("cni-h"), 9)  # a new sandbox
    until("the network is made anew", lambda: "ADD" in cni.commands()[before:])
    assert cni.commands()[before:] == ["DEL", "ADD"]
    call, told = cni.calls()[before], cni.input("DEL")
    assert call[1] == uid and call[2] == "eth0" and "K8S_POD_NAME=cni-h" in call[-1]  # no CNI_NETNS
    assert "prevResult" not in told and told["name"] == "test-" + node.tag()
    node.running("cni-h")
    log = open(os.path.join(node.run, "pods", uid, "supervisor.log")).read()
    assert log.count(path + ": it is damaged") == 1
    assert json.load(open(path))["result"]["ips"]
    with open(path, "w") as f:
        f.write("[]")
    node.husk("delete", "pod", "cni-h", "--grace-period=0")
    node.nothing_left()
    assert records(node) == [] and cni.commands()[-1] == "DEL"


def test_husk_network_shows_who_is_connected_to_what(node):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    pod = apply(node, "net-a", "[{containerPort: 8080, hostPort: %d, hostIP: 127.0.0.1}]" % port)
    uid, ips = pod["metadata"]["uid"], [i["ip"] for i in pod["status"]["podIPs"]]
    seen = json.loads(node.husk("network", "net-a", "-o", "json").out)
    assert seen["bridge"] == "hk" + node.tag() and seen["up"] is True
    entry, = seen["pods"]
    assert entry["uid"] == uid and entry["hostInterface"] == node.veth(uid) and entry["madeBy"] == "husk"
    assert [entry["ipv4"]] + ([entry["ipv6"]] if entry["ipv6"] else []) == ips
    assert entry["mac"] == node.sh("net-a", "cat /sys/class/net/eth0/address")
    assert entry["hostPorts"] == [{"protocol": "TCP", "hostIP": "127.0.0.1", "hostPort": port, "containerPort": 8080}]
    details = node.husk("network", "inspect", "net-a").out
    assert all(word in details for word in ("default/net-a\n", ips[0], seen["pods"][0]["gateway4"], seen["pods"][0]["hostInterface"],
                                            "on bridge " + seen["bridge"], "state:       ok")), details
    assert node.husk("network", "ls").out == node.husk("network").out
    text = node.husk("network").out
    assert "127.0.0.1:%d->8080/TCP" % port in text and ips[0] in text
    assert node.husk("network", "--check").out == "default/net-a: ok\n"
    assert "has no network of its own" in node.fails("network", "nobody").err
    subprocess.run(["ip", "link", "del", node.veth(uid)], check=True)
    broken = node.husk("network", "net-a", "--check", check=False)
    assert broken.code == 1 and "its interface %s on this machine is gone" % node.veth(uid) in broken.out


def test_bandwidth_annotations_hold_the_pod_back(node):
    node.apply(POD % ("slow", "{kubernetes.io/egress-bandwidth: 8M, kubernetes.io/ingress-bandwidth: 16M}", "[]"))
    pod = node.running("slow")
    node.remember("slow")
    host = subprocess.run(["tc", "qdisc", "show", "dev", node.veth(pod["metadata"]["uid"])], capture_output=True, text=True, check=True).stdout
    assert "tbf" in host and "rate 16Mbit" in host
    pid = node.infra("slow")
    inside = subprocess.run(["nsenter", "-t", str(pid), "-n", "tc", "qdisc", "show", "dev", "eth0"], capture_output=True, text=True, check=True).stdout
    assert "tbf" in inside and "rate 8Mbit" in inside
    # What it holds back: 1 MB/s; two megabytes beyond the burst take more than one second.
    node.sh("slow", "dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null")
    start = time.time()
    with socket.create_connection((pod["status"]["podIP"], 8080), 10) as s:
        s.sendall(b"GET /big HTTP/1.0\r\n\r\n")
        got = 0
        while True:
            data = s.recv(65536)
            if not data:
                break
            got += len(data)
    assert got > 3 << 20 and time.time() - start > 1
    node.apply(POD % ("wrong", "{kubernetes.io/egress-bandwidth: '10'}", "[]"))
    node.remember("wrong")
    node.told("has to be a number of bits a second from 1k to 1P")
