/* instance-prepare.c - what a run is made of before the OCI runtime gets it: root file system, mounts, environment,
 * user, devices, streams, and the bundle that describes them. */
#include "husk-pod/instance-private.h"

#include <fcntl.h>
#include <sys/sysinfo.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "husk-pod/hook.h"
#include "oci/device-lease.h"
#include "oci/lsm.h"
#include "oci/rootfs.h"
#include "oci/spec.h"
#include "sandbox/hosts.h"
#include "store/node-config.h"

void preparation_release(struct preparation *p) {
        image_free(p->image);
        env_release(&p->env);
        oci_user_release(&p->user);
        mount_list_release(&p->mounts);
        strv_free(p->argv);
        json_decref(p->spec);
        free(p->rootfs);
        free(p->hosts);
        free(p->resolv);
        free(p->hostname_file);
        free(p->termination_log);
        for (size_t n = 0; n < ARRAY_SIZE(p->namespaces); n++)
                free(p->namespaces[n]);
        standard_streams_release(&p->streams);
}

/* A program that opens /dev/stdout anew needs the pipe to be its own. The OCI runtime sees to that, but not across a
 * user namespace. */
static void streams_give(const struct preparation *p) {
        const struct id_map *ids = &p->instance->rt->ids;

        for (int n = 0; id_map_is_set(ids) && n < 3; n++)
                if (p->streams.fds[n] >= 0 &&
                    fchown(p->streams.fds[n], id_map_outside(ids, p->user.uid), id_map_outside(ids, p->user.gid)) < 0)
                        log_warning("container %s: give it its standard streams: %s", p->instance->name,
                                    strerror(errno));
}

static int open_volume(void *userdata, const char *name) {
        struct volume_context *context = userdata;
        return volume_open(context, name);
}

static struct error *prepare_environment(struct preparation *p, struct volume_context *volumes) {
        struct runtime *rt = p->instance->rt;
        struct env_config config = {
                .store = rt->store,
                .downward = volumes->downward,
                .container = p->run->spec,
                .image_env = p->image->env,
                .hostname = rt->sb.sandbox->hostname,
                .open_volume = open_volume,
                .userdata = volumes,
        };
        struct error *err = env_build(&config, &p->env);
        for (char **w = err ? NULL : p->env.warnings; w && *w; w++)
                pod_warned(rt->pod, "InvalidEnvironmentVariableNames", *w);
        return err;
}

/* An empty file, writable by whoever the container runs as. */
static struct error *termination_log_make(const char *path) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0 || fchmod(fd, 0666) < 0)
                return error_errno(errno, "create %s", path);
        return NULL;
}

/* Every file and mount the container is made of. What has been made when this fails is undone by instance_purge(). */
static struct error *prepare_parts(struct preparation *p, struct volume_context *volumes) {
        struct instance *i = p->instance;
        const V1Container *c = p->run->spec;
        struct error *err;

        p->failure = START_CREATE_ERROR;
        err = image_open(i->rt->store, c->image, &p->image);
        if (err)
                return err;
        image_mark_used(i->rt->store, p->image);
        p->failure = START_CONFIG_ERROR;
        err = oci_user_verify(i->rt->spec, c, p->image);
        if (!err)
                err = prepare_environment(p, volumes);
        if (!err)
                err = volume_mounts(volumes, c, p->env.kubernetes, env_expand_strict, &p->mounts);
        if (err)
                return err;
        p->failure = START_CREATE_ERROR;
        err = env_command(c, p->image, p->env.kubernetes, &p->argv);
        if (!err)
                err = rootfs_mount(p->image, i->folder, &i->rt->ids, &p->rootfs);
        if (!err && id_map_is_set(&i->rt->ids))
                err = rootfs_bind_into_bundle(p->rootfs, i->bundle);
        if (err)
                return err;
        _cleanup_close_ int root = open(p->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return error_errno(errno, "open %s", p->rootfs);
        err = oci_user_resolve(i->rt->spec, c, p->image, root, &p->user);
        if (!err) {
                _cleanup_free_ char *log = instance_termination_log(i);
                err = termination_log_make(log);
        }
        return err;
}

/* The pid namespace of an ephemeral container's target, else that of the pod if its containers share one. A target that
 * does not run has none: as with a kubelet the container then waits for it. */
static struct error *pid_namespace(struct preparation *p, char **ret) {
        struct runtime *rt = p->instance->rt;
        const V1PodSpec *pod = rt->spec->spec;
        bool shared =
                (pod->has_hostpid && pod->hostpid) || (pod->has_shareprocessnamespace && pod->shareprocessnamespace);
        struct instance *target = p->run->target ? instance_running(rt, p->run->target) : NULL;

