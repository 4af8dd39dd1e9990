/* runtime-resize.c - cpu and memory of a pod that runs: its cgroup, and those of its containers. */
#include "husk-pod/runtime.h"

#include "base/clock.h"
#include "base/process.h"
#include "base/str.h"
#include "oci/spec.h"
#include "sandbox/cgroup.h"

/* A virtual machine's OCI runtime asks an agent in it. A resize that failed is tried again. */
#define UPDATE_TIMEOUT_NS (30 * NSEC_PER_SEC)

/* One change of resources, from the pod's cgroup to the last of its runs. */
struct resizing {
        struct runtime *rt;
        struct cgroup_limits limits;
        struct error *early; /* why the pod's cgroup could not be changed before the containers' */
        struct target {
                char *name;
                unsigned attempt;
                json_t *resources; /* as in the runtime-spec */
        } * targets;
        size_t n, n_done;
        struct loop_command *command; /* an OCI runtime that changes one */
};

static struct error *resize_pod(struct runtime *rt, const struct cgroup_limits *limits) {
        return cgroup_pod_create(rt->store, rt->uid, pod_qos(rt->spec), limits);
}

/* ---- less memory ---- */

/* Would the kernel have to take memory away from who uses it? Then one process or the other would be killed; a kubelet
 * does not even begin, and says so in these words (KEP-1287). */
static char **check_memory(char **complaints, const char *what, const char *cgroup, int64_t limit) {
        struct cgroup_usage usage;
        _cleanup_error_ struct error *err = cgroup_usage(cgroup, &usage);

        if (err || limit < 0 || (usage.memory_limit && (uint64_t)limit >= usage.memory_limit) ||
            usage.memory_bytes < (uint64_t)limit)
                return complaints;
        return strv_add_take(complaints,
                             xasprintf("attempting to set %s memory limit (%lld) below current usage (%llu)", what,
                                       (long long)limit, (unsigned long long)usage.memory_bytes));
}

static struct error *check_decreases(struct runtime *rt, const struct cgroup_limits *limits,
                                     const struct container_run *runs, size_t n) {
        _cleanup_strv_ char **complaints = check_memory(NULL, "pod", rt->sb.cgroup, limits->memory_bytes);

        for (size_t i = 0; i < n; i++) {
                const struct instance *instance = instance_find(rt, runs[i].name, runs[i].attempt);
                _cleanup_free_ char *what = xasprintf("container \"%s\"", runs[i].name);

                if (instance)
                        complaints = check_memory(complaints, what, instance->cgroup,
                                                  oci_memory_limit(runtime_allocated(rt), runs[i].spec));
        }
        if (!complaints)
                return NULL;
        _cleanup_free_ char *text = strv_join(complaints, ", ");
        bool several = complaints[1] != NULL;
        return error_new(ERROR_CONFLICT, "cannot decrease memory limits: %s%s%s", several ? "[" : "", text,
                         several ? "]" : "");
}

/* ---- all of it ---- */

static struct resizing *resizing_free(struct resizing *r) {
        if (!r)
                return NULL;
        loop_command_free(r->command);
        for (size_t i = 0; i < r->n; i++) {
                free(r->targets[i].name);
                json_decref(r->targets[i].resources);
        }
        free(r->targets);
        error_free(r->early);
        free(r);
        return NULL;
}

void runtime_resize_release(struct runtime *rt) {
        rt->resizing = resizing_free(rt->resizing);
}

/* Takes the error. */
static void answer(struct resizing *r, struct error *err) {
        struct runtime *rt = r->rt;
        _cleanup_free_ struct resized_run *done = xcalloc(r->n_done + 1, sizeof(*done));

        for (size_t i = 0; i < r->n_done; i++)
                done[i] = (struct resized_run){ r->targets[i].name, r->targets[i].attempt };
        if (!err && r->early)
                err = resize_pod(rt, &r->limits);
        if (!err)
                watches_refresh_pod(rt); /* it may have waited for room: the object changed long ago */
        rt->resizing = NULL;             /* the next one may be asked for at once */
        pod_resized(rt->pod, done, r->n_done, err ? error_message(err) : NULL);
        error_free(err);
        resizing_free(r);
}

