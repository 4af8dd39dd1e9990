/* husk-pod - the supervisor of one pod.
 *
 *   husk-pod --root DIR --run DIR --uid UID              started by husk-keeper, whose socket is descriptor 3
 *   husk-pod --root DIR --run DIR --uid UID --cleanup    removes what is left of a pod that nobody supervises
 *
 * Decisions are made by the state machine (pod.h), everything that touches the kernel is behind runtime.h. Exit status
 * 0 means that the pod has ended and is cleaned up (with --cleanup: that nothing is left); any other makes the keeper
 * start a husk-pod anew, which goes on from the saved state. So SIGTERM is an upgrade: the next one is the program on
 * disk. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "husk-pod/runtime.h"
#include "husk-pod/trim.h"

#define KEEPER_RETRY_NS NSEC_PER_SEC

struct arguments {
        const char *root, *run, *uid;
        bool cleanup;
};

static bool arguments_read(int argc, char **argv, struct arguments *ret) {
        for (int i = 1; i < argc; i++) {
                const char *value = i + 1 < argc ? argv[i + 1] : NULL;
                if (streq(argv[i], "--cleanup"))
                        ret->cleanup = true;
                else if (value && streq(argv[i], "--root"))
                        ret->root = argv[++i];
                else if (value && streq(argv[i], "--run"))
                        ret->run = argv[++i];
                else if (value && streq(argv[i], "--uid"))
                        ret->uid = argv[++i];
                else
                        return false;
        }
        return ret->root && ret->run && ret->uid;
}

static bool process_exited(void *arg, const struct keeper_exit *e) {
        struct runtime *rt = arg;
        bool mine = instance_exited(rt, e) || runtime_sandbox_exited(rt, e);
        runtime_settle_later(rt);
        return mine;
}

static void keeper_gone(void *arg) {
        struct runtime *rt = arg;
        handover_become_keeper(rt);
        loop_timer_set(rt->keeper_retry, KEEPER_RETRY_NS);
}

static void store_log_descriptor(void *arg, const char *name, int fd) {
        struct runtime *rt = arg;
        if (fd >= 0)
                reaper_store(rt->reaper, name, fd);
        else
                reaper_drop(rt->reaper, name);
}

static struct error *log_open(struct runtime *rt) {
        struct log_pump_options options = { .store = store_log_descriptor, .arg = rt };
        int journal = reaper_take(rt->reaper, "log/journal"), side_read = reaper_take(rt->reaper, "log/side-read"),
            side_write = reaper_take(rt->reaper, "log/side-write");
        return log_pump_new(rt->loop, &options, journal, side_read, side_write, &rt->log);
}

static void trim(void *arg) {
        struct runtime *rt = arg;
        runtime_forget_node(rt);
        memory_trim();
}

static struct error *supervise(struct runtime *rt, bool *ret_gone) {
        struct reaper_callbacks callbacks = { .exited = process_exited, .orphaned = keeper_gone, .arg = rt };
        struct api_arena *none = NULL;
        struct error *err = reaper_new(rt->loop, KEEPER_SOCKET, &callbacks, &rt->reaper);

        if (err)
                return err;
        if (reaper_is_orphan(rt->reaper)) {
                handover_become_keeper(rt);
                return error_new(ERROR_UNAVAILABLE, "husk-keeper is gone");
        }
        rt->keeper_retry = loop_timer_new(rt->loop, keeper_gone, rt);
        rt->trim = loop_timer_new(rt->loop, trim, rt);
        rt->host_mounts = reaper_take(rt->reaper, "host-mounts");
        _cleanup_free_ char *instances = path_join(rt->run_folder, "instances"),
                            *ended = path_join(rt->run_folder, "ended");
        unlink(ended); /* a pod that had ended and is looked after again */
        err = mkdir_parents(instances, 0700);
        if (!err)
                err = log_open(rt);
        if (!err)
                err = watches_begin(rt); /* before the object is read: no change must be missed */
        if (!err)
                err = runtime_read_spec(rt, &none);
        if (!err)
                err = control_begin(rt);
        if (err) {
                _cleanup_free_ char *object = path_join(rt->folder, "pod.json");
                *ret_gone = error_is(err, ERROR_NOT_FOUND) && !file_exists(object);
                return err;
        }

        _cleanup_free_ char *name =
                xasprintf("husk-pod %s/%s", rt->spec->metadata->namespace_, rt->spec->metadata->name);
        log_set_name(name);
        watches_update(rt);
        storage_begin(rt);
        handover_receive(rt);
        return rt->finished ? NULL : loop_run(rt->loop);
}

static struct error *run_supervisor(const struct arguments *arguments) {
        struct runtime *rt = NULL;
        bool gone = false;
        struct error *err = runtime_new(arguments->root, arguments->run, arguments->uid, &rt);

        if (!err)
                err = supervise(rt, &gone);
        if (gone) { /* the pod was removed while nobody looked */
                error_free(err);
                err = NULL;
                instances_read(rt);
        }
        if (!err)
                err = cleanup_pod(rt, rt->finished ? rt->end : POD_END_DELETED);
        runtime_free(rt);
        return err;
}

int main(int argc, char **argv) {
        struct arguments arguments = { 0 };

        /* A supervisor sleeps nearly always: what counts is the memory it keeps, not how fast it gets more. */
        mallopt(M_ARENA_MAX, 1);
        mallopt(M_TRIM_THRESHOLD, 64 * 1024);
        mallopt(M_MMAP_THRESHOLD, 64 * 1024);
        signal(SIGPIPE, SIG_IGN);
        umask(0022);
        log_set_name("husk-pod");
        if (!arguments_read(argc, argv, &arguments)) {
                fprintf(stderr, "usage: husk-pod --root DIR --run DIR --uid UID [--cleanup]\n");
                return 2;
        }
        _cleanup_error_ struct error *err = arguments.cleanup
                                                    ? cleanup_leftovers(arguments.root, arguments.run, arguments.uid)
                                                    : run_supervisor(&arguments);
        if (!err)
                return 0;
        log_error("%s", error_message(err));
        return 1;
}
