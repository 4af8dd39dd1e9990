#include "net/range.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/file.h"
#include "base/str.h"

#define RANGES_FILE_MAX 4096
#define USED_MAX 65536

/* Where a range for a node is looked for, in this order; counted in /24. */
static const struct {
        const char *first;
        uint32_t count; /* of /24s */
} pools[] = {
        { "10.85.0.0", 43 * 256 }, /* 10.85 to 10.127 */
        { "172.24.0.0", 8 * 256 }, /* 172.24 to 172.31 */
        { "192.168.144.0", 100 },  /* 192.168.144 to 192.168.243 */
};

/* ---- texts and arithmetic ---- */

void address_format(const struct net_address *address, char *buf, size_t size) {
        if (address->family == AF_UNSPEC || !inet_ntop(address->family, address->bytes, buf, size))
                *buf = '\0';
}

static bool address_bit(const struct net_address *a, unsigned bit) {
        return a->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

static bool same_prefix(const struct net_address *a, const struct net_address *b, unsigned bits) {
        for (unsigned i = 0; i < bits; i++)
                if (address_bit(a, i) != address_bit(b, i))
                        return false;
        return true;
}

bool range_parse(const char *text, struct net_range *ret) {
        char address[INET6_ADDRSTRLEN];
        const char *slash = strchr(text, '/');
        struct net_range r = { 0 };
        uint64_t len;

        if (!slash || (size_t)(slash - text) >= sizeof(address) || !str_to_u64(slash + 1, &len))
                return false;
        memcpy(address, text, slash - text);
        address[slash - text] = '\0';
        r.base.family = strchr(address, ':') ? AF_INET6 : AF_INET;
        if (inet_pton(r.base.family, address, r.base.bytes) != 1 || len > address_len(r.base.family) * 8)
                return false;
        r.prefix_len = (unsigned)len;
        for (unsigned i = r.prefix_len; i < address_len(r.base.family) * 8; i++)
                if (address_bit(&r.base, i))
                        return false;
        *ret = r;
        return true;
}

void range_format(const struct net_range *range, char *buf, size_t size) {
        char address[INET6_ADDRSTRLEN];
        address_format(&range->base, address, sizeof(address));
        snprintf(buf, size, "%s/%u", address, range->prefix_len);
}

bool range_overlaps(const struct net_range *a, const struct net_range *b) {
        return a->base.family == b->base.family && same_prefix(&a->base, &b->base, MIN(a->prefix_len, b->prefix_len));
}

struct net_address range_address(const struct net_range *range, uint32_t number) {
        struct net_address a = range->base;

        if (a.family == AF_UNSPEC)
                return a;
        uint8_t *last = a.bytes + address_len(a.family);
        for (unsigned i = 0; i < 4; i++, number >>= 8)
                *--last |= (uint8_t)number;
        return a;
}

/* The last number of a range is left out: in IPv4 it is the broadcast address. */
static uint32_t range_last_number(const struct net_range *range) {
        unsigned bits = (unsigned)address_len(range->base.family) * 8 - range->prefix_len;
        return bits >= 24 ? (1u << 24) - 2 : (1u << bits) - 2;
}

uint32_t ranges_last_number(const struct net_ranges *ranges) {
        uint32_t last = range_last_number(&ranges->ip4);
        if (ranges->ip6.base.family == AF_INET6)
                last = MIN(last, range_last_number(&ranges->ip6));
        return last;
}

/* ---- net.json ---- */

static char *ranges_path(const struct store *store) {
        return path_join(store->root, "net.json");
}

static struct error *range_member(const json_t *object, const char *path, const char *name, int family,
                                  unsigned max_len, struct net_range *ret) {
        const json_t *member = json_object_get(object, name);

        if (!member || json_is_null(member)) {
                *ret = (struct net_range){ 0 };
                return NULL;
        }
        if (!json_is_string(member) || !range_parse(json_string_value(member), ret) || ret->base.family != family)
                return error_new(ERROR_INVALID, "%s: \"%s\" must be a range as \"%s\"", path, name,
                                 family == AF_INET ? "10.85.0.0/24" : "fd12:3456:789a:1::/64");
        if (ret->prefix_len < 8 || ret->prefix_len > max_len)
                return error_new(ERROR_INVALID, "%s: \"%s\": the prefix must be between 8 and %u bits long", path, name,
                                 max_len);
        return NULL;
}

static struct error *mtu_member(const json_t *object, const char *path, unsigned *ret) {
        const json_t *member = json_object_get(object, "mtu");

        if (!member)
                return NULL;
        if (!json_is_integer(member) || json_integer_value(member) < MTU_MIN || json_integer_value(member) > MTU_MAX)
                return error_new(ERROR_INVALID, "%s: \"mtu\" must be a number from %d to %d", path, MTU_MIN, MTU_MAX);
        *ret = (unsigned)json_integer_value(member);
        return NULL;
}

static struct error *big_tcp_member(const json_t *object, const char *path, bool *ret_off) {
        const json_t *member = json_object_get(object, "bigTcp");

        if (member && !json_is_boolean(member))
                return error_new(ERROR_INVALID, "%s: \"bigTcp\" must be true or false", path);
        *ret_off = json_is_false(member);
        return NULL;
}

/* The name of an interface that husk makes: no more than the kernel and nftables take, and nothing that needs quotes.
 */
static struct error *bridge_member(const json_t *object, const char *path, char ret[static IFNAMSIZ]) {
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
        const json_t *member = json_object_get(object, "bridge");
        const char *name = json_string_value(member);

        if (!member)
                return NULL;
        if (str_empty(name) || strlen(name) >= IFNAMSIZ || strspn(name, letters) != strlen(name) || *name == '.' ||
            *name == '-')
                return error_new(ERROR_INVALID,
                                 "%s: \"bridge\" must be a name of at most %d letters, digits, '-', '_' and '.'", path,
                                 IFNAMSIZ - 1);
        snprintf(ret, IFNAMSIZ, "%s", name);
        return NULL;
}

/* A slip of the pen must not lose what was asked for. */
static struct error *check_members(const json_t *object, const char *path) {
        static const char *const known[] = { "ipv4", "ipv6", "bridge", "mtu", "bigTcp", "picked" };
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)object, key, value) {
                bool found = false;
                for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                        found = found || streq(known[i], key);
                if (!found)
                        return error_new(ERROR_INVALID, "%s: unknown field \"%.100s\"", path, key);
        }
        return NULL;
}

