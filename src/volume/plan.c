/* The mount plan: which mounts a container gets, with subPath and propagation resolved. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "volume/label.h"
#include "volume/propagate.h"
#include "volume/type.h"

struct plan {
        const struct volume_context *context;
        const V1Container *container;
        char *const *variables;
        volume_expand expand;
        char *folder; /* of this container's subPath mounts */
        struct mount_list *mounts;
};

/* One volumeMount on its way. */
struct request {
        const V1VolumeMount *mount;
        const struct volume_type *type;
        char *path;    /* of the volume on the host */
        char *subpath; /* expanded; "" for none */
        enum propagation propagation;
        bool own; /* its file system is the pod's alone: files of it may have shifted ids (id_map_shift()) */
};

static void request_release(struct request *request) {
        free(request->path);
        free(request->subpath);
}

/* ---- paths ---- */

/* Lexically clean and absolute: "data//x/./" is "/data/x". ".." was refused by validation; here it stays in. */
static char *clean_destination(const char *path) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

        while (*path) {
                size_t n;

                path += strspn(path, "/");
                n = strcspn(path, "/");
                if (n > 0 && !(n == 1 && path[0] == '.')) {
                        strbuf_addc(&b, '/');
                        strbuf_add(&b, path, n);
                }
                path += n;
        }
        return b.len ? strbuf_take(&b) : xstrdup("/");
}

static bool has_backsteps(const char *path) {
        while (*path) {
                size_t n = strcspn(path, "/");

                if (n == 2 && path[0] == '.' && path[1] == '.')
                        return true;
                path += n + (path[n] == '/');
        }
        return false;
}

static struct error *expand_subpath(struct plan *plan, const V1VolumeMount *mount, char **ret) {
        _cleanup_free_ char *subpath = NULL;
        struct error *err;

        if (!str_empty(mount->subpathexpr)) {
                err = plan->expand(mount->subpathexpr, plan->variables, &subpath);
                if (err)
                        return err;
        } else
                subpath = xstrdup(mount->subpath ? mount->subpath : "");
        if (subpath[0] == '/')
                return error_new(ERROR_INVALID, "error SubPath `%s` must not be an absolute path", subpath);
        if (has_backsteps(subpath))
                return error_new(ERROR_INVALID, "unable to provision SubPath `%s`: must not contain '..'", subpath);
        *ret = TAKE_PTR(subpath);
        return NULL;
}

/* ---- subPath ---- */

/* Makes the folders of a subPath that are not there, with the mode of the volume's own. Each step goes through a
 * descriptor and follows no link: what a container planted there is an obstacle, never a way. */
static int make_missing(int parent_fd, const char *path, mode_t mode) {
        _cleanup_close_ int fd = fcntl(parent_fd, F_DUPFD_CLOEXEC, 0);
        _cleanup_free_ char *copy = xstrdup(path);
        char *save = NULL;

        if (fd < 0)
                return -errno;
        for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
                _cleanup_free_ char *name = NULL;
                bool made = mkdirat(fd, part, 0700) == 0;
                int next;

                if (!made && errno != EEXIST)
                        return -errno;
                next = openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0)
                        return -errno;
                fd_close(fd);
                fd = next;
                /* Whatever the umask; a set-group-id bit that came from the parent stays. */
                name = xasprintf("/proc/self/fd/%d", fd);
                if (made && chmod(name, mode) < 0)
                        return -errno;
        }
        return 0;
}

/* The part of the path that exists is resolved with links, as far as they stay inside; the rest is made in there. */
static int make_subpath(const char *volume, const char *subpath) {
        _cleanup_free_ char *existing = xstrdup(subpath);
        _cleanup_close_ int root_fd = propagation_open(volume, NULL), fd = -EBADF;
        struct stat st;
        int r;

        if (root_fd < 0)
                return root_fd;
        if (fstat(root_fd, &st) < 0)
                return -errno;
        for (;;) {
                char *slash = strrchr(existing, '/');

                *(slash ? slash : existing) = '\0';
                fd = propagation_open(volume, existing);
                if (fd != -ENOENT || !*existing)
                        break;
        }
        if (fd < 0)
                return fd;
        r = make_missing(fd, subpath + strlen(existing), st.st_mode & 07777);
        return r;
}

/* -ENOTDIR for a subPath below a file, and for a link that points to nothing: it cannot be made. */
static int open_subpath(const char *volume, const char *subpath) {
        int fd = propagation_open(volume, subpath), r;

        if (fd != -ENOENT)
                return fd;
        r = make_subpath(volume, subpath);
        return r < 0 ? r : propagation_open(volume, subpath);
}

/* ---- places for what is bound by descriptor ---- */

static struct error *make_place(const char *path, int for_fd) {
        struct stat st;

        if (fstat(for_fd, &st) < 0)
                return error_errno(errno, "look at a volume");
        if (S_ISDIR(st.st_mode) ? mkdir(path, 0700) < 0 : mknod(path, S_IFREG | 0600, 0) < 0)
                return error_errno(errno, "make %s", path);
        return NULL;
}

