/* References: whatever parses must come out normalised, and stay the same when parsed again. */
#include <stdlib.h>

#include "image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = xstrndup((const char *)data, size);
        _cleanup_free_ char *once = image_reference_normalize(text);

        if (once) {
                _cleanup_free_ char *twice = image_reference_normalize(once);
                if (!twice || !streq(once, twice) || strstr(once, "/.") || strchr(once, '\n'))
                        abort();
        }
        return 0;
}
