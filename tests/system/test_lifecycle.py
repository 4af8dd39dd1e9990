"""How containers and pods end: the stop signal, in its order with preStop and SIGKILL; finalizers; how probes ask."""
import concurrent.futures

from conftest import BUSYBOX, pod_text

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  os: {name: linux}
  terminationGracePeriodSeconds: %d
  restartPolicy: Never
  containers:
  - name: a
    image: localhost/husk/busybox:1
    command: [sh, -c, "%s"]
    lifecycle: {%s}
    volumeMounts: [{name: out, mountPath: /out}]
  volumes: [{name: out, hostPath: {path: %s}}]
"""
TRAPS = "trap 'echo usr1 >> /out/seen; exit 7' USR1; trap 'echo term >> /out/seen; exit 8' TERM; echo up > /out/up; while :; do sleep 0.05; done"


def ended(node, tmp_path, name, script, lifecycle, grace=30):
    """What a container has seen by the time it is gone."""
    node.apply(POD % (name, grace, script, lifecycle, tmp_path))
    node.running(name)
    node.until(name, "cat /out/up", "up")
    status = node.get(name)["status"]["containerStatuses"][0]
    node.husk("delete", "pod", name, timeout=90)
    seen = tmp_path / "seen"
    return status, seen.read_text().split() if seen.exists() else []


def test_stop_signal(node, tmp_path):
    """lifecycle.stopSignal is sent in SIGTERM's place, after preStop, and the status names it."""
    status, seen = ended(node, tmp_path, "signal", TRAPS,
                         "stopSignal: SIGUSR1, preStop: {exec: {command: [sh, -c, 'echo hook >> /out/seen']}}")
    assert status["stopSignal"] == "SIGUSR1"
    assert seen == ["hook", "usr1"]


def test_sigterm_is_the_stop_signal_of_who_names_none(node, tmp_path):
    status, seen = ended(node, tmp_path, "plain", TRAPS, "preStop: {sleep: {seconds: 0}}")
    assert (status["stopSignal"], seen) == ("SIGTERM", ["term"])


def test_who_ignores_its_stop_signal_is_killed(node, tmp_path):
    script = "trap '' USR1; trap 'echo term >> /out/seen; exit 8' TERM; echo up > /out/up; while :; do sleep 0.05; done"
    _, seen = ended(node, tmp_path, "deaf", script, "stopSignal: SIGUSR1", grace=1)
    assert seen == []


def test_stop_signals_are_checked(node):
    bad = POD.replace("  os: {name: linux}\n", "") % ("bad", 1, "true", "stopSignal: SIGUSR1", "/tmp")
    r = node.fails("apply", "-f", "-", input=bad)
    assert "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`" in r.err
    r = node.fails("apply", "-f", "-", input=POD % ("bad", 1, "true", "stopSignal: SIGBOGUS", "/tmp"))
    assert 'stopSignal: Unsupported value: "SIGBOGUS": supported values: "SIGABRT"' in r.err
    assert node.get("bad") is None


def test_finalizers_hold_a_deleted_pod(node):
    """A pod with finalizers ends when it is deleted, but its object stays until the last of them is taken away."""
    node.apply("""
apiVersion: v1
kind: Pod
metadata: {name: held, finalizers: [example.com/one, example.com/two]}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: a, image: localhost/husk/busybox:1, command: [sleep, "1000"]}]
""")
    node.running("held")
    node.husk("delete", "pod", "held", "--wait=false")
    pod = node.wait("held", "to end", lambda p: p["status"]["phase"] in ("Failed", "Succeeded"))
    assert pod["metadata"]["deletionTimestamp"] and pod["metadata"]["finalizers"] == ["example.com/one", "example.com/two"]
    assert "terminated" in pod["status"]["containerStatuses"][0]["state"]
    node.husk("delete", "pod", "held", "--force", "--wait=false")
    node.husk("patch", "pod", "held", "--type=json", "-p", '[{"op": "remove", "path": "/metadata/finalizers/0"}]')
    assert node.get("held")["metadata"]["finalizers"] == ["example.com/two"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waits = pool.submit(node.husk, "delete", "pod", "held")
        node.husk("patch", "pod", "held", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
        waits.result()
    assert node.get("held") is None


def test_a_probe_asks_for_a_path_as_go_writes_it_and_sends_no_header_of_two_lines(node):
    web = """{name: %s, image: %s, command: [sh, -c, "mkdir /w; echo yes > '/w/a b'; exec httpd -f -p %d -h /w"],
      readinessProbe: {httpGet: {path: "/a b", port: %d, httpHeaders: [{name: X-A, value: %s}]}, periodSeconds: 1}}"""
    node.apply(pod_text(web % ("fine", BUSYBOX, 81, 81, "one"), web % ("bad", BUSYBOX, 82, 82, '"one\\r\\nX-B: two"'), name="asked"))
    node.told('net/http: invalid header field value for "X-A"', "asked")
    ready = node.wait("asked", "a ready container", lambda p: any(s["ready"] for s in p["status"].get("containerStatuses", [])))["status"]["containerStatuses"]
    assert {s["name"]: s["ready"] for s in ready} == {"fine": True, "bad": False}
