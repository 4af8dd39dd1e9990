/* container-action.c - a container's probes and hooks: begun, taken back, answered. */
#include "husk-pod/container-private.h"

#include "base/str.h"

const V1LifecycleHandler *container_hook(const struct container *c, enum run_kind kind) {
        if (!c->spec->lifecycle || c->role == ROLE_EPHEMERAL)
                return NULL;
        return kind == RUN_POST_START ? c->spec->lifecycle->poststart : c->spec->lifecycle->prestop;
}

static void cancel_run(struct container *c, enum run_kind kind, uint64_t *id) {
        if (!*id)
                return;
        pod_effect_run(c->pod, EFFECT_RUN_CANCEL, c, kind, *id);
        *id = 0;
}

void container_cancel_probe(struct container *c, struct probe *p) {
        cancel_run(c, p->kind, &p->run_id);
}

void container_cancel_hook(struct container *c, struct hook *h) {
        cancel_run(c, h->kind, &h->run_id);
        h->state = HOOK_IDLE;
}

void container_cancel_actions(struct container *c) {
        container_cancel_probe(c, &c->startup);
        container_cancel_probe(c, &c->liveness);
        container_cancel_probe(c, &c->readiness);
        container_cancel_hook(c, &c->post_start);
        container_cancel_hook(c, &c->pre_stop);
}

void container_begin_hook(struct container *c, struct hook *h, const V1LifecycleHandler *spec) {
        uint64_t id = ++c->pod->next_run_id;

        if (hook_begin(h, spec, id, c->pod->now_ns))
                pod_effect_run(c->pod, EFFECT_RUN_START, c, h->kind, id);
        pod_touch(c->pod);
}

void container_step_probe(struct container *c, struct probe *p) {
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
                        if (result == RUN_WARNING)
                                pod_event(c->pod, NULL, EVENT_WARNING, "LifecycleHTTPFallback", "%s", output ?: "");
                        hook_answered(hooks[i], result);
                        pod_touch(c->pod);
                }
}
