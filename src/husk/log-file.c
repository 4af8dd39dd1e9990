#include "husk/log-file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"

#define BUFFER_SIZE (256 * 1024) /* a record is at most 16 KiB and a header */

struct log_file {
        char *folder;
        char *name; /* "<run>.log" */
        int fd;     /* the file being read; negative: none yet */
        char *buffer;
        size_t start, end; /* what was read and not given out yet */
};

bool log_record_parse(const char *line, size_t len, struct log_record *ret) {
        const char *end = line + len;
        const char *stream = memchr(line, ' ', len);
        if (!stream || end - ++stream < 9 || memcmp(stream, "std", 3) != 0 || stream[6] != ' ' || stream[8] != ' ')
                return false;
        ret->time = line;
        ret->time_len = stream - 1 - line;
        ret->is_stderr = stream[3] == 'e';
        ret->is_complete = stream[7] == 'F';
        ret->text = stream + 9;
        ret->len = end - ret->text;
        return true;
}

/* ---- the files of one run ---- */

static int open_in(const char *folder, const char *name) {
        _cleanup_free_ char *path = path_join(folder, name);
        return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* Files of the run from the oldest to the newest: the renamed ones by the time in their names, then the current one.
 * A compressed one cannot be read and is passed over. */
static char **list_files(const struct log_file *log) {
        _cleanup_free_ char *prefix = xasprintf("%s.", log->name);
        char **names = NULL;
        struct dirent *entry;
        DIR *dir = opendir(log->folder);

        while (dir && (entry = readdir(dir)))
                if (str_starts_with(entry->d_name, prefix) && !str_ends_with(entry->d_name, ".gz") &&
                    !str_ends_with(entry->d_name, ".tmp"))
                        names = strv_add(names, entry->d_name);
        if (dir)
                closedir(dir);
        strv_sort(names);
        return strv_add(names, log->name);
}

static bool same_file(int fd, const struct stat *st) {
        struct stat own;
        return fstat(fd, &own) == 0 && own.st_dev == st->st_dev && own.st_ino == st->st_ino;
}

/* Opens the file after the one being read; *ret is negative if that still is the current one. What was removed before
 * it could be read is lost: then the oldest that is left is next. */
static int open_next(const struct log_file *log) {
        _cleanup_strv_ char **names = list_files(log);
        size_t n = strv_len(names), next = 0;

        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *path = path_join(log->folder, names[i]);
                struct stat st;
                if (stat(path, &st) == 0 && same_file(log->fd, &st))
                        next = i + 1;
        }
        return next < n ? open_in(log->folder, names[next]) : -1;
}

/* ---- where the last lines begin ---- */

/* Offset of the last `*lines` lines of a file; *lines is lowered by how many were found. `newest`: no record follows in
 * another file, so that a line whose end is not written (yet) is one, too; false once a record was seen. */
static off_t tail_offset(int fd, bool *newest, int64_t *lines) {
        struct stat st;
        off_t offset = 0;

        if (fstat(fd, &st) < 0 || st.st_size == 0)
                return 0;
        char *map = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
                return 0;
        off_t end = st.st_size;
        /* A record being appended has no newline yet; it belongs to what follows. */
        while (end > 0 && map[end - 1] != '\n')
                end--;
        /* Backwards, record by record: a line begins after the last complete record before it. */
        offset = end;
        while (end > 0) {
                const char *newline = memrchr(map, '\n', end - 1);
                off_t start = newline ? newline - map + 1 : 0;
                struct log_record record;
                if (log_record_parse(map + start, end - 1 - start, &record) && (record.is_complete || *newest) &&
                    (*lines)-- == 0) {
                        *lines = 0;
                        break;
                }
                *newest = false;
                offset = start;
                end = start;
        }
        munmap(map, st.st_size);
        return offset;
}

