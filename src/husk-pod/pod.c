#include "husk-pod/pod-private.h"

#include <stdio.h>

#include "base/str.h"
#include "husk-pod/admit.h"
#include "husk-pod/resize.h"
#include "husk-pod/status.h"

/* The states of a pod, and how it comes from one to the next:
 *
 *   WAITING ──admitted──▶ RUNNING ──sandbox died──▶ REPLACING ──all ended, sandbox removed──▶ RUNNING
 *      │                     │  ▲
 *      │                     │  └──all ended── RESTARTING ◀──a rule says RestartAllContainers── RUNNING
 *      │                     │
 *      └──deleted, refused──▶│◀── deleted, deadline, evicted, all containers done
 *                            ▼
 *                       TERMINATING ──no container left──▶ RELEASING ──sandbox removed──▶ ENDED
 */
const char *const pod_state_names[_POD_STATE_MAX] = {
        [POD_WAITING] = "Waiting",       [POD_RUNNING] = "Running",         [POD_REPLACING] = "Replacing",
        [POD_RESTARTING] = "Restarting", [POD_TERMINATING] = "Terminating", [POD_RELEASING] = "Releasing",
        [POD_ENDED] = "Ended",
};

#define TO(state) (1U << POD_##state)
static const unsigned allowed_moves[_POD_STATE_MAX] = {
        [POD_WAITING] = TO(RUNNING) | TO(TERMINATING),
        [POD_RUNNING] = TO(REPLACING) | TO(RESTARTING) | TO(TERMINATING),
        [POD_REPLACING] = TO(RUNNING) | TO(TERMINATING),
        [POD_RESTARTING] = TO(RUNNING) | TO(TERMINATING),
        [POD_TERMINATING] = TO(RELEASING),
        [POD_RELEASING] = TO(ENDED),
        [POD_ENDED] = 0,
};
#undef TO

/* A deletion that was asked for and did not come is asked for again. */
#define DISRUPT_RETRY_NS (10 * NSEC_PER_SEC)
#define SANDBOX_RETRY_NS (1 * NSEC_PER_SEC)
#define SANDBOX_RETRY_MAX_NS (10 * NSEC_PER_SEC)
/* A kubelet's volume operations: 500 ms doubling to 2 min 2 s. */
#define VOLUMES_RETRY_NS (500 * NSEC_PER_MSEC)
#define VOLUMES_RETRY_MAX_NS (122 * NSEC_PER_SEC)
/* ErrImagePull is shown that long before it becomes ImagePullBackOff. */
#define PULL_ERROR_SHOWN_NS (2 * NSEC_PER_SEC)
/* An image that no pull can bring is looked for again after this time. */
#define IMAGE_LOOK_AGAIN_NS (10 * NSEC_PER_SEC)
/* No settled state is further away than this many rounds; more would be a loop. */
#define ROUNDS_MAX 10000

void pod_trace(struct pod *pod, const char *format, ...) {
        _cleanup_free_ char *line = NULL;
        va_list ap;

        if (!pod->ops->trace)
                return;
        va_start(ap, format);
        line = xvasprintf(format, ap);
        va_end(ap);
        pod->ops->trace(pod->ctx, line);
}

static void pod_move(struct pod *pod, enum pod_state to) {
        if (!(allowed_moves[pod->state] & (1U << to))) {
                pod_trace(pod, "pod: no way from %s to %s", pod_state_names[pod->state], pod_state_names[to]);
                abort(); /* a bug; see container_move() */
        }
        pod_trace(pod, "pod: %s -> %s", pod_state_names[pod->state], pod_state_names[to]);
        pod->state = to;
        pod->moved = true;
        pod_touch(pod);
}

int64_t pod_realtime(const struct pod *pod) {
        return pod->ops->realtime_ns(pod->ctx);
}

static void pod_event_text(struct pod *pod, enum event_source source, const struct container *c, enum event_type type,
                           const char *reason, const char *message) {
        static const char *const fields[] = {
                [ROLE_INIT] = "initContainers",
                [ROLE_SIDECAR] = "initContainers",
                [ROLE_MAIN] = "containers",
                [ROLE_EPHEMERAL] = "ephemeralContainers",
        };
        _cleanup_free_ char *path = c ? xasprintf("spec.%s{%s}", fields[c->role], c->spec->name) : NULL;

        event_log_add(&pod->events, source, type, reason, path, pod->name, pod_realtime(pod), message);
}

