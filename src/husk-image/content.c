#include "husk-image/content.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/str.h"
#include "image/layout.h"

#define BLOB_PREFIX "blob-"
#define LAYER_PREFIX "layer-"
#define UNNAMED_PREFIX "part-"

struct error *content_prepare(const char *images) {
        static const char *const folders[] = { "blobs/sha256", "images/sha256", "layers/sha256", "references",
                                               "ingest" };

        for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
                _cleanup_free_ char *path = path_join(images, folders[i]);
                struct error *err = mkdir_parents(path, 0700);
                if (err)
                        return err;
        }
        return NULL;
}

struct error *content_lock(const char *images, bool exclusive, int *ret) {
        _cleanup_free_ char *path = path_join(images, "lock");
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
                return error_errno(errno, "open %s", path);
        while (flock(fd, exclusive ? LOCK_EX | LOCK_NB : LOCK_SH) < 0) {
                if (errno == EINTR)
                        continue;
                if (errno == EWOULDBLOCK) {
                        *ret = -EBADF;
                        return NULL;
                }
                return error_errno(errno, "lock %s", path);
        }
        *ret = TAKE_FD(fd);
        return NULL;
}

static char *ingest_path(const char *images, const char *prefix, const char *digest) {
        return xasprintf("%s/ingest/%s%s", images, prefix, digest_hex(digest));
}

/* Locks what `path` names without waiting. False: somebody else has it, or it was renamed or removed meanwhile. */
static bool lock_named(int fd, const char *path) {
        struct stat held, named;

        return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &held) == 0 && lstat(path, &named) == 0 &&
               held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

struct error *content_sweep(const char *images, int keep_days) {
        _cleanup_free_ char *ingest = path_join(images, "ingest");
        struct error *err = NULL;
        struct dirent *entry;
        DIR *dir = opendir(ingest);

        if (!dir)
                return errno == ENOENT ? NULL : error_errno(errno, "open %s", ingest);
        while (!err && (entry = readdir(dir))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                _cleanup_free_ char *path = path_join(ingest, entry->d_name);
                _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
                struct stat st;
                if (fd < 0 || !lock_named(fd, path) || fstat(fd, &st) < 0)
                        continue;
                /* A file just made may not be locked yet. */
                time_t keep = str_starts_with(entry->d_name, BLOB_PREFIX)      ? (time_t)keep_days * 86400
                              : str_starts_with(entry->d_name, UNNAMED_PREFIX) ? 2
                                                                               : 0;
                if (keep && time(NULL) - st.st_mtime < keep) /* the kernel's clock for files may be ahead of time(2) */
                        continue;
                err = remove_tree(path);
        }
        closedir(dir);
        return error_context(err, "remove what an interrupted run left behind");
}

bool content_has_blob(const char *images, const char *digest, uint64_t *ret_size) {
        _cleanup_free_ char *path = layout_blob(images, digest);
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
                return false;
        if (ret_size)
                *ret_size = st.st_size;
        return true;
}