/* Attaches a detached mount to <folder>/<name>, which is what the OCI runtime is told to bind. */
static struct error *attach_at(const char *folder, const char *name, int mount_fd, char **ret) {
        _cleanup_free_ char *place = path_join(folder, name);
        _cleanup_close_ int fd = -EBADF;
        struct error *err;

        err = mkdir_parents(folder, 0700);
        if (!err)
                err = make_place(place, mount_fd);
        if (err)
                return err;
        fd = open(place, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", place);
        err = mount_attach(mount_fd, fd);
        if (!err)
                *ret = TAKE_PTR(place);
        return err;
}

/* What is bound for mount `n`, with the ids of the pod's user namespace: volumes keep on disk the ids they would have
 * without one. */
static struct error *attach(struct plan *plan, const struct request *request, size_t n, int mount_fd, char **ret) {
        _cleanup_free_ char *name = xasprintf("%zu", n);
        const struct id_map *ids = plan->context->ids;
        struct error *err = NULL;

        if (id_map_is_set(ids) && !request->type->mapped)
                err = id_map_mount(ids, mount_fd, true);
        if (request->own && error_is(err, ERROR_NOT_SUPPORTED))
                err = error_free(err);
        err = error_context(err, "volume \"%s\" in a pod with hostUsers: false", request->mount->name);
        return err ? err : attach_at(plan->folder, name, mount_fd, ret);
}

static struct error *bind_subpath(struct plan *plan, const struct request *request, size_t n, char **ret) {
        _cleanup_close_ int fd = open_subpath(request->path, request->subpath), mount_fd = -EBADF;
        struct error *err;

        if (fd < 0)
                return error_errno(-fd, "failed to prepare subPath for volumeMount \"%s\" of container \"%s\"",
                                   request->mount->name, plan->container->name);
        err = mount_clone(fd, true, &mount_fd);
        return err ? err : attach(plan, request, n, mount_fd, ret);
}

/* ---- propagation ---- */

/* Volumes below the pod's own folders are made a peer group of the pod's mount namespace: containers of the pod see
 * what one of them mounts there. */
static struct error *share_own(struct plan *plan, const struct request *request, size_t n, char **ret) {
        _cleanup_close_ int fd = propagation_open(request->path, NULL), mount_fd = -EBADF, shared_fd = -EBADF;
        struct error *err;

        if (fd < 0)
                return error_errno(-fd, "open %s", request->path);
        if (!mount_is_root(fd)) {
                err = mount_clone(fd, true, &mount_fd);
                if (!err)
                        err = mount_attach(mount_fd, fd);
                if (err)
                        return err;
                fd_close(fd);
                fd = propagation_open(request->path, NULL);
                if (fd < 0)
                        return error_errno(-fd, "open %s", request->path);
        }
        err = mount_make_shared(fd);
        fd_close(TAKE_FD(fd));
        if (err)
                return err;
        fd = open_subpath(request->path, request->subpath);
        if (fd < 0)
                return error_errno(-fd, "failed to prepare subPath for volumeMount \"%s\" of container \"%s\"",
                                   request->mount->name, plan->container->name);
        err = mount_clone(fd, true, &shared_fd);
        return err ? err : attach(plan, request, n, shared_fd, ret);
}

static struct error *clone_host(struct plan *plan, const struct request *request, size_t n, char **ret) {
        _cleanup_close_ int mount_fd = -EBADF;
        struct error *err;

        err = propagation_clone_from_host(plan->context->host_mntns_fd, request->path, request->subpath, &mount_fd);
        return err ? err : attach(plan, request, n, mount_fd, ret);
}

/* ---- one mount ---- */

static struct error *find_source(struct plan *plan, const struct request *request, size_t n, char **ret) {
        bool of_host = streq(request->type->name, "hostPath");

