/* container-start.c - how a container comes up: its turn, its image, its back-off, the start, and the postStart hook.
 */
#include "husk-pod/container-private.h"

#include "base/str.h"
#include "husk-pod/resize.h"

#define CREATE_RETRY_NS (10 * NSEC_PER_SEC)
/* How long the status says why a run did not come up before it says CrashLoopBackOff: a kubelet looks again after that
 * time, finds the back-off and says so from then on. */
#define HELD_SHOWN_NS (10 * NSEC_PER_SEC)

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
void container_step_waiting(struct container *c) {
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

/* A kubelet brings up one container of a pod at a time, in the order of the spec, and the postStart hook is part of
 * that, as are the pull before it and the end of a container whose hook failed. Without a hook nobody could tell. */
static bool is_held_back(const struct container *c) {
        for (size_t i = 0; i < c->pod->n_containers; i++) {
                const struct container *other = c->pod->containers[i];

                if (other == c || !container_hook(other, RUN_POST_START))
                        continue;
                if (other->state == CONTAINER_STARTING || other->state == CONTAINER_POST_START ||
                    (other->state == CONTAINER_STOPPING && other->stop_cause == STOP_HOOK) ||
                    (other->state == CONTAINER_IMAGE && other->image_asked && other->index < c->index))
                        return true;
        }
        return false;
}

void container_step_image(struct container *c) {
        if (!pod_is_turn_of(c->pod, c)) {
                withdraw(c);
                return;
        }
        if (!streq_ptr(c->image, c->spec->image ?: ""))
                enter_image(c);
        if (pod_ensure_image(c->pod, c) && !is_held_back(c))
                begin_start(c);
}

void container_step_retry(struct container *c) {
        if (!pod_is_turn_of(c->pod, c))
                withdraw(c);
        else if (c->pod->now_ns >= c->retry_ns)
                enter_image(c);
        else
                pod_wake(c->pod, c->retry_ns);
}

/* A run has come into being, alive or dead at once. */
void container_begin_run(struct container *c) {
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

void container_started(struct container *c, const struct container_started *started) {
        if (c->state == CONTAINER_EXITED && !c->id)
                /* It ended so fast that its exit overtook this: the ID is still worth having. */
                str_replace(&c->id, started->id);
        if (c->state != CONTAINER_STARTING)
                return;
        container_begin_run(c);
        take_started(c, started);
        pod_event(c->pod, c, EVENT_NORMAL, "Created", "Container created");
        pod_event(c->pod, c, EVENT_NORMAL, "Started", "Container started");
        if (!container_hook(c, RUN_POST_START))
                forget_held(c);
        container_move(c, container_hook(c, RUN_POST_START) ? CONTAINER_POST_START : CONTAINER_RUNNING);
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
        const V1LifecycleHandler *hook = container_hook(c, RUN_POST_START);
        const struct pod *pod = c->pod;
        _cleanup_strbuf_ struct strbuf message = STRBUF_INIT;

        if (hook->exec) {
                strbuf_adds(&message, "Exec lifecycle hook (");
                add_command(&message, hook->exec);
                strbuf_adds(&message, ")");
        } else if (hook->httpget) {
                strbuf_addf(&message, "HTTP lifecycle hook (%s)", hook->httpget->path ?: "");
        } else {
                hold(c, "PostStartHookError",
                     "Cannot run handler: invalid handler: a hook runs exec, httpGet or sleep");
                return;
        }
        strbuf_addf(&message, " for Container \"%s\" in Pod \"%s_%s(%s)\" failed", c->spec->name, pod->name,
                    pod->namespace, pod->uid);
        if (!str_empty(c->hook_message))
                strbuf_addf(&message, " - error: %s", c->hook_message);
        hold(c, "PostStartHookError", strbuf_str(&message));
}

void container_step_post_start(struct container *c) {
        struct hook *h = &c->post_start;

        if (h->state == HOOK_IDLE)
                container_begin_hook(c, h, container_hook(c, RUN_POST_START));
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

/* The program could not be executed: a finished run, as containerd reports it. */
static void start_error(struct container *c, const char *message, const char *id) {
        container_begin_run(c);
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
        container_end_run(c, 0);
}

void container_start_failed(struct container *c, enum start_failure failure, const char *message, const char *id) {
        if (c->state != CONTAINER_STARTING)
                return;
        bool created = failure == START_START_ERROR || failure == START_RUN_ERROR;
        if (created)
                pod_event(c->pod, c, EVENT_NORMAL, "Created", "Container created");
        pod_event(c->pod, c, EVENT_WARNING, "Failed", "Error: %s", message);
        if (created) {
                start_error(c, message, id);
                return;
        }
        c->failure = failure;
        str_replace(&c->failure_message, message);
        c->retry_ns = c->pod->now_ns + CREATE_RETRY_NS;
        container_move(c, CONTAINER_RETRY);
}

void container_step_exited(struct container *c) {
        struct pod *pod = c->pod;

        if (pod->state != POD_RUNNING || !container_wants_restart(c))
                return;
        if (!streq_ptr(c->image, c->spec->image ?: ""))
                c->backoff = (struct backoff){ 0 }; /* a kubelet's back-off belongs to the definition */
        if (!wait_for_backoff(c) && pod_is_turn_of(pod, c))
                enter_image(c);
}
