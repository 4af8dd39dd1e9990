/* unknown-field.h - --validate=warn and --validate=ignore: fields that no such object has are left out of a document.
 */
#pragma once

#include <jansson.h>

#include "api/api.h"

/* Removes every field of `object` that its kind does not have; `warn` says so on standard error, one line a field, in
 * kubectl's words. Other mistakes stay for who decodes it later. */
void unknown_fields_remove(const struct api_kind *kind, json_t *object, bool warn);
