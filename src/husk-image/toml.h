/* toml.h - reads TOML 1.0, the language of registries.conf and hosts.toml, into the JSON that husk knows.
 *
 * Tables become objects, integers, booleans, strings and arrays what they are; dates and times, which no file that husk
 * reads has, become strings of their text. A key that is given twice, and a table that is opened twice, are mistakes.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* Parses a document. *ret is the caller's. ERROR_BAD_REQUEST says "line N: …". */
struct error *toml_parse(const char *text, size_t len, json_t **ret) _must_check_;
