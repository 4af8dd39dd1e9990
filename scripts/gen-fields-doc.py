#!/usr/bin/env python3
"""Writes docs/fields.md from src/api/core-v1.proto and src/api/fields.tsv: every field reachable from a PodSpec and what husk
does with it; and docs/podman-fields.md from these and scripts/podman-fields.tsv. `--check` only compares with what is there (a
test runs it).

    scripts/gen-fields-doc.py [--check]"""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORDS = {"honoured": "honoured", "refused": "refused"}

HEAD = """# Fields of the Pod

Every field reachable from a PodSpec, and what husk does with it. This page is made from the table that husk itself decides by
(`src/api/fields.tsv`), by `scripts/gen-fields-doc.py`; a field without a row does not build, a page that differs fails a test.

- **honoured**: husk does what a Kubernetes node does. The test that is named shows it: it passes, and it fails as soon as that
  one field is dropped while decoding (`tests/system/fields_table.py`); `x.py::name` is one of `tests/system`, `folder/noun:name`
  one of `tests/unit`.
- **refused**: on one machine there is nothing to honour it with; `husk apply` fails with
  `FILE:LINE:COLUMN: PATH: not supported on a single machine:` and the reason given here.

What only ranks nodes (preferred affinities, `ScheduleAnyway`, tolerations of `PreferNoSchedule`, `nodeAffinityPolicy` and
`nodeTaintsPolicy` of a spread constraint) is accepted, checked and kept, and has no effect: there is one node.

Set to a value that asks for nothing (false, empty, the default named below) a field is accepted whatever its state.

%s
"""


def messages():
    found, name = {}, None
    with open(os.path.join(TOP, "src/api/core-v1.proto")) as f:
        for line in f:
            m = re.match(r"message V1(\w+) \{", line)
            if m:
                name = m.group(1)
                found[name] = []
            m = re.match(r"\s+(?:optional|repeated) (\w+) (\w+) = \d+;(?:\s*//@ (.*))?", line)
            if m and name:
                found[name].append((m.group(2), m.group(1), (m.group(3) or "").split()))
    return found


def rows():
    found = {}
    with open(os.path.join(TOP, "src/api/fields.tsv")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                c = line.rstrip("\n").split("\t") + [""] * 6
                found[c[0], c[1]] = c[2:6]
    return found


PODMAN = """# Fields of the Pod, beside podman's

What `podman kube play` says of each field in the table that it publishes (`docs/kubernetes_support.md` of its sources, read in
November 2026, version 6.0 in development), and what husk does with it. **n/a** is podman's word for what it holds to be impossible
on one machine. A field that podman does not carry out is ignored there unless `--validate=strict` is given; with husk it is an
error, always. podman's table has %d lines of the Pod, its containers and claims: %d yes, %d no, %d n/a; of these husk honours %d
and refuses %d by name. Not in podman's table at all are %d of the %d fields in [fields.md](fields.md), such as `resizePolicy`,
`restartPolicyRules`, `hostUsers`, `ephemeralContainers` or the fields of each volume type: podman plays hostPath, emptyDir,
configMap, secret, persistentVolumeClaim and image volumes; husk also projected, downwardAPI and ephemeral ones.

podman also reads Deployment, DaemonSet and Job, running one replica of the template; husk refuses them with a sentence that says
what to do, for a single pod is not what such a manifest asks for.

This page is made by `scripts/gen-fields-doc.py`; the names of the tests are in [fields.md](fields.md).
"""
SECTIONS = {"PodSpec": "Pod", "Container": "Container", "PersistentVolumeClaimSpec": "PersistentVolumeClaim"}


def find(types, table, message, path):
    """(message, field, row) of a path, or of the field above it that is refused."""
    name, _, rest = path.partition(".")
    for field, kind, marks in types[message]:
        kind = kind[2:] if kind.startswith("V1") else None
        if "inline" in marks and any(f == name for f, _, _ in types[kind]):
            return find(types, table, kind, path)
        if field == name and (message, field) in table:
            row = table[message, field]
            return find(types, table, kind, rest) if rest and row[0] != "refused" else (message, field, row)
    raise SystemExit("scripts/podman-fields.tsv: no %s.%s" % (message, path))


def podman_page(types, table):
    section, body, words, states, seen = None, [], {"yes": 0, "no": 0, "n/a": 0}, {s: 0 for s in WORDS}, set()
    with open(os.path.join(TOP, "scripts/podman-fields.tsv")) as f:
        for line in f:
            if line.startswith("#"):
                continue
            message, path, word = line.rstrip("\n").split("\t")
            if message != section:
                section = message
                body.append("\n## %s\n\n| field | podman | husk | |\n|---|---|---|---|" % SECTIONS[message])
            owner, field, (state, _, reason, _) = find(types, table, message, path)
            seen.add((owner, field))
            words[word] += 1
            states[state] += 1
            body.append("| `%s` | %s | %s | %s |" % (path, word, WORDS[state], "it " + reason if reason else ""))
    return PODMAN % (sum(words.values()), words["yes"], words["no"], words["n/a"], states["honoured"], states["refused"],
                     len(set(table) - seen), len(table)) + "\n".join(body) + "\n"


def write(path, text):
    full = os.path.join(TOP, path)
    if "--check" not in sys.argv:
        with open(full, "w") as f:
            f.write(text)
        return
    with open(full) as f:
        if f.read() != text:
            sys.exit(path + " is not what scripts/gen-fields-doc.py makes of src/api/fields.tsv; run it")


def main():
    types, table = messages(), rows()
    places, order, queue = {"PodSpec": ["spec"]}, [], ["PodSpec"]
    while queue:
        name = queue.pop(0)
        order.append(name)
        for field, kind, marks in types[name]:
            kind = kind[2:] if kind.startswith("V1") else None
            if not kind or not types.get(kind) or not any((kind, f) in table for f, _, _ in types[kind]):
                continue
            inline = "inline" in marks
            at = [p if inline else "%s.%s" % (p, field) for p in places[name][:4]]
            known = places.setdefault(kind, [])
            known.extend(p for p in at if p not in known)
            if kind not in order and kind not in queue:
                queue.append(kind)
    counts = {s: 0 for s in WORDS}
    body = []
    for name in order:
        body.append("\n## %s\n" % name)
        body.append("At %s%s.\n" % (", ".join("`%s`" % p for p in places[name][:3]), " and elsewhere" if len(places[name]) > 3 else ""))
        body.append("| field | husk | why, or shown by |\n|---|---|---|")
        for field, _, marks in types[name]:
            if (name, field) not in table:
                continue
            state, harmless, reason, test = table[name, field]
            counts[state] += 1
            notes = ["it " + reason] if reason else []
            notes += ["`%s`" % test] if test else []
            notes += ["`%s` is accepted" % harmless] if harmless and state != "honoured" else []
            body.append("| `%s` | %s | %s |" % (field, WORDS[state], "; ".join(notes)))
    summary = "%d fields: %s." % (sum(counts.values()), ", ".join("%d %s" % (counts[state], word) for state, word in WORDS.items()))
    text = HEAD % summary + "\n".join(body) + "\n"
    write("docs/fields.md", text)
    write("docs/podman-fields.md", podman_page(types, table))
    print("docs/fields.md: " + summary)


main()
