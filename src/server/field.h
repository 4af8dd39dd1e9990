/* field.h - reading fields of API objects as JSON.
 *
 * The CLI shows objects, it does not own them: whatever husk-pod, a newer husk or a hand wrote is shown as it is, so it
 * reads JSON by path and treats what is missing or of another type as absent. */
#pragma once

#include <jansson.h>

#include "base/base.h"

/* Value at a dotted path of plain keys ("status.phase", "metadata.labels"), NULL if there is none. Borrowed. */
json_t *field_at(const json_t *object, const char *path);
/* String at a path, NULL if there is none. Borrowed. */
const char *field_text(const json_t *object, const char *path);
/* String at a path, else `otherwise`. */
const char *field_text_or(const json_t *object, const char *path, const char *otherwise);
int64_t field_number(const json_t *object, const char *path, int64_t otherwise);
bool field_is_true(const json_t *object, const char *path);
/* Element of the array at `path` whose key `key` is the string `value`, or NULL. */
json_t *field_find(const json_t *object, const char *path, const char *key, const char *value);
/* Text of the condition of this type in status.conditions: its status ("True"), NULL without one. */
const char *field_condition(const json_t *object, const char *type);
/* Object at `key`, made if missing. Borrowed. */
json_t *field_make_object(json_t *object, const char *key);

static inline const char *object_name(const json_t *object) {
        return field_text_or(object, "metadata.name", "");
}
static inline const char *object_namespace(const json_t *object) {
        return field_text(object, "metadata.namespace");
}

#define _cleanup_json_ _cleanup_(json_decrefp)
