#include "net/cni-result.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/str.h"
#include "net/cni-record.h"

static bool is_in_sandbox(const json_t *interface) {
        return !str_empty(json_string_value(json_object_get(interface, "sandbox")));
}

static bool is_pods_own(const json_t *interface) {
        return is_in_sandbox(interface) && streq_ptr(json_string_value(json_object_get(interface, "name")), CNI_IFNAME);
}

/* Some plugins name another interface in the pod than they were told to; then that one counts. */
static bool has_own(const json_t *result) {
        const json_t *interface;
        size_t i;

        json_array_foreach(json_object_get(result, "interfaces"), i, interface) if (is_pods_own(interface)) return true;
        return false;
}

static bool is_of_pod(const json_t *result, const json_t *ip) {
        const json_t *index = json_object_get(ip, "interface");
        const json_t *interface = NULL;

        if (json_is_integer(index) && json_integer_value(index) >= 0)
                interface = json_array_get(json_object_get(result, "interfaces"), (size_t)json_integer_value(index));
        if (!interface) /* the plugin does not tell: there is but one */
                return true;
        return has_own(result) ? is_pods_own(interface) : is_in_sandbox(interface);
}

/* "10.1.0.5/16" → "10.1.0.5"; false if it is none of the family. */
static bool address_read(const char *text, int family, char *ret, size_t size) {
        uint8_t bytes[16];
        _cleanup_free_ char *address = text ? xstrndup(text, strcspn(text, "/")) : NULL;

        if (!address || inet_pton(family, address, bytes) != 1)
                return false;
        inet_ntop(family, bytes, ret, (socklen_t)size);
        return true;
}

static void take_address(const json_t *ip, struct net_result *ret) {
        const char *address = json_string_value(json_object_get(ip, "address"));
        const char *gateway = json_string_value(json_object_get(ip, "gateway"));

        if (!*ret->ip4 && address_read(address, AF_INET, ret->ip4, sizeof(ret->ip4)))
                address_read(gateway, AF_INET, ret->gateway4, sizeof(ret->gateway4));
        else if (!*ret->ip6 && address_read(address, AF_INET6, ret->ip6, sizeof(ret->ip6)))
                address_read(gateway, AF_INET6, ret->gateway6, sizeof(ret->gateway6));
}

static bool is_link_address(const char *text) {
        return text && strlen(text) < sizeof(((struct net_result *)NULL)->mac) &&
               strspn(text, "0123456789abcdefABCDEF:") == strlen(text);
}

static bool is_interface_name(const char *text) {
        return text && *text && strlen(text) < IFNAMSIZ && !strpbrk(text, "/ \t\r\n");
}

static void take_interfaces(const json_t *result, struct net_result *ret) {
        bool own = has_own(result);
        const json_t *interface;
        size_t i;

        json_array_foreach(json_object_get(result, "interfaces"), i, interface) {
                const char *name = json_string_value(json_object_get(interface, "name"));
                const char *mac = json_string_value(json_object_get(interface, "mac"));
                json_int_t mtu = json_integer_value(json_object_get(interface, "mtu"));
                if (own ? is_pods_own(interface) : is_in_sandbox(interface) && !*ret->mac) {
                        if (is_interface_name(name))
                                snprintf(ret->ifname, sizeof(ret->ifname), "%s", name);
                        snprintf(ret->mac, sizeof(ret->mac), "%s", is_link_address(mac) ? mac : "");
                        ret->mtu = mtu > 0 && mtu <= UINT32_MAX ? (unsigned)mtu : 0;
                } else if (!is_in_sandbox(interface) && is_interface_name(name) && str_starts_with(name, "veth")) {
                        snprintf(ret->host_ifname, sizeof(ret->host_ifname), "%s", name);
                }
        }
}

struct error *cni_result_parse(const json_t *result, struct net_result *ret) {
        const json_t *ip;
        size_t i;

        *ret = (struct net_result){ 0 };
        snprintf(ret->ifname, sizeof(ret->ifname), "%s", CNI_IFNAME);
        json_array_foreach(json_object_get(result, "ips"), i, ip) if (is_of_pod(result, ip)) take_address(ip, ret);
        take_interfaces(result, ret);
        return *ret->ip4 || *ret->ip6
                       ? NULL
                       : error_new(ERROR_UNAVAILABLE, "the CNI plugins gave the pod no address (ips is empty)");
}
