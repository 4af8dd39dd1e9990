#include "husk/session.h"

#include <stdio.h>

#include "api/api.h"
#include "husk/container.h"
#include "husk/logs.h"
#include "husk/watch.h"
#include "server/field.h"

#define END_LOOKS 10
#define END_LOOK_US 50000

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

/* Does it run no more? *ret is the pod as it is now. The status may follow the end by a moment. */
static bool session_has_ended(struct store *store, const json_t *pod, const char *container, json_t **ret) {
        for (int look = 0; look < END_LOOKS; look++) {
                struct error *err = store_get(store, api_kind_of("Pod"), object_namespace(pod), object_name(pod), ret);
                if (err) {
                        error_free(err);
                        return false;
                }
                if (!field_at(container_status(*ret, container), "state.running"))
                        return true;
                json_decref(*ret);
                *ret = NULL;
                usleep(END_LOOK_US);
        }
        return false;
}

/* Over before anybody could attach: what it printed is still there. */
static struct error *print_ended(struct cli *cli, const json_t *pod, const char *container, int *ret_status) {
        const json_t *now = container_status(pod, container);
        const json_t *ended = field_at(now, "state.terminated") ?: field_at(now, "lastState.terminated");

        *ret_status = (int)field_number(ended, "exitCode", -1);
        return logs_print(cli, pod, container);
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
        bool running = field_at(container_status(pod, container), "state.running") != NULL;
        if (running) {
                _cleanup_json_ json_t *later = NULL;
                struct attach_options own = *options;
                bool saw_output = false;
                own.saw_output = &saw_output;
                err = attach_container(store, pod, container, &own, &status);
                /* It may have ended, or have said all it had to say, before the attempt: its log knows. */
                if ((err || !saw_output) && session_has_ended(store, pod, container, &later)) {
                        err = error_free(err);
                        err = print_ended(cli, later, container, &status);
                }
        } else {
                err = print_ended(cli, pod, container, &status);
        }
        if (!err && status > 0)
                cli->status = status;
        return err;
}
