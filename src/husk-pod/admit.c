#include "husk-pod/admit-private.h"

#include <stdio.h>

#include "api/resources.h"
#include "api/selector.h"
#include "base/str.h"

void misfit_add(struct misfits *m, const char *plugin, bool for_good, const char *text) {
        if (m->n == MISFITS_MAX)
                return;
        m->items[m->n] = (struct misfit){ .plugin = plugin, .for_good = for_good };
        snprintf(m->items[m->n++].text, sizeof(m->items[0].text), "%s", text);
}

/* ---- claims ---- */

/* cpu in thousandths, everything else in units, as the scheduler counts. */
static int64_t units_of(const char *resource, struct quantity q) {
        return streq(resource, "cpu") ? quantity_milli(q) : quantity_value(q);
}

static int64_t add_bounded(int64_t a, int64_t b) {
        int64_t sum;

        return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static void claim_ports(json_t *array, V1Container *const *containers, size_t n, bool host_network) {
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < containers[i]->n_ports; j++) {
                        const V1ContainerPort *port = containers[i]->ports[j];
                        int number = port->has_hostport ? port->hostport : 0;

                        if (!number && host_network)
                                number = port->containerport;
                        if (number)
                                json_array_append_new(array,
                                                      json_pack("{s:s, s:s, s:i}", "ip",
                                                                str_empty(port->hostip) ? "0.0.0.0" : port->hostip,
                                                                "protocol", port->protocol ?: "TCP", "port", number));
                }
}

static json_t *labels_json(V1StringEntry *const *entries, size_t n) {
        json_t *labels = json_object();

        for (size_t i = 0; i < n; i++)
                json_object_set_new(labels, entries[i]->key, json_string(entries[i]->value ?: ""));
        return labels;
}

static int32_t priority_of(const V1PodSpec *spec) {
        return spec->has_priority ? spec->priority : 0;
}

int32_t claim_priority(const json_t *claim) {
        return (int32_t)json_integer_value(json_object_get(claim, "priority"));
}

bool claim_is_ending(const json_t *claim) {
        return json_is_true(json_object_get(claim, "ending"));
}

bool claim_is_nominated(const json_t *claim) {
        return json_is_true(json_object_get(claim, "nominated"));
}

/* What other pods ask about this one. What has its usual value is left out. */
static void claim_identity(json_t *claim, const V1Pod *pod) {
        const V1ObjectMeta *meta = pod->metadata;
        const V1PodAntiAffinity *far = pod->spec->affinity ? pod->spec->affinity->podantiaffinity : NULL;
        size_t n = far ? far->n_requiredduringschedulingignoredduringexecution : 0;
        _cleanup_free_ char *created = meta->creationtimestamp ? api_time_format(meta->creationtimestamp) : NULL;
        json_t *terms;

        json_object_set_new(claim, "namespace", json_string(meta->namespace_ ?: "default"));
        if (meta->n_labels)
                json_object_set_new(claim, "labels", labels_json(meta->labels, meta->n_labels));
        if (priority_of(pod->spec))
                json_object_set_new(claim, "priority", json_integer(priority_of(pod->spec)));
        if (created)
                json_object_set_new(claim, "created", json_string(created));
        if (meta->deletiontimestamp)
                json_object_set_new(claim, "ending", json_true());
        if (!n)
                return;
        terms = json_array();
        for (size_t i = 0; i < n; i++)
                json_array_append_new(terms, api_encode(&far->requiredduringschedulingignoredduringexecution[i]->base));
        json_object_set_new(claim, "antiAffinity", terms);
}

