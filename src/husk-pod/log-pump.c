#include "husk-pod/log-pump.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "husk-pod/log-file.h"
#include "husk-pod/log-journal.h"

#define SIZE_MAX_DEFAULT (10LL << 20)
#define FILES_MAX_DEFAULT 5
#define PREFIX_LEN 40 /* "2026-11-23T19:03:56.123456789Z stdout F " */
#define TAG_AT 38

#define INPUT_SIZE (256 * 1024) /* bytes carried at once at most */
#define OUTPUT_SIZE (128 * 1024)
#define PIPE_SIZE_BUSY (256 * 1024)
#define KEEP_TOUCHED (8 * 1024) /* buffers touched up to here are not worth giving back */
#define RELEASE_AFTER_NS NSEC_PER_SEC

/* A stream that is written in many small pieces is looked at this often, not once for every piece. */
#define GATHER_MAX_NS (2 * NSEC_PER_MSEC)
#define BUSY_WITHIN_NS (5 * NSEC_PER_MSEC)

/* Tests kill the process here. */
#ifndef CRASH_POINT
#define CRASH_POINT(n)
#endif

struct log_source {
        struct log_pump *pump;
        uint32_t slot;
        int fd;
        struct loop_io *io;
        struct log_file *file;
        bool at_end;
        loop_callback ended;
        void *arg;

        int capacity;          /* of the pipe */
        int64_t last_batch_ns; /* CLOCK_BOOTTIME */
        struct loop_timer *gather;
        int *taps;
        size_t n_taps;
        struct log_source *next;
};

struct log_pump {
        struct loop *loop;
        struct log_pump_options options;
        struct journal *journal;
        int journal_fd, side_read, side_write;
        int copy_read, copy_write; /* the side pipe's content is duplicated into this one to be read */
        int null_fd;
        int side_capacity;

        char *input;  /* room for a tail, then INPUT_SIZE */
        char *output; /* OUTPUT_SIZE */
        size_t touched;
        int64_t touched_ns;
        struct loop_timer *release_timer;

        int64_t prefix_second; /* the second that `prefix` shows */
        char prefix[PREFIX_LEN];

        struct log_file *files;
        struct log_source *sources;
};

static struct journal_slot *slot_of(const struct log_source *s) {
        return &s->pump->journal->slots[s->slot];
}

static void store_descriptor(const struct log_pump *pump, const char *name, int fd) {
        char full[LOG_SOURCE_NAME_MAX + 8];
        if (!pump->options.store)
                return;
        snprintf(full, sizeof(full), "log/%s", name);
        pump->options.store(pump->options.arg, full, fd);
}

/* ---- one batch: from the side pipe to the file ---- */

static void prefix_prepare(struct log_pump *pump, uint32_t stream) {
        int64_t now = clock_realtime_ns(), second = now / NSEC_PER_SEC, rest = now % NSEC_PER_SEC;
        char text[RFC3339_MAX];

        if (second != pump->prefix_second) {
                pump->prefix_second = second;
                rfc3339_format(second, text);
                memcpy(pump->prefix, text, 19);
                pump->prefix[19] = '.';
                memcpy(pump->prefix + 29, "Z ", 2);
                memcpy(pump->prefix + 37, " F ", 3);
        }
        for (int i = 28; i > 19; i--, rest /= 10)
                pump->prefix[i] = (char)('0' + rest % 10);
        memcpy(pump->prefix + 31, stream == LOG_STDERR ? "stderr" : "stdout", 6);
}

/* Records go through this buffer into the file. */
struct writer {
        struct log_pump *pump;
        struct log_file *file;
        size_t len;
        int64_t written;
        int errnum; /* the first failure; nothing is written after it */
};

static void writer_flush(struct writer *w) {
        size_t done = 0;

        while (done < w->len && !w->errnum) {
                ssize_t n = write(w->file->fd, w->pump->output + done, w->len - done);
                if (n >= 0)
                        done += n;
                else if (errno != EINTR)
                        w->errnum = errno;
                CRASH_POINT(3);
        }
        w->written += done;
        w->len = 0;
}

static inline void writer_record(struct writer *w, char tag, const char *text, size_t len) {
        if (w->len + PREFIX_LEN + len + 1 > OUTPUT_SIZE) {
                w->pump->touched = MAX(w->pump->touched, w->len);
                writer_flush(w);
        }
        char *at = w->pump->output + w->len;
        memcpy(at, w->pump->prefix, PREFIX_LEN);
        at[TAG_AT] = tag;
        memcpy(at + PREFIX_LEN, text, len);
        at[PREFIX_LEN + len] = '\n';
        w->len += PREFIX_LEN + len + 1;
}

