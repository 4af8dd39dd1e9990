#include "husk-pod/probe-io-private.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/str.h"

/* Bytes that are taken at all: who is asked may send without an end, and as long as he does nothing else is heard. */
#define RECEIVED_MAX (1 << 20)
#define REDIRECTS_MAX 10

struct probe_io *probe_io_free(struct probe_io *p) {
        if (!p)
                return NULL;
        loop_io_free(p->io);
        loop_timer_free(p->timer);
        loop_deferred_free(p->begin);
        loop_command_free(p->lookup);
        fd_close(p->fd);
        strbuf_release(&p->out);
        strbuf_release(&p->in);
        strbuf_release(&p->message);
        free(p->host);
        free(p->path);
        free(p->service);
        free(p->header_lines);
        free(p->host_header);
        free(p);
        return NULL;
}

void probe_io_finish(struct probe_io *p, enum run_result result, const char *format, ...) {
        probe_io_callback callback = p->callback;
        void *arg = p->arg;
        va_list ap;

        va_start(ap, format);
        _cleanup_free_ char *message = xvasprintf(format, ap);
        va_end(ap);
        probe_io_free(p);
        callback(arg, result, message);
}

/* ---- Go's words ---- */

static const char *go_error(int errnum) {
        switch (errnum) {
        case ECONNREFUSED:
                return "connection refused";
        case EHOSTUNREACH:
                return "no route to host";
        case ENETUNREACH:
                return "network is unreachable";
        case ECONNRESET:
                return "connection reset by peer";
        case ETIMEDOUT:
                return "connection timed out";
        case EPIPE:
                return "broken pipe";
        default:
                return strerror(errnum);
        }
}

char *probe_io_address(const struct probe_io *p) {
        return xasprintf(strchr(p->host, ':') ? "[%s]:%u" : "%s:%u", p->host, p->port);
}

static char *url_text(const struct probe_io *p) {
        _cleanup_free_ char *address = probe_io_address(p);
        return xasprintf("http://%s%s", address, p->path);
}

static char *duration_text(int64_t ns) {
        return xasprintf("%llds", (long long)(ns / NSEC_PER_SEC));
}

void probe_io_fail(struct probe_io *p, const char *text) {
        _cleanup_free_ char *url = url_text(p);

        if (p->kind == PROBE_IO_HTTP)
                probe_io_finish(p, RUN_FAILURE, "Get \"%s\": %s", url, text);
        else if (p->kind == PROBE_IO_GRPC)
                probe_io_finish(p, RUN_FAILURE,
                                "error: health rpc probe failed: rpc error: code = Unavailable desc = %s", text);
        else
                probe_io_finish(p, RUN_FAILURE, "%s", text);
}

static void fail_connect(struct probe_io *p, int errnum) {
        _cleanup_free_ char *address = probe_io_address(p);
        _cleanup_free_ char *text = xasprintf("dial tcp %s: connect: %s", address, go_error(errnum));
        probe_io_fail(p, text);
}

static void fail_read(struct probe_io *p, int errnum) {
        _cleanup_free_ char *address = probe_io_address(p);
        _cleanup_free_ char *text =
                errnum ? xasprintf("read tcp %s: read: %s", address, go_error(errnum)) : xstrdup("EOF");
        probe_io_fail(p, text);
}