json_t *admit_claim(const V1Pod *pod) {
        _cleanup_resource_list_ struct resource_list requests = RESOURCE_LIST_INIT;
        json_t *claim = json_object(), *resources = json_object(), *ports = json_array();
        bool host_network = pod->spec->has_hostnetwork && pod->spec->hostnetwork;

        api_pod_requests(pod, &requests);
        for (size_t i = 0; i < requests.n; i++)
                json_object_set_new(resources, requests.items[i].name,
                                    json_integer(units_of(requests.items[i].name, requests.items[i].quantity)));
        /* Sidecars keep their ports for the pod's whole life, ordinary init containers give them back (and a kubelet
         * counts only the former). */
        for (size_t i = 0; i < pod->spec->n_initcontainers; i++)
                if (streq_ptr(pod->spec->initcontainers[i]->restartpolicy, "Always"))
                        claim_ports(ports, &pod->spec->initcontainers[i], 1, host_network);
        claim_ports(ports, pod->spec->containers, pod->spec->n_containers, host_network);
        json_object_set_new(claim, "resources", resources);
        json_object_set_new(claim, "ports", ports);
        claim_identity(claim, pod);
        return claim;
}

json_t *admit_claim_nominated(const V1Pod *pod) {
        json_t *claim = admit_claim(pod);

        json_object_set_new(claim, "nominated", json_true());
        return claim;
}

json_t *admit_claim_renewed(const V1Pod *pod, const json_t *held) {
        json_t *claim = admit_claim(pod);
        json_t *resources = json_object_get(held, "resources");

        if (resources)
                json_object_set(claim, "resources", resources);
        if (claim_is_nominated(held))
                json_object_set_new(claim, "nominated", json_true());
        return claim;
}

/* ---- the scheduler's filters ---- */

static bool tolerates(const V1Toleration *t, const V1Taint *taint) {
        if (!str_empty(t->effect) && !streq_ptr(t->effect, taint->effect))
                return false;
        if (!str_empty(t->key) && !streq_ptr(t->key, taint->key))
                return false;
        if (streq_ptr(t->operator_, "Exists"))
                return true;
        return !str_empty(t->key) && streq(t->value ?: "", taint->value ?: "");
}

static bool is_tolerated(const V1PodSpec *spec, const V1Taint *taint) {
        for (size_t i = 0; i < spec->n_tolerations; i++)
                if (tolerates(spec->tolerations[i], taint))
                        return true;
        return false;
}

/* A taint manager looks at every toleration that fits a taint and takes the shortest time of all; one without a time
 * tolerates for ever. */
int64_t admit_tolerated_seconds(const V1PodSpec *spec, const V1Node *node) {
        int64_t shortest = INT64_MAX;

        for (size_t i = 0; node->spec && i < node->spec->n_taints; i++) {
                const V1Taint *taint = node->spec->taints[i];

                if (!streq_ptr(taint->effect, "NoExecute"))
                        continue;
                if (!is_tolerated(spec, taint))
                        return 0;
                for (size_t j = 0; j < spec->n_tolerations; j++)
                        if (spec->tolerations[j]->has_tolerationseconds && tolerates(spec->tolerations[j], taint))
                                shortest = MIN(shortest, MAX(spec->tolerations[j]->tolerationseconds, 0));
        }
        return shortest;
}

static void check_taints(const V1PodSpec *spec, const V1Node *node, bool only_no_execute, struct misfits *m) {
        for (size_t i = 0; node->spec && i < node->spec->n_taints; i++) {
                const V1Taint *taint = node->spec->taints[i];
                bool no_execute = streq_ptr(taint->effect, "NoExecute");

                if (!no_execute && (only_no_execute || !streq_ptr(taint->effect, "NoSchedule")))
                        continue; /* PreferNoSchedule only ranks nodes */
                if (!is_tolerated(spec, taint)) {
                        misfit_add(m, "TaintToleration", true, "node(s) had untolerated taint(s)");
                        return;
                }
        }
}

/* `kubectl cordon`; tolerated like the taint that goes with it. */
static void check_unschedulable(const V1PodSpec *spec, const V1Node *node, struct misfits *m) {
        static char key[] = "node.kubernetes.io/unschedulable", effect[] = "NoSchedule";
        V1Taint taint = V1_TAINT__INIT;

        taint.key = key;
        taint.effect = effect;
        if (node->spec && node->spec->has_unschedulable && node->spec->unschedulable && !is_tolerated(spec, &taint))
                misfit_add(m, "NodeUnschedulable", true, "node(s) were unschedulable");
}

