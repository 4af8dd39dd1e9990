#include "net/firewall.h"

#include <arpa/inet.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <time.h>

/* nft's numbers of data types, kept in a set so that `nft list` can print it; a concatenation shifts them by six bits.
 */
enum { NFT_TYPE_IP4 = 7, NFT_TYPE_IP6 = 8, NFT_TYPE_PROTOCOL = 12, NFT_TYPE_PORT = 13 };

/* 32-bit registers: values that are looked up together stand in a row, and so does what a map answers. */
#define REG(n) (NFT_REG32_00 + (n))

/* ---- maps ---- */

static const struct port_map {
        const char *name;
        int family;
        bool with_host_ip;
} port_maps[] = {
        /* In the order in which they are asked: a port of one address goes before the same port of all. */
        { "ports4ip", AF_INET, true },
        { "ports4", AF_INET, false },
        { "ports6ip", AF_INET6, true },
        { "ports6", AF_INET6, false },
};

static uint32_t map_key_len(const struct port_map *map) {
        return (map->with_host_ip ? (uint32_t)address_len(map->family) : 0) + 4 + 4;
}

static uint32_t map_data_len(const struct port_map *map) {
        return (uint32_t)address_len(map->family) + 4;
}

static void nft_message(struct netlink_batch *b, uint16_t type, uint16_t flags, int tolerated, const char *what,
                        const char *name) {
        char *at = netlink_batch_add(b, tolerated, "nftables: %s %s", what, name);
        nftnl_nlmsg_build_hdr(at, type, NFPROTO_INET, NLM_F_ACK | flags, 0);
}

static void batch_begin(struct netlink_batch *b) {
        nftnl_batch_begin(netlink_batch_add(b, 0, "nftables: begin"), 0);
}

static void batch_end(struct netlink_batch *b) {
        nftnl_batch_end(netlink_batch_add(b, 0, "nftables: commit"), 0);
}

static void table_message(struct netlink_batch *b, uint16_t type, uint16_t flags, int tolerated, const char *table) {
        struct nftnl_table *t = nftnl_table_alloc();

        nftnl_table_set_str(t, NFTNL_TABLE_NAME, table);
        nftnl_table_set_u32(t, NFTNL_TABLE_FAMILY, NFPROTO_INET);
        nft_message(b, type, flags, tolerated, type == NFT_MSG_DELTABLE ? "delete table" : "create table", table);
        nftnl_table_nlmsg_build_payload(b->open, t);
        nftnl_table_free(t);
}

static void map_create(struct netlink_batch *b, const char *table, const struct port_map *map, uint32_t id) {
        struct nftnl_set *s = nftnl_set_alloc();
        uint32_t address_type = map->family == AF_INET ? NFT_TYPE_IP4 : NFT_TYPE_IP6;
        uint32_t key_type = NFT_TYPE_PROTOCOL << 6 | NFT_TYPE_PORT;

        if (map->with_host_ip)
                key_type |= address_type << 12;
        nftnl_set_set_str(s, NFTNL_SET_TABLE, table);
        nftnl_set_set_str(s, NFTNL_SET_NAME, map->name);
        nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
        nftnl_set_set_u32(s, NFTNL_SET_ID, id);
        nftnl_set_set_u32(s, NFTNL_SET_FLAGS, NFT_SET_MAP);
        nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, key_type);
        nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, map_key_len(map));
        nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, address_type << 6 | NFT_TYPE_PORT);
        nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, map_data_len(map));
        nft_message(b, NFT_MSG_NEWSET, NLM_F_CREATE, 0, "create map", map->name);
        nftnl_set_nlmsg_build_payload(b->open, s);
        nftnl_set_free(s);
}

/* Does this port of the pod belong into this map? */
static bool map_takes(const struct port_map *map, const struct lease *lease, const struct lease_port *port) {
        const struct net_address *pod_ip = map->family == AF_INET ? &lease->ip4 : &lease->ip6;

        if (pod_ip->family == AF_UNSPEC || port->host_port == 0)
                return false;
        return map->with_host_ip ? port->host_ip.family == map->family : port->host_ip.family == AF_UNSPEC;
}

