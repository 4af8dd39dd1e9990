/* network-problem.h - why the node can make no pod's network just now, as CNI plugins said when they were asked last:
 * the file <run>/network-problem.json, which is not there while all is well. The Node shows it in its condition Ready,
 * as a kubelet's does. */
#pragma once

#include "base/error.h"
#include "store/store.h"

/* NULL: all is well. Nothing is written that stands there already; that it cannot be written is no failure of whoever
 * has something else to do. */
void network_problem_tell(const struct store *store, const char *message);
/* NULL if all is well; *ret_since (RFC 3339) is set with it. Both are the caller's. */
char *network_problem_read(const struct store *store, char **ret_since);
