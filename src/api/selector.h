/* selector.h - label selectors, field selectors and node selectors: parse once, match often. */
#pragma once

#include "api/api.h"

/* "app=web,tier in (a,b),!old" as in `-l`, or a LabelSelector of the API. */
struct label_selector;
struct error *label_selector_parse(const char *text, struct label_selector **ret) _must_check_;
/* NULL (no selector) matches nothing, an empty one everything, as in the API. */
struct error *label_selector_from(const V1LabelSelector *spec, struct label_selector **ret) _must_check_;
struct label_selector *label_selector_free(struct label_selector *selector); /* accepts NULL, returns NULL */
static inline void label_selector_freep(struct label_selector **selector) {
        *selector = label_selector_free(*selector);
}
/* `labels` is a JSON object of strings, or NULL for none. A NULL selector matches everything. */
bool label_selector_matches(const struct label_selector *selector, const json_t *labels);
char *label_selector_format(const struct label_selector *selector);

/* "metadata.name=web,status.phase!=Running": any field that holds a plain value; `==` is `=`. */
struct field_selector;
struct error *field_selector_parse(const char *text, struct field_selector **ret) _must_check_;
struct field_selector *field_selector_free(struct field_selector *selector);
static inline void field_selector_freep(struct field_selector **selector) {
        *selector = field_selector_free(*selector);
}
/* Kubernetes takes only some fields of a kind; an error names the first that it would not take. */
struct error *field_selector_check(const struct field_selector *selector, const struct api_kind *kind) _must_check_;
bool field_selector_matches(const struct field_selector *selector, const json_t *object);

/* One term of a node selector: all its expressions (on labels) and fields (metadata.name) match; an empty term matches
 * nothing. Values of Gt and Lt are whole numbers. */
bool node_selector_term_matches(const V1NodeSelectorTerm *term, const json_t *labels, const char *node_name);
/* Any of the terms matches. */
bool node_selector_matches(const V1NodeSelector *selector, const json_t *labels, const char *node_name);
