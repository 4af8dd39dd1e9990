#include "loop/loop.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/clock.h"
#include "loop/loop-private.h"

/* ---- descriptors ---- */

static uint32_t epoll_mask(int events) {
        return (events & LOOP_READABLE ? (uint32_t)EPOLLIN : 0) | (events & LOOP_WRITABLE ? (uint32_t)EPOLLOUT : 0);
}

/* A descriptor watched for nothing is taken out: epoll would go on telling its hang-up. */
static int io_update(struct loop_io *io, int events) {
        struct epoll_event event = { .events = epoll_mask(events), .data.ptr = io };
        int operation = !events ? EPOLL_CTL_DEL : io->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

        if (!events && !io->added)
                return 0;
        if (epoll_ctl(io->loop->epoll_fd, operation, io->fd, &event) < 0)
                return -errno;
        io->added = events != 0;
        io->events = events;
        return 0;
}

struct error *loop_io_new(struct loop *loop, int fd, int events, loop_io_callback callback, void *arg,
                          struct loop_io **ret) {
        struct loop_io *io = new0(struct loop_io);
        *io = (struct loop_io){ .loop = loop, .fd = fd, .callback = callback, .arg = arg };
        int rc = io_update(io, events);
        if (rc < 0) {
                free(io);
                return error_errno(-rc, "watch descriptor %d", fd);
        }
        *ret = io;
        return NULL;
}

void loop_io_set(struct loop_io *io, int events) {
        if (io->events != events)
                io_update(io, events);
}

struct loop_io *loop_io_free(struct loop_io *io) {
        if (!io)
                return NULL;
        io_update(io, 0);
        for (int i = 0; i < io->loop->n_ready; i++)
                if (io->loop->ready[i] == io)
                        io->loop->ready[i] = NULL;
        free(io);
        return NULL;
}

static struct error *loop_poll(struct loop *loop) {
        struct epoll_event events[LOOP_BATCH];
        int n = epoll_wait(loop->epoll_fd, events, LOOP_BATCH, -1);

        if (n < 0)
                return errno == EINTR ? NULL : error_errno(errno, "epoll_wait");
        loop->n_ready = n;
        for (int i = 0; i < n; i++) {
                uint32_t e = events[i].events;
                loop->ready[i] = events[i].data.ptr;
                loop->ready_events[i] = (e & (EPOLLIN | EPOLLHUP | EPOLLERR) ? LOOP_READABLE : 0) |
                                        (e & (EPOLLOUT | EPOLLHUP | EPOLLERR) ? LOOP_WRITABLE : 0);
        }
        for (int i = 0; i < n; i++) {
                struct loop_io *io = loop->ready[i];
                int wanted = io ? io->events & loop->ready_events[i] : 0;
                if (wanted)
                        io->callback(io->arg, wanted);
        }
        loop->n_ready = 0;
        return NULL;
}

/* ---- deferred calls ---- */

struct loop_deferred *loop_deferred_new(struct loop *loop, loop_callback callback, void *arg) {
        struct loop_deferred *d = new0(struct loop_deferred);
        *d = (struct loop_deferred){ .loop = loop, .callback = callback, .arg = arg, .next = loop->deferred };
        loop->deferred = d;
        return d;
}

void loop_deferred_arm(struct loop_deferred *d) {
        d->armed = true;
}

struct loop_deferred *loop_deferred_free(struct loop_deferred *d) {
        if (!d)
                return NULL;
        struct loop_deferred **p = &d->loop->deferred;
        while (*p != d)
                p = &(*p)->next;
        *p = d->next;
        free(d);
        return NULL;
}

/* A callback may arm and free anything, itself too, so the search begins anew after each. */
static void loop_call_deferred(struct loop *loop) {
        struct loop_deferred *d = loop->deferred;
        while (d && !loop->stopped) {
                if (d->armed) {
                        d->armed = false;
                        d->callback(d->arg);
                        d = loop->deferred;
                } else {
                        d = d->next;
                }
        }
}

/* ---- timers ---- */

