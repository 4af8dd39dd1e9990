#include "husk-pod/pod-private.h"

#include "base/str.h"
#include "husk-pod/resize.h"

/* Given to a container even if hooks or other containers used up its grace period (kubelet:
 * minimumGracePeriodInSeconds; the documented "one-off grace period extension of 2 seconds"). */
#define MINIMUM_GRACE_NS (2 * NSEC_PER_SEC)
#define CREATE_RETRY_NS (10 * NSEC_PER_SEC)
/* How long the status says why a run did not come up before it says CrashLoopBackOff: a kubelet looks again after that
 * time, finds the back-off and says so from then on. */
#define HELD_SHOWN_NS (10 * NSEC_PER_SEC)
#define KILL_AGAIN_NS (1 * NSEC_PER_SEC)
#define KILL_AGAIN_MAX_NS (60 * NSEC_PER_SEC)

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

static void container_move(struct container *c, enum container_state to) {
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

static bool container_wants_restart(const struct container *c) {
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

/* ---- probes and hooks ---- */

static void cancel_run(struct container *c, enum run_kind kind, uint64_t *id) {
        if (!*id)
                return;
        pod_effect_run(c->pod, EFFECT_RUN_CANCEL, c, kind, *id);
        *id = 0;
}

static void cancel_probe(struct container *c, struct probe *p) {
        cancel_run(c, p->kind, &p->run_id);
}

static void cancel_hook(struct container *c, struct hook *h) {
        cancel_run(c, h->kind, &h->run_id);
        h->state = HOOK_IDLE;
}

static void cancel_everything(struct container *c) {
        cancel_probe(c, &c->startup);
        cancel_probe(c, &c->liveness);
        cancel_probe(c, &c->readiness);
        cancel_hook(c, &c->post_start);
        cancel_hook(c, &c->pre_stop);
}

static void begin_hook(struct container *c, struct hook *h, const V1LifecycleHandler *spec) {
        uint64_t id = ++c->pod->next_run_id;

        if (hook_begin(h, spec, id, c->pod->now_ns))
                pod_effect_run(c->pod, EFFECT_RUN_START, c, h->kind, id);
        pod_touch(c->pod);
}

static void step_probe(struct container *c, struct probe *p) {
        struct pod *pod = c->pod;

        if (!p->spec)
                return;
        probe_schedule(p, c->started_monotonic_ns, pod->now_ns);
        if (probe_is_due(p, pod->now_ns)) {
                p->run_id = ++pod->next_run_id;
                pod_effect_run(pod, EFFECT_RUN_START, c, p->kind, p->run_id);
        } else if (!p->run_id && (p->kind == RUN_READINESS_PROBE || p->value != PROBE_FAILURE))
                pod_wake(pod, p->next_ns);
}

static void step_started(struct container *c) {
        if (c->started || (c->startup.spec && c->startup.value != PROBE_SUCCESS))
                return;
        c->started = true;
        c->has_been_started = true;
        c->pod->moved = true;
        pod_touch(c->pod);
}

bool container_has_run(const struct container *c, uint64_t id) {
        return id && (c->startup.run_id == id || c->liveness.run_id == id || c->readiness.run_id == id ||
                      c->post_start.run_id == id || c->pre_stop.run_id == id);
}

static void probe_event(struct container *c, const struct probe *p, enum run_result result, const char *output) {
        const char *word = probe_kind_word(p->kind);

        switch (result) {
        case RUN_SUCCESS:
                break;
        case RUN_WARNING:
                pod_event(c->pod, c, EVENT_WARNING, "ProbeWarning", "%s probe warning: %s", word, output);
                break;
        case RUN_FAILURE:
                pod_event(c->pod, c, EVENT_WARNING, "Unhealthy", "%s probe failed: %s", word, output);
                break;
        case RUN_ERROR:
                pod_event(c->pod, c, EVENT_WARNING, "Unhealthy", "%s probe errored and resulted in unknown state: %s",
                          word, output);
                break;
        }
}

static void probe_done(struct container *c, struct probe *p, enum run_result result, const char *output) {
        struct probe before = *p;

        probe_event(c, p, result, output);
        if (probe_answered(p, result, c->pod->now_ns))
                pod_touch(c->pod);
        if (p->last != before.last || p->in_a_row != before.in_a_row)
                c->pod->state_dirty = true;
}

void container_run_done(struct container *c, uint64_t id, enum run_result result, const char *output) {
        struct probe *const probes[] = { &c->startup, &c->liveness, &c->readiness };
        struct hook *const hooks[] = { &c->post_start, &c->pre_stop };

        for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
                if (probes[i]->run_id == id)
                        probe_done(c, probes[i], result, output ?: "");
        for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
                if (hooks[i]->run_id == id) {
                        if (hooks[i] == &c->post_start)
                                str_replace(&c->hook_message, output);
                        hook_answered(hooks[i], result);
                        pod_touch(c->pod);
                }
}

/* ---- starting ---- */

static void enter_image(struct container *c) {
        str_replace(&c->image, c->spec->image ?: "");
        str_replace(&c->image_reason, NULL);
        str_replace(&c->image_message, NULL);
        c->image_at = 0;
        c->image_looked = false;
        c->image_asked = false;
        c->image_ready = false;
        if (c->state != CONTAINER_IMAGE)
                container_move(c, CONTAINER_IMAGE);
        else
                pod_touch(c->pod);
}

/* It is not its turn any more. In a pod that ends it goes on being shown as what it was. */
static void withdraw(struct container *c) {
        bool ends = c->pod->state >= POD_TERMINATING && c->ran && c->term.set;

        container_move(c, ends ? CONTAINER_EXITED : CONTAINER_WAITING);
}

static void hold(struct container *c, const char *reason, const char *message) {
        str_replace(&c->held_reason, reason);
        str_replace(&c->held_message, message);
        pod_touch(c->pod);
}

static void forget_held(struct container *c) {
        if (c->held_reason)
                hold(c, NULL, NULL);
}

/* True while its back-off goes on; tells so once. */
static bool wait_for_backoff(struct container *c) {
        struct pod *pod = c->pod;
        int64_t at_ns = container_restart_ns(c);

        if (pod->now_ns >= at_ns)
                return false;
        if (!c->backoff_told) {
                c->backoff_told = true;
                pod_event(pod, c, EVENT_WARNING, "BackOff", "Back-off restarting failed container %s in pod %s_%s(%s)",
                          c->spec->name, pod->name, pod->namespace, pod->uid);
                pod_touch(pod);
        }
        if (c->held_reason && pod->now_ns >= c->ended_monotonic_ns + HELD_SHOWN_NS)
                forget_held(c);
        if (c->held_reason)
                pod_wake(pod, c->ended_monotonic_ns + HELD_SHOWN_NS);
        pod_wake(pod, at_ns);
        return true;
}

/* A container of an earlier sandbox, or of before RestartAllContainers, still owes its back-off: a pod whose containers
 * keep ending it all must not spin. */
static void step_waiting(struct container *c) {
        if (pod_is_turn_of(c->pod, c) && !(c->ran && wait_for_backoff(c)))
                enter_image(c);
}

static void begin_start(struct container *c) {
        c->attempt = c->ran ? c->restarts + 1 : 0;
        if (c->backoff_due)
                backoff_advance(&c->backoff, c->ended_monotonic_ns, c->pod->now_ns);
        c->backoff_due = false;
        c->has_user = false;
        resize_remember(c);
        container_move(c, CONTAINER_STARTING);
        pod_effect(c->pod, EFFECT_CONTAINER_START, c);
}

static void step_image(struct container *c) {
        if (!pod_is_turn_of(c->pod, c)) {
                withdraw(c);
                return;
        }
        if (!streq_ptr(c->image, c->spec->image ?: ""))
                enter_image(c);
        if (pod_ensure_image(c->pod, c))
                begin_start(c);
}

static void step_retry(struct container *c) {
        if (!pod_is_turn_of(c->pod, c))
                withdraw(c);
        else if (c->pod->now_ns >= c->retry_ns)
                enter_image(c);
        else
                pod_wake(c->pod, c->retry_ns);
}

/* A run has come into being, alive or dead at once. */
static void begin_run(struct container *c) {
        if (c->term.set) {
                termination_release(&c->last);
                c->last = c->term;
                c->term = (struct termination){ 0 };
        }
        c->ran = true;
        c->restarts = c->attempt;
        c->started = false;
        c->verdict = RESTART_NO;
        c->restart_forced = false;
        c->restart_all_seen = false;
        c->backoff_told = false;
        c->backoff.updated_ns = c->pod->now_ns; /* the ten minutes that end a series are minutes of running */
        str_replace(&c->hook_message, NULL);
        str_replace(&c->id, NULL);
        str_replace(&c->failure_message, NULL);
        c->pid = 0;
        c->pid_start_time = 0;
        c->started_ns = 0;
        c->started_monotonic_ns = 0;
        probe_reset(&c->startup);
        probe_reset(&c->liveness);
        probe_reset(&c->readiness);
        c->post_start.state = HOOK_IDLE;
        c->pre_stop.state = HOOK_IDLE;
}

static void take_started(struct container *c, const struct container_started *s) {
        str_replace(&c->id, s->id);
        c->pid = s->pid;
        c->pid_start_time = s->pid_start_time;
        c->started_ns = s->realtime_ns;
        c->started_monotonic_ns = s->monotonic_ns ?: c->pod->now_ns;
        c->has_user = s->n_groups >= 0;
        c->uid = s->uid;
        c->gid = s->gid;
        free(TAKE_PTR(c->groups));
        c->n_groups = MAX(s->n_groups, 0);
        c->stop_signal = s->stop_signal;
        if (c->n_groups)
                c->groups = xmemdup(s->groups, (size_t)c->n_groups * sizeof(int64_t));
}

static const V1LifecycleHandler *hook_spec(const struct container *c, enum run_kind kind) {
        if (!c->spec->lifecycle || c->role == ROLE_EPHEMERAL)
                return NULL;
        return kind == RUN_POST_START ? c->spec->lifecycle->poststart : c->spec->lifecycle->prestop;
}

void container_started(struct container *c, const struct container_started *started) {
        if (c->state == CONTAINER_EXITED && !c->id)
                /* It ended so fast that its exit overtook this: the ID is still worth having. */
                str_replace(&c->id, started->id);
        if (c->state != CONTAINER_STARTING)
                return;
        begin_run(c);
        take_started(c, started);
        pod_event(c->pod, c, EVENT_NORMAL, "Created", "Container created");
        pod_event(c->pod, c, EVENT_NORMAL, "Started", "Container started");
        if (!hook_spec(c, RUN_POST_START))
                forget_held(c);
        container_move(c, hook_spec(c, RUN_POST_START) ? CONTAINER_POST_START : CONTAINER_RUNNING);
}

/* "[sh -c x]", as Go prints a list. */
static void add_command(struct strbuf *b, const V1ExecAction *exec) {
        for (size_t i = 0; i < exec->n_command; i++)
                strbuf_addf(b, "%s%s", i ? " " : "[", exec->command[i]);
        strbuf_adds(b, exec->n_command ? "]" : "[]");
}

/* The hook's words stay out of the event, but not out of the status, as in a kubelet: who may read events may not be
 * allowed to read the pod. */
static void hold_for_hook(struct container *c) {
        const V1LifecycleHandler *hook = hook_spec(c, RUN_POST_START);
        const struct pod *pod = c->pod;
        _cleanup_strbuf_ struct strbuf message = STRBUF_INIT;

        if (hook->exec) {
                strbuf_adds(&message, "Exec lifecycle hook (");
                add_command(&message, hook->exec);
                strbuf_adds(&message, ")");
        } else if (hook->httpget)
                strbuf_addf(&message, "HTTP lifecycle hook (%s)", hook->httpget->path ?: "");
        else
                strbuf_adds(&message, "Lifecycle hook without a usable action");
        strbuf_addf(&message, " for Container \"%s\" in Pod \"%s_%s(%s)\" failed", c->spec->name, pod->name,
                    pod->namespace, pod->uid);
        if (!str_empty(c->hook_message))
                strbuf_addf(&message, " - error: %s", c->hook_message);
        hold(c, "PostStartHookError", strbuf_str(&message));
}

static void step_post_start(struct container *c) {
        struct hook *h = &c->post_start;

        if (h->state == HOOK_IDLE)
                begin_hook(c, h, hook_spec(c, RUN_POST_START));
        hook_step(h, c->pod->now_ns);
        if (h->state == HOOK_RUNNING) {
                if (!h->run_id)
                        pod_wake(c->pod, h->wake_up_ns);
        } else if (h->state == HOOK_SUCCEEDED) {
                forget_held(c);
                container_move(c, CONTAINER_RUNNING);
        } else {
                hold_for_hook(c);
                pod_event(c->pod, c, EVENT_WARNING, "FailedPostStartHook", "PostStartHook failed");
                container_stop(c, STOP_HOOK, pod_grace_ns(c->pod));
        }
}

/* ---- running ---- */

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
                step_probe(c, &c->startup);
                return;
        }
        step_probe(c, &c->liveness);
        step_probe(c, &c->readiness);
        if (pod->state == POD_RUNNING && resize_needs_restart(c))
                container_stop(c, STOP_CHANGED, pod_grace_ns(pod));
}

