/* lease.h - inside src/net: what is reserved for a pod, from before it has anything until it has nothing any more.
 *
 * One file for each pod, <run>/net/pods/<number>-<uid>: the number (of its addresses) and the uid stand in the name, so
 * that the names alone show who has what (net/inventory.h). Whoever reads or writes holds the lock. */
#pragma once

#include "net/netlink.h"
#include "net/net.h"

#define LEASE_IFNAME "eth0" /* in the pod */

struct lease_port {
        uint8_t protocol; /* IPPROTO_TCP, … */
        uint16_t container_port;
        uint16_t host_port;
        struct net_address host_ip; /* family AF_UNSPEC: all of the node's */
};

struct lease {
        uint32_t number;
        char *uid;
        char *pod_name; /* "default/web" */
        struct net_address ip4, ip6;
        struct net_address gateway4, gateway6;
        uint8_t mac[6];
        char host_ifname[IFNAMSIZ];
        unsigned mtu;
        uint64_t netns; /* inode of the namespace it is for */
        bool attached;  /* everything was made */
        struct lease_port *ports;
        size_t n_ports;
};
void lease_release(struct lease *lease);
#define _cleanup_lease_ _cleanup_(lease_release)

struct lease_name; /* net/inventory.h */
char *leases_folder(const struct store *store);

struct error *lease_read(const struct store *store, const struct lease_name *name, struct lease *ret) _must_check_;
struct error *lease_write(const struct store *store, const struct lease *lease) _must_check_;
struct error *lease_remove(const struct store *store, const struct lease_name *name) _must_check_;

/* As the pod's status shows it. */
void lease_result(const struct lease *lease, struct net_result *ret);

/* "TCP" of IPPROTO_TCP, and back (0: none of Kubernetes' three). */
const char *protocol_string(uint8_t protocol);
uint8_t protocol_parse(const char *name);
/* Do two ports claim the same packets? */
bool lease_ports_conflict(const struct lease_port *a, const struct lease_port *b);
