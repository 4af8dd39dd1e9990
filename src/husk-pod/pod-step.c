/* pod-step.c - how a pod goes from state to state: whatever has become due or possible is done, until nothing changes
 * any more. */
#include "husk-pod/pod-private.h"

#include <stdio.h>

#include "base/str.h"
#include "husk-pod/admit.h"
#include "husk-pod/resize.h"
#include "husk-pod/status.h"

/* A deletion that was asked for and did not come is asked for again. */
#define DISRUPT_RETRY_NS (10 * NSEC_PER_SEC)
/* No settled state is further away than this many rounds; more would be a loop. */
#define ROUNDS_MAX 10000

static bool any_busy(const struct pod *pod) {
        for (size_t i = 0; i < pod->n_containers; i++)
                if (container_is_busy(pod->containers[i]))
                        return true;
        return false;
}

/* Tells those that run and were not told yet (one may have come up after the order went out). */
static void stop_all(struct pod *pod, enum stop_cause cause, int64_t grace_ns) {
        for (size_t i = 0; i < pod->n_containers; i++)
                if (pod->containers[i]->state != CONTAINER_STOPPING)
                        container_stop(pod->containers[i], cause, grace_ns);
}

/* ---- the end ---- */

/* Begins the end of the pod, or, if that is under way, shortens it. */
void pod_terminate(struct pod *pod, enum pod_cause cause, const char *reason, const char *message, int64_t grace_ns) {
        int64_t deadline_ns = pod->now_ns + grace_ns;

        if (cause > pod->cause && pod->state < POD_RELEASING) {
                pod->cause = cause;
                str_replace(&pod->reason, reason);
                str_replace(&pod->message, message);
                pod_touch(pod);
        }
        if (pod->state < POD_TERMINATING) {
                pod->stop_deadline_ns = deadline_ns;
                pod_move(pod, POD_TERMINATING);
        } else if (deadline_ns >= pod->stop_deadline_ns)
                return;
        pod->stop_deadline_ns = MIN(pod->stop_deadline_ns, deadline_ns);
        for (size_t i = 0; i < pod->n_containers; i++)
                container_stop(pod->containers[i], STOP_POD, grace_ns);
        pod_touch(pod);
}

static void step_terminating(struct pod *pod) {
        stop_all(pod, STOP_POD, pod->stop_deadline_ns - pod->now_ns);
        if (!any_busy(pod) && pod->sandbox.state != SANDBOX_STOPPING)
                pod_move(pod, POD_RELEASING);
}

static void stop_sandbox(struct pod *pod) {
        pod->sandbox.state = SANDBOX_STOPPING;
        pod_effect(pod, EFFECT_SANDBOX_STOP, NULL);
        pod_touch(pod);
}

static void step_releasing(struct pod *pod) {
        if (pod->sandbox.state == SANDBOX_UP || pod->sandbox.state == SANDBOX_DEAD ||
            pod->sandbox.state == SANDBOX_STARTING) /* that may take long, and nobody waits for it any more */
                stop_sandbox(pod);
        else if (pod->sandbox.state != SANDBOX_STOPPING)
                pod_move(pod, POD_ENDED);
}

/* ---- admission ---- */

/* Less important pods are to make room. Who it is for is said in the words of the scheduler that would do it. */
static void push_aside(struct pod *pod, const struct admission_result *result) {
        if (!streq_ptr(pod->nominated_node, result->nominated ? result->node : NULL)) {
                str_replace(&pod->nominated_node, result->nominated ? result->node : NULL);
                pod_touch(pod);
        }
        for (size_t i = 0; i < result->n_victims; i++)
                pod_effect_disrupt(pod, result->victims[i], "PreemptionByScheduler",
                                   "default-scheduler: preempting to accommodate a higher priority pod");
}