static void timed_out(void *arg) {
        struct probe_io *p = arg;
        _cleanup_free_ char *address = probe_io_address(p), *seconds = duration_text(p->timeout_ns);

        if (p->kind == PROBE_IO_HTTP && p->connected)
                probe_io_fail(p, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
        else if (p->kind == PROBE_IO_HTTP) {
                _cleanup_free_ char *text = xasprintf("dial tcp %s: i/o timeout", address);
                probe_io_fail(p, text);
        } else if (p->kind == PROBE_IO_GRPC && p->connected)
                probe_io_finish(p, RUN_FAILURE, "timeout: health rpc did not complete within %s", seconds);
        else if (p->kind == PROBE_IO_GRPC)
                probe_io_finish(p, RUN_FAILURE, "timeout: failed to connect service \"%s\" within %s", address,
                                seconds);
        else
                probe_io_finish(p, RUN_FAILURE, "dial tcp %s: i/o timeout", address);
}

/* ---- HTTP ---- */

static void http_ask(struct probe_io *p) {
        _cleanup_free_ char *address = probe_io_address(p);

        strbuf_addf(&p->out, "GET %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n", p->path,
                    p->host_header ? p->host_header : address, p->header_lines);
}

/* Value of a header of the answer, or NULL; owned by the caller. */
static char *http_header(const char *headers, const char *name) {
        size_t len = strlen(name);

        for (const char *line = strstr(headers, "\r\n"); line; line = strstr(line, "\r\n")) {
                line += 2;
                if (strncasecmp(line, name, len) != 0 || line[len] != ':')
                        continue;
                const char *value = line + len + 1 + strspn(line + len + 1, " \t");
                return xstrndup(value, strcspn(value, "\r\n"));
        }
        return NULL;
}

static bool connect_now(struct probe_io *p);

/* Follows a redirect to the same host; to another one is not the pod's business any more, and counts as success. */
static void http_redirect(struct probe_io *p, const char *location) {
        const char *path = location;

        if (str_starts_with(location, "http://") || str_starts_with(location, "https://")) {
                bool plain = location[4] == ':';
                const char *host = strstr(location, "://") + 3;
                size_t len = strcspn(host, "/?#");
                _cleanup_free_ char *authority = xstrndup(host, len), *own = probe_io_address(p);
                _cleanup_free_ char *without_port = xstrdup(own);
                *strrchr(without_port, ':') = '\0';
                bool same = streq(authority, own) || (p->port == 80 && streq(authority, without_port));
                if (!plain || !same) {
                        if (p->any_status)
                                probe_io_finish(p, RUN_SUCCESS, "%s", "");
                        else
                                probe_io_finish(p, RUN_WARNING, "Probe terminated redirects, Response body: ");
                        return;
                }
                path = host + len;
        }
        if (++p->redirects > REDIRECTS_MAX) {
                probe_io_fail(p, "stopped after 10 redirects");
                return;
        }
        free(p->path);
        p->path = *path == '/' ? xstrndup(path, strcspn(path, "#")) : xasprintf("/%s", path);
        p->io = loop_io_free(p->io);
        p->fd = fd_close(p->fd);
        p->connected = false;
        strbuf_truncate(&p->in, 0);
        strbuf_truncate(&p->out, 0);
        connect_now(p);
}

static void http_judge(struct probe_io *p) {
        int status;

        if (sscanf(p->in.data, "HTTP/%*d.%*d %3d", &status) != 1 || status < 100) {
                probe_io_fail(p, "net/http: HTTP/1.x transport connection broken: malformed HTTP response");
                return;
        }
        if (status >= 300 && status < 400) {
                _cleanup_free_ char *location = http_header(p->in.data, "location");
                if (!str_empty(location)) {
                        http_redirect(p, location);
                        return;
                }
        }
        if (p->any_status || (status >= 200 && status < 400))
                probe_io_finish(p, RUN_SUCCESS, "%s", "");
        else
                probe_io_finish(p, RUN_FAILURE, "HTTP probe failed with statuscode: %d", status);
}

/* Returns true when the probe is over. */
static bool http_receive(struct probe_io *p, bool end) {
        if (!p->in.data || (!strstr(p->in.data, "\r\n\r\n") && p->in.len < ANSWER_MAX && !end))
                return false;
        http_judge(p);
        return true;
}

/* ---- the connection ---- */

/* Returns false when the probe is over. */
static bool send_out(struct probe_io *p) {
        while (p->out.len) {
                ssize_t n = send(p->fd, p->out.data, p->out.len, MSG_NOSIGNAL);
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0) {
                        fail_read(p, errno);
                        return false;
                }
                memmove(p->out.data, p->out.data + n, p->out.len - n);
                strbuf_truncate(&p->out, p->out.len - n);
        }
        loop_io_set(p->io, LOOP_READABLE | (p->out.len ? LOOP_WRITABLE : 0));
        return true;
}

static void receive_in(struct probe_io *p) {
        char chunk[4096];

        for (;;) {
                ssize_t n = recv(p->fd, chunk, sizeof(chunk), 0);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                int errnum = n < 0 ? errno : 0;
                if (n > 0)
                        strbuf_add(&p->in, chunk, n);
                p->received += n > 0 ? n : 0;
                if (p->received > RECEIVED_MAX) {
                        probe_io_fail(p, "the answer has no end");
                        return;
                }
                bool over = p->kind == PROBE_IO_HTTP ? http_receive(p, n <= 0) : probe_grpc_receive(p, n <= 0);
                if (over)
                        return;
                if (n <= 0) {
                        fail_read(p, errnum);
                        return;
                }
                if (p->out.len && !send_out(p))
                        return;
        }
}

/* Returns false when the probe is over. */
static bool ask(struct probe_io *p) {
        p->connected = true;
        if (p->kind == PROBE_IO_TCP) {
                probe_io_finish(p, RUN_SUCCESS, "%s", "");
                return false;
        }
        if (p->kind == PROBE_IO_HTTP)
                http_ask(p);
        else
                probe_grpc_ask(p);
        return true;
}

static void socket_ready(void *arg, int events) {
        struct probe_io *p = arg;

        if (!p->connected) {
                int errnum = 0;
                socklen_t len = sizeof(errnum);
                getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
                if (errnum) {
                        fail_connect(p, errnum);
                        return;
                }
                if (!ask(p))
                        return;
                events = LOOP_WRITABLE;
        }
        if (events & LOOP_WRITABLE && !send_out(p))
                return;
        if (events & LOOP_READABLE)
                receive_in(p);
}

