/* dns.h - DNS messages (RFC 1035, EDNS of RFC 6891): reading what a pod asks, and writing what it is told.
 *
 * Of a question only what decides the answer is read; whatever goes on to another server goes on byte for byte. Names
 * are read as text in small letters. Nothing here allocates. */
#pragma once

#include <netinet/in.h>

#include "base/base.h"

#define DNS_MESSAGE_MAX 65535
#define DNS_UDP_MIN 512  /* what every client takes */
#define DNS_UDP_MAX 1232 /* what passes without fragments, and so the most that is sent or asked for */
#define DNS_NAME_MAX 256 /* as text, with its NUL */
#define DNS_HEADER_SIZE 12

enum dns_type { DNS_A = 1, DNS_SOA = 6, DNS_PTR = 12, DNS_AAAA = 28, DNS_OPT = 41, DNS_ANY = 255 };
enum dns_rcode {
        DNS_NOERROR = 0,
        DNS_FORMERR = 1,
        DNS_SERVFAIL = 2,
        DNS_NXDOMAIN = 3,
        DNS_NOTIMP = 4,
        DNS_BADVERS = 16
};

struct dns_query {
        char name[DNS_NAME_MAX]; /* "web.shop.svc.cluster.local", "" for the root */
        bool is_plain;           /* of letters, digits, "-" and "_" alone: what is not is nobody's name here */
        uint16_t type;
        bool is_internet; /* class IN */
        size_t len;       /* of header and question */
        bool edns;
        size_t udp_size; /* the longest answer that the client takes by UDP, DNS_UDP_MIN to DNS_MESSAGE_MAX */
};
/* What the message asks: DNS_NOERROR, or the code to answer with (the question may be half read then; *ret is good for
 * dns_reply_begin() in any case). -1: no answer, it is no question at all. */
int dns_query_parse(const uint8_t *data, size_t len, struct dns_query *ret);

struct dns_reply {
        uint8_t *data; /* of the caller, `max` bytes and at least DNS_UDP_MIN */
        size_t max, len;
        unsigned n_answers, n_authority;
        int rcode;
        bool edns, truncated;
};
/* An authoritative answer to `query`, which `message` holds. */
void dns_reply_begin(struct dns_reply *reply, uint8_t *data, size_t max, const struct dns_query *query,
                     const uint8_t *message, size_t len, int rcode);
/* Records of the name that was asked for. What has no room is left out, and the answer says that it is cut. */
void dns_reply_address(struct dns_reply *reply, const void *address, int family, uint32_t ttl_s);
void dns_reply_pointer(struct dns_reply *reply, const char *name, uint32_t ttl_s);
/* With an answer that says no: how long it may be remembered. */
void dns_reply_authority(struct dns_reply *reply, const char *zone, uint32_t ttl_s);
size_t dns_reply_end(struct dns_reply *reply);

/* Is it the answer to this question (which had the same id)? */
bool dns_response_answers(const uint8_t *response, size_t len, const uint8_t *query, size_t query_len);
/* Cuts an answer that the client does not take down to its question and says so in it; returns its length. */
size_t dns_response_cut(uint8_t *response, size_t len, size_t max);

uint16_t dns_id(const uint8_t *message);
void dns_set_id(uint8_t *message, uint16_t id);
