/* husk-probe - one HTTPS probe or hook, for husk-pod, which would cost each pod several megabytes if it spoke TLS
 * itself.
 *
 *   husk-probe https|https-any HOST PORT PATH TIMEOUT_MS ["NAME: VALUE"]…
 *
 * As a kubelet: certificates are not verified, 200 to 399 is success, redirects within the host are followed, one to
 * another host is a success with a warning; https-any (a hook) takes any answer. Prints one line that says what is
 * wrong and exits with 0 success, 1 warning, 2 failure, 3 could not be found out (enum run_result of
 * src/husk-pod/ops.h). */
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

enum { SUCCESS, WARNING, FAILURE, UNKNOWN };

struct request {
        bool any_status;
        const char *host, *port;
        char *path;
        char *const *headers;
        int64_t deadline_ns; /* 0: none */
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
        end(FAILURE, "Get \"https://%s%s\": %s", r->authority, r->path, text);
}

static void wait_for(const struct request *r, int fd, short events) {
        struct pollfd p = { .fd = fd, .events = events };
        int timeout = -1;

        if (r->deadline_ns) {
                int64_t left = r->deadline_ns - clock_monotonic_ns();
                timeout = left > 0 ? (int)(left / NSEC_PER_MSEC) + 1 : 0;
        }
        if (poll(&p, 1, timeout) == 0)
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

static gnutls_session_t tls_begin(const struct request *r, int fd) {
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
        gnutls_transport_set_int(session, fd);
        while ((rc = gnutls_handshake(session)) < 0)
                tls_again(r, session, fd, rc);
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
                if (strncasecmp(*h, "host:", 5) == 0)
                        continue;
                agent |= strncasecmp(*h, "user-agent:", 11) == 0;
                accept |= strncasecmp(*h, "accept:", 7) == 0;
                strbuf_addf(&text, "%s\r\n", *h);
        }
        strbuf_addf(&text, "%s%sConnection: close\r\n\r\n", agent ? "" : "User-Agent: kube-probe/1.36\r\n",
                    accept ? "" : "Accept: */*\r\n");
        return strbuf_take(&text);
}

/* The answer up to the end of its headers. */
static char *exchange(const struct request *r) {
        _cleanup_close_ int fd = connect_tcp(r);
        gnutls_session_t session = tls_begin(r, fd);
        _cleanup_free_ char *text = request_text(r);
        struct strbuf head = STRBUF_INIT;
        char chunk[2048];
        ssize_t n;

        for (size_t sent = 0; sent < strlen(text);) {
                n = gnutls_record_send(session, text + sent, strlen(text) - sent);
                if (n < 0)
                        tls_again(r, session, fd, (int)n);
                else
                        sent += n;
        }
        while (!head.data || (!strstr(head.data, "\r\n\r\n") && head.len < HEAD_MAX)) {
                n = gnutls_record_recv(session, chunk, sizeof(chunk));
                if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION)
                        break;
                if (n < 0)
                        tls_again(r, session, fd, (int)n);
                else
                        strbuf_add(&head, chunk, n);
        }
        if (!head.len)
                fail(r, "EOF");
        gnutls_deinit(session);
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
        if (!same || !str_starts_with(location, "https://"))
                return NULL;
        return xstrdup(authority[len] ? authority + len : "/");
}

static _noreturn_ void run(struct request *r) {
        for (int redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
                _cleanup_free_ char *head = exchange(r), *location = NULL;
                int status;

                if (sscanf(head, "HTTP/%*d.%*d %3d", &status) != 1)
                        fail(r, "net/http: HTTP/1.x transport connection broken: malformed HTTP response");
                if (status >= 300 && status < 400)
                        location = location_of(head);
                if (r->any_status)
                        end(SUCCESS, "%s", "");
                if (status < 200 || status >= 400)
                        end(FAILURE, "HTTP probe failed with statuscode: %d", status);
                if (!location)
                        end(SUCCESS, "%s", "");
                char *path = redirect_path(r, location);
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
