/* event.h - what happened to a pod, in the words a kubelet and a scheduler use.
 *
 * A list of at most 200 records, newest last. The same thing happening again counts up the record it has and moves it
 * to the end; of what differs in its message alone the tenth within ten minutes and all that follow are one record,
 * whose message is the newest. That is how Kubernetes' event correlator does it. The list is written out as an array of
 * V1Event. */
#pragma once

#include <jansson.h>

#include "base/base.h"

#define EVENTS_MAX 200

enum event_type { EVENT_NORMAL, EVENT_WARNING };
enum event_source { EVENT_FROM_KUBELET, EVENT_FROM_SCHEDULER }; /* whose words they are in a cluster */

struct event {
        enum event_type type;
        enum event_source source;
        char *reason;
        char *message;
        char *field_path;          /* "spec.containers{app}", or NULL for the pod itself */
        char *name;                /* metadata.name */
        int64_t first_ns, last_ns; /* realtime */
        unsigned count;
};

struct event_log {
        struct event *events;
        size_t n;
        bool changed; /* since it was written out last */
};

void event_log_release(struct event_log *log);
void event_log_add(struct event_log *log, enum event_source source, enum event_type type, const char *reason,
                   const char *field_path, const char *pod_name, int64_t now_ns, const char *message);

/* Whom the events are about, and who says so. */
struct event_subject {
        const char *namespace, *name, *uid, *node;
};
json_t *event_log_to_json(const struct event_log *log, const struct event_subject *subject);
/* Takes over what an earlier supervisor wrote; what makes no sense is left out. */
void event_log_from_json(struct event_log *log, const json_t *array);
/* A string of the state or of an event. jansson refuses text that is not UTF-8 (a probe's output may be anything): such
 * bytes become '?'. NULL gives NULL. */
json_t *event_text_json(const char *s);