/* ---- stopping ---- */

static void kill_now(struct container *c) {
        c->stop_step = STOP_STEP_KILLED;
        c->kill_interval_ns = MIN(c->kill_interval_ns ? 2 * c->kill_interval_ns : KILL_AGAIN_NS, KILL_AGAIN_MAX_NS);
        c->kill_ns = c->pod->now_ns + c->kill_interval_ns;
        pod_effect(c->pod, EFFECT_CONTAINER_KILL, c);
        pod_touch(c->pod);
}

static void ask_to_stop(struct container *c) {
        c->stop_step = STOP_STEP_ASKED;
        c->kill_ns = c->stop_deadline_ns;
        if (c->stop_delayed)
                c->kill_ns = MAX(c->kill_ns, c->pod->now_ns + MINIMUM_GRACE_NS);
        pod_effect(c->pod, EFFECT_CONTAINER_ASK, c);
        pod_touch(c->pod);
}

static void step_pre_stop(struct container *c) {
        struct pod *pod = c->pod;
        struct hook *h = &c->pre_stop;

        if (h->state == HOOK_IDLE) /* restored in the middle of it: hooks are delivered at least once */
                begin_hook(c, h, hook_spec(c, RUN_PRE_STOP));
        hook_step(h, pod->now_ns);
        if (h->state == HOOK_RUNNING && pod->now_ns < c->stop_deadline_ns) {
                pod_wake(pod, c->stop_deadline_ns);
                if (!h->run_id)
                        pod_wake(pod, h->wake_up_ns);
                return;
        }
        if (h->state == HOOK_FAILED)
                pod_event(pod, c, EVENT_WARNING, "FailedPreStopHook", "PreStopHook failed");
        cancel_hook(c, h);
        c->stop_step = STOP_STEP_TURN;
        pod_touch(pod);
}

