/* cni-capability.h - inside src/net: what plugins are told of a pod if they say that they have the capability for it
 * (https://www.cni.dev/docs/conventions/). */
#pragma once

#include <jansson.h>

#include "net/cni-config.h"
#include "net/net.h"

/* All that is known of the pod, by capability; new reference. */
json_t *cni_capabilities_of(const struct net_request *request);
/* What the pod asked for and no plugin of the list carries out would be a promise broken without a word. */
struct error *cni_capabilities_check(const struct cni_config *config, const json_t *capabilities) _must_check_;
