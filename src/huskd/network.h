/* network.h - huskd mends the node's side of the pods' network when somebody has removed husk's table (nft flush
 * ruleset, a firewall that is loaded anew) or Docker begins to drop what is forwarded. The kernel tells; nothing is
 * looked at from time to time. */
#pragma once

#include "loop/loop.h"
#include "store/store.h"

struct network;
/* NULL, with a warning in the log, where the kernel does not tell. */
struct network *network_new(struct loop *loop, struct store *store);
struct network *network_free(struct network *network);
