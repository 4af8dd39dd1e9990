#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#ifndef HUSK_LIBEXECDIR
#define HUSK_LIBEXECDIR "/usr/local/libexec/husk"
#endif

extern char **environ;

/* Fields 3 (state), 4 (parent) and 22 (start time) of /proc/PID/stat; the name in field 2 may hold anything, so count
 * from ')'. */
static bool read_stat(pid_t pid, char *ret_state, pid_t *ret_parent, uint64_t *ret_start) {
        char path[64], buf[1024];

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        ssize_t n = read(fd, buf, sizeof(buf) - 1);
        if (n <= 0)
                return false;
        buf[n] = '\0';
        char *p = strrchr(buf, ')');
        if (!p || p[1] != ' ')
                return false;
        p += 2;
        *ret_state = *p;
        for (int field = 3; field < 22; field++) {
                p = strchr(p, ' ');
                if (!p)
                        return false;
                p++;
                if (field == 3 && ret_parent)
                        *ret_parent = (pid_t)strtol(p, NULL, 10);
        }
        *ret_start = strtoull(p, NULL, 10);
        return true;
}

uint64_t process_start_time(pid_t pid) {
        uint64_t start;
        char state;
        return read_stat(pid, &state, NULL, &start) ? start : 0;
}

pid_t process_parent(pid_t pid) {
        uint64_t start;
        pid_t parent = 0;
        char state;
        return read_stat(pid, &state, &parent, &start) ? parent : 0;
}

int process_open(pid_t pid, uint64_t start_time) {
        _cleanup_close_ int fd = syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0)
                return -errno;
        /* Checked after opening: from here on the pidfd cannot come to mean another process. */
        if (start_time && process_start_time(pid) != start_time)
                return -ESRCH;
        return TAKE_FD(fd);
}

bool process_is_running(pid_t pid, uint64_t start_time) {
        uint64_t start;
        char state;

        if (pid <= 0 || !read_stat(pid, &state, NULL, &start))
                return false;
        return state != 'Z' && state != 'X' && (!start_time || start == start_time);
}

int pidfd_signal(int pidfd, int signal) {
        return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

struct stream {
        int fd;
        struct strbuf buf;
};

static void stream_release(struct stream *s) {
        fd_close(s->fd);
        strbuf_release(&s->buf);
}

/* Reads once; closes the stream at its end. */
static void stream_read(struct stream *s, size_t max) {
        char chunk[16384];
        ssize_t n = read(s->fd, chunk, sizeof(chunk));

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                s->fd = fd_close(s->fd);
                return;
        }
        if (s->buf.len < max)
                strbuf_add(&s->buf, chunk, MIN((size_t)n, max - s->buf.len));
}

static struct error *pipe_open(int *ret_read_end, int *ret_write_end) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(errno, "pipe");
        *ret_read_end = fds[0];
        *ret_write_end = fds[1];
        return NULL;
}

struct error *process_input_open(const char *text, int *ret) {
        _cleanup_close_ int fd = (int)syscall(SYS_memfd_create, "input", 1 /* MFD_CLOEXEC */);

        if (fd < 0)
                return error_errno(errno, "open standard input");
        struct error *err = fd_write_all(fd, text, strlen(text));
        if (err)
                return err;
        lseek(fd, 0, SEEK_SET);
        *ret = TAKE_FD(fd);
        return NULL;
}

static struct error *input_open(const char *text, int *ret) {
        if (text)
                return process_input_open(text, ret);
        *ret = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return *ret < 0 ? error_errno(errno, "open standard input") : NULL;
}

/* `fd` becomes the program's descriptor `number`; -EBADF: what it writes there goes nowhere. */
static void give_output(posix_spawn_file_actions_t *actions, int fd, int number) {
        if (fd >= 0)
                posix_spawn_file_actions_adddup2(actions, fd, number);
        else
                posix_spawn_file_actions_addopen(actions, number, "/dev/null", O_WRONLY, 0);
}

static struct error *spawn(char *const *argv, const struct process_options *options, int input, int out, int err,
                           pid_t *ret) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t empty;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        give_output(&actions, out, STDOUT_FILENO);
        give_output(&actions, err, STDERR_FILENO);
        posix_spawnattr_init(&attributes);
        sigemptyset(&empty);
        posix_spawnattr_setsigmask(&attributes, &empty);
        posix_spawnattr_setflags(&attributes,
                                 (short)(POSIX_SPAWN_SETSIGMASK | (options->new_session ? POSIX_SPAWN_SETSID : 0)));
        int rc = posix_spawnp(ret, argv[0], &actions, &attributes, argv, options->env ? options->env : environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return rc ? error_errno(rc, "run %s", argv[0]) : NULL;
}