/* Opens the file in which the last `tail` lines begin, at their beginning. */
static void open_at_tail(struct log_file *log, int64_t tail) {
        _cleanup_strv_ char **names = list_files(log);
        bool newest = true;

        for (size_t i = strv_len(names); i-- > 0;) {
                int fd = open_in(log->folder, names[i]);
                if (fd < 0)
                        continue;
                /* With none left to find, the next older file can only add parts of a line. */
                int64_t left = tail;
                off_t offset = tail_offset(fd, &newest, &left);
                lseek(fd, offset, SEEK_SET);
                fd_close(log->fd);
                log->fd = fd;
                if (offset > 0 || left == 0)
                        return;
                tail = left;
        }
}

struct error *log_file_open(const char *folder, unsigned run, int64_t tail, struct log_file **ret) {
        struct log_file *log = new0(struct log_file);

        log->folder = xstrdup(folder);
        log->name = xasprintf("%u.log", run);
        log->fd = -EBADF;
        log->buffer = xmalloc(BUFFER_SIZE);
        if (tail >= 0)
                open_at_tail(log, tail);
        *ret = log;
        return NULL;
}

struct log_file *log_file_close(struct log_file *log) {
        if (!log)
                return NULL;
        free(log->folder);
        free(log->name);
        fd_close(log->fd);
        free(log->buffer);
        free(log);
        return NULL;
}

/* Reads more behind what is in the buffer; *ret_more is false at the end of the file. */
static struct error *fill(struct log_file *log, bool *ret_more) {
        if (log->start > 0) {
                memmove(log->buffer, log->buffer + log->start, log->end - log->start);
                log->end -= log->start;
                log->start = 0;
        }
        if (log->end == BUFFER_SIZE)
                return error_new(ERROR_INTERNAL, "%s/%s: a record is longer than %d bytes", log->folder, log->name,
                                 BUFFER_SIZE);
        ssize_t n = read(log->fd, log->buffer + log->end, BUFFER_SIZE - log->end);
        if (n < 0)
                return error_errno(errno, "read %s/%s", log->folder, log->name);
        log->end += n;
        *ret_more = n > 0;
        return NULL;
}

/* Goes on with the next file. The old one is read to its end first: it may have grown until it was renamed. */
static struct error *advance(struct log_file *log, bool *ret_advanced) {
        *ret_advanced = false;
        int next = log->fd < 0 ? -1 : open_next(log);
        if (log->fd < 0) {
                _cleanup_strv_ char **names = list_files(log);
                next = open_in(log->folder, names[0]);
        }
        if (next < 0)
                return NULL;
        *ret_advanced = true;
        if (log->fd >= 0) {
                bool more;
                struct error *err = fill(log, &more);
                if (err || more) {
                        fd_close(next);
                        return err;
                }
        }
        fd_close(log->fd);
        log->fd = next;
        log->start = log->end = 0;
        return NULL;
}

struct error *log_file_next(struct log_file *log, struct log_record *ret, bool *ret_found) {
        *ret_found = false;
        for (;;) {
                char *line = log->buffer + log->start;
                char *newline = memchr(line, '\n', log->end - log->start);
                bool more = false;
                struct error *err = NULL;

                if (newline) {
                        log->start += newline - line + 1;
                        if (!log_record_parse(line, newline - line, ret))
                                continue;
                        *ret_found = true;
                        return NULL;
                }
                if (log->fd >= 0)
                        err = fill(log, &more);
                if (!err && !more)
                        err = advance(log, &more);
                if (err || !more)
                        return err;
        }
}

int64_t log_file_newest_run(const char *folder) {
        int64_t newest = -1;
        struct dirent *entry;
        DIR *dir = opendir(folder);

        while (dir && (entry = readdir(dir))) {
                _cleanup_free_ char *number = xstrndup(entry->d_name, strcspn(entry->d_name, "."));
                int64_t run;
                if (str_to_i64(number, &run) && str_starts_with(entry->d_name + strlen(number), ".log"))
                        newest = MAX(newest, run);
        }
        if (dir)
                closedir(dir);
        return newest;
}
