/* userns.h - ranges of user ids of pods with a user namespace of their own (hostUsers: false).
 *
 * Each such pod has 65536 ids of the node that no other pod has
 * (https://kubernetes.io/docs/concepts/workloads/pods/user-namespaces/). Which ones is on record from before they are
 * used until nothing of the pod is left: the empty file <run>/userns/<first id>-<pod uid>, made under a lock. A range
 * whose pod has no folder in <run> any more is free: whoever looks for one takes it back. */
#pragma once

#include "base/error.h"
#include "store/store.h"

#define USERNS_IDS 65536U
#define USERNS_KERNEL "5.19" /* overlayfs of id-mapped layers */

/* The pod's range, reserved now if it has none yet. `first` and `pods`: the node's range. ERROR_EXHAUSTED: all are
 * taken; ERROR_NOT_SUPPORTED names the kernel if it is too old. */
struct error *userns_reserve(const struct store *store, const char *pod_uid, uint32_t first, uint32_t pods,
                             uint32_t *ret) _must_check_;
/* Gives the range back, if there is one. */
struct error *userns_release(const struct store *store, const char *pod_uid) _must_check_;
/* Is this kernel new enough? */
struct error *userns_check_kernel(void) _must_check_;
