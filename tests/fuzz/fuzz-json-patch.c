/* JSON patch (RFC 6902) on a small fixed document, which must never change. */
#include "api/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char document[] = "{\"a\":{\"b\":[1,2,{\"c\":\"d\"}],\"~/\":null},\"e\":\"f\"}";
        json_auto_t *json = json_loads(document, 0, NULL), *before = json_deep_copy(json);
        json_auto_t *patch = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL), *result = NULL,
                    *merged = NULL;

        if (!patch)
                return 0;
        error_free(patch_json(json, patch, &result));
        merged = patch_merge(json, patch);
        if (!json_equal(json, before))
                abort();
        return 0;
}
