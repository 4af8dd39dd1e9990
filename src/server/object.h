/* object.h - objects on their way into the store, and pods out of it: what the verbs of husk and huskd share. */
#pragma once

#include <jansson.h>

#include "api/api.h"
#include "store/store.h"

/* Stores a checked object; a pod is started, and on the disk when this returns. `object` gets uid and times. */
struct error *object_create(struct store *store, const struct api_kind *kind, json_t *object) _must_check_;
/* Replaces an object that has been checked. One that was deleted and is held by no finalizer any more goes, a pod when
 * it has ended. */
struct error *object_update(struct store *store, const struct api_kind *kind, json_t *object) _must_check_;
/* Removes an object that is no pod, and has those deleted that it owned; one with finalizers is marked as deleted and
 * stays until they are gone. */
struct error *object_delete(struct store *store, const struct api_kind *kind, const json_t *object) _must_check_;
struct error *object_remove(struct store *store, const struct api_kind *kind,
                            const json_t *object) _must_check_; /* the object alone */
/* Kinds in the order in which objects may need each other: 0 first, pods last. */
int object_rank(const struct api_kind *kind);
/* Marks a pod as deleted: its supervisor ends it. `grace` in seconds, negative: as its spec says. A deletion under way
 * can be made shorter, not longer. ERROR_CONFLICT: `pod` is not the newest any more. */
struct error *pod_mark_deleted(struct store *store, json_t *pod, int64_t grace) _must_check_;
/* The pod has ended, and its object stays for the sake of its finalizers. */
bool pod_is_held(struct store *store, const char *uid);
/* Nothing of it is left. */
bool pod_is_gone(struct store *store, const char *uid);
/* Cleans up after a pod that nobody supervises; where a supervisor appears meanwhile, that does it instead. */
struct error *pod_cleanup_if_alone(struct store *store, const char *uid) _must_check_;
