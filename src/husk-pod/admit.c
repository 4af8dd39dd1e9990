#include "husk-pod/admit.h"

#include <stdio.h>

#include "api/resources.h"
#include "api/selector.h"
#include "base/str.h"

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

static void misfit_add(struct misfits *m, const char *plugin, bool for_good, const char *text) {
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

static json_t *node_labels(const V1Node *node) {
        json_t *labels = json_object();

        for (size_t i = 0; i < node->metadata->n_labels; i++)
                json_object_set_new(labels, node->metadata->labels[i]->key,
                                    json_string(node->metadata->labels[i]->value));
        return labels;
}

static void check_affinity(const V1PodSpec *spec, const V1Node *node, struct misfits *m) {
        const V1NodeAffinity *affinity = spec->affinity ? spec->affinity->nodeaffinity : NULL;
        const V1NodeSelector *required = affinity ? affinity->requiredduringschedulingignoredduringexecution : NULL;
        json_t *labels = node_labels(node);
        bool fits = true;

        for (size_t i = 0; i < spec->n_nodeselector; i++)
                fits &= streq_ptr(json_string_value(json_object_get(labels, spec->nodeselector[i]->key)),
                                  spec->nodeselector[i]->value ?: "");
        if (required)
                fits &= node_selector_matches(required, labels, node->metadata->name);
        json_decref(labels);
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

static void check_ports(const char *uid, const json_t *claim, const json_t *claims, struct misfits *m) {
        const char *other_uid;
        json_t *other;

        json_object_foreach((json_t *)claims, other_uid,
                            other) if (!streq(other_uid, uid) && any_port_clashes(json_object_get(claim, "ports"),
                                                                                  json_object_get(other, "ports"))) {
                misfit_add(m, "NodePorts", false, "node(s) didn't have free ports for the requested pod ports");
                return;
        }
}

static int64_t used_of(const char *uid, const json_t *claims, const char *resource) {
        const char *other_uid;
        json_t *other;
        int64_t sum = 0;

        json_object_foreach((json_t *)claims, other_uid, other) if (!streq(other_uid, uid)) sum =
                add_bounded(sum, json_integer_value(json_object_get(json_object_get(other, "resources"), resource)));
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
static void check_resources(const char *uid, const json_t *claim, const struct admit_facts *facts, struct misfits *m,
                            char *kubelet, size_t size) {
        int64_t pods = (int64_t)json_object_size(facts->claims) - (json_object_get(facts->claims, uid) ? 1 : 0),
                allocatable;
        const char *resource;
        json_t *value;
        char text[160];

        if (find_allocatable(facts->node, "pods", &allocatable) && pods + 1 > allocatable) {
                misfit_add(m, "pods", false, "Too many pods");
                snprintf(kubelet, size,
                         "Node didn't have enough resource: pods, requested: 1, used: %lld, capacity: %lld",
                         (long long)pods, (long long)allocatable);
        }
        json_object_foreach(json_object_get(claim, "resources"), resource, value) {
                int64_t wanted = json_integer_value(value), used = used_of(uid, facts->claims, resource);

                if (!find_allocatable(facts->node, resource, &allocatable)) {
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

/* The scheduler's sentence: the reasons in order, each with the number of nodes, then what preemption would bring. */
static void refuse_as_scheduler(struct misfits *m, struct admission_result *ret) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
        bool for_good = false;

        qsort(m->items, m->n, sizeof(m->items[0]), misfit_compare);
        strbuf_adds(&b, "0/1 nodes are available: ");
        for (size_t i = 0; i < m->n; i++) {
                strbuf_addf(&b, "%s1 %s", i ? ", " : "", m->items[i].text);
                for_good |= m->items[i].for_good;
        }
        strbuf_addf(&b, ". no new claims to deallocate, preemption: 0/1 nodes are available: 1 %s.",
                    for_good ? "Preemption is not helpful for scheduling"
                             : "No preemption victims found for incoming pod");
        ret->admission = ADMIT_WAIT;
        snprintf(ret->reason, sizeof(ret->reason), "Unschedulable");
        snprintf(ret->message, sizeof(ret->message), "%s", strbuf_str(&b));
}

static void refuse_for_good(struct admission_result *ret, const char *reason, const char *message) {
        ret->admission = ADMIT_REFUSE;
        snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
        snprintf(ret->message, sizeof(ret->message), "%s", message);
}

/* Not in the hands of any scheduler: sysctls that are not namespaced or not known to be safe
 * (https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/). */
static const struct {
        const char *name;
        bool net;
} safe_sysctls[] = {
        { "kernel.shm_rmid_forced", false },          { "net.ipv4.ip_local_port_range", true },
        { "net.ipv4.ip_local_reserved_ports", true }, { "net.ipv4.ip_unprivileged_port_start", true },
        { "net.ipv4.ping_group_range", true },        { "net.ipv4.tcp_fin_timeout", true },
        { "net.ipv4.tcp_keepalive_intvl", true },     { "net.ipv4.tcp_keepalive_probes", true },
        { "net.ipv4.tcp_keepalive_time", true },      { "net.ipv4.tcp_rmem", true },
        { "net.ipv4.tcp_syncookies", true },          { "net.ipv4.tcp_wmem", true },
};

/* sysctl(8) takes both separators: with a slash first, dots are part of names. */
static char *sysctl_name(const char *name) {
        char *copy = xstrdup(name ?: "");
        size_t first = strcspn(copy, "./");

        if (copy[first] == '/')
                for (char *p = copy; *p; p++)
                        *p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
        return copy;
}

static bool check_sysctls(const V1PodSpec *spec, struct admission_result *ret) {
        const V1PodSecurityContext *security = spec->securitycontext;
        char message[400];

        for (size_t i = 0; security && i < security->n_sysctls; i++) {
                _cleanup_free_ char *name = sysctl_name(security->sysctls[i]->name);
                const char *with = NULL;
                bool safe = false;

                for (size_t j = 0; j < ARRAY_SIZE(safe_sysctls); j++) {
                        if (!streq(safe_sysctls[j].name, name))
                                continue;
                        safe = true;
                        if (safe_sysctls[j].net && spec->has_hostnetwork && spec->hostnetwork)
                                with = "net";
                        if (!safe_sysctls[j].net && spec->has_hostipc && spec->hostipc)
                                with = "ipc";
                }
                if (safe && !with)
                        continue;
                if (with)
                        snprintf(message, sizeof(message), "forbidden sysctl: \"%s\" not allowed with host %s enabled",
                                 name, with);
                else
                        snprintf(message, sizeof(message), "forbidden sysctl: \"%s\" not allowlisted", name);
                refuse_for_good(ret, "SysctlForbidden", message);
                return false;
        }
        return true;
}

/* The scheduler asks plugin after plugin and stops at the first that says no. */
static void ask_scheduler(const V1Pod *pod, const struct admit_facts *facts, const json_t *claim,
                          struct admission_result *ret) {
        struct misfits m = { 0 };
        char kubelet[200] = "";

        check_unschedulable(pod->spec, facts->node, &m);
        if (!m.n)
                check_taints(pod->spec, facts->node, false, &m);
        if (!m.n)
                check_affinity(pod->spec, facts->node, &m);
        if (!m.n)
                check_ports(pod->metadata->uid ?: "", claim, facts->claims, &m);
        if (!m.n)
                check_resources(pod->metadata->uid ?: "", claim, facts, &m, kubelet, sizeof(kubelet));
        if (m.n)
                refuse_as_scheduler(&m, ret);
}

/* Bound to the node by spec.nodeName: only the kubelet looks, and what does not fit has failed. */
static void ask_kubelet(const V1Pod *pod, const struct admit_facts *facts, const json_t *claim,
                        struct admission_result *ret) {
        struct misfits m = { 0 };
        char kubelet[200] = "", message[300], reason[64];

        check_resources(pod->metadata->uid ?: "", claim, facts, &m, kubelet, sizeof(kubelet));
        if (m.n) {
                snprintf(reason, sizeof(reason), "OutOf%.50s", m.items[0].plugin);
                refuse_for_good(ret, reason, kubelet);
                return;
        }
        check_affinity(pod->spec, facts->node, &m);
        if (!m.n)
                check_ports(pod->metadata->uid ?: "", claim, facts->claims, &m);
        if (!m.n)
                check_taints(pod->spec, facts->node, true, &m);
        if (!m.n)
                return;
        snprintf(message, sizeof(message), "Predicate %s failed: %s", m.items[0].plugin, m.items[0].text);
        refuse_for_good(ret, m.items[0].plugin, message);
}

void admit_pod(const V1Pod *pod, const struct admit_facts *facts, struct admission_result *ret) {
        const char *node_name = facts->node->metadata->name ?: "";
        json_t *claim;

        *ret = (struct admission_result){ .admission = ADMIT_YES };
        snprintf(ret->node, sizeof(ret->node), "%s", node_name);
        if (pod->spec->n_schedulinggates) {
                ret->admission = ADMIT_WAIT;
                snprintf(ret->reason, sizeof(ret->reason), "SchedulingGated");
                snprintf(ret->message, sizeof(ret->message), "Scheduling is blocked due to non-empty scheduling gates");
                return;
        }
        if (!str_empty(pod->spec->nodename) && !streq(pod->spec->nodename, node_name)) {
                /* In a cluster it would wait for that node for ever; so it does here. */
                struct misfits m = { 0 };

                misfit_add(&m, "NodeName", true, "node(s) didn't match the requested node name");
                refuse_as_scheduler(&m, ret);
                return;
        }
        claim = admit_claim(pod);
        if (str_empty(pod->spec->nodename))
                ask_scheduler(pod, facts, claim, ret);
        else
                ask_kubelet(pod, facts, claim, ret);
        json_decref(claim);
        if (ret->admission == ADMIT_YES)
                check_sysctls(pod->spec, ret);
}
