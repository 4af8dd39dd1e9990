#include "api/priority.h"
#include "api/runtime-class.h"
#include "api/validate-walk.h"

#define NAMESERVERS_MAX 3
#define SEARCH_PATHS_MAX 32
#define SEARCH_CHARS_MAX 2048
#define MIRROR_ANNOTATION "kubernetes.io/config.mirror"
#define DELETION_COST_ANNOTATION "controller.kubernetes.io/pod-deletion-cost"

static const char *const restart_policies[] = { "Always", "OnFailure", "Never", NULL };
static const char *const dns_policies[] = { "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None", NULL };
static const char *const preemption_policies[] = { "PreemptLowerPriority", "Never", NULL };

static bool is_int32(const char *text) {
        bool sign = text[0] == '-' || text[0] == '+';
        size_t digits = strspn(text + sign, "0123456789");
        long long value;

        if (digits == 0 || text[sign + digits] || digits > 10)
                return false;
        /* Nothing but one way of writing each number: no leading zeros, no plus. */
        if (text[0] == '+' || (text[sign] == '0' && (digits > 1 || sign)))
                return false;
        value = strtoll(text, NULL, 10);
        return value >= INT32_MIN && value <= INT32_MAX;
}

static void validate_pod_annotations(const struct pod_walk *walk, path_t path) {
        for (size_t i = 0; i < walk->meta->n_annotations; i++) {
                const char *key = text_or_empty(walk->meta->annotations[i]->key);
                const char *value = text_or_empty(walk->meta->annotations[i]->value);

                if (streq(key, MIRROR_ANNOTATION) && str_empty(walk->spec->nodename))
                        fault_invalid(walk->diags, KEY(path, key), value,
                                      "must set spec.nodeName if mirror pod annotation is set");
                if (streq(key, DELETION_COST_ANNOTATION) && !is_int32(value))
                        fault_invalid(walk->diags, KEY(path, key), value, "must be a 32bit integer");
        }
        validate_security_annotations(walk, path);
}

