/* logs.c - `husk logs`: what containers printed, once or as they go on. */
#include "husk/logs.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/log-file.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/watch.h"
#include "husk/verbs.h"

#define TAIL_OF_SELECTOR 10

static struct selection selection;
static const char *container, *since_time;
static bool follow, previous, timestamps, all_containers, all_pods, prefix, ignore_errors;
static int64_t tail = -1, since_ns, limit_bytes;

const struct flag logs_flags[] = {
        { "follow", 'f', FLAG_BOOL, &follow, NULL, NULL, "Go on until the container ends" },
        { "container", 'c', FLAG_TEXT, &container, "NAME", NULL,
          "The container (default: see the annotation kubectl.kubernetes.io/default-container, else the first)" },
        { "all-containers", 0, FLAG_BOOL, &all_containers, NULL, NULL, "All containers of the pod" },
        { "previous", 'p', FLAG_BOOL, &previous, NULL, NULL, "The run before the last restart" },
        { "tail", 0, FLAG_NUMBER, &tail, "N", NULL, "Only the last N lines (default: all; with -l the last 10)" },
        { "since", 0, FLAG_DURATION, &since_ns, NULL, NULL, "Only lines younger than this, e.g. 10m" },
        { "since-time", 0, FLAG_TEXT, &since_time, "TIME", NULL, "Only lines after this time (RFC 3339)" },
        { "timestamps", 0, FLAG_BOOL, &timestamps, NULL, NULL, "Put the time before each line" },
        { "prefix", 0, FLAG_BOOL, &prefix, NULL, NULL, "Put pod and container before each line" },
        { "limit-bytes", 0, FLAG_NUMBER, &limit_bytes, "N", NULL, "At most this many bytes of each container" },
        FLAG_SELECTOR(selection),
        { "ignore-errors", 0, FLAG_BOOL, &ignore_errors, NULL, NULL, "Go on with the others if one log cannot be had" },
        { "all-pods", 0, FLAG_BOOL, &all_pods, NULL, NULL, "With --prefix and all that -l selects" },
        { "max-log-requests", 0, FLAG_ACCEPTED, NULL, "N", NULL, "any number can be followed" },
        { "pod-running-timeout", 0, FLAG_ACCEPTED, NULL, "TIME", NULL, "a pod is named, and runs or does not" },
        { "insecure-skip-tls-verify-backend", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "there is no backend" },
        { 0 },
};

/* One container whose log is being printed. */
struct source {
        char *ns, *pod, *uid, *container;
        char *folder;
        struct log_file *log;
        int64_t run;
        int64_t left;        /* bytes that may still be printed, -1: no limit */
        bool inside_line[2]; /* by stream: the last record left its line open */
        bool ended;
};

struct sources {
        struct source *items;
        size_t n;
        char since[RFC3339_MAX]; /* "" or the earliest time, in the form of the log's own */
};

static void sources_release(struct sources *s) {
        for (size_t i = 0; i < s->n; i++) {
                struct source *source = &s->items[i];
                free(source->ns);
                free(source->pod);
                free(source->uid);
                free(source->container);
                free(source->folder);
                log_file_close(source->log);
        }
        free(s->items);
}

/* ---- which run ---- */

/* In a kubelet's words (its validateContainerLogStatus). */
static struct error *no_log(const struct source *source, const json_t *status) {
        const char *reason = field_text_or(status, "state.waiting.reason", "ContainerCreating");

        if (streq(reason, "ErrImagePull"))
                reason = "image can't be pulled";
        else if (streq(reason, "ImagePullBackOff"))
                reason = "trying and failing to pull image";
        if (previous)
                return error_new(ERROR_BAD_REQUEST, "previous terminated container \"%s\" in pod \"%s\" not found",
                                 source->container, source->pod);
        return error_new(ERROR_BAD_REQUEST, "container \"%s\" in pod \"%s\" is waiting to start: %s", source->container,
                         source->pod, reason);
}

/* A run's number is the restart count it had. A container that waits for its next run shows its last one, and that is
 * its previous one, too. */
static struct error *choose_run(struct source *source, const json_t *pod) {
        const json_t *status = container_status(pod, source->container);
        bool has_run = field_at(status, "state.running") || field_at(status, "state.terminated");
        bool has_last = field_at(status, "lastState.terminated") != NULL;
        int64_t count = field_number(status, "restartCount", 0);

