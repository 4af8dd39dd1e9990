#!/usr/bin/env python3
"""Draws docs/lifecycle-pod.svg and docs/lifecycle-container.svg: the states of a pod and of a container, and the moves between
them, as src/husk-pod allows them (its tables `allowed_moves`). What a move means stands here; a move without a meaning, or a
meaning without a move, is an error. `--check` needs no graphviz: it only compares the moves with those that the pictures show
(a test runs it).

    scripts/draw-lifecycle.py [--check]"""
import glob
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

POD = {
    ("WAITING", "RUNNING"): "admitted: it fits the node",
    ("WAITING", "TERMINATING"): "deleted, or refused",
    ("RUNNING", "REPLACING"): "the sandbox died",
    ("RUNNING", "RESTARTING"): "rule RestartAllContainers",
    ("RUNNING", "TERMINATING"): "deleted, deadline,\nevicted, or all done",
    ("REPLACING", "RUNNING"): "no container is left:\na new sandbox",
    ("REPLACING", "TERMINATING"): "deleted, or all done",
    ("RESTARTING", "RUNNING"): "all ended:\nthe same sandbox",
    ("RESTARTING", "TERMINATING"): "deleted",
    ("TERMINATING", "RELEASING"): "no container is left:\nthe phase may become\nSucceeded or Failed",
    ("RELEASING", "ENDED"): "the sandbox is removed",
}
POD_NOTES = {
    "WAITING": "asked again when the node changes",
    "RUNNING": "sandbox and volumes side by side,\nthen init containers, sidecars, mains",
    "REPLACING": "containers end",
    "RESTARTING": "containers are killed",
    "TERMINATING": "mains together, then sidecars\nin reverse order",
    "RELEASING": "network, mounts, cgroups",
    "ENDED": "nothing is left",
}
CONTAINER = {
    ("WAITING", "IMAGE"): "its turn",
    ("IMAGE", "STARTING"): "the image is here",
    ("IMAGE", "WAITING"): "not its turn any more",
    ("IMAGE", "EXITED"): "the pod ends;\nshown as what it was",
    ("STARTING", "POST_START"): "started,\nwith a hook",
    ("STARTING", "RUNNING"): "started",
    ("STARTING", "RETRY"): "not created",
    ("STARTING", "EXITED"): "not executed:\nStartError, 128",
    ("STARTING", "WAITING"): "nobody knows of it\n(after a crash)",
    ("RETRY", "IMAGE"): "10 s later, or what\nit lacked has come",
    ("RETRY", "WAITING"): "not its turn any more",
    ("RETRY", "EXITED"): "the pod ends",
    ("POST_START", "RUNNING"): "hook done",
    ("POST_START", "STOPPING"): "hook failed,\nor to be ended",
    ("POST_START", "EXITED"): "exit",
    ("RUNNING", "STOPPING"): "pod ends, probe failed,\nimage changed, resized",
    ("RUNNING", "EXITED"): "exit",
    ("STOPPING", "EXITED"): "exit",
    ("EXITED", "IMAGE"): "its policy says restart:\nat once, or after its back-off",
    ("EXITED", "WAITING"): "new sandbox, or\nRestartAllContainers",
}
CONTAINER_NOTES = {
    "WAITING": "nothing of it exists",
    "IMAGE": "looked for, pulled,\nor waits for the next pull",
    "STARTING": "created and executed",
    "RETRY": "CreateContainerError,\nCreateContainerConfigError",
    "POST_START": "its hook runs;\nshown as waiting",
    "RUNNING": "probes go on",
    "STOPPING": "preStop, its turn,\nstop signal, SIGKILL",
    "EXITED": "terminated, or\nCrashLoopBackOff",
}
PICTURES = {"pod": ("POD", POD, POD_NOTES), "container": ("CONTAINER", CONTAINER, CONTAINER_NOTES)}


def allowed_moves(prefix):
    """The moves of the code's table of the states `prefix`_*."""
    for path in glob.glob(os.path.join(TOP, "src/husk-pod/*.c")):
        with open(path) as f:
            table = re.search(r"allowed_moves\[_%s_STATE_MAX\] = \{\n(.*?)\n\};" % prefix, f.read(), re.S)
        if table:
            return {(m[1], to) for m in re.finditer(r"\[%s_(\w+)\] = ([^,]*)," % prefix, table[1]) for to in re.findall(r"TO\((\w+)\)", m[2])}
    sys.exit("src/husk-pod: no table allowed_moves of %s_*" % prefix)


def camel(state):
    return "".join(w.capitalize() for w in state.split("_"))


def drawing(name, moves, notes):
    lines = ['digraph %s {' % name, ' graph [fontname="sans-serif", rankdir=TB, nodesep=0.5, ranksep=0.45, bgcolor="white"];',
             ' node [shape=box, style="rounded,filled", fillcolor="#eef3fa", color="#34557f", fontname="sans-serif", fontsize=12];',
             ' edge [fontname="sans-serif", fontsize=10, color="#555555", fontcolor="#333333"];']
    for state, note in notes.items():
        note = note.replace("\n", "<br/>")
        lines.append(' %s [label=<<b>%s</b><br/><font point-size="10">%s</font>>];' % (state, camel(state), note))
    for (a, b), words in moves.items():
        lines.append(' %s -> %s [label="%s"];' % (a, b, " " + words.replace("\n", " \\n ")))
    return "\n".join(lines + ["}"])


def moves_text(moves):
    return "<!-- moves: %s -->" % " ".join("%s/%s" % m for m in sorted(moves))


def main():
    for name, (prefix, moves, notes) in PICTURES.items():
        path = os.path.join(TOP, "docs/lifecycle-%s.svg" % name)
        code = allowed_moves(prefix)
        if code != set(moves):
            sys.exit("scripts/draw-lifecycle.py: of a %s, the code alone has %s; the picture alone has %s" % (
                name, sorted(code - set(moves)), sorted(set(moves) - code)))
        if "--check" in sys.argv:
            with open(path) as f:
                if moves_text(code) not in f.read():
                    sys.exit("%s is out of date: run scripts/draw-lifecycle.py" % path)
            continue
        svg = subprocess.run(["dot", "-Tsvg"], input=drawing(name, moves, notes), capture_output=True, text=True, check=True).stdout
        with open(path, "w") as f:
            f.write(re.sub(r"<!-- .*? -->\n", "", svg, flags=re.S).rstrip("\n") + "\n" + moves_text(code) + "\n")


main()
