/* log-pump.h - carries what containers print from their pipes into log files in the CRI format.
 *
 *   2026-11-23T19:03:56.123456789Z stdout F the text of one line
 *
 * A line longer than 16 KiB is cut into parts tagged P, the last one F; what a container leaves without a newline at
 * its end is a P. Files are rotated at 10 MiB, five are kept (the current one and four named `<file>.<UTC time>`).
 *
 * Nothing is lost or doubled when the process is killed. Data goes container pipe -> side pipe (splice) -> a copy
 * (tee, read) -> file (one append) -> and only then is it taken from the side pipe. Only the pump fills the side pipe,
 * so how far it had come shows in what is left there and in the journal, a few words of shared memory: the journal says
 * "appending at offset X" before and "appended" after. Whoever comes next undoes an unmarked append by cutting the file
 * at X and repeats it, or finishes a marked one by emptying the side pipe. Side pipe, journal and container pipes are
 * descriptors that husk-keeper keeps. */
#pragma once

#include "loop/loop.h"

enum log_stream { LOG_STDOUT, LOG_STDERR, _LOG_STREAM_MAX };

struct log_pump;   /* one for a pod */
struct log_source; /* one for a pipe: a container's stdout or stderr (or the pty of both) */

#define LOG_SOURCE_NAME_MAX 111

struct log_pump_options {
        int64_t size_max; /* bytes of a file before it is rotated; 0: 10 MiB */
        int files_max;    /* files kept, the current one included; 0: 5 */
        /* Keeps or (fd -1) drops a descriptor for a successor. May be NULL. */
        void (*store)(void *arg, const char *name, int fd);
        void *arg;
};

/* `journal`, `side_read`, `side_write` are what an earlier process stored as "log/journal", "log/side-read" and
 * "log/side-write", or -EBADF to begin anew. They are owned by the pump from now on, also on failure. What the earlier
 * process had begun is finished before this returns. */
struct error *log_pump_new(struct loop *loop, const struct log_pump_options *options, int journal, int side_read,
                           int side_write, struct log_pump **ret) _must_check_;
/* Stops without forgetting: a successor can go on. Frees the sources as well. */
struct log_pump *log_pump_free(struct log_pump *pump);

/* Starts carrying from `fd` (owned by the source from now on, also on failure; stored as "log/<name>") to `path`, whose
 * folder exists. Several sources may share a path: two streams of one container. `name` tells a source from all others
 * of the pod; a successor that gives the same name goes on with an unfinished line. `ended` (may be NULL) is called
 * once, at the end of the stream, after its last byte is in the file. */
struct error *log_source_new(struct log_pump *pump, const char *name, const char *path, enum log_stream stream, int fd,
                             loop_callback ended, void *arg, struct log_source **ret) _must_check_;
/* Carries what is in the pipe now, without waiting for more; for the moment after a container's exit. If that
 * finds the end of the stream, `ended` is not called: log_source_at_end() tells. */
void log_source_drain(struct log_source *source);
/* Copies what comes from now on to `fd`, too (a pipe or socket that does not block, owned by the caller), as it comes;
 * what does not fit in there is left out. A source has any number of taps. */
void log_source_tap(struct log_source *source, int fd);
void log_source_untap(struct log_source *source, int fd); /* before the descriptor is closed; none is fine */
int log_source_fd(const struct log_source *source);       /* of the container's side, e.g. a terminal's master */
bool log_source_at_end(const struct log_source *source);
/* Ends it: an unfinished line is written as it is, the descriptor is closed and dropped. */
struct log_source *log_source_free(struct log_source *source);
