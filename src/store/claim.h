/* claim.h - PersistentVolumeClaims: bound when they are made, kept while a pod uses them, gone with their folder.
 *
 * husk has one class of storage, "local": a claim gets a volume of its own, which is the folder
 * <root>/persistent-volumes/<uid of the claim> (made by the first pod that mounts it; src/volume/claim.c). As under a
 * dynamic provisioner with reclaim policy Delete, the folder goes with the claim. A claim that asks for what no
 * provisioner could give it (no class, a volume by name, a selector) stays Pending, as it would wherever nobody has
 * made such a volume by hand.
 *
 * A claim in use is protected by the finalizer kubernetes.io/pvc-protection
 * (https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection): deleting it sets
 * its deletionTimestamp, and it goes with the last pod that names it. A claim that was made for a generic ephemeral
 * volume goes with its pod. */
#pragma once

#include <jansson.h>

#include "store/store.h"

struct api_kind;

#define CLAIM_CLASS "local"

bool claim_is_kind(const struct api_kind *kind);
/* <root>/persistent-volumes/<uid>; owned by the caller. */
char *claim_folder(const struct store *store, const char *uid);
/* Sets what admission, provisioner and binder of a cluster set: finalizer, class, volume, status. */
void claim_bind(json_t *claim);
/* `claim` is about to replace `old`: what only the system sets is carried over. True: its deletion was waiting, and
 * nothing holds it any more: it is to be removed. */
bool claim_update(json_t *claim, const json_t *old);

/* Deletes a claim: at once, or, if a pod uses it, when the last of them goes. The caller holds the store's lock;
 * `ns` and `name` are those of `claim`, which is stored in `path`. */
struct error *claim_delete(struct store *store, json_t *claim, const char *path) _must_check_;
/* After the end of pods (takes the store's lock): removes claims whose deletion waited for them, those that belonged to
 * them, and folders without a claim. A claim that cannot be read is passed over, and told in the error when all else is
 * done; while there is one, no folder is taken for one without a claim. Where no claim ever was this costs a look into
 * two folders. */
struct error *claims_sweep(struct store *store) _must_check_;
/* Removes what the folder of a claim that is gone held (nothing of one that is still there). It takes as long as that
 * takes, and no lock; what could not be removed, the next claims_sweep() tries again. */
struct error *claim_discard(const struct store *store, const json_t *claim) _must_check_;

/* The name of the claim that a volume of a pod's spec stands for, owned by the caller; NULL: it is no claim. */
char *claim_name_of_volume(const char *pod_name, const json_t *volume);
/* Is the claim the one that was made for this pod's ephemeral volume? */
bool claim_is_owned_by(const json_t *claim, const char *pod_uid);
/* Why the pod cannot be placed yet because of its claims, in the scheduler's words, owned by the caller; NULL: it can.
 * `others`: {"<uid>": …} of the pods that have been placed on this node; those that are only "nominated" do not count.
 * The caller holds the store's lock. */
struct error *claims_hinder(struct store *store, const json_t *pod, const json_t *others, char **ret) _must_check_;
/* Makes the claims of the pod's generic ephemeral volumes that are not there: named <pod>-<volume>, owned by the pod
 * (https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes). */
struct error *claims_make(struct store *store, const json_t *pod) _must_check_;
