#include "husk-resolver/serve.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/str.h"
#include "husk-resolver/answer.h"

#define PORT 53
#define DATAGRAMS_AT_ONCE 32
#define CONNECTIONS_MAX 64
/* So that no pod can keep the others from being heard. */
#define ASKED_BY_ONE_MAX 128
#define CONNECTIONS_OF_ONE_MAX 16
#define IDLE_NS (10 * NSEC_PER_SEC)

struct listener {
        struct serve *serve;
        int fd;
        struct loop_io *io;
};

/* A question by UDP that another server has to answer. */
struct asked {
        struct listener *listener;
        struct sockaddr_storage client;
        socklen_t client_len;
        struct forward *forward;
        uint8_t *question;
        size_t len;
        struct asked *next;
};

struct connection {
        struct serve *serve;
        int fd;
        struct loop_io *io;
        struct loop_timer *idle;
        struct sockaddr_storage client;
        struct strbuf in, out;
        size_t sent;
        bool ended; /* the client sends no more */
        struct forward *forward;
        struct connection *next;
};

struct serve {
        struct loop *loop;
        struct pods *pods;
        struct forwarder *forwarder;
        struct net_gateway gateway;
        struct listener listeners[4]; /* UDP and TCP of both families */
        size_t n_listeners;
        struct asked *asked;
        struct connection *connections;
        size_t n_connections;
        uint8_t buffer[DNS_MESSAGE_MAX];
};

/* ---- who asks ---- */

static const uint8_t *address_bytes(const struct sockaddr_storage *a, size_t *ret_len) {
        *ret_len = a->ss_family == AF_INET6 ? 16 : 4;
        return a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_addr.s6_addr
                                        : (const uint8_t *)&((const struct sockaddr_in *)a)->sin_addr;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b) {
        size_t len;
        const uint8_t *bytes = address_bytes(a, &len);
        return a->ss_family == b->ss_family && memcmp(bytes, address_bytes(b, &len), len) == 0;
}

/* Is it of the pods' range? A machine answers for each of its addresses whoever reaches it, so the question may come
 * from anywhere. */
static bool is_pods(const struct serve *s, const struct sockaddr_storage *client) {
        bool six = client->ss_family == AF_INET6;
        unsigned bits = six ? s->gateway.prefix6 : s->gateway.prefix4;
        uint8_t own[16] = { 0 };
        size_t len;
        const uint8_t *bytes = address_bytes(client, &len);

        if (inet_pton(client->ss_family, six ? s->gateway.ip6 : s->gateway.ip4, own) != 1)
                return false;
        for (unsigned i = 0; i < bits; i++)
                if ((own[i / 8] ^ bytes[i / 8]) & 0x80 >> i % 8)
                        return false;
        return true;
}

/* ---- UDP ---- */

static void asked_free(struct asked *a) {
        struct asked **p = &a->listener->serve->asked;

        while (*p != a)
                p = &(*p)->next;
        *p = a->next;
        forward_free(a->forward);
        free(a->question);
        free(a);
}

static void send_to(const struct listener *l, const struct sockaddr_storage *client, socklen_t client_len,
                    const uint8_t *message, size_t len) {
        /* What has no room now is lost as on the way, and asked again. */
        sendto(l->fd, message, len, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)client, client_len);
}

static void datagram_answered(void *arg, uint8_t *message, size_t len) {
        struct asked *a = arg;
        struct dns_query query;
        uint8_t failure[DNS_UDP_MIN];

        a->forward = NULL;
        if (message) {
                dns_query_parse(a->question, a->len, &query);
                len = dns_response_cut(message, len, query.udp_size);
        } else {
                message = failure;
                len = answer_failure(a->question, a->len, failure, sizeof(failure));
        }
        send_to(a->listener, &a->client, a->client_len, message, len);
        asked_free(a);
}

static size_t asked_by(const struct serve *s, const struct sockaddr_storage *client) {
        size_t n = 0;

        for (const struct asked *a = s->asked; a; a = a->next)
                n += same_address(&a->client, client);
        return n;
}

static void datagram_forward(struct listener *l, const struct sockaddr_storage *client, socklen_t client_len,
                             size_t len) {
        struct serve *s = l->serve;
        struct asked *a;

        if (asked_by(s, client) >= ASKED_BY_ONE_MAX)
                return;
        a = new0(struct asked);
        *a = (struct asked){ .listener = l,
                             .client = *client,
                             .client_len = client_len,
                             .question = xmemdup(s->buffer, len),
                             .len = len,
                             .next = s->asked };
        s->asked = a;
        a->forward = forward_new(s->forwarder, s->buffer, len, false, datagram_answered, a);
        if (!a->forward)
                asked_free(a);
}

