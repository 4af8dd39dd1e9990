/* husk-probe - one HTTPS probe or hook, for husk-pod, which would cost each pod several megabytes if it spoke TLS
 * itself.
 *
 *   husk-probe https|https-any HOST PORT PATH TIMEOUT_MS ["NAME: VALUE"]…
 *
 * As a kubelet: certificates are not verified, 200 to 399 is success, redirects within the host are followed, one to
 * another host is a success with a warning; https-any (a hook) takes any answer, one in plain HTTP after asking again
 * in plain HTTP, which is a warning. Prints one line that says what is wrong and exits with 0 success, 1 warning, 2
 * failure, 3 could not be found out (enum run_result of src/husk-pod/ops.h). */
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/str.h"

#define HEAD_MAX (10 * 1024)
#define REDIRECTS_MAX 10
#define NOT_TLS "http: server gave HTTP response to HTTPS client"
#define HANDSHAKE_MAX_NS (10 * NSEC_PER_SEC) /* as Go's */

enum { SUCCESS, WARNING, FAILURE, UNKNOWN };

struct request {
        bool any_status; /* a hook: any answer is a success, and one in plain HTTP makes it ask again without TLS */
        bool plain;      /* it does so */
        const char *host, *port;
        char *path;
        char *const *headers;
        int64_t deadline_ns;           /* 0: none */
        int64_t handshake_deadline_ns; /* of TLS, while that is under way; 0: it is not */
        char *authority;
};

static _noreturn_ void end(int status, const char *format, ...) _printf_(2, 3);
static _noreturn_ void end(int status, const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        vprintf(format, ap);
        va_end(ap);
        putchar('\n');
        fflush(stdout);
        _exit(status);
}

static _noreturn_ void fail(const struct request *r, const char *text) {
        if (r->plain) /* the second try in vain is not what is wrong */
                text = NOT_TLS;
        end(FAILURE, "Get \"https://%s%s\": %s", r->authority, r->path, text);
}

static void wait_for(const struct request *r, int fd, short events) {
        struct pollfd p = { .fd = fd, .events = events };
        int64_t deadline_ns = r->deadline_ns;
        int timeout = -1;

        if (r->handshake_deadline_ns && (!deadline_ns || r->handshake_deadline_ns < deadline_ns))
                deadline_ns = r->handshake_deadline_ns;
        if (deadline_ns) {
                int64_t left = deadline_ns - clock_monotonic_ns();
                timeout = left > 0 ? (int)(left / NSEC_PER_MSEC) + 1 : 0;
        }
        if (poll(&p, 1, timeout) != 0)
                return;
        if (deadline_ns == r->handshake_deadline_ns)
                fail(r, "net/http: TLS handshake timeout");
        fail(r, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
}

static int connect_tcp(const struct request *r) {
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
        int errnum = 0;
        socklen_t len = sizeof(errnum);

        if (getaddrinfo(r->host, r->port, &hints, &found) != 0) {
                _cleanup_free_ char *text = xasprintf("dial tcp: lookup %s: no such host", r->host);
                fail(r, text);
        }
        int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                end(UNKNOWN, "socket: %s", strerror(errno));
        if (connect(fd, found->ai_addr, found->ai_addrlen) < 0 && errno != EINPROGRESS)
                errnum = errno;
        freeaddrinfo(found);
        if (!errnum) {
                wait_for(r, fd, POLLOUT);
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
        }
        if (errnum) {
                _cleanup_free_ char *text = xasprintf("dial tcp %s: connect: %s", r->authority,
                                                      errnum == ECONNREFUSED ? "connection refused" : strerror(errnum));
                fail(r, text);
        }
        return fd;
}

/* Waits for what the session waits for; anything but "again" is the end. */
static void tls_again(const struct request *r, gnutls_session_t session, int fd, int rc) {
        if (rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED)
                wait_for(r, fd, gnutls_record_get_direction(session) ? POLLOUT : POLLIN);
        else if (gnutls_error_is_fatal(rc))
                fail(r, gnutls_strerror(rc));
}

/* What gnutls reads from. A server that speaks no TLS answers a handshake with an error of HTTP. */
struct wire {
        int fd;
        bool seen, http; /* something has come; it was HTTP */
};

static ssize_t wire_pull(gnutls_transport_ptr_t arg, void *data, size_t size) {
        struct wire *wire = arg;
        ssize_t n = recv(wire->fd, data, size, 0);

        if (n > 0 && !wire->seen) {
                wire->seen = true;
                wire->http = n >= 5 && memcmp(data, "HTTP/", 5) == 0; /* a record's head has 5 bytes */
        }
        return n;
}

static ssize_t wire_push(gnutls_transport_ptr_t arg, const void *data, size_t size) {
        return send(((struct wire *)arg)->fd, data, size, MSG_NOSIGNAL);
}

/* NULL: the server speaks plain HTTP. */
static gnutls_session_t tls_begin(struct request *r, struct wire *wire) {
        gnutls_certificate_credentials_t credentials;
        gnutls_session_t session;
        struct addrinfo hints = { .ai_flags = AI_NUMERICHOST }, *numeric;
        int rc;

        gnutls_certificate_allocate_credentials(&credentials);
        if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK) < 0)
                end(UNKNOWN, "TLS cannot be initialised");
        gnutls_set_default_priority(session);
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
        if (getaddrinfo(r->host, NULL, &hints, &numeric) == 0)
                freeaddrinfo(numeric); /* an address is no server name */
        else
                gnutls_server_name_set(session, GNUTLS_NAME_DNS, r->host, strlen(r->host));
        gnutls_transport_set_ptr(session, wire);
        gnutls_transport_set_pull_function(session, wire_pull);
        gnutls_transport_set_push_function(session, wire_push);
        r->handshake_deadline_ns = clock_monotonic_ns() + HANDSHAKE_MAX_NS;
        while ((rc = gnutls_handshake(session)) < 0) {
                if (wire->http) {
                        r->handshake_deadline_ns = 0;
                        gnutls_deinit(session);
                        return NULL;
                }
                tls_again(r, session, wire->fd, rc);
        }
        r->handshake_deadline_ns = 0;
        return session;
}

