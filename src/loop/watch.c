#include <limits.h>
#include <sys/inotify.h>

#include "base/file.h"
#include "loop/loop-private.h"

struct loop_watch {
        struct loop *loop;
        int descriptor; /* several watches of one file share it; -1: the kernel has dropped it */
        uint32_t mask;
        loop_watch_callback callback;
        void *arg;
        bool told; /* of the event that is being told now */
        struct loop_watch *next;
};

/* Tells one event to everybody it concerns. Callbacks may free any watch, so the list is searched anew after each. */
static void watches_tell(struct loop *loop, const struct inotify_event *event) {
        bool overflow = event->mask & IN_Q_OVERFLOW;

        for (struct loop_watch *w = loop->watches; w; w = w->next)
                w->told = false;
        for (struct loop_watch *w = loop->watches; w;) {
                bool mine =
                        overflow || (w->descriptor == event->wd && event->mask & (w->mask | IN_IGNORED | IN_UNMOUNT));
                if (w->told || !mine) {
                        w = w->next;
                        continue;
                }
                w->told = true;
                if (event->mask & IN_IGNORED)
                        w->descriptor = -1;
                w->callback(w->arg, event->mask, event->len ? event->name : "");
                w = loop->watches;
        }
}

static void inotify_readable(void *arg, int events) {
        struct loop *loop = arg;
        char buf[sizeof(struct inotify_event) + NAME_MAX + 1]
                __attribute__((aligned(__alignof__(struct inotify_event))));

        ssize_t n = read(loop->inotify_fd, buf, sizeof(buf));
        for (char *p = buf; n > 0 && p < buf + n;) {
                struct inotify_event *event = (struct inotify_event *)p;
                p += sizeof(*event) + event->len;
                watches_tell(loop, event);
        }
}

static struct error *inotify_begin(struct loop *loop) {
        if (loop->inotify_fd >= 0)
                return NULL;
        loop->inotify_fd = inotify_open();
        if (loop->inotify_fd < 0)
                return error_errno(-loop->inotify_fd, "watch for changes (fs.inotify.max_user_instances)");
        return loop_io_new(loop, loop->inotify_fd, LOOP_READABLE, inotify_readable, loop, &loop->inotify_io);
}

struct error *loop_watch_new(struct loop *loop, const char *path, uint32_t mask, loop_watch_callback callback,
                             void *arg, struct loop_watch **ret) {
        struct error *err = inotify_begin(loop);
        if (err)
                return err;
        int descriptor = inotify_add_watch(loop->inotify_fd, path, mask | IN_MASK_ADD);
        if (descriptor < 0)
                return error_errno(errno, "watch %s", path);
        struct loop_watch *watch = new0(struct loop_watch);
        *watch = (struct loop_watch){ .loop = loop,
                                      .descriptor = descriptor,
                                      .mask = mask,
                                      .callback = callback,
                                      .arg = arg,
                                      .told = true,
                                      .next = loop->watches };
        loop->watches = watch;
        *ret = watch;
        return NULL;
}

struct loop_watch *loop_watch_free(struct loop_watch *watch) {
        if (!watch)
                return NULL;
        struct loop_watch **p = &watch->loop->watches;
        while (*p != watch)
                p = &(*p)->next;
        *p = watch->next;

        bool shared = false;
        for (struct loop_watch *w = watch->loop->watches; w; w = w->next)
                shared |= w->descriptor == watch->descriptor;
        if (!shared && watch->descriptor >= 0)
                inotify_rm_watch(watch->loop->inotify_fd, watch->descriptor);
        free(watch);
        return NULL;
}