static void check_affinity(const struct question *q, struct misfits *m) {
        const V1PodSpec *spec = q->pod->spec;
        const V1NodeAffinity *affinity = spec->affinity ? spec->affinity->nodeaffinity : NULL;
        const V1NodeSelector *required = affinity ? affinity->requiredduringschedulingignoredduringexecution : NULL;
        bool fits = true;

        for (size_t i = 0; i < spec->n_nodeselector; i++)
                fits &= streq_ptr(json_string_value(json_object_get(q->node_labels, spec->nodeselector[i]->key)),
                                  spec->nodeselector[i]->value ?: "");
        if (required)
                fits &= node_selector_matches(required, q->node_labels, q->node->metadata->name);
        if (!fits)
                misfit_add(m, "NodeAffinity", true, "node(s) didn't match Pod's node affinity/selector");
}

static bool ports_clash(const json_t *a, const json_t *b) {
        const char *ip_a = json_string_value(json_object_get(a, "ip")),
                   *ip_b = json_string_value(json_object_get(b, "ip"));
        const char *protocol_a = json_string_value(json_object_get(a, "protocol"));
        const char *protocol_b = json_string_value(json_object_get(b, "protocol"));

        if (json_integer_value(json_object_get(a, "port")) != json_integer_value(json_object_get(b, "port")))
                return false;
        if (!ip_a || !ip_b || !streq_ptr(protocol_a, protocol_b))
                return false;
        return streq(ip_a, ip_b) || streq(ip_a, "0.0.0.0") || streq(ip_b, "0.0.0.0") || streq(ip_a, "::") ||
               streq(ip_b, "::");
}

static bool any_port_clashes(const json_t *mine, const json_t *others) {
        size_t i, j;
        json_t *a, *b;

        json_array_foreach(mine, i, a) json_array_foreach(others, j, b) if (ports_clash(a, b)) return true;
        return false;
}

static void check_ports(const struct question *q, struct misfits *m) {
        const char *uid;
        json_t *other;

        json_object_foreach(q->others, uid, other) {
                if (!any_port_clashes(json_object_get(q->claim, "ports"), json_object_get(other, "ports")))
                        continue;
                misfit_add(m, "NodePorts", false, "node(s) didn't have free ports for the requested pod ports");
                return;
        }
}

static int64_t used_of(const struct question *q, const char *resource) {
        const char *uid;
        json_t *other;
        int64_t sum = 0;

        json_object_foreach(q->others, uid, other) {
                sum = add_bounded(sum,
                                  json_integer_value(json_object_get(json_object_get(other, "resources"), resource)));
        }
        return sum;
}

static bool find_allocatable(const V1Node *node, const char *resource, int64_t *ret) {
        const V1Quantity *q =
                node->status ? api_quantity_get(node->status->allocatable, node->status->n_allocatable, resource)
                             : NULL;
        struct quantity parsed;

        if (!q || !q->string || !quantity_parse(q->string, &parsed, NULL))
                return false;
        *ret = units_of(resource, parsed);
        return true;
}

/* What a resource is short of; the first one also in the kubelet's sentence. */
static void check_resources(const struct question *q, struct misfits *m, char *kubelet, size_t size) {
        int64_t pods = (int64_t)json_object_size(q->others), allocatable;
        const char *resource;
        json_t *value;
        char text[160];

        if (find_allocatable(q->node, "pods", &allocatable) && pods + 1 > allocatable) {
                misfit_add(m, "pods", false, "Too many pods");
                snprintf(kubelet, size,
                         "Node didn't have enough resource: pods, requested: 1, used: %lld, capacity: %lld",
                         (long long)pods, (long long)allocatable);
        }
        json_object_foreach(json_object_get(q->claim, "resources"), resource, value) {
                int64_t wanted = json_integer_value(value), used = used_of(q, resource);

                if (!find_allocatable(q->node, resource, &allocatable)) {
                        if (streq(resource, "cpu") || streq(resource, "memory") || streq(resource, "ephemeral-storage"))
                                continue; /* a node that does not say how much it has is not counted short */
                        allocatable = 0;
                }
                if (wanted == 0 || add_bounded(used, wanted) <= allocatable)
                        continue;
                snprintf(text, sizeof(text), "Insufficient %s", resource);
                if (!*kubelet)
                        snprintf(kubelet, size,
                                 "Node didn't have enough resource: %s, requested: %lld, used: %lld, capacity: %lld",
                                 resource, (long long)wanted, (long long)used, (long long)allocatable);
                misfit_add(m, resource, wanted > allocatable, text);
        }
}

