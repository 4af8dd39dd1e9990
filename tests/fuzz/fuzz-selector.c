/* Label and field selectors; a label selector written out must parse again and be written the same. */
#include "api/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = xstrndup((const char *)data, size), *once = NULL, *twice = NULL;
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL, *again = NULL;
        _cleanup_(field_selector_freep) struct field_selector *fields = NULL;
        json_auto_t *object = json_pack("{s{ss}s{ss}}", "labels", "app", "web", "metadata", "name", "x");

        error_free(field_selector_parse(text, &fields));
        if (fields) {
                error_free(field_selector_check(fields, api_kind_of("Pod")));
                (void)field_selector_matches(fields, object);
        }
        error_free(label_selector_parse(text, &selector));
        if (!selector)
                return 0;
        once = label_selector_format(selector);
        error_free(label_selector_parse(once, &again));
        if (!again)
                abort();
        twice = label_selector_format(again);
        if (strcmp(once, twice) != 0)
                abort();
        if (label_selector_matches(selector, json_object_get(object, "labels")) !=
            label_selector_matches(again, json_object_get(object, "labels")))
                abort();
        return 0;
}
