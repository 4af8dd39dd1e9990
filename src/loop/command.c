#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/process.h"
#include "base/str.h"
#include "loop/loop-private.h"

#define OUTPUT_MAX_DEFAULT ((size_t)64 * 1024)
#define LINGER_MS_DEFAULT 200

extern char **environ;

/* One of the command's two outputs while it is being gathered. */
struct gather {
        int fd;
        struct loop_io *io;
        struct strbuf text;
        struct loop_command *command;
};

struct loop_command {
        struct loop *loop;
        pid_t pid;
        int pidfd;
        struct loop_io *pidfd_io;
        struct gather output, errors;
        size_t output_max;
        int linger_ms;
        bool new_session;
        bool ended, timed_out;
        siginfo_t exit;
        int report; /* of command_fork(), or -EBADF */
        char *program;
        struct loop_timer *timer; /* first the timeout, after the exit the linger time */
        loop_command_callback callback;
        void *arg;
        struct loop_command *next; /* in loop->dying */
};

static void gather_close(struct gather *g) {
        g->io = loop_io_free(g->io);
        g->fd = fd_close(g->fd);
}

static struct loop_command *command_release(struct loop_command *c) {
        gather_close(&c->output);
        gather_close(&c->errors);
        strbuf_release(&c->output.text);
        strbuf_release(&c->errors.text);
        loop_timer_free(c->timer);
        loop_io_free(c->pidfd_io);
        fd_close(c->pidfd);
        fd_close(c->report);
        free(c->program);
        free(c);
        return NULL;
}

static void command_unlink_dying(struct loop_command *c) {
        struct loop_command **p = &c->loop->dying;
        while (*p && *p != c)
                p = &(*p)->next;
        if (*p)
                *p = c->next;
}

static void command_complete(struct loop_command *c) {
        struct loop_command_result result = {
                .exit = c->exit,
                .timed_out = c->timed_out,
                .output_len = c->output.text.len,
                .errors_len = c->errors.text.len,
        };
        result.failure = command_report_read(c->report, c->program);
        result.output = strbuf_take(&c->output.text);
        result.errors = strbuf_take(&c->errors.text);
        loop_command_callback callback = c->callback;
        void *arg = c->arg;

        if (!callback)
                command_unlink_dying(c);
        command_release(
                c); /* first, so that the callback may start anything, and its owner forgets the pointer there */
        if (callback)
                callback(arg, &result);
        free(result.failure);
        free(result.output);
        free(result.errors);
}

static bool command_is_complete(const struct loop_command *c) {
        return c->ended && c->output.fd < 0 && c->errors.fd < 0;
}

static void gather_readable(void *arg, int events) {
        struct gather *g = arg;
        struct loop_command *c = g->command;
        char chunk[16384];
        ssize_t n = read(g->fd, chunk, sizeof(chunk));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0)
                gather_close(g);
        else if (g->text.len < c->output_max)
                strbuf_add(&g->text, chunk, MIN((size_t)n, c->output_max - g->text.len));
        if (command_is_complete(c))
                command_complete(c);
}

static void command_exited(void *arg, int events) {
        struct loop_command *c = arg;

        c->exit.si_pid = 0;
        if (waitid(P_PIDFD, c->pidfd, &c->exit, WEXITED | WNOHANG) < 0) {
                if (errno == EINTR)
                        return;
                /* Somebody else reaped it. It cannot happen while we are its parent, but waiting for ever would be
                 * worse. */
                c->exit = (siginfo_t){ .si_code = CLD_EXITED };
                c->exit.si_status = 255;
        } else if (c->exit.si_pid == 0) {
                return;
        }
        c->ended = true;
        c->pidfd_io = loop_io_free(c->pidfd_io);
        if (command_is_complete(c) || !c->callback) {
                command_complete(c);
                return;
        }
        loop_timer_set(c->timer, c->linger_ms * NSEC_PER_MSEC);
}

void loop_command_kill(struct loop_command *c) {
        if (c->ended)
                return;
        if (c->new_session)
                kill(-c->pid, SIGKILL);
        pidfd_signal(c->pidfd, SIGKILL);
}

static void command_timer(void *arg) {
        struct loop_command *c = arg;

        if (c->ended) {
                gather_close(&c->output);
                gather_close(&c->errors);
                command_complete(c);
                return;
        }
        c->timed_out = true;
        loop_command_kill(c);
}

/* Moves descriptors above those they shall become, so that no dup2 overwrites the source of a later one. */
static struct error *keep_prepare(const struct loop_command_options *o, int *high) {
        for (size_t i = 0; i < o->n_keep; i++) {
                high[i] = fcntl(o->keep[i], F_DUPFD_CLOEXEC, 3 + (int)o->n_keep);
                if (high[i] < 0)
                        return error_errno(errno, "duplicate a descriptor");
        }
        return NULL;
}

static struct error *gather_open(struct loop_command *c, struct gather *g, bool wanted, int *ret_write_end) {
        int fds[2];

        if (!wanted)
                return NULL;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(errno, "make a pipe");
        *ret_write_end = fds[1];
        g->fd = fds[0];
        g->command = c;
        fcntl(g->fd, F_SETFL, O_NONBLOCK);
        return loop_io_new(c->loop, g->fd, LOOP_READABLE, gather_readable, g, &g->io);
}

