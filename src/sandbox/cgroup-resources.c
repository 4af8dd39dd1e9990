/* cgroup-resources.c - linux.resources of an OCI runtime-spec, written into the files of a container's cgroup: what
 * runtime-spec 1.0 knows and husk asks for, on cgroup v1 and v2, as OCI runtimes write it. */
#include "sandbox/cgroup-private.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

#define CPU_PERIOD_US 100000
#define SHARES_MIN 2
#define SHARES_MAX 262144

/* ---- one file ---- */

static struct error *number_write(const char *path, const char *controller, const char *file, const json_t *number) {
        char text[32];

        if (!number)
                return NULL;
        snprintf(text, sizeof(text), "%" PRId64, (int64_t)json_integer_value(number));
        return cgroup_resource_write(path, controller, file, text);
}

/* Two numbers of which neither may be more than the other allows: which can go first depends on what is there. */
static struct error *pair_write(const char *path, const char *controller, const char *first, const json_t *first_number,
                                const char *second, const json_t *second_number) {
        struct error *err = number_write(path, controller, first, first_number);

        if (err && second_number && error_errnum(err) == EINVAL) {
                error_free(err);
                err = number_write(path, controller, second, second_number);
                return err ? err : number_write(path, controller, first, first_number);
        }
        return err ? err : number_write(path, controller, second, second_number);
}

/* ---- cgroup v1 ---- */

static struct error *cpu_write_v1(const char *path, const json_t *cpu) {
        struct error *err = number_write(path, "cpu", "cpu.shares", json_object_get(cpu, "shares"));

        return err ? err
                   : pair_write(path, "cpu", "cpu.cfs_period_us", json_object_get(cpu, "period"), "cpu.cfs_quota_us",
                                json_object_get(cpu, "quota"));
}

static struct error *memory_write_v1(const char *path, const json_t *memory) {
        return pair_write(path, "memory", "memory.limit_in_bytes", json_object_get(memory, "limit"),
                          "memory.memsw.limit_in_bytes", json_object_get(memory, "swap"));
}

static struct error *devices_write_v1(const char *path, const json_t *rules) {
        const struct hierarchy *h = hierarchy_of("devices");

        if (!h)
                return error_new(ERROR_NOT_SUPPORTED, "this machine has no \"devices\" cgroup controller");
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        return cgroup_devices_write(folder, rules);
}

/* ---- cgroup v2 ---- */

/* Linearly (KEP-2254), as the OCI runtimes of Debian 12 do. Later ones (crun 1.23, runc 1.3.2) have the pods' curve; it
 * matters among the containers of one pod only. */
static uint64_t weight_of(uint64_t shares) {
        return 1 + (MIN(MAX(shares, (uint64_t)SHARES_MIN), (uint64_t)SHARES_MAX) - SHARES_MIN) * 9999 / 262142;
}

/* A container that asks for next to nothing gets that without a controller, too. */
static struct error *weight_write(const char *path, const json_t *shares) {
        uint64_t weight = weight_of((uint64_t)json_integer_value(shares));
        char text[32];

        if (!shares || (weight <= 1 && !cgroup_controller_acts(path, "cpu")))
                return NULL;
        snprintf(text, sizeof(text), "%" PRIu64, weight);
        return cgroup_resource_write(path, "cpu", "cpu.weight", text);
}

static struct error *cpu_write_v2(const char *path, const json_t *cpu) {
        const json_t *quota = json_object_get(cpu, "quota"), *period = json_object_get(cpu, "period");
        struct error *err = weight_write(path, json_object_get(cpu, "shares"));
        char text[64];

        if (err || (!quota && !period))
                return err;
        int64_t of = period ? json_integer_value(period) : CPU_PERIOD_US;
        if (!quota || json_integer_value(quota) <= 0)
                snprintf(text, sizeof(text), "max %" PRId64, of);
        else
                snprintf(text, sizeof(text), "%" PRId64 " %" PRId64, (int64_t)json_integer_value(quota), of);
        return cgroup_resource_write(path, "cpu", "cpu.max", text);
}

/* Swap is limited by itself there, for the pod as a whole (cgroup-limits.c). */
static struct error *memory_write_v2(const char *path, const json_t *memory) {
        const json_t *limit = json_object_get(memory, "limit");

