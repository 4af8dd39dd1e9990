/* others.h - inside src/net: firewalls that stand beside husk's table.
 *
 * A packet that any one of them drops is dropped, so a table of husk's own cannot let anything through by itself:
 *
 *   Docker        sets the policy of iptables' FORWARD to DROP for its own containers' sake, and has the chain
 *                 DOCKER-USER for whoever else wants something forwarded: husk puts its two rules there
 *   any other     is what whoever runs the machine decided: husk changes nothing, and `husk network` says what it would
 *                 take (net_obstacles())
 *
 * Only what iptables keeps in nftables is seen (iptables-nft, the default of today's distributions). */
#pragma once

#include "net/host.h"

/* Sees to it that Docker forwards what comes from the bridge, what is an answer to it, and host ports. Without Docker
 * that is one request to the kernel. The caller holds the node's lock. */
struct error *others_accept(struct host *host) _must_check_;
/* Takes these rules away. */
void others_forget(struct host *host);