static void validate_pod_claims(const struct pod_walk *walk, path_t path) {
        const V1PodSpec *spec = walk->spec;

        for (size_t i = 0; i < spec->n_resourceclaims; i++) {
                const V1PodResourceClaim *claim = spec->resourceclaims[i];
                path_t at = INDEX(path, i);
                bool seen = false;

                for (size_t j = 0; j < i; j++)
                        seen = seen ||
                               (!str_empty(claim->name) && streq_ptr(spec->resourceclaims[j]->name, claim->name));
                if (seen)
                        fault_duplicate(walk->diags, CHILD(at, "name"), claim->name);
                else
                        validate_name(walk->diags, claim->name, text_check_dns_label, CHILD(at, "name"));
                if (claim->resourceclaimname && claim->resourceclaimtemplatename)
                        fault_invalid_object(walk->diags, at,
                                             "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be "
                                             "specified");
                if (!claim->resourceclaimname && !claim->resourceclaimtemplatename)
                        fault_invalid_object(walk->diags, at,
                                             "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
                if (claim->resourceclaimname)
                        validate_text(walk->diags, claim->resourceclaimname, text_check_dns_subdomain,
                                      CHILD(at, "resourceClaimName"));
                if (claim->resourceclaimtemplatename)
                        validate_text(walk->diags, claim->resourceclaimtemplatename, text_check_dns_subdomain,
                                      CHILD(at, "resourceClaimTemplateName"));
        }
}

/* On the host's network a container's port is the host's. */
static void validate_host_network_ports(const struct pod_walk *walk, path_t path) {
        for (size_t i = 0; walk->spec->hostnetwork && i < walk->spec->n_containers; i++) {
                const V1Container *c = walk->spec->containers[i];

                for (size_t j = 0; j < c->n_ports; j++)
                        if (c->ports[j]->hostport != c->ports[j]->containerport)
                                fault_invalid_int(
                                        walk->diags, CHILD(INDEX(CHILD(INDEX(path, i), "ports"), j), "hostPort"),
                                        c->ports[j]->hostport, "must match `containerPort` when `hostNetwork` is true");
        }
}

/* A search domain may end in a dot, and "." alone is the root. */
static void validate_search(struct diagnostics *diags, const char *search, path_t path) {
        _cleanup_free_ char *domain = NULL;
        size_t len = strlen(search);

        if (streq(search, "."))
                return;
        domain = xstrndup(search, str_ends_with(search, ".") ? len - 1 : len);
        validate_text(diags, domain, text_check_dns_search, path);
}

static void validate_dns(const struct pod_walk *walk, path_t path) {
        const V1PodDNSConfig *dns = walk->spec->dnsconfig;
        bool none = streq_ptr(walk->spec->dnspolicy, "None");
        struct diagnostics *diags = walk->diags;
        size_t chars = 0;

        if (none && (!dns || dns->n_nameservers == 0)) {
                if (!dns)
                        fault_required(diags, path, "must provide `dnsConfig` when `dnsPolicy` is None");
                else
                        fault_required(diags, CHILD(path, "nameservers"),
                                       "must provide at least one DNS nameserver when `dnsPolicy` is None");
                return;
        }
        if (!dns)
                return;
        if (dns->n_nameservers > NAMESERVERS_MAX)
                diagnostics_add(diags, DIAGNOSTIC_INVALID, CHILD(path, "nameservers"),
                                "must not have more than %d nameservers", NAMESERVERS_MAX);
        for (size_t i = 0; i < dns->n_nameservers; i++)
                validate_text(diags, dns->nameservers[i], text_check_ip, INDEX(CHILD(path, "nameservers"), i));

        for (size_t i = 0; i < dns->n_searches; i++)
                chars += strlen(dns->searches[i]) + (i > 0);
        if (dns->n_searches > SEARCH_PATHS_MAX)
                diagnostics_add(diags, DIAGNOSTIC_INVALID, CHILD(path, "searches"),
                                "must not have more than %d search paths", SEARCH_PATHS_MAX);
        if (chars > SEARCH_CHARS_MAX)
                diagnostics_add(diags, DIAGNOSTIC_INVALID, CHILD(path, "searches"),
                                "must not have more than %d characters (including spaces) in the search list",
                                SEARCH_CHARS_MAX);
        for (size_t i = 0; i < dns->n_searches; i++)
                validate_search(diags, dns->searches[i], INDEX(CHILD(path, "searches"), i));
        for (size_t i = 0; i < dns->n_options; i++)
                if (str_empty(dns->options[i]->name))
                        fault_required(diags, INDEX(CHILD(path, "options"), i), "must not be empty");
}

static void validate_gates(const struct pod_walk *walk, path_t spec_path) {
        const V1PodSpec *spec = walk->spec;
        path_t scheduling = CHILD(spec_path, "schedulingGates");

        for (size_t i = 0; i < spec->n_readinessgates; i++)
                validate_text(walk->diags, spec->readinessgates[i]->conditiontype, text_check_qualified_name,
                              CHILD(INDEX(CHILD(spec_path, "readinessGates"), i), "conditionType"));
        for (size_t i = 0; i < spec->n_schedulinggates; i++) {
                const char *name = text_or_empty(spec->schedulinggates[i]->name);

                validate_text(walk->diags, name, text_check_qualified_name, INDEX(scheduling, i));
                for (size_t j = 0; j < i; j++)
                        if (streq(text_or_empty(spec->schedulinggates[j]->name), name)) {
                                fault_duplicate(walk->diags, INDEX(scheduling, i), name);
                                break;
                        }
        }
}

static void forbid_devices(const struct pod_walk *walk, _unused_ enum container_kind kind, const V1Container *c,
                           path_t path) {
        /* The kernel does not let a user namespace open the host's block devices. */
        if (c->n_volumedevices > 0)
                fault_forbidden(walk->diags, CHILD(path, "volumeDevices"),
                                "cannot set when `pod.Spec.HostUsers` is false");
}

/* A user namespace of its own goes with no namespace of the host's. Two of the paths are spelled like Go's fields. */
static void validate_user_namespace(const struct pod_walk *walk, path_t spec_path) {
        static const char sentence[] = "when `pod.Spec.HostUsers` is false";

        if (walk->host_users)
                return;
        if (walk->spec->hostnetwork)
                fault_forbidden(walk->diags, CHILD(spec_path, "hostNetwork"), sentence);
        if (walk->spec->hostpid)
                fault_forbidden(walk->diags, CHILD(spec_path, "HostPID"), sentence);
        if (walk->spec->hostipc)
                fault_forbidden(walk->diags, CHILD(spec_path, "HostIPC"), sentence);
        pod_walk_containers(walk, forbid_devices);
}

static void validate_hostname_override(const struct pod_walk *walk, path_t spec_path) {
        const V1PodSpec *spec = walk->spec;
        path_t path = CHILD(spec_path, "hostnameOverride");

        if (!spec->hostnameoverride)
                return;
        if (strlen(spec->hostnameoverride) > 64)
                fault_too_long(walk->diags, path, 64);
        validate_text(walk->diags, spec->hostnameoverride, text_check_dns_subdomain, path);
        if (spec->has_sethostnameasfqdn && spec->sethostnameasfqdn)
                fault_forbidden(walk->diags, path, "may not be set when `setHostnameAsFQDN` is true");
        if (spec->hostnetwork)
                fault_forbidden(walk->diags, path, "may not be set when `hostNetwork` is true");
}

static void validate_host_aliases(const struct pod_walk *walk, path_t path) {
        for (size_t i = 0; i < walk->spec->n_hostaliases; i++) {
                const V1HostAlias *alias = walk->spec->hostaliases[i];

                validate_text(walk->diags, alias->ip, text_check_ip, CHILD(INDEX(path, i), "ip"));
                for (size_t j = 0; j < alias->n_hostnames; j++)
                        validate_text(walk->diags, alias->hostnames[j], text_check_dns_subdomain,
                                      INDEX(CHILD(INDEX(path, i), "hostnames"), j));
        }
}

/* Names that may be left out. */
static void validate_optional_names(const struct pod_walk *walk, path_t spec_path) {
        const V1PodSpec *spec = walk->spec;
        const struct {
                const char *value, *field;
                text_check check;
        } names[] = {
                { spec->serviceaccountname, "serviceAccountName", text_check_dns_subdomain },
                { spec->nodename, "nodeName", text_check_dns_subdomain },
                { spec->hostname, "hostname", text_check_dns_label },
                { spec->subdomain, "subdomain", text_check_dns_label },
                { spec->priorityclassname, "priorityClassName", text_check_dns_subdomain },
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (!str_empty(names[i].value))
                        validate_text(walk->diags, names[i].value, names[i].check, CHILD(spec_path, names[i].field));
        if (spec->runtimeclassname)
                validate_text(walk->diags, spec->runtimeclassname, text_check_dns_subdomain,
                              CHILD(spec_path, "runtimeClassName"));
}

static void validate_spec(struct pod_walk *walk, path_t path) {
        const V1PodSpec *spec = walk->spec;
        struct diagnostics *diags = walk->diags;

        if (!spec->has_terminationgraceperiodseconds)
                fault_required(diags, CHILD(path, "terminationGracePeriodSeconds"), NULL);
        validate_volumes(walk, CHILD(path, "volumes"));
        validate_pod_claims(walk, CHILD(path, "resourceClaims"));
        validate_containers(walk, path);
        validate_pod_level_resources(walk, CHILD(path, "resources"));
        validate_host_network_ports(walk, CHILD(path, "containers"));
        validate_required_word(diags, spec->restartpolicy, restart_policies, CHILD(path, "restartPolicy"));
        validate_required_word(diags, spec->dnspolicy, dns_policies, CHILD(path, "dnsPolicy"));
        validate_labels(diags, spec->nodeselector, spec->n_nodeselector, CHILD(path, "nodeSelector"));
        validate_pod_security(walk, path);
        validate_affinity(walk, CHILD(path, "affinity"));
        validate_dns(walk, CHILD(path, "dnsConfig"));
        validate_gates(walk, path);
        validate_topology_spread(walk, CHILD(path, "topologySpreadConstraints"));
        validate_windows_host_process(walk, path);
        validate_user_namespace(walk, path);
        validate_optional_names(walk, path);
        validate_hostname_override(walk, path);
        if (spec->has_activedeadlineseconds)
                validate_range(diags, spec->activedeadlineseconds, 1, INT32_MAX, CHILD(path, "activeDeadlineSeconds"));
        validate_tolerations(diags, spec->tolerations, spec->n_tolerations, CHILD(path, "tolerations"));
        validate_host_aliases(walk, CHILD(path, "hostAliases"));
        if (spec->preemptionpolicy)
                validate_required_word(diags, spec->preemptionpolicy, preemption_policies,
                                       CHILD(path, "preemptionPolicy"));
        validate_overhead(walk, CHILD(path, "overhead"));
        validate_os(walk, path);
}

static const V1ObjectMeta no_meta = V1_OBJECT_META__INIT;
static const V1PodSpec no_spec = V1_POD_SPEC__INIT;

static struct pod_walk walk_of(const V1Pod *pod, struct diagnostics *diags) {
        struct pod_walk walk = {
                .diags = diags,
                .meta = pod->metadata ? pod->metadata : &no_meta,
                .spec = pod->spec ? pod->spec : &no_spec,
        };

        walk.host_users = !walk.spec->has_hostusers || walk.spec->hostusers;
        return walk;
}

void validate_pod_common(const V1Pod *pod, struct diagnostics *diags) {
        struct pod_walk walk = walk_of(pod, diags);

        if (walk.spec->n_volumes > 0)
                walk.volumes = xcalloc(walk.spec->n_volumes, sizeof(*walk.volumes));
        validate_meta(diags, pod->metadata, true, text_check_dns_subdomain);
        validate_pod_annotations(&walk, CHILD(CHILD(NULL, "metadata"), "annotations"));
        validate_spec(&walk, CHILD(NULL, "spec"));
        free(walk.volumes);
}

/* Priority and preemption policy come from a class: what an apiserver's admission says of a pod that has others. */
static void validate_priority(struct diagnostics *diags, const V1PodSpec *spec, path_t path) {
        const struct priority_class *class = priority_class_find(spec->priorityclassname);
        const char *policy = spec->preemptionpolicy;

        if (!class) {
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(path, "priorityClassName"),
                                "no PriorityClass with name %s was found", spec->priorityclassname);
                return;
        }
        if (spec->has_priority && spec->priority != class->value)
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(path, "priority"),
                                "the integer value of priority (%d) must not be provided in pod spec; priority "
                                "admission controller computed %d from the given PriorityClass name",
                                (int)spec->priority, (int)class->value);
        if ((streq_ptr(policy, "Never") || streq_ptr(policy, "PreemptLowerPriority")) &&
            !streq(policy, class->preemption_policy))
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(path, "preemptionPolicy"),
                                "the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority "
                                "admission controller computed %s from the given PriorityClass name",
                                policy, class->preemption_policy);
}

