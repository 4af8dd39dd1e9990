"""Verbs that talk to running pods: exec, run, port-forward, cp, top, events, get -w."""
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

from conftest import BUSYBOX, HUSK, SLOW, pod_text, until

POD = pod_text("""{name: app, image: %s, ports: [{name: http, containerPort: 8080}], command: [sh, -c,
      "mkdir -p /w/sub; echo hello > /w/index; echo inner > /w/sub/file; ln -s /etc/passwd /w/link; httpd -p 127.0.0.1:8080 -h /w; exec httpd -f -p 81 -h /w"]}""" % BUSYBOX)


def forward(node, *words):
    p = subprocess.Popen([HUSK, "port-forward", *words], env=node.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return p


def test_several_ports_lead_into_the_pod_its_loopback_and_ipv6_included(node):
    node.apply(POD)
    node.until("web", "wget -q -O - http://127.0.0.1:8080/index", "hello")
    p = forward(node, "pod/web", ":http", "0:81")
    try:
        found = [re.match(r"Forwarding from (\S+):(\d+) -> (\d+)", p.stdout.readline()).groups() for _ in range(4)]
        assert {(host, remote) for host, _, remote in found} == {(h, r) for h in ("127.0.0.1", "[::1]") for r in ("8080", "81")}
        for host, port, _ in found:
            assert urllib.request.urlopen("http://%s:%s/index" % (host, port), timeout=10 * SLOW).read() == b"hello\n"
        with socket.create_connection(("127.0.0.1", int(found[0][1]))) as s:  # a half-closed connection gets its answer
            s.sendall(b"GET /index HTTP/1.0\r\n\r\n")
            s.shutdown(socket.SHUT_WR)
            assert b"hello" in s.recv(4096) + s.recv(4096)
        node.husk("delete", "pod", "web")
        assert p.wait(20 * SLOW) == 1 and "lost connection to pod" in p.stderr.read()
    finally:
        p.kill()
        p.wait()
    node.apply(POD)
    node.running("web")
    assert "has no port" in node.fails("port-forward", "web", "80:nope").err


def test_nothing_is_copied_through_links_in_either_direction(node, tmp_path):
    node.apply(POD)
    node.until("web", "cat /w/sub/file", "inner")
    (tmp_path / "victim").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/w").mkdir()
    os.symlink(tmp_path / "victim", tmp_path / "out/w/sub")
    r = node.husk("cp", "web:/w", str(tmp_path / "out"), check=False)
    assert r.code == 1 and os.listdir(tmp_path / "victim") == []
    r = node.husk("cp", "web:/w", str(tmp_path / "fresh"))
    assert "skipping symlink" in r.err and not os.path.lexists(tmp_path / "fresh/link")
    assert (tmp_path / "fresh/sub/file").read_text() == "inner\n"
    # Into the container: a link there leads within the container, never out of it.
    node.sh("web", "ln -s ../../../../../../../../tmp /w/up; ln -s /proc/1/root/tmp /w/magic")
    (tmp_path / "marker").write_text("x")
    node.husk("cp", str(tmp_path / "marker"), "web:/w/up/husk-marker")
    node.husk("cp", str(tmp_path / "marker"), "web:/w/magic/husk-marker", check=False)
    assert not os.path.exists("/tmp/husk-marker") and node.sh("web", "cat /tmp/husk-marker") == "x"


def test_exec_hands_over_input_signals_and_exit_codes(node):
    node.apply(POD)
    node.running("web")
    assert node.exec("web", "sh", "-c", "exit 42", check=False).code == 42
    assert node.exec("web", "cat", input="through").out == "through"
    assert node.exec("web", "/nonexistent", check=False).code == 127 and node.exec("web", "/w", check=False).code == 126
    assert node.exec("web", "sh", "-c", "kill -TERM $$", check=False).code == 143
    r = node.fails("exec", "web", "ls")
    assert "exec [POD] -- [COMMAND]" in r.err


def test_a_command_does_not_outlive_its_exec(node):
    """Killed, `husk exec` leaves nobody behind in the container who holds the caller's pipes open."""
    node.apply(POD)
    node.running("web")
    p = subprocess.Popen([HUSK, "exec", "web", "--", "sleep", "4711"], env=node.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    node.until("web", "ps | grep -c '[s]leep 4711'", "1")
    time.sleep(1)  # its helper looks for the command several times a second
    p.kill()
    assert p.communicate(timeout=60 * SLOW) == (b"", b"")
    node.until("web", "ps | grep -c '[s]leep 4711' || true", "0")


def test_a_terminal_has_the_callers_size_and_follows_it(node):
    node.apply(POD)
    node.running("web")
    # Sizes and commands are sent when the line before has been answered.
    script = r"""
import fcntl, os, pty, struct, sys, termios, time
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
out = b""
def until(needle):
    global out
    while needle not in out:
        out += os.read(fd, 4096)
def size(rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
size(33, 99)
os.write(fd, b"until stty size | grep 33.99; do sleep 0.1; done; echo o''ne\n")
until(b"one\r")
size(44, 88)
os.write(fd, b"until stty size | grep 44.88; do sleep 0.1; done; exit 7\n")
try:
    until(b"never")
except OSError:
    pass
sys.stdout.write(out.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    r = subprocess.run([sys.executable, "-c", script, HUSK, "exec", "-it", "web", "--", "sh"], env=node.env, capture_output=True, text=True,
                       timeout=60 * SLOW)
    assert r.returncode == 7 and "44 88" in r.stdout, r


def test_run_attaches_returns_the_exit_code_and_cleans_up(node):
    image = "--image=" + BUSYBOX
    r = node.husk("run", "-i", "--rm", "once", image, "--restart=Never", "--env=A=b", "--labels=x=1,z=2", "--command", "--", "sh",
                  input="echo $A; exit 9\n", check=False)
    assert (r.code, r.out) == (9, "b\n") and 'pod "once" deleted' in r.err and node.get("once") is None
    made = json.loads(node.husk("run", "m", image, "--port=80", "--restart=Never", "--dry-run=client", "-o", "json", "--", "a", "b").out)
    assert made == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "m", "labels": {"run": "m"}},
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "m", "image": BUSYBOX, "args": ["a", "b"],
                                                                       "ports": [{"containerPort": 80}]}]}}
    r = node.husk("run", "m", image, "--overrides", '{"spec":{"containers":[{"name":"m","env":[{"name":"Q","value":"1"}]}]}}',
                  "--override-type=strategic", "--dry-run=client", "-o", "json")
    assert json.loads(r.out)["spec"]["containers"] == [{"name": "m", "image": BUSYBOX, "env": [{"name": "Q", "value": "1"}]}]
    for words, why in ((("--rm",), "--rm should only be used"), (("-t",), "-i/--stdin is required"), (("--expose",), "no Services")):
        assert why in node.fails("run", "m", image, *words).err


def test_a_printed_pod_can_be_applied_and_replaced_again(node, tmp_path):
    node.apply(POD)
    node.running("web")
    for form in ("yaml", "json"):
        text = node.husk("get", "pod", "web", "-o", form).out
        (tmp_path / "pod").write_text(text)
        assert node.husk("apply", "-f", "-", input=text).out in ("pod/web unchanged\n", "pod/web configured\n")
        assert node.husk("replace", "-f", "-", input=node.husk("get", "pod", "web", "-o", form).out).out == "pod/web replaced\n"
    node.husk("replace", "--force", "-f", "-", input=text)
    pod = node.running("web")
    for condition in pod["status"]["conditions"]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", condition["lastTransitionTime"])


def test_changes_are_watched_with_their_kind(node):
    p = subprocess.Popen([HUSK, "get", "configmaps", "-w", "--output-watch-events"], env=node.env, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.3)
        node.husk("create", "configmap", "seen", "--from-literal=a=1")
        lines = [p.stdout.readline() for _ in range(2)]
        node.husk("delete", "configmap", "seen")
        lines.append(p.stdout.readline())
    finally:
        p.kill()
        p.wait()
    assert [line.split()[0] for line in lines] == ["EVENT", "ADDED", "DELETED"] and lines[1].split()[1] == "seen"


def test_events_are_counted_and_chosen(node):
    node.apply(POD.replace("name: web", "name: bad").replace("image: " + BUSYBOX, "image: localhost/absent:1, imagePullPolicy: Never"))
    node.told('Container image "localhost/absent:1" is not present with pull policy of Never', "bad")
    events = json.loads(node.husk("events", "--for", "pod/bad", "--types=Warning", "-o", "json").out)["items"]
    first = next(e for e in events if e["reason"] == "ErrImageNeverPull")
    assert first["source"]["component"] == "kubelet" and first["involvedObject"]["fieldPath"] == "spec.containers{app}"
    assert first["count"] >= 1 and first["firstTimestamp"] <= first["lastTimestamp"]
    assert "Scheduled" not in node.husk("events", "--for", "pod/bad", "--types=Warning").out
    assert "ErrImageNeverPull" in node.husk("describe", "pod", "bad").out


def test_top_shows_containers_and_sorts(node):
    node.apply(POD)
    node.running("web")
    out = node.husk("top", "pod", "web", "--containers").out.splitlines()
    assert out[0].split() == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"] and out[1].split()[:2] == ["web", "app"]
    assert re.search(r"web\s+\d+m\s+\d+Mi", node.husk("top", "pod", "--sort-by=memory").out)


def test_what_a_command_reads_and_writes_stays_the_callers(node, tmp_path):
    """OCI runtimes give standard streams to the container's user: a file would change its owner, and so would /dev/null."""
    node.apply("""
    apiVersion: v1
    kind: Pod
    metadata: {name: owner}
    spec:
      terminationGracePeriodSeconds: 0
      securityContext: {runAsUser: 1234, runAsGroup: 1235}
      containers:
      - name: a
        image: localhost/husk/busybox:1
        command: [sleep, "1000"]
        livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1}
    """)
    node.running("owner")
    null = os.stat("/dev/null")
    for words in (["id"], ["sleep", "0.5"]):
        with open(tmp_path / "out", "w") as out, open(tmp_path / "in", "w+") as file:
            subprocess.run([HUSK, "exec", "-i", "owner", "--", *words], env=node.env, stdin=file, stdout=out, stderr=subprocess.DEVNULL, check=True)
        until("the files are root's again", lambda: {os.stat(tmp_path / f).st_uid for f in ("out", "in")} == {0})
    assert "uid=1234" in subprocess.run([HUSK, "exec", "owner", "--", "id"], env=node.env, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    time.sleep(1.2)  # a probe
    assert (os.stat("/dev/null").st_uid, os.stat("/dev/null").st_mode, os.stat("/dev/null").st_rdev) == (null.st_uid, null.st_mode, null.st_rdev)