static char *request_text(const struct request *r) {
        struct strbuf text = STRBUF_INIT;
        const char *host = r->authority;
        bool agent = false, accept = false;

        for (char *const *h = r->headers; *h; h++)
                if (strncasecmp(*h, "host:", 5) == 0)
                        host = *h + 5 + strspn(*h + 5, " ");
        strbuf_addf(&text, "GET %s HTTP/1.1\r\nHost: %s\r\n", r->path, host);
        for (char *const *h = r->headers; *h; h++) {
                if (strncasecmp(*h, "host:", 5) == 0 || (r->plain && strncasecmp(*h, "authorization:", 14) == 0))
                        continue;
                agent |= strncasecmp(*h, "user-agent:", 11) == 0;
                accept |= strncasecmp(*h, "accept:", 7) == 0;
                strbuf_addf(&text, "%s\r\n", *h);
        }
        strbuf_addf(&text, "%s%sConnection: close\r\n\r\n", agent ? "" : "User-Agent: kube-probe/1.36\r\n",
                    accept ? "" : "Accept: */*\r\n");
        return strbuf_take(&text);
}

/* A connection with or without TLS. */
struct stream {
        int fd;
        gnutls_session_t session; /* NULL: plain */
};

static ssize_t stream_result(const struct request *r, const struct stream *s, ssize_t n, short events) {
        if (n >= 0)
                return n;
        if (s->session)
                tls_again(r, s->session, s->fd, (int)n);
        else if (errno == EAGAIN || errno == EINTR)
                wait_for(r, s->fd, events);
        else
                fail(r, errno == ECONNRESET ? "read: connection reset by peer" : strerror(errno));
        return -1;
}

/* Bytes sent; -1: wait is over, try again. */
static ssize_t stream_send(const struct request *r, const struct stream *s, const char *data, size_t len) {
        ssize_t n = s->session ? gnutls_record_send(s->session, data, len) : send(s->fd, data, len, MSG_NOSIGNAL);
        return stream_result(r, s, n, POLLOUT);
}

/* Bytes received, 0 at the end; -1: wait is over, try again. */
static ssize_t stream_receive(const struct request *r, const struct stream *s, char *data, size_t size) {
        ssize_t n = s->session ? gnutls_record_recv(s->session, data, size) : recv(s->fd, data, size, 0);
        return n == GNUTLS_E_PREMATURE_TERMINATION && s->session ? 0 : stream_result(r, s, n, POLLIN);
}

