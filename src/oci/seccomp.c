#include "oci/seccomp.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/str.h"
#include "oci/capability.h"
#include "oci/seccomp-filter.h"

#if defined(__x86_64__)
#define ARCHITECTURES "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"
#define NATIVE_ARCHITECTURE "SCMP_ARCH_X86_64"
#define NATIVE_NAME "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURES "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"
#define NATIVE_ARCHITECTURE "SCMP_ARCH_AARCH64"
#define NATIVE_NAME "arm64"
#elif defined(__riscv)
#define ARCHITECTURES "SCMP_ARCH_RISCV64"
#define NATIVE_ARCHITECTURE "SCMP_ARCH_RISCV64"
#define NATIVE_NAME "riscv64"
#elif defined(__powerpc64__)
#define ARCHITECTURES "SCMP_ARCH_PPC64LE"
#define NATIVE_ARCHITECTURE "SCMP_ARCH_PPC64LE"
#define NATIVE_NAME "ppc64le"
#elif defined(__s390x__)
#define ARCHITECTURES "SCMP_ARCH_S390X", "SCMP_ARCH_S390"
#define NATIVE_ARCHITECTURE "SCMP_ARCH_S390X"
#define NATIVE_NAME "s390x"
#else
#error "seccomp.c: name this architecture"
#endif

#define CLONE_NEW_MASK 0x7E020000 /* all CLONE_NEW* of clone(2) but CLONE_NEWTIME */

/* Allowed to every container. What a C library, a language's run time or an ordinary server calls, in all spellings
 * that the architectures have; names an architecture or libseccomp does not know are passed over by the OCI runtime. */
static const char always[] =
        /* files */
        "access faccessat faccessat2 open openat openat2 creat close close_range read readv pread64 preadv preadv2 "
        "write "
        "writev pwrite64 pwritev pwritev2 lseek _llseek sendfile sendfile64 copy_file_range splice tee vmsplice dup "
        "dup2 "
        "dup3 fcntl fcntl64 flock ioctl fsync fdatasync sync syncfs sync_file_range sync_file_range2 "
        "arm_sync_file_range "
        "fallocate truncate truncate64 ftruncate ftruncate64 fadvise64 fadvise64_64 arm_fadvise64_64 readahead stat "
        "stat64 "
        "lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs fstatfs64 chmod fchmod "
        "fchmodat "
        "fchmodat2 chown chown32 fchown fchown32 fchownat lchown lchown32 utime utimes futimesat utimensat "
        "utimensat_time64 link linkat unlink unlinkat symlink symlinkat readlink readlinkat rename renameat renameat2 "
        "mkdir mkdirat rmdir mknod mknodat getdents getdents64 getcwd chdir fchdir umask name_to_handle_at getxattr "
        "lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr llistxattr flistxattr "
        "listxattrat removexattr lremovexattr fremovexattr removexattrat inotify_init inotify_init1 inotify_add_watch "
        "inotify_rm_watch fanotify_mark io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents "
        "io_pgetevents_time64 ioprio_get ioprio_set memfd_create memfd_secret statmount listmount cachestat "
        "landlock_create_ruleset landlock_add_rule landlock_restrict_self "
        /* waiting */
        "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl "
        "epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 "
        "timerfd_create timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64 pipe pipe2 pause "
        /* memory */
        "brk mmap mmap2 munmap mremap mprotect madvise mincore mlock mlock2 mlockall munlock munlockall msync "
        "remap_file_pages membarrier pkey_alloc pkey_free pkey_mprotect map_shadow_stack mseal process_mrelease "
        /* processes and threads */
        "fork vfork execve execveat exit exit_group wait4 waitid waitpid kill tkill tgkill pidfd_open "
        "pidfd_send_signal "
        "getpid getppid gettid getpgid getpgrp setpgid getsid setsid prctl futex futex_time64 futex_waitv futex_wait "
        "futex_wake futex_requeue set_robust_list get_robust_list set_tid_address set_thread_area get_thread_area rseq "
        "restart_syscall getpriority setpriority getrlimit setrlimit ugetrlimit prlimit64 getrusage times getcpu "
        "sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam "
        "sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval "
        "sched_rr_get_interval_time64 seccomp ptrace process_vm_readv process_vm_writev "
        /* signals */
        "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
        "rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack signal sigpending sigprocmask sigreturn "
        "sigsuspend "
        "uretprobe "
        /* users */
        "getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid "
        "getresgid32 "
        "getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid "
        "setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capget capset "
        /* time */
        "time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep "
        "clock_nanosleep_time64 clock_adjtime clock_adjtime64 adjtimex nanosleep alarm getitimer setitimer "
        "timer_create "
        "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 "
        /* sockets, without socket(2) itself, which depends on the family */
        "socketpair bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt send sendto "
        "sendmsg "
        "sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 shutdown socketcall "
        /* System V and POSIX IPC */
        "ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget "
        "mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive mq_timedreceive_time64 mq_timedsend "
        "mq_timedsend_time64 "
        /* the machine */
        "uname sysinfo getrandom arch_prctl modify_ldt breakpoint cacheflush set_tls riscv_flush_icache riscv_hwprobe "
        "s390_pci_mmio_read s390_pci_mmio_write";

