#include "store/owner.h"

#include <dirent.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "store/store-private.h"

#define UID_LENGTH 36 /* of every object that is stored */
#define MARKER_MAX 1024

static char *owners_folder(const struct store *store) {
        return path_join(store->root, "owners");
}

static const json_t *references_of(const json_t *object) {
        return json_object_get(json_object_get(object, "metadata"), "ownerReferences");
}

static const char *meta(const json_t *object, const char *key) {
        return string_of(json_object_get(object, "metadata"), key);
}

static bool is_uid(const char *uid) {
        return uid && strlen(uid) == UID_LENGTH && store_name_is_part(uid) && !strchr(uid, ',');
}

/* The kind of the owner, if it is one that is stored here and can be deleted. */
static const struct api_kind *kind_of_owner(const json_t *reference) {
        const char *kind = string_of(reference, "kind");
        const struct api_kind *found = kind ? api_kind_of(kind) : NULL;

        if (!found || kind_is_node(found) || !streq_ptr(string_of(reference, "apiVersion"), found->api_version))
                return NULL;
        return is_uid(string_of(reference, "uid")) ? found : NULL;
}

static char *marker_path(const struct store *store, const char *owner, const json_t *object) {
        return xasprintf("%s/owners/%s/%s", store->root, owner, meta(object, "uid"));
}

/* ---- what the store notes ---- */

struct error *owner_note(struct store *store, const struct api_kind *kind, const json_t *object) {
        const json_t *reference;
        size_t i;

        if (streq(kind->kind, "Namespace") || kind_is_node(kind) || !is_uid(meta(object, "uid")))
                return NULL; /* nothing takes these along */
        _cleanup_free_ char *text = xasprintf("%s,%s,%s", kind->kind, store_namespace(kind, meta(object, "namespace")),
                                              meta(object, "name"));
        _cleanup_free_ char *temporary = path_join(store->root, "owners/.new");
        json_array_foreach(references_of(object), i, reference) {
                if (!kind_of_owner(reference))
                        continue;
                _cleanup_free_ char *folder = xasprintf("%s/owners/%s", store->root, string_of(reference, "uid"));
                _cleanup_free_ char *path = marker_path(store, string_of(reference, "uid"), object);
                struct error *err = mkdir_parents(folder, 0700);
                if (!err)
                        err = file_replace_through(temporary, path, text, strlen(text), 0600, 0);
                if (err)
                        return err;
        }
        return NULL;
}

static struct error *markers_move(const char *folder, const char *to) {
        _cleanup_strv_ char **markers = NULL;
        struct error *err = store_folder_names(folder, &markers);

        for (char **m = markers; !err && m && *m; m++) {
                _cleanup_free_ char *from = path_join(folder, *m), *target = path_join(to, *m);
                if (rename(from, target) < 0 && errno != ENOENT)
                        err = error_errno(errno, "rename %s", from);
        }
        return err;
}

struct error *owner_leaves(struct store *store, const struct api_kind *kind, const json_t *object) {
        const char *uid = meta(object, "uid");

        if (!is_uid(uid))
                return NULL;
        _cleanup_free_ char *folder = xasprintf("%s/owners/%s", store->root, uid);
        _cleanup_free_ char *gone = xasprintf("%s,%s", folder, store_namespace(kind, meta(object, "namespace")));
        if (rename(folder, gone) == 0 || errno == ENOENT)
                return NULL;
        if (errno != ENOTEMPTY && errno != EEXIST)
                return error_errno(errno, "rename %s", folder);
        return markers_move(folder, gone); /* who was removing it was killed, and others have come since */
}

void owner_forget(struct store *store, const json_t *object) {
        const json_t *reference;
        size_t i;

        json_array_foreach(references_of(object), i, reference) {
                if (!kind_of_owner(reference) || !is_uid(meta(object, "uid")))
                        continue;
                _cleanup_free_ char *folder = xasprintf("%s/owners/%s", store->root, string_of(reference, "uid"));
                _cleanup_free_ char *path = marker_path(store, string_of(reference, "uid"), object);
                unlink(path);
                rmdir(folder);
        }
}

/* ---- following it ---- */

void dependent_release(struct dependent *d) {
        json_decref(d->object);
        json_decref(d->left);
        *d = (struct dependent){ 0 };
}

/* What "ConfigMap,default,name" in it means, if it is there. */
static const struct api_kind *marker_read(struct store *store, const char *path, json_t **ret, struct error **err) {
        _cleanup_free_ char *text = NULL;
        char *save = NULL;

        *err = file_read(path, MARKER_MAX, &text, NULL);
        char *word = *err ? NULL : strtok_r(text, ",", &save), *ns = word ? strtok_r(NULL, ",", &save) : NULL,
             *name = ns ? strtok_r(NULL, "", &save) : NULL;
        const struct api_kind *kind = name ? api_kind_of(word) : NULL;

        if (kind)
                *err = store_get(store, kind, kind->namespaced ? ns : NULL, name, ret);
        if (error_is(*err, ERROR_NOT_FOUND))
                *err = error_free(*err);
        return *ret ? kind : NULL;
}

/* Does the owner live? Of a kind that is not stored here nobody knows: then it does. */
static struct error *owner_is_there(struct store *store, const json_t *reference, const char *ns, bool *ret) {
        const struct api_kind *kind = kind_of_owner(reference);
        json_t *owner = NULL;
        struct error *err;

