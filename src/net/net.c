#include "net/net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "net/cni.h"
#include "net/host.h"
#include "net/inventory.h"
#include "net/others.h"

/* ---- the node's lock ---- */

static struct error *net_lock(const struct store *store, int *ret_fd) {
        _cleanup_free_ char *folder = path_join(store->run, "net");

        return folder_lock(folder, ret_fd);
}

/* ---- releasing ---- */

/* Name of the node's end of a pod's link: the same for the same pod, whatever is on record. */
static void host_ifname_of(const struct store *store, const char *pod_uid, char ret[static IFNAMSIZ]) {
        char tag[STORE_TAG_SIZE];
        uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a of node and pod */

        for (const char *p = store_tag(store, tag); *p; p++)
                hash = (hash ^ (uint8_t)*p) * 0x100000001b3ULL;
        for (const char *p = pod_uid; *p; p++)
                hash = (hash ^ (uint8_t)*p) * 0x100000001b3ULL;
        hash ^= hash >> 40;
        snprintf(ret, IFNAMSIZ, "hkv%010llx", (unsigned long long)(hash & 0xffffffffffULL));
}

static struct error *ports_close(struct host *host, const struct lease *lease) {
        if (!lease->n_ports)
                return NULL;
        struct error *err = host_filter(host);
        if (!err)
                err = firewall_remove_ports(&host->filter, host->table, lease);
        /* Without connection tracking nothing was translated. */
        if (!err)
                error_free(firewall_forget_connections(&host->filter, lease));
        return err;
}

static struct error *link_remove(struct host *host, const char *ifname) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;
        link_delete(&b, ifname);
        return netlink_run(&host->route, &b);
}

/* Undoes one lease. A damaged one still says whose it is and in its name the number: what can be derived is undone. */
static struct error *lease_undo(struct host *host, const struct lease_name *name) {
        _cleanup_lease_ struct lease lease = { 0 };
        char ifname[IFNAMSIZ];
        struct error *err = lease_read(host->store, name, &lease);

        if (err && error_errnum(err) != ENOENT && error_reason(err) != ERROR_INTERNAL)
                return err;
        bool readable = !err;
        error_free(err);
        err = readable ? ports_close(host, &lease) : NULL;
        if (!err) {
                host_ifname_of(host->store, name->uid, ifname);
                err = link_remove(host, ifname);
        }
        return err ? err : lease_remove(host->store, name);
}

#define RECLAIM_FEW 16

static bool is_dead(const struct store *store, const char *pod_uid) {
        _cleanup_free_ char *folder = store_pod_run_folder((struct store *)store, pod_uid);
        return !file_exists(folder);
}

/* A pod without its folder in <run> is gone; whatever it left is taken back. Each new pod looks at a few others, the
 * next one at the next few, so that it takes no longer the more there are; at all of them who lacks what one of them
 * may have. */
static struct error *reclaim(struct host *host, struct lease_list *list, bool all) {
        size_t n = all ? list->n : MIN(list->n, (size_t)RECLAIM_FEW), kept = 0;
        _cleanup_free_ bool *dead = xcalloc(list->n + 1, sizeof(*dead));
        size_t start = list->n ? (size_t)lease_number_last(host->store) * RECLAIM_FEW % list->n : 0;
        struct error *err = NULL;

        for (size_t i = 0; !err && i < n; i++) {
                size_t at = (start + i) % list->n;
                dead[at] = is_dead(host->store, list->names[at].uid);
                if (!dead[at])
                        continue;
                err = lease_undo(host, &list->names[at]);
                err = error_context(err, "take back the network of the dead pod %s", list->names[at].uid);
        }
        if (err)
                return err;
        for (size_t i = 0; i < list->n; i++)
                if (!dead[i])
                        list->names[kept++] = list->names[i];
        list->n = kept;
        return NULL;
}

/* Pods of the machine's own network that ask the resolver need the bridge as well; each is a file in <run>/net/guests.
 * Returns whether any is there, and takes away those of dead pods. The caller holds the lock. */
static bool has_guests(const struct store *store) {
        _cleanup_free_ char *folder = path_join(store->run, "net/guests");
        bool found = false;
        DIR *dir = opendir(folder);

        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                if (*entry->d_name == '.')
                        continue;
                _cleanup_free_ char *alive = store_pod_run_folder((struct store *)store, entry->d_name);
                if (file_exists(alive))
                        found = true;
                else
                        unlinkat(dirfd(dir), entry->d_name, 0);
        }
        if (dir)
                closedir(dir);
        return found;
}

