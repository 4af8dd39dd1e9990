"""RuntimeClass: another OCI runtime for a pod, what it costs beside the containers, and where it is to be had."""
import os
import shutil

import pytest

from conftest import until
from test_resources import Cgroup, container, events, pod, resize, resized, weight

RUNC = shutil.which("runc")
CLASS = "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: %s}\nhandler: %s\n%s"


@pytest.fixture(autouse=True)
def classes(node):
    yield
    node.delete_all()
    node.husk("delete", "runtimeclasses", "--all")


@pytest.fixture
def wrapped(node, tmp_path):
    """A handler whose program is crun under another name, which writes down what it is asked for."""
    folder, calls = tmp_path, tmp_path / "calls"
    program = folder / "traced"
    program.write_text("#!/bin/sh\necho \"$*\" >> %s\nexec %s \"$@\"\n" % (calls, shutil.which("crun")))
    program.chmod(0o755)
    config = os.path.join(node.root, "config.yaml")
    with open(config, "w") as f:
        f.write("runtimeHandlers:\n  traced: %s\n  gone: %s/gone\n%s" % (program, folder, "  runc: %s\n" % RUNC if RUNC else ""))
    yield lambda: calls.read_text() if calls.exists() else ""
    os.unlink(config)


def test_runtime_class(node, wrapped):
    """runtimeClassName: the handler's program starts, enters and ends the containers, and its cost is the pod's overhead."""
    node.apply(CLASS % ("traced", "traced", "overhead: {podFixed: {cpu: 100m, memory: 16Mi}}"))
    p = pod(node, "classed", container("a", {"limits": {"cpu": "200m", "memory": "32Mi"}}), spec="runtimeClassName: traced")
    assert p["spec"]["overhead"] == {"cpu": "100m", "memory": "16Mi"}
    assert (Cgroup(p).memory, Cgroup(p).cpu, Cgroup(p).shares) == (48 << 20, 300, weight(307))
    assert (Cgroup(p, "a").memory, Cgroup(p, "a").cpu) == (32 << 20, 200)
    assert " run " in wrapped()
    # class and configuration may change: this pod's containers are still that program's
    node.husk("delete", "runtimeclass", "traced")
    assert node.sh("classed", "echo inside") == "inside"
    assert " exec " in wrapped()
    node.husk("delete", "pod", "classed", "--grace-period=0")
    assert " delete " in wrapped()


def test_a_runtime_that_hangs_over_a_resize_holds_nothing_up(node, wrapped, tmp_path):
    program, slow = tmp_path / "traced", tmp_path / "slow"
    program.write_text("#!/bin/sh\necho \"$*\" >> %s/calls\n[ ! -e %s ] || case \" $* \" in *\" update \"*) exec sleep 1004;; esac\nexec %s \"$@\"\n"
                       % (tmp_path, slow, shutil.which("crun")))
    node.apply(CLASS % ("traced", "traced", ""))
    pod(node, "grown", container("a", {"limits": {"cpu": "200m"}}), spec="runtimeClassName: traced")
    resize(node, "grown", {"a": {"limits": {"cpu": "300m"}}})
    p = resized(node, "grown")
    assert " update " in wrapped() and Cgroup(p, "a").cpu == 300
    slow.write_text("")
    resize(node, "grown", {"a": {"limits": {"cpu": "400m"}}})
    until("it hangs", lambda: wrapped().count(" update ") == 2)
    assert next(c for c in node.get("grown")["status"]["conditions"] if c["type"] == "PodResizeInProgress")["status"] == "True"
    assert node.sh("grown", "echo inside") == "inside"
    node.husk("delete", "pod", "grown", "--grace-period=0", timeout=20)  # less than it may take
    node.nothing_left()


def test_nobody_enters_a_pod_with_another_runtime_than_its_own(node, wrapped):
    node.apply(CLASS % ("traced", "traced", ""))
    p = pod(node, "classed", container("a"), spec="runtimeClassName: traced")
    record = os.path.join(node.run, "pods", p["metadata"]["uid"], "oci-program")
    os.rename(record, record + ".aside")
    r = node.exec("classed", "true", check=False)
    assert r.code == 1 and record in r.err and 'RuntimeClass "traced", cannot be read' in r.err
    os.rename(record + ".aside", record)
    assert node.sh("classed", "echo inside") == "inside"


