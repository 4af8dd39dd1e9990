#!/usr/bin/env python3
"""Writes the side table of src/api/fields.h as C: for every message and field of core-v1.proto what its `//@` marks say
(see gen-proto.py), and for what is reachable from a PodSpec what husk does with it (src/api/fields.tsv). Run by the build:

    scripts/gen-fields.py src/api/core-v1.proto src/api/fields.tsv > fields.gen.c
"""
import re
import sys

FLAGS = {"inline": "API_FIELD_INLINE", "always": "API_FIELD_ALWAYS", "map": "API_FIELD_MAP",
         "pointer": "API_FIELD_POINTER", "value": "API_FIELD_VALUE", "omitzero": "API_FIELD_OMITZERO"}
STATES = {"honoured": "FIELD_HONOURED", "refused": "FIELD_REFUSED"}
ROOT = "V1PodSpec"


class Field:
    def __init__(self, repeated, type_, name, number, marks):
        self.repeated = repeated
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
        elif m := re.match(r"  (optional|repeated) (\w+) (\w+) = (\d+);", code):
            current.fields.append(Field(m[1] == "repeated", m[2], m[3], int(m[4]), marks.split()))
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
            sys.exit("%s:%d: a state is honoured, or refused with a reason" % (path, number))
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


class Strings:
    """One character array that holds every text once; a text is known by its place. Place 0 is no text."""

    def __init__(self, limit):
        self.places, self.length, self.limit = {}, 1, limit

    def place(self, text):
        if text is None:
            return 0
        if text not in self.places:
            self.places[text] = self.length
            self.length += len(text.encode()) + 1
        return self.places[text]

    def print(self, name):
        if self.length > self.limit:
            sys.exit("the texts need more than %d bytes" % self.limit)
        print('const char %s[] = "\\0"' % name)
        for text in self.places:
            print('        "%s\\0"' % text.replace("\\", "\\\\").replace('"', '\\"'))
        print("        ;")


def names(messages, first, message):
    """(JSON name, field's place, 1 + inline field's place or 0), sorted; names inlined one level deep included."""
    found = []
    for i, field in enumerate(message.fields):
        here = first[message.name] + i
        if "inline" not in field.flags:
            found.append((field.name, here, 0))
            continue
        for j, inner in enumerate(messages[field.type].fields):
            if "inline" in inner.flags:
                sys.exit("%s.%s is inlined twice; the walkers know one level" % (message.name, inner.name))
            found.append((inner.name, first[field.type] + j, here + 1))
    found.sort()
    for a, b in zip(found, found[1:]):
        if a[0] == b[0]:
            sys.exit("%s has two fields %s" % (message.name, a[0]))
    return found


def main():
    messages = read_proto(sys.argv[1])
    read_states(sys.argv[2], messages)
    check_states(sys.argv[2], messages)
    messages = {name: messages[name] for name in sorted(messages)}
    order = list(messages)
    first, fields = {}, 0
    for m in messages.values():
        first[m.name] = fields
        fields += len(m.fields)
    strings = Strings(limit=1 << 16)

    print('/* Made by scripts/gen-fields.py; do not edit. */\n#include "api/fields.h"\n#include "core-v1.pb-c.h"\n')
    print("const struct api_field api_fields[] = {")
    for m in messages.values():
        numbers = sorted(f.number for f in m.fields)
        for f in m.fields:
            print("        { %d, %d, %d, %d, %d, %d, %s, %s, %d }, /* %s.%s */" % (
                strings.place(f.name), order.index(f.type) + 1 if f.type in messages else 0, strings.place(f.patch),
                strings.place(f.key), strings.place(f.harmless), strings.place(f.reason),
                " | ".join(FLAGS[x] for x in f.flags) or "0", f.state, numbers.index(f.number), m.name, f.name))
    print("};\n\nconst struct api_name api_names[] = {")
    n_names, spans = 0, {}
    for m in messages.values():
        found = names(messages, first, m)
        spans[m.name] = (n_names, len(found))
        n_names += len(found)
        for name, field, inlined in found:
            print("        { %d, %d, %d }," % (strings.place(name), field, inlined))
    print("};\n\nconst struct api_type api_types[] = {")
    for m in messages.values():
        print("        { %d, %d, %d, %d, %d, %s, %s }, /* %s */" % (
            strings.place(m.name), first[m.name], len(m.fields), *spans[m.name], m.form, "true" if m.kind else "false",
            m.name))
    print("};\n\nconst ProtobufCMessageDescriptor *const api_descriptors[] = {")
    for m in messages.values():
        print("        &%s," % m.descriptor())
    print("};\n\nconst size_t api_types_count = %d;\n" % len(messages))
    strings.print("api_strings")


if __name__ == "__main__":
    main()