static struct error *guest_add(const struct store *store, const char *pod_uid) {
        _cleanup_free_ char *folder = path_join(store->run, "net/guests"), *path = path_join(folder, pod_uid);
        struct error *err = mkdir_parents(folder, 0700);

        if (err)
                return err;
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        return fd < 0 ? error_errno(errno, "make %s", path) : NULL;
}

static void guest_remove(const struct store *store, const char *pod_uid) {
        _cleanup_free_ char *path = xasprintf("%s/net/guests/%s", store->run, pod_uid);
        unlink(path);
}

/* The last pod of a node that has its own root takes the node's network with it. */
static struct error *host_remove_if_last(struct host *host, const struct lease_list *list) {
        return host->store->is_default || list->n || has_guests(host->store) ? NULL : host_remove(host);
}

/* A lease that has been undone leaves the list. */
static void lease_list_forget(const struct store *store, struct lease_list *list, const struct lease_name *name) {
        list->names[name - list->names] = list->names[list->n - 1];
        list->n--;
        lease_list_save(store, list, NULL);
}

static struct error *detach(const struct store *store, const char *pod_uid) {
        _cleanup_lease_list_ struct lease_list list = { 0 };
        _cleanup_host_ struct host host;
        _cleanup_close_ int lock = -EBADF;
        char ifname[IFNAMSIZ];

        struct error *err = host_open(store, &host);
        /* The kernel takes 25 ms for a link, nearly all of it waiting: of many pods that end at one moment side by
         * side, if not under the lock. The lease stays until after. */
        host_ifname_of(store, pod_uid, ifname);
        if (!err)
                err = link_remove(&host, ifname);
        if (!err)
                err = net_lock(store, &lock);
        if (!err)
                err = lease_list_read(store, &list);
        if (err)
                return err;
        const struct lease_name *name = lease_list_find(&list, pod_uid);
        if (name) {
                err = lease_undo(&host, name);
                if (!err)
                        lease_list_forget(store, &list, name);
        }
        guest_remove(store, pod_uid);
        if (!err)
                err = host_remove_if_last(&host, &list);
        return err;
}

struct error *net_detach_begin(const struct store *store, const char *pod_uid, struct net_job **ret_job) {
        struct error *err = cni_detach(store, pod_uid, false, ret_job);

        /* A pod may have had both: the node's configuration can change between two sandboxes. */
        error_keep_first(&err, detach(store, pod_uid));
        return error_context(err, "remove network");
}

/* ---- reserving ---- */

static bool host_ip_is_any(const char *ip) {
        return str_empty(ip) || streq(ip, "0.0.0.0") || streq(ip, "::");
}

static struct error *port_parse(const struct net_port *port, struct lease_port *ret) {
        *ret = (struct lease_port){ protocol_parse(port->protocol), port->container_port, port->host_port, { 0 } };
        if (!ret->protocol)
                return error_new(ERROR_INVALID, "host port %u: unknown protocol \"%s\"", port->host_port,
                                 port->protocol);
        if (!ret->container_port)
                return error_new(ERROR_INVALID, "host port %u: no container port", port->host_port);
        if (host_ip_is_any(port->host_ip))
                return NULL;
        ret->host_ip.family = strchr(port->host_ip, ':') ? AF_INET6 : AF_INET;
        if (inet_pton(ret->host_ip.family, port->host_ip, ret->host_ip.bytes) != 1)
                return error_new(ERROR_INVALID, "host port %u: \"%s\" is not an IP address", port->host_port,
                                 port->host_ip);
        return NULL;
}

static struct error *ports_parse(const struct net_request *request, struct lease *lease) {
        lease->ports = xcalloc(request->n_ports + 1, sizeof(*lease->ports));
        for (size_t i = 0; i < request->n_ports; i++) {
                struct lease_port *port = &lease->ports[lease->n_ports];
                if (!request->ports[i].host_port)
                        continue;
                struct error *err = port_parse(&request->ports[i], port);
                if (err)
                        return err;
                for (size_t j = 0; j < lease->n_ports; j++)
                        if (lease_ports_conflict(port, &lease->ports[j]))
                                return error_new(ERROR_CONFLICT, "host port %u/%s is asked for twice", port->host_port,
                                                 protocol_string(port->protocol));
                lease->n_ports++;
        }
        return NULL;
}

