#include "husk-image/unpack-private.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/str.h"

#define FREE_CHECK_BYTES (32 << 20)
#define FREE_CHECK_ENTRIES 4096
#define WRITEBACK_AT (1 << 20)

#define WHITEOUT ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_META ".wh..wh." /* aufs' own bookkeeping */

static struct error *in_entry(struct error *err, const char *path) {
        return error_context(err, "%.300s", *path ? path : "/");
}

/* Removes what is in the way of a new entry. A folder that was a whiteout before hides what lies below it. */
static struct error *clear_the_way(struct unpack *u, int folder, const char *name, bool *ret_was_whiteout) {
        struct stat st;

        *ret_was_whiteout = false;
        if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "look at");
        *ret_was_whiteout = unpack_is_whiteout(&st);
        if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode))
                u->stale = true; /* paths through it may lead elsewhere now */
        return remove_tree_at(folder, name);
}

/* user.* is for programs, security.capability for the kernel. user.overlay.* would mean something to overlayfs in a
 * user namespace, trusted.* to overlayfs, and the rest (labels, IMA, ACLs) belongs to another machine's policy. */
static bool xattr_is_taken(const char *name) {
        return streq(name, "security.capability") ||
               (str_starts_with(name, "user.") && !str_starts_with(name, "user.overlay."));
}

static struct error *set_xattrs(struct unpack *u, int fd, const struct tar_entry *entry) {
        for (size_t i = 0; i < entry->n_xattrs; i++) {
                const struct tar_xattr *x = &entry->xattrs[i];
                if (!xattr_is_taken(x->name)) {
                        u->result.ignored_xattrs++;
                        continue;
                }
                if (fsetxattr(fd, x->name, x->value, x->len, 0) == 0)
                        continue;
                if (errno == EOPNOTSUPP && str_starts_with(x->name, "user.")) {
                        u->result.ignored_xattrs++;
                        continue;
                }
                return error_errno(errno, "set attribute %.100s", x->name);
        }
        return NULL;
}

static const struct timespec *times_of(const struct tar_entry *entry, struct timespec times[2]) {
        times[0] = times[1] = entry->mtime;
        return times;
}

/* The disk must not fill up: whoever else lives on it would suffer. */
static struct error *check_free(struct unpack *u) {
        struct statvfs st;

        u->unchecked = 0;
        if (!u->limits->keep_free || fstatvfs(u->root, &st) < 0)
                return NULL;
        if ((uint64_t)st.f_bavail * st.f_frsize < u->limits->keep_free)
                return error_new(ERROR_EXHAUSTED, "disk nearly full: less than %llu MiB left",
                                 (unsigned long long)(u->limits->keep_free >> 20));
        return NULL;
}

static struct error *account(struct unpack *u, uint64_t bytes) {
        u->result.size += bytes;
        u->unchecked += bytes;
        if (u->result.size > u->limits->size)
                return error_new(ERROR_EXHAUSTED, "the layer unpacks to more than %llu MiB (--max-layer-size)",
                                 (unsigned long long)(u->limits->size >> 20));
        return u->unchecked >= FREE_CHECK_BYTES ? check_free(u) : NULL;
}

static struct error *write_at(int fd, const struct tar_chunk *chunk) {
        size_t done = 0;

        while (done < chunk->len) {
                ssize_t n = pwrite(fd, chunk->data + done, chunk->len - done, chunk->offset + done);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(errno, "write");
                done += n;
        }
        return NULL;
}

static struct error *write_content(struct unpack *u, struct tar *tar, int fd) {
        uint64_t end = 0, written = 0;
        struct tar_chunk chunk;

        for (;;) {
                struct error *err = tar_data(tar, &chunk);
                if (err)
                        return err;
                if (!chunk.len)
                        break;
                err = account(u, chunk.len);
                if (!err)
                        err = write_at(fd, &chunk);
                if (err)
                        return err;
                end = chunk.offset + chunk.len;
                written += chunk.len;
        }
        if (end < tar->entry.size && ftruncate(fd, tar->entry.size) < 0) /* a hole at the end */
                return error_errno(errno, "set size");
        /* The disk begins now, not when everything is synced at the end. */
        if (written >= WRITEBACK_AT)
                sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        return NULL;
}

static struct error *set_file_owner(int fd, const struct tar_entry *entry) {
        if ((entry->uid || entry->gid) && fchown(fd, entry->uid, entry->gid) < 0)
                return error_errno(errno, "set owner");
        /* After the content and the owner: both take setuid bits away. */
        if ((entry->mode & ~0777) && fchmod(fd, entry->mode) < 0)
                return error_errno(errno, "set mode");
        return NULL;
}