/* The answer up to the end of its headers; NULL: TLS was met with plain HTTP. */
static char *exchange(struct request *r) {
        _cleanup_close_ int fd = connect_tcp(r);
        struct wire wire = { .fd = fd };
        struct stream s = { .fd = fd, .session = r->plain ? NULL : tls_begin(r, &wire) };
        _cleanup_free_ char *text = request_text(r);
        struct strbuf head = STRBUF_INIT;
        char chunk[2048];
        ssize_t n;

        if (!s.session && !r->plain)
                return NULL;
        for (size_t sent = 0; sent < strlen(text);) {
                n = stream_send(r, &s, text + sent, strlen(text) - sent);
                if (n > 0)
                        sent += n;
        }
        while (!head.data || (!strstr(head.data, "\r\n\r\n") && head.len < HEAD_MAX)) {
                n = stream_receive(r, &s, chunk, sizeof(chunk));
                if (n == 0)
                        break;
                if (n > 0)
                        strbuf_add(&head, chunk, n);
        }
        if (!head.len)
                fail(r, "EOF");
        if (s.session)
                gnutls_deinit(s.session);
        return strbuf_take(&head);
}

static char *location_of(const char *head) {
        for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
                line += 2;
                if (strncasecmp(line, "location:", 9) == 0) {
                        const char *value = line + 9 + strspn(line + 9, " \t");
                        return xstrndup(value, strcspn(value, "\r\n"));
                }
        }
        return NULL;
}

/* The path to ask next, or NULL: the redirect leaves the host. */
static char *redirect_path(const struct request *r, const char *location) {
        if (!strstr(location, "://"))
                return xasprintf("%s%s", *location == '/' ? "" : "/", location);
        const char *authority = strstr(location, "://") + 3;
        size_t len = strcspn(authority, "/?#");
        bool same = strlen(r->authority) == len && strncmp(authority, r->authority, len) == 0;
        if (!same || !str_starts_with(location, r->plain ? "http://" : "https://"))
                return NULL;
        return xstrdup(authority[len] ? authority + len : "/");
}

static _noreturn_ void run(struct request *r) {
        for (int redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
                _cleanup_free_ char *head = exchange(r), *location = NULL;
                int status;

                if (!head && !r->any_status)
                        fail(r, NOT_TLS);
                if (!head) {
                        r->plain = true;
                        continue;
                }
                if (sscanf(head, "HTTP/%*d.%*d %3d", &status) != 1)
                        fail(r, "net/http: HTTP/1.x transport connection broken: malformed HTTP response");
                if (status >= 300 && status < 400)
                        location = location_of(head);
                if (!r->any_status && (status < 200 || status >= 400))
                        end(FAILURE, "HTTP probe failed with statuscode: %d", status);
                char *path = location ? redirect_path(r, location) : NULL;
                if (!path && r->plain)
                        end(WARNING, "request to HTTPS lifecycle hook %s got HTTP response, retry with HTTP succeeded",
                            r->authority);
                if (!location || (!path && r->any_status))
                        end(SUCCESS, "%s", "");
                if (!path)
                        end(WARNING, "Probe terminated redirects, Response body: ");
                free(r->path);
                r->path = path;
        }
        fail(r, "stopped after 10 redirects");
}

int main(int argc, char **argv) {
        uint64_t timeout_ms;

        if (argc < 6 || (!streq(argv[1], "https") && !streq(argv[1], "https-any")) ||
            !str_to_u64(argv[5], &timeout_ms)) {
                fprintf(stderr, "usage: husk-probe https|https-any HOST PORT PATH TIMEOUT_MS [\"NAME: VALUE\"]…\n");
                return UNKNOWN;
        }
        struct request r = {
                .any_status = streq(argv[1], "https-any"),
                .host = argv[2],
                .port = argv[3],
                .path = xasprintf("%s%s", *argv[4] == '/' ? "" : "/", argv[4]),
                .headers = argv + 6,
                .deadline_ns = timeout_ms ? clock_monotonic_ns() + (int64_t)timeout_ms * NSEC_PER_MSEC : 0,
        };
        r.authority = xasprintf(strchr(r.host, ':') ? "[%s]:%s" : "%s:%s", r.host, r.port);
        run(&r);
}