static bool same_overhead(const V1PodSpec *spec, const V1Overhead *overhead) {
        if (spec->n_overhead != overhead->n_podfixed)
                return false;
        for (size_t i = 0; i < spec->n_overhead; i++) {
                const V1Quantity *q = api_quantity_get(overhead->podfixed, overhead->n_podfixed,
                                                       text_or_empty(spec->overhead[i]->key));

                if (!q || quantity_compare(quantity_of(q), quantity_of(spec->overhead[i]->value)) != 0)
                        return false;
        }
        return true;
}

/* The class and what the pod has of it, as an apiserver's admission wants them. */
static void validate_runtime_class(struct diagnostics *diags, const V1PodSpec *spec, path_t path) {
        const char *name = spec->runtimeclassname;
        const V1RuntimeClass *class = name ? runtime_class_find(name) : NULL;
        const V1Scheduling *scheduling = class ? class->scheduling : NULL;

        if (name && !class) {
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(path, "runtimeClassName"),
                                "pod rejected: RuntimeClass \"%s\" not found", name);
                return;
        }
        if (class && class->overhead && !same_overhead(spec, class->overhead))
                fault_forbidden(diags, CHILD(path, "overhead"),
                                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
        if (spec->n_overhead && (!class || !class->overhead))
                fault_forbidden(diags, CHILD(path, "overhead"),
                                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
        for (size_t i = 0; scheduling && i < scheduling->n_nodeselector; i++) {
                const V1StringEntry *entry = scheduling->nodeselector[i];
                const char *own = api_map_get(spec->nodeselector, spec->n_nodeselector, text_or_empty(entry->key));

                if (!streq_ptr(own, entry->value))
                        diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(path, "nodeSelector"),
                                        "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; "
                                        "pod.spec.nodeSelector[%s] = %s",
                                        entry->key, text_or_empty(entry->value), entry->key, text_or_empty(own));
        }
}

void api_validate_pod(const V1Pod *pod, struct diagnostics *diags) {
        struct pod_walk walk = walk_of(pod, diags);
        path_t path = CHILD(NULL, "spec");

        validate_pod_common(pod, diags);
        if (walk.spec->n_ephemeralcontainers > 0)
                fault_forbidden(diags, CHILD(path, "ephemeralContainers"), "cannot be set on create");
        if (!str_empty(walk.spec->nodename) && walk.spec->n_schedulinggates > 0)
                fault_forbidden(diags, CHILD(path, "nodeName"),
                                "cannot be set until all schedulingGates have been cleared");
        validate_priority(diags, walk.spec, path);
        validate_runtime_class(diags, walk.spec, path);
        validate_security_annotations_match(&walk);
}
