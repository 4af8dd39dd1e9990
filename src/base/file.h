/* file.h - reading, atomic replacing, folders, and paths that cannot escape a root. */
#pragma once

#include <sys/stat.h>

#include "base/error.h"

/* Reads a whole file of at most `max` bytes; the result is NUL-terminated (the NUL is not counted in *ret_len).
 * A missing file is ERROR_NOT_FOUND with errno ENOENT. `dirfd` may be AT_FDCWD. ret_len may be NULL. */
struct error *file_read_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len) _must_check_;
struct error *file_read(const char *path, size_t max, char **ret, size_t *ret_len) _must_check_;
/* Reads what is left of a descriptor, at most `max` bytes (more is an error). */
struct error *fd_read_all(int fd, size_t max, char **ret, size_t *ret_len) _must_check_;
struct error *fd_write_all(int fd, const void *data, size_t len) _must_check_;

enum file_flags {
        FILE_DURABLE = 1,   /* fsync the file and its folder: it survives a power cut */
        FILE_EXCLUSIVE = 2, /* the name must be free; else ERROR_ALREADY_EXISTS */
};
/* Replaces (or makes) a file at once: a reader sees the old content or the new one, never a part. */
struct error *file_replace_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                              int flags) _must_check_;
struct error *file_replace(const char *path, const void *data, size_t len, mode_t mode, int flags) _must_check_;
/* The same by way of the file `temporary`, on the same file system, which nobody else uses now: the caller holds a
 * lock. A writer that is killed leaves that one name behind, which the next writes over, where file_replace() leaves a
 * name of its own each time (files_sweep()). */
struct error *file_replace_through(const char *temporary, const char *path, const void *data, size_t len, mode_t mode,
                                   int flags) _must_check_;
/* Writes into an existing file (cgroup, sysctl, …), no creation, one write(2). */
struct error *file_poke_at(int dirfd, const char *path, const char *text) _must_check_;
struct error *file_poke(const char *path, const char *text) _must_check_;

/* Writes into each of the descriptors; 0 or the errno of the first that fails. Nothing but system calls: for a child
 * between fork(2) and execve(2). */
int fds_poke(const int *fds, size_t n, const char *text);

/* inotify_init1() as IN_CLOEXEC | IN_NONBLOCK; returns the descriptor or -errno. Many of our processes have one, and
 * Linux allows a user 128 unless told otherwise, which all programs of the machine share: when they are used up and the
 * limit is that low, it is raised to 8192 (a few kilobytes of kernel memory for each that is made), as far as we may.
 */
int inotify_open(void);

bool file_exists(const char *path); /* follows no last link */
/* Removes what file_replace() was about to put into a folder, as `name` (NULL: any), when its process was killed. The
 * caller knows that nobody is writing: it holds the lock that all writers take, or has ended them. A folder that cannot
 * be read is left as it is. */
void files_sweep(const char *folder, const char *name);
/* Makes a folder and its parents; existing ones are kept as they are. */
struct error *mkdir_parents(const char *path, mode_t mode) _must_check_;
/* Waits until no other process has this folder (which is made, for root alone, if it is missing) locked. The lock is a
 * file "lock" in it, and lasts until the descriptor is closed. */
struct error *folder_lock(const char *folder, int *ret_fd) _must_check_;
/* Removes a tree without following links and without crossing into mounted file systems; missing is fine. */
struct error *remove_tree_at(int dirfd, const char *path) _must_check_;
struct error *remove_tree(const char *path) _must_check_;
char *path_join(const char *a, const char *b);

/* Opens `path` below `rootfd` as if rootfd were "/" (openat2, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS): links and ".."
 * cannot leave it. Flags and mode as open(2); O_CLOEXEC is added. Returns the descriptor or -errno. */
int open_in_root(int rootfd, const char *path, int flags, mode_t mode);