/* Writes all whole lines of `data` (and parts of those that are too long); returns how many bytes at its end are the
 * beginning of a line that has not ended. */
static size_t format_lines(struct writer *w, const char *data, size_t len, bool at_end) {
        const char *end = data + len;

        while (data < end) {
                const char *newline = memchr(data, '\n', MIN((size_t)(end - data), (size_t)LINE_MAX_BYTES + 1));
                if (newline) {
                        writer_record(w, 'F', data, newline - data);
                        data = newline + 1;
                } else if (end - data > LINE_MAX_BYTES) {
                        writer_record(w, 'P', data, LINE_MAX_BYTES);
                        data += LINE_MAX_BYTES;
                } else {
                        break;
                }
        }
        if (at_end && data < end) {
                writer_record(w, 'P', data, end - data);
                data = end;
        }
        return end - data;
}

static int bytes_in(int pipe_fd) {
        int n = 0;
        return ioctl(pipe_fd, FIONREAD, &n) < 0 ? 0 : n;
}

static void side_discard(struct log_pump *pump) {
        int n;
        while ((n = bytes_in(pump->side_read)) > 0)
                if (splice(pump->side_read, NULL, pump->null_fd, NULL, n, SPLICE_F_NONBLOCK) <= 0)
                        break;
}

/* Reads a copy of what is in the side pipe (`n` bytes), which stays there. */
static struct error *side_peek(struct log_pump *pump, char *to, size_t n) {
        size_t got = 0;
        ssize_t copied = tee(pump->side_read, pump->copy_write, n, SPLICE_F_NONBLOCK);

        int from = pump->copy_read;

        if (copied != (ssize_t)n) {
                /* The copy's pipe is the smaller one (this user has too many pipes): then without a net. */
                while (copied > 0 && got < (size_t)copied) {
                        ssize_t r = read(pump->copy_read, to, copied - got);
                        got += r > 0 ? r : copied;
                }
                got = 0;
                from = pump->side_read;
        }
        while (got < n) {
                ssize_t r = read(from, to + got, n - got);
                if (r <= 0 && errno != EINTR)
                        return error_errno(r < 0 ? errno : EIO, "read log data");
                got += r > 0 ? r : 0;
        }
        return NULL;
}

/* The side pipe's content is in the file, and the next tail is written: make that so for good, then forget it. */
static void batch_finish(struct log_pump *pump) {
        struct journal *j = pump->journal;
        struct journal_slot *slot = &j->slots[j->slot];

        side_discard(pump);
        CRASH_POINT(5);
        slot->which = j->next_which;
        CRASH_POINT(6);
        journal_move(j, JOURNAL_IDLE);
}

static void writer_finish(struct writer *w) {
        writer_flush(w);
        w->file->size += w->written;
        if (!w->errnum) {
                w->file->failing = false;
                return;
        }
        /* No space, most likely. A container must not be stopped by that: what does not fit is lost, as with a kubelet.
         */
        w->file->size -= w->written;
        if (ftruncate(w->file->fd, w->file->size) < 0)
                w->file->size += w->written;
        if (!w->file->failing)
                log_warning("log %s: %s; output is lost until it can be written again", w->file->path,
                            strerror(w->errnum));
        w->file->failing = true;
}

/* Notes how much of the buffers is in memory now; buffers_release() gives it back later. */
static void buffers_touched(struct log_pump *pump, size_t size) {
        pump->touched = MAX(pump->touched, size);
        if (pump->touched <= KEEP_TOUCHED)
                return;
        int64_t now = clock_monotonic_ns();
        if (!pump->touched_ns)
                loop_timer_set_at(pump->release_timer, now + RELEASE_AFTER_NS);
        pump->touched_ns = now;
}

static void taps_copy(const struct log_pump *pump, uint32_t slot, const char *data, size_t n) {
        for (struct log_source *s = pump->sources; s; s = s->next)
                for (size_t t = 0; s->slot == slot && t < s->n_taps; t++)
                        if (write(s->taps[t], data, n) < 0)
                                continue; /* full, or nobody listens any more: the log has it */
}

/* Carries the `n` bytes that are in the side pipe, which belong to `slot`, into the file. */
static struct error *batch_carry(struct log_pump *pump, uint32_t slot, struct log_file *file, size_t n, bool at_end) {
        struct journal *j = pump->journal;
        struct journal_slot *s = &j->slots[slot];
        struct writer w = { .pump = pump, .file = file };
        size_t tail = MIN(s->tail_len[s->which], (uint32_t)LINE_MAX_BYTES);

