/* attach.c - `husk attach`, and the copying of streams behind it (attach.h). */
#include "husk/attach.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>

#include "base/file.h"
#include "base/socket.h"
#include "husk-pod/control.h"
#include "husk/container.h"
#include "husk/control.h"
#include "husk/selection.h"
#include "husk/verbs.h"

#define LINGER_MS 500       /* of silence after the last input, where nothing else tells that it was the last answer */
#define PIPE_SIZE (1 << 20) /* what the supervisor does not have to wait for */

/* ---- the caller's terminal ---- */

static struct termios saved_terminal;
static bool terminal_is_raw;

static void terminal_restore(void) {
        if (terminal_is_raw)
                tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_terminal);
        terminal_is_raw = false;
}

static void terminal_make_raw(void) {
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, &saved_terminal) < 0)
                return;
        raw = saved_terminal;
        cfmakeraw(&raw);
        terminal_is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
        atexit(terminal_restore);
}

static void copy_window_size(int to) {
        struct winsize size;

        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
                ioctl(to, TIOCSWINSZ, &size);
}

/* ---- one session ---- */

struct session {
        int connection; /* to the supervisor: says when the container ends */
        int out[2];     /* read ends: what the container prints to stdout and stderr */
        int in;         /* the container's standard input, negative: not attached */
        bool tty;
        bool in_ended; /* the caller's input is over */
        int window_fd; /* signalfd of SIGWINCH */
        int status;    /* exit status of the container, -1: not told */
        bool lingers;  /* the input is over and the container does not know: what it still answers is waited for */
        bool saw_output;
        bool ended;
};

static void session_close(struct session *s) {
        fd_close(s->connection);
        fd_close(s->out[0]);
        fd_close(s->out[1]);
        fd_close(s->in);
        fd_close(s->window_fd);
        terminal_restore();
}

static struct error *make_pipe(int ret[2]) {
        if (pipe2(ret, O_CLOEXEC) < 0)
                return error_errno(errno, "make a pipe");
        /* Best effort: an unprivileged caller may have to live with less. */
        fcntl(ret[1], F_SETPIPE_SZ, PIPE_SIZE);
        return NULL;
}

static struct error *session_open(struct session *s, struct store *store, const char *uid, const char *container,
                                  const struct attach_options *options) {
        int out[2] = { -EBADF, -EBADF }, err_pipe[2] = { -EBADF, -EBADF };
        _cleanup_json_ json_t *answer = NULL;
        struct error *err;

        err = make_pipe(out);
        if (!err)
                err = make_pipe(err_pipe);
        s->out[0] = out[0];
        s->out[1] = err_pipe[0];
        if (!err) {
                const int fds[] = { out[1], err_pipe[1] };
                json_t *body = json_pack("{s:s, s:b, s:b, s:b}", "container", container, "stdin", options->use_stdin,
                                         "stdout", 1, "stderr", 1);
                err = control_call(store, uid, "attach", body, fds, 2, &answer, &s->in, &s->connection);
        }
        fd_close(out[1]);
        fd_close(err_pipe[1]);
        if (err)
                return err;
        s->tty = field_is_true(answer, "tty");
        return NULL;
}

/* What can be read from `from`, to `to`; false at its end. */
static bool copy_some(int from, int to) {
        char buffer[1 << 16];
        ssize_t n = read(from, buffer, sizeof(buffer));

        if (n < 0)
                return errno == EINTR || errno == EAGAIN;
        if (n == 0)
                return false;
        struct error *err = fd_write_all(to, buffer, n);
        error_free(err);
        return err == NULL;
}

/* The end of the caller's input is the end of the container's if that has stdinOnce; the supervisor, which holds the
 * pipe too, knows. */
static void input_copy(struct session *s) {
        static const char ended[] = "{\"stdinEnd\":{}}";

        if (copy_some(STDIN_FILENO, s->in))
                return;
        s->in_ended = true;
        if (!s->tty)
                s->in = fd_close(s->in);
        /* If the supervisor has hung up meanwhile, what it said last is still to be heard. */
        (void)!socket_send(s->connection, ended, strlen(ended), NULL, 0);
}

static void hear(struct session *s) {
        char buffer[4096];
        size_t no_fds = 0;
        ssize_t n = socket_receive(s->connection, buffer, sizeof(buffer), NULL, &no_fds, MSG_DONTWAIT);

        if (n > 0) {
                _cleanup_json_ json_t *message = json_loadb(buffer, n, 0, NULL);
                s->status = (int)field_number(message, "exitCode", s->status);
                const json_t *closed = json_object_get(message, "stdinClosed");
                s->lingers |= json_is_false(closed);
                if (closed)
                        return;
        }
        if (n != -EAGAIN && n != -EINTR)
                s->ended = true;
}

