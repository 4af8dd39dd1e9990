/* manifests.h - what a folder of static manifests asks for: objects as they are to be in the store, and what is wrong.
 *
 * Every file whose name does not begin with a dot is read, as a kubelet does, whatever its ending; folders within are
 * not. A file may hold any number of documents of any kind but Node. It counts as a whole or not at all: one mistake in
 * it, and none of its objects is in the result, but its name and what is wrong with it are. Pods are given what a
 * kubelet gives its static pods: the node's name behind their own and in the spec, the annotations
 * kubernetes.io/config.*, the node as owner, a toleration of every NoExecute taint. */
#pragma once

#include <jansson.h>

#include "api/api.h"
#include "store/store.h"

#define MANIFEST_SOURCE "kubernetes.io/config.source" /* "file" */
#define MANIFEST_HASH "kubernetes.io/config.hash"     /* of the document, its file's name and the node's */
#define MANIFEST_MIRROR "kubernetes.io/config.mirror" /* the same, on pods */
#define MANIFEST_SEEN "kubernetes.io/config.seen"     /* when it was read first */
#define MANIFEST_FILE "husk/config.file"              /* the file's name in the folder */

struct manifest_object {
        const struct api_kind *kind;
        const char *ns; /* "" for cluster-wide kinds; within `object`, as are the others */
        const char *name, *hash, *file;
        json_t *object;
};

struct manifest_fault {
        char *file;
        char *text; /* lines as manifest_explain() writes them */
};

struct manifests {
        struct manifest_object *objects; /* in the order in which they may need each other */
        size_t n;
        struct manifest_fault *faults;
        size_t n_faults;
        size_t n_files; /* with and without mistakes */
};
#define MANIFESTS_INIT \
        { 0 }

/* Reads the folder; a missing one holds nothing, as for a kubelet. An error: it could not be read at all. */
struct error *manifests_read(struct store *store, const char *folder, struct manifests *ret) _must_check_;
void manifests_release(struct manifests *manifests);
#define _cleanup_manifests_ _cleanup_(manifests_release)

const struct manifest_object *manifests_find(const struct manifests *manifests, const struct api_kind *kind,
                                             const char *ns, const char *name);
/* The file is well by itself, but this object of it cannot be: none of it counts. `object` is no more after that. */
void manifests_reject(struct manifests *manifests, const struct manifest_object *object, const char *why);
bool manifests_is_faulty(const struct manifests *manifests, const char *file);