        *ret = true;
        if (!kind)
                return NULL;
        err = store_get(store, kind, kind->namespaced ? ns : NULL, string_of(reference, "name"), &owner);
        if (error_is(err, ERROR_NOT_FOUND))
                err = error_free(err);
        *ret = owner && streq_ptr(meta(owner, "uid"), string_of(reference, "uid"));
        json_decref(owner);
        return err;
}

/* Its references but that to the owner (which *ret_there is about), as far as their owners are there; NULL: none is. */
static struct error *references_left(struct store *store, const json_t *object, const char *owner, bool *ret_named,
                                     bool *ret_there, json_t **ret) {
        json_t *left = json_array(), *reference;
        struct error *err = NULL;
        size_t i;

        *ret_named = *ret_there = false;
        json_array_foreach(references_of(object), i, reference) {
                bool there = false;
                if (!err)
                        err = owner_is_there(store, reference, meta(object, "namespace"), &there);
                if (streq_ptr(string_of(reference, "uid"), owner)) {
                        *ret_named = true;
                        *ret_there = there;
                } else if (there) {
                        json_array_append(left, reference);
                }
        }
        if (err || !json_array_size(left)) {
                json_decref(left);
                left = NULL;
        }
        *ret = left;
        return err;
}

/* What one marker leads to. */
enum dependence { NO_DEPENDENT, OWNER_IS_THERE, OWNER_IS_GONE };

static struct error *dependent_read(struct store *store, const char *uid, const char *ns, const char *path,
                                    struct dependent *ret, enum dependence *ret_is) {
        _cleanup_dependent_ struct dependent d = { 0 };
        struct error *err;
        bool named = false, there = false;

        d.kind = marker_read(store, path, &d.object, &err);
        *ret_is = NO_DEPENDENT;
        if (!d.kind)
                return err;
        /* An owner with a namespace owns nothing outside of it. */
        if (!streq(ns, CLUSTER_WIDE) && !streq_ptr(meta(d.object, "namespace"), ns))
                return NULL;
        err = references_left(store, d.object, uid, &named, &there, &d.left);
        if (err || !named)
                return err;
        *ret_is = there ? OWNER_IS_THERE : OWNER_IS_GONE;
        *ret = d;
        d = (struct dependent){ 0 };
        return NULL;
}

/* Whether it waits already, for its grace period or for finalizers. */
static bool is_on_its_way(const json_t *object) {
        return meta(object, "deletionTimestamp");
}

static struct error *next_of(struct store *store, const char *gone, json_t *skip, struct dependent *ret,
                             bool *ret_any) {
        _cleanup_free_ char *all = owners_folder(store), *folder = path_join(all, gone),
                            *uid = xstrndup(gone, strcspn(gone, ","));
        const char *ns = gone + strlen(uid) + 1;
        _cleanup_strv_ char **markers = NULL;
        struct error *err = store_folder_names(folder, &markers);

        for (char **m = markers; !err && m && *m && !*ret_any; m++) {
                _cleanup_free_ char *path = path_join(folder, *m);
                enum dependence is = NO_DEPENDENT;
                if (json_object_get(skip, path))
                        continue;
                json_object_set_new_nocheck(skip, path, json_true());
                err = dependent_read(store, uid, ns, path, ret, &is);
                if (err) { /* one that is damaged holds up no other */
                        log_warning("%s: %s", path, error_message(err));
                        err = error_free(err);
                        continue;
                }
                *ret_any = is == OWNER_IS_GONE && (ret->left || !is_on_its_way(ret->object));
                if (is != OWNER_IS_THERE && !*ret_any)
                        unlink(path);
                if (!*ret_any)
                        dependent_release(ret);
        }
        if (!err && !*ret_any)
                rmdir(folder); /* if it is empty */
        return err;
}

struct error *owner_next_dependent(struct store *store, json_t *skip, struct dependent *ret, bool *ret_any) {
        _cleanup_free_ char *all = owners_folder(store);
        _cleanup_strv_ char **names = NULL;
        struct error *err = store_folder_names(all, &names);

        *ret_any = false;
        for (char **name = names; !err && name && *name && !*ret_any; name++)
                if (strchr(*name, ','))
                        err = next_of(store, *name, skip, ret, ret_any);
        return err;
}

struct error *owner_dependents(struct store *store, const json_t *owner, bool alone, json_t **ret) {
        const struct api_kind *kind = api_kind_of(string_of(owner, "kind") ?: "");
        const char *uid = meta(owner, "uid");
        _cleanup_free_ char *all = owners_folder(store), *folder = path_join(all, uid ?: ".");
        _cleanup_strv_ char **markers = NULL;
        struct error *err = uid && kind ? store_folder_names(folder, &markers) : NULL;
        json_t *list = json_array();

        for (char **m = markers; !err && m && *m; m++) {
                _cleanup_dependent_ struct dependent d = { 0 };
                _cleanup_free_ char *path = path_join(folder, *m);
                enum dependence is = NO_DEPENDENT;
                err = dependent_read(store, uid, store_namespace(kind, meta(owner, "namespace")), path, &d, &is);
                if (!err && is == OWNER_IS_THERE && !(alone && d.left))
                        json_array_append(list, d.object);
        }
        if (err)
                json_decref(list);
        else
                *ret = list;
        return err;
}
