#include "api/validate-walk.h"

#include "api/resources.h"

static const char *const standard_resources[] = {
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "storage",
        "requests.storage",
        "services.nodeports",
        "services.loadbalancers",
        NULL,
};
static const char *const container_resources[] = { "cpu", "memory", "ephemeral-storage", NULL };
static const char *const pod_level_resources[] = { "cpu", "hugepages-", "memory", NULL };
/* Things that are counted: half a pod makes no sense. */
static const char *const integer_resources[] = {
        "pods",       "resourcequotas",         "services",           "replicationcontrollers", "secrets",
        "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers", NULL,
};

struct quantity quantity_of(const V1Quantity *quantity) {
        struct quantity q;

        if (!quantity || !quantity->string || !quantity_parse(quantity->string, &q, NULL))
                return quantity_from_int(0, QUANTITY_DECIMAL_SI);
        return q;
}

static bool is_huge_pages(const char *name) {
        return str_starts_with(name, "hugepages-");
}

/* Kubernetes' own: without a prefix, or below kubernetes.io. */
static bool is_native(const char *name) {
        return !strchr(name, '/') || strstr(name, "kubernetes.io/");
}

/* What device plugins offer ("vendor.example/gpu"). It must still be a name with "requests." before it, as quotas
 * write it. */
static bool is_extended(const char *name) {
        _cleanup_free_ char *in_quota = xasprintf("requests.%s", name);

        return !is_native(name) && !str_starts_with(name, "requests.") && text_is(in_quota, text_check_qualified_name);
}

/* Only Kubernetes' own and divisible things may be promised more than once. */
static bool may_overcommit(const char *name) {
        return is_native(name) && !is_huge_pages(name);
}

static void validate_container_resource_name(struct diagnostics *diags, const char *name, path_t path) {
        size_t before = diags->n;
        bool huge = is_huge_pages(name);

        validate_text(diags, name, text_check_qualified_name, path);
        if (diags->n == before && !strchr(name, '/') && !huge && !str_starts_with(name, "requests.hugepages-") &&
            !words_contain(standard_resources, name))
                fault_invalid(diags, path, name, "must be a standard resource type or fully qualified");

        if (!strchr(name, '/')) {
                if (!huge && !words_contain(container_resources, name))
                        fault_invalid(diags, path, name, "must be a standard resource for containers");
        } else if (!is_native(name) && !is_extended(name))
                fault_invalid(diags, path, name, "doesn't follow extended resource name standard");
}

static void validate_resource_name(struct diagnostics *diags, const char *name, enum resource_scope scope,
                                   path_t path) {
        if (scope == RESOURCES_OF_CONTAINER)
                validate_container_resource_name(diags, name, path);
        else if (!is_huge_pages(name) && (streq(name, "hugepages-") || !words_contain(pod_level_resources, name)))
                diagnostics_add_unsupported_value(diags, path, name, pod_level_resources);
}

/* "hugepages-2Mi": whole pages only. */
static bool is_whole_pages(const char *name, struct quantity q) {
        struct quantity page;
        int64_t size;

        if (!quantity_parse(name + strlen("hugepages-"), &page, NULL))
                return false;
        size = quantity_value(page);
        return size > 0 && quantity_value(q) % size == 0;
}

static void validate_resource_quantity(struct diagnostics *diags, const V1QuantityEntry *entry, path_t path) {
        const char *name = text_or_empty(entry->key), *text = entry->value ? entry->value->string : NULL;
        struct quantity q = quantity_of(entry->value);

        if (quantity_sign(q) < 0)
                fault_invalid(diags, path, text, "must be greater than or equal to 0");
        if ((words_contain(integer_resources, name) || is_extended(name)) && quantity_milli(q) % 1000 != 0)
                fault_invalid(diags, path, text, "must be an integer");
        if (is_huge_pages(name) && !is_whole_pages(name, q))
                diagnostics_add_string(diags, DIAGNOSTIC_INVALID, path, text_or_empty(text),
                                       "%s is not positive integer multiple of %s", text_or_empty(text), name);
}

/* A request beside its limit; the path is that of all requests (and limits), as in Kubernetes. */
static void validate_request_against_limit(struct diagnostics *diags, const V1QuantityEntry *request,
                                           const V1ResourceRequirements *r, path_t path) {
        const char *name = text_or_empty(request->key);
        const V1Quantity *limit = api_quantity_get(r->limits, r->n_limits, name);
        int order;

        if (!limit) {
                if (!may_overcommit(name))
                        fault_required(diags, CHILD(path, "limits"),
                                       "Limit must be set for non overcommitable resources");
                return;
        }
        order = quantity_compare(quantity_of(request->value), quantity_of(limit));
        if (order != 0 && !may_overcommit(name))
                diagnostics_add_string(diags, DIAGNOSTIC_INVALID, CHILD(path, "requests"),
                                       request->value ? text_or_empty(request->value->string) : "",
                                       "must be equal to %s limit of %s", name, text_or_empty(limit->string));
        else if (order > 0)
                diagnostics_add_string(diags, DIAGNOSTIC_INVALID, CHILD(path, "requests"),
                                       request->value ? text_or_empty(request->value->string) : "",
                                       "must be less than or equal to %s limit of %s", name,
                                       text_or_empty(limit->string));
}

static bool is_pod_claim(const struct pod_walk *walk, const char *name) {
        for (size_t i = 0; walk->spec && i < walk->spec->n_resourceclaims; i++)
                if (streq_ptr(walk->spec->resourceclaims[i]->name, name))
                        return true;
        return false;
}

static bool claims_overlap(const V1ResourceClaim *a, const V1ResourceClaim *b) {
        return streq_ptr(a->name, b->name) &&
               (str_empty(a->request) || str_empty(b->request) || streq(a->request, b->request));
}

