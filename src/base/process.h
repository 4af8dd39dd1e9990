/* process.h - processes named so that a recycled pid is never mistaken for them, and commands that are run. */
#pragma once

#include "base/error.h"

/* Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat); with the pid it names a process for
 * ever. Returns 0 if there is no such process. */
uint64_t process_start_time(pid_t pid);
pid_t process_parent(pid_t pid); /* 0 if there is no such process */
/* Opens a pidfd on `pid` if it still is the process that started at `start_time` (0: any). Returns it or -errno. */
int process_open(pid_t pid, uint64_t start_time);
/* True if that process exists and is no zombie. */
bool process_is_running(pid_t pid, uint64_t start_time);
int pidfd_signal(int pidfd, int signal); /* 0 or -errno */

struct process_options {
        const char *input; /* standard input; NULL: /dev/null */
        char *const *env;  /* NULL: the caller's */
        size_t output_max; /* 0: 1 MiB */
        int timeout_ms;    /* 0: no limit; then SIGKILL and ERROR_TIMEOUT */
        int linger_ms;     /* longest silence, after it has ended, of who else holds its output; 0: 100 */
        bool new_session;  /* setsid(2), and the timeout kills the whole process group */
};
/* Runs a program (looked up in PATH), waits for it, gathers what it prints. Only failing to run it is an error; its
 * wait status goes to *ret_status. ret_out and ret_err may be NULL (then that stream goes to /dev/null). */
struct error *process_run(char *const *argv, const struct process_options *options, int *ret_status, char **ret_out,
                          char **ret_err) _must_check_;

/* A descriptor from which a program may read this text. */
struct error *process_input_open(const char *text, int *ret) _must_check_;

/* Where execvp(3) would find a program: `name` itself if there is a '/' in it, else in PATH. NULL: nowhere. */
char *process_find_program(const char *name);

/* Folder of the running program (from /proc/self/exe), for finding its sisters. */
char *process_own_folder(void);
/* Finds a sister program: beside the running one, else ../libexec/husk/ of it, else LIBEXECDIR. */
struct error *process_find_sister(const char *name, char **ret) _must_check_;
