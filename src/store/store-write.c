/* store-write.c - objects made, replaced and removed. */
#include "store/store-private.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "store/claim.h"

static mode_t file_mode(const struct api_kind *kind) {
        return streq(kind->kind, "Secret") ? 0600 : 0644;
}

static struct error *namespace_must_exist(struct store *store, const char *ns) {
        const struct api_kind *kind = api_kind_of("Namespace");
        _cleanup_free_ char *path = store_object_path(store, kind, NULL, ns);

        if (!store_name_is_part(ns) || !file_exists(path))
                return store_not_found(kind, ns);
        return NULL;
}

struct error *store_create(struct store *store, const struct api_kind *kind, json_t *object) {
        json_t *metadata = object_metadata(object);
        const char *name = string_of(metadata, "name");
        const char *ns = store_namespace(kind, string_of(metadata, "namespace"));
        _cleanup_close_ int lock = -EBADF;
        char stamp[RFC3339_MAX];
        struct error *err;

        if (!store_name_is_part(name))
                return error_new(ERROR_INVALID, "metadata.name: Invalid value: \"%s\": is no usable name",
                                 name ? name : "");
        if (kind_is_node(kind))
                return error_new(ERROR_FORBIDDEN, "nodes \"%s\": husk has exactly one node, this machine", name);
        if (kind->namespaced) {
                err = namespace_must_exist(store, ns);
                if (err)
                        return err;
        }
        _cleanup_free_ char *folder = store_kind_folder(store, kind, ns),
                            *path = store_object_path(store, kind, ns, name);
        err = mkdir_parents(folder, 0700);
        if (!err)
                err = store_lock(store, &lock);
        if (err)
                return err;

        if (kind->namespaced && str_empty(string_of(metadata, "namespace")))
                json_object_set_new(metadata, "namespace", json_string(ns));
        if (!string_of(metadata, "uid")) {
                _cleanup_free_ char *uid = store_new_uid();
                json_object_set_new(metadata, "uid", json_string(uid));
        }
        json_object_set_new(metadata, "creationTimestamp",
                            json_string(rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, stamp)));
        store_set_version(store, metadata);
        err = owner_note(store, kind, object);
        if (err)
                return err;
        if (kind_is_pod(kind)) {
                json_object_set_new(metadata, "generation", json_integer(1));
                err = store_pod_create(store, kind, ns, name, object);
                if (err)
                        owner_forget(store, object);
                return err;
        }
        if (claim_is_kind(kind))
                claim_bind(object);
        err = store_object_write(store, path, object, file_mode(kind), FILE_DURABLE | FILE_EXCLUSIVE);
        if (err)
                owner_forget(store, object);
        if (error_is(err, ERROR_ALREADY_EXISTS)) {
                error_free(err);
                return error_new(ERROR_ALREADY_EXISTS, "%s \"%s\" already exists", kind->plural, name);
        }
        return err;
}

void store_carry_over(struct store *store, const struct api_kind *kind, json_t *object, const json_t *old) {
        static const char *const fixed[] = { "uid", "creationTimestamp", "namespace", "name" };
        json_t *metadata = object_metadata(object), *old_metadata = json_object_get(old, "metadata");

        for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
                if (json_object_get(old_metadata, fixed[i]))
                        json_object_set(metadata, fixed[i], json_object_get(old_metadata, fixed[i]));
        store_set_version(store, metadata);
        if (!kind_is_pod(kind))
                return;
        json_int_t generation = json_integer_value(json_object_get(old_metadata, "generation"));
        bool deleting =
                json_object_get(metadata, "deletionTimestamp") && !json_object_get(old_metadata, "deletionTimestamp");
        if (deleting || !json_equal(json_object_get(object, "spec"), json_object_get(old, "spec")))
                generation++;
        json_object_set_new(metadata, "generation", json_integer(generation));
}

