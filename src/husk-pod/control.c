/* control.c - answers the requests of control.h. */
#include "husk-pod/control.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/socket.h"
#include "husk-pod/runtime.h"

#define CLIENTS_MAX 64
#define TAPS_MAX 2

struct client {
        struct control *control;
        struct client *next;
        int fd;
        struct loop_io *io;

        /* attached to: */
        char *container; /* NULL: not attached */
        unsigned attempt;
        bool has_stdin;
        int taps[TAPS_MAX]; /* by enum log_stream; -EBADF: none */
};

struct control {
        struct runtime *rt;
        int listener;
        struct loop_io *io;
        struct client *clients;
        unsigned n_clients;
};

/* ---- clients ---- */

static struct instance *attached_to(const struct client *c) {
        return c->container ? instance_find(c->control->rt, c->container, c->attempt) : NULL;
}

static void client_untap(struct client *c) {
        struct instance *i = attached_to(c);

        for (int t = 0; t < TAPS_MAX; t++) {
                if (c->taps[t] < 0)
                        continue;
                if (i && i->streams[t])
                        log_source_untap(i->streams[t], c->taps[t]);
                c->taps[t] = fd_close(c->taps[t]);
        }
}

static void client_free(struct client *c) {
        struct client **p = &c->control->clients;
        struct instance *i = attached_to(c);

        while (*p != c)
                p = &(*p)->next;
        *p = c->next;
        c->control->n_clients--;
        client_untap(c);
        if (i && c->has_stdin && i->stdin_once && i->state == INSTANCE_RUNNING)
                instance_close_stdin(i);
        loop_io_free(c->io);
        fd_close(c->fd);
        free(c->container);
        free(c);
}

static void reply(struct client *c, json_t *answer, int fd) {
        _cleanup_free_ char *text = json_dumps(answer, JSON_COMPACT);
        json_decref(answer);
        if (text)
                socket_send(c->fd, text, strlen(text), &fd, fd >= 0 ? 1 : 0);
}

/* ---- requests ---- */

/* What came with a request; what is used is taken out. */
struct descriptors {
        int fds[TAPS_MAX];
        size_t n;
};

static int descriptor_take(struct descriptors *d) {
        for (size_t i = 0; i < d->n; i++)
                if (d->fds[i] >= 0)
                        return TAKE_FD(d->fds[i]);
        return -EBADF;
}

static bool wants(const json_t *request, const char *what) {
        return json_is_true(json_object_get(request, what));
}

static struct error *stdin_of(const struct instance *i, int *ret) {
        *ret = i->tty && i->streams[LOG_STDOUT] ? log_source_fd(i->streams[LOG_STDOUT]) : i->stdin_fd;
        if (*ret >= 0)
                return NULL;
        return error_new(ERROR_INVALID, "container %s has no open standard input (stdin: true)", i->name);
}

static struct error *tap(struct client *c, struct instance *i, enum log_stream stream, struct descriptors *d) {
        c->taps[stream] = descriptor_take(d);
        if (c->taps[stream] < 0)
                return error_new(ERROR_BAD_REQUEST, "no descriptor came with the request");
        fcntl(c->taps[stream], F_SETFL, O_NONBLOCK);
        if (i->streams[stream])
                log_source_tap(i->streams[stream], c->taps[stream]);
        return NULL;
}

static struct error *attach(struct client *c, const json_t *request, struct descriptors *d) {
        const char *container = json_string_value(json_object_get(request, "container"));
        struct instance *i = container ? instance_running(c->control->rt, container) : NULL;
        struct error *err = NULL;
        int input = -EBADF;

        if (c->container)
                return error_new(ERROR_BAD_REQUEST, "already attached");
        if (!i)
                return error_new(ERROR_NOT_FOUND, "container %s is not running", container ? container : "");
        if (wants(request, "stdin"))
                err = stdin_of(i, &input);
        if (err)
                return err;
        c->container = xstrdup(container);
        c->attempt = i->attempt;
        c->has_stdin = input >= 0;
        if (wants(request, "stdout"))
                err = tap(c, i, LOG_STDOUT, d);
        if (!err && wants(request, "stderr"))
                err = tap(c, i, LOG_STDERR, d);
        if (!err)
                reply(c, json_pack("{s:b}", "tty", (int)i->tty), input);
        return err;
}

/* The client's own input is over. */
static void end_stdin(struct client *c) {
        struct instance *i = attached_to(c);
        bool ends = !i || (c->has_stdin && i->stdin_once);

        if (ends && i && i->state == INSTANCE_RUNNING)
                instance_close_stdin(i);
        /* Of one that is ending already the exit code is on its way. */
        reply(c, json_pack("{s:b}", "stdinClosed", (int)ends), -1);
}

