#include "husk-pod/runtime.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "net/net.h"
#include "sandbox/userns.h"
#include "store/node-config.h"

#define TRIM_AFTER_NS (300 * NSEC_PER_MSEC)
/* A disk need not see what a start or an end goes through. */
#define LASTING_AFTER_NS NSEC_PER_SEC
#define LASTING_RETRY_NS (10 * NSEC_PER_SEC)

/* ---- the table's small operations ---- */

static int64_t ops_monotonic(void *ctx) {
        return clock_monotonic_ns();
}

static int64_t ops_realtime(void *ctx) {
        return clock_realtime_ns();
}

static uint64_t ops_random(void *ctx) {
        uint64_t number;
        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
                number = (uint64_t)clock_monotonic_ns() * 0x9e3779b97f4a7c15ULL;
        return number;
}

static void ops_wake_at(void *ctx, int64_t monotonic_ns) {
        struct runtime *rt = ctx;
        if (monotonic_ns == INT64_MAX)
                loop_timer_stop(rt->wake);
        else
                loop_timer_set_at(rt->wake, monotonic_ns);
}

static void woken(void *arg) {
        struct runtime *rt = arg;
        pod_step(rt->pod);
}

static void ops_publish_status(void *ctx, const V1PodStatus *status, bool terminal) {
        publish_status(ctx, api_encode(&status->base), terminal);
}

static void ops_publish_events(void *ctx, const json_t *events) {
        publish_events(ctx, events);
}

static void ops_save(void *ctx, const json_t *state) {
        struct runtime *rt = ctx;
        publish_state(rt, state);
        runtime_settle_later(rt);
        if (!rt->lasting_due)
                loop_timer_set(rt->lasting, LASTING_AFTER_NS);
        rt->lasting_due = true;
        loop_timer_set(rt->trim, TRIM_AFTER_NS); /* something happened: be small again after that */
}

static void keep_lasting(void *arg) {
        struct runtime *rt = arg;
        _cleanup_error_ struct error *err = rt->finished ? NULL : handover_save_lasting(rt);

        if (err)
                log_warning("%s", error_message(err));
        rt->lasting_due = err;
        if (err)
                loop_timer_set(rt->lasting, LASTING_RETRY_NS);
        loop_timer_set(rt->trim, TRIM_AFTER_NS);
}

static void ops_trace(void *ctx, const char *line) {
        log_debug("%s", line);
}

/* The machine is in the middle of a step: the rest is done when the loop has stopped. */
static void ops_finished(void *ctx, enum pod_end end) {
        struct runtime *rt = ctx;
        rt->finished = true;
        rt->end = end;
        loop_stop(rt->loop);
}

static void ops_volumes_setup(void *ctx) {
        struct runtime *rt = ctx;
        _cleanup_error_ struct error *err = runtime_ids_open(rt);
        _cleanup_strv_ char **failures = NULL;

        if (err) {
                failures = strv_add(NULL, error_message(err));
        } else {
                struct volume_context context = runtime_volume_context(rt);
                volumes_setup_each(&context, &failures);
        }
        if (failures)
                pod_volumes_failed(rt->pod, failures);
        else
                pod_volumes_ready(rt->pod);
}

const struct pod_ops runtime_ops = {
        .monotonic_ns = ops_monotonic,
        .realtime_ns = ops_realtime,
        .random = ops_random,
        .wake_at = ops_wake_at,
        .admit = claims_admit,
        .release = claims_release,
        .claim_renew = claims_renew,
        .pod_disrupt = disrupt_pod,
        .sandbox_start = runtime_sandbox_start,
        .sandbox_stop = runtime_sandbox_stop,
        .volumes_setup = ops_volumes_setup,
        .image_lookup = image_lookup,
        .image_pull = image_pull_start,
        .container_start = instance_start,
        .container_signal = instance_signal,
        .container_remove = instance_remove,
        .resize = runtime_resize,
        .run_start = action_start,
        .run_cancel = action_cancel,
        .publish_status = ops_publish_status,
        .publish_events = ops_publish_events,
        .save = ops_save,
        .trace = ops_trace,
        .finished = ops_finished,
};

/* ---- what the other files ask for ---- */

static void settle(void *arg) {
        struct runtime *rt = arg;
        reaper_acknowledge(rt->reaper, !instances_starting(rt));
}

void runtime_settle_later(struct runtime *rt) {
        if (rt->reaper)
                loop_deferred_arm(rt->settle);
}

struct error *runtime_ids_open(struct runtime *rt) {
        const V1PodSpec *spec = rt->spec->spec;
        _cleanup_node_config_ struct node_config config = { 0 };
        uint32_t first;

        if (id_map_is_set(&rt->ids) || !spec->has_hostusers || spec->hostusers)
                return NULL;
        struct error *err = node_config_read(rt->store, &config);
        if (!err)
                err = userns_reserve(rt->store, rt->uid, config.userns_first, config.userns_pods, &first);
        if (!err)
                err = id_map_open(first, USERNS_IDS, &rt->ids);
        return err;
}

