/* pod.c - the pod as an object: its states, its containers, whose turn it is, and what it tells. How it goes from state
 * to state stands in pod-step.c, what comes from outside in pod-fact.c. */
#include "husk-pod/pod-private.h"

#include <stdio.h>

#include "base/str.h"
#include "husk-pod/resize.h"

/* The states of a pod, and how it comes from one to the next:
 *
 *   WAITING ──admitted──▶ RUNNING ──sandbox died──▶ REPLACING ──all ended, sandbox removed──▶ RUNNING
 *      │                     │  ▲
 *      │                     │  └──all ended── RESTARTING ◀──a rule says RestartAllContainers── RUNNING
 *      │                     │
 *      └──deleted, refused──▶│◀── deleted, deadline, evicted, all containers done
 *                            ▼
 *                       TERMINATING ──no container left──▶ RELEASING ──sandbox removed──▶ ENDED
 */
const char *const pod_state_names[_POD_STATE_MAX] = {
        [POD_WAITING] = "Waiting",       [POD_RUNNING] = "Running",         [POD_REPLACING] = "Replacing",
        [POD_RESTARTING] = "Restarting", [POD_TERMINATING] = "Terminating", [POD_RELEASING] = "Releasing",
        [POD_ENDED] = "Ended",
};

#define TO(state) (1U << POD_##state)
static const unsigned allowed_moves[_POD_STATE_MAX] = {
        [POD_WAITING] = TO(RUNNING) | TO(TERMINATING),
        [POD_RUNNING] = TO(REPLACING) | TO(RESTARTING) | TO(TERMINATING),
        [POD_REPLACING] = TO(RUNNING) | TO(TERMINATING),
        [POD_RESTARTING] = TO(RUNNING) | TO(TERMINATING),
        [POD_TERMINATING] = TO(RELEASING),
        [POD_RELEASING] = TO(ENDED),
        [POD_ENDED] = 0,
};
#undef TO

void pod_trace(struct pod *pod, const char *format, ...) {
        _cleanup_free_ char *line = NULL;
        va_list ap;

        if (!pod->ops->trace)
                return;
        va_start(ap, format);
        line = xvasprintf(format, ap);
        va_end(ap);
        pod->ops->trace(pod->ctx, line);
}

void pod_move(struct pod *pod, enum pod_state to) {
        if (!(allowed_moves[pod->state] & (1U << to))) {
                pod_trace(pod, "pod: no way from %s to %s", pod_state_names[pod->state], pod_state_names[to]);
                abort(); /* a bug; see container_move() */
        }
        pod_trace(pod, "pod: %s -> %s", pod_state_names[pod->state], pod_state_names[to]);
        pod->state = to;
        pod->moved = true;
        pod_touch(pod);
}

int64_t pod_realtime(const struct pod *pod) {
        return pod->ops->realtime_ns(pod->ctx);
}

void pod_event_text(struct pod *pod, enum event_source source, const struct container *c, enum event_type type,
                    const char *reason, const char *message) {
        static const char *const fields[] = {
                [ROLE_INIT] = "initContainers",
                [ROLE_SIDECAR] = "initContainers",
                [ROLE_MAIN] = "containers",
                [ROLE_EPHEMERAL] = "ephemeralContainers",
        };
        _cleanup_free_ char *path = c ? xasprintf("spec.%s{%s}", fields[c->role], c->spec->name) : NULL;

        event_log_add(&pod->events, source, type, reason, path, pod->name, pod_realtime(pod), message);
}

void pod_event(struct pod *pod, const struct container *c, enum event_type type, const char *reason, const char *format,
               ...) {
        _cleanup_free_ char *message = NULL;
        va_list ap;

        va_start(ap, format);
        message = xvasprintf(format, ap);
        va_end(ap);
        pod_event_text(pod, EVENT_FROM_KUBELET, c, type, reason, message);
}

/* ---- whose turn is it ---- */

