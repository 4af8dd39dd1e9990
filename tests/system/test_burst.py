"""Many pods at one moment: all of them run, at the first try."""
import glob
import os

import pytest

from conftest import sleeper, until

V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
PODS = 20


@pytest.fixture
def fresh(own_node):
    own_node.load("--busybox")
    yield own_node
    own_node.delete_all()
    own_node.nothing_left()


def burst(names):
    return "\n---\n".join("""apiVersion: v1
kind: Pod
metadata: {name: %s}
spec: {terminationGracePeriodSeconds: 0, containers: [%s]}""" % (name, sleeper()) for name in names)


def all_running(node, names, timeout=60):
    until(lambda: node.husk("get", "pods").out,
          lambda: node.husk("get", "pods", "--field-selector", "status.phase=Running", "-o", "name").out.split() == ["pod/" + n for n in names],
          timeout)


def cpuset(node):
    """The node's cpuset of best-effort pods, as one that has made it, and got no further, leaves it: without processors."""
    top = glob.glob("/sys/fs/cgroup/cpuset*")[0] + "/husk-" + node.tag()
    os.makedirs(top + "/besteffort/elsewhere")
    return top + "/besteffort"


@pytest.mark.skipif(V2, reason="a v2 cpuset has its parent's processors from the beginning")
def test_pods_that_come_at_one_moment_find_a_cpuset_that_nobody_has_filled(fresh):
    names = ["burst-%02d" % i for i in range(PODS)]
    unfilled = cpuset(fresh)
    with open(unfilled + "/cpuset.cpus") as f:
        assert f.read().strip() == ""
    fresh.apply(burst(names))
    all_running(fresh, names)
    assert not [e["message"] for e in fresh.events() if e["reason"] == "FailedCreatePodSandBox"]
    os.rmdir(unfilled + "/elsewhere")