static void session_step(struct session *s) {
        struct pollfd fds[] = {
                { .fd = s->in_ended || s->in < 0 ? -1 : STDIN_FILENO, .events = POLLIN },
                { .fd = s->out[0], .events = POLLIN },
                { .fd = s->out[1], .events = POLLIN },
                { .fd = s->ended ? -1 : s->connection, .events = POLLIN },
                { .fd = s->window_fd, .events = POLLIN },
        };

        /* After the end only what is in the pipes is left. */
        int n = poll(fds, ARRAY_SIZE(fds), s->ended ? 0 : s->lingers ? LINGER_MS : -1);
        if ((n < 0 && errno != EINTR) || (n == 0 && s->lingers))
                s->ended = true;
        s->saw_output |= ((fds[1].revents | fds[2].revents) & POLLIN) != 0;
        for (int i = 0; i < 2; i++)
                if (fds[1 + i].revents && !copy_some(s->out[i], i ? STDERR_FILENO : STDOUT_FILENO))
                        s->out[i] = fd_close(s->out[i]);
        if (fds[0].revents)
                input_copy(s);
        if (fds[4].revents) {
                struct signalfd_siginfo info;
                if (read(s->window_fd, &info, sizeof(info)) > 0)
                        copy_window_size(s->in);
        }
        if (fds[3].revents)
                hear(s);
}

static bool output_is_waiting(const struct session *s) {
        struct pollfd fds[] = { { .fd = s->out[0], .events = POLLIN }, { .fd = s->out[1], .events = POLLIN } };
        return poll(fds, 2, 0) > 0 && ((fds[0].revents | fds[1].revents) & POLLIN);
}

static void watch_window(struct session *s) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGWINCH);
        sigprocmask(SIG_BLOCK, &set, NULL);
        s->window_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        copy_window_size(s->in);
}

struct error *attach_container(struct store *store, const json_t *pod, const char *container,
                               const struct attach_options *options, int *ret_status) {
        _cleanup_(session_close) struct session s = {
                .connection = -EBADF, .out = { -EBADF, -EBADF }, .in = -EBADF, .window_fd = -EBADF, .status = -1
        };
        struct error *err;

        err = session_open(&s, store, field_text_or(pod, "metadata.uid", ""), container, options);
        if (err)
                return err;
        /* The container may end while we write to it. */
        signal(SIGPIPE, SIG_IGN);
        if (s.tty && options->use_tty && isatty(STDIN_FILENO)) {
                terminal_make_raw();
                watch_window(&s);
        }
        if (!options->quiet && isatty(STDERR_FILENO))
                fprintf(stderr, "If you don't see a command prompt, try pressing enter.\r\n");
        while (!s.ended || output_is_waiting(&s))
                session_step(&s);
        *ret_status = s.status;
        if (options->saw_output)
                *options->saw_output = s.saw_output;
        return NULL;
}

/* ---- the verb ---- */

static const char *container;
static struct attach_options options;

const struct flag attach_flags[] = {
        { "container", 'c', FLAG_TEXT, &container, "NAME", NULL,
          "The container (default: see the annotation kubectl.kubernetes.io/default-container, else the first)" },
        { "stdin", 'i', FLAG_BOOL, &options.use_stdin, NULL, NULL, "Pass standard input to the container" },
        { "tty", 't', FLAG_BOOL, &options.use_tty, NULL, NULL, "Standard input is a terminal" },
        { "quiet", 'q', FLAG_BOOL, &options.quiet, NULL, NULL, "Print only what the container prints" },
        { "pod-running-timeout", 0, FLAG_ACCEPTED, NULL, "TIME", NULL, "a pod is named, and runs or does not" },
        { 0 },
};

struct error *attach_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_json_ json_t *pod = NULL;
        const char *name, *phase;
        struct store *store;
        struct error *err;
        int status;

        if (arguments->n_words != 1)
                return usage_error("expected POD or TYPE/NAME, and the container with -c");
        err = cli_store(cli, &store);
        if (!err)
                err = pod_load(cli, arguments->words[0], &pod);
        if (!err)
                err = container_choose(pod, container, options.quiet, &name);
        if (err)
                return err;
        phase = field_text_or(pod, "status.phase", "");
        if (streq(phase, "Succeeded") || streq(phase, "Failed"))
                return usage_error("cannot attach a container in a completed pod; current phase is %s", phase);
        if (!field_at(container_status(pod, name), "state.running"))
                return error_new(ERROR_BAD_REQUEST, "container %s is not running in pod %s", name, object_name(pod));
        return attach_container(store, pod, name, &options, &status);
}
