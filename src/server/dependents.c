#include "server/dependents.h"

#include "base/str.h"
#include "server/field.h"
#include "server/object.h"
#include "store/owner.h"

/* Changed or gone meanwhile: another look shows what there is to do. */
static struct error *look_again(struct error *err) {
        return error_is(err, ERROR_CONFLICT) || error_is(err, ERROR_NOT_FOUND) ? error_free(err) : err;
}

/* New reference. */
static json_t *with_owners(const json_t *object, json_t *owners) {
        json_t *changed = json_deep_copy(object), *metadata = json_object_get(changed, "metadata");

        if (json_array_size(owners))
                json_object_set(metadata, "ownerReferences", owners);
        else
                json_object_del(metadata, "ownerReferences");
        return changed;
}

static struct error *set_owners(struct store *store, const struct api_kind *kind, const json_t *object,
                                json_t *owners) {
        _cleanup_json_ json_t *changed = with_owners(object, owners);
        return look_again(store_update(store, kind, changed));
}

static struct error *remove_one(struct store *store, const struct dependent *d) {
        if (d->left)
                return set_owners(store, d->kind, d->object, d->left);
        if (!streq(d->kind->kind, "Pod"))
                return look_again(object_remove(store, d->kind, d->object));
        struct error *err = pod_mark_deleted(store, d->object, -1);
        return err ? look_again(err) : pod_cleanup_if_alone(store, field_text_or(d->object, "metadata.uid", ""));
}

/* Each at most once; true: there was one, and it may have left others. */
static struct error *collect_once(struct store *store, bool *ret_any) {
        _cleanup_json_ json_t *seen = json_object();
        struct error *first = NULL;

        *ret_any = false;
        for (;;) {
                _cleanup_dependent_ struct dependent d = { 0 };
                bool is = false;
                struct error *err = owner_next_dependent(store, seen, &d, &is);
                if (err || !is) {
                        error_keep_first(&first, err);
                        return first;
                }
                *ret_any = true;
                err = remove_one(store, &d);
                error_keep_first(&first, error_context(err, "%s \"%s\", whose owner is gone", d.kind->singular,
                                                       object_name(d.object)));
        }
}

struct error *dependents_collect(struct store *store) {
        struct error *err = NULL;

        for (bool any = true; any && !err;)
                err = collect_once(store, &any);
        return err;
}

/* Takes the reference out of what is there now, however often that changes meanwhile. */
static struct error *let_go(struct store *store, const struct api_kind *kind, const json_t *listed, const char *uid) {
        const char *ns = kind->namespaced ? field_text(listed, "metadata.namespace") : NULL;

        for (;;) {
                _cleanup_json_ json_t *object = NULL, *changed = NULL, *left = json_array();
                json_t *reference;
                size_t i;
                struct error *err = store_get(store, kind, ns, object_name(listed), &object);
                if (err)
                        return error_is(err, ERROR_NOT_FOUND) ? error_free(err) : err;
                json_array_foreach(field_at(object, "metadata.ownerReferences"), i, reference) {
                        if (!streq_ptr(field_text(reference, "uid"), uid))
                                json_array_append(left, reference);
                }
                changed = with_owners(object, left);
                err = store_update(store, kind, changed);
                if (!error_is(err, ERROR_CONFLICT))
                        return error_is(err, ERROR_NOT_FOUND) ? error_free(err) : err;
                error_free(err);
        }
}

struct error *dependents_orphan(struct store *store, const json_t *owner) {
        _cleanup_json_ json_t *dependents = NULL;
        const char *uid = field_text_or(owner, "metadata.uid", "");
        struct error *err = owner_dependents(store, owner, false, &dependents);
        json_t *object;
        size_t i;

        json_array_foreach(dependents, i, object) {
                if (!err)
                        err = let_go(store, api_kind_of(field_text_or(object, "kind", "")), object, uid);
        }
        return err;
}
