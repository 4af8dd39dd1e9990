#include "husk-resolver/zone.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/str.h"

void zone_pod_release(struct zone_pod *pod) {
        free(pod->name);
        free(pod->ns);
        free(pod->hostname);
        free(pod->subdomain);
        *pod = (struct zone_pod){ 0 };
}

/* The part of `name` before "." and `end`; NULL: it does not end so. "" if that is all there is. */
static char *before(const char *name, const char *end) {
        size_t len = strlen(name), end_len = strlen(end);

        if (len == end_len && streq(name, end))
                return xstrdup("");
        if (len <= end_len || name[len - end_len - 1] != '.' || !streq(name + len - end_len, end))
                return NULL;
        return xstrndup(name, len - end_len - 1);
}

/* "10-85-0-7", "fd12--7": the address with "-" for what cannot stand in a label. */
static bool address_is_spelled(const struct zone_address *a, const char *label) {
        char text[INET6_ADDRSTRLEN];

        if (!inet_ntop(a->family, a->bytes, text, sizeof(text)))
                return false;
        for (char *c = text; *c; c++)
                if (*c == '.' || *c == ':')
                        *c = '-';
        return streq(text, label);
}

static bool has_address(const struct zone_pod *pod, const char *label) {
        for (size_t i = 0; i < pod->n_addresses; i++)
                if (address_is_spelled(&pod->addresses[i], label))
                        return true;
        return false;
}

struct finding {
        const struct zone *zone;
        const char *ns;
        const struct zone_pod **pods;
        size_t n;
};

/* Whether any pod is of that subdomain; those that are ready and have the hostname (NULL: whatever) are found. */
static bool find_by_subdomain(struct finding *f, const char *subdomain, const char *host) {
        bool exists = false;

        for (size_t i = 0; i < f->zone->n_pods; i++) {
                const struct zone_pod *pod = f->zone->pods[i];
                if (!pod->n_addresses || !streq(pod->ns, f->ns) || !streq(pod->subdomain, subdomain))
                        continue;
                exists = true;
                if (pod->ready && (!host || streq(pod->hostname, host) || has_address(pod, host)))
                        f->pods[f->n++] = pod;
        }
        return exists;
}

static void find_by_name(struct finding *f, const char *name) {
        for (size_t i = 0; i < f->zone->n_pods; i++) {
                const struct zone_pod *pod = f->zone->pods[i];
                if (pod->n_addresses && streq(pod->ns, f->ns) && streq(pod->name, name))
                        f->pods[f->n++] = pod;
        }
}

static void find_by_address(struct finding *f, const char *label) {
        for (size_t i = 0; i < f->zone->n_pods; i++)
                if (f->zone->pods[i]->n_addresses && streq(f->zone->pods[i]->ns, f->ns) &&
                    has_address(f->zone->pods[i], label))
                        f->pods[f->n++] = f->zone->pods[i];
}

static bool namespace_has_pods(const struct zone *zone, const char *ns) {
        for (size_t i = 0; i < zone->n_pods; i++)
                if (zone->pods[i]->n_addresses && streq(zone->pods[i]->ns, ns))
                        return true;
        return false;
}

/* `rest` is what stands before the namespace: "web", "db-0.db", or a pod's name, which may have dots itself. */
static enum zone_result find_service(struct finding *f, const char *rest) {
        const char *dot = strchr(rest, '.');
        _cleanup_free_ char *host = dot ? xstrndup(rest, dot - rest) : NULL;
        bool exists = find_by_subdomain(f, dot ? dot + 1 : rest, host);

        if (!f->n && !(exists && !dot))
                find_by_name(f, rest);
        /* A subdomain of which no pod is ready is a name without addresses; a host that is not ready is no name. */
        return f->n || (exists && !dot) ? ZONE_NAME : ZONE_NO_NAME;
}

/* Below svc or pod: "" is the name itself, then comes a namespace, then what is in it. */
static enum zone_result find_in(const struct zone *zone, const char *rest, bool services, const struct zone_pod **ret,
                                size_t *ret_n) {
        const char *dot = strrchr(rest, '.');
        struct finding f = { .zone = zone, .ns = dot ? dot + 1 : rest, .pods = ret };

        if (!*rest)
                return ZONE_NAME;
        if (!dot)
                return namespace_has_pods(zone, rest) ? ZONE_NAME : ZONE_NO_NAME;
        _cleanup_free_ char *inner = xstrndup(rest, dot - rest);
        enum zone_result result;
        if (services) {
                result = find_service(&f, inner);
        } else {
                find_by_address(&f, inner);
                result = f.n ? ZONE_NAME : ZONE_NO_NAME;
        }
        *ret_n = f.n;
        return result;
}

enum zone_result zone_find(const struct zone *zone, const char *name, const struct zone_pod **ret, size_t *ret_n) {
        _cleanup_free_ char *rest = before(name, zone->domain);

        *ret_n = 0;
        if (!rest)
                return ZONE_OTHER;
        if (!*rest)
                return ZONE_NAME;
        _cleanup_free_ char *service = before(rest, "svc"), *pod = before(rest, "pod");
        if (service)
                return find_in(zone, service, true, ret, ret_n);
        return pod ? find_in(zone, pod, false, ret, ret_n) : ZONE_NO_NAME;
}

/* ---- addresses to names ---- */

/* "7.0.85.10" backwards. */
static bool reverse4(const char *text, struct zone_address *ret) {
        unsigned b[4];
        int end = 0;

        if (sscanf(text, "%3u.%3u.%3u.%3u%n", &b[3], &b[2], &b[1], &b[0], &end) != 4 || text[end])
                return false;
        ret->family = AF_INET;
        for (size_t i = 0; i < 4; i++) {
                if (b[i] > 255)
                        return false;
                ret->bytes[i] = (uint8_t)b[i];
        }
        return true;
}

static int hex_digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 32 digits with dots between them, the last first. */
static bool reverse6(const char *text, struct zone_address *ret) {
        if (strlen(text) != 63)
                return false;
        ret->family = AF_INET6;
        for (size_t i = 0; i < 32; i++) {
                int digit = hex_digit(text[i * 2]);
                if (digit < 0 || (i < 31 && text[i * 2 + 1] != '.'))
                        return false;
                ret->bytes[15 - i / 2] |= (uint8_t)(i % 2 ? digit << 4 : digit);
        }
        return true;
}

char *zone_find_reverse(const struct zone *zone, const char *name) {
        _cleanup_free_ char *four = before(name, "in-addr.arpa"), *six = before(name, "ip6.arpa");
        struct zone_address a = { 0 };

        if (!(four && reverse4(four, &a)) && !(six && reverse6(six, &a)))
                return NULL;
        for (size_t p = 0; p < zone->n_pods; p++) {
                const struct zone_pod *pod = zone->pods[p];
                for (size_t i = 0; i < pod->n_addresses && !pod->on_host; i++) {
                        if (memcmp(&pod->addresses[i], &a, sizeof(a)) != 0)
                                continue;
                        if (*pod->subdomain)
                                return xasprintf("%s.%s.%s.svc.%s", pod->hostname, pod->subdomain, pod->ns,
                                                 zone->domain);
                        return xasprintf("%s.%s.svc.%s", pod->name, pod->ns, zone->domain);
                }
        }
        return NULL;
}
