/* rootfs.h - the root file system of a container: the image's layers and a writable one, by overlayfs.
 *
 *   <folder>/upper    what the container writes
 *   <folder>/work     overlayfs' own
 *   <folder>/rootfs   the mount
 *
 * `folder` is <root>/pods/<uid>/containers/<name>/<restart>, made here. It must not lie on an overlay itself. */
#pragma once

#include "base/error.h"
#include "base/idmap.h"
#include "image/image.h"

struct image;

/* Mounts; *ret is the path of the root (owned by the caller). If it is mounted already (a supervisor that died in
 * between) that is used. More than 500 layers: ERROR_NOT_SUPPORTED. An image whose /dev, /proc or /sys is anything but
 * a folder: ERROR_FORBIDDEN, with the mount left to rootfs_remove(). With `ids` set the image's files are shown as
 * those of the pod's user namespace, and what the container writes belongs to its ids on disk, too. */
struct error *rootfs_mount(const struct image *image, const char *folder, const struct id_map *ids,
                           char **ret) _must_check_;
/* Binds the mounted root folder to <bundle>/rootfs, which a runtime that has given up the right to walk through our
 * closed folders reaches from its working folder. Undone by unmount_below(bundle). */
struct error *rootfs_bind_into_bundle(const char *rootfs, const char *bundle) _must_check_;
/* Unmounts and removes upper, work and rootfs; idempotent; works if nothing is mounted any more. */
struct error *rootfs_remove(const char *folder) _must_check_;
