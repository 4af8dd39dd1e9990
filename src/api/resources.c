#include "api/resources.h"

void resource_list_release(struct resource_list *list) {
        free(list->items);
        *list = (struct resource_list)RESOURCE_LIST_INIT;
}

static struct resource *find(const struct resource_list *list, const char *name) {
        for (size_t i = 0; i < list->n; i++)
                if (streq(list->items[i].name, name))
                        return &list->items[i];
        return NULL;
}

const struct quantity *resource_list_get(const struct resource_list *list, const char *name) {
        const struct resource *r = find(list, name);

        return r ? &r->quantity : NULL;
}

enum combine { COMBINE_ADD, COMBINE_MAX, COMBINE_SET };

static void combine(struct resource_list *list, enum combine how, const char *name, struct quantity quantity) {
        struct resource *r = find(list, name);

        if (!r) {
                list->items = xreallocarray(list->items, list->n + 1, sizeof(*list->items));
                list->items[list->n++] = (struct resource){ name, quantity };
        } else if (how == COMBINE_ADD)
                r->quantity = quantity_add(r->quantity, quantity);
        else if (how == COMBINE_SET || quantity_compare(quantity, r->quantity) > 0)
                r->quantity = quantity;
}

static void combine_lists(struct resource_list *list, enum combine how, const struct resource_list *other) {
        for (size_t i = 0; i < other->n; i++)
                combine(list, how, other->items[i].name, other->items[i].quantity);
}

static bool entry_quantity(const V1QuantityEntry *entry, struct quantity *ret) {
        return entry->key && entry->value && entry->value->string && quantity_parse(entry->value->string, ret, NULL);
}

static void combine_entries(struct resource_list *list, enum combine how, V1QuantityEntry *const *entries, size_t n) {
        struct quantity quantity;

        for (size_t i = 0; i < n; i++)
                if (entry_quantity(entries[i], &quantity))
                        combine(list, how, entries[i]->key, quantity);
}

enum side { REQUESTS, LIMITS };

static void combine_requirements(struct resource_list *list, enum combine how, const V1ResourceRequirements *r,
                                 enum side side) {
        if (!r)
                return;
        if (side == REQUESTS)
                combine_entries(list, how, r->requests, r->n_requests);
        else
                combine_entries(list, how, r->limits, r->n_limits);
}

bool api_container_is_sidecar(const V1Container *c) {
        return c->restartpolicy && streq(c->restartpolicy, "Always");
}

/* KEP-753: an init container needs its own share and that of the sidecars started before it; the pod needs the larger
 * of the worst moment during init and the time when containers and sidecars run. */
static void containers_total(const V1PodSpec *spec, enum side side, struct resource_list *ret) {
        _cleanup_resource_list_ struct resource_list sidecars = RESOURCE_LIST_INIT, init = RESOURCE_LIST_INIT;

        for (size_t i = 0; i < spec->n_containers; i++)
                combine_requirements(ret, COMBINE_ADD, spec->containers[i]->resources, side);

        for (size_t i = 0; i < spec->n_initcontainers; i++) {
                const V1Container *c = spec->initcontainers[i];
                _cleanup_resource_list_ struct resource_list moment = RESOURCE_LIST_INIT;

                if (api_container_is_sidecar(c)) {
                        combine_requirements(ret, COMBINE_ADD, c->resources, side);
                        combine_requirements(&sidecars, COMBINE_ADD, c->resources, side);
                } else
                        combine_requirements(&moment, COMBINE_ADD, c->resources, side);
                combine_lists(&moment, COMBINE_ADD, &sidecars);
                combine_lists(&init, COMBINE_MAX, &moment);
        }
        combine_lists(ret, COMBINE_MAX, &init);
}

static bool is_pod_level_resource(const char *name) {
        return streq(name, "cpu") || streq(name, "memory") || str_starts_with(name, "hugepages-");
}

static void pod_total(const V1PodSpec *spec, enum side side, struct resource_list *ret) {
        _cleanup_resource_list_ struct resource_list pod = RESOURCE_LIST_INIT;
        struct quantity overhead;

        containers_total(spec, side, ret);
        combine_requirements(&pod, COMBINE_SET, spec->resources, side);
        for (size_t i = 0; i < pod.n; i++)
                if (is_pod_level_resource(pod.items[i].name))
                        combine(ret, COMBINE_SET, pod.items[i].name, pod.items[i].quantity);

        /* Overhead raises a limit that is there but makes none. */
        for (size_t i = 0; i < spec->n_overhead; i++)
                if (entry_quantity(spec->overhead[i], &overhead) &&
                    (side == REQUESTS || find(ret, spec->overhead[i]->key)))
                        combine(ret, COMBINE_ADD, spec->overhead[i]->key, overhead);
}

