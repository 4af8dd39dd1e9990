/* command-fork.c - starts a command that has something to do before it executes its program: posix_spawn(3) has no
 * action for that. As there, the caller waits until the program is executed, or hears why it is not. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "loop/loop-private.h"

extern char **environ;

/* ---- in the child: nothing but system calls ---- */

static bool stream_take(int stream, int given, int gathered) {
        int fd = given > 0 ? given : gathered;

        if (fd >= 0)
                return dup2(fd, stream) >= 0;
        fd = open("/dev/null", stream ? O_WRONLY : O_RDONLY);
        if (fd < 0 || fd == stream)
                return fd == stream;
        bool good = dup2(fd, stream) >= 0;
        close(fd);
        return good;
}

static bool descriptors_take(const struct loop_command_options *o, int out, int err_fd, const int *high) {
        bool good =
                stream_take(STDIN_FILENO, o->input, -1) && stream_take(STDOUT_FILENO, o->output, out) &&
                (o->merge ? dup2(STDOUT_FILENO, STDERR_FILENO) >= 0 : stream_take(STDERR_FILENO, o->errors, err_fd));

        for (size_t i = 0; i < o->n_keep && good; i++)
                good = dup2(high[i], 3 + (int)i) >= 0;
        return good;
}

static bool groups_enter(const struct loop_command_options *o) {
        for (size_t i = 0; i < o->n_enter; i++)
                if (write(o->enter[i], "0", 1) < 0)
                        return false;
        return true;
}

/* What failed, and the errno, for the parent. */
struct report {
        enum { FAILED_GROUPS, FAILED_REST } what;
        int errnum;
};

static _noreturn_ void child(const struct loop_command_options *o, int out, int err_fd, const int *high,
                             int report_fd) {
        struct report report = { FAILED_GROUPS, 0 };
        sigset_t none;

        if (groups_enter(o)) {
                report.what = FAILED_REST;
                sigemptyset(&none);
                signal(SIGPIPE, SIG_DFL);
                sigprocmask(SIG_SETMASK, &none, NULL);
                if (o->new_session)
                        setsid();
                if (descriptors_take(o, out, err_fd, high) && (!o->folder || chdir(o->folder) == 0))
                        execvpe(o->argv[0], o->argv, o->env ? o->env : environ);
        }
        report.errnum = errno;
        if (write(report_fd, &report, sizeof(report)) < 0)
                _exit(126);
        _exit(127);
}

/* ---- in the parent ---- */

/* Above what the child's own descriptors become. */
static int report_open(const struct loop_command_options *o, int *ret_write_end) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        *ret_write_end = fcntl(fds[1], F_DUPFD_CLOEXEC, 3 + (int)o->n_keep);
        int saved = errno;
        close(fds[1]);
        if (*ret_write_end >= 0)
                return fds[0];
        close(fds[0]);
        return -saved;
}

/* The end of the pipe without a word: the program is executed. */
static struct error *report_read(int fd, const char *program) {
        struct report report;
        ssize_t n;

        do
                n = read(fd, &report, sizeof(report));
        while (n < 0 && errno == EINTR);
        if (n != sizeof(report))
                return NULL;
        return report.what == FAILED_GROUPS ? error_errno(report.errnum, "enter the cgroup for %s", program)
                                            : error_errno(report.errnum, "run %s", program);
}

struct error *command_fork(const struct loop_command_options *o, int out, int err_fd, const int *high, pid_t *ret) {
        _cleanup_close_ int write_end = -EBADF, read_end = report_open(o, &write_end);

        if (read_end < 0)
                return error_errno(-read_end, "make a pipe");
        pid_t pid = fork();
        if (pid < 0)
                return error_errno(errno, "run %s: fork", o->argv[0]);
        if (pid == 0)
                child(o, out, err_fd, high, write_end);
        write_end = fd_close(write_end);
        struct error *err = report_read(read_end, o->argv[0]);
        if (err)
                waitpid(pid, NULL, 0);
        else
                *ret = pid;
        return err;
}
