#include "volume/owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "volume/walk.h"

static mode_t mode_wanted(const struct stat *st, enum owner_mode mode) {
        mode_t mask = mode == OWNER_READ_ONLY ? 0440 : 0660;

        if (S_ISDIR(st->st_mode))
                mask |= 0110 | S_ISGID;
        return (st->st_mode & 07777) | mask;
}

static int set_one(int fd, const struct stat *st, gid_t gid, enum owner_mode mode) {
        mode_t wanted = mode_wanted(st, mode);
        char path[40];

        if (st->st_gid != gid && fchownat(fd, "", -1, gid, AT_EMPTY_PATH) < 0)
                return -errno;
        if (S_ISLNK(st->st_mode))
                return 0;
        /* chown takes set-user-id and set-group-id bits away: set the mode after it, even if it looked right. A
         * descriptor that is O_PATH is changed through its name in /proc, which is no link that anybody could redirect.
         */
        if (st->st_gid == gid && (st->st_mode & 07777) == wanted)
                return 0;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return chmod(path, wanted) < 0 ? -errno : 0;
}

struct error *owner_set(int fd, int64_t gid, enum owner_mode mode) {
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return error_errno(errno, "look at a volume");
        r = set_one(fd, &st, (gid_t)gid, mode);
        return r < 0 ? error_errno(-r, "give a volume to group %lld", (long long)gid) : NULL;
}

bool owner_is_set(int fd, int64_t gid, enum owner_mode mode) {
        struct stat st;

        return fstat(fd, &st) == 0 && st.st_gid == (gid_t)gid && (st.st_mode & 07777) == mode_wanted(&st, mode);
}

struct owner_walk {
        gid_t gid;
        enum owner_mode mode;
};

static int set_entry(void *context, int fd, const struct stat *st) {
        const struct owner_walk *walk = context;
        int r = set_one(fd, st, walk->gid, walk->mode);

        return r == -ENOENT ? 0 : r;
}

struct error *owner_set_tree(int fd, int64_t gid, enum owner_mode mode) {
        struct owner_walk walk = { .gid = (gid_t)gid, .mode = mode };
        struct error *err;

        /* Itself last: that it is right says that all of it is (OnRootMismatch). */
        err = walk_tree(fd, set_entry, &walk);
        if (!err)
                err = owner_set(fd, gid, mode);
        return error_context(err, "give a volume to group %lld", (long long)gid);
}

static int give_entry(void *context, int fd, const struct stat *st) {
        uint32_t id = *(const uint32_t *)context;

        return fchownat(fd, "", id, id, AT_EMPTY_PATH) < 0 && errno != ENOENT ? -errno : 0;
}

struct error *owner_give_tree(int fd, uint32_t id) {
        struct error *err = walk_tree(fd, give_entry, &id);

        if (!err && fchownat(fd, "", id, id, AT_EMPTY_PATH) < 0)
                err = error_errno(errno, "change it");
        return error_context(err, "give a volume to user %u", id);
}
