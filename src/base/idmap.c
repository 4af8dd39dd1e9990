#include "base/idmap.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mount.h"
#include "base/str.h"

#define PATH_ITSELF 0x1000     /* AT_EMPTY_PATH */
#define PATH_RECURSIVE 0x8000  /* AT_RECURSIVE */
#define NEW_USER_NS 0x10000000 /* CLONE_NEWUSER */

/* ---- user namespaces ---- */

struct error *id_map_write(pid_t pid, const struct id_map *map) {
        static const char *const files[] = { "uid_map", "gid_map" };
        char path[64], text[64];

        snprintf(text, sizeof(text), "0 %u %u", map->first, map->count);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
                struct error *err = file_poke(path, text);
                if (err)
                        return error_context(err, "map user ids");
        }
        return NULL;
}

/* A child in a user namespace of its own that waits for its end; *ret_pipe is what it waits for. */
static struct error *holder_start(pid_t *ret_pid, int *ret_pipe) {
        struct clone_args args = { .flags = NEW_USER_NS, .exit_signal = SIGCHLD };
        int fds[2];
        char byte;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_errno(errno, "make a pipe");
        long pid = syscall(SYS_clone3, &args, sizeof(args));
        int saved = errno;
        if (pid == 0) {
                close(fds[1]);
                _exit(read(fds[0], &byte, 1) != 0);
        }
        close(fds[0]);
        if (pid < 0) {
                close(fds[1]);
                return error_errno(saved, "make a user namespace");
        }
        *ret_pid = (pid_t)pid;
        *ret_pipe = fds[1];
        return NULL;
}

struct error *id_map_open(uint32_t first, uint32_t count, struct id_map *ret) {
        struct id_map map = { .first = first, .count = count, .userns_fd = -EBADF };
        char path[64];
        int pipe_fd = -EBADF;
        pid_t pid = 0;
        struct error *err = holder_start(&pid, &pipe_fd);

        if (err)
                return err;
        err = id_map_write(pid, &map);
        if (!err) {
                snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
                map.userns_fd = open(path, O_RDONLY | O_CLOEXEC);
                if (map.userns_fd < 0)
                        err = error_errno(errno, "open %s", path);
        }
        fd_close(pipe_fd);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        if (!err)
                *ret = map;
        return err;
}

void id_map_release(struct id_map *map) {
        fd_close(map->userns_fd);
        *map = ID_MAP_NONE;
}

/* ---- mounts ---- */

static int set_idmap(const struct id_map *map, int mount_fd, bool recursive) {
        if (map->userns_fd < 0)
                return EINVAL;
        struct mount_attr attributes = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)map->userns_fd };

        if (syscall(SYS_mount_setattr, mount_fd, "", PATH_ITSELF | (recursive ? PATH_RECURSIVE : 0), &attributes,
                    sizeof(attributes)) < 0)
                return errno;
        return 0;
}

struct error *id_map_mount(const struct id_map *map, int mount_fd, bool recursive) {
        int errnum = set_idmap(map, mount_fd, recursive);

        if (errnum == EINVAL && recursive)
                errnum = set_idmap(map, mount_fd, false);
        if (errnum == EINVAL)
                return error_new(ERROR_NOT_SUPPORTED, "its file system has no id-mapped mounts in this kernel");
        return errnum ? error_errno(errnum, "map the user ids of a mount") : NULL;
}

uint32_t id_map_shift(const struct id_map *map, const char *type) {
        _cleanup_close_ int mount_fd = -EBADF;

        if (!id_map_is_set(map))
                return 0;
        /* One of its own, because before Linux 6.15 a mount that is not attached cannot be cloned to try it out. */
        _cleanup_error_ struct error *err = mount_new(type, NULL, &mount_fd);
        if (!err)
                err = id_map_mount(map, mount_fd, false);
        return error_is(err, ERROR_NOT_SUPPORTED) ? map->first : 0;
}

/* Length of the longest folder that all paths lie in, without its slash. */
static size_t common_folder(char *const *paths) {
        size_t len = strlen(paths[0]);

        for (char *const *p = paths; *p; p++) {
                size_t same = 0;
                while (same < len && (*p)[same] == paths[0][same])
                        same++;
                if (same < len || ((*p)[len] && (*p)[len] != '/')) {
                        len = same;
                        while (len > 0 && paths[0][len] != '/')
                                len--;
                }
        }
        return len;
}

static struct error *attach_mapped(const struct id_map *map, const char *folder, const char *place) {
        _cleanup_close_ int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), mount_fd = -EBADF, target = -EBADF;
        struct error *err;

        if (fd < 0)
                return error_errno(errno, "open %s", folder);
        err = mount_clone(fd, false, &mount_fd);
        if (!err)
                err = error_context(id_map_mount(map, mount_fd, false), "%s", folder);
        if (!err)
                err = mkdir_parents(place, 0700);
        if (err)
                return err;
        target = open(place, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (target < 0)
                return error_errno(errno, "open %s", place);
        return mount_attach(mount_fd, target);
}

struct error *id_map_overlay(const struct id_map *map, char *const *layers, const char *upper, const char *work,
                             const char *target) {
        _cleanup_free_ char *place = xasprintf("%s.mapped", target), *folder = NULL;
        _cleanup_strv_ char **mapped = NULL;
        struct error *err, *after;

        if (!id_map_is_set(map) || !layers[0])
                return mount_overlay(layers, upper, work, target);
        size_t len = common_folder(layers);
        folder = xstrndup(layers[0], len);
        for (char *const *layer = layers; *layer; layer++)
                mapped = strv_add_take(mapped, xasprintf("%s%s", place, *layer + len));
        err = unmount_below(place); /* of somebody who died */
        if (!err)
                err = attach_mapped(map, *folder ? folder : "/", place);
        if (!err)
                err = mount_overlay(mapped, upper, work, target);
        /* The overlay has clones of its own by now. */
        after = unmount_below(place);
        if (!after && rmdir(place) < 0 && errno != ENOENT)
                after = error_errno(errno, "remove %s", place);
        if (!err)
                return after;
        error_free(after);
        return err;
}