const V1Node *runtime_node(struct runtime *rt, bool fresh) {
        json_t *json = NULL;
        V1Node *node = NULL;

        if (rt->node && !fresh)
                return rt->node;
        runtime_forget_node(rt);
        rt->node_arena = api_arena_new();
        _cleanup_error_ struct error *err = store_node(rt->store, &json);
        if (!err)
                err = api_decode_stored(json, &v1_node__descriptor, rt->node_arena, &node);
        json_decref(json);
        if (err)
                log_warning("node: %s", error_message(err));
        rt->node = err ? NULL : node;
        return rt->node;
}

void runtime_forget_node(struct runtime *rt) {
        rt->node = NULL;
        rt->node_arena = api_arena_free(rt->node_arena);
}

const V1Pod *runtime_allocated(const struct runtime *rt) {
        return rt->pod ? pod_allocated(rt->pod) : rt->spec;
}

/* The pod as it sees itself: what runs here is bound to this node, though its object need not say so. */
static const V1Pod *bound_pod(struct runtime *rt, const V1Node *node) {
        rt->bound = *runtime_allocated(rt);
        rt->bound_spec = *rt->bound.spec;
        rt->bound.spec = &rt->bound_spec;
        if (str_empty(rt->bound_spec.nodename) && node)
                rt->bound_spec.nodename = node->metadata->name;
        return &rt->bound;
}

struct volume_context runtime_volume_context(struct runtime *rt) {
        const V1Node *node = runtime_node(rt, false);
        return (struct volume_context){ .store = rt->store,
                                        .downward = { .pod = bound_pod(rt, node),
                                                      .pod_ips = rt->sb.pod_ips,
                                                      .host_ips = rt->sb.host_ips,
                                                      .node = node },
                                        .host_mntns_fd = rt->host_mounts,
                                        .ids = &rt->ids };
}

struct error *runtime_read_spec(struct runtime *rt, struct api_arena **ret_old) {
        struct api_arena *arena = api_arena_new();
        json_t *json = NULL;
        V1Pod *spec;
        struct error *err = store_pod_spec_read(rt->store, rt->uid, &json);

        if (!err)
                err = api_decode_stored(json, &v1_pod__descriptor, arena, &spec);
        json_decref(json);
        if (err) {
                api_arena_free(arena);
                return error_context(err, "pod %s", rt->uid);
        }
        *ret_old = rt->arena;
        rt->arena = arena;
        rt->spec = spec;
        if (!rt->log_folder)
                rt->log_folder =
                        store_pod_log_folder(rt->store, spec->metadata->namespace_, spec->metadata->name, rt->uid);
        return NULL;
}

struct error *runtime_new(const char *root, const char *run, const char *uid, struct runtime **ret) {
        struct runtime *rt = new0(struct runtime);
        struct error *err = store_open(root, run, &rt->store);

        rt->host_mounts = -EBADF;
        rt->ids = ID_MAP_NONE;
        if (!err)
                err = loop_new(&rt->loop);
        if (err) {
                runtime_free(rt);
                return err;
        }
        rt->uid = xstrdup(uid);
        rt->folder = store_pod_folder(rt->store, uid);
        rt->run_folder = store_pod_run_folder(rt->store, uid);
        rt->oci_state_root = path_join(rt->run_folder, "crun");
        rt->wake = loop_timer_new(rt->loop, woken, rt);
        rt->lasting = loop_timer_new(rt->loop, keep_lasting, rt);
        rt->removals = loop_timer_new(rt->loop, instances_delete_later, rt);
        rt->settle = loop_deferred_new(rt->loop, settle, rt);
        *ret = rt;
        return NULL;
}

/* Lets go of memory and descriptors. What runs goes on, and what is recorded stays: this is also how a husk-pod ends
 * that makes room for its successor. */
struct runtime *runtime_free(struct runtime *rt) {
        if (!rt)
                return NULL;
        actions_release(rt);
        runtime_hurry_release(rt);
        runtime_resize_release(rt);
        image_pulls_release(rt);
        disruptions_release(rt);
        watches_end(rt);
        storage_end(rt);
        control_end(rt);
        publication_release(rt);
        while (rt->instances) {
                struct instance *next = rt->instances->next;
                instance_free(rt->instances);
                rt->instances = next;
        }
        runtime_sandbox_release(rt);
        pod_free(rt->pod);
        log_pump_free(rt->log);
        reaper_free(rt->reaper);
        loop_timer_free(rt->wake);
        loop_timer_free(rt->removals);
        loop_timer_free(rt->trim);
        loop_timer_free(rt->lasting);
        loop_timer_free(rt->keeper_retry);
        loop_deferred_free(rt->settle);
        loop_free(rt->loop);
        api_arena_free(rt->arena);
        runtime_forget_node(rt);
        store_free(rt->store);
        fd_close(rt->host_mounts);
        id_map_release(&rt->ids);
        free(rt->looked_up.id);
        free(rt->looked_up.name);
        free(rt->uid);
        free(rt->folder);
        free(rt->run_folder);
        free(rt->log_folder);
        free(rt->oci_program);
        free(rt->oci_state_root);
        free(rt);
        return NULL;
}
