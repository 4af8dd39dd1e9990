"""Bad input and faults: a clear message that says what to do, a non-zero exit, and nothing half made."""
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from conftest import HUSK, SLOW

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: a, image: localhost/husk/busybox:1, command: [sleep, "100000"]}
  - {name: b, image: localhost/husk/busybox:1, command: [sleep, "100000"]}
"""


def test_a_typing_mistake_is_shown_where_it_stands(node, tmp_path):
    manifest = tmp_path / "web.yaml"
    manifest.write_text("""apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: web
    image: localhost/husk/busybox:1
    imagePulPolicy: Never
    ports:
    - containerPort: many
  restartPolicy: Sometimes
""")
    r = node.fails("apply", "-f", str(manifest))
    assert "%s:8:5: spec.containers[0].imagePulPolicy: unknown field; did you mean \"imagePullPolicy\"?" % manifest in r.err
    assert "\n    8 |     imagePulPolicy: Never\n      |     ^\n" in r.err
    assert "web.yaml:10:" in r.err and "spec.containers[0].ports[0].containerPort" in r.err
    assert r.out == "" and node.get("web") is None


def test_all_mistakes_of_a_file_are_told_at_once_and_nothing_is_changed(node):
    # What cannot be read is told of one document, what is against the rules of another.
    r = node.fails("apply", "-f", "-", input=POD % "good" + "---" + POD % "BAD_NAME" + "---" + (POD % "worse").replace("image:", "imag:") + "---\nkind: Nonsense\n")
    assert 'metadata.name: Invalid value: "BAD_NAME"' in r.err
    assert r.err.count("unknown field") == 2 and "Nonsense" in r.err
    assert node.get("good") is None


@pytest.mark.parametrize("text,says", [
    ("a: [1", "did not find expected"), ("\t- x", "tab"), ("{}", "kind"), ("- 1\n- 2", "object"), ("kind: Pod\napiVersion: v2\nmetadata: {name: x}", "v2"),
    ("kind: Deployment\napiVersion: apps/v1\nmetadata: {name: x}", "Pod"), ("a: &a [*a]", "alias"), ('{"kind": "Pod"', "end"),
])
def test_what_is_no_manifest_is_refused_with_its_line(node, text, says):
    r = node.fails("apply", "-f", "-", input=text)
    assert says.lower() in r.err.lower(), r


def test_a_missing_file_and_an_unknown_verb(node):
    assert "no-such-file.yaml" in node.fails("apply", "-f", "/no-such-file.yaml").err
    assert "delete" in node.fails("delet", "pod", "x").err


def test_a_missing_image_says_what_to_do(node):
    node.apply((POD % "noimage").replace("busybox:1", "absent:1", 1))
    pod = node.wait("noimage", "a waiting reason", lambda p: any(s["state"].get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff")
                                                                 for s in p["status"].get("containerStatuses", [])), 60)
    message = [s["state"]["waiting"]["message"] for s in pod["status"]["containerStatuses"] if s["name"] == "a"][0]
    assert "localhost/husk/absent:1" in message
    # the other container is not kept from running
    node.wait("noimage", "b running", lambda p: any(s["name"] == "b" and "running" in s["state"] for s in p["status"]["containerStatuses"]))


def test_a_truncated_archive_leaves_no_image(own_node, tmp_path):
    subprocess.run([os.path.join(os.path.dirname(HUSK), "../scripts/make-image"), str(tmp_path / "i.tar"), "localhost/x:1", "--busybox"], check=True)
    data = (tmp_path / "i.tar").read_bytes()
    for cut in (0, 100, 3000, len(data) // 2):
        (tmp_path / "cut.tar").write_bytes(data[:cut])
        r = own_node.fails("image", "load", str(tmp_path / "cut.tar"))
        assert "cut.tar" in r.err
    # one byte of the layer changed: the digest does not fit
    damaged = bytearray(data)
    damaged[data.index(b"busybox") + 3] ^= 1
    (tmp_path / "cut.tar").write_bytes(damaged)
    own_node.fails("image", "load", str(tmp_path / "cut.tar"))
    assert "localhost/x" not in own_node.husk("image", "ls").out


def test_without_the_runtime_it_is_named_and_installed_later_it_works(own_node, tmp_path):
    own_node.load("--busybox")
    empty = tmp_path / "bin"
    empty.mkdir()
    own_node.husk("apply", "-f", "-", input=POD % "nocrun", env={"PATH": str(empty)})
    pod = own_node.wait("nocrun", "a message", lambda p: any("crun" in s["state"].get("waiting", {}).get("message", "")
                                                            for s in p["status"].get("containerStatuses", [])))
    assert all("install crun" in s["state"]["waiting"]["message"] for s in pod["status"]["containerStatuses"]), pod["status"]
    (empty / "crun").symlink_to(shutil.which("crun"))
    own_node.running("nocrun")
    own_node.remember("nocrun")
    own_node.husk("delete", "pod", "nocrun", "--grace-period=0", "--force")
    own_node.nothing_left()


def test_a_name_that_is_taken(node):
    node.husk("create", "-f", "-", input=POD % "taken")
    r = node.fails("create", "-f", "-", input=POD % "taken")
    assert r.err.startswith('Error from server (AlreadyExists)') and 'pods "taken" already exists' in r.err


def test_a_full_disk_is_told_and_leaves_nothing(own_node, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        (small / "ballast").write_bytes(b"x" * 4096)
        env = {"HUSK_ROOT": str(small / "root")}
        big = "x" * 50000
        r = own_node.husk("apply", "-f", "-", check=False, env=env, input="kind: ConfigMap\napiVersion: v1\nmetadata: {name: big}\ndata: {k: %s}\n---\nkind: ConfigMap\n"
                          "apiVersion: v1\nmetadata: {name: big2}\ndata: {k: %s}\n" % (big, big))
        assert r.code != 0 and "No space left on device" in r.err
        left = [f for _, _, files in os.walk(small) for f in files if f.endswith(".tmp")]
        assert left == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def descendants(node):
    """Every program of husk's that works for the node; those that carry its name in no argument are known by their cgroup."""
    return sorted({pid for pid, (program, _) in node.processes().items() if program.startswith(("husk", "crun"))} |
                  {pid for pid, program in node.in_cgroups().items() if program.startswith(("husk", "crun"))})


