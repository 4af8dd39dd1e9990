#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

#define INOTIFY_INSTANCES 8192
#define INOTIFY_INSTANCES_TEXT "8192"

struct error *fd_read_all(int fd, size_t max, char **ret, size_t *ret_len) {
        _cleanup_free_ char *data = NULL;
        size_t len = 0, cap = 0;
        struct stat st;

        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
                cap = MIN((size_t)st.st_size, max) + 1;
        cap = MAX(cap, (size_t)4096);
        data = xmalloc(cap + 1);
        for (;;) {
                ssize_t n = read(fd, data + len, cap - len);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return error_errno(errno, "read");
                }
                if (n == 0)
                        break;
                len += n;
                if (len > max)
                        return error_new(ERROR_INVALID, "larger than %zu bytes", max);
                if (len == cap) {
                        cap *= 2;
                        data = xrealloc(data, cap + 1);
                }
        }
        data[len] = '\0';
        *ret = TAKE_PTR(data);
        if (ret_len)
                *ret_len = len;
        return NULL;
}

struct error *file_read_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len) {
        _cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        return error_context(fd_read_all(fd, max, ret, ret_len), "%s", path);
}

struct error *file_read(const char *path, size_t max, char **ret, size_t *ret_len) {
        return file_read_at(AT_FDCWD, path, max, ret, ret_len);
}

struct error *fd_write_all(int fd, const void *data, size_t len) {
        const char *p = data;
        while (len) {
                ssize_t n = write(fd, p, len);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return error_errno(errno, "write");
                }
                p += n;
                len -= n;
        }
        return NULL;
}

/* The folder part of a path, "." if it has none. */
static char *path_folder(const char *path) {
        const char *slash = strrchr(path, '/');
        if (!slash)
                return xstrdup(".");
        if (slash == path)
                return xstrdup("/");
        return xstrndup(path, slash - path);
}

static struct error *folder_sync(int dirfd, const char *path) {
        _cleanup_free_ char *folder = path_folder(path);
        _cleanup_close_ int fd = openat(dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", folder);
        if (fsync(fd) < 0)
                return error_errno(errno, "sync %s", folder);
        return NULL;
}

static struct error *replace_through(int dirfd, const char *temporary, int how, const char *path, const void *data,
                                     size_t len, mode_t mode, int flags) {
        _cleanup_close_ int fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | how, 0600);
        struct error *err;

        if (fd < 0)
                return error_errno(errno, "create %s", temporary);
        err = fd_write_all(fd, data, len);
        if (!err && fchmod(fd, mode) < 0)
                err = error_errno(errno, "set mode");
        if (!err && (flags & FILE_DURABLE) && fsync(fd) < 0)
                err = error_errno(errno, "sync");
        if (!err) {
                int rc = flags & FILE_EXCLUSIVE ? renameat2(dirfd, temporary, dirfd, path, RENAME_NOREPLACE)
                                                : renameat(dirfd, temporary, dirfd, path);
                if (rc < 0)
                        err = error_errno(errno, "rename");
        }
        if (err) {
                unlinkat(dirfd, temporary, 0);
                return error_context(err, "write %s", path);
        }
        return flags & FILE_DURABLE ? folder_sync(dirfd, path) : NULL;
}

struct error *file_replace_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode, int flags) {
        static unsigned counter;
        _cleanup_free_ char *temporary = NULL, *folder = path_folder(path);
        const char *slash = strrchr(path, '/');

        temporary = xasprintf("%s/.%s.%d.%u.tmp", folder, slash ? slash + 1 : path, getpid(),
                              __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED));
        return replace_through(dirfd, temporary, O_EXCL, path, data, len, mode, flags);
}

struct error *file_replace(const char *path, const void *data, size_t len, mode_t mode, int flags) {
        return file_replace_at(AT_FDCWD, path, data, len, mode, flags);
}

struct error *file_replace_through(const char *temporary, const char *path, const void *data, size_t len, mode_t mode,
                                   int flags) {
        return replace_through(AT_FDCWD, temporary, O_TRUNC, path, data, len, mode, flags);
}

/* Is it the ".<name>.<pid>.<counter>.tmp" of file_replace()? */
static bool is_unfinished(const char *entry, const char *name) {
        static const char digits[] = "0123456789";
        size_t len = strlen(entry);

        if (entry[0] != '.' || !str_ends_with(entry, ".tmp"))
                return false;
        len -= strlen(".tmp");
        for (int i = 0; i < 2; i++) {
                size_t end = len;
                while (len > 1 && strchr(digits, entry[len - 1]))
                        len--;
                if (len == end || entry[--len] != '.')
                        return false;
        }
        return len > 1 && (!name || (strlen(name) == len - 1 && strncmp(entry + 1, name, len - 1) == 0));
}

void files_sweep(const char *folder, const char *name) {
        DIR *dir = opendir(folder);

        for (struct dirent *entry; dir && (entry = readdir(dir));)
                if (is_unfinished(entry->d_name, name))
                        unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir)
                closedir(dir);
}

struct error *file_poke_at(int dirfd, const char *path, const char *text) {
        _cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        if (write(fd, text, strlen(text)) < 0)
                return error_errno(errno, "write \"%s\" to %s", text, path);
        return NULL;
}

struct error *file_poke(const char *path, const char *text) {
        return file_poke_at(AT_FDCWD, path, text);
}

