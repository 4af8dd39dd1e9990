/* Running a verb that touches what others wrote: a child without privileges does it, and we, who keep ours, wait for it
 * and clean up behind it, whatever it died of. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/log.h"
#include "husk-image/content.h"
#include "husk-image/gc.h"
#include "husk-image/options.h"
#include "husk-image/prune.h"

#define KEEP_PARTS_DAYS 3 /* how long a half-downloaded blob may be gone on with */

/* What the child sends when its verb failed. */
struct failure {
        enum error_reason reason;
        int errnum;
        char text[2048];
};

_noreturn_ static void child(struct context *context, verb_function work, int report) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct error *err = work(context);
        if (!err && (fflush(stdout) || ferror(stdout)))
                err = error_errno(errno, "write to standard output");
        if (err) {
                struct failure failure = { .reason = error_reason(err), .errnum = error_errnum(err) };
                snprintf(failure.text, sizeof(failure.text), "%s", error_message(err));
                (void)!write(report, &failure, sizeof(failure));
        }
        _exit(err ? 1 : 0);
}

static volatile sig_atomic_t stopped_by;
static volatile pid_t stopped_child;

/* An interruption ends the child; then we clean up, as after any other death of it. */
static void on_stop(int signal) {
        stopped_by = signal;
        if (stopped_child > 0)
                kill(stopped_child, SIGKILL);
}

/* Waits for the child and all its descendants (we are their subreaper): nobody may write any more when we clean up. */
static int await_all(pid_t pid) {
        int status, result = 0;
        pid_t ended;

        for (;;) {
                ended = waitpid(-1, &status, 0);
                if (ended == pid)
                        result = status;
                if (ended < 0 && errno != EINTR)
                        return result;
        }
}

/* What is half made goes, and, now that something was added, what the disk has no room for. */
static struct error *clean_up(const struct context *context) {
        struct context silent = { context->options, context->store, context->images, true };
        struct gc_result result = { 0 };
        bool done;
        struct error *err = content_sweep(context->images, KEEP_PARTS_DAYS);

        if (!err)
                err = gc_collect(context->images, NULL, true, &done, &result);
        if (!err)
                err = image_gc(&silent);
        gc_result_release(&result);
        return err;
}

struct error *run_confined(struct context *context, verb_function work) {
        struct sigaction action = { .sa_handler = on_stop };
        struct failure failure;
        struct error *err;
        int report[2];

        if (geteuid() != 0)
                return error_new(ERROR_NOT_SUPPORTED, "unpacking images needs root: layers hold files of many owners");
        err = content_prepare(context->images);
        if (!err)
                err = content_sweep(context->images, KEEP_PARTS_DAYS);
        if (err)
                return err;
        if (pipe2(report, O_CLOEXEC) < 0)
                return error_errno(errno, "pipe");
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        fflush(NULL);
        pid_t pid = fork();
        if (pid < 0)
                return error_errno(errno, "fork");
        if (pid == 0) {
                fd_close(report[0]);
                child(context, work, report[1]);
        }
        stopped_child = pid;
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGHUP, &action, NULL);
        fd_close(report[1]);
        int status = await_all(pid);
        stopped_child = 0;
        ssize_t n = read(report[0], &failure, sizeof(failure));
        fd_close(report[0]);
        err = clean_up(context);
        if (err)
                log_warning("%s", error_message(err));
        error_free(err);
        if (n == sizeof(failure)) {
                failure.text[sizeof(failure.text) - 1] = '\0';
                /* An errno is kept so that "permission denied" by the kernel is told from the registry's. */
                return failure.errnum && failure.reason == ERROR_FORBIDDEN
                               ? error_new(ERROR_INTERNAL, "%s", failure.text)
                               : error_new(failure.reason, "%s", failure.text);
        }
        if (stopped_by)
                return error_new(ERROR_INTERNAL, "interrupted; what was fetched is kept, run it again to go on");
        if (WIFSIGNALED(status))
                return error_new(ERROR_INTERNAL, "the fetching process was killed (signal %d)", WTERMSIG(status));
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? NULL
                                                             : error_new(ERROR_INTERNAL, "the fetching process died");
}
