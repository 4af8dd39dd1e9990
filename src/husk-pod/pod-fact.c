/* pod-fact.c - what comes from outside: each function records a fact and lets the pod step. */
#include "husk-pod/pod-private.h"

#include <stdio.h>

#include "base/str.h"
#include "husk-pod/admit.h"
#include "husk-pod/resize.h"
#include "husk-pod/status.h"

#define SANDBOX_RETRY_NS (1 * NSEC_PER_SEC)
#define SANDBOX_RETRY_MAX_NS (10 * NSEC_PER_SEC)
/* A kubelet's volume operations: 500 ms doubling to 2 min 2 s. */
#define VOLUMES_RETRY_NS (500 * NSEC_PER_MSEC)
#define VOLUMES_RETRY_MAX_NS (122 * NSEC_PER_SEC)

/* Every event function begins with this: the clock goes on while the machine is at rest. False: nobody listens. */
bool pod_listens(struct pod *pod) {
        if (pod->finished)
                return false;
        pod->now_ns = pod->ops->monotonic_ns(pod->ctx);
        return true;
}

/* Whoever deleted it may have said why. */
void pod_take_disruption(struct pod *pod) {
        const V1PodStatus *status = pod->spec->status;

        if (!pod->spec->metadata->deletiontimestamp || pod->disrupted)
                return;
        for (size_t i = 0; status && i < status->n_conditions; i++) {
                const V1PodCondition *c = status->conditions[i];

                if (!streq_ptr(c->type, "DisruptionTarget") || !streq_ptr(c->status, "True"))
                        continue;
                pod->disrupted = true;
                str_replace(&pod->disruption_reason, c->reason ?: "");
                str_replace(&pod->disruption_message, c->message);
                if (streq_ptr(c->reason, "PreemptionByScheduler"))
                        pod_event_text(pod, EVENT_FROM_SCHEDULER, NULL, EVENT_NORMAL, "Preempted",
                                       status->message ?: c->message ?: "");
                pod_touch(pod);
                return;
        }
}

/* Does the change concern what other pods ask about this one? Its resources are the admission's business. */
static bool claim_changed(const V1Pod *before, const V1Pod *after) {
        json_t *a = admit_claim(before), *b = admit_claim(after);
        bool changed;

        json_object_del(a, "resources");
        json_object_del(b, "resources");
        changed = !json_equal(a, b);
        json_decref(a);
        json_decref(b);
        return changed;
}

void pod_spec_changed(struct pod *pod, const V1Pod *spec) {
        if (!pod_listens(pod)) {
                pod->spec = spec;
                return;
        }
        if (!pod_keeps_containers(pod->spec->spec, spec->spec)) {
                /* Validation allows no such change; keep to what there is rather than mix containers up. */
                pod_trace(pod, "pod: other containers; ignored");
                return;
        }
        if (pod->scheduled && pod->state < POD_ENDED && claim_changed(pod->spec, spec))
                pod_effect(pod, EFFECT_CLAIM_RENEW, NULL);
        resize_desired(pod, spec);
        if (pod_bind_containers(pod)) {
                if (pod->volumes.state == VOLUMES_READY)
                        pod->volumes.state = VOLUMES_WANTED;
                pod->volumes.again = pod->volumes.state == VOLUMES_ASKED;
        }
        if (spec->metadata->deletiontimestamp) {
                pod->deleted = true;
                pod_take_disruption(pod);
                if (pod->state >= POD_TERMINATING)
                        pod_terminate(pod, POD_CAUSE_NONE, NULL, NULL, pod_grace_ns(pod));
        }
        if (pod->state == POD_WAITING || resize_is_desired(pod))
                pod->ask_admission = true;
        pod_touch(pod);
        pod_step(pod);
}

void pod_node_changed(struct pod *pod) {
        if (!pod_listens(pod))
                return;
        if (pod->state == POD_WAITING || resize_is_desired(pod))
                pod->ask_admission = true;
        pod_step(pod);
}