static struct error *ports_check(const struct store *store, const struct lease_list *list, const struct lease *lease) {
        for (size_t i = 0; lease->n_ports && i < list->n; i++) {
                _cleanup_lease_ struct lease other = { 0 };
                struct error *err = lease_read(store, &list->names[i], &other);
                if (err)
                        return err;
                for (size_t a = 0; a < lease->n_ports; a++)
                        for (size_t b = 0; b < other.n_ports; b++)
                                if (lease_ports_conflict(&lease->ports[a], &other.ports[b]))
                                        return error_new(ERROR_CONFLICT, "host port %u/%s is in use by pod %s",
                                                         lease->ports[a].host_port,
                                                         protocol_string(lease->ports[a].protocol), other.pod_name);
        }
        return NULL;
}

/* What a dead pod has is free, once it is taken back. */
static struct error *ports_claim(struct host *host, struct lease_list *list, const struct lease *lease) {
        struct error *err = ports_check(host->store, list, lease);

        if (!err || error_reason(err) != ERROR_CONFLICT)
                return err;
        size_t before = list->n;
        struct error *failed = reclaim(host, list, true);
        if (failed || list->n == before) {
                error_free(failed);
                return err;
        }
        error_free(err);
        return ports_check(host->store, list, lease);
}

static struct error *ports_fit_families(const struct lease *lease) {
        for (size_t i = 0; i < lease->n_ports; i++)
                if (lease->ports[i].host_ip.family == AF_INET6 && lease->ip6.family == AF_UNSPEC)
                        return error_new(ERROR_NOT_SUPPORTED,
                                         "host port %u: hostIP is an IPv6 address, but pods here have none",
                                         lease->ports[i].host_port);
        return NULL;
}

/* The link address follows from the IPv4 address, so that neighbours who remember the one know the other. */
static void lease_fill(struct lease *lease, const struct host *host, uint32_t number) {
        static const uint8_t prefix[2] = { 0x0a, 0x58 };

        lease->number = number;
        lease->ip4 = range_address(&host->ranges.ip4, number);
        lease->gateway4 = range_address(&host->ranges.ip4, 1);
        lease->ip6 = range_address(&host->ranges.ip6, number);
        lease->gateway6 = range_address(&host->ranges.ip6, 1);
        lease->mtu = host->mtu;
        memcpy(lease->mac, prefix, 2);
        memcpy(lease->mac + 2, lease->ip4.bytes, 4);
        host_ifname_of(host->store, lease->uid, lease->host_ifname);
}

/* A host port 53 of all addresses leaves the bridge's to the resolver; of the bridge's address alone it cannot. */
static struct error *ports_spare_resolver(const struct host *host, const struct lease *lease) {
        if (!firewall_takes_resolver_port(&host->ranges, lease))
                return NULL;
        _cleanup_node_config_ struct node_config config = { 0 };
        struct error *err = node_config_read(host->store, &config);
        if (err || !config.resolver)
                return err;
        return error_new(ERROR_CONFLICT,
                         "host port %d: this port of the bridge's own address is the resolver's (resolver: true in "
                         "%s/config.yaml); leave hostIP out to have it on all others",
                         RESOLVER_PORT, host->store->root);
}

/* Picks an address and writes down who has it. */
static struct error *lease_new(struct host *host, struct lease_list *list, struct lease *lease) {
        uint32_t last = ranges_last_number(&host->ranges), number = lease_list_free_number(host->store, list, last);
        char range[64];

        if (!number) {
                struct error *err = reclaim(host, list, true);
                if (err)
                        return err;
                number = lease_list_free_number(host->store, list, last);
        }
        if (!number) {
                range_format(&host->ranges.ip4, range, sizeof(range));
                return error_new(ERROR_EXHAUSTED, "all addresses of the pods' range %s are in use (%zu pod%s)", range,
                                 list->n, list->n == 1 ? "" : "s");
        }
        lease_fill(lease, host, number);
        struct error *err = ports_fit_families(lease);
        if (!err)
                err = lease_write(host->store, lease);
        if (err)
                return err;
        lease_number_used(host->store, number);
        lease_list_save(host->store, list, lease);
        return NULL;
}

static struct error *ports_open(struct host *host, const struct lease *lease) {
        struct firewall fw = host_firewall(host);

