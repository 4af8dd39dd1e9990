/* fixture.h - objects for tests, written as JSON with single quotes so that they can stand in C. */
#pragma once

#include "../test.h"

#include <jansson.h>

#include "api/defaults.h"
#include "api/validate.h"

/* JSON from text with ' for ". */
static inline json_t *fixture_json(const char *text) {
        char *copy = xstrdup(text);
        json_error_t error;
        json_t *json;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json = json_loads(copy, JSON_DECODE_ANY, &error);
        if (!json)
                fail_msg("bad fixture: %s: %s", error.text, copy);
        free(copy);
        return json;
}

/* A decoded object with its defaults; the text must decode. */
static inline void *fixture_object(struct api_arena *arena, const ProtobufCMessageDescriptor *type, const char *text) {
        struct diagnostics diags = DIAGNOSTICS_INIT;
        json_t *json = fixture_json(text);
        void *object = api_decode(json, type, arena, &diags);

        json_decref(json);
        if (diags.n > 0)
                fail_msg("%s: %s", diags.items[0].path, text);
        api_set_defaults(object, arena);
        return object;
}

/* A pod "p" with this spec, given without its braces. */
static inline V1Pod *fixture_pod(struct api_arena *arena, const char *spec) {
        char *text = xasprintf("{'metadata': {'name': 'p', 'namespace': 'default', 'labels': {'app': 'web'}}, "
                               "'spec': {%s}}",
                               spec);
        V1Pod *pod = fixture_object(arena, &v1_pod__descriptor, text);

        free(text);
        return pod;
}

/* "path: message, path: message" of all diagnostics, for a failing test to show. */
static inline char *fixture_messages(const struct diagnostics *diags) {
        struct error *err = diagnostics_error(diags);
        char *text = xstrdup(err ? error_message(err) : "nothing");

        error_free(err);
        return text;
}

static inline bool fixture_has(const struct diagnostics *diags, const char *path, enum diagnostic_cause cause) {
        for (size_t i = 0; i < diags->n; i++)
                if (diags->items[i].cause == cause && streq(diags->items[i].path, path))
                        return true;
        return false;
}