static void step_stopping(struct container *c) {
        struct pod *pod = c->pod;

        if (c->started)
                step_probe(c, &c->readiness);
        if (c->stop_step == STOP_STEP_PRE_STOP)
                step_pre_stop(c);
        if (c->stop_step == STOP_STEP_TURN) {
                if (c->stop_cause == STOP_POD && pod->now_ns < c->stop_deadline_ns && !pod_is_turn_to_stop(pod, c)) {
                        c->stop_delayed = true;
                        pod_wake(pod, c->stop_deadline_ns);
                } else
                        ask_to_stop(c);
        }
        if (c->stop_step == STOP_STEP_ASKED || c->stop_step == STOP_STEP_KILLED) {
                if (pod->now_ns >= c->kill_ns)
                        kill_now(c);
                pod_wake(pod, c->kill_ns);
        }
}

/* A probe may bring its own grace period; a deletion's own comes first (pod_grace_ns() has seen to that). */
static int64_t grace_of_probe(const struct container *c, const V1Probe *probe, int64_t grace_ns) {
        if (c->pod->deleted || !probe || !probe->has_terminationgraceperiodseconds)
                return grace_ns;
        return seconds_to_ns(probe->terminationgraceperiodseconds);
}

static void killing_event(struct container *c, enum stop_cause cause) {
        const char *again = restart_after_probe(c->pod->spec->spec, c->spec, c->role) ? ", will be restarted" : "";
        const char *name = c->spec->name;

        switch (cause) {
        case STOP_LIVENESS:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "Container %s failed liveness probe%s", name, again);
                return;
        case STOP_STARTUP:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "Container %s failed startup probe%s", name, again);
                return;
        case STOP_HOOK:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "FailedPostStartHook");
                return;
        case STOP_CHANGED:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "Container %s definition changed, will be restarted",
                          name);
                return;
        default:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "Stopping container %s", name);
        }
}

