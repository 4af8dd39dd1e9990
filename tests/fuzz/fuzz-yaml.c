/* YAML to JSON, written as YAML and read again: the same value must come out. */
#include "api/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_auto_t *json = NULL, *again = NULL;
        _cleanup_free_ char *text = NULL;

        error_free(yaml_parse((const char *)data, size, &json, NULL));
        if (!json)
                return 0;
        text = yaml_format(json);
        error_free(yaml_parse(text, strlen(text), &again, NULL));
        if (!json_equal(json, again))
                abort();
        return 0;
}
