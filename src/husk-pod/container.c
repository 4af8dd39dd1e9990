/* container.c - a container as an object: its states, what can be asked about it, and what it does while it runs. */
#include "husk-pod/container-private.h"

#include "base/str.h"
#include "husk-pod/resize.h"

const char *const container_state_names[_CONTAINER_STATE_MAX] = {
        [CONTAINER_WAITING] = "Waiting",   [CONTAINER_IMAGE] = "Image",          [CONTAINER_STARTING] = "Starting",
        [CONTAINER_RETRY] = "Retry",       [CONTAINER_POST_START] = "PostStart", [CONTAINER_RUNNING] = "Running",
        [CONTAINER_STOPPING] = "Stopping", [CONTAINER_EXITED] = "Exited",
};

const char *const start_failure_reasons[_START_FAILURE_MAX] = {
        [START_CONFIG_ERROR] = "CreateContainerConfigError",
        [START_CREATE_ERROR] = "CreateContainerError",
        [START_START_ERROR] = "StartError",
        [START_RUN_ERROR] = "RunContainerError",
};

#define TO(state) (1U << CONTAINER_##state)
static const unsigned allowed_moves[_CONTAINER_STATE_MAX] = {
        [CONTAINER_WAITING] = TO(IMAGE),
        [CONTAINER_IMAGE] = TO(STARTING) | TO(WAITING) | TO(EXITED),
        [CONTAINER_STARTING] = TO(POST_START) | TO(RUNNING) | TO(RETRY) | TO(EXITED) | TO(WAITING),
        [CONTAINER_RETRY] = TO(IMAGE) | TO(WAITING) | TO(EXITED),
        [CONTAINER_POST_START] = TO(RUNNING) | TO(STOPPING) | TO(EXITED),
        [CONTAINER_RUNNING] = TO(STOPPING) | TO(EXITED),
        [CONTAINER_STOPPING] = TO(EXITED),
        [CONTAINER_EXITED] = TO(IMAGE) | TO(WAITING),
};
#undef TO

void container_move(struct container *c, enum container_state to) {
        if (!(allowed_moves[c->state] & (1U << to))) {
                /* A bug. Going on from a state nobody thought of could run a container twice; a successor starts over
                 * from what is saved. */
                pod_trace(c->pod, "container %s: no way from %s to %s", c->spec->name, container_state_names[c->state],
                          container_state_names[to]);
                abort();
        }
        pod_trace(c->pod, "container %s: %s -> %s", c->spec->name, container_state_names[c->state],
                  container_state_names[to]);
        c->state = to;
        c->pod->moved = true;
        pod_touch(c->pod);
}

void termination_release(struct termination *t) {
        free(t->reason);
        free(t->message);
        free(t->id);
        *t = (struct termination){ 0 };
}

/* ---- the object ---- */

void container_set_spec(struct container *c, const V1Container *spec, const V1Container *granted) {
        c->spec = spec;
        c->granted = granted;
        c->startup.spec = spec->startupprobe;
        c->liveness.spec = spec->livenessprobe;
        c->readiness.spec = spec->readinessprobe;
}

/* The common part of an ephemeral container has the fields of V1Container one by one; so it can be looked at as one. */
_Static_assert(sizeof(V1Container) == sizeof(V1EphemeralContainerCommon), "ephemeral containers differ in shape");
_Static_assert(offsetof(V1Container, tty) == offsetof(V1EphemeralContainerCommon, tty), "fields in another order");
_Static_assert(offsetof(V1Container, env) == offsetof(V1EphemeralContainerCommon, env), "fields in another order");

void container_set_ephemeral_spec(struct container *c, const V1EphemeralContainer *spec) {
        memcpy(&c->common, spec->ephemeralcontainercommon, sizeof(c->common));
        c->common.base.descriptor = &v1_container__descriptor;
        c->target = str_empty(spec->targetcontainername) ? NULL : spec->targetcontainername;
        container_set_spec(c, &c->common, &c->common);
}

struct container *container_new(struct pod *pod, enum container_role role, const V1Container *spec) {
        struct container *c = new0(struct container);

        c->pod = pod;
        c->role = role;
        c->startup.kind = RUN_STARTUP_PROBE;
        c->liveness.kind = RUN_LIVENESS_PROBE;
        c->readiness.kind = RUN_READINESS_PROBE;
        c->post_start.kind = RUN_POST_START;
        c->pre_stop.kind = RUN_PRE_STOP;
        if (spec)
                container_set_spec(c, spec, spec);
        return c;
}

struct container *container_free(struct container *c) {
        if (!c)
                return NULL;
        termination_release(&c->term);
        termination_release(&c->last);
        free(c->image);
        free(c->image_id);
        free(c->image_name);
        free(c->image_reason);
        free(c->image_message);
        free(c->id);
        free(c->groups);
        free(c->failure_message);
        free(c->held_reason);
        free(c->held_message);
        free(c->hook_message);
        api_arena_free(c->resources_arena);
        free(c);
        return NULL;
}