void pod_node_seen(struct pod *pod, const V1Node *node) {
        static V1Node untainted = V1_NODE__INIT;
        bool tainted = node->spec && node->spec->n_taints;

        if (!tainted && pod->node_seen == &untainted)
                return;
        pod->node_arena = api_arena_free(pod->node_arena);
        pod->node_seen = &untainted;
        if (tainted) {
                V1Node only = V1_NODE__INIT; /* nothing else is looked at */

                only.spec = node->spec;
                pod->node_arena = api_arena_new();
                pod->node_seen = api_copy(pod->node_arena, &only.base);
        }
        if (pod_listens(pod))
                pod_step(pod);
}

/* Perhaps it was loaded meanwhile. */
static void look_for_images_again(struct pod *pod) {
        for (size_t i = 0; i < pod->n_containers; i++) {
                struct container *c = pod->containers[i];

                c->image_retry_ns = MIN(c->image_retry_ns, pod->now_ns);
                if (c->state == CONTAINER_IMAGE && !c->image_asked)
                        c->image_looked = false;
        }
}

void pod_objects_changed(struct pod *pod) {
        if (!pod_listens(pod))
                return;
        if (pod->volumes.state == VOLUMES_RETRY)
                pod->volumes.retry_ns = pod->now_ns;
        pod->volumes.again |= pod->volumes.state == VOLUMES_ASKED;
        for (size_t i = 0; i < pod->n_containers; i++) {
                struct container *c = pod->containers[i];

                if (c->state == CONTAINER_RETRY)
                        c->retry_ns = pod->now_ns;
        }
        look_for_images_again(pod);
        pod_step(pod);
}

void pod_images_changed(struct pod *pod) {
        if (!pod_listens(pod))
                return;
        look_for_images_again(pod);
        pod_step(pod);
}

bool pod_waits_for_image(const struct pod *pod) {
        for (size_t i = 0; i < pod->n_containers; i++)
                if (pod->containers[i]->state == CONTAINER_IMAGE && !pod->containers[i]->image_ready)
                        return true;
        return false;
}

void pod_evict(struct pod *pod, const char *message, int64_t grace_seconds) {
        if (!pod_listens(pod) || pod->state >= POD_RELEASING || pod->cause >= POD_CAUSE_EVICTED)
                return;
        pod_event(pod, NULL, EVENT_WARNING, "Evicted", "%s", message);
        pod_terminate(pod, POD_CAUSE_EVICTED, "Evicted", message, MIN(seconds_to_ns(grace_seconds), pod_grace_ns(pod)));
        pod_step(pod);
}

void pod_warned(struct pod *pod, const char *reason, const char *message) {
        if (!pod_listens(pod))
                return;
        pod_event(pod, NULL, EVENT_WARNING, reason, "%s", message);
        pod_step(pod);
}

bool pod_set_condition(struct pod *pod, const char *type, const char *status, const char *reason, const char *message) {
        struct condition *found = NULL;

        if (status_owns_condition(type) ||
            (!streq(status, "True") && !streq(status, "False") && !streq(status, "Unknown")))
                return false;
        if (!pod_listens(pod))
                return true;
        for (size_t i = 0; i < pod->n_conditions; i++)
                if (streq(pod->conditions[i].type, type))
                        found = &pod->conditions[i];
        if (!found) {
                pod->conditions = xreallocarray(pod->conditions, pod->n_conditions + 1, sizeof(struct condition));
                found = &pod->conditions[pod->n_conditions++];
                *found = (struct condition){ .type = xstrdup(type), .foreign = true };
        }
        if (!streq(found->status, status))
                found->transition_ns = pod_realtime(pod);
        snprintf(found->status, sizeof(found->status), "%s", status);
        str_replace(&found->reason, reason);
        str_replace(&found->message, message);
        pod_touch(pod);
        pod_step(pod);
        return true;
}

void pod_take_addresses(struct pod *pod, const struct sandbox_facts *facts) {
        strv_free(pod->sandbox.ips);
        strv_free(pod->sandbox.host_ips);
        pod->sandbox.ips = facts && facts->ips ? strv_copy((char *const *)facts->ips) : NULL;
        pod->sandbox.host_ips = facts && facts->host_ips ? strv_copy((char *const *)facts->host_ips) : NULL;
}

void pod_sandbox_started(struct pod *pod, unsigned attempt, const struct sandbox_facts *facts) {
        if (!pod_listens(pod) || pod->sandbox.state != SANDBOX_STARTING || pod->sandbox.attempt != attempt)
                return;
        pod->sandbox.state = SANDBOX_UP;
        pod->sandbox.delay_ns = 0;
        pod_take_addresses(pod, facts);
        pod_touch(pod);
        pod_step(pod);
}

