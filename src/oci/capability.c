#include "oci/capability.h"

#include <linux/capability.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const char *const names[] = {
#define NAME(c) [CAP_##c] = "CAP_" #c
        NAME(CHOWN),
        NAME(DAC_OVERRIDE),
        NAME(DAC_READ_SEARCH),
        NAME(FOWNER),
        NAME(FSETID),
        NAME(KILL),
        NAME(SETGID),
        NAME(SETUID),
        NAME(SETPCAP),
        NAME(LINUX_IMMUTABLE),
        NAME(NET_BIND_SERVICE),
        NAME(NET_BROADCAST),
        NAME(NET_ADMIN),
        NAME(NET_RAW),
        NAME(IPC_LOCK),
        NAME(IPC_OWNER),
        NAME(SYS_MODULE),
        NAME(SYS_RAWIO),
        NAME(SYS_CHROOT),
        NAME(SYS_PTRACE),
        NAME(SYS_PACCT),
        NAME(SYS_ADMIN),
        NAME(SYS_BOOT),
        NAME(SYS_NICE),
        NAME(SYS_RESOURCE),
        NAME(SYS_TIME),
        NAME(SYS_TTY_CONFIG),
        NAME(MKNOD),
        NAME(LEASE),
        NAME(AUDIT_WRITE),
        NAME(AUDIT_CONTROL),
        NAME(SETFCAP),
        NAME(MAC_OVERRIDE),
        NAME(MAC_ADMIN),
        NAME(SYSLOG),
        NAME(WAKE_ALARM),
        NAME(BLOCK_SUSPEND),
        NAME(AUDIT_READ),
        NAME(PERFMON),
        NAME(BPF),
        NAME(CHECKPOINT_RESTORE),
#undef NAME
};

#define BIT(c) (1ULL << CAP_##c)
const uint64_t capabilities_default = BIT(CHOWN) | BIT(DAC_OVERRIDE) | BIT(FSETID) | BIT(FOWNER) | BIT(MKNOD) |
                                      BIT(NET_RAW) | BIT(SETGID) | BIT(SETUID) | BIT(SETFCAP) | BIT(SETPCAP) |
                                      BIT(NET_BIND_SERVICE) | BIT(SYS_CHROOT) | BIT(KILL) | BIT(AUDIT_WRITE);

uint64_t capabilities_available(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { 0 };
        uint64_t available;

        if (syscall(SYS_capget, &header, data) < 0)
                return 0;
        available = data[0].permitted | (uint64_t)data[1].permitted << 32;
        for (int c = 0; c < 64; c++) /* what was dropped from the bounding set cannot be raised in a child either */
                if (available & 1ULL << c && prctl(PR_CAPBSET_READ, c) != 1)
                        available &= ~(1ULL << c);
        return available;
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
