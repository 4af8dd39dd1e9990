/* mount.h - mounts made by descriptor, and the list of those that somebody is to get.
 *
 * Everything here uses the kernel's descriptor based interface (fsopen, fsmount, open_tree, move_mount, mount_setattr;
 * Linux 5.2 to 5.12 and later) so that a path which somebody else can change is walked once, by openat2, and then only
 * the descriptor is used. Mounts belong to the mount namespace of the caller: who has one of its own
 * leaves no mount behind, whatever happens. */
#pragma once

#include "base/error.h"

/* One mount in the words of the OCI runtime-spec, which has it made below another root. */
struct mount_entry {
        char *destination; /* absolute path below that root, clean */
        char *source;      /* path here, or the file system's name ("tmpfs") */
        char *type;        /* "bind", "tmpfs", … */
        char **options;    /* "rbind", "ro", "rprivate", … */
        bool shared;       /* needs the root's propagation to be "rshared" */
        bool slave;        /* … at least "rslave" */
};
struct mount_list {
        struct mount_entry *entries;
        size_t count;
};
#define MOUNT_LIST_INIT \
        { 0 }
/* Appends an entry and returns it (valid until the next append); strings are copied, options are separated by commas.
 */
struct mount_entry *mount_list_add(struct mount_list *list, const char *destination, const char *source,
                                   const char *type, const char *options);
void mount_entry_add_option(struct mount_entry *entry, const char *option);
struct mount_entry *mount_list_find(const struct mount_list *list, const char *destination); /* NULL: none */
/* Orders by depth of the destination (parents first), entries of the same depth stay in their order. */
void mount_list_sort(struct mount_list *list);
void mount_list_release(struct mount_list *list);
#define _cleanup_mount_list_ _cleanup_(mount_list_release)

/* A new file system without a device ("tmpfs", "hugetlbfs"), mounted nowhere yet: the descriptor of its (detached)
 * mount. `options` are file system options separated by commas ("size=4194304,mode=0777"), may be NULL; one with a "?"
 * in front
 * ("?noswap") is left out if the kernel does not know it. nosuid, nodev. */
struct error *mount_new(const char *type, const char *options, int *ret_mount_fd) _must_check_;
/* A clone of the mount at `fd`, any descriptor of a file or folder (may be O_PATH), not attached anywhere. */
struct error *mount_clone(int fd, bool recursive, int *ret_mount_fd) _must_check_;
/* True if what `fd` refers to is the root of a mount. */
bool mount_is_root(int fd);
/* How the mount on which `fd` lies takes part in propagation; *ret_mountpoint (may be NULL) is where it is mounted. */
struct error *mount_propagation(int fd, bool *ret_shared, bool *ret_slave, char **ret_mountpoint) _must_check_;
/* Makes the mount a peer group of its own, unless it is in one ("shared"). */
struct error *mount_make_shared(int mount_fd) _must_check_;
/* Attaches a detached mount onto what `target_fd` refers to. */
struct error *mount_attach(int mount_fd, int target_fd) _must_check_;
/* Sets and clears MOUNT_ATTR_* of a mount (recursive: of all below it too). */
struct error *mount_set_attributes(int mount_fd, bool recursive, uint64_t set, uint64_t clear) _must_check_;

/* Number of layers overlayfs takes (its own limit). */
#define OVERLAY_LAYERS_MAX 500
/* Mounts an overlay of `layers` (NULL-terminated, uppermost first) on `target`; upper and work NULL: read-only (then a
 * single layer is bound as it is, because overlayfs wants two). Uses
 * "lowerdir+" where the kernel has it (6.8), else lowerdir= with paths relative to their common folder, so that long
 * lists fit into the kernel's page. More than 500 layers: ERROR_NOT_SUPPORTED. */
struct error *mount_overlay(char *const *layers, const char *upper, const char *work, const char *target) _must_check_;

/* Detaches everything mounted at or below `path` (as this mount namespace shows it), the deepest first. Nothing mounted
 * is fine. Links in `path` are not followed. Peers of these mounts, in other places and namespaces, are not affected.
 */
struct error *unmount_below(const char *path) _must_check_;
