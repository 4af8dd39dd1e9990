#include "net/lease.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "net/inventory.h"
#include "net/range.h"

#define LEASE_FILE_MAX (1 << 20)

char *leases_folder(const struct store *store) {
        return path_join(store->run, "net/pods");
}

static char *lease_path(const struct store *store, uint32_t number, const char *uid) {
        return xasprintf("%s/net/pods/%u-%s", store->run, number, uid);
}

static const struct {
        uint8_t protocol;
        const char *name;
} protocols[] = { { IPPROTO_TCP, "TCP" }, { IPPROTO_UDP, "UDP" }, { IPPROTO_SCTP, "SCTP" } };

const char *protocol_string(uint8_t protocol) {
        for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
                if (protocols[i].protocol == protocol)
                        return protocols[i].name;
        return "";
}

uint8_t protocol_parse(const char *name) {
        if (str_empty(name))
                return IPPROTO_TCP;
        for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
                if (streq(protocols[i].name, name))
                        return protocols[i].protocol;
        return 0;
}

bool lease_ports_conflict(const struct lease_port *a, const struct lease_port *b) {
        if (a->protocol != b->protocol || a->host_port != b->host_port)
                return false;
        if (a->host_ip.family == AF_UNSPEC || b->host_ip.family == AF_UNSPEC)
                return true;
        return a->host_ip.family == b->host_ip.family &&
               memcmp(a->host_ip.bytes, b->host_ip.bytes, address_len(a->host_ip.family)) == 0;
}

void lease_release(struct lease *lease) {
        free(lease->uid);
        free(lease->pod_name);
        free(lease->ports);
        memset(lease, 0, sizeof(*lease));
}

/* ---- one lease ---- */

static json_t *address_json(const struct net_address *a) {
        char text[INET6_ADDRSTRLEN];
        address_format(a, text, sizeof(text));
        return json_string(text);
}

static bool address_of_json(const json_t *json, struct net_address *ret) {
        const char *text = json_string_value(json);

        *ret = (struct net_address){ 0 };
        if (!text)
                return false;
        if (!*text)
                return true;
        ret->family = strchr(text, ':') ? AF_INET6 : AF_INET;
        return inet_pton(ret->family, text, ret->bytes) == 1;
}

/* By way of one name outside of the folder: whoever is killed here leaves nothing that somebody would have to look for.
 */
static struct error *lease_put(const struct store *store, const char *path, const char *text) {
        _cleanup_free_ char *new = path_join(store->run, "net/new");
        _cleanup_close_ int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
                return error_errno(errno, "make %s", new);
        struct error *err = fd_write_all(fd, text, strlen(text));
        if (!err && rename(new, path) < 0)
                err = error_errno(errno, "make %s", path);
        return err;
}

struct error *lease_write(const struct store *store, const struct lease *l) {
        _cleanup_free_ char *path = lease_path(store, l->number, l->uid), *folder = leases_folder(store), *text = NULL;
        char mac[18];
        json_t *ports = json_array();

        struct error *err = mkdir_parents(folder, 0700);
        if (err) {
                json_decref(ports);
                return err;
        }
        for (size_t i = 0; i < l->n_ports; i++)
                json_array_append_new(ports, json_pack("{s:s, s:i, s:i, s:o}", "protocol",
                                                       protocol_string(l->ports[i].protocol), "containerPort",
                                                       l->ports[i].container_port, "hostPort", l->ports[i].host_port,
                                                       "hostIP", address_json(&l->ports[i].host_ip)));
        snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", l->mac[0], l->mac[1], l->mac[2], l->mac[3],
                 l->mac[4], l->mac[5]);
        json_t *json = json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:s, s:s, s:i, s:I, s:o}", "pod", l->pod_name,
                                 "attached", l->attached, "ipv4", address_json(&l->ip4), "ipv6", address_json(&l->ip6),
                                 "gateway4", address_json(&l->gateway4), "gateway6", address_json(&l->gateway6), "mac",
                                 mac, "hostInterface", l->host_ifname, "mtu", (int)l->mtu, "netns",
                                 (json_int_t)l->netns, "ports", ports);
        if (!json)
                return error_new(ERROR_INVALID, "the pod's name is not UTF-8");
        text = json_dumps(json, JSON_INDENT(1));
        json_decref(json);
        struct inventory inventory;
        inventory_begin(store, &inventory);
        bool was_there = file_exists(path);
        err = lease_put(store, path, text);
        inventory_end(&inventory, !err && was_there);
        return err;
}

