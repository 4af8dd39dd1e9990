/* The state of the machine as JSON: what a successor needs to go on exactly where this supervisor stopped.
 *
 * One table per struct says which fields are kept under which name, so that reading and writing cannot drift apart; a
 * field that is missing or of another type in what is read stays as pod_new() made it. Instants called monotonic are
 * worth something only in the same boot. */

#include <signal.h>
#include <stdio.h>

#include "base/str.h"
#include "husk-pod/resize.h"

enum kept {
        KEPT_BOOL,
        KEPT_INT, /* int, unsigned, enum or pid_t */
        KEPT_INT64,
        KEPT_MONOTONIC, /* int64_t; dropped after a reboot */
        KEPT_STRING,
        KEPT_STRINGS,
};

struct kept_field {
        const char *name;
        size_t offset;
        enum kept kind;
        int max; /* KEPT_INT that is an enum: its number of values; 0: any number not below zero */
};

#define FIELD(type, member, kind, ...) \
        { #member, offsetof(struct type, member), kind, ##__VA_ARGS__ }
#define END \
        { 0 }

static const struct kept_field probe_fields[] = {
        FIELD(probe, value, KEPT_INT, PROBE_FAILURE + 1),
        FIELD(probe, last, KEPT_INT, PROBE_FAILURE + 1),
        FIELD(probe, in_a_row, KEPT_INT),
        FIELD(probe, next_ns, KEPT_MONOTONIC),
        END,
};

static const struct kept_field termination_fields[] = {
        FIELD(termination, set, KEPT_BOOL),          FIELD(termination, exit_code, KEPT_INT),
        FIELD(termination, reason, KEPT_STRING),     FIELD(termination, message, KEPT_STRING),
        FIELD(termination, id, KEPT_STRING),         FIELD(termination, started_ns, KEPT_INT64),
        FIELD(termination, finished_ns, KEPT_INT64), END,
};

static const struct kept_field backoff_fields[] = {
        FIELD(backoff, delay_ns, KEPT_MONOTONIC), /* a new boot starts a new series */
        FIELD(backoff, updated_ns, KEPT_MONOTONIC),
        END,
};

static const struct kept_field container_fields[] = {
        FIELD(container, state, KEPT_INT, _CONTAINER_STATE_MAX),
        FIELD(container, attempt, KEPT_INT),
        FIELD(container, ran, KEPT_BOOL),
        FIELD(container, restarts, KEPT_INT),
        FIELD(container, image, KEPT_STRING),
        FIELD(container, image_id, KEPT_STRING),
        FIELD(container, image_name, KEPT_STRING),
        FIELD(container, id, KEPT_STRING),
        FIELD(container, pid, KEPT_INT),
        FIELD(container, pid_start_time, KEPT_INT64),
        FIELD(container, started_ns, KEPT_INT64),
        FIELD(container, started_monotonic_ns, KEPT_MONOTONIC),
        FIELD(container, ended_monotonic_ns, KEPT_MONOTONIC),
        FIELD(container, has_user, KEPT_BOOL),
        FIELD(container, uid, KEPT_INT64),
        FIELD(container, gid, KEPT_INT64),
        FIELD(container, stop_signal, KEPT_INT, _NSIG),
        FIELD(container, started, KEPT_BOOL),
        FIELD(container, has_been_started, KEPT_BOOL),
        FIELD(container, verdict, KEPT_INT, RESTART_EVERYTHING + 1),
        FIELD(container, restart_forced, KEPT_BOOL),
        FIELD(container, restart_all_seen, KEPT_BOOL),
        FIELD(container, backoff_told, KEPT_BOOL),
        FIELD(container, backoff_due, KEPT_BOOL),
        FIELD(container, held_reason, KEPT_STRING),
        FIELD(container, held_message, KEPT_STRING),
        FIELD(container, failure, KEPT_INT, _START_FAILURE_MAX),
        FIELD(container, failure_message, KEPT_STRING),
        FIELD(container, retry_ns, KEPT_MONOTONIC),
        FIELD(container, stop_step, KEPT_INT, STOP_STEP_KILLED + 1),
        FIELD(container, stop_cause, KEPT_INT, _STOP_CAUSE_MAX),
        FIELD(container, stop_deadline_ns, KEPT_MONOTONIC),
        FIELD(container, stop_delayed, KEPT_BOOL),
        FIELD(container, kill_ns, KEPT_MONOTONIC),
        FIELD(container, kill_interval_ns, KEPT_INT64),
        END,
};

static const struct kept_field pull_fields[] = {
        FIELD(pull, failed, KEPT_BOOL),
        FIELD(pull, backoff_told, KEPT_BOOL),
        FIELD(pull, reason, KEPT_STRING),
        FIELD(pull, message, KEPT_STRING),
        FIELD(pull, failed_ns, KEPT_MONOTONIC),
        FIELD(pull, retry_ns, KEPT_MONOTONIC),
        END,
};

static const struct kept_field condition_fields[] = {
        FIELD(condition, reason, KEPT_STRING),
        FIELD(condition, message, KEPT_STRING),
        FIELD(condition, transition_ns, KEPT_INT64),
        FIELD(condition, foreign, KEPT_BOOL),
        END,
};

static const struct kept_field pod_fields[] = {
        FIELD(pod, state, KEPT_INT, _POD_STATE_MAX),
        FIELD(pod, cause, KEPT_INT, _POD_CAUSE_MAX),
        FIELD(pod, node, KEPT_STRING),
        FIELD(pod, reason, KEPT_STRING),
        FIELD(pod, message, KEPT_STRING),
        FIELD(pod, scheduled, KEPT_BOOL),
        FIELD(pod, start_ns, KEPT_INT64),
        FIELD(pod, start_monotonic_ns, KEPT_MONOTONIC),
        FIELD(pod, stop_deadline_ns, KEPT_MONOTONIC),
        FIELD(pod, initialized, KEPT_BOOL),
        FIELD(pod, was_initialized, KEPT_BOOL),
        FIELD(pod, restarting_all, KEPT_BOOL),
        FIELD(pod, disrupted, KEPT_BOOL),
        FIELD(pod, disruption_reason, KEPT_STRING),
        FIELD(pod, disruption_message, KEPT_STRING),
        FIELD(pod, admission_message, KEPT_STRING),
        FIELD(pod, nominated_node, KEPT_STRING),
        FIELD(pod, resize_pending_reason, KEPT_STRING),
        FIELD(pod, resize_pending_message, KEPT_STRING),
        FIELD(pod, pending_generation, KEPT_INT64),
        FIELD(pod, resizing, KEPT_BOOL),
        FIELD(pod, resizing_generation, KEPT_INT64),
        FIELD(pod, cgroup_is_old, KEPT_BOOL),
        FIELD(pod, resize_error, KEPT_STRING),
        FIELD(pod, taint_since_ns, KEPT_MONOTONIC),
        FIELD(pod, sandbox.state, KEPT_INT, _SANDBOX_STATE_MAX),
        FIELD(pod, sandbox.attempt, KEPT_INT),
        FIELD(pod, sandbox.ever, KEPT_BOOL),
        FIELD(pod, sandbox.retry_ns, KEPT_MONOTONIC),
        FIELD(pod, sandbox.delay_ns, KEPT_INT64),
        FIELD(pod, sandbox.ips, KEPT_STRINGS),
        FIELD(pod, sandbox.host_ips, KEPT_STRINGS),
        FIELD(pod, volumes.state, KEPT_INT, _VOLUMES_STATE_MAX),
        FIELD(pod, volumes.retry_ns, KEPT_MONOTONIC),
        FIELD(pod, volumes.delay_ns, KEPT_INT64),
        FIELD(pod, next_run_id, KEPT_INT64),
        END,
};

/* Enums are as wide as int here, and so is pid_t. */
_Static_assert(sizeof(enum container_state) == sizeof(int) && sizeof(pid_t) == sizeof(int), "KEPT_INT");

/* ---- writing ---- */

static json_t *strings_json(char *const *v) {
        json_t *array = json_array();

        for (size_t i = 0; v && v[i]; i++)
                json_array_append_new(array, event_text_json(v[i]));
        return array;
}

/* What has its initial value is left out. */
static json_t *field_json(const struct kept_field *f, const void *object) {
        const char *p = (const char *)object + f->offset;

        switch (f->kind) {
        case KEPT_BOOL:
                return *(const bool *)p ? json_true() : NULL;
        case KEPT_INT:
                return *(const int *)p ? json_integer(*(const int *)p) : NULL;
        case KEPT_INT64:
        case KEPT_MONOTONIC:
                return *(const int64_t *)p ? json_integer(*(const int64_t *)p) : NULL;
        case KEPT_STRING:
                return *(char *const *)p ? event_text_json(*(char *const *)p) : NULL;
        case KEPT_STRINGS:
                return *(char **const *)p ? strings_json(*(char **const *)p) : NULL;
        }
        return NULL;
}

/* `lasting`: only what is still worth something in another boot. */
static json_t *fields_json(const struct kept_field *fields, const void *object, bool lasting) {
        json_t *json = json_object();

        for (const struct kept_field *f = fields; f->name; f++) {
                json_t *value = lasting && f->kind == KEPT_MONOTONIC ? NULL : field_json(f, object);

                if (value)
                        json_object_set_new(json, f->name, value);
        }
        return json;
}

static json_t *container_json(const struct container *c, bool lasting) {
        json_t *json = fields_json(container_fields, c, lasting), *groups = json_array();

        for (int i = 0; i < c->n_groups; i++)
                json_array_append_new(groups, json_integer(c->groups[i]));
        json_object_set_new(json, "name", json_string(c->spec->name));
        json_object_set_new(json, "groups", groups);
        json_object_set_new(json, "term", fields_json(termination_fields, &c->term, lasting));
        json_object_set_new(json, "last", fields_json(termination_fields, &c->last, lasting));
        if (c->resources)
                json_object_set_new(json, "resources", api_encode(&c->resources->base));
        if (lasting)
                return json;
        json_object_set_new(json, "backoff", fields_json(backoff_fields, &c->backoff, lasting));
        json_object_set_new(json, "startup", fields_json(probe_fields, &c->startup, lasting));
        json_object_set_new(json, "liveness", fields_json(probe_fields, &c->liveness, lasting));
        json_object_set_new(json, "readiness", fields_json(probe_fields, &c->readiness, lasting));
        return json;
}

static json_t *pull_json(const struct pull *p) {
        json_t *json = fields_json(pull_fields, p, false);

        json_object_set_new(json, "image", event_text_json(p->image));
        json_object_set_new(json, "backoff", fields_json(backoff_fields, &p->backoff, false));
        return json;
}

static json_t *condition_json(const struct condition *c) {
        json_t *json = fields_json(condition_fields, c, true);

        json_object_set_new(json, "type", event_text_json(c->type));
        json_object_set_new(json, "status", event_text_json(c->status));
        return json;
}

static json_t *pod_json(const struct pod *pod, bool lasting) {
        json_t *json = fields_json(pod_fields, pod, lasting);
        json_t *containers = json_array(), *pulls = json_array(), *conditions = json_array();

        for (size_t i = 0; i < pod->n_containers; i++)
                json_array_append_new(containers, container_json(pod->containers[i], lasting));
        for (size_t i = 0; i < pod->n_pulls && !lasting; i++)
                json_array_append_new(pulls, pull_json(pod->pulls[i]));
        for (size_t i = 0; i < pod->n_conditions; i++)
                json_array_append_new(conditions, condition_json(&pod->conditions[i]));
        resize_save(pod, json);
        if (pod->resources)
                json_object_set_new(json, "resources", api_encode(&pod->resources->base));
        json_object_set_new(json, "version", json_integer(1));
        json_object_set_new(json, "phase", json_string(pod->phase));
        json_object_set_new(json, "containers", containers);
        json_object_set_new(json, "pulls", pulls);
        json_object_set_new(json, "conditions", conditions);
        return json;
}

json_t *pod_save(const struct pod *pod) {
        return pod_json(pod, false);
}

json_t *pod_save_lasting(const struct pod *pod) {
        return pod_json(pod, true);
}

/* ---- reading ---- */

static void load_strings(char ***p, const json_t *array) {
        size_t i;
        json_t *item;

        *p = strv_free(*p);
        json_array_foreach(array, i, item) if (json_is_string(item)) *p = strv_add(*p, json_string_value(item));
}

static void load_int(const struct kept_field *f, int *p, json_int_t value) {
        if (value < 0 || value > INT32_MAX || (f->max && value >= f->max))
                return;
        *p = (int)value;
}

static void load_field(const struct kept_field *f, void *object, const json_t *value, bool same_boot) {
        char *p = (char *)object + f->offset;

        switch (f->kind) {
        case KEPT_BOOL:
                if (json_is_boolean(value))
                        *(bool *)p = json_is_true(value);
                break;
        case KEPT_INT:
                if (json_is_integer(value))
                        load_int(f, (int *)p, json_integer_value(value));
                break;
        case KEPT_MONOTONIC:
                if (!same_boot)
                        break;
                /* fall through */
        case KEPT_INT64:
                if (json_is_integer(value))
                        *(int64_t *)p = json_integer_value(value);
                break;
        case KEPT_STRING:
                if (json_is_string(value)) {
                        free(*(char **)p);
                        *(char **)p = xstrdup(json_string_value(value));
                }
                break;
        case KEPT_STRINGS:
                load_strings((char ***)p, value);
                break;
        }
}

static void load_fields(const struct kept_field *fields, void *object, const json_t *json, bool same_boot) {
        for (const struct kept_field *f = fields; f->name; f++) {
                const json_t *value = json_object_get(json, f->name);

                if (value)
                        load_field(f, object, value, same_boot);
        }
}

static void load_resources(struct container *c, const json_t *json) {
        _cleanup_error_ struct error *err = NULL;

        if (!json)
                return;
        c->resources_arena = api_arena_new();
        err = api_decode_stored(json, &v1_resource_requirements__descriptor, c->resources_arena, &c->resources);
        if (err)
                c->resources = NULL;
}

static void load_pod_resources(struct pod *pod, const json_t *json) {
        _cleanup_error_ struct error *err = NULL;

        if (!json)
                return;
        pod->resources_arena = api_arena_new();
        err = api_decode_stored(json, &v1_resource_requirements__descriptor, pod->resources_arena, &pod->resources);
        if (err)
                pod->resources = NULL;
}

static void load_groups(struct container *c, const json_t *array) {
        size_t i;
        json_t *item;

        c->groups = xcalloc(json_array_size(array) + 1, sizeof(int64_t));
        json_array_foreach(array, i, item) c->groups[c->n_groups++] = json_integer_value(item);
}

/* States in which something was asked of the dead predecessor's runtime that it can no longer answer. */
static void forget_questions(struct container *c) {
        bool restarts = c->ran && c->term.set && (c->verdict == RESTART_YES || c->restart_forced);

        if (c->state == CONTAINER_IMAGE)
                c->state = restarts ? CONTAINER_EXITED : CONTAINER_WAITING;
        if (c->state >= CONTAINER_POST_START && c->state <= CONTAINER_STOPPING && !c->ran)
                c->state = CONTAINER_WAITING; /* makes no sense */
}

static void load_container(struct container *c, const json_t *json, bool same_boot) {
        load_fields(container_fields, c, json, same_boot);
        load_fields(termination_fields, &c->term, json_object_get(json, "term"), true);
        load_fields(termination_fields, &c->last, json_object_get(json, "last"), true);
        load_fields(backoff_fields, &c->backoff, json_object_get(json, "backoff"), same_boot);
        load_fields(probe_fields, &c->startup, json_object_get(json, "startup"), same_boot);
        load_fields(probe_fields, &c->liveness, json_object_get(json, "liveness"), same_boot);
        load_fields(probe_fields, &c->readiness, json_object_get(json, "readiness"), same_boot);
        load_groups(c, json_object_get(json, "groups"));
        load_resources(c, json_object_get(json, "resources"));
        if (c->state == CONTAINER_EXITED && !c->term.set)
                c->state = CONTAINER_WAITING;
        forget_questions(c);
}

static void load_containers(struct pod *pod, const json_t *array, bool same_boot) {
        size_t i;
        json_t *json;

        json_array_foreach(array, i, json) {
                const char *name = json_string_value(json_object_get(json, "name"));
                struct container *c = name ? pod_container(pod, name) : NULL;

                if (c && !c->groups)
                        load_container(c, json, same_boot);
        }
}

static void load_pulls(struct pod *pod, const json_t *array, bool same_boot) {
        size_t i;
        json_t *json;

        json_array_foreach(array, i, json) {
                const char *image = json_string_value(json_object_get(json, "image"));
                struct pull *p;

                if (!image || pod_pull(pod, image))
                        continue;
                p = new0(struct pull);
                p->image = xstrdup(image);
                load_fields(pull_fields, p, json, same_boot);
                load_fields(backoff_fields, &p->backoff, json_object_get(json, "backoff"), same_boot);
                p->failed &= p->reason != NULL;
                pod->pulls = xreallocarray(pod->pulls, pod->n_pulls + 1, sizeof(struct pull *));
                pod->pulls[pod->n_pulls++] = p;
        }
}

static void load_conditions(struct pod *pod, const json_t *array) {
        size_t i;
        json_t *json;

        json_array_foreach(array, i, json) {
                const char *type = json_string_value(json_object_get(json, "type"));
                const char *status = json_string_value(json_object_get(json, "status"));
                struct condition *c;

                if (!type || !status)
                        continue;
                pod->conditions = xreallocarray(pod->conditions, pod->n_conditions + 1, sizeof(struct condition));
                c = &pod->conditions[pod->n_conditions++];
                *c = (struct condition){ .type = xstrdup(type) };
                snprintf(c->status, sizeof(c->status), "%s", status);
                load_fields(condition_fields, c, json, true);
        }
}

void pod_load(struct pod *pod, const json_t *state, bool same_boot) {
        const char *phase = json_string_value(json_object_get(state, "phase"));

        if (json_integer_value(json_object_get(state, "version")) != 1)
                return;
        load_fields(pod_fields, pod, state, same_boot);
        load_pod_resources(pod, json_object_get(state, "resources"));
        load_containers(pod, json_object_get(state, "containers"), same_boot);
        load_pulls(pod, json_object_get(state, "pulls"), same_boot);
        load_conditions(pod, json_object_get(state, "conditions"));
        resize_load(pod, state);
        snprintf(pod->phase, sizeof(pod->phase), "%s", phase ?: "");
        if (pod->volumes.state == VOLUMES_ASKED)
                pod->volumes.state = VOLUMES_WANTED;
        if (!same_boot) {
                pod->volumes.state = VOLUMES_WANTED; /* mounts went with the last boot */
                if (pod->scheduled)
                        pod->start_monotonic_ns = pod->now_ns - MAX(pod_realtime(pod) - pod->start_ns, 0);
        }
        pod->ask_admission = pod->state == POD_WAITING;
}
