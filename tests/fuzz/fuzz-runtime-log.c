/* What an OCI runtime says: a message is short and printable whatever was in the log, and a state is a state. */
#include "oci/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = xstrndup((const char *)data, size);
        _cleanup_free_ char *message = oci_runtime_log_message((const char *)data, size);
        _cleanup_error_ struct error *err = NULL;
        struct oci_failure failure;
        struct oci_state state;

        if (strlen(message) > 1024 || strpbrk(message, "\n\r\t\033"))
                abort();
        oci_failure_of(message, 0x100, "a", "sh", &failure);
        oci_failure_release(&failure);
        err = oci_runtime_state_parse(text, &state);
        if (!err && (state.status > OCI_PAUSED || state.pid < 0))
                abort();
        return 0;
}
