"""The fields of a Pod one by one: for each a pod that needs it, and what the field does there. src/api/fields.tsv names these tests; each
also runs with its field dropped while decoding (fields_table.py) and must fail then, which is why they look at effects that no
default has, and at the end of pods that end by themselves."""
import base64
import glob
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import fields_table
from conftest import BUSYBOX, SLOW
from test_image import Image, Registry, entry, make_certificate, tar

STUCK = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError",
         "RunContainerError", "CrashLoopBackOff"}


def container(script="exit 0", name="a", **more):
    return {"name": name, "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", script], **more}


def every_status(pod):
    return [s for kind in ("initContainerStatuses", "containerStatuses") for s in pod["status"].get(kind, [])]


def condition(pod, kind):
    return next((c for c in pod["status"].get("conditions", []) if c["type"] == kind), {})


class Pods:
    """Pods of one test on the worker's node; each is named after its test and goes with it."""

    def __init__(self, node):
        self.node, self.names = node, []

    def make(self, *containers, metadata=None, **spec):
        """Applies a pod and returns its name."""
        name = "f%x%d" % (os.getpid(), time.monotonic_ns() // 1000 % 10 ** 9)
        self.names.append(name)
        self.apply("Pod", dict({"name": name}, **(metadata or {})), spec=dict(
            {"terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "containers": list(containers) or [container()]}, **spec))
        return name

    def apply(self, kind, metadata, **rest):
        self.node.husk("apply", "-f", "-", input=json.dumps(dict({"apiVersion": "v1", "kind": kind, "metadata": metadata}, **rest)))

    def ended(self, *containers, **spec):
        """The pod when it has ended, or when a container has been restarted or cannot start: what tests assert about is there then."""
        name = self.make(*containers, **spec)
        return self.node.wait(name, "end", lambda p: p["status"].get("phase") in ("Succeeded", "Failed") or any(
            s["restartCount"] > 0 or s["state"].get("waiting", {}).get("reason") in STUCK for s in every_status(p)))

    def log(self, *containers, c=None, **spec):
        """What a pod wrote that has ended well."""
        pod = self.ended(*containers, **spec)
        name = pod["metadata"]["name"]
        out = self.node.husk("logs", name, *(["-c", c] if c else []), check=False).out
        assert pod["status"]["phase"] == "Succeeded", (out, pod["status"])
        return out.strip()

    def running(self, *containers, **spec):
        """The name of a pod whose containers run."""
        name = self.make(*containers, **spec)
        self.node.running(name)
        return name

    def object(self, kind, name, **content):
        self.apply(kind, {"name": name}, **content)


@pytest.fixture(scope="module")
def fields_node(shared_node):
    for kind, data in (("ConfigMap", {"data": {"one": "1", "two": "2"}}), ("Secret", {"stringData": {"one": "s1", "two": "s2"}})):
        shared_node.husk("apply", "-f", "-", input=json.dumps(dict({"apiVersion": "v1", "kind": kind, "metadata": {"name": "fields"}}, **data)))
    yield shared_node
    shared_node.delete_all()
    shared_node.nothing_left()


@pytest.fixture
def t(fields_node):
    pods = Pods(fields_node)
    yield pods
    if pods.names:
        fields_node.husk("delete", "pod", *pods.names, "--grace-period=0", "--force", "--ignore-not-found")


# ---- the pod ----

def test_volumes_are_shared_by_containers(t):
    out = t.log(container("cat /v/x; grep ' /v ' /proc/mounts", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
                initContainers=[container("echo here > /init/x", "init", volumeMounts=[{"name": "v", "mountPath": "/init"}])],
                volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}])
    assert out.startswith("here\ntmpfs ")


def test_restart_policy_never(t):
    assert t.ended(container("exit 3"))["status"]["phase"] == "Failed"


def test_grace_period_of_a_deletion(t):
    name = t.running(container("trap '' TERM; while :; do sleep 0.1; done"), terminationGracePeriodSeconds=1)
    t.node.husk("delete", "pod", name, "--wait=false")
    pod = t.node.get(name)
    assert pod is None or pod["metadata"]["deletionGracePeriodSeconds"] == 1
    t.node.husk("wait", "pod/" + name, "--for=delete", "--timeout=20s")


def test_active_deadline(t):
    pod = t.ended(container("sleep 4"), activeDeadlineSeconds=1)
    assert (pod["status"]["phase"], pod["status"].get("reason")) == ("Failed", "DeadlineExceeded")


def test_resolver_of_the_pods_own(t):
    out = t.log(container("cat /etc/resolv.conf"), dnsPolicy="None", dnsConfig={
        "nameservers": ["192.0.2.53"], "searches": ["fields.test"], "options": [{"name": "ndots", "value": "3"}, {"name": "edns0"}]})
    assert out == "search fields.test\nnameserver 192.0.2.53\noptions ndots:3 edns0"


def test_resolver_takes_in_what_the_pod_adds(t):
    """Beside the node's own servers."""
    out = t.log(container("cat /etc/resolv.conf"), dnsPolicy="Default", dnsConfig={"searches": ["added.test"], "options": [{"name": "rotate"}]})
    assert "added.test" in out and "rotate" in out


@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
def test_service_account_is_named_to_the_pod(t, field):
    out = t.log(container("echo $NAME", env=[{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}}]),
                **{field: "builder"})
    assert out == "builder"


def test_no_token_without_a_cluster_whatever_is_asked(t):
    pod = t.ended(container("ls /var/run/secrets/kubernetes.io 2>&1 | grep -q token && exit 1; exit 0"), automountServiceAccountToken=True)
    assert pod["status"]["phase"] == "Succeeded" and pod["spec"]["automountServiceAccountToken"] is True


def test_no_service_links_without_services(t):
    pod = t.ended(container("env | grep -q _SERVICE_ && exit 1; exit 0"), enableServiceLinks=False)
    assert pod["status"]["phase"] == "Succeeded" and pod["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("field,namespace", [("hostNetwork", "net"), ("hostPID", "pid"), ("hostIPC", "ipc")])
def test_namespaces_of_the_node(t, field, namespace):
    assert t.log(container("readlink /proc/self/ns/" + namespace), **{field: True}) == os.readlink("/proc/self/ns/" + namespace)


def test_shared_process_namespace(t):
    assert t.log(container("cat /proc/1/comm"), shareProcessNamespace=True) == "husk-infra"


def test_hostname_and_subdomain(t):
    out = t.log(container("hostname; hostname -f"), hostname="front", subdomain="web")
    assert out.split() == ["front", "front.web.default.svc.cluster.local"]


def test_hostname_as_fqdn(t):
    assert t.log(container("hostname"), hostname="front", subdomain="web", setHostnameAsFQDN=True) == "front.web.default.svc.cluster.local"


def test_hostname_override(t):
    assert t.log(container("hostname"), hostnameOverride="any.name.test") == "any.name.test"


def test_host_aliases(t):
    assert "192.0.2.7\tone.test\ttwo.test" in t.log(container("cat /etc/hosts"),
                                                    hostAliases=[{"ip": "192.0.2.7", "hostnames": ["one.test", "two.test"]}])


def test_readiness_gates(t):
    name = t.running(container("sleep 100000"), readinessGates=[{"conditionType": "example.com/gate"}])
    pod = t.node.wait(name, "ready containers", lambda p: condition(p, "ContainersReady").get("status") == "True")
    ready = condition(pod, "Ready")
    assert (ready["status"], ready.get("reason")) == ("False", "ReadinessGatesNotReady") and "example.com/gate" in ready["message"]


def test_a_pod_for_another_system_is_rejected(t):
    pod = t.ended(os={"name": "windows"})
    assert (pod["status"]["phase"], pod["status"].get("reason")) == ("Failed", "PodOSNotSupported")


def test_a_pod_of_another_scheduler_waits_for_it(t):
    name = t.make(schedulerName="mine")
    pod = t.node.wait(name, "answer", lambda p: condition(p, "PodScheduled"))
    assert condition(pod, "PodScheduled")["status"] == "False" and 'no scheduler "mine"' in condition(pod, "PodScheduled")["message"]
    assert pod["status"]["phase"] == "Pending" and not pod["spec"].get("nodeName")


# ---- containers ----

def test_image_command_and_arguments(t):
    t.node.load("--busybox", "--env", "IMAGE=fields", "--entrypoint", "/bin/false", reference="localhost/husk/fields:1")
    own = {"image": "localhost/husk/fields:1", "command": ["/bin/sh", "-c", "echo $IMAGE $0 $1"], "args": ["one", "two"]}
    assert t.log(container(name="other"), container(name="mine", **own), c="mine") == "fields one two"


def test_working_dir(t):
    assert t.log(container("pwd", workingDir="/made/for/it")) == "/made/for/it"


def test_environment_from_objects(t):
    out = t.log(container("echo $C_one $S_two $VALUE", env=[{"name": "VALUE", "value": "$(C_one)!"}], envFrom=[
        {"prefix": "C_", "configMapRef": {"name": "fields"}}, {"prefix": "S_", "secretRef": {"name": "fields"}}]))
    assert out == "1 s2 1!"


def test_optional_objects_may_be_missing(t):
    assert t.log(container("echo ok", envFrom=[{"configMapRef": {"name": "gone", "optional": True}},
                                               {"secretRef": {"name": "gone", "optional": True}}])) == "ok"


def test_values_from_keys(t):
    out = t.log(container("echo $A $B", env=[
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "fields", "key": "two"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "fields", "key": "one"}}}]))
    assert out == "2 s1"