static bool lease_ports_of_json(const json_t *ports, struct lease *l) {
        const json_t *json;
        size_t i;

        l->ports = xcalloc(json_array_size(ports) + 1, sizeof(*l->ports));
        json_array_foreach(ports, i, json) {
                struct lease_port *p = &l->ports[l->n_ports];
                p->protocol = protocol_parse(json_string_value(json_object_get(json, "protocol")));
                p->container_port = (uint16_t)json_integer_value(json_object_get(json, "containerPort"));
                p->host_port = (uint16_t)json_integer_value(json_object_get(json, "hostPort"));
                if (!p->protocol || !address_of_json(json_object_get(json, "hostIP"), &p->host_ip))
                        return false;
                l->n_ports++;
        }
        return true;
}

static bool lease_of_json(const json_t *json, struct lease *l) {
        const char *name = json_string_value(json_object_get(json, "pod"));
        const char *mac = json_string_value(json_object_get(json, "mac"));
        const char *ifname = json_string_value(json_object_get(json, "hostInterface"));

        if (!name || !mac || !ifname || strlen(ifname) >= IFNAMSIZ)
                return false;
        l->pod_name = xstrdup(name);
        snprintf(l->host_ifname, sizeof(l->host_ifname), "%s", ifname);
        l->attached = json_is_true(json_object_get(json, "attached"));
        l->mtu = (unsigned)json_integer_value(json_object_get(json, "mtu"));
        l->netns = (uint64_t)json_integer_value(json_object_get(json, "netns"));
        return sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &l->mac[0], &l->mac[1], &l->mac[2], &l->mac[3],
                      &l->mac[4], &l->mac[5]) == 6 &&
               address_of_json(json_object_get(json, "ipv4"), &l->ip4) &&
               address_of_json(json_object_get(json, "ipv6"), &l->ip6) &&
               address_of_json(json_object_get(json, "gateway4"), &l->gateway4) &&
               address_of_json(json_object_get(json, "gateway6"), &l->gateway6) &&
               lease_ports_of_json(json_object_get(json, "ports"), l);
}

struct error *lease_read(const struct store *store, const struct lease_name *name, struct lease *ret) {
        _cleanup_free_ char *path = lease_path(store, name->number, name->uid), *text = NULL;
        _cleanup_lease_ struct lease l = { .number = name->number, .uid = xstrdup(name->uid) };
        json_error_t json_error;

        struct error *err = file_read(path, LEASE_FILE_MAX, &text, NULL);
        if (err)
                return err;
        json_t *json = json_loads(text, 0, &json_error);
        bool good = json && lease_of_json(json, &l);
        json_decref(json);
        if (!good)
                return error_new(ERROR_INTERNAL, "%s is damaged", path);
        *ret = l;
        l = (struct lease){ 0 };
        return NULL;
}

struct error *lease_remove(const struct store *store, const struct lease_name *name) {
        _cleanup_free_ char *path = lease_path(store, name->number, name->uid);
        struct inventory inventory;

        inventory_begin(store, &inventory);
        struct error *err = unlink(path) < 0 && errno != ENOENT ? error_errno(errno, "remove %s", path) : NULL;
        inventory_end(&inventory, false);
        return err;
}

void lease_result(const struct lease *lease, struct net_result *ret) {
        *ret = (struct net_result){ .mtu = lease->mtu };
        address_format(&lease->ip4, ret->ip4, sizeof(ret->ip4));
        address_format(&lease->ip6, ret->ip6, sizeof(ret->ip6));
        address_format(&lease->gateway4, ret->gateway4, sizeof(ret->gateway4));
        address_format(&lease->gateway6, ret->gateway6, sizeof(ret->gateway6));
        snprintf(ret->mac, sizeof(ret->mac), "%02x:%02x:%02x:%02x:%02x:%02x", lease->mac[0], lease->mac[1],
                 lease->mac[2], lease->mac[3], lease->mac[4], lease->mac[5]);
        snprintf(ret->ifname, sizeof(ret->ifname), "%s", LEASE_IFNAME);
        snprintf(ret->host_ifname, sizeof(ret->host_ifname), "%s", lease->host_ifname);
}
