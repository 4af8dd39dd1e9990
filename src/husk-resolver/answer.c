#include "husk-resolver/answer.h"

#include "base/str.h"

static void add_addresses(struct dns_reply *reply, const struct zone_pod *pod, uint16_t type) {
        for (size_t i = 0; i < pod->n_addresses; i++) {
                const struct zone_address *a = &pod->addresses[i];
                if (type == (a->family == AF_INET6 ? DNS_AAAA : DNS_A) || type == DNS_ANY)
                        dns_reply_address(reply, a->bytes, a->family, ANSWER_TTL_S);
        }
}

static ssize_t refuse(const struct dns_query *query, const uint8_t *message, size_t len, uint8_t *out, size_t max,
                      int rcode) {
        struct dns_reply reply;

        dns_reply_begin(&reply, out, max, query, message, len, rcode);
        return (ssize_t)dns_reply_end(&reply);
}

static ssize_t answer_reverse(const struct zone *zone, const struct dns_query *query, const uint8_t *message,
                              size_t len, uint8_t *out, size_t max) {
        _cleanup_free_ char *name = zone_find_reverse(zone, query->name);
        struct dns_reply reply;

        if (!name)
                return 0;
        dns_reply_begin(&reply, out, max, query, message, len, DNS_NOERROR);
        if (query->type == DNS_PTR || query->type == DNS_ANY)
                dns_reply_pointer(&reply, name, ANSWER_TTL_S);
        return (ssize_t)dns_reply_end(&reply);
}

ssize_t answer(const struct zone *zone, const uint8_t *message, size_t len, bool udp, uint8_t *out, size_t max) {
        struct dns_query query;
        struct dns_reply reply;
        size_t n;
        int rcode = dns_query_parse(message, len, &query);

        if (rcode < 0)
                return -1;
        if (udp)
                max = MIN(max, MIN(query.udp_size, (size_t)DNS_UDP_MAX));
        if (rcode != DNS_NOERROR)
                return refuse(&query, message, len, out, max, rcode);
        if (!query.is_plain || !query.is_internet)
                return 0;
        _cleanup_free_ const struct zone_pod **pods = xcalloc(zone->n_pods + 1, sizeof(*pods));
        enum zone_result result = zone_find(zone, query.name, pods, &n);
        if (result == ZONE_OTHER)
                return answer_reverse(zone, &query, message, len, out, max);
        dns_reply_begin(&reply, out, max, &query, message, len, result == ZONE_NO_NAME ? DNS_NXDOMAIN : DNS_NOERROR);
        for (size_t i = 0; i < n; i++)
                add_addresses(&reply, pods[i], query.type);
        if (!reply.n_answers && !reply.truncated)
                dns_reply_authority(&reply, zone->domain, ANSWER_TTL_S);
        return (ssize_t)dns_reply_end(&reply);
}

size_t answer_failure(const uint8_t *message, size_t len, uint8_t *out, size_t max) {
        struct dns_query query;

        if (dns_query_parse(message, len, &query) < 0)
                return 0;
        return (size_t)refuse(&query, message, len, out, max, DNS_SERVFAIL);
}
