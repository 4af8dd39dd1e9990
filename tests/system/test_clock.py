"""The machine's clock is set forward and back under running pods: no probe, back-off, deadline or grace notices. Run where the clock
is nobody else's, in the machine of scripts/test-v2 (HUSK_TEST_MAY_SET_CLOCK)."""
import json
import os
import signal
import time

import pytest

from conftest import SLOW, until
from test_endings import DEAF, talker
from test_huskd import container

pytestmark = pytest.mark.skipif(not os.environ.get("HUSK_TEST_MAY_SET_CLOCK"), reason="the clock of this machine is not the test's to set")
DAY = 86400


@pytest.fixture
def clock():
    """Sets the time of day that many seconds off; afterwards it is right again."""
    offset = time.time() - time.monotonic()
    yield lambda seconds: time.clock_settime(time.CLOCK_REALTIME, time.monotonic() + offset + seconds)
    time.clock_settime(time.CLOCK_REALTIME, time.monotonic() + offset)


def uptimes(path):
    return [float(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def gaps(path):
    times = uptimes(path)
    return [b - a for a, b in zip(times, times[1:])]


def pod(node, name, out, containers, **spec):
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": dict({
        "terminationGracePeriodSeconds": 0, "containers": containers, "volumes": [{"name": "out", "hostPath": {"path": str(out)}}]}, **spec)}))


def test_nothing_that_is_counted_in_seconds_notices_that_the_clock_is_set(node, clock, tmp_path):
    uptime = "cut -d' ' -f1 /proc/uptime >> /out/"
    probe = {"exec": {"command": ["sh", "-c", uptime + "probes"]}, "periodSeconds": 2, "timeoutSeconds": 60, "failureThreshold": 1}
    pod(node, "ticks", tmp_path, [
        talker("crashes", uptime + "starts; exit 3"),
        talker("probed", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.5; done", livenessProbe=probe)])
    begun = time.monotonic()
    pod(node, "short", tmp_path, [talker("lives", "while :; do %slife; sleep 0.5; done" % uptime)], activeDeadlineSeconds=20, restartPolicy="Never")
    uid = node.running("short")["metadata"]["uid"]
    until("the first restart", lambda: len(uptimes(tmp_path / "starts")) >= 2)

    clock(DAY)
    assert "ticks" in node.husk("get", "pods").out
    os.kill(node.of_program("husk-pod", uid)[0], signal.SIGKILL)  # its successor goes by what was saved
    until("a restart after ten seconds", lambda: len(uptimes(tmp_path / "starts")) >= 3, 60)
    assert gaps(tmp_path / "starts")[1] >= 9.9
    clock(-2 * DAY)
    assert "ticks" in node.husk("get", "pods").out and "ticks" in node.husk("describe", "pod", "ticks").out
    ended = node.phase("short", "Failed", 60)
    assert ended["status"]["reason"] == "DeadlineExceeded"
    assert uptimes(tmp_path / "life")[-1] - begun > 17  # of the twenty seconds, one look a while before their end
    clock(DAY)
    until("a restart after twenty seconds", lambda: len(uptimes(tmp_path / "starts")) >= 4, 90)
    assert gaps(tmp_path / "starts")[2] >= 19.9

    status = container(node.get("ticks"), "probed")
    assert status["restartCount"] == 0 and status["state"]["running"]
    probes = gaps(tmp_path / "probes")
    assert len(probes) > 5 and min(probes) > 1 and max(probes) < 10 * SLOW, probes  # neither a burst nor a silence
    lines = node.logs("ticks", "-c", "probed").split("\n")[:-1]
    assert lines == ["line %d" % i for i in range(len(lines))] and len(lines) > 20


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_grace_period_lasts_as_long_whatever_the_clock_says(node, clock, tmp_path, jump):
    pod(node, "deaf", tmp_path, [talker("deaf", DEAF)], terminationGracePeriodSeconds=5)
    until("it is up", lambda: (tmp_path / "deaf").exists())
    begun = time.monotonic()
    node.husk("delete", "pod", "deaf", "--wait=false")
    clock(jump)
    assert node.get("deaf")["metadata"]["deletionTimestamp"]
    until("its end", lambda: node.get("deaf") is None, 60)
    assert time.monotonic() - begun >= 4.9
