/* api.h - Kubernetes' objects in memory: kinds, typed structs in an arena, and JSON to and from them.
 *
 * The schema is src/api/core-v1.proto; protobuf-c makes the structs (V1Pod, V1Container, …) and their descriptors from
 * it, and fields.h adds what a descriptor cannot carry. Everything here walks those two tables, so that no field's name
 * is written twice.
 *
 * A typed object lives in an arena together with all it points to and goes with the arena in one call; nothing in it is
 * freed alone. What Go inlines or holds as a plain struct is never NULL after api_new() or api_decode(): pod->metadata,
 * pod->spec, container->resources, volume->volumesource, probe->handler, ref->localobjectreference. Every other message
 * and every string is NULL when absent; a number or truth value is there when has_<field> is true. Times, quantities
 * and IntOrString are NULL when absent.
 *
 *     _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
 *     _cleanup_(diagnostics_release) struct diagnostics diags = DIAGNOSTICS_INIT;
 *     V1Pod *pod = api_decode(json, &v1_pod__descriptor, arena, &diags);
 */
#pragma once

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include "api/diagnostics.h"
#include "base/error.h"
#include "core-v1.pb-c.h"

/* What is known of a kind of object: the words people use for it and its type. */
struct api_kind {
        const char *kind;               /* "ConfigMap" */
        const char *plural;             /* "configmaps" */
        const char *singular;           /* "configmap" */
        const char *const *short_names; /* NULL-terminated: "cm" */
        const char *api_version;        /* "v1" */
        bool namespaced;
        const ProtobufCMessageDescriptor *descriptor;
};

/* By its kind, as in a manifest: "Pod". NULL if husk knows no such kind. */
const struct api_kind *api_kind_of(const char *kind);
/* By any word kubectl takes: "po", "pod", "pods", "Pod", "pods.v1", "pods.v1.". NULL if there is none. */
const struct api_kind *api_kind_lookup(const char *word);
/* What to do instead of a kind of Kubernetes that husk has not, by any word for it ("deploy", "services"); NULL: not
 * known. */
const char *api_kind_advice(const char *word, const char **ret_kind);
/* All kinds, for `api-resources`. */
const struct api_kind *api_kinds(size_t *ret_count);
/* The kind that json's "kind" and "apiVersion" say; on a mistake NULL and a diagnostic that says what is wrong. */
const struct api_kind *api_kind_of_json(const json_t *json, struct diagnostics *diags);

struct api_arena;
struct api_arena *api_arena_new(void);
struct api_arena *api_arena_free(struct api_arena *arena); /* accepts NULL, returns NULL */
static inline void api_arena_freep(struct api_arena **arena) {
        *arena = api_arena_free(*arena);
}
void *api_arena_alloc(struct api_arena *arena, size_t size); /* zeroed, aligned for anything; never NULL */
char *api_arena_strdup(struct api_arena *arena, const char *s);
char *api_arena_strndup(struct api_arena *arena, const char *s, size_t len);
char *api_arena_printf(struct api_arena *arena, const char *format, ...) _printf_(2, 3);
/* Makes room for one more element of a repeated field and counts it. `elements` and `count` are the field's own
 * (&pod->spec->containers, &pod->spec->n_containers); returns the new element's place, zeroed. */
void *api_arena_append(struct api_arena *arena, void *elements, size_t *count, size_t element_size);

/* An initialised, empty message. */
void *api_new(struct api_arena *arena, const ProtobufCMessageDescriptor *descriptor);
/* A deep copy that shares nothing with its original. */
void *api_copy(struct api_arena *arena, const ProtobufCMessage *message);
/* Equal as Kubernetes compares: quantities by value, a field left out like a zero where JSON does not tell them apart.
 */
bool api_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);
#define api_equal_messages(a, b) api_equal((a) ? &(a)->base : NULL, (b) ? &(b)->base : NULL)

/* Strict decode: each unknown field, wrong type and malformed value becomes a diagnostic, and decoding goes on, so that
 * all mistakes are reported at once. Returns NULL only if `json` is no object; look at diags->n before using the
 * result. null is the same as absent. Quantities come out in Kubernetes' canonical form ("0.5" is "500m"). */
void *api_decode(const json_t *json, const ProtobufCMessageDescriptor *descriptor, struct api_arena *arena,
                 struct diagnostics *diags);
/* The same for what husk wrote itself: unknown fields are passed over, any other mistake is an error. */
struct error *api_decode_stored(const json_t *json, const ProtobufCMessageDescriptor *descriptor,
                                struct api_arena *arena, void *ret_message) _must_check_;

/* As Kubernetes writes it: what is empty is left out where Go's omitempty does so, `resources: {}` and `status: {}`
 * stay, keys in the order of the type, maps sorted; apiVersion and kind first if the message is a kind. A new
 * reference, never NULL. */
json_t *api_encode(const ProtobufCMessage *message);

/* The entry of a map field (V1StringEntry **, as protobuf-c holds it), or NULL. */
const char *api_map_get(V1StringEntry *const *entries, size_t count, const char *key);
const V1Quantity *api_quantity_get(V1QuantityEntry *const *entries, size_t count, const char *key);

/* RFC 3339 as Kubernetes writes times: "2024-05-01T12:00:00Z", and with microseconds for a MicroTime. */
char *api_time_format(const V1Time *time);
char *api_micro_time_format(const V1MicroTime *time);
bool api_time_parse(const char *text, int64_t *ret_seconds, int32_t *ret_nanos);
V1Time *api_time_new(struct api_arena *arena, int64_t seconds);

/* Reports every set field of a Pod or PersistentVolumeClaim that husk does not carry out yet, or never will on one
 * machine (with the reason). Other kinds have none. */
void api_check_supported(const ProtobufCMessage *object, struct diagnostics *diags);