def test_optional_keys_may_be_missing(t):
    out = t.log(container("echo ${A-none} ${B-none}", env=[
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "fields", "key": "gone", "optional": True}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "fields", "key": "gone", "optional": True}}}]))
    assert out == "none none"


def test_values_from_fields_and_resources(t):
    out = t.log(container("echo $LABEL $NOTE $MEMORY $CPU", env=[
        {"name": "NOTE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['note']"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['app']"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"containerName": "b", "resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"containerName": "b", "resource": "requests.cpu", "divisor": "1m"}}}]),
        container(name="b", resources={"limits": {"memory": "64Mi"}, "requests": {"cpu": "250m"}}), c="a",
        metadata={"labels": {"app": "fields"}, "annotations": {"note": "kept"}})
    assert out == "fields kept 64 250"


def test_values_from_a_file_of_the_pod(t):
    volume = [{"name": "v", "mountPath": "/v"}]
    out = t.log(container("echo $A ${B-none}", env=[
        {"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "env", "key": "NAME"}}},
        {"name": "B", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "env", "key": "GONE", "optional": True}}}]),
        initContainers=[container("echo \"NAME='value'\" > /v/env", "init", volumeMounts=volume)], volumes=[{"name": "v", "emptyDir": {}}])
    assert out == "value none"


