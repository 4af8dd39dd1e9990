#include "oci/device.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DEVICES_MAX 4096
#define DEPTH_MAX 8

/* Folders with other file systems, and nodes the runtime makes itself. */
static const char *const skipped[] = { "/dev/pts",       "/dev/shm",   "/dev/fd",   "/dev/mqueue",      "/dev/console",
                                       "/dev/hugepages", "/dev/.udev", "/dev/.lxc", "/dev/.lxd-mounts", "/dev/lxd" };

static bool is_skipped(const char *path) {
        for (size_t i = 0; i < ARRAY_SIZE(skipped); i++)
                if (streq(path, skipped[i]))
                        return true;
        return false;
}

static void add_device(json_t *devices, const char *path, const struct stat *st) {
        json_array_append_new(
                devices, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "path", path, "type",
                                   S_ISBLK(st->st_mode) ? "b" : "c", "major", (json_int_t)major(st->st_rdev), "minor",
                                   (json_int_t)minor(st->st_rdev), "fileMode", (json_int_t)(st->st_mode & 07777), "uid",
                                   (json_int_t)st->st_uid, "gid", (json_int_t)st->st_gid));
}

static void walk(int folder_fd, const char *folder, unsigned depth, json_t *devices) {
        DIR *dir = fdopendir(folder_fd);

        if (!dir) {
                fd_close(folder_fd);
                return;
        }
        for (struct dirent *entry; (entry = readdir(dir)) && json_array_size(devices) < DEVICES_MAX;) {
                _cleanup_free_ char *path = xasprintf("%s/%s", folder, entry->d_name);
                struct stat st;
                int fd;

                if (streq(entry->d_name, ".") || streq(entry->d_name, "..") || is_skipped(path) ||
                    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
                        add_device(devices, path, &st);
                else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
                        fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                        if (fd >= 0)
                                walk(fd, path, depth + 1, devices);
                }
        }
        closedir(dir);
}

json_t *oci_host_devices(void) {
        json_t *devices = json_array();
        int fd = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0)
                walk(fd, "/dev", 0, devices);
        return devices;
}
