#include "net/lease.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "net/range.h"

#define LEASE_FILE_MAX (1 << 20)

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

/* ---- the folder ---- */

static char *leases_folder(const struct store *store) {
        return path_join(store->run, "net/pods");
}

static char *lease_path(const struct store *store, uint32_t number, const char *uid) {
        return xasprintf("%s/net/pods/%u-%s", store->run, number, uid);
}

void lease_list_release(struct lease_list *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->names[i].uid);
        free(list->names);
        memset(list, 0, sizeof(*list));
}

static void lease_list_add(struct lease_list *list, const char *name) {
        char *end;
        unsigned long number = strtoul(name, &end, 10);

        if (*name < '1' || *name > '9' || *end != '-' || !end[1] || number > UINT32_MAX)
                return; /* "." and "..", and what was being written when somebody died */
        if ((list->n & (list->n - 1)) == 0)
                list->names = xreallocarray(list->names, list->n ? list->n * 2 : 1, sizeof(*list->names));
        list->names[list->n++] = (struct lease_name){ (uint32_t)number, xstrdup(end + 1) };
}

struct error *lease_list_peek(const struct store *store, struct lease_list *ret) {
        _cleanup_free_ char *folder = leases_folder(store);
        DIR *dir = opendir(folder);

        *ret = (struct lease_list){ 0 };
        if (!dir)
                return errno == ENOENT ? NULL : error_errno(errno, "open %s", folder);
        for (struct dirent *entry; (entry = readdir(dir));)
                lease_list_add(ret, entry->d_name);
        closedir(dir);
        return NULL;
}

struct error *lease_list_read(const struct store *store, struct lease_list *ret) {
        _cleanup_free_ char *folder = leases_folder(store), *above = path_join(store->run, "net");

        files_sweep(folder, NULL);
        files_sweep(above, NULL); /* "last" */
        return lease_list_peek(store, ret);
}

const struct lease_name *lease_list_find(const struct lease_list *list, const char *pod_uid) {
        for (size_t i = 0; i < list->n; i++)
                if (streq(list->names[i].uid, pod_uid))
                        return &list->names[i];
        return NULL;
}

static bool number_is_taken(const struct lease_list *list, uint32_t number) {
        for (size_t i = 0; i < list->n; i++)
                if (list->names[i].number == number)
                        return true;
        return false;
}

uint32_t lease_list_free_number(const struct store *store, const struct lease_list *list, uint32_t last) {
        _cleanup_free_ char *path = path_join(store->run, "net/last"), *text = NULL;
        uint64_t before = 1;
        _cleanup_error_ struct error *err = file_read(path, 64, &text, NULL);

        if (err || !str_to_u64(text, &before) || before < 1 || before > last)
                before = 1;
        /* Of any list->n + 1 different numbers one is free. */
        for (uint32_t i = 0, number = (uint32_t)before; i <= list->n && i + 1 < last; i++) {
                number = number >= last ? 2 : number + 1;
                if (!number_is_taken(list, number))
                        return number;
        }
        return 0;
}

void lease_number_used(const struct store *store, uint32_t number) {
        _cleanup_free_ char *path = path_join(store->run, "net/last");
        char text[16];

        snprintf(text, sizeof(text), "%u", number);
        error_free(file_replace(path, text, strlen(text), 0600, 0)); /* only a preference */
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
        return file_replace(path, text, strlen(text), 0600, 0);
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
        return unlink(path) < 0 && errno != ENOENT ? error_errno(errno, "remove %s", path) : NULL;
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
