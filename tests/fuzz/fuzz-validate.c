/* Any JSON as a pod: decoded, given defaults, validated, and compared with itself as every kind of update.
 *
 * Held beside "nothing breaks": defaults set twice change nothing, and a valid pod may be replaced by itself. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "api/defaults.h"
#include "api/resources.h"
#include "api/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition) {
        if (!condition)
                abort();
}

static void check_updates(const V1Pod *pod, bool valid) {
        static void (*const rules[])(const V1Pod *, const V1Pod *,
                                     struct diagnostics *) = { api_validate_pod_update, api_validate_pod_resize,
                                                               api_validate_pod_ephemeral };

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
                _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
                /* Resizing is refused for some pods whatever is asked. */
                bool may_refuse = i > 0 && ((pod->spec->os != NULL) || pod->metadata->n_annotations > 0);

                rules[i](pod, pod, &diags);
                must(!valid || may_refuse || diags.n == 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_resource_list_ struct resource_list requests = RESOURCE_LIST_INIT;
        json_t *json = json_loadb((const char *)data, size, 0, NULL);
        V1Pod *pod = json ? api_decode(json, &v1_pod__descriptor, arena, &diags) : NULL, *again;

        json_decref(json);
        if (!pod)
                return 0;
        diagnostics_release(&diags);
        api_set_pod_defaults(pod, arena);
        again = api_copy(arena, &pod->base);
        api_set_pod_defaults(again, arena);
        must(api_equal(&pod->base, &again->base));

        api_validate_pod(pod, &diags);
        check_updates(pod, diags.n == 0);
        api_pod_requests(pod, &requests);
        must(api_pod_qos_class(pod) != NULL);
        json_decref(api_encode(&pod->base));
        return 0;
}
