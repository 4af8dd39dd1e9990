#include "husk/pod-summary.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/duration.h"
#include "server/field.h"

static void set_status(struct pod_summary *s, char *status) {
        free(s->status);
        s->status = status;
}

static bool is_sidecar(const json_t *pod, const char *name) {
        const json_t *container = field_find(pod, "spec.initContainers", "name", name);
        return streq_ptr(field_text(container, "restartPolicy"), "Always");
}

/* Counts the restarts of one container. */
static void add_restarts(struct pod_summary *s, const json_t *status) {
        const char *finished = field_text(status, "lastState.terminated.finishedAt");
        int64_t when;

        s->restarts += field_number(status, "restartCount", 0);
        if (finished && rfc3339_parse(finished, &when, NULL))
                s->last_restart = MAX(s->last_restart, when);
}

/* How an ended container is called: its reason, else what ended it. */
static char *terminated_text(const json_t *terminated, const char *prefix) {
        const char *reason = field_text_or(terminated, "reason", "");

        if (*reason)
                return xasprintf("%s%s", prefix, reason);
        int64_t signal = field_number(terminated, "signal", 0);
        if (signal)
                return xasprintf("%sSignal:%" PRId64, prefix, signal);
        return xasprintf("%sExitCode:%" PRId64, prefix, field_number(terminated, "exitCode", 0));
}

/* True if this init container (the i-th) is what the pod waits for, or failed at; the status then says so. */
static bool init_container_holds(struct pod_summary *s, const json_t *pod, const json_t *status, bool sidecar,
                                 size_t i) {
        const json_t *terminated = field_at(status, "state.terminated");
        const char *waiting = field_text_or(status, "state.waiting.reason", "");

        if (terminated && field_number(terminated, "exitCode", 0) == 0)
                return false;
        if (sidecar && field_is_true(status, "started")) {
                s->ready += field_is_true(status, "ready");
                return false;
        }
        if (terminated)
                set_status(s, terminated_text(terminated, "Init:"));
        else if (*waiting && !streq(waiting, "PodInitializing"))
                set_status(s, xasprintf("Init:%s", waiting));
        else
                set_status(s, xasprintf("Init:%zu/%zu", i, json_array_size(field_at(pod, "spec.initContainers"))));
        return true;
}

/* Goes through the init containers in order; true if the pod is not past them. */
static bool add_init_containers(struct pod_summary *s, const json_t *pod, struct pod_summary *sidecars) {
        json_t *status;
        size_t i;

        json_array_foreach(field_at(pod, "status.initContainerStatuses"), i, status) {
                bool sidecar = is_sidecar(pod, field_text_or(status, "name", ""));
                add_restarts(s, status);
                if (sidecar)
                        add_restarts(sidecars, status);
                if (init_container_holds(s, pod, status, sidecar, i))
                        return true;
        }
        return false;
}

static void add_containers(struct pod_summary *s, const json_t *pod) {
        const json_t *statuses = field_at(pod, "status.containerStatuses");
        bool has_running = false;

        for (size_t i = json_array_size(statuses); i-- > 0;) {
                const json_t *status = json_array_get(statuses, i);
                const json_t *terminated = field_at(status, "state.terminated");
                const char *waiting = field_text_or(status, "state.waiting.reason", "");

                add_restarts(s, status);
                if (*waiting) {
                        set_status(s, xstrdup(waiting));
                } else if (terminated) {
                        set_status(s, terminated_text(terminated, ""));
                } else if (field_is_true(status, "ready") && field_at(status, "state.running")) {
                        has_running = true;
                        s->ready++;
                }
        }
        /* One has ended well and another still runs: the pod as a whole is not completed. */
        if (has_running && streq(s->status, "Completed"))
                set_status(s, xstrdup(streq_ptr(field_condition(pod, "Ready"), "True") ? "Running" : "NotReady"));
}

static size_t count_containers(const json_t *pod) {
        size_t n = json_array_size(field_at(pod, "spec.containers")), i;
        json_t *container;

        json_array_foreach(field_at(pod, "spec.initContainers"), i, container) n +=
                streq_ptr(field_text(container, "restartPolicy"), "Always");
        return n;
}

static bool is_terminal(const json_t *pod) {
        const char *phase = field_text_or(pod, "status.phase", "");
        return streq(phase, "Succeeded") || streq(phase, "Failed");
}

void pod_summary_make(const json_t *pod, struct pod_summary *ret) {
        struct pod_summary s = { .total = count_containers(pod) }, sidecars = { 0 };
        const char *reason = field_text_or(pod, "status.reason", "");
        const json_t *scheduled = field_find(pod, "status.conditions", "type", "PodScheduled");

        s.status = xstrdup(*reason ? reason : field_text_or(pod, "status.phase", "Pending"));
        if (streq_ptr(field_text(scheduled, "reason"), "SchedulingGated"))
                set_status(&s, xstrdup("SchedulingGated"));

        bool initializing = add_init_containers(&s, pod, &sidecars);
        if (!initializing || streq_ptr(field_condition(pod, "Initialized"), "True")) {
                /* Past the init containers only what can restart from now on counts. */
                s.restarts = sidecars.restarts;
                s.last_restart = sidecars.last_restart;
                add_containers(&s, pod);
        }
        if (field_text(pod, "metadata.deletionTimestamp") && !is_terminal(pod))
                set_status(&s, xstrdup("Terminating"));
        *ret = s;
}

char *pod_summary_restarts(const struct pod_summary *s, int64_t now) {
        char age[DURATION_MAX];

        if (!s->restarts || !s->last_restart)
                return xasprintf("%" PRId64, s->restarts);
        return xasprintf("%" PRId64 " (%s ago)", s->restarts, duration_format_age(now - s->last_restart, age));
}

void pod_summary_release(struct pod_summary *s) {
        free(s->status);
        *s = (struct pod_summary){ 0 };
}