struct error *ranges_read(const struct store *store, struct net_ranges *ret, bool *ret_found) {
        _cleanup_free_ char *path = ranges_path(store), *text = NULL;
        struct net_ranges r = { 0 };
        json_error_t json_error;

        *ret_found = false;
        struct error *err = file_read(path, RANGES_FILE_MAX, &text, NULL);
        if (err && error_errnum(err) == ENOENT)
                return error_free(err);
        if (err)
                return err;
        json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);
        if (!object)
                return error_new(ERROR_INVALID, "%s:%d: %s", path, json_error.line, json_error.text);
        const json_t *ip6 = json_object_get(object, "ipv6");
        r.ip6_off = json_is_null(ip6);
        r.ip6_on = json_is_true(ip6);
        err = check_members(object, path);
        if (!err)
                err = range_member(object, path, "ipv4", AF_INET, 30, &r.ip4);
        if (!err && !r.ip6_on)
                err = range_member(object, path, "ipv6", AF_INET6, 126, &r.ip6);
        if (!err && r.ip4.base.family == AF_UNSPEC && r.ip6.base.family != AF_UNSPEC)
                err = error_new(ERROR_INVALID, "%s: \"ipv4\" is missing", path);
        if (!err)
                err = mtu_member(object, path, &r.mtu);
        if (!err)
                err = big_tcp_member(object, path, &r.big_tcp_off);
        if (!err)
                err = bridge_member(object, path, r.bridge);
        r.picked = json_is_true(json_object_get(object, "picked"));
        json_decref(object);
        if (err)
                return err;
        *ret = r;
        *ret_found = true;
        return NULL;
}

static struct error *ranges_write(const struct store *store, const struct net_ranges *r) {
        char ip4[64], ip6[64], mtu[32] = "";
        _cleanup_free_ char *path = ranges_path(store), *text = NULL;

