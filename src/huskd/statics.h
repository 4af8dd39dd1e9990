/* statics.h - keeps the objects of the store as a folder of static manifests asks for (manifests.h).
 *
 * The folder is the truth: what stands in it is made, a pod whose document changed is ended with its grace and made
 * anew, what was taken out of it is deleted, and what somebody else deleted comes back. What belongs to a file is known
 * by annotations, so that all of that also holds for changes made while huskd was not running. A file with a mistake
 * changes nothing: what its last good version made stays, and the mistake is told, with line and column, in the log and
 * as an Event about the node. */
#pragma once

#include "huskd/pods.h"
#include "loop/loop.h"
#include "store/store.h"

struct statics;
/* Watches the folder (made if it is missing and can be) and brings the store up to it. */
struct error *statics_new(struct loop *loop, struct store *store, const char *folder, loop_callback changed, void *arg,
                          struct statics **ret) _must_check_;
struct statics *statics_free(struct statics *statics); /* the objects stay */
/* Something in the store may be other than it should; looks, and looks again at the folder. */
void statics_sync(struct statics *statics);
/* Of the last look: files in the folder, and how many of them have a mistake. */
size_t statics_files(const struct statics *statics);
size_t statics_faults(const struct statics *statics);
