#include "sandbox/infra.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* A user of its own, from the range that Debian and others leave unused: a container that shares the pid namespace runs
 * as this one only if it was told to, and finds a process it cannot trace all the same (husk-infra is not dumpable). */
#define INFRA_UID 65529

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

static _noreturn_ void fail(const struct infra_plan *plan, int errnum, const char *what, const char *object) {
        struct infra_failure failure = { .errnum = errnum };
        size_t len = 0;

        for (const char *parts[] = { what, object }, **p = parts; p < parts + 2; p++)
                for (const char *c = *p; *c && len < sizeof(failure.what) - 1; c++)
                        failure.what[len++] = *c;
        send(plan->socket, &failure, sizeof(failure), MSG_NOSIGNAL);
        _exit(1);
}

static int write_file(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return errno;
        ssize_t n = write(fd, text, strlen(text));
        int saved = n < 0 ? errno : 0;
        close(fd);
        return saved;
}

/* "g" came with descriptors; behind it stand the names of their hierarchies, each with its NUL. */
static void enter_cgroups(const struct infra_plan *plan, const struct cmsghdr *fds, const char *names) {
        size_t n = fds && fds->cmsg_type == SCM_RIGHTS ? (fds->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

        for (size_t i = 0; i < n; i++, names += strlen(names) + 1) {
                int rc = cgroup_entry_take(&((const int *)CMSG_DATA(fds))[i], 1);
                if (rc)
                        fail(plan, rc, INFRA_ENTERS, names);
        }
}

/* A creator that died before it had written this process down must not leave it behind. */
static void await_go(const struct infra_plan *plan) {
        char text[INFRA_GO_MAX + 1] = { 0 };
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * CGROUP_ENTRIES_MAX)];
        } control;
        struct iovec part = { text, INFRA_GO_MAX };
        struct msghdr message = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };

        if (recvmsg(plan->socket, &message, MSG_CMSG_CLOEXEC) < 1 || *text != 'g')
                _exit(1);
        enter_cgroups(plan, CMSG_FIRSTHDR(&message), text + 1);
}

/* In a new user namespace nothing of this process's ids exists until its creator has mapped them; nor may it look into
 * folders that are closed to others. */
static void await_ids(const struct infra_plan *plan) {
        char mapped;

        if (plan->user_namespace && recv(plan->socket, &mapped, 1, 0) != 1)
                _exit(1);
}

static void loopback_up(const struct infra_plan *plan) {
        struct ifreq request = { .ifr_name = "lo" };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        request.ifr_flags = IFF_UP | IFF_RUNNING;
        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                fail(plan, errno, "set lo up", "");
        close(fd);
}

/* A /proc of its own, which goes with the old root: the kernel keeps what was once looked up below /proc/sys/net of one
 * /proc, for every network namespace, in one chain, half a millisecond long with 500 of them. */
static void take_proc(const struct infra_plan *plan) {
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                fail(plan, errno, "make mounts private", "");
        if (plan->own_network || plan->n_sysctls)
                mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL); /* the one there serves too */
}

/* What the pod itself asks for may have been written already, from outside. */
static bool is_asked_for(const struct infra_plan *plan, const char *path) {
        for (size_t i = 0; i < plan->n_sysctls; i++)
                if (strcmp(plan->sysctls[i].path, path) == 0)
                        return true;
        return false;
}

/* Settings of every network that husk makes. Interfaces take the first two over when they are made: no waiting for
 * duplicates of addresses that are given out only once, and no listening to what other pods say of routes. The third:
 * large pieces of a stream are for what is near, in units of 2^6 us of round-trip time instead of 2^9: pods of this
 * machine. To the others of a slow local network a single piece would keep the line busy for 16 ms. */
