"""What a pod says of itself: events, and the reasons and messages of containers that wait, in the words of a kubelet of 1.36."""
import json
import re
import socket
import threading
import time

import fields_table
from conftest import BUSYBOX, SLOW


def pod(name, spec):
    """spec: the fields of a PodSpec; of a container without an image it is busybox, which sleeps if nothing else is said."""
    for c in spec["containers"] + spec.get("initContainers", []):
        if "image" not in c:
            c.setdefault("command", ["sleep", "1000"])
        c.setdefault("image", BUSYBOX)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0, **spec}}


def mounting(volumes):
    """A pod with these volumes (name: source), all of them mounted."""
    return {"containers": [{"name": "a", "volumeMounts": [{"name": v, "mountPath": "/" + v} for v in volumes]}],
            "volumes": [{"name": v, **source} for v, source in volumes.items()]}


def failing(probe, **more):
    return {probe: {"exec": {"command": ["sh", "-c", "echo bad; exit 1"]}, "periodSeconds": 1, "failureThreshold": 1}, **more}


# Of each pod: its spec, and (type, reason, message as a regular expression, container that it is about) of events that come.
EVENTS = {
    "well": ({"containers": [{"name": "a"}]}, [
        ("Normal", "Scheduled", r"Successfully assigned default/well to \S+", None),
        ("Normal", "Pulled", 'Container image "%s" already present on machine and can be accessed by the pod' % BUSYBOX, "spec.containers{a}"),
        ("Normal", "Created", "Container created", "spec.containers{a}"),
        ("Normal", "Started", "Container started", "spec.containers{a}")]),
    "nowhere": ({"nodeSelector": {"no": "such"}, "containers": [{"name": "a"}]}, [
        ("Warning", "FailedScheduling", r"0/1 nodes are available: 1 node\(s\) didn't match Pod's node affinity/selector\. .*", None)]),
    # every volume that fails has its own event
    "volumes": (mounting({"cm": {"configMap": {"name": "gone"}}, "key": {"configMap": {"name": "here", "items": [{"key": "nokey", "path": "p"}]}},
                          "se": {"secret": {"secretName": "gone"}}, "hp": {"hostPath": {"path": "/etc/passwd", "type": "Directory"}},
                          "pr": {"projected": {"sources": [{"secret": {"name": "gone2"}}]}}, "em": {"emptyDir": {}}}), [
        ("Warning", "FailedMount", 'MountVolume.SetUp failed for volume "cm" : configmap "gone" not found', None),
        ("Warning", "FailedMount", 'MountVolume.SetUp failed for volume "key" : configmap references non-existent config key: nokey', None),
        ("Warning", "FailedMount", 'MountVolume.SetUp failed for volume "se" : secret "gone" not found', None),
        ("Warning", "FailedMount", 'MountVolume.SetUp failed for volume "hp" : hostPath type check failed: /etc/passwd is not a directory', None),
        ("Warning", "FailedMount", 'MountVolume.SetUp failed for volume "pr" : secret "gone2" not found', None)]),
    "claim": (mounting({"c": {"persistentVolumeClaim": {"claimName": "gone"}}}), [
        ("Warning", "FailedScheduling", '0/1 nodes are available: persistentvolumeclaim "gone" not found. .*', None)]),
    "images": ({"imagePullSecrets": [{"name": "gone"}, {"name": "gone2"}],
                "containers": [{"name": "a", "image": "127.0.0.1:1/x:1"}, {"name": "b", "image": "127.0.0.1:1/x:2", "imagePullPolicy": "Never"},
                               {"name": "c", "image": "a//b"}]}, [
        ("Warning", "FailedToRetrieveImagePullSecret",
         r"Unable to retrieve some image pull secrets \(gone, gone2\); attempting to pull the image may not succeed\.", None),
        ("Normal", "Pulling", 'Pulling image "127.0.0.1:1/x:1"', "spec.containers{a}"),
        ("Warning", "Failed", 'Failed to pull image "127.0.0.1:1/x:1": .*', "spec.containers{a}"),
        ("Warning", "Failed", "Error: ErrImagePull", "spec.containers{a}"),
        ("Normal", "BackOff", 'Back-off pulling image "127.0.0.1:1/x:1"', "spec.containers{a}"),
        ("Warning", "Failed", "Error: ImagePullBackOff", "spec.containers{a}"),
        ("Warning", "ErrImageNeverPull", 'Container image "127.0.0.1:1/x:2" is not present with pull policy of Never', "spec.containers{b}"),
        ("Warning", "Failed", "Error: ErrImageNeverPull", "spec.containers{b}"),
        ("Warning", "InspectFailed", 'Failed to apply default image tag "a//b": couldn\'t parse image name "a//b": invalid reference format',
         "spec.containers{c}"),
        ("Warning", "Failed", "Error: InvalidImageName", "spec.containers{c}")]),
    "starts": ({"containers": [{"name": "a", "command": ["/none"], "image": BUSYBOX},
                               {"name": "b", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k"}}}]},
                               {"name": "c", "securityContext": {"runAsNonRoot": True}}]}, [
        ("Normal", "Created", "Container created", "spec.containers{a}"),
        ("Warning", "Failed", "Error: .*/none.*", "spec.containers{a}"),
        ("Warning", "BackOff", r"Back-off restarting failed container a in pod starts_default\(UID\)", "spec.containers{a}"),
        ("Warning", "Failed", 'Error: secret "gone" not found', "spec.containers{b}"),
        ("Warning", "Failed", r'Error: container has runAsNonRoot and image will run as root \(pod: "starts_default\(UID\)", container: c\)',
         "spec.containers{c}")]),
    "hooks": ({"containers": [{"name": "a", "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo out; echo err >&2; exit 3"]}}}},
                              {"name": "b", "lifecycle": {"postStart": {"tcpSocket": {"port": 1}}}},
                              {"name": "c", "lifecycle": {"postStart": {"httpGet": {"port": 1}}}}]}, [
        ("Warning", "FailedPostStartHook", "PostStartHook failed", "spec.containers{a}"),
        ("Normal", "Killing", "FailedPostStartHook", "spec.containers{a}"),
        ("Warning", "FailedPostStartHook", "PostStartHook failed", "spec.containers{b}"),
        ("Warning", "FailedPostStartHook", "PostStartHook failed", "spec.containers{c}")]),
    "probes": ({"initContainers": [{"name": "side", "restartPolicy": "Always", **failing("livenessProbe")}],
                "containers": [{"name": "a", **failing("livenessProbe")}, {"name": "b", **failing("startupProbe", restartPolicy="Never")},
                               {"name": "c", **failing("readinessProbe")},
                               {"name": "d", "livenessProbe": {"exec": {"command": ["/none"]}, "periodSeconds": 1}}]}, [
        ("Warning", "Unhealthy", "Liveness probe failed: bad\n", "spec.containers{a}"),
        ("Normal", "Killing", "Container a failed liveness probe, will be restarted", "spec.containers{a}"),
        ("Normal", "Killing", "Container b failed startup probe", "spec.containers{b}"),
        ("Warning", "Unhealthy", "Startup probe failed: bad\n", "spec.containers{b}"),
        ("Warning", "Unhealthy", "Readiness probe failed: bad\n", "spec.containers{c}"),
        ("Warning", "Unhealthy", "Liveness probe errored and resulted in unknown state: .*", "spec.containers{d}"),
        ("Normal", "Killing", "Init container side failed liveness probe", "spec.initContainers{side}")]),
    "deadline": ({"activeDeadlineSeconds": 1, "containers": [{"name": "a"}]}, [
        ("Normal", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline", None),
        ("Normal", "Killing", "Stopping container a", "spec.containers{a}")]),
}

