/* image-gc.h - looks every five minutes, as a kubelet does, whether images fill the disk too far or are too old.
 *
 * The look itself is a statvfs(2); only when there may be something to remove does a husk-image do it, beside huskd's
 * loop. */
#pragma once

#include "loop/loop.h"
#include "store/store.h"

struct image_gc;
struct image_gc *image_gc_new(struct loop *loop, struct store *store);
struct image_gc *image_gc_free(struct image_gc *gc);
void image_gc_look(struct image_gc *gc);
/* The process is ours to wait for: nobody else must. */
bool image_gc_owns(const struct image_gc *gc, pid_t pid);
