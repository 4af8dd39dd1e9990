/* What a pod asks of the other pods on the node, and they of it: the scheduler's plugins PodTopologySpread and
 * InterPodAffinity for a cluster of one node
 * (https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity). */
#include "api/selector.h"
#include "base/str.h"
#include "husk-pod/admit-private.h"

/* A selector that cannot be read was let through by no validation; it selects nothing. No selector does, too. */
static bool selector_matches(const V1LabelSelector *spec, const json_t *labels) {
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        _cleanup_error_ struct error *err = NULL;

        if (!spec)
                return false;
        err = label_selector_from(spec, &selector);
        return !err && label_selector_matches(selector, labels);
}

static const char *text_of(const json_t *claim, const char *key) {
        return json_string_value(json_object_get(claim, key)) ?: "";
}

/* Every namespace has its name as a label; the others are known if there is an object. */
static bool namespace_matches(const V1LabelSelector *selector, const char *namespace, const json_t *namespaces) {
        json_t *labels;
        bool matches;

        if (!selector)
                return false;
        labels = json_copy(json_object_get(namespaces, namespace)) ?: json_object();
        json_object_set_new(labels, "kubernetes.io/metadata.name", json_string(namespace));
        matches = selector_matches(selector, labels);
        json_decref(labels);
        return matches;
}

/* Does a term of a pod in namespace `own` mean a pod with these labels in `namespace`? A term that names neither
 * namespaces nor a selector for them means its own. */
static bool term_matches(const V1PodAffinityTerm *term, const char *own, const json_t *labels, const char *namespace,
                         const json_t *namespaces) {
        bool inside = !term->n_namespaces && !term->namespaceselector && streq(own, namespace);

        for (size_t i = 0; i < term->n_namespaces; i++)
                inside |= streq(term->namespaces[i], namespace);
        inside = inside || namespace_matches(term->namespaceselector, namespace, namespaces);
        return inside && selector_matches(term->labelselector, labels);
}

static bool node_has(const struct question *q, const char *topology_key) {
        return json_object_get(q->node_labels, topology_key ?: "") != NULL;
}

static bool means_other(const struct question *q, const V1PodAffinityTerm *term, const json_t *other) {
        return term_matches(term, q->namespace, json_object_get(other, "labels"), text_of(other, "namespace"),
                            q->namespaces);
}

/* Some other pod is meant by all the terms: only such a one counts. */
static bool any_matches_all(const struct question *q, V1PodAffinityTerm *const *terms, size_t n) {
        const char *uid;
        json_t *other;

        json_object_foreach(q->others, uid, other) {
                bool all = !claim_is_nominated(other); /* it may never come */

                for (size_t i = 0; i < n; i++)
                        all = all && means_other(q, terms[i], other);
                if (all)
                        return true;
        }
        return false;
}

/* The first pod of a group that wants to be together finds nobody: it may come if it would be its own company. */
static bool affinity_holds(const struct question *q, V1PodAffinityTerm *const *terms, size_t n) {
        bool itself = true;

        for (size_t i = 0; i < n; i++) {
                if (!node_has(q, terms[i]->topologykey))
                        return false;
                itself = itself && term_matches(terms[i], q->namespace, q->labels, q->namespace, q->namespaces);
        }
        return n == 0 || itself || any_matches_all(q, terms, n);
}

static bool anti_affinity_holds(const struct question *q, V1PodAffinityTerm *const *terms, size_t n) {
        const char *uid;
        json_t *other;

        for (size_t i = 0; i < n; i++) {
                if (!node_has(q, terms[i]->topologykey))
                        continue; /* a node without the label is in no domain: nobody is near */
                json_object_foreach(q->others, uid, other) {
                        if (means_other(q, terms[i], other))
                                return false;
                }
        }
        return true;
}

