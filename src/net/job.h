/* job.h - work on a pod's network that programs (CNI plugins) do, one after the other: which one is to run now, and
 * what its answer means. A job runs nothing itself, so that a supervisor can run the programs beside everything else it
 * does; who has nothing else to do calls net_job_run().
 *
 *     while ((step = net_job_next(job, &call)) != NET_JOB_DONE)
 *             NET_JOB_RUN: run call, then net_job_answer();  NET_JOB_WAIT: come back after call.wait_ms
 *     err = net_job_error(job);
 */
#pragma once

#include "base/error.h"

struct net_job;

/* What is to be done now; everything is the job's, and good until the answer. */
struct net_call {
        char *const *argv, *const *env;
        const char *input;
        size_t output_max; /* bytes of each stream that need to be kept */
        int timeout_ms;    /* then it and whatever it started is killed */
        int wait_ms;
};
enum net_job_step { NET_JOB_RUN, NET_JOB_WAIT, NET_JOB_DONE };
enum net_job_step net_job_next(struct net_job *job, struct net_call *ret);

struct net_answer {
        int status; /* as of waitpid(2) */
        bool timed_out;
        const char *failure; /* why the program could not be run; NULL: it ran */
        const char *output, *errors;
        size_t output_len;
};
void net_job_answer(struct net_job *job, const struct net_answer *answer);

/* Nobody wants it done any more: there is no further step, once the program that may run was killed and that is
 * answered. What it has made is on record, for net_detach_begin(). */
void net_job_abandon(struct net_job *job);
/* How it ended; the caller's. */
struct error *net_job_error(struct net_job *job) _must_check_;
/* Accepts NULL, returns NULL. Whatever is on record stays so. */
struct net_job *net_job_free(struct net_job *job);
static inline void net_job_freep(struct net_job **job) {
        *job = net_job_free(*job);
}
#define _cleanup_net_job_ _cleanup_(net_job_freep)

/* Does all of it, waiting for the programs. NULL is done at once. */
struct error *net_job_run(struct net_job *job) _must_check_;
