/* firewall.h - inside src/net: the node's nftables table, by libnftnl.
 *
 *   table inet husk {                                              (with this node's bridge and ranges)
 *     map ports4    { type inet_proto . inet_service : ipv4_addr . inet_service }
 *     map ports4ip  { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }   (hostIP given)
 *     map ports6, ports6ip                                                                       likewise
 *     chain raw         { type filter hook prerouting priority raw
 *                         iifname husk0 ip daddr 127.0.0.0/8 drop }
 *     chain prerouting  { type nat hook prerouting priority dstnat
 *                         fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @ports4ip
 *                         …4, …6ip, …6 }
 *     chain output      { type nat hook output priority dstnat; the same four, but not for ::1 }
 *     chain postrouting { type nat hook postrouting priority srcnat
 *                         oifname lo accept                           (the node to itself by its address there)
 *                         ip saddr RANGE4 oifname != husk0 masquerade             (to the outside; so for RANGE6)
 *                         ip saddr RANGE4 oifname husk0 ct status dnat masquerade
 *                                                             (pod to a pod's host port; so for RANGE6)
 *                         ip saddr 127.0.0.0/8 oifname husk0 masquerade           (node to 127.0.0.1:port) }
 *   }
 *
 * The rules are constant; host ports are map elements. The raw chain is because route_localnet, which 127.0.0.1:port
 * needs, would open the node's own loopback services to the pods (CVE-2020-8558). Through IPv6's loopback address the
 * kernel routes nothing to the outside, so ::1 is left to refuse. */
#pragma once

#include "net/lease.h"
#include "net/range.h"

#define RESOLVER_PORT 53

struct firewall {
        const char *table;
        const char *bridge;
        const struct net_ranges *ranges;
        bool resolver; /* port 53 of the bridge is the resolver's, whatever host ports pods have */
};

/* Is the table there? */
struct error *firewall_exists(struct netlink *nl, const char *table, bool *ret) _must_check_;
/* Makes the table anew with the host ports of these leases, in one step: before and after no packet sees less. */
struct error *firewall_rebuild(struct netlink *nl, const struct firewall *fw, const struct lease *leases,
                               size_t n) _must_check_;
/* Opens a pod's host ports, all or none. */
struct error *firewall_add_ports(struct netlink *nl, const struct firewall *fw, const struct lease *lease) _must_check_;
/* Closes them; those that are closed already, and a missing table, are fine. */
struct error *firewall_remove_ports(struct netlink *nl, const char *table, const struct lease *lease) _must_check_;
/* Does the pod ask for port 53 of the bridge's own address? (Of all addresses is another matter: it has the others.) */
bool firewall_takes_resolver_port(const struct net_ranges *ranges, const struct lease *lease);
/* Keeps port 53 of the bridge for the resolver, or does so no longer (fw->resolver), in a table that is there. EEXIST:
 * a pod has that very address and port as its host port. */
struct error *firewall_keep_for_resolver(struct netlink *nl, const struct firewall *fw) _must_check_;
struct error *firewall_remove(struct netlink *nl, const char *table) _must_check_;
/* Forgets the connections that were translated to this pod's address: UDP clients would go on talking to it. */
struct error *firewall_forget_connections(struct netlink *nl, const struct lease *lease) _must_check_;
