"""securityContext: each field reaches the kernel as Kubernetes says, or the pod is refused in Kubernetes' words."""
import json
import os
import time

import pytest

from conftest import BUSYBOX

SLEEP = ["sleep", "100000"]


def pod(node, name, security=None, pod_security=None, command=SLEEP, spec=None, more=None, wait=True, image=BUSYBOX):
    """A pod of one container; what is given is merged into its security contexts, its spec and its container."""
    container = dict({"name": "a", "image": image, "command": command, "securityContext": security or {}}, **(more or {}))
    body = {"terminationGracePeriodSeconds": 0, "securityContext": pod_security or {}, "containers": [container]}
    body.update(spec or {})
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}))
    return node.running(name) if wait else None


def status_line(node, name, key):
    return node.sh(name, "grep '^%s:' /proc/1/status" % key).split()[1:]


# ---- who it runs as ----

def test_run_as_user_is_the_containers_then_the_pods(node):
    pod(node, "user", pod_security={"runAsUser": 1001})
    assert status_line(node, "user", "Uid")[0] == "1001"
    pod(node, "user-own", security={"runAsUser": 1002}, pod_security={"runAsUser": 1001})
    assert status_line(node, "user-own", "Uid")[0] == "1002"


def test_run_as_group_is_the_containers_then_the_pods(node):
    pod(node, "group", pod_security={"runAsUser": 1, "runAsGroup": 2001})
    assert status_line(node, "group", "Gid")[0] == "2001"
    pod(node, "group-own", security={"runAsGroup": 2002}, pod_security={"runAsUser": 1, "runAsGroup": 2001})
    assert status_line(node, "group-own", "Gid")[0] == "2002"


@pytest.mark.parametrize("where", ["pod", "container"])
def test_run_as_non_root_keeps_root_from_starting(node, where):
    wanted = {"runAsNonRoot": True}
    pod(node, "nonroot", security=wanted if where == "container" else None, pod_security=wanted if where == "pod" else None, wait=False)
    p = node.wait("nonroot", "refusal", lambda p: any(s["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"
                                                      for s in p["status"].get("containerStatuses", [])))
    assert "container has runAsNonRoot and image will run as root" in p["status"]["containerStatuses"][0]["state"]["waiting"]["message"]


# ---- what it may do ----

def test_capabilities_are_added_and_dropped(node):
    pod(node, "caps", security={"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CAP_KILL"]}})
    assert [int(v, 16) for v in status_line(node, "caps", "CapEff") + status_line(node, "caps", "CapBnd")] == [1 << 10 | 1 << 5] * 2


def test_privileged_has_all_capabilities_and_the_devices(node):
    pod(node, "privileged", security={"privileged": True})
    with open("/proc/self/status") as f:
        own = [line.split()[1] for line in f if line.startswith("CapBnd")]
    assert status_line(node, "privileged", "CapEff") == own and status_line(node, "privileged", "Seccomp") == ["0"]
    assert len(node.sh("privileged", "ls /dev").split()) > 16
    node.sh("privileged", "mkdir /m && mount -t tmpfs none /m")


def test_allow_privilege_escalation_false_is_no_new_privs(node):
    pod(node, "escalation", security={"allowPrivilegeEscalation": False})
    assert status_line(node, "escalation", "NoNewPrivs") == ["1"]


def test_no_new_privs_holds_for_exec_too(node):
    pod(node, "escalation-exec", security={"allowPrivilegeEscalation": False})
    assert node.sh("escalation-exec", "grep NoNewPrivs /proc/self/status").split()[1] == "1"


@pytest.mark.parametrize("where", ["pod", "container"])
def test_seccomp_unconfined_has_no_filter(node, where):
    wanted = {"seccompProfile": {"type": "Unconfined"}}
    pod(node, "seccomp", security=wanted if where == "container" else None, pod_security=wanted if where == "pod" else None)
    assert status_line(node, "seccomp", "Seccomp") == ["0"]


def test_seccomp_localhost_is_the_profile_of_that_name(node):
    os.makedirs(os.path.join(node.root, "seccomp/profiles"), exist_ok=True)
    with open(os.path.join(node.root, "seccomp/profiles/no-sync.json"), "w") as f:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
                                                                   {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}, f)
    pod(node, "localhost", security={"seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/no-sync.json"}})
    assert "not supported" in node.exec("localhost", "mkdir", "/x", check=False).err.lower()
    pod(node, "no-profile", security={"seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/none.json"}}, wait=False)
    node.wait("no-profile", "refusal", lambda p: any("none.json" in s["state"].get("waiting", {}).get("message", "")
                                                     for s in p["status"].get("containerStatuses", [])))


