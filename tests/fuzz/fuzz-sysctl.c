/* Names of sysctls come from manifests and become paths below /proc/sys: none may lead out of it. */
#include <string.h>

#include "base/base.h"
#include "sandbox/sandbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *name = xstrndup((const char *)data, size);
        struct sysctl s, again;

        if (!sysctl_parse(name, &s)) {
                if (sysctl_is_safe(name))
                        abort();
                return 0;
        }
        if (*s.path == '/' || strstr(s.path, "//") || strstr(s.path, "..") || strlen(s.path) != strlen(name))
                abort();
        /* What was parsed is spelled with dots first: parsing it again changes nothing. */
        if (!sysctl_parse(s.name, &again) || !streq(s.path, again.path) || s.group != again.group)
                abort();
        sysctl_release(&again);
        sysctl_release(&s);
        return 0;
}
