#include "husk-pod/status.h"

#include <stdio.h>

#include "api/resources.h"
#include "api/signal-name.h"
#include "base/str.h"

/* ---- small builders ---- */

static char *text(struct api_arena *arena, const char *s) {
        return s ? api_arena_strdup(arena, s) : NULL;
}

static V1Time *time_of(struct api_arena *arena, int64_t ns) {
        return api_time_new(arena, ns / NSEC_PER_SEC);
}

#define NEW(arena, descriptor) api_new(arena, &descriptor)
#define APPEND(arena, message, field, n_field, value) \
        *(__typeof__((message)->field))api_arena_append(arena, &(message)->field, &(message)->n_field, \
                                                        sizeof(void *)) = (value)

/* ---- container statuses ---- */

static V1ContainerStateTerminated *terminated(struct api_arena *arena, const struct termination *t) {
        V1ContainerStateTerminated *s = NEW(arena, v1_container_state_terminated__descriptor);

        s->has_exitcode = true;
        s->exitcode = t->exit_code;
        s->reason = text(arena, t->reason);
        s->message = text(arena, t->message);
        s->startedat = time_of(arena, t->started_ns);
        s->finishedat = time_of(arena, t->finished_ns);
        if (t->id)
                s->containerid = api_arena_printf(arena, "husk://%s", t->id);
        return s;
}

static V1ContainerStateWaiting *waiting(struct api_arena *arena, const char *reason, char *message) {
        V1ContainerStateWaiting *s = NEW(arena, v1_container_state_waiting__descriptor);

        s->reason = text(arena, reason);
        s->message = message;
        return s;
}

/* What stands in `reason` as long as nothing is known of a container (kubelet: the default waiting state). */
static const char *default_waiting_reason(const struct pod *pod) {
        return pod->spec->spec->n_initcontainers ? "PodInitializing" : "ContainerCreating";
}

static V1ContainerStateWaiting *waiting_for_image(const struct container *c, struct api_arena *arena) {
        const struct pull *p = pod_pull(c->pod, pod_image_needed(c));

        if (c->image_reason)
                return waiting(arena, c->image_reason, text(arena, c->image_message));
        if (!p || !p->failed)
                return NULL;
        if (!p->backoff_told)
                return waiting(arena, p->reason, text(arena, p->message));
        return waiting(arena, "ImagePullBackOff",
                       api_arena_printf(arena, "Back-off pulling image \"%s\": %s: %s", p->image, p->reason,
                                        p->message ?: ""));
}

static V1ContainerStateWaiting *waiting_for_restart(const struct container *c, struct api_arena *arena) {
        const struct pod *pod = c->pod;
        long long seconds = c->backoff.delay_ns / NSEC_PER_SEC;
        char delay[32];

        if (seconds % 60 == 0 || seconds > 60) /* Go's way to print a duration: 10s, 1m20s, 5m0s */
                snprintf(delay, sizeof(delay), "%lldm%llds", seconds / 60, seconds % 60);
        else
                snprintf(delay, sizeof(delay), "%llds", seconds);
        return waiting(arena, "CrashLoopBackOff",
                       api_arena_printf(arena, "back-off %s restarting failed container=%s pod=%s_%s(%s)", delay,
                                        c->spec->name, pod->name, pod->namespace, pod->uid));
}