def test_the_runtime_of_the_environment_is_the_pods_for_all(node, wrapped, tmp_path):
    """HUSK_RUNTIME of whoever started the pod: who comes later need not know of it."""
    node.env["HUSK_RUNTIME"] = str(tmp_path / "traced")
    try:
        pod(node, "asked", container("a"))
    finally:
        del node.env["HUSK_RUNTIME"]
    assert " run " in wrapped() and " exec " not in wrapped()
    assert node.sh("asked", "echo inside") == "inside"
    assert " exec " in wrapped()


def test_a_class_that_is_not_there(node):
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: lost}\nspec:\n  runtimeClassName: lost\n  containers: [{name: a, image: x}]\n"
    r = node.fails("apply", "-f", "-", input=text)
    assert 'spec.runtimeClassName: Forbidden: pod rejected: RuntimeClass "lost" not found' in r.err
    assert node.get("lost") is None


def test_overhead(node, wrapped):
    """spec.overhead is that of the class, on top of the containers' limits in the pod's cgroup; any other is refused."""
    node.apply(CLASS % ("heavy", "traced", "overhead: {podFixed: {cpu: 100m, memory: 16Mi}}"))
    p = pod(node, "right", container("a", {"limits": {"cpu": "200m", "memory": "32Mi"}}),
            spec="runtimeClassName: heavy\noverhead: {cpu: 100m, memory: 16Mi}")
    assert (Cgroup(p).memory, Cgroup(p).cpu) == (48 << 20, 300)
    text = ("apiVersion: v1\nkind: Pod\nmetadata: {name: wrong}\nspec:\n  runtimeClassName: heavy\n  overhead: {cpu: 1m}\n"
            "  containers: [{name: a, image: x}]\n")
    r = node.fails("apply", "-f", "-", input=text)
    assert "spec.overhead: Forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead" in r.err


def test_overhead_without_a_class_is_refused(node):
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: heavy}\nspec:\n  overhead: {cpu: 1m}\n  containers: [{name: a, image: x}]\n"
    assert "Pod Overhead set without corresponding RuntimeClass defined Overhead" in node.fails("apply", "-f", "-", input=text).err


def test_a_class_and_its_pod_in_one_file(node, wrapped):
    """A handler that the node does not have keeps the pod waiting, until the configuration names it."""
    pod_text = ("---\napiVersion: v1\nkind: Pod\nmetadata: {name: early}\nspec:\n  terminationGracePeriodSeconds: 0\n  runtimeClassName: later\n"
                "  containers: [{name: a, image: 'localhost/husk/busybox:1', command: [sleep, '100000']}]\n")
    node.apply(pod_text + "---\n" + CLASS % ("later", "later", ""))
    node.wait("early", "an event", lambda _: any(
        r == "FailedCreatePodSandBox" and 'no runtime for "later" is configured' in m and "runtimeHandlers" in m for r, m in events(node, "early")))
    with open(os.path.join(node.root, "config.yaml"), "a") as f:
        f.write("  later: crun\n")
    node.running("early", timeout=60)
    assert node.husk("get", "runtimeclasses", "--no-headers").out.split()[:2] == ["later", "later"]


def test_a_program_that_is_not_there(node, wrapped):
    node.apply(CLASS % ("gone", "gone", ""))
    pod(node, "orphan", container("a"), spec="runtimeClassName: gone", wait=False)
    node.wait("orphan", "an event", lambda _: any("is not there or cannot be executed" in m for _, m in events(node, "orphan")))


def test_the_handler_of_a_class_is_immutable(node):
    node.apply(CLASS % ("fixed", "one", ""))
    assert "handler: Invalid value" in node.fails("apply", "-f", "-", input=CLASS % ("fixed", "two", "")).err


def test_a_class_says_where_it_is_to_be_had(node):
    node.apply(CLASS % ("far", "far", "scheduling: {nodeSelector: {far: 'yes'}}"))
    pod(node, "far", container("a"), spec="runtimeClassName: far", wait=False)
    p = node.wait("far", "a reason", lambda p: any(c["type"] == "PodScheduled" and c["status"] == "False" for c in p["status"].get("conditions", [])))
    assert p["spec"]["nodeSelector"] == {"far": "yes"}


@pytest.mark.skipif(not RUNC, reason="runc is not installed")
def test_runc(node, wrapped):
    node.apply(CLASS % ("runc", "runc", ""))
    p = pod(node, "runc", container("a", {"limits": {"memory": "32Mi"}}), spec="runtimeClassName: runc")
    assert Cgroup(p, "a").memory == 32 << 20
    assert node.sh("runc", "echo inside") == "inside"
