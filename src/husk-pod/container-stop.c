/* container-stop.c - how a container ends: asked to, killed, or by itself. */
#include "husk-pod/container-private.h"

#include "base/str.h"

/* Given to a container even if hooks or other containers used up its grace period (kubelet:
 * minimumGracePeriodInSeconds; the documented "one-off grace period extension of 2 seconds"). */
#define MINIMUM_GRACE_NS (2 * NSEC_PER_SEC)
#define KILL_AGAIN_NS (1 * NSEC_PER_SEC)
#define KILL_AGAIN_MAX_NS (60 * NSEC_PER_SEC)

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
                container_begin_hook(c, h, container_hook(c, RUN_PRE_STOP));
        hook_step(h, pod->now_ns);
        if (h->state == HOOK_RUNNING && pod->now_ns < c->stop_deadline_ns) {
                pod_wake(pod, c->stop_deadline_ns);
                if (!h->run_id)
                        pod_wake(pod, h->wake_up_ns);
                return;
        }
        if (h->state == HOOK_FAILED)
                pod_event(pod, c, EVENT_WARNING, "FailedPreStopHook", "PreStopHook failed");
        container_cancel_hook(c, h);
        c->stop_step = STOP_STEP_TURN;
        pod_touch(pod);
}

void container_step_stopping(struct container *c) {
        struct pod *pod = c->pod;

        if (c->started)
                container_step_probe(c, &c->readiness);
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
        const char *name = c->spec->name, *who = "Container";

        if (c->role == ROLE_SIDECAR) { /* its restart goes without saying */
                who = "Init container";
                again = "";
        }
        switch (cause) {
        case STOP_LIVENESS:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "%s %s failed liveness probe%s", who, name, again);
                return;
        case STOP_STARTUP:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "%s %s failed startup probe%s", who, name, again);
                return;
        case STOP_HOOK:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "FailedPostStartHook");
                return;
        case STOP_CHANGED:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "%s %s definition changed%s", who, name,
                          c->role == ROLE_SIDECAR ? "" : ", will be restarted");
                return;
        case STOP_RESIZE:
                pod_event(c->pod, c, EVENT_NORMAL, "Killing", "Container %s resize requires restart", name);
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
                container_cancel_hook(c, &c->pre_stop);
                kill_now(c);
        } else if (c->stop_step == STOP_STEP_ASKED)
                c->kill_ns = MIN(c->kill_ns, deadline_ns);
}

void container_stop(struct container *c, enum stop_cause cause, int64_t grace_ns) {
        const V1LifecycleHandler *hook = container_hook(c, RUN_PRE_STOP);

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

        container_cancel_probe(c, &c->startup);
        container_cancel_probe(c, &c->liveness);
        container_cancel_hook(c, &c->post_start);
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
                container_begin_hook(c, &c->pre_stop, hook);
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
void container_end_run(struct container *c, int64_t ended_monotonic_ns) {
        container_cancel_actions(c);
        c->verdict = verdict_of(c, c->term.exit_code);
        c->restart_forced =
                c->state == CONTAINER_STOPPING && (c->stop_cause == STOP_CHANGED || c->stop_cause == STOP_RESIZE);
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
                container_begin_run(c);
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
        container_end_run(c, end->finished_monotonic_ns);
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
        container_end_run(c, 0);
}
