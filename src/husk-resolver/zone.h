/* zone.h - which names pods have, and what these names are answered with: no files and no packets here.
 *
 * Names are those that a cluster's DNS gives
 * (https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/), as if each subdomain that pods of a
 * namespace name were a headless service that selects them:
 *
 *   <subdomain>.<namespace>.svc.<domain>              the ready pods of that subdomain
 *   <hostname>.<subdomain>.<namespace>.svc.<domain>   one of them, if it is ready; its name if it has no hostname
 *   <a-b-c-d>.<subdomain>.<namespace>.svc.<domain>    likewise by its address
 *   <a-b-c-d>.<namespace>.pod.<domain>                the pod with that address
 *
 * and, where no subdomain of that name is in the namespace, what a cluster does not have:
 *
 *   <pod's name>.<namespace>.svc.<domain>             the pod, ready or not: whoever asks for a pod by its name has no
 *                                                     other to go to, and may have to reach it to make it ready
 *
 * Ready is as endpoints count it: the condition Ready is True, and the pod is not being deleted. */
#pragma once

#include <netinet/in.h>

#include "base/base.h"

#define ZONE_ADDRESSES_MAX 4

struct zone_address {
        int family;
        uint8_t bytes[16];
};

struct zone_pod {
        char *name, *ns, *hostname;
        char *subdomain; /* "": none, or overridden by hostnameOverride, with which a pod has no records */
        bool ready;
        bool on_host; /* its addresses are the node's: they tell nobody's name */
        struct zone_address addresses[ZONE_ADDRESSES_MAX];
        size_t n_addresses; /* 0: it has no network (any more) and so no names */
};
void zone_pod_release(struct zone_pod *pod);

struct zone {
        const char *domain; /* "cluster.local" */
        const struct zone_pod *const *pods;
        size_t n_pods;
};

enum zone_result {
        ZONE_OTHER,   /* not below the domain: another server's matter */
        ZONE_NO_NAME, /* below it, but there is no such name */
        ZONE_NAME,    /* there is; pods may have it or not */
};
/* `name` in small letters. The pods go to `ret`, which has room for all. */
enum zone_result zone_find(const struct zone *zone, const char *name, const struct zone_pod **ret, size_t *ret_n);
/* The pod with the address that a name below in-addr.arpa or ip6.arpa spells, and its best name; NULL: none. Owned by
 * the caller. */
char *zone_find_reverse(const struct zone *zone, const char *name);
