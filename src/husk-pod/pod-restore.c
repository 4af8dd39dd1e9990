/* pod-restore.c - a pod that a predecessor has saved: what still is there is told, then it goes on. */
#include "husk-pod/pod-private.h"

#include "husk-pod/resize.h"

struct pod *pod_restore(const struct pod_ops *ops, void *ctx, const V1Pod *spec, const json_t *state,
                        const json_t *events, bool same_boot) {
        struct pod *pod = pod_new(ops, ctx, spec);

        pod->restoring = true;
        pod->now_ns = ops->monotonic_ns(ctx);
        event_log_from_json(&pod->events, events);
        pod_load(pod, state, same_boot);
        pod_take_disruption(pod);
        return pod;
}

void pod_sandbox_found(struct pod *pod, unsigned attempt, const struct sandbox_facts *facts) {
        if (!pod->restoring || pod->sandbox.attempt != attempt)
                return;
        if (pod->sandbox.state == SANDBOX_STARTING || pod->sandbox.state == SANDBOX_UP) {
                pod->sandbox.state = SANDBOX_UP;
                pod->sandbox.found = true;
                if (facts && facts->ips)
                        pod_take_addresses(pod, facts);
        }
}

void pod_container_found(struct pod *pod, const char *name, unsigned attempt, const struct container_started *started) {
        struct container *c = pod_container_run_of(pod, name, attempt);

        if (!pod->restoring || !c)
                return;
        pod->now_ns = pod->ops->monotonic_ns(pod->ctx);
        if (c->state == CONTAINER_STARTING)
                container_started(c, started);
        else if (container_is_alive(c)) {
                c->pid = started->pid;
                c->pid_start_time = started->pid_start_time;
        }
        c->found = true;
}

/* What a step that was under way in the predecessor left unanswered is asked again, or taken as lost. */
static void restored_container(struct pod *pod, struct container *c) {
        if (c->state == CONTAINER_STARTING && pod->state == POD_RUNNING && pod->sandbox.state == SANDBOX_UP) {
                resize_remember(c);
                pod_effect(pod, EFFECT_CONTAINER_START, c);
        } else if (c->state == CONTAINER_STARTING)
                container_forget_start(c);
        else if (container_is_alive(c) && !c->found)
                container_lost(c);
        if (c->state == CONTAINER_STOPPING && c->stop_step >= STOP_STEP_ASKED)
                /* Was the signal sent before the predecessor died? Twice does no harm. */
                pod_effect(pod, c->stop_step == STOP_STEP_ASKED ? EFFECT_CONTAINER_ASK : EFFECT_CONTAINER_KILL, c);
        if (c->state == CONTAINER_EXITED)
                pod_effect(pod, EFFECT_CONTAINER_REMOVE, c);
        probe_jitter(&c->startup, pod->ops->random(pod->ctx), pod->now_ns);
        probe_jitter(&c->liveness, pod->ops->random(pod->ctx), pod->now_ns);
        probe_jitter(&c->readiness, pod->ops->random(pod->ctx), pod->now_ns);
}

void pod_restored(struct pod *pod) {
        if (!pod->restoring)
                return;
        pod->restoring = false;
        pod->now_ns = pod->ops->monotonic_ns(pod->ctx);
        if (pod->scheduled && pod->state < POD_RELEASING) {
                struct admission_result result = { 0 };

                pod->ops->admit(pod->ctx, &result); /* its claim may be gone with the last boot */
        }
        if (!pod->sandbox.found && (pod->sandbox.state == SANDBOX_UP || pod->sandbox.state == SANDBOX_STARTING))
                pod->sandbox.state = SANDBOX_DEAD;
        for (size_t i = 0; i < pod->n_containers; i++)
                restored_container(pod, pod->containers[i]);
        if (pod->sandbox.state == SANDBOX_STOPPING)
                pod_effect(pod, EFFECT_SANDBOX_STOP, NULL);
        pod_touch(pod);
        pod_step(pod);
}
