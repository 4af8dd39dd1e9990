/* instance.c - one run of one container. See runtime.h for what lies where.
 *
 *        instance_start                    its exit            instance_remove
 *   (record written) STARTING --> RUNNING -----------> ENDED ------------------> REMOVING --> (record removed)
 *            \__ the OCI runtime failed: everything is undone at once
 */
#include "husk-pod/runtime.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/socket.h"
#include "base/str.h"
#include "husk-pod/hook.h"
#include "husk-pod/pidfd-exit.h"
#include "image/image.h"
#include "oci/device-lease.h"
#include "oci/env.h"
#include "oci/lsm.h"
#include "oci/rootfs.h"
#include "oci/spec.h"
#include "oci/user.h"
#include "sandbox/cgroup.h"
#include "sandbox/hosts.h"
#include "store/node-config.h"

static const char *const role_names[] = {
        [ROLE_INIT] = "init",
        [ROLE_SIDECAR] = "sidecar",
        [ROLE_MAIN] = "main",
        [ROLE_EPHEMERAL] = "ephemeral",
};

/* ---- identity ---- */

/* 256 bits that differ whenever the input does. Nobody's security hangs on them: they are a name. */
void container_id_make(const char *pod_uid, const char *name, unsigned attempt, unsigned sandbox, char ret[static 65]) {
        _cleanup_free_ char *text = xasprintf("%s/%s/%u/%u", pod_uid, name, attempt, sandbox);
        uint64_t words[4] = { 0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1 };

        for (int round = 0; round < 2; round++)
                for (const char *p = text; *p; p++)
                        for (int i = 0; i < 4; i++) {
                                words[i] = (words[i] ^ (unsigned char)*p ^ words[(i + 1) % 4] >> 29) *
                                           0x9e3779b97f4a7c15ULL;
                                words[i] ^= words[i] >> 32;
                        }
        snprintf(ret, 65, "%016llx%016llx%016llx%016llx", (unsigned long long)words[0], (unsigned long long)words[1],
                 (unsigned long long)words[2], (unsigned long long)words[3]);
}

static struct instance *instance_new(struct runtime *rt, const char *name, unsigned attempt, unsigned sandbox,
                                     enum container_role role) {
        struct instance *i = new0(struct instance);
        char id[65];

        container_id_make(rt->uid, name, attempt, sandbox, id);
        i->rt = rt;
        i->name = xstrdup(name);
        i->attempt = attempt;
        i->sandbox = sandbox;
        i->role = role;
        i->id = xstrdup(id);
        i->folder = xasprintf("%s/containers/%s/%u", rt->folder, name, attempt);
        i->bundle = xasprintf("%s/bundles/%s", rt->run_folder, id);
        i->record = xasprintf("%s/instances/%s.json", rt->run_folder, id);
        i->pid_file = xasprintf("%s/instances/%s.pid", rt->run_folder, id);
        i->cgroup = rt->sb.cgroup ? cgroup_container_path(rt->sb.cgroup, id) : NULL;
        i->log_path = xasprintf("%s/%s/%u.log", rt->log_folder ? rt->log_folder : "", name, attempt);
        i->pidfd = i->stdin_fd = -EBADF;
        i->stop_signal = SIGTERM;
        i->next = rt->instances;
        rt->instances = i;
        return i;
}

static struct console *console_free(struct console *console);

struct instance *instance_free(struct instance *i) {
        if (!i)
                return NULL;
        loop_io_free(i->foreign);
        fd_close(i->pidfd);
        fd_close(i->stdin_fd);
        console_free(i->console);
        /* A command is left alone: the OCI runtime goes on when husk-pod makes room for its successor. */
        free(i->name);
        free(i->id);
        free(i->cgroup);
        free(i->folder);
        free(i->bundle);
        free(i->record);
        free(i->pid_file);
        free(i->log_path);
        free(i->program);
        free(i->groups);
        free(i);
        return NULL;
}

static void instance_forget(struct instance *i) {
        struct instance **p = &i->rt->instances;
        while (*p != i)
                p = &(*p)->next;
        *p = i->next;
        instance_free(i);
}

struct instance *instance_find(struct runtime *rt, const char *name, unsigned attempt) {
        for (struct instance *i = rt->instances; i; i = i->next)
                if (i->attempt == attempt && streq(i->name, name))
                        return i;
        return NULL;
}

struct instance *instance_running(struct runtime *rt, const char *name) {
        for (struct instance *i = rt->instances; i; i = i->next)
                if (i->state == INSTANCE_RUNNING && streq(i->name, name))
                        return i;
        return NULL;
}

bool instances_starting(const struct runtime *rt) {
        for (struct instance *i = rt->instances; i; i = i->next)
                if (i->state == INSTANCE_STARTING)
                        return true;
        return false;
}

