#include "volume/payload.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "volume/owner.h"

#define DATA_LINK "..data"
#define DATA_LINK_NEW "..data_tmp"
#define VERSION_MAX 80

void payload_add(struct payload *payload, const char *path, const void *data, size_t len, mode_t mode) {
        struct payload_file *file = NULL;
        const json_t *known = json_object_get(payload->index, path);

        if (known) {
                file = &payload->files[json_integer_value(known)];
        } else {
                if (!payload->index)
                        payload->index = json_object();
                json_object_set_new_nocheck(payload->index, path, json_integer((json_int_t)payload->n));
                payload->files = xreallocarray(payload->files, payload->n + 1, sizeof(*payload->files));
                file = &payload->files[payload->n++];
                *file = (struct payload_file){ .path = xstrdup(path) };
        }
        free(file->data);
        file->data = len ? xmemdup(data, len) : NULL;
        file->len = len;
        file->mode = mode;
}

void payload_release(struct payload *payload) {
        for (size_t i = 0; i < payload->n; i++) {
                free(payload->files[i].path);
                free(payload->files[i].data);
        }
        free(payload->files);
        json_decref(payload->index);
        *payload = (struct payload){ 0 };
}

/* Relative, no empty part, no "." or "..", and nothing that looks like the scheme's own names on top. */
static bool path_is_safe(const char *path) {
        if (!*path || strlen(path) > 4095 || (path[0] == '.' && path[1] == '.'))
                return false;
        for (const char *p = path;;) {
                size_t n = strcspn(p, "/");

                if (n == 0 || n > 255 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
                if (!p[n])
                        return true;
                p += n + 1;
        }
}

/* ---- comparing ---- */

static bool file_is_same(int data_fd, const struct payload_file *file) {
        _cleanup_close_ int fd = openat(data_fd, file->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_free_ char *content = NULL;
        struct error *err;
        struct stat st;
        size_t len;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size != file->len)
                return false;
        err = fd_read_all(fd, file->len + 1, &content, &len);
        if (err) {
                error_free(err);
                return false;
        }
        return len == file->len && (len == 0 || memcmp(content, file->data, len) == 0);
}

/* Files below a folder; the payload's own folders are shallow. */
static size_t count_files(int folder_fd) {
        DIR *dir = fdopendir(folder_fd);
        size_t n = 0;

        if (!dir) {
                fd_close(folder_fd);
                return 0;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
                int sub;

                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                sub = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                n += sub >= 0 ? count_files(sub) : 1;
        }
        closedir(dir);
        return n;
}

static bool payload_is_there(int folder_fd, const struct payload *payload) {
        _cleanup_close_ int data_fd = openat(folder_fd, DATA_LINK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (data_fd < 0)
                return false;
        for (size_t i = 0; i < payload->n; i++)
                if (!file_is_same(data_fd, &payload->files[i]))
                        return false;
        return count_files(openat(data_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == payload->n;
}

/* ---- writing ---- */

static void version_name(char name[static VERSION_MAX]) {
        int64_t now = clock_realtime_ns();
        time_t seconds = now / NSEC_PER_SEC;
        char date[40];
        struct tm tm;

        gmtime_r(&seconds, &tm);
        strftime(date, sizeof(date), "..%Y_%m_%d_%H_%M_%S", &tm);
        snprintf(name, VERSION_MAX, "%s.%09lld", date, (long long)(now % NSEC_PER_SEC));
}

/* Makes one more part of a path and goes into it; mode 0755 whatever the umask. */
static int enter_folder(int parent_fd, const char *name) {
        int fd;

        if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fchmod(fd, 0755) < 0) {
                fd_close(fd);
                return -EPERM;
        }
        return fd;
}

static int write_file_at(int folder_fd, const char *name, const struct payload_file *file) {
        _cleanup_close_ int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        struct error *err;

        if (fd < 0)
                return -errno;
        err = fd_write_all(fd, file->data, file->len);
        if (err) {
                int errnum = error_errnum(err);

                error_free(err);
                return errnum ? -errnum : -EIO;
        }
        return fchmod(fd, file->mode & 0777) < 0 ? -errno : 0;
}

static struct error *write_file(int version_fd, const struct payload_file *file) {
        _cleanup_close_ int folder_fd = fcntl(version_fd, F_DUPFD_CLOEXEC, 0);
        _cleanup_free_ char *path = xstrdup(file->path);
        char *name = path, *slash;
        int r = folder_fd < 0 ? -errno : 0;

        for (; r >= 0 && (slash = strchr(name, '/')); name = slash + 1) {
                *slash = '\0';
                r = enter_folder(folder_fd, name);
                if (r >= 0) {
                        fd_close(folder_fd);
                        folder_fd = r;
                }
        }
        if (r >= 0)
                r = write_file_at(folder_fd, name, file);
        return r < 0 ? error_errno(-r, "write %s", file->path) : NULL;
}

static struct error *write_version(int folder_fd, const char *name, const struct payload *payload,
                                   const int64_t *fs_group) {
        _cleanup_close_ int fd = enter_folder(folder_fd, name);
        struct error *err = NULL;

        if (fd < 0)
                return error_errno(-fd, "make folder %s", name);
        for (size_t i = 0; i < payload->n && !err; i++)
                err = write_file(fd, &payload->files[i]);
        if (!err && payload->owner)
                err = owner_give_tree(fd, payload->owner);
        if (!err && fs_group)
                err = owner_set_tree(fd, *fs_group, OWNER_READ_ONLY);
        return err;
}

static struct error *switch_data(int folder_fd, const char *version) {
        if (unlinkat(folder_fd, DATA_LINK_NEW, 0) < 0 && errno != ENOENT)
                return error_errno(errno, "remove %s", DATA_LINK_NEW);
        if (symlinkat(version, folder_fd, DATA_LINK_NEW) < 0)
                return error_errno(errno, "link %s", DATA_LINK_NEW);
        if (renameat(folder_fd, DATA_LINK_NEW, folder_fd, DATA_LINK) < 0)
                return error_errno(errno, "replace %s", DATA_LINK);
        return NULL;
}

/* ---- links and left-overs ---- */

static struct error *make_links(int folder_fd, const struct payload *payload) {
        for (size_t i = 0; i < payload->n; i++) {
                const char *path = payload->files[i].path;
                _cleanup_free_ char *top = xstrndup(path, strcspn(path, "/"));
                _cleanup_free_ char *target = xasprintf("%s/%s", DATA_LINK, top);

                if (symlinkat(target, folder_fd, top) < 0 && errno != EEXIST)
                        return error_errno(errno, "link %s", top);
        }
        return NULL;
}

/* What the payload has in the folder itself. New reference. */
static json_t *top_entries(const struct payload *payload) {
        json_t *top = json_object();

        for (size_t i = 0; i < payload->n; i++) {
                const char *path = payload->files[i].path;
                _cleanup_free_ char *name = xstrndup(path, strcspn(path, "/"));
                json_object_set_new_nocheck(top, name, json_true());
        }
        return top;
}

static bool is_our_link(int folder_fd, const char *name) {
        char target[sizeof(DATA_LINK) + 300];
        ssize_t n = readlinkat(folder_fd, name, target, sizeof(target) - 1);

        if (n < 0)
                return false;
        target[n] = '\0';
        return str_starts_with(target, DATA_LINK "/") && streq(target + strlen(DATA_LINK "/"), name);
}

/* Removes versions that `..data` does not name and links to what the payload does not have (any more). */
static struct error *clean(int folder_fd, const struct payload *payload) {
        int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        json_auto_t *top = top_entries(payload);
        char current[VERSION_MAX + 1] = "";
        struct error *err = NULL;
        ssize_t n;

        if (!dir) {
                fd_close(fd);
                return error_errno(errno, "read a volume");
        }
        n = readlinkat(folder_fd, DATA_LINK, current, VERSION_MAX);
        if (n >= 0)
                current[n] = '\0';
        for (struct dirent *entry; !err && (entry = readdir(dir));) {
                const char *name = entry->d_name;

                if (streq(name, ".") || streq(name, "..") || streq(name, DATA_LINK) || streq(name, current))
                        continue;
                if (str_starts_with(name, ".."))
                        err = remove_tree_at(folder_fd, name);
                else if (!json_object_get(top, name) && is_our_link(folder_fd, name) &&
                         unlinkat(folder_fd, name, 0) < 0 && errno != ENOENT)
                        err = error_errno(errno, "remove %s", name);
        }
        closedir(dir);
        return err;
}

struct error *payload_write(int folder_fd, const struct payload *payload, const int64_t *fs_group, bool *ret_changed) {
        char version[VERSION_MAX];
        bool changed;
        struct error *err = NULL;

        for (size_t i = 0; i < payload->n; i++)
                if (!path_is_safe(payload->files[i].path))
                        return error_new(ERROR_INVALID, "\"%s\" is no path inside a volume", payload->files[i].path);
        changed = !payload_is_there(folder_fd, payload);
        if (changed) {
                version_name(version);
                err = write_version(folder_fd, version, payload, fs_group);
                if (!err)
                        err = switch_data(folder_fd, version);
        }
        if (!err)
                err = make_links(folder_fd, payload);
        if (!err)
                err = clean(folder_fd, payload);
        if (!err && ret_changed)
                *ret_changed = changed;
        return err;
}
