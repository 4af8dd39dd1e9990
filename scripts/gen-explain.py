#!/usr/bin/env python3
"""Writes the table of src/api/explain.h as C, from src/api/explain.tsv. Run by the build:

    scripts/gen-explain.py src/api/core-v1.proto src/api/fields.tsv src/api/explain.tsv > explain.gen.c

The kinds that have a sentence themselves are those that husk serves (a unit test compares); every field that can be reached from
one of them, but not what hangs on a refused field alone, has to have its row."""
import sys

fields = __import__("gen-fields")

ALWAYS = {"TypeMeta": ("apiVersion", "kind")}  # what every kind has; no message of the schema


class Row:
    def __init__(self, place, marks, text):
        self.text, self.required, self.values = text, False, None
        for mark in marks.split():
            if mark == "required":
                self.required = True
            elif mark.startswith("enum="):
                self.values = mark[len("enum="):]
            else:
                sys.exit("%s: no such mark: %s" % (place, mark))


def read_rows(path, messages):
    known = {(m.name[2:], f.name) for m in messages.values() for f in m.fields}
    known |= {(m.name[2:], "-") for m in messages.values()}
    known |= {(m, f) for m, names in ALWAYS.items() for f in names}
    rows = {}
    for number, line in enumerate(open(path), 1):
        place = "%s:%d" % (path, number)
        if line.startswith("#"):
            continue
        columns = line.rstrip("\n").split("\t")
        if len(columns) != 4 or not columns[3].endswith((".", ")")):
            sys.exit("%s: not four columns, of which the last is a sentence" % place)
        for message in columns[0].split(","):
            key = (message, columns[1])
            if key not in known or key in rows:
                sys.exit("%s: %s.%s %s" % (place, *key, "has a row already" if key in rows else "is no field"))
            rows[key] = Row(place, columns[2], columns[3])
    return rows


def reachable(messages, rows):
    todo, seen, found = [m.name for m in messages.values() if m.kind and (m.name[2:], "-") in rows], set(), []
    while todo:
        message = messages[todo.pop()]
        if message.name in seen or message.form != "API_TYPE_STRUCT" or message.name.endswith("Entry"):
            continue
        seen.add(message.name)
        for field in message.fields:
            if "inline" not in field.flags:
                found.append((message.name[2:], field.name))
            if field.type in messages and field.state != "FIELD_REFUSED":
                todo.append(field.type)
    return found


def main():
    messages = fields.read_proto(sys.argv[1])
    fields.read_states(sys.argv[2], messages)
    rows = read_rows(sys.argv[3], messages)
    for key in reachable(messages, rows):
        if key not in rows:
            sys.exit("%s: no sentence about %s.%s" % (sys.argv[3], *key))

    strings = fields.Strings(limit=1 << 32)
    none = Row("", "", None)

    def initializer(row):
        return "{ %d, %d, %s }" % (strings.place(row.text), strings.place(row.values), "true" if row.required else "false")

    print('/* Made by scripts/gen-explain.py; do not edit. */\n#include "api/explain.h"\n')
    print("const struct api_explanation api_explanations[] = {")
    for name in sorted(messages):
        for field in messages[name].fields:
            print("        %s, /* %s.%s */" % (initializer(rows.get((name[2:], field.name), none)), name, field.name))
    print("};\n\nconst uint32_t api_type_explanations[] = {")
    for name in sorted(messages):
        print("        %d, /* %s */" % (strings.place(rows.get((name[2:], "-"), none).text), name))
    print("};\n")
    for constant, name in ("api_explanation_of_api_version", "apiVersion"), ("api_explanation_of_kind", "kind"):
        print("const struct api_explanation %s = %s;" % (constant, initializer(rows["TypeMeta", name])))
    strings.print("api_explain_strings")


main()
