/* claims.c - what the pods of this node have claimed of it, and whether another one fits.
 *
 * <run>/claims.json is {"<pod uid>": admit_claim()}, changed under the store's lock. A claim of a pod that has no
 * <run>/pods/<uid> any more is void. */
#include "husk-pod/admit.h"
#include "husk-pod/runtime.h"

#include <stdio.h>

#include "base/file.h"
#include "base/log.h"

char *claims_path(const struct store *store) {
        return path_join(store->run, "claims.json");
}

/* An unreadable file is as good as none: claims of living pods come back when those are admitted anew. */
static json_t *claims_read(const struct store *store) {
        _cleanup_free_ char *path = claims_path(store);
        json_t *claims = json_load_file(path, 0, NULL);

        if (!json_is_object(claims)) {
                json_decref(claims);
                claims = json_object();
        }
        return claims;
}

static struct error *claims_write(const struct store *store, const json_t *claims) {
        _cleanup_free_ char *path = claims_path(store), *text = json_dumps(claims, JSON_COMPACT);
        if (!text)
                return error_new(ERROR_INTERNAL, "claims are no JSON");
        return file_replace(path, text, strlen(text), 0600, 0);
}

static void drop_void(const struct store *store, json_t *claims) {
        const char *uid;
        json_t *claim;
        void *next;

        json_object_foreach_safe(claims, next, uid, claim) {
                _cleanup_free_ char *folder = xasprintf("%s/pods/%s", store->run, uid);
                if (!file_exists(folder))
                        json_object_del(claims, uid);
        }
}

static struct error *admit_locked(struct runtime *rt, json_t *claims, struct admission_result *ret) {
        struct admit_facts facts = { .node = runtime_node(rt, true), .claims = claims };

        if (!facts.node)
                return error_new(ERROR_UNAVAILABLE, "the node's object cannot be read");
        json_t *own = json_incref(json_object_get(claims, rt->uid));
        facts.held = own;
        json_object_del(claims, rt->uid);
        drop_void(rt->store, claims);
        admit_pod(rt->spec, &facts, ret);
        struct error *err = NULL;
        if (ret->admission == ADMIT_YES) {
                json_t *claim = admit_claim(rt->spec);
                bool changed = !own || !json_equal(own, claim);
                json_object_set_new(claims, rt->uid, claim);
                if (changed)
                        err = claims_write(rt->store, claims);
        }
        json_decref(own);
        return err;
}

void claims_admit(void *ctx, struct admission_result *ret) {
        struct runtime *rt = ctx;
        _cleanup_close_ int lock = -EBADF;
        _cleanup_error_ struct error *err = store_lock(rt->store, &lock);

        if (!err) {
                json_t *claims = claims_read(rt->store);
                err = admit_locked(rt, claims, ret);
                json_decref(claims);
        }
        if (err) {
                *ret = (struct admission_result){ .admission = ADMIT_WAIT, .reason = "Unschedulable" };
                snprintf(ret->message, sizeof(ret->message), "%s", error_message(err));
        }
        watches_node(rt, ret->admission == ADMIT_WAIT);
}

void claims_remove(struct store *store, const char *uid) {
        _cleanup_close_ int lock = -EBADF;
        _cleanup_error_ struct error *err = store_lock(store, &lock);

        if (!err) {
                json_t *claims = claims_read(store);
                if (json_object_get(claims, uid)) {
                        json_object_del(claims, uid);
                        err = claims_write(store, claims);
                }
                json_decref(claims);
        }
        if (err)
                log_warning("claims: %s", error_message(err));
}

void claims_release(void *ctx) {
        struct runtime *rt = ctx;
        claims_remove(rt->store, rt->uid);
}
