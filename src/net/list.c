/* list.c - reads leases and the records of CNI for people: which pod is connected to what. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "net/cni.h"
#include "net/host.h"
#include "net/inventory.h"

void net_list_free(struct net_entry *list, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(list[i].pod_uid);
                free(list[i].pod_name);
                for (size_t p = 0; p < list[i].n_ports; p++)
                        free(list[i].ports[p].host_ip);
                free(list[i].ports);
        }
        free(list);
}

struct listing {
        struct net_entry *list;
        size_t n;
};

static struct net_entry *add(struct listing *l) {
        l->list = xreallocarray(l->list, l->n + 1, sizeof(*l->list));
        l->list[l->n] = (struct net_entry){ 0 };
        return &l->list[l->n++];
}

static void add_lease(struct listing *l, const struct store *store, const struct lease_name *name) {
        _cleanup_lease_ struct lease lease = { 0 };
        struct error *err = lease_read(store, name, &lease);

        if (err) {
                error_free(err);
                return;
        }
        struct net_entry *e = add(l);
        e->pod_uid = xstrdup(lease.uid);
        e->pod_name = xstrdup(lease.pod_name);
        lease_result(&lease, &e->result);
        e->ports = xcalloc(lease.n_ports + 1, sizeof(*e->ports));
        for (size_t i = 0; i < lease.n_ports; i++) {
                const struct lease_port *p = &lease.ports[i];
                char text[INET6_ADDRSTRLEN];
                address_format(&p->host_ip, text, sizeof(text));
                e->ports[e->n_ports++] = (struct net_entry_port){ xstrdup(text), protocol_string(p->protocol),
                                                                  p->host_port, p->container_port };
        }
}

static void add_plugins(const char *uid, const char *pod_name, const struct net_result *result, void *data) {
        struct net_entry *e = add(data);

        e->pod_uid = xstrdup(uid);
        e->pod_name = xstrdup(pod_name);
        e->by_plugins = true;
        e->result = *result;
}

static int by_name(const void *a, const void *b) {
        const struct net_entry *x = a, *y = b;
        return strcmp(x->pod_name, y->pod_name);
}

struct error *net_list(const struct store *store, struct net_entry **ret, size_t *ret_n) {
        _cleanup_lease_list_ struct lease_list leases = { 0 };
        struct listing l = { 0 };
        /* Without the lock, so without sweeping: a look must neither wait nor change anything. */
        struct error *err = lease_list_peek(store, &leases);

        for (size_t i = 0; !err && i < leases.n; i++)
                add_lease(&l, store, &leases.names[i]);
        if (!err)
                err = cni_each(store, add_plugins, &l);
        if (err) {
                net_list_free(l.list, l.n);
                return err;
        }
        if (l.n)
                qsort(l.list, l.n, sizeof(*l.list), by_name);
        *ret = l.list;
        *ret_n = l.n;
        return NULL;
}

void net_overview_release(struct net_overview *overview) {
        free(overview->cni_conf_dir);
        free(overview->cni_summary);
}

struct error *net_overview(const struct store *store, struct net_overview *ret) {
        _cleanup_node_config_ struct node_config config = { 0 };
        struct net_ranges ranges = { 0 };
        bool found;
        struct error *err = ranges_read(store, &ranges, &found);

        if (!err)
                err = node_config_read(store, &config);
        if (err)
                return err;
        *ret = (struct net_overview){ 0 };
        ret->resolver = config.resolver;
        ret->cni_summary = config.cni_conf_dir ? cni_summary(&config) : NULL;
        ret->cni_conf_dir = TAKE_PTR(config.cni_conf_dir);
        net_names(store, ret->bridge, ret->table);
        ret->is_up = if_nametoindex(ret->bridge) != 0;
        if (found && ranges.ip4.base.family)
                range_format(&ranges.ip4, ret->range4, sizeof(ret->range4));
        if (found && ranges.ip6.base.family)
                range_format(&ranges.ip6, ret->range6, sizeof(ret->range6));
        return NULL;
}

struct error *net_gateway_read(const struct store *store, struct net_gateway *ret) {
        struct net_ranges ranges = { 0 };
        bool found;
        struct error *err = ranges_read(store, &ranges, &found);

        *ret = (struct net_gateway){ 0 };
        if (err || !found)
                return err;
        struct net_address gateway4 = range_address(&ranges.ip4, 1), gateway6 = range_address(&ranges.ip6, 1);
        address_format(&gateway4, ret->ip4, sizeof(ret->ip4));
        if (host_has_ip6())
                address_format(&gateway6, ret->ip6, sizeof(ret->ip6));
        ret->prefix4 = ranges.ip4.prefix_len;
        ret->prefix6 = ranges.ip6.prefix_len;
        return NULL;
}

static struct error *check_table(const struct store *store, const char *table) {
        _cleanup_host_ struct host host;
        bool found = false;
        struct error *err = host_open(store, &host);

        if (!err)
                err = host_filter(&host);
        if (!err)
                err = firewall_exists(&host.filter, table, &found);
        return err || found ? err
                            : error_new(ERROR_CONFLICT,
                                        "the nftables table inet %s is gone: host ports and the way out do not work; "
                                        "`husk network --repair` brings it back, as huskd or the next pod would",
                                        table);
}

static struct error *check_lease(const struct store *store, const char *pod_uid) {
        _cleanup_lease_list_ struct lease_list leases = { 0 };
        _cleanup_lease_ struct lease lease = { 0 };
        char bridge[IFNAMSIZ], table[32];
        struct error *err = lease_list_peek(store, &leases);
        const struct lease_name *name = err ? NULL : lease_list_find(&leases, pod_uid);

        if (!err && !name)
                err = error_new(ERROR_NOT_FOUND, "it has no network of its own");
        if (!err)
                err = lease_read(store, name, &lease);
        if (err)
                return err;
        net_names(store, bridge, table);
        if (!if_nametoindex(bridge))
                return error_new(ERROR_CONFLICT,
                                 "the bridge %s is gone; `husk network --repair` brings it back, as the next pod would",
                                 bridge);
        err = check_table(store, table);
        if (err)
                return err;
        if (!lease.attached || !if_nametoindex(lease.host_ifname))
                return error_new(ERROR_CONFLICT, "its interface %s on this machine is gone", lease.host_ifname);
        return NULL;
}

struct error *net_check(const struct store *store, const char *pod_uid) {
        struct error *err = cni_check(store, pod_uid);

        if (!error_is(err, ERROR_NOT_FOUND))
                return err;
        error_free(err);
        return check_lease(store, pod_uid);
}

struct error *net_plugins_ready(const struct store *store) {
        _cleanup_node_config_ struct node_config config = { 0 };
        struct error *err = node_config_read(store, &config);

        return err || !config.cni_conf_dir ? err : cni_status(store, &config);
}
