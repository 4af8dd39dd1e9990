#include "huskd/pods.h"

#include <sys/inotify.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "server/resolver.h"
#include "server/supervisor.h"

#define LOOK_DELAY_NS (100 * NSEC_PER_MSEC)
/* Who made the pod starts its keeper; only what has none after this is huskd's to start. */
#define GRACE_NS NSEC_PER_SEC
#define RETRY_MAX_NS (30 * NSEC_PER_SEC)
#define STEADY_NS (10 * NSEC_PER_SEC) /* a keeper that lived that long did not fail at its start */

struct supervised {
        struct pods *pods;
        struct supervised *next;
        char *uid;
        int keeper; /* pidfd; negative: it has none */
        struct loop_io *ended;
        int64_t since_ns;    /* of having a keeper */
        int64_t start_at_ns; /* without one: when to start it */
        int64_t retry_ns;    /* how long the next failure has to wait */
        bool seen;           /* in this look */
};

struct pods {
        struct loop *loop;
        struct store *store;
        struct loop_watch *watch;
        struct loop_timer *timer;
        struct supervised *first;
        bool begun; /* the first look is over */
        loop_callback gone, changed;
        void *arg;
};

static struct supervised *supervised_free(struct supervised *s) {
        s->ended = loop_io_free(s->ended);
        fd_close(s->keeper);
        free(s->uid);
        free(s);
        return NULL;
}

static struct supervised *supervised_find(struct pods *pods, const char *uid) {
        for (struct supervised *s = pods->first; s; s = s->next)
                if (streq(s->uid, uid))
                        return s;
        return NULL;
}

static struct supervised *supervised_add(struct pods *pods, const char *uid, int64_t now) {
        struct supervised *s = new0(struct supervised);

        *s = (struct supervised){ .pods = pods, .next = pods->first, .uid = xstrdup(uid), .keeper = -EBADF };
        /* At the start of huskd nobody else is about to start it; but somebody may be about to make it. */
        bool alone = !pods->begun && !supervisor_left_debris(pods->store, uid);
        s->start_at_ns = alone ? now : now + GRACE_NS;
        pods->first = s;
        return s;
}

static void keeper_ended(void *arg, int events) {
        struct supervised *s = arg;
        int64_t now = clock_monotonic_ns();

        s->ended = loop_io_free(s->ended);
        s->keeper = fd_close(s->keeper);
        if (now - s->since_ns > STEADY_NS)
                s->retry_ns = 0;
        s->start_at_ns = now + MAX(s->retry_ns, LOOK_DELAY_NS); /* husk-pod may be about to take its place */
        loop_timer_set(s->pods->timer, LOOK_DELAY_NS);
}

/* Watches the pod's keeper, if it has one. */
static bool keeper_watch(struct supervised *s) {
        if (s->keeper >= 0)
                return true;
        s->keeper = supervisor_open(s->pods->store, s->uid);
        if (s->keeper < 0)
                return false;
        s->since_ns = clock_monotonic_ns();
        _cleanup_error_ struct error *err =
                loop_io_new(s->pods->loop, s->keeper, LOOP_READABLE, keeper_ended, s, &s->ended);
        if (err) {
                log_warning("pod %s: %s", s->uid, error_message(err));
                s->keeper = fd_close(s->keeper);
        }
        return s->keeper >= 0;
}

static void remedy(struct supervised *s, bool debris, int64_t now) {
        struct store *store = s->pods->store;
        _cleanup_error_ struct error *err =
                debris ? supervisor_cleanup_start(store, s->uid) : supervisor_start(store, s->uid);

        if (err)
                log_warning("pod %s: %s", s->uid, error_message(err));
        else
                log_info("pod %s: %s", s->uid, debris ? "clearing away what is left of it" : "started a supervisor");
        s->retry_ns = MIN(MAX(2 * s->retry_ns, GRACE_NS), RETRY_MAX_NS);
        s->start_at_ns = now + s->retry_ns;
}