def test_restart_policy_of_a_container(t):
    name = t.make(container("[ -e /v/x ] && exit 0; touch /v/x; exit 1", restartPolicy="OnFailure", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
                  volumes=[{"name": "v", "emptyDir": {}}])
    pod = t.node.wait(name, "end", lambda p: p["status"].get("phase") in ("Succeeded", "Failed"))
    assert pod["status"]["phase"] == "Succeeded" and every_status(pod)[0]["restartCount"] == 1


def test_restart_rules_of_a_container(t):
    name = t.make(container("[ -e /v/x ] && exit 0; touch /v/x; exit 42", restartPolicy="Never", volumeMounts=[{"name": "v", "mountPath": "/v"}],
                            restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [41, 42]}}]),
                  volumes=[{"name": "v", "emptyDir": {}}])
    pod = t.node.wait(name, "end", lambda p: p["status"].get("phase") in ("Succeeded", "Failed"))
    assert pod["status"]["phase"] == "Succeeded" and every_status(pod)[0]["restartCount"] == 1


def test_termination_message(t):
    pod = t.ended(container("echo told > /tmp/message; exit 1", terminationMessagePath="/tmp/message"))
    assert every_status(pod)[0]["state"]["terminated"]["message"] == "told\n"


def test_termination_message_from_the_log(t):
    pod = t.ended(container("echo last words; exit 1", terminationMessagePolicy="FallbackToLogsOnError"))
    assert every_status(pod)[0]["state"]["terminated"]["message"] == "last words\n"


def test_image_pull_policy(t):
    pod = t.ended({"name": "a", "image": "127.0.0.1:1/absent:1", "imagePullPolicy": "Never"})
    assert every_status(pod)[0]["state"]["waiting"]["reason"] == "ErrImageNeverPull"


@pytest.fixture(scope="module")
def private_registry():
    """It gives its image to user:secret alone."""
    registry = Registry()
    wanted = "Basic " + base64.b64encode(b"user:secret").decode()

    def hook(handler, kind, what):
        if handler.headers.get("Authorization") == wanted:
            return False
        handler.answer(401, b"{}", WWW_Authenticate='Basic realm="fields"')
        return True

    registry.hook = hook
    with open("/bin/busybox", "rb") as f:
        layer = tar(entry("bin", type=b"5", mode=0o755), (entry("bin/sh", mode=0o755), f.read()))
    registry.reference = registry.add("team/app", Image([layer]))
    yield registry
    registry.server.shutdown()
    registry.server.server_close()


def pull_secret(t, registry):
    t.object("Secret", "registry", type="kubernetes.io/dockerconfigjson", stringData={
        ".dockerconfigjson": json.dumps({"auths": {registry.host: {"username": "user", "password": "secret"}}})})


def test_image_pull_secrets(t, private_registry):
    pull_secret(t, private_registry)
    t.node.husk("image", "rm", private_registry.reference, check=False)
    private = {"image": private_registry.reference, "imagePullPolicy": "Always", "command": ["/bin/sh", "-c", "echo pulled"]}
    assert t.log(container(**private), imagePullSecrets=[{"name": "registry"}]) == "pulled"


def test_a_killed_supervisor_leaves_no_pull_secrets_behind(t, private_registry):
    pull_secret(t, private_registry)
    t.node.husk("image", "rm", private_registry.reference, check=False)
    hook, seen = private_registry.hook, []

    def kill(handler, *what):
        if not seen:
            seen.extend(glob.glob(t.node.run + "/pods/*/credentials/*"))
            os.kill(t.node.of_program("husk-pod")[0], signal.SIGKILL)
        return hook(handler, *what)

    private_registry.hook = kill
    try:
        name = t.make({"name": "a", "image": private_registry.reference, "command": ["/bin/sh", "-c", "exit 0"]}, imagePullSecrets=[{"name": "registry"}])
        t.node.phase(name, "Succeeded")
    finally:
        private_registry.hook = hook
    assert len(seen) == 1 and not os.path.exists(seen[0]) and glob.glob(t.node.run + "/pods/*/credentials/*") == []


