/* unpack-private.h - what the files of unpacking share: unpack.c makes the entries, unpack-folder.c knows their
 * folders, unpack-time.c sets the folders' times at the end. */
#pragma once

#include <sys/stat.h>

#include "base/str.h"
#include "husk-image/unpack.h"

#define FOLDERS_CACHED 16

struct folder {
        char *path;
        int fd;
        uint64_t used; /* when it was last asked for */
};

struct unpack {
        int root;
        const struct unpack_limits *limits;
        struct unpack_result result;
        struct folder folders[FOLDERS_CACHED]; /* folders that were written to lately */
        uint64_t clock;
        bool stale; /* a folder or link was removed: the cached ones are closed before the next entry, not before, as
                       the current entry uses them */
        struct strbuf times; /* folders whose time is set at the end: see struct folder_time */
        int spill;           /* unnamed file for the older part of them */
        uint64_t unchecked;  /* bytes written since the free space was looked at */
};

/* ---- unpack-folder.c ---- */

/* Writes "a/b" of "//a/./b/" and so on into `clean`; ".." and what is too long or too deep is an error. */
struct error *unpack_clean_path(const char *path, char clean[static TAR_PATH_MAX + 1]) _must_check_;
/* Splits a clean path into its folder ("" for the root) and name, in its own memory. */
const char *unpack_split_path(char *path, const char **ret_folder);
/* Opens a folder below the root, following links there, and makes what is missing of it. The descriptor stays the
 * cache's; one more call keeps it open, as the least recently used one is given up. */
struct error *unpack_folder_open(struct unpack *u, const char *path, int *ret) _must_check_;
void unpack_folders_forget(struct unpack *u); /* closes the cached ones */
bool unpack_is_whiteout(const struct stat *st);
struct error *unpack_set_opaque(int fd) _must_check_; /* of a folder: hides what lower layers have in it */

/* ---- unpack-time.c ---- */

struct error *unpack_note_time(struct unpack *u, const char *path, struct timespec mtime) _must_check_;
/* A folder that the archive does not describe gets the time 0: a layer unpacks to the same whenever that is. */
struct error *unpack_note_implied(struct unpack *u, const char *path) _must_check_;
/* Sets what was noted. */
struct error *unpack_set_times(struct unpack *u) _must_check_;
