/* gc.h - what of the store is still needed, and the removal of the rest.
 *
 * Roots are the reference records and the image records; from an image record its configuration and layers, from a
 * reference its manifest (and what an index names), from a layer the blob it came from. Images that a pod uses are
 * found in the pods' specs and statuses. */
#pragma once

#include "base/error.h"
#include "store/store.h"

struct gc_result {
        uint64_t bytes;               /* on the disk, freed */
        size_t images, layers, blobs; /* removed */
        char **ids;                   /* of the images */
};
void gc_result_release(struct gc_result *result);

/* Ids and normalised references that pods use: containers' images, in specs and statuses. */
struct error *gc_in_use(const struct store *store, char ***ret) _must_check_;
/* True if the image (by id, one of its names, or digest) is in that list. */
bool gc_is_used(char *const *in_use, const char *id, char *const *names);

/* Removes image records whose ids are given, then layers and blobs that nothing needs. Does nothing and says so (false
 * in *ret_done) while somebody else pulls or loads. */
struct error *gc_collect(const char *images, char *const *remove_ids, bool blobs_only, bool *ret_done,
                         struct gc_result *ret) _must_check_;
/* The same for who holds the store's lock alone. */
struct error *gc_collect_locked(const char *images, char *const *remove_ids, bool blobs_only,
                                struct gc_result *ret) _must_check_;
/* Bytes a tree takes on the disk. */
uint64_t disk_usage(const char *path);
