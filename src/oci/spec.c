#include "oci/spec.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/vfs.h>

#include "api/quantity.h"
#include "api/resources.h"
#include "base/file.h"
#include "base/huge-page.h"
#include "base/str.h"
#include "oci/capability.h"
#include "oci/device.h"
#include "oci/lsm.h"
#include "oci/seccomp.h"

#define CGROUP2_MAGIC 0x63677270
#define CPU_PERIOD_US 100000
#define CPU_QUOTA_MIN_US 1000 /* the kernel's minimum, so that `limits.cpu: 1m` is 10m */
#define CPU_SHARES_MIN 2
#define CPU_SHARES_MAX 262144
#define CRITICAL_PRIORITY 2000000000 /* system-cluster-critical and above */

/* ---- small readers of the Pod ---- */

static bool is_privileged(const V1Container *container) {
        const V1SecurityContext *sc = container->securitycontext;

        return sc && sc->has_privileged && sc->privileged;
}

static bool has_read_only_root(const V1Container *container) {
        const V1SecurityContext *sc = container->securitycontext;

        return sc && sc->has_readonlyrootfilesystem && sc->readonlyrootfilesystem;
}

static bool has_no_new_privileges(const V1Container *container) {
        const V1SecurityContext *sc = container->securitycontext;

        return sc && sc->has_allowprivilegeescalation && !sc->allowprivilegeescalation;
}

static bool is_unmasked(const V1Container *container) {
        const V1SecurityContext *sc = container->securitycontext;

        return is_privileged(container) || (sc && streq_ptr(sc->procmount, "Unmasked"));
}

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

/* ---- JSON helpers ---- */

/* NULL if one of them is not UTF-8, which JSON cannot carry. */
static json_t *string_array(char *const *v) {
        json_t *array = json_array();

        for (size_t i = 0; v && v[i]; i++)
                if (json_array_append_new(array, json_string(v[i])) < 0) {
                        json_decref(array);
                        return NULL;
                }
        return array;
}

static void set(json_t *object, const char *key, json_t *value) {
        json_object_set_new(object, key, value);
}

/* ---- capabilities ---- */

static struct error *capability_set(char *const *names, size_t n, uint64_t *ret, bool *ret_all) {
        uint64_t set_ = 0;
        bool all = false;

        for (size_t i = 0; i < n; i++) {
                int number = capability_number(names[i]);

                if (streq(names[i], "ALL") || streq(names[i], "all"))
                        all = true;
                else if (number < 0)
                        return error_new(ERROR_INVALID, "unknown capability \"%s\"", names[i]);
                else
                        set_ |= 1ULL << number;
        }
        *ret = set_;
        *ret_all = all;
        return NULL;
}

/* As the CRI orders it: add ALL, drop ALL, then single additions, then single removals. */
struct error *oci_capabilities(const V1Container *container, uint64_t *ret) {
        const V1Capabilities *wanted = container->securitycontext ? container->securitycontext->capabilities : NULL;
        uint64_t available = capabilities_available(), caps = capabilities_default & available, add, drop;
        bool add_all, drop_all;
        struct error *err;

        if (is_privileged(container)) {
                *ret = available;
                return NULL;
        }
        if (wanted) {
                err = capability_set(wanted->add, wanted->n_add, &add, &add_all);
                if (!err)
                        err = capability_set(wanted->drop, wanted->n_drop, &drop, &drop_all);
                if (err)
                        return err;
                if (add & ~drop & ~available)
                        return error_new(ERROR_FORBIDDEN, "capability %s cannot be added: husk itself runs without it",
                                         capability_name(__builtin_ctzll(add & ~drop & ~available)));
                caps = ((drop_all ? 0 : add_all ? available : caps) | add) & ~drop;
        }
        *ret = caps;
        return NULL;
}

static json_t *capabilities_object(uint64_t caps) {
        json_t *list = json_array(), *object;

        for (unsigned c = 0; c < 64; c++)
                if (caps & 1ULL << c)
                        json_array_append_new(list, json_string(capability_name(c)));
        /* Inheritable and ambient stay empty: with them a program with file capabilities, or any program of a user who
         * is not root, would get what the Pod never gave (CVE-2022-24769). The kernel takes effective and permitted
         * from a user other than root at execve(2); the bounding set stays. */
        object = json_pack("{s:O, s:O, s:O, s:[], s:[]}", "bounding", list, "effective", list, "permitted", list,
                           "inheritable", "ambient");
        json_decref(list);
        return object;
}

