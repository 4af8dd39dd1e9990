/* waiting.c - pods that wait for room on the node, and whose turn it is when there is some.
 *
 * Every waiting pod's supervisor asks for itself as soon as something changes; which of them asks first is chance. So
 * who would fit first looks whether a pod that comes before it would, too: the one of higher priority, of equal ones
 * the one that has waited for longer, as in the scheduler's queue
 * (https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/#effect-of-pod-priority-on-scheduling-order).
 * That one's room is not taken; its supervisor is about to. One that does not fit holds nobody up.
 *
 * <run>/waiting.json is {"<pod uid>": {"priority": N, "since": nanoseconds since boot}}, changed under the store's
 * lock. */
#include "husk-pod/admit.h"
#include "husk-pod/runtime.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "store/claim.h"

struct waiter {
        const char *uid; /* borrowed */
        json_int_t priority, since;
};

static char *waiting_path(const struct store *store) {
        return path_join(store->run, "waiting.json");
}

/* An unreadable file is as good as none: who waits comes back into it when it asks again. */
json_t *waiting_read(const struct store *store) {
        _cleanup_free_ char *path = waiting_path(store);
        json_t *waiting = json_load_file(path, 0, NULL);

        if (json_is_object(waiting))
                return waiting;
        json_decref(waiting);
        return json_object();
}

static void waiting_write(const struct store *store, const json_t *waiting) {
        _cleanup_free_ char *path = waiting_path(store), *text = json_dumps(waiting, JSON_COMPACT);
        _cleanup_error_ struct error *err = NULL;

        if (json_object_size(waiting) == 0) {
                unlink(path);
                return;
        }
        err = store_run_write(store, path, text);
        if (err) /* then it is chance again */
                log_warning("%s", error_message(err));
}

void waiting_begin(const struct runtime *rt, json_t *waiting) {
        json_t *before = json_object_get(waiting, rt->uid);
        json_int_t priority = rt->spec->spec->has_priority ? rt->spec->spec->priority : 0;

        if (!before || json_integer_value(json_object_get(before, "priority")) != priority) {
                json_int_t since = before ? json_integer_value(json_object_get(before, "since")) : clock_monotonic_ns();
                json_object_set_new(waiting, rt->uid, json_pack("{s:I, s:I}", "priority", priority, "since", since));
                waiting_write(rt->store, waiting);
        }
}

bool waiting_end(const struct store *store, json_t *waiting, const char *uid) {
        bool waited = json_object_del(waiting, uid) == 0;

        if (waited)
                waiting_write(store, waiting);
        return waited;
}

/* ---- whose turn is it? ---- */

static int in_turn(const void *a, const void *b) {
        const struct waiter *x = a, *y = b;

        if (x->priority != y->priority)
                return x->priority > y->priority ? -1 : 1;
        if (x->since != y->since)
                return x->since < y->since ? -1 : 1;
        return strcmp(x->uid, y->uid);
}

static struct waiter waiter_of(const char *uid, const json_t *entry) {
        return (struct waiter){ uid, json_integer_value(json_object_get(entry, "priority")),
                                json_integer_value(json_object_get(entry, "since")) };
}

/* Those before this pod, in their turn. */
static size_t list_before(const struct runtime *rt, json_t *waiting, struct waiter **ret) {
        json_int_t priority = rt->spec->spec->has_priority ? rt->spec->spec->priority : 0;
        const json_t *entry, *own = json_object_get(waiting, rt->uid);
        struct waiter self = own ? waiter_of(rt->uid, own) : (struct waiter){ rt->uid, priority, INT64_MAX };
        const char *uid;
        size_t n = 0;

        self.priority = priority;
        *ret = xcalloc(json_object_size(waiting) + 1, sizeof(struct waiter));
        json_object_foreach(waiting, uid, entry) {
                struct waiter w = waiter_of(uid, entry);
                if (in_turn(&w, &self) < 0)
                        (*ret)[n++] = w;
        }
        qsort(*ret, n, sizeof(struct waiter), in_turn);
        return n;
}

/* Would it be placed now? One that is going, or that nobody looks after, would not. New reference to its claim, or
 * NULL. */
static json_t *claim_if_placed(const struct runtime *rt, const char *uid, struct admit_facts facts) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_free_ char *hindrance = NULL;
        struct admission_result result;
        json_t *json = NULL, *claim = NULL;
        V1Pod *pod = NULL;
        _cleanup_error_ struct error *err = store_pod_supervisor(rt->store, uid) > 0
                                                    ? store_pod_spec_read(rt->store, uid, &json)
                                                    : error_new(ERROR_UNAVAILABLE, "pod %s has no supervisor", uid);

        if (!err)
                err = api_decode_stored(json, &v1_pod__descriptor, arena, &pod);
        if (!err && !pod->metadata->deletiontimestamp)
                err = claims_hinder(rt->store, json, facts.claims, &hindrance);
        if (!err && !pod->metadata->deletiontimestamp && !hindrance) {
                json_t *namespaces = claims_namespaces(rt->store, pod->spec, facts.claims);
                facts.namespaces = namespaces;
                facts.held = NULL;
                admit_pod(pod, &facts, &result);
                if (result.admission == ADMIT_YES)
                        claim = admit_claim(pod);
                json_decref(namespaces);
        }
        json_decref(json);
        return claim;
}

json_t *waiting_claims(const struct runtime *rt, json_t *waiting, const struct admit_facts *facts) {
        json_t *claims = json_copy((json_t *)facts->claims);
        struct admit_facts with = *facts;
        struct waiter *before;
        size_t n = list_before(rt, waiting, &before);
        bool any = false;

        with.claims = claims;
        for (size_t i = 0; i < n; i++) {
                json_t *claim =
                        json_object_get(claims, before[i].uid) ? NULL : claim_if_placed(rt, before[i].uid, with);
                any |= claim != NULL;
                if (claim)
                        json_object_set_new(claims, before[i].uid, claim);
        }
        free(before);
        if (any)
                return claims;
        json_decref(claims);
        return NULL;
}
