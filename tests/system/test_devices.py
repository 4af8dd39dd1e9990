"""Devices by the Container Device Interface: `resources.limits: {vendor.com/class: N}` is N devices that no other pod has."""
import json
import os

import pytest

from conftest import BUSYBOX

LAMPS = """
cdiVersion: 0.6.0
kind: example.com/lamp
containerEdits:
  env: [LAMPS=yes]
devices:
- name: "0"
  containerEdits:
    env: [LAMP=zero]
    deviceNodes: [{path: /dev/lamp, hostPath: /dev/zero}]
    mounts: [{hostPath: %(folder)s/manual, containerPath: /manual, options: [ro, rbind]}]
- name: "1"
  containerEdits:
    env: [LAMP=one]
    deviceNodes: [{path: /dev/lamp, hostPath: /dev/full}]
    hooks: [{hookName: createRuntime, path: /bin/sh, args: [sh, -c, "cat > %(folder)s/hook"]}]
"""


@pytest.fixture
def lamps(own_node, tmp_path):
    """A node with two lamps, described in a folder of its own."""
    node = own_node
    node.load("--busybox")
    node.specs = tmp_path / "cdi"
    node.specs.mkdir()
    (tmp_path / "manual").write_text("turn left")
    with open(os.path.join(node.root, "config.yaml"), "w") as f:
        f.write("cdiSpecDirs: [%s]\n" % node.specs)
    (node.specs / "lamps.yaml").write_text(LAMPS % {"folder": tmp_path})
    yield node
    node.delete_all()
    node.nothing_left()


def pod(node, name, count, wait=True, **spec):
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": dict({
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "a", "image": BUSYBOX, "command": ["sleep", "100000"], "resources": {"limits": {"example.com/lamp": count}}}]}, **spec)}))
    return node.running(name) if wait else None


def lamp(node, name):
    return node.sh(name, "echo $LAMP $LAMPS")


def test_a_device_is_injected_as_its_specification_says(lamps, tmp_path):
    assert json.loads(lamps.husk("get", "nodes", "-o", "json").out)["items"][0]["status"]["allocatable"]["example.com/lamp"] == "2"
    pod(lamps, "zero", 1)
    assert lamp(lamps, "zero") == "zero yes"
    assert lamps.sh("zero", "head -c 3 /dev/lamp | wc -c; cat /manual") == "3\nturn left"
    pod(lamps, "one", 1)
    assert lamp(lamps, "one") == "one yes"
    assert "No space" in lamps.exec("one", "sh", "-c", "echo x > /dev/lamp", check=False).err
    assert json.loads((tmp_path / "hook").read_text())["status"] in ("creating", "created")


def test_a_device_belongs_to_one_pod_at_a_time(lamps):
    pod(lamps, "first", 1)
    pod(lamps, "second", 1)
    assert {lamp(lamps, "first"), lamp(lamps, "second")} == {"zero yes", "one yes"}
    pod(lamps, "third", 1, wait=False)
    waiting = lamps.wait("third", "Unschedulable", lambda p: any(c.get("reason") == "Unschedulable" for c in p["status"].get("conditions", [])))
    assert "Insufficient example.com/lamp" in json.dumps(waiting["status"]["conditions"])
    free = lamp(lamps, "first")
    lamps.husk("delete", "pod", "first")
    lamps.running("third")
    assert lamp(lamps, "third") == free


def test_a_pod_waits_for_a_device_until_it_is_described(lamps):
    os.rename(str(lamps.specs / "lamps.yaml"), str(lamps.specs / "off"))
    pod(lamps, "early", 2, wait=False)
    lamps.wait("early", "Unschedulable", lambda p: any(c.get("reason") == "Unschedulable" for c in p["status"].get("conditions", [])))
    os.rename(str(lamps.specs / "off"), str(lamps.specs / "lamps.yaml"))
    lamps.running("early")


def test_a_specification_that_others_may_write_offers_nothing_and_is_named(lamps):
    os.chmod(str(lamps.specs / "lamps.yaml"), 0o666)
    node = json.loads(lamps.husk("get", "nodes", "-o", "json").out)["items"][0]["status"]
    assert "example.com/lamp" not in node["allocatable"]
    assert any("lamps.yaml: others than root may write it" in c["message"] for c in node["conditions"])


def test_devices_reach_a_pod_with_users_of_its_own(lamps):
    pod(lamps, "mapped", 1, hostUsers=False)
    assert lamp(lamps, "mapped") == "zero yes"
    assert lamps.sh("mapped", "head -c 3 /dev/lamp | wc -c") == "3"


def test_annotations_give_no_device(lamps):
    """CVE-2026-53492: what asks the runtime for devices in a cluster is a word like any other here."""
    lamps.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "smuggle", "annotations": {"cdi.k8s.io/husk": "example.com/lamp=0"}}, "spec": {
        "terminationGracePeriodSeconds": 0, "containers": [{"name": "a", "image": BUSYBOX, "command": ["sleep", "100000"]}]}}))
    lamps.running("smuggle")
    assert lamp(lamps, "smuggle") == "" and lamps.exec("smuggle", "ls", "/dev/lamp", check=False).code != 0
