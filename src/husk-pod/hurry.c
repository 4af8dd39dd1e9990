/* hurry.c - lets a wait of the kernel's pass beside our own work.
 *
 * Whoever moves a process into a cgroup waits until no processor is in the middle of a fork (an RCU grace period: three
 * ticks, 10 ms and more), unless somebody else has moved one a moment ago. The OCI runtime does it for each container,
 * half way through its work, and whoever waits for the container waits with it. So the first move is made as soon as it
 * is clear that a container will be started, by a child that moves itself to where it is: when the OCI runtime comes to
 * it, the wait is over or nearly so. Nothing depends on it. */
#include "husk-pod/runtime.h"

#include <sched.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/process.h"
#include "sandbox/cgroup.h"

#define AGAIN_NS (10 * NSEC_PER_MSEC)

struct hurry {
        struct runtime *rt;
        int pidfd;
        struct loop_io *io;
};

static void hurry_done(void *arg, int events) {
        struct hurry *h = arg;
        siginfo_t info;

        waitid(P_PIDFD, (id_t)h->pidfd, &info, WEXITED | WNOHANG);
        h->rt->hurried_ns = clock_monotonic_ns();
        runtime_hurry_release(h->rt);
}

void runtime_hurry_release(struct runtime *rt) {
        struct hurry *h = TAKE_PTR(rt->hurry);

        if (!h)
                return;
        loop_io_free(h->io);
        fd_close(h->pidfd);
        free(h);
}

/* An OCI runtime that finds the container's cgroup moves nothing (sandbox/cgroup-container.c). */
static bool somebody_will_move(struct runtime *rt) {
        struct oci_runtime oci;
        _cleanup_error_ struct error *err = runtime_oci(rt, NULL, &oci);

        return !err && !oci.finds_cgroup;
}

void runtime_hurry(struct runtime *rt) {
        if (rt->hurry || clock_monotonic_ns() - rt->hurried_ns < AGAIN_NS || !somebody_will_move(rt))
                return;
        pid_t pid = fork();
        if (pid == 0) {
                cgroup_move_to_itself();
                _exit(0);
        }
        if (pid < 0)
                return;
        sched_yield(); /* the child first: on a busy processor it would begin when our own work is done */
        struct hurry *h = rt->hurry = new0(struct hurry);
        h->rt = rt;
        h->pidfd = process_open(pid, 0);
        struct error *err = h->pidfd < 0 ? error_errno(-h->pidfd, "open process %d", pid)
                                         : loop_io_new(rt->loop, h->pidfd, LOOP_READABLE, hurry_done, h, &h->io);
        if (err) { /* no descriptors left, say: nobody would reap it later */
                error_free(err);
                runtime_hurry_release(rt);
                waitpid(pid, NULL, 0);
        }
}
