#include "husk-image/confine.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define AUDIT_ARCH_HERE AUDIT_ARCH_RISCV64
#endif

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

/* What unpacking does, what malloc does, and what a dying process does. */
static const int allowed_calls[] = {
        SYS_read,
        SYS_write,
        SYS_pread64,
        SYS_pwrite64,
        SYS_readv,
        SYS_writev,
        SYS_lseek,
        SYS_close,
        SYS_close_range,
        SYS_openat,
        SYS_openat2,
        SYS_fstat,
        SYS_newfstatat,
        SYS_statx,
        SYS_fstatfs,
        SYS_getdents64,
        SYS_readlinkat,
        SYS_mkdirat,
        SYS_mknodat,
        SYS_symlinkat,
        SYS_linkat,
        SYS_unlinkat,
        SYS_renameat2,
        SYS_fchown,
        SYS_fchownat,
        SYS_fchmod,
        SYS_fchmodat,
        SYS_umask,
        SYS_utimensat,
        SYS_ftruncate,
        SYS_fsetxattr,
        SYS_fgetxattr,
        SYS_flistxattr,
        SYS_fremovexattr,
        SYS_fsync,
        SYS_fdatasync,
        SYS_syncfs,
        SYS_sync_file_range,
        SYS_fallocate,
        SYS_dup,
        SYS_dup3,
        SYS_fcntl,
        SYS_flock,
        SYS_ppoll,
        SYS_recvfrom,
        SYS_recvmsg,
        SYS_sendto,
        SYS_sendmsg,
        SYS_shutdown,
        SYS_mmap,
        SYS_munmap,
        SYS_mremap,
        SYS_mprotect,
        SYS_madvise,
        SYS_brk,
        SYS_futex,
        SYS_clock_gettime,
        SYS_clock_nanosleep,
        SYS_getrandom,
        SYS_getpid,
        SYS_gettid,
        SYS_sched_yield,
        SYS_rt_sigaction,
        SYS_rt_sigprocmask,
        SYS_rt_sigreturn,
        SYS_sigaltstack,
        SYS_restart_syscall,
        SYS_exit,
        SYS_exit_group,
#ifdef SYS_poll
        SYS_poll,
#endif
#ifdef SYS_stat
        SYS_stat,
        SYS_lstat,
        SYS_open,
        SYS_dup2,
        SYS_unlink,
        SYS_rmdir,
        SYS_mkdir,
#endif
};

struct error *confine_system_calls(void) {
#ifdef AUDIT_ARCH_HERE
        struct sock_filter program[6 + ARRAY_SIZE(allowed_calls)];
        size_t n = 0;

        program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
        program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_HERE, 1, 0);
        program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
        program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        for (size_t i = 0; i < ARRAY_SIZE(allowed_calls); i++) {
                size_t to_allow = ARRAY_SIZE(allowed_calls) - i; /* over the rest of the list and the refusal */
                program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed_calls[i],
                                                            (uint8_t)to_allow, 0);
        }
        program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
        program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        _Static_assert(ARRAY_SIZE(allowed_calls) < 250, "a BPF jump reaches 255 instructions");

        struct sock_fprog filter = { .len = n, .filter = program };
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
                return error_errno(errno, "seccomp");
#endif
        return NULL;
}

struct error *confine_main(const char *images, const char *const *readable) {
        static const int none[] = { -1 };
        _cleanup_close_ int fd = open(images, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct error *err;

        if (fd < 0)
                return error_errno(errno, "open %s", images);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_errno(errno, "no_new_privs");
        err = confine_paths(fd, readable);
        return err ? err : confine_capabilities(none);
}

struct error *confine_unpacker(int root) {
        /* SYS_ADMIN is for trusted.overlay.opaque alone; mounting and the like are not among the system calls. */
        static const int keep[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER,    CAP_FSETID,
                                    CAP_MKNOD, CAP_SETFCAP,      CAP_SYS_ADMIN, -1 };
        struct rlimit no_core = { 0, 0 }, files = { 64, 64 };
        struct error *err;

        setrlimit(RLIMIT_CORE, &no_core);
        setrlimit(RLIMIT_NOFILE, &files);
        if (fchdir(root) < 0 || chroot(".") < 0)
                return error_errno(errno, "change the root folder");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_errno(errno, "no_new_privs");
        err = confine_paths(root, NULL);
        if (!err)
                err = confine_capabilities(keep);
        if (!err)
                err = confine_system_calls();
        return err;
}
