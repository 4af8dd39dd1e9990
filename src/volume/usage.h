/* usage.h - how many bytes of its disk a folder takes, counted in slices that containers may change under way.
 *
 * Counted is what a kubelet counts: the blocks of every file and folder, the folder itself included, links not
 * followed, other file systems not entered, a file with several names once. A folder may be as deep and as wide as a
 * hostile container likes: what is kept of a folder on the way down is its file handle (name_to_handle_at(2)) and the
 * place in it, so neither descriptors nor the names in it are gathered. Where the file system has no handles, a level
 * costs a descriptor, and what lies below USAGE_DEPTH_MAX levels is not counted. */
#pragma once

#include "base/error.h"

#define USAGE_DEPTH_MAX 128

struct usage;

/* A folder that is not there (yet, any more) is empty. */
struct error *usage_new(const char *path, struct usage **ret) _must_check_;
struct usage *usage_free(struct usage *usage); /* accepts NULL, returns NULL */
static inline void usage_freep(struct usage **usage) {
        *usage = usage_free(*usage);
}
/* Goes on for about `entries` files. True: it is done, all was counted or more than `enough` bytes were. */
bool usage_step(struct usage *usage, unsigned entries, uint64_t enough);
uint64_t usage_bytes(const struct usage *usage);
