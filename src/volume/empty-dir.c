/* emptyDir: a folder on disk, a tmpfs, or huge pages. */
#include <fcntl.h>
#include <sys/stat.h>

#include "api/quantity.h"
#include "api/resources.h"
#include "base/file.h"
#include "base/str.h"
#include "volume/owner.h"
#include "volume/type.h"

/* Mode and group of a new emptyDir: 0777, with fsGroup 2777 and that group. `shift` is added to its ids. */
static struct error *open_to_all(const struct volume_context *context, int fd, uint32_t shift, const char *path) {
        const V1PodSecurityContext *sc = context->downward.pod->spec->securitycontext;
        _cleanup_free_ char *name = xasprintf("/proc/self/fd/%d", fd);

        if (chmod(name, 0777) < 0 || fchownat(fd, "", shift, shift, AT_EMPTY_PATH) < 0)
                return error_errno(errno, "change %s", path);
        return sc && sc->has_fsgroup ? owner_set(fd, sc->fsgroup + shift, OWNER_READ_WRITE) : NULL;
}

/* Made under another name and renamed when it is as it should be: what has the name is complete. */
static struct error *make_folder(const struct volume_context *context, const char *path) {
        _cleanup_free_ char *unfinished = xasprintf("%s..new", path);
        _cleanup_close_ int fd = -EBADF;
        struct error *err;

        if (mkdir(unfinished, 0700) < 0 && errno != EEXIST)
                return error_errno(errno, "make %s", path);
        fd = open(unfinished, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", unfinished);
        err = open_to_all(context, fd, 0, path);
        if (!err && rename(unfinished, path) < 0)
                err = error_errno(errno, "make %s", path);
        return err;
}

static int64_t at_most(int64_t size, int64_t bound) {
        return bound > 0 && (size <= 0 || bound < size) ? bound : size;
}

/* As a kubelet bounds it: by the node, by the pod's own limit, by sizeLimit. 0: the kernel's default. */
static int64_t memory_size(const struct volume_context *context, const V1EmptyDirVolumeSource *source) {
        _cleanup_resource_list_ struct resource_list limits = RESOURCE_LIST_INIT;
        const V1Pod *pod = context->downward.pod;
        const V1Node *node = context->downward.node;
        const struct quantity *limit;
        int64_t size = 0;

        if (node && node->status) {
                const V1Quantity *q =
                        api_quantity_get(node->status->allocatable, node->status->n_allocatable, "memory");

                size = q ? quantity_text_value(q->string) : 0;
        }
        api_pod_limits(pod, &limits);
        limit = resource_list_get(&limits, "memory");
        if (limit && (pod->spec->resources || api_pod_limits_every_container(pod, "memory")))
                size = at_most(size, quantity_value(*limit));
        if (source->sizelimit)
                size = at_most(size, quantity_text_value(source->sizelimit->string));
        return size;
}

/* "HugePages-2Mi" has its size in its name; "HugePages" takes the one size that the pod has limits for. */
static struct error *huge_page_size(const V1Pod *pod, const char *medium, int64_t *ret) {
        _cleanup_resource_list_ struct resource_list limits = RESOURCE_LIST_INIT;
        size_t found = 0;

        if (str_starts_with(medium, "HugePages-")) {
                *ret = quantity_text_value(medium + strlen("HugePages-"));
                return *ret > 0 ? NULL : error_new(ERROR_INVALID, "medium %s names no page size", medium);
        }
        api_pod_limits(pod, &limits);
        for (size_t i = 0; i < limits.n; i++)
                if (str_starts_with(limits.items[i].name, "hugepages-")) {
                        *ret = quantity_text_value(limits.items[i].name + strlen("hugepages-"));
                        found++;
                }
        if (found != 1)
                return error_new(ERROR_INVALID, "medium HugePages needs limits of one size of huge pages, not %zu",
                                 found);
        return NULL;
}

static struct error *new_file_system(const struct volume_context *context, const V1EmptyDirVolumeSource *source,
                                     int *ret_mount_fd) {
        _cleanup_free_ char *options = NULL;
        struct error *err;
        int64_t size = 0;

        if (streq(source->medium, "Memory")) {
                size = memory_size(context, source);
                options = size > 0 ? xasprintf("size=%lld,?noswap", (long long)size) : xstrdup("?noswap");
                return mount_new("tmpfs", options, ret_mount_fd);
        }
        err = huge_page_size(context->downward.pod, source->medium, &size);
        if (err)
                return err;
        if (source->sizelimit && quantity_text_value(source->sizelimit->string) > 0)
                options = xasprintf("pagesize=%lld,size=%lld", (long long)size,
                                    (long long)quantity_text_value(source->sizelimit->string));
        else
                options = xasprintf("pagesize=%lld", (long long)size);
        return mount_new("hugetlbfs", options, ret_mount_fd);
}

/* Attached when it is as it should be: what is mounted is complete. */
static struct error *mount_memory(const struct volume_context *context, const V1EmptyDirVolumeSource *source,
                                  const char *path) {
        _cleanup_close_ int fd = -EBADF, mount_fd = -EBADF;
        struct error *err;

        fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        if (mount_is_root(fd))
                return NULL;
        err = new_file_system(context, source, &mount_fd);
        if (!err)
                err = open_to_all(context, mount_fd,
                                  id_map_shift(context->ids, streq(source->medium, "Memory") ? "tmpfs" : "hugetlbfs"),
                                  path);
        if (!err)
                err = mount_attach(mount_fd, fd);
        return err;
}

struct error *empty_dir_setup(const struct volume_context *context, const V1Volume *volume) {
        const V1EmptyDirVolumeSource *source = volume->volumesource->emptydir;
        _cleanup_free_ char *folder = volume_disk_folder(context), *path = path_join(folder, volume->name);
        struct error *err;

        err = mkdir_parents(folder, 0700);
        if (!err && !file_exists(path))
                err = make_folder(context, path);
        if (!err && !str_empty(source->medium))
                err = mount_memory(context, source, path);
        return err;
}
