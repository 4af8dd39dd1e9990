#include "volume/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

struct walk {
        walk_visit visit;
        void *context;
        dev_t device;
};

static int walk_folder(struct walk *walk, int folder_fd, unsigned depth);

static int walk_entry(struct walk *walk, int folder_fd, const char *name, unsigned depth) {
        _cleanup_close_ int fd = openat(folder_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        int r, sub;

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno; /* gone meanwhile */
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_dev != walk->device)
                return 0;
        r = walk->visit(walk->context, fd, &st);
        if (r < 0 || !S_ISDIR(st.st_mode))
                return r;
        /* "." of the descriptor itself: this very folder, whatever has happened to its name. */
        sub = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return sub < 0 ? (errno == ENOENT ? 0 : -errno) : walk_folder(walk, sub, depth + 1);
}

/* Takes the descriptor over. */
static int walk_folder(struct walk *walk, int folder_fd, unsigned depth) {
        DIR *dir = depth > WALK_DEPTH_MAX ? NULL : fdopendir(folder_fd);
        int r = 0;

        if (!dir) {
                r = depth > WALK_DEPTH_MAX ? -ELOOP : -errno;
                fd_close(folder_fd);
                return r;
        }
        for (struct dirent *entry; r >= 0 && (entry = readdir(dir));)
                if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
                        r = walk_entry(walk, dirfd(dir), entry->d_name, depth);
        closedir(dir);
        return r;
}

struct error *walk_tree(int fd, walk_visit visit, void *context) {
        struct walk walk = { .visit = visit, .context = context };
        struct stat st;
        int top, r;

        if (fstat(fd, &st) < 0)
                return error_errno(errno, "look at a folder");
        walk.device = st.st_dev;
        top = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (top < 0)
                return error_errno(errno, "open a folder");
        r = walk_folder(&walk, top, 0);
        return r < 0 ? error_errno(-r, "walk through a folder") : NULL;
}