/* ---- resources ---- */

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

/* ---- mounts ---- */

static bool is_below(const char *path, const char *folder) {
        return str_starts_with(path, folder) && path[strlen(folder)] == '/';
}

/* A mount that comes with every container: not if the Pod mounts a volume there, nor a device file system below a /dev
 * that is the Pod's. */
static void add_default(struct mount_list *list, const struct oci_spec_config *config, const char *destination,
                        const char *source, const char *type, const char *options) {
        if (mount_list_find(config->volumes, destination))
                return;
        if (!streq(type, "bind") && is_below(destination, "/dev") && mount_list_find(config->volumes, "/dev"))
                return;
        mount_list_add(list, destination, source, type, options);
}

static void add_file(struct mount_list *list, const struct oci_spec_config *config, const char *destination,
                     const char *source, bool read_only) {
        if (source)
                add_default(list, config, destination, source, "bind",
                            read_only ? "rbind,rprivate,ro" : "rbind,rprivate,rw");
}

static void add_defaults(struct mount_list *list, const struct oci_spec_config *config) {
        bool privileged = is_privileged(config->container), read_only = has_read_only_root(config->container);
        const char *log = config->container->terminationmessagepath;

        add_default(list, config, "/proc", "proc", "proc", "nosuid,noexec,nodev");
        add_default(list, config, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
        add_default(list, config, "/sys", "sysfs", "sysfs",
                    privileged ? "nosuid,noexec,nodev,rw" : "nosuid,noexec,nodev,ro");
        add_default(list, config, "/dev/pts", "devpts", "devpts",
                    "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
        if (config->shm)
                add_default(list, config, "/dev/shm", config->shm, "bind", "rbind,rprivate,rw");
        else
                add_default(list, config, "/dev/shm", "shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k");
        add_default(list, config, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
        add_default(list, config, "/sys/fs/cgroup", "cgroup", "cgroup",
                    privileged ? "nosuid,noexec,nodev,relatime,rw" : "nosuid,noexec,nodev,relatime,ro");
        add_file(list, config, "/etc/hosts", config->hosts, read_only);
        add_file(list, config, "/etc/hostname", config->hostname_file, read_only);
        add_file(list, config, "/etc/resolv.conf", config->resolv_conf, read_only);
        add_file(list, config, str_empty(log) ? "/dev/termination-log" : log, config->termination_log, false);
}

/* Mounting over parts of /proc or /sys can take the ground from under security modules and masked paths
 * (CVE-2019-16884, CVE-2023-27561): only what resource views (lxcfs) and the like replace. */
static struct error *check_destination(const char *destination) {
        static const char *const allowed[] = { "/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg",
                                               "/proc/meminfo", "/proc/slabinfo",  "/proc/stat",
                                               "/proc/swaps",   "/proc/uptime",    "/proc/net/dev" };

        if (!is_below(destination, "/proc"))
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
                if (streq(destination, allowed[i]))
                        return NULL;
        return error_new(ERROR_FORBIDDEN, "mountPath %s: nothing can be mounted inside /proc", destination);
}

static json_t *mount_object(const struct mount_entry *entry) {
        return json_pack("{s:s, s:s, s:s, s:o}", "destination", entry->destination, "type", entry->type, "source",
                         entry->source, "options", string_array(entry->options));
}

static struct error *add_mounts(json_t *spec, json_t *linux_, const struct oci_spec_config *config) {
        _cleanup_mount_list_ struct mount_list list = MOUNT_LIST_INIT;
        const char *propagation = NULL;
        json_t *mounts = json_array();
        struct error *err;

        set(spec, "mounts", mounts);
        add_defaults(&list, config);
        for (size_t i = 0; config->volumes && i < config->volumes->count; i++) {
                const struct mount_entry *v = &config->volumes->entries[i];
                struct mount_entry *entry;

                err = check_destination(v->destination);
                if (err)
                        return err;
                entry = mount_list_add(&list, v->destination, v->source, v->type, NULL);
                entry->options = strv_copy(v->options);
                if (v->shared)
                        propagation = "rshared";
                else if (v->slave && !propagation)
                        propagation = "rslave";
        }
        mount_list_sort(&list);
        for (size_t i = 0; i < list.count; i++)
                json_array_append_new(mounts, mount_object(&list.entries[i]));
        /* Without this the runtime makes the whole tree private, and a mount could not reach the container any more. */
        if (propagation)
                set(linux_, "rootfsPropagation", json_string(propagation));
        return NULL;
}

/* ---- namespaces ---- */

static void add_namespace(json_t *array, const char *type, const char *path) {
        json_t *ns = json_pack("{s:s}", "type", type);

        if (path)
                set(ns, "path", json_string(path));
        json_array_append_new(array, ns);
}

static json_t *namespaces_array(const struct oci_spec_config *config) {
        json_t *array = json_array();

        add_namespace(array, "mount", NULL);
        if (!config->host_pid)
                add_namespace(array, "pid", config->pidns);
        if (config->netns)
                add_namespace(array, "network", config->netns);
        if (config->ipcns)
                add_namespace(array, "ipc", config->ipcns);
        if (config->utsns)
                add_namespace(array, "uts", config->utsns);
        if (config->userns)
                add_namespace(array, "user", config->userns);
        /* The container sees its own cgroup as the top, and nothing above it. */
        if (!is_privileged(config->container))
                add_namespace(array, "cgroup", NULL);
        return array;
}

/* ---- security ---- */

/* Both lists are Kubernetes' (1.36), which container runtimes have, too. */
static const char *const masked_paths[] = {
        "/proc/acpi",          "/proc/asound",     "/proc/kcore",       "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/proc/scsi",          "/proc/interrupts", "/sys/firmware",     "/sys/devices/virtual/powercap"
};
static const char *const read_only_paths[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                               "/proc/sysrq-trigger" };

static json_t *path_array(const char *const *paths, size_t n) {
        json_t *array = json_array();

        for (size_t i = 0; i < n; i++)
                json_array_append_new(array, json_string(paths[i]));
        return array;
}

/* What a processor tells of its heat tells of its neighbours' work: masked where the machine has such files. */
static void add_thermal_paths(json_t *array) {
        DIR *dir = opendir("/sys/devices/system/cpu");
        struct dirent *entry;

        while (dir && (entry = readdir(dir))) {
                unsigned cpu;
                char rest;

                if (sscanf(entry->d_name, "cpu%u%c", &cpu, &rest) != 1)
                        continue;
                _cleanup_free_ char *path = xasprintf("/sys/devices/system/cpu/cpu%u/thermal_throttle", cpu);
                if (file_exists(path))
                        json_array_append_new(array, json_string(path));
        }
        if (dir)
                closedir(dir);
}

static json_t *masked_array(void) {
        json_t *array = path_array(masked_paths, ARRAY_SIZE(masked_paths));

        add_thermal_paths(array);
        return array;
}

static const V1SeccompProfile *seccomp_profile(const V1Pod *pod, const V1Container *container) {
        if (container->securitycontext && container->securitycontext->seccompprofile)
                return container->securitycontext->seccompprofile;
        return pod->spec->securitycontext ? pod->spec->securitycontext->seccompprofile : NULL;
}

/* RuntimeDefault also where nothing is said: a kubelet's seccompDefault, which husk has on. */
static struct error *add_seccomp(json_t *spec, json_t *linux_, const struct oci_spec_config *config, uint64_t caps) {
        const V1SeccompProfile *profile = seccomp_profile(config->pod, config->container);
        const char *type = profile && profile->type ? profile->type : "RuntimeDefault";
        _cleanup_free_ char *filter = NULL;
        struct error *err;
        json_t *object;

        if (is_privileged(config->container) || streq(type, "Unconfined"))
                return NULL;
        if (streq(type, "Localhost")) {
                err = seccomp_localhost(config->seccomp_folder, profile->localhostprofile, caps, &object);
                if (err)
                        return err;
                set(linux_, "seccomp", object);
                return NULL;
        }
        set(linux_, "seccomp", seccomp_runtime_default(caps));
        filter = seccomp_runtime_default_filter(caps);
        if (filter)
                set(spec, "annotations", json_pack("{s:s}", SECCOMP_FILTER_ANNOTATION, filter));
        return NULL;
}

static struct error *add_apparmor(json_t *process, const struct oci_spec_config *config) {
        _cleanup_free_ char *profile = NULL;
        struct error *err =
                lsm_apparmor(config->lsm ? config->lsm : &lsm_paths_kernel, config->pod, config->container, &profile);

        if (profile)
                set(process, "apparmorProfile", json_string(profile));
        return err;
}

static struct error *add_selinux(json_t *process, json_t *linux_, const struct oci_spec_config *config) {
        _cleanup_free_ char *label = NULL, *file_label = NULL;
        struct error *err = lsm_selinux(config->lsm ? config->lsm : &lsm_paths_kernel, config->pod, config->container,
                                        &label, &file_label);

        if (label) {
                set(process, "selinuxLabel", json_string(label));
                set(linux_, "mountLabel", json_string(file_label));
        }
        return err;
}

static struct error *add_security(json_t *spec, json_t *process, json_t *linux_, const struct oci_spec_config *config) {
        struct error *err;
        uint64_t caps;

        err = oci_capabilities(config->container, &caps);
        if (err)
                return err;
        set(process, "capabilities", capabilities_object(caps));
        set(process, "noNewPrivileges", json_boolean(has_no_new_privileges(config->container)));
        if (!is_unmasked(config->container)) {
                set(linux_, "maskedPaths", masked_array());
                set(linux_, "readonlyPaths", path_array(read_only_paths, ARRAY_SIZE(read_only_paths)));
        }
        err = add_seccomp(spec, linux_, config, caps);
        if (!err)
                err = add_apparmor(process, config);
        if (!err)
                err = add_selinux(process, linux_, config);
        return err;
}

/* ---- the whole ---- */

static json_t *user_object(const struct oci_user *user) {
        json_t *groups = json_array();

        for (size_t i = 0; i < user->n_groups; i++)
                json_array_append_new(groups, json_integer(user->groups[i]));
        return json_pack("{s:I, s:I, s:o}", "uid", (json_int_t)user->uid, "gid", (json_int_t)user->gid,
                         "additionalGids", groups);
}

static json_t *process_object(const struct oci_spec_config *config) {
        const char *own = config->container->workingdir, *cwd = str_empty(own) ? config->image->working_dir : own;

        return json_pack("{s:b, s:o, s:o, s:o, s:o, s:I}", "terminal", config->terminal, "user",
                         user_object(config->user), "args", string_array(config->argv), "env",
                         string_array(config->env), "cwd",
                         json_sprintf("%s%s", str_empty(cwd) || cwd[0] != '/' ? "/" : "", cwd ? cwd : ""),
                         "oomScoreAdj", (json_int_t)config->oom_score_adj);
}

static void add_resources(json_t *linux_, const struct oci_spec_config *config) {
        json_t *resources = oci_resources(config->pod, config->container, config->pids_limit);
        bool privileged = is_privileged(config->container);

        /* The runtime adds what every container has (null, zero, full, random, urandom, tty, pts). */
        set(resources, "devices", json_pack("[{s:b, s:s}]", "allow", privileged, "access", "rwm"));
        set(linux_, "resources", resources);
        if (privileged)
                set(linux_, "devices", oci_host_devices());
}

static struct error *fill(json_t *spec, const struct oci_spec_config *config) {
        json_t *process = process_object(config), *linux_ = json_object();
        struct error *err;

        set(spec, "ociVersion", json_string("1.0.2"));
        if (!process)
                return json_decref(linux_), error_new(ERROR_INVALID, "command, args, env or workingDir is not UTF-8");
        set(spec, "process", process);
        set(spec, "linux", linux_);
        set(spec, "root",
            json_pack("{s:s, s:b}", "path", config->rootfs, "readonly", has_read_only_root(config->container)));
        set(linux_, "cgroupsPath", json_string(config->cgroups_path));
        set(linux_, "namespaces", namespaces_array(config));
        add_resources(linux_, config);
        err = add_mounts(spec, linux_, config);
        if (!err)
                err = add_security(spec, process, linux_, config);
        return err;
}

struct error *oci_spec_build(const struct oci_spec_config *config, json_t **ret) {
        json_t *spec = json_object();
        struct error *err;

        err = fill(spec, config);
        if (err) {
                json_decref(spec);
                return err;
        }
        *ret = spec;
        return NULL;
}

json_t *oci_process_for_exec(const json_t *spec, char *const *argv, bool terminal) {
        json_t *process = json_deep_copy(json_object_get(spec, "process"));

        set(process, "args", string_array(argv));
        set(process, "terminal", json_boolean(terminal));
        return process;
}

V1Container *oci_container_of_ephemeral(const V1EphemeralContainer *ephemeral) {
        const ProtobufCMessage *common = &ephemeral->ephemeralcontainercommon->base;
        size_t size = protobuf_c_message_get_packed_size(common);
        _cleanup_free_ uint8_t *packed = xmalloc(size + 1);

        /* Kubernetes gives the fields of both messages the same numbers. */
        protobuf_c_message_pack(common, packed);
        return (V1Container *)protobuf_c_message_unpack(&v1_container__descriptor, NULL, size, packed);
}
