/* What the creator of an infra process in a user namespace does for it, before it goes on: it may not do it itself. */
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sandbox/infra.h"

/* Whose a sysctl of a pod's user namespace is depends on the kernel: the node's root, or, for those of IPC in newer
 * ones, root of that namespace and nobody else. */
static bool write_sysctl(const struct infra_write *sysctl) {
        int fd = open(sysctl->path, O_WRONLY | O_CLOEXEC);
        bool written = fd >= 0 && write(fd, sysctl->text, strlen(sysctl->text)) >= 0;

        fd_close(fd);
        return written;
}

static bool write_sysctl_as(const struct infra_write *sysctl, uid_t root) {
        if (write_sysctl(sysctl))
                return true;
        if (errno != EACCES || syscall(SYS_setresuid, -1, root, -1) < 0)
                return false;
        bool written = write_sysctl(sysctl);
        syscall(SYS_setresuid, -1, 0, -1);
        return written;
}

/* A child of ours that enters the pod's namespaces writes them. */
static struct error *write_sysctls_into(int pidfd, const struct infra_plan *plan, uid_t root) {
        int status;
        pid_t pid = fork();

        if (pid < 0)
                return error_errno(errno, "fork");
        if (pid == 0) {
                if (setns(pidfd, CLONE_NEWNET | CLONE_NEWIPC) < 0)
                        _exit(1);
                for (size_t i = 0; i < plan->n_sysctls; i++)
                        if (!write_sysctl_as(&plan->sysctls[i], root))
                                _exit((int)i + 2);
                _exit(0);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return error_errno(errno, "wait for a child");
        size_t failed = WIFEXITED(status) ? (size_t)WEXITSTATUS(status) : 1;
        if (failed == 0)
                return NULL;
        if (failed - 2 < plan->n_sysctls)
                return error_new(ERROR_INVALID, "write sysctl %s: the kernel refuses the value \"%s\"",
                                 plan->sysctls[failed - 2].path + strlen("/proc/sys/"), plan->sysctls[failed - 2].text);
        return error_new(ERROR_INTERNAL, "enter the namespaces of the pod to set its sysctls");
}

struct error *infra_map_ids(const struct infra_plan *plan, const struct id_map *ids, pid_t pid, int pidfd) {
        if (!plan->user_namespace)
                return NULL;
        struct error *err = id_map_write(pid, ids);
        if (!err && plan->n_sysctls)
                err = write_sysctls_into(pidfd, plan, ids->first);
        if (!err && send(plan->creator_socket, "m", 1, MSG_NOSIGNAL) < 0)
                err = error_errno(errno, "start husk-infra");
        return err;
}
