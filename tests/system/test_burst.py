"""Many pods at one moment: all of them run, at the first try."""
import glob
import os
import shutil
import subprocess
import threading

import pytest

import conftest
from conftest import HUSK, TOP, sleeper, until

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


def never_failed(node):
    assert not [e["message"] for e in node.events() if e["type"] != "Normal"]


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
    never_failed(fresh)
    os.rmdir(unfilled + "/elsewhere")


PROGRAMS = ["husk", "husk-keeper", "husk-pod", "husk-infra", "husk-image", "husk-probe"]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """husk in a folder of its own, and `scripts/install-over` ready to install it again: with a meson that only copies."""
    for folder in ("bin", "top"):
        (tmp_path / folder).mkdir()
    for program in PROGRAMS:
        shutil.copy2(os.path.join(os.path.dirname(HUSK), program), tmp_path / "top")
    meson = tmp_path / "bin" / "meson"
    meson.write_text("#!/bin/sh\ncd %s && cp -p %s \"$DESTDIR\"\n" % (os.path.dirname(HUSK), " ".join(PROGRAMS)))
    meson.chmod(0o755)
    monkeypatch.setattr(conftest, "HUSK", str(tmp_path / "top" / "husk"))
    return str(tmp_path)


def install_over(folder):
    return subprocess.run([os.path.join(TOP, "scripts/install-over"), "build", folder + "/top"], text=True, capture_output=True,
                          env=dict(os.environ, PATH="%s/bin:%s" % (folder, os.environ["PATH"])))


def test_husk_is_installed_again_and_again_while_pods_start(fresh, installed):
    names, enough, outcomes = ["burst-%02d" % i for i in range(PODS)], threading.Event(), []

    def upgrade():
        while not enough.is_set():
            outcomes.append(install_over(installed))
    upgrader = threading.Thread(target=upgrade)
    upgrader.start()
    try:
        fresh.apply(burst(names))
        all_running(fresh, names)
    finally:
        enough.set()
        upgrader.join()
    assert outcomes and not [o for o in outcomes if o.returncode or o.stderr]
    never_failed(fresh)
    assert sorted(os.listdir(installed + "/top")) == sorted(PROGRAMS)  # nothing half done
    fresh.delete_all()


def test_what_can_be_done_of_a_file_is_done(fresh, installed):
    """One pod whose supervisor cannot be started says so; the objects beside it are made all the same."""
    os.rename(installed + "/top/husk-keeper", installed + "/husk-keeper")
    r = fresh.husk("apply", "-f", "-", input=burst(["first", "second"]) + """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: beside}
""", check=False)
    os.rename(installed + "/husk-keeper", installed + "/top/husk-keeper")
    assert r.code == 1 and r.err.count("husk-keeper: not found beside husk") == 2 and "configmap/beside created" in r.out, r
    assert fresh.husk("get", "pods", "-o", "name").out == ""