/* Devices (ResourceClaims) a container uses: named in the pod, and not twice. */
static void validate_claims(const struct pod_walk *walk, const V1ResourceRequirements *r, path_t path) {
        for (size_t i = 0; i < r->n_claims; i++) {
                const V1ResourceClaim *claim = r->claims[i];
                path_t at = INDEX(path, i);

                if (str_empty(claim->name)) {
                        fault_required(walk->diags, at, NULL);
                        continue;
                }
                if (!str_empty(claim->request))
                        validate_text(walk->diags, claim->request, text_check_dns_label, CHILD(at, "request"));
                for (size_t j = 0; j < i; j++)
                        if (claims_overlap(claim, r->claims[j])) {
                                fault_duplicate(walk->diags, at, claim->name);
                                break;
                        }
                if (!is_pod_claim(walk, claim->name))
                        diagnostics_add_string(walk->diags, DIAGNOSTIC_NOT_FOUND, at, claim->name,
                                               "must be one of the names in pod.spec.resourceClaims");
        }
}

static void validate_entry(struct diagnostics *diags, const V1QuantityEntry *entry, enum resource_scope scope,
                           path_t path) {
        path_t at = KEY(path, text_or_empty(entry->key));

        validate_resource_name(diags, text_or_empty(entry->key), scope, at);
        validate_resource_quantity(diags, entry, at);
}

static bool names_cpu_or_memory(V1QuantityEntry *const *entries, size_t n) {
        return api_quantity_get(entries, n, "cpu") || api_quantity_get(entries, n, "memory");
}

static bool names_huge_pages(V1QuantityEntry *const *entries, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (is_huge_pages(text_or_empty(entries[i]->key)))
                        return true;
        return false;
}

void validate_requirements(const struct pod_walk *walk, const V1ResourceRequirements *r, enum resource_scope scope,
                           path_t path) {
        if (!r)
                return;
        for (size_t i = 0; i < r->n_limits; i++)
                validate_entry(walk->diags, r->limits[i], scope, CHILD(path, "limits"));
        for (size_t i = 0; i < r->n_requests; i++) {
                validate_entry(walk->diags, r->requests[i], scope, CHILD(path, "requests"));
                validate_request_against_limit(walk->diags, r->requests[i], r, path);
        }
        if ((names_huge_pages(r->limits, r->n_limits) || names_huge_pages(r->requests, r->n_requests)) &&
            !names_cpu_or_memory(r->limits, r->n_limits) && !names_cpu_or_memory(r->requests, r->n_requests))
                fault_forbidden(walk->diags, path, "HugePages require cpu or memory");
        validate_claims(walk, r, CHILD(path, "claims"));
}

void validate_overhead_list(struct diagnostics *diags, V1QuantityEntry *const *entries, size_t n, path_t path) {
        for (size_t i = 0; i < n; i++)
                validate_entry(diags, entries[i], RESOURCES_OF_CONTAINER, path);
}

void validate_overhead(const struct pod_walk *walk, path_t path) {
        validate_overhead_list(walk->diags, walk->spec->overhead, walk->spec->n_overhead, CHILD(path, "limits"));
}

/* The pod's own share must be large enough for its containers. */
static void validate_containers_fit(const struct pod_walk *walk, const V1ResourceRequirements *r, path_t path) {
        _cleanup_resource_list_ struct resource_list total = RESOURCE_LIST_INIT;
        V1Pod pod = V1_POD__INIT;

        pod.spec = (V1PodSpec *)walk->spec;
        api_pod_container_requests(&pod, &total);
        for (size_t i = 0; i < total.n; i++) {
                const V1Quantity *own = api_quantity_get(r->requests, r->n_requests, total.items[i].name);
                _cleanup_free_ char *sum = NULL;

                if (quantity_compare(total.items[i].quantity, quantity_of(own)) <= 0)
                        continue;
                sum = quantity_format(total.items[i].quantity);
                diagnostics_add_string(walk->diags, DIAGNOSTIC_INVALID,
                                       KEY(CHILD(path, "requests"), total.items[i].name),
                                       own ? text_or_empty(own->string) : "0",
                                       "must be greater than or equal to aggregate container requests of %s", sum);
        }
}

static void validate_container_limits_fit(const struct pod_walk *walk, const V1ResourceRequirements *r, path_t path) {
        for (size_t i = 0; i < walk->spec->n_containers; i++) {
                const V1ResourceRequirements *of = walk->spec->containers[i]->resources;

                for (size_t j = 0; of && j < of->n_limits; j++) {
                        const char *name = text_or_empty(of->limits[j]->key);
                        const V1Quantity *own = api_quantity_get(r->limits, r->n_limits, name);

                        if (own && quantity_compare(quantity_of(of->limits[j]->value), quantity_of(own)) > 0)
                                diagnostics_add_string(
                                        walk->diags, DIAGNOSTIC_INVALID,
                                        CHILD(KEY(INDEX(CHILD(path, "containers"), i), name), "limits"),
                                        of->limits[j]->value ? text_or_empty(of->limits[j]->value->string) : "",
                                        "must be less than or equal to pod limits of %s", text_or_empty(own->string));
                }
        }
}

void validate_pod_level_resources(const struct pod_walk *walk, path_t path) {
        const V1ResourceRequirements *r = walk->spec->resources;

        if (!r)
                return;
        if (r->n_claims > 0)
                fault_forbidden(walk->diags, CHILD(path, "claims"), "claims cannot be set for Resources at pod-level");
        validate_requirements(walk, r, RESOURCES_OF_POD, path);
        validate_containers_fit(walk, r, path);
        validate_container_limits_fit(walk, r, path);
}
