/* check.h - what an API server holds an object against before it is stored, without a server.
 *
 * Checking (strict decode, defaults, validation, what husk supports) is apart from storing, so that a caller can check
 * all objects of a command or a folder first and change nothing if one of them is refused. */
#pragma once

#include <jansson.h>

#include "api/api.h"

/* An object as it would be created: decoded, with defaults, in `ns` (ignored for cluster-wide kinds), without what only
 * the system sets. Mistakes go to `diags`; then *ret may be NULL. New reference. */
void submit_check_new(const struct api_kind *kind, const json_t *object, const char *ns, struct diagnostics *diags,
                      json_t **ret);
/* An existing object as it would be replaced. `subresource` is NULL, or one of submit_subresource_is_known(). */
void submit_check_update(const struct api_kind *kind, const json_t *object, const json_t *live, const char *subresource,
                         struct diagnostics *diags, json_t **ret);
/* Is this a subresource of pods that can be written: "resize", "ephemeralcontainers", "status"? */
bool submit_subresource_is_known(const char *subresource);

/* Do two objects mean the same, apart from their status and what only the system sets? */
bool submit_is_unchanged(const struct api_kind *kind, const json_t *object, const json_t *live);

/* "The Pod "web" is invalid: spec.x: Invalid value: …" from the diagnostics; NULL if there are none. */
struct error *submit_refusal(const struct api_kind *kind, const char *name,
                             const struct diagnostics *diags) _must_check_;
