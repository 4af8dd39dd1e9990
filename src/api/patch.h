/* patch.h - the four ways in which Kubernetes changes an object by saying only what is different.
 *
 * JSON merge patch (RFC 7386), JSON patch (RFC 6902), strategic merge patch (lists are merged by the keys that the
 * schema names, with $patch, $retainKeys, $setElementOrder and $deleteFromPrimitiveList) and the three-way merge behind
 * `kubectl apply`. All take and give plain JSON; nothing given is changed. */
#pragma once

#include <jansson.h>

#include "api/fields.h"
#include "base/error.h"

/* RFC 7386. A new reference. */
json_t *patch_merge(const json_t *document, const json_t *patch);
/* RFC 6902: `patch` is the list of operations; either all are carried out or there is an error. */
struct error *patch_json(const json_t *document, const json_t *patch, json_t **ret) _must_check_;
/* Kubernetes' own. `type` is the document's (api_type_of(kind->descriptor)). */
struct error *patch_strategic(const struct api_type *type, const json_t *document, const json_t *patch,
                              json_t **ret) _must_check_;

/* What `apply` makes of a live object: what `manifest` says is set, what `last_applied` said and `manifest` no longer
 * does is removed, everything else stays as it is. `last_applied` may be NULL: then nothing is removed. */
json_t *patch_three_way(const struct api_type *type, const json_t *last_applied, const json_t *manifest,
                        const json_t *live);

/* Where `apply` keeps the manifest that an object was last made from. */
#define LAST_APPLIED_ANNOTATION "kubectl.kubernetes.io/last-applied-configuration"
/* The manifest as that annotation holds it. */
char *last_applied_text(const json_t *manifest);
/* Puts that annotation into an object. Where metadata or annotations are of a wrong type nothing is done: decoding is
 * going to say so. */
void last_applied_set(json_t *object, const json_t *manifest);
/* The manifest in a live object's annotation; NULL if there is none or it cannot be read. */
json_t *last_applied_of(const json_t *live);
/* All of `apply` for an object that exists: the three-way merge with the annotation brought up to date. */
json_t *patch_apply(const struct api_type *type, const json_t *manifest, const json_t *live);
