/* Strategic merge patch and the three-way merge of apply, on a small fixed pod, which must never change. */
#include "api/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char document[] =
                "{\"metadata\":{\"finalizers\":[\"x\",\"y\"],\"labels\":{\"a\":\"1\"}},\"spec\":{\"containers\":[{"
                "\"name\":\"a\","
                "\"ports\":[{\"containerPort\":53},{\"containerPort\":53}],\"args\":[\"1\"]},{\"name\":\"b\"}],"
                "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],\"nodeSelector\":{\"d\":\"s\"}}}";
        const struct api_type *type = api_type_named("V1Pod");
        json_auto_t *json = json_loads(document, 0, NULL), *before = json_deep_copy(json);
        json_auto_t *patch = json_loadb((const char *)data, size, 0, NULL), *result = NULL, *applied = NULL,
                    *again = NULL;

        if (!json_is_object(patch))
                return 0;
        error_free(patch_strategic(type, json, patch, &result));
        json_object_set_new(json_object_get(patch, "metadata"), "name", json_string("p"));
        applied = patch_apply(type, patch, json);
        if (!json_equal(json, before))
                abort();
        again = patch_apply(type, patch, applied);
        return 0;
}
