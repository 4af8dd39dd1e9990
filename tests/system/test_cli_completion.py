"""What the shells offer: husk answers, the scripts ask it."""
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest
from conftest import HUSK, SLOW, pod_text, sleeper

POD = pod_text(sleeper("app", more=", ports: [{containerPort: 8080}]"), sleeper("side"))


def offers(node, *words):
    return node.husk("__complete", *words).out.split()


def test_verbs_flags_and_their_values_are_offered(node):
    assert {"get", "create", "set"} <= set(offers(node, "")) and offers(node, "").count("create") == 1
    assert {"configmap", "secret"} <= set(offers(node, "create", "")) and offers(node, "set", "") == ["image"]
    assert set(offers(node, "create", "secret", "")) == {"generic", "tls", "docker-registry"}
    assert "--field-selector" in offers(node, "get", "-") and "--context" not in offers(node, "get", "-")
    assert "yaml" in offers(node, "get", "pods", "-o", "") and "yaml" in offers(node, "get", "pods", "--output", "=", "")
    assert "restricted" in offers(node, "debug", "web", "--profile", "")


def test_objects_containers_and_ports_are_offered(node):
    node.apply(POD)
    for words in (("get", "pods"), ("logs",), ("wait", "pod"), ("-n", "default", "delete", "pod"), ("get", "-o", "wide", "pods")):
        assert offers(node, *words, "") == ["web"], words
    assert offers(node, "get", "pod/") == ["pod/web"] and offers(node, "cp", "") == ["web:"]
    assert offers(node, "exec", "web", "-c", "") == ["app", "side"] == offers(node, "logs", "web", "")
    assert offers(node, "debug", "web", "--target", "=", "") == ["app", "side"]
    assert offers(node, "port-forward", "web", "") == ["8080"] and offers(node, "set", "image", "pod/web", "") == ["app=", "side="]
    assert offers(node, "exec", "web", "--", "") == []
    assert "default" in offers(node, "get", "pods", "-n", "")


SOURCE = {"bash": "source <(husk completion bash)", "fish": "husk completion fish | source",
          "zsh": "unsetopt promptsp; autoload -Uz compinit; compinit -u -D; source <(husk completion zsh)"}
START = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


class Terminal:
    """A shell that reads from a terminal, and what it shows."""

    def __init__(self, node, shell):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(node.folder)
            env = dict(node.env, PATH=os.path.dirname(HUSK) + ":" + os.environ["PATH"], TERM="dumb", PS1="> ", HOME=node.folder)
            os.execvpe(START[shell][0], START[shell], env)
        self.shown = ""
        self.type("%s; echo rea''dy\n" % SOURCE[shell], "ready\n> ")

    def type(self, keys, wanted):
        """Types, and waits until `wanted` is among what is shown since."""
        self.shown = ""
        os.write(self.fd, keys.encode())
        end = time.time() + 20 * SLOW
        while wanted not in self.shown:
            assert time.time() < end, (keys, wanted, self.shown)
            if select.select([self.fd], [], [], 0.1)[0]:
                self.shown += re.sub(r"\x1b\[[?\d;]*[a-zA-Z]|\x07|\r", "", os.read(self.fd, 65536).decode(errors="replace"))

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


# What is typed, and what the tabulator makes of it; ! at the end: and no blank after it.
LINES = [("husk logs w", "husk logs web "), ("husk logs web -c a", "husk logs web -c app "), ("husk cp we", "husk cp web:!"),
         ("husk get pods --output=y", "husk get pods --output=yaml "), ("husk set image pod/web ap", "husk set image pod/web app=!"),
         ("husk exec web -- ls onef", "husk exec web -- ls onefile "), ("husk apply -f onef", "husk apply -f onefile "),
         ("husk cp onef", "husk cp onefile "), ("husk get --field", "husk get --field-selector ")]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_what_is_typed(node, shell):
    node.apply(POD)
    with open(os.path.join(node.folder, "onefile"), "w"):
        pass
    terminal = Terminal(node, shell)
    try:
        for typed, wanted in LINES:
            whole = wanted.rstrip("!")
            terminal.type(typed + "\t", whole)
            if wanted.endswith("!"):
                terminal.type("X", "X")
                assert " X" not in terminal.shown, (typed, terminal.shown)
            terminal.type("\x15\n", "\n> ")
    finally:
        terminal.close()
        os.remove(os.path.join(node.folder, "onefile"))


def test_fish_completes_what_is_typed(node):
    node.apply(POD)
    with open(os.path.join(node.folder, "onefile"), "w"):
        pass
    env = dict(node.env, PATH=os.path.dirname(HUSK) + ":" + os.environ["PATH"], HOME=node.folder)
    script = SOURCE["fish"] + "; for line in $argv; complete -C $line; end"
    p = subprocess.run(["fish", "-c", script, *[typed for typed, _ in LINES]], env=env, cwd=node.folder, capture_output=True, text=True, check=True)
    os.remove(os.path.join(node.folder, "onefile"))
    assert p.stdout.split() == [wanted.split()[-1].rstrip("!") for _, wanted in LINES]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_is_one_that_its_shell_reads(node, shell):
    text = node.husk("completion", shell).out
    assert "__complete" in text
    subprocess.run([shell, "-n", "/dev/stdin"], input=text, text=True, check=True)