static void datagram_came(void *arg, int events) {
        struct listener *l = arg;
        struct serve *s = l->serve;
        uint8_t out[DNS_UDP_MAX];

        for (unsigned i = 0; i < DATAGRAMS_AT_ONCE; i++) {
                struct sockaddr_storage client = { 0 };
                socklen_t client_len = sizeof(client);
                ssize_t n = recvfrom(l->fd, s->buffer, sizeof(s->buffer), MSG_DONTWAIT, (struct sockaddr *)&client,
                                     &client_len);
                if (n < 0)
                        return;
                if (!is_pods(s, &client))
                        continue;
                ssize_t len = answer(pods_zone(s->pods), s->buffer, (size_t)n, true, out, sizeof(out));
                if (len > 0)
                        send_to(l, &client, client_len, out, (size_t)len);
                else if (len == 0)
                        datagram_forward(l, &client, client_len, (size_t)n);
        }
}

/* ---- TCP ---- */

static void connection_free(struct connection *c) {
        struct connection **p = &c->serve->connections;

        while (*p != c)
                p = &(*p)->next;
        *p = c->next;
        c->serve->n_connections--;
        forward_free(c->forward);
        loop_io_free(c->io);
        loop_timer_free(c->idle);
        fd_close(c->fd);
        strbuf_release(&c->in);
        strbuf_release(&c->out);
        free(c);
}

static void connection_idle(void *arg) {
        connection_free(arg);
}

/* Sends what there is to send; false: the connection is gone. */
static bool connection_flush(struct connection *c) {
        while (c->sent < c->out.len) {
                ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return false;
                if (n < 0)
                        return true;
                c->sent += (size_t)n;
        }
        c->out.len = c->sent = 0;
        return true;
}

static void queue(struct connection *c, const uint8_t *message, size_t len) {
        uint8_t head[2];

        dns_set_id(head, (uint16_t)len);
        strbuf_add(&c->out, (char *)head, 2);
        strbuf_add(&c->out, (const char *)message, len);
        loop_timer_set(c->idle, IDLE_NS);
}

static void connection_continue(struct connection *c);

static void stream_answered(void *arg, uint8_t *message, size_t len) {
        struct connection *c = arg;
        uint8_t failure[DNS_UDP_MIN];
        size_t asked = dns_id((uint8_t *)c->in.data);

        c->forward = NULL;
        if (message)
                queue(c, message, len);
        else
                queue(c, failure, answer_failure((uint8_t *)c->in.data + 2, asked, failure, sizeof(failure)));
        memmove(c->in.data, c->in.data + 2 + asked, c->in.len - 2 - asked);
        c->in.len -= 2 + asked;
        connection_continue(c);
}

/* Answers the first question that is there, or hands it on; false: there is none, or it is no question. */
static bool connection_take(struct connection *c, bool *ret_bad) {
        struct serve *s = c->serve;
        size_t len = c->in.len < 2 ? 0 : dns_id((uint8_t *)c->in.data);

        if (c->in.len < 2 || c->in.len < 2 + len)
                return false;
        uint8_t *question = (uint8_t *)c->in.data + 2;
        ssize_t n = answer(pods_zone(s->pods), question, len, false, s->buffer, sizeof(s->buffer));
        if (n == 0) {
                c->forward = forward_new(s->forwarder, question, len, true, stream_answered, c);
                *ret_bad = !c->forward;
                return false;
        }
        if (n < 0) {
                *ret_bad = true;
                return false;
        }
        queue(c, s->buffer, (size_t)n);
        memmove(c->in.data, c->in.data + 2 + len, c->in.len - 2 - len);
        c->in.len -= 2 + len;
        return true;
}

/* One question after the other; what comes meanwhile waits in the kernel. */
static void connection_continue(struct connection *c) {
        bool bad = false;

        do {
                if (!connection_flush(c)) {
                        connection_free(c);
                        return;
                }
        } while (!c->out.len && !c->forward && connection_take(c, &bad));
        if (bad || (c->ended && !c->forward && !c->out.len)) {
                connection_free(c);
                return;
        }
        bool full = c->in.len >= 2U + DNS_MESSAGE_MAX;
        loop_io_set(c->io, (c->out.len ? LOOP_WRITABLE : 0) | (c->forward || full || c->ended ? 0 : LOOP_READABLE));
}

