"""huskd: static manifests, healing, what it costs, what it tells the service manager, and what comes back after a reboot."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import textwrap
import time
import urllib.request

import pytest

from conftest import HUSK, SLOW, until

HUSKD = os.path.join(os.path.dirname(HUSK), "huskd")
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: a, image: localhost/husk/busybox:1, command: [sh, -c, "echo %s; exec sleep 100000"]}
"""


class Daemon:
    def __init__(self, node, env=None):
        self.node, self.folder = node, os.path.join(node.root, "manifests")
        self.log = os.path.join(node.folder, "huskd.log")
        os.makedirs(self.folder, exist_ok=True)
        self.name = "-" + node.husk("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}").out
        self.start(env)

    def start(self, env=None, within=()):
        """`within`: a program that executes huskd, as [unshare, -n]."""
        with open(self.log, "ab") as log:
            ready = log.tell()
            self.process = subprocess.Popen([*within, HUSKD], env=dict(self.node.env, **(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        until("huskd is ready", lambda: "ready:" in self.text()[ready:] and self.process.poll() is None)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30 * SLOW)
        return self.process.returncode

    def text(self):
        with open(self.log) as f:
            return f.read()

    def put(self, file, text):
        path, fresh = os.path.join(self.folder, file), os.path.join(self.folder, "." + file)
        with open(fresh, "w") as f:
            f.write(textwrap.dedent(text))
        os.rename(fresh, path)

    def remove(self, file):
        os.unlink(os.path.join(self.folder, file))

    def running(self, name, word, timeout=30):
        self.node.wait(name + self.name, "a running container that says " + word, lambda p: "deletionTimestamp" not in p["metadata"] and
                       "running" in (p["status"].get("containerStatuses") or [{"state": {}}])[0]["state"] and
                       self.node.husk("logs", name + self.name, check=False).out == word + "\n", timeout)
        return self.node.get(name + self.name)

    def gone(self, name):
        until(name + " is gone", lambda: self.node.get(name + self.name) is None)

    def events(self):
        return [e for e in self.node.events() if e["involvedObject"]["kind"] == "Node"]


@pytest.fixture
def huskd(own_node):
    own_node.load("--busybox")
    daemon = Daemon(own_node)
    yield daemon
    for file in os.listdir(daemon.folder):
        os.unlink(os.path.join(daemon.folder, file))
    if daemon.process.poll() is None:
        until("no static pod is left", lambda: "config.source" not in own_node.husk("get", "pods", "-A", "-o", "json").out)
    assert daemon.end() in (0, -signal.SIGKILL)
    own_node.delete_all()
    own_node.nothing_left()


def test_a_static_pod_follows_its_file(huskd):
    huskd.put(".web.yaml.swp", POD % ("swapped", "x"))
    huskd.put("web.yaml", POD % ("web", "one"))
    pod = huskd.running("web", "one")
    notes, hash = pod["metadata"]["annotations"], pod["metadata"]["annotations"]["kubernetes.io/config.hash"]
    assert notes["kubernetes.io/config.source"] == "file" and notes["kubernetes.io/config.mirror"] == hash and len(hash) == 32
    assert pod["spec"]["nodeName"] == huskd.name[1:] and pod["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert {"operator": "Exists", "effect": "NoExecute"} in pod["spec"]["tolerations"]

    # another layout of the same is no change; another document is
    huskd.put("web.yaml", json.dumps({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}, "spec": {
        "containers": [{"image": "localhost/husk/busybox:1", "name": "a", "command": ["sh", "-c", "echo one; exec sleep 100000"]}],
        "terminationGracePeriodSeconds": 1}}))
    huskd.put("other.yaml", POD % ("other", "here"))
    huskd.running("other", "here")
    assert huskd.node.get("web" + huskd.name)["metadata"]["uid"] == pod["metadata"]["uid"]
    huskd.put("web.yaml", POD % ("web", "two"))
    after = huskd.running("web", "two")
    assert after["metadata"]["uid"] != pod["metadata"]["uid"] and after["metadata"]["annotations"]["kubernetes.io/config.hash"] != hash

    # who deletes it has it back, as long as its file stands there
    huskd.node.husk("delete", "pod", "web" + huskd.name)
    assert huskd.running("web", "two")["metadata"]["uid"] != after["metadata"]["uid"]
    huskd.remove("web.yaml")
    huskd.gone("web")
    assert [p for p in huskd.node.husk("get", "pods", "-o", "name").out.split()] == ["pod/other" + huskd.name]


def test_a_file_is_carried_out_as_a_whole_or_not_at_all(huskd):
    good = """
        apiVersion: v1
        kind: Namespace
        metadata: {name: tools}
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: greeting, namespace: tools}
        data: {word: hello}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: greeter, namespace: tools}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: a
            image: localhost/husk/busybox:1
            command: [sh, -c, 'echo "$WORD"; exec sleep 100000']
            env: [{name: WORD, valueFrom: {configMapKeyRef: {name: greeting, key: word}}}]
        """
    huskd.put("tools.yaml", textwrap.dedent(good).replace("command:", "comand:"))
    line, column = until("the mistake is told", lambda: re.search(
        r"tools.yaml:(\d+):(\d+): spec.containers\[0\].comand: unknown field", huskd.text())).groups()
    assert textwrap.dedent(good).split("\n")[int(line) - 1][int(column) - 1:].startswith("command")
    event, = until("an event", huskd.events)
    place = "tools.yaml:%s:%s" % (line, column)
    assert event["reason"] == "FailedValidation" and event["type"] == "Warning" and place in event["message"]
    assert place in huskd.node.husk("events").out
    assert huskd.node.get("tools", kind="namespace") is None

    huskd.put("tools.yaml", good)
    until("the pod greets", lambda: huskd.node.husk("logs", "-n", "tools", "greeter" + huskd.name, check=False).out == "hello\n")
    assert huskd.events() == []
    uid = huskd.node.get("greeter" + huskd.name, ns="tools")["metadata"]["uid"]

    # a mistake leaves what its last good version made
    huskd.put("tools.yaml", "kind: Pod\napiVersion: v1\nmetadata: {name: greeter\n")
    until("the mistake is told", lambda: huskd.events())
    huskd.put("unrelated.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: unrelated}\n")
    until("another file is carried out", lambda: huskd.node.get("unrelated", kind="configmap"))
    assert huskd.node.get("greeter" + huskd.name, ns="tools")["metadata"]["uid"] == uid

    # an object is changed in place
    huskd.put("tools.yaml", textwrap.dedent(good).replace("word: hello", "word: bye"))
    until("the ConfigMap", lambda: huskd.node.get("greeting", kind="configmap", ns="tools")["data"]["word"] == "bye")
    assert huskd.node.get("greeter" + huskd.name, ns="tools")["metadata"]["uid"] == uid
    for file in ("tools.yaml", "unrelated.yaml"):
        huskd.remove(file)
    until("all of it is gone", lambda: huskd.node.get("tools", kind="namespace") is None and
          huskd.node.get("unrelated", kind="configmap") is None)


def test_a_pod_may_name_a_class_of_a_later_file(huskd):
    huskd.put("b.yaml", "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: gold}, value: 1000}")
    huskd.put("a.yaml", (POD % ("a", "one")).replace("spec:", "spec:\n  priorityClassName: gold"))
    assert huskd.running("a", "one")["spec"]["priority"] == 1000
    huskd.put("c.yaml", (POD % ("c", "one")).replace("spec:", "spec:\n  priorityClassName: none"))
    until("a refusal", lambda: "no PriorityClass with name none was found" in huskd.text())
    huskd.remove("b.yaml")
    until("the class is gone", lambda: huskd.node.get("gold", "priorityclass") is None)
    assert huskd.running("a", "one")["spec"]["priority"] == 1000


def test_a_claim_and_its_data_outlive_every_change_of_the_folder(huskd):
    claim = """
        apiVersion: v1
        kind: Namespace
        metadata: {name: kept}
        ---
        apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: data, namespace: kept, labels: {step: one}}
        spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
        """

    def live():
        return huskd.node.get("data", kind="pvc", ns="kept")

    def label():
        return (live() or {"metadata": {"labels": {}}})["metadata"]["labels"].get("step")

    huskd.put("data.yaml", claim)
    until("the claim", lambda: label() == "one")
    before = live()
    file = os.path.join(huskd.node.root, "persistent-volumes", before["metadata"]["uid"], "file")
    os.makedirs(os.path.dirname(file))
    with open(file, "w") as f:
        f.write("precious")

    huskd.put("data.yaml", claim.replace("one", "two").replace("1Gi", "2Gi"))
    until("the claim is changed", lambda: label() == "two")
    after = live()
    assert after["metadata"]["uid"] == before["metadata"]["uid"] and os.path.exists(file)
    assert after["metadata"]["finalizers"] == before["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert after["spec"]["volumeName"] == before["spec"]["volumeName"] and after["status"]["capacity"]["storage"] == "2Gi"

    # what cannot be changed is told as a mistake of the file, of which then nothing counts
    huskd.put("data.yaml", claim.replace("one", "three").replace("ReadWriteOnce", "ReadWriteMany"))
    event, = until("the refusal is told", huskd.events)
    assert "data.yaml" in event["message"] and "spec is immutable" in event["message"]
    assert label() == "two" and live()["metadata"]["uid"] == before["metadata"]["uid"] and os.path.exists(file)

    # without its file it stays, and its namespace with it, until somebody deletes it
    huskd.remove("data.yaml")
    until("no mistake", lambda: not huskd.events())
    huskd.put("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n")
    until("the folder was looked at", lambda: huskd.node.get("other", kind="configmap"))
    assert live()["metadata"]["uid"] == before["metadata"]["uid"] and os.path.exists(file)
    huskd.node.husk("delete", "pvc", "data", "-n", "kept")
    assert live() is None and not os.path.exists(file)
    huskd.remove("other.yaml")
    until("the namespace goes without it", lambda: huskd.node.get("kept", kind="namespace") is None)


def test_what_changed_while_huskd_was_down_is_found(huskd):
    huskd.put("a.yaml", POD % ("a", "stays"))
    huskd.put("b.yaml", POD % ("b", "changes"))
    huskd.put("c.yaml", POD % ("c", "goes"))
    stays = huskd.running("a", "stays")
    for name, word in ("b", "changes"), ("c", "goes"):
        huskd.running(name, word)
    assert huskd.end() == 0
    huskd.put("b.yaml", POD % ("b", "changed"))
    huskd.remove("c.yaml")
    huskd.put("d.yaml", POD % ("d", "comes"))
    assert huskd.node.sh("c" + huskd.name, "echo runs") == "runs"  # pods need no huskd
    huskd.start()
    huskd.running("b", "changed")
    huskd.running("d", "comes")
    huskd.gone("c")
    assert huskd.node.get("a" + huskd.name)["metadata"]["uid"] == stays["metadata"]["uid"]


def test_a_name_that_is_taken_is_not_taken_over(huskd):
    huskd.node.apply(POD % ("mine" + huskd.name, "mine"))
    uid = huskd.node.running("mine" + huskd.name)["metadata"]["uid"]
    huskd.put("mine.yaml", POD % ("mine", "other"))
    until("the conflict is told", lambda: "came from elsewhere" in huskd.text())
    assert huskd.node.get("mine" + huskd.name)["metadata"]["uid"] == uid
    huskd.node.husk("delete", "pod", "mine" + huskd.name)
    huskd.running("mine", "other")


def test_a_pod_whose_keeper_and_supervisor_were_killed_gets_new_ones(huskd):
    huskd.node.apply(POD % ("orphan", "here"))
    uid = huskd.node.running("orphan")["metadata"]["uid"]
    for pid in huskd.node.of_program("husk-pod", uid) + huskd.node.of_program("husk-keeper", uid):
        os.kill(pid, signal.SIGSTOP)
    for pid in huskd.node.of_program("husk-pod", uid) + huskd.node.of_program("husk-keeper", uid):
        os.kill(pid, signal.SIGKILL)
    pod = huskd.node.wait("orphan", "a restarted container", lambda p: p["status"]["phase"] == "Running" and
                          p["status"]["containerStatuses"][0]["restartCount"] == 1 and "running" in p["status"]["containerStatuses"][0]["state"])
    assert pod["metadata"]["uid"] == uid
    # a keeper alone is its husk-pod's business: nothing restarts
    os.kill(huskd.node.of_program("husk-keeper", uid)[0], signal.SIGKILL)
    until("the other keeper", lambda: huskd.node.of_program("husk-keeper", uid))
    time.sleep(1.5)
    assert huskd.node.get("orphan")["status"]["containerStatuses"][0]["restartCount"] == 1
    assert len(huskd.node.of_program("husk-pod", uid)) == len(huskd.node.of_program("husk-keeper", uid)) == 1


def test_without_anything_to_do_huskd_sleeps_and_is_small(huskd):
    """In a network namespace of its own: it is told of every change of the firewall, also of what other tests change."""
    huskd.end()
    huskd.start(within=["unshare", "-n"])
    huskd.put("web.yaml", POD % ("web", "one"))
    huskd.running("web", "one")
    huskd.remove("web.yaml")
    huskd.gone("web")

    def state():
        with open("/proc/%d/status" % huskd.process.pid) as f:
            switches = [line for line in f if "ctxt_switches" in line]
        with open("/proc/%d/io" % huskd.process.pid) as f:
            return switches, f.read()

    def stays_the_same():
        before = state()
        time.sleep(3)
        return state() == before
    until("rest: the last change was looked at", stays_the_same)
    with open("/proc/%d/smaps_rollup" % huskd.process.pid) as f:
        pss = [int(line.split()[1]) for line in f if line.startswith("Pss:")][0]
    assert pss <= 8 * 1024
    second = subprocess.run([HUSKD], env=huskd.node.env, capture_output=True, text=True)
    assert second.returncode == 1 and "huskd already runs" in second.stderr


def test_the_service_manager_is_told(huskd):
    huskd.end()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(os.path.join(huskd.node.folder, "notify"))
        s.settimeout(20 * SLOW)
        huskd.start({"NOTIFY_SOCKET": s.getsockname(), "WATCHDOG_USEC": "400000"})

        def receive(want):
            while True:
                lines = s.recv(4096).decode().split("\n")
                if lines[0] == want:
                    return lines
        assert receive("READY=1") == ["READY=1", "STATUS=0 pods, 0 manifests"]
        receive("WATCHDOG=1")
        huskd.put("bad.yaml", "kind: Pod\n")
        receive("STATUS=0 pods, 1 manifest, 1 of them with mistakes")
        huskd.process.send_signal(signal.SIGHUP)
        assert receive("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
        receive("READY=1")
        huskd.process.send_signal(signal.SIGTERM)
        receive("STOPPING=1")
        assert huskd.process.wait(20 * SLOW) == 0
    huskd.remove("bad.yaml")
    huskd.start()


# ---- upgrade ----

def test_husk_is_upgraded_under_running_pods(own_node, tmp_path):
    """Other files of the same names, as a package leaves them: supervisors are exchanged, containers serve on."""
    def install():
        for name in ("husk", "husk-pod", "husk-keeper", "husk-infra", "husk-image", "husk-probe", "huskd"):
            shutil.copy(os.path.join(os.path.dirname(HUSK), name), str(tmp_path / ("new-" + name)))
            os.rename(str(tmp_path / ("new-" + name)), str(tmp_path / name))
    install()
    node = own_node
    node.load("--busybox")

    def husk(*args, input=None):
        return subprocess.run([str(tmp_path / "husk"), *args], input=input, env=node.env, capture_output=True, text=True, timeout=60 * SLOW)
    assert husk("apply", "-f", "-", input="""
        apiVersion: v1
        kind: Pod
        metadata: {name: serves}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: httpd
            image: localhost/husk/busybox:1
            command: [sh, -c, "mkdir /www; echo served > /www/index.html; exec httpd -f -h /www"]
          - name: counts
            image: localhost/husk/busybox:1
            command: [sh, -c, "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; usleep 1000; done; exec sleep 100000"]
        """.replace("\n        ", "\n")).returncode == 0
    pod = node.running("serves")
    uid, ip = pod["metadata"]["uid"], pod["status"]["podIP"]
    keeper, = node.of_program("husk-keeper", uid)
    first, = node.of_program("husk-pod", uid)
    exe = lambda pid: os.stat("/proc/%d/exe" % pid).st_ino
    assert husk("start", "--all", "--renew").stdout == "0 pods started\n0 supervisors renewed\n"
    install()
    assert husk("start", "--all", "--renew").stdout == "0 pods started\n1 supervisor renewed\n"
    until("another husk-pod", lambda: node.of_program("husk-pod", uid) not in ([], [first]))
    until("the new programs", lambda: [exe(p) for p in node.of_program("husk-pod", uid)] == [os.stat(str(tmp_path / "husk-pod")).st_ino])
    assert node.of_program("husk-keeper", uid) == [keeper] and exe(keeper) == os.stat(str(tmp_path / "husk-keeper")).st_ino
    with urllib.request.urlopen("http://%s/" % ip, timeout=20) as r:
        assert r.read() == b"served\n"
    after = node.get("serves")["status"]
    assert [c["containerID"] for c in after["containerStatuses"]] == [c["containerID"] for c in pod["status"]["containerStatuses"]]
    until("every line once", lambda: node.logs("serves", "-c", "counts") == "".join("line %d\n" % i for i in range(1, 3001)))
    # exits are still told, and huskd, started anew, does the same by itself
    install()
    daemon = subprocess.Popen([str(tmp_path / "huskd")], env=node.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until("the newest keeper", lambda: exe(keeper) == os.stat(str(tmp_path / "husk-keeper")).st_ino)
    os.kill(node.oldest_in("serves", "pid", c="counts"), signal.SIGKILL)
    node.wait("serves", "a restart", lambda p: [(c["restartCount"], c["lastState"]) for c in p["status"]["containerStatuses"] if c["name"] == "counts" and
              c["restartCount"] == 1 and c["lastState"]["terminated"]["exitCode"] == 137])
    daemon.terminate()
    assert daemon.wait(20 * SLOW) == 0
    node.delete_all()
    node.nothing_left()


def test_the_units_are_well_formed(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    build = os.path.dirname(HUSK)
    for unit in "huskd.service", "husk-start.service":
        with open(os.path.join(build, "packaging", unit)) as f:
            text = re.sub(r"^ExecStart=\S*/", "ExecStart=%s/" % build, f.read(), flags=re.M)
        (tmp_path / unit).write_text(text)
        r = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)], capture_output=True, text=True)
        assert r.returncode == 0 and unit not in r.stderr, r.stderr


# ---- reboot ----

def remove_folder(path):
    """A cgroup is busy for as long as its last process is a zombie."""
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def reboot(node):
    """Everything of the node ends at once, and its <run>, a tmpfs, is empty."""
    def all_ended():  # again, for what was only just being forked
        pids = set(node.in_cgroups()) | {p for p, (program, _) in node.processes().items() if program.startswith("husk")}
        for how in signal.SIGSTOP, signal.SIGKILL:
            for pid in pids:
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    pass
        return not pids
    until("all ended", all_ended)
    subprocess.run(["ip", "link", "delete", "hk" + node.tag()], capture_output=True)
    subprocess.run(["nft", "delete", "table", "inet", "husk-" + node.tag()], capture_output=True)
    for at, dirs, _ in os.walk("/sys/fs/cgroup", topdown=False):
        for d in dirs:
            if "/husk-" + node.tag() in at + "/" + d:
                until("an empty cgroup", lambda: remove_folder(os.path.join(at, d)))
    shutil.rmtree(node.run)


REBOOT = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  restartPolicy: %s
  terminationGracePeriodSeconds: 0
  initContainers:
  - {name: init, image: localhost/husk/busybox:1, command: [sh, -c, "echo init >> /data/log"], volumeMounts: [{name: data, mountPath: /data}]}
  containers:
  - {name: runs, image: localhost/husk/busybox:1, command: [sh, -c, "echo runs >> /data/log; exec sleep 100000"],
     volumeMounts: [{name: data, mountPath: /data}]}
  - {name: ends, image: localhost/husk/busybox:1, command: [sh, -c, "echo ends >> /data/log; sleep %s"],
     volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, emptyDir: {}}]
"""


def container(pod, name):
    found = [s for s in pod["status"].get("containerStatuses", []) if s["name"] == name]
    return found[0] if found else {"state": {}, "restartCount": -1}


@pytest.mark.parametrize("by", ["huskd", "husk start --all"])
def test_after_a_reboot_pods_go_on_as_their_policy_says(own_node, by):
    node = own_node
    node.load("--busybox")
    node.apply(REBOOT % ("always", "Always", "100000"))
    node.apply(REBOOT % ("failing", "OnFailure", "0"))
    node.apply(REBOOT % ("never", "Never", "100000"))
    node.apply(REBOOT.replace("exec sleep 100000", "true") % ("done", "Never", "0"))
    before = {name: node.running(name) for name in ("always", "never")}
    before["failing"] = node.wait("failing", "one of two ended", lambda p: len(p["status"].get("containerStatuses", [])) == 2 and
                                  "terminated" in container(p, "ends")["state"] and "running" in container(p, "runs")["state"])
    before["done"] = node.phase("done", "Succeeded")
    node.exec("always", "sh", "-c", "kill -9 -1", c="ends", check=False)
    os.kill(node.oldest_in("always", "pid", c="ends"), signal.SIGKILL)
    node.wait("always", "a restart", lambda p: container(p, "ends")["restartCount"] == 1 and "running" in container(p, "ends")["state"])
    for name in ("always", "failing", "never"):
        path = os.path.join(node.root, "pods", before[name]["metadata"]["uid"], "state.json")
        until("the state of %s is kept" % name, lambda: os.path.exists(path))
    time.sleep(1.5)
    inode = os.stat(path).st_ino
    time.sleep(1.5)
    assert os.stat(path).st_ino == inode  # not written again and again
    reboot(node)

    daemon = None
    if by == "huskd":
        daemon = Daemon(node)
    else:
        assert node.husk("start", "--all").out == "3 pods started\n"
    try:
        pod = node.wait("always", "both containers again", lambda p: all(
            container(p, n)["restartCount"] == count and "running" in container(p, n)["state"] for n, count in (("runs", 1), ("ends", 2))))
        assert pod["metadata"]["uid"] == before["always"]["metadata"]["uid"] and pod["status"]["podIP"]
        said = node.sh("always", "cat /data/log", c="runs").split()  # the volume has stayed, and init ran again before the others
        assert sorted(said[:4]) == ["ends", "ends", "init", "runs"] and said[4] == "init" and sorted(said[5:]) == ["ends", "runs"]
        pod = node.wait("failing", "its running container again", lambda p: container(p, "runs")["restartCount"] == 1 and
                        "running" in container(p, "runs")["state"])
        assert container(pod, "ends")["restartCount"] == 0 and container(pod, "ends")["state"]["terminated"]["exitCode"] == 0
        pod = node.phase("never", "Failed")
        assert [container(pod, n)["restartCount"] for n in ("runs", "ends")] == [0, 0]
        pod = node.get("done")
        assert pod["status"]["phase"] == "Succeeded"
        assert container(pod, "runs")["state"]["terminated"]["finishedAt"] == container(before["done"], "runs")["state"]["terminated"]["finishedAt"]
        assert not node.of_program("husk-keeper", pod["metadata"]["uid"])
        assert node.husk("start", "always").out == "pod/always has a supervisor\n"
        assert node.husk("start", "done").out == "pod/done has ended\n"
    finally:
        if daemon:
            daemon.end()
    node.delete_all()
    node.nothing_left()
