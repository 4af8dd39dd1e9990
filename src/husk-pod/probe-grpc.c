/* probe-grpc.c - gRPC's health check, as much of HTTP/2 as one question needs
 * (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). */
#include "husk-pod/probe-io-private.h"

#include "base/str.h"

#define GRPC_STREAM 1

enum frame_type {
        FRAME_DATA = 0,
        FRAME_HEADERS = 1,
        FRAME_RST_STREAM = 3,
        FRAME_SETTINGS = 4,
        FRAME_PING = 6,
        FRAME_GOAWAY = 7
};
enum frame_flags { FLAG_END_STREAM = 1, FLAG_ACK = 1, FLAG_END_HEADERS = 4 };

static void frame_add(struct strbuf *b, enum frame_type type, int flags, uint32_t stream, const void *data,
                      size_t len) {
        unsigned char head[9] = {
                len >> 16, len >> 8, len, type, flags, stream >> 24, stream >> 16, stream >> 8, stream
        };
        strbuf_add(b, head, sizeof(head));
        strbuf_add(b, data, len);
}

/* A header field as a literal, not indexed, not compressed (RFC 7541, 6.2.2). `index`: its name in the static table. */
static void field_add(struct strbuf *b, unsigned index, const char *name, const char *value) {
        if (index < 15) {
                strbuf_addc(b, (char)index);
        } else {
                strbuf_addc(b, 15);
                strbuf_addc(b, (char)(index - 15));
        }
        if (!index) {
                strbuf_addc(b, (char)strlen(name));
                strbuf_adds(b, name);
        }
        strbuf_addc(b, (char)MIN(strlen(value), (size_t)126));
        strbuf_add(b, value, MIN(strlen(value), (size_t)126));
}

void probe_grpc_ask(struct probe_io *p) {
        _cleanup_strbuf_ struct strbuf headers = STRBUF_INIT, body = STRBUF_INIT;
        _cleanup_free_ char *address = probe_io_address(p);
        size_t service_len = MIN(strlen(p->service), (size_t)127); /* a field of the manifest: a DNS-like name */

        strbuf_adds(&p->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frame_add(&p->out, FRAME_SETTINGS, 0, 0, "", 0);

        strbuf_add(&headers, "\x83\x86", 2); /* :method POST, :scheme http: whole entries of the static table */
        field_add(&headers, 4, ":path", "/grpc.health.v1.Health/Check");
        field_add(&headers, 1, ":authority", address);
        field_add(&headers, 0, "te", "trailers");
        field_add(&headers, 31, "content-type", "application/grpc");
        field_add(&headers, 58, "user-agent", "kube-probe/1.36");
        frame_add(&p->out, FRAME_HEADERS, FLAG_END_HEADERS, GRPC_STREAM, headers.data, headers.len);

        /* Five bytes: not compressed, length; then HealthCheckRequest{service = 1}. */
        size_t len = service_len ? service_len + 2 : 0;
        strbuf_add(&body, (char[]){ 0, 0, 0, 0, (char)len }, 5);
        if (service_len) {
                strbuf_addc(&body, 0x0a);
                strbuf_addc(&body, (char)service_len);
                strbuf_add(&body, p->service, service_len);
        }
        frame_add(&p->out, FRAME_DATA, FLAG_END_STREAM, GRPC_STREAM, body.data, body.len);
}

/* grpc-status among header fields that are not compressed; -1 if it is not there in the clear. */
static int find_grpc_status(const char *data, size_t len) {
        static const char name[] = "grpc-status";
        const char *p = memmem(data, len, name, sizeof(name) - 1);
        if (!p || (size_t)(p - data) + sizeof(name) + 1 > len)
                return -1;
        p += sizeof(name) - 1;
        unsigned value_len = (unsigned char)*p & 0x7f;
        if (*p & 0x80 || value_len < 1 || value_len > 2 || (size_t)(p + 1 + value_len - data) > len)
                return -1;
        int status = p[1] - '0';
        return value_len == 2 ? status * 10 + (p[2] - '0') : status;
}

static void grpc_judge(struct probe_io *p) {
        static const char *const names[] = { "UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN" };
        const char *m = p->message.data;
        int health = 0;

        if (p->grpc_status == 12) {
                probe_io_finish(
                        p, RUN_FAILURE,
                        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
                        "rpc error: code = Unimplemented");
                return;
        }
        if (p->grpc_status > 0 || p->message.len < 5) {
                probe_io_finish(p, RUN_FAILURE, "error: health rpc probe failed: rpc error: code = %d", p->grpc_status);
                return;
        }
        if (p->message.len >= 7 && m[5] == 0x08) /* HealthCheckResponse{status = 1}; left out when 0 */
                health = (unsigned char)m[6];
        if (health == 1)
                probe_io_finish(p, RUN_SUCCESS, "service healthy");
        else
                probe_io_finish(p, RUN_FAILURE, "service unhealthy (responded with \"%s\")",
                                health >= 0 && health < (int)ARRAY_SIZE(names) ? names[health] : "UNKNOWN");
}

static void grpc_frame(struct probe_io *p, int type, int flags, const char *data, size_t len) {
        if (type == FRAME_SETTINGS && !(flags & FLAG_ACK)) {
                frame_add(&p->out, FRAME_SETTINGS, FLAG_ACK, 0, "", 0);
        } else if (type == FRAME_PING && !(flags & FLAG_ACK)) {
                frame_add(&p->out, FRAME_PING, FLAG_ACK, 0, data, len);
        } else if (type == FRAME_DATA) {
                strbuf_add(&p->message, data, MIN(len, (size_t)ANSWER_MAX));
                p->grpc_ended |= flags & FLAG_END_STREAM;
        } else if (type == FRAME_HEADERS) {
                int status = find_grpc_status(data, len);
                p->grpc_status = status >= 0 ? status : p->grpc_status;
                p->grpc_ended |= flags & FLAG_END_STREAM;
        } else if (type == FRAME_RST_STREAM || type == FRAME_GOAWAY) {
                p->grpc_ended = true;
        }
}

bool probe_grpc_receive(struct probe_io *p, bool end) {
        size_t at = 0;

        while (p->in.len - at >= 9 && !p->grpc_ended) {
                const unsigned char *f = (const unsigned char *)p->in.data + at;
                size_t len = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
                if (len > ANSWER_MAX) {
                        probe_io_fail(p, "frame too large");
                        return true;
                }
                if (p->in.len - at < 9 + len)
                        break;
                grpc_frame(p, f[3], f[4], (const char *)f + 9, len);
                at += 9 + len;
        }
        if (at) {
                memmove(p->in.data, p->in.data + at, p->in.len - at);
                strbuf_truncate(&p->in, p->in.len - at);
        }
        if (!p->grpc_ended && !(end && p->message.len >= 5))
                return false;
        grpc_judge(p);
        return true;
}