        if (p->run->target && !target && !shared) {
                p->failure = START_CONFIG_ERROR;
                return error_new(ERROR_NOT_FOUND, "unable to find target container %s: it does not run",
                                 p->run->target);
        }
        *ret = target && !shared ? xasprintf("/proc/%d/ns/pid", target->pid)
                                 : sandbox_namespace_path(rt->sb.sandbox, SANDBOX_PID);
        return NULL;
}

/* The files husk itself binds into the container, as its user namespace sees them. */
static struct error *prepare_files(struct preparation *p, const struct volume_context *volumes) {
        const struct runtime *rt = p->instance->rt;
        _cleanup_free_ char *etc = hosts_folder(rt->store, rt->uid), *hosts = path_join(etc, "hosts"),
                            *resolv = path_join(etc, "resolv.conf"), *hostname = path_join(etc, "hostname"),
                            *log = instance_termination_log(p->instance);
        const struct {
                const char *name, *path;
                char **ret;
        } files[] = {
                { "hosts", hosts, &p->hosts },
                { "resolv.conf", resolv, &p->resolv },
                { "hostname", hostname, &p->hostname_file },
                { "termination-log", log, &p->termination_log },
        };
        struct error *err = NULL;

        for (size_t n = 0; n < ARRAY_SIZE(files) && !err; n++)
                err = volume_bind_file(volumes, p->instance->name, files[n].name, files[n].path, files[n].ret);
        return err;
}

/* Nobody gets below his own score without CAP_SYS_RESOURCE; then the container has husk's, and once for all that is
 * said. */
static int64_t oom_score_adj(const struct instance *i, const V1Container *container) {
        static bool told;
        const V1Pod *pod = runtime_allocated(i->rt);
        struct sysinfo machine = { 0 };
        bool clamped;

        sysinfo(&machine);
        int64_t score = oci_oom_score_adj(pod, container, pod_qos_string(pod_qos(pod)),
                                          (uint64_t)machine.totalram * machine.mem_unit, &clamped);
        if (clamped && !told)
                log_warning("without the capability SYS_RESOURCE containers of this pod have an oom_score_adj of %lld, "
                            "not the lower one of their QoS class: the kernel may end them before less important ones",
                            (long long)score);
        told = told || clamped;
        return score;
}

static struct error *prepare_spec(struct preparation *p, json_t **ret) {
        struct instance *i = p->instance;
        struct runtime *rt = i->rt;
        const V1PodSpec *pod = rt->spec->spec;
        _cleanup_free_ char *seccomp = path_join(rt->store->root, "seccomp");

        p->namespaces[0] = sandbox_namespace_path(rt->sb.sandbox, SANDBOX_NET);
        p->namespaces[1] = sandbox_namespace_path(rt->sb.sandbox, SANDBOX_IPC);
        p->namespaces[2] = sandbox_namespace_path(rt->sb.sandbox, SANDBOX_UTS);
        struct error *err = pid_namespace(p, &p->namespaces[3]);
        if (err)
                return err;
        p->namespaces[4] = sandbox_namespace_path(rt->sb.sandbox, SANDBOX_USER);
        bool host_pid = pod->has_hostpid && pod->hostpid;
        struct oci_spec_config config = {
                .pod = runtime_allocated(rt),
                .container = p->run->spec,
                .image = p->image,
                .argv = p->argv,
                .env = p->env.all,
                .user = &p->user,
                .rootfs = p->namespaces[4] ? "rootfs" : p->rootfs, /* rootfs_bind_into_bundle() */
                .volumes = &p->mounts,
                .netns = p->namespaces[0],
                .ipcns = p->namespaces[1],
                .utsns = p->namespaces[2],
                .pidns = p->namespaces[3],
                .userns = p->namespaces[4],
                .host_pid = host_pid,
                .cgroups_path = i->cgroup,
                .shm = rt->sb.sandbox->shm,
                .hosts = p->hosts,
                .hostname_file = p->hostname_file,
                .resolv_conf = p->resolv,
                .termination_log = p->termination_log,
                .seccomp_folder = seccomp,
                .oom_score_adj = oom_score_adj(i, p->run->spec),
                .terminal = p->run->spec->has_tty && p->run->spec->tty,
        };
        i->own_pidns = !host_pid && !p->namespaces[3];
        return oci_spec_build(&config, ret);
}

/* The devices the container asks for by their kind; the first container that starts chooses them for all of the pod. */
static struct error *prepare_devices(const struct preparation *p, json_t *spec) {
        const struct runtime *rt = p->instance->rt;
        _cleanup_node_config_ struct node_config config = { 0 };
        _cleanup_cdi_ struct cdi_registry registry = CDI_REGISTRY_INIT;
        json_t *allocation = NULL;

