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

struct error *process_run(char *const *argv, const struct process_options *options, int *ret_status, char **ret_out,
                          char **ret_err) {
        static const struct process_options none;
        _cleanup_(stream_release) struct stream out = { -EBADF, STRBUF_INIT }, err = { -EBADF, STRBUF_INIT };
        int out_pipe[2] = { -EBADF, -EBADF }, err_pipe[2] = { -EBADF, -EBADF };
        _cleanup_close_ int input = -EBADF;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t empty;
        pid_t pid;

        options = options ? options : &none;
        size_t max = options->output_max ? options->output_max : 1 << 20;
        int linger_ms = options->linger_ms ? options->linger_ms : 100;
        if (options->input) {
                input = syscall(SYS_memfd_create, "input", 1 /* MFD_CLOEXEC */);
                if (input < 0)
                        return error_errno(errno, "memfd_create");
                struct error *e = fd_write_all(input, options->input, strlen(options->input));
                if (e)
                        return e;
                lseek(input, 0, SEEK_SET);
        } else {
                input = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
        if ((ret_out && pipe2(out_pipe, O_CLOEXEC) < 0) || (ret_err && pipe2(err_pipe, O_CLOEXEC) < 0)) {
                int saved = errno;
                fd_close(out_pipe[0]);
                fd_close(out_pipe[1]);
                return error_errno(saved, "pipe");
        }
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        if (ret_out)
                posix_spawn_file_actions_adddup2(&actions, out_pipe[1], STDOUT_FILENO);
        else
                posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (ret_err)
                posix_spawn_file_actions_adddup2(&actions, err_pipe[1], STDERR_FILENO);
        else
                posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawnattr_init(&attributes);
        sigemptyset(&empty);
        posix_spawnattr_setsigmask(&attributes, &empty);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        int rc = posix_spawnp(&pid, argv[0], &actions, &attributes, argv, options->env ? options->env : environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        fd_close(out_pipe[1]);
        fd_close(err_pipe[1]);
        out.fd = out_pipe[0];
        err.fd = err_pipe[0];
        if (rc)
                return error_errno(rc, "run %s", argv[0]);

        int64_t deadline = options->timeout_ms ? clock_monotonic_ns() + options->timeout_ms * NSEC_PER_MSEC : 0;
        _cleanup_close_ int pidfd = process_open(pid, 0);
        bool ended = false, timed_out = false;
        while (!ended || out.fd >= 0 || err.fd >= 0) {
                struct pollfd fds[] = {
                        { .fd = ended ? -1 : pidfd, .events = POLLIN },
                        { .fd = out.fd, .events = POLLIN },
                        { .fd = err.fd, .events = POLLIN },
                };
                int wait_ms = -1;
                if (deadline) {
                        int64_t left = deadline - clock_monotonic_ns();
                        wait_ms = left > 0 ? (int)(left / NSEC_PER_MSEC) + 1 : 0;
                }
                if (ended) /* a grandchild may hold the pipe open */
                        wait_ms = wait_ms < 0 ? linger_ms : MIN(wait_ms, linger_ms);
                int n = poll(fds, 3, wait_ms);
                if (n < 0 && errno != EINTR)
                        break;
                if (n == 0 && ended)
                        break;
                if (n == 0 && deadline && clock_monotonic_ns() >= deadline) {
                        pidfd_signal(pidfd, SIGKILL);
                        timed_out = true;
                        break;
                }
                if (n <= 0)
                        continue;
                if (fds[1].revents)
                        stream_read(&out, max);
                if (fds[2].revents)
                        stream_read(&err, max);
                if (fds[0].revents)
                        ended = true;
        }
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (timed_out)
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
