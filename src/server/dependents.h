/* dependents.h - what a cluster's garbage collector does: the objects whose owners (metadata.ownerReferences) are all
 * gone are deleted (https://kubernetes.io/docs/concepts/architecture/garbage-collection/#owners-dependents).
 *
 * Which they are the store knows (store/owner.h), also after a crash. An owner of a kind that husk does not store, or
 * that was never here, as in a manifest copied from a cluster, is not known to be gone: its dependents stay. */
#pragma once

#include <jansson.h>

#include "store/store.h"

/* Deletes what owners that are gone have left, and what that leaves in turn; pods with their own grace period, which is
 * not waited for. For whoever has removed something. Without any dependents it costs one look. */
struct error *dependents_collect(struct store *store) _must_check_;
/* Those of an object that is about to be deleted stay: takes their references to it away (propagationPolicy Orphan). */
struct error *dependents_orphan(struct store *store, const json_t *owner) _must_check_;