        if (has_run && !previous)
                source->run = count;
        else if (has_run && has_last)
                source->run = count - 1;
        else if (!has_run && has_last)
                source->run = log_file_newest_run(source->folder);
        else
                return no_log(source, status);
        return source->run < 0 ? no_log(source, status) : NULL;
}

static struct error *add_source(struct sources *s, struct store *store, const json_t *pod, const char *name) {
        const char *uid = field_text_or(pod, "metadata.uid", "");
        struct source *source;
        struct error *err;

        s->items = xreallocarray(s->items, s->n + 1, sizeof(*s->items));
        source = &s->items[s->n++];
        *source = (struct source){
                .ns = xstrdup(field_text_or(pod, "metadata.namespace", "default")),
                .pod = xstrdup(object_name(pod)),
                .uid = xstrdup(uid),
                .container = xstrdup(name),
                .left = limit_bytes > 0 ? limit_bytes : -1,
        };
        _cleanup_free_ char *logs = store_pod_log_folder(store, source->ns, source->pod, uid);
        source->folder = path_join(logs, name);
        err = choose_run(source, pod);
        if (!err)
                err = log_file_open(source->folder, source->run, tail, &source->log);
        source->ended = err != NULL;
        return err;
}

static struct error *add_pod(struct cli *cli, struct sources *s, struct store *store, const json_t *pod) {
        struct error *err;

        if (!all_containers) {
                const char *name;
                err = container_choose(pod, container, false, &name);
                return err ? err : add_source(s, store, pod, name);
        }
        _cleanup_free_ const char **names = container_names_in_order(pod);
        for (size_t i = 0; names[i]; i++) {
                err = add_source(s, store, pod, names[i]);
                /* One that has not begun is no reason to keep the others' logs back. */
                if (err)
                        cli_report(cli, err);
        }
        return NULL;
}

/* ---- printing ---- */

static void put(struct source *source, const char *text, size_t len) {
        if (source->left >= 0 && (int64_t)len > source->left)
                len = source->left;
        fwrite(text, 1, len, stdout);
        if (source->left >= 0)
                source->left -= len;
}

static void print_record(struct source *source, const struct log_record *record) {
        if (!source->inside_line[record->is_stderr]) {
                if (prefix)
                        printf("[pod/%s/%s] ", source->pod, source->container);
                if (timestamps) {
                        put(source, record->time, record->time_len);
                        put(source, " ", 1);
                }
        }
        put(source, record->text, record->len);
        if (record->is_complete)
                put(source, "\n", 1);
        source->inside_line[record->is_stderr] = !record->is_complete;
}

/* Both times are in UTC with nine decimals, so that their texts compare as they do. */
static bool is_too_old(const struct sources *s, const struct log_record *record) {
        return *s->since && memcmp(record->time, s->since, MIN(record->time_len, strlen(s->since))) < 0;
}

/* Prints what there is now. */
static struct error *print_available(const struct sources *s, struct source *source) {
        for (;;) {
                struct log_record record;
                bool found;
                struct error *err = log_file_next(source->log, &record, &found);
                if (err || !found)
                        return err;
                if (!is_too_old(s, &record))
                        print_record(source, &record);
                if (source->left == 0) {
                        source->ended = true;
                        return NULL;
                }
        }
}

/* Is the run over, so that its log will not grow any more? */
static struct error *run_is_over(struct store *store, const struct source *source, bool *ret) {
        _cleanup_json_ json_t *pod = NULL;
        struct error *err = store_get(store, api_kind_of("Pod"), source->ns, source->pod, &pod);

        *ret = true;
        if (error_is(err, ERROR_NOT_FOUND))
                return error_free(err);
        if (err || !streq_ptr(field_text(pod, "metadata.uid"), source->uid))
                return err;
        const json_t *status = container_status(pod, source->container);
        *ret = field_number(status, "restartCount", 0) != source->run || !field_at(status, "state.running");
        return NULL;
}

/* Looks at the status first: what is in the log after that look and a run that is over is all there will be. */
static struct error *follow_one(const struct sources *s, struct store *store, struct source *source) {
        bool over;
        struct error *err = run_is_over(store, source, &over);

        if (!err)
                err = print_available(s, source);
        if (!err && over)
                source->ended = true;
        return err;
}

