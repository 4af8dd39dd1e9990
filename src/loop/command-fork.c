/* command-fork.c - starts a command that has something to do before it executes its program: posix_spawn(3) has no
 * action for that. Nor is it waited for here, as posix_spawn(3) does: in a cgroup whose processor time is used up the
 * child may stand still for long. Why a program could not be executed is told with the command's end. */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

#include "base/file.h"
#include "base/str.h"
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

/* What failed, and the errno, for the parent. */
struct report {
        enum { FAILED_GROUPS, FAILED_REST } what;
        int errnum;
};

/* Until the program runs, or this process is among those of its cgroup, whom nobody would find that takes over from the
 * parent, it must not outlive the parent; with dies_with_us not even then. */
static void die_with(pid_t parent) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
}

static _noreturn_ void child(const struct loop_command_options *o, int out, int err_fd, const int *high, int report_fd,
                             pid_t parent) {
        struct report report = { FAILED_GROUPS, 0 };
        sigset_t none;

        die_with(parent);
        errno = fds_poke(o->enter, o->n_enter, "0");
        if (!errno) { /* before its files may be overwritten by what the program gets */
                report.what = FAILED_REST;
                if (!o->dies_with_us)
                        prctl(PR_SET_PDEATHSIG, 0);
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
        int fds[2], high = 3 + (int)o->n_keep;

        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        *ret_write_end = fcntl(fds[1], F_DUPFD_CLOEXEC, high);
        int saved = errno;
        close(fds[1]);
        if (*ret_write_end >= 0)
                return fds[0];
        close(fds[0]);
        return -saved;
}

char *command_report_read(int fd, const char *program) {
        struct report report;

        if (fd < 0 || read(fd, &report, sizeof(report)) != sizeof(report))
                return NULL;
        return xasprintf("%s %s: %s", report.what == FAILED_GROUPS ? "enter the cgroup for" : "run", program,
                         strerror(report.errnum));
}

struct error *command_fork(const struct loop_command_options *o, int out, int err_fd, const int *high, pid_t *ret,
                           int *ret_report) {
        _cleanup_close_ int write_end = -EBADF, read_end = report_open(o, &write_end);
        pid_t parent = getpid();

        if (read_end < 0)
                return error_errno(-read_end, "make a pipe");
        *ret = fork();
        if (*ret < 0)
                return error_errno(errno, "run %s: fork", o->argv[0]);
        if (*ret == 0)
                child(o, out, err_fd, high, write_end, parent);
        *ret_report = TAKE_FD(read_end);
        return NULL;
}
