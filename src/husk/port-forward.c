/* port-forward.c - `husk port-forward`: ports of this machine that lead into a pod, to its loopback too.
 *
 * The listening sockets are made here, then husk enters the pod's network namespace for good: a socket belongs to the
 * namespace in which it was made, so what it accepts comes from outside and what it connects goes to the pod. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "server/supervisor.h"
#include "husk/verbs.h"

#define BUFFER_SIZE (64 * 1024)

static char **addresses;

const struct flag port_forward_flags[] = {
        { "address", 0, FLAG_WORDS, &addresses, "ADDRESS,…", NULL,
          "Addresses of this machine to listen on (default localhost)" },
        { "pod-running-timeout", 0, FLAG_ACCEPTED, NULL, "TIME", NULL, "a pod is named, and runs or does not" },
        { 0 },
};

/* ---- what to forward ---- */

struct listener {
        int fd;
        uint16_t local, remote;
};

/* One direction of a connection. */
struct flow {
        int from, to;
        char *buffer;
        size_t start, end;
        bool from_ended, done;
};

struct connection {
        int fds[2]; /* outside, pod */
        struct flow flows[2];
};

struct forwarder {
        struct listener *listeners;
        size_t n_listeners;
        struct connection **connections;
        size_t n_connections;
        int supervisor; /* pidfd: its end is the pod's */
};

static bool port_parse(const char *text, uint16_t *ret) {
        uint64_t port;

        if (!str_to_u64(text, &port) || port > 65535)
                return false;
        *ret = port;
        return true;
}

/* A number, or the name of a port of some container. */
static struct error *remote_port(const json_t *pod, const char *text, uint16_t *ret) {
        json_t *container;
        size_t i;

        if (port_parse(text, ret) && *ret)
                return NULL;
        json_array_foreach(field_at(pod, "spec.containers"), i, container) {
                const json_t *port = field_find(container, "ports", "name", text);
                if (port) {
                        *ret = field_number(port, "containerPort", 0);
                        return NULL;
                }
        }
        return usage_error("pod %s has no port \"%s\"", object_name(pod), text);
}

/* ---- listening ---- */

static struct error *listen_on(struct forwarder *f, const char *address, uint16_t *local, uint16_t remote) {
        struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                  .ai_socktype = SOCK_STREAM };
        struct sockaddr_storage bound;
        socklen_t len = sizeof(bound);
        struct addrinfo *info;
        char port[8];
        int one = 1;

        snprintf(port, sizeof(port), "%u", *local);
        int rc = getaddrinfo(address, port, &hints, &info);
        if (rc)
                return usage_error("%s is no address: %s", address, gai_strerror(rc));
        _cleanup_close_ int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && info->ai_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
        if (fd >= 0)
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        bool ok = fd >= 0 && bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, 128) == 0 &&
                  getsockname(fd, (struct sockaddr *)&bound, &len) == 0;
        int reason = errno;
        freeaddrinfo(info);
        if (!ok)
                return error_errno(reason, "unable to listen on %s:%u", address, *local);
        *local = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                   : ((struct sockaddr_in *)&bound)->sin_port);
        f->listeners = xreallocarray(f->listeners, f->n_listeners + 1, sizeof(*f->listeners));
        f->listeners[f->n_listeners++] = (struct listener){ TAKE_FD(fd), *local, remote };
        bool v6 = strchr(address, ':') != NULL;
        printf("Forwarding from %s%s%s:%u -> %u\n", v6 ? "[" : "", address, v6 ? "]" : "", *local, remote);
        return NULL;
}

/* localhost is both loopbacks, of which one is enough. */
static struct error *listen_on_localhost(struct forwarder *f, uint16_t *local, uint16_t remote) {
        struct error *v4 = listen_on(f, "127.0.0.1", local, remote);
        struct error *v6 = listen_on(f, "::1", local, remote);

        if (v4 && v6) {
                error_free(v6);
                return v4;
        }
        error_free(v4);
        error_free(v6);
        return NULL;
}

/* "8080", "8080:80", ":80", "8080:http" */
static struct error *add_port(struct forwarder *f, const json_t *pod, const char *text) {
        const char *colon = strchr(text, ':');
        _cleanup_free_ char *left = colon ? xstrndup(text, colon - text) : NULL;
        uint16_t local = 0, remote;
        struct error *err;

        err = remote_port(pod, colon ? colon + 1 : text, &remote);
        if (err)
                return err;
        if (!colon)
                local = remote;
        else if (*left && !port_parse(left, &local))
                return usage_error("invalid port format '%s'", text);
        for (size_t i = 0; !err && addresses && addresses[i]; i++)
                err = streq(addresses[i], "localhost") ? listen_on_localhost(f, &local, remote)
                                                       : listen_on(f, addresses[i], &local, remote);
        return addresses ? err : listen_on_localhost(f, &local, remote);
}

/* ---- carrying ---- */

static void connection_free(struct connection *c) {
        for (int i = 0; i < 2; i++) {
                fd_close(c->fds[i]);
                free(c->flows[i].buffer);
        }
        free(c);
}

/* Connects in the pod: to its loopback of one family or the other. */
static int connect_inside(uint16_t port) {
        struct sockaddr_in v4 = { .sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                                   .sin6_port = htons(port),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd >= 0 && connect(fd, (struct sockaddr *)&v4, sizeof(v4)) == 0)
                return TAKE_FD(fd);
        int first = errno;
        _cleanup_close_ int fd6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd6 >= 0 && connect(fd6, (struct sockaddr *)&v6, sizeof(v6)) == 0)
                return TAKE_FD(fd6);
        return -first;
}