/* Allowed with one of these capabilities; without, refused with EPERM. */
static const struct {
        uint64_t capabilities;
        const char *names;
} by_capability[] = {
#define CAP(c) (1ULL << CAP_##c)
        { CAP(DAC_READ_SEARCH), "open_by_handle_at" },
        { CAP(SYS_ADMIN),
          "fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules "
          "lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr quotactl quotactl_fd "
          "setdomainname sethostname setns umount umount2 unshare" },
        { CAP(SYS_ADMIN) | CAP(BPF), "bpf" },
        { CAP(SYS_ADMIN) | CAP(PERFMON), "perf_event_open" },
        { CAP(SYS_ADMIN) | CAP(SYSLOG), "syslog" },
        { CAP(SYS_BOOT), "reboot" },
        { CAP(SYS_CHROOT), "chroot" },
        { CAP(SYS_MODULE), "delete_module init_module finit_module" },
        { CAP(SYS_PACCT), "acct" },
        { CAP(SYS_PTRACE), "kcmp pidfd_getfd process_madvise" },
        { CAP(SYS_RAWIO), "iopl ioperm" },
        { CAP(SYS_TIME), "settimeofday stime clock_settime clock_settime64" },
        { CAP(SYS_TTY_CONFIG), "vhangup" },
        { CAP(SYS_NICE), "get_mempolicy mbind set_mempolicy set_mempolicy_home_node" },
#undef CAP
};

/* Refused whatever the capabilities, with EPERM: not aware of namespaces, obsolete, or mostly good for attacking a
 * kernel. Everything else, calls newer than this table included, gets ENOSYS, so that C libraries fall back to older
 * calls. */
static const char never[] =
        "add_key keyctl request_key kexec_load kexec_file_load io_uring_setup io_uring_enter io_uring_register "
        "userfaultfd nfsservctl pivot_root swapon swapoff uselib ustat sysfs _sysctl create_module get_kernel_syms "
        "query_module bdflush vm86 vm86old migrate_pages move_pages pciconfig_read pciconfig_write pciconfig_iobase";

/* ---- making the object ---- */

static void add_names(json_t *names, const char *list) {
        while (*list) {
                size_t n = strcspn(list, " ");

                if (n)
                        json_array_append_new(names, json_stringn(list, n));
                list += n + (list[n] == ' ');
        }
}

static json_t *argument(int index, uint64_t value, uint64_t value_two, const char *operator) {
        json_t *arg = json_pack("{s:i, s:I, s:s}", "index", index, "value", (json_int_t)value, "op", operator);

        if (value_two)
                json_object_set_new(arg, "valueTwo", json_integer((json_int_t)value_two));
        return arg;
}

static void add_rule(json_t *rules, json_t *names, const char *action, int errnum, json_t *arguments) {
        json_t *rule = json_pack("{s:o, s:s}", "names", names, "action", action);

        if (errnum)
                json_object_set_new(rule, "errnoRet", json_integer(errnum));
        if (arguments)
                json_object_set_new(rule, "args", arguments);
        json_array_append_new(rules, rule);
}

static void add_call(json_t *rules, const char *name, json_t *arg) {
        add_rule(rules, json_pack("[s]", name), "SCMP_ACT_ALLOW", 0, json_pack("[o]", arg));
}

/* personality(2) may ask for what it may always have: Linux, Linux with 32-bit uname, and which one it is. */
static const uint64_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