/* Anti-affinity works both ways: a pod that is here and does not want such a one keeps it out. */
static bool is_wanted_by(const struct question *q, const json_t *other) {
        const json_t *terms = json_object_get(other, "antiAffinity");
        size_t i;
        json_t *json;

        json_array_foreach(terms, i, json) {
                _cleanup_error_ struct error *err = NULL;
                V1PodAffinityTerm *term = NULL;

                err = api_decode_stored(json, &v1_pod_affinity_term__descriptor, q->arena, &term);
                if (!err && node_has(q, term->topologykey) &&
                    term_matches(term, text_of(other, "namespace"), q->labels, q->namespace, q->namespaces))
                        return false;
        }
        return true;
}

static bool is_wanted(const struct question *q) {
        const char *uid;
        json_t *other;

        json_object_foreach(q->others, uid, other) {
                if (!is_wanted_by(q, other))
                        return false;
        }
        return true;
}

void check_pod_affinity(const struct question *q, struct misfits *m) {
        const V1Affinity *affinity = q->pod->spec->affinity;
        const V1PodAffinity *near = affinity ? affinity->podaffinity : NULL;
        const V1PodAntiAffinity *far = affinity ? affinity->podantiaffinity : NULL;

        if (near && !affinity_holds(q, near->requiredduringschedulingignoredduringexecution,
                                    near->n_requiredduringschedulingignoredduringexecution))
                misfit_add(m, "InterPodAffinity", true, "node(s) didn't match pod affinity rules");
        else if (far && !anti_affinity_holds(q, far->requiredduringschedulingignoredduringexecution,
                                             far->n_requiredduringschedulingignoredduringexecution))
                misfit_add(m, "InterPodAffinity", false, "node(s) didn't match pod anti-affinity rules");
        else if (!is_wanted(q))
                misfit_add(m, "InterPodAffinity", false, "node(s) didn't satisfy existing pods anti-affinity rules");
}

/* ---- topology spread ---- */

static bool is_empty(const V1LabelSelector *selector) {
        return selector && !selector->n_matchlabels && !selector->n_matchexpressions;
}

/* Pods of the same namespace that go on; an empty selector counts none (but means the pod itself: as in Kubernetes). */
static int64_t count_matching(const struct question *q, const V1LabelSelector *selector) {
        const char *uid;
        json_t *other;
        int64_t n = 0;

        if (is_empty(selector))
                return 0;
        json_object_foreach(q->others, uid, other) {
                n += !claim_is_ending(other) && streq(text_of(other, "namespace"), q->namespace) &&
                     selector_matches(selector, json_object_get(other, "labels"));
        }
        return n;
}

/* One node is one domain, and the least crowded of all domains at that; only minDomains can ask for more, and then the
 * missing ones count as empty. nodeAffinityPolicy and nodeTaintsPolicy say which nodes are counted: a node that could
 * not take the pod for its labels or taints has said so before this is asked, so this one always is. */
void check_topology_spread(const struct question *q, struct misfits *m) {
        const V1PodSpec *spec = q->pod->spec;

        for (size_t i = 0; i < spec->n_topologyspreadconstraints; i++) {
                const V1TopologySpreadConstraint *c = spec->topologyspreadconstraints[i];
                int64_t here, least, skew;

                if (!streq_ptr(c->whenunsatisfiable, "DoNotSchedule"))
                        continue; /* ScheduleAnyway only ranks nodes */
                if (!node_has(q, c->topologykey)) {
                        misfit_add(m, "PodTopologySpread", true,
                                   "node(s) didn't match pod topology spread constraints (missing required label)");
                        return;
                }
                here = count_matching(q, c->labelselector);
                least = c->has_mindomains && c->mindomains > 1 ? 0 : here;
                skew = here + selector_matches(c->labelselector, q->labels) - least;
                if (skew > c->maxskew) {
                        misfit_add(m, "PodTopologySpread", false,
                                   "node(s) didn't match pod topology spread constraints");
                        return;
                }
        }
}