        if (!lease->n_ports)
                return NULL;
        struct error *err = host_filter(host);
        if (!err)
                err = firewall_add_ports(&host->filter, &fw, lease);
        if (!err || error_errnum(err) != EEXIST)
                return err;
        /* Left by a pod whose record was lost. */
        error_free(err);
        return host_repair(host);
}

/* ---- the pod's namespace ---- */

/* Sockets that belong to the pod's namespace although we do not. */
struct pod_side {
        struct netlink route;
        int socket; /* for ioctl(2) */
};

static void pod_side_close(struct pod_side *pod) {
        netlink_close(&pod->route);
        fd_close(pod->socket);
}

static struct error *pod_side_prepare(struct pod_side *pod) {
        struct error *err = netlink_open(NETLINK_ROUTE, &pod->route);

        if (err)
                return err;
        pod->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return pod->socket < 0 ? error_errno(errno, "socket") : NULL;
}

static struct error *pod_side_open(int netns_fd, struct pod_side *pod) {
        _cleanup_close_ int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

        if (own < 0)
                return error_errno(errno, "open /proc/thread-self/ns/net");
        if (setns(netns_fd, CLONE_NEWNET) < 0)
                return error_errno(errno, "enter the pod's network namespace");
        struct error *err = pod_side_prepare(pod);
        if (setns(own, CLONE_NEWNET) < 0)
                abort(); /* nothing this thread does from here on would be right */
        return err;
}

static struct error *loopback_up(const struct pod_side *pod) {
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        return ioctl(pod->socket, SIOCSIFFLAGS, &request) < 0 ? error_errno(errno, "set lo up") : NULL;
}

static struct error *pod_side_configure(struct pod_side *pod, const struct host *host, const struct lease *lease) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;
        struct ifreq request = { .ifr_name = LEASE_IFNAME };

        if (ioctl(pod->socket, SIOCGIFINDEX, &request) < 0)
                return error_errno(errno, "find %s of the pod", LEASE_IFNAME);
        unsigned index = (unsigned)request.ifr_ifindex;
        /* To a link-local address belong announcements to a multicast group, and the bridge gives those to every pod:
         * beside 500 others several milliseconds of the kernel's for each pod that starts. */
        if (lease->ip6.family == AF_UNSPEC)
                link_without_link_local(&b, index);
        link_set_up_by_index(&b, index);
        address_add(&b, index, &lease->ip4, host->ranges.ip4.prefix_len);
        route_add_default(&b, index, &lease->gateway4);
        if (lease->ip6.family == AF_INET6) {
                address_add(&b, index, &lease->ip6, host->ranges.ip6.prefix_len);
                route_add_default(&b, index, &lease->gateway6);
        }
        struct error *err = netlink_run(&pod->route, &b);
        return err ? err : loopback_up(pod);
}

/* As much of a TCP stream in one piece as Linux advises for ("BIG TCP"): the way from pod to pod over the bridge takes
 * as long for it as for the 64 KiB of IPv4's own length field. What leaves the machine is cut to what its interface
 * takes. */
#define BIG_TCP_BYTES (192U << 10)

static struct error *veth_make(struct host *host, const struct lease *lease, int netns_fd) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;

        struct veth veth = { .name = lease->host_ifname,
                             .peer = LEASE_IFNAME,
                             .peer_netns_fd = netns_fd,
                             .mtu = lease->mtu,
                             .gso_ip4_max = host->ranges.big_tcp_off ? 0 : BIG_TCP_BYTES,
                             .master = host->bridge_index };

        memcpy(veth.peer_mac, lease->mac, sizeof(veth.peer_mac));
        link_add_veth(&b, &veth);
        link_set_up(&b, lease->host_ifname, host->bridge_index, true);
        return netlink_run(&host->route, &b);
}

/* What goes into the pod leaves the node's end, what comes out of it the pod's: each end holds back what it sends. */
static struct error *shape(struct host *host, struct pod_side *pod, const struct lease *lease,
                           const struct net_request *request) {
        _cleanup_netlink_batch_ struct netlink_batch in = NETLINK_BATCH_INIT, out = NETLINK_BATCH_INIT;
        struct ifreq eth0 = { .ifr_name = LEASE_IFNAME };
        struct error *err = NULL;

        if (request->ingress_bits) {
                link_shape(&in, if_nametoindex(lease->host_ifname), request->ingress_bits);
                err = netlink_run(&host->route, &in);
        }
        if (err || !request->egress_bits)
                return err;
        if (ioctl(pod->socket, SIOCGIFINDEX, &eth0) < 0)
                return error_errno(errno, "find %s of the pod", LEASE_IFNAME);
        link_shape(&out, (unsigned)eth0.ifr_ifindex, request->egress_bits);
        return netlink_run(&pod->route, &out);
}