static void connection_ready(void *arg, int events) {
        struct connection *c = arg;
        uint8_t chunk[4096];

        if (!c->forward && !c->ended && c->in.len < 2U + DNS_MESSAGE_MAX) {
                ssize_t n = recv(c->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
                if (n > 0)
                        strbuf_add(&c->in, (char *)chunk, (size_t)n);
                c->ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
        }
        connection_continue(c);
}

static size_t connections_of(const struct serve *s, const struct sockaddr_storage *client) {
        size_t n = 0;

        for (const struct connection *c = s->connections; c; c = c->next)
                n += same_address(&c->client, client);
        return n;
}

static void connection_came(void *arg, int events) {
        struct listener *l = arg;
        struct serve *s = l->serve;
        struct sockaddr_storage client = { 0 };
        socklen_t len = sizeof(client);
        _cleanup_close_ int fd = accept4(l->fd, (struct sockaddr *)&client, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 || !is_pods(s, &client) || s->n_connections >= CONNECTIONS_MAX ||
            connections_of(s, &client) >= CONNECTIONS_OF_ONE_MAX)
                return;
        struct connection *c = new0(struct connection);
        *c = (struct connection){ .serve = s,
                                  .fd = TAKE_FD(fd),
                                  .client = client,
                                  .in = STRBUF_INIT,
                                  .out = STRBUF_INIT,
                                  .next = s->connections };
        s->connections = c;
        s->n_connections++;
        c->idle = loop_timer_new(s->loop, connection_idle, c);
        loop_timer_set(c->idle, IDLE_NS);
        _cleanup_error_ struct error *err = loop_io_new(s->loop, c->fd, LOOP_READABLE, connection_ready, c, &c->io);
        if (err)
                connection_free(c);
}

/* ---- listening ---- */

static struct error *listener_add(struct serve *s, int family, const char *ip, int type) {
        struct sockaddr_storage address = { .ss_family = (sa_family_t)family };
        struct sockaddr_in *in4 = (struct sockaddr_in *)&address;
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
        socklen_t len = family == AF_INET6 ? sizeof(*in6) : sizeof(*in4);
        struct listener *l = &s->listeners[s->n_listeners];
        int one = 1;

        if (family == AF_INET6)
                in6->sin6_port = htons(PORT);
        else
                in4->sin_port = htons(PORT);
        inet_pton(family, ip, family == AF_INET6 ? (void *)&in6->sin6_addr : (void *)&in4->sin_addr);
        _cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 && errno == EAFNOSUPPORT)
                return NULL;
        /* The bridge comes with the first pod and may go with the last. */
        bool ok = fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one)) == 0 &&
                  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
                  (family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0) &&
                  bind(fd, (struct sockaddr *)&address, len) == 0 && (type != SOCK_STREAM || listen(fd, 64) == 0);
        if (!ok)
                return error_errno(errno, "listen on port %d of %s by %s", PORT, ip,
                                   type == SOCK_STREAM ? "TCP" : "UDP");
        *l = (struct listener){ .serve = s, .fd = fd };
        struct error *err = loop_io_new(s->loop, fd, LOOP_READABLE,
                                        type == SOCK_STREAM ? connection_came : datagram_came, l, &l->io);
        if (err)
                return err;
        s->n_listeners++;
        TAKE_FD(fd);
        return NULL;
}

struct error *serve_new(struct loop *loop, struct pods *pods, struct forwarder *forwarder,
                        const struct net_gateway *gateway, struct serve **ret) {
        static const int types[] = { SOCK_DGRAM, SOCK_STREAM };
        struct serve *s = new0(struct serve);
        struct error *err = NULL;

        s->loop = loop;
        s->pods = pods;
        s->forwarder = forwarder;
        s->gateway = *gateway;
        for (size_t i = 0; !err && i < ARRAY_SIZE(types); i++) {
                if (*gateway->ip4)
                        err = listener_add(s, AF_INET, gateway->ip4, types[i]);
                if (!err && *gateway->ip6)
                        err = listener_add(s, AF_INET6, gateway->ip6, types[i]);
        }
        if (err) {
                serve_free(s);
                return err;
        }
        *ret = s;
        return NULL;
}

struct serve *serve_free(struct serve *s) {
        if (!s)
                return NULL;
        while (s->asked)
                asked_free(s->asked);
        while (s->connections)
                connection_free(s->connections);
        for (size_t i = 0; i < s->n_listeners; i++) {
                loop_io_free(s->listeners[i].io);
                fd_close(s->listeners[i].fd);
        }
        free(s);
        return NULL;
}
