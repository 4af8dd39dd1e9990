"""The random events of test-machine-random.c find bugs: each of these, put into the state machine on purpose, breaks an invariant
within the first of them. The program is made as the build makes it, with one file changed."""
import json
import os
import shlex
import subprocess

import pytest
from conftest import SLOW, TOP

BUILD = os.path.join(TOP, "build")
TARGET = "tests/unit/husk-pod/test-husk-pod-machine-random"

# name: (file of src/husk-pod, what stands there, what is put in its place)
FAULTS = {
    "a sidecar ends before the mains": ("pod.c", "if (before && container_is_busy(other))", "if (before && other->role != ROLE_MAIN && container_is_busy(other))"),
    "sidecars end in the order of their start": ("pod.c", "other->index > c->index", "other->index < c->index"),
    "mains do not wait for init containers": ("pod.c", "        case ROLE_MAIN:\n                return pod->initialized;", "        case ROLE_MAIN:\n                return true;"),
    "init containers start all at once": ("pod.c", "return !pod->initialized && all_initialized_before(pod, c);", "return !pod->initialized;"),
    "the sandbox goes before the containers": ("pod-step.c", "if (!any_busy(pod) && pod->sandbox.state != SANDBOX_STOPPING)",
                                               "if (pod->sandbox.state != SANDBOX_STOPPING)"),
    "policy Never restarts": ("restart.c", 'if (streq_ptr(policy, "Never"))\n                return RESTART_NO;', ""),
    "there is no back-off": ("restart.c", "return ended_ns + b->delay_ns;", "return ended_ns;"),
    "an attempt number is used again": ("container-start.c", "c->attempt = c->ran ? c->restarts + 1 : 0;", "c->attempt = c->restarts;"),
    "one image is pulled twice at a time": ("pod-image.c", "        if (p->running)\n                return;\n        p->running = true;", "        p->running = true;"),
}


def command_of(source):
    with open(os.path.join(BUILD, "compile_commands.json")) as f:
        commands = json.load(f)
    return next(c for c in commands if os.path.realpath(os.path.join(c["directory"], c["file"])) == source)


def make_with(tmp_path, name, before, after):
    """The test's program with `before` replaced in one source."""
    source = os.path.join(TOP, "src/husk-pod", name)
    with open(source) as f:
        text = f.read()
    assert text.count(before) == 1, "the fault for %s has to be written anew: its place has changed" % name
    changed, made = str(tmp_path / name), str(tmp_path / "changed.o")
    with open(changed, "w") as f:
        f.write(text.replace(before, after))
    compile_ = command_of(source)
    words = shlex.split(compile_["command"])
    words[words.index("-o") + 1] = made
    words[words.index("-c") + 1] = changed
    subprocess.run(words + ["-MF", str(tmp_path / "d"), "-Wno-error"], cwd=compile_["directory"], check=True)
    link = shlex.split(subprocess.run(["ninja", "-C", BUILD, "-t", "commands", TARGET], capture_output=True, text=True, check=True)
                       .stdout.splitlines()[-1])
    program = str(tmp_path / "program")
    link[link.index("-o") + 1] = program
    link.insert(next(i for i, word in enumerate(link) if word.endswith("libhusk_pod_machine.a")), made)
    subprocess.run(link, cwd=BUILD, check=True)
    return program


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_is_seeded_is_found(fault, tmp_path):
    program = make_with(tmp_path, *FAULTS[fault])
    p = subprocess.run([program], env=dict(os.environ, HUSK_EVENTS="1000000"), capture_output=True, text=True, timeout=120 * SLOW, errors="replace")
    assert p.returncode != 0 and "seed " in p.stdout + p.stderr, "no event found that " + fault
