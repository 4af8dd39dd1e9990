/* yaml.h - YAML to JSON and back, by the rules of Kubernetes' YAML library.
 *
 * Plain scalars are resolved by YAML 1.1 as Kubernetes does: yes, no, on, off, y and n are truth values, 0644 is octal,
 * 0x1f hexadecimal, 1_000 a number, ~ and null nothing; anything quoted is a string. `<<` merges, anchors work but
 * expansion is bounded. A duplicate key is an error (Kubernetes keeps the last one, which hides mistakes). */
#pragma once

#include <jansson.h>

#include "base/error.h"

#define YAML_DEPTH_MAX 200          /* nesting */
#define YAML_ALIAS_NODES_MAX 100000 /* values that aliases add when they are expanded */

struct yaml_mark {
        size_t line, column; /* from 1; 0: not known */
};

/* Parses one document; an empty one (only comments) gives *ret NULL. On an error *ret_mark (may be NULL) says where. */
struct error *yaml_parse(const char *text, size_t len, json_t **ret, struct yaml_mark *ret_mark) _must_check_;

/* As `kubectl get -o yaml` lays it out: keys sorted, lists not indented below their key, strings quoted only where they
 * would be read as something else, strings of several lines as blocks. Ends with a newline. */
char *yaml_format(const json_t *json);

/* Where a path ("spec.containers[0].name", "metadata.labels[a/b]") stands in a document: the value, or with at_key the
 * field's name. If not all of it is there, the deepest part that is. Line and column count from 1 within `text`. */
struct yaml_mark yaml_locate(const char *text, size_t len, const char *path, bool at_key);
/* The same in JSON text. */
struct yaml_mark yaml_locate_json(const char *text, size_t len, const char *path, bool at_key);
