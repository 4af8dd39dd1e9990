/* cgroup-container.c - the cgroup of one container, where husk makes it and not the OCI runtime: on cgroup v1.
 *
 * Who moves another process into a v1 cgroup waits for an RCU grace period of the kernel (10 ms and more), and every
 * OCI runtime does so in the middle of each start. A thread that moves itself, alone, need not wait (Linux 5.5). So the
 * cgroup is made and limited here, a child of husk-pod moves itself into it and becomes the runtime, and the runtime
 * leaves cgroups alone. What has to be written stands in `linux.resources` of the runtime-spec, as ever. */
#include "sandbox/cgroup-private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"

/* ---- one file ---- */

static struct error *resource_write(const char *path, const char *controller, const char *file, const char *text) {
        const struct hierarchy *h = hierarchy_of(controller);

        if (!h)
                return error_new(ERROR_NOT_SUPPORTED, "%s: this machine has no \"%s\" cgroup controller", file,
                                 controller);
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        return folder_write(folder, file, text);
}

static struct error *number_write(const char *path, const char *controller, const char *file, const json_t *number) {
        char text[32];

        if (!number)
                return NULL;
        snprintf(text, sizeof(text), "%" PRId64, (int64_t)json_integer_value(number));
        return resource_write(path, controller, file, text);
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

/* ---- what runtime-spec 1.0 knows and husk asks for ---- */

static struct error *cpu_write(const char *path, const json_t *cpu) {
        struct error *err = number_write(path, "cpu", "cpu.shares", json_object_get(cpu, "shares"));

        return err ? err
                   : pair_write(path, "cpu", "cpu.cfs_period_us", json_object_get(cpu, "period"), "cpu.cfs_quota_us",
                                json_object_get(cpu, "quota"));
}

static struct error *memory_write(const char *path, const json_t *memory) {
        return pair_write(path, "memory", "memory.limit_in_bytes", json_object_get(memory, "limit"),
                          "memory.memsw.limit_in_bytes", json_object_get(memory, "swap"));
}

static struct error *pids_write(const char *path, const json_t *pids) {
        return number_write(path, "pids", "pids.max", json_object_get(pids, "limit"));
}

static struct error *huge_pages_write(const char *path, const json_t *limits) {
        struct error *err = NULL;
        json_t *one;
        size_t n;

        json_array_foreach(limits, n, one) {
                _cleanup_free_ char *file = xasprintf("hugetlb.%s.limit_in_bytes",
                                                      json_string_value(json_object_get(one, "pageSize")) ?: "");
                if (!err)
                        err = number_write(path, "hugetlb", file, json_object_get(one, "limit"));
        }
        return err;
}

static struct error *device_write(const char *path, const json_t *rule) {
        const char *type = json_string_value(json_object_get(rule, "type")) ?: "a";
        const json_t *major = json_object_get(rule, "major"), *minor = json_object_get(rule, "minor");
        char numbers[2][24] = { "*", "*" }, text[80];

        if (major)
                snprintf(numbers[0], sizeof(numbers[0]), "%" PRId64, (int64_t)json_integer_value(major));
        if (minor)
                snprintf(numbers[1], sizeof(numbers[1]), "%" PRId64, (int64_t)json_integer_value(minor));
        if (*type == 'a')
                snprintf(text, sizeof(text), "a"); /* the kernel looks at no more, and says "a *:* rwm" */
        else
                snprintf(text, sizeof(text), "%c %s:%s %s", *type, numbers[0], numbers[1],
                         json_string_value(json_object_get(rule, "access")) ?: "rwm");
        bool allow = json_is_true(json_object_get(rule, "allow"));
        return resource_write(path, "devices", allow ? "devices.allow" : "devices.deny", text);
}

/* What every container may use, whatever it asks for (runtime-spec, "Default Devices"; mknod as runtimes have it). */
static struct error *default_devices_write(const char *path) {
        static const char *const rules[] = { "c *:* m",   "b *:* m",   "c 1:3 rwm",  "c 1:5 rwm",
                                             "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",  "c 5:0 rwm",
                                             "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm" };
        struct error *err = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(rules) && !err; i++)
                err = resource_write(path, "devices", "devices.allow", rules[i]);
        return err;
}

static struct error *devices_write(const char *path, const json_t *rules) {
        struct error *err = NULL;
        json_t *rule;
        size_t n;

        json_array_foreach(rules, n, rule) if (!err) err = device_write(path, rule);
        return err ? err : default_devices_write(path);
}

static const struct {
        const char *name, *what;
        struct error *(*write)(const char *path, const json_t *value);
} resource_kinds[] = {
        { "cpu", "cpu", cpu_write },
        { "memory", "memory limit", memory_write },
        { "pids", "pids limit", pids_write },
        { "hugepageLimits", "huge pages", huge_pages_write },
        { "devices", "devices", devices_write },
};

static struct error *kind_write(const char *path, const char *name, const json_t *value) {
        for (size_t i = 0; i < ARRAY_SIZE(resource_kinds); i++)
                if (streq(resource_kinds[i].name, name))
                        return error_context(resource_kinds[i].write(path, value), "%s", resource_kinds[i].what);
        return error_new(ERROR_NOT_SUPPORTED, "linux.resources.%s cannot be set on cgroup v1", name);
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

bool cgroup_container_is_ours(void) {
        return cgroup_version() == CGROUP_V1;
}

struct error *cgroup_container_create(const char *path, const json_t *resources) {
        struct error *err = cgroup_make_everywhere(path);

        return err ? err : cgroup_container_limit(path, resources);
}

/* ---- entering ---- */

struct error *cgroup_entry_open(const char *path, struct cgroup_entry *ret) {
        const struct machine *m = cgroup_machine();
        const char *file = m->version == CGROUP_V1 ? "tasks" : "cgroup.procs";

        for (size_t i = 0; i < m->n_hierarchies; i++) {
                _cleanup_free_ char *name = xasprintf("%s%s/%s", m->hierarchies[i].folder, path, file);
                int fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
                if (fd < 0) {
                        int saved = errno;
                        cgroup_entry_close(ret);
                        return error_errno(saved, "enter cgroup: open %s", name);
                }
                ret->hierarchies[ret->n] = m->hierarchies[i].folder;
                ret->fds[ret->n++] = fd;
        }
        return NULL;
}

void cgroup_entry_close(struct cgroup_entry *entry) {
        for (size_t i = 0; i < entry->n; i++)
                fd_close(entry->fds[i]);
        entry->n = 0;
}

int cgroup_entry_take(const int *fds, size_t n) {
        return fds_poke(fds, n, "0");
}
