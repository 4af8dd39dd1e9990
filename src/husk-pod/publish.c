/* publish.c - what the supervisor tells: status, events, and its state to its successor. What the disk has no room for
 * is kept and written when there is some: until then the files tell of the past, but they do not stay so. */
#include "husk-pod/runtime.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#define RETRY_NS NSEC_PER_SEC

struct publication {
        struct runtime *rt;
        json_t *status, *events, *state; /* not written yet; NULL: they are */
        bool terminal;                   /* the status */
        bool failing;                    /* it has been said */
        struct loop_timer *retry;
};

static struct error *events_write(const struct runtime *rt, const json_t *events) {
        _cleanup_free_ char *path = path_join(rt->run_folder, "events.json"), *text = json_dumps(events, JSON_COMPACT);

        if (!text)
                return error_new(ERROR_INTERNAL, "%s: cannot be written as JSON", path);
        return file_replace(path, text, strlen(text), 0600, 0);
}

/* Keeps what could not be written. */
static void settle(json_t **json, struct error *err, struct error **first) {
        if (!err) {
                json_decref(*json);
                *json = NULL;
        }
        error_keep_first(first, err);
}

static bool write_all(struct publication *p) {
        struct runtime *rt = p->rt;
        _cleanup_error_ struct error *first = NULL;

        if (rt->finished) { /* there is no successor */
                json_decref(p->state);
                p->state = NULL;
        }
        if (p->state)
                settle(&p->state, handover_save(rt, p->state), &first);
        if (p->status)
                settle(&p->status, store_pod_status_write(rt->store, rt->uid, p->status, p->terminal), &first);
        if (p->events)
                settle(&p->events, events_write(rt, p->events), &first);
        if (first && !p->failing)
                log_warning("publish: %s; it is tried again", error_message(first));
        if (!first && p->failing)
                log_info("published");
        p->failing = first;
        return !first;
}

static void retry(void *arg) {
        struct publication *p = arg;

        if (!write_all(p))
                loop_timer_set(p->retry, RETRY_NS);
}

static struct publication *publication_of(struct runtime *rt) {
        if (!rt->publication) {
                rt->publication = new0(struct publication);
                rt->publication->rt = rt;
                rt->publication->retry = loop_timer_new(rt->loop, retry, rt->publication);
        }
        return rt->publication;
}

static void replace(json_t **kept, json_t *json) {
        json_decref(*kept);
        *kept = json;
}

void publish_status(struct runtime *rt, json_t *status, bool terminal) {
        struct publication *p = publication_of(rt);

        replace(&p->status, status);
        p->terminal = terminal;
        retry(p);
}

void publish_events(struct runtime *rt, const json_t *events) {
        struct publication *p = publication_of(rt);

        replace(&p->events, json_incref((json_t *)events));
        retry(p);
}

void publish_state(struct runtime *rt, const json_t *state) {
        struct publication *p = publication_of(rt);

        replace(&p->state, json_incref((json_t *)state));
        retry(p);
}

bool publish_is_done(struct runtime *rt) {
        return !rt->publication || write_all(rt->publication);
}

void publication_release(struct runtime *rt) {
        struct publication *p = rt->publication;

        if (!p)
                return;
        json_decref(p->status);
        json_decref(p->events);
        json_decref(p->state);
        loop_timer_free(p->retry);
        free(p);
        rt->publication = NULL;
}
