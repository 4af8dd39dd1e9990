/* host.h - inside src/net: the node's side of the network, which all pods share: bridge, addresses, sysctls, table. */
#pragma once

#include "net/firewall.h"
#include "net/inventory.h"
#include "net/netlink.h"
#include "net/range.h"

struct host {
        const struct store *store;
        char bridge[IFNAMSIZ];
        char table[32];
        struct netlink route;  /* opened by host_open() */
        struct netlink filter; /* opened when it is needed: host_filter() */
        struct net_ranges ranges;
        unsigned bridge_index;
        unsigned mtu;
};
struct error *host_open(const struct store *store, struct host *ret) _must_check_;
void host_close(struct host *host);
#define _cleanup_host_ _cleanup_(host_close)
struct error *host_filter(struct host *host) _must_check_;
struct firewall host_firewall(const struct host *host);

/* Makes sure of bridge and table, and fills in ranges, bridge_index and mtu. When they are there that takes three
 * system calls; when they are not (first pod since boot, or somebody removed them) they are made, and what the leased
 * pods have is connected to them again. The caller holds the node's lock. */
struct error *host_ready(struct host *host, const struct lease_list *leases) _must_check_;
/* Makes the table anew from the leases as they are now: when it does not hold what they say. */
struct error *host_repair(struct host *host) _must_check_;
/* Removes bridge and table. */
struct error *host_remove(struct host *host) _must_check_;

/* Does this machine (this network namespace) speak IPv6? */
bool host_has_ip6(void);
