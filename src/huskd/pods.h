/* pods.h - huskd as the supervisor of supervisors: every pod that has not ended has a husk-keeper, or gets one.
 *
 * A husk-pod that dies is its keeper's business, and a keeper that dies is husk-pod's, which takes its place. When both
 * are gone nobody of the pod is left to do anything, and huskd starts a new keeper. It waits on the keepers' pidfds and
 * watches <root>/pods, so nothing wakes it up while nothing happens. */
#pragma once

#include "loop/loop.h"
#include "store/store.h"

struct pods;
/* Starts what is missing, as after a reboot, and watches from then on. `gone` is called when a pod has been removed,
 * `changed` after each look. */
struct error *pods_new(struct loop *loop, struct store *store, loop_callback gone, loop_callback changed, void *arg,
                       struct pods **ret) _must_check_;
struct pods *pods_free(struct pods *pods); /* the pods live on */
/* Looks soon whether all have what they need: something was started or marked. */
void pods_look_soon(struct pods *pods);
size_t pods_count(const struct pods *pods); /* with a supervisor */