static struct error *set_condition(struct client *c, const json_t *request) {
        const char *type = NULL, *status = NULL, *reason = "", *message = "";

        if (json_unpack((json_t *)request, "{s:s, s:s, s?s, s?s}", "type", &type, "status", &status, "reason", &reason,
                        "message", &message) < 0)
                return error_new(ERROR_BAD_REQUEST, "a condition needs type and status");
        if (!pod_set_condition(c->control->rt->pod, type, status, reason, message))
                return error_new(ERROR_FORBIDDEN, "condition %s is husk's own", type);
        reply(c, json_object(), -1);
        return NULL;
}

static void handle(struct client *c, const char *text, size_t len, struct descriptors *d) {
        json_t *json = json_loadb(text, len, 0, NULL), *request;
        struct error *err = NULL;

        if ((request = json_object_get(json, "attach")))
                err = attach(c, request, d);
        else if (json_object_get(json, "stdinEnd"))
                end_stdin(c);
        else if ((request = json_object_get(json, "condition")))
                err = set_condition(c, request);
        else
                err = error_new(ERROR_BAD_REQUEST, "unknown request");
        if (err)
                reply(c, json_pack("{s:s}", "error", error_message(err)), -1);
        error_free(err);
        json_decref(json);
}

static void client_readable(void *arg, int events) {
        struct client *c = arg;
        struct control *control = c->control;
        _cleanup_free_ char *packet = xmalloc(CONTROL_PACKET_MAX);
        struct descriptors d = { { -EBADF, -EBADF }, TAPS_MAX };
        ssize_t n = socket_receive(c->fd, packet, CONTROL_PACKET_MAX, d.fds, &d.n, MSG_DONTWAIT);

        if (n == -EAGAIN)
                return;
        if (n > 0)
                handle(c, packet, n, &d);
        else
                client_free(c);
        for (size_t i = 0; i < d.n; i++)
                fd_close(d.fds[i]);
        loop_io_set(control->io, control->n_clients < CLIENTS_MAX ? LOOP_READABLE : 0);
}

/* ---- the socket ---- */

static void accept_client(void *arg, int events) {
        struct control *control = arg;
        struct ucred peer;
        socklen_t len = sizeof(peer);
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0)
                return;
        /* The folder is closed to others; this is for the case that somebody opened it. */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || (peer.uid != 0 && peer.uid != geteuid())) {
                fd_close(fd);
                return;
        }
        struct client *c = new0(struct client);
        *c = (struct client){ .control = control, .fd = fd, .taps = { -EBADF, -EBADF }, .next = control->clients };
        control->clients = c;
        control->n_clients++;
        _cleanup_error_ struct error *err =
                loop_io_new(control->rt->loop, fd, LOOP_READABLE, client_readable, c, &c->io);
        if (err)
                client_free(c);
        if (control->n_clients >= CLIENTS_MAX)
                loop_io_set(control->io, 0);
}

struct error *control_begin(struct runtime *rt) {
        struct control *control = rt->control = new0(struct control);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        control->rt = rt;
        /* The path of a Unix socket is short, that of the folder need not be. */
        _cleanup_close_ int folder = open(rt->run_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" CONTROL_SOCKET, folder);
        unlinkat(folder, CONTROL_SOCKET, 0);
        control->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (folder < 0 || control->listener < 0 ||
            bind(control->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            fchmodat(folder, CONTROL_SOCKET, 0600, 0) < 0 || listen(control->listener, 16) < 0)
                return error_errno(errno, "listen on %s/" CONTROL_SOCKET, rt->run_folder);
        return loop_io_new(rt->loop, control->listener, LOOP_READABLE, accept_client, control, &control->io);
}

void control_container_ended(struct runtime *rt, struct instance *i, int exit_code) {
        struct client *next;

        for (struct client *c = rt->control ? rt->control->clients : NULL; c; c = next) {
                next = c->next;
                if (attached_to(c) != i)
                        continue;
                client_untap(c); /* the pipes end before the news arrives */
                reply(c, json_pack("{s:i}", "exitCode", exit_code), -1);
                client_free(c);
        }
}

void control_end(struct runtime *rt) {
        struct control *control = rt->control;

        if (!control)
                return;
        while (control->clients)
                client_free(control->clients);
        loop_io_free(control->io);
        fd_close(control->listener);
        free(control);
        rt->control = NULL;
}
