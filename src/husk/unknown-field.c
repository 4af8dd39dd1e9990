#include "husk/unknown-field.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

/* Removes what stands at a diagnostic's path ("spec.containers[0].imag"). A name may hold dots itself: at each object
 * the longest name that it has is taken. False if there is nothing. */
static bool remove_at(json_t *json, const char *path) {
        if (*path == '[' && json_is_array(json)) {
                char *end;
                size_t index = strtoul(path + 1, &end, 10);
                if (*end != ']' || index >= json_array_size(json) || !end[1])
                        return false;
                return remove_at(json_array_get(json, index), end[1] == '.' ? end + 2 : end + 1);
        }
        if (!json_is_object(json))
                return false;
        if (json_object_get(json, path))
                return json_object_del(json, path) == 0;
        for (size_t len = strlen(path); len-- > 0;) {
                _cleanup_free_ char *name = (path[len] == '.' || path[len] == '[') ? xstrndup(path, len) : NULL;
                json_t *child = name ? json_object_get(json, name) : NULL;
                if (child && remove_at(child, path + len + (path[len] == '.')))
                        return true;
        }
        return false;
}

void unknown_fields_remove(const struct api_kind *kind, json_t *object, bool warn) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

        api_decode(object, kind->descriptor, arena, &diags);
        for (size_t i = 0; i < diags.n; i++) {
                const struct diagnostic *d = &diags.items[i];
                if (d->cause == DIAGNOSTIC_UNKNOWN_FIELD && remove_at(object, d->path) && warn)
                        fprintf(stderr, "Warning: unknown field \"%s\"\n", d->path);
        }
}
