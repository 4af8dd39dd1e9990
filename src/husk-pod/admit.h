/* admit.h - does a pod fit this node?
 *
 * What the scheduler and the kubelet ask before a pod may run, for a cluster of one node: node name, node selector and
 * affinity, taints, resources, host ports, scheduling gates; messages in the scheduler's words ("0/1 nodes are
 * available: 1 node(s) didn't match Pod's node affinity/selector. …"). A pod with spec.nodeName skips the scheduler, as
 * in Kubernetes, and is refused by the kubelet's rules instead: it becomes Failed.
 *
 * Pure: the caller gathers the facts under the node's lock and, on ADMIT_YES, adds admit_claim(pod) to the claims
 * before it unlocks; a pod that is terminal or gone is taken out of them. */
#pragma once

#include "husk-pod/ops.h"

struct admit_facts {
        const V1Node *node;
        const json_t *claims; /* {"<pod uid>": what admit_claim() gave for it, …}; may be NULL */
};

void admit_pod(const V1Pod *pod, const struct admit_facts *facts, struct admission_result *ret);

/* What a pod takes of the node while it is not terminal, as small JSON: its requests by Kubernetes' rule for init
 * containers, sidecars and overhead ("resources", cpu in thousandths), and its host ports ("ports"). New reference. */
json_t *admit_claim(const V1Pod *pod);