/* It is being stopped already: the shorter grace wins. */
static void shorten_stop(struct container *c, enum stop_cause cause, int64_t grace_ns) {
        int64_t deadline_ns = c->pod->now_ns + grace_ns;

        if (cause == STOP_RESTART_ALL || cause == STOP_POD)
                c->stop_cause = cause;
        if (deadline_ns >= c->stop_deadline_ns && grace_ns > 0)
                return;
        c->stop_deadline_ns = MIN(c->stop_deadline_ns, deadline_ns);
        pod_touch(c->pod);
        if (c->stop_step == STOP_STEP_KILLED)
                return;
        if (grace_ns == 0) {
                cancel_hook(c, &c->pre_stop);
                kill_now(c);
        } else if (c->stop_step == STOP_STEP_ASKED)
                c->kill_ns = MIN(c->kill_ns, deadline_ns);
}

void container_stop(struct container *c, enum stop_cause cause, int64_t grace_ns) {
        const V1LifecycleHandler *hook = hook_spec(c, RUN_PRE_STOP);

        if (cause == STOP_LIVENESS)
                grace_ns = grace_of_probe(c, c->liveness.spec, grace_ns);
        if (cause == STOP_STARTUP)
                grace_ns = grace_of_probe(c, c->startup.spec, grace_ns);
        grace_ns = MAX(grace_ns, 0);
        if (c->state == CONTAINER_STOPPING) {
                /* It was to end with its sandbox, and now the pod ends, with more grace: it waits for the mains. */
                if (c->role == ROLE_SIDECAR && c->pod->state == POD_TERMINATING && c->stop_step <= STOP_STEP_TURN)
                        c->stop_deadline_ns = MAX(c->stop_deadline_ns, c->pod->stop_deadline_ns);
                shorten_stop(c, cause, grace_ns);
                return;
        }
        if (!container_is_alive(c))
                return;

        cancel_probe(c, &c->startup);
        cancel_probe(c, &c->liveness);
        cancel_hook(c, &c->post_start);
        killing_event(c, cause);
        container_move(c, CONTAINER_STOPPING);
        c->stop_cause = cause;
        c->stop_delayed = false;
        c->kill_interval_ns = 0;
        c->stop_deadline_ns = c->pod->now_ns + grace_ns;
        if (grace_ns == 0) /* "stop immediately via the kill signal", no opportunity to shut down */
                kill_now(c);
        else if (hook) {
                c->stop_step = STOP_STEP_PRE_STOP;
                c->stop_delayed = true;
                begin_hook(c, &c->pre_stop, hook);
        } else
                c->stop_step = STOP_STEP_TURN;
}

