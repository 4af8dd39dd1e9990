#include "husk/container.h"

#include <stdio.h>

#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

#define CONFIG_SIZE_MAX (8U << 20)

static const struct {
        const char *spec, *status, *mark;
} lists[] = {
        { "spec.containers", "status.containerStatuses", "" },
        { "spec.ephemeralContainers", "status.ephemeralContainerStatuses", " (ephem)" },
        { "spec.initContainers", "status.initContainerStatuses", " (init)" },
};

json_t *container_spec(const json_t *pod, const char *name) {
        json_t *found = NULL;

        for (size_t i = 0; !found && i < ARRAY_SIZE(lists); i++)
                found = field_find(pod, lists[i].spec, "name", name);
        return found;
}

json_t *container_status(const json_t *pod, const char *name) {
        json_t *found = NULL;

        for (size_t i = 0; !found && i < ARRAY_SIZE(lists); i++)
                found = field_find(pod, lists[i].status, "name", name);
        return found;
}

char **container_names(const json_t *pod) {
        char **names = NULL;
        json_t *container;
        size_t n;

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                json_array_foreach(field_at(pod, lists[i].spec), n, container) names =
                        strv_add_take(names, xasprintf("%s%s", field_text_or(container, "name", ""), lists[i].mark));
        return names;
}

const char **container_names_in_order(const json_t *pod) {
        static const char *const paths[] = { "spec.initContainers", "spec.containers", "spec.ephemeralContainers" };
        const char **names = NULL;
        json_t *container;
        size_t n = 0, i;

        for (size_t p = 0; p < ARRAY_SIZE(paths); p++)
                json_array_foreach(field_at(pod, paths[p]), i, container) {
                        names = xreallocarray(names, n + 2, sizeof(*names));
                        names[n++] = field_text_or(container, "name", "");
                }
        names = xreallocarray(names, n + 1, sizeof(*names));
        names[n] = NULL;
        return names;
}

struct error *container_choose(const json_t *pod, const char *wanted, bool quiet, const char **ret) {
        const json_t *annotations = field_at(pod, "metadata.annotations");
        const char *annotated =
                json_string_value(json_object_get(annotations, "kubectl.kubernetes.io/default-container"));
        _cleanup_strv_ char **all = container_names(pod);
        _cleanup_free_ char *list = strv_join(all, ", ");

        if (!str_empty(wanted)) {
                if (!container_spec(pod, wanted))
                        return error_new(ERROR_BAD_REQUEST, "container %s is not valid for pod %s; it has: %s", wanted,
                                         object_name(pod), list);
                *ret = wanted;
                return NULL;
        }
        if (!str_empty(annotated) && container_spec(pod, annotated)) {
                *ret = annotated;
                return NULL;
        }
        if (!str_empty(annotated) && !quiet)
                fprintf(stderr, "Default container name \"%s\" not found in pod %s\n", annotated, object_name(pod));
        *ret = field_text_or(json_array_get(field_at(pod, "spec.containers"), 0), "name", "");
        if (strv_len(all) > 1 && !quiet)
                fprintf(stderr, "Defaulted container \"%s\" out of: %s\n", *ret, list);
        return NULL;
}

/* Why there is nothing to enter. */
static struct error *not_running(const json_t *pod, const char *name) {
        const char *phase = field_text_or(pod, "status.phase", "");
        const json_t *status = container_status(pod, name);
        const char *reason = field_text(status, "state.waiting.reason");

        if (streq(phase, "Succeeded") || streq(phase, "Failed"))
                return usage_error("cannot exec into a container in a completed pod; current phase is %s", phase);
        if (reason)
                return error_new(ERROR_BAD_REQUEST, "container \"%s\" in pod \"%s\" is waiting to start: %s", name,
                                 object_name(pod), reason);
        if (field_at(status, "state.terminated"))
                return error_new(ERROR_BAD_REQUEST, "container \"%s\" in pod \"%s\" is terminated", name,
                                 object_name(pod));
        return error_new(ERROR_NOT_FOUND, "container not found (\"%s\")", name);
}

static struct error *read_json(const char *folder, const char *name, json_t **ret) {
        _cleanup_free_ char *path = path_join(folder, name);
        _cleanup_free_ char *text = NULL;
        json_error_t mistake;
        struct error *err;
        size_t len;

        err = file_read(path, CONFIG_SIZE_MAX, &text, &len);
        if (err)
                return err;
        *ret = json_loadb(text, len, 0, &mistake);
        if (!*ret)
                return error_new(ERROR_INTERNAL, "%s: %s", path, mistake.text);
        return NULL;
}

/* What husk-pod has written down of a run, so that it does not matter which OCI runtime made it: the record of its
 * process, and the bundle. */
static struct error *running_read(struct running *r, const char *run) {
        _cleanup_free_ char *record = xasprintf("instances/%s.json", r->id);
        _cleanup_free_ char *config = xasprintf("bundles/%s/config.json", r->id);
        _cleanup_json_ json_t *state = NULL;
        struct error *err;

        err = read_json(run, record, &state);
        if (!err)
                err = read_json(run, config, &r->config);
        if (err)
                return err;
        r->pid = field_number(state, "pid", 0);
        r->pidfd = r->pid > 0 ? process_open(r->pid, field_number(state, "startTime", 0)) : -ESRCH;
        if (r->pidfd < 0)
                return error_new(ERROR_NOT_FOUND, "container %s has just ended", r->id);
        return NULL;
}

struct error *container_open(struct store *store, const json_t *pod, const char *name, struct running *ret) {
        _cleanup_running_ struct running r = RUNNING_INIT;
        const json_t *status = container_status(pod, name);
        const char *id = field_text_or(status, "containerID", ""), *scheme = strstr(id, "://");
        _cleanup_free_ char *run = store_pod_run_folder(store, field_text_or(pod, "metadata.uid", ""));
        struct error *err;

        if (!field_at(status, "state.running") || !scheme)
                return not_running(pod, name);
        r.id = xstrdup(scheme + 3);
        err = running_read(&r, run);
        if (err)
                return error_context(err, "container %s", name);
        *ret = r;
        r = (struct running)RUNNING_INIT;
        return NULL;
}

/* Lines are "inside outside count". */
bool running_map_id(const struct running *running, const char *file, uint64_t inside, uint64_t *ret) {
        _cleanup_free_ char *path = xasprintf("/proc/%d/%s", running->pid, file);
        unsigned long long first, outside, count;
        bool found = false;
        FILE *f = fopen(path, "re");

        while (f && !found && fscanf(f, "%llu %llu %llu", &first, &outside, &count) == 3)
                if (inside >= first && inside - first < count) {
                        *ret = outside + (inside - first);
                        found = true;
                }
        if (f)
                fclose(f);
        return found;
}

void running_release(struct running *r) {
        free(r->id);
        json_decref(r->config);
        fd_close(r->pidfd);
        *r = (struct running)RUNNING_INIT;
}
