#include "husk/guard.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

#define CHILDREN_MAX 4096
#define FIRST_LOOK_MS 10
#define LAST_LOOK_MS 200

static bool is_pipe(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* A file of the caller's that the command reads or writes. OCI runtimes give the standard streams to the container's
 * user, whatever they are. */
struct lent {
        int fd; /* the helper's own */
        uid_t uid;
        gid_t gid;
};

struct lent_files {
        struct lent list[STDERR_FILENO + 1];
        size_t n;
};

static void lend(struct lent_files *lent) {
        struct stat st;

        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
                        lent->list[lent->n++] = (struct lent){ fd, st.st_uid, st.st_gid };
}

/* Before the standard streams become something else. */
static void lent_keep(struct lent_files *lent) {
        for (size_t i = 0; i < lent->n; i++)
                lent->list[i].fd = fcntl(lent->list[i].fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static void take_back(const struct lent_files *lent) {
        struct stat st;

        for (size_t i = 0; i < lent->n; i++) {
                const struct lent *l = &lent->list[i];
                if (fstat(l->fd, &st) == 0 && (st.st_uid != l->uid || st.st_gid != l->gid))
                        (void)!fchown(l->fd, l->uid, l->gid); /* who may not was not able to give it away, either */
        }
}

/* The first process that `pid` has started and not yet waited for; 0: none. */
static pid_t first_child(pid_t pid) {
        _cleanup_free_ char *path = xasprintf("/proc/%d/task/%d/children", pid, pid), *text = NULL;
        size_t len;
        _cleanup_error_ struct error *err = file_read(path, CHILDREN_MAX, &text, &len);

        return err ? 0 : (pid_t)atoi(text);
}

/* Has it executed something else than what `pid` executes? Until then it is on its way into the container. */
static bool is_other_program(pid_t child, pid_t pid) {
        _cleanup_free_ char *own = xasprintf("/proc/%d/exe", child), *parents = xasprintf("/proc/%d/exe", pid);
        char a[PATH_MAX], b[PATH_MAX];
        ssize_t n = readlink(own, a, sizeof(a)), m = readlink(parents, b, sizeof(b));

        return n > 0 && m > 0 && (n != m || memcmp(a, b, (size_t)n) != 0);
}

/* A descriptor of the command; negative: not there yet. That it is still the same child afterwards shows that the
 * number was not another process' by then. */
static int open_command(pid_t runtime) {
        pid_t child = first_child(runtime);

        if (child <= 0 || !is_other_program(child, runtime))
                return -ENOENT;
        _cleanup_close_ int fd = process_open(child, 0);
        return fd >= 0 && first_child(runtime) == child ? TAKE_FD(fd) : -ENOENT;
}

static void watch(pid_t runtime, int runtime_fd, const struct lent_files *lent, bool end_command) {
        _cleanup_close_ int command = -EBADF;
        struct pollfd ended = { .fd = runtime_fd, .events = POLLIN };

        for (int wait_ms = FIRST_LOOK_MS; command < 0; wait_ms = MIN(2 * wait_ms, LAST_LOOK_MS)) {
                if (poll(&ended, 1, wait_ms) > 0)
                        break;
                command = open_command(runtime);
        }
        take_back(lent);
        while (poll(&ended, 1, -1) <= 0)
                ;
        take_back(lent);
        if (command >= 0 && end_command)
                pidfd_signal(command, SIGKILL);
}

/* What a terminal or a shell sends to the group is meant for the runtime. */
static void stand_aside(void) {
        static const int signals[] = { SIGINT, SIGQUIT, SIGTSTP, SIGHUP, SIGTERM, SIGPIPE };
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                signal(signals[i], SIG_IGN);
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                dup2(null, fd);
}

/* The helper must not be the runtime's child: that may wait for all it has. So its parent ends at once. */
struct error *guard_command(void) {
        bool end_command = is_pipe(STDOUT_FILENO) || is_pipe(STDERR_FILENO);
        struct lent_files lent = { 0 };
        pid_t own = getpid();

        lend(&lent);
        if (!end_command && !lent.n)
                return NULL;
        int fd = process_open(own, 0);
        if (fd < 0)
                return error_errno(-fd, "look at this process");
        pid_t between = fork();
        if (between < 0) {
                fd_close(fd);
                return error_errno(errno, "start a helper");
        }
        if (between == 0) {
                if (fork() != 0)
                        _exit(0);
                lent_keep(&lent);
                stand_aside();
                watch(own, fd, &lent, end_command);
                _exit(0);
        }
        while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
                ;
        fd_close(fd);
        return NULL;
}
