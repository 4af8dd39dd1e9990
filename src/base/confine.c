#include "base/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

struct error *confine_capabilities(const int *keep) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { 0 }, now[2] = { 0 };
        uint32_t wanted[2] = { 0 };

        for (size_t i = 0; keep[i] >= 0; i++)
                wanted[keep[i] / 32] |= 1U << (keep[i] % 32);
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        /* The bounding set first: that takes CAP_SETPCAP, which goes below. Without it there is nothing to drop. */
        for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
                if (!(wanted[cap / 32] & (1U << (cap % 32))))
                        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
        if (syscall(SYS_capget, &header, now) < 0)
                return error_errno(errno, "read capabilities");
        for (int i = 0; i < 2; i++)
                data[i].effective = data[i].permitted = now[i].permitted & wanted[i];
        if (syscall(SYS_capset, &header, data) < 0)
                return error_errno(errno, "give up capabilities");
        return NULL;
}

#define LANDLOCK_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* Everything of the first version of Landlock's interface: execute, write, read, remove and make of all kinds. */
#define LANDLOCK_V1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static bool landlock_allow(int ruleset, int fd, uint64_t access) {
        struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };

        return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

struct error *confine_paths(int writable, const char *const *readable) {
        uint64_t handled = LANDLOCK_V1;
        long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

        if (version < 2)
                return NULL; /* version 1 cannot allow hard links between folders, which layers have */
        handled |= LANDLOCK_ACCESS_FS_REFER;
        if (version >= 3)
                handled |= LANDLOCK_ACCESS_FS_TRUNCATE;
        struct landlock_ruleset_attr attr = { .handled_access_fs = handled };
        _cleanup_close_ int ruleset = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
        if (ruleset < 0)
                return error_errno(errno, "landlock");
        if (writable >= 0 && !landlock_allow(ruleset, writable, handled & ~LANDLOCK_ACCESS_FS_EXECUTE))
                return error_errno(errno, "landlock");
        for (size_t i = 0; readable && readable[i]; i++) {
                _cleanup_close_ int fd = open(readable[i], O_PATH | O_CLOEXEC);
                struct stat st;
                if (fd < 0 || fstat(fd, &st) < 0)
                        continue;
                /* Shared libraries are mapped executable, which Landlock does not mediate. */
                uint64_t access = S_ISDIR(st.st_mode) ? LANDLOCK_READ : LANDLOCK_ACCESS_FS_READ_FILE;
                if (!landlock_allow(ruleset, fd, access))
                        return error_errno(errno, "landlock: %s", readable[i]);
        }
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
                return error_errno(errno, "landlock");
        return NULL;
}
