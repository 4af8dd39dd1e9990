#include "husk/become.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/process.h"

/* ---- the program as a child ---- */

/* With what could not be executed ends the pipe: the errno is in it. */
static _noreturn_ void child(char *const *argv, int go, int report, const sigset_t *mask, pid_t parent) {
        char byte;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || read(go, &byte, 1) != 1)
                _exit(127);
        sigprocmask(SIG_SETMASK, mask, NULL);
        execvp(argv[0], argv);
        int errnum = errno;
        if (write(report, &errnum, sizeof(errnum)) < 0)
                _exit(126);
        _exit(127);
}

/* Terminals send to all processes in the foreground; the rest was meant for the program. */
static void hand_on(pid_t program, const siginfo_t *info) {
        if (info->si_code != SI_KERNEL)
                kill(program, info->si_signo);
}

static int wait_for(pid_t program, const sigset_t *signals) {
        int status;

        for (;;) {
                siginfo_t info;
                if (waitpid(program, &status, WNOHANG) == program)
                        return status;
                if (sigwaitinfo(signals, &info) > 0 && info.si_signo != SIGCHLD)
                        hand_on(program, &info);
        }
}

/* Ends as the program did. */
static int status_of(int status) {
        if (WIFEXITED(status))
                return WEXITSTATUS(status);
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, WTERMSIG(status));
        prctl(PR_SET_DUMPABLE, 0); /* a dump of the memory would be ours */
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
        sigprocmask(SIG_UNBLOCK, &one, NULL);
        return 128 + WTERMSIG(status);
}

/* The caller's files and pipes are the program's alone: who reads from it must see its end. */
static void let_streams_go(void) {
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
                dup2(null, fd);
}

struct pipe {
        int read_end, write_end;
};
#define PIPE_INIT \
        { -EBADF, -EBADF }

static void pipe_release(struct pipe *p) {
        fd_close(p->read_end);
        fd_close(p->write_end);
}
#define _cleanup_pipe_ _cleanup_(pipe_release)

static struct error *pipe_open(struct pipe *ret) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(errno, "make a pipe");
        *ret = (struct pipe){ fds[0], fds[1] };
        return NULL;
}

static struct error *start(const char *name, pid_t program, struct error *(*attend)(pid_t), int go, int report) {
        struct error *err = attend(program);
        int errnum;

        if (!err && write(go, "x", 1) < 0)
                err = error_errno(errno, "start %s", name);
        if (!err && read(report, &errnum, sizeof(errnum)) == sizeof(errnum))
                err = error_errno(errnum, "run %s", name);
        if (err)
                kill(program, SIGKILL);
        return err;
}

/* *ret_unknown: nothing has been done, since the kernel does not know how. */
static struct error *become_child(char *const *argv, int folder, struct error *(*attend)(pid_t), int *ret_status,
                                  bool *ret_unknown) {
        _cleanup_pipe_ struct pipe go = PIPE_INIT, report = PIPE_INIT;
        sigset_t all, before;
        struct error *err = pipe_open(&go);

        if (!err)
                err = pipe_open(&report);
        if (err)
                return err;
        signal(SIGCHLD, SIG_DFL);
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        pid_t parent = getpid(), program = process_fork_into(folder);
        if (program == 0)
                child(argv, go.read_end, report.write_end, &before, parent);
        if (program < 0) {
                sigprocmask(SIG_SETMASK, &before, NULL);
                *ret_unknown = program == -ENOSYS;
                return error_errno(-program, "run %s: fork into its cgroup", argv[0]);
        }
        report.write_end = fd_close(report.write_end);
        err = start(argv[0], program, attend, go.write_end, report.read_end);
        if (!err)
                let_streams_go();
        int status = wait_for(program, &all);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (!err)
                *ret_status = status_of(status);
        return err;
}

/* ---- the program in our place ---- */

static struct error *become_itself(char *const *argv, const struct cgroup_entry *entry,
                                   struct error *(*attend)(pid_t)) {
        struct error *err = attend(getpid());
        int errnum = err ? 0 : cgroup_entry_take(entry->fds, entry->n);

        if (errnum)
                return error_errno(errnum, "enter the cgroup for %s", argv[0]);
        if (err)
                return err;
        execvp(argv[0], argv);
        return error_errno(errno, "run %s", argv[0]);
}

struct error *become(char *const *argv, const struct cgroup_entry *entry, struct error *(*attend)(pid_t),
                     int *ret_status) {
        bool unknown = entry->folder <= 0;
        struct error *err = unknown ? NULL : become_child(argv, entry->folder, attend, ret_status, &unknown);

        if (!unknown)
                return err;
        error_free(err);
        return become_itself(argv, entry, attend);
}
