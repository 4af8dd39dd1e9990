/* image: the files of an image, read-only. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "image/image.h"
#include "volume/type.h"

struct error *image_volume_setup(const struct volume_context *context, const V1Volume *volume) {
        _cleanup_free_ char *folder = volume_disk_folder(context), *path = path_join(folder, volume->name);
        _cleanup_image_ struct image *image = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct error *err;

        err = mkdir_parents(path, 0700);
        if (err)
                return err;
        fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        if (mount_is_root(fd))
                return NULL;
        err = image_open(context->store, volume->volumesource->image->reference, &image);
        return err ? err : id_map_overlay(context->ids, image->layers, NULL, NULL, path);
}
