#include "oci/capability.h"

#include <linux/capability.h>
#include <strings.h>

#include "base/file.h"
#include "base/str.h"

static const char *const names[] = {
#define NAME(c) [CAP_##c] = "CAP_" #c
        NAME(CHOWN), NAME(DAC_OVERRIDE), NAME(DAC_READ_SEARCH), NAME(FOWNER), NAME(FSETID), NAME(KILL), NAME(SETGID),
        NAME(SETUID), NAME(SETPCAP), NAME(LINUX_IMMUTABLE), NAME(NET_BIND_SERVICE), NAME(NET_BROADCAST), NAME(NET_ADMIN),
        NAME(NET_RAW), NAME(IPC_LOCK), NAME(IPC_OWNER), NAME(SYS_MODULE), NAME(SYS_RAWIO), NAME(SYS_CHROOT),
        NAME(SYS_PTRACE), NAME(SYS_PACCT), NAME(SYS_ADMIN), NAME(SYS_BOOT), NAME(SYS_NICE), NAME(SYS_RESOURCE),
        NAME(SYS_TIME), NAME(SYS_TTY_CONFIG), NAME(MKNOD), NAME(LEASE), NAME(AUDIT_WRITE), NAME(AUDIT_CONTROL),
        NAME(SETFCAP), NAME(MAC_OVERRIDE), NAME(MAC_ADMIN), NAME(SYSLOG), NAME(WAKE_ALARM), NAME(BLOCK_SUSPEND),
        NAME(AUDIT_READ), NAME(PERFMON), NAME(BPF), NAME(CHECKPOINT_RESTORE),
#undef NAME
};

#define BIT(c) (1ULL << CAP_##c)
const uint64_t capabilities_default = BIT(CHOWN) | BIT(DAC_OVERRIDE) | BIT(FSETID) | BIT(FOWNER) | BIT(MKNOD) |
                                      BIT(NET_RAW) | BIT(SETGID) | BIT(SETUID) | BIT(SETFCAP) | BIT(SETPCAP) |
                                      BIT(NET_BIND_SERVICE) | BIT(SYS_CHROOT) | BIT(KILL) | BIT(AUDIT_WRITE);

uint64_t capabilities_of_kernel(void) {
        static uint64_t known;
        _cleanup_free_ char *text = NULL;
        struct error *err;
        uint64_t last = 0;

        if (known)
                return known;
        err = file_read("/proc/sys/kernel/cap_last_cap", 32, &text, NULL);
        if (!err) {
                text[strcspn(text, "\n")] = '\0';
                if (!str_to_u64(text, &last))
                        last = 0;
        }
        error_free(err);
        if (last == 0 || last >= ARRAY_SIZE(names))
                last = ARRAY_SIZE(names) - 1;
        known = (2ULL << last) - 1;
        return known;
}

int capability_number(const char *name) {
        if (strncasecmp(name, "CAP_", 4) == 0)
                name += 4;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strcasecmp(names[i] + 4, name) == 0)
                        return (int)i;
        return -1;
}

const char *capability_name(unsigned number) {
        return number < ARRAY_SIZE(names) ? names[number] : NULL;
}
