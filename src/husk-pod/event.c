#include "husk-pod/event.h"

#include "base/clock.h"
#include "base/str.h"

static const char *const type_names[] = { [EVENT_NORMAL] = "Normal", [EVENT_WARNING] = "Warning" };
static const char *const source_names[] = {
        [EVENT_FROM_KUBELET] = "kubelet",
        [EVENT_FROM_SCHEDULER] = "default-scheduler",
};

static void event_release(struct event *e) {
        free(e->reason);
        free(e->message);
        free(e->field_path);
        free(e->name);
}

void event_log_release(struct event_log *log) {
        for (size_t i = 0; i < log->n; i++)
                event_release(&log->events[i]);
        free(log->events);
        *log = (struct event_log){ 0 };
}

static void event_log_remove(struct event_log *log, size_t i) {
        memmove(&log->events[i], &log->events[i + 1], (log->n - i - 1) * sizeof(struct event));
        log->n--;
}

static void event_log_append(struct event_log *log, struct event e) {
        if (log->n == EVENTS_MAX) {
                event_release(&log->events[0]);
                event_log_remove(log, 0);
        }
        log->events = xreallocarray(log->events, log->n + 1, sizeof(struct event));
        log->events[log->n++] = e;
}

/* Begins the message of a record that stands for many (client-go's words). */
#define COMBINED "(combined from similar events): "
#define SIMILAR_MAX 10                  /* messages, before they are combined … */
#define SIMILAR_NS (600 * NSEC_PER_SEC) /* … of so long */

/* All but the message. */
static bool event_is_like(const struct event *e, const struct event *other) {
        return e->type == other->type && e->source == other->source && streq(e->reason, other->reason) &&
               streq_ptr(e->field_path, other->field_path);
}

/* Where the record is that counts this one, too; log->n: there is none, and *ret_combine says whether one for many is
 * to be made. */
static size_t event_log_find(const struct event_log *log, const struct event *wanted, bool *ret_combine) {
        size_t combined = log->n, similar = 0;

        for (size_t i = log->n; i-- > 0;) {
                const struct event *e = &log->events[i];

                if (!event_is_like(e, wanted))
                        continue;
                if (streq(e->message, wanted->message))
                        return i;
                bool lately = wanted->last_ns - e->last_ns < SIMILAR_NS;
                if (!str_starts_with(e->message, COMBINED))
                        similar += lately;
                else if (lately && combined == log->n)
                        combined = i;
        }
        *ret_combine = similar + 1 >= SIMILAR_MAX;
        return *ret_combine ? combined : log->n;
}

void event_log_add(struct event_log *log, enum event_source source, enum event_type type, const char *reason,
                   const char *field_path, const char *pod_name, int64_t now_ns, const char *message) {
        struct event wanted = {
                .type = type,
                .source = source,
                .reason = (char *)reason,
                .message = (char *)message,
                .field_path = (char *)field_path,
                .first_ns = now_ns,
                .last_ns = now_ns,
                .count = 1,
        };
        bool combine = false;
        size_t i = event_log_find(log, &wanted, &combine);

        log->changed = true;
        if (i < log->n) {
                struct event e = log->events[i];

                e.count++;
                e.last_ns = now_ns;
                if (combine) {
                        free(e.message);
                        e.message = xasprintf(COMBINED "%s", message);
                }
                event_log_remove(log, i);
                log->events[log->n++] = e; /* the room of the one taken out */
                return;
        }
        wanted.reason = xstrdup(reason);
        wanted.message = combine ? xasprintf(COMBINED "%s", message) : xstrdup(message);
        wanted.field_path = xstrdup(field_path);
        /* A counter keeps the names of events of the same instant apart. */
        wanted.name = xasprintf("%s.%llx", pod_name, (unsigned long long)now_ns + log->n);
        event_log_append(log, wanted);
}

static json_t *time_json(int64_t ns) {
        char buf[RFC3339_MAX];

        return json_string(rfc3339_format(ns / NSEC_PER_SEC, buf));
}