static struct error *unpack_file(struct unpack *u, struct tar *tar, int folder, const char *name) {
        const struct tar_entry *entry = &tar->entry;
        struct timespec times[2];
        struct error *err;

        int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        _cleanup_close_ int fd = openat(folder, name, flags, entry->mode & 0777);
        if (fd < 0 && errno == EEXIST) {
                bool ignored;
                err = clear_the_way(u, folder, name, &ignored);
                if (err)
                        return err;
                fd = openat(folder, name, flags, entry->mode & 0777);
        }
        if (fd < 0)
                return error_errno(errno, "create");
        err = write_content(u, tar, fd);
        if (!err)
                err = set_file_owner(fd, entry);
        if (!err && entry->n_xattrs)
                err = set_xattrs(u, fd, entry);
        if (!err && futimens(fd, times_of(entry, times)) < 0)
                err = error_errno(errno, "set time");
        return err;
}

static struct error *set_folder_metadata(struct unpack *u, int fd, const char *path, const struct tar_entry *entry) {
        if (fchown(fd, entry->uid, entry->gid) < 0)
                return error_errno(errno, "set owner");
        if (fchmod(fd, entry->mode) < 0)
                return error_errno(errno, "set mode");
        struct error *err = set_xattrs(u, fd, entry);
        return err ? err : unpack_note_time(u, path, entry->mtime);
}

static struct error *unpack_folder(struct unpack *u, const struct tar_entry *entry, int folder, const char *name,
                                   const char *path) {
        bool was_whiteout = false;
        struct error *err;

        if (mkdirat(folder, name, 0700) < 0) {
                struct stat st;
                if (errno != EEXIST)
                        return error_errno(errno, "create folder");
                if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return error_errno(errno, "look at");
                if (!S_ISDIR(st.st_mode)) {
                        err = clear_the_way(u, folder, name, &was_whiteout);
                        if (err)
                                return err;
                        if (mkdirat(folder, name, 0700) < 0)
                                return error_errno(errno, "create folder");
                }
        }
        _cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open");
        if (was_whiteout) {
                err = unpack_set_opaque(fd);
                if (err)
                        return err;
        }
        return set_folder_metadata(u, fd, path, entry);
}

static struct error *unpack_hard_link(struct unpack *u, const struct tar_entry *entry, int folder, const char *name) {
        char clean[TAR_PATH_MAX + 1];
        const char *target_folder, *target;
        int target_fd;
        struct error *err = unpack_clean_path(entry->link, clean);

        if (err)
                return error_context(err, "a hard link to %.300s", entry->link);
        target = unpack_split_path(clean, &target_folder);
        if (!*target)
                return error_new(ERROR_BAD_REQUEST, "a hard link to \"%.300s\"", entry->link);
        err = unpack_folder_open(u, target_folder, &target_fd);
        if (err)
                return err;
        struct stat from, to;
        if (fstatat(target_fd, target, &from, AT_SYMLINK_NOFOLLOW) < 0)
                return error_new(ERROR_BAD_REQUEST, "a hard link to %.300s, which is not in the layer", entry->link);
        if (S_ISDIR(from.st_mode))
                return error_new(ERROR_BAD_REQUEST, "a hard link to the folder %.300s", entry->link);
        if (fstatat(folder, name, &to, AT_SYMLINK_NOFOLLOW) == 0) {
                bool ignored;
                if (to.st_ino == from.st_ino && to.st_dev == from.st_dev)
                        return NULL;
                if (S_ISDIR(to.st_mode)) /* removing it could remove the target's folder under our feet */
                        return error_new(ERROR_BAD_REQUEST, "a hard link in the place of a folder");
                err = clear_the_way(u, folder, name, &ignored);
                if (err)
                        return err;
        }
        if (linkat(target_fd, target, folder, name, 0) < 0)
                return error_errno(errno, "link to %.300s", entry->link);
        return NULL;
}

static int make_special(const struct tar_entry *entry, int folder, const char *name) {
        switch (entry->type) {
        case TAR_SYMLINK:
                return symlinkat(entry->link, folder, name);
        case TAR_FIFO:
                return mknodat(folder, name, S_IFIFO | (entry->mode & 0777), 0);
        case TAR_CHAR_DEVICE:
                return mknodat(folder, name, S_IFCHR | (entry->mode & 0777), makedev(entry->major, entry->minor));
        case TAR_BLOCK_DEVICE:
                return mknodat(folder, name, S_IFBLK | (entry->mode & 0777), makedev(entry->major, entry->minor));
        default:
                errno = EINVAL;
                return -1;
        }
}