/* ---- answers ---- */

static int misfit_compare(const void *a, const void *b) {
        return strcmp(((const struct misfit *)a)->text, ((const struct misfit *)b)->text);
}

char *misfits_sentence(const struct misfits *m) {
        struct strbuf b = STRBUF_INIT;
        struct misfits sorted = *m;

        qsort(sorted.items, sorted.n, sizeof(sorted.items[0]), misfit_compare);
        strbuf_adds(&b, "0/1 nodes are available: ");
        for (size_t i = 0; i < sorted.n; i++)
                strbuf_addf(&b, "%s1 %s", i ? ", " : "", sorted.items[i].text);
        return strbuf_take(&b);
}

/* The scheduler's sentence: the reasons in order, each with the number of nodes, then what preemption would bring. */
static void refuse_as_scheduler(struct question *q, const struct misfits *m, const json_t *held,
                                struct admission_result *ret) {
        _cleanup_free_ char *sentence = misfits_sentence(m), *preemption = NULL;

        ret->admission = ADMIT_WAIT;
        snprintf(ret->reason, sizeof(ret->reason), "Unschedulable");
        preempt_find(q, m, held, ret, &preemption);
        if (preemption)
                snprintf(ret->message, sizeof(ret->message), "%s. no new claims to deallocate, preemption: %s",
                         sentence, preemption);
        else
                snprintf(ret->message, sizeof(ret->message), "%s.", sentence);
}

void refuse_for_good(struct admission_result *ret, const char *reason, const char *message) {
        ret->admission = ADMIT_REFUSE;
        snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
        snprintf(ret->message, sizeof(ret->message), "%s", message);
}

void question_ask_scheduler(const struct question *q, struct misfits *m) {
        char kubelet[200] = "";

        check_unschedulable(q->pod->spec, q->node, m);
        if (!m->n)
                check_taints(q->pod->spec, q->node, false, m);
        if (!m->n)
                check_affinity(q, m);
        if (!m->n)
                check_ports(q, m);
        if (!m->n)
                check_resources(q, m, kubelet, sizeof(kubelet));
        if (!m->n)
                check_topology_spread(q, m);
        if (!m->n)
                check_pod_affinity(q, m);
}

/* Bound to the node by spec.nodeName: only the kubelet looks, and what does not fit has failed. */
static void ask_kubelet(const struct question *q, struct admission_result *ret) {
        struct misfits m = { 0 };
        char kubelet[200] = "", message[300], reason[64];

        check_resources(q, &m, kubelet, sizeof(kubelet));
        if (m.n) {
                snprintf(reason, sizeof(reason), "OutOf%.50s", m.items[0].plugin);
                refuse_for_good(ret, reason, kubelet);
                return;
        }
        check_affinity(q, &m);
        if (!m.n)
                check_ports(q, &m);
        if (!m.n)
                check_taints(q->pod->spec, q->node, true, &m);
        if (!m.n)
                return;
        snprintf(message, sizeof(message), "Predicate %s failed: %s", m.items[0].plugin, m.items[0].text);
        refuse_for_good(ret, m.items[0].plugin, message);
}

static void wait_for(struct admission_result *ret, const char *reason, const char *message) {
        ret->admission = ADMIT_WAIT;
        snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
        snprintf(ret->message, sizeof(ret->message), "%s", message);
}

/* A pod that is here asks for more (KEP-1287): what the node does not have at all can never be given, what it has not
 * got left may be given later. */