def test_standard_input_once(t):
    """After the first attachment the program reads the end of its input."""
    name = t.make(container("timeout 20 cat; echo end $?", stdin=True, stdinOnce=True))
    t.node.wait(name, "start", lambda p: any("running" in s["state"] or "terminated" in s["state"] for s in every_status(p)))
    t.node.husk("attach", "-i", name, input="hello\n", check=False, timeout=fields_table.patience(30))
    t.node.phase(name, "Succeeded")
    assert t.node.logs(name) == "hello\nend 0\n"


def test_terminal(t):
    assert t.log(container("tty", tty=True)).startswith("/dev/")


# ---- ports ----

def test_host_ports(t):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    name = t.running(container("while :; do echo web | nc -l -p 8080; done", ports=[
        {"containerPort": 8080, "hostPort": port, "hostIP": "127.0.0.3"}, {"containerPort": 5353, "hostPort": port, "protocol": "UDP"}]))
    ip = t.node.get(name)["status"]["podIP"]

    def ask(address):
        try:
            with socket.create_connection((address, port), 2) as s:
                return s.recv(10)
        except OSError:
            return b""

    end = time.time() + fields_table.patience(20) * SLOW
    while ask("127.0.0.3") != b"web\n":
        assert time.time() < end, "no answer at the host port"
        time.sleep(0.05)
    rules = subprocess.run(["nft", "list", "table", "inet", "husk-" + t.node.tag()], capture_output=True, text=True, check=True).stdout
    of_pod = [line for line in rules.splitlines() if str(port) in line]
    assert ip and any("127.0.0.3" in line and "8080" in line for line in of_pod) and any("udp" in line.lower() or "17" in line for line in of_pod), rules
    assert ask("127.0.0.4") == b""


