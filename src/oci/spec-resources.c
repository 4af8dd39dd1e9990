/* spec-resources.c - how much a container may use: cgroup settings, and its rank before the out-of-memory killer. */
#include "oci/spec-private.h"

#include <sys/vfs.h>

#include "api/quantity.h"
#include "api/resources.h"
#include "base/file.h"
#include "base/huge-page.h"
#include "base/str.h"
#include "oci/capability.h"

#define CGROUP2_MAGIC 0x63677270
#define CPU_PERIOD_US 100000
#define CPU_QUOTA_MIN_US 1000 /* the kernel's minimum, so that `limits.cpu: 1m` is 10m */
#define CPU_SHARES_MIN 2
#define CPU_SHARES_MAX 262144
#define CRITICAL_PRIORITY 2000000000 /* system-cluster-critical and above */

static const char *own_limit(const V1ResourceRequirements *r, const char *resource) {
        const V1Quantity *q = r ? api_quantity_get(r->limits, r->n_limits, resource) : NULL;

        return q ? q->string : NULL;
}

/* A container without a limit (or with one of zero, which is none) has the pod's, where the pod has one (KEP-2837). */
static const char *limit(const V1Pod *pod, const V1Container *container, const char *resource) {
        const char *own = own_limit(container->resources, resource);

        return own && quantity_text_milli(own) > 0 ? own : own_limit(pod->spec->resources, resource);
}

static const char *request(const V1Container *container, const char *resource) {
        const V1ResourceRequirements *r = container->resources;
        const V1Quantity *q = r ? api_quantity_get(r->requests, r->n_requests, resource) : NULL;

        return q ? q->string : NULL;
}

static bool cgroup_is_v2(void) {
        struct statfs fs;

        return statfs("/sys/fs/cgroup", &fs) == 0 && (uint32_t)fs.f_type == CGROUP2_MAGIC;
}

/* A limit stands in for a missing request. */
static json_t *cpu_object(const V1Pod *pod, const V1Container *container) {
        const char *cpu_limit = limit(pod, container, "cpu");
        int64_t shares = quantity_text_milli(request(container, "cpu") ?: cpu_limit) * 1024 / 1000;
        int64_t milli_limit = quantity_text_milli(cpu_limit);
        json_t *cpu = json_pack("{s:I}", "shares", (json_int_t)MIN(MAX(shares, CPU_SHARES_MIN), CPU_SHARES_MAX));

        if (milli_limit > 0) {
                set(cpu, "quota", json_integer(MAX(milli_limit * CPU_PERIOD_US / 1000, CPU_QUOTA_MIN_US)));
                set(cpu, "period", json_integer(CPU_PERIOD_US));
        }
        return cpu;
}

static bool limits_huge_pages(const V1ResourceRequirements *r) {
        for (size_t i = 0; r && i < r->n_limits; i++)
                if (str_starts_with(r->limits[i]->key, "hugepages-"))
                        return true;
        return false;
}

static bool pod_has_huge_pages(const V1PodSpec *spec) {
        bool found = limits_huge_pages(spec->resources);

        for (size_t i = 0; i < spec->n_containers; i++)
                found = found || limits_huge_pages(spec->containers[i]->resources);
        for (size_t i = 0; i < spec->n_initcontainers; i++)
                found = found || limits_huge_pages(spec->initcontainers[i]->resources);
        return found;
}

static int64_t huge_pages_limit(const V1ResourceRequirements *r, const char *size) {
        for (size_t i = 0; r && i < r->n_limits; i++) {
                _cleanup_free_ char *name = NULL;

                if (!str_starts_with(r->limits[i]->key, "hugepages-") || !r->limits[i]->value)
                        continue;
                name = huge_page_size_name((uint64_t)quantity_text_value(r->limits[i]->key + strlen("hugepages-")));
                if (streq(name, size))
                        return quantity_text_value(r->limits[i]->value->string);
        }
        return 0;
}

/* In a pod with huge pages each container has its own, or the pod's if it names none, and nothing of the other sizes.
 * In any other pod the pod's cgroup already allows none. */
static json_t *hugepages_array(const V1Pod *pod, const V1Container *container) {
        const V1ResourceRequirements *r =
                limits_huge_pages(container->resources) ? container->resources : pod->spec->resources;
        _cleanup_strv_ char **sizes = pod_has_huge_pages(pod->spec) ? huge_page_sizes() : NULL;
        json_t *array = json_array();

        for (char **size = sizes; size && *size; size++)
                json_array_append_new(array, json_pack("{s:s, s:I}", "pageSize", *size, "limit",
                                                       (json_int_t)huge_pages_limit(r, *size)));
        return array;
}

