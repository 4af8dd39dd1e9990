#include "husk-pod/resize.h"

#include "base/str.h"

/* A resize that failed is tried again, whether or not something has changed. */
#define RESIZE_RETRY_NS (10 * NSEC_PER_SEC)

/* ---- what is allocated ---- */

const V1Pod *pod_allocated(const struct pod *pod) {
        return pod->allocated ?: pod->spec;
}

static V1Container *container_in(const V1PodSpec *spec, size_t i) {
        return i < spec->n_initcontainers ? spec->initcontainers[i] : spec->containers[i - spec->n_initcontainers];
}

static size_t n_fixed(const V1PodSpec *spec) {
        return spec->n_initcontainers + spec->n_containers;
}

static bool same_requirements(const V1ResourceRequirements *a, const V1ResourceRequirements *b) {
        static const V1ResourceRequirements none = V1_RESOURCE_REQUIREMENTS__INIT;

        return api_equal(a ? &a->base : &none.base, b ? &b->base : &none.base);
}

static bool same_resources(const V1PodSpec *a, const V1PodSpec *b) {
        if (!same_requirements(a->resources, b->resources))
                return false;
        for (size_t i = 0; i < n_fixed(a); i++)
                if (!same_requirements(container_in(a, i)->resources, container_in(b, i)->resources))
                        return false;
        return true;
}

bool resize_is_desired(const struct pod *pod) {
        return pod->allocated != NULL;
}

static void forget_allocated(struct pod *pod) {
        api_arena_free(pod->allocated_arena);
        pod->allocated_arena = NULL;
        pod->allocated = NULL;
}

static void forget_pending(struct pod *pod) {
        if (!pod->resize_pending_message)
                return;
        free(TAKE_PTR(pod->resize_pending_reason));
        free(TAKE_PTR(pod->resize_pending_message));
        pod_touch(pod);
}

static V1ResourceRequirements *copy_requirements(struct api_arena *arena, const V1ResourceRequirements *r) {
        return r ? api_copy(arena, &r->base) : NULL;
}

/* `spec` with the resources of `granted`, in an arena of its own. */
static void keep_allocated(struct pod *pod, const V1Pod *spec, const V1PodSpec *granted) {
        struct api_arena *arena = api_arena_new();
        V1Pod *copy = api_copy(arena, &spec->base);

        copy->spec->resources = copy_requirements(arena, granted->resources);
        for (size_t i = 0; i < n_fixed(granted); i++)
                container_in(copy->spec, i)->resources = copy_requirements(arena, container_in(granted, i)->resources);
        forget_allocated(pod);
        pod->allocated_arena = arena;
        pod->allocated = copy;
}

void resize_desired(struct pod *pod, const V1Pod *spec) {
        const V1Pod *granted = pod_allocated(pod);

        if (pod->scheduled && !same_resources(granted->spec, spec->spec))
                keep_allocated(pod, spec, granted->spec);
        else {
                forget_allocated(pod);
                forget_pending(pod);
        }
        pod->spec = spec;
}

/* ---- what is applied ---- */

static void remember(struct api_arena **arena, V1ResourceRequirements **applied, const V1ResourceRequirements *r) {
        api_arena_free(*arena);
        *arena = r ? api_arena_new() : NULL;
        *applied = r ? api_copy(*arena, &r->base) : NULL;
}

void resize_remember(struct container *c) {
        remember(&c->resources_arena, &c->resources, c->granted->resources);
}

void resize_remember_pod(struct pod *pod) {
        remember(&pod->resources_arena, &pod->resources, pod_allocated(pod)->spec->resources);
        pod->cgroup_is_old = false;
}

static bool quantity_differs(V1QuantityEntry *const *a, size_t n_a, V1QuantityEntry *const *b, size_t n_b,
                             const char *key) {
        return !api_equal_messages(api_quantity_get(a, n_a, key), api_quantity_get(b, n_b, key));
}

static bool resource_differs(const V1ResourceRequirements *a, const V1ResourceRequirements *b, const char *key) {
        static const V1ResourceRequirements none = V1_RESOURCE_REQUIREMENTS__INIT;

        a = a ?: &none;
        b = b ?: &none;
        return quantity_differs(a->limits, a->n_limits, b->limits, b->n_limits, key) ||
               quantity_differs(a->requests, a->n_requests, b->requests, b->n_requests, key);
}

/* A container without a limit of its own has the pod's, and that one is about to change. */
static bool inherits_change(const struct container *c, const char *key) {
        const V1ResourceRequirements *own = c->granted->resources, *granted = pod_allocated(c->pod)->spec->resources;

        return !(own && api_quantity_get(own->limits, own->n_limits, key)) &&
               resource_differs(c->pod->resources, granted, key);
}

