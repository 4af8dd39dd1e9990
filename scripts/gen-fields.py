#!/usr/bin/env python3
"""Writes the side table of src/api/fields.h as C: for every message and field of core-v1.proto what its `//@` marks say
(see gen-proto.py), and for what is reachable from a PodSpec what husk does with it (src/api/fields.tsv). Run by the build:

    scripts/gen-fields.py src/api/core-v1.proto src/api/fields.tsv > fields.gen.c
"""
import re
import sys

FLAGS = {"inline": "API_FIELD_INLINE", "always": "API_FIELD_ALWAYS", "map": "API_FIELD_MAP",
         "pointer": "API_FIELD_POINTER", "value": "API_FIELD_VALUE", "omitzero": "API_FIELD_OMITZERO"}
STATES = {"honoured": "FIELD_HONOURED", "not-yet": "FIELD_NOT_YET", "refused": "FIELD_REFUSED"}
ROOT = "V1PodSpec"


class Field:
    def __init__(self, type_, name, number, marks):
        self.type, self.number, self.flags = type_, number, []
        self.name, self.patch, self.key = name, None, None
        for mark in marks:
            word, _, value = mark.partition("=")
            if word == "json":
                self.name = value
            elif word == "patch":
                self.patch = value
            elif word == "key":
                self.key = value
            else:
                self.flags.append(word)
        self.state, self.harmless, self.reason = "FIELD_UNLISTED", None, None


class Message:
    def __init__(self, name, marks):
        self.name, self.fields = name, []
        self.kind = "kind" in marks
        form = [m[5:] for m in marks if m.startswith("form=")]
        self.form = "API_TYPE_" + (form[0] if form else "struct").upper().replace("-", "_")

    def descriptor(self):
        """protobuf-c's name for it: an underscore before each capital that follows something else."""
        return re.sub(r"(?<=[^A-Z])([A-Z])", r"_\1", self.name).lower() + "__descriptor"


def read_proto(path):
    messages, current = {}, None
    for number, line in enumerate(open(path), 1):
        code, _, marks = line.partition("//@")
        if m := re.match(r"message (\w+) \{", code):
            current = messages[m[1]] = Message(m[1], marks.split())
        elif m := re.match(r"  (?:optional|repeated) (\w+) (\w+) = (\d+);", code):
            current.fields.append(Field(m[1], m[2], int(m[3]), marks.split()))
        elif code.strip() not in ("", "}", 'syntax = "proto2";') and not code.startswith("//"):
            sys.exit("%s:%d: not understood: %s" % (path, number, line.strip()))
    return messages


def read_states(path, messages):
    for number, line in enumerate(open(path), 1):
        if line.startswith("#") or not line.strip():
            continue
        message, name, state, harmless, reason = (line.rstrip("\n").split("\t") + [""] * 2)[:5]
        fields = [f for f in messages["V1" + message].fields if f.name == name] if "V1" + message in messages else []
        if not fields:
            sys.exit("%s:%d: no field %s.%s" % (path, number, message, name))
        if state not in STATES or (state == "refused") != bool(reason):
            sys.exit("%s:%d: a state is honoured, not-yet, or refused with a reason" % (path, number))
        if fields[0].state != "FIELD_UNLISTED":
            sys.exit("%s:%d: %s.%s has a row already" % (path, number, message, name))
        fields[0].state, fields[0].harmless, fields[0].reason = STATES[state], harmless or None, reason or None


def check_states(path, messages):
    todo, seen = [ROOT], set()
    while todo:
        message = messages[todo.pop()]
        if message.name in seen or message.form != "API_TYPE_STRUCT" or message.name.endswith("Entry"):
            continue
        seen.add(message.name)
        for field in message.fields:
            if field.state == "FIELD_UNLISTED" and "inline" not in field.flags:
                sys.exit("%s: %s.%s has no row" % (path, message.name[2:], field.name))
            if field.type in messages and field.state != "FIELD_REFUSED":
                todo.append(field.type)


def names(messages, message):
    """(JSON name, field's place, inline field's place or None), sorted; names that are inlined one level deep included."""
    found = []
    for i, field in enumerate(message.fields):
        if "inline" not in field.flags:
            found.append((field.name, "&fields_%s[%d]" % (message.name, i), "NULL"))
            continue
        for j, inner in enumerate(messages[field.type].fields):
            if "inline" in inner.flags:
                sys.exit("%s.%s is inlined twice; the walkers know one level" % (message.name, inner.name))
            found.append((inner.name, "&fields_%s[%d]" % (field.type, j), "&fields_%s[%d]" % (message.name, i)))
    found.sort()
    for a, b in zip(found, found[1:]):
        if a[0] == b[0]:
            sys.exit("%s has two fields %s" % (message.name, a[0]))
    return found


def c_string(s):
    return "NULL" if s is None else '"%s"' % s.replace("\\", "\\\\").replace('"', '\\"')


def main():
    messages = read_proto(sys.argv[1])
    read_states(sys.argv[2], messages)
    check_states(sys.argv[2], messages)
    print('/* Made by scripts/gen-fields.py; do not edit. */\n#include "api/fields.h"\n#include "core-v1.pb-c.h"\n')
    for m in messages.values():
        print("static const struct api_type type_%s;" % m.name)
    for m in messages.values():
        order = sorted(f.number for f in m.fields)
        print("\nstatic const struct api_field fields_%s[] = {" % m.name)
        for f in m.fields:
            print("        { %s, %s, %d, %s, %s, %s, %s, %s, %s }," % (
                c_string(f.name), " | ".join(FLAGS[x] for x in f.flags) or "0", order.index(f.number),
                "&type_" + f.type if f.type in messages else "NULL", c_string(f.patch), c_string(f.key), f.state,
                c_string(f.harmless), c_string(f.reason)))
        print("};")
    for m in messages.values():
        print("\nstatic const struct api_name names_%s[] = {" % m.name)
        for name, field, inlined in names(messages, m):
            print("        { %s, %s, %s }," % (c_string(name), field, inlined))
        print("};")
    for m in messages.values():
        print("\nstatic const struct api_type type_%s = { %s, &%s, %s, %s, fields_%s, %d, names_%s, %d };" % (
            m.name, c_string(m.name), m.descriptor(), m.form, "true" if m.kind else "false", m.name, len(m.fields),
            m.name, len(names(messages, m))))
    print("\nconst struct api_type *const api_types[] = {")
    for name in sorted(messages):
        print("        &type_%s," % name)
    print("};\nconst size_t api_types_count = %d;" % len(messages))


main()
