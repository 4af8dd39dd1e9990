/* instance-streams.c - what a container has as descriptors 0, 1 and 2: pipes to and from husk-pod, or a terminal. */
#include "husk-pod/instance-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "base/log.h"
#include "base/socket.h"
#include "base/str.h"

static const char *const stream_names[] = { [LOG_STDOUT] = "stdout", [LOG_STDERR] = "stderr" };

static void stream_name(const struct instance *i, enum log_stream stream, char ret[LOG_SOURCE_NAME_MAX + 1]) {
        snprintf(ret, LOG_SOURCE_NAME_MAX + 1, "%s/%u/%s", i->name, i->attempt, stream_names[stream]);
}

static struct error *stream_open(struct instance *i, enum log_stream stream, int fd) {
        char name[LOG_SOURCE_NAME_MAX + 1];
        stream_name(i, stream, name);
        return log_source_new(i->rt->log, name, i->log_path, stream, fd, NULL, NULL, &i->streams[stream]);
}

void instance_streams_close(struct instance *i) {
        for (int s = 0; s < _LOG_STREAM_MAX; s++)
                i->streams[s] = log_source_free(i->streams[s]);
}

void instance_streams_drain(struct instance *i) {
        for (int s = 0; s < _LOG_STREAM_MAX; s++)
                if (i->streams[s])
                        log_source_drain(i->streams[s]);
}

static struct error *log_folder_make(const struct instance *i) {
        _cleanup_free_ char *folder = xstrdup(i->log_path);
        *strrchr(folder, '/') = '\0';
        return mkdir_parents(folder, 0755);
}

/* The name under which the writing end of a container's standard input is kept: without it, reading would end at once.
 */
static char *stdin_name(const struct instance *i) {
        return xasprintf("stdin/%s/%u", i->name, i->attempt);
}

/* A terminal: the OCI runtime connects to this socket and sends the master side. */
struct console {
        struct instance *instance;
        int folder_fd, listener, connection;
        struct loop_io *io;
        char name[32];
        char path[64]; /* for the OCI runtime: Unix socket paths are short, folders are not */
};

struct console *instance_console_free(struct console *c) {
        if (!c)
                return NULL;
        loop_io_free(c->io);
        if (c->folder_fd >= 0)
                unlinkat(c->folder_fd, c->name, 0);
        fd_close(c->folder_fd);
        fd_close(c->listener);
        fd_close(c->connection);
        free(c);
        return NULL;
}

static void console_receive(struct instance *i) {
        char byte[256];
        int master = -EBADF;
        size_t n_fds = 1;
        ssize_t n = socket_receive(i->console->connection, byte, sizeof(byte), &master, &n_fds, MSG_DONTWAIT);

        if (n == -EAGAIN)
                return;
        i->console = instance_console_free(i->console);
        if (n < 0 || !n_fds)
                return;
        _cleanup_error_ struct error *err = stream_open(i, LOG_STDOUT, master);
        if (err)
                log_warning("container %s: terminal: %s", i->name, error_message(err));
}

static void console_readable(void *arg, int events) {
        struct console *c = arg;

        if (c->connection >= 0) {
                console_receive(c->instance);
                return;
        }
        c->connection = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
        if (c->connection < 0)
                return;
        c->io = loop_io_free(c->io);
        error_free(loop_io_new(c->instance->rt->loop, c->connection, LOOP_READABLE, console_readable, c, &c->io));
}

static struct error *console_open(struct instance *i) {
        struct console *c = i->console = new0(struct console);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        c->instance = i;
        c->listener = c->connection = -EBADF;
        snprintf(c->name, sizeof(c->name), "console-%.12s", i->id);
        c->folder_fd = open(i->rt->run_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (c->folder_fd < 0)
                return error_errno(errno, "open %s", i->rt->run_folder);
        snprintf(c->path, sizeof(c->path), "/proc/%d/fd/%d/%s", getpid(), c->folder_fd, c->name);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", c->path);
        unlinkat(c->folder_fd, c->name, 0);
        c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->listener < 0 || bind(c->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(c->listener, 1) < 0)
                return error_errno(errno, "terminal socket");
        return loop_io_new(i->rt->loop, c->listener, LOOP_READABLE, console_readable, c, &c->io);
}

const char *instance_console_path(const struct instance *i) {
        return i->console ? i->console->path : NULL;
}

void instance_console_finish(struct instance *i) {
        /* What the OCI runtime sent is in the socket by now. */
        if (i->console && i->console->connection < 0)
                console_readable(i->console, 0);
        if (i->console && i->console->connection >= 0)
                console_receive(i);
        i->console = instance_console_free(i->console);
}

void standard_streams_release(struct standard_streams *s) {
        for (int n = 0; n < 3; n++)
                s->fds[n] = fd_close(s->fds[n]);
}

static struct error *output_open(struct instance *i, enum log_stream stream, int *ret_write_end) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(errno, "make a pipe");
        *ret_write_end = fds[1];
        return stream_open(i, stream, fds[0]);
}

static struct error *input_open(struct instance *i, int *ret_read_end) {
        _cleanup_free_ char *name = stdin_name(i);
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(errno, "make a pipe");
        *ret_read_end = fds[0];
        i->stdin_fd = fds[1];
        reaper_store(i->rt->reaper, name, i->stdin_fd);
        return NULL;
}

void instance_close_stdin(struct instance *i) {
        _cleanup_free_ char *name = stdin_name(i);

        if (i->stdin_fd < 0)
                return;
        reaper_drop(i->rt->reaper, name);
        i->stdin_fd = fd_close(i->stdin_fd);
}

struct error *instance_streams_open(struct instance *i, const V1Container *spec, struct standard_streams *ret) {
        struct error *err = log_folder_make(i);

        if (!err && spec->has_tty && spec->tty)
                return console_open(i);
        if (!err)
                err = output_open(i, LOG_STDOUT, &ret->fds[1]);
        if (!err)
                err = output_open(i, LOG_STDERR, &ret->fds[2]);
        if (!err && spec->has_stdin && spec->stdin)
                err = input_open(i, &ret->fds[0]);
        return err;
}

void instance_streams_restore(struct instance *i) {
        for (int s = 0; s < _LOG_STREAM_MAX; s++) {
                char name[LOG_SOURCE_NAME_MAX + 1], full[KEEPER_NAME_SIZE];
                stream_name(i, s, name);
                snprintf(full, sizeof(full), "log/%s", name);
                int fd = reaper_take(i->rt->reaper, full);
                if (fd >= 0)
                        instance_warn(i, stream_open(i, s, fd));
        }
        _cleanup_free_ char *input = stdin_name(i);
        i->stdin_fd = reaper_take(i->rt->reaper, input);
}
