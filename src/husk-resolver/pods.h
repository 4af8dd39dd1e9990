/* pods.h - the pods of the node as the zone wants them, read from their files when somebody asks.
 *
 * Nothing is watched, so that a pod whose status changes wakes nobody up; a look costs two stat(2) a pod, and a file is
 * read again when it is another one. Looks are 20 ms apart at least. */
#pragma once

#include "husk-resolver/zone.h"
#include "store/store.h"

struct pods;
/* `domain` stays the caller's. */
struct pods *pods_new(struct store *store, const char *domain);
struct pods *pods_free(struct pods *pods);
/* As they are now; good until the next call. Pods that cannot be read have no names. */
const struct zone *pods_zone(struct pods *pods);