static bool all_initialized_before(const struct pod *pod, const struct container *c) {
        for (size_t i = 0; i < c->index; i++)
                if (pod->containers[i]->role <= ROLE_SIDECAR && !container_is_initialized(pod->containers[i]))
                        return false;
        return true;
}

bool pod_is_turn_of(const struct pod *pod, const struct container *c) {
        if (pod->state != POD_RUNNING || pod->sandbox.state != SANDBOX_UP || pod->volumes.state != VOLUMES_READY)
                return false;
        switch (c->role) {
        case ROLE_INIT:
                return !pod->initialized && all_initialized_before(pod, c);
        case ROLE_SIDECAR:
                return pod->initialized || all_initialized_before(pod, c);
        case ROLE_MAIN:
                return pod->initialized;
        case ROLE_EPHEMERAL:
                return !c->ran;
        }
        return false;
}

bool pod_is_turn_to_stop(const struct pod *pod, const struct container *c) {
        if (c->role != ROLE_SIDECAR)
                return true;
        for (size_t i = 0; i < pod->n_containers; i++) {
                const struct container *other = pod->containers[i];
                bool before = other->role == ROLE_MAIN || (other->role == ROLE_SIDECAR && other->index > c->index);

                if (before && container_is_busy(other))
                        return false;
        }
        return true;
}

int64_t pod_grace_ns(const struct pod *pod) {
        const V1ObjectMeta *meta = pod->spec->metadata;
        const V1PodSpec *spec = pod->spec->spec;

        if (pod->deleted && meta->has_deletiongraceperiodseconds)
                return seconds_to_ns(meta->deletiongraceperiodseconds);
        return seconds_to_ns(spec->has_terminationgraceperiodseconds ? spec->terminationgraceperiodseconds : 30);
}

/* ---- its containers ---- */

struct container *pod_container(const struct pod *pod, const char *name) {
        for (size_t i = 0; i < pod->n_containers; i++)
                if (streq(pod->containers[i]->spec->name, name))
                        return pod->containers[i];
        return NULL;
}

/* The container, if it is this attempt of it that is meant. */
struct container *pod_container_run_of(const struct pod *pod, const char *name, unsigned attempt) {
        struct container *c = pod_container(pod, name);

        return c && c->attempt == attempt ? c : NULL;
}

static void add_container(struct pod *pod, struct container *c) {
        pod->containers = xreallocarray(pod->containers, pod->n_containers + 1, sizeof(struct container *));
        c->index = pod->n_containers;
        pod->containers[pod->n_containers++] = c;
}

/* Where `spec` has the ephemeral container of this name; n_ephemeralcontainers: nowhere. */
static size_t ephemeral_place(const V1PodSpec *spec, const char *name) {
        size_t i = 0;

        while (i < spec->n_ephemeralcontainers &&
               !streq(spec->ephemeralcontainers[i]->ephemeralcontainercommon->name, name))
                i++;
        return i;
}

bool pod_keeps_containers(const V1PodSpec *before, const V1PodSpec *after) {
        if (before->n_initcontainers != after->n_initcontainers || before->n_containers != after->n_containers)
                return false;
        for (size_t i = 0; i < before->n_ephemeralcontainers; i++)
                if (ephemeral_place(after, before->ephemeralcontainers[i]->ephemeralcontainercommon->name) ==
                    after->n_ephemeralcontainers)
                        return false;
        return true;
}

static void swap_containers(struct pod *pod, size_t a, size_t b) {
        struct container *first = pod->containers[a];

        pod->containers[a] = pod->containers[b];
        pod->containers[b] = first;
        pod->containers[a]->index = a;
        pod->containers[b]->index = b;
}

/* A patch puts a new ephemeral container before those that are there: names tell who is who, not places. Those that
 * were known keep their names (pod_keeps_containers()); `fixed` containers stand before them. */