static void map_element(struct netlink_batch *b, const char *table, const struct port_map *map,
                        const struct lease *lease, const struct lease_port *port, bool add) {
        const struct net_address *pod_ip = map->family == AF_INET ? &lease->ip4 : &lease->ip6;
        size_t ip_len = address_len(map->family);
        uint8_t key[24] = { 0 }, data[20] = { 0 }, *k = key;
        uint16_t host_port = htons(port->host_port), container_port = htons(port->container_port);
        char what[64];

        if (map->with_host_ip) {
                memcpy(k, port->host_ip.bytes, ip_len);
                k += ip_len;
        }
        k[0] = port->protocol;
        memcpy(k + 4, &host_port, 2);
        memcpy(data, pod_ip->bytes, ip_len);
        memcpy(data + ip_len, &container_port, 2);

        struct nftnl_set *s = nftnl_set_alloc();
        struct nftnl_set_elem *e = nftnl_set_elem_alloc();
        nftnl_set_set_str(s, NFTNL_SET_TABLE, table);
        nftnl_set_set_str(s, NFTNL_SET_NAME, map->name);
        nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
        nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, key, map_key_len(map));
        if (add)
                nftnl_set_elem_set(e, NFTNL_SET_ELEM_DATA, data, map_data_len(map));
        nftnl_set_elem_add(s, e);
        snprintf(what, sizeof(what), "%s host port %u/%s", add ? "open" : "close", port->host_port,
                 protocol_string(port->protocol));
        nft_message(b, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0, 0, what, map->name);
        nftnl_set_elems_nlmsg_build_payload(b->open, s);
        nftnl_set_free(s);
}

static void map_elements(struct netlink_batch *b, const char *table, const struct lease *lease, bool add) {
        for (size_t m = 0; m < ARRAY_SIZE(port_maps); m++)
                for (size_t p = 0; p < lease->n_ports; p++)
                        if (map_takes(&port_maps[m], lease, &lease->ports[p]))
                                map_element(b, table, &port_maps[m], lease, &lease->ports[p], add);
}

/* ---- rules: one function for each thing a rule can look at or do ---- */

static struct nftnl_expr *rule_add(struct nftnl_rule *rule, const char *name) {
        struct nftnl_expr *e = nftnl_expr_alloc(name);
        if (!e)
                abort(); /* libnftnl without an expression it documents, or no memory */
        nftnl_rule_add_expr(rule, e);
        return e;
}

static void load_meta(struct nftnl_rule *rule, uint32_t key, uint32_t reg) {
        struct nftnl_expr *e = rule_add(rule, "meta");
        nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
        nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
}

static void load_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg) {
        struct nftnl_expr *e = rule_add(rule, "payload");
        nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
        nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
        nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
        nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void compare(struct nftnl_rule *rule, uint32_t reg, uint32_t op, const void *value, uint32_t len) {
        struct nftnl_expr *e = rule_add(rule, "cmp");
        nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg);
        nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
        nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, value, len);
}

static void keep_bits(struct nftnl_rule *rule, uint32_t reg, const void *mask, uint32_t len) {
        static const uint8_t none[16];
        struct nftnl_expr *e = rule_add(rule, "bitwise");
        nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, reg);
        nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, reg);
        nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, len);
        nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, len);
        nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, none, len);
}

static void match_family(struct nftnl_rule *rule, int family) {
        uint8_t value = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;
        load_meta(rule, NFT_META_NFPROTO, REG(0));
        compare(rule, REG(0), NFT_CMP_EQ, &value, 1);
}

static void match_interface(struct nftnl_rule *rule, uint32_t key, uint32_t op, const char *name) {
        char padded[IFNAMSIZ] = { 0 };
        memcpy(padded, name, strnlen(name, IFNAMSIZ - 1));
        load_meta(rule, key, REG(0));
        compare(rule, REG(0), op, padded, sizeof(padded));
}

/* Where the addresses stand in the headers. */
static uint32_t offset_source(int family) {
        return family == AF_INET ? 12 : 8;
}
static uint32_t offset_destination(int family) {
        return family == AF_INET ? 16 : 24;
}

static void match_range(struct nftnl_rule *rule, uint32_t offset, uint32_t op, const struct net_range *range) {
        uint32_t len = (uint32_t)address_len(range->base.family);
        uint8_t mask[16] = { 0 };

        for (unsigned bit = 0; bit < range->prefix_len; bit++)
                mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offset, len, REG(0));
        keep_bits(rule, REG(0), mask, len);
        compare(rule, REG(0), op, range->base.bytes, len);
}

static void match_local_destination(struct nftnl_rule *rule) {
        uint32_t local = RTN_LOCAL;
        struct nftnl_expr *e = rule_add(rule, "fib");
        nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, REG(0));
        nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
        nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
        compare(rule, REG(0), NFT_CMP_EQ, &local, sizeof(local));
}

static void match_translated(struct nftnl_rule *rule) {
        uint32_t bit = IPS_DST_NAT, zero = 0;
        struct nftnl_expr *e = rule_add(rule, "ct");
        nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_STATUS);
        nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, REG(0));
        keep_bits(rule, REG(0), &bit, sizeof(bit));
        compare(rule, REG(0), NFT_CMP_NEQ, &zero, sizeof(zero));
}

