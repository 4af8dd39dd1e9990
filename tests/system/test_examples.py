"""Every manifest in examples/ does what its comments say."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import EXAMPLES, HUSK


def example(node, name):
    return node.husk("apply", "-f", os.path.join(EXAMPLES, name + ".yaml"))


def test_every_example_has_a_test():
    names = {f[:-len(".yaml")] for f in os.listdir(EXAMPLES) if f.endswith(".yaml")}
    with open(__file__) as f:
        tested = set(re.findall(r'example\(node, "([a-z-]+)"\)', f.read()))
    assert names == tested


def test_the_sidecar_ships_what_the_app_writes(node):
    example(node, "sidecar")
    node.running("sidecar")
    node.wait_log("request 2 served", "sidecar", "-c", "shipper")
    # -c is left out: the annotation names the app, whose own output is empty
    assert node.logs("sidecar") == ""


def test_the_sidecar_is_there_until_the_apps_last_line(node):
    example(node, "sidecar")
    node.wait_log("request 1 served", "sidecar", "-c", "shipper")
    follow = subprocess.Popen([HUSK, "logs", "-f", "sidecar", "-c", "shipper"], env=node.env, stdout=subprocess.PIPE, text=True)
    node.husk("delete", "pod", "sidecar")
    out, _ = follow.communicate(timeout=10)
    assert out.rstrip().endswith("goodbye")


def test_a_cache_answers_after_the_database_did(redis_images, node):
    example(node, "cache")
    out = node.wait_log("cache: row 7", "cache", timeout=60)
    assert out.index("database: row 7") < out.index("cache: row 7")
    # nobody but the pod reaches it
    ip = node.get("cache")["status"]["podIP"]
    assert subprocess.run(["redis-cli", "-h", ip, "-t", "2", "ping"], capture_output=True).returncode != 0


def commands(node, pod, command):
    out = node.exec(pod, "redis-cli", "info", "commandstats").out
    m = re.search(r"cmdstat_%s:calls=(\d+)" % command, out)
    return int(m.group(1)) if m else 0


def test_the_ambassador_spreads_reads_and_only_its_configuration_changes(redis_images, node):
    folder = os.path.join(EXAMPLES, "ambassador")
    env = dict(node.env, HUSK=HUSK)

    def configure(*args):
        subprocess.run([os.path.join(folder, "configure"), *args], check=True, env=env, capture_output=True)
    node.husk("apply", "-f", os.path.join(folder, "redis-primary.yaml"))
    node.husk("wait", "--for=condition=Ready", "pod/redis-primary", "--timeout=30s")
    configure("replica", "redis-replica-1")
    example(node, "ambassador")
    node.wait_log(r"counter is \d+", "ambassador", timeout=60)
    before = node.get("ambassador")
    # writes at the primary, reads at the replica
    node.wait_log(r"(counter is \d+\n){3}", "ambassador")
    assert commands(node, "redis-primary", "set") >= 3
    assert commands(node, "redis-replica-1", "get") >= 3
    assert commands(node, "redis-primary", "get") == 0
    # a replica comes: it gets its share, and nothing in the pod was restarted
    configure("replica", "redis-replica-2")
    end = time.time() + 30
    while commands(node, "redis-replica-2", "get") < 2:
        assert time.time() < end
        time.sleep(0.5)
    # and goes
    node.husk("delete", "pod", "redis-replica-1")
    configure()
    lines = node.logs("ambassador").count("\n")
    node.wait_log(r"(counter is \d+\n){%d}" % (lines + 3), "ambassador")
    after = node.get("ambassador")
    for kind in ("initContainerStatuses", "containerStatuses"):
        assert [(s["containerID"], s["restartCount"]) for s in after["status"][kind]] == \
            [(s["containerID"], s["restartCount"]) for s in before["status"][kind]]


def test_the_adapter_gives_both_versions_one_format(node):
    example(node, "adapter-logs")
    want = {"level": "INFO", "message": "order taken"}
    for pod in ("adapter-logs", "adapter-logs-v2"):
        out = node.wait_log("order taken", pod, "-c", "adapter")
        assert all(json.loads(line) == want for line in out.splitlines())


def test_the_metrics_adapter_speaks_the_monitors_format(node):
    example(node, "adapter-metrics")
    node.running("adapter-metrics")
    ip = node.get("adapter-metrics")["status"]["podIP"]
    out = node.until("adapter-metrics", "wget -q -O - http://%s:9100/metrics" % ip, lambda o: "app_served_total" in o, c="app")
    assert out.splitlines() == ["app_served_total 12", "app_failed_total 1"]


def test_init_containers_prepare_what_the_app_serves(node):
    example(node, "init")
    pod = node.running("init")
    first, second = pod["status"]["initContainerStatuses"]
    assert first["state"]["terminated"]["finishedAt"] <= second["state"]["terminated"]["startedAt"]
    node.until("init", "wget -q -O - http://127.0.0.1:8080/", "<h1>hello from an init container</h1>")


def test_shared_memory_outlives_a_container(node):
    example(node, "ipc")
    node.wait_log(r"the producer is at \d+", "ipc", "-c", "consumer")
    node.sh("ipc", "echo kept > /dev/shm/kept", c="producer")
    os.kill(node.oldest_in("ipc", "pid", c="producer"), signal.SIGKILL)
    node.wait("ipc", "a restart of the producer", lambda p: any(s["name"] == "producer" and s["restartCount"] == 1 and "running" in s["state"]
                                                                for s in p["status"]["containerStatuses"]))
    assert node.sh("ipc", "cat /dev/shm/kept", c="producer") == "kept"


def test_a_container_signals_another(node):
    example(node, "shared-pid")
    node.wait_log("configuration read again: version 2", "shared-pid", "-c", "server")


def test_aliases_are_names_in_every_container(node):
    example(node, "host-aliases")
    out = node.wait_log("I am the database", "host-aliases", "-c", "app")
    assert re.search(r"^127\.0\.0\.1\s+database\.local\s+cache\.local$", node.sh("host-aliases", "cat /etc/hosts", c="database"), re.M)
    assert "printer.office" in out or node.wait_log("printer.office", "host-aliases", "-c", "app")


def test_the_pod_starts_when_the_node_gets_its_label(own_node):
    node = own_node
    node.load("--busybox")
    example(node, "node-selector")
    pod = node.wait("node-selector", "Unschedulable", lambda p: any(c.get("reason") == "Unschedulable" for c in p["status"].get("conditions", [])))
    assert pod["status"]["phase"] == "Pending"
    message = [c["message"] for c in pod["status"]["conditions"] if c["type"] == "PodScheduled"][0]
    assert "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector." in message
    node.husk("label", "node", "--all", "camera=front")
    node.running("node-selector")
    node.wait_log("front camera", "node-selector")


def test_what_was_a_machine_is_a_pod(redis_images, node):
    example(node, "vm-to-pod")
    node.running("vm-to-pod", 60)
    node.until("vm-to-pod", "wget -q -O - http://127.0.0.1/", "welcome to the shop", c="web")
    assert node.sh("vm-to-pod", "hostname", c="web") == "shop"
    node.wait_log("tidied", "vm-to-pod", "-c", "tidy")


@pytest.mark.parametrize("name", sorted(f for f in os.listdir(EXAMPLES) if f.endswith(".yaml")))
def test_an_example_passes_validation_unchanged(node, name):
    r = node.husk("apply", "--dry-run=server", "-f", os.path.join(EXAMPLES, name))
    assert "created" in r.out and r.err == ""
