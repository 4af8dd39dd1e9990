#include "husk-pod/plugin-run.h"

#include <sys/wait.h>

#include "base/clock.h"
#include "base/process.h"
#include "base/str.h"

struct plugin_run {
        struct loop *loop;
        struct net_job *job;
        struct loop_command *command; /* the plugin that runs */
        struct loop_timer *timer;     /* until the next step */
        plugin_run_callback callback;
        void *arg;
};

static void run_end(struct plugin_run *run) {
        struct error *err = net_job_error(run->job);
        plugin_run_callback callback = run->callback;
        void *arg = run->arg;

        plugin_run_free(run);
        callback(arg, err);
}

static void plugin_ended(void *arg, struct loop_command_result *result) {
        struct plugin_run *run = arg;
        int status = result->exit.si_code == CLD_EXITED ? W_EXITCODE(result->exit.si_status, 0)
                                                        : W_EXITCODE(0, result->exit.si_status);
        struct net_answer answer = { .status = status,
                                     .timed_out = result->timed_out,
                                     .failure = result->failure,
                                     .output = result->output,
                                     .output_len = result->output_len,
                                     .errors = result->errors };

        run->command = NULL;
        net_job_answer(run->job, &answer);
        loop_timer_set(run->timer, 0);
}

static struct error *start(struct plugin_run *run, const struct net_call *call) {
        _cleanup_close_ int input = -EBADF;
        struct error *err = process_input_open(call->input, &input);
        struct loop_command_options options = { .argv = call->argv,
                                                .env = call->env,
                                                .input = input,
                                                .gather_output = true,
                                                .gather_errors = true,
                                                .output_max = call->output_max,
                                                .timeout_ns = call->timeout_ms * NSEC_PER_MSEC,
                                                .new_session = true,
                                                .dies_with_us = true };

        return err ? err : loop_command_new(run->loop, &options, plugin_ended, run, &run->command);
}

static void step(void *arg) {
        struct plugin_run *run = arg;
        struct net_call call;

        switch (net_job_next(run->job, &call)) {
        case NET_JOB_RUN: {
                _cleanup_error_ struct error *err = start(run, &call);
                if (!err)
                        return;
                struct net_answer answer = { .failure = error_message(err) };
                net_job_answer(run->job, &answer);
                loop_timer_set(run->timer, 0);
                return;
        }
        case NET_JOB_WAIT:
                loop_timer_set(run->timer, call.wait_ms * NSEC_PER_MSEC);
                return;
        case NET_JOB_DONE:
                run_end(run);
                return;
        }
}

struct plugin_run *plugin_run_new(struct loop *loop, struct net_job *job, plugin_run_callback callback, void *arg) {
        struct plugin_run *run = new0(struct plugin_run);

        run->loop = loop;
        run->job = job;
        run->callback = callback;
        run->arg = arg;
        run->timer = loop_timer_new(loop, step, run);
        loop_timer_set(run->timer, 0);
        return run;
}

void plugin_run_abandon(struct plugin_run *run) {
        net_job_abandon(run->job);
        if (run->command)
                loop_command_kill(run->command);
        else
                loop_timer_set(run->timer, 0);
}

struct plugin_run *plugin_run_free(struct plugin_run *run) {
        if (!run)
                return NULL;
        loop_command_free(run->command);
        loop_timer_free(run->timer);
        net_job_free(run->job);
        free(run);
        return NULL;
}
