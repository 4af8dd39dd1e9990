/* handover.c - from one supervisor of a pod to the next: what is saved, how a successor goes on, and what happens when
 * the keeper itself is killed. */
#include "husk-pod/runtime.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

#define STATE_SIZE_MAX ((size_t)16 << 20)

struct error *handover_save(struct runtime *rt, const json_t *state) {
        _cleanup_free_ char *path = path_join(rt->run_folder, "state.json"), *text = NULL;
        json_t *json = json_pack("{s:s, s:I, s:O}", "boot", clock_boot_id(), "mounts",
                                 (json_int_t)reaper_mounts(rt->reaper), "state", (json_t *)state);

        text = json ? json_dumps(json, JSON_COMPACT) : NULL;
        json_decref(json);
        struct error *err = text ? file_replace(path, text, strlen(text), 0600, 0)
                                 : error_new(ERROR_INTERNAL, "the state is no JSON");
        return error_context(err, "save the state");
}

struct error *handover_save_lasting(struct runtime *rt) {
        json_t *state = pod_save_lasting(rt->pod);
        _cleanup_free_ char *path = path_join(rt->folder, "state.json"), *old = NULL;
        _cleanup_free_ char *text = json_dumps(state, JSON_COMPACT);
        _cleanup_error_ struct error *none = file_read(path, STATE_SIZE_MAX, &old, NULL);

        json_decref(state);
        if (!text || (!none && streq(text, old)))
                return NULL; /* a disk is not written to for nothing */
        return error_context(file_replace(path, text, strlen(text), 0600, FILE_DURABLE),
                             "keep the state for the next boot");
}

static json_t *load(const char *folder, const char *name) {
        _cleanup_free_ char *path = path_join(folder, name), *text = NULL;
        size_t len;
        _cleanup_error_ struct error *err = file_read(path, STATE_SIZE_MAX, &text, &len);
        return err ? NULL : json_loadb(text, len, 0, NULL);
}

/* What a predecessor of this boot left, else what is left of another boot. The latter has no "boot". */
static json_t *load_state(const struct runtime *rt) {
        json_t *saved = load(rt->run_folder, "state.json");

        return saved ?: json_pack("{s:o*}", "state", load(rt->folder, "state.json"));
}

/* After the machine's end nothing of the pod runs, and what is recorded in its folders is about nothing; volumes stay.
 * Where <run> was lost in any other way, what still runs is ended. */
static void start_over(struct runtime *rt) {
        log_info("the machine, or %s, is a new one: the pod gets a new sandbox", rt->store->run);
        instances_read(rt);
        while (rt->instances)
                instance_purge(rt->instances);
        rt->sb.plugins_tried = true; /* CNI plugins have their turn beside the loop, when there is a new sandbox */
        _cleanup_error_ struct error *err = cleanup_kernel_objects(rt);
        rt->sb.plugins_tried = false;
        if (err)
                log_warning("%s", error_message(err));
        _cleanup_free_ char *containers = path_join(rt->folder, "containers");
        _cleanup_error_ struct error *left = remove_tree(containers);
        if (left)
                log_warning("%s", error_message(left));
}

void handover_receive(struct runtime *rt) {
        json_t *saved = load_state(rt), *events = load(rt->run_folder, "events.json");
        json_t *state = json_object_get(saved, "state");
        const char *boot = json_string_value(json_object_get(saved, "boot"));
        bool same_boot = clock_is_this_boot(boot); /* instants in the state count from it */
        bool same_mounts = (uint64_t)json_integer_value(json_object_get(saved, "mounts")) == reaper_mounts(rt->reaper);

        rt->pod = state ? pod_restore(&runtime_ops, rt, rt->spec, state, events, same_boot)
                        : pod_new(&runtime_ops, rt, rt->spec);
        rt->sb.plugins_known = !state;
        if (state && !same_boot) {
                start_over(rt);
        } else if (state && !same_mounts) {
                /* Keeper and husk-pod were killed together, and the mounts went with them. Containers cannot be
                 * restarted beside those that run on: the pod begins anew, with a new sandbox. */
                log_warning("keeper and supervisor were killed together; the pod gets a new sandbox");
                instances_read(rt);
                while (rt->instances)
                        instance_purge(rt->instances);
        } else if (state) {
                struct sandbox_facts facts;
                if (runtime_sandbox_adopt(rt)) {
                        runtime_sandbox_facts(rt, &facts);
                        pod_sandbox_found(rt->pod, rt->sb.attempt, &facts);
                }
                instances_restore(rt);
        }
        json_decref(saved);
        json_decref(events);
        reaper_drop_untaken(rt->reaper);
        if (!state) {
                pod_step(rt->pod);
                return;
        }
        image_pulls_sweep(rt); /* before the first is asked for anew */
        pod_restored(rt->pod);
        instances_sweep(rt);
        reaper_offer(rt->reaper);
}

/* Descriptors must survive the execve(2) that follows. */
static char **keep(char **argv, const char *argument) {
        fcntl(atoi(argument), F_SETFD, 0);
        return strv_add(strv_add(argv, "--keep"), argument);
}

void handover_become_keeper(struct runtime *rt) {
        _cleanup_free_ char *program = NULL;
        _cleanup_strv_ char **argv = NULL, **kept = reaper_keep_arguments(rt->reaper);
        _cleanup_error_ struct error *err = process_find_sister("husk-keeper", &program);

        if (err) {
                log_error("%s", error_message(err));
                return;
        }
        _cleanup_free_ char *mounts = xasprintf("%llu", (unsigned long long)reaper_mounts(rt->reaper));
        const char *fixed[] = { program, "--root", rt->store->root, "--run", rt->store->run,
                                "--uid", rt->uid,  "--adopt",       mounts };
        for (size_t n = 0; n < ARRAY_SIZE(fixed); n++)
                argv = strv_add(argv, fixed[n]);
        for (char **k = kept; k && *k; k++)
                argv = keep(argv, *k);
        /* Containers are nobody's children now. Their pidfds still tell how they end. */
        for (struct instance *i = rt->instances; i; i = i->next) {
                if (i->pidfd < 0)
                        continue;
                _cleanup_free_ char *argument = xasprintf("%d=pid/%s", i->pidfd, i->id);
                argv = keep(argv, argument);
        }
        log_warning("husk-keeper is gone; taking its place");
        execv(program, argv);
        log_error("run %s: %s", program, strerror(errno));
        for (char **a = argv; *a; a++)
                if (streq(*a, "--keep"))
                        fcntl(atoi(a[1]), F_SETFD, FD_CLOEXEC);
}