        memcpy(pump->input, j->tails[slot][s->which], tail);
        if (n) {
                struct error *err = side_peek(pump, pump->input + tail, n);
                if (err)
                        return err;
                taps_copy(pump, slot, pump->input + tail, n);
        }
        if (file->size >= pump->options.size_max)
                log_file_rotate(file, (size_t)pump->options.files_max - 1);
        prefix_prepare(pump, s->stream);

        j->offset = file->size;
        journal_move(j, JOURNAL_APPENDING);
        CRASH_POINT(2);
        size_t rest = format_lines(&w, pump->input, tail + n, at_end);
        buffers_touched(pump, MAX(tail + n, w.len));
        writer_finish(&w);
        journal_tail_write(j, slot, pump->input + tail + n - rest, rest);
        CRASH_POINT(4);
        journal_move(j, JOURNAL_APPENDED);
        batch_finish(pump);
        return NULL;
}

/* A terminal cannot be spliced on every kernel. */
static ssize_t fill_by_reading(struct log_source *s) {
        struct log_pump *pump = s->pump;
        char chunk[4096];
        ssize_t n = read(s->fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EIO) /* the last process has closed its side of the terminal */
                return 0;
        return n > 0 ? write(pump->side_write, chunk, n) : n;
}

/* Moves what the container wrote into the empty side pipe. Returns its length, 0 at the end, or -1 with errno. */
static ssize_t side_fill(struct log_source *s) {
        s->pump->journal->slot = s->slot;
        ssize_t n = splice(s->fd, NULL, s->pump->side_write, NULL, INPUT_SIZE, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (n < 0 && errno == EINVAL)
                n = fill_by_reading(s);
        CRASH_POINT(1);
        return n;
}

static void slot_release(struct log_source *s) {
        struct journal_slot *slot = slot_of(s);
        char name[LOG_SOURCE_NAME_MAX + 1];

        strcpy(name, slot->name);
        slot->name[0] = '\0'; /* first: a descriptor too many does no harm to a successor, a slot would be lost */
        slot->tail_len[0] = slot->tail_len[1] = 0;
        store_descriptor(s->pump, name, -1);
}

/* Writes out an unfinished line and lets go of the pipe. */
static void source_close(struct log_source *s) {
        struct journal_slot *slot = slot_of(s);

        if (s->fd < 0)
                return;
        s->io = loop_io_free(s->io);
        s->fd = fd_close(s->fd);
        if (slot->tail_len[slot->which]) {
                s->pump->journal->slot = s->slot;
                error_free(batch_carry(s->pump, s->slot, s->file, 0, true));
        }
        slot_release(s);
        s->at_end = true;
}

/* One batch of a source. Returns its size, 0 if nothing is there, -1 when the source has come to its end. */
static ssize_t source_carry(struct log_source *s) {
        if (s->fd < 0)
                return -1;
        ssize_t n = side_fill(s);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                source_close(s);
                return -1;
        }
        _cleanup_error_ struct error *err = batch_carry(s->pump, s->slot, s->file, n, false);
        if (err) {
                log_warning("log %s: %s", s->file->path, error_message(err));
                side_discard(s->pump);
        }
        return n;
}

/* ---- pace ---- */

/* Gives the pages of the buffers back when nobody has printed much for a while. */
static void buffers_release(void *arg) {
        struct log_pump *pump = arg;
        int64_t idle_since = pump->touched_ns + RELEASE_AFTER_NS;

        if (clock_monotonic_ns() < idle_since) {
                loop_timer_set_at(pump->release_timer, idle_since);
                return;
        }
        madvise(pump->input, LINE_MAX_BYTES + INPUT_SIZE, MADV_DONTNEED);
        madvise(pump->output, OUTPUT_SIZE, MADV_DONTNEED);
        pump->touched = 0;
        pump->touched_ns = 0;
}

static int pipe_grow(int fd) {
        int size = fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE_BUSY);
        return size > 0 ? size : fcntl(fd, F_GETPIPE_SZ);
}