static struct error *follow_sources(struct sources *s, struct store *store) {
        _cleanup_watch_ struct watch watch = WATCH_INIT;
        struct error *err = watch_open(-1, &watch);

        while (!err) {
                size_t n_open = 0;
                for (size_t i = 0; i < s->n && !err; i++) {
                        struct source *source = &s->items[i];
                        if (source->ended)
                                continue;
                        watch_add(&watch, source->folder);
                        watch_add_pod(&watch, store, source->uid);
                        err = follow_one(s, store, source);
                        n_open += !source->ended;
                }
                if (!err)
                        err = output_flush();
                if (err || n_open == 0)
                        break;
                watch_wait(&watch, -1);
        }
        return err;
}

static struct error *print_sources(struct cli *cli, struct sources *s, struct store *store) {
        static char buffer[1 << 16];

        setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
        if (follow)
                return follow_sources(s, store);
        for (size_t i = 0; i < s->n; i++) {
                struct error *err = s->items[i].ended ? NULL : print_available(s, &s->items[i]);
                if (err)
                        return err;
        }
        return output_flush();
}

struct error *logs_print(struct cli *cli, const json_t *pod, const char *name) {
        _cleanup_(sources_release) struct sources s = { 0 };
        struct store *store;
        struct error *err = cli_store(cli, &store);

        if (!err)
                err = add_source(&s, store, pod, name);
        return err ? err : print_sources(cli, &s, store);
}

/* ---- the verb ---- */

static struct error *since_parse(struct sources *s) {
        int64_t seconds;
        int32_t nanos;

        if (since_time && since_ns)
                return usage_error("at most one of `since-time` or `since` may be specified");
        if (since_ns < 0)
                return usage_error("--since must be greater than 0");
        if (since_ns)
                rfc3339_format_ns(clock_realtime_ns() - since_ns, 9, s->since);
        if (!since_time)
                return NULL;
        if (!rfc3339_parse(since_time, &seconds, &nanos))
                return usage_error("invalid value for --since-time: \"%s\" is no RFC 3339 time", since_time);
        rfc3339_format_ns(seconds * NSEC_PER_SEC + nanos, 9, s->since);
        return NULL;
}

static struct error *add_selected(struct cli *cli, struct sources *s, struct store *store) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        _cleanup_json_ json_t *pods = NULL;
        struct error *err;
        json_t *pod;
        size_t i;

        err = selection_parse(cli, &selection, NULL, 0, api_kind_of("Pod"), &requests);
        if (err)
                return err;
        pods = requests_load(cli, &requests, &selection);
        if (json_array_size(pods) == 0)
                fprintf(stderr, "No resources found in %s namespace.\n", cli_namespace(cli));
        json_array_foreach(pods, i, pod) {
                err = add_pod(cli, s, store, pod);
                if (err && !ignore_errors)
                        return err;
                cli_report(cli, err);
        }
        return NULL;
}

static struct error *check_words(const struct arguments *arguments) {
        if (selection.selector && arguments->n_words)
                return usage_error("only a selector (-l) or a POD name is allowed");
        if (!selection.selector && arguments->n_words == 0)
                return usage_error("expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'");
        if (arguments->n_words > 2 || (arguments->n_words == 2 && container))
                return usage_error("only one container may be named, with -c or after the pod");
        if (all_containers && (container || arguments->n_words == 2))
                return usage_error("--all-containers=true should not be specified with container name");
        if (tail < -1)
                return usage_error("--tail must be greater than or equal to -1");
        return NULL;
}

struct error *logs_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_(sources_release) struct sources s = { 0 };
        struct store *store;
        struct error *err;

        err = check_words(arguments);
        if (!err)
                err = since_parse(&s);
        if (!err)
                err = cli_store(cli, &store);
        if (err)
                return err;
        if (arguments->n_words == 2)
                container = arguments->words[1];
        if (selection.selector) {
                if (tail < 0)
                        tail = TAIL_OF_SELECTOR;
                err = add_selected(cli, &s, store);
        } else {
                _cleanup_json_ json_t *pod = NULL;
                err = pod_load(cli, arguments->words[0], &pod);
                if (!err)
                        err = add_pod(cli, &s, store, pod);
        }
        return err ? err : print_sources(cli, &s, store);
}