static void accept_one(struct forwarder *f, const struct listener *l) {
        _cleanup_close_ int outside = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (outside < 0)
                return;
        printf("Handling connection for %u\n", l->local);
        fflush(stdout);
        int inside = connect_inside(l->remote);
        if (inside < 0) {
                fprintf(stderr, "error: port %u of the pod: %s\n", l->remote, strerror(-inside));
                return;
        }
        fcntl(inside, F_SETFL, O_NONBLOCK);
        struct connection *c = new0(struct connection);
        c->fds[0] = TAKE_FD(outside);
        c->fds[1] = inside;
        for (int i = 0; i < 2; i++)
                c->flows[i] = (struct flow){ .from = c->fds[i], .to = c->fds[!i], .buffer = xmalloc(BUFFER_SIZE) };
        f->connections = xreallocarray(f->connections, f->n_connections + 1, sizeof(*f->connections));
        f->connections[f->n_connections++] = c;
}

/* Reads if the buffer is empty, writes what is in it; half-closes the other side when this one has ended. */
static void flow_step(struct flow *w) {
        if (w->done)
                return;
        if (w->start == w->end && !w->from_ended) {
                ssize_t n = read(w->from, w->buffer, BUFFER_SIZE);
                if (n > 0) {
                        w->start = 0;
                        w->end = n;
                } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                        w->from_ended = true;
                }
        }
        if (w->start < w->end) {
                ssize_t n = send(w->to, w->buffer + w->start, w->end - w->start, MSG_NOSIGNAL);
                if (n > 0)
                        w->start += n;
                else if (n < 0 && errno != EAGAIN && errno != EINTR)
                        w->done = true;
        }
        if (w->start == w->end && w->from_ended) {
                shutdown(w->to, SHUT_WR);
                w->done = true;
        }
}

static short flow_read_events(const struct flow *w) {
        return !w->done && !w->from_ended && w->start == w->end ? POLLIN : 0;
}

static short flow_write_events(const struct flow *w) {
        return !w->done && w->start < w->end ? POLLOUT : 0;
}

static void step_connections(struct forwarder *f) {
        size_t kept = 0;

        for (size_t i = 0; i < f->n_connections; i++) {
                struct connection *c = f->connections[i];
                flow_step(&c->flows[0]);
                flow_step(&c->flows[1]);
                if (c->flows[0].done && c->flows[1].done)
                        connection_free(c);
                else
                        f->connections[kept++] = c;
        }
        f->n_connections = kept;
}

/* Polls for all of it: supervisor, listeners, then two descriptors a connection. */
static void forward_once(struct forwarder *f, bool *ret_lost) {
        size_t n = 1 + f->n_listeners + 2 * f->n_connections;
        _cleanup_free_ struct pollfd *fds = xcalloc(n, sizeof(*fds));
        struct pollfd *p = fds;

        *p++ = (struct pollfd){ .fd = f->supervisor, .events = POLLIN };
        for (size_t i = 0; i < f->n_listeners; i++)
                *p++ = (struct pollfd){ .fd = f->listeners[i].fd, .events = POLLIN };
        for (size_t i = 0; i < f->n_connections; i++)
                for (int side = 0; side < 2; side++) {
                        const struct connection *c = f->connections[i];
                        short events = flow_read_events(&c->flows[side]) | flow_write_events(&c->flows[!side]);
                        /* Nothing to do with it now: not even its end may wake us. */
                        *p++ = (struct pollfd){ .fd = events ? c->fds[side] : -1, .events = events };
                }
        if (poll(fds, n, -1) < 0)
                return;
        *ret_lost = fds[0].revents != 0;
        step_connections(f);
        for (size_t i = 0; i < f->n_listeners; i++)
                if (fds[1 + i].revents)
                        accept_one(f, &f->listeners[i]);
}

/* ---- the verb ---- */

/* Any running container shows the pod's network namespace. */
static struct error *open_network(struct store *store, const json_t *pod, int *ret) {
        _cleanup_free_ const char **names = container_names_in_order(pod);
        struct error *last = NULL;

        for (size_t i = 0; names[i]; i++) {
                _cleanup_running_ struct running running = RUNNING_INIT;
                error_free(last);
                last = container_open(store, pod, names[i], &running);
                if (last)
                        continue;
                _cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", running.pid);
                *ret = open(path, O_RDONLY | O_CLOEXEC);
                if (*ret < 0)
                        return error_errno(errno, "open %s", path);
                return NULL;
        }
        error_free(last);
        return usage_error("unable to forward port because pod is not running. Current status=%s",
                           field_text_or(pod, "status.phase", "Pending"));
}

struct error *port_forward_run(struct cli *cli, struct arguments *arguments) {
        struct forwarder f = { .supervisor = -EBADF };
        _cleanup_json_ json_t *pod = NULL;
        _cleanup_close_ int network = -EBADF;
        struct store *store;
        struct error *err;
        bool lost = false;

        if (arguments->n_words < 2)
                return usage_error("TYPE/NAME and list of ports are required for port-forward");
        err = cli_store(cli, &store);
        if (!err)
                err = pod_load(cli, arguments->words[0], &pod);
        if (!err)
                err = open_network(store, pod, &network);
        for (size_t i = 1; !err && i < arguments->n_words; i++)
                err = add_port(&f, pod, arguments->words[i]);
        if (err)
                return err;
        f.supervisor = supervisor_open(store, field_text_or(pod, "metadata.uid", ""));
        if (setns(network, CLONE_NEWNET) < 0)
                return error_errno(errno, "enter the pod's network namespace");
        err = output_flush();
        while (!err && !lost)
                forward_once(&f, &lost);
        return err ? err : error_new(ERROR_UNAVAILABLE, "lost connection to pod");
}