# (pod, container): reason and message of state.waiting, which stand there in the end.
WAITING = {
    ("images", "a"): ("ImagePullBackOff", 'Back-off pulling image "127.0.0.1:1/x:1": ErrImagePull: .*'),
    ("images", "b"): ("ErrImageNeverPull", 'Container image "127.0.0.1:1/x:2" is not present with pull policy of Never'),
    ("images", "c"): ("InvalidImageName", 'Failed to apply default image tag "a//b": .*'),
    ("starts", "b"): ("CreateContainerConfigError", 'secret "gone" not found'),
    ("starts", "c"): ("CreateContainerConfigError", r'container has runAsNonRoot and image will run as root \(.*'),
    ("hooks", "a"): ("PostStartHookError|CrashLoopBackOff", r'Exec lifecycle hook \(\[sh -c echo out; echo err >&2; exit 3\]\) for Container "a" in Pod '
                     r'"hooks_default\(UID\)" failed - error: command \'sh -c echo out; echo err >&2; exit 3\' exited with 3: err\n, '
                     r'message: "out\\nerr\\n"|back-off 10s .*'),
    ("hooks", "b"): ("PostStartHookError|CrashLoopBackOff", "Cannot run handler: invalid handler: .*|back-off 10s .*"),
    ("hooks", "c"): ("PostStartHookError|CrashLoopBackOff", r'HTTP lifecycle hook \(/\) for Container "c" in Pod "hooks_default\(UID\)" failed - '
                     r'error: Get "http://\S+:1/": dial tcp \S+:1: connect: connection refused|back-off 10s .*'),
    ("volumes", "a"): ("ContainerCreating", ""),
}