/* Sets the one of the three that is right. True if the last ended run is not shown in it (and so is the last state). */
static bool fill_state(const struct container *c, V1ContainerState *state, struct api_arena *arena) {
        switch (c->state) {
        case CONTAINER_RUNNING:
        case CONTAINER_STOPPING:
                state->running = NEW(arena, v1_container_state_running__descriptor);
                state->running->startedat = time_of(arena, c->started_ns);
                return true;
        case CONTAINER_RETRY:
                state->waiting = waiting(arena, start_failure_reasons[c->failure], text(arena, c->failure_message));
                return true;
        case CONTAINER_IMAGE:
                state->waiting = waiting_for_image(c, arena);
                break;
        case CONTAINER_EXITED:
        case CONTAINER_WAITING:
                if (container_in_backoff(c) && !container_shows_held(c))
                        state->waiting = waiting_for_restart(c, arena);
                break;
        default:
                break;
        }
        if (!state->waiting && container_shows_held(c))
                state->waiting = waiting(arena, c->held_reason, text(arena, c->held_message));
        if (state->waiting)
                return true;
        /* On its way to the next run a container is still shown as it ended; reset, it is as new. */
        if (c->term.set && c->state != CONTAINER_WAITING) {
                state->terminated = terminated(arena, &c->term);
                return false;
        }
        state->waiting = waiting(arena, default_waiting_reason(c->pod), NULL);
        return true;
}

static const char *recursive_mode(const V1VolumeMount *mount) {
        if (!mount->has_readonly || !mount->readonly)
                return NULL;
        /* IfPossible always is possible: mount_setattr(AT_RECURSIVE) is older than any kernel husk runs on. */
        if (streq_ptr(mount->recursivereadonly, "Enabled") || streq_ptr(mount->recursivereadonly, "IfPossible"))
                return "Enabled";
        return "Disabled";
}

static void fill_mounts(const struct container *c, V1ContainerStatus *s, struct api_arena *arena) {
        for (size_t i = 0; i < c->spec->n_volumemounts; i++) {
                const V1VolumeMount *mount = c->spec->volumemounts[i];
                V1VolumeMountStatus *m = NEW(arena, v1_volume_mount_status__descriptor);

                m->name = text(arena, mount->name);
                m->mountpath = text(arena, mount->mountpath);
                m->has_readonly = mount->has_readonly && mount->readonly;
                m->readonly = m->has_readonly;
                m->recursivereadonly = text(arena, recursive_mode(mount));
                APPEND(arena, s, volumemounts, n_volumemounts, m);
        }
}

/* Of a run what was written to its cgroup; of one that is over what the next will get. */
static void fill_resources(const struct container *c, V1ContainerStatus *s, struct api_arena *arena) {
        const V1ResourceRequirements *granted = c->granted->resources;
        const V1ResourceRequirements *r = container_is_alive(c) ? c->resources : granted;

        if (c->role == ROLE_EPHEMERAL || !c->id)
                return;
        s->resources = r ? api_copy(arena, &r->base) : NEW(arena, v1_resource_requirements__descriptor);
        for (size_t i = 0; granted && i < granted->n_requests; i++)
                APPEND(arena, s, allocatedresources, n_allocatedresources,
                       api_copy(arena, &granted->requests[i]->base));
}

static void fill_user(const struct container *c, V1ContainerStatus *s, struct api_arena *arena) {
        V1LinuxContainerUser *user;

        if (!c->has_user)
                return;
        s->user = NEW(arena, v1_container_user__descriptor);
        user = s->user->linux = NEW(arena, v1_linux_container_user__descriptor);
        user->has_uid = user->has_gid = true;
        user->uid = c->uid;
        user->gid = c->gid;
        user->n_supplementalgroups = (size_t)c->n_groups;
        if (c->n_groups) {
                user->supplementalgroups = api_arena_alloc(arena, (size_t)c->n_groups * sizeof(int64_t));
                memcpy(user->supplementalgroups, c->groups, (size_t)c->n_groups * sizeof(int64_t));
        }
}

static bool shown_started(const struct container *c) {
        return c->state == CONTAINER_RUNNING || c->state == CONTAINER_STOPPING ? c->started : false;
}