static void verdict(struct nftnl_rule *rule, uint32_t value) {
        struct nftnl_expr *e = rule_add(rule, "immediate");
        nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
        nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, value);
}

/* Sends the packet to what the map answers for its (destination,) protocol and port. */
static void translate_by_map(struct nftnl_rule *rule, const struct port_map *map, uint32_t id) {
        uint32_t reg = REG(0), address_regs = (uint32_t)address_len(map->family) / 4;

        if (map->with_host_ip) {
                load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offset_destination(map->family), address_regs * 4, reg);
                reg += address_regs;
        }
        load_meta(rule, NFT_META_L4PROTO, reg);
        load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg + 1); /* destination port of all three protocols */
        struct nftnl_expr *e = rule_add(rule, "lookup");
        nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, REG(0));
        nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, REG(0));
        nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, map->name);
        nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, id);
        e = rule_add(rule, "nat");
        nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
        nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, map->family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
        nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, REG(0));
        nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, REG(0) + address_regs);
}

/* ---- the table ---- */

static struct nftnl_rule *rule_new(const char *table, const char *chain) {
        struct nftnl_rule *rule = nftnl_rule_alloc();
        nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, table);
        nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain);
        nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
        return rule;
}

static void rule_create(struct netlink_batch *b, struct nftnl_rule *rule, const char *chain) {
        nft_message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, 0, "add a rule to chain", chain);
        nftnl_rule_nlmsg_build_payload(b->open, rule);
        nftnl_rule_free(rule);
}

static void chain_create(struct netlink_batch *b, const char *table, const char *name, const char *type, uint32_t hook,
                         int32_t priority) {
        struct nftnl_chain *c = nftnl_chain_alloc();
        nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, table);
        nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
        nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, type);
        nftnl_chain_set_u32(c, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
        nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hook);
        nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
        nft_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, 0, "create chain", name);
        nftnl_chain_nlmsg_build_payload(b->open, c);
        nftnl_chain_free(c);
}

static const struct net_range loopback4 = { { .family = AF_INET, .bytes = { 127 } }, 8 };

static void chain_raw(struct netlink_batch *b, const struct firewall *fw) {
        chain_create(b, fw->table, "raw", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW);
        struct nftnl_rule *rule = rule_new(fw->table, "raw");
        match_interface(rule, NFT_META_IIFNAME, NFT_CMP_EQ, fw->bridge);
        match_family(rule, AF_INET);
        match_range(rule, offset_destination(AF_INET), NFT_CMP_EQ, &loopback4);
        verdict(rule, NF_DROP);
        rule_create(b, rule, "raw");
}

static void chain_ports(struct netlink_batch *b, const struct firewall *fw, const char *name, uint32_t hook) {
        static const struct net_range loopback6 = { { .family = AF_INET6, .bytes = { [15] = 1 } }, 128 };

        chain_create(b, fw->table, name, "nat", hook, NF_IP_PRI_NAT_DST);
        for (uint32_t m = 0; m < ARRAY_SIZE(port_maps); m++) {
                struct nftnl_rule *rule = rule_new(fw->table, name);
                match_family(rule, port_maps[m].family);
                if (hook == NF_INET_LOCAL_OUT && port_maps[m].family == AF_INET6)
                        match_range(rule, offset_destination(AF_INET6), NFT_CMP_NEQ, &loopback6);
                match_local_destination(rule);
                translate_by_map(rule, &port_maps[m], m + 1);
                rule_create(b, rule, name);
        }
}

static struct nftnl_rule *postrouting_rule(const struct firewall *fw, const struct net_range *source,
                                           uint32_t interface_op) {
        struct nftnl_rule *rule = rule_new(fw->table, "postrouting");
        match_family(rule, source->base.family);
        match_range(rule, offset_source(source->base.family), NFT_CMP_EQ, source);
        match_interface(rule, NFT_META_OIFNAME, interface_op, fw->bridge);
        return rule;
}

static void masquerade(struct netlink_batch *b, struct nftnl_rule *rule) {
        rule_add(rule, "masq");
        rule_create(b, rule, "postrouting");
}

