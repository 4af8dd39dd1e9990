#!/usr/bin/env python3
"""Writes docs/fields.md from src/api/core-v1.proto and src/api/fields.tsv: every field reachable from a PodSpec and what husk
does with it. `--check` only compares with what is there (a test runs it).

    scripts/gen-fields-doc.py [--check]"""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(TOP, "docs/fields.md")
WORDS = {"honoured": "honoured", "not-yet": "**not yet**", "refused": "refused"}

HEAD = """# Fields of the Pod

Every field reachable from a PodSpec, and what husk does with it. This page is made from the table that husk itself decides by
(`src/api/fields.tsv`), by `scripts/gen-fields-doc.py`; a field without a row does not build, a page that differs fails a test.

- **honoured**: husk does what a Kubernetes node does. The test that is named shows it: it passes, and it fails as soon as that
  one field is dropped while decoding (`tests/system/fields_table.py`); `x.py::name` is one of `tests/system`, `folder/noun:name`
  one of `tests/unit`.
- **not yet**: `husk apply` fails with `FILE:LINE:COLUMN: PATH: not supported yet`. Never ignored.
- **refused**: on one machine there is nothing to honour it with; `husk apply` fails with
  `FILE:LINE:COLUMN: PATH: not supported on a single machine:` and the reason given here.

What only ranks nodes (preferred affinities, `ScheduleAnyway`, tolerations of `PreferNoSchedule`, `nodeAffinityPolicy` and
`nodeTaintsPolicy` of a spread constraint) is accepted, checked and kept, and has no effect: there is one node.

Set to a value that asks for nothing (false, empty, the default named below) a field is accepted whatever its state.

%d fields: %d honoured, %d not yet, %d refused.
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
    text = HEAD % (sum(counts.values()), counts["honoured"], counts["not-yet"], counts["refused"]) + "\n".join(body) + "\n"
    if "--check" in sys.argv:
        with open(OUT) as f:
            if f.read() != text:
                sys.exit("docs/fields.md is not what scripts/gen-fields-doc.py makes of src/api/fields.tsv; run it")
        return
    with open(OUT, "w") as f:
        f.write(text)
    print("docs/fields.md: %d honoured, %d not yet, %d refused" % (counts["honoured"], counts["not-yet"], counts["refused"]))


main()
