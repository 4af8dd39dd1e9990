/* jsonpath.h - kubectl's JSONPath templates (https://kubernetes.io/docs/reference/kubectl/jsonpath/).
 *
 * A template is text with expressions in braces: `{.items[*].metadata.name}`, `{['a','b']}`, `{..image}`,
 * `{.spec.containers[?(@.name=="web")].image}`, `{range .items[*]}{.kind}{"\n"}{end}`, slices `[0:2]`, `[-1]`.
 * `@` and `$` both are the current object, as in kubectl. */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct jsonpath;
struct error *jsonpath_parse(const char *text, struct jsonpath **ret) _must_check_;
struct jsonpath *jsonpath_free(struct jsonpath *jsonpath); /* accepts NULL, returns NULL */
static inline void jsonpath_freep(struct jsonpath **jsonpath) {
        *jsonpath = jsonpath_free(*jsonpath);
}

/* What kubectl takes for a single expression (custom-columns, --sort-by, wait, patch paths): "x.y", ".x.y" and
 * "{.x.y}" all mean "{.x.y}". */
char *jsonpath_relax(const char *text);

/* The template filled in: several results of an expression are joined by blanks, objects and lists are JSON. A field
 * that is not there is empty; an index beyond the end is an error. */
struct error *jsonpath_print(const struct jsonpath *jsonpath, const json_t *json, char **ret) _must_check_;

/* All results of a template's expressions as a JSON array, for callers that want values and not text. */
struct error *jsonpath_find(const struct jsonpath *jsonpath, const json_t *json, json_t **ret) _must_check_;

/* One value as text, as jsonpath_print() writes it: a string bare, objects and lists as JSON. */
char *jsonpath_value_text(const json_t *json);