/* What store_pod_disrupt() wrote beside the spec stays with it. */
static void keep_disruption(struct store *store, const char *uid, json_t *stored) {
        json_t *before = NULL;
        struct error *err = store_pod_spec_read(store, uid, &before);

        json_object_del(stored, "status");
        if (!err && json_object_get(before, "status"))
                json_object_set(stored, "status", json_object_get(before, "status"));
        error_free(err); /* the pod was read a moment ago */
        json_decref(before);
}

struct error *store_update(struct store *store, const struct api_kind *kind, json_t *object) {
        json_t *metadata = object_metadata(object), *old = NULL, *stored;
        const char *name = string_of(metadata, "name"), *ns = string_of(metadata, "namespace");
        const char *version = string_of(metadata, "resourceVersion");
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *path = NULL;
        struct error *err;

        err = store_lock(store, &lock);
        if (!err)
                err = store_get(store, kind, ns, name, &old);
        if (err)
                return err;
        if (!str_empty(version) &&
            !streq_ptr(version, string_of(json_object_get(old, "metadata"), "resourceVersion")) &&
            !streq(version, "0")) {
                json_decref(old);
                return error_new(
                        ERROR_CONFLICT,
                        "%s \"%s\": the object has been modified; please apply your changes to the latest version",
                        kind->plural, name);
        }
        store_carry_over(store, kind, object, old);
        name = string_of(metadata, "name");
        ns = string_of(metadata, "namespace");
        stored = json_copy(object);
        if (kind_is_pod(kind)) {
                const char *uid = string_of(json_object_get(old, "metadata"), "uid");
                path = xasprintf("%s/pods/%s/pod.json", store->root, uid);
                keep_disruption(store, uid, stored);
        } else if (kind_is_node(kind)) {
                path = path_join(store->root, "node.json");
                json_object_del(stored, "status");
        } else {
                path = store_object_path(store, kind, ns, name);
        }
        /* Of a claim whose deletion waited, somebody may have taken away what held it. */
        bool ends = claim_is_kind(kind) && claim_update(stored, old);
        err = owner_note(store, kind, stored);
        if (err)
                ends = false;
        else if (ends)
                err = claim_delete(store, stored, path);
        else if (kind_is_pod(kind) || kind_is_node(kind))
                err = store_file_write(path, stored, file_mode(kind), FILE_DURABLE);
        else
                err = store_object_write(store, path, stored, file_mode(kind), FILE_DURABLE);
        lock = fd_close(lock);
        if (ends && !err)
                err = claim_discard(store, stored);
        json_decref(stored);
        json_decref(old);
        return err;
}

/* Takes the lock over. */
static struct error *claim_remove(struct store *store, const struct api_kind *kind, const char *ns, const char *name,
                                  const char *path, int lock) {
        json_t *claim = NULL;
        struct error *err = store_get(store, kind, ns, name, &claim);

        if (!err)
                err = claim_delete(store, claim, path);
        fd_close(lock);
        if (!err)
                err = claim_discard(store, claim);
        json_decref(claim);
        return err;
}

struct error *store_delete(struct store *store, const struct api_kind *kind, const char *ns, const char *name) {
        _cleanup_close_ int lock = -EBADF;
        struct error *err;

        if (kind_is_node(kind))
                return error_new(ERROR_FORBIDDEN, "nodes \"%s\": husk has exactly one node, this machine", name);
        if (!store_name_is_part(name) || (kind->namespaced && !store_name_is_part(store_namespace(kind, ns))))
                return store_not_found(kind, name ? name : "");
        err = store_lock(store, &lock);
        if (err)
                return err;
        _cleanup_free_ char *path = store_object_path(store, kind, ns, name);
        if (claim_is_kind(kind))
                return claim_remove(store, kind, ns, name, path, TAKE_FD(lock));
        json_auto_t *object = NULL;
        error_free(store_get(store, kind, ns, name, &object)); /* damaged: then nobody knows what it owned */
        err = object ? owner_leaves(store, kind, object) : NULL;
        if (err)
                return err;
        if (unlink(path) < 0)
                return errno == ENOENT ? store_not_found(kind, name) : error_errno(errno, "remove %s", path);
        if (object)
                owner_forget(store, object);
        return NULL;
}