static struct error *connect_pod(struct host *host, const struct lease *lease, int netns_fd,
                                 const struct net_request *request) {
        _cleanup_(pod_side_close) struct pod_side pod = { NETLINK_INIT, -EBADF };
        struct error *err = pod_side_open(netns_fd, &pod);

        if (!err)
                err = veth_make(host, lease, netns_fd);
        if (err && error_errnum(err) == EEXIST) {
                /* A link of ours that is not on record any more (its record was lost): it goes, with both ends. */
                error_free(err);
                err = link_remove(host, lease->host_ifname);
                if (!err)
                        err = veth_make(host, lease, netns_fd);
        }
        if (!err)
                err = pod_side_configure(&pod, host, lease);
        return err ? err : shape(host, &pod, lease, request);
}

/* Plugins make everything but the loopback. */
static struct error *attach_by_plugins(const struct store *store, const struct node_config *config, const char *pod_uid,
                                       int netns_fd, const struct net_request *request, struct net_result *ret,
                                       struct net_job **ret_job) {
        _cleanup_(pod_side_close) struct pod_side pod = { NETLINK_INIT, -EBADF };
        struct error *err = pod_side_open(netns_fd, &pod);

        if (!err)
                err = loopback_up(&pod);
        return err ? err : cni_attach(store, config, pod_uid, netns_fd, request, ret, ret_job);
}

/* ---- attaching ---- */

/* Is the pod attached already, to this very namespace? Anything else it has from before is undone. */
static struct error *attached_before(struct host *host, struct lease_list *list, const char *pod_uid, uint64_t netns,
                                     struct net_result *ret, bool *ret_done) {
        const struct lease_name *name = lease_list_find(list, pod_uid);
        _cleanup_lease_ struct lease lease = { 0 };

        *ret_done = false;
        if (!name)
                return NULL;
        struct error *err = lease_read(host->store, name, &lease);
        if (!err && lease.attached && lease.netns == netns && if_nametoindex(lease.host_ifname)) {
                lease_result(&lease, ret);
                *ret_done = true;
                return NULL;
        }
        error_free(err);
        err = lease_undo(host, name);
        if (err)
                return err;
        lease_list_release(list);
        return lease_list_read(host->store, list);
}

/* Everything that other pods must not see half done: who has which address and port. */
static struct error *attach_reserve(struct host *host, const char *pod_uid, const struct net_request *request,
                                    struct lease *lease, struct net_result *ret, bool *ret_done) {
        _cleanup_lease_list_ struct lease_list list = { 0 };
        _cleanup_close_ int lock = -EBADF;

        struct error *err = net_lock(host->store, &lock);
        if (!err)
                err = lease_list_read(host->store, &list);
        if (!err)
                err = attached_before(host, &list, pod_uid, lease->netns, ret, ret_done);
        if (err || *ret_done)
                return err;
        err = reclaim(host, &list, false);
        if (!err)
                err = ports_parse(request, lease);
        if (!err)
                err = ports_claim(host, &list, lease);
        if (!err)
                err = host_ready(host, &list);
        if (!err)
                err = ports_spare_resolver(host, lease);
        if (!err)
                err = lease_new(host, &list, lease);
        return err ? err : ports_open(host, lease);
}

static struct error *attach(struct host *host, const char *pod_uid, int netns_fd, const struct net_request *request,
                            struct net_result *ret) {
        _cleanup_lease_ struct lease lease = { .uid = xstrdup(pod_uid),
                                               .pod_name = xstrdup(request->pod_name ? request->pod_name : "") };
        struct stat netns;
        bool done = false;

        if (fstat(netns_fd, &netns) < 0)
                return error_errno(errno, "look at the pod's network namespace");
        lease.netns = netns.st_ino;
        struct error *err = attach_reserve(host, pod_uid, request, &lease, ret, &done);
        if (err || done)
                return err;
        err = connect_pod(host, &lease, netns_fd, request);
        if (err)
                return err;
        lease.attached = true;
        /* Under the lock, for whoever reads the leases sweeps up what looks half written. */
        _cleanup_close_ int lock = -EBADF;
        err = net_lock(host->store, &lock);
        if (!err)
                err = lease_write(host->store, &lease);
        if (!err)
                lease_result(&lease, ret);
        return err;
}

