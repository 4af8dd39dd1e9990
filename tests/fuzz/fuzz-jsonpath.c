/* kubectl's JSONPath templates on a small fixed document. */
#include "api/jsonpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char document[] =
        "{\"kind\":\"List\",\"items\":[{\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"1\"}},\"n\":[0,1,2]},"
        "{\"metadata\":{\"name\":\"b\"},\"real\":1.5,\"yes\":true,\"nothing\":null}]}";

/* Many of them multiply up to the limit of one evaluation, which is slow and tells nothing new. */
static bool is_costly(const char *text) {
        size_t n = 0;

        for (; (text = strstr(text, "..")); text++)
                n++;
        return n > 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = xstrndup((const char *)data, size), *relaxed = jsonpath_relax(text),
                            *printed = NULL;
        _cleanup_(jsonpath_freep) struct jsonpath *jsonpath = NULL, *loose = NULL;
        json_auto_t *json = json_loads(document, 0, NULL), *found = NULL;

        error_free(jsonpath_parse(text, &jsonpath));
        error_free(jsonpath_parse(relaxed, &loose));
        if (jsonpath && !is_costly(text))
                error_free(jsonpath_print(jsonpath, json, &printed));
        if (loose && !is_costly(relaxed))
                error_free(jsonpath_find(loose, json, &found));
        return 0;
}
