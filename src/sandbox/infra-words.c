/* Why there is no infra process, in words that say what to do: the kernel's own for a limit are those of something else
 * ("No space left on device" for too many namespaces). */
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "base/str.h"
#include "sandbox/infra.h"

/* The sysctls that count namespaces. */
static const struct {
        uint64_t flag;
        const char *name;
} namespace_limits[] = {
        { CLONE_NEWNET, "net" }, { CLONE_NEWUTS, "uts" }, { CLONE_NEWIPC, "ipc" },
        { CLONE_NEWPID, "pid" }, { CLONE_NEWNS, "mnt" },  { CLONE_NEWUSER, "user" },
};

struct error *infra_not_cloned(int errnum, uint64_t clone_flags) {
        _cleanup_strbuf_ struct strbuf limits = STRBUF_INIT;

        if (errnum == EAGAIN)
                return error_errno(errnum, "create the pod's first process: there are as many processes as "
                                           "kernel.threads-max, kernel.pid_max or pids.max of a cgroup allow");
        if (errnum != ENOSPC)
                return error_errno(errnum, "create the namespaces of the pod");
        for (size_t i = 0; i < ARRAY_SIZE(namespace_limits); i++)
                if (clone_flags & namespace_limits[i].flag)
                        strbuf_addf(&limits, "%suser.max_%s_namespaces", limits.len ? ", " : "",
                                    namespace_limits[i].name);
        return error_errno(errnum, "create the namespaces of the pod: there are as many as a sysctl allows (one of %s)",
                           limits.data);
}

struct error *infra_failed(struct infra_failure *failure) {
        const char *why = "";

        failure->what[sizeof(failure->what) - 1] = '\0';
        if (streq(failure->what, INFRA_UNSHARES))
                return infra_not_cloned(failure->errnum, CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS);
        if (failure->errnum == EAGAIN && streq(failure->what, INFRA_EXECUTES))
                why = ": user 65529, as whom the first processes of all pods run, has as many as the limit of "
                      "processes "
                      "allows (ulimit -H -u) that the pod was started with";
        else if (failure->errnum == ENOSPC && str_starts_with(failure->what, INFRA_ENTERS))
                why = ": its cpuset.cpus or cpuset.mems are empty";
        return error_errno(failure->errnum, "%s%s", failure->what, why);
}

struct error *infra_died(int code, int status, bool out_of_memory) {
        if (out_of_memory)
                return error_new(ERROR_EXHAUSTED,
                                 "the infra process was killed for want of memory; the pod's limit is too low for it");
        if (code == CLD_EXITED)
                return error_new(ERROR_INTERNAL, "the infra process ended at once with status %d", status);
        if (code == CLD_KILLED || code == CLD_DUMPED)
                return error_new(ERROR_INTERNAL, "the infra process was killed at once by signal %d (SIG%s)", status,
                                 sigabbrev_np(status) ?: "?");
        return error_new(ERROR_INTERNAL, "the infra process ended at once");
}