struct error *net_attach_begin(const struct store *store, const char *pod_uid, int netns_fd,
                               const struct net_request *request, struct net_result *ret, struct net_job **ret_job) {
        _cleanup_node_config_ struct node_config config = { 0 };
        struct error *err = node_config_read(store, &config);

        *ret_job = NULL;
        if (err)
                return err;
        if (config.cni_conf_dir)
                return error_context(attach_by_plugins(store, &config, pod_uid, netns_fd, request, ret, ret_job),
                                     "network");
        err = cni_detach(store, pod_uid, true, ret_job); /* of a sandbox before the configuration was changed */
        if (err || *ret_job)
                return error_context(err, "network");
        _cleanup_host_ struct host host;
        err = host_open(store, &host);
        if (!err)
                err = attach(&host, pod_uid, netns_fd, request, ret);
        if (err)
                error_free(detach(store, pod_uid));
        return error_context(err, "network");
}

/* With the lock under which the node's network is looked at and changed. */
static struct error *host_open_locked(const struct store *store, struct host *host, int *ret_lock) {
        struct error *err = host_open(store, host);
        return err ? err : net_lock(store, ret_lock);
}

struct error *net_repair(const struct store *store) {
        _cleanup_lease_list_ struct lease_list list = { 0 };
        _cleanup_host_ struct host host;
        _cleanup_close_ int lock = -EBADF;
        struct error *err = host_open_locked(store, &host, &lock);

        if (!err)
                err = lease_list_read(store, &list);
        if (!err && (list.n || has_guests(store))) {
                err = host_ready(&host, &list);
                if (!err)
                        err = others_look_again(&host);
        }
        return error_context(err, "network");
}

static struct error *keep_resolver_port(struct host *host, bool keep) {
        bool found, table = false;
        struct error *err = ranges_read(host->store, &host->ranges, &found);

        if (!err)
                err = host_filter(host);
        if (!err && found)
                err = firewall_exists(&host->filter, host->table, &table);
        if (err || !table)
                return err;
        struct firewall fw = host_firewall(host);
        fw.resolver = keep;
        err = firewall_keep_for_resolver(&host->filter, &fw);
        if (!err || error_errnum(err) != EEXIST)
                return err;
        error_free(err);
        return error_new(ERROR_CONFLICT, "port %d of the bridge's own address is the host port of a pod",
                         RESOLVER_PORT);
}

struct error *net_keep_resolver_port(const struct store *store, bool keep) {
        _cleanup_host_ struct host host;
        _cleanup_close_ int lock = -EBADF;
        struct error *err = host_open_locked(store, &host, &lock);

        if (!err)
                err = keep_resolver_port(&host, keep);
        return error_context(err, "network");
}

struct error *net_prepare(const struct store *store, const char *pod_uid) {
        _cleanup_lease_list_ struct lease_list list = { 0 };
        _cleanup_host_ struct host host;
        _cleanup_close_ int lock = -EBADF;
        struct error *err = host_open_locked(store, &host, &lock);

        if (!err)
                err = lease_list_read(store, &list);
        if (!err)
                err = guest_add(store, pod_uid);
        if (!err)
                err = host_ready(&host, &list);
        return error_context(err, "network");
}

struct error *net_read(const struct store *store, const char *pod_uid, struct net_result *ret) {
        _cleanup_lease_list_ struct lease_list list = { 0 };
        _cleanup_lease_ struct lease lease = { 0 };
        _cleanup_close_ int lock = -EBADF;
        bool plugins = false;
        struct error *err = net_lock(store, &lock);

        if (!err)
                err = lease_list_read(store, &list);
        if (err)
                return err;
        const struct lease_name *name = lease_list_find(&list, pod_uid);
        if (!name) {
                err = cni_read(store, pod_uid, ret, &plugins);
                return err || plugins ? err : error_new(ERROR_NOT_FOUND, "pod %s has no network", pod_uid);
        }
        err = lease_read(store, name, &lease);
        if (!err)
                lease_result(&lease, ret);
        return err;
}
