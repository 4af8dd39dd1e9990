/* access.h - which pods may use an image that is here already.
 *
 * A kubelet (KubeletEnsureSecretPulledImages, on by default since Kubernetes 1.35) notes with which imagePullSecret an
 * image was pulled, and lets a pod without that Secret use it only once the pod's own credentials, or none, have
 * brought it from the registry again. husk keeps the same notes, one file an image:
 *
 *   <root>/images/access/sha256/<id>.json   {"quay.io/team/app": {"secrets": [{"uid", "namespace", "name"}]},
 *                                            "docker.io/library/redis": {"anyone": true}}
 *
 * An image without such a file was loaded, or pulled by hand: it counts as preloaded. */
#pragma once

#include "base/error.h"
#include "image/image.h"
#include "store/node-config.h"

/* A Secret by what stays its own: one of the same name that was made anew is another. */
struct image_secret {
        char *uid, *namespace_, *name;
};
void image_secret_release(struct image_secret *secret);

/* Notes that whoever has `secret` (NULL: any pod of the node) may use the image under the names of this repository
 * ("docker.io/library/redis"). */
struct error *image_access_grant(const char *images, const char *id, const char *repository,
                                 const struct image_secret *secret) _must_check_;
/* The same for all pods of the node, of an image that there are notes of; without, it is for all anyway. */
struct error *image_access_open(const char *images, const char *id, const char *repository) _must_check_;
/* Forgets the notes of an image that is removed. */
struct error *image_access_forget(const char *images, const char *id) _must_check_;

/* Must the registry be asked before a pod with these secrets may use `image`, which was opened by name? As the node's
 * imagePullCredentialsVerificationPolicy has it. What cannot be read counts as no permission. */
bool image_access_must_ask(const struct store *store, const struct node_config *config, const struct image *image,
                           const struct image_secret *secrets, size_t n);