def test_named_ports(t):
    """Nothing listens at the port, so the probe of that name fails and the container is killed."""
    pod = t.ended(container("sleep 3", ports=[{"name": "web", "containerPort": 8080}], livenessProbe={
        "tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 1}))
    assert pod["status"]["phase"] == "Failed"


# ---- volumes ----

def mount(name="v", **more):
    return {"name": name, "mountPath": "/" + name, **more}


def show(*paths):
    """A script that prints mode, group and content of files."""
    return "; ".join("echo $(stat -Lc '%%a %%g' %s) $(cat %s)" % (p, p) for p in paths)


def test_host_path(t, tmp_path):
    (tmp_path / "x").write_text("host")
    out = t.log(container("cat /v/x; stat -c %a /w", volumeMounts=[mount(), mount("w")]), volumes=[
        {"name": "v", "hostPath": {"path": str(tmp_path)}}, {"name": "w", "hostPath": {"path": str(tmp_path / "made"), "type": "DirectoryOrCreate"}}])
    assert out == "host755"
    assert (tmp_path / "made").is_dir()


def test_host_path_of_another_type(t, tmp_path):
    """A folder is no file: the container does not start."""
    name = t.make(container(volumeMounts=[mount()]), volumes=[{"name": "v", "hostPath": {"path": str(tmp_path), "type": "File"}}])
    end = time.time() + fields_table.patience(20) * SLOW
    while "is not a file" not in t.node.husk("events", "--for", "pod/" + name).out:
        assert time.time() < end and t.node.get(name)["status"]["phase"] == "Pending"
        time.sleep(0.05)


def test_empty_dir_size(t):
    out = t.log(container("df -k /v | tail -n1 | awk '{print $2}'", volumeMounts=[mount()]),
                volumes=[{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "3Mi"}}])
    assert out == "3072"


OBJECTS = {"configMap": ("name", "2"), "secret": ("secretName", "s2")}


@pytest.mark.parametrize("kind", sorted(OBJECTS))
def test_objects_as_files(t, kind):
    word, value = OBJECTS[kind]
    items = [{"key": "two", "path": "deep/second", "mode": 0o400}]
    out = t.log(container("find /v -type f | wc -l; %s; %s" % (show("/v/deep/second"), show("/w/one")), volumeMounts=[mount(), mount("w")]), volumes=[
        {"name": "v", kind: {word: "fields", "items": items}}, {"name": "w", kind: {word: "fields", "defaultMode": 0o440}}])
    assert out.splitlines()[:2] == ["1", "400 0 " + value] and out.splitlines()[2].startswith("440 0 ")


@pytest.mark.parametrize("kind", sorted(OBJECTS))
def test_objects_that_may_be_missing(t, kind):
    name = t.make(container("ls /v | wc -l", volumeMounts=[mount()]), volumes=[{"name": "v", kind: {OBJECTS[kind][0]: "gone", "optional": True}}])
    t.node.phase(name, "Succeeded")
    assert t.node.logs(name) == "0\n"


def test_downward_files(t):
    out = t.log(container("%s; %s" % (show("/v/labels"), show("/v/memory")), volumeMounts=[mount()], resources={"limits": {"memory": "64Mi"}}),
                metadata={"labels": {"app": "fields"}}, volumes=[{"name": "v", "downwardAPI": {"defaultMode": 0o440, "items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                    {"path": "memory", "mode": 0o400, "resourceFieldRef": {"containerName": "a", "resource": "limits.memory", "divisor": "1Mi"}}]}}])
    assert out.splitlines() == ['440 0 app="fields"', "400 0 64"]


def test_projected_files(t):
    sources = [{"configMap": {"name": "fields", "items": [{"key": "one", "path": "c"}]}},
               {"secret": {"name": "fields", "items": [{"key": "one", "path": "s"}]}},
               {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]
    pod = t.ended(container("ls /v; cat /v/c /v/s; echo; %s" % show("/v/name"), volumeMounts=[mount()]),
                  volumes=[{"name": "v", "projected": {"defaultMode": 0o440, "sources": sources}}])
    name = pod["metadata"]["name"]
    assert t.node.logs(name).split() == ["c", "name", "s", "1s1", "440", "0", name]


@pytest.mark.parametrize("kind", sorted(OBJECTS))
def test_projected_objects_may_be_missing(t, kind):
    name = t.make(container("ls /v", volumeMounts=[mount()]), volumes=[{"name": "v", "projected": {"sources": [
        {kind: {"name": "gone", "optional": True}}, {"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}])
    t.node.phase(name, "Succeeded")
    assert t.node.logs(name) == "x\n"


def claim(t, name):
    t.object("PersistentVolumeClaim", name, spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}})


def test_claims_keep_their_files(t):
    claim(t, "fields-kept")
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "fields-kept"}}]
    t.log(container("echo kept > /v/x", volumeMounts=[mount()]), volumes=volumes)
    out = t.log(container("cat /v/x; touch /v/y 2>/dev/null || echo read-only", volumeMounts=[mount()]), volumes=[
        {"name": "v", "persistentVolumeClaim": {"claimName": "fields-kept", "readOnly": True}}])
    assert out == "kept\nread-only"


def test_image_volume(t):
    t.node.load("--text", "note=from an image", reference="localhost/husk/note:1")
    assert t.log(container("cat /v/note", volumeMounts=[mount()]),
                 volumes=[{"name": "v", "image": {"reference": "localhost/husk/note:1", "pullPolicy": "Never"}}]) == "from an image"


def test_image_volume_pull_policy(t):
    pod = t.ended(container(volumeMounts=[mount()]), volumes=[{"name": "v", "image": {"reference": "127.0.0.1:1/absent:1", "pullPolicy": "Never"}}])
    assert every_status(pod)[0]["state"]["waiting"]["reason"] == "ErrImageNeverPull"


def test_mounts_read_only_and_of_a_part(t):
    out = t.log(container("cat /part/x /named/x; touch /v/y 2>/dev/null || echo read-only", env=[{"name": "WHICH", "value": "sub"}], volumeMounts=[
        mount(readOnly=True), {"name": "v", "mountPath": "/part", "subPath": "sub"}, {"name": "v", "mountPath": "/named", "subPathExpr": "$(WHICH)"}]),
        initContainers=[container("mkdir /v/sub; echo part > /v/sub/x", "init", volumeMounts=[mount()])], volumes=[{"name": "v", "emptyDir": {}}])
    assert out == "part\npart\nread-only"


def test_recursive_read_only(t, tmp_path):
    """What is mounted below the volume is read-only too."""
    below = tmp_path / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(below)], check=True)
    try:
        assert t.log(container("touch /v/below/x 2>/dev/null || echo read-only", volumeMounts=[mount(readOnly=True, recursiveReadOnly="Enabled")]),
                     volumes=[{"name": "v", "hostPath": {"path": str(tmp_path)}}]) == "read-only"
    finally:
        subprocess.run(["umount", "-l", str(below)], check=True)


def test_mount_propagation(t, tmp_path):
    """A mount that the node makes later below a shared one arrives in the container."""
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(tmp_path)], check=True)
        (tmp_path / "later").mkdir()
        name = t.running(container("sleep 100000", volumeMounts=[mount(mountPropagation="HostToContainer")]),
                         volumes=[{"name": "v", "hostPath": {"path": str(tmp_path)}}])
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "none", str(tmp_path / "later")], check=True)
        assert "/v/later" in t.node.sh(name, "cat /proc/mounts")
    finally:
        t.node.husk("delete", "pod", *t.names, "--grace-period=0", "--force")
        subprocess.run(["umount", "-R", "-l", str(tmp_path)], check=True)


# ---- security ----

def test_users_of_the_pod(t):
    out = t.log(container("id -u; id -g; id -G; stat -c %g /v", volumeMounts=[mount()]), volumes=[{"name": "v", "emptyDir": {}}],
                securityContext={"runAsUser": 1001, "runAsGroup": 1002, "supplementalGroups": [1003], "fsGroup": 1004})
    uid, gid, groups, owner = out.splitlines()
    assert (uid, gid, sorted(groups.split()), owner) == ("1001", "1002", ["1002", "1003", "1004"], "1004")


def test_users_of_a_container(t):
    assert t.log(container("id -u; id -g", securityContext={"runAsUser": 1001, "runAsGroup": 1002})).split() == ["1001", "1002"]


@pytest.mark.parametrize("level", ["pod", "container"])
def test_root_is_refused_where_it_is_not_wanted(t, level):
    context = {"securityContext": {"runAsNonRoot": True}}
    pod = t.ended(container(**(context if level == "container" else {})), **(context if level == "pod" else {}))
    assert every_status(pod)[0]["state"]["waiting"]["reason"] == "CreateContainerConfigError"


def test_groups_of_the_image_left_out(t):
    t.node.load("--busybox", "--text", "etc/passwd=root:x:0:0::/:/bin/sh\nmember:x:1001:1001::/:/bin/sh\n",
                "--text", "etc/group=root:x:0:\nteam:x:1009:member\n", reference="localhost/husk/members:1")
    out = t.log(container("id -G", image="localhost/husk/members:1"), securityContext={
        "runAsUser": 1001, "supplementalGroups": [1003], "supplementalGroupsPolicy": "Strict"})
    assert "1003" in out.split() and "1009" not in out.split()


def test_change_policy_of_groups(t):
    """The top has the group already, so what lies below stays as it is."""
    claim(t, "fields-groups")
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "fields-groups"}}]
    t.log(container("true", volumeMounts=[mount()]), volumes=volumes, securityContext={"fsGroup": 1004})
    t.log(container("echo x > /v/x; chgrp 7 /v/x", volumeMounts=[mount()]), volumes=volumes)
    out = t.log(container("stat -c %g /v /v/x", volumeMounts=[mount()]), volumes=volumes,
                securityContext={"fsGroup": 1004, "fsGroupChangePolicy": "OnRootMismatch"})
    assert out.split() == ["1004", "7"]