/* A pipe that is found full was too small: its writer had to wait for us. */
static void source_grow(struct log_source *s) {
        struct log_pump *pump = s->pump;

        s->capacity = pipe_grow(s->fd);
        if (pump->side_capacity < s->capacity) {
                pump->side_capacity = s->capacity; /* also if it fails: do not try again */
                if (pipe_grow(pump->copy_write) >= s->capacity)
                        pipe_grow(pump->side_write);
        }
        if (s->capacity < PIPE_SIZE_BUSY)
                s->capacity = PIPE_SIZE_BUSY; /* more is not allowed: do not ask again */
}

/* A writer of many small pieces would wake us for each of them. When it is that busy, look again only after a while,
 * short enough for its pipe not to become full at the present rate. */
static void source_pace(struct log_source *s, ssize_t n) {
        int64_t now = clock_monotonic_ns(), passed = now - s->last_batch_ns;

        s->last_batch_ns = now;
        if (n >= s->capacity * 7 / 8 && s->capacity < PIPE_SIZE_BUSY)
                source_grow(s);
        if (passed >= BUSY_WITHIN_NS || n >= s->capacity / 4)
                return;
        int64_t wait = MIN(passed * (s->capacity / 4) / n, GATHER_MAX_NS);
        if (wait < 50000)
                return;
        loop_io_set(s->io, 0);
        loop_timer_set_at(s->gather, now + wait);
}

static void source_gathered(void *arg) {
        struct log_source *s = arg;
        if (s->io)
                loop_io_set(s->io, LOOP_READABLE);
}

static void source_readable(void *arg, int events) {
        struct log_source *s = arg;
        ssize_t n = source_carry(s);

        if (n > 0)
                source_pace(s, n);
        else if (n < 0 && s->ended)
                s->ended(s->arg); /* may free the source */
}

/* ---- beginning and end ---- */

static struct error *side_open(struct log_pump *pump, bool fresh) {
        int side[2] = { pump->side_read, pump->side_write }, copy[2];

        if (fresh && pipe2(side, O_CLOEXEC | O_NONBLOCK) < 0)
                return error_errno(errno, "make the log's side pipe");
        pump->side_read = side[0];
        pump->side_write = side[1];
        if (pipe2(copy, O_CLOEXEC | O_NONBLOCK) < 0)
                return error_errno(errno, "make a pipe");
        pump->copy_read = copy[0];
        pump->copy_write = copy[1];
        pump->side_capacity = fcntl(pump->side_write, F_GETPIPE_SZ);
        if (pump->side_capacity > fcntl(pump->copy_write, F_GETPIPE_SZ))
                pipe_grow(pump->copy_write);
        pump->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        return pump->null_fd < 0 ? error_errno(errno, "open /dev/null") : NULL;
}

static struct error *buffers_open(struct log_pump *pump) {
        pump->input =
                mmap(NULL, LINE_MAX_BYTES + INPUT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pump->output = mmap(NULL, OUTPUT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pump->input == MAP_FAILED || pump->output == MAP_FAILED)
                return error_errno(errno, "map log buffers");
        /* A huge page would be 2 MiB of memory for a line now and then. */
        madvise(pump->input, LINE_MAX_BYTES + INPUT_SIZE, MADV_NOHUGEPAGE);
        madvise(pump->output, OUTPUT_SIZE, MADV_NOHUGEPAGE);
        return NULL;
}

/* Finishes what the process before us was doing when it was killed. */
static struct error *journal_recover(struct log_pump *pump) {
        struct journal *j = pump->journal;
        struct log_file *file;
        int n = bytes_in(pump->side_read);

