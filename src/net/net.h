/* net.h - the pods' network. Built in: a bridge, a veth pair, addresses, masquerade and host ports, all by netlink.
 *
 *   pod's namespace            node
 *   eth0  ────── veth ────── hkv<10 hex> ── husk0 (bridge; the pods' gateway) ── forwarding, nftables ── outside
 *
 * Each node (root folder) has a bridge (husk0, others hk<10 hex, store_tag()>), an IPv4 and an IPv6 range picked free
 * of what the machine already uses and recorded in <root>/net.json, and one nftables table ("husk", others "husk-<10
 * hex>") with a constant set of rules: a pod only adds and removes elements of its maps, atomically. Addresses and host
 * ports are reserved in <run>/net/pods/, under the lock <run>/net/lock, before any kernel object is made; whoever
 * attaches next reclaims what dead pods (those without <run>/pods/<uid>) left behind.
 *
 * Host ports answer on the node's addresses (or hostIP only), from the node itself (127.0.0.1 included), from other
 * hosts and from the pods. Programs may call all this at the same time.
 *
 * Where <root>/config.yaml has cniConfDir, CNI plugins do all of it instead (cni.h). */
#pragma once

#include <jansson.h>
#include <net/if.h>
#include <netinet/in.h>

#include "base/error.h"
#include "net/job.h"
#include "store/store.h"

struct net_port {
        const char *protocol; /* "TCP", "UDP", "SCTP"; NULL: TCP */
        uint16_t container_port;
        uint16_t host_port;  /* 0: nothing to do */
        const char *host_ip; /* NULL, "", "0.0.0.0", "::" : all the node's addresses (of both families) */
};

struct net_request {
        const char *pod_name; /* "default/web": for messages, and kept in the reservation */
        const struct net_port *ports;
        size_t n_ports;
        pid_t infra_pid;                    /* a process in the namespace, for CNI plugins, which want a path */
        uint64_t ingress_bits, egress_bits; /* most bits a second into and out of the pod; 0: as many as there are */
        const struct net_plugin_request *for_plugins; /* NULL: nothing of it is known */
};

/* What plugins are told besides, if they say that they have the capability (https://www.cni.dev/docs/conventions/).
 * Everything may be NULL. */
struct net_plugin_request {
        char **dns_servers, **dns_searches, **dns_options; /* what the pod's resolv.conf says */
        char *cgroup;                                      /* the pod's, as a path below the hierarchies' roots */
        json_t *annotations;                               /* of the pod: an object */
        char **ips; /* addresses that were asked for, with or without prefix length */
        char *mac, *infiniband_guid;
};
#define NET_ANNOTATION_IPS "cni.husk/ips"
#define NET_ANNOTATION_MAC "cni.husk/mac"
#define NET_ANNOTATION_GUID "cni.husk/infiniband-guid"

/* Everything as text, as the pod's status shows it; "" where there is none (no IPv6 on this machine). */
struct net_result {
        char ip4[INET_ADDRSTRLEN];
        char ip6[INET6_ADDRSTRLEN];
        char gateway4[INET_ADDRSTRLEN];
        char gateway6[INET6_ADDRSTRLEN];
        char mac[18];
        char ifname[IFNAMSIZ];      /* in the pod: "eth0" */
        char host_ifname[IFNAMSIZ]; /* on the node */
        unsigned mtu;
};

/* Gives the namespace an interface with addresses and routes, and opens the host ports. Idempotent: a pod that is
 * attached already gets what it has; in another namespace (a new sandbox) the old one is detached first.
 * ERROR_EXHAUSTED: no address is free; ERROR_CONFLICT: a host port belongs to another pod (named).
 *
 * *ret_job is NULL unless CNI plugins have to be run first: then *ret is not set yet. When the job is done, and there
 * is no error, call again with the same request; it borrows the store. After an error nothing is left of what husk does
 * itself; of what plugins made (also after an error of the job) net_detach_begin() takes back. */
struct error *net_attach_begin(const struct store *store, const char *pod_uid, int netns_fd,
                               const struct net_request *request, struct net_result *ret,
                               struct net_job **ret_job) _must_check_;
