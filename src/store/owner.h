/* owner.h - which objects belong to which (metadata.ownerReferences), so that those whose owner is deleted can go, too.
 *
 * <root>/owners/<uid of an owner>/<uid> says that an object, "<kind>,<namespace>,<name>" in it, names that owner. It is
 * written before the object, and only a hint: who follows it looks whether it is so. When the owner is removed the
 * folder is first renamed to <uid>,<namespace> ("_": none), which says that its dependents are to be collected, whoever
 * is killed meanwhile. References to kinds that are not stored here lead nowhere: an owner that is not known is not
 * known to be gone. */
#pragma once

#include <jansson.h>

#include "store/store.h"

struct api_kind;

/* An object that a removed one owned. */
struct dependent {
        const struct api_kind *kind;
        json_t *object;
        json_t *left; /* references that stay, as other owners are there; NULL: none, and it is to be deleted */
};
void dependent_release(struct dependent *dependent);
#define _cleanup_dependent_ _cleanup_(dependent_release)

/* One of those that owners which are gone have left; *ret_any is false if there is none (any more). Stays one until it
 * is deleted, or names its owner no more; `skip`, which the caller begins as an empty object, keeps it from coming
 * twice. Without any this costs one look for a folder. */
struct error *owner_next_dependent(struct store *store, json_t *skip, struct dependent *ret,
                                   bool *ret_any) _must_check_;
/* Those that name this object, which is there, as their owner; `alone`: only those that have no other owner that is
 * there. New reference: an array of objects. */
struct error *owner_dependents(struct store *store, const json_t *owner, bool alone, json_t **ret) _must_check_;
