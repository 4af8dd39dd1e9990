/* admit-private.h - one question of admission, for the files that answer it (admit.c: the node; admit-pods.c: the pods
 * on it; preempt.c: which of those would have to go). */
#pragma once

#include "husk-pod/admit.h"

/* One reason why it does not fit, in the words of the scheduler's plugin. */
struct misfit {
        const char *plugin; /* as a kubelet names it in status.reason: NodeAffinity, NodePorts, … */
        char text[160];
        bool for_good; /* removing other pods would not help */
};

#define MISFITS_MAX 16
struct misfits {
        struct misfit items[MISFITS_MAX];
        size_t n;
};
void misfit_add(struct misfits *m, const char *plugin, bool for_good, const char *text);

struct question {
        const V1Pod *pod;
        const char *namespace;
        int32_t priority;
        json_t *labels; /* of the pod */
        json_t *claim;  /* what it would take */
        const V1Node *node;
        json_t *node_labels;
        const json_t *namespaces; /* {"<name>": {labels}} or NULL */
        json_t *others;           /* the claims that count against it; preemption takes some out to see what then */
        struct api_arena *arena;
};

/* The scheduler's plugins one after the other; it stops at the first that says no. */
void question_ask_scheduler(const struct question *q, struct misfits *m);

/* A plugin each. */
void check_topology_spread(const struct question *q, struct misfits *m);
void check_pod_affinity(const struct question *q, struct misfits *m);

/* The pod can never run here: Failed with this reason. */
void refuse_for_good(struct admission_result *ret, const char *reason, const char *message);
/* Sysctls and security modules. */
void check_security(const V1Pod *pod, const struct admit_facts *facts, struct admission_result *ret);

/* Whom a pod that does not fit because of `m` may push aside: fills ret->victims, or says in `ret_text` why nobody. */
void preempt_find(struct question *q, const struct misfits *m, const json_t *held, struct admission_result *ret,
                  char **ret_text);
/* "0/1 nodes are available: 1 Insufficient cpu, 1 Too many pods" */
char *misfits_sentence(const struct misfits *m);

/* Of a claim. */
int32_t claim_priority(const json_t *claim);
bool claim_is_ending(const json_t *claim);
bool claim_is_nominated(const json_t *claim);