static V1ContainerStatus *container_status(const struct container *c, struct api_arena *arena) {
        V1ContainerStatus *s = NEW(arena, v1_container_status__descriptor);
        const struct termination *last;

        s->name = text(arena, c->spec->name);
        s->state = NEW(arena, v1_container_state__descriptor);
        s->laststate = NEW(arena, v1_container_state__descriptor);
        last = fill_state(c, s->state, arena) && c->term.set ? &c->term : &c->last;
        if (last->set)
                s->laststate->terminated = terminated(arena, last);
        s->has_ready = true;
        s->ready = container_is_ready(c);
        s->has_restartcount = true;
        s->restartcount = (int32_t)c->restarts;
        s->image = text(arena, c->ran && c->image_name ? c->image_name : c->spec->image ?: "");
        s->imageid = text(arena, c->ran ? c->image_id ?: "" : "");
        if (c->id)
                s->containerid = api_arena_printf(arena, "husk://%s", c->id);
        s->has_started = c->role != ROLE_EPHEMERAL;
        s->started = shown_started(c);
        fill_mounts(c, s, arena);
        fill_resources(c, s, arena);
        fill_user(c, s, arena);
        if (c->id)
                s->stopsignal = text(arena, signal_to_name(c->stop_signal));
        return s;
}

/* ---- phase ---- */

bool status_phase_is_terminal(const char *phase) {
        return streq(phase, "Succeeded") || streq(phase, "Failed");
}

struct tally {
        int waiting, running, stopped, stopped_for_good, succeeded;
        bool init_pending, init_failed, init_failed_for_good;
};

static bool has_last(const struct container *c) {
        return c->term.set || c->last.set;
}

static bool is_shown_running(const struct container *c) {
        return c->state == CONTAINER_RUNNING || c->state == CONTAINER_STOPPING;
}

static void count_init(const struct container *c, struct tally *t) {
        if (c->role == ROLE_SIDECAR) {
                t->init_pending |= !c->pod->initialized && !(is_shown_running(c) ? c->started : has_last(c));
                return;
        }
        if (is_shown_running(c) || !c->term.set || c->state == CONTAINER_POST_START)
                t->init_pending = true;
        else if (c->state == CONTAINER_WAITING)
                t->init_pending = true; /* to be run again in a new sandbox */
        else if (c->term.exit_code != 0) {
                t->init_failed = true;
                t->init_failed_for_good |= container_is_finished(c);
        }
}

static void count_main(const struct container *c, struct tally *t) {
        if (is_shown_running(c))
                t->running++;
        else if (!has_last(c))
                t->waiting++;
        else {
                t->stopped++;
                t->stopped_for_good += container_is_finished(c);
                t->succeeded += c->state == CONTAINER_EXITED && c->term.exit_code == 0;
        }
}

static struct tally tally(const struct pod *pod) {
        struct tally t = { 0 };

        for (size_t i = 0; i < pod->n_containers; i++) {
                const struct container *c = pod->containers[i];

                if (c->role <= ROLE_SIDECAR)
                        count_init(c, &t);
                else if (c->role == ROLE_MAIN)
                        count_main(c, &t);
        }
        return t;
}

/* As a kubelet's getPhase(), from what the containers look like. `ends`: no container is started any more. */
static const char *phase_of_containers(const struct pod *pod, bool ends) {
        struct tally t = tally(pod);

        if (t.init_failed_for_good || (t.init_failed && ends))
                return "Failed";
        if (t.init_pending || t.init_failed || t.waiting)
                return "Pending";
        if (t.running)
                return "Running";
        if (!ends && t.stopped != t.stopped_for_good)
                return "Running"; /* some are being started again */
        return t.stopped == t.succeeded ? "Succeeded" : "Failed";
}

/* A pod becomes Succeeded or Failed only when nothing of it runs any more; what is on its way there keeps the phase it
 * had, whatever its containers look like. */
static const char *phase_of(const struct pod *pod) {
        const char *phase, *before = pod->phase[0] ? pod->phase : "Pending";

        if (status_phase_is_terminal(before))
                return before;
        if (pod->state < POD_RELEASING) {
                phase = phase_of_containers(pod, false);
                return status_phase_is_terminal(phase) ? before : phase;
        }
        switch (pod->cause) {
        case POD_CAUSE_REFUSED:
        case POD_CAUSE_EVICTED:
        case POD_CAUSE_DEADLINE:
                return "Failed";
        case POD_CAUSE_LOST:
                phase = phase_of_containers(pod, true);
                return status_phase_is_terminal(phase) ? phase : "Failed";
        default:
                return phase_of_containers(pod, true);
        }
}

