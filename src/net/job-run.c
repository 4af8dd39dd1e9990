/* job-run.c - carries out a job whose caller has nothing else to do meanwhile. */
#include <unistd.h>

#include "base/process.h"
#include "base/str.h"
#include "net/job.h"

static void run(struct net_job *job, const struct net_call *call) {
        struct process_options options = { .input = call->input,
                                           .env = call->env,
                                           .output_max = call->output_max,
                                           .timeout_ms = call->timeout_ms,
                                           .new_session = true };
        _cleanup_free_ char *output = NULL, *errors = NULL;
        struct net_answer answer = { 0 };
        _cleanup_error_ struct error *err = process_run(call->argv, &options, &answer.status, &output, &errors);

        answer.timed_out = error_is(err, ERROR_TIMEOUT);
        answer.failure = err ? error_message(err) : NULL;
        answer.output = output;
        answer.output_len = output ? strlen(output) : 0;
        answer.errors = errors;
        net_job_answer(job, &answer);
}

struct error *net_job_run(struct net_job *job) {
        enum net_job_step step;
        struct net_call call;

        if (!job)
                return NULL;
        while ((step = net_job_next(job, &call)) != NET_JOB_DONE) {
                if (step == NET_JOB_RUN)
                        run(job, &call);
                else
                        usleep((useconds_t)call.wait_ms * 1000);
        }
        return net_job_error(job);
}