/* ---- the record ---- */

static struct error *record_write(const struct instance *i) {
        json_t *groups = json_array();
        for (int g = 0; g < i->n_groups; g++)
                json_array_append_new(groups, json_integer(i->groups[g]));
        pid_t runner = i->command ? loop_command_pid(i->command) : 0;
        json_t *json = json_pack(
                "{s:s, s:I, s:I, s:s, s:i, s:s*, s:s*, s:i, s:I, s:I, s:o, s:b, s:b, s:b, s:b, s:i, s:I, s:I, s:I, "
                "s:i, s:I}",
                "name", i->name, "attempt", (json_int_t)i->attempt, "sandbox", (json_int_t)i->sandbox, "role",
                role_names[i->role], "state", (int)i->state, "cgroup", i->cgroup, "program", i->program, "stopSignal",
                i->stop_signal, "uid", (json_int_t)i->uid, "gid", (json_int_t)i->gid, "groups", groups,
                "ownPidNamespace", (int)i->own_pidns, "logOnError", (int)i->log_on_error, "tty", (int)i->tty,
                "stdinOnce", (int)i->stdin_once, "pid", (int)i->pid, "startTime", (json_int_t)i->start_time, "started",
                (json_int_t)i->started_ns, "startedMonotonic", (json_int_t)i->started_monotonic_ns, "runner",
                (int)runner, "runnerStartTime", (json_int_t)(runner ? process_start_time(runner) : 0));
        _cleanup_free_ char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
        json_decref(json);
        if (!text)
                return error_new(ERROR_INTERNAL, "container %s: no record", i->name);
        return file_replace(i->record, text, strlen(text), 0600, 0);
}

static void record_update(const struct instance *i) {
        _cleanup_error_ struct error *err = record_write(i);
        if (err)
                log_warning("container %s: %s", i->name, error_message(err));
}

static struct error *record_read(struct runtime *rt, const char *path, struct instance **ret) {
        json_error_t mistake;
        const char *name, *role, *cgroup = NULL, *program = NULL;
        json_int_t attempt, sandbox, uid, gid, start_time, started, started_monotonic, runner_start;
        json_t *groups;
        int state, own_pidns, log_on_error, tty, stdin_once;
        struct instance read = { 0 };

        json_t *json = json_load_file(path, 0, &mistake);
        if (!json ||
            json_unpack(json,
                        "{s:s, s:I, s:I, s:s, s:i, s?s, s?s, s:i, s:I, s:I, s:o, s:b, s:b, s:b, s:b, s:i, s:I, s:I, "
                        "s:I, s:i, s:I}",
                        "name", &name, "attempt", &attempt, "sandbox", &sandbox, "role", &role, "state", &state,
                        "cgroup", &cgroup, "program", &program, "stopSignal", &read.stop_signal, "uid", &uid, "gid",
                        &gid, "groups", &groups, "ownPidNamespace", &own_pidns, "logOnError", &log_on_error, "tty",
                        &tty, "stdinOnce", &stdin_once, "pid", &read.pid, "startTime", &start_time, "started", &started,
                        "startedMonotonic", &started_monotonic, "runner", &read.runner, "runnerStartTime",
                        &runner_start) < 0) {
                json_decref(json);
                return error_new(ERROR_INVALID, "%s: no record of a container", path);
        }
        enum container_role r = ROLE_MAIN;
        for (size_t n = 0; n < ARRAY_SIZE(role_names); n++)
                if (streq(role_names[n], role))
                        r = n;
        struct instance *i = instance_new(rt, name, attempt, sandbox, r);
        if (cgroup) {
                free(i->cgroup);
                i->cgroup = xstrdup(cgroup);
        }
        i->program = xstrdup(program);
        i->state = state;
        i->stop_signal = read.stop_signal;
        i->uid = uid;
        i->gid = gid;
        i->n_groups = (int)json_array_size(groups);
        i->groups = xcalloc(i->n_groups, sizeof(*i->groups));
        for (int g = 0; g < i->n_groups; g++)
                i->groups[g] = json_integer_value(json_array_get(groups, g));
        i->own_pidns = own_pidns;
        i->log_on_error = log_on_error;
        i->tty = tty;
        i->stdin_once = stdin_once;
        i->pid = read.pid;
        i->start_time = start_time;
        i->started_ns = started;
        i->started_monotonic_ns = started_monotonic;
        i->runner = read.runner;
        i->runner_start = runner_start;
        json_decref(json);
        *ret = i;
        return NULL;
}

/* ---- standard streams ---- */

static const char *const stream_names[] = { [LOG_STDOUT] = "stdout", [LOG_STDERR] = "stderr" };

