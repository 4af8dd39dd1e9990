#include "image/disk.h"

#include <sys/statvfs.h>

#include "image/layout.h"

struct error *images_bytes_to_free(const struct store *store, const struct node_config *config, uint64_t *ret) {
        _cleanup_free_ char *images = layout_root(store);
        struct statvfs disk;

        *ret = 0;
        if (config->image_gc_high_percent >= 100)
                return NULL;
        if (statvfs(images, &disk) < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "look at the disk of %s", images);
        uint64_t capacity = (uint64_t)disk.f_blocks * disk.f_frsize,
                 available = (uint64_t)disk.f_bavail * disk.f_frsize;
        if (!capacity || 100 - available * 100 / capacity < config->image_gc_high_percent)
                return NULL;
        uint64_t wanted = capacity / 100 * (100 - config->image_gc_low_percent);
        *ret = wanted > available ? wanted - available : 0;
        return NULL;
}
