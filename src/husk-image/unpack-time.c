/* unpack-time.c - the times of folders: what is made inside a folder changes its time, so they are set when all is
 * there. */
#include "husk-image/unpack-private.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"

#define SPILL_AT (1 << 20) /* bytes of folder times kept in memory */

/* Followed by `len` bytes of path. */
struct folder_time {
        struct timespec mtime;
        uint32_t len;
};

/* A folder's time changes with every entry made in it, so it is noted and set at the very end. */
struct error *unpack_note_time(struct unpack *u, const char *path, struct timespec mtime) {
        struct folder_time record = { mtime, strlen(path) };

        strbuf_add(&u->times, &record, sizeof(record));
        strbuf_add(&u->times, path, record.len);
        if (u->times.len < SPILL_AT)
                return NULL;
        if (u->spill < 0)
                u->spill = openat(u->root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (u->spill < 0)
                return error_errno(errno, "temporary file");
        struct error *err = fd_write_all(u->spill, u->times.data, u->times.len);
        strbuf_truncate(&u->times, 0);
        return err;
}

/* A folder that the archive does not describe gets the time 0: a layer unpacks to the same whenever that is. */
struct error *unpack_note_implied(struct unpack *u, const char *path) {
        return unpack_note_time(u, path, (struct timespec){ 0 });
}

static void set_folder_time(struct unpack *u, const struct folder_time *record, const char *path) {
        struct timespec times[2] = { record->mtime, record->mtime };
        _cleanup_close_ int fd = open_in_root(u->root, *path ? path : "/", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

        if (fd >= 0) /* else something else took its place later in the archive */
                (void)!futimens(fd, times);
}

static void set_folder_times(struct unpack *u, const char *data, size_t len) {
        for (size_t i = 0; i + sizeof(struct folder_time) <= len;) {
                struct folder_time record;
                char path[TAR_PATH_MAX + 1];

                memcpy(&record, data + i, sizeof(record));
                i += sizeof(record);
                memcpy(path, data + i, record.len);
                path[record.len] = '\0';
                i += record.len;
                set_folder_time(u, &record, path);
        }
}

/* Records spilled to the file are read back in pieces, a record that is cut by a piece's end with the next one. */
struct error *unpack_set_times(struct unpack *u) {
        static const size_t piece = SPILL_AT;
        _cleanup_free_ char *buf = NULL;
        size_t have = 0;

        if (u->spill >= 0) {
                buf = xmalloc(piece);
                lseek(u->spill, 0, SEEK_SET);
                for (;;) {
                        ssize_t n = read(u->spill, buf + have, piece - have);
                        if (n < 0)
                                return error_errno(errno, "read temporary file");
                        if (n == 0)
                                break;
                        have += n;
                        size_t whole = 0;
                        while (whole + sizeof(struct folder_time) <= have) {
                                struct folder_time record;
                                memcpy(&record, buf + whole, sizeof(record));
                                if (whole + sizeof(record) + record.len > have)
                                        break;
                                whole += sizeof(record) + record.len;
                        }
                        set_folder_times(u, buf, whole);
                        memmove(buf, buf + whole, have - whole);
                        have -= whole;
                }
        }
        if (u->times.len)
                set_folder_times(u, u->times.data, u->times.len);
        return NULL;
}
