"""husk debug: containers with tools of their own in a pod, in a copy of it, on the node."""
import json

from conftest import BUSYBOX, pod_text, sleeper

POD = pod_text(sleeper("app"), sleeper("side", 2000))


def test_a_debugging_container_sees_the_processes_of_its_target_and_its_exit_code_is_husks(node):
    node.apply(POD)
    r = node.husk("debug", "-i", "web", "--image=" + BUSYBOX, "--target=side", "--env=WHO=me", "--", "sh",
                  input="ps; echo $WHO; grep CapEff /proc/self/status; exit 3\n", check=False)
    assert r.code == 3, r
    assert "sleep 2000" in r.out and "sleep 1000" not in r.out and "\nme\n" in r.out
    assert int(r.out.split("CapEff:")[1].split()[0], 16) & 1 << 19  # SYS_PTRACE
    assert "Defaulting debug container name to debugger-" in r.err
    pod = node.get("web")
    assert [c["name"].split("-")[0] for c in pod["spec"]["ephemeralContainers"]] == ["debugger"]


def test_a_copy_of_the_pod_runs_another_command_and_shares_processes(node):
    node.apply(POD)
    node.husk("debug", "web", "--copy-to=copy", "-c", "app", "--", "sleep", "3000")
    node.running("copy")
    copy = node.get("copy")
    assert "labels" not in copy["metadata"] and copy["spec"]["shareProcessNamespace"]
    ps = node.sh("copy", "ps", c="side")
    assert "sleep 3000" in ps and "sleep 2000" in ps
    node.husk("debug", "web", "--copy-to=second", "--set-image=*=" + BUSYBOX, "--keep-labels", "--share-processes=false", "--replace")
    assert node.get("web") is None
    assert node.get("second")["metadata"]["labels"] == {"app": "web"}


def test_a_node_is_debugged_from_a_pod_that_sees_its_files(node):
    name = node.husk("get", "nodes", "-o", "name").out.strip()
    r = node.husk("debug", "-i", name, "--image=" + BUSYBOX, "--profile=sysadmin", "--", "sh",
                  input="cat /host/etc/hostname; cat /proc/1/comm; exit 4\n", check=False)
    assert r.code == 4, r
    assert r.out == open("/etc/hostname").read() + open("/proc/1/comm").read()


def test_what_keeps_the_container_from_running_is_told(node):
    node.apply(POD)
    r = node.husk("debug", "web", "-i", "--image=" + BUSYBOX, "--copy-to=c", "--profile=nonsense", check=False)
    assert r.code == 1 and "unknown profile: nonsense" in r.err
    for words, why in ((("--replace",), "--replace may only be used with --copy-to"), (("-t",), "-i/--stdin is required"),
                       (("--target=nobody",), "no container nobody to target")):
        r = node.fails("debug", "web", "--image=" + BUSYBOX, *words)
        assert why in r.err, r
    assert json.loads(node.husk("get", "pods", "-o", "json").out)["items"][0]["spec"].get("ephemeralContainers") is None
