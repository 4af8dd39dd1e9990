/* copy.h - copying files and folders between two trees, neither of which can lead the copy out of the other.
 *
 * A side is a folder below which everything is looked up as if it were "/" (openat2 with RESOLVE_IN_ROOT), and the
 * identity with which that is done: the root of a container's mount namespace with its user's ids, or this machine's
 * own root with the caller's. Links inside a tree that is copied from a container are not followed and not made here;
 * devices, sockets and pipes are passed over; names come from readdir(3) and have no slash. So a hostile container can
 * at worst fill the folder that was named. */
#pragma once

#include "base/error.h"

struct copy_side {
        int root;    /* O_PATH folder */
        bool remote; /* a container: use the identity below, and do not trust what is there */
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        size_t n_groups;
};
#define COPY_SIDE_INIT \
        { .root = -EBADF }
void copy_side_release(struct copy_side *side);
#define _cleanup_copy_side_ _cleanup_(copy_side_release)

struct copy_options {
        bool preserve;                  /* permission bits and times */
        void (*warn)(const char *text); /* something was passed over; may be NULL */
};

/* Copies the file or folder `from` to `to`; if `to` is a folder already, to the same name in it. Paths are below the
 * sides' roots. */
struct error *copy_tree(const struct copy_side *source, const char *from, const struct copy_side *target,
                        const char *to, const struct copy_options *options) _must_check_;