/* Brings one pod nearer to having a keeper. Returns when to look again, INT64_MAX: when something happens. */
static int64_t tend(struct supervised *s, char **at_work, int64_t now) {
        bool debris = supervisor_left_debris(s->pods->store, s->uid);

        if (keeper_watch(s) || !(debris || supervisor_is_wanted(s->pods->store, s->uid)))
                return INT64_MAX;
        if (strv_contains(at_work, s->uid))
                return now + LOOK_DELAY_NS;
        if (now >= s->start_at_ns)
                remedy(s, debris, now);
        return MIN(s->start_at_ns, now + GRACE_NS);
}

static bool any_missing(const struct pods *pods) {
        for (const struct supervised *s = pods->first; s; s = s->next)
                if (s->seen && s->keeper < 0 && supervisor_is_wanted(pods->store, s->uid))
                        return true;
        return false;
}

/* Takes in the pods there are, and forgets those there are not. Returns whether any was forgotten. */
static bool take_stock(struct pods *pods, int64_t now) {
        _cleanup_strv_ char **uids = NULL;
        _cleanup_error_ struct error *err = store_pod_uids(pods->store, &uids);
        bool forgotten = false;

        if (err) {
                log_warning("%s", error_message(err));
                return false;
        }
        for (struct supervised *s = pods->first; s; s = s->next)
                s->seen = false;
        for (char **uid = uids; uid && *uid; uid++) {
                struct supervised *s = supervised_find(pods, *uid) ?: supervised_add(pods, *uid, now);
                s->seen = true;
                keeper_watch(s);
        }
        for (struct supervised **p = &pods->first; *p;) {
                struct supervised *s = *p;
                if (s->seen || s->keeper >= 0) {
                        p = &s->next;
                        continue;
                }
                *p = s->next;
                supervised_free(s);
                forgotten = true;
        }
        return forgotten;
}

/* Where the node has one, and pods. Its own parent starts it anew when it dies; both may have been killed. */
static void keep_resolver(const struct pods *pods) {
        _cleanup_error_ struct error *err = pods->first ? resolver_start(pods->store) : NULL;

        if (err)
                log_warning("%s", error_message(err));
}

static void look(void *arg) {
        struct pods *pods = arg;
        int64_t now = clock_monotonic_ns(), next = INT64_MAX;
        bool forgotten = take_stock(pods, now);
        _cleanup_strv_ char **at_work = any_missing(pods) ? supervisor_uids_at_work(pods->store) : NULL;

        for (struct supervised *s = pods->first; s; s = s->next)
                next = MIN(next, tend(s, at_work, now));
        keep_resolver(pods);
        pods->begun = true;
        if (next != INT64_MAX)
                loop_timer_set(pods->timer, MAX(next - now, LOOK_DELAY_NS));
        if (forgotten)
                pods->gone(pods->arg);
        pods->changed(pods->arg);
}

void pods_look_soon(struct pods *pods) {
        loop_timer_set(pods->timer, LOOK_DELAY_NS);
}

static void folder_changed(void *arg, uint32_t events, const char *name) {
        pods_look_soon(arg);
}

size_t pods_count(const struct pods *pods) {
        size_t n = 0;

        for (const struct supervised *s = pods->first; s; s = s->next)
                n += s->keeper >= 0;
        return n;
}

struct error *pods_new(struct loop *loop, struct store *store, loop_callback gone, loop_callback changed, void *arg,
                       struct pods **ret) {
        _cleanup_free_ char *folder = xasprintf("%s/pods", store->root);
        struct pods *pods = new0(struct pods);
        struct error *err;

        *pods = (struct pods){ .loop = loop, .store = store, .gone = gone, .changed = changed, .arg = arg };
        err = loop_watch_new(loop, folder, IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM, folder_changed, pods,
                             &pods->watch);
        if (err) {
                free(pods);
                return err;
        }
        pods->timer = loop_timer_new(loop, look, pods);
        look(pods);
        *ret = pods;
        return NULL;
}

struct pods *pods_free(struct pods *pods) {
        if (!pods)
                return NULL;
        loop_watch_free(pods->watch);
        loop_timer_free(pods->timer);
        while (pods->first) {
                struct supervised *next = pods->first->next;
                supervised_free(pods->first);
                pods->first = next;
        }
        free(pods);
        return NULL;
}
