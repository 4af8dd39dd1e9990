"""CNI plugins that hang, lie, fail and leave things behind; supervisors that die while they work."""
import json
import os
import signal

from conftest import until
from test_cni import FAILURE, POD, apply, bridge, cni, records, remove_bridge  # noqa: F401 (cni is a fixture)


def sleepers(node, seconds):
    """Processes of a plugin of this test that sleep for so long."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
            with open("/proc/%s/environ" % pid, "rb") as f:
                known = f.read()
        except OSError:
            continue
        if words[:2] == [b"sleep", b"%d" % seconds] and any(uid.encode() in known for uid in node.uids_seen()):
            found.append(int(pid))
    return found


def apply_hanging(node, cni, name, spec=""):
    node.apply(POD % (name, "{}", "[]") + spec)
    node.remember(name)
    until("the plugin hangs", lambda: sleepers(node, 1001))


def test_a_pod_that_is_deleted_while_a_plugin_hangs_goes_at_once(node, cni):
    cni({"type": "recorder"}, seconds=600)
    cni.do("hang-ADD")
    apply_hanging(node, cni, "cni-a")
    assert node.get("cni-a")["status"]["phase"] == "Pending"
    node.husk("delete", "pod", "cni-a", timeout=20)
    node.nothing_left()
    assert cni.commands() == ["ADD", "DEL"] and cni.calls()[1][2].startswith("/proc/")  # while its namespace is there
    assert not sleepers(node, 1001) and records(node) == []


def test_a_hanging_plugin_holds_up_nothing_else_of_the_pod(node, cni):
    cni({"type": "recorder"}, seconds=600)
    cni.do("hang-ADD")
    apply_hanging(node, cni, "cni-b", "  activeDeadlineSeconds: 1\n")
    pod = node.phase("cni-b", "Failed", timeout=20)
    assert pod["status"]["reason"] == "DeadlineExceeded"
    until("it is taken back", lambda: cni.commands() == ["ADD", "DEL"] and records(node) == [])


def test_a_plugin_that_takes_too_long_is_killed_with_what_it_started_and_said_so(node, cni):
    cni({"type": "recorder"}, seconds=1)
    cni.do("hang-ADD")
    node.apply(POD % ("cni-c", "{}", "[]"))
    node.remember("cni-c")
    node.told('after 1 s (cniTimeoutSeconds): CNI plugin "recorder": ADD did not end in time and was killed')
    until("it is gone", lambda: not sleepers(node, 1001))
    assert cni.commands()[:2] == ["ADD", "DEL"]
    cni.undo("hang-ADD")
    node.running("cni-c")
    cni.do("hang-DEL")
    node.husk("delete", "pod", "cni-c", "--grace-period=0", timeout=30)  # goes, and stays on record
    assert len(records(node)) == 1
    cni.undo("hang-DEL")
    before = len(cni.calls())
    apply(node, "cni-d")
    assert cni.commands()[before:] == ["DEL", "ADD"] and len(records(node)) == 1


def test_who_says_try_again_later_is_asked_again(node, cni):
    cni({"type": "recorder"})
    cni.do("once-fail-ADD")
    apply(node, "cni-e")
    assert cni.commands() == ["ADD", "DEL", "ADD"]
    assert any("busy (try again later)" in e["message"] for e in node.events("cni-e"))
    cni.do("once-fail-DEL")
    node.husk("delete", "pod", "cni-e", "--grace-period=0")
    node.nothing_left()
    assert cni.commands()[3:] == ["DEL", "DEL"] and records(node) == []


def test_a_plugin_that_prints_nonsense_or_no_end_of_it_is_told_of(node, cni):
    cni({"type": "recorder"})
    cni.do("garbage-ADD")
    node.apply(POD % ("cni-f", "{}", "[]"))
    node.remember("cni-f")
    node.told('CNI plugin "recorder": ADD printed no result but "no? [31m JSON"')
    cni.do("big-ADD")
    cni.undo("garbage-ADD")
    node.told("ADD printed more than 1024 KiB", timeout=60)
    cni.undo("big-ADD")
    node.running("cni-f", timeout=60)


def test_who_a_plugin_leaves_behind_with_its_output_open_holds_nothing_up(node, cni):
    cni({"type": "recorder"})
    cni.do("child-ADD")
    apply(node, "cni-g")
    left = sleepers(node, 1002)
    assert len(left) == 1  # it may have been meant to stay
    os.kill(left[0], signal.SIGKILL)


def test_a_supervisor_that_is_killed_while_plugins_work_takes_back_and_begins_anew(node, cni):
    cni({"type": "recorder"}, {"type": "recorder"}, seconds=600)
    cni.do("hang-ADD")
    apply_hanging(node, cni, "cni-k")
    uid = node.get("cni-k")["metadata"]["uid"]
    cni.undo("hang-ADD")
    os.kill(node.of_program("husk-pod", uid)[0], signal.SIGKILL)
    node.running("cni-k")
    assert not sleepers(node, 1001)
    assert cni.commands() == ["ADD", "DEL", "DEL", "ADD", "ADD"]
    cni.do("hang-DEL")
    node.husk("delete", "pod", "cni-k", "--grace-period=0", "--wait=false")
    until("the plugin hangs", lambda: sleepers(node, 1001))
    cni.undo("hang-DEL")
    os.kill(node.of_program("husk-pod", uid)[0], signal.SIGKILL)
    node.nothing_left(timeout=30)
    assert not sleepers(node, 1001) and records(node) == [] and cni.commands()[5:] == ["DEL", "DEL", "DEL"]


def test_an_infra_process_that_dies_meanwhile_ends_the_attachment(node, cni):
    cni({"type": "recorder"}, seconds=600)
    cni.do("hang-ADD")
    apply_hanging(node, cni, "cni-l")
    namespace = cni.calls()[0][2]
    os.kill(int(namespace.split("/")[2]), signal.SIGKILL)
    until("it is taken back", lambda: cni.commands()[:2] == ["ADD", "DEL"])
    cni.undo("hang-ADD")
    node.running("cni-l")
    assert not sleepers(node, 1001)


def test_plugins_that_are_not_ready_make_the_node_not_ready_and_are_shown(node, cni):
    cni({"type": "recorder"}, version="1.1.0")
    cni.do("fail-STATUS", '{"code": 51, "msg": "the controller is away"}')
    node.apply(POD % ("cni-t", "{}", "[]"))
    node.remember("cni-t")
    words = 'CNI plugin "recorder": STATUS failed: the controller is away (the plugin is not available, and existing pods'
    node.told("the network is not ready: " + words)
    assert "ADD" not in cni.commands()

    def ready():
        item = json.loads(node.husk("get", "nodes", "-o", "json").out)["items"][0]
        return next(c for c in item["status"]["conditions"] if c["type"] == "Ready")
    assert ready()["status"] == "False" and ready()["reason"] == "KubeletNotReady"
    assert "reason:NetworkPluginNotReady message:Network plugin returns error: " + words in ready()["message"]
    assert "NotReady" in node.husk("get", "nodes").out
    assert "Not ready: " in node.husk("network").out and words in node.husk("network").out
    cni.undo("fail-STATUS")
    node.running("cni-t")
    assert ready()["status"] == "True" and "Not ready" not in node.husk("network").out
    seen = json.loads(node.husk("network", "-o", "json").out)["cni"]
    assert seen["ready"] is True and seen["summary"].endswith("10-test.conflist: recorder") and "message" not in seen


def test_a_del_halts_at_the_plugin_that_fails_so_that_no_address_is_given_away_too_early(node, cni):
    cni({"type": "recorder"}, {"type": "recorder"})
    apply(node, "cni-m")
    cni.do("fail-DEL", FAILURE.replace("11", "100"))
    os.kill(node.infra("cni-m"), signal.SIGKILL)
    until("DEL is tried", lambda: cni.commands().count("DEL") >= 2)
    assert "ADD" not in cni.commands()[2:]  # never twice without a DEL between
    cni.undo("fail-DEL")
    node.running("cni-m", timeout=60)
    assert cni.commands()[-4:] == ["DEL", "DEL", "ADD", "ADD"]


def test_a_pod_goes_from_plugins_to_husks_own_network(node, cni):
    cni({"type": "recorder"})
    apply(node, "cni-n")
    os.unlink(node.root + "/config.yaml")
    os.kill(node.infra("cni-n"), signal.SIGKILL)
    until("DEL", lambda: cni.commands() == ["ADD", "DEL"])
    until("its own network", lambda: node.get("cni-n")["status"]["podIP"] != "192.0.2.7" and node.running("cni-n"))
    assert records(node) == [] and os.path.exists("/sys/class/net/" + node.veth(node.get("cni-n")["metadata"]["uid"]))


def test_versions_are_negotiated_and_plugins_may_lie_beside_the_list(node, cni):
    """Debian's plugins speak 1.0.0 at most."""
    beside = cni.folder / "net.d" / ("test-" + node.tag())
    beside.mkdir()
    (beside / "20-more.conf").write_text(json.dumps({"type": "recorder", "capabilities": {"dns": True, "cgroupPath": True, "io.kubernetes.cri.pod-annotations": True}}))
    cni.do("version", '{"cniVersion": "1.1.0", "supportedVersions": ["1.0.0", "1.1.0"]}')
    cni(bridge(node, cni.folder), version="0.4.0", cniVersions=["1.1.0", "1.0.0", "0.4.0"])
    try:
        pod = apply(node, "cni-o", annotations="{example.com/a: b}")
        told = cni.input("ADD")
        assert told["cniVersion"] == "1.0.0" and told["prevResult"]["ips"][0]["address"].startswith("10.213.")
        given = told["runtimeConfig"]
        assert given["io.kubernetes.cri.pod-annotations"]["example.com/a"] == "b" and pod["metadata"]["uid"] in given["cgroupPath"]
        resolv = node.sh("cni-o", "cat /etc/resolv.conf")
        assert all("nameserver " + s in resolv for s in given["dns"]["servers"])
        node.husk("delete", "pod", "cni-o", "--grace-period=0")
        node.nothing_left()
    finally:
        remove_bridge(node)