static void add_conditional(json_t *rules, bool sys_admin) {
        for (size_t i = 0; i < ARRAY_SIZE(personalities); i++)
                add_call(rules, "personality", argument(0, personalities[i], 0, "SCMP_CMP_EQ"));
        /* AF_VSOCK (40) reaches the hypervisor past every network namespace. */
        add_call(rules, "socket", argument(0, 40, 0, "SCMP_CMP_NE"));
        if (sys_admin)
                return;
                /* Threads and processes, but no new namespaces. clone3 hides its flags behind a pointer: C libraries
                 * fall back to clone when it is not there. On s390 the flags are clone's second argument. */
#if defined(__s390x__)
        add_call(rules, "clone", argument(1, CLONE_NEW_MASK, 0, "SCMP_CMP_MASKED_EQ"));
#else
        add_call(rules, "clone", argument(0, CLONE_NEW_MASK, 0, "SCMP_CMP_MASKED_EQ"));
#endif
}

json_t *seccomp_runtime_default(uint64_t capabilities) {
        static const char *const architectures[] = { ARCHITECTURES };
        json_t *allowed = json_array(), *refused = json_array(), *rules = json_array(), *list = json_array();
        bool sys_admin = capabilities & (1ULL << CAP_SYS_ADMIN);

        add_names(allowed, always);
        add_names(refused, never);
        for (size_t i = 0; i < ARRAY_SIZE(by_capability); i++)
                add_names(capabilities & by_capability[i].capabilities ? allowed : refused, by_capability[i].names);
        if (sys_admin)
                add_names(allowed, "clone clone3");
        add_rule(rules, allowed, "SCMP_ACT_ALLOW", 0, NULL);
        add_conditional(rules, sys_admin);
        add_rule(rules, refused, "SCMP_ACT_ERRNO", EPERM, NULL);

        for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
                json_array_append_new(list, json_string(architectures[i]));
        return json_pack("{s:s, s:i, s:o, s:o}", "defaultAction", "SCMP_ACT_ERRNO", "defaultErrnoRet", ENOSYS,
                         "architectures", list, "syscalls", rules);
}

/* ---- the same as the kernel takes it ---- */

static void set_verdicts(struct seccomp_verdicts *verdicts, const char *list, enum seccomp_verdict verdict) {
        while (*list) {
                size_t n = strcspn(list, " ");
                char name[64];

                if (n > 0 && n < sizeof(name)) {
                        memcpy(name, list, n);
                        name[n] = '\0';
                        seccomp_verdict_set(verdicts, name, verdict);
                }
                list += n + (list[n] == ' ');
        }
}

char *seccomp_runtime_default_filter(uint64_t capabilities) {
        _cleanup_free_ struct seccomp_verdicts *verdicts = NULL;
        _cleanup_free_ struct sock_filter *code = NULL;
        bool sys_admin = capabilities & (1ULL << CAP_SYS_ADMIN);
        size_t n;

        if (!seccomp_filter_supported())
                return NULL;
        verdicts = new0(struct seccomp_verdicts);
        set_verdicts(verdicts, always, SECCOMP_ALLOW);
        set_verdicts(verdicts, never, SECCOMP_REFUSE);
        for (size_t i = 0; i < ARRAY_SIZE(by_capability); i++)
                set_verdicts(verdicts, by_capability[i].names,
                             capabilities & by_capability[i].capabilities ? SECCOMP_ALLOW : SECCOMP_REFUSE);
        seccomp_verdict_set(verdicts, "clone", sys_admin ? SECCOMP_ALLOW : SECCOMP_IF_NO_NAMESPACES);
        seccomp_verdict_set(verdicts, "clone3", sys_admin ? SECCOMP_ALLOW : SECCOMP_UNKNOWN);
        seccomp_verdict_set(verdicts, "personality", SECCOMP_IF_USUAL_PERSONALITY);
        seccomp_verdict_set(verdicts, "socket", SECCOMP_IF_NOT_VSOCK);
        code = seccomp_filter_compile(verdicts, &n);
        return base64_encode((const uint8_t *)code, n * sizeof(*code));
}

/* ---- profiles of the user ---- */

#define PROFILE_MAX (1024 * 1024)

static bool string_in(const json_t *array, const char *wanted) {
        const json_t *item;
        size_t i;

        json_array_foreach(array, i,
                           item) if (json_is_string(item) && streq(json_string_value(item), wanted)) return true;
        return false;
}

static bool has_capability(uint64_t capabilities, const char *name) {
        int number = capability_number(name);

        return number >= 0 && capabilities & (1ULL << number);
}

static bool kernel_is_at_least(const char *version) {
        unsigned major = 0, minor = 0, wanted_major = 0, wanted_minor = 0;
        struct utsname uts;

        if (uname(&uts) < 0 || sscanf(uts.release, "%u.%u", &major, &minor) < 1 ||
            sscanf(version, "%u.%u", &wanted_major, &wanted_minor) < 1)
                return false;
        return major > wanted_major || (major == wanted_major && minor >= wanted_minor);
}

