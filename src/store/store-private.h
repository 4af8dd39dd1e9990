/* store-private.h - what the files of the store share: store.c (folders, paths, files), store-read.c, store-write.c and
 * store-pod.c (what is different about pods). */
#pragma once

#include "api/api.h"
#include "store/store.h"

#define CLUSTER_WIDE "_" /* no namespace can have this name */

static inline bool kind_is_pod(const struct api_kind *kind) {
        return streq(kind->kind, "Pod");
}
static inline bool kind_is_node(const struct api_kind *kind) {
        return streq(kind->kind, "Node");
}
static inline const char *string_of(const json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key));
}

/* ---- store.c ---- */

/* What may be one part of a path (Kubernetes: path segment names); everything else names no object. */
bool store_name_is_part(const char *name);
/* The folder of its name: CLUSTER_WIDE, or `ns`, or "default". */
const char *store_namespace(const struct api_kind *kind, const char *ns);
/* <root>/objects/<namespace>/<kind>, and in it the object's file or, of a pod, its link; owned by the caller. */
char *store_kind_folder(struct store *store, const struct api_kind *kind, const char *ns);
char *store_object_path(struct store *store, const struct api_kind *kind, const char *ns, const char *name);
struct error *store_not_found(const struct api_kind *kind, const char *name) _must_check_;
/* ERROR_NOT_FOUND if there is no such file, ERROR_INTERNAL if it is damaged. */
struct error *store_file_read(const char *path, json_t **ret) _must_check_;
/* Flags are those of file_replace(). */
struct error *store_file_write(const char *path, const json_t *json, mode_t mode, int flags) _must_check_;
/* The same for a file below <root>/objects, under the store's lock. */
struct error *store_object_write(const struct store *store, const char *path, const json_t *json, mode_t mode,
                                 int flags) _must_check_;
/* Its "metadata", made if there is none; borrowed. */
json_t *object_metadata(json_t *object);
void store_set_version(struct store *store, json_t *metadata);
/* Returns a descriptor that holds the lock (`operation` is one of flock's), or -errno. */
int store_lock_open(struct store *store, int operation);

/* ---- store-read.c ---- */

/* Names in a folder, sorted, without hidden ones; none (NULL) if there is no such folder. That one could not be looked
 * into is an error: whoever took it for an empty one might remove what belongs to its objects. */
struct error *store_folder_names(const char *path, char ***ret) _must_check_;

/* Whether there may be objects of a kind that has namespaces; cheaper than a list of them. */
bool store_may_have_any(struct store *store, const struct api_kind *kind);

/* ---- store-write.c ---- */

/* Keeps what a writer may not change, and counts what has changed. */
void store_carry_over(struct store *store, const struct api_kind *kind, json_t *object, const json_t *old);

/* ---- owner.c; under the lock ---- */

/* Before the object is written: notes which owners it names. */
struct error *owner_note(struct store *store, const struct api_kind *kind, const json_t *object) _must_check_;
/* Before the object is removed: what it owns is to be collected. */
struct error *owner_leaves(struct store *store, const struct api_kind *kind, const json_t *object) _must_check_;
/* After it was removed. */
void owner_forget(struct store *store, const json_t *object);

/* ---- store-pod.c ---- */

/* Spec and newest status in one (store_get()). */
struct error *store_pod_read(struct store *store, const char *uid, json_t **ret) _must_check_;
/* The caller holds the lock. */
struct error *store_pod_create(struct store *store, const struct api_kind *kind, const char *ns, const char *name,
                               json_t *object) _must_check_;
