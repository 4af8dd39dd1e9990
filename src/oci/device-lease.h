/* device-lease.h - which devices (store/cdi.h) a pod's containers have, so that no other pod of the node gets them.
 *
 * <run>/devices/<pod uid>.json, {"<container>": ["vendor.com/class=0", …]}, written under a lock before a device is
 * used, removed when nothing of the pod is left. What belongs to a pod without a folder in <run> is void.
 *
 * As a kubelet allocates: all containers of the pod at once; what an ordinary init container had is used again by those
 * after it; a container gets different devices for each one it asks for. */
#pragma once

#include <jansson.h>

#include "api/api.h"
#include "store/cdi.h"
#include "store/store.h"

/* Does some container of the pod ask for a device by its kind? */
bool devices_are_wanted(const V1Pod *pod);
/* The pod's devices, chosen now if it has none on record. ERROR_EXHAUSTED in the kubelet's words. */
struct error *devices_allocate(const struct store *store, const V1Pod *pod, const struct cdi_registry *registry,
                               json_t **ret) _must_check_;
struct error *devices_release(const struct store *store, const char *pod_uid) _must_check_;
/* Changes a container's configuration by what it was given. */
struct error *devices_apply(const json_t *allocation, const char *container, const struct cdi_registry *registry,
                            bool userns, json_t *spec) _must_check_;
