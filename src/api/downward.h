/* downward.h - what a pod may learn about itself: the fields and resources that env.valueFrom and downwardAPI volumes
 * can name (https://kubernetes.io/docs/concepts/workloads/pods/downward-api/).
 *
 * Used by src/oci (environment) and src/volume (files), which differ only in where the text goes. */
#pragma once

#include "api/api.h"

struct downward {
        const V1Pod *pod;      /* metadata and spec; its status is not looked at */
        char *const *pod_ips;  /* status.podIPs, the primary one first; NULL or empty: none yet */
        char *const *host_ips; /* status.hostIPs, likewise */
        const V1Node *node;    /* status.allocatable stands in for limits a container does not set, its name for
                                  spec.nodeName; NULL: "0" */
};

/* Value of a field path, as "metadata.name", "metadata.labels['tier']", "status.podIPs", "metadata.labels" (all, as
 * key="value" lines). A label or annotation that is not there is "". ERROR_INVALID for any other path. */
struct error *downward_field(const struct downward *d, const char *field_path, char **ret) _must_check_;
/* Value of limits.* or requests.* of `selector->containerName`, or of `container` where that is empty, divided by the
 * divisor and rounded up. */
struct error *downward_resource(const struct downward *d, const V1Container *container,
                                const V1ResourceFieldSelector *selector, char **ret) _must_check_;