/* Removes all of it, from the reservation: also when the namespace, the link, the bridge or the table is gone already.
 * With the last pod of a node that has its own root, bridge and table go as well; sysctls of the machine that
 * were changed (forwarding) stay as noted in <run>/net/changed, others may rely on them by then. Idempotent.
 * *ret_job: NULL, or what plugins have to take back. Plugins that fail are a warning: their part stays on record, and
 * whoever attaches next tries it again. Likewise if the job is not run. */
struct error *net_detach_begin(const struct store *store, const char *pod_uid, struct net_job **ret_job) _must_check_;
/* For a pod of the machine's own network that asks the resolver: makes the node's side, and keeps it until the pod is
 * detached. */
struct error *net_prepare(const struct store *store, const char *pod_uid) _must_check_;
/* What a pod has, for a successor: ERROR_NOT_FOUND without a reservation. */
struct error *net_read(const struct store *store, const char *pod_uid, struct net_result *ret) _must_check_;

/* ---- what is connected to what, for people ---- */

struct net_entry {
        char *pod_uid, *pod_name; /* "default/web" */
        bool by_plugins;          /* CNI made it; ports are the plugins' matter */
        struct net_result result;
        struct net_entry_port {
                char *host_ip; /* "": all of the node's */
                const char *protocol;
                uint16_t host_port, container_port;
        } * ports;
        size_t n_ports;
};
/* All pods that have a network, by name. Those whose record cannot be read are left out. */
struct error *net_list(const struct store *store, struct net_entry **ret, size_t *ret_n) _must_check_;
void net_list_free(struct net_entry *list, size_t n);

struct net_overview {
        char bridge[IFNAMSIZ], table[32];
        bool is_up;                  /* the bridge is there */
        char range4[64], range6[64]; /* "" where there is none, or none yet */
        bool resolver;               /* asked for */
        char *cni_conf_dir;          /* plugins make new pods' network; NULL: husk does */
        char *cni_summary;           /* which; NULL: there is no configuration, or a faulty one */
};
struct error *net_overview(const struct store *store, struct net_overview *ret) _must_check_;
void net_overview_release(struct net_overview *overview);
/* Is what the record of the pod says still there? For a network made by plugins: their CHECK. The error says what is
 * missing; ERROR_NOT_FOUND: the pod has no network of its own. */
struct error *net_check(const struct store *store, const char *pod_uid) _must_check_;
/* Are the CNI plugins ready to make pods' networks (STATUS)? Waits for them; NULL also where husk makes them itself. */
struct error *net_plugins_ready(const struct store *store) _must_check_;

/* Makes anew whatever of the node's side is gone or is not let through by Docker, if pods need it: after
 * `nft flush ruleset`, say. The next pod that starts does the same. */
struct error *net_repair(const struct store *store) _must_check_;
/* Keeps port 53 of the bridge for the node's resolver while it runs, also from pods that have it as their host port of
 * all addresses. ERROR_CONFLICT: a pod has it as the host port of this very address. Without a table that is none of
 * its business: who makes it goes by the node's configuration. */
struct error *net_keep_resolver_port(const struct store *store, bool keep) _must_check_;
/* Sentences, each with the commands that help, about other firewalls that drop the pods' packets; a string list of the
 * caller's. */
struct error *net_obstacles(const struct store *store, char ***ret) _must_check_;
/* A netlink socket that is readable when some table of nftables has changed; the caller's. */
struct error *net_watch_open(int *ret_fd) _must_check_;
/* Reads what it has to say. Returns whether a look at the node's side is due: its table went, or other firewalls were
 * made. */
bool net_watch_read(int fd, const struct store *store);

/* By which addresses pods reach the node (the bridge's), and how long the pods' ranges around them are; "" where there
 * is none, or none yet. */
struct net_gateway {
        char ip4[INET_ADDRSTRLEN], ip6[INET6_ADDRSTRLEN];
        unsigned prefix4, prefix6;
};
struct error *net_gateway_read(const struct store *store, struct net_gateway *ret) _must_check_;

/* The node's own addresses (status.hostIPs, and podIPs of hostNetwork pods): source addresses of its default routes,
 * else the first global address, else loopback. "" for a missing family, never both. */
struct net_node {
        char ip4[INET_ADDRSTRLEN];
        char ip6[INET6_ADDRSTRLEN];
};
struct error *net_node_addresses(struct net_node *ret) _must_check_;

/* Names of this node's bridge and table. */
void net_names(const struct store *store, char bridge[static IFNAMSIZ], char table[static 32]);
