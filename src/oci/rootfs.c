#include "oci/rootfs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "base/mount.h"

#define OVERLAYFS_MAGIC 0x794c7630

static bool is_overlay(const char *path) {
        struct statfs fs;

        return statfs(path, &fs) == 0 && (uint32_t)fs.f_type == OVERLAYFS_MAGIC;
}

/* The root folder of the container shows mode and owner of `upper`: they are to be the image's. */
static struct error *make_upper(const char *upper, const char *top_layer, const struct id_map *ids) {
        struct stat st;

        if (stat(top_layer, &st) < 0)
                return error_errno(errno, "layer %s", top_layer);
        if (mkdir(upper, 0755) < 0 && errno != EEXIST)
                return error_errno(errno, "make %s", upper);
        if (chown(upper, id_map_outside(ids, st.st_uid), id_map_outside(ids, st.st_gid)) < 0 ||
            chmod(upper, st.st_mode & 07777) < 0)
                return error_errno(errno, "give %s the image's owner", upper);
        return NULL;
}

static struct error *make_folder(const char *path) {
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_errno(errno, "make %s", path);
        return NULL;
}

/* Runtimes mount /dev, /proc and /sys first, and some (crun before CVE-2026-47766 was mended, so that of Debian 12)
 * then fill /dev by its path: where an image makes it a symbolic link, that leads out to the host. No image has a
 * reason to. */
static struct error *check_folders(const char *rootfs) {
        static const char *const folders[] = { "dev", "proc", "sys" };
        _cleanup_close_ int fd = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return error_errno(errno, "open %s", rootfs);
        for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
                struct stat st;

                if (fstatat(fd, folders[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
                        if (errno != ENOENT)
                                return error_errno(errno, "look at /%s", folders[i]);
                } else if (!S_ISDIR(st.st_mode))
                        return error_new(ERROR_FORBIDDEN,
                                         "/%s of the image is no folder: refused, it could lead to the host",
                                         folders[i]);
        }
        return NULL;
}

static struct error *rootfs_make(const struct image *image, const char *folder, const struct id_map *ids, char **ret) {
        _cleanup_free_ char *upper = path_join(folder, "upper"), *work = path_join(folder, "work");
        _cleanup_free_ char *rootfs = path_join(folder, "rootfs");
        struct error *err;

        if (is_overlay(rootfs)) {
                *ret = TAKE_PTR(rootfs);
                return NULL;
        }
        err = mkdir_parents(folder, 0700);
        /* What an overlay that was not unmounted left in its work folder would keep the next one from being mounted. */
        if (!err)
                err = remove_tree(work);
        if (!err)
                err = make_folder(work);
        if (!err)
                err = make_folder(rootfs);
        if (!err)
                err = make_upper(upper, image->layers[0], ids);
        if (!err)
                err = id_map_overlay(ids, image->layers, upper, work, rootfs);
        if (!err)
                *ret = TAKE_PTR(rootfs);
        return err;
}

struct error *rootfs_mount(const struct image *image, const char *folder, const struct id_map *ids, char **ret) {
        _cleanup_free_ char *rootfs = NULL;
        struct error *err;

        err = rootfs_make(image, folder, ids, &rootfs);
        if (!err)
                err = check_folders(rootfs);
        if (err)
                return error_context(err, "root file system of image %s",
                                     image->reference ? image->reference : image->id);
        *ret = TAKE_PTR(rootfs);
        return NULL;
}

struct error *rootfs_bind_into_bundle(const char *rootfs, const char *bundle) {
        _cleanup_free_ char *place = path_join(bundle, "rootfs");
        _cleanup_close_ int fd = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC), mount_fd = -EBADF, target = -EBADF;
        struct error *err;

        if (fd < 0)
                return error_errno(errno, "open %s", rootfs);
        err = mkdir_parents(bundle, 0700);
        if (!err)
                err = unmount_below(place);
        if (!err)
                err = make_folder(place);
        if (err)
                return err;
        /* The way from the bundle to the root is open, the way to the bundle is not. */
        if (chmod(bundle, 0711) < 0)
                return error_errno(errno, "open %s for others", bundle);
        target = open(place, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (target < 0)
                return error_errno(errno, "open %s", place);
        err = mount_clone(fd, false, &mount_fd);
        return err ? err : mount_attach(mount_fd, target);
}

struct error *rootfs_remove(const char *folder) {
        static const char *const parts[] = { "rootfs.mapped", "rootfs.layers", "rootfs", "work", "upper" };
        struct error *err;

        err = unmount_below(folder);
        for (size_t i = 0; i < ARRAY_SIZE(parts) && !err; i++) {
                _cleanup_free_ char *path = path_join(folder, parts[i]);

                err = remove_tree(path);
        }
        if (!err && rmdir(folder) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
                err = error_errno(errno, "remove %s", folder);
        return err;
}
