/* spec.c - config.json of a container: process, root, mounts and namespaces; the rest is in spec-resources.c and
 * spec-security.c. */
#include "oci/spec-private.h"

#include "oci/device.h"

static bool has_read_only_root(const V1Container *container) {
        const V1SecurityContext *sc = container->securitycontext;

        return sc && sc->has_readonlyrootfilesystem && sc->readonlyrootfilesystem;
}

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
                err = oci_spec_add_security(spec, process, linux_, config);
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