int fds_poke(const int *fds, size_t n, const char *text) {
        for (size_t i = 0; i < n; i++)
                if (write(fds[i], text, strlen(text)) < 0)
                        return errno;
        return 0;
}

static bool inotify_limit_raise(void) {
        static const char limit[] = "/proc/sys/fs/inotify/max_user_instances";
        _cleanup_free_ char *text = NULL;
        struct error *err = file_read(limit, 64, &text, NULL);
        bool is_low = !err && atoi(text) < INOTIFY_INSTANCES;

        if (is_low)
                err = file_poke(limit, INOTIFY_INSTANCES_TEXT);
        is_low &= !err;
        error_free(err);
        return is_low;
}

int inotify_open(void) {
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

        if (fd < 0 && errno == EMFILE) {
                int reason = errno;
                fd = inotify_limit_raise() ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
                errno = fd < 0 ? reason : 0;
        }
        return fd < 0 ? -errno : fd;
}

bool file_exists(const char *path) {
        struct stat st;
        return lstat(path, &st) == 0;
}

struct error *mkdir_parents(const char *path, mode_t mode) {
        if (mkdir(path, mode) == 0 || errno == EEXIST)
                return NULL;
        if (errno != ENOENT)
                return error_errno(errno, "create folder %s", path);

        _cleanup_free_ char *copy = xstrdup(path);
        for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
                *p = '\0';
                if (mkdir(copy, mode) < 0 && errno != EEXIST)
                        return error_errno(errno, "create folder %s", copy);
                *p = '/';
        }
        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return error_errno(errno, "create folder %s", path);
        return NULL;
}

struct error *folder_lock(const char *folder, int *ret_fd) {
        _cleanup_free_ char *path = path_join(folder, "lock");
        struct error *err = mkdir_parents(folder, 0700);

        if (err)
                return err;
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        while (flock(fd, LOCK_EX) < 0)
                if (errno != EINTR)
                        return error_errno(errno, "lock %s", path);
        *ret_fd = TAKE_FD(fd);
        return NULL;
}

/* Folders nested deeper than this are moved up before they are emptied: each level of the walk costs a descriptor, and
 * whoever filled the tree, and need not be trusted, chooses its depth. */
#define REMOVE_DEPTH_MAX 64

struct removal {
        int top_fd;   /* where deep folders are moved to */
        dev_t device; /* nothing on another one is touched */
        unsigned moved;
};

static int remove_folder_content(struct removal *removal, int fd, unsigned depth);

static int move_up(struct removal *removal, int fd, const char *name) {
        char moved[32];

        do
                snprintf(moved, sizeof(moved), ".removed-%u", removal->moved++);
        while (syscall(SYS_renameat2, fd, name, removal->top_fd, moved, RENAME_NOREPLACE) < 0 && errno == EEXIST);
        return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? -errno : 0;
}

static int remove_entry(struct removal *removal, int fd, const char *name, unsigned depth) {
        struct stat st;
        int sub, r;

        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISDIR(st.st_mode))
                return unlinkat(fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        if (st.st_dev != removal->device)
                return -EBUSY;
        if (depth >= REMOVE_DEPTH_MAX)
                return move_up(removal, fd, name);
        sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = sub < 0 ? -errno : remove_folder_content(removal, sub, depth + 1);
        if (unlinkat(fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return r < 0 ? r : -errno;
        return 0;
}

/* Takes the descriptor over. Goes on after a failure, the first of which is the result. */
static int remove_folder_content(struct removal *removal, int fd, unsigned depth) {
        DIR *dir = fdopendir(fd);
        struct dirent *entry;
        int result = 0, r;

        if (!dir) {
                r = -errno;
                fd_close(fd);
                return r;
        }
        while ((entry = readdir(dir))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                r = remove_entry(removal, dirfd(dir), entry->d_name, depth);
                if (r < 0 && !result)
                        result = r;
        }
        closedir(dir);
        return result;
}

/* Empties the folder; what was moved up meanwhile needs another round. */
static int empty_folder(int fd, dev_t device) {
        struct removal removal = { .top_fd = fd, .device = device };
        int r;

        for (;;) {
                unsigned moved = removal.moved;
                int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                r = copy < 0 ? -errno : remove_folder_content(&removal, copy, 0);
                if (removal.moved == moved)
                        return r;
        }
}

struct error *remove_tree_at(int dirfd, const char *path) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "remove %s", path);
        if (!S_ISDIR(st.st_mode)) {
                if (unlinkat(dirfd, path, 0) < 0 && errno != ENOENT)
                        return error_errno(errno, "remove %s", path);
                return NULL;
        }
        fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 ? -errno : empty_folder(fd, st.st_dev);
        if (unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return error_errno(r < 0 ? -r : errno, "remove %s", path);
        return NULL;
}

struct error *remove_tree(const char *path) {
        return remove_tree_at(AT_FDCWD, path);
}

char *path_join(const char *a, const char *b) {
        size_t len = strlen(a);
        while (*b == '/')
                b++;
        return xasprintf("%s%s%s", a, len && a[len - 1] == '/' ? "" : "/", b);
}

int open_in_root(int rootfd, const char *path, int flags, mode_t mode) {
        struct open_how how = {
                .flags = (unsigned)flags | O_CLOEXEC,
                .mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
        };
        for (int tries = 0;; tries++) {
                int fd = syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
                if (fd >= 0)
                        return fd;
                if (errno != EAGAIN || tries > 100) /* EAGAIN: a rename raced with the walk */
                        return -errno;
        }
}