/* ---- ended ---- */

static const char *exit_reason(const struct container *c, const struct container_exit *end) {
        if (c->state == CONTAINER_STOPPING && c->stop_cause == STOP_RESTART_ALL)
                return "RestartingAllContainers";
        if (end->oom_killed)
                return "OOMKilled";
        return end->exit_code == 0 ? "Completed" : "Error";
}

static enum restart_verdict verdict_of(const struct container *c, int exit_code) {
        const V1PodSpec *pod = c->pod->spec->spec;
        enum restart_verdict verdict = restart_decide(pod, c->spec, c->role, exit_code);

        /* Killed for a failed probe it comes back even after exit code 0, unless the policy is Never. */
        if (verdict == RESTART_NO && c->state == CONTAINER_STOPPING &&
            (c->stop_cause == STOP_LIVENESS || c->stop_cause == STOP_STARTUP) &&
            restart_after_probe(pod, c->spec, c->role))
                return RESTART_YES;
        return verdict;
}

/* The run is over, however it came to that; the termination has been filled in. */
static void end_run(struct container *c, int64_t ended_monotonic_ns) {
        cancel_everything(c);
        c->verdict = verdict_of(c, c->term.exit_code);
        c->restart_forced = c->state == CONTAINER_STOPPING && c->stop_cause == STOP_CHANGED;
        c->ended_monotonic_ns = ended_monotonic_ns ? MIN(ended_monotonic_ns, c->pod->now_ns) : c->pod->now_ns;
        c->backoff_due = true;
        c->started = false;
        c->pid = 0;
        c->pid_start_time = 0;
        container_move(c, CONTAINER_EXITED);
        pod_effect(c->pod, EFFECT_CONTAINER_REMOVE, c);
}