const char *content_layer_type(const char *images, const char *digest) {
        static const struct {
                const char *type;
                uint8_t magic[4];
                size_t len;
        } compressed[] = {
                { "application/vnd.oci.image.layer.v1.tar+gzip", { 0x1f, 0x8b }, 2 },
                { "application/vnd.oci.image.layer.v1.tar+zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4 },
        };
        _cleanup_free_ char *path = layout_blob(images, digest);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        uint8_t head[4] = { 0 };

        (void)!read(fd, head, sizeof(head)); /* what cannot be read is told by whoever copies it */
        for (size_t i = 0; i < ARRAY_SIZE(compressed); i++)
                if (memcmp(head, compressed[i].magic, compressed[i].len) == 0)
                        return compressed[i].type;
        return "application/vnd.oci.image.layer.v1.tar";
}

bool content_has_layer(const char *images, const char *diff_id) {
        _cleanup_free_ char *path = layout_layer(images, diff_id);
        return file_exists(path);
}

struct error *content_read_blob(const char *images, const char *digest, size_t max, char **ret, size_t *ret_len) {
        _cleanup_free_ char *path = layout_blob(images, digest), *text = NULL;
        char found[DIGEST_TEXT];
        struct error *err;
        size_t len;

        err = file_read(path, max, &text, &len);
        if (err)
                return err;
        hash_of(text, len, found);
        if (!streq(found, digest))
                return error_new(ERROR_BAD_REQUEST, "%s: damaged: its content has the digest %s", path, found);
        *ret = TAKE_PTR(text);
        *ret_len = len;
        return NULL;
}

struct error *content_write_blob(const char *images, const void *data, size_t len, char digest[static DIGEST_TEXT]) {
        hash_of(data, len, digest);
        _cleanup_free_ char *path = layout_blob(images, digest);
        if (content_has_blob(images, digest, NULL))
                return NULL;
        return file_replace(path, data, len, 0600, FILE_DURABLE);
}

struct error *content_begin_blob(const char *images, const char *digest, int *ret) {
        _cleanup_free_ char *path = ingest_path(images, BLOB_PREFIX, digest);
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        *ret = -EBADF;
        if (fd < 0)
                return error_errno(errno, "create %s", path);
        if (lock_named(fd, path))
                *ret = TAKE_FD(fd);
        return NULL;
}

static struct error *sync_folder(const char *images, const char *name) {
        _cleanup_free_ char *path = path_join(images, name);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return error_errno(errno, "sync %s", path);
        return NULL;
}

struct error *content_commit_blob(const char *images, const char *digest, int fd, bool synced) {
        _cleanup_free_ char *from = ingest_path(images, BLOB_PREFIX, digest), *to = layout_blob(images, digest);

        if (!synced && fsync(fd) < 0)
                return error_errno(errno, "sync %s", from);
        if (rename(from, to) < 0)
                return error_errno(errno, "rename %s", from);
        return sync_folder(images, "blobs/sha256");
}

struct error *content_discard_blob(const char *images, const char *digest) {
        _cleanup_free_ char *path = ingest_path(images, BLOB_PREFIX, digest);

        if (unlink(path) < 0 && errno != ENOENT)
                return error_errno(errno, "remove %s", path);
        return NULL;
}

struct error *content_begin_layer(const char *images, const char *diff_id, int *ret, int *ret_lock) {
        _cleanup_free_ char *path = ingest_path(images, LAYER_PREFIX, diff_id), *fs = path_join(path, "fs");
        _cleanup_close_ int lock = -EBADF, fd = -EBADF;

        *ret = *ret_lock = -EBADF;
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_errno(errno, "create %s", path);
        lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (lock < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "open %s", path);
        if (!lock_named(lock, path))
                return NULL;
        /* Ours now. What is in it was left by somebody who died after the sweep. */
        struct error *err = remove_tree(fs);
        if (err)
                return err;
        if (mkdir(fs, 0755) < 0 || chmod(fs, 0755) < 0)
                return error_errno(errno, "create %s", fs);
        fd = open(fs, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return error_errno(errno, "open %s", fs);
        *ret = TAKE_FD(fd);
        *ret_lock = TAKE_FD(lock);
        return NULL;
}

struct error *content_commit_layer(const char *images, const char *diff_id, const json_t *record) {
        _cleanup_free_ char *from = ingest_path(images, LAYER_PREFIX, diff_id), *to = layout_layer(images, diff_id);
        _cleanup_free_ char *text = json_dumps(record, JSON_COMPACT), *path = path_join(from, "layer.json");
        struct error *err = file_replace(path, text, strlen(text), 0600, FILE_DURABLE);

        if (err)
                return err;
        if (rename(from, to) < 0)
                return error_errno(errno, "rename %s", from);
        return sync_folder(images, "layers/sha256");
}

void content_discard_layer(const char *images, const char *diff_id) {
        _cleanup_free_ char *path = ingest_path(images, LAYER_PREFIX, diff_id);

        error_free(remove_tree(path)); /* what is left of it, the next sweep takes */
}

struct error *content_begin_unnamed(const char *images, char **ret_path, int *ret) {
        _cleanup_free_ char *path = xasprintf("%s/ingest/" UNNAMED_PREFIX "XXXXXX", images);
        _cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);

        if (fd < 0)
                return error_errno(errno, "create %s", path);
        flock(fd, LOCK_EX | LOCK_NB);
        *ret_path = TAKE_PTR(path);
        *ret = TAKE_FD(fd);
        return NULL;
}