def test_sysctls(t):
    assert t.log(container("cat /proc/sys/net/ipv4/ip_local_port_range"), securityContext={
        "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "20000 20099"}]}).split() == ["20000", "20099"]


def test_seccomp_of_the_pod(t):
    out = t.log(container("grep Seccomp: /proc/self/status"), securityContext={"seccompProfile": {"type": "Unconfined"}})
    assert out.split() == ["Seccomp:", "0"]


def test_seccomp_of_one_container_alone(t):
    out = t.log(container("grep Seccomp: /proc/self/status", securityContext={"seccompProfile": {"type": "Unconfined"}}))
    assert out.split() == ["Seccomp:", "0"]


def test_seccomp_of_a_file(t):
    folder = os.path.join(t.node.root, "seccomp")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "no-mkdir.json"), "w") as f:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}, f)
    assert "not permitted" in t.log(container("mkdir /x 2>&1; true", securityContext={
        "seccompProfile": {"type": "Localhost", "localhostProfile": "no-mkdir.json"}}))


def test_capabilities(t):
    out = t.log(container("grep CapBnd /proc/self/status", securityContext={"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}))
    assert int(out.split()[1], 16) == 1 << 12


def test_no_new_privileges(t):
    out = t.log(container("grep NoNewPrivs /proc/self/status", securityContext={"allowPrivilegeEscalation": False}))
    assert out.split() == ["NoNewPrivs:", "1"]


def test_read_only_root(t):
    assert t.log(container("touch /x 2>/dev/null || echo read-only", securityContext={"readOnlyRootFilesystem": True})) == "read-only"


# ---- probes ----

class Server:
    """On the loopback of the node; asked rightly it answers 200, else 500."""

    def __init__(self, tls=None):
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.requests.append((self.path, self.headers.get("X-Fields")))
                self.send_response(200 if outer.requests[-1] == ("/right", "yes") else 500)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def get(self, **more):
        return {"host": "127.0.0.1", "port": self.port, "path": "/right", "httpHeaders": [{"name": "X-Fields", "value": "yes"}], **more}


@pytest.fixture
def server():
    s = Server()
    yield s
    s.server.shutdown()
    s.server.server_close()


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    s = Server(make_certificate(str(tmp_path_factory.mktemp("tls"))))
    yield s
    s.server.shutdown()
    s.server.server_close()


def probe(**more):
    return {"periodSeconds": 1, "failureThreshold": 1, **more}


def killed(pod):
    """By its liveness or startup probe: nothing else ends these pods but their own good end."""
    return pod["status"]["phase"] == "Failed"


def test_http_probe(t, server):
    pod = t.ended(container("sleep 2", livenessProbe=probe(httpGet=server.get())))
    assert server.requests and not killed(pod)


def test_https_probe(t, tls_server):
    before = len(tls_server.requests)
    pod = t.ended(container("sleep 2", livenessProbe=probe(timeoutSeconds=10, httpGet=tls_server.get(scheme="HTTPS"))))
    assert len(tls_server.requests) > before and not killed(pod)


def test_liveness_probe(t):
    assert killed(t.ended(container("sleep 4", livenessProbe=probe(exec={"command": ["false"]}))))


def test_startup_probe(t):
    assert killed(t.ended(container("sleep 4", startupProbe=probe(exec={"command": ["false"]}))))


def test_readiness_probe(t):
    name = t.running(container("sleep 100000", readinessProbe=probe(exec={"command": ["false"]})))
    pod = t.node.wait(name, "conditions", lambda p: condition(p, "ContainersReady"))
    time.sleep(0.3)
    pod = t.node.get(name)
    assert not every_status(pod)[0]["ready"] and condition(pod, "Ready")["status"] == "False"


def test_probe_of_a_port(t):
    pod = t.ended(container("sleep 3", livenessProbe=probe(tcpSocket={"port": 8080})))
    assert killed(pod)


def test_probe_of_a_port_elsewhere(t, server):
    pod = t.ended(container("sleep 2", livenessProbe=probe(tcpSocket={"port": server.port, "host": "127.0.0.1"})))
    assert not killed(pod)


class Health:
    """gRPC's health service, as much of HTTP/2 as that takes: a service that is called "right" serves, others do not."""

    def __init__(self):
        self.listener = socket.create_server(("0.0.0.0", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    @staticmethod
    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    @staticmethod
    def header(name, value):
        return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value

    def answer(self, connection):
        with connection, connection.makefile("rb") as f:
            f.read(24)  # the preface
            connection.sendall(self.frame(4, 0, 0))
            while True:
                head = f.read(9)
                if len(head) < 9:
                    return
                payload, kind, flags, stream = f.read(int.from_bytes(head[:3], "big")), head[3], head[4], int.from_bytes(head[5:], "big")
                if kind == 4 and not flags & 1:
                    connection.sendall(self.frame(4, 1, 0))
                elif kind == 0:  # the request: a length, and a message whose first field is the service's name
                    serving = 1 if payload[5:] == b"\x0a\x05right" else 2
                    connection.sendall(self.frame(1, 4, stream, b"\x88" + self.header(b"content-type", b"application/grpc")) +
                                       self.frame(0, 0, stream, b"\0\0\0\0\x02\x08" + bytes([serving])) +
                                       self.frame(1, 5, stream, self.header(b"grpc-status", b"0")))


@pytest.fixture(scope="module")
def health():
    server = Health()
    yield server
    server.listener.close()


def test_grpc_probe(t, health):
    name = t.running(container("sleep 100000", readinessProbe=probe(failureThreshold=100, grpc={"port": health.port, "service": "right"})), hostNetwork=True)
    t.node.wait(name, "readiness", lambda p: condition(p, "Ready").get("status") == "True")


def test_grpc_probe_of_a_service_that_does_not_serve(t, health):
    assert killed(t.ended(container("sleep 4", livenessProbe=probe(grpc={"port": health.port, "service": "wrong"})), hostNetwork=True))


def test_probe_period(t):
    """Two failures in less than four seconds."""
    assert killed(t.ended(container("sleep 5", livenessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2})))


def test_probe_delay(t):
    assert not killed(t.ended(container("sleep 2", livenessProbe=probe(initialDelaySeconds=600, exec={"command": ["false"]}))))


def test_probe_timeout(t):
    assert not killed(t.ended(container("sleep 3", livenessProbe=probe(timeoutSeconds=30, exec={"command": ["sleep", "1.5"]}))))


def test_probe_failure_threshold(t):
    pod = t.ended(container("sleep 20", livenessProbe={"periodSeconds": 1, "failureThreshold": 2, "exec": {
        "command": ["sh", "-c", "echo x >> /dev/termination-log; false"]}}))
    assert killed(pod) and every_status(pod)[0]["state"]["terminated"]["message"] == "x\nx\n"


def test_probe_grace_period(t):
    pod = t.ended(container("trap '' TERM; for i in $(seq 50); do sleep 0.1; done", livenessProbe=probe(
        terminationGracePeriodSeconds=1, exec={"command": ["false"]})), terminationGracePeriodSeconds=600)
    assert killed(pod) and every_status(pod)[0]["state"]["terminated"]["exitCode"] == 137


# ---- hooks ----

def test_post_start(t):
    assert t.log(container("until [ -e /done ]; do sleep 0.1; done; cat /done" if not fields_table.dropped else "sleep 1; cat /done", lifecycle={
        "postStart": {"exec": {"command": ["sh", "-c", "echo hooked > /made; mv /made /done"]}}})) == "hooked"


def test_post_start_asks_a_server(t, server):
    assert t.log(container("echo ran; sleep 1", lifecycle={"postStart": {"httpGet": server.get()}})) == "ran"
    assert server.requests == [("/right", "yes")]


def test_post_start_to_a_port_always_fails(t):
    """As Kubernetes keeps it."""
    name = t.make(container("sleep 3", lifecycle={"postStart": {"tcpSocket": {"port": 8080}}}))
    pod = t.node.wait(name, "end", lambda p: p["status"].get("phase") in ("Succeeded", "Failed"))
    assert pod["status"]["phase"] == "Failed" and "FailedPostStartHook" in t.node.husk("events", "--for", "pod/" + name).out


def hooked(t, tmp_path, **hook):
    """A pod that says in a file of the node when it is asked to end."""
    return t.running(container("trap 'echo term >> /v/said; exit 0' TERM; while :; do sleep 0.1; done", lifecycle={"preStop": hook},
                               volumeMounts=[mount()]), volumes=[{"name": "v", "hostPath": {"path": str(tmp_path)}}], terminationGracePeriodSeconds=30)


def test_pre_stop(t, tmp_path):
    name = hooked(t, tmp_path, exec={"command": ["sh", "-c", "echo hook >> /v/said"]})
    t.node.husk("delete", "pod", name)
    assert (tmp_path / "said").read_text() == "hook\nterm\n"


def test_pre_stop_sleeps(t, tmp_path):
    name = hooked(t, tmp_path, sleep={"seconds": 3})
    t.node.husk("delete", "pod", name, "--wait=false")
    time.sleep(1.5)
    assert not (tmp_path / "said").exists()
    t.node.husk("wait", "pod/" + name, "--for=delete", "--timeout=20s")
    assert (tmp_path / "said").read_text() == "term\n"


# ---- ephemeral containers ----

@pytest.fixture
def alive(t):
    """A pod that runs, to be given ephemeral containers."""
    name = t.running(container("sleep 100000", volumeMounts=[mount()], env=[{"name": "MARK", "value": "target"}]),
                     volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}])

    def add(script="exit 0", check=True, wait=True, **more):
        patch = {"spec": {"ephemeralContainers": [dict({"name": "e", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", script]}, **more)]}}
        r = t.node.husk("patch", "pod", name, "--subresource=ephemeralcontainers", "-p", json.dumps(patch), check=check)
        if not check or not wait:
            return r
        pod = t.node.wait(name, "end of the ephemeral container", lambda p: any(
            "terminated" in s["state"] or s["state"].get("waiting", {}).get("reason") in STUCK for s in p["status"].get("ephemeralContainerStatuses", [])))
        status = pod["status"]["ephemeralContainerStatuses"][0]
        return status, t.node.husk("logs", name, "-c", "e", check=False).out.strip()

    add.pod = name
    add.node = t.node
    return add


def test_ephemeral_container(alive):
    t_image = "localhost/husk/fields:1"
    alive.node.load("--busybox", "--env", "IMAGE=fields", "--entrypoint", "/bin/false", reference=t_image)
    _, out = alive(image=t_image, command=["/bin/sh", "-c", "echo $IMAGE $0 $1; pwd; tty; cat /v/.. 2>/dev/null; grep -c ' /v ' /proc/mounts"],
                   args=["one", "two"], workingDir="/made", tty=True, volumeMounts=[mount()])
    out = out.replace("\r", "").splitlines()
    assert out[:2] == ["fields one two", "/made"] and out[2].startswith("/dev/") and out[3] == "1"


def test_ephemeral_environment(alive):
    _, out = alive("echo $A $C_one", env=[{"name": "A", "value": "x"}], envFrom=[{"prefix": "C_", "configMapRef": {"name": "fields"}}])
    assert out == "x 1"


def test_ephemeral_container_in_the_processes_of_its_target(alive):
    _, out = alive("tr '\\0' ' ' < /proc/1/cmdline", targetContainerName="a")
    assert out == "sleep 100000"


def test_ephemeral_termination_message(alive):
    status, _ = alive("echo told > /tmp/message; exit 1", terminationMessagePath="/tmp/message")
    assert status["state"]["terminated"]["message"] == "told\n"


def test_ephemeral_termination_message_from_the_log(alive):
    status, _ = alive("echo last words; exit 1", terminationMessagePolicy="FallbackToLogsOnError")
    assert status["state"]["terminated"]["message"] == "last words\n"


def test_ephemeral_pull_policy(alive):
    status, _ = alive(image="127.0.0.1:1/absent:1", imagePullPolicy="Never")
    assert status["state"]["waiting"]["reason"] == "ErrImageNeverPull"


def test_ephemeral_security(alive):
    _, out = alive("id -u", securityContext={"runAsUser": 1001})
    assert out == "1001"


def test_ephemeral_standard_input_once(alive):
    alive("timeout 20 cat; echo end $?", wait=False, stdin=True, stdinOnce=True)
    alive.node.wait(alive.pod, "start", lambda p: any("waiting" not in s["state"] for s in p["status"].get("ephemeralContainerStatuses", [])))
    alive.node.husk("attach", "-i", alive.pod, "-c", "e", input="hello\n", check=False, timeout=fields_table.patience(30))
    alive.node.wait_log("end", alive.pod, "-c", "e")
    assert alive.node.logs(alive.pod, "-c", "e") == "hello\nend 0\n"


@pytest.mark.parametrize("field,value", [
    ("ports", [{"containerPort": 80}]), ("resources", {"limits": {"cpu": "1"}}), ("livenessProbe", {"exec": {"command": ["true"]}}),
    ("readinessProbe", {"exec": {"command": ["true"]}}), ("startupProbe", {"exec": {"command": ["true"]}}),
    ("lifecycle", {"preStop": {"exec": {"command": ["true"]}}}), ("restartPolicy", "Always"),
    ("resizePolicy", [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]),
    ("restartPolicyRules", [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}])], ids=lambda v: v if isinstance(v, str) else "")
def test_ephemeral_containers_cannot_have(alive, field, value):
    """As Kubernetes: they are refused by the field's path."""
    r = alive(check=False, **{field: value})
    assert r.code != 0 and "spec.ephemeralContainers[0]." + field in r.err