        range_format(&r->ip4, ip4, sizeof(ip4));
        *ip6 = '\0';
        if (r->ip6.base.family != AF_UNSPEC)
                range_format(&r->ip6, ip6, sizeof(ip6));
        _cleanup_free_ char *six = *ip6         ? xasprintf("  \"ipv6\": \"%s\",\n", ip6)
                                   : r->ip6_off ? xstrdup("  \"ipv6\": null,\n")
                                                : xstrdup("");
        _cleanup_free_ char *bridge = *r->bridge ? xasprintf("  \"bridge\": \"%s\",\n", r->bridge) : xstrdup("");
        if (r->mtu)
                snprintf(mtu, sizeof(mtu), "  \"mtu\": %u,\n", r->mtu);
        text = xasprintf("{\n  \"ipv4\": \"%s\",\n%s%s%s%s  \"picked\": %s\n}\n", ip4, six, bridge, mtu,
                         r->big_tcp_off ? "  \"bigTcp\": false,\n" : "", r->picked ? "true" : "false");
        return file_replace(path, text, strlen(text), 0644, FILE_DURABLE);
}

/* ---- what the machine uses ---- */

struct used {
        struct net_range *ranges;
        size_t n;
        bool ip6_route, ip6_global; /* a default route of IPv6, an address that the world knows */
};

static void used_add(struct used *u, int family, const void *bytes, unsigned prefix_len) {
        if (u->n >= USED_MAX)
                return;
        u->ranges = xreallocarray(u->ranges, u->n + 1, sizeof(*u->ranges));
        struct net_range *r = &u->ranges[u->n++];
        *r = (struct net_range){ .base.family = family, .prefix_len = prefix_len };
        memcpy(r->base.bytes, bytes, address_len(family));
}

static const struct nlattr *attribute_find(const struct nlmsghdr *h, size_t offset, uint16_t type, size_t len) {
        const struct nlattr *a;
        mnl_attr_for_each(a, h,
                          offset) if (mnl_attr_get_type(a) == type && mnl_attr_get_payload_len(a) == len) return a;
        return NULL;
}

static void used_address(const struct nlmsghdr *h, void *data) {
        const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);

        if (h->nlmsg_type != RTM_NEWADDR || (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
                return;
        const struct nlattr *a = attribute_find(h, sizeof(*m), IFA_ADDRESS, address_len(m->ifa_family));
        if (!a)
                return;
        const uint8_t *bytes = mnl_attr_get_payload(a);
        if (m->ifa_family == AF_INET6 && (bytes[0] & 0xe0) == 0x20) /* 2000::/3, global unicast (RFC 4291) */
                ((struct used *)data)->ip6_global = true;
        used_add(data, m->ifa_family, bytes, m->ifa_prefixlen);
}

/* Default routes lead everywhere and are no use of a range. */
static void used_route(const struct nlmsghdr *h, void *data) {
        const struct rtmsg *m = mnl_nlmsg_get_payload(h);
        struct used *u = data;

        if (h->nlmsg_type == RTM_NEWROUTE && m->rtm_family == AF_INET6 && m->rtm_dst_len == 0 &&
            m->rtm_type == RTN_UNICAST)
                u->ip6_route = true;
        if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_dst_len == 0 ||
            (m->rtm_family != AF_INET && m->rtm_family != AF_INET6))
                return;
        const struct nlattr *a = attribute_find(h, sizeof(*m), RTA_DST, address_len(m->rtm_family));
        if (a)
                used_add(data, m->rtm_family, mnl_attr_get_payload(a), m->rtm_dst_len);
}

static struct error *used_list(struct netlink *nl, struct used *u) {
        struct ifaddrmsg address = { .ifa_family = AF_UNSPEC };
        struct rtmsg route = { .rtm_family = AF_UNSPEC };
        struct error *err = netlink_dump(nl, RTM_GETADDR, &address, sizeof(address), used_address, u);

        return err ? err : netlink_dump(nl, RTM_GETROUTE, &route, sizeof(route), used_route, u);
}

static bool is_free(const struct used *u, const struct net_range *r) {
        for (size_t i = 0; i < u->n; i++)
                if (range_overlaps(&u->ranges[i], r))
                        return false;
        return true;
}