json_t *event_text_json(const char *s) {
        json_t *json = json_string(s);

        if (!json && s) {
                _cleanup_free_ char *clean = xstrdup(s);

                for (char *p = clean; *p; p++)
                        if ((unsigned char)*p >= 0x80)
                                *p = '?';
                json = json_string(clean);
        }
        return json;
}

static json_t *event_to_json(const struct event *e, const struct event_subject *s) {
        json_t *json = json_object(), *meta = json_object(), *about = json_object(), *source = json_object();

        json_object_set_new(meta, "name", json_string(e->name));
        json_object_set_new(meta, "namespace", json_string(s->namespace));
        json_object_set_new(meta, "creationTimestamp", time_json(e->first_ns));
        json_object_set_new(about, "kind", json_string("Pod"));
        json_object_set_new(about, "namespace", json_string(s->namespace));
        json_object_set_new(about, "name", json_string(s->name));
        json_object_set_new(about, "uid", json_string(s->uid));
        json_object_set_new(about, "apiVersion", json_string("v1"));
        if (e->field_path)
                json_object_set_new(about, "fieldPath", json_string(e->field_path));
        json_object_set_new(source, "component", json_string(source_names[e->source]));
        if (s->node && e->source == EVENT_FROM_KUBELET)
                json_object_set_new(source, "host", json_string(s->node));
        json_object_set_new(json, "apiVersion", json_string("v1"));
        json_object_set_new(json, "kind", json_string("Event"));
        json_object_set_new(json, "metadata", meta);
        json_object_set_new(json, "involvedObject", about);
        json_object_set_new(json, "reason", json_string(e->reason));
        json_object_set_new(json, "message", event_text_json(e->message));
        json_object_set_new(json, "source", source);
        json_object_set_new(json, "firstTimestamp", time_json(e->first_ns));
        json_object_set_new(json, "lastTimestamp", time_json(e->last_ns));
        json_object_set_new(json, "count", json_integer(e->count));
        json_object_set_new(json, "type", json_string(type_names[e->type]));
        json_object_set_new(json, "eventTime", json_null());
        json_object_set_new(json, "reportingComponent", json_string(source_names[e->source]));
        json_object_set_new(json, "reportingInstance",
                            json_string(e->source == EVENT_FROM_KUBELET && s->node ? s->node : ""));
        return json;
}

json_t *event_log_to_json(const struct event_log *log, const struct event_subject *subject) {
        json_t *array = json_array();

        for (size_t i = 0; i < log->n; i++)
                json_array_append_new(array, event_to_json(&log->events[i], subject));
        return array;
}

static int64_t time_of(const json_t *json, const char *key) {
        const char *text = json_string_value(json_object_get(json, key));
        int64_t seconds;

        if (!text || !rfc3339_parse(text, &seconds, NULL))
                return 0;
        return seconds * NSEC_PER_SEC;
}

void event_log_from_json(struct event_log *log, const json_t *array) {
        size_t i;
        json_t *json;

        json_array_foreach(array, i, json) {
                const char *reason = json_string_value(json_object_get(json, "reason"));
                const char *message = json_string_value(json_object_get(json, "message"));
                const char *type = json_string_value(json_object_get(json, "type"));
                const char *name = json_string_value(json_object_get(json_object_get(json, "metadata"), "name"));
                const char *component = json_string_value(json_object_get(json, "reportingComponent"));
                const char *path =
                        json_string_value(json_object_get(json_object_get(json, "involvedObject"), "fieldPath"));
                json_int_t count = json_integer_value(json_object_get(json, "count"));

                if (!reason || !message || !type || !name)
                        continue;
                event_log_append(log, (struct event){
                                              .type = streq(type, "Warning") ? EVENT_WARNING : EVENT_NORMAL,
                                              .source = streq_ptr(component, source_names[EVENT_FROM_SCHEDULER])
                                                                ? EVENT_FROM_SCHEDULER
                                                                : EVENT_FROM_KUBELET,
                                              .reason = xstrdup(reason),
                                              .message = xstrdup(message),
                                              .field_path = xstrdup(path),
                                              .name = xstrdup(name),
                                              .first_ns = time_of(json, "firstTimestamp"),
                                              .last_ns = time_of(json, "lastTimestamp"),
                                              .count = count > 0 ? (unsigned)count : 1,
                                      });
        }
}