void api_pod_requests(const V1Pod *pod, struct resource_list *ret) {
        if (pod->spec)
                pod_total(pod->spec, REQUESTS, ret);
}

void api_pod_limits(const V1Pod *pod, struct resource_list *ret) {
        if (pod->spec)
                pod_total(pod->spec, LIMITS, ret);
}

void api_pod_container_requests(const V1Pod *pod, struct resource_list *ret) {
        if (pod->spec)
                containers_total(pod->spec, REQUESTS, ret);
}

void api_pod_container_limits(const V1Pod *pod, struct resource_list *ret) {
        if (pod->spec)
                containers_total(pod->spec, LIMITS, ret);
}

static bool container_limits(const V1Container *c, const char *resource) {
        return c->resources && api_quantity_get(c->resources->limits, c->resources->n_limits, resource);
}

bool api_pod_limits_every_container(const V1Pod *pod, const char *resource) {
        const V1PodSpec *spec = pod->spec;

        if (!spec)
                return false;
        for (size_t i = 0; i < spec->n_containers; i++)
                if (!container_limits(spec->containers[i], resource))
                        return false;
        for (size_t i = 0; i < spec->n_initcontainers; i++)
                if (!container_limits(spec->initcontainers[i], resource))
                        return false;
        return true;
}

/* What the quality of service is computed from: cpu and memory only, and only what is more than nothing. */
struct qos {
        struct resource_list requests, limits;
        bool guaranteed; /* so far every container limits both */
};

static bool qos_entry(const V1QuantityEntry *entry, struct quantity *ret) {
        return entry_quantity(entry, ret) && (streq(entry->key, "cpu") || streq(entry->key, "memory")) &&
               quantity_sign(*ret) > 0;
}

static void qos_requirements(struct qos *qos, const V1ResourceRequirements *r) {
        struct quantity quantity;
        size_t limited = 0;

        for (size_t i = 0; r && i < r->n_requests; i++)
                if (qos_entry(r->requests[i], &quantity))
                        combine(&qos->requests, COMBINE_ADD, r->requests[i]->key, quantity);
        for (size_t i = 0; r && i < r->n_limits; i++)
                if (qos_entry(r->limits[i], &quantity)) {
                        combine(&qos->limits, COMBINE_ADD, r->limits[i]->key, quantity);
                        limited++;
                }
        if (limited < 2)
                qos->guaranteed = false;
}

static const char *qos_class(const struct qos *qos) {
        if (qos->requests.n == 0 && qos->limits.n == 0)
                return "BestEffort";
        if (!qos->guaranteed || qos->requests.n != qos->limits.n)
                return "Burstable";
        for (size_t i = 0; i < qos->requests.n; i++) {
                const struct quantity *limit = resource_list_get(&qos->limits, qos->requests.items[i].name);

                if (!limit || quantity_compare(*limit, qos->requests.items[i].quantity) != 0)
                        return "Burstable";
        }
        return "Guaranteed";
}

static bool has_pod_level_resources(const V1PodSpec *spec) {
        const V1ResourceRequirements *r = spec->resources;

        for (size_t i = 0; r && i < r->n_requests; i++)
                if (r->requests[i]->key && is_pod_level_resource(r->requests[i]->key))
                        return true;
        for (size_t i = 0; r && i < r->n_limits; i++)
                if (r->limits[i]->key && is_pod_level_resource(r->limits[i]->key))
                        return true;
        return false;
}

const char *api_pod_qos_class(const V1Pod *pod) {
        struct qos qos = { .guaranteed = true };
        const V1PodSpec *spec = pod->spec;
        const char *class;

        if (!spec)
                return "BestEffort";
        if (has_pod_level_resources(spec))
                qos_requirements(&qos, spec->resources);
        else {
                for (size_t i = 0; i < spec->n_containers; i++)
                        qos_requirements(&qos, spec->containers[i]->resources);
                for (size_t i = 0; i < spec->n_initcontainers; i++)
                        qos_requirements(&qos, spec->initcontainers[i]->resources);
        }
        class = qos_class(&qos);
        resource_list_release(&qos.requests);
        resource_list_release(&qos.limits);
        return class;
}