static void chain_postrouting(struct netlink_batch *b, const struct firewall *fw) {
        const struct net_range *ranges[] = { &fw->ranges->ip4, &fw->ranges->ip6 };

        chain_create(b, fw->table, "postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC);
        /* The node talking to itself by the bridge's address stays who it is. */
        struct nftnl_rule *loopback = rule_new(fw->table, "postrouting");
        match_interface(loopback, NFT_META_OIFNAME, NFT_CMP_EQ, "lo");
        verdict(loopback, NF_ACCEPT);
        rule_create(b, loopback, "postrouting");
        for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
                if (ranges[i]->base.family == AF_UNSPEC)
                        continue;
                masquerade(b, postrouting_rule(fw, ranges[i], NFT_CMP_NEQ));
                struct nftnl_rule *rule = postrouting_rule(fw, ranges[i], NFT_CMP_EQ);
                match_translated(rule);
                masquerade(b, rule);
        }
        masquerade(b, postrouting_rule(fw, &loopback4, NFT_CMP_EQ));
}

struct error *firewall_exists(struct netlink *nl, const char *table, bool *ret) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;

        table_message(&b, NFT_MSG_GETTABLE, 0, 0, table);
        struct error *err = netlink_run(nl, &b);
        if (err && error_errnum(err) != ENOENT)
                return error_context(err, "nftables: look for table %s", table);
        *ret = !err;
        error_free(err);
        return NULL;
}

/* Port 53 of the bridge's addresses translated to itself: a pod's host port 53 of all addresses would take it
 * otherwise. `ports` has to live
 * as long as the lease does. */
#define RESOLVER_PORTS 4
static struct lease resolver_lease(const struct net_ranges *ranges, struct lease_port ports[static RESOLVER_PORTS]) {
        struct net_address gateway4 = range_address(&ranges->ip4, 1), gateway6 = range_address(&ranges->ip6, 1);
        const struct lease_port own[RESOLVER_PORTS] = { { IPPROTO_UDP, RESOLVER_PORT, RESOLVER_PORT, gateway4 },
                                                        { IPPROTO_TCP, RESOLVER_PORT, RESOLVER_PORT, gateway4 },
                                                        { IPPROTO_UDP, RESOLVER_PORT, RESOLVER_PORT, gateway6 },
                                                        { IPPROTO_TCP, RESOLVER_PORT, RESOLVER_PORT, gateway6 } };

        memcpy(ports, own, sizeof(own));
        return (struct lease){ .ip4 = gateway4,
                               .ip6 = gateway6,
                               .ports = ports,
                               .n_ports = gateway6.family == AF_INET6 ? RESOLVER_PORTS : RESOLVER_PORTS / 2 };
}

bool firewall_takes_resolver_port(const struct net_ranges *ranges, const struct lease *lease) {
        struct lease_port ports[RESOLVER_PORTS];
        struct lease own = resolver_lease(ranges, ports);

        for (size_t i = 0; i < lease->n_ports; i++)
                for (size_t k = 0; lease->ports[i].host_ip.family != AF_UNSPEC && k < own.n_ports; k++)
                        if (lease_ports_conflict(&lease->ports[i], &own.ports[k]))
                                return true;
        return false;
}

static void keep_for_resolver(struct netlink_batch *b, const struct firewall *fw) {
        struct lease_port ports[RESOLVER_PORTS];
        struct lease own = resolver_lease(fw->ranges, ports);

        map_elements(b, fw->table, &own, true);
}

struct error *firewall_keep_for_resolver(struct netlink *nl, const struct firewall *fw) {
        struct lease_port ports[RESOLVER_PORTS];
        struct lease own = resolver_lease(fw->ranges, ports);

        if (fw->resolver)
                return firewall_add_ports(nl, fw, &own);
        return firewall_remove_ports(nl, fw->table, &own);
}

struct error *firewall_rebuild(struct netlink *nl, const struct firewall *fw, const struct lease *leases, size_t n) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;
        bool old;
        struct error *err = firewall_exists(nl, fw->table, &old);

        if (err)
                return err;
        batch_begin(&b);
        /* Only if there is one: whoever has deleted anything waits, when the socket is closed, until no processor can
         * be looking at it any more, and that is 10 ms at the start of a node's first pod. */
        if (old)
                table_message(&b, NFT_MSG_DELTABLE, 0, 0, fw->table);
        table_message(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, 0, fw->table);
        for (uint32_t m = 0; m < ARRAY_SIZE(port_maps); m++)
                map_create(&b, fw->table, &port_maps[m], m + 1);
        chain_raw(&b, fw);
        chain_ports(&b, fw, "prerouting", NF_INET_PRE_ROUTING);
        chain_ports(&b, fw, "output", NF_INET_LOCAL_OUT);
        chain_postrouting(&b, fw);
        if (fw->resolver)
                keep_for_resolver(&b, fw);
        for (size_t i = 0; i < n; i++)
                map_elements(&b, fw->table, &leases[i], true);
        batch_end(&b);
        return netlink_run_transaction(nl, &b);
}

