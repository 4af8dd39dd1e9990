/* watch.h - sleeping until an object may have changed.
 *
 * Objects are files that are replaced atomically, so inotify on their folders says when to look again. Use it in this
 * order, and no change can be missed: add the folders, look, and only if there is nothing to do yet, wait; then again
 * from the beginning (adding is idempotent, and there may be new folders). */
#pragma once

#include <jansson.h>

#include "api/api.h"
#include "husk/selection.h"
#include "store/store.h"

struct watch {
        int fd;        /* inotify; can be polled together with others */
        int64_t until; /* monotonic deadline in nanoseconds, INT64_MAX: none */
};
#define WATCH_INIT \
        { .fd = -EBADF, .until = INT64_MAX }

/* `timeout_ns` from now; negative: for ever. */
struct error *watch_open(int64_t timeout_ns, struct watch *ret) _must_check_;
void watch_close(struct watch *watch);
#define _cleanup_watch_ _cleanup_(watch_close)

/* A folder or file; one that does not exist (any more) is passed over: false. */
bool watch_add(struct watch *watch, const char *path);
/* Everything in which a change of the pod `uid` shows: its spec, its status, its end. */
void watch_add_pod(struct watch *watch, struct store *store, const char *uid);
/* Everything in which the answer to this request shows. */
struct error *watch_add_request(struct watch *watch, struct cli *cli, const struct request *request) _must_check_;

enum watch_result {
        WATCH_CHANGED, /* look again */
        WATCH_OTHER,   /* `other_fd` is readable */
        WATCH_TIMEOUT,
};
/* Waits; `other_fd` (-1: none) may be a pidfd, a file, a terminal. */
enum watch_result watch_wait(struct watch *watch, int other_fd);
