/* JSON to a pod and back: what was accepted must survive being written and read again, and a copy must be equal. */
#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        json_auto_t *json = json_loadb((const char *)data, size, 0, NULL), *once = NULL, *twice = NULL;
        V1Pod *pod = json ? api_decode(json, &v1_pod__descriptor, arena, &diags) : NULL, *copy, *again;

        if (!pod)
                return 0;
        copy = api_copy(arena, &pod->base);
        once = api_encode(&copy->base);
        if (diags.n > 0)
                return 0;
        if (!api_equal_messages(pod, copy))
                abort();
        again = api_decode(once, &v1_pod__descriptor, arena, &diags);
        if (diags.n > 0)
                abort();
        twice = api_encode(&again->base);
        if (!json_equal(once, twice))
                abort();
        return 0;
}
