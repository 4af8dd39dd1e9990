#include "husk-resolver/dns.h"

#include <ctype.h>

#define LABEL_MAX 63
#define WIRE_NAME_MAX 255
#define OPT_SIZE 11

#define FLAG_RESPONSE 0x8000
#define FLAG_OPCODE 0x7800
#define FLAG_AUTHORITATIVE 0x0400
#define FLAG_CUT 0x0200
#define FLAG_WANT_RECURSION 0x0100
#define FLAG_RECURSION 0x0080
#define FLAG_UNCHECKED 0x0010

#define CLASS_IN 1
/* To a name at the begin of the question. */
#define POINTER_TO_QUESTION (0xc000 | DNS_HEADER_SIZE)

static uint16_t get16(const uint8_t *at) {
        return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, unsigned value) {
        at[0] = (uint8_t)(value >> 8);
        at[1] = (uint8_t)value;
}

uint16_t dns_id(const uint8_t *message) {
        return get16(message);
}

void dns_set_id(uint8_t *message, uint16_t id) {
        put16(message, id);
}

/* ---- reading ---- */

/* A name without compression, as a question has it. Returns where it ends, 0 if it is none. */
static size_t name_read(const uint8_t *data, size_t len, size_t at, struct dns_query *ret) {
        size_t begin = at, n = 0;

        ret->is_plain = true;
        for (;;) {
                if (at >= len)
                        return 0;
                size_t label = data[at++];
                if (!label)
                        break;
                if (label > LABEL_MAX || at + label > len || at + label + 1 - begin > WIRE_NAME_MAX)
                        return 0;
                if (n)
                        ret->name[n++] = '.';
                for (size_t i = 0; i < label; i++) {
                        int c = data[at + i];
                        if (!(c < 128 && isalnum(c)) && c != '-' && c != '_')
                                ret->is_plain = false;
                        ret->name[n++] = c && ret->is_plain ? (char)tolower(c) : '?';
                }
                at += label;
        }
        ret->name[n] = '\0';
        return at;
}

/* Where the record that begins at `at` ends; 0: it does not. Its name may be compressed. */
static size_t record_skip(const uint8_t *data, size_t len, size_t at) {
        while (at < len && data[at] && data[at] <= LABEL_MAX)
                at += 1U + data[at];
        if (at >= len || (data[at] && (data[at] & 0xc0) != 0xc0))
                return 0;
        at += data[at] ? 2 : 1;
        if (at + 10 > len)
                return 0;
        at += 10U + get16(data + at + 8);
        return at > len ? 0 : at;
}

/* The pseudo record of RFC 6891: the root's name, and in place of a class the size that the client takes. */
static int edns_read(const uint8_t *data, size_t len, struct dns_query *ret) {
        unsigned others = get16(data + 6) + get16(data + 8), all = others + get16(data + 10);
        size_t at = ret->len;

        for (unsigned i = 0; i < all; i++) {
                size_t next = record_skip(data, len, at);
                if (!next)
                        return DNS_FORMERR;
                if (i >= others && data[at] == 0 && get16(data + at + 1) == DNS_OPT) {
                        if (ret->edns)
                                return DNS_FORMERR; /* there can be one */
                        ret->edns = true;
                        ret->udp_size = MAX((size_t)get16(data + at + 3), (size_t)DNS_UDP_MIN);
                        if (data[at + 6] != 0)
                                return DNS_BADVERS;
                }
                at = next;
        }
        return DNS_NOERROR;
}

int dns_query_parse(const uint8_t *data, size_t len, struct dns_query *ret) {
        *ret = (struct dns_query){ .len = DNS_HEADER_SIZE, .udp_size = DNS_UDP_MIN };
        if (len < DNS_HEADER_SIZE || (get16(data + 2) & FLAG_RESPONSE))
                return -1;
        if (get16(data + 2) & FLAG_OPCODE)
                return DNS_NOTIMP;
        if (get16(data + 4) != 1)
                return DNS_FORMERR;
        size_t at = name_read(data, len, DNS_HEADER_SIZE, ret);
        if (!at || at + 4 > len)
                return DNS_FORMERR;
        ret->type = get16(data + at);
        ret->is_internet = get16(data + at + 2) == CLASS_IN;
        ret->len = at + 4;
        return edns_read(data, len, ret);
}

bool dns_response_answers(const uint8_t *response, size_t len, const uint8_t *query, size_t query_len) {
        struct dns_query asked;

        if (len < DNS_HEADER_SIZE || dns_query_parse(query, query_len, &asked) < 0 ||
            dns_id(response) != dns_id(query) || !(get16(response + 2) & FLAG_RESPONSE) ||
            (get16(response + 2) & FLAG_OPCODE))
                return false;
        /* A server that did not understand need not repeat the question. */
        if (get16(response + 4) == 0)
                return (response[3] & 0x0f) != DNS_NOERROR && (response[3] & 0x0f) != DNS_NXDOMAIN;
        return get16(response + 4) == 1 && len >= asked.len &&
               memcmp(response + DNS_HEADER_SIZE, query + DNS_HEADER_SIZE, asked.len - DNS_HEADER_SIZE) == 0;
}

size_t dns_response_cut(uint8_t *response, size_t len, size_t max) {
        struct dns_query question;

        if (len <= max)
                return len;
        uint16_t flags = get16(response + 2);
        put16(response + 2, flags & ~FLAG_RESPONSE);
        int rcode = dns_query_parse(response, len, &question);
        size_t end = rcode < 0 || question.len > max ? DNS_HEADER_SIZE : question.len;
        put16(response + 2, flags | FLAG_CUT);
        put16(response + 4, end > DNS_HEADER_SIZE);
        memset(response + 6, 0, 6);
        return end;
}

