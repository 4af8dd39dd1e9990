#include "husk/session.h"

#include <stdio.h>

#include "api/api.h"
#include "husk/container.h"
#include "husk/logs.h"
#include "husk/watch.h"
#include "server/field.h"

/* Why it does not run yet, as far as is known. */
static char *waiting_text(const json_t *pod, const char *name) {
        const json_t *waiting = field_at(container_status(pod, name), "state.waiting");
        const json_t *scheduled = field_find(pod, "status.conditions", "type", "PodScheduled");
        const char *reason = field_text(waiting, "reason"), *message = field_text(waiting, "message");

        if (!streq(field_text_or(scheduled, "status", "True"), "True"))
                return xstrdup(field_text_or(scheduled, "message", "Pending"));
        return message ? xasprintf("%s: %s", reason, message) : xstrdup(reason ? reason : "Pending");
}

/* An image that cannot be had, a user that is not allowed: said once, while the wait goes on. */
static void warn_of_trouble(const json_t *pod, const char *name, char **said) {
        const json_t *waiting = field_at(container_status(pod, name), "state.waiting");
        const char *reason = field_text_or(waiting, "reason", ""), *message = field_text(waiting, "message");

        if (!*reason || streq(reason, "ContainerCreating") || streq(reason, "PodInitializing") ||
            streq_ptr(*said, reason))
                return;
        fprintf(stderr, "Warning: container %s: %s\n", name, message ? message : reason);
        free(*said);
        *said = xstrdup(reason);
}

static bool pod_is_over(const json_t *pod) {
        const char *phase = field_text_or(pod, "status.phase", "");
        return streq(phase, "Succeeded") || streq(phase, "Failed");
}

struct error *session_wait(struct cli *cli, const json_t *created, const char *name, int64_t timeout_ns, json_t **ret) {
        const char *uid = field_text_or(created, "metadata.uid", "");
        _cleanup_watch_ struct watch watch = WATCH_INIT;
        _cleanup_free_ char *said = NULL;
        struct store *store;
        struct error *err = cli_store(cli, &store);

        if (!err)
                err = watch_open(timeout_ns, &watch);
        while (!err) {
                _cleanup_json_ json_t *pod = NULL;
                watch_add_pod(&watch, store, uid);
                err = store_get(store, api_kind_of("Pod"), object_namespace(created), object_name(created), &pod);
                if (err)
                        break;
                const json_t *status = container_status(pod, name);
                if (field_at(status, "state.running") || field_at(status, "state.terminated") ||
                    field_at(status, "lastState.terminated")) {
                        *ret = json_incref(pod);
                        return NULL;
                }
                _cleanup_free_ char *why = waiting_text(pod, name);
                warn_of_trouble(pod, name, &said);
                if (pod_is_over(pod))
                        err = error_new(ERROR_UNAVAILABLE, "pod %s has %s before container %s could start: %s",
                                        object_name(pod), field_text(pod, "status.phase"), name,
                                        field_text_or(pod, "status.message", why));
                else if (watch_wait(&watch, -1) == WATCH_TIMEOUT)
                        err = error_new(ERROR_TIMEOUT, "timed out waiting for container %s of pod %s to run: %s", name,
                                        object_name(pod), why);
        }
        return err;
}

struct error *session_run(struct cli *cli, const json_t *created, const char *container, int64_t timeout_ns,
                          const struct attach_options *options) {
        _cleanup_json_ json_t *pod = NULL;
        struct store *store;
        int status = -1;
        struct error *err = cli_store(cli, &store);

        if (!err)
                err = session_wait(cli, created, container, timeout_ns, &pod);
        if (err)
                return err;
        const json_t *now = container_status(pod, container);
        if (field_at(now, "state.running")) {
                err = attach_container(store, pod, container, options, &status);
        } else {
                /* Over before anybody could attach: what it printed is still there. */
                const json_t *ended = field_at(now, "state.terminated") ?: field_at(now, "lastState.terminated");
                status = (int)field_number(ended, "exitCode", -1);
                err = logs_print(cli, pod, container);
        }
        if (!err && status > 0)
                cli->status = status;
        return err;
}
