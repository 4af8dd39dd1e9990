/* instance-start.c - a run's start: the OCI runtime is called, and has started the container, or failed. */
#include "husk-pod/instance-private.h"

#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

static char *runtime_log_path(const struct instance *i) {
        return path_join(i->bundle, "runtime.log");
}

/* Is this process of the container's cgroup? Its parent would not tell: the OCI runtime's helpers may still stand
 * between it and the keeper for a moment. */
static bool in_cgroup_of(const struct instance *i, pid_t pid) {
        _cleanup_free_ char *path = xasprintf("/proc/%d/cgroup", pid), *text = NULL;
        _cleanup_error_ struct error *err = file_read(path, 65536, &text, NULL);

        return !err && (!i->cgroup || strstr(text, i->cgroup));
}

/* Reads the pid file. A pid that belongs to somebody else by now (or nobody) has an exit waiting at the reaper. */
struct error *instance_pid_read(struct instance *i) {
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
        instance_record_update(i);
        struct container_started facts = instance_started_facts(i);
        pod_container_started(rt->pod, i->name, i->attempt, &facts);
        /* It may have ended before its pid was known here. */
        if (is_running(rt, i) && reaper_claim(rt->reaper, i->pid, i->start_time, &e))
                instance_exit_take(i, &e);
        runtime_settle_later(rt);
}

/* A limit that is too low even for the OCI runtime, which is in the container's cgroup when it prepares the container,
 * has the words of a kubelet's node. */
static char *runtime_message(const struct instance *i, int status) {
        _cleanup_free_ char *path = runtime_log_path(i), *text = NULL;
        size_t len = 0;

        if (WIFSIGNALED(status) && i->cgroup && cgroup_oom_kills(i->cgroup) > 0)
                return xstrdup("container init was OOM-killed (memory limit too low?)");
        _cleanup_error_ struct error *err = file_read(path, 1 << 20, &text, &len);
        return oci_runtime_log_message(err ? "" : text, err ? 0 : len);
}

static int wait_status(const siginfo_t *exit) {
        return exit->si_code == CLD_EXITED ? exit->si_status << 8 : exit->si_status;
}

/* `failure_words`: why the OCI runtime was not run, or NULL. */
static void run_failed(struct instance *i, int status, const char *failure_words) {
        _cleanup_free_ char *message = failure_words ? xstrdup(failure_words) : runtime_message(i, status),
                            *name = xstrdup(i->name);
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
        instance_console_finish(i);
        _cleanup_error_ struct error *err = status ? NULL : instance_pid_read(i);
        if (err)
                log_warning("container %s: %s", i->name, error_message(err));
        loop_timer_set(i->rt->removals, 0);
        if (status || err)
                run_failed(i, status ? status : 1 << 8, result->failure);
        else
                run_succeeded(i);
}

/* Where the kernel lets nobody say which devices a container may use, the OCI runtime makes the cgroup after all: it
 * knows where it can do without, and says what is wrong where it cannot. */
static void leave_to_runtime(const struct instance *i, struct oci_runtime *oci, struct error *reason) {
        static bool told;

        if (!told)
                log_warning("container %s: %s; from now on the OCI runtime makes the containers' cgroups, which takes "
                            "longer",
                            i->name, error_message(reason));
        told = true;
        error_free(reason);
        instance_warn(i, cgroup_remove(i->cgroup));
        oci->finds_cgroup = oci->no_cgroups = false;
}

/* As with a runtime that makes the cgroup by itself, a limit that the kernel refuses is a start that failed, not a
 * container that cannot be made. A runtime that leaves cgroups alone is in the container's when it starts; another that
 * finds the cgroup has nothing to limit any more. */
static struct error *cgroup_prepare(struct preparation *p, struct oci_runtime *oci, struct cgroup_entry *ret) {
        struct instance *i = p->instance;
        json_t *linux_ = json_object_get(p->spec, "linux");

        if (!oci->finds_cgroup)
                return NULL;
        struct error *err = cgroup_container_create(i->cgroup, json_object_get(linux_, "resources"));
        if (err && cgroup_devices_refused()) {
                leave_to_runtime(i, oci, err);
                return NULL;
        }
        p->failure = START_START_ERROR;
        if (!err && oci->no_cgroups)
                err = cgroup_entry_open(i->cgroup, ret);
        else if (!err)
                json_object_del(linux_, "resources");
        return error_context(err, "failed to start container \"%s\"", i->name);
}

static struct error *run_spawn(struct preparation *p) {
        _cleanup_cgroup_entry_ struct cgroup_entry entry = { 0 };
        struct instance *i = p->instance;
        _cleanup_free_ char *log = runtime_log_path(i);
        struct oci_runtime oci;
        struct error *err = runtime_oci(i->rt, log, &oci);

        if (!err)
                err = cgroup_prepare(p, &oci, &entry);
        if (!err)
                err = instance_bundle_write(i, p->spec);
        if (err)
                return err;
        _cleanup_strv_ char **argv =
                oci_runtime_run_argv(&oci, i->id, i->bundle, i->pid_file, instance_console_path(i));
        struct loop_command_options options = {
                .argv = argv,
                .input = p->streams.fds[0],
                .output = p->streams.fds[1],
                .errors = p->streams.fds[2],
                .enter = entry.fds,
                .n_enter = entry.n,
                .linger_ms = 1,
        };
        return loop_command_new(i->rt->loop, &options, run_done, i, &i->command);
}

static struct error *start(struct preparation *p) {
        struct error *err = preparation_make(p);

        if (!err)
                err = run_spawn(p);
        if (!err)
                instance_record_update(p->instance);
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
        struct preparation p = PREPARATION_INIT(i, run);

        struct error *err = start(&p);
        preparation_release(&p);
        if (!err)
                return;
        _cleanup_free_ char *id = xstrdup(i->id);
        instance_purge(i);
        pod_container_start_failed(rt->pod, run->name, run->attempt, p.failure, error_message(err),
                                   p.failure == START_START_ERROR ? id : NULL);
        error_free(err);
}