static void stream_name(const struct instance *i, enum log_stream stream, char ret[LOG_SOURCE_NAME_MAX + 1]) {
        snprintf(ret, LOG_SOURCE_NAME_MAX + 1, "%s/%u/%s", i->name, i->attempt, stream_names[stream]);
}

static struct error *stream_open(struct instance *i, enum log_stream stream, int fd) {
        char name[LOG_SOURCE_NAME_MAX + 1];
        stream_name(i, stream, name);
        return log_source_new(i->rt->log, name, i->log_path, stream, fd, NULL, NULL, &i->streams[stream]);
}

static void streams_close(struct instance *i) {
        for (int s = 0; s < _LOG_STREAM_MAX; s++)
                i->streams[s] = log_source_free(i->streams[s]);
}

static void streams_drain(struct instance *i) {
        for (int s = 0; s < _LOG_STREAM_MAX; s++)
                if (i->streams[s])
                        log_source_drain(i->streams[s]);
}

static struct error *log_folder_make(const struct instance *i) {
        _cleanup_free_ char *folder = xstrdup(i->log_path);
        *strrchr(folder, '/') = '\0';
        return mkdir_parents(folder, 0755);
}

/* The name under which the writing end of a container's standard input is kept: without it, reading would end at once.
 */
static char *stdin_name(const struct instance *i) {
        return xasprintf("stdin/%s/%u", i->name, i->attempt);
}

/* A terminal: the OCI runtime connects to this socket and sends the master side. */
struct console {
        struct instance *instance;
        int folder_fd, listener, connection;
        struct loop_io *io;
        char name[32];
        char path[64]; /* for the OCI runtime: Unix socket paths are short, folders are not */
};

static struct console *console_free(struct console *c) {
        if (!c)
                return NULL;
        loop_io_free(c->io);
        if (c->folder_fd >= 0)
                unlinkat(c->folder_fd, c->name, 0);
        fd_close(c->folder_fd);
        fd_close(c->listener);
        fd_close(c->connection);
        free(c);
        return NULL;
}

static void console_receive(struct instance *i) {
        char byte[256];
        int master = -EBADF;
        size_t n_fds = 1;
        ssize_t n = socket_receive(i->console->connection, byte, sizeof(byte), &master, &n_fds, MSG_DONTWAIT);

        if (n == -EAGAIN)
                return;
        i->console = console_free(i->console);
        if (n < 0 || !n_fds)
                return;
        _cleanup_error_ struct error *err = stream_open(i, LOG_STDOUT, master);
        if (err)
                log_warning("container %s: terminal: %s", i->name, error_message(err));
}

static void console_readable(void *arg, int events) {
        struct console *c = arg;

        if (c->connection >= 0) {
                console_receive(c->instance);
                return;
        }
        c->connection = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
        if (c->connection < 0)
                return;
        c->io = loop_io_free(c->io);
        error_free(loop_io_new(c->instance->rt->loop, c->connection, LOOP_READABLE, console_readable, c, &c->io));
}

static struct error *console_open(struct instance *i) {
        struct console *c = i->console = new0(struct console);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        c->instance = i;
        c->listener = c->connection = -EBADF;
        snprintf(c->name, sizeof(c->name), "console-%.12s", i->id);
        c->folder_fd = open(i->rt->run_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (c->folder_fd < 0)
                return error_errno(errno, "open %s", i->rt->run_folder);
        snprintf(c->path, sizeof(c->path), "/proc/%d/fd/%d/%s", getpid(), c->folder_fd, c->name);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", c->path);
        unlinkat(c->folder_fd, c->name, 0);
        c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->listener < 0 || bind(c->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(c->listener, 1) < 0)
                return error_errno(errno, "terminal socket");
        return loop_io_new(i->rt->loop, c->listener, LOOP_READABLE, console_readable, c, &c->io);
}

/* What a container gets as descriptors 0, 1 and 2; -EBADF: nothing. */
struct standard_streams {
        int fds[3];
};

static void standard_streams_release(struct standard_streams *s) {
        for (int n = 0; n < 3; n++)
                s->fds[n] = fd_close(s->fds[n]);
}

static struct error *output_open(struct instance *i, enum log_stream stream, int *ret_write_end) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(errno, "make a pipe");
        *ret_write_end = fds[1];
        return stream_open(i, stream, fds[0]);
}

static struct error *input_open(struct instance *i, int *ret_read_end) {
        _cleanup_free_ char *name = stdin_name(i);
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(errno, "make a pipe");
        *ret_read_end = fds[0];
        i->stdin_fd = fds[1];
        reaper_store(i->rt->reaper, name, i->stdin_fd);
        return NULL;
}

void instance_close_stdin(struct instance *i) {
        _cleanup_free_ char *name = stdin_name(i);

        if (i->stdin_fd < 0)
                return;
        reaper_drop(i->rt->reaper, name);
        i->stdin_fd = fd_close(i->stdin_fd);
}

