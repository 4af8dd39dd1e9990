/* taint.h - what `husk taint` does to a node's list of taints, apart from the verb. */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* KEY[=VALUE]:EFFECT adds a taint, KEY[=VALUE][:EFFECT]- removes those of the key (and effect). */
bool taint_is_edit(const char *word);

struct taint_edit {
        json_t *add;    /* array of taints */
        json_t *remove; /* array of {"key"} or {"key", "effect"} */
        bool overwrite;
};
void taint_edit_release(struct taint_edit *edit);

struct error *taint_edit_parse(char *const *words, size_t n_words, struct taint_edit *ret) _must_check_;
/* Changes spec.taints of a Node. *ret_word is what is said of it: "tainted", "untainted", "modified". */
struct error *taint_edit_apply(const struct taint_edit *edit, json_t *node, const char **ret_word) _must_check_;
