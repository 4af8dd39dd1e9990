/* Whom does a pod of higher priority push aside? The scheduler's DefaultPreemption for one node: if it would fit with
 * all pods of lower priority gone, as many of them as possible stay, the more important ones first
 * (https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/#preemption). */
#include <stdio.h>

#include "base/str.h"
#include "husk-pod/admit-private.h"

struct candidate {
        const char *uid;
        json_t *claim;
};

/* More important: of higher priority; among equals the one that has been there longer. */
static int more_important_first(const void *a, const void *b) {
        const struct candidate *x = a, *y = b;
        int32_t p = claim_priority(x->claim), q = claim_priority(y->claim);
        int order;

        if (p != q)
                return p > q ? -1 : 1;
        order = strcmp(json_string_value(json_object_get(x->claim, "created")) ?: "",
                       json_string_value(json_object_get(y->claim, "created")) ?: "");
        return order ?: strcmp(x->uid, y->uid);
}

static size_t collect_less_important(const struct question *q, struct candidate **ret) {
        const char *uid;
        json_t *claim;
        size_t n = 0;

        *ret = xcalloc(json_object_size(q->others) + 1, sizeof(struct candidate));
        json_object_foreach(q->others, uid, claim) {
                if (claim_priority(claim) < q->priority)
                        (*ret)[n++] = (struct candidate){ .uid = xstrdup(uid), .claim = json_incref(claim) };
        }
        qsort(*ret, n, sizeof(struct candidate), more_important_first);
        return n;
}

/* Puts back one after the other; who does not leave room for the pod is a victim. */
static void choose_victims(struct question *q, const struct candidate *candidates, size_t n,
                           struct admission_result *ret) {
        for (size_t i = 0; i < n; i++) {
                struct misfits m = { 0 };

                json_object_set(q->others, candidates[i].uid, candidates[i].claim);
                question_ask_scheduler(q, &m);
                if (!m.n)
                        continue;
                json_object_del(q->others, candidates[i].uid);
                if (ret->n_victims < ADMIT_VICTIMS_MAX) /* the rest of them when these have gone */
                        snprintf(ret->victims[ret->n_victims++], sizeof(ret->victims[0]), "%s", candidates[i].uid);
        }
}

/* It has pushed some aside already, and they are on their way. */
static bool is_waiting_for_victims(const struct question *q, const json_t *held) {
        const char *uid;
        json_t *claim;

        if (!claim_is_nominated(held))
                return false;
        json_object_foreach(q->others, uid, claim) {
                if (claim_priority(claim) < q->priority && claim_is_ending(claim))
                        return true;
        }
        return false;
}

void preempt_find(struct question *q, const struct misfits *m, const json_t *held, struct admission_result *ret,
                  char **ret_text) {
        struct candidate *candidates;
        struct misfits without = { 0 };
        size_t n;

        *ret_text = NULL;
        if (streq_ptr(q->pod->spec->preemptionpolicy, "Never")) {
                *ret_text = xstrdup("not eligible due to preemptionPolicy=Never.");
                return;
        }
        if (is_waiting_for_victims(q, held)) {
                ret->nominated = true;
                *ret_text = xstrdup("not eligible due to a terminating pod on the nominated node.");
                return;
        }
        for (size_t i = 0; i < m->n; i++)
                if (m->items[i].for_good) {
                        *ret_text = xstrdup("0/1 nodes are available: 1 Preemption is not helpful for scheduling.");
                        return;
                }
        n = collect_less_important(q, &candidates);
        for (size_t i = 0; i < n; i++)
                json_object_del(q->others, candidates[i].uid);
        if (n)
                question_ask_scheduler(q, &without);
        if (!n)
                *ret_text = xstrdup("0/1 nodes are available: 1 No preemption victims found for incoming pod.");
        else if (without.n) {
                _cleanup_free_ char *sentence = misfits_sentence(&without);

                *ret_text = xasprintf("%s.", sentence);
        } else {
                choose_victims(q, candidates, n, ret);
                ret->nominated = true;
        }
        for (size_t i = 0; i < n; i++) {
                json_decref(candidates[i].claim);
                free((char *)candidates[i].uid);
        }
        free(candidates);
}