static void ask_resize(const struct question *q, struct admission_result *ret) {
        static const char *const resources[] = { "memory", "cpu" };
        struct misfits m = { 0 };
        char message[200] = "";

        for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
                int64_t allocatable, wanted = json_integer_value(
                                             json_object_get(json_object_get(q->claim, "resources"), resources[i]));

                if (!find_allocatable(q->node, resources[i], &allocatable) || wanted <= allocatable)
                        continue;
                snprintf(message, sizeof(message),
                         "Node didn't have enough capacity: %s, requested: %lld, capacity: %lld", resources[i],
                         (long long)wanted, (long long)allocatable);
                wait_for(ret, "Infeasible", message);
                return;
        }
        check_resources(q, &m, message, sizeof(message));
        if (m.n)
                wait_for(ret, "Deferred", message);
}

/* The kubelet looks at this before all else (KEP-2802). */
static void check_os(const V1PodSpec *spec, struct admission_result *ret) {
        if (spec->os && !streq(spec->os->name ?: "", "linux"))
                refuse_for_good(ret, "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS");
}

/* In a cluster without that scheduler the pod would wait for ever without a word; here it is told. */
static void wait_for_scheduler(const V1PodSpec *spec, struct admission_result *ret) {
        char message[400];

        snprintf(message, sizeof(message),
                 "no scheduler \"%.253s\" looks after this machine: leave out spec.schedulerName", spec->schedulername);
        wait_for(ret, "Unschedulable", message);
}

static void ask(struct question *q, const json_t *held, struct admission_result *ret) {
        struct misfits m = { 0 };
        const char *node_name = q->node->metadata->name ?: "", *wanted = q->pod->spec->nodename;

        if (!str_empty(wanted) && !streq(wanted, node_name))
                /* In a cluster it would wait for that node for ever; so it does here. */
                misfit_add(&m, "NodeName", true, "node(s) didn't match the requested node name");
        else if (held && !claim_is_nominated(held))
                ask_resize(q, ret);
        else if (!str_empty(wanted))
                ask_kubelet(q, ret);
        else if (!streq(q->pod->spec->schedulername ?: "default-scheduler", "default-scheduler"))
                wait_for_scheduler(q->pod->spec, ret);
        else
                question_ask_scheduler(q, &m);
        if (m.n)
                refuse_as_scheduler(q, &m, held, ret);
        if (ret->admission != ADMIT_WAIT)
                check_os(q->pod->spec, ret);
}

/* The claims of the others. Room that is kept for a pod of lower priority is not taken, but for all others it is. */
static json_t *claims_of_others(const struct admit_facts *facts, const char *uid, int32_t priority) {
        json_t *others = json_object(), *claim;
        const char *other;

        json_object_foreach((json_t *)facts->claims, other, claim) {
                if (!streq(other, uid) && !(claim_is_nominated(claim) && claim_priority(claim) < priority))
                        json_object_set(others, other, claim);
        }
        return others;
}

void admit_pod(const V1Pod *pod, const struct admit_facts *facts, struct admission_result *ret) {
        _cleanup_(api_arena_freep) struct api_arena *arena = NULL;
        const V1ObjectMeta *meta = pod->metadata, *node = facts->node->metadata;
        struct question q;

        *ret = (struct admission_result){ .admission = ADMIT_YES };
        snprintf(ret->node, sizeof(ret->node), "%s", node->name ?: "");
        if (pod->spec->n_schedulinggates) {
                wait_for(ret, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates");
                return;
        }
        arena = api_arena_new();
        q = (struct question){
                .pod = pod,
                .namespace = meta->namespace_ ?: "default",
                .priority = priority_of(pod->spec),
                .labels = labels_json(meta->labels, meta->n_labels),
                .claim = admit_claim(pod),
                .node = facts->node,
                .node_labels = labels_json(node->labels, node->n_labels),
                .namespaces = facts->namespaces,
                .others = claims_of_others(facts, meta->uid ?: "", priority_of(pod->spec)),
                .arena = arena,
        };
        ask(&q, facts->held, ret);
        if (ret->admission == ADMIT_YES && (!facts->held || claim_is_nominated(facts->held)))
                check_security(pod, facts, ret);
        json_decref(q.labels);
        json_decref(q.claim);
        json_decref(q.node_labels);
        json_decref(q.others);
}
