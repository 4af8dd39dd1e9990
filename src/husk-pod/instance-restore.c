/* instance-restore.c - going on after a predecessor: what became of the runs on its record. */
#include "husk-pod/instance-private.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "husk-pod/pidfd-exit.h"

/* A process that is not the keeper's child (its keeper was killed) has ended: the kernel tells how, if it is new
 * enough, through the pidfd; else nobody knows, and the machine says ContainerStatusUnknown by way of exit code 137. */
static void foreign_ended(void *arg, int events) {
        struct instance *i = arg;
        struct keeper_exit e = { .pid = i->pid, .start_time = i->start_time, .time_ns = clock_realtime_ns() };

        if (!zombie_exit(i->pid, i->start_time, &e.code, &e.status) && !pidfd_exit(i->pidfd, &e.code, &e.status)) {
                e.code = CLD_KILLED;
                e.status = SIGKILL;
        }
        instance_exit_take(i, &e);
}

/* Waits, shortly, for a predecessor's OCI runtime to end: it started the container, or is about to. */
static void runner_await(struct instance *i) {
        if (i->runner == 0) {
                i->runner = leftover_runner(i->rt, i->id);
                i->runner_start = i->runner > 0 ? process_start_time(i->runner) : 0;
        }
        for (int tries = 0; i->runner > 0 && tries < 500 && process_is_running(i->runner, i->runner_start); tries++)
                usleep(10000);
}

/* True if the container's process is there (or a zombie, whose exit is on its way): then it is watched from now on. */
static bool process_adopt(struct instance *i) {
        if (!i->start_time || process_start_time(i->pid) != i->start_time)
                return false;
        if (i->pidfd < 0)
                i->pidfd = process_open(i->pid, i->start_time);
        if (i->pidfd < 0)
                return false;
        if (process_parent(i->pid) != getppid())
                instance_warn(i, loop_io_new(i->rt->loop, i->pidfd, LOOP_READABLE, foreign_ended, i, &i->foreign));
        return true;
}

/* The keeper may have reaped it a moment ago and be about to say so. */
static bool exit_await(struct instance *i, pid_t pid, uint64_t start_time, struct keeper_exit *ret) {
        for (int tries = 0; tries < 10; tries++) {
                reaper_listen(i->rt->reaper);
                if (reaper_claim(i->rt->reaper, pid, start_time, ret))
                        return true;
                usleep(2000);
        }
        return false;
}

/* How it ended meanwhile: from the keeper, or from the pidfd that husk-pod handed to its new keeper. */
static bool exit_recall(struct instance *i, struct keeper_exit *ret) {
        _cleanup_free_ char *name = xasprintf("pid/%s", i->id);
        _cleanup_close_ int pidfd = reaper_take(i->rt->reaper, name);

        if (pidfd >= 0)
                reaper_drop(i->rt->reaper, name);
        *ret = (struct keeper_exit){ .time_ns = clock_realtime_ns() };
        if (pidfd >= 0 && (zombie_exit(i->pid, i->start_time, &ret->code, &ret->status) ||
                           pidfd_exit(pidfd, &ret->code, &ret->status)))
                return true;
        return exit_await(i, i->pid, i->start_time, ret);
}

static void found(struct instance *i) {
        struct container_started facts = instance_started_facts(i);
        pod_container_found(i->rt->pod, i->name, i->attempt, &facts);
}

static void restore_running(struct instance *i) {
        struct keeper_exit e;

        instance_streams_restore(i);
        if (process_adopt(i)) {
                found(i);
        } else if (exit_recall(i, &e)) {
                instance_exit_take(i, &e);
        } else {
                /* Either the machine's saved state has this exit already, or nobody knows it (ContainerStatusUnknown).
                 */
                i->state = INSTANCE_ENDED;
                instance_streams_drain(i);
        }
}

/* The machine does not know yet that it was started at all: it hears of the start first, and of an end in any case. */
static void restore_started(struct instance *i) {
        struct keeper_exit e;

        i->state = INSTANCE_RUNNING;
        i->started_ns = clock_realtime_ns();
        i->started_monotonic_ns = clock_monotonic_ns();
        instance_streams_restore(i);
        found(i);
        if (process_adopt(i)) {
                instance_record_update(i);
                return;
        }
        if (!exit_recall(i, &e)) {
                e.code = CLD_KILLED;
                e.status = SIGKILL;
        }
        instance_exit_take(i, &e);
}

/* The predecessor died while the OCI runtime was at work. If that has succeeded, the container is there or has been. */
static void restore_starting(struct instance *i) {
        struct keeper_exit e = { .code = CLD_EXITED };

        runner_await(i);
        if (i->runner > 0)
                exit_await(i, i->runner, i->runner_start, &e);
        _cleanup_error_ struct error *err = instance_pid_read(i);
        if (err || e.code != CLD_EXITED || e.status != 0)
                instance_purge(i); /* the machine starts it again */
        else
                restore_started(i);
}

void instances_restore(struct runtime *rt) {
        struct instance *next;

        instances_read(rt);
        for (struct instance *i = rt->instances; i; i = next) {
                next = i->next;
                if (i->state == INSTANCE_STARTING)
                        restore_starting(i);
                else
                        restore_running(i);
        }
}

void instances_sweep(struct runtime *rt) {
        struct instance *next;
        for (struct instance *i = rt->instances; i; i = next) {
                next = i->next;
                if (i->state == INSTANCE_ENDED)
                        instance_purge(i);
        }
}
