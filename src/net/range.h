/* range.h - inside src/net: which addresses this node's pods have.
 *
 * <root>/net.json: {"ipv4": "10.85.0.0/24", "ipv6": "fd12:3456:789a:1::/64", "picked": true}. It is written when the
 * first pod needs it, with ranges that nothing on the machine uses (addresses and routes, which also shows other
 * nodes). "picked" says that they may be picked again should they be taken when the node starts anew; an
 * administrator's file does not have it and is kept to. Pods have IPv6 if the machine itself has it: a default route
 * and a global address (a unique local one leads nowhere outside, and programs would try it first and wait); "ipv6":
 * null turns it off, "ipv6": true or a range turns it on. "bridge" is another name for the bridge. "mtu" says what
 * their links take, "bigTcp": false that they take no more than 64 KiB of TCP at once. Address 1 of each range is the
 * bridge's, the gateway of the pods; a pod has the same number in both. */
#pragma once

#include "net/net.h"
#include "net/netlink.h"

#define MTU_MIN 1280 /* less is no IPv6 */
#define MTU_MAX 65535

struct net_range {
        struct net_address base; /* family AF_UNSPEC: this family is not used */
        unsigned prefix_len;
};

struct net_ranges {
        struct net_range ip4;
        struct net_range ip6;
        bool ip6_off, ip6_on;  /* by the file: null, true */
        unsigned mtu;          /* of the pods' links; 0: as the machine's way out */
        bool big_tcp_off;      /* no more than 64 KiB of TCP in one piece */
        char bridge[IFNAMSIZ]; /* "": husk's own name for it */
        bool picked;
};

/* Parses "10.85.0.0/24" strictly: host bits must be 0. */
bool range_parse(const char *text, struct net_range *ret);
void range_format(const struct net_range *range, char *buf, size_t size);
void address_format(const struct net_address *address, char *buf, size_t size);
bool range_overlaps(const struct net_range *a, const struct net_range *b);
/* The address with this number. */
struct net_address range_address(const struct net_range *range, uint32_t number);
/* Largest number a pod may have: limited by the smaller of the two ranges. The first is 2. */
uint32_t ranges_last_number(const struct net_ranges *ranges);

/* What net.json says; *ret_found is false if there is none. */
struct error *ranges_read(const struct store *store, struct net_ranges *ret, bool *ret_found) _must_check_;
/* For a node whose bridge does not exist: keeps the ranges of net.json if they are free on this machine, else picks new
 * ones and writes them down. `ip6`: does this machine's kernel speak IPv6? The caller holds the machine's lock. */
struct error *ranges_settle(const struct store *store, struct netlink *nl, bool ip6,
                            struct net_ranges *ret) _must_check_;