void container_exited(struct container *c, const struct container_exit *end) {
        if (!container_is_busy(c))
                return;
        if (c->state == CONTAINER_STARTING)
                begin_run(c);
        termination_release(&c->term);
        c->term = (struct termination){
                .set = true,
                .exit_code = end->exit_code,
                .reason = xstrdup(exit_reason(c, end)),
                .message = str_empty(end->message) ? NULL : xstrdup(end->message),
                .id = xstrdup(c->id),
                .started_ns = end->started_at_ns ?: c->started_ns ?: end->finished_at_ns,
                .finished_ns = end->finished_at_ns,
        };
        end_run(c, end->finished_monotonic_ns);
}

void container_lost(struct container *c) {
        if (!container_is_alive(c))
                return;
        termination_release(&c->term);
        c->term = (struct termination){
                .set = true,
                .exit_code = 137,
                .reason = xstrdup("ContainerStatusUnknown"),
                .message = xstrdup("The container could not be located when the pod was terminated"),
                .id = xstrdup(c->id),
                .started_ns = c->started_ns,
                .finished_ns = pod_realtime(c->pod),
        };
        end_run(c, 0);
}

void container_forget_start(struct container *c) {
        if (c->state == CONTAINER_STARTING)
                container_move(c, CONTAINER_WAITING);
}

/* The program could not be executed: a finished run, as containerd reports it (TRAPS 4). */
static void start_error(struct container *c, const char *message, const char *id) {
        begin_run(c);
        hold(c, start_failure_reasons[START_RUN_ERROR], message);
        str_replace(&c->id, id);
        c->term = (struct termination){
                .set = true,
                .exit_code = 128,
                .reason = xstrdup("StartError"),
                .message = xstrdup(message),
                .id = xstrdup(id),
                .started_ns = 0, /* 1970-01-01T00:00:00Z: it never started */
                .finished_ns = pod_realtime(c->pod),
        };
        end_run(c, 0);
}

void container_start_failed(struct container *c, enum start_failure failure, const char *message, const char *id) {
        if (c->state != CONTAINER_STARTING)
                return;
        pod_event(c->pod, c, EVENT_WARNING, "Failed", "Error: %s", message);
        if (failure == START_START_ERROR || failure == START_RUN_ERROR) {
                start_error(c, message, id);
                return;
        }
        c->failure = failure;
        str_replace(&c->failure_message, message);
        c->retry_ns = c->pod->now_ns + CREATE_RETRY_NS;
        container_move(c, CONTAINER_RETRY);
}

static void step_exited(struct container *c) {
        struct pod *pod = c->pod;

        if (pod->state != POD_RUNNING || !container_wants_restart(c))
                return;
        if (!streq_ptr(c->image, c->spec->image ?: ""))
                c->backoff = (struct backoff){ 0 }; /* a kubelet's back-off belongs to the definition */
        if (!wait_for_backoff(c) && pod_is_turn_of(pod, c))
                enter_image(c);
}

void container_reset(struct container *c) {
        c->has_been_started = false;
        if (c->state == CONTAINER_IMAGE || c->state == CONTAINER_RETRY || c->state == CONTAINER_EXITED)
                container_move(c, CONTAINER_WAITING);
}

void container_step(struct container *c) {
        static void (*const steps[_CONTAINER_STATE_MAX])(struct container *) = {
                [CONTAINER_WAITING] = step_waiting, [CONTAINER_IMAGE] = step_image,
                [CONTAINER_RETRY] = step_retry,     [CONTAINER_POST_START] = step_post_start,
                [CONTAINER_RUNNING] = step_running, [CONTAINER_STOPPING] = step_stopping,
                [CONTAINER_EXITED] = step_exited,
        };
        if (steps[c->state])
                steps[c->state](c);
}
