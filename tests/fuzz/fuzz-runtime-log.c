/* What an OCI runtime says: a message is short and printable whatever was in the log. */
#include "oci/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *message = oci_runtime_log_message((const char *)data, size);
        struct oci_failure failure;

        if (strlen(message) > 1024 || strpbrk(message, "\n\r\t\033"))
                abort();
        oci_failure_of(message, 0x100, "a", "sh", &failure);
        oci_failure_release(&failure);
        return 0;
}
