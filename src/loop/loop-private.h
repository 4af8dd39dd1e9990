/* loop-private.h - what the files of src/loop share. */
#pragma once

#include "base/base.h"
#include "loop/loop.h"

#define LOOP_BATCH 16

struct loop_deferred {
        struct loop *loop;
        loop_callback callback;
        void *arg;
        bool armed;
        struct loop_deferred *next; /* in loop->deferred */
};

struct loop_timer {
        struct loop *loop;
        loop_callback callback;
        void *arg;
        int64_t at_ns;           /* CLOCK_BOOTTIME; INT64_MAX: stopped */
        struct loop_timer *next; /* in loop->timers, which is not sorted: there are a handful */
};

struct loop_io {
        struct loop *loop;
        int fd;
        int events;
        bool added; /* epoll knows it */
        loop_io_callback callback;
        void *arg;
};

struct loop {
        int epoll_fd;
        bool stopped;

        struct loop_io *ready[LOOP_BATCH]; /* the batch being told; entries freed meanwhile become NULL */
        int ready_events[LOOP_BATCH];
        int n_ready;

        struct loop_deferred *deferred;
        struct loop_timer *timers;
        int timer_fd;
        struct loop_io *timer_io;
        int64_t timer_armed_ns; /* what timer_fd is set to; INT64_MAX: nothing */

        int inotify_fd;
        struct loop_io *inotify_io;
        struct loop_watch *watches;

        struct loop_command *dying; /* commands freed before their end: killed, still to be reaped */
};

/* What posix_spawn(3) cannot: command-fork.c. `out`, `err_fd`: write ends of gathered output, or -EBADF; `high`:
 * o->keep above what they shall become. */
struct error *command_fork(const struct loop_command_options *o, int out, int err_fd, const int *high, pid_t *ret,
                           int *ret_report) _must_check_;
/* What the child had to say of its failure, read from *ret_report when it has ended; NULL: nothing. Owned by the
 * caller. */
char *command_report_read(int fd, const char *program);
void loop_commands_release(struct loop *loop);
