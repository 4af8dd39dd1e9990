/* instance-record.c - a run's record: what a successor has to know of it. */
#include "husk-pod/instance-private.h"

#include <dirent.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

static const char *const role_names[] = {
        [ROLE_INIT] = "init",
        [ROLE_SIDECAR] = "sidecar",
        [ROLE_MAIN] = "main",
        [ROLE_EPHEMERAL] = "ephemeral",
};

struct error *instance_record_write(const struct instance *i) {
        json_t *groups = json_array();
        for (int g = 0; g < i->n_groups; g++)
                json_array_append_new(groups, json_integer(i->groups[g]));
        pid_t runner = i->command ? loop_command_pid(i->command) : 0;
        json_t *json = json_pack(
                "{s:s, s:I, s:I, s:s, s:i, s:s*, s:s*, s:i, s:I, s:I, s:o, s:b, s:b, s:b, s:b, s:i, s:I, s:I, s:I, "
                "s:i, s:I}",
                "name", i->name, "attempt", (json_int_t)i->attempt, "sandbox", (json_int_t)i->sandbox, "role",
                role_names[i->role], "state", (int)i->state, "cgroup", i->cgroup, "program", i->program, "stopSignal",
                i->stop_signal, "uid", (json_int_t)i->uid, "gid", (json_int_t)i->gid, "groups", groups,
                "ownPidNamespace", (int)i->own_pidns, "logOnError", (int)i->log_on_error, "tty", (int)i->tty,
                "stdinOnce", (int)i->stdin_once, "pid", (int)i->pid, "startTime", (json_int_t)i->start_time, "started",
                (json_int_t)i->started_ns, "startedMonotonic", (json_int_t)i->started_monotonic_ns, "runner",
                (int)runner, "runnerStartTime", (json_int_t)(runner ? process_start_time(runner) : 0));
        _cleanup_free_ char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
        json_decref(json);
        if (!text)
                return error_new(ERROR_INTERNAL, "container %s: no record", i->name);
        return file_replace(i->record, text, strlen(text), 0600, 0);
}

void instance_record_update(const struct instance *i) {
        _cleanup_error_ struct error *err = instance_record_write(i);
        if (err)
                log_warning("container %s: %s", i->name, error_message(err));
}

static struct error *record_read(struct runtime *rt, const char *path, struct instance **ret) {
        json_error_t mistake;
        const char *name, *role, *cgroup = NULL, *program = NULL;
        json_int_t attempt, sandbox, uid, gid, start_time, started, started_monotonic, runner_start;
        json_t *groups;
        int state, own_pidns, log_on_error, tty, stdin_once;
        struct instance read = { 0 };

        json_t *json = json_load_file(path, 0, &mistake);
        if (!json ||
            json_unpack(json,
                        "{s:s, s:I, s:I, s:s, s:i, s?s, s?s, s:i, s:I, s:I, s:o, s:b, s:b, s:b, s:b, s:i, s:I, s:I, "
                        "s:I, s:i, s:I}",
                        "name", &name, "attempt", &attempt, "sandbox", &sandbox, "role", &role, "state", &state,
                        "cgroup", &cgroup, "program", &program, "stopSignal", &read.stop_signal, "uid", &uid, "gid",
                        &gid, "groups", &groups, "ownPidNamespace", &own_pidns, "logOnError", &log_on_error, "tty",
                        &tty, "stdinOnce", &stdin_once, "pid", &read.pid, "startTime", &start_time, "started", &started,
                        "startedMonotonic", &started_monotonic, "runner", &read.runner, "runnerStartTime",
                        &runner_start) < 0) {
                json_decref(json);
                return error_new(ERROR_INVALID, "%s: no record of a container", path);
        }
        enum container_role r = ROLE_MAIN;
        for (size_t n = 0; n < ARRAY_SIZE(role_names); n++)
                if (streq(role_names[n], role))
                        r = n;
        struct instance *i = instance_new(rt, name, attempt, sandbox, r);
        if (cgroup) {
                free(i->cgroup);
                i->cgroup = xstrdup(cgroup);
        }
        i->program = xstrdup(program);
        i->state = state;
        i->stop_signal = read.stop_signal;
        i->uid = uid;
        i->gid = gid;
        i->n_groups = (int)json_array_size(groups);
        i->groups = xcalloc(i->n_groups, sizeof(*i->groups));
        for (int g = 0; g < i->n_groups; g++)
                i->groups[g] = json_integer_value(json_array_get(groups, g));
        i->own_pidns = own_pidns;
        i->log_on_error = log_on_error;
        i->tty = tty;
        i->stdin_once = stdin_once;
        i->pid = read.pid;
        i->start_time = start_time;
        i->started_ns = started;
        i->started_monotonic_ns = started_monotonic;
        i->runner = read.runner;
        i->runner_start = runner_start;
        json_decref(json);
        *ret = i;
        return NULL;
}

void instances_read(struct runtime *rt) {
        _cleanup_free_ char *folder = path_join(rt->run_folder, "instances");
        struct dirent *entry;
        DIR *dir = opendir(folder);

        while (dir && (entry = readdir(dir))) {
                if (!str_ends_with(entry->d_name, ".json") || entry->d_name[0] == '.')
                        continue;
                _cleanup_free_ char *path = path_join(folder, entry->d_name);
                struct instance *i;
                _cleanup_error_ struct error *err = record_read(rt, path, &i);
                if (err)
                        log_warning("%s", error_message(err));
        }
        if (dir)
                closedir(dir);
}