/* docker's profiles say under which circumstances a rule counts; an OCI runtime would not look at that. */
static bool rule_applies(const json_t *rule, uint64_t capabilities) {
        const json_t *includes = json_object_get(rule, "includes"), *excludes = json_object_get(rule, "excludes"),
                     *item;
        const char *min_kernel = json_string_value(json_object_get(includes, "minKernel"));
        size_t i;

        json_array_foreach(json_object_get(includes, "caps"), i,
                           item) if (!json_is_string(item) ||
                                     !has_capability(capabilities, json_string_value(item))) return false;
        json_array_foreach(json_object_get(excludes, "caps"), i,
                           item) if (json_is_string(item) &&
                                     has_capability(capabilities, json_string_value(item))) return false;
        item = json_object_get(includes, "arches");
        if (json_array_size(item) > 0 && !string_in(item, NATIVE_NAME))
                return false;
        if (string_in(json_object_get(excludes, "arches"), NATIVE_NAME))
                return false;
        return !min_kernel || kernel_is_at_least(min_kernel);
}

static json_t *rules_that_apply(const json_t *rules, uint64_t capabilities) {
        json_t *result = json_array(), *rule;
        size_t i;

        json_array_foreach(rules, i, rule) {
                json_t *copy, *name;

                if (!rule_applies(rule, capabilities))
                        continue;
                copy = json_deep_copy(rule);
                json_object_del(copy, "includes");
                json_object_del(copy, "excludes");
                json_object_del(copy, "comment");
                name = json_object_get(copy, "name"); /* docker's oldest form: one name */
                if (name && !json_object_get(copy, "names"))
                        json_object_set_new(copy, "names", json_pack("[O]", name));
                json_object_del(copy, "name");
                json_array_append_new(result, copy);
        }
        return result;
}

static json_t *architectures_of(const json_t *profile) {
        const json_t *map = json_object_get(profile, "archMap"), *entry;
        json_t *result;
        size_t i;

        if (json_is_array(json_object_get(profile, "architectures")))
                return json_deep_copy(json_object_get(profile, "architectures"));
        json_array_foreach(map, i, entry) {
                const char *name = json_string_value(json_object_get(entry, "architecture"));

                if (!streq_ptr(name, NATIVE_ARCHITECTURE))
                        continue;
                result = json_pack("[s]", name);
                json_array_extend(result, json_object_get(entry, "subArchitectures"));
                return result;
        }
        return NULL;
}

/* Only what the runtime-spec has is taken over. */
static json_t *profile_translate(const json_t *profile, uint64_t capabilities) {
        static const char *const copied[] = { "defaultAction", "defaultErrnoRet", "flags", "listenerPath",
                                              "listenerMetadata" };
        json_t *result = json_object(), *architectures = architectures_of(profile);

        for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
                if (json_object_get(profile, copied[i]))
                        json_object_set(result, copied[i], json_object_get(profile, copied[i]));
        if (architectures)
                json_object_set_new(result, "architectures", architectures);
        json_object_set_new(result, "syscalls", rules_that_apply(json_object_get(profile, "syscalls"), capabilities));
        return result;
}

static struct error *profile_read(const char *folder, const char *name, json_t **ret) {
        _cleanup_close_ int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        struct error *err;
        json_error_t error;
        struct stat st;
        size_t len;

        if (folder_fd < 0)
                return error_errno(errno, "open %s", folder);
        fd = open_in_root(folder_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (fd < 0)
                return error_errno(-fd, "open %s/%s", folder, name);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_new(ERROR_INVALID, "%s/%s is no regular file", folder, name);
        err = fd_read_all(fd, PROFILE_MAX, &text, &len);
        if (err)
                return err;
        *ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
        if (!*ret)
                return error_new(ERROR_INVALID, "line %d: %s", error.line, error.text);
        return NULL;
}

struct error *seccomp_localhost(const char *folder, const char *name, uint64_t capabilities, json_t **ret) {
        struct error *err;
        json_t *profile;

        err = profile_read(folder, name, &profile);
        if (err)
                return error_context(err, "seccomp profile %s", name);
        /* A profile without a default action would be no filter at all in some runtimes. */
        if (!json_is_string(json_object_get(profile, "defaultAction")))
                err = error_new(ERROR_INVALID, "seccomp profile %s: defaultAction is missing", name);
        else
                *ret = profile_translate(profile, capabilities);
        json_decref(profile);
        return err;
}