static struct error *streams_prepare(struct instance *i, const V1Container *spec, struct standard_streams *ret) {
        struct error *err = log_folder_make(i);

        if (!err && spec->has_tty && spec->tty)
                return console_open(i);
        if (!err)
                err = output_open(i, LOG_STDOUT, &ret->fds[1]);
        if (!err)
                err = output_open(i, LOG_STDERR, &ret->fds[2]);
        if (!err && spec->has_stdin && spec->stdin)
                err = input_open(i, &ret->fds[0]);
        return err;
}

/* ---- preparing a run ---- */

struct preparation {
        struct instance *instance;
        const struct container_run *run;
        enum start_failure failure; /* what an error means at this point */
        struct image *image;
        struct env env;
        struct oci_user user;
        struct mount_list mounts;
        char **argv;
        char *rootfs;
        char *hosts, *resolv, *hostname_file, *termination_log;
        char *namespaces[5];
        struct standard_streams streams;
};

static void preparation_release(struct preparation *p) {
        image_free(p->image);
        env_release(&p->env);
        oci_user_release(&p->user);
        mount_list_release(&p->mounts);
        strv_free(p->argv);
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

static char *termination_log_path(const struct instance *i) {
        return path_join(i->folder, "termination-log");
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
                _cleanup_free_ char *log = termination_log_path(i);
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
                            *log = termination_log_path(p->instance);
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

static struct error *bundle_write(struct instance *i, const json_t *spec) {
        _cleanup_free_ char *path = path_join(i->bundle, "config.json"), *text = json_dumps(spec, JSON_COMPACT);
        struct error *err =
                text ? mkdir_parents(i->bundle, 0700) : error_new(ERROR_INTERNAL, "config.json is not JSON");
        if (err)
                return err;
        return file_replace(path, text, strlen(text), 0600, 0);
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

static void run_done(void *arg, struct loop_command_result *result);

static char *runtime_log_path(const struct instance *i) {
        return path_join(i->bundle, "runtime.log");
}

static struct error *run_spawn(struct preparation *p) {
        struct instance *i = p->instance;
        _cleanup_free_ char *log = runtime_log_path(i);
        struct oci_runtime oci;
        struct error *err = runtime_oci(i->rt, log, &oci);

        if (err)
                return err;
        _cleanup_strv_ char **argv =
                oci_runtime_run_argv(&oci, i->id, i->bundle, i->pid_file, i->console ? i->console->path : NULL);
        struct loop_command_options options = {
                .argv = argv,
                .input = p->streams.fds[0],
                .output = p->streams.fds[1],
                .errors = p->streams.fds[2],
                .linger_ms = 1,
        };
        return loop_command_new(i->rt->loop, &options, run_done, i, &i->command);
}

static struct error *start(struct preparation *p) {
        struct instance *i = p->instance;
        struct error *err = runtime_ids_open(i->rt);
        struct volume_context volumes = runtime_volume_context(i->rt);
        _cleanup_free_ char *label = NULL, *file_label = NULL;
        struct hosts_config hosts = { .pod = i->rt->spec, .pod_ips = i->rt->sb.pod_ips };
        json_t *spec = NULL;

        p->failure = START_CREATE_ERROR;
        if (err)
                return err;
        if (!i->rt->sb.sandbox)
                return error_new(ERROR_UNAVAILABLE, "the sandbox is gone");
        err = lsm_selinux(&lsm_paths_kernel, i->rt->spec, p->run->spec, &label, &file_label);
        if (err)
                return err;
        volumes.label = file_label;
        err = record_write(i);
        if (!err)
                err = prepare_parts(p, &volumes);
        if (err)
                return err;
        p->failure = START_CREATE_ERROR;
        err = hosts_write_hosts(i->rt->store, &hosts);
        if (!err)
                err = prepare_files(p, &volumes);
        if (!err)
                err = prepare_spec(p, &spec);
        if (!err)
                err = prepare_devices(p, spec);
        if (!err)
                err = bundle_write(i, spec);
        json_decref(spec);
        if (err)
                return err;
        facts_note(p);
        err = streams_prepare(i, p->run->spec, &p->streams);
        if (!err) {
                streams_give(p);
                err = run_spawn(p);
        }
        if (!err)
                record_update(i);
        return err;
}

void instance_start(void *ctx, const struct container_run *run) {
        struct runtime *rt = ctx;
        struct instance *old = instance_find(rt, run->name, run->attempt);

        if (old)
                instance_purge(old);
        if (!instances_starting(rt))
                runtime_hurry(rt);
        struct instance *i = instance_new(rt, run->name, run->attempt, run->sandbox, run->role);
        struct preparation p = { .instance = i, .run = run, .streams = { { -EBADF, -EBADF, -EBADF } } };

        struct error *err = start(&p);
        preparation_release(&p);
        if (!err)
                return;
        instance_purge(i);
        pod_container_start_failed(rt->pod, run->name, run->attempt, p.failure, error_message(err), NULL);
        error_free(err);
}

/* ---- started, or not ---- */

static struct container_started started_facts(const struct instance *i) {
        return (struct container_started){
                .id = i->id,
                .pid = i->pid,
                .pid_start_time = i->start_time,
                .realtime_ns = i->started_ns,
                .monotonic_ns = i->started_monotonic_ns,
                .uid = i->uid,
                .gid = i->gid,
                .groups = i->groups,
                .n_groups = i->n_groups,
                .stop_signal = i->stop_signal,
        };
}

/* Is this process of the container's cgroup? Its parent would not tell: the OCI runtime's helpers may still stand
 * between it and the keeper for a moment. */
static bool in_cgroup_of(const struct instance *i, pid_t pid) {
        _cleanup_free_ char *path = xasprintf("/proc/%d/cgroup", pid), *text = NULL;
        _cleanup_error_ struct error *err = file_read(path, 65536, &text, NULL);

        return !err && (!i->cgroup || strstr(text, i->cgroup));
}

/* Reads the pid file. A pid that belongs to somebody else by now (or nobody) has an exit waiting at the reaper. */
static struct error *pid_read(struct instance *i) {
        _cleanup_free_ char *text = NULL;
        struct error *err = file_read(i->pid_file, 64, &text, NULL);
        uint64_t pid;

        if (err)
                return err;
        text[strcspn(text, "\n")] = '\0';
        if (!str_to_u64(text, &pid) || pid == 0 || pid > INT32_MAX)
                return error_new(ERROR_INVALID, "%s: not a pid", i->pid_file);
        i->pid = (pid_t)pid;
        i->pidfd = process_open(i->pid, 0);
        if (i->pidfd >= 0 && in_cgroup_of(i, i->pid))
                i->start_time = process_start_time(i->pid);
        else
                i->pidfd = fd_close(i->pidfd);
        return NULL;
}

static void exit_take(struct instance *i, const struct keeper_exit *e);

/* What the machine does when it is told something may end the instance. */
static bool is_running(const struct runtime *rt, const struct instance *instance) {
        for (const struct instance *i = rt->instances; i; i = i->next)
                if (i == instance)
                        return i->state == INSTANCE_RUNNING;
        return false;
}

static void run_succeeded(struct instance *i) {
        struct runtime *rt = i->rt;
        struct keeper_exit e;

        i->started_ns = clock_realtime_ns();
        i->started_monotonic_ns = clock_monotonic_ns();
        i->state = INSTANCE_RUNNING;
        record_update(i);
        struct container_started facts = started_facts(i);
        pod_container_started(rt->pod, i->name, i->attempt, &facts);
        /* It may have ended before its pid was known here. */
        if (is_running(rt, i) && reaper_claim(rt->reaper, i->pid, i->start_time, &e))
                exit_take(i, &e);
        runtime_settle_later(rt);
}

static char *runtime_message(const struct instance *i) {
        _cleanup_free_ char *path = runtime_log_path(i), *text = NULL;
        size_t len = 0;
        _cleanup_error_ struct error *err = file_read(path, 1 << 20, &text, &len);
        return oci_runtime_log_message(err ? "" : text, err ? 0 : len);
}

static int wait_status(const siginfo_t *exit) {
        return exit->si_code == CLD_EXITED ? exit->si_status << 8 : exit->si_status;
}

static void run_failed(struct instance *i, int status) {
        _cleanup_free_ char *message = runtime_message(i), *name = xstrdup(i->name);
        struct oci_failure failure = { 0 };
        struct runtime *rt = i->rt;
        unsigned attempt = i->attempt;

        oci_failure_of(message, status, i->name, i->program, &failure);
        enum start_failure class = streq(failure.reason, "StartError") ? START_START_ERROR : START_RUN_ERROR;
        _cleanup_free_ char *id = xstrdup(i->id);
        instance_purge(i);
        pod_container_start_failed(rt->pod, name, attempt, class, failure.message,
                                   class == START_START_ERROR ? id : NULL);
        oci_failure_release(&failure);
        runtime_settle_later(rt);
}

static void run_done(void *arg, struct loop_command_result *result) {
        struct instance *i = arg;
        int status = wait_status(&result->exit);

        i->command = NULL;
        /* What the OCI runtime sent is in the socket by now. */
        if (i->console && i->console->connection < 0)
                console_readable(i->console, 0);
        if (i->console && i->console->connection >= 0)
                console_receive(i);
        i->console = console_free(i->console);
        _cleanup_error_ struct error *err = status ? NULL : pid_read(i);
        if (err)
                log_warning("container %s: %s", i->name, error_message(err));
        loop_timer_set(i->rt->removals, 0);
        if (status || err)
                run_failed(i, status ? status : 1 << 8);
        else
                run_succeeded(i);
}

/* ---- its end ---- */

static struct container_exit exit_facts(const struct instance *i, const struct keeper_exit *e) {
        struct container_exit end = {
                .started_at_ns = i->started_ns,
                .finished_at_ns = e->time_ns,
        };
        int64_t ago = clock_realtime_ns() - e->time_ns;

        end.finished_monotonic_ns = clock_monotonic_ns() - MAX(ago, (int64_t)0);
        end.signal = e->code == CLD_EXITED ? 0 : e->status;
        end.exit_code = e->code == CLD_EXITED ? e->status : 128 + e->status;
        return end;
}

/* The container's first process has ended, and with it the container. */
static void exit_take(struct instance *i, const struct keeper_exit *e) {
        _cleanup_free_ char *log = termination_log_path(i), *message = NULL;
        struct container_exit end = exit_facts(i, e);
        bool empty;

        i->state = INSTANCE_ENDED;
        i->foreign = loop_io_free(i->foreign);
        i->pidfd = fd_close(i->pidfd);
        /* In a pid namespace of its own the kernel has killed the rest with it; in a shared one nobody has yet. */
        if (!i->own_pidns && i->cgroup)
                error_free(cgroup_kill(i->cgroup, &empty));
        end.oom_killed = i->cgroup && cgroup_oom_kills(i->cgroup) > 0;
        streams_drain(i);
        control_container_ended(i->rt, i, end.exit_code);
        message = termination_message(log, i->log_path, i->log_on_error && end.exit_code != 0);
        end.message = message;
        runtime_settle_later(i->rt);
        pod_container_exited(i->rt->pod, i->name, i->attempt, &end); /* may clear the instance away */
}

bool instance_exited(struct runtime *rt, const struct keeper_exit *e) {
        for (struct instance *i = rt->instances; i; i = i->next) {
                if (i->state != INSTANCE_RUNNING || i->pid != e->pid)
                        continue;
                if (i->start_time && e->start_time && i->start_time != e->start_time)
                        continue;
                exit_take(i, e);
                return true;
        }
        return false;
}

/* A process that is not the keeper's child (its keeper was killed) has ended: the kernel tells how, if it is new
 * enough, through the pidfd; else nobody knows, and the machine says ContainerStatusUnknown by way of exit code 137. */
static void foreign_ended(void *arg, int events) {
        struct instance *i = arg;
        struct keeper_exit e = { .pid = i->pid, .start_time = i->start_time, .time_ns = clock_realtime_ns() };

        if (!zombie_exit(i->pid, i->start_time, &e.code, &e.status) && !pidfd_exit(i->pidfd, &e.code, &e.status)) {
                e.code = CLD_KILLED;
                e.status = SIGKILL;
        }
        exit_take(i, &e);
}

void instance_signal(void *ctx, const struct container_run *run, enum stop_signal signal) {
        struct runtime *rt = ctx;
        struct instance *i = instance_find(rt, run->name, run->attempt);
        bool empty;

        if (!i || i->state != INSTANCE_RUNNING)
                return;
        if (signal == STOP_KILL && i->cgroup)
                error_free(cgroup_kill(i->cgroup, &empty));
        if (i->pidfd >= 0)
                pidfd_signal(i->pidfd, signal == STOP_KILL ? SIGKILL : i->stop_signal);
}

/* ---- removal ---- */

static void warn(const struct instance *i, struct error *err) {
        if (err)
                log_warning("container %s: %s", i->name, error_message(err));
        error_free(err);
}

/* Where the unified hierarchy is covered (husk-keeper), the OCI runtime has made plain folders and files there. */
static void covered_cgroup_remove(struct instance *i) {
        static const char unified[] = "/sys/fs/cgroup/unified";
        struct statfs fs;

        if (!i->cgroup || statfs(unified, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
                return;
        _cleanup_free_ char *path = path_join(unified, i->cgroup);
        warn(i, remove_tree(path));
}

/* Files and mounts, when no process uses them any more; the record last. Forgets the instance. */
static void instance_clear(struct instance *i) {
        struct runtime *rt = i->rt;
        _cleanup_free_ char *state = xasprintf("%s/%s", rt->oci_state_root, i->id);

        instance_close_stdin(i);
        if (i->cgroup)
                warn(i, cgroup_remove(i->cgroup));
        covered_cgroup_remove(i);
        warn(i, unmount_below(i->bundle));
        warn(i, rootfs_remove(i->folder));
        warn(i, remove_tree(i->folder));
        warn(i, remove_tree(i->bundle));
        warn(i, remove_tree(state));
        unlink(i->pid_file);
        unlink(i->record);
        instance_forget(i);
}

static void delete_done(void *arg, struct loop_command_result *result) {
        struct instance *i = arg;
        struct runtime *rt = i->rt;

        i->command = NULL;
        instance_clear(i);
        runtime_sandbox_continue(rt);
}

/* What crun and runc keep of a container are a folder and cgroups, which instance_clear() removes cheaper than they do.
 * Other runtimes have more (a virtual machine, a kernel) and do it themselves. */
static bool runtime_is_plain(const struct oci_runtime *oci) {
        const char *slash = strrchr(oci->program, '/');
        const char *name = slash ? slash + 1 : oci->program;
        return streq(name, "crun") || streq(name, "runc");
}

static void instance_delete(struct instance *i) {
        struct oci_runtime oci;
        struct error *missing = runtime_oci(i->rt, NULL, &oci);

        if (missing || runtime_is_plain(&oci)) {
                warn(i, missing);
                instance_clear(i);
                return;
        }
        _cleanup_strv_ char **argv = oci_runtime_delete_argv(&oci, i->id, true);
        struct loop_command_options options = { .argv = argv, .timeout_ns = 30 * NSEC_PER_SEC, .linger_ms = 1 };
        _cleanup_error_ struct error *err = loop_command_new(i->rt->loop, &options, delete_done, i, &i->command);
        if (err) {
                log_warning("container %s: %s", i->name, error_message(err));
                instance_clear(i);
        }
}

void instances_delete(struct runtime *rt) {
        struct instance *next;

        for (struct instance *i = rt->instances; i; i = next) {
                next = i->next;
                if (i->state == INSTANCE_REMOVING && !i->command)
                        instance_delete(i);
        }
}

void instances_delete_later(void *arg) {
        struct runtime *rt = arg;

        if (!instances_starting(rt)) {
                instances_delete(rt);
                runtime_sandbox_continue(rt);
        }
}

/* Clearing away can wait until nothing is being started: mostly it is a restart, and the new run is waited for. */
void instance_remove(void *ctx, const struct container_run *run) {
        struct runtime *rt = ctx;
        struct instance *i = instance_find(rt, run->name, run->attempt);

        if (!i || i->state != INSTANCE_ENDED)
                return;
        struct volume_context volumes = runtime_volume_context(rt);
        streams_close(i);
        warn(i, volume_mounts_release(&volumes, i->name));
        i->state = INSTANCE_REMOVING;
        loop_timer_set(rt->removals, 0);
}

/* Waits for it: for what has failed to start, and at the end. */
static struct error *delete_now(struct instance *i) {
        struct process_options options = { .timeout_ms = 30000 };
        struct oci_runtime oci;
        int status;
        struct error *err = runtime_oci(i->rt, NULL, &oci);

        if (err)
                return err;
        _cleanup_strv_ char **argv = oci_runtime_delete_argv(&oci, i->id, true);
        return process_run(argv, &options, &status, NULL, NULL);
}

void instance_purge(struct instance *i) {
        struct runtime *rt = i->rt;
        _cleanup_free_ char *config = path_join(i->bundle, "config.json");
        bool empty;

        i->command = loop_command_free(i->command);
        i->console = console_free(i->console);
        i->foreign = loop_io_free(i->foreign);
        streams_close(i);
        if (i->runner > 0) {
                _cleanup_close_ int runner = process_open(i->runner, i->runner_start);
                if (runner >= 0)
                        pidfd_signal(runner, SIGKILL);
        }
        if (i->cgroup)
                error_free(cgroup_kill(i->cgroup, &empty));
        if (file_exists(config)) /* else the OCI runtime was not reached */
                warn(i, delete_now(i));
        if (rt->spec) {
                struct volume_context volumes = runtime_volume_context(rt);
                warn(i, volume_mounts_release(&volumes, i->name));
        }
        instance_clear(i);
}

/* ---- going on after a predecessor ---- */

/* Waits, shortly, for a predecessor's OCI runtime to end: it started the container, or is about to. */
static void runner_await(struct instance *i) {
        if (i->runner == 0) {
                i->runner = leftover_runner(i->rt, i->id);
                i->runner_start = i->runner > 0 ? process_start_time(i->runner) : 0;
        }
        for (int tries = 0; i->runner > 0 && tries < 500 && process_is_running(i->runner, i->runner_start); tries++)
                usleep(10000);
}

static void streams_restore(struct instance *i) {
        for (int s = 0; s < _LOG_STREAM_MAX; s++) {
                char name[LOG_SOURCE_NAME_MAX + 1], full[KEEPER_NAME_SIZE];
                stream_name(i, s, name);
                snprintf(full, sizeof(full), "log/%s", name);
                int fd = reaper_take(i->rt->reaper, full);
                if (fd >= 0)
                        warn(i, stream_open(i, s, fd));
        }
        _cleanup_free_ char *input = stdin_name(i);
        i->stdin_fd = reaper_take(i->rt->reaper, input);
}

/* True if the container's process is there (or a zombie, whose exit is on its way): then it is watched from now on. */
static bool process_adopt(struct instance *i) {
        if (!i->start_time || process_start_time(i->pid) != i->start_time)
                return false;
        if (i->pidfd < 0)
                i->pidfd = process_open(i->pid, i->start_time);
        if (i->pidfd < 0)
                return false;
        if (process_parent(i->pid) != getppid())
                warn(i, loop_io_new(i->rt->loop, i->pidfd, LOOP_READABLE, foreign_ended, i, &i->foreign));
        return true;
}

/* The keeper may have reaped it a moment ago and be about to say so. */
static bool exit_await(struct instance *i, pid_t pid, uint64_t start_time, struct keeper_exit *ret) {
        for (int tries = 0; tries < 10; tries++) {
                reaper_listen(i->rt->reaper);
                if (reaper_claim(i->rt->reaper, pid, start_time, ret))
                        return true;
                usleep(2000);
        }
        return false;
}

/* How it ended meanwhile: from the keeper, or from the pidfd that husk-pod handed to its new keeper. */
static bool exit_recall(struct instance *i, struct keeper_exit *ret) {
        _cleanup_free_ char *name = xasprintf("pid/%s", i->id);
        _cleanup_close_ int pidfd = reaper_take(i->rt->reaper, name);

        if (pidfd >= 0)
                reaper_drop(i->rt->reaper, name);
        *ret = (struct keeper_exit){ .time_ns = clock_realtime_ns() };
        if (pidfd >= 0 && (zombie_exit(i->pid, i->start_time, &ret->code, &ret->status) ||
                           pidfd_exit(pidfd, &ret->code, &ret->status)))
                return true;
        return exit_await(i, i->pid, i->start_time, ret);
}

static void found(struct instance *i) {
        struct container_started facts = started_facts(i);
        pod_container_found(i->rt->pod, i->name, i->attempt, &facts);
}

static void restore_running(struct instance *i) {
        struct keeper_exit e;

        streams_restore(i);
        if (process_adopt(i)) {
                found(i);
        } else if (exit_recall(i, &e)) {
                exit_take(i, &e);
        } else {
                /* Either the machine's saved state has this exit already, or nobody knows it (ContainerStatusUnknown).
                 */
                i->state = INSTANCE_ENDED;
                streams_drain(i);
        }
}

/* The machine does not know yet that it was started at all: it hears of the start first, and of an end in any case. */
static void restore_started(struct instance *i) {
        struct keeper_exit e;

        i->state = INSTANCE_RUNNING;
        i->started_ns = clock_realtime_ns();
        i->started_monotonic_ns = clock_monotonic_ns();
        streams_restore(i);
        found(i);
        if (process_adopt(i)) {
                record_update(i);
                return;
        }
        if (!exit_recall(i, &e)) {
                e.code = CLD_KILLED;
                e.status = SIGKILL;
        }
        exit_take(i, &e);
}

/* The predecessor died while the OCI runtime was at work. If that has succeeded, the container is there or has been. */
static void restore_starting(struct instance *i) {
        struct keeper_exit e = { .code = CLD_EXITED };

        runner_await(i);
        if (i->runner > 0)
                exit_await(i, i->runner, i->runner_start, &e);
        _cleanup_error_ struct error *err = pid_read(i);
        if (err || e.code != CLD_EXITED || e.status != 0)
                instance_purge(i); /* the machine starts it again */
        else
                restore_started(i);
}

void instances_read(struct runtime *rt) {
        _cleanup_free_ char *folder = path_join(rt->run_folder, "instances");
        struct dirent *entry;
        DIR *dir = opendir(folder);

        while (dir && (entry = readdir(dir))) {
                if (!str_ends_with(entry->d_name, ".json") || entry->d_name[0] == '.')
                        continue;
                _cleanup_free_ char *path = path_join(folder, entry->d_name);
                struct instance *i;
                _cleanup_error_ struct error *err = record_read(rt, path, &i);
                if (err)
                        log_warning("%s", error_message(err));
        }
        if (dir)
                closedir(dir);
}

void instances_restore(struct runtime *rt) {
        struct instance *next;

        instances_read(rt);
        for (struct instance *i = rt->instances; i; i = next) {
                next = i->next;
                if (i->state == INSTANCE_STARTING)
                        restore_starting(i);
                else
                        restore_running(i);
        }
}

void instances_sweep(struct runtime *rt) {
        struct instance *next;
        for (struct instance *i = rt->instances; i; i = next) {
                next = i->next;
                if (i->state == INSTANCE_ENDED)
                        instance_purge(i);
        }
}
