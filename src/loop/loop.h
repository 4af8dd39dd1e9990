/* loop.h - the event loop: timers, descriptors, watched files and spawned commands.
 *
 * It stands directly on epoll, timerfd, inotify and pidfds: libuv would cost every supervisor 0.4 MB of memory
 * (measured; a supervisor as a whole may cost 1 MB) and brings nothing of these that the kernel does not.
 *
 * Everything here is made by loop_X_new() and ended by loop_X_free(), which accepts NULL and returns NULL, and after
 * which the callback is never called again (also when it is freed inside that very callback). One thread, one loop.
 * Nothing wakes the process up unless something happened. */
#pragma once

#include <signal.h>

#include "base/error.h"

struct loop;
struct error *loop_new(struct loop **ret) _must_check_;
struct loop *loop_free(struct loop *loop); /* everything made on it must have been freed */
/* Runs until loop_stop(). */
struct error *loop_run(struct loop *loop) _must_check_;
void loop_stop(struct loop *loop);
/* Calls back once, after the events that are at hand now and before the loop sleeps. A callback that arms itself
 * keeps the loop from sleeping. */
typedef void (*loop_callback)(void *arg);
struct loop_deferred;
struct loop_deferred *loop_deferred_new(struct loop *loop, loop_callback callback, void *arg);
void loop_deferred_arm(struct loop_deferred *d); /* any number of times before it is called: called once */
struct loop_deferred *loop_deferred_free(struct loop_deferred *d);

/* A timer that fires once. It counts CLOCK_BOOTTIME, so time during which the machine slept counts. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *loop, loop_callback callback, void *arg);
void loop_timer_set(struct loop_timer *timer, int64_t delay_ns); /* from now; 0 and less: in the loop's next turn */
void loop_timer_set_at(struct loop_timer *timer, int64_t boottime_ns); /* at clock_monotonic_ns() == this */
void loop_timer_stop(struct loop_timer *timer);
struct loop_timer *loop_timer_free(struct loop_timer *timer);

/* A descriptor that is readable and/or writable (level-triggered). The descriptor stays the caller's; free the watch
 * before closing it. */
enum loop_io_events { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };
struct loop_io;
typedef void (*loop_io_callback)(void *arg, int events); /* an error or hang-up shows as readable and writable */
struct error *loop_io_new(struct loop *loop, int fd, int events, loop_io_callback callback, void *arg,
                          struct loop_io **ret) _must_check_;
void loop_io_set(struct loop_io *io, int events); /* 0: watch nothing for now */
struct loop_io *loop_io_free(struct loop_io *io);

/* Files and folders by inotify. `name` is the entry within a watched folder ("" for the watched thing itself); mask and
 * events as in <sys/inotify.h>. IN_Q_OVERFLOW is told to every watch: look at everything. */
struct loop_watch;
typedef void (*loop_watch_callback)(void *arg, uint32_t events, const char *name);
struct error *loop_watch_new(struct loop *loop, const char *path, uint32_t mask, loop_watch_callback callback,
                             void *arg, struct loop_watch **ret) _must_check_;
struct loop_watch *loop_watch_free(struct loop_watch *watch);

/* A command: spawned (never through a shell), its output gathered up to a bound, killed at a timeout. The callback
 * comes once, when it has ended and its output is complete (a grandchild that holds the output open delays it by
 * `linger_ms` at most); the command has been freed by then, so its owner forgets it there. loop_command_free() before
 * that kills it, and nothing is told. */
struct loop_command_options {
        char *const *argv;  /* argv[0] is looked up in PATH if it has no slash */
        char *const *env;   /* NULL: the caller's */
        const char *folder; /* working directory; NULL: the caller's */
        int input;          /* becomes descriptor 0; 0 or less: /dev/null */
        int output, errors; /* become descriptors 1 and 2; 0 or less: see `gather` */
        bool gather_output; /* without `output`: gather into result.output, else /dev/null */
        bool gather_errors; /* without `errors`: gather into result.errors, else /dev/null */
        bool merge;         /* descriptor 2 is the same as 1 */
        uid_t pipe_uid;     /* whose the pipes of what is gathered are: a program may open /dev/stdout anew */
        gid_t pipe_gid;
        const int *keep; /* further descriptors: keep[i] becomes descriptor 3 + i */
        size_t n_keep;
        const int *enter; /* files (of cgroups) that the process writes "0" into before it executes the program; then it
                             is not waited for until it has, and result.failure says why it could not */
        size_t n_enter;
        size_t output_max;  /* bytes kept of each stream; the rest is read and dropped. 0: 64 KiB */
        int64_t timeout_ns; /* SIGKILL after this; 0: none */
        int linger_ms;      /* 0: 200 ms */
        bool new_session;   /* setsid(2), and the timeout kills the whole process group */
        bool dies_with_us;  /* SIGKILL when the caller ends; what the command started itself lives on */
};
struct loop_command_result {
        siginfo_t exit; /* si_code CLD_EXITED, CLD_KILLED, CLD_DUMPED; si_status */
        bool timed_out;
        char *failure; /* NULL, or why the program was not executed (with `enter`: without, loop_command_new() says so)
                        */
        char *output, *errors; /* NUL-terminated, "" if nothing was gathered; the callback may TAKE_PTR them */
        size_t output_len, errors_len;
};
struct loop_command;
typedef void (*loop_command_callback)(void *arg, struct loop_command_result *result);
struct error *loop_command_new(struct loop *loop, const struct loop_command_options *options,
                               loop_command_callback callback, void *arg, struct loop_command **ret) _must_check_;
pid_t loop_command_pid(const struct loop_command *command);
void loop_command_signal(struct loop_command *command, int signal);
/* As the timeout does it, now: the callback comes when the command has ended. */
void loop_command_kill(struct loop_command *command);
struct loop_command *loop_command_free(struct loop_command *command);
