"""What the shells offer: husk answers, the scripts ask it."""
import os
import shutil
import subprocess

import pytest
from conftest import BUSYBOX, HUSK

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: app, image: %s, command: [sleep, "1000"], ports: [{containerPort: 8080}]}
  - {name: side, image: %s, command: [sleep, "1000"]}
""" % (BUSYBOX, BUSYBOX)


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


def test_bash_completes_a_line(node):
    node.apply(POD)
    script = 'source <(husk completion bash); COMP_WORDS=(husk logs w); COMP_CWORD=2; _husk; echo "${COMPREPLY[@]}"'
    env = dict(node.env, PATH=os.path.dirname(HUSK) + ":" + os.environ["PATH"])
    assert subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True).stdout == "web\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_is_one_that_its_shell_reads(node, shell):
    text = node.husk("completion", shell).out
    assert "__complete" in text
    if shutil.which(shell):  # the others' scripts are short, and of one command each
        subprocess.run([shell, "-n", "/dev/stdin"], input=text, text=True, check=True)