void pod_sandbox_failed(struct pod *pod, unsigned attempt, const char *message) {
        if (!pod_listens(pod) || pod->sandbox.state != SANDBOX_STARTING || pod->sandbox.attempt != attempt)
                return;
        pod_event(pod, NULL, EVENT_WARNING, "FailedCreatePodSandBox", "Failed to create pod sandbox: %s", message);
        pod->sandbox.state = SANDBOX_RETRY;
        pod->sandbox.delay_ns =
                MIN(pod->sandbox.delay_ns ? 2 * pod->sandbox.delay_ns : SANDBOX_RETRY_NS, SANDBOX_RETRY_MAX_NS);
        pod->sandbox.retry_ns = pod->now_ns + pod->sandbox.delay_ns;
        pod_touch(pod);
        pod_step(pod);
}

void pod_sandbox_died(struct pod *pod, unsigned attempt) {
        if (!pod_listens(pod) || pod->sandbox.attempt != attempt ||
            (pod->sandbox.state != SANDBOX_UP && pod->sandbox.state != SANDBOX_STARTING))
                return;
        pod->sandbox.state = SANDBOX_DEAD;
        pod_touch(pod);
        pod_step(pod);
}

void pod_sandbox_stopped(struct pod *pod, unsigned attempt) {
        if (!pod_listens(pod) || pod->sandbox.state != SANDBOX_STOPPING || pod->sandbox.attempt != attempt)
                return;
        pod->sandbox.state = SANDBOX_NONE;
        pod_touch(pod);
        pod_step(pod);
}

void pod_volumes_ready(struct pod *pod) {
        if (!pod_listens(pod) || pod->volumes.state != VOLUMES_ASKED)
                return;
        pod->volumes.state = pod->volumes.again ? VOLUMES_WANTED : VOLUMES_READY;
        pod->volumes.delay_ns = 0;
        pod_touch(pod);
        pod_step(pod);
}

void pod_volumes_failed(struct pod *pod, char *const *messages) {
        if (!pod_listens(pod) || pod->volumes.state != VOLUMES_ASKED)
                return;
        for (size_t i = 0; messages[i]; i++)
                pod_event(pod, NULL, EVENT_WARNING, "FailedMount", "%s", messages[i]);
        pod->volumes.delay_ns =
                MIN(pod->volumes.delay_ns ? 2 * pod->volumes.delay_ns : VOLUMES_RETRY_NS, VOLUMES_RETRY_MAX_NS);
        pod->volumes.retry_ns = pod->now_ns + pod->volumes.delay_ns;
        pod->volumes.state = pod->volumes.again ? VOLUMES_WANTED : VOLUMES_RETRY;
        pod_touch(pod);
        pod_step(pod);
}

void pod_container_started(struct pod *pod, const char *name, unsigned attempt,
                           const struct container_started *started) {
        struct container *c = pod_container_run_of(pod, name, attempt);

        if (!pod_listens(pod) || !c)
                return;
        container_started(c, started);
        pod_step(pod);
}

void pod_container_start_failed(struct pod *pod, const char *name, unsigned attempt, enum start_failure failure,
                                const char *message, const char *id) {
        struct container *c = pod_container_run_of(pod, name, attempt);

        if (!pod_listens(pod) || !c)
                return;
        container_start_failed(c, failure, message, id);
        pod_step(pod);
}

void pod_container_exited(struct pod *pod, const char *name, unsigned attempt, const struct container_exit *end) {
        struct container *c = pod_container_run_of(pod, name, attempt);

        if (!pod_listens(pod) || !c)
                return;
        container_exited(c, end);
        resize_retry(pod); /* perhaps it was its memory that stood in the way */
        pod_step(pod);
}

void pod_run_done(struct pod *pod, uint64_t id, enum run_result result, const char *output) {
        if (!pod_listens(pod))
                return;
        for (size_t i = 0; i < pod->n_containers; i++)
                if (container_has_run(pod->containers[i], id)) {
                        container_run_done(pod->containers[i], id, result, output);
                        break;
                }
        pod_step(pod);
}