static void go_on(struct resizing *r);

static struct error *update_error(const struct loop_command_result *result) {
        if (result->timed_out)
                return error_new(ERROR_TIMEOUT, "the OCI runtime did not change the limits within %lld s",
                                 UPDATE_TIMEOUT_NS / NSEC_PER_SEC);
        if (result->failure)
                return error_new(ERROR_UNAVAILABLE, "%s", result->failure);
        if (result->exit.si_code == CLD_EXITED && result->exit.si_status == 0)
                return NULL;
        _cleanup_free_ char *message = oci_runtime_log_message(result->errors, result->errors_len);
        return error_new(ERROR_INTERNAL, "%s", *message ? message : "the OCI runtime could not change the limits");
}

static void updated(void *arg, struct loop_command_result *result) {
        struct resizing *r = arg;
        struct error *err = update_error(result);

        r->command = NULL;
        if (err) {
                answer(r, error_context(err, "container %s", r->targets[r->n_done].name));
                return;
        }
        r->n_done++;
        go_on(r);
}

static struct error *update(struct resizing *r, const struct oci_runtime *oci, const struct instance *i) {
        _cleanup_strv_ char **argv = oci_runtime_update_argv(oci, i->id);
        _cleanup_free_ char *text = json_dumps(r->targets[r->n_done].resources, JSON_COMPACT);
        _cleanup_close_ int input = -EBADF;
        struct error *err = process_input_open(text, &input);
        struct loop_command_options options = { .argv = argv,
                                                .input = input,
                                                .gather_errors = true,
                                                .timeout_ns = UPDATE_TIMEOUT_NS,
                                                .new_session = true };

        return err ? err : loop_command_new(r->rt->loop, &options, updated, r, &r->command);
}

static struct error *resize_container(struct resizing *r, const struct instance *i) {
        struct oci_runtime oci;
        struct error *err = runtime_oci(r->rt, NULL, &oci);

        if (!err)
                err = oci.finds_cgroup ? cgroup_container_limit(i->cgroup, r->targets[r->n_done].resources)
                                       : update(r, &oci, i);
        return error_context(err, "container %s", i->name);
}

/* Those that follow, until one takes its time, or all have been changed. */
static void go_on(struct resizing *r) {
        for (; r->n_done < r->n; r->n_done++) {
                const struct target *t = &r->targets[r->n_done];
                const struct instance *i = instance_find(r->rt, t->name, t->attempt);
                struct error *err = i && i->state == INSTANCE_RUNNING ? resize_container(r, i) : NULL;

                if (err) {
                        answer(r, err);
                        return;
                }
                if (r->command)
                        return;
        }
        answer(r, NULL);
}

/* The pod's cgroup first, so that a container that grows has room. Where the kernel lets no parent have less than its
 * child (cpu on cgroup v1) that fails for a pod that shrinks; then it is done once more after the containers. A parent
 * that could not be changed has, before as after, enough for any child: it had at least the largest old child, which is
 * more than the new parent. */
void runtime_resize(void *ctx, const struct container_run *runs, size_t n) {
        struct runtime *rt = ctx;
        struct resizing *r = new0(struct resizing);

        runtime_resize_release(rt);
        rt->resizing = r;
        r->rt = rt;
        struct error *err = runtime_pod_limits(rt, &r->limits);
        if (!err)
                err = check_decreases(rt, &r->limits, runs, n);
        if (err) {
                answer(r, err);
                return;
        }
        r->targets = xcalloc(n + 1, sizeof(*r->targets));
        for (r->n = 0; r->n < n; r->n++)
                r->targets[r->n] = (struct target){ xstrdup(runs[r->n].name), runs[r->n].attempt,
                                                    oci_resources(runtime_allocated(rt), runs[r->n].spec, 0) };
        r->early = resize_pod(rt, &r->limits);
        go_on(r);
}