/* The default node begins at the front; other nodes, whose number is any, somewhere of their own. */
static bool pick_ip4_of(const struct store *store, const struct used *u, unsigned prefix_len, struct net_range *ret) {
        char tag[STORE_TAG_SIZE];
        uint64_t start = store->is_default ? 0 : 1 + strtoull(store_tag(store, tag), NULL, 16);
        uint32_t size = 1U << (32 - prefix_len);

        for (size_t p = 0; p < ARRAY_SIZE(pools); p++)
                for (uint32_t i = 0, n = pools[p].count * 256 / size; i < n; i++) {
                        struct net_range r = { .base.family = AF_INET, .prefix_len = prefix_len };
                        inet_pton(AF_INET, pools[p].first, &r.base.ip4);
                        r.base.ip4.s_addr = htonl(ntohl(r.base.ip4.s_addr) + (uint32_t)((start + i) % n) * size);
                        if (is_free(u, &r)) {
                                *ret = r;
                                return true;
                        }
                }
        return false;
}

/* Room for as many pods as a node says that it takes, else for as many as there is room for. */
static bool pick_ip4(const struct store *store, const struct used *u, struct net_range *ret) {
        return pick_ip4_of(store, u, 22, ret) || pick_ip4_of(store, u, 24, ret);
}

/* A unique local range (RFC 4193): fd, 40 random bits, and a subnet number. */
static bool pick_ip6(const struct used *u, struct net_range *ret) {
        for (unsigned attempt = 0; attempt < 100; attempt++) {
                struct net_range r = { .base.family = AF_INET6, .prefix_len = 64 };
                r.base.bytes[0] = 0xfd;
                if (getrandom(r.base.bytes + 1, 7, 0) == 7 && is_free(u, &r)) {
                        *ret = r;
                        return true;
                }
        }
        return false;
}

/* Ranges somebody chose are not exchanged behind his back. */
static struct error *check_chosen(const struct store *store, const struct used *u, const struct net_range *r) {
        char text[64];

        if (r->base.family == AF_UNSPEC || is_free(u, r))
                return NULL;
        range_format(r, text, sizeof(text));
        return error_new(ERROR_CONFLICT, "%s/net.json: the range %s is in use on this machine already", store->root,
                         text);
}

/* Once a node's pods have IPv6 they keep it, whether or not the machine has a way out by it at the moment. */
static bool wants_ip6(const struct net_ranges *r, const struct used *u) {
        return !r->ip6_off && (r->ip6_on || r->ip6.base.family != AF_UNSPEC || (u->ip6_route && u->ip6_global));
}

static struct error *settle(const struct store *store, const struct used *u, bool found, bool want_ip6,
                            struct net_ranges *r) {
        bool changed = false, chosen = found && !r->picked;
        struct error *err = chosen ? check_chosen(store, u, &r->ip4) : NULL;

        if (!err && chosen && want_ip6)
                err = check_chosen(store, u, &r->ip6);
        if (err)
                return err;
        if (r->ip4.base.family == AF_UNSPEC || !is_free(u, &r->ip4)) {
                changed = true;
                r->picked = true;
                if (!pick_ip4(store, u, &r->ip4))
                        return error_new(
                                ERROR_EXHAUSTED,
                                "no free IPv4 range for pods is left on this machine; choose one in %s/net.json",
                                store->root);
        }
        if (want_ip6 && (r->ip6.base.family == AF_UNSPEC || !is_free(u, &r->ip6))) {
                changed = true;
                if (!pick_ip6(u, &r->ip6))
                        return error_new(ERROR_EXHAUSTED, "no free IPv6 range for pods was found");
        }
        return changed ? ranges_write(store, r) : NULL;
}

struct error *ranges_settle(const struct store *store, struct netlink *nl, bool ip6, struct net_ranges *ret) {
        struct net_ranges r = { 0 };
        struct used u = { 0 };
        bool found;

        struct error *err = ranges_read(store, &r, &found);
        if (!err)
                err = used_list(nl, &u);
        if (!err)
                err = settle(store, &u, found, ip6 && wants_ip6(&r, &u), &r);
        free(u.ranges);
        if (err)
                return err;
        if (!ip6)
                r.ip6 = (struct net_range){ 0 };
        *ret = r;
        return NULL;
}
