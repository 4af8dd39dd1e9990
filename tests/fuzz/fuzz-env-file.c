/* Environment files: a value that is found is in the text, between quotes, and says nothing of what stands around it.
 */
#include "oci/env-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *value = NULL;
        _cleanup_error_ struct error *err = NULL;

        err = env_file_value((const char *)data, size, "KEY", &value);
        if (err && value)
                abort();
        if (value && (strchr(value, '\'') || (*value && !memmem(data, size, value, strlen(value)))))
                abort();
        return 0;
}