        if (j->slot >= JOURNAL_SLOTS || !j->slots[j->slot].name[0] || (j->state == JOURNAL_IDLE && !n))
                return NULL;
        if (j->state == JOURNAL_APPENDED) {
                batch_finish(pump);
                return NULL;
        }
        struct error *err = log_file_get(&pump->files, j->slots[j->slot].path, &file);
        if (err)
                return err;
        if (j->state == JOURNAL_APPENDING && file->size > j->offset) {
                if (ftruncate(file->fd, j->offset) < 0)
                        log_warning("truncate %s: %s", file->path, strerror(errno));
                else
                        file->size = j->offset;
        }
        err = batch_carry(pump, j->slot, file, n, false);
        log_file_put(&pump->files, file);
        return err;
}

struct error *log_pump_new(struct loop *loop, const struct log_pump_options *options, int journal, int side_read,
                           int side_write, struct log_pump **ret) {
        struct log_pump *pump = new0(struct log_pump);
        bool fresh = journal < 0 || side_read < 0 || side_write < 0;

        pump->loop = loop;
        pump->options = *options;
        if (pump->options.size_max <= 0)
                pump->options.size_max = SIZE_MAX_DEFAULT;
        if (pump->options.files_max <= 0)
                pump->options.files_max = FILES_MAX_DEFAULT;
        pump->journal_fd = journal;
        pump->side_read = side_read;
        pump->side_write = side_write;
        pump->copy_read = pump->copy_write = pump->null_fd = -EBADF;
        pump->input = pump->output = MAP_FAILED;
        pump->prefix_second = -1;
        pump->release_timer = loop_timer_new(loop, buffers_release, pump);

        struct error *err = journal_open(fresh, &pump->journal_fd, &pump->journal);
        if (!err)
                err = side_open(pump, fresh);
        if (!err)
                err = buffers_open(pump);
        if (!err && !fresh && pump->journal->magic == JOURNAL_MAGIC)
                err = journal_recover(pump);
        if (err) {
                log_pump_free(pump);
                return error_context(err, "log");
        }
        pump->journal->magic = JOURNAL_MAGIC;
        if (fresh) {
                store_descriptor(pump, "journal", pump->journal_fd);
                store_descriptor(pump, "side-read", pump->side_read);
                store_descriptor(pump, "side-write", pump->side_write);
        }
        *ret = pump;
        return NULL;
}

static void source_unlink(struct log_source *s) {
        struct log_source **p = &s->pump->sources;
        while (*p && *p != s)
                p = &(*p)->next;
        if (*p)
                *p = s->next;
        loop_io_free(s->io);
        loop_timer_free(s->gather);
        fd_close(s->fd);
        log_file_put(&s->pump->files, s->file);
        free(s->taps);
        free(s);
}

struct log_pump *log_pump_free(struct log_pump *pump) {
        if (!pump)
                return NULL;
        while (pump->sources)
                source_unlink(pump->sources);
        loop_timer_free(pump->release_timer);
        if (pump->journal)
                munmap(pump->journal, sizeof(struct journal));
        if (pump->input != MAP_FAILED)
                munmap(pump->input, LINE_MAX_BYTES + INPUT_SIZE);
        if (pump->output != MAP_FAILED)
                munmap(pump->output, OUTPUT_SIZE);
        fd_close(pump->journal_fd);
        fd_close(pump->side_read);
        fd_close(pump->side_write);
        fd_close(pump->copy_read);
        fd_close(pump->copy_write);
        fd_close(pump->null_fd);
        free(pump);
        return NULL;
}

static struct error *source_open(struct log_source *s, const char *name, const char *path, enum log_stream stream) {
        struct error *err = log_file_get(&s->pump->files, path, &s->file);

        if (!err)
                err = journal_slot_take(s->pump->journal, name, path, stream, &s->slot);
        if (err)
                return err;
        fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
        s->capacity = fcntl(s->fd, F_GETPIPE_SZ);
        if (s->capacity <= 0)
                s->capacity = PIPE_SIZE_BUSY; /* a terminal */
        s->gather = loop_timer_new(s->pump->loop, source_gathered, s);
        return loop_io_new(s->pump->loop, s->fd, LOOP_READABLE, source_readable, s, &s->io);
}

struct error *log_source_new(struct log_pump *pump, const char *name, const char *path, enum log_stream stream, int fd,
                             loop_callback ended, void *arg, struct log_source **ret) {
        struct log_source *s = new0(struct log_source);

        *s = (struct log_source){ .pump = pump, .fd = fd, .ended = ended, .arg = arg };
        struct error *err = source_open(s, name, path, stream);
        if (err) {
                source_unlink(s);
                return error_context(err, "log");
        }
        s->next = pump->sources;
        pump->sources = s;
        store_descriptor(pump, name, s->fd);
        *ret = s;
        return NULL;
}

void log_source_drain(struct log_source *source) {
        while (source_carry(source) > 0)
                ;
}

void log_source_tap(struct log_source *source, int fd) {
        source->taps = xreallocarray(source->taps, source->n_taps + 1, sizeof(*source->taps));
        source->taps[source->n_taps++] = fd;
}

void log_source_untap(struct log_source *source, int fd) {
        for (size_t t = 0; t < source->n_taps; t++)
                if (source->taps[t] == fd)
                        source->taps[t--] = source->taps[--source->n_taps];
}

int log_source_fd(const struct log_source *source) {
        return source->fd;
}

bool log_source_at_end(const struct log_source *source) {
        return source->at_end;
}

struct log_source *log_source_free(struct log_source *source) {
        if (!source)
                return NULL;
        source_close(source);
        source_unlink(source);
        return NULL;
}