        if (request->propagation == PROPAGATION_BIDIRECTIONAL && of_host)
                return clone_host(plan, request, n, ret);
        if (request->propagation != PROPAGATION_NONE && !of_host)
                return share_own(plan, request, n, ret);
        if (request->propagation == PROPAGATION_HOST_TO_CONTAINER) {
                _cleanup_close_ int fd = propagation_open(request->path, NULL);
                struct error *err;

                if (fd < 0)
                        return error_errno(-fd, "open %s", request->path);
                err = propagation_check_slave(fd, request->path);
                if (err)
                        return err;
        }
        /* A user namespace needs a clone of everything, to map its ids. */
        if (*request->subpath || id_map_is_set(plan->context->ids))
                return bind_subpath(plan, request, n, ret);
        *ret = xstrdup(request->path);
        return NULL;
}

static bool is_read_only(const struct request *request, const V1Volume *volume) {
        const V1PersistentVolumeClaimVolumeSource *claim = volume->volumesource->persistentvolumeclaim;

        return request->type->read_only || (request->mount->has_readonly && request->mount->readonly) ||
               (claim && claim->has_readonly && claim->readonly);
}

static void set_options(struct mount_entry *entry, const struct request *request, bool read_only) {
        static const char *const propagation[] = {
                [PROPAGATION_NONE] = "rprivate",
                [PROPAGATION_HOST_TO_CONTAINER] = "rslave",
                [PROPAGATION_BIDIRECTIONAL] = "rshared",
        };
        const char *recursive = request->mount->recursivereadonly;

        mount_entry_add_option(entry, "rbind");
        mount_entry_add_option(entry, propagation[request->propagation]);
        mount_entry_add_option(entry, read_only ? "ro" : "rw");
        /* Linux 5.12, which husk needs anyway, so that IfPossible always is. */
        if (read_only && (streq_ptr(recursive, "Enabled") || streq_ptr(recursive, "IfPossible")))
                mount_entry_add_option(entry, "rro");
        if (request->type->options)
                mount_entry_add_option(entry, request->type->options);
        entry->shared = request->propagation == PROPAGATION_BIDIRECTIONAL;
        entry->slave = request->propagation == PROPAGATION_HOST_TO_CONTAINER;
}

static bool has_own_file_system(const V1Volume *volume) {
        const V1EmptyDirVolumeSource *source = volume->volumesource->emptydir;

        return source && !str_empty(source->medium);
}

static struct error *relabel(const char *path, const char *label) {
        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);

        return fd < 0 ? error_errno(errno, "open %s", path) : label_set_tree(fd, label);
}

static struct error *add_mount(struct plan *plan, const V1VolumeMount *mount, size_t n) {
        _cleanup_(request_release) struct request request = { .mount = mount };
        _cleanup_free_ char *source = NULL, *destination = clean_destination(mount->mountpath);
        const V1Volume *volume = volume_find(plan->context->downward.pod, mount->name);
        struct error *err;

        if (!volume)
                return error_new(ERROR_INVALID, "cannot find volume \"%s\" to mount into container \"%s\"", mount->name,
                                 plan->container->name);
        if (!propagation_parse(mount->mountpropagation, &request.propagation))
                return error_new(ERROR_INVALID, "invalid MountPropagation mode: \"%s\"", mount->mountpropagation);
        err = volume_type_of(volume, &request.type);
        if (!err)
                err = request.type->path(plan->context, volume, &request.path);
        request.own = !err && (request.type->payload || has_own_file_system(volume));
        if (!err && request.type->late)
                err = request.type->setup(plan->context, volume);
        if (!err && plan->context->label && request.type->relabelled)
                err = relabel(request.path, plan->context->label);
        if (!err)
                err = expand_subpath(plan, mount, &request.subpath);
        if (!err)
                err = find_source(plan, &request, n, &source);
        if (err)
                return err;
        set_options(mount_list_add(plan->mounts, destination, source, "bind", NULL), &request,
                    is_read_only(&request, volume));
        return NULL;
}

struct error *volume_mounts(const struct volume_context *context, const V1Container *container, char *const *variables,
                            volume_expand expand, struct mount_list *ret) {
        _cleanup_free_ char *subpaths = volume_subpath_folder(context), *folder = path_join(subpaths, container->name);
        struct mount_list mounts = MOUNT_LIST_INIT;
        struct plan plan = { context, container, variables, expand, folder, &mounts };
        struct error *err;

        err = volume_mounts_release(context, container->name); /* of an earlier start */
        for (size_t i = 0; i < container->n_volumemounts && !err; i++)
                err = add_mount(&plan, container->volumemounts[i], i);
        if (err) {
                mount_list_release(&mounts);
                return err;
        }
        mount_list_sort(&mounts);
        *ret = mounts;
        return NULL;
}

struct error *volume_bind_file(const struct volume_context *context, const char *container_name, const char *name,
                               const char *path, char **ret) {
        _cleanup_free_ char *all = volume_subpath_folder(context), *folder = path_join(all, container_name);
        _cleanup_close_ int fd = -EBADF, mount_fd = -EBADF;
        struct error *err;

        if (context->label) {
                err = relabel(path, context->label);
                if (err)
                        return err;
        }
        if (!id_map_is_set(context->ids)) {
                *ret = xstrdup(path);
                return NULL;
        }
        fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        err = mount_clone(fd, false, &mount_fd);
        if (!err)
                err = id_map_mount(context->ids, mount_fd, false);
        if (error_is(err, ERROR_NOT_SUPPORTED)) /* readable all the same; only its owner looks foreign */
                err = error_free(err);
        return err ? err : attach_at(folder, name, mount_fd, ret);
}

struct error *volume_mounts_release(const struct volume_context *context, const char *container_name) {
        _cleanup_free_ char *subpaths = volume_subpath_folder(context), *folder = path_join(subpaths, container_name);
        struct error *err;

        err = unmount_below(folder);
        if (!err)
                err = remove_tree(folder);
        return error_context(err, "subPath mounts of container %s", container_name);
}
