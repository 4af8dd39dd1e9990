/* Credentials files. */
#include "husk-image/credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_credentials_ struct credentials *credentials = credentials_new();
        const struct credential **list;
        size_t n;

        error_free(credentials_add_text(credentials, (const char *)data, size));
        credentials_find(credentials, "registry.example:5000", "team/app", &list, &n);
        free(list);
        return 0;
}