static void order_ephemeral(struct pod *pod, const V1PodSpec *spec, size_t fixed) {
        while (pod->n_containers < fixed + spec->n_ephemeralcontainers)
                add_container(pod, container_new(pod, ROLE_EPHEMERAL, NULL));
        for (size_t i = fixed; i < pod->n_containers;) {
                const V1Container *known = pod->containers[i]->spec;
                size_t place = known ? fixed + ephemeral_place(spec, known->name) : i;

                if (place == i)
                        i++;
                else
                        swap_containers(pod, i, place);
        }
}

bool pod_bind_containers(struct pod *pod) {
        const V1PodSpec *spec = pod->spec->spec, *granted = pod_allocated(pod)->spec;
        size_t n_init = spec->n_initcontainers, n_fixed = n_init + spec->n_containers, before = pod->n_containers;

        while (pod->n_containers < n_fixed) {
                enum container_role role = ROLE_MAIN;

                if (pod->n_containers < n_init)
                        role = streq_ptr(spec->initcontainers[pod->n_containers]->restartpolicy, "Always")
                                       ? ROLE_SIDECAR
                                       : ROLE_INIT;
                add_container(pod, container_new(pod, role, NULL));
        }
        order_ephemeral(pod, spec, n_fixed);
        for (size_t i = 0; i < pod->n_containers; i++) {
                struct container *c = pod->containers[i];

                if (i < n_init)
                        container_set_spec(c, spec->initcontainers[i], granted->initcontainers[i]);
                else if (i < n_fixed)
                        container_set_spec(c, spec->containers[i - n_init], granted->containers[i - n_init]);
                else
                        container_set_ephemeral_spec(c, spec->ephemeralcontainers[i - n_fixed]);
        }
        return pod->n_containers > before;
}

/* ---- the object ---- */

struct pod *pod_new(const struct pod_ops *ops, void *ctx, const V1Pod *spec) {
        struct pod *pod = new0(struct pod);

        pod->ops = ops;
        pod->ctx = ctx;
        pod->spec = spec;
        pod->uid = xstrdup(spec->metadata->uid ?: "");
        pod->name = xstrdup(spec->metadata->name ?: "");
        pod->namespace = xstrdup(spec->metadata->namespace_ ?: "default");
        pod->node = xstrdup(spec->spec->nodename);
        pod->deleted = spec->metadata->deletiontimestamp != NULL;
        pod->ask_admission = true;
        pod->wake_ns = INT64_MAX;
        pod_touch(pod);
        pod_bind_containers(pod);
        return pod;
}

static void condition_release(struct condition *c) {
        free(c->type);
        free(c->reason);
        free(c->message);
}

struct pod *pod_free(struct pod *pod) {
        if (!pod)
                return NULL;
        for (size_t i = 0; i < pod->n_containers; i++)
                container_free(pod->containers[i]);
        free(pod->containers);
        for (size_t i = 0; i < pod->n_pulls; i++)
                pull_free(pod->pulls[i]);
        free(pod->pulls);
        for (size_t i = 0; i < pod->n_conditions; i++)
                condition_release(&pod->conditions[i]);
        free(pod->conditions);
        for (size_t i = 0; i < pod->n_effects; i++)
                effect_release(&pod->effects[i]);
        free(pod->effects);
        event_log_release(&pod->events);
        strv_free(pod->sandbox.ips);
        strv_free(pod->sandbox.host_ips);
        api_arena_free(pod->status_arena);
        free(pod->uid);
        free(pod->name);
        free(pod->namespace);
        free(pod->node);
        free(pod->reason);
        free(pod->message);
        free(pod->disruption_reason);
        free(pod->disruption_message);
        free(pod->admission_message);
        free(pod->nominated_node);
        free(pod->resize_pending_reason);
        free(pod->resize_pending_message);
        free(pod->resize_error);
        api_arena_free(pod->resources_arena);
        api_arena_free(pod->allocated_arena);
        api_arena_free(pod->node_arena);
        free(pod);
        return NULL;
}

const V1PodStatus *pod_status(const struct pod *pod) {
        return pod->status;
}
