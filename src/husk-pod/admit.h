/* admit.h - does a pod fit this node?
 *
 * What the scheduler and the kubelet ask before a pod may run, for a cluster of one node: scheduling gates, node name,
 * node selector and affinity, taints, host ports, resources, topology spread, affinity and anti-affinity between pods;
 * messages in the scheduler's words ("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.
 * …"). A pod that does not fit may push aside pods of lower priority: the answer names them. A pod with spec.nodeName
 * skips the scheduler, as in Kubernetes, and is refused by the kubelet's rules instead: it becomes Failed. A pod that
 * holds its claim already is not asked for all this again, only whether the node has what it asks for now (resize in
 * place).
 *
 * Pure: the caller gathers the facts under the node's lock, and before it unlocks
 *   - on ADMIT_YES puts admit_claim(pod) among the claims,
 *   - on ADMIT_WAIT with `nominated` puts admit_claim_nominated(pod) there: the room that is being made for it is kept
 *     from pods that are no more important,
 *   - otherwise takes a nominated claim out (that of a running pod whose resize has to wait stays as it is).
 * A pod that is terminal or gone is taken out of the claims. */
#pragma once

#include "husk-pod/ops.h"

struct admit_facts {
        const V1Node *node;
        const json_t *claims;     /* {"<pod uid>": what admit_claim() gave for it, …}; may be NULL */
        const json_t *held;       /* this pod's own claim, if it is among them (also if it was taken out), or NULL */
        const json_t *namespaces; /* {"<namespace>": {its labels}, …} for namespaceSelector; may be NULL */
        char *const *allowed_sysctls; /* unsafe ones that the node allows, names or "prefix*"; may be NULL */
        bool apparmor, selinux;       /* the machine can enforce them */
};

void admit_pod(const V1Pod *pod, const struct admit_facts *facts, struct admission_result *ret);

/* What a pod takes of the node while it is not terminal, and what others have to know about it, as small JSON. New
 * reference.
 *   resources     its requests by Kubernetes' rule for init containers, sidecars and overhead, cpu in thousandths
 *   ports         its host ports
 *   namespace, labels, antiAffinity (its required terms), priority, created, ending (it is being deleted), nominated */
json_t *admit_claim(const V1Pod *pod);
json_t *admit_claim_nominated(const V1Pod *pod);
/* Labels or the deletion of a pod that holds a claim have changed: what to replace it with. Its resources stay what was
 * admitted. */
json_t *admit_claim_renewed(const V1Pod *pod, const json_t *held);

/* For how long the node's NoExecute taints let a pod stay that runs there, in seconds: INT64_MAX for ever, 0 not at
 * all. */
int64_t admit_tolerated_seconds(const V1PodSpec *spec, const V1Node *node);