bool resize_is_due(const struct container *c) {
        static const char *const keys[] = { "cpu", "memory" };
        bool due = false;

        if (!container_is_alive(c) || c->role == ROLE_EPHEMERAL)
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                due = due || resource_differs(c->resources, c->granted->resources, keys[i]) ||
                      inherits_change(c, keys[i]);
        return due;
}

bool resize_needs_restart(const struct container *c) {
        if (!resize_is_due(c))
                return false;
        for (size_t i = 0; i < c->spec->n_resizepolicy; i++) {
                const V1ContainerResizePolicy *policy = c->spec->resizepolicy[i];

                if (streq_ptr(policy->restartpolicy, "RestartContainer") && policy->resourcename &&
                    resource_differs(c->resources, c->granted->resources, policy->resourcename))
                        return true;
        }
        return false;
}

/* ---- events ---- */

static json_t *summary_of(const struct pod *pod, bool init) {
        json_t *array = json_array();

        for (size_t i = 0; i < pod->n_containers; i++) {
                const struct container *c = pod->containers[i];
                const V1ResourceRequirements *r = c->spec->resources;

                if (c->role == ROLE_EPHEMERAL || (c->role <= ROLE_SIDECAR) != init)
                        continue;
                json_array_append_new(array, json_pack("{s:s, s:o}", "name", c->spec->name, "resources",
                                                       r ? api_encode(&r->base) : json_object()));
        }
        return array;
}

/* What a resize is about, as a kubelet's events say it. */
static char *summary(const struct pod *pod, const char *error) {
        const V1ResourceRequirements *own = pod->spec->spec->resources;
        json_t *json = json_object(), *init = summary_of(pod, true);
        char *text;

        if (own)
                json_object_set_new(json, "resources", api_encode(&own->base));
        if (json_array_size(init))
                json_object_set(json, "initContainers", init);
        json_object_set_new(json, "containers", summary_of(pod, false));
        json_object_set_new(json, "generation", json_integer(pod_generation(pod)));
        if (error)
                json_object_set_new(json, "error", json_string(error));
        text = json_dumps(json, JSON_COMPACT);
        json_decref(init);
        json_decref(json);
        return text;
}

static void resize_event(struct pod *pod, enum event_type type, const char *reason, const char *word,
                         const char *error) {
        _cleanup_free_ char *text = summary(pod, error);

        pod_event(pod, NULL, type, reason, "Pod resize %s: %s", word, text ?: "");
}

/* ---- desired to allocated ---- */

/* The node has room: from now on this is what the pod has. */
static void allocate(struct pod *pod) {
        forget_allocated(pod);
        pod_bind_containers(pod);
        forget_pending(pod);
        pod->resizing = true;
        pod->resizing_generation = pod_generation(pod);
        pod->cgroup_is_old = true;
        free(TAKE_PTR(pod->resize_error));
        resize_event(pod, EVENT_NORMAL, "ResizeStarted", "started", NULL);
        pod->moved = true;
        pod_touch(pod);
}

static void wait_for_room(struct pod *pod, const struct admission_result *result) {
        bool infeasible = streq(result->reason, "Infeasible");
        const char *reason = infeasible ? "Infeasible" : "Deferred";

        if (streq_ptr(pod->resize_pending_reason, reason) && streq_ptr(pod->resize_pending_message, result->message) &&
            pod->pending_generation == pod_generation(pod))
                return;
        free(pod->resize_pending_reason);
        free(pod->resize_pending_message);
        pod->resize_pending_reason = xstrdup(reason);
        pod->resize_pending_message = xstrdup(result->message);
        pod->pending_generation = pod_generation(pod);
        resize_event(pod, EVENT_WARNING, infeasible ? "ResizeInfeasible" : "ResizeDeferred", reason, result->message);
        pod->moved = true;
        pod_touch(pod);
}

static void ask(struct pod *pod) {
        struct admission_result result = { 0 };

        pod->ask_admission = false;
        if (!resize_is_desired(pod))
                return;
        pod->ops->admit(pod->ctx, &result);
        if (result.admission == ADMIT_YES)
                allocate(pod);
        else
                wait_for_room(pod, &result);
}

/* ---- allocated to applied ---- */

/* A container that is restarted for it is ended first (container.c); what it gets then, the pod must have. */
static bool awaits_restart(const struct pod *pod) {
        for (size_t i = 0; i < pod->n_containers; i++)
                if (resize_needs_restart(pod->containers[i]))
                        return true;
        return false;
}

static void fail(struct pod *pod, const char *message) {
        pod->resize_retry_ns = pod->now_ns + RESIZE_RETRY_NS;
        pod_wake(pod, pod->resize_retry_ns);
        if (streq_ptr(pod->resize_error, message))
                return;
        free(pod->resize_error);
        pod->resize_error = xstrdup(message);
        resize_event(pod, EVENT_WARNING, "ResizeError", "error", message);
        pod_touch(pod);
}