KILLS = int(os.environ.get("HUSK_TEST_KILLS", "200"))
SEED = int(os.environ.get("HUSK_TEST_SEED", "0"))


@pytest.mark.parametrize("part", range(4))
def test_killed_at_any_moment_nothing_is_left_after_delete(own_node, part):
    """kill -9 of husk processes at random moments of create or delete; then `husk delete` leaves nothing."""
    node, dice = own_node, random.Random(4 * SEED + part)
    node.load("--busybox")
    for i in range(KILLS // 4):
        name = "kill%d" % i
        during_delete = dice.random() < 0.4
        p = subprocess.Popen([HUSK, "apply", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=node.env, text=True)
        # every other pod with users of its own, which has more to undo
        p.stdin.write((POD % name).replace("spec:", "spec:\n  hostUsers: false") if i % 2 else POD % name)
        p.stdin.close()
        d = None
        if during_delete:
            p.wait()
            time.sleep(dice.uniform(0, 0.08))
            node.remember(name)
            d = subprocess.Popen([HUSK, "delete", "pod", name, "--grace-period=%d" % dice.choice([0, 1])], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, env=node.env)
        time.sleep(dice.uniform(0, 0.06))
        victims = descendants(node) + ([p.pid] if p.poll() is None else []) + ([d.pid] if d else [])
        for pid in dice.sample(victims, min(len(victims), dice.choice([1, 1, 2, len(victims)]))):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        p.wait()
        if d:
            d.wait(timeout=60 * SLOW)
        node.remember(name)
        node.husk("delete", "pod", name, "--grace-period=0", "--force", "--ignore-not-found", timeout=30)
        assert node.get(name) is None
        node.nothing_left()
