/* others.h - inside src/net: firewalls that stand beside husk's table.
 *
 * A packet that any one of them drops is dropped, so a table of husk's own cannot let anything through by itself:
 *
 *   Docker        sets the policy of iptables' FORWARD to DROP for its own containers' sake, and has the chain
 *                 DOCKER-USER for whoever else wants something forwarded: husk puts its two rules there
 *   firewalld     rejects what is forwarded from a zone to another and what comes in from an interface it does not
 * know; the bridge is put into its zone "trusted", as other container engines do it with theirs. That is forgotten when
 * firewalld is reloaded, and done again. any other     is what whoever runs the machine decided: husk changes nothing,
 * and `husk network` says what it would take (net_obstacles())
 *
 * Only what iptables keeps in nftables is seen (iptables-nft, the default of today's distributions). */
#pragma once

#include "net/host.h"

/* Sees to it that Docker and firewalld forward what comes from the bridge, what is an answer to it, and host ports.
 * Without both that is two requests to the kernel. The caller holds the node's lock. */
struct error *others_accept(struct host *host) _must_check_;
/* The same, whatever firewalld had against it a moment ago. */
struct error *others_look_again(struct host *host) _must_check_;
/* Takes from them what husk gave them. */
void others_forget(struct host *host);