void container_describe_run(const struct container *c, struct container_run *ret) {
        *ret = (struct container_run){
                .name = c->spec->name,
                .role = c->role,
                .spec = c->granted,
                .target = c->target,
                .image_id = c->image_id,
                .attempt = c->attempt,
                .sandbox = c->pod->sandbox.attempt,
        };
}

/* ---- looking ---- */

bool container_is_alive(const struct container *c) {
        return c->state == CONTAINER_POST_START || c->state == CONTAINER_RUNNING || c->state == CONTAINER_STOPPING;
}

bool container_is_busy(const struct container *c) {
        return c->state == CONTAINER_STARTING || container_is_alive(c);
}

bool container_wants_restart(const struct container *c) {
        return c->restart_forced || c->verdict == RESTART_YES;
}

bool container_is_finished(const struct container *c) {
        return c->state == CONTAINER_EXITED && !c->restart_forced && c->verdict == RESTART_NO;
}

bool container_is_initialized(const struct container *c) {
        if (c->role == ROLE_SIDECAR)
                return c->has_been_started;
        return container_is_finished(c) && c->term.exit_code == 0;
}

bool container_is_ready(const struct container *c) {
        if (c->role == ROLE_EPHEMERAL)
                return false;
        if (c->role == ROLE_INIT)
                return c->state == CONTAINER_EXITED && c->term.exit_code == 0;
        if (c->state != CONTAINER_RUNNING && c->state != CONTAINER_STOPPING)
                return false;
        return c->started && (!c->readiness.spec || c->readiness.value == PROBE_SUCCESS);
}

int64_t container_restart_ns(const struct container *c) {
        return backoff_ready_at(&c->backoff, c->ended_monotonic_ns);
}

bool container_shows_held(const struct container *c) {
        if (!c->held_reason || c->pod->state != POD_RUNNING)
                return false;
        if (c->state == CONTAINER_EXITED)
                return container_wants_restart(c);
        return c->state == CONTAINER_IMAGE || c->state == CONTAINER_STARTING || c->state == CONTAINER_POST_START;
}

bool container_in_backoff(const struct container *c) {
        if (c->pod->state != POD_RUNNING || !c->ran || c->pod->now_ns >= container_restart_ns(c))
                return false;
        if (c->state == CONTAINER_WAITING)
                return pod_is_turn_of(c->pod, c);
        return c->state == CONTAINER_EXITED && container_wants_restart(c);
}

/* ---- stepping ---- */

void container_forget_start(struct container *c) {
        if (c->state == CONTAINER_STARTING)
                container_move(c, CONTAINER_WAITING);
}

void container_reset(struct container *c) {
        c->has_been_started = false;
        if (c->state == CONTAINER_IMAGE || c->state == CONTAINER_RETRY || c->state == CONTAINER_EXITED)
                container_move(c, CONTAINER_WAITING);
}

static void step_started(struct container *c) {
        if (c->started || (c->startup.spec && c->startup.value != PROBE_SUCCESS))
                return;
        c->started = true;
        c->has_been_started = true;
        c->pod->moved = true;
        pod_touch(c->pod);
}

static void step_running(struct container *c) {
        struct pod *pod = c->pod;

        step_started(c);
        if (c->role == ROLE_INIT || c->role == ROLE_EPHEMERAL)
                return;
        if (pod->state == POD_RUNNING && !streq_ptr(c->image, c->spec->image ?: "")) {
                container_stop(c, STOP_CHANGED, pod_grace_ns(pod));
                return;
        }
        if (c->liveness.value == PROBE_FAILURE) {
                container_stop(c, STOP_LIVENESS, pod_grace_ns(pod));
                return;
        }
        if (c->startup.value == PROBE_FAILURE) {
                container_stop(c, STOP_STARTUP, pod_grace_ns(pod));
                return;
        }
        if (!c->started) {
                container_step_probe(c, &c->startup);
                return;
        }
        container_step_probe(c, &c->liveness);
        container_step_probe(c, &c->readiness);
        if (pod->state == POD_RUNNING && resize_needs_restart(c))
                container_stop(c, STOP_RESIZE, pod_grace_ns(pod));
}

void container_step(struct container *c) {
        static void (*const steps[_CONTAINER_STATE_MAX])(struct container *) = {
                [CONTAINER_WAITING] = container_step_waiting, [CONTAINER_IMAGE] = container_step_image,
                [CONTAINER_RETRY] = container_step_retry,     [CONTAINER_POST_START] = container_step_post_start,
                [CONTAINER_RUNNING] = step_running,           [CONTAINER_STOPPING] = container_step_stopping,
                [CONTAINER_EXITED] = container_step_exited,
        };
        if (steps[c->state])
                steps[c->state](c);
}