struct loop_timer *loop_timer_new(struct loop *loop, loop_callback callback, void *arg) {
        struct loop_timer *timer = new0(struct loop_timer);
        *timer = (struct loop_timer){
                .loop = loop, .callback = callback, .arg = arg, .at_ns = INT64_MAX, .next = loop->timers
        };
        loop->timers = timer;
        return timer;
}

void loop_timer_set_at(struct loop_timer *timer, int64_t boottime_ns) {
        timer->at_ns = MAX(boottime_ns, (int64_t)1); /* 0 would disarm the timerfd */
}

void loop_timer_set(struct loop_timer *timer, int64_t delay_ns) {
        int64_t now = clock_monotonic_ns();
        loop_timer_set_at(timer, delay_ns <= 0 ? now : delay_ns >= INT64_MAX - now ? INT64_MAX : now + delay_ns);
}

void loop_timer_stop(struct loop_timer *timer) {
        timer->at_ns = INT64_MAX;
}

struct loop_timer *loop_timer_free(struct loop_timer *timer) {
        if (!timer)
                return NULL;
        struct loop_timer **p = &timer->loop->timers;
        while (*p != timer)
                p = &(*p)->next;
        *p = timer->next;
        free(timer);
        return NULL;
}

static struct loop_timer *loop_first_timer(struct loop *loop) {
        struct loop_timer *first = NULL;
        for (struct loop_timer *t = loop->timers; t; t = t->next)
                if (t->at_ns != INT64_MAX && (!first || t->at_ns < first->at_ns))
                        first = t;
        return first;
}

/* Done once before sleeping, however often timers were set meanwhile. */
static void loop_arm_timer(struct loop *loop) {
        struct loop_timer *first = loop_first_timer(loop);
        int64_t at = first ? first->at_ns : INT64_MAX;

        if (at == loop->timer_armed_ns)
                return;
        struct itimerspec spec = { 0 };
        if (first) {
                spec.it_value.tv_sec = at / NSEC_PER_SEC;
                spec.it_value.tv_nsec = at % NSEC_PER_SEC;
        }
        timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
        loop->timer_armed_ns = at;
}

static void loop_timers_due(void *arg, int events) {
        struct loop *loop = arg;
        int64_t now = clock_monotonic_ns();
        uint64_t expirations;
        struct loop_timer *first;

        if (read(loop->timer_fd, &expirations, sizeof(expirations)) < 0 && errno == EAGAIN)
                return;
        loop->timer_armed_ns = INT64_MAX;
        /* Not "now" anew: a callback that sets its timer to 0 must not keep the others waiting. */
        while (!loop->stopped && (first = loop_first_timer(loop)) && first->at_ns <= now) {
                first->at_ns = INT64_MAX;
                first->callback(first->arg);
        }
}

/* ---- the loop ---- */

struct error *loop_new(struct loop **ret) {
        struct loop *loop = new0(struct loop);
        struct error *err;

        loop->inotify_fd = -EBADF;
        loop->timer_armed_ns = INT64_MAX;
        loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (loop->epoll_fd < 0 || loop->timer_fd < 0)
                err = error_errno(errno, "make an event loop");
        else
                err = loop_io_new(loop, loop->timer_fd, LOOP_READABLE, loop_timers_due, loop, &loop->timer_io);
        if (err) {
                loop_free(loop);
                return err;
        }
        *ret = loop;
        return NULL;
}

struct loop *loop_free(struct loop *loop) {
        if (!loop)
                return NULL;
        loop_commands_release(loop);
        loop_io_free(loop->timer_io);
        loop_io_free(loop->inotify_io);
        fd_close(loop->inotify_fd);
        fd_close(loop->timer_fd);
        fd_close(loop->epoll_fd);
        free(loop);
        return NULL;
}

struct error *loop_run(struct loop *loop) {
        loop->stopped = false;
        for (;;) {
                loop_call_deferred(loop);
                if (loop->stopped)
                        return NULL;
                loop_arm_timer(loop);
                struct error *err = loop_poll(loop);
                if (err)
                        return err;
        }
}

void loop_stop(struct loop *loop) {
        loop->stopped = true;
}
