#!/usr/bin/env python3
"""Holds the includes to the layers of docs/architecture.md: a folder may use only itself and what stands below it."""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARIES = ["store", "image", "sandbox", "net", "oci", "volume"]
MAY_USE = {
    "base": [],
    "loop": ["base"],
    "api": ["base"],
    "store": ["base", "api"],
    "image": ["base", "api", "store"],
    "sandbox": ["base", "api", "store"],
    "net": ["base", "api", "store"],
    "oci": ["base", "api", "store", "image"],
    "volume": ["base", "api", "store", "image"],
    "server": ["base", "api", "store"],
    "husk": ["base", "loop", "api", "server", "husk-pod"] + LIBRARIES,  # of husk-pod only its socket's protocol
    "husk-pod": ["base", "loop", "api", "server", "husk-keeper"] + LIBRARIES,  # of server only the dependents, of husk-keeper its protocol
    "husk-keeper": ["base"],
    "husk-infra": ["husk-keeper"],  # the few lines of start-up both share
    "husk-probe": ["base", "api"],
    "husk-image": ["base", "api", "store", "image"],
    "husk-resolver": ["base", "loop", "api", "store", "sandbox", "net"],
    "huskd": ["base", "loop", "api", "server"] + LIBRARIES,
}
KUBERNETES = re.compile(r"\b(V1[A-Z]\w+|[Kk]ubernetes|[Kk]ubelet)\b")


def main():
    wrong = []
    for folder, allowed in MAY_USE.items():
        for at, _, files in os.walk(os.path.join(TOP, "src", folder)):
            for name in sorted(f for f in files if f.endswith((".c", ".h"))):
                path = os.path.relpath(os.path.join(at, name), TOP)
                with open(os.path.join(TOP, path)) as f:
                    for number, line in enumerate(f, 1):
                        m = re.match(r'\s*#include "([^"/]+)/', line)
                        if m and m.group(1) in MAY_USE and m.group(1) != folder and m.group(1) not in allowed:
                            wrong.append("%s:%d: %s may not use %s" % (path, number, folder, m.group(1)))
                        if m and m.group(1) == "husk-keeper" and folder == "husk-pod" and "protocol.h" not in line:
                            wrong.append("%s:%d: of husk-keeper only protocol.h is for others" % (path, number))
                        if m and m.group(1) == "server" and folder == "husk-pod" and "dependents.h" not in line:
                            wrong.append("%s:%d: of server only dependents.h is for husk-pod" % (path, number))
                        if m and m.group(1) == "husk-pod" and folder == "husk" and "control.h" not in line:
                            wrong.append("%s:%d: of husk-pod only control.h is for others" % (path, number))
                        if folder == "base" and KUBERNETES.search(line) and "metav1" not in line:
                            if not line.lstrip().startswith(("/*", "*")):
                                wrong.append("%s:%d: no Kubernetes words in base" % (path, number))
    for folder in sorted(os.listdir(os.path.join(TOP, "src"))):
        if os.path.isdir(os.path.join(TOP, "src", folder)) and folder not in MAY_USE:
            wrong.append("src/%s: not in scripts/check-layers.py: say what it may use" % folder)
    print("\n".join(wrong) if wrong else "layers: all includes point down")
    return 1 if wrong else 0


sys.exit(main())
