#include "server/check.h"

#include <sys/random.h>

#include "api/defaults.h"
#include "api/validate.h"
#include "base/clock.h"
#include "base/str.h"
#include "server/field.h"

/* Written by the system alone; whatever a manifest says about them (it may be an exported object) is not meant. */
static const char *const system_metadata[] = { "uid",        "resourceVersion",   "creationTimestamp",
                                               "selfLink",   "deletionTimestamp", "deletionGracePeriodSeconds",
                                               "generation", "managedFields" };

static void remove_system_metadata(json_t *object) {
        json_t *metadata = json_object_get(object, "metadata");

        for (size_t i = 0; i < ARRAY_SIZE(system_metadata); i++)
                json_object_del(metadata, system_metadata[i]);
}

/* metadata.generateName: five letters and digits that cannot be read as a word, as the API server adds them. */
static void generate_name(json_t *object) {
        static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
        const char *prefix = field_text(object, "metadata.generateName");
        unsigned char bytes[5] = { 0 };
        char name[300];

        if (str_empty(prefix) || !str_empty(object_name(object)) || strlen(prefix) > sizeof(name) - 6)
                return;
        if (getrandom(bytes, sizeof(bytes), 0) < 0)
                bytes[0] = (unsigned char)clock_realtime_ns();
        size_t len = strlen(prefix);
        memcpy(name, prefix, len);
        for (size_t i = 0; i < sizeof(bytes); i++)
                name[len + i] = letters[bytes[i] % (sizeof(letters) - 1)];
        name[len + sizeof(bytes)] = '\0';
        json_object_set_new(json_object_get(object, "metadata"), "name", json_string(name));
}

/* Could `rule`, broken by an object that was not read entirely, be broken only because of that? A field that could not
 * be read is missed where it stands, and names that it would have given are not found elsewhere. */
static bool is_consequence(const struct diagnostic *rule, const struct diagnostics *unread, size_t from, size_t n) {
        if (rule->cause == DIAGNOSTIC_NOT_FOUND || rule->cause == DIAGNOSTIC_DUPLICATE)
                return true;
        for (size_t i = from; i < n; i++) {
                const char *path = unread->items[i].path, *last = strrchr(path, '.');
                size_t parent = last ? (size_t)(last - path) : 0;
                if (streq(rule->path, path) ||
                    (rule->cause == DIAGNOSTIC_REQUIRED && strncmp(rule->path, path, parent) == 0))
                        return true;
        }
        return false;
}

/* All mistakes of a manifest are told at once: what of an object could be read is held against the rules too. */
static void add_broken_rules(ProtobufCMessage *message, struct api_arena *arena, struct diagnostics *diags,
                             size_t from) {
        _cleanup_diagnostics_ struct diagnostics rules = DIAGNOSTICS_INIT;
        size_t unread = diags->n;

        api_set_defaults(message, arena);
        api_validate(message, NULL, &rules);
        for (size_t i = 0; i < rules.n; i++) {
                const struct diagnostic *d = &rules.items[i];
                if (!is_consequence(d, diags, from, unread))
                        diagnostics_add_at(diags, d->cause, d->path, d->value, "%s", d->detail ? d->detail : "");
        }
}

/* NULL if the object could not be read entirely. */
static ProtobufCMessage *decode(const struct api_kind *kind, const json_t *object, struct api_arena *arena,
                                struct diagnostics *diags) {
        size_t before = diags->n;
        ProtobufCMessage *message = api_decode(object, kind->descriptor, arena, diags);

        if (message)
                api_check_supported(message, diags);
        if (message && diags->n > before)
                add_broken_rules(message, arena, diags, before);
        if (!message || diags->n > before)
                return NULL;
        api_set_defaults(message, arena);
        return message;
}

void submit_check_new(const struct api_kind *kind, const json_t *object, const char *ns, struct diagnostics *diags,
                      json_t **ret) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_json_ json_t *copy = json_deep_copy(object);
        size_t before = diags->n;

        *ret = NULL;
        remove_system_metadata(copy);
        generate_name(copy);
        if (kind->namespaced && json_is_object(json_object_get(copy, "metadata")))
                json_object_set_new(json_object_get(copy, "metadata"), "namespace", json_string(ns));
        ProtobufCMessage *message = decode(kind, copy, arena, diags);
        if (!message)
                return;
        api_validate(message, NULL, diags);
        if (diags->n == before)
                *ret = api_encode(message);
}

