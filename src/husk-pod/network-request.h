/* network-request.h - what the pod's object asks of its network: host ports, bandwidth, and what CNI plugins are told.
 */
#pragma once

#include "husk-pod/runtime.h"
#include "net/net.h"

struct network_request {
        struct net_request net;
        char *pod_name;
        struct net_port *ports;
        struct net_plugin_request plugins; /* empty where husk makes the network itself */
};
#define _cleanup_network_request_ _cleanup_(network_request_release)
void network_request_release(struct network_request *request);
/* It borrows from the pod's object. ERROR_INVALID: an annotation that says nothing sensible; ERROR_NOT_SUPPORTED: one
 * that only plugins can carry out, where there are none. */
struct error *network_request_of(struct runtime *rt, struct network_request *ret) _must_check_;
