/* unpack-folder.c - names of a layer's entries, and the folders that they are in. */
#include "husk-image/unpack-private.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/str.h"

#define DEPTH_MAX 256
#define LINKS_MAX 40

void unpack_folders_forget(struct unpack *u) {
        for (size_t i = 0; i < FOLDERS_CACHED; i++) {
                free(u->folders[i].path);
                u->folders[i].path = NULL;
                u->folders[i].fd = fd_close(u->folders[i].fd);
        }
}

/* Writes "a/b" of "//a/./b/" and so on into `clean`. */
struct error *unpack_clean_path(const char *path, char clean[static TAR_PATH_MAX + 1]) {
        size_t len = 0;
        int depth = 0;

        for (const char *p = path; *p;) {
                size_t n = strcspn(p, "/");
                if (n == 2 && p[0] == '.' && p[1] == '.')
                        return error_new(ERROR_BAD_REQUEST, "a name with \"..\" in a layer");
                if (n > 255)
                        return error_new(ERROR_BAD_REQUEST, "a part of the name is longer than 255 bytes");
                if (n && !(n == 1 && p[0] == '.')) {
                        if (++depth > DEPTH_MAX)
                                return error_new(ERROR_BAD_REQUEST, "more than %d folders deep", DEPTH_MAX);
                        if (len + n + 1 > TAR_PATH_MAX)
                                return error_new(ERROR_BAD_REQUEST, "name too long");
                        if (len)
                                clean[len++] = '/';
                        memcpy(clean + len, p, n);
                        len += n;
                }
                p += n + (p[n] == '/');
        }
        clean[len] = '\0';
        return NULL;
}

/* Splits a clean path into its folder ("" for the root) and name. */
const char *unpack_split_path(char *path, const char **ret_folder) {
        char *slash = strrchr(path, '/');

        if (!slash) {
                *ret_folder = "";
                return path;
        }
        *slash = '\0';
        *ret_folder = path;
        return slash + 1;
}

bool unpack_is_whiteout(const struct stat *st) {
        return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

struct error *unpack_set_opaque(int fd) {
        if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
                return error_errno(errno, "set trusted.overlay.opaque");
        return NULL;
}

static struct error *folder_open_uncached(struct unpack *u, const char *path, int links, int *ret);

/* Makes `name` in `parent` for an entry further down whose own folder is not (yet) in the archive. */
static struct error *make_missing_folder(struct unpack *u, int parent, const char *path, const char *name, int links) {
        _cleanup_free_ char *target = NULL;
        struct error *err;
        struct stat st;

        if (mkdirat(parent, name, 0755) == 0)
                return unpack_note_implied(u, path);
        if (errno != EEXIST)
                return error_errno(errno, "create folder %s", path);
        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(errno, "look at %s", path);
        if (unpack_is_whiteout(&st)) {
                if (unlinkat(parent, name, 0) < 0 || mkdirat(parent, name, 0755) < 0)
                        return error_errno(errno, "create folder %s", path);
                _cleanup_close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                err = fd < 0 ? error_errno(errno, "open %s", path) : unpack_set_opaque(fd);
                return err ? err : unpack_note_implied(u, path);
        }
        if (!S_ISLNK(st.st_mode))
                return error_new(ERROR_BAD_REQUEST, "%s is not a folder", path);

        /* A link to a folder of a lower layer (lib -> usr/lib): make that folder in this layer, inside the root. */
        char link[TAR_PATH_MAX + 1], clean[TAR_PATH_MAX + 1];
        ssize_t n = readlinkat(parent, name, link, sizeof(link) - 1);
        if (n < 0)
                return error_errno(errno, "read link %s", path);
        link[n] = '\0';
        const char *slash = strrchr(path, '/');
        if (link[0] == '/' || !slash)
                target = xstrdup(link);
        else
                target = xasprintf("%.*s/%s", (int)(slash - path), path, link);
        err = unpack_clean_path(target, clean);
        if (err)
                return error_context(err, "a link to %.300s", target);
        if (links == LINKS_MAX)
                return error_new(ERROR_BAD_REQUEST, "%s: too many links", path);
        _cleanup_close_ int made = -EBADF;
        return folder_open_uncached(u, clean, links + 1, &made);
}

/* Opens a folder inside the root, following links there, and makes what is missing of it. */
static struct error *folder_open_uncached(struct unpack *u, const char *path, int links, int *ret) {
        int fd = open_in_root(u->root, *path ? path : "/", O_RDONLY | O_DIRECTORY, 0);

        if (fd == -ENOTDIR || fd == -ENOENT) {
                char upper[TAR_PATH_MAX + 1];
                _cleanup_close_ int parent = -EBADF;
                const char *folder, *name;
                struct error *err;

                if (!*path)
                        return error_errno(-fd, "open the layer's root");
                strcpy(upper, path);
                name = unpack_split_path(upper, &folder);
                err = folder_open_uncached(u, folder, links, &parent);
                if (!err)
                        err = make_missing_folder(u, parent, path, name, links);
                if (err)
                        return err;
                fd = open_in_root(u->root, path, O_RDONLY | O_DIRECTORY, 0);
        }
        if (fd == -ELOOP)
                return error_new(ERROR_BAD_REQUEST, "%s: too many links", path);
        if (fd < 0)
                return error_errno(-fd, "open folder %s", path);
        *ret = fd;
        return NULL;
}

/* The descriptor stays the cache's; one more call keeps it open, as the least recently used one is given up. */
struct error *unpack_folder_open(struct unpack *u, const char *path, int *ret) {
        struct folder *oldest = &u->folders[0];
        int fd = -EBADF;

        for (size_t i = 0; i < FOLDERS_CACHED; i++) {
                struct folder *f = &u->folders[i];
                if (f->path && streq(f->path, path)) {
                        f->used = ++u->clock;
                        *ret = f->fd;
                        return NULL;
                }
                if (f->used < oldest->used)
                        oldest = f;
        }
        struct error *err = folder_open_uncached(u, path, 0, &fd);
        if (err)
                return err;
        free(oldest->path);
        fd_close(oldest->fd);
        *oldest = (struct folder){ xstrdup(path), fd, ++u->clock };
        *ret = fd;
        return NULL;
}