def events(node, uid, name):
    """{(type, reason, message, fieldPath)} of a pod; its uid is written UID."""
    items = json.loads(node.husk("get", "events", "-o", "json", "--field-selector", "involvedObject.name=" + name).out)["items"]
    return {(e["type"], e["reason"], e["message"].replace(uid, "UID"), e["involvedObject"].get("fieldPath")) for e in items}


def until(what, timeout=30):
    end = time.time() + fields_table.patience(timeout) * SLOW
    while True:
        missing = what()
        if not missing:
            return
        assert time.time() < end, missing
        time.sleep(0.2)


def missing_events(node, uid, name, wanted):
    there = events(node, uid, name)
    left = [w for w in wanted if not any(w[0] == t and w[1] == r and w[3] == f and re.fullmatch(w[2], m, re.S) for t, r, m, f in there)]
    return left and (name, left, sorted(there, key=str))


def test_events_and_waiting_reasons_have_the_words_of_a_kubelet(node):
    node.husk("create", "configmap", "here", "--from-literal=k=v")
    items = [pod(name, spec) for name, (spec, _) in EVENTS.items()]
    node.husk("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    uids = {name: node.get(name)["metadata"]["uid"] for name in EVENTS}
    for name, (_, wanted) in EVENTS.items():
        until(lambda: missing_events(node, uids[name], name, wanted))

    def wrong_state():
        status = next(s for s in node.get(name)["status"]["containerStatuses"] if s["name"] == c)
        waiting = status["state"].get("waiting", {})
        right = re.fullmatch(reason, waiting.get("reason", "")) and re.fullmatch(
            message, waiting.get("message", "").replace(uids[name], "UID"), re.S)
        return not right and (name, c, reason, message, status["state"])

    for (name, c), (reason, message) in WAITING.items():
        until(wrong_state)


def test_an_event_that_comes_again_is_counted(node):
    node.husk("apply", "-f", "-", input=json.dumps(pod("again", {"containers": [{"name": "a", **failing("readinessProbe")}]})))

    def unhealthy():
        items = json.loads(node.husk("get", "events", "-o", "json").out)["items"]
        return next((e for e in items if e["reason"] == "Unhealthy"), {"count": 0})

    until(lambda: unhealthy()["count"] < 2 and unhealthy())
    e = unhealthy()
    assert e["firstTimestamp"] < e["lastTimestamp"] and e["involvedObject"]["fieldPath"] == "spec.containers{a}"
    assert e["source"]["component"] == e["reportingComponent"] == "kubelet" and e["apiVersion"] == "v1" and e["type"] == "Warning"
    assert re.search(r"Warning +Unhealthy +\S+ \(x\d+ over \S+\) +kubelet +spec\.containers\{a\}: Readiness probe failed: bad\n", node.husk("describe", "pod", "again").out)
    out = node.husk("events", "--for", "pod/again", "--types=Warning").out
    assert re.search(r"\(x\d+ over \S+\) +Warning +Unhealthy +Pod/again", out) and "Scheduled" not in out
    assert "event/again." in node.husk("events", "-A", "-o", "name").out


def plain_server(asked):
    """Answers whatever does not begin as a request, as a TLS handshake does, with an error at once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                head = connection.recv(65536).decode(errors="replace")
                if head.startswith("GET "):
                    asked.append(head)
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    return listener


def test_an_https_hook_that_is_answered_in_http_is_asked_again_in_http(node):
    """The kubelet of 1.36 does that for hooks, and drops the credentials."""
    asked = []
    listener = plain_server(asked)
    port = listener.getsockname()[1]
    get = {"scheme": "HTTPS", "host": "127.0.0.1", "port": port, "path": "/p",
           "httpHeaders": [{"name": "Authorization", "value": "x"}, {"name": "X-Other", "value": "y"}]}
    try:
        node.husk("apply", "-f", "-", input=json.dumps(pod("fallback", {"containers": [
            {"name": "a", "lifecycle": {"postStart": {"httpGet": get}}, "readinessProbe": {"httpGet": {**get, "path": "/probe"}, "periodSeconds": 1}}]})))
        node.running("fallback")
        assert len(asked) == 1 and asked[0].startswith("GET /p HTTP/1.1\r\n") and "X-Other: y\r\n" in asked[0] and "Authorization" not in asked[0]
        uid = node.get("fallback")["metadata"]["uid"]
        until(lambda: missing_events(node, uid, "fallback", [
            ("Warning", "LifecycleHTTPFallback", "request to HTTPS lifecycle hook 127.0.0.1:%d got HTTP response, retry with HTTP succeeded" % port,
             None),
            ("Warning", "Unhealthy", 'Readiness probe failed: Get "https://127.0.0.1:%d/probe": http: server gave HTTP response to HTTPS client' % port,
             "spec.containers{a}")]))
    finally:
        listener.close()
    assert len(asked) == 1