def test_masked_and_read_only_places_are_kubernetes(node):
    pod(node, "masked")
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"):
        assert node.sh("masked", "if [ -e %s ]; then cat %s 2>/dev/null | wc -c; else echo 0; fi" % (path, path)) == "0", path
    for path in ("/proc/acpi", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap", "/sys/devices/system/cpu/cpu0/thermal_throttle"):
        assert node.sh("masked", "ls %s 2>/dev/null | wc -l" % path) == "0", path
    for path in ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"):
        assert node.sh("masked", "grep -c ' %s .* ro,' /proc/self/mounts || true" % path) != "0" or not os.path.exists(path), path


# ---- sysctls ----

def test_sysctls_are_set_in_the_namespaces_of_the_pod(node):
    with open("/proc/sys/net/ipv4/tcp_syncookies") as f:
        before = f.read()
    pod(node, "sysctl", pod_security={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}, {"name": "kernel/shm_rmid_forced", "value": "1"}]})
    assert node.sh("sysctl", "cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/kernel/shm_rmid_forced").split() == ["0", "1"]
    with open("/proc/sys/net/ipv4/tcp_syncookies") as f:
        assert f.read() == before


def test_an_unsafe_sysctl_needs_the_nodes_permission(own_node):
    node = own_node
    node.load("--busybox")
    wanted = {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}, {"name": "net.core.somaxconn", "value": "777"}]}
    pod(node, "unsafe", pod_security=wanted, wait=False)
    p = node.phase("unsafe", "Failed")
    assert (p["status"]["reason"], p["status"]["message"]) == ("SysctlForbidden", 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted')
    node.husk("delete", "pod", "unsafe")
    with open(os.path.join(node.root, "config.yaml"), "w") as f:
        f.write('allowedUnsafeSysctls: ["kernel.msg*", net.core.somaxconn]\n')
    pod(node, "unsafe", pod_security=wanted)
    assert node.sh("unsafe", "cat /proc/sys/kernel/msgmax /proc/sys/net/core/somaxconn").split() == ["65536", "777"]


def test_a_mistake_in_the_nodes_configuration_is_named_and_admits_nobody(own_node):
    node = own_node
    node.load("--busybox")
    with open(os.path.join(node.root, "config.yaml"), "w") as f:
        f.write("allowedUnsafeSysctl: [kernel.msgmax]\n")
    pod(node, "unconfigured", wait=False)
    p = node.wait("unconfigured", "message", lambda p: "unknown field" in json.dumps(p["status"]))
    assert "config.yaml: allowedUnsafeSysctl: unknown field" in json.dumps(p["status"])
    os.unlink(os.path.join(node.root, "config.yaml"))


# ---- security modules ----

@pytest.mark.skipif(os.path.exists("/sys/kernel/security/apparmor"), reason="this machine has AppArmor")
@pytest.mark.parametrize("where", ["pod", "container"])
def test_apparmor_on_a_machine_without_it_is_refused_in_the_kubelets_words(node, where):
    wanted = {"appArmorProfile": {"type": "RuntimeDefault"}}
    pod(node, "apparmor", security=wanted if where == "container" else None, pod_security=wanted if where == "pod" else None, wait=False)
    p = node.phase("apparmor", "Failed")
    assert (p["status"]["reason"], p["status"]["message"]) == ("AppArmor", "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host")
    node.husk("delete", "pod", "apparmor")
    pod(node, "apparmor", security={"appArmorProfile": {"type": "Unconfined"}})


@pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="this machine has SELinux")
@pytest.mark.parametrize("where", ["pod", "container"])
def test_selinux_options_on_a_machine_without_it_are_refused(node, where):
    wanted = {"seLinuxOptions": {"level": "s0:c1,c2"}}
    pod(node, "selinux", security=wanted if where == "container" else None, pod_security=wanted if where == "pod" else None, wait=False)
    p = node.phase("selinux", "Failed")
    assert (p["status"]["reason"], p["status"]["message"]) == ("SELinux", "Pod was rejected: Cannot enforce SELinux: SELinux is not enabled on the host")


def test_selinux_change_policy_is_kubernetes(node):
    """It chooses how volumes are relabelled where SELinux is on; what Kubernetes does not know is refused everywhere."""
    pod(node, "policy", pod_security={"seLinuxChangePolicy": "Recursive"})
    r = node.husk("apply", "-f", "-", check=False, input=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "wrong"}, "spec": {
        "securityContext": {"seLinuxChangePolicy": "Sometimes"}, "containers": [{"name": "a", "image": BUSYBOX}]}}))
    assert r.code != 0 and "spec.securityContext.seLinuxChangePolicy" in r.err