/* Gathers what it prints until it has ended (and those it left behind are silent). False: it had to be killed. */
static bool gather(int pidfd, struct stream *out, struct stream *err, const struct process_options *options) {
        size_t max = options->output_max ? options->output_max : 1 << 20;
        int linger_ms = options->linger_ms ? options->linger_ms : 100;
        int64_t deadline = options->timeout_ms ? clock_monotonic_ns() + options->timeout_ms * NSEC_PER_MSEC : 0;
        bool ended = pidfd < 0; /* not to be watched: its pipes and waitpid(2) tell */

        while (!ended || out->fd >= 0 || err->fd >= 0) {
                struct pollfd fds[] = {
                        { .fd = ended ? -1 : pidfd, .events = POLLIN },
                        { .fd = out->fd, .events = POLLIN },
                        { .fd = err->fd, .events = POLLIN },
                };
                int wait_ms = -1;
                if (deadline) {
                        int64_t left = deadline - clock_monotonic_ns();
                        wait_ms = left > 0 ? (int)(left / NSEC_PER_MSEC) + 1 : 0;
                }
                if (ended && pidfd >= 0) /* a grandchild may hold the pipe open */
                        wait_ms = wait_ms < 0 ? linger_ms : MIN(wait_ms, linger_ms);
                int n = poll(fds, 3, wait_ms);
                if (n < 0 && errno != EINTR)
                        break;
                if (n == 0 && ended && pidfd >= 0)
                        break;
                if (n == 0 && deadline && clock_monotonic_ns() >= deadline)
                        return false;
                if (n <= 0)
                        continue;
                if (fds[1].revents)
                        stream_read(out, max);
                if (fds[2].revents)
                        stream_read(err, max);
                if (fds[0].revents)
                        ended = true;
        }
        return true;
}

struct error *process_run(char *const *argv, const struct process_options *options, int *ret_status, char **ret_out,
                          char **ret_err) {
        static const struct process_options none;
        _cleanup_(stream_release) struct stream out = { -EBADF, STRBUF_INIT }, err = { -EBADF, STRBUF_INIT };
        _cleanup_close_ int input = -EBADF, out_end = -EBADF, err_end = -EBADF;
        int status = 0;
        pid_t pid;

        options = options ? options : &none;
        struct error *e = input_open(options->input, &input);
        if (!e && ret_out)
                e = pipe_open(&out.fd, &out_end);
        if (!e && ret_err)
                e = pipe_open(&err.fd, &err_end);
        if (!e)
                e = spawn(argv, options, input, out_end, err_end, &pid);
        if (e)
                return e;
        out_end = fd_close(out_end);
        err_end = fd_close(err_end);
        _cleanup_close_ int pidfd = process_open(pid, 0);
        bool in_time = gather(pidfd, &out, &err, options);
        if (!in_time) /* ours and not waited for: nobody else has this pid */
                kill(options->new_session ? -pid : pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (!in_time)
                return error_new(ERROR_TIMEOUT, "%s did not end within %d ms", argv[0], options->timeout_ms);
        *ret_status = status;
        if (ret_out)
                *ret_out = strbuf_take(&out.buf);
        if (ret_err)
                *ret_err = strbuf_take(&err.buf);
        return NULL;
}

static bool is_program(const char *path) {
        struct stat st;
        return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *process_find_program(const char *name) {
        const char *path = getenv("PATH");

        if (strchr(name, '/'))
                return is_program(name) ? xstrdup(name) : NULL;
        _cleanup_strv_ char **folders = strv_split(path ? path : "/bin:/usr/bin", ':');
        for (char **folder = folders; folder && *folder; folder++) {
                _cleanup_free_ char *candidate = path_join(str_empty(*folder) ? "." : *folder, name);
                if (is_program(candidate))
                        return TAKE_PTR(candidate);
        }
        return NULL;
}

char *process_own_folder(void) {
        char buf[4096];
        ssize_t n = readlink("/proc/self/exe", buf, sizeof(buf) - 1);

        if (n <= 0)
                return xstrdup(".");
        buf[n] = '\0';
        char *slash = strrchr(buf, '/');
        if (slash)
                *slash = '\0';
        return xstrdup(buf);
}

struct error *process_find_sister(const char *name, char **ret) {
        _cleanup_free_ char *folder = process_own_folder();
        char *candidates[] = {
                xasprintf("%s/%s", folder, name),
                xasprintf("%s/../libexec/husk/%s", folder, name),
                xasprintf("%s/%s", HUSK_LIBEXECDIR, name),
        };
        char *found = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(candidates); i++) {
                if (!found && access(candidates[i], X_OK) == 0)
                        found = TAKE_PTR(candidates[i]);
                free(candidates[i]);
        }
        if (!found)
                return error_new(ERROR_UNAVAILABLE,
                                 "%s: not found beside husk in %s nor in %s; is husk installed completely?", name,
                                 folder, HUSK_LIBEXECDIR);
        *ret = found;
        return NULL;
}
