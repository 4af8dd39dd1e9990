/* pod-effect.c - what the pod asks of the world: collected while it steps, carried out once the state that says so is
 * saved. */
#include "husk-pod/pod-private.h"

#include "base/str.h"

static struct effect *effect_new(struct pod *pod, enum effect_kind kind, struct container *c) {
        struct effect *e;

        pod->effects = xreallocarray(pod->effects, pod->n_effects + 1, sizeof(struct effect));
        e = &pod->effects[pod->n_effects++];
        *e = (struct effect){ .kind = kind, .container = c, .attempt = c ? c->attempt : 0, .id = pod->sandbox.attempt };
        return e;
}

void pod_effect(struct pod *pod, enum effect_kind kind, struct container *c) {
        effect_new(pod, kind, c);
}

void pod_effect_run(struct pod *pod, enum effect_kind kind, struct container *c, enum run_kind run, uint64_t id) {
        struct effect *e = effect_new(pod, kind, c);

        e->run = run;
        e->id = id;
}

void pod_effect_pull(struct pod *pod, const char *image) {
        effect_new(pod, EFFECT_IMAGE_PULL, NULL)->image = xstrdup(image);
}

void pod_effect_disrupt(struct pod *pod, const char *uid, const char *reason, const char *message) {
        struct effect *e = effect_new(pod, EFFECT_DISRUPT, NULL);

        e->uid = xstrdup(uid);
        e->reason = reason;
        e->message = message;
}

void effect_release(struct effect *e) {
        free(e->image);
        free(e->uid);
}

static void start_probe_run(const struct pod *pod, struct action_run *run, const V1Probe *probe) {
        const V1ProbeHandler *handler = probe ? probe->handler : NULL;

        if (!handler)
                return;
        run->timeout_ns = probe_timeout_ns(probe);
        run->exec = handler->exec;
        run->http_get = handler->httpget;
        run->tcp_socket = handler->tcpsocket;
        run->grpc = handler->grpc;
}

static void start_hook_run(struct action_run *run, const V1LifecycleHandler *handler) {
        if (!handler)
                return;
        run->exec = handler->exec;
        run->http_get = handler->httpget;
}

static void perform_run_start(struct pod *pod, const struct effect *e) {
        const struct container *c = e->container;
        const V1Lifecycle *lifecycle = c->spec->lifecycle;
        struct action_run run = { .id = e->id, .kind = e->run, .container = c->spec->name, .spec = c->spec };

        if (!container_has_run(c, e->id))
                return; /* taken back meanwhile */
        switch (e->run) {
        case RUN_STARTUP_PROBE:
                start_probe_run(pod, &run, c->startup.spec);
                break;
        case RUN_LIVENESS_PROBE:
                start_probe_run(pod, &run, c->liveness.spec);
                break;
        case RUN_READINESS_PROBE:
                start_probe_run(pod, &run, c->readiness.spec);
                break;
        case RUN_POST_START:
                start_hook_run(&run, lifecycle ? lifecycle->poststart : NULL);
                break;
        default:
                start_hook_run(&run, lifecycle ? lifecycle->prestop : NULL);
                break;
        }
        if (!run.exec && !run.http_get && !run.tcp_socket && !run.grpc)
                pod_run_done(pod, e->id, RUN_ERROR, "no action given"); /* validation lets none through */
        else
                pod->ops->run_start(pod->ctx, &run);
}

static void perform_container(struct pod *pod, const struct effect *e) {
        struct container *c = e->container;
        bool current = c->attempt == e->attempt;
        struct container_run run;

        container_describe_run(c, &run);
        run.attempt = e->attempt;
        run.sandbox = (unsigned)e->id;
        switch (e->kind) {
        case EFFECT_CONTAINER_START:
                if (current && c->state == CONTAINER_STARTING)
                        pod->ops->container_start(pod->ctx, &run);
                break;
        case EFFECT_CONTAINER_ASK:
        case EFFECT_CONTAINER_KILL:
                if (current && container_is_alive(c))
                        pod->ops->container_signal(pod->ctx, &run,
                                                   e->kind == EFFECT_CONTAINER_KILL ? STOP_KILL : STOP_ASK);
                break;
        default:
                pod->ops->container_remove(pod->ctx, &run);
                break;
        }
}

static void perform(struct pod *pod, const struct effect *e) {
        switch (e->kind) {
        case EFFECT_SANDBOX_START:
                pod->ops->sandbox_start(pod->ctx, (unsigned)e->id);
                break;
        case EFFECT_SANDBOX_STOP:
                pod->ops->sandbox_stop(pod->ctx, (unsigned)e->id);
                break;
        case EFFECT_VOLUMES_SETUP:
                pod->ops->volumes_setup(pod->ctx);
                break;
        case EFFECT_IMAGE_PULL:
                pod->ops->image_pull(pod->ctx, e->image);
                break;
        case EFFECT_DISRUPT:
                if (pod->ops->pod_disrupt)
                        pod->ops->pod_disrupt(pod->ctx, e->uid, e->reason, e->message);
                break;
        case EFFECT_CLAIM_RENEW:
                if (pod->ops->claim_renew)
                        pod->ops->claim_renew(pod->ctx);
                break;
        case EFFECT_RUN_START:
                perform_run_start(pod, e);
                break;
        case EFFECT_RUN_CANCEL:
                pod->ops->run_cancel(pod->ctx, e->id);
                break;
        default:
                perform_container(pod, e);
                break;
        }
}

void pod_effects_perform(struct pod *pod) {
        struct effect *effects = TAKE_PTR(pod->effects);
        size_t n = pod->n_effects;

        pod->n_effects = 0;
        for (size_t i = 0; i < n; i++) {
                perform(pod, &effects[i]);
                effect_release(&effects[i]);
        }
        free(effects);
}