void pod_event(struct pod *pod, const struct container *c, enum event_type type, const char *reason, const char *format,
               ...) {
        _cleanup_free_ char *message = NULL;
        va_list ap;

        va_start(ap, format);
        message = xvasprintf(format, ap);
        va_end(ap);
        pod_event_text(pod, EVENT_FROM_KUBELET, c, type, reason, message);
}

/* ---- effects ---- */

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

static void pod_effect_disrupt(struct pod *pod, const char *uid, const char *reason, const char *message) {
        struct effect *e = effect_new(pod, EFFECT_DISRUPT, NULL);

        e->uid = xstrdup(uid);
        e->reason = reason;
        e->message = message;
}

static void effect_release(struct effect *e) {
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

/* What is saved says what is about to be done: intent before effect. Answers that come at once only record facts
 * (pod->stepping is set) and may add effects of the next round. */
static void perform_effects(struct pod *pod) {
        struct effect *effects = TAKE_PTR(pod->effects);
        size_t n = pod->n_effects;

        pod->n_effects = 0;
        for (size_t i = 0; i < n; i++) {
                perform(pod, &effects[i]);
                effect_release(&effects[i]);
        }
        free(effects);
}

/* ---- images ---- */

struct pull *pod_pull(const struct pod *pod, const char *image) {
        for (size_t i = 0; i < pod->n_pulls; i++)
                if (streq(pod->pulls[i]->image, image))
                        return pod->pulls[i];
        return NULL;
}

static struct pull *pull_get(struct pod *pod, const char *image) {
        struct pull *p = pod_pull(pod, image);

        if (p)
                return p;
        p = new0(struct pull);
        p->image = xstrdup(image);
        pod->pulls = xreallocarray(pod->pulls, pod->n_pulls + 1, sizeof(struct pull *));
        pod->pulls[pod->n_pulls++] = p;
        return p;
}

static void pull_free(struct pull *p) {
        free(p->image);
        free(p->reason);
        free(p->message);
        free(p);
}

static void set_string(char **p, const char *s) {
        char *copy = xstrdup(s);

        free(*p);
        *p = copy;
}

static const V1ImageVolumeSource *image_of_mount(const struct container *c, const V1VolumeMount *mount) {
        const V1PodSpec *spec = c->pod->spec->spec;

        for (size_t i = 0; i < spec->n_volumes; i++)
                if (spec->volumes[i]->volumesource && streq_ptr(spec->volumes[i]->name, mount->name))
                        return spec->volumes[i]->volumesource->image;
        return NULL;
}

/* The image volume whose image it needs next: a kubelet fetches those of the volumes before the container's own. NULL:
 * they are all here. */
static const V1ImageVolumeSource *volume_needed(const struct container *c) {
        size_t seen = 0;

        for (size_t i = 0; i < c->spec->n_volumemounts; i++) {
                const V1ImageVolumeSource *image = image_of_mount(c, c->spec->volumemounts[i]);
                if (image && seen++ == c->image_at)
                        return image;
        }
        return NULL;
}

const char *pod_image_needed(const struct container *c) {
        const V1ImageVolumeSource *volume = volume_needed(c);

        return volume ? volume->reference ?: "" : c->image;
}

static const char *policy_of_needed(const struct container *c) {
        const V1ImageVolumeSource *volume = volume_needed(c);
        const char *policy = volume ? volume->pullpolicy : c->spec->imagepullpolicy;

        return policy ?: "IfNotPresent";
}

/* Whom events about the image it needs are about: images of volumes are the pod's. */
static struct container *concerned(struct container *c) {
        return volume_needed(c) ? NULL : c;
}

static void take_image(struct container *c, const struct image_facts *facts) {
        set_string(&c->image_reason, NULL);
        set_string(&c->image_message, NULL);
        c->image_asked = false;
        if (volume_needed(c)) {
                c->image_at++;
                c->image_looked = false;
        } else {
                set_string(&c->image_id, facts->id ?: "");
                set_string(&c->image_name, facts->name);
                c->image_ready = true;
        }
        pod_touch(c->pod);
}

static void image_hopeless(struct container *c, const char *event, const char *reason, const char *message) {
        struct pod *pod = c->pod;

        pod_event(pod, concerned(c), EVENT_WARNING, event, "%s", message);
        pod_event(pod, concerned(c), EVENT_WARNING, "Failed", "Error: %s", reason);
        set_string(&c->image_reason, reason);
        set_string(&c->image_message, message);
        c->image_retry_ns = pod->now_ns + IMAGE_LOOK_AGAIN_NS;
        pod_wake(pod, c->image_retry_ns);
        pod_touch(pod);
}

/* Looks for the image where it would be. True: nothing more to be done now (it is here, or cannot be had). */
static bool look_for_image(struct pod *pod, struct container *c) {
        const char *policy = policy_of_needed(c), *image = pod_image_needed(c);
        struct image_facts facts = { 0 };
        _cleanup_free_ char *message = NULL;

        c->image_looked = true;
        switch (pod->ops->image_lookup(pod->ctx, image, &facts)) {
        case IMAGE_INVALID_NAME:
                message =
                        xasprintf("Failed to apply default image tag \"%s\": couldn't parse image name \"%s\": invalid "
                                  "reference format",
                                  image, image);
                image_hopeless(c, "InspectFailed", "InvalidImageName", message);
                return true;
        case IMAGE_PRESENT:
                if (streq(policy, "Always"))
                        return false;
                pod_event(pod, concerned(c), EVENT_NORMAL, "Pulled",
                          "Container image \"%s\" already present on machine and can be accessed by the pod", image);
                take_image(c, &facts);
                return true;
        case IMAGE_ABSENT:
                if (!streq(policy, "Never"))
                        return false;
                message = xasprintf("Container image \"%s\" is not present with pull policy of Never", image);
                image_hopeless(c, "ErrImageNeverPull", "ErrImageNeverPull", message);
                return true;
        }
        return false;
}

static void start_pull(struct pod *pod, struct container *c, struct pull *p) {
        pod_event(pod, concerned(c), EVENT_NORMAL, "Pulling", "Pulling image \"%s\"", p->image);
        c->image_asked = true;
        if (p->running)
                return;
        p->running = true;
        pod->state_dirty = true;
        effect_new(pod, EFFECT_IMAGE_PULL, NULL)->image = xstrdup(p->image);
}

/* The last try to pull failed: first that is shown, then that the next one is being waited for. */
static void wait_for_pull(struct pod *pod, struct pull *p) {
        int64_t shown_ns = p->failed_ns + PULL_ERROR_SHOWN_NS;

        if (!p->backoff_told && pod->now_ns >= shown_ns) {
                p->backoff_told = true;
                for (size_t i = 0; i < pod->n_containers; i++) {
                        struct container *c = pod->containers[i];

                        if (c->state != CONTAINER_IMAGE || !streq(pod_image_needed(c), p->image))
                                continue;
                        pod_event(pod, concerned(c), EVENT_NORMAL, "BackOff", "Back-off pulling image \"%s\"",
                                  p->image);
                        pod_event(pod, concerned(c), EVENT_WARNING, "Failed", "Error: ImagePullBackOff");
                }
                pod_touch(pod);
        }
        pod_wake(pod, p->backoff_told ? p->retry_ns : MIN(shown_ns, p->retry_ns));
}

/* True: the image it needed next is here. */
static bool ensure_next(struct pod *pod, struct container *c) {
        size_t at = c->image_at;
        struct pull *p;

        if (c->image_asked) /* a pull is under way */
                return false;
        if (c->image_reason) {
                if (pod->now_ns < c->image_retry_ns) {
                        pod_wake(pod, c->image_retry_ns);
                        return false;
                }
                c->image_looked = false;
        }
        if (!c->image_looked && look_for_image(pod, c))
                return c->image_ready || c->image_at > at;
        p = pull_get(pod, pod_image_needed(c));
        if (p->failed && !p->running && pod->now_ns < p->retry_ns) {
                wait_for_pull(pod, p);
                return false;
        }
        start_pull(pod, c, p);
        return false;
}

bool pod_ensure_image(struct pod *pod, struct container *c) {
        while (!c->image_ready)
                if (!ensure_next(pod, c))
                        return false;
        return true;
}

/* Go's way to print a duration, to the millisecond: "523ms", "1.5s", "1m2.25s". */
static char *format_duration(int64_t ns) {
        int64_t ms = ns / NSEC_PER_MSEC;
        char fraction[8] = "";

        if (ms < 1000)
                return xasprintf("%lldms", (long long)ms);
        if (ms % 1000) {
                int len = snprintf(fraction, sizeof(fraction), ".%03d", (int)(ms % 1000));

                while (fraction[len - 1] == '0')
                        fraction[--len] = '\0';
        }
        if (ms < 60000)
                return xasprintf("%lld%ss", (long long)ms / 1000, fraction);
        if (ms < 3600000)
                return xasprintf("%lldm%lld%ss", (long long)ms / 60000, (long long)ms / 1000 % 60, fraction);
        return xasprintf("%lldh%lldm%lld%ss", (long long)ms / 3600000, (long long)ms / 60000 % 60,
                         (long long)ms / 1000 % 60, fraction);
}

/* ---- whose turn is it ---- */

static bool all_initialized_before(const struct pod *pod, const struct container *c) {
        for (size_t i = 0; i < c->index; i++)
                if (pod->containers[i]->role <= ROLE_SIDECAR && !container_is_initialized(pod->containers[i]))
                        return false;
        return true;
}

bool pod_is_turn_of(const struct pod *pod, const struct container *c) {
        if (pod->state != POD_RUNNING || pod->sandbox.state != SANDBOX_UP || pod->volumes.state != VOLUMES_READY)
                return false;
        switch (c->role) {
        case ROLE_INIT:
                return !pod->initialized && all_initialized_before(pod, c);
        case ROLE_SIDECAR:
                return pod->initialized || all_initialized_before(pod, c);
        case ROLE_MAIN:
                return pod->initialized;
        case ROLE_EPHEMERAL:
                return !c->ran;
        }
        return false;
}

bool pod_is_turn_to_stop(const struct pod *pod, const struct container *c) {
        if (c->role != ROLE_SIDECAR)
                return true;
        for (size_t i = 0; i < pod->n_containers; i++) {
                const struct container *other = pod->containers[i];
                bool before = other->role == ROLE_MAIN || (other->role == ROLE_SIDECAR && other->index > c->index);

                if (before && container_is_busy(other))
                        return false;
        }
        return true;
}

int64_t pod_grace_ns(const struct pod *pod) {
        const V1ObjectMeta *meta = pod->spec->metadata;
        const V1PodSpec *spec = pod->spec->spec;

        if (pod->deleted && meta->has_deletiongraceperiodseconds)
                return seconds_to_ns(meta->deletiongraceperiodseconds);
        return seconds_to_ns(spec->has_terminationgraceperiodseconds ? spec->terminationgraceperiodseconds : 30);
}

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
static void pod_terminate(struct pod *pod, enum pod_cause cause, const char *reason, const char *message,
                          int64_t grace_ns) {
        int64_t deadline_ns = pod->now_ns + grace_ns;

        if (cause > pod->cause && pod->state < POD_RELEASING) {
                pod->cause = cause;
                set_string(&pod->reason, reason);
                set_string(&pod->message, message);
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
        if (!any_busy(pod) && pod->sandbox.state != SANDBOX_STARTING && pod->sandbox.state != SANDBOX_STOPPING)
                pod_move(pod, POD_RELEASING);
}

static void stop_sandbox(struct pod *pod) {
        pod->sandbox.state = SANDBOX_STOPPING;
        pod_effect(pod, EFFECT_SANDBOX_STOP, NULL);
        pod_touch(pod);
}

static void step_releasing(struct pod *pod) {
        if (pod->sandbox.state == SANDBOX_UP || pod->sandbox.state == SANDBOX_DEAD)
                stop_sandbox(pod);
        else if (pod->sandbox.state != SANDBOX_STOPPING)
                pod_move(pod, POD_ENDED);
}

/* ---- admission ---- */

/* Less important pods are to make room. Who it is for is said in the words of the scheduler that would do it. */
static void push_aside(struct pod *pod, const struct admission_result *result) {
        if (!streq_ptr(pod->nominated_node, result->nominated ? result->node : NULL)) {
                set_string(&pod->nominated_node, result->nominated ? result->node : NULL);
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
                set_string(&pod->nominated_node, NULL);
                if (result.node[0])
                        set_string(&pod->node, result.node);
                set_string(&pod->admission_message, NULL);
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
                set_string(&pod->admission_message, result.message);
                set_string(&pod->reason, NULL);
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
                perform_effects(pod);
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

/* ---- facts ---- */

/* Every event function begins with this: the clock goes on while the machine is at rest. False: nobody listens. */
static bool pod_listens(struct pod *pod) {
        if (pod->finished)
                return false;
        pod->now_ns = pod->ops->monotonic_ns(pod->ctx);
        return true;
}

struct container *pod_container(const struct pod *pod, const char *name) {
        for (size_t i = 0; i < pod->n_containers; i++)
                if (streq(pod->containers[i]->spec->name, name))
                        return pod->containers[i];
        return NULL;
}

/* The container, if it is this attempt of it that is meant. */
static struct container *container_of(const struct pod *pod, const char *name, unsigned attempt) {
        struct container *c = pod_container(pod, name);

        return c && c->attempt == attempt ? c : NULL;
}

static void add_container(struct pod *pod, struct container *c) {
        pod->containers = xreallocarray(pod->containers, pod->n_containers + 1, sizeof(struct container *));
        c->index = pod->n_containers;
        pod->containers[pod->n_containers++] = c;
}

bool pod_bind_containers(struct pod *pod) {
        const V1PodSpec *spec = pod->spec->spec, *granted = pod_allocated(pod)->spec;
        size_t n_init = spec->n_initcontainers, n_fixed = n_init + spec->n_containers;
        bool added = false;

        for (size_t i = 0; i < n_fixed + spec->n_ephemeralcontainers; i++) {
                struct container *c = i < pod->n_containers ? pod->containers[i] : NULL;

                if (!c) {
                        enum container_role role = i >= n_fixed ? ROLE_EPHEMERAL : ROLE_MAIN;

                        if (i < n_init)
                                role = streq_ptr(spec->initcontainers[i]->restartpolicy, "Always") ? ROLE_SIDECAR
                                                                                                   : ROLE_INIT;
                        c = container_new(pod, role, NULL);
                        add_container(pod, c);
                        added = true;
                }
                if (i < n_init)
                        container_set_spec(c, spec->initcontainers[i], granted->initcontainers[i]);
                else if (i < n_fixed)
                        container_set_spec(c, spec->containers[i - n_init], granted->containers[i - n_init]);
                else
                        container_set_ephemeral_spec(c, spec->ephemeralcontainers[i - n_fixed]);
        }
        return added;
}

/* Whoever deleted it may have said why. */
static void take_disruption(struct pod *pod) {
        const V1PodStatus *status = pod->spec->status;

        if (!pod->spec->metadata->deletiontimestamp || pod->disrupted)
                return;
        for (size_t i = 0; status && i < status->n_conditions; i++) {
                const V1PodCondition *c = status->conditions[i];

                if (!streq_ptr(c->type, "DisruptionTarget") || !streq_ptr(c->status, "True"))
                        continue;
                pod->disrupted = true;
                set_string(&pod->disruption_reason, c->reason ?: "");
                set_string(&pod->disruption_message, c->message);
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
        size_t fixed = pod->spec->spec->n_initcontainers + pod->spec->spec->n_containers;

        if (!pod_listens(pod)) {
                pod->spec = spec;
                return;
        }
        if (spec->spec->n_initcontainers + spec->spec->n_containers != fixed ||
            spec->spec->n_ephemeralcontainers < pod->spec->spec->n_ephemeralcontainers) {
                /* Validation allows no such change; keep to what there is rather than mix containers up. */
                pod_trace(pod, "pod: the number of containers changed; ignored");
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
                take_disruption(pod);
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
                c->image_retry_ns = MIN(c->image_retry_ns, pod->now_ns);
                if (c->state == CONTAINER_IMAGE && !c->image_asked)
                        c->image_looked = false; /* perhaps it was loaded meanwhile */
        }
        pod_step(pod);
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
        set_string(&found->reason, reason);
        set_string(&found->message, message);
        pod_touch(pod);
        pod_step(pod);
        return true;
}

static void take_addresses(struct pod *pod, const struct sandbox_facts *facts) {
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
        take_addresses(pod, facts);
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

void pod_volumes_failed(struct pod *pod, const char *message) {
        if (!pod_listens(pod) || pod->volumes.state != VOLUMES_ASKED)
                return;
        pod_event(pod, NULL, EVENT_WARNING, "FailedMount", "%s", message);
        pod->volumes.delay_ns =
                MIN(pod->volumes.delay_ns ? 2 * pod->volumes.delay_ns : VOLUMES_RETRY_NS, VOLUMES_RETRY_MAX_NS);
        pod->volumes.retry_ns = pod->now_ns + pod->volumes.delay_ns;
        pod->volumes.state = pod->volumes.again ? VOLUMES_WANTED : VOLUMES_RETRY;
        pod_touch(pod);
        pod_step(pod);
}

void pod_image_pulled(struct pod *pod, const char *image, const struct image_facts *facts) {
        struct pull *p = pod_pull(pod, image);
        _cleanup_free_ char *took = format_duration(facts->pull_ns), *waited = format_duration(facts->waited_ns);

        if (!pod_listens(pod) || !p || !p->running)
                return;
        p->running = false;
        p->failed = false;
        p->backoff = (struct backoff){ 0 };
        for (size_t i = 0; i < pod->n_containers; i++) {
                struct container *c = pod->containers[i];

                if (c->state != CONTAINER_IMAGE || !c->image_asked || !streq(pod_image_needed(c), image))
                        continue;
                pod_event(pod, concerned(c), EVENT_NORMAL, "Pulled",
                          "Successfully pulled image \"%s\" in %s (%s including waiting). Image size: %llu bytes.",
                          image, took, waited, (unsigned long long)facts->size);
                take_image(c, facts);
        }
        pod_touch(pod);
        pod_step(pod);
}

void pod_image_failed(struct pod *pod, const char *image, const char *reason, const char *message) {
        struct pull *p = pod_pull(pod, image);

        if (!pod_listens(pod) || !p || !p->running)
                return;
        p->running = false;
        p->failed = true;
        p->backoff_told = false;
        set_string(&p->reason, reason ?: "ErrImagePull");
        set_string(&p->message, message);
        backoff_advance(&p->backoff, pod->now_ns, pod->now_ns);
        p->failed_ns = pod->now_ns;
        p->retry_ns = pod->now_ns + p->backoff.delay_ns;
        for (size_t i = 0; i < pod->n_containers; i++) {
                struct container *c = pod->containers[i];

                if (c->state != CONTAINER_IMAGE || !c->image_asked || !streq(pod_image_needed(c), image))
                        continue;
                c->image_asked = false;
                pod_event(pod, concerned(c), EVENT_WARNING, "Failed", "Failed to pull image \"%s\": %s", image,
                          message);
                pod_event(pod, concerned(c), EVENT_WARNING, "Failed", "Error: %s", p->reason);
        }
        pod_touch(pod);
        pod_step(pod);
}

void pod_container_started(struct pod *pod, const char *name, unsigned attempt,
                           const struct container_started *started) {
        struct container *c = container_of(pod, name, attempt);

        if (!pod_listens(pod) || !c)
                return;
        container_started(c, started);
        pod_step(pod);
}

void pod_container_start_failed(struct pod *pod, const char *name, unsigned attempt, enum start_failure failure,
                                const char *message, const char *id) {
        struct container *c = container_of(pod, name, attempt);

        if (!pod_listens(pod) || !c)
                return;
        container_start_failed(c, failure, message, id);
        pod_step(pod);
}

void pod_container_exited(struct pod *pod, const char *name, unsigned attempt, const struct container_exit *end) {
        struct container *c = container_of(pod, name, attempt);

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

/* ---- going on ---- */

void pod_sandbox_found(struct pod *pod, unsigned attempt, const struct sandbox_facts *facts) {
        if (!pod->restoring || pod->sandbox.attempt != attempt)
                return;
        if (pod->sandbox.state == SANDBOX_STARTING || pod->sandbox.state == SANDBOX_UP) {
                pod->sandbox.state = SANDBOX_UP;
                pod->sandbox.found = true;
                if (facts && facts->ips)
                        take_addresses(pod, facts);
        }
}

void pod_container_found(struct pod *pod, const char *name, unsigned attempt, const struct container_started *started) {
        struct container *c = container_of(pod, name, attempt);

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

/* ---- the object ---- */

struct pod *pod_new(const struct pod_ops *ops, void *ctx, const V1Pod *spec) {
        struct pod *pod = new0(struct pod);

        pod->ops = ops;
        pod->ctx = ctx;
        pod->spec = spec;
        pod->uid = xstrdup(spec->metadata->uid ?: "");
        pod->name = xstrdup(spec->metadata->name ?: "");
        pod->namespace = xstrdup(spec->metadata->namespace_ ?: "default");
        pod->node = xstrdup(spec->spec->nodename);
        pod->deleted = spec->metadata->deletiontimestamp != NULL;
        pod->ask_admission = true;
        pod->wake_ns = INT64_MAX;
        pod_touch(pod);
        pod_bind_containers(pod);
        return pod;
}

struct pod *pod_restore(const struct pod_ops *ops, void *ctx, const V1Pod *spec, const json_t *state,
                        const json_t *events, bool same_boot) {
        struct pod *pod = pod_new(ops, ctx, spec);

        pod->restoring = true;
        pod->now_ns = ops->monotonic_ns(ctx);
        event_log_from_json(&pod->events, events);
        pod_load(pod, state, same_boot);
        take_disruption(pod);
        return pod;
}

static void condition_release(struct condition *c) {
        free(c->type);
        free(c->reason);
        free(c->message);
}

struct pod *pod_free(struct pod *pod) {
        if (!pod)
                return NULL;
        for (size_t i = 0; i < pod->n_containers; i++)
                container_free(pod->containers[i]);
        free(pod->containers);
        for (size_t i = 0; i < pod->n_pulls; i++)
                pull_free(pod->pulls[i]);
        free(pod->pulls);
        for (size_t i = 0; i < pod->n_conditions; i++)
                condition_release(&pod->conditions[i]);
        free(pod->conditions);
        for (size_t i = 0; i < pod->n_effects; i++)
                effect_release(&pod->effects[i]);
        free(pod->effects);
        event_log_release(&pod->events);
        strv_free(pod->sandbox.ips);
        strv_free(pod->sandbox.host_ips);
        api_arena_free(pod->status_arena);
        free(pod->uid);
        free(pod->name);
        free(pod->namespace);
        free(pod->node);
        free(pod->reason);
        free(pod->message);
        free(pod->disruption_reason);
        free(pod->disruption_message);
        free(pod->admission_message);
        free(pod->nominated_node);
        free(pod->resize_pending_reason);
        free(pod->resize_pending_message);
        free(pod->resize_error);
        api_arena_free(pod->resources_arena);
        api_arena_free(pod->allocated_arena);
        api_arena_free(pod->node_arena);
        free(pod);
        return NULL;
}

bool pod_container_run(const struct pod *pod, const char *name, struct container_run *ret) {
        const struct container *c = pod_container(pod, name);

        if (!c)
                return false;
        container_describe_run(c, ret);
        return true;
}

unsigned pod_sandbox_attempt(const struct pod *pod) {
        return pod->sandbox.attempt;
}

const V1PodStatus *pod_status(const struct pod *pod) {
        return pod->status;
}

const V1Pod *pod_spec(const struct pod *pod) {
        return pod->spec;
}