static void configure_network(const struct infra_plan *plan) {
        static const char *const settings[][2] = { { "net/ipv6/conf/default/accept_dad", "0" },
                                                   { "net/ipv6/conf/default/accept_ra", "0" },
                                                   { "net/ipv4/tcp_tso_rtt_log", "6" } };
        char path[64] = "/proc/sys/";

        for (size_t i = 0; plan->own_network && i < ARRAY_SIZE(settings); i++) {
                strcpy(path + strlen("/proc/sys/"), settings[i][0]);
                if (is_asked_for(plan, path))
                        continue;
                int rc = write_file(path, settings[i][1]);
                if (rc && rc != ENOENT) /* a kernel without IPv6, or before Linux 5.18 */
                        fail(plan, rc, "write sysctl ", settings[i][0]);
        }
}

static void write_sysctls(const struct infra_plan *plan) {
        configure_network(plan);
        if (plan->user_namespace) /* the creator does it */
                return;
        for (size_t i = 0; i < plan->n_sysctls; i++) {
                int rc = write_file(plan->sysctls[i].path, plan->sysctls[i].text);
                if (rc)
                        fail(plan, rc, "write sysctl ", plan->sysctls[i].path + strlen("/proc/sys/"));
        }
}

/* The root becomes an empty tmpfs that nobody can write to; the mounts of the creator's namespace go with the old one.
 * It is first mounted on /proc, which is there and open to everybody on every machine. */
static void empty_root(const struct infra_plan *plan) {
        if (mount("husk-infra", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                  "size=4k,nr_inodes=2,mode=0555") < 0)
                fail(plan, errno, "mount an empty tmpfs", "");
        if (chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
                fail(plan, errno, "pivot_root to the empty tmpfs", "");
        if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
                fail(plan, errno, "leave the old root", "");
}

static void drop_privileges(const struct infra_plan *plan) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[2] = { 0 };
        struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY }, processes;

        for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
                        fail(plan, errno, "drop capabilities from the bounding set", "");
        /* The user of all infra processes: from one limit of it on (of whoever started the pod) execve(2) would fail.
         */
        if (setrlimit(RLIMIT_NPROC, &unlimited) < 0 && getrlimit(RLIMIT_NPROC, &processes) == 0) {
                processes.rlim_cur = processes.rlim_max;
                setrlimit(RLIMIT_NPROC, &processes);
        }
        /* The system calls themselves: glibc's setters lock and talk to other threads, of which there are none. */
        if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, INFRA_UID, INFRA_UID, INFRA_UID) < 0 ||
            syscall(SYS_setresuid, INFRA_UID, INFRA_UID, INFRA_UID) < 0)
                fail(plan, errno, "change to the user of husk-infra", "");
        if (syscall(SYS_capset, &header, none) < 0)
                fail(plan, errno, "drop capabilities", "");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                fail(plan, errno, "set no_new_privs", "");
}

_noreturn_ void infra_main(const struct infra_plan *plan) {
        char *const argv[] = { (char *)"husk-infra", NULL }, *const envp[] = { NULL };

        close(plan->creator_socket); /* else the end of the creator would not be the end of the pair */
        setsid();
        if (plan->namespaces && unshare(plan->namespaces) < 0)
                fail(plan, errno, INFRA_UNSHARES, "");
        await_ids(plan);
        if (plan->hostname && sethostname(plan->hostname, strlen(plan->hostname)) < 0)
                fail(plan, errno, "set hostname ", plan->hostname);
        if (plan->loopback)
                loopback_up(plan);
        take_proc(plan);
        write_sysctls(plan);
        if (send(plan->socket, "n", 1, MSG_NOSIGNAL) < 0)
                _exit(1);
        empty_root(plan);
        drop_privileges(plan);
        if (syscall(SYS_close_range, 0, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                fail(plan, errno, "close descriptors", "");
        await_go(plan);
        syscall(SYS_execveat, plan->program, "", argv, envp, AT_EMPTY_PATH);
        fail(plan, errno, INFRA_EXECUTES, "");
}
