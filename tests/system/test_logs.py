"""What containers print: into CRI files, rotated, never in the way of the container; and back out by husk logs."""
import glob
import json
import os
import re
import signal
import subprocess
import time

from conftest import BUSYBOX, HUSK

POD = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - {name: a, image: %s, command: [sh, -c, %s]%s}
"""


def pod(node, script, fields=""):
    node.apply(POD % (BUSYBOX, json.dumps(script), fields and ", " + fields))


def log_files(node):
    uid = node.get("p")["metadata"]["uid"]
    return sorted(glob.glob(os.path.join(node.root, "logs", "*" + uid, "a", "0.log*")) or
                  glob.glob("/var/log/pods/*%s/a/0.log*" % uid))


def test_following_goes_on_through_rotation_and_ends_with_the_container(node):
    pod(node, "sleep 0.5; awk 'BEGIN { for (i = 0; i < 25000; i++) printf \"%d %01000d\\n\", i, 0 }'")
    node.running("p")
    out = node.husk("logs", "-f", "p").out
    numbers = [int(line.split()[0]) for line in out.splitlines()]
    assert numbers == list(range(25000))
    assert len(log_files(node)) >= 3  # 10 MiB each


def test_a_line_longer_than_16_kib_is_kept_in_parts_and_printed_as_one(node):
    pod(node, "printf '%040000d\\n' 7; echo short; printf 'no end'")
    node.phase("p", "Succeeded")
    records = open(log_files(node)[0]).read().splitlines()
    tags = [re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) stdout ([PF]) ", r).group(1) for r in records]
    assert tags == ["P", "P", "F", "F", "P"] and max(len(r) for r in records) <= 16384 + 60
    assert node.logs("p") == "%040000d\nshort\nno end" % 7
    assert node.logs("p", "--tail=2").endswith("short\nno end")


def test_lines_are_chosen_by_number_time_size_and_stream(node):
    pod(node, "echo one; echo two >&2; sleep 1.2; echo three")
    node.phase("p", "Succeeded")
    stamped = node.logs("p", "--timestamps").splitlines()
    assert [line.split()[1] for line in stamped] == ["one", "two", "three"]
    assert node.logs("p", "--since-time=" + stamped[2].split()[0]) == "three\n"
    assert node.logs("p", "--tail=1") == "three\n" and node.logs("p", "--limit-bytes=5") == "one\nt"
    assert node.logs("p", "--prefix").splitlines()[0] == "[pod/p/a] one"
    assert "at most one of" in node.fails("logs", "p", "--since=1s", "--since-time=2026-01-01T00:00:00Z").err
    assert node.fails("logs", "p", "-c", "b").err.count("container b is not valid for pod p")


def test_who_is_attached_and_does_not_read_does_not_hold_up_the_container(node):
    pod(node, "sleep 0.5; awk 'BEGIN { for (i = 0; i < 20000; i++) printf \"%01000d\\n\", i }'; echo done")
    node.running("p")
    p = subprocess.Popen([HUSK, "attach", "p"], env=node.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    time.sleep(0.2)
    os.kill(p.pid, signal.SIGSTOP)
    try:
        node.phase("p", "Succeeded")
    finally:
        os.kill(p.pid, signal.SIGKILL)
        p.wait()
    assert node.logs("p", "--tail=1") == "done\n" and node.logs("p").count("\n") == 20001


def test_the_end_of_input_is_the_containers_if_it_has_stdin_once(node):
    pod(node, "cat; echo over; exit 5", "stdin: true, stdinOnce: true")
    node.running("p")
    r = node.husk("attach", "-i", "p", input="hello\n")
    assert r.out == "hello\nover\n"
    assert node.phase("p", "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 5


def test_without_stdin_once_a_container_outlives_those_who_talk_to_it(node):
    pod(node, "while read line; do echo got $line; done", "stdin: true")
    node.running("p")
    for word in ("one", "two"):
        assert node.husk("attach", "-i", "p", input=word + "\n").out == "got %s\n" % word
    assert "running" in node.get("p")["status"]["containerStatuses"][0]["state"]


def test_a_container_with_a_terminal_has_one_and_logs_what_it_shows(node):
    pod(node, "test -t 0 && test -t 1 && echo on a terminal; tty", "stdin: true, tty: true")
    node.phase("p", "Succeeded")
    assert node.logs("p").replace("\r", "").splitlines() == ["on a terminal", "/dev/pts/0"]


def test_the_log_of_the_run_before_is_kept(node):
    node.apply(POD.replace("restartPolicy: Never", "restartPolicy: OnFailure") %
               (BUSYBOX, json.dumps("echo run; exit 1"), ""))
    node.wait("p", "a restart", lambda p: p["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 1)
    assert node.logs("p", "--previous") == "run\n"
