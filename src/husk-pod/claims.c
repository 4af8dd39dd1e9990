/* claims.c - what the pods of this node have claimed of it, and whether another one fits.
 *
 * <run>/claims.json is {"<pod uid>": admit_claim()}, changed under the store's lock. A claim of a pod that has no
 * <run>/pods/<uid> any more is void. */
#include "husk-pod/admit.h"
#include "husk-pod/runtime.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "store/claim.h"
#include "base/str.h"
#include "oci/lsm.h"
#include "store/node-config.h"

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
        return store_run_write(store, path, text);
}

/* Changes claims under the store's lock; true from `change` means that there is something to write. */
typedef bool (*claims_change)(json_t *claims, void *arg);

static void claims_update(struct store *store, claims_change change, void *arg) {
        _cleanup_close_ int lock = -EBADF;
        _cleanup_error_ struct error *err = store_lock(store, &lock);

        if (!err) {
                json_t *claims = claims_read(store);
                if (change(claims, arg))
                        err = claims_write(store, claims);
                json_decref(claims);
        }
        if (err)
                log_warning("claims: %s", error_message(err));
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

/* ---- admission ---- */

static bool terms_select_namespaces(V1PodAffinityTerm *const *terms, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (terms[i]->namespaceselector)
                        return true;
        return false;
}

/* Do the labels of namespaces matter, for this pod or for one that is here? Hardly ever: they are not read for nothing.
 */
static bool needs_namespaces(const V1PodSpec *spec, const json_t *claims) {
        const V1Affinity *affinity = spec->affinity;
        const V1PodAffinity *near = affinity ? affinity->podaffinity : NULL;
        const V1PodAntiAffinity *far = affinity ? affinity->podantiaffinity : NULL;
        const char *uid;
        const json_t *claim, *term;
        size_t i;

        if (near && terms_select_namespaces(near->requiredduringschedulingignoredduringexecution,
                                            near->n_requiredduringschedulingignoredduringexecution))
                return true;
        if (far && terms_select_namespaces(far->requiredduringschedulingignoredduringexecution,
                                           far->n_requiredduringschedulingignoredduringexecution))
                return true;
        json_object_foreach((json_t *)claims, uid, claim) {
                json_array_foreach(json_object_get(claim, "antiAffinity"), i, term) {
                        if (json_object_get(term, "namespaceSelector"))
                                return true;
                }
        }
        return false;
}

static json_t *labels_of_namespaces(struct store *store) {
        json_t *list = NULL, *labels = json_object(), *object;
        _cleanup_error_ struct error *err = store_list(store, api_kind_of("Namespace"), NULL, &list);
        size_t i;

        if (err)
                log_warning("namespaces: %s", error_message(err));
        json_array_foreach(list, i, object) {
                json_t *metadata = json_object_get(object, "metadata"), *own = json_object_get(metadata, "labels");
                const char *name = json_string_value(json_object_get(metadata, "name"));

                if (name)
                        json_object_set_new(labels, name, own ? json_incref(own) : json_object());
        }
        json_decref(list);
        return labels;
}

/* What is to stand among the claims after this answer (admit.h); NULL: nothing. New reference. */
static json_t *claim_after(const struct runtime *rt, const struct admission_result *result, json_t *own) {
        bool is_resize = own && !json_is_true(json_object_get(own, "nominated"));

        if (result->admission == ADMIT_YES)
                return admit_claim(rt->spec);
        if (result->admission == ADMIT_WAIT && is_resize)
                return json_incref(own);
        if (result->admission == ADMIT_WAIT && result->nominated)
                return admit_claim_nominated(rt->spec);
        return NULL;
}

json_t *claims_namespaces(struct store *store, const V1PodSpec *spec, const json_t *claims) {
        return needs_namespaces(spec, claims) ? labels_of_namespaces(store) : NULL;
}

/* It fits; does it still beside those whose turn comes first? */
static void let_others_go_first(struct runtime *rt, json_t *waiting, struct admit_facts facts,
                                struct admission_result *ret) {
        json_t *claims = waiting_claims(rt, waiting, &facts);

        if (!claims)
                return;
        facts.claims = claims;
        admit_pod(rt->spec, &facts, ret);
        json_decref(claims);
}

static struct error *admit_locked(struct runtime *rt, json_t *claims, json_t *waiting, struct admission_result *ret) {
        _cleanup_node_config_ struct node_config config = { 0 };
        struct error *err = node_config_read(rt->store, &config);
        struct admit_facts facts = {
                .node = runtime_node(rt, true),
                .claims = claims,
                .allowed_sysctls = config.allowed_unsafe_sysctls,
                .apparmor = lsm_has_apparmor(&lsm_paths_kernel),
                .selinux = lsm_has_selinux(&lsm_paths_kernel),
        };

        if (err)
                return err;
        if (!facts.node)
                return error_new(ERROR_UNAVAILABLE, "the node's object cannot be read");
        json_t *own = json_incref(json_object_get(claims, rt->uid));
        json_t *namespaces = claims_namespaces(rt->store, rt->spec->spec, claims);
        facts.held = own;
        facts.namespaces = namespaces;
        json_object_del(claims, rt->uid);
        drop_void(rt->store, claims);
        admit_pod(rt->spec, &facts, ret);
        if (ret->admission == ADMIT_YES && !own && str_empty(rt->spec->spec->nodename))
                let_others_go_first(rt, waiting, facts, ret);
        json_t *claim = claim_after(rt, ret, own);
        if (claim)
                json_object_set(claims, rt->uid, claim);
        if ((own || claim) && !json_equal(own, claim))
                err = claims_write(rt->store, claims);
        json_decref(claim);
        json_decref(namespaces);
        json_decref(own);
        return err;
}

/* ---- persistent volume claims ---- */

static bool names_claims(const V1PodSpec *pod) {
        for (size_t i = 0; i < pod->n_volumes; i++) {
                const V1VolumeSource *source = pod->volumes[i]->volumesource;
                if (source && (source->persistentvolumeclaim || source->ephemeral))
                        return true;
        }
        return false;
}

/* Is it for the scheduler to place the pod, and has it not done so yet? */
static bool is_to_be_placed(const struct runtime *rt, const json_t *claims) {
        const V1PodSpec *pod = rt->spec->spec;

        const json_t *own = json_object_get(claims, rt->uid);

        return names_claims(pod) && str_empty(pod->nodename) && !pod->n_schedulinggates &&
               (!own || json_is_true(json_object_get(own, "nominated")));
}

/* The scheduler asks this before it looks at any node, so the answer is not about nodes. True: the pod waits. */
static struct error *wait_for_claims(struct runtime *rt, const json_t *claims, struct admission_result *ret,
                                     bool *ret_waits) {
        _cleanup_free_ char *hindrance = NULL;
        json_t *pod = NULL;
        struct error *err = store_pod_spec_read(rt->store, rt->uid, &pod);

        if (!err)
                err = claims_hinder(rt->store, pod, claims, &hindrance);
        json_decref(pod);
        *ret_waits = hindrance;
        if (err || !hindrance)
                return err;
        *ret = (struct admission_result){ .admission = ADMIT_WAIT, .reason = "Unschedulable" };
        snprintf(ret->message, sizeof(ret->message),
                 "0/1 nodes are available: %s. no new claims to deallocate, preemption: 0/1 nodes are available: 1 "
                 "Preemption is not helpful for scheduling.",
                 hindrance);
        return NULL;
}

/* Claims of generic ephemeral volumes, which in a cluster a controller makes for every pod. */
static struct error *make_own_claims(struct runtime *rt) {
        json_t *pod = NULL;
        struct error *err = NULL;

        if (!names_claims(rt->spec->spec))
                return NULL;
        err = store_pod_spec_read(rt->store, rt->uid, &pod);
        if (!err)
                err = claims_make(rt->store, pod);
        json_decref(pod);
        return err;
}

/* Whether it is among those that wait for their turn. A pod that is here and waits to grow is not. */
static void note_waiting(struct runtime *rt, const json_t *claims, json_t *waiting,
                         const struct admission_result *result) {
        const json_t *own = json_object_get(claims, rt->uid);
        bool is_here = own && !json_is_true(json_object_get(own, "nominated"));

        if (result->admission == ADMIT_WAIT && !is_here && str_empty(rt->spec->spec->nodename) &&
            !rt->spec->spec->n_schedulinggates)
                waiting_begin(rt, waiting);
        else
                waiting_end(rt->store, waiting, rt->uid);
}

void claims_admit(void *ctx, struct admission_result *ret) {
        struct runtime *rt = ctx;
        _cleanup_close_ int lock = -EBADF;
        _cleanup_error_ struct error *err = make_own_claims(rt);

        if (!err)
                err = store_lock(rt->store, &lock);
        if (!err) {
                json_t *claims = claims_read(rt->store), *waiting = waiting_read(rt->store);
                bool waits = false;
                if (is_to_be_placed(rt, claims))
                        err = wait_for_claims(rt, claims, ret, &waits);
                if (!err && !waits)
                        err = admit_locked(rt, claims, waiting, ret);
                if (!err)
                        note_waiting(rt, claims, waiting, ret);
                json_decref(waiting);
                json_decref(claims);
        }
        if (err) {
                *ret = (struct admission_result){ .admission = ADMIT_WAIT, .reason = "Unschedulable" };
                snprintf(ret->message, sizeof(ret->message), "%s", error_message(err));
        }
        watches_others(rt, ret->admission == ADMIT_WAIT);
}

/* ---- changes by themselves ---- */

static bool renew(json_t *claims, void *arg) {
        const struct runtime *rt = arg;
        json_t *own = json_object_get(claims, rt->uid);
        json_t *claim = own ? admit_claim_renewed(rt->spec, own) : NULL;
        bool changed = own && !json_equal(own, claim);

        if (changed)
                json_object_set(claims, rt->uid, claim);
        json_decref(claim);
        return changed;
}

void claims_renew(void *ctx) {
        struct runtime *rt = ctx;
        claims_update(rt->store, renew, rt);
}

static bool mark_ending(json_t *claims, void *uid) {
        json_t *claim = json_object_get(claims, uid);

        if (!claim || json_is_true(json_object_get(claim, "ending")))
                return false;
        json_object_set_new(claim, "ending", json_true());
        return true;
}

void claims_mark_ending(struct store *store, const char *uid) {
        claims_update(store, mark_ending, (void *)uid);
}

struct leaving {
        const struct store *store;
        const char *uid;
};

/* Also of a pod that has only waited: others may have let it go first, and look again when the claims are written. */
static bool remove_claim(json_t *claims, void *arg) {
        const struct leaving *l = arg;
        json_t *waiting = waiting_read(l->store);
        bool waited = waiting_end(l->store, waiting, l->uid);

        json_decref(waiting);
        return json_object_del(claims, l->uid) == 0 || waited;
}

void claims_remove(struct store *store, const char *uid) {
        claims_update(store, remove_claim, &(struct leaving){ store, uid });
}

void claims_release(void *ctx) {
        struct runtime *rt = ctx;
        claims_remove(rt->store, rt->uid);
}