        if (!devices_are_wanted(rt->spec))
                return NULL;
        struct error *err = node_config_read(rt->store, &config);
        if (err)
                return err;
        cdi_read(config.cdi_spec_dirs, &registry);
        err = devices_allocate(rt->store, rt->spec, &registry, &allocation);
        if (!err)
                err = devices_apply(allocation, p->run->spec->name, &registry, id_map_is_set(&rt->ids), spec);
        json_decref(allocation);
        return err;
}

struct error *instance_bundle_write(const struct instance *i, const json_t *spec) {
        _cleanup_free_ char *path = path_join(i->bundle, "config.json"), *text = json_dumps(spec, JSON_COMPACT);

        return text ? file_replace(path, text, strlen(text), 0600, 0)
                    : error_new(ERROR_INTERNAL, "config.json is not JSON");
}

static void facts_note(struct preparation *p) {
        struct instance *i = p->instance;

        i->program = xstrdup(p->argv[0]);
        i->stop_signal = hook_stop_signal(p->run->spec->lifecycle, p->image->stop_signal);
        i->log_on_error = streq_ptr(p->run->spec->terminationmessagepolicy, "FallbackToLogsOnError");
        i->tty = p->run->spec->has_tty && p->run->spec->tty;
        i->stdin_once = p->run->spec->has_stdinonce && p->run->spec->stdinonce;
        i->uid = p->user.uid;
        i->gid = p->user.gid;
        i->n_groups = (int)p->user.n_groups;
        i->groups = xcalloc(p->user.n_groups, sizeof(*i->groups));
        for (size_t n = 0; n < p->user.n_groups; n++)
                i->groups[n] = p->user.groups[n];
}

struct error *preparation_make(struct preparation *p) {
        struct instance *i = p->instance;
        struct error *err = runtime_ids_open(i->rt);
        struct volume_context volumes = runtime_volume_context(i->rt);
        _cleanup_free_ char *label = NULL, *file_label = NULL;
        struct hosts_config hosts;

        p->failure = START_CREATE_ERROR;
        if (err)
                return err;
        if (!i->rt->sb.sandbox)
                return error_new(ERROR_UNAVAILABLE, "the sandbox is gone");
        err = lsm_selinux(&lsm_paths_kernel, i->rt->spec, p->run->spec, &label, &file_label);
        if (err)
                return err;
        volumes.label = file_label;
        err = instance_record_write(i);
        if (!err)
                err = prepare_parts(p, &volumes);
        if (err)
                return err;
        p->failure = START_CREATE_ERROR;
        err = runtime_hosts_config(i->rt, &hosts);
        if (!err)
                err = hosts_write_hosts(i->rt->store, &hosts);
        if (!err)
                err = prepare_files(p, &volumes);
        if (!err)
                err = prepare_spec(p, &p->spec);
        if (!err)
                err = prepare_devices(p, p->spec);
        if (!err)
                err = mkdir_parents(i->bundle, 0700);
        if (err)
                return err;
        facts_note(p);
        err = instance_streams_open(i, p->run->spec, &p->streams);
        if (!err)
                streams_give(p);
        return err;
}