def test_addresses_that_are_asked_for_reach_the_plugin_that_can_give_them(node, cni):
    static = bridge(node, cni.folder)
    static["ipam"] = {"type": "static"}
    cni(dict(static, capabilities={"ips": True, "mac": True}), version="0.3.1")
    try:
        pod = apply(node, "cni-p", annotations='{cni.husk/ips: "198.51.100.9/24", cni.husk/mac: "02:00:00:00:00:09"}')
        assert pod["status"]["podIP"] == "198.51.100.9"
        assert node.sh("cni-p", "cat /sys/class/net/eth0/address") == "02:00:00:00:00:09"
        node.apply(POD % ("cni-q", '{cni.husk/ips: "198.51.100.9/x"}', "[]"))
        node.remember("cni-q")
        node.told("has to be IP addresses")
        cni(static)
        node.apply(POD % ("cni-r", '{cni.husk/ips: "198.51.100.9/24"}', "[]"))
        node.remember("cni-r")
        node.told('has the capability "ips"')
        os.unlink(node.root + "/config.yaml")
        node.apply(POD % ("cni-s", '{cni.husk/ips: "198.51.100.9/24"}', "[]"))
        node.remember("cni-s")
        node.told("it is for CNI plugins, and here husk makes the network itself")
    finally:
        node.husk("delete", "pod", "--all", "--grace-period=0", check=False)
        remove_bridge(node)
