"""Other firewalls beside husk's table: firewalld itself, in a network namespace that is the whole machine for the test."""
import os
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BUSYBOX, HUSK, SLOW

FIREWALLD = """
ip link set lo up
ip link add out0 type veth peer name in0
ip addr add 192.0.2.2/24 dev out0 && ip link set out0 up
mount -t tmpfs none /run && mkdir -p /run/dbus /run/lock
cat > /run/dbus.conf <<X
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth><policy context="default">
<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow send_type="method_call"/><allow receive_sender="*"/></policy></busconfig>
X
dbus-daemon --config-file=/run/dbus.conf --nofork &
exec firewalld --nofork --nopid
"""


@pytest.fixture
def firewalld():
    if not shutil.which("firewalld"):
        pytest.skip("firewalld is not installed (installing it would start it on this machine, so the tests do not)")
    p = subprocess.Popen(["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", FIREWALLD], start_new_session=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def inside(*command, mounts=False, check=True):
        r = subprocess.run(["nsenter", "-t", str(p.pid), "-n", *(["-m"] if mounts else []), *command], capture_output=True, text=True, timeout=60 * SLOW)
        assert not check or r.returncode == 0, (command, r)
        return r
    end = time.time() + 60 * SLOW
    while "running" not in inside("firewall-cmd", "--state", mounts=True, check=False).stdout:
        assert time.time() < end
        time.sleep(0.2)
    inside.pid = p.pid
    yield inside
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()


def test_firewalld_is_told_of_with_what_helps_and_host_ports_answer_beside_it(own_node, firewalld):
    node = own_node
    node.load("--busybox")
    os.environ.update(HUSK_ROOT=node.root, HUSK_RUN=node.run)
    try:
        run = ["nsenter", "-t", str(firewalld.pid), "-n", HUSK]
        pod = """
apiVersion: v1
kind: Pod
metadata: {name: guarded}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: "%s", command: [sh, -c, "echo hello > /index.html; httpd -f -p 8080 -h /"], ports: [{containerPort: 8080, hostPort: 80}]}]
""" % BUSYBOX
        subprocess.run([*run, "apply", "-f", "-"], input=pod, text=True, check=True, capture_output=True)
        node.running("guarded")
        text = subprocess.run([*run, "network"], text=True, check=True, capture_output=True).stdout
        assert "firewalld has the bridge in no zone" in text
        assert "hello" in firewalld("wget", "-q", "-T", "5", "-t", "1", "-O", "-", "http://192.0.2.2/").stdout
        command, = (line.strip() for line in text.splitlines() if line.startswith("    firewall-cmd"))
        firewalld("sh", "-c", command.replace("--permanent ", "").split("&&")[0], mounts=True)
        bridge = "hk" + node.tag()
        forward = firewalld("nft", "list", "table", "inet", "firewalld").stdout
        assert 'iifname "%s" goto filter_FWD_trusted' % bridge in forward and 'iifname "%s" goto filter_IN_trusted' % bridge in forward
        assert "firewalld" not in subprocess.run([*run, "network"], text=True, check=True, capture_output=True).stdout
        firewalld("firewall-cmd", "--reload", mounts=True)  # its own tables only
        assert "hello" in firewalld("wget", "-q", "-T", "5", "-t", "1", "-O", "-", "http://192.0.2.2/").stdout
        subprocess.run([*run, "delete", "pod", "guarded", "--grace-period=0"], check=True, capture_output=True)
    finally:
        del os.environ["HUSK_ROOT"], os.environ["HUSK_RUN"]
