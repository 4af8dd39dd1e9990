/* idmap.h - the user and group ids of a user namespace, and mounts that show files accordingly.
 *
 * Ids 0 to count-1 inside are first to first+count-1 outside. Files on disk keep the ids they would have without a user
 * namespace: an id-mapped mount (mount_setattr(2), MOUNT_ATTR_IDMAP; Linux 5.12) shows a file of id 0 as one of id
 * `first`, which is root inside, and stores what root inside writes as id 0. */
#pragma once

#include "base/error.h"

struct id_map {
        uint32_t first, count; /* of the ids outside; count 0: no user namespace */
        int userns_fd;         /* a user namespace with this mapping; -EBADF: none, nothing can be mapped */
};
#define ID_MAP_NONE ((struct id_map){ .userns_fd = -EBADF })

static inline bool id_map_is_set(const struct id_map *map) {
        return map && map->count > 0;
}
/* The id outside for one inside; ids that are not mapped become the first one. */
static inline uint32_t id_map_outside(const struct id_map *map, uint32_t id) {
        return !id_map_is_set(map) ? id : map->first + (id < map->count ? id : 0);
}

/* Makes a user namespace with this mapping, for mounts: it lives as long as descriptor or mounts do. */
struct error *id_map_open(uint32_t first, uint32_t count, struct id_map *ret) _must_check_;
void id_map_release(struct id_map *map);
/* Gives the fresh user namespace of a process its mapping (uid_map, gid_map). */
struct error *id_map_write(pid_t pid, const struct id_map *map) _must_check_;
/* Maps a detached mount; recursive: with all that is mounted below it, or, where not all of that can be mapped, itself
 * alone. ERROR_NOT_SUPPORTED if its file system cannot be mapped (tmpfs before Linux 6.3). */
struct error *id_map_mount(const struct id_map *map, int mount_fd, bool recursive) _must_check_;
/* Can file systems of this type ("tmpfs") be mapped? If not, the files of one that is used in this user namespace
 * alone can be given to the ids outside instead: then the first of them is returned, which is root inside; else 0. */
uint32_t id_map_shift(const struct id_map *map, const char *type);
/* mount_overlay() of layers whose files are shown as the map's (Linux 5.19), with the map not set: as they are. `upper`
 * keeps ids as they are outside: what was made in this user namespace belongs to nobody else on this machine. All
 * layers lie on one file system, below one folder; <target>.mapped is used meanwhile. */
struct error *id_map_overlay(const struct id_map *map, char *const *layers, const char *upper, const char *work,
                             const char *target) _must_check_;