/* ---- writing ---- */

void dns_reply_begin(struct dns_reply *reply, uint8_t *data, size_t max, const struct dns_query *query,
                     const uint8_t *message, size_t len, int rcode) {
        unsigned asked = get16(message + 2);

        *reply = (struct dns_reply){ .data = data, .max = max, .rcode = rcode, .edns = query->edns, .len = query->len };
        memcpy(data, message, MIN(query->len, len));
        bool decided = rcode == DNS_NOERROR || rcode == DNS_NXDOMAIN;
        put16(data + 2, FLAG_RESPONSE | FLAG_RECURSION | (decided ? FLAG_AUTHORITATIVE : 0) |
                                (asked & (FLAG_OPCODE | FLAG_WANT_RECURSION | FLAG_UNCHECKED)) | (rcode & 0x0f));
        put16(data + 4, query->len > DNS_HEADER_SIZE);
        memset(data + 6, 0, 6);
}

/* Room for a record with so much data behind the question's name; NULL: there is none. */
static uint8_t *record_begin(struct dns_reply *reply, size_t name_size, uint16_t type, uint32_t ttl_s, size_t size) {
        size_t whole = name_size + 10 + size;
        uint8_t *at = reply->data + reply->len;

        if (reply->truncated || reply->len + whole + OPT_SIZE > reply->max) {
                reply->truncated = true;
                return NULL;
        }
        reply->len += whole;
        at += name_size;
        put16(at, type);
        put16(at + 2, CLASS_IN);
        put16(at + 4, ttl_s >> 16);
        put16(at + 6, ttl_s);
        put16(at + 8, (unsigned)size);
        return at + 10;
}

void dns_reply_address(struct dns_reply *reply, const void *address, int family, uint32_t ttl_s) {
        size_t size = family == AF_INET6 ? 16 : 4;
        uint8_t *name = reply->data + reply->len,
                *at = record_begin(reply, 2, family == AF_INET6 ? DNS_AAAA : DNS_A, ttl_s, size);

        if (!at)
                return;
        put16(name, POINTER_TO_QUESTION);
        memcpy(at, address, size);
        reply->n_answers++;
}

/* Text to labels. Returns the length, 0 if it is no name that a message can have. */
static size_t name_encode(const char *name, uint8_t out[static WIRE_NAME_MAX]) {
        size_t n = 0;

        while (*name) {
                size_t label = strcspn(name, ".");
                if (!label || label > LABEL_MAX || n + label + 2 > WIRE_NAME_MAX)
                        return 0;
                out[n++] = (uint8_t)label;
                memcpy(out + n, name, label);
                n += label;
                name += label + (name[label] == '.');
        }
        out[n++] = 0;
        return n;
}

void dns_reply_pointer(struct dns_reply *reply, const char *name, uint32_t ttl_s) {
        uint8_t encoded[WIRE_NAME_MAX];
        size_t size = name_encode(name, encoded);
        uint8_t *owner = reply->data + reply->len, *at = size ? record_begin(reply, 2, DNS_PTR, ttl_s, size) : NULL;

        if (!at)
                return;
        put16(owner, POINTER_TO_QUESTION);
        memcpy(at, encoded, size);
        reply->n_answers++;
}

void dns_reply_authority(struct dns_reply *reply, const char *zone, uint32_t ttl_s) {
        static const uint8_t server[] = "\002ns\003dns", mailbox[] = "\012hostmaster";
        const uint32_t numbers[] = { 1, 7200, 1800, 86400, ttl_s }; /* serial, refresh, retry, expire, minimum */
        uint8_t name[WIRE_NAME_MAX];
        size_t name_size = name_encode(zone, name), heads = sizeof(server) - 1 + sizeof(mailbox) - 1;
        uint8_t *owner = reply->data + reply->len;
        size_t where = reply->len;
        uint8_t *at =
                name_size ? record_begin(reply, name_size, DNS_SOA, ttl_s, heads + 2 + 2 + sizeof(numbers)) : NULL;

        if (!at)
                return;
        memcpy(owner, name, name_size);
        memcpy(at, server, sizeof(server) - 1);
        at += sizeof(server) - 1;
        put16(at, 0xc000 | (unsigned)where);
        memcpy(at + 2, mailbox, sizeof(mailbox) - 1);
        at += 2 + sizeof(mailbox) - 1;
        put16(at, 0xc000 | (unsigned)where);
        at += 2;
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++, at += 4) {
                put16(at, numbers[i] >> 16);
                put16(at + 2, numbers[i]);
        }
        reply->n_authority++;
}

size_t dns_reply_end(struct dns_reply *reply) {
        uint8_t *at = reply->data + reply->len;

        put16(reply->data + 6, reply->n_answers);
        put16(reply->data + 8, reply->n_authority);
        if (reply->truncated)
                put16(reply->data + 2, get16(reply->data + 2) | FLAG_CUT);
        if (reply->edns && reply->len + OPT_SIZE <= reply->max) {
                memset(at, 0, OPT_SIZE);
                put16(at + 1, DNS_OPT);
                put16(at + 3, DNS_UDP_MAX);
                at[5] = (uint8_t)(reply->rcode >> 4);
                put16(reply->data + 10, 1);
                reply->len += OPT_SIZE;
        }
        return reply->len;
}
