#include "volume/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define NAMES_SIZE 8192

/* A folder on the way down from the top, and how far it has been read. */
struct level {
        struct file_handle *handle; /* NULL: `fd` stands for it */
        int fd;
        off_t at; /* as lseek(2) takes it */
};

struct usage {
        int top_fd; /* a descriptor of the file system, for open_by_handle_at(2) */
        int mount_id;
        dev_t device;
        bool no_handles;
        struct level *levels;
        size_t n_levels;
        uint64_t bytes;
};

uint64_t usage_bytes(const struct usage *usage) {
        return usage->bytes;
}

/* A file with several names is met under each of them: each time its share is counted. No name can be outside, for a
 * volume is a mount of its own to whoever could make one. */
static void count(struct usage *usage, const struct stat *st) {
        uint64_t bytes = (uint64_t)st->st_blocks * 512;

        usage->bytes += S_ISDIR(st->st_mode) || st->st_nlink < 2 ? bytes : bytes / st->st_nlink;
}

/* ---- levels ---- */

static void push(struct usage *usage, struct level level) {
        usage->levels = xreallocarray(usage->levels, usage->n_levels + 1, sizeof(level));
        usage->levels[usage->n_levels++] = level;
}

static void pop(struct usage *usage) {
        struct level *level = &usage->levels[--usage->n_levels];

        free(level->handle);
        fd_close(level->fd);
}

/* The handle of an entry; NULL if there is none to be had. *ret_mount_id tells on which mount the entry lies. */
static struct file_handle *handle_of(int folder_fd, const char *name, int *ret_mount_id) {
        struct file_handle *handle = xmalloc(sizeof(*handle) + MAX_HANDLE_SZ);
        int flags = *name ? 0 : AT_EMPTY_PATH;

        handle->handle_bytes = MAX_HANDLE_SZ;
        if (name_to_handle_at(folder_fd, name, handle, ret_mount_id, flags) < 0) {
                free(handle);
                return NULL;
        }
        return xrealloc(handle, sizeof(*handle) + handle->handle_bytes);
}

static void enter(struct usage *usage, int folder_fd, const char *name) {
        struct level level = { .fd = -EBADF };
        int mount_id = -1;

        if (!usage->no_handles) {
                level.handle = handle_of(folder_fd, name, &mount_id);
                if (!level.handle)
                        return; /* gone meanwhile */
                if (mount_id != usage->mount_id) {
                        free(level.handle);
                        return;
                }
        } else {
                if (usage->n_levels >= USAGE_DEPTH_MAX)
                        return;
                level.fd = openat(folder_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (level.fd < 0)
                        return;
        }
        push(usage, level);
}

static int open_level(const struct usage *usage, const struct level *level) {
        int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME;

        return level->handle ? open_by_handle_at(usage->top_fd, level->handle, flags) : openat(level->fd, ".", flags);
}

/* ---- counting ---- */

/* Counts one entry; true if it is a folder to go down into, which is the uppermost level then. */
static bool count_entry(struct usage *usage, int folder_fd, const char *name) {
        size_t before = usage->n_levels;
        struct stat st;

        if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 || st.st_dev != usage->device)
                return false;
        count(usage, &st);
        if (S_ISDIR(st.st_mode))
                enter(usage, folder_fd, name);
        return usage->n_levels > before;
}

/* Reads on in the lowest folder until it is at its end, leads down, or the slice is over. */
static void read_level(struct usage *usage, int fd, unsigned *entries, uint64_t enough) {
        _Alignas(struct dirent64) char names[NAMES_SIZE];
        size_t mine = usage->n_levels - 1;
        ssize_t n;

        if (lseek(fd, usage->levels[mine].at, SEEK_SET) < 0) {
                pop(usage);
                return;
        }
        while ((n = getdents64(fd, names, sizeof(names))) > 0)
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *entry = (const void *)(names + at);
                        bool down = false;

                        at += entry->d_reclen;
                        if (!streq(entry->d_name, ".") && !streq(entry->d_name, ".."))
                                down = count_entry(usage, fd, entry->d_name);
                        usage->levels[mine].at = entry->d_off;
                        if (*entries > 0)
                                --*entries;
                        if (down || *entries == 0 || usage->bytes > enough)
                                return;
                }
        pop(usage);
}

bool usage_step(struct usage *usage, unsigned entries, uint64_t enough) {
        while (usage->n_levels > 0 && usage->bytes <= enough) {
                if (entries == 0)
                        return false;
                _cleanup_close_ int fd = open_level(usage, &usage->levels[usage->n_levels - 1]);
                if (fd < 0)
                        pop(usage); /* removed meanwhile */
                else
                        read_level(usage, fd, &entries, enough);
        }
        return true;
}

/* ---- beginning and end ---- */

/* Are there handles, and may they be opened? That needs CAP_DAC_READ_SEARCH. */
static void try_handles(struct usage *usage) {
        struct file_handle *handle = handle_of(usage->top_fd, "", &usage->mount_id);
        _cleanup_close_ int fd = handle ? open_by_handle_at(usage->top_fd, handle, O_PATH | O_CLOEXEC) : -EBADF;

        usage->no_handles = fd < 0;
        free(handle);
}

struct error *usage_new(const char *path, struct usage **ret) {
        _cleanup_(usage_freep) struct usage *usage = new0(struct usage);
        struct stat st;

        usage->top_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (usage->top_fd < 0 && errno != ENOENT)
                return error_errno(errno, "open %s", path);
        if (usage->top_fd >= 0) {
                if (fstat(usage->top_fd, &st) < 0)
                        return error_errno(errno, "look at %s", path);
                usage->device = st.st_dev;
                count(usage, &st);
                try_handles(usage);
                push(usage, (struct level){ .fd = fcntl(usage->top_fd, F_DUPFD_CLOEXEC, 0) });
        }
        *ret = TAKE_PTR(usage);
        return NULL;
}

struct usage *usage_free(struct usage *usage) {
        if (!usage)
                return NULL;
        while (usage->n_levels > 0)
                pop(usage);
        free(usage->levels);
        fd_close(usage->top_fd);
        free(usage);
        return NULL;
}