static void ask_admission(struct pod *pod) {
        struct admission_result result = { 0 };
        _cleanup_free_ char *message = NULL;

        pod->ask_admission = false;
        pod->ops->admit(pod->ctx, &result);
        switch (result.admission) {
        case ADMIT_YES:
                pod->scheduled = true;
                resize_remember_pod(pod);
                str_replace(&pod->nominated_node, NULL);
                if (result.node[0])
                        str_replace(&pod->node, result.node);
                str_replace(&pod->admission_message, NULL);
                pod->start_ns = pod_realtime(pod);
                pod->start_monotonic_ns = pod->now_ns;
                message = xasprintf("Successfully assigned %s/%s to %s", pod->namespace, pod->name, pod->node ?: "");
                if (str_empty(pod->spec->spec->nodename)) /* with a nodeName there was nothing to schedule */
                        pod_event_text(pod, EVENT_FROM_SCHEDULER, NULL, EVENT_NORMAL, "Scheduled", message);
                pod_move(pod, POD_RUNNING);
                break;
        case ADMIT_WAIT:
                push_aside(pod, &result);
                if (streq_ptr(pod->admission_message, result.message))
                        break;
                str_replace(&pod->admission_message, result.message);
                str_replace(&pod->reason, NULL);
                if (!streq(result.reason, "SchedulingGated")) /* the scheduler has not even looked at it */
                        pod_event_text(pod, EVENT_FROM_SCHEDULER, NULL, EVENT_WARNING, "FailedScheduling",
                                       result.message);
                pod_touch(pod);
                break;
        case ADMIT_REFUSE:
                pod->start_ns = pod_realtime(pod);
                message = xasprintf("Pod was rejected: %s", result.message);
                pod_event_text(pod, EVENT_FROM_KUBELET, NULL, EVENT_WARNING, result.reason, result.message);
                pod_terminate(pod, POD_CAUSE_REFUSED, result.reason, message, 0);
                break;
        }
}

static void step_waiting(struct pod *pod) {
        if (pod->ask_admission)
                ask_admission(pod);
}

/* ---- running ---- */

static void step_sandbox(struct pod *pod) {
        switch (pod->sandbox.state) {
        case SANDBOX_RETRY:
                if (pod->now_ns < pod->sandbox.retry_ns) {
                        pod_wake(pod, pod->sandbox.retry_ns);
                        break;
                }
                /* fall through */
        case SANDBOX_NONE:
                pod->sandbox.attempt = pod->sandbox.ever ? pod->sandbox.attempt + 1 : 0;
                pod->sandbox.ever = true;
                pod->sandbox.state = SANDBOX_STARTING;
                pod_effect(pod, EFFECT_SANDBOX_START, NULL);
                pod_touch(pod);
                break;
        default:
                break;
        }
}

static void step_volumes(struct pod *pod) {
        if (pod->volumes.state == VOLUMES_RETRY) {
                if (pod->now_ns < pod->volumes.retry_ns) {
                        pod_wake(pod, pod->volumes.retry_ns);
                        return;
                }
                pod->volumes.state = VOLUMES_WANTED;
        }
        if (pod->volumes.state != VOLUMES_WANTED)
                return;
        pod->volumes.state = VOLUMES_ASKED;
        pod->volumes.again = false;
        pod_effect(pod, EFFECT_VOLUMES_SETUP, NULL);
        pod->state_dirty = true;
}

static void step_initialized(struct pod *pod) {
        if (pod->initialized || pod->sandbox.state != SANDBOX_UP)
                return;
        for (size_t i = 0; i < pod->n_containers; i++)
                if (pod->containers[i]->role <= ROLE_SIDECAR && !container_is_initialized(pod->containers[i]))
                        return;
        pod->initialized = true;
        pod->was_initialized = true;
        pod->moved = true;
        pod_touch(pod);
}

static bool mains_are_finished(const struct pod *pod) {
        for (size_t i = 0; i < pod->n_containers; i++)
                if (pod->containers[i]->role == ROLE_MAIN && !container_is_finished(pod->containers[i]))
                        return false;
        return true;
}

static bool has_failed_init(const struct pod *pod) {
        for (size_t i = 0; i < pod->n_containers; i++) {
                const struct container *c = pod->containers[i];

                if (c->role == ROLE_INIT && container_is_finished(c) && c->term.exit_code != 0)
                        return true;
        }
        return false;
}

static struct container *find_restart_all(struct pod *pod) {
        for (size_t i = 0; i < pod->n_containers; i++) {
                struct container *c = pod->containers[i];

                if (c->state == CONTAINER_EXITED && c->verdict == RESTART_EVERYTHING && !c->restart_all_seen)
                        return c;
        }
        return NULL;
}

static bool any_ran(const struct pod *pod) {
        for (size_t i = 0; i < pod->n_containers; i++)
                if (pod->containers[i]->ran)
                        return true;
        return false;
}

