#!/usr/bin/env python3
"""Writes src/api/core-v1.proto from a table of Kubernetes' interface facts (tab-separated: message, field, number, label,
type, JSON name, inline, omitempty|always, patch strategy, patch merge key). Run when husk moves to a newer Kubernetes:

    scripts/gen-proto.py TABLE > src/api/core-v1.proto

What a descriptor cannot carry stands behind each field in a machine-readable comment `//@ …`, from which
scripts/gen-fields.py makes the side table at build time:
    json=NAME  inline  always  map  patch=STRATEGY[,…]  key=MERGEKEY
"""
import collections
import sys

SCALARS = {"string", "bool", "int32", "int64", "bytes", "uint32", "uint64", "double"}
MAPS = {"string": "V1StringEntry", "resource.Quantity": "V1QuantityEntry", "bytes": "V1BytesEntry"}


def name(t):
    t = t.split(".")[-1]
    return "V1" + t


def main():
    messages = collections.OrderedDict()
    for line in open(sys.argv[1]):
        if line.startswith("#") or not line.strip():
            continue
        c = line.rstrip("\n").split("\t") + [""] * 10
        m, f, num, label, typ, json, inline, omit, strategy, key = c[:10]
        messages.setdefault(m, []).append((f, int(num), label, typ, json, inline, omit, strategy, key))
    names = {name(m) for m in messages}
    print("// Kubernetes 1.36 core/v1 and what it uses: names and numbers as Kubernetes publishes them.")
    print("// Made by scripts/gen-proto.py. `//@` marks what JSON does differently; see src/api/fields.h.")
    print('syntax = "proto2";\n')
    for e, t in (("V1StringEntry", "string"), ("V1QuantityEntry", "V1Quantity"), ("V1BytesEntry", "bytes")):
        print("// One entry of a map; on the wire the same as map<string, %s>." % t)
        print("message %s {\n  optional string key = 1;\n  optional %s value = 2;\n}\n" % (e, t))
    if "V1RawExtension" not in names:
        print("message V1RawExtension {\n  optional bytes raw = 1;\n}\n")
    for m, fields in messages.items():
        print("message %s {" % name(m))
        for f, num, label, typ, json, inline, omit, strategy, key in fields:
            marks = []
            if typ.startswith("map<"):
                label, typ = "repeated", MAPS[typ[4:-1].split(",")[1]]
                marks.append("map")
            elif typ == "" :
                sys.exit("no type: %s.%s" % (m, f))
            elif typ not in SCALARS:
                typ = name(typ)
                if typ not in names and typ != "V1RawExtension":
                    sys.exit("unknown type %s in %s.%s" % (typ, m, f))
            if json:
                marks.append("json=" + json)
            if inline:
                marks.append("inline")
            if omit == "always":
                marks.append("always")
            if strategy:
                marks.append("patch=" + strategy)
            if key:
                marks.append("key=" + key)
            print("  %s %s %s = %d;%s" % (label, typ, f, num, "  //@ " + " ".join(marks) if marks else ""))
        print("}\n")


main()
