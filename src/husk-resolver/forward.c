#include "husk-resolver/forward.h"

#include <netdb.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/str.h"

#define FORWARDS_MAX 512
#define TRY_NS (2 * NSEC_PER_SEC) /* then the next server */
#define ROUNDS 2
#define SERVERS_MAX 3 /* as many as a C library asks */

struct server {
        struct sockaddr_storage address;
        socklen_t len;
};

struct forwarder {
        struct loop *loop;
        struct server servers[SERVERS_MAX];
        size_t n_servers, n_forwards;
};

struct forward {
        struct forwarder *forwarder;
        uint8_t *question; /* behind the two bytes of its length that TCP has */
        size_t len;
        uint16_t client_id;
        bool tcp;
        unsigned attempts;
        int fd;
        struct loop_io *io;
        struct loop_timer *timer;
        size_t sent;          /* TCP: of length and question */
        struct strbuf answer; /* TCP: of length and answer */
        forward_callback callback;
        void *arg;
};

struct forwarder *forwarder_new(struct loop *loop, char *const *servers) {
        struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM }, *info;
        struct forwarder *f = new0(struct forwarder);

        f->loop = loop;
        for (; servers && *servers && f->n_servers < SERVERS_MAX; servers++) {
                struct server *s = &f->servers[f->n_servers];
                if (getaddrinfo(*servers, "53", &hints, &info) != 0)
                        continue; /* as a C library passes over what is no address */
                memcpy(&s->address, info->ai_addr, info->ai_addrlen);
                s->len = info->ai_addrlen;
                f->n_servers++;
                freeaddrinfo(info);
        }
        return f;
}

struct forwarder *forwarder_free(struct forwarder *f) {
        free(f);
        return NULL;
}

static void connection_close(struct forward *f) {
        f->io = loop_io_free(f->io);
        f->fd = fd_close(f->fd);
        strbuf_release(&f->answer);
        f->answer = (struct strbuf)STRBUF_INIT;
        f->sent = 0;
}

struct forward *forward_free(struct forward *f) {
        if (!f)
                return NULL;
        connection_close(f);
        loop_timer_free(f->timer);
        f->forwarder->n_forwards--;
        free(f->question);
        free(f);
        return NULL;
}

static void forward_done(struct forward *f, uint8_t *answer, size_t len) {
        forward_callback callback = f->callback;
        void *arg = f->arg;

        if (answer)
                dns_set_id(answer, f->client_id);
        forward_free(f);
        callback(arg, answer, len);
}

/* ---- UDP ---- */

static void datagram_came(void *arg, int events) {
        static uint8_t buffer[DNS_MESSAGE_MAX];
        struct forward *f = arg;
        ssize_t n = recv(f->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                f->io = loop_io_free(f->io);
                loop_timer_set(f->timer, 0); /* nobody listens there: the next one */
        } else if (n > 0 && dns_response_answers(buffer, (size_t)n, f->question + 2, f->len)) {
                forward_done(f, buffer, (size_t)n);
        }
}

/* ---- TCP: the length in two bytes goes before each message ---- */

static bool stream_send(struct forward *f) {
        ssize_t n = send(f->fd, f->question + f->sent, f->len + 2 - f->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        f->sent += (size_t)n;
        if (f->sent == f->len + 2)
                loop_io_set(f->io, LOOP_READABLE);
        return true;
}

/* Takes in what has come; false: it ended too soon. *ret_whole: it is complete. */
static bool stream_receive(struct forward *f, bool *ret_whole) {
        uint8_t chunk[4096];
        ssize_t n = recv(f->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        if (n == 0)
                return false;
        strbuf_add(&f->answer, (char *)chunk, (size_t)n);
        *ret_whole = f->answer.len >= 2 && f->answer.len >= 2U + dns_id((uint8_t *)f->answer.data);
        return f->answer.len <= 2U + DNS_MESSAGE_MAX + sizeof(chunk);
}

static void stream_ready(void *arg, int events) {
        struct forward *f = arg;
        bool whole = false, good = f->sent < f->len + 2 ? stream_send(f) : stream_receive(f, &whole);

        if (whole) {
                size_t len = dns_id((uint8_t *)f->answer.data);
                _cleanup_free_ uint8_t *answer = xmemdup(f->answer.data + 2, len + 1);
                if (dns_response_answers(answer, len, f->question + 2, f->len)) {
                        forward_done(f, answer, len);
                        return;
                }
                good = false;
        }
        if (!good) {
                f->io = loop_io_free(f->io);
                loop_timer_set(f->timer, 0);
        }
}

/* ---- one server after the other ---- */

static bool try_server(struct forward *f, const struct server *s) {
        int type = (f->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
        uint16_t id;

        connection_close(f);
        if (getrandom(&id, sizeof(id), 0) != sizeof(id))
                return false;
        dns_set_id(f->question + 2, id);
        f->fd = socket(s->address.ss_family, type, 0);
        if (f->fd < 0 || (connect(f->fd, (const struct sockaddr *)&s->address, s->len) < 0 && errno != EINPROGRESS))
                return false;
        if (!f->tcp && send(f->fd, f->question + 2, f->len, MSG_NOSIGNAL) < 0)
                return false;
        _cleanup_error_ struct error *err =
                loop_io_new(f->forwarder->loop, f->fd, f->tcp ? LOOP_WRITABLE : LOOP_READABLE,
                            f->tcp ? stream_ready : datagram_came, f, &f->io);
        return !err;
}

static void try_next(void *arg) {
        struct forward *f = arg;
        size_t n = f->forwarder->n_servers;

        while (f->attempts < n * ROUNDS)
                if (try_server(f, &f->forwarder->servers[f->attempts++ % n])) {
                        loop_timer_set(f->timer, TRY_NS);
                        return;
                }
        forward_done(f, NULL, 0);
}

struct forward *forward_new(struct forwarder *forwarder, const uint8_t *question, size_t len, bool tcp,
                            forward_callback callback, void *arg) {
        if (forwarder->n_forwards >= FORWARDS_MAX || len > DNS_MESSAGE_MAX)
                return NULL;
        struct forward *f = new0(struct forward);
        *f = (struct forward){ .forwarder = forwarder,
                               .question = xcalloc(1, len + 2),
                               .len = len,
                               .client_id = dns_id(question),
                               .tcp = tcp,
                               .fd = -EBADF,
                               .answer = STRBUF_INIT,
                               .callback = callback,
                               .arg = arg };
        dns_set_id(f->question, (uint16_t)len);
        memcpy(f->question + 2, question, len);
        f->timer = loop_timer_new(forwarder->loop, try_next, f);
        loop_timer_set(f->timer, 0);
        forwarder->n_forwards++;
        return f;
}