/* Every container is killed and, later, started again; preStop hooks are not run (KEP-5532). */
static void begin_restart_all(struct pod *pod) {
        for (size_t i = 0; i < pod->n_containers; i++)
                pod->containers[i]->restart_all_seen = true;
        pod->restarting_all = true;
        pod_move(pod, POD_RESTARTING);
        for (size_t i = 0; i < pod->n_containers; i++)
                container_stop(pod->containers[i], STOP_RESTART_ALL, 0);
}

static void sandbox_changed(struct pod *pod) {
        pod_event(pod, NULL, EVENT_NORMAL, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
        /* With restartPolicy Never there is no new sandbox, unless nothing ever ran in the old one. */
        if (streq_ptr(pod->spec->spec->restartpolicy, "Never") && any_ran(pod)) {
                pod_terminate(pod, POD_CAUSE_LOST, NULL, NULL, pod_grace_ns(pod));
                return;
        }
        pod_move(pod, POD_REPLACING);
}

static void step_running(struct pod *pod) {
        if (pod->sandbox.state == SANDBOX_DEAD) {
                sandbox_changed(pod);
                return;
        }
        if (find_restart_all(pod)) {
                begin_restart_all(pod);
                return;
        }
        step_initialized(pod);
        if (has_failed_init(pod) || (pod->initialized && mains_are_finished(pod))) {
                pod_terminate(pod, POD_CAUSE_COMPLETED, NULL, NULL, pod_grace_ns(pod));
                return;
        }
        step_sandbox(pod);
        step_volumes(pod);
        resize_step(pod);
}

/* All start anew, init containers first. Ephemeral containers do not come back; nor, after a lost sandbox, do main
 * containers that had ended for good. */
static void reset_containers(struct pod *pod, bool finished_too) {
        for (size_t i = 0; i < pod->n_containers; i++) {
                struct container *c = pod->containers[i];

                if (c->role == ROLE_EPHEMERAL && c->ran)
                        continue;
                if (c->role == ROLE_MAIN && container_is_finished(c) && !finished_too)
                        continue;
                container_reset(c);
        }
        pod->initialized = false;
}

static void step_replacing(struct pod *pod) {
        stop_all(pod, STOP_POD, pod_grace_ns(pod));
        if (any_busy(pod))
                return;
        if (pod->sandbox.state == SANDBOX_DEAD)
                stop_sandbox(pod);
        if (pod->sandbox.state != SANDBOX_NONE)
                return;
        if (mains_are_finished(pod)) {
                pod_terminate(pod, POD_CAUSE_COMPLETED, NULL, NULL, pod_grace_ns(pod));
                return;
        }
        reset_containers(pod, false);
        pod_move(pod, POD_RUNNING);
}

static void step_restarting(struct pod *pod) {
        stop_all(pod, STOP_RESTART_ALL, 0);
        if (any_busy(pod))
                return;
        reset_containers(pod, true);
        pod->restarting_all = false;
        pod_move(pod, POD_RUNNING);
}

/* ---- the step ---- */

static void notice_deadline(struct pod *pod) {
        const V1PodSpec *spec = pod->spec->spec;
        int64_t at_ns;

        if (!spec->has_activedeadlineseconds || !pod->scheduled || pod->cause != POD_CAUSE_NONE || pod->deleted)
                return; /* none, or it ends already */
        at_ns = pod->start_monotonic_ns + seconds_to_ns(spec->activedeadlineseconds);
        if (pod->now_ns < at_ns) {
                pod_wake(pod, at_ns);
                return;
        }
        pod_event(pod, NULL, EVENT_NORMAL, "DeadlineExceeded",
                  "Pod was active on the node longer than the specified deadline");
        pod_terminate(pod, POD_CAUSE_DEADLINE, "DeadlineExceeded",
                      "Pod was active on the node longer than the specified deadline", pod_grace_ns(pod));
}

/* The taint manager's part: a pod that the node's NoExecute taints do not let stay is deleted, at once or when the
 * shortest time it tolerates is over, counted from when they were first seen
 * (https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions). */
static void notice_taints(struct pod *pod) {
        int64_t seconds, at_ns;

        if (!pod->node_seen || !pod->scheduled || pod->deleted || pod->state >= POD_TERMINATING)
                return;
        seconds = admit_tolerated_seconds(pod->spec->spec, pod->node_seen);
        if (seconds == INT64_MAX) {
                if (pod->taint_since_ns) {
                        pod_event(pod, NULL, EVENT_NORMAL, "TaintManagerEviction", "Cancelling deletion of Pod %s/%s",
                                  pod->namespace, pod->name);
                        pod->taint_since_ns = 0;
                        pod->taint_retry_ns = 0;
                        pod->state_dirty = true;
                }
                return;
        }
        if (!pod->taint_since_ns) {
                pod->taint_since_ns = pod->now_ns;
                pod->state_dirty = true;
        }
        at_ns = MAX(pod->taint_since_ns + seconds_to_ns(seconds), pod->taint_retry_ns);
        if (pod->now_ns >= at_ns) {
                if (!pod->taint_retry_ns)
                        pod_event(pod, NULL, EVENT_NORMAL, "TaintManagerEviction", "Marking for deletion Pod %s/%s",
                                  pod->namespace, pod->name);
                pod_effect_disrupt(pod, pod->uid, "DeletionByTaintManager",
                                   "Taint manager: deleting due to NoExecute taint");
                at_ns = pod->taint_retry_ns = pod->now_ns + DISRUPT_RETRY_NS;
        }
        pod_wake(pod, at_ns);
}

static void settle(struct pod *pod) {
        static void (*const steps[_POD_STATE_MAX])(struct pod *) = {
                [POD_WAITING] = step_waiting,         [POD_RUNNING] = step_running,
                [POD_REPLACING] = step_replacing,     [POD_RESTARTING] = step_restarting,
                [POD_TERMINATING] = step_terminating, [POD_RELEASING] = step_releasing,
        };
        unsigned rounds = 0;

        do {
                pod->moved = false;
                pod->wake_ns = INT64_MAX;
                if (pod->deleted && pod->state < POD_TERMINATING)
                        pod_terminate(pod, POD_CAUSE_NONE, NULL, NULL, pod_grace_ns(pod));
                notice_deadline(pod);
                notice_taints(pod);
                if (steps[pod->state])
                        steps[pod->state](pod);
                for (size_t i = 0; i < pod->n_containers; i++)
                        container_step(pod->containers[i]);
                if (++rounds > ROUNDS_MAX) {
                        pod_trace(pod, "pod: does not settle");
                        abort();
                }
        } while (pod->moved);
}

static void publish_status(struct pod *pod) {
        struct api_arena *arena;
        V1PodStatus *status;

        if (!pod->status_dirty)
                return;
        pod->status_dirty = false;
        arena = api_arena_new();
        status = status_build(pod, arena);
        if (pod->status && api_equal(&pod->status->base, &status->base)) {
                api_arena_free(arena);
                return;
        }
        api_arena_free(pod->status_arena);
        pod->status_arena = arena;
        pod->status = status;
        pod->state_dirty = true; /* the conditions' transition times and the phase belong to it */
        snprintf(pod->phase, sizeof(pod->phase), "%s", status->phase);
        pod->ops->publish_status(pod->ctx, status, status_phase_is_terminal(status->phase));
}

static void publish_events(struct pod *pod) {
        const struct event_subject subject = {
                .namespace = pod->namespace,
                .name = pod->name,
                .uid = pod->uid,
                .node = pod->node,
        };
        json_t *json;

        if (!pod->events.changed)
                return;
        pod->events.changed = false;
        if (!pod->ops->publish_events)
                return;
        json = event_log_to_json(&pod->events, &subject);
        pod->ops->publish_events(pod->ctx, json);
        json_decref(json);
}

static void save(struct pod *pod) {
        json_t *json;

        if (!pod->state_dirty)
                return;
        pod->state_dirty = false;
        if (!pod->ops->save)
                return;
        json = pod_save(pod);
        pod->ops->save(pod->ctx, json);
        json_decref(json);
}

void pod_step(struct pod *pod) {
        if (pod->restoring || pod->finished)
                return;
        if (pod->stepping) { /* called from inside an operation: once more when that is done */
                pod->again = true;
                return;
        }
        pod->stepping = true;
        do {
                pod->again = false;
                pod->now_ns = pod->ops->monotonic_ns(pod->ctx);
                settle(pod);
                save(pod);
                pod_effects_perform(pod);
                if (!pod->again) {
                        publish_status(pod);
                        publish_events(pod);
                        save(pod);
                }
        } while (pod->again);
        pod->stepping = false;
        if (pod->state == POD_ENDED) {
                pod->finished = true;
                pod->ops->wake_at(pod->ctx, INT64_MAX);
                pod->ops->release(pod->ctx);
                pod->ops->finished(pod->ctx, pod->deleted ? POD_END_DELETED : POD_END_TERMINAL);
        } else
                pod->ops->wake_at(pod->ctx, pod->wake_ns);
}