        if (json_object_get(memory, "swap"))
                return error_new(ERROR_NOT_SUPPORTED, "memory and swap together cannot be limited on cgroup v2");
        if (limit && json_integer_value(limit) < 0)
                return cgroup_resource_write(path, "memory", "memory.max", "max");
        return number_write(path, "memory", "memory.max", limit);
}

/* Files by their names. That the whole container goes when it has no memory left means nothing without a limit. */
static struct error *unified_write(const char *path, const json_t *files) {
        const char *file;
        json_t *value;

        json_object_foreach((json_t *)files, file, value) {
                _cleanup_free_ char *controller = xstrndup(file, strcspn(file, "."));
                if (strchr(file, '/') || !json_is_string(value))
                        return error_new(ERROR_INVALID, "\"%s\" is no file of a cgroup with a text", file);
                if (streq(file, "memory.oom.group") && !cgroup_controller_acts(path, controller))
                        continue;
                struct error *err = cgroup_resource_write(path, controller, file, json_string_value(value));
                if (err)
                        return err;
        }
        return NULL;
}

static struct error *devices_write_v2(const char *path, const json_t *rules) {
        _cleanup_free_ char *folder = xasprintf("%s%s", cgroup_machine()->hierarchies[0].folder, path);

        return cgroup_devices_attach(folder, rules);
}

/* ---- either ---- */

static struct error *pids_write(const char *path, const json_t *pids) {
        return number_write(path, "pids", "pids.max", json_object_get(pids, "limit"));
}

struct error *cgroup_huge_pages_limit(const char *path, const char *size, int64_t bytes) {
        const char *what = cgroup_version() == CGROUP_V2 ? "max" : "limit_in_bytes";
        _cleanup_free_ char *used = xasprintf("hugetlb.%s.%s", size, what);
        _cleanup_free_ char *reserved = xasprintf("hugetlb.%s.rsvd.%s", size, what);
        char text[32];

        snprintf(text, sizeof(text), "%" PRId64, bytes);
        struct error *err = cgroup_resource_write(path, "hugetlb", used, text);
        if (err)
                return err;
        err = cgroup_resource_write(path, "hugetlb", reserved, text);
        return err && error_errnum(err) == ENOENT ? error_free(err) : err; /* Linux before 5.7 */
}

static struct error *huge_pages_write(const char *path, const json_t *limits) {
        json_t *one;
        size_t n;

        json_array_foreach((json_t *)limits, n, one) {
                struct error *err =
                        cgroup_huge_pages_limit(path, json_string_value(json_object_get(one, "pageSize")) ?: "",
                                                json_integer_value(json_object_get(one, "limit")));
                if (err)
                        return err;
        }
        return NULL;
}

typedef struct error *(*resource_writer)(const char *path, const json_t *value);

static const struct {
        const char *name, *what;
        resource_writer v1, v2;
} resource_kinds[] = {
        { "cpu", "cpu", cpu_write_v1, cpu_write_v2 },
        { "memory", "memory limit", memory_write_v1, memory_write_v2 },
        { "pids", "pids limit", pids_write, pids_write },
        { "hugepageLimits", "huge pages", huge_pages_write, huge_pages_write },
        { "unified", "unified", NULL, unified_write },
        { "devices", "devices", devices_write_v1, devices_write_v2 },
};

static struct error *kind_write(const char *path, const char *name, const json_t *value) {
        bool v2 = cgroup_version() == CGROUP_V2;

        for (size_t i = 0; i < ARRAY_SIZE(resource_kinds); i++) {
                resource_writer write = v2 ? resource_kinds[i].v2 : resource_kinds[i].v1;
                if (write && streq(resource_kinds[i].name, name))
                        return error_context(write(path, value), "%s", resource_kinds[i].what);
        }
        return error_new(ERROR_NOT_SUPPORTED, "linux.resources.%s cannot be set on cgroup v%d", name, v2 ? 2 : 1);
}

struct error *cgroup_container_limit(const char *path, const json_t *resources) {
        const char *name;
        json_t *value;

        json_object_foreach((json_t *)resources, name, value) {
                struct error *err = kind_write(path, name, value);
                if (err)
                        return err;
        }
        return NULL;
}
