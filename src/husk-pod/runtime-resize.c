/* runtime-resize.c - cpu and memory of a pod that runs: its cgroup, and those of its containers. */
#include "husk-pod/runtime.h"

#include "base/process.h"
#include "base/str.h"
#include "oci/spec.h"
#include "sandbox/cgroup.h"

/* The OCI runtime writes a few files, in some 10 ms; a virtual machine's asks its agent. It is waited for: what is
 * written next depends on whether it could. Meanwhile the pod's probes and exits wait, too, so that it is not for long;
 * a resize that failed is tried again. */
#define UPDATE_TIMEOUT_MS 3000

static struct error *resize_pod(struct runtime *rt, const struct cgroup_limits *limits) {
        return cgroup_pod_create(rt->store, rt->uid, pod_qos(rt->spec), limits);
}

static struct error *update(const struct oci_runtime *oci, const struct instance *i, const json_t *resources) {
        _cleanup_strv_ char **argv = oci_runtime_update_argv(oci, i->id);
        _cleanup_free_ char *input = json_dumps(resources, JSON_COMPACT), *errors = NULL;
        struct process_options options = { .input = input, .timeout_ms = UPDATE_TIMEOUT_MS };
        int status = 0;
        struct error *err = process_run(argv, &options, &status, NULL, &errors);

        if (err || !status)
                return err;
        _cleanup_free_ char *message = oci_runtime_log_message(errors ?: "", errors ? strlen(errors) : 0);
        return error_new(ERROR_INTERNAL, "%s", *message ? message : "the OCI runtime could not change the limits");
}

static struct error *resize_container(struct runtime *rt, const struct instance *i, const V1Container *container) {
        struct oci_runtime oci;
        struct error *err = runtime_oci(rt, NULL, &oci);

        if (err)
                return error_context(err, "container %s", i->name);
        json_t *resources = oci_resources(runtime_allocated(rt), container, 0);
        err = oci.finds_cgroup ? cgroup_container_limit(i->cgroup, resources) : update(&oci, i, resources);
        json_decref(resources);
        return error_context(err, "container %s", i->name);
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

/* The pod's cgroup first, so that a container that grows has room. Where the kernel lets no parent have less than its
 * child (cpu on cgroup v1) that fails for a pod that shrinks; then it is done once more after the containers. A parent
 * that could not be changed has, before as after, enough for any child: it had at least the largest old child, which is
 * more than the new parent. */
struct error *runtime_resize(void *ctx, const struct container_run *runs, size_t n, bool *ret_done) {
        struct runtime *rt = ctx;
        struct cgroup_limits limits;
        struct error *err = runtime_pod_limits(rt, &limits);

        if (!err)
                err = check_decreases(rt, &limits, runs, n);
        if (err)
                return err;
        _cleanup_error_ struct error *early = resize_pod(rt, &limits);
        for (size_t i = 0; i < n && !err; i++) {
                const struct instance *instance = instance_find(rt, runs[i].name, runs[i].attempt);

                if (instance && instance->state == INSTANCE_RUNNING)
                        err = resize_container(rt, instance, runs[i].spec);
                ret_done[i] = !err;
        }
        if (!err && early)
                err = resize_pod(rt, &limits);
        if (!err)
                watches_refresh_pod(rt); /* it may have waited for room: the object changed long ago */
        return err;
}
