/* disrupt.c - deletes a pod on somebody's behalf: one that has to make room for this one, or this one itself because of
 * a taint. It is deleted as by `husk delete`, with its own grace period, and is told why. */
#include "husk-pod/runtime.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

#define CLEANUP_TIMEOUT_NS (60 * NSEC_PER_SEC)

/* The removal of a pod that nobody supervises: its husk-pod would be told by its object, but there is none. */
struct removal {
        struct runtime *rt;
        struct removal *next;
        char *uid;
        struct loop_command *command;
};

static void removal_free(struct removal *r) {
        struct removal **p = &r->rt->removals_of_others;

        while (*p != r)
                p = &(*p)->next;
        *p = r->next;
        loop_command_free(r->command);
        free(r->uid);
        free(r);
}

static void removed(void *arg, struct loop_command_result *result) {
        struct removal *r = arg;

        if (result->timed_out || result->exit.si_code != CLD_EXITED || result->exit.si_status != 0)
                log_warning("remove pod %s, which has no supervisor: %s", r->uid, result->errors);
        r->command = NULL;
        removal_free(r);
}

static struct error *remove_unsupervised(struct runtime *rt, const char *uid) {
        _cleanup_free_ char *program = NULL;
        struct error *err = process_find_sister("husk-pod", &program);

        if (err)
                return err;
        char *argv[] = { program,         (char *)"--root",    rt->store->root,
                         (char *)"--run", rt->store->run,      (char *)"--uid",
                         (char *)uid,     (char *)"--cleanup", NULL };
        const struct loop_command_options options = {
                .argv = argv, .gather_errors = true, .timeout_ns = CLEANUP_TIMEOUT_NS, .new_session = true
        };
        struct removal *r = new0(struct removal);
        *r = (struct removal){ .rt = rt, .next = rt->removals_of_others, .uid = xstrdup(uid) };
        rt->removals_of_others = r;
        err = loop_command_new(rt->loop, &options, removed, r, &r->command);
        if (err)
                removal_free(r);
        return err;
}

static bool is_being_removed(const struct runtime *rt, const char *uid) {
        for (const struct removal *r = rt->removals_of_others; r; r = r->next)
                if (streq(r->uid, uid))
                        return true;
        return false;
}

/* What the scheduler's event says of who wanted it. */
static char *told_to_victim(struct runtime *rt) {
        const V1Node *node = runtime_node(rt, false);

        return xasprintf("Preempted by pod %s on node %s", rt->uid, node ? node->metadata->name : "");
}

void disrupt_pod(void *ctx, const char *uid, const char *reason, const char *message) {
        struct runtime *rt = ctx;
        _cleanup_free_ char *told = streq(uid, rt->uid) ? NULL : told_to_victim(rt);
        char now[RFC3339_MAX];

        rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, now);
        json_t *status =
                json_pack("{s:[{s:s, s:s, s:s, s:s, s:s}], s:s*}", "conditions", "type", "DisruptionTarget", "status",
                          "True", "reason", reason, "message", message, "lastTransitionTime", now, "message", told);
        _cleanup_error_ struct error *err = store_pod_disrupt(rt->store, uid, status);

        json_decref(status);
        if (!err) {
                claims_mark_ending(rt->store, uid);
                if (store_pod_supervisor(rt->store, uid) == 0 && !is_being_removed(rt, uid))
                        err = remove_unsupervised(rt, uid);
        }
        if (err)
                log_warning("delete pod %s: %s", uid, error_message(err));
}

void disruptions_release(struct runtime *rt) {
        while (rt->removals_of_others)
                removal_free(rt->removals_of_others);
}
