/* Manifests, indexes, configurations and the store's own image records: the first byte chooses. */
#include <stdlib.h>

#include "base/str.h"
#include "image/layout.h"
#include "image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_manifest(const char *text, size_t len) {
        _cleanup_manifest_ struct manifest *manifest = NULL;
        _cleanup_error_ struct error *err = manifest_parse(text, len, NULL, &manifest);
        struct platform platform;

        if (err)
                return;
        for (size_t i = 0; i < manifest->n_entries; i++)
                if (!digest_is_valid(manifest->entries[i].digest))
                        abort();
        platform_of_machine(&platform);
        index_choose(manifest, &platform);
        platform_release(&platform);
        free(index_platforms(manifest));
}

static void parse_config(const char *text, size_t len) {
        _cleanup_strv_ char **diff_ids = NULL;
        json_auto_t *json = NULL;

        error_free(image_config_parse(text, len, 1, &json, &diff_ids));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (!size)
                return 0;
        const char *text = (const char *)data + 1;
        switch (data[0] % 3) {
        case 0:
                parse_manifest(text, size - 1);
                break;
        case 1:
                parse_config(text, size - 1);
                break;
        default:
                image_free(image_record_parse("/images", "sha256:0", text, size - 1));
        }
        return 0;
}
