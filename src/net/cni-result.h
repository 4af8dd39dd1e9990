/* cni-result.h - inside src/net: what a CNI plugin's result says of the pod's interface. */
#pragma once

#include <jansson.h>

#include "net/net.h"

/* The first address of each family that belongs to the pod's interface, its gateway, and what is told of the links.
 * ERROR_UNAVAILABLE: the pod was given no address. */
struct error *cni_result_parse(const json_t *result, struct net_result *ret) _must_check_;