static void complete(struct pod *pod) {
        pod->resizing = false;
        free(TAKE_PTR(pod->resize_error));
        resize_event(pod, EVENT_NORMAL, "ResizeCompleted", "completed", NULL);
        pod->moved = true;
        pod_touch(pod);
}

static void apply(struct pod *pod, struct container **due, size_t n) {
        _cleanup_free_ struct container_run *runs = xcalloc(n + 1, sizeof(*runs));

        for (size_t i = 0; i < n; i++)
                container_describe_run(due[i], &runs[i]);
        pod->resize_asked = true;
        pod->resize_sandbox = pod->sandbox.attempt;
        pod->ops->resize(pod->ctx, runs, n);
}

void pod_resized(struct pod *pod, const struct resized_run *done, size_t n, const char *failure) {
        if (!pod_listens(pod) || !pod->resize_asked)
                return;
        pod->resize_asked = false;
        /* Nobody wants to know of a sandbox that is gone: the next one is made with what is allocated. */
        bool counts = pod->sandbox.state == SANDBOX_UP && pod->sandbox.attempt == pod->resize_sandbox;
        for (size_t i = 0; counts && i < n; i++) {
                struct container *c = pod_container(pod, done[i].name);

                if (c && c->attempt == done[i].attempt && container_is_alive(c))
                        resize_remember(c);
        }
        if (counts && failure) {
                fail(pod, failure);
        } else if (counts) {
                resize_remember_pod(pod);
                complete(pod);
        }
        pod_step(pod);
}

static void step_apply(struct pod *pod) {
        _cleanup_free_ struct container **due = xcalloc(pod->n_containers + 1, sizeof(struct container *));
        size_t n = 0;

        if (pod->sandbox.state == SANDBOX_STARTING || awaits_restart(pod))
                return;
        for (size_t i = 0; i < pod->n_containers; i++)
                if (resize_is_due(pod->containers[i]))
                        due[n++] = pod->containers[i];
        if (pod->sandbox.state !=
            SANDBOX_UP) { /* the next one is made with what is allocated, and so is what it holds */
                resize_remember_pod(pod);
                if (!n)
                        complete(pod);
                return;
        }
        if (pod->resize_error && pod->now_ns < pod->resize_retry_ns) {
                pod_wake(pod, pod->resize_retry_ns);
                return;
        }
        if (n || pod->cgroup_is_old)
                apply(pod, due, n);
        else
                complete(pod);
}

void resize_step(struct pod *pod) {
        if (pod->resize_asked)
                return;
        if (pod->ask_admission)
                ask(pod);
        if (pod->resizing)
                step_apply(pod);
}

void resize_retry(struct pod *pod) {
        pod->resize_retry_ns = 0;
}

/* ---- for a successor ---- */

static json_t *requirements_json(const V1ResourceRequirements *r) {
        return r ? api_encode(&r->base) : json_null();
}

void resize_save(const struct pod *pod, json_t *state) {
        json_t *containers = json_object();
        const V1PodSpec *granted = pod_allocated(pod)->spec;

        for (size_t i = 0; i < n_fixed(granted); i++)
                json_object_set_new(containers, container_in(granted, i)->name,
                                    requirements_json(container_in(granted, i)->resources));
        json_object_set_new(
                state, "allocated",
                json_pack("{s:o, s:o}", "pod", requirements_json(granted->resources), "containers", containers));
}

/* What cannot be read is taken as it is in the object. */
static void load_requirements(const json_t *json, struct api_arena *arena, V1ResourceRequirements **ret) {
        V1ResourceRequirements *r = NULL;

        if (!json)
                return;
        if (json_is_object(json)) {
                _cleanup_error_ struct error *err =
                        api_decode_stored(json, &v1_resource_requirements__descriptor, arena, &r);

                if (err)
                        return;
        }
        *ret = r;
}

void resize_load(struct pod *pod, const json_t *state) {
        const json_t *json = json_object_get(state, "allocated"), *containers = json_object_get(json, "containers");
        V1Pod *copy;

        if (!json || !pod->scheduled)
                return;
        forget_allocated(pod);
        pod->allocated_arena = api_arena_new();
        copy = api_copy(pod->allocated_arena, &pod->spec->base);
        load_requirements(json_object_get(json, "pod"), pod->allocated_arena, &copy->spec->resources);
        for (size_t i = 0; i < n_fixed(copy->spec); i++) {
                V1Container *c = container_in(copy->spec, i);

                load_requirements(json_object_get(containers, c->name), pod->allocated_arena, &c->resources);
        }
        pod->allocated = copy;
        if (same_resources(copy->spec, pod->spec->spec)) {
                forget_allocated(pod);
                forget_pending(pod);
        } else
                pod->ask_admission = true;
        pod_bind_containers(pod);
}
