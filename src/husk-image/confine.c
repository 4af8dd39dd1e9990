#include "husk-image/confine.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_HERE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define AUDIT_ARCH_HERE AUDIT_ARCH_RISCV64
#endif

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