bool submit_subresource_is_known(const char *subresource) {
        static const char *const known[] = { "resize", "ephemeralcontainers", "status", NULL };
        return strv_contains((char *const *)known, subresource);
}

static void validate_update(const ProtobufCMessage *new_message, const ProtobufCMessage *old_message,
                            const char *subresource, struct diagnostics *diags) {
        const V1Pod *new_pod = (const V1Pod *)new_message, *old_pod = (const V1Pod *)old_message;

        if (!subresource)
                api_validate(new_message, old_message, diags);
        else if (streq(subresource, "resize"))
                api_validate_pod_resize(new_pod, old_pod, diags);
        else if (streq(subresource, "ephemeralcontainers"))
                api_validate_pod_ephemeral(new_pod, old_pod, diags);
        else
                api_validate_pod_status(new_pod, old_pod, diags);
}

/* A subresource changes its own part of the object and leaves the rest as it was. */
static json_t *restrict_to_subresource(const json_t *object, const json_t *live, const char *subresource) {
        json_t *result = json_deep_copy(live);
        const char *key = streq(subresource, "status") ? "status" : "spec";

        if (streq(subresource, "ephemeralcontainers")) {
                json_t *list = field_at(object, "spec.ephemeralContainers");
                if (list)
                        json_object_set(field_make_object(result, "spec"), "ephemeralContainers", list);
        } else if (json_object_get(object, key)) {
                json_object_set(result, key, json_object_get(object, key));
        }
        return result;
}

/* Priority and preemption policy are given once, when a pod is made; a manifest that does not name them does not mean
 * to take them away, whatever has become of the class. */
static json_t *keep_priority(const json_t *object, const json_t *live) {
        static const char *const fields[] = { "priority", "preemptionPolicy" };
        json_t *copy = json_copy((json_t *)object), *spec = json_copy(json_object_get(object, "spec"));
        const json_t *live_spec = json_object_get(live, "spec");

        for (size_t i = 0; json_is_object(spec) && i < ARRAY_SIZE(fields); i++)
                if (!json_object_get(spec, fields[i]) && json_object_get(live_spec, fields[i]))
                        json_object_set(spec, fields[i], json_object_get(live_spec, fields[i]));
        if (spec)
                json_object_set_new(copy, "spec", spec);
        return copy;
}

void submit_check_update(const struct api_kind *kind, const json_t *object, const json_t *live, const char *subresource,
                         struct diagnostics *diags, json_t **ret) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_json_ json_t *part = subresource                ? restrict_to_subresource(object, live, subresource)
                                      : streq(kind->kind, "Pod") ? keep_priority(object, live)
                                                                 : NULL;
        ProtobufCMessage *new_message, *old_message = NULL;
        size_t before = diags->n;

        *ret = NULL;
        new_message = decode(kind, part ? part : object, arena, diags);
        if (!new_message)
                return;
        struct error *err = api_decode_stored(live, kind->descriptor, arena, &old_message);
        if (err) {
                diagnostics_add(diags, DIAGNOSTIC_DECODE, NULL, "the stored object: %s", error_message(err));
                error_free(err);
                return;
        }
        validate_update(new_message, old_message, subresource, diags);
        if (diags->n == before)
                *ret = api_encode(new_message);
}

/* In the form in which the API writes it, without status and what the system sets. */
static json_t *comparable(const struct api_kind *kind, const json_t *object) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        ProtobufCMessage *message = NULL;
        json_t *result;

        struct error *err = api_decode_stored(object, kind->descriptor, arena, &message);
        if (err) {
                error_free(err);
                return json_deep_copy(object);
        }
        result = api_encode(message);
        remove_system_metadata(result);
        json_object_del(result, "status");
        return result;
}

bool submit_is_unchanged(const struct api_kind *kind, const json_t *object, const json_t *live) {
        _cleanup_json_ json_t *a = comparable(kind, object);
        _cleanup_json_ json_t *b = comparable(kind, live);
        return json_equal(a, b);
}

struct error *submit_refusal(const struct api_kind *kind, const char *name, const struct diagnostics *diags) {
        struct error *err = diagnostics_error(diags);

        if (!err)
                return NULL;
        _cleanup_error_ struct error *cause = err;
        return error_new(ERROR_INVALID, "The %s \"%s\" is invalid: %s", kind->kind, name, error_message(cause));
}