static bool connect_to(struct probe_io *p, const struct sockaddr *address, socklen_t len) {
        p->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (p->fd < 0) {
                probe_io_finish(p, RUN_ERROR, "socket: %s", strerror(errno));
                return false;
        }
        if (p->kind == PROBE_IO_GRPC) /* the others send one piece */
                setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        bool connected = connect(p->fd, address, len) == 0;
        /* On this machine, the pod's network included, the other side has mostly answered by now: asked again,
         * connect(2) says so, and there is nothing to wait for. */
        if (!connected && errno == EINPROGRESS)
                connected = connect(p->fd, address, len) == 0 || errno == EISCONN;
        if (!connected && errno != EALREADY && errno != EINPROGRESS) {
                fail_connect(p, errno);
                return false;
        }
        if (connected && !ask(p))
                return false;
        _cleanup_error_ struct error *err =
                loop_io_new(p->loop, p->fd, connected ? LOOP_READABLE : LOOP_WRITABLE, socket_ready, p, &p->io);
        if (err) {
                probe_io_finish(p, RUN_ERROR, "%s", error_message(err));
                return false;
        }
        return !connected || send_out(p);
}

static bool connect_numeric(struct probe_io *p, const char *host) {
        struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM },
                        *found = NULL;
        char service[8];

        snprintf(service, sizeof(service), "%u", p->port);
        if (getaddrinfo(host, service, &hints, &found) != 0)
                return false;
        connect_to(p, found->ai_addr, found->ai_addrlen);
        freeaddrinfo(found);
        return true;
}

/* The first address that getent prints. */
static void looked_up(void *arg, struct loop_command_result *result) {
        struct probe_io *p = arg;

        p->lookup = NULL;
        result->output[strcspn(result->output, " \t\n")] = '\0';
        if (!*result->output || !connect_numeric(p, result->output)) {
                _cleanup_free_ char *text = xasprintf("dial tcp: lookup %s: no such host", p->host);
                probe_io_fail(p, text);
        }
}

/* Names are rare in probes, and the C library's lookup blocks: another process does it. */
static bool connect_now(struct probe_io *p) {
        const char *host = streq(p->host, "localhost") ? "127.0.0.1" : p->host;

        if (connect_numeric(p, host))
                return true;
        char *argv[] = { "getent", "ahosts", p->host, NULL };
        struct loop_command_options options = { .argv = argv, .gather_output = true };
        _cleanup_error_ struct error *err = loop_command_new(p->loop, &options, looked_up, p, &p->lookup);
        if (err)
                probe_io_finish(p, RUN_ERROR, "look up %s: %s", p->host, error_message(err));
        return !err;
}

static void begin(void *arg) {
        struct probe_io *p = arg;
        connect_now(p);
}

static void headers_prepare(struct probe_io *p, const struct probe_io_request *r) {
        struct strbuf lines = STRBUF_INIT;
        bool agent = false, accept = false;

        for (size_t i = 0; i < r->n_headers; i++) {
                const char *name = r->headers[i]->name, *value = r->headers[i]->value ? r->headers[i]->value : "";
                if (strcasecmp(name, "host") == 0) {
                        free(p->host_header);
                        p->host_header = xstrdup(value);
                        continue;
                }
                agent |= strcasecmp(name, "user-agent") == 0;
                accept |= strcasecmp(name, "accept") == 0;
                /* An empty User-Agent or Accept means: do not send one. */
                if (*value || (strcasecmp(name, "user-agent") != 0 && strcasecmp(name, "accept") != 0))
                        strbuf_addf(&lines, "%s: %s\r\n", name, value);
        }
        if (!agent)
                strbuf_adds(&lines, "User-Agent: kube-probe/1.36\r\n");
        if (!accept)
                strbuf_adds(&lines, "Accept: */*\r\n");
        p->header_lines = strbuf_take(&lines);
}

struct probe_io *probe_io_new(struct loop *loop, const struct probe_io_request *r, probe_io_callback callback,
                              void *arg) {
        struct probe_io *p = new0(struct probe_io);

        *p = (struct probe_io){ .loop = loop,
                                .callback = callback,
                                .arg = arg,
                                .kind = r->kind,
                                .host = xstrdup(r->host),
                                .path = xstrdup(str_empty(r->path) ? "/" : r->path),
                                .service = xstrdup(r->service ? r->service : ""),
                                .port = r->port,
                                .any_status = r->any_status,
                                .timeout_ns = r->timeout_ns,
                                .fd = -EBADF,
                                .grpc_status = -1 };
        if (*p->path != '/') {
                char *path = xasprintf("/%s", p->path);
                free(p->path);
                p->path = path;
        }
        headers_prepare(p, r);
        p->timer = loop_timer_new(loop, timed_out, p);
        if (r->timeout_ns > 0)
                loop_timer_set(p->timer, r->timeout_ns);
        p->begin = loop_deferred_new(loop, begin, p);
        loop_deferred_arm(p->begin);
        return p;
}