/* ---- conditions ---- */

static const char *const owned_conditions[] = {
        "PodScheduled",     "PodReadyToStartContainers", "Initialized",      "ContainersReady",     "Ready",
        "DisruptionTarget", "AllContainersRestarting",   "PodResizePending", "PodResizeInProgress",
};

bool status_owns_condition(const char *type) {
        for (size_t i = 0; i < ARRAY_SIZE(owned_conditions); i++)
                if (streq(type, owned_conditions[i]))
                        return true;
        return false;
}

static struct condition *condition_find(struct pod *pod, const char *type) {
        for (size_t i = 0; i < pod->n_conditions; i++)
                if (streq(pod->conditions[i].type, type))
                        return &pod->conditions[i];
        return NULL;
}

static void condition_set(struct pod *pod, const char *type, bool holds, const char *reason, const char *message) {
        struct condition *c = condition_find(pod, type);
        const char *status = holds ? "True" : "False";

        if (!c) {
                pod->conditions = xreallocarray(pod->conditions, pod->n_conditions + 1, sizeof(struct condition));
                c = &pod->conditions[pod->n_conditions++];
                *c = (struct condition){ .type = xstrdup(type) };
        }
        if (!streq(c->status, status)) {
                snprintf(c->status, sizeof(c->status), "%s", status);
                c->transition_ns = pod_realtime(pod);
        }
        free(c->reason);
        free(c->message);
        c->reason = xstrdup(reason);
        c->message = xstrdup(message);
}

static void condition_drop(struct pod *pod, const char *type) {
        struct condition *c = condition_find(pod, type);

        if (!c)
                return;
        free(c->type);
        free(c->reason);
        free(c->message);
        memmove(c, c + 1, (size_t)(&pod->conditions[pod->n_conditions] - (c + 1)) * sizeof(*c));
        pod->n_conditions--;
}

/* "[a b]", as Go prints a list of names. */
static void add_name(struct strbuf *names, const char *name) {
        strbuf_addf(names, "%s%s", names->len ? " " : "[", name);
}

static void update_ready(struct pod *pod, const char *phase) {
        _cleanup_strbuf_ struct strbuf names = STRBUF_INIT, gates = STRBUF_INIT;
        _cleanup_free_ char *message = NULL;
        const V1PodSpec *spec = pod->spec->spec;

        if (status_phase_is_terminal(phase)) {
                const char *reason = streq(phase, "Failed") ? "PodFailed" : "PodCompleted";

                condition_set(pod, "Ready", false, reason, NULL);
                condition_set(pod, "ContainersReady", false, reason, NULL);
                return;
        }
        for (size_t i = 0; i < pod->n_containers; i++) {
                const struct container *c = pod->containers[i];

                if ((c->role == ROLE_SIDECAR || c->role == ROLE_MAIN) && !container_is_ready(c))
                        add_name(&names, c->spec->name);
        }
        if (names.len) {
                message = xasprintf("containers with unready status: %s]", names.data);
                condition_set(pod, "Ready", false, "ContainersNotReady", message);
                condition_set(pod, "ContainersReady", false, "ContainersNotReady", message);
                return;
        }
        for (size_t i = 0; i < spec->n_readinessgates; i++) {
                const char *type = spec->readinessgates[i]->conditiontype;
                const struct condition *c = condition_find(pod, type ?: "");

                if (c && streq(c->status, "True"))
                        continue;
                if (gates.len)
                        strbuf_adds(&gates, ", ");
                if (c)
                        strbuf_addf(&gates, "the status of pod readiness gate \"%s\" is not \"True\", but %s", type,
                                    c->status);
                else
                        strbuf_addf(&gates, "corresponding condition of pod readiness gate \"%s\" does not exist.",
                                    type ?: "");
        }
        condition_set(pod, "Ready", gates.len == 0, gates.len ? "ReadinessGatesNotReady" : NULL,
                      gates.len ? gates.data : NULL);
        condition_set(pod, "ContainersReady", true, NULL, NULL);
}