struct error *firewall_add_ports(struct netlink *nl, const struct firewall *fw, const struct lease *lease) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;

        batch_begin(&b);
        map_elements(&b, fw->table, lease, true);
        batch_end(&b);
        return b.n_messages > 2 ? netlink_run_transaction(nl, &b) : NULL;
}

/* One transaction each: what is not there makes a transaction fail as a whole. */
static struct error *remove_one_by_one(struct netlink *nl, const char *table, const struct lease *lease) {
        for (size_t m = 0; m < ARRAY_SIZE(port_maps); m++)
                for (size_t p = 0; p < lease->n_ports; p++) {
                        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;
                        if (!map_takes(&port_maps[m], lease, &lease->ports[p]))
                                continue;
                        batch_begin(&b);
                        map_element(&b, table, &port_maps[m], lease, &lease->ports[p], false);
                        batch_end(&b);
                        struct error *err = netlink_run_transaction(nl, &b);
                        if (err && error_errnum(err) != ENOENT)
                                return err;
                        error_free(err);
                }
        return NULL;
}

struct error *firewall_remove_ports(struct netlink *nl, const char *table, const struct lease *lease) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;

        batch_begin(&b);
        map_elements(&b, table, lease, false);
        batch_end(&b);
        if (b.n_messages == 2)
                return NULL;
        struct error *err = netlink_run_transaction(nl, &b);
        if (!err || error_errnum(err) != ENOENT)
                return err;
        error_free(err);
        return remove_one_by_one(nl, table, lease);
}

struct error *firewall_remove(struct netlink *nl, const char *table) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;

        batch_begin(&b);
        table_message(&b, NFT_MSG_DELTABLE, 0, 0, table);
        batch_end(&b);
        struct error *err = netlink_run_transaction(nl, &b);
        if (err && error_errnum(err) == ENOENT)
                return error_free(err);
        return err;
}

/* ---- connections ---- */

struct forgotten {
        const struct lease *lease;
        struct netlink_batch batch;
};

/* The address of one end of a tuple of the other direction; NULL if it is not there. */
static const void *tuple_source(const struct nlattr *tuple, int family) {
        const struct nlattr *ip, *address;
        mnl_attr_for_each_nested(ip, tuple) if (mnl_attr_get_type(ip) == CTA_TUPLE_IP) mnl_attr_for_each_nested(
                address,
                ip) if (mnl_attr_get_type(address) == (family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC) &&
                        mnl_attr_get_payload_len(address) == address_len(family)) return mnl_attr_get_payload(address);
        return NULL;
}

/* Connections that were translated to the pod: its address answers, and it is not whom the client asked for. */
static void connection_forget(const struct nlmsghdr *h, void *data) {
        struct forgotten *f = data;
        const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
        const struct net_address *ip = m->nfgen_family == AF_INET ? &f->lease->ip4 : &f->lease->ip6;
        const struct nlattr *a, *original = NULL, *reply = NULL;
        uint32_t status = 0;

        if (ip->family != m->nfgen_family || f->batch.n_messages >= 65536)
                return;
        mnl_attr_for_each(a, h, sizeof(*m)) {
                if (mnl_attr_get_type(a) == CTA_TUPLE_ORIG)
                        original = a;
                else if (mnl_attr_get_type(a) == CTA_TUPLE_REPLY)
                        reply = a;
                else if (mnl_attr_get_type(a) == CTA_STATUS && mnl_attr_get_payload_len(a) == 4)
                        status = ntohl(mnl_attr_get_u32(a));
        }
        const void *source = original && reply && (status & IPS_DST_NAT) ? tuple_source(reply, ip->family) : NULL;
        if (!source || memcmp(source, ip->bytes, address_len(ip->family)) != 0)
                return;
        struct nfgenmsg *n = netlink_batch_message(&f->batch, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0,
                                                   sizeof(*n), ENOENT, "forget a connection");
        n->nfgen_family = m->nfgen_family;
        mnl_attr_put(f->batch.open, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(original),
                     mnl_attr_get_payload(original));
}

struct error *firewall_forget_connections(struct netlink *nl, const struct lease *lease) {
        struct nfgenmsg all = { .nfgen_family = AF_UNSPEC };
        struct forgotten f = { .lease = lease };

        struct error *err = netlink_dump(nl, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, &all, sizeof(all),
                                         connection_forget, &f);
        if (!err)
                err = netlink_run(nl, &f.batch);
        netlink_batch_release(&f.batch);
        return err;
}