static struct error *unpack_special(struct unpack *u, const struct tar_entry *entry, int folder, const char *name) {
        struct timespec times[2];

        if (entry->type == TAR_SYMLINK && !*entry->link)
                return error_new(ERROR_BAD_REQUEST, "a symbolic link to nothing");
        if (make_special(entry, folder, name) < 0) {
                bool ignored;
                if (errno != EEXIST)
                        return error_errno(errno, "create");
                struct error *err = clear_the_way(u, folder, name, &ignored);
                if (err)
                        return err;
                if (make_special(entry, folder, name) < 0)
                        return error_errno(errno, "create");
        }
        if ((entry->uid || entry->gid) && fchownat(folder, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(errno, "set owner");
        if (utimensat(folder, name, times_of(entry, times), AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(errno, "set time");
        return NULL;
}

/* A whiteout speaks of the layers below only: what this layer brings under the same name stays, and if that is a
 * folder it hides the lower one's content. */
static struct error *unpack_whiteout(int folder, const char *name) {
        if (!*name || streq(name, ".") || streq(name, ".."))
                return error_new(ERROR_BAD_REQUEST, "a whiteout of nothing");
        if (mknodat(folder, name, S_IFCHR | 0, makedev(0, 0)) == 0)
                return NULL;
        if (errno != EEXIST)
                return error_errno(errno, "create whiteout");
        _cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        return fd < 0 ? NULL : unpack_set_opaque(fd);
}

static struct error *unpack_root(struct unpack *u, const struct tar_entry *entry) {
        if (entry->type != TAR_FOLDER)
                return error_new(ERROR_BAD_REQUEST, "the root is not a folder");
        return set_folder_metadata(u, u->root, "", entry);
}

static struct error *unpack_entry(struct unpack *u, struct tar *tar) {
        const struct tar_entry *entry = &tar->entry;
        char clean[TAR_PATH_MAX + 1], parts[TAR_PATH_MAX + 1];
        const char *folder, *name;
        struct error *err;
        int fd;

        err = unpack_clean_path(entry->path, clean);
        if (err)
                return err;
        if (!*clean)
                return unpack_root(u, entry);
        if (u->stale) {
                unpack_folders_forget(u);
                u->stale = false;
        }
        strcpy(parts, clean);
        name = unpack_split_path(parts, &folder);
        err = unpack_folder_open(u, folder, &fd);
        if (err)
                return err;
        if (str_starts_with(name, WHITEOUT)) {
                if (streq(name, WHITEOUT_OPAQUE))
                        return unpack_set_opaque(fd);
                if (str_starts_with(name, WHITEOUT_META))
                        return NULL;
                return unpack_whiteout(fd, name + strlen(WHITEOUT));
        }
        switch (entry->type) {
        case TAR_FILE:
                return unpack_file(u, tar, fd, name);
        case TAR_FOLDER:
                return unpack_folder(u, entry, fd, name, clean);
        case TAR_HARD_LINK:
                return unpack_hard_link(u, entry, fd, name);
        default:
                return unpack_special(u, entry, fd, name);
        }
}

static struct error *unpack_all(struct unpack *u, struct tar *tar) {
        struct tar_entry *entry;
        struct error *err;

        for (;;) {
                err = tar_next(tar, &entry);
                if (err)
                        return err;
                if (!entry)
                        break;
                if (++u->result.entries > u->limits->entries)
                        return error_new(ERROR_EXHAUSTED, "the layer has more than %llu entries (--max-layer-entries)",
                                         (unsigned long long)u->limits->entries);
                err = in_entry(unpack_entry(u, tar), entry->path);
                if (!err && u->result.entries % FREE_CHECK_ENTRIES == 0)
                        err = check_free(u);
                if (err)
                        return err;
        }
        err = tar_drain(tar);
        return err ? err : unpack_set_times(u);
}

struct error *unpack_layer(int root, tar_source source, void *context, const struct unpack_limits *limits,
                           struct unpack_result *ret) {
        struct unpack u = { .root = root, .limits = limits, .spill = -EBADF };
        mode_t mask = umask(0);
        struct error *err;
        struct tar tar;

        for (size_t i = 0; i < FOLDERS_CACHED; i++)
                u.folders[i].fd = -EBADF;
        tar_init(&tar, source, context);
        err = check_free(&u);
        if (!err)
                err = unpack_note_implied(&u, ""); /* unless the archive has an entry for the root */
        if (!err)
                err = unpack_all(&u, &tar);
        tar_release(&tar);
        unpack_folders_forget(&u);
        fd_close(u.spill);
        strbuf_release(&u.times);
        umask(mask);
        if (!err)
                *ret = u.result;
        return err;
}