static void update_initialized(struct pod *pod, const char *phase) {
        _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
        _cleanup_free_ char *message = NULL;

        if (streq(phase, "Succeeded")) {
                condition_set(pod, "Initialized", true, "PodCompleted", NULL);
                return;
        }
        for (size_t i = 0; i < pod->n_containers; i++) {
                const struct container *c = pod->containers[i];

                if (c->role <= ROLE_SIDECAR && !container_is_initialized(c))
                        add_name(&names, c->spec->name);
        }
        /* Once initialized, a restart of everything in place does not take it back (KEP-5532). */
        if (!names.len || pod->initialized || pod->was_initialized) {
                condition_set(pod, "Initialized", true, NULL, NULL);
                return;
        }
        message = xasprintf("containers with incomplete status: %s]", names.data);
        condition_set(pod, "Initialized", false, "ContainersNotInitialized", message);
}

static void update_resize(struct pod *pod) {
        if (pod->resize_pending_message)
                condition_set(pod, "PodResizePending", true, pod->resize_pending_reason ?: "Deferred",
                              pod->resize_pending_message);
        else
                condition_drop(pod, "PodResizePending");
        if (pod->resizing)
                condition_set(pod, "PodResizeInProgress", true, pod->resize_error ? "Error" : NULL, pod->resize_error);
        else
                condition_drop(pod, "PodResizeInProgress");
}

static void update_restarting_all(struct pod *pod, const char *phase) {
        if (!restart_may_restart_everything(pod->spec->spec))
                return;
        if (status_phase_is_terminal(phase))
                condition_set(pod, "AllContainersRestarting", false,
                              streq(phase, "Failed") ? "PodFailed" : "PodCompleted", NULL);
        else if (pod->restarting_all)
                condition_set(pod, "AllContainersRestarting", true, "RestartAllContainersStarted",
                              "container exited with restart policy rule");
        else
                condition_set(pod, "AllContainersRestarting", false, NULL, NULL);
}

static void update_conditions(struct pod *pod, const char *phase) {
        if (pod->state == POD_WAITING || (!pod->scheduled && pod->cause != POD_CAUSE_REFUSED)) {
                if (pod->admission_message)
                        condition_set(pod, "PodScheduled", false,
                                      pod->spec->spec->n_schedulinggates ? "SchedulingGated" : "Unschedulable",
                                      pod->admission_message);
                return;
        }
        if (pod->cause == POD_CAUSE_REFUSED && !pod->scheduled)
                return; /* a kubelet that refuses a pod sets phase, reason and message, and no condition */
        condition_set(pod, "PodReadyToStartContainers", pod->sandbox.state == SANDBOX_UP, NULL, NULL);
        update_initialized(pod, phase);
        update_ready(pod, phase);
        condition_set(pod, "PodScheduled", true, NULL, NULL);
        update_resize(pod);
        update_restarting_all(pod, phase);
        if (pod->disrupted)
                condition_set(pod, "DisruptionTarget", true, pod->disruption_reason, pod->disruption_message);
}

/* Of a resize the generation that asked for it, however the object has changed since. */
static int64_t generation_of(const struct pod *pod, const char *type) {
        if (streq(type, "PodResizePending"))
                return pod->pending_generation;
        return streq(type, "PodResizeInProgress") ? pod->resizing_generation : pod_generation(pod);
}