static void stream_action(posix_spawn_file_actions_t *actions, int stream, int given, int gathered) {
        if (given > 0)
                posix_spawn_file_actions_adddup2(actions, given, stream);
        else if (gathered >= 0)
                posix_spawn_file_actions_adddup2(actions, gathered, stream);
        else
                posix_spawn_file_actions_addopen(actions, stream, "/dev/null", stream ? O_WRONLY : O_RDONLY, 0);
}

static struct error *command_spawn(struct loop_command *c, const struct loop_command_options *o, int out, int err_fd,
                                   const int *high) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t signals;
        int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

        posix_spawn_file_actions_init(&actions);
        stream_action(&actions, STDIN_FILENO, o->input, -1);
        stream_action(&actions, STDOUT_FILENO, o->output, out);
        if (o->merge)
                posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
        else
                stream_action(&actions, STDERR_FILENO, o->errors, err_fd);
        for (size_t i = 0; i < o->n_keep; i++)
                posix_spawn_file_actions_adddup2(&actions, high[i], 3 + (int)i);
        if (o->folder)
                posix_spawn_file_actions_addchdir_np(&actions, o->folder);

        posix_spawnattr_init(&attributes);
        sigemptyset(&signals);
        posix_spawnattr_setsigmask(&attributes, &signals);
        sigaddset(&signals, SIGPIPE);
        posix_spawnattr_setsigdefault(&attributes, &signals);
        if (o->new_session)
                flags |= POSIX_SPAWN_SETSID;
        posix_spawnattr_setflags(&attributes, (short)flags);
        int rc = posix_spawnp(&c->pid, o->argv[0], &actions, &attributes, o->argv, o->env ? o->env : environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return rc ? error_errno(rc, "run %s", o->argv[0]) : NULL;
}

static struct error *give_pipe(int fd, const struct loop_command_options *o) {
        if (fd >= 0 && (o->pipe_uid || o->pipe_gid) && fchown(fd, o->pipe_uid, o->pipe_gid) < 0)
                return error_errno(errno, "give a pipe to user %u", o->pipe_uid);
        return NULL;
}

static struct error *command_start(struct loop_command *c, const struct loop_command_options *o) {
        _cleanup_close_ int out = -EBADF, err_fd = -EBADF;
        _cleanup_free_ int *high = xcalloc(o->n_keep + 1, sizeof(int));
        struct error *err = gather_open(c, &c->output, o->gather_output && o->output <= 0, &out);

        if (!err)
                err = gather_open(c, &c->errors, o->gather_errors && o->errors <= 0 && !o->merge, &err_fd);
        if (!err)
                err = give_pipe(out, o);
        if (!err)
                err = give_pipe(err_fd, o);
        if (!err)
                err = keep_prepare(o, high);
        if (!err)
                err = o->n_enter || o->dies_with_us ? command_fork(o, out, err_fd, high, &c->pid, &c->report)
                                                    : command_spawn(c, o, out, err_fd, high);
        for (size_t i = 0; i < o->n_keep; i++)
                if (high[i] > 0)
                        fd_close(high[i]);
        if (err)
                return err;

        c->pidfd = process_open(c->pid, 0);
        err = c->pidfd < 0 ? error_errno(-c->pidfd, "open process %d", c->pid)
                           : loop_io_new(c->loop, c->pidfd, LOOP_READABLE, command_exited, c, &c->pidfd_io);
        if (err) { /* no descriptors left, say: it must not run unwatched */
                kill(c->pid, SIGKILL);
                waitid(P_PID, c->pid, &c->exit, WEXITED);
                return err;
        }
        if (o->timeout_ns > 0)
                loop_timer_set(c->timer, o->timeout_ns);
        return NULL;
}

struct error *loop_command_new(struct loop *loop, const struct loop_command_options *options,
                               loop_command_callback callback, void *arg, struct loop_command **ret) {
        struct loop_command *c = new0(struct loop_command);

        c->loop = loop;
        c->pidfd = c->output.fd = c->errors.fd = c->report = -EBADF;
        c->program = xstrdup(options->argv[0]);
        c->output_max = options->output_max ? options->output_max : OUTPUT_MAX_DEFAULT;
        c->linger_ms = options->linger_ms ? options->linger_ms : LINGER_MS_DEFAULT;
        c->new_session = options->new_session;
        c->callback = callback;
        c->arg = arg;
        c->timer = loop_timer_new(loop, command_timer, c);
        struct error *err = command_start(c, options);
        if (err) {
                command_release(c);
                return err;
        }
        *ret = c;
        return NULL;
}

pid_t loop_command_pid(const struct loop_command *command) {
        return command->pid;
}

void loop_command_signal(struct loop_command *command, int signal) {
        if (!command->ended)
                pidfd_signal(command->pidfd, signal);
}

struct loop_command *loop_command_free(struct loop_command *c) {
        if (!c)
                return NULL;
        loop_command_kill(c);
        if (c->ended)
                return command_release(c);
        /* It still has to be reaped, which must not hold the loop up. */
        c->callback = NULL;
        gather_close(&c->output);
        gather_close(&c->errors);
        loop_timer_stop(c->timer);
        c->next = c->loop->dying;
        c->loop->dying = c;
        return NULL;
}

void loop_commands_release(struct loop *loop) {
        while (loop->dying) {
                struct loop_command *c = loop->dying;
                loop->dying = c->next;
                waitid(P_PIDFD, c->pidfd, &c->exit, WEXITED);
                command_release(c);
        }
}
