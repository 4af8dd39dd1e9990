/* serve.h - takes the pods' questions, by UDP and TCP, on the addresses by which pods reach the node. */
#pragma once

#include "husk-resolver/forward.h"
#include "husk-resolver/pods.h"
#include "net/net.h"

struct serve;
/* Listens before there is such an address, too. Who is no pod of the node (and not the node itself) gets no answer. */
struct error *serve_new(struct loop *loop, struct pods *pods, struct forwarder *forwarder,
                        const struct net_gateway *gateway, struct serve **ret) _must_check_;
struct serve *serve_free(struct serve *serve);