static void fill_conditions(const struct pod *pod, V1PodStatus *status, struct api_arena *arena) {
        const V1ObjectMeta *meta = pod->spec->metadata;

        for (size_t i = 0; i < pod->n_conditions; i++) {
                const struct condition *c = &pod->conditions[i];
                V1PodCondition *out = NEW(arena, v1_pod_condition__descriptor);

                out->type = text(arena, c->type);
                out->status = text(arena, c->status);
                out->lasttransitiontime = c->transition_ns ? time_of(arena, c->transition_ns) : NULL;
                out->reason = text(arena, c->reason);
                out->message = text(arena, c->message);
                out->has_observedgeneration = !c->foreign && meta->has_generation;
                out->observedgeneration = generation_of(pod, c->type);
                APPEND(arena, status, conditions, n_conditions, out);
        }
}

/* ---- the rest ---- */

static void fill_addresses(const struct pod *pod, V1PodStatus *status, struct api_arena *arena) {
        for (size_t i = 0; pod->sandbox.host_ips && pod->sandbox.host_ips[i]; i++) {
                V1HostIP *ip = NEW(arena, v1_host_ip__descriptor);

                ip->ip = text(arena, pod->sandbox.host_ips[i]);
                APPEND(arena, status, hostips, n_hostips, ip);
        }
        for (size_t i = 0; pod->sandbox.ips && pod->sandbox.ips[i]; i++) {
                V1PodIP *ip = NEW(arena, v1_pod_ip__descriptor);

                ip->ip = text(arena, pod->sandbox.ips[i]);
                APPEND(arena, status, podips, n_podips, ip);
        }
        if (status->n_hostips)
                status->hostip = status->hostips[0]->ip;
        if (status->n_podips)
                status->podip = status->podips[0]->ip;
}

/* Only of a pod that has resources of its own (KEP-2837, KEP-5419). */
static void fill_pod_resources(const struct pod *pod, V1PodStatus *status, struct api_arena *arena) {
        const V1ResourceRequirements *r = pod->resources, *granted = pod_allocated(pod)->spec->resources;

        if (!r || pod->state >= POD_RELEASING)
                return;
        status->resources = api_copy(arena, &r->base);
        for (size_t i = 0; granted && i < granted->n_requests; i++)
                APPEND(arena, status, allocatedresources, n_allocatedresources,
                       api_copy(arena, &granted->requests[i]->base));
}

static void fill_containers(const struct pod *pod, V1PodStatus *status, struct api_arena *arena) {
        for (size_t i = 0; i < pod->n_containers; i++) {
                const struct container *c = pod->containers[i];
                V1ContainerStatus *s = container_status(c, arena);

                if (c->role <= ROLE_SIDECAR)
                        APPEND(arena, status, initcontainerstatuses, n_initcontainerstatuses, s);
                else if (c->role == ROLE_MAIN)
                        APPEND(arena, status, containerstatuses, n_containerstatuses, s);
                else
                        APPEND(arena, status, ephemeralcontainerstatuses, n_ephemeralcontainerstatuses, s);
        }
}

V1PodStatus *status_build(struct pod *pod, struct api_arena *arena) {
        V1PodStatus *status = NEW(arena, v1_pod_status__descriptor);
        const V1ObjectMeta *meta = pod->spec->metadata;
        const char *phase = phase_of(pod);

        update_conditions(pod, phase);
        status->has_observedgeneration = meta->has_generation;
        status->observedgeneration = meta->generation;
        status->phase = text(arena, phase);
        fill_conditions(pod, status, arena);
        if (status_phase_is_terminal(phase) || pod->disrupted) {
                status->reason = text(arena, pod->reason);
                status->message = text(arena, pod->message);
        }
        if (pod->start_ns)
                status->starttime = time_of(arena, pod->start_ns);
        if (pod->state == POD_WAITING)
                status->nominatednodename = text(arena, pod->nominated_node);
        status->qosclass = text(arena, api_pod_qos_class(pod->spec));
        if (!pod->scheduled)
                return status;
        fill_addresses(pod, status, arena);
        fill_pod_resources(pod, status, arena);
        fill_containers(pod, status, arena);
        return status;
}