/* On cgroup v1 memory and swap are limited together: so much and no swap (a kubelet's NoSwap). */
static bool swap_is_counted(void) {
        return access("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", F_OK) == 0;
}

int64_t oci_memory_limit(const V1Pod *pod, const V1Container *container) {
        int64_t memory = quantity_text_value(limit(pod, container, "memory"));

        return memory > 0 ? memory : -1;
}

json_t *oci_resources(const V1Pod *pod, const V1Container *container, int64_t pids_limit) {
        int64_t memory = oci_memory_limit(pod, container);
        json_t *resources = json_pack("{s:o}", "cpu", cpu_object(pod, container));
        json_t *hugepages = hugepages_array(pod, container);

        if (memory > 0) {
                json_t *object = json_pack("{s:I}", "limit", (json_int_t)memory);

                if (!cgroup_is_v2() && swap_is_counted())
                        set(object, "swap", json_integer(memory));
                set(resources, "memory", object);
        }
        if (pids_limit > 0)
                set(resources, "pids", json_pack("{s:I}", "limit", (json_int_t)pids_limit));
        if (json_array_size(hugepages) > 0)
                json_object_set(resources, "hugepageLimits", hugepages);
        json_decref(hugepages);
        /* On v2 the container goes as a whole, as a kubelet does it; v1 kills one process. */
        if (cgroup_is_v2())
                set(resources, "unified", json_pack("{s:s}", "memory.oom.group", "1"));
        return resources;
}

static bool is_sidecar(const V1Pod *pod, const V1Container *container) {
        for (size_t i = 0; i < pod->spec->n_initcontainers; i++)
                if (pod->spec->initcontainers[i] == container ||
                    streq_ptr(pod->spec->initcontainers[i]->name, container->name))
                        return streq_ptr(container->restartpolicy, "Always");
        return false;
}

/* What the pod asks for beyond what its containers ask for is divided evenly among them (KEP-2837). */
static int64_t memory_to_divide(const V1Pod *pod) {
        _cleanup_resource_list_ struct resource_list requests = RESOURCE_LIST_INIT;
        const V1ResourceRequirements *own = pod->spec->resources;
        const V1Quantity *q = own ? api_quantity_get(own->requests, own->n_requests, "memory") : NULL;
        const struct quantity *containers;
        int64_t memory = q ? quantity_text_value(q->string) : 0;

        if (memory <= 0)
                return 0;
        api_pod_container_requests(pod, &requests);
        containers = resource_list_get(&requests, "memory");
        memory -= containers ? quantity_value(*containers) : 0;
        return memory / (int64_t)(pod->spec->n_containers + pod->spec->n_initcontainers);
}

/* Burstable: the more memory of the node a container asks for, the later it is killed. */
static int64_t burstable_score(const V1Pod *pod, const V1Container *container, uint64_t memory_capacity) {
        int64_t memory =
                quantity_text_value(request(container, "memory") ?: own_limit(container->resources, "memory")) +
                memory_to_divide(pod);
        int64_t score = 1000 - (memory_capacity ? (int64_t)((__int128)1000 * memory / memory_capacity) : 0);

        return MIN(MAX(score, 1000 - 997), 999);
}

int64_t oci_oom_score_adj(const V1Pod *pod, const V1Container *container, const char *qos_class,
                          uint64_t memory_capacity, bool *ret_clamped) {
        _cleanup_free_ char *text = NULL;
        int64_t score, own = 0;

        if ((pod->spec->has_priority && pod->spec->priority >= CRITICAL_PRIORITY) || streq_ptr(qos_class, "Guaranteed"))
                score = -997;
        else if (streq_ptr(qos_class, "BestEffort"))
                score = 1000;
        else {
                score = burstable_score(pod, container, memory_capacity);
                /* A sidecar must not die before the containers it serves. */
                for (size_t i = 0; is_sidecar(pod, container) && i < pod->spec->n_containers; i++)
                        score = MIN(score, burstable_score(pod, pod->spec->containers[i], memory_capacity));
        }
        if (ret_clamped)
                *ret_clamped = false;
        if (capabilities_available() & 1ULL << capability_number("SYS_RESOURCE"))
                return score;
        error_free(file_read("/proc/self/oom_score_adj", 32, &text, NULL));
        if (text) {
                text[strcspn(text, "\n")] = '\0';
                str_to_i64(text, &own);
        }
        if (score >= own)
                return score;
        if (ret_clamped)
                *ret_clamped = true;
        return own;
}
