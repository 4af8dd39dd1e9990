"""Requests and limits reach the kernel, on cgroup v1, hybrid and v2 alike; what a container may do by default is Kubernetes' least."""
import json
import os

import pytest

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  containers:
  - name: a
    image: localhost/husk/busybox:1
    command: [sh, -c, "%s"]
    resources: %s
    securityContext: %s
"""
V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def pod(node, name, command="sleep 100000", resources=None, security=None):
    node.apply(POD % (name, command, json.dumps(resources or {}), json.dumps(security or {})))
    return node.running(name)


def value(node, name, v1, v2):
    """A control file of the container's cgroup, as the container sees it."""
    return node.sh(name, "cat /sys/fs/cgroup/" + (v2 if V2 else v1))


def test_limits_are_the_kernels(node):
    p = pod(node, "limits", resources={"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}})
    assert value(node, "limits", "memory/memory.limit_in_bytes", "memory.max") == str(64 << 20)
    if V2:
        assert node.sh("limits", "cat /sys/fs/cgroup/cpu.max") == "50000 100000"
        assert node.sh("limits", "cat /sys/fs/cgroup/cpu.weight") == "10"
    else:
        assert node.sh("limits", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us").split() == ["50000", "100000"]
        assert node.sh("limits", "cat /sys/fs/cgroup/cpu/cpu.shares") == "256"
    assert p["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize("name,resources,qos", [
    ("qos-none", {}, "BestEffort"), ("qos-some", {"requests": {"cpu": "1m"}}, "Burstable"),
    ("qos-all", {"limits": {"cpu": "1", "memory": "64Mi"}}, "Guaranteed")])
def test_the_qos_class_decides_the_cgroup(node, name, resources, qos):
    p = pod(node, name, resources=resources)
    assert p["status"]["qosClass"] == qos
    uid = p["metadata"]["uid"]
    found = {at.split("/pod" + uid)[0] for at, _, _ in os.walk("/sys/fs/cgroup") if "pod" + uid in at}
    assert found, "no cgroup of the pod"
    word = {"BestEffort": "besteffort", "Burstable": "burstable"}.get(qos)
    for path in found:
        last = os.path.basename(path)
        assert last == word if word else last not in ("besteffort", "burstable"), path


def test_too_much_memory_is_an_oom_kill(node):
    node.apply(POD % ("oom", "exec tail /dev/zero", json.dumps({"limits": {"memory": "16Mi"}}), "{}"))
    p = node.phase("oom", "Failed")
    ended = p["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_the_least_by_default(node):
    pod(node, "least")
    out = dict(line.split(":\t", 1) for line in node.sh("least", "cat /proc/1/status").splitlines() if ":\t" in line)
    assert out["CapEff"].lstrip("0") == "a80425fb" and out["CapBnd"].lstrip("0") == "a80425fb"
    assert int(out["CapInh"], 16) == 0 and int(out["CapAmb"], 16) == 0
    assert out["Seccomp"] == "2"
    # masked and read-only places
    assert node.sh("least", "cat /proc/kcore 2>/dev/null | wc -c") == "0"
    assert node.exec("least", "sh", "-c", "echo 1 > /proc/sys/kernel/panic", check=False).code != 0
    assert node.exec("least", "mount", "-t", "tmpfs", "none", "/tmp", check=False).code != 0
    # and nothing of the host among the descriptors
    assert set(node.sh("least", "ls /proc/1/fd").split()) <= {"0", "1", "2"}


def test_what_may_be_asked_for(node):
    pod(node, "asked", security={"runAsUser": 1000, "runAsGroup": 2000, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                                 "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "Unconfined"}})
    assert node.sh("asked", "id -u; id -g").split() == ["1000", "2000"]
    status = node.sh("asked", "grep -E 'NoNewPrivs|CapBnd|Seccomp:' /proc/1/status")
    assert "NoNewPrivs:\t1" in status and "CapBnd:\t0000000000000000" in status and "Seccomp:\t0" in status
    assert node.exec("asked", "touch", "/x", check=False).code != 0


def test_privileged_is_all_of_it(node):
    pod(node, "privileged", security={"privileged": True})
    with open("/proc/self/status") as f:
        own = [line for line in f if line.startswith("CapBnd")][0].split()[1]
    assert node.sh("privileged", "grep CapEff /proc/1/status").split()[1] == own
    node.sh("privileged", "mkdir /m && mount -t tmpfs none /m && umount /m")
    assert node.sh("privileged", "ls /dev").split().count("kmsg") == os.path.exists("/dev/kmsg")
