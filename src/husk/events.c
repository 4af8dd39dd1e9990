/* events.c - `husk events`: what happened to pods, oldest first. */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "husk/columns.h"
#include "base/duration.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/watch.h"
#include "husk/verbs.h"

static struct selection selection;
static const char *subject, *output_text, *template_text;
static char **types;
static bool watch_changes, no_headers;

const struct flag events_flags[] = {
        { "for", 0, FLAG_TEXT, &subject, "TYPE/NAME", NULL, "Only events about this object" },
        { "types", 0, FLAG_WORDS, &types, "TYPE,…", NULL, "Only events of these types: Normal, Warning" },
        { "watch", 'w', FLAG_BOOL, &watch_changes, NULL, NULL, "Go on and print new ones" },
        FLAG_ALL_NAMESPACES(selection),
        { "no-headers", 0, FLAG_BOOL, &no_headers, NULL, NULL, "Leave the titles of the columns out" },
        FLAG_OUTPUT(output_text),
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        { "chunk-size", 0, FLAG_ACCEPTED, NULL, "N", NULL, "answers come in one piece" },
        { 0 },
};

struct filter {
        const struct api_kind *kind; /* NULL: any */
        const char *name;
};

static struct error *filter_parse(struct filter *ret) {
        const char *slash = subject ? strchr(subject, '/') : NULL;
        _cleanup_free_ char *type = slash ? xstrndup(subject, slash - subject) : NULL;

        for (size_t i = 0; types && types[i]; i++)
                if (!streq(types[i], "Normal") && !streq(types[i], "Warning"))
                        return usage_error("valid --types are Normal or Warning");
        if (!subject)
                return NULL;
        if (!slash || !slash[1])
                return usage_error("--for must be in resource/name form");
        ret->name = slash + 1;
        return kind_parse(type, &ret->kind);
}

static bool filter_matches(const struct filter *filter, const json_t *event) {
        if (types && !strv_contains(types, field_text_or(event, "type", "")))
                return false;
        return !filter->kind || (streq(field_text_or(event, "involvedObject.kind", ""), filter->kind->kind) &&
                                 streq(field_text_or(event, "involvedObject.name", ""), filter->name));
}

/* "5s", or for what happened often "5s (x3 over 2m)". */
static void add_last_seen(struct table *table, const json_t *event, int64_t now) {
        const char *first = field_text(event, "firstTimestamp");
        char last[DURATION_MAX], since[DURATION_MAX];
        int64_t count = event_count(event);

        duration_format_since(event_last_seen(event), now, last);
        if (count > 1)
                table_cellf(table, "%s (x%lld over %s)", last, (long long)count,
                            duration_format_since(first, now, since));
        else
                table_cell(table, last);
}

static void add_row(struct table *table, const json_t *event) {
        int64_t now = clock_realtime_ns() / NSEC_PER_SEC;

        table_row(table);
        if (selection.all_namespaces)
                table_cell(table, object_namespace(event));
        add_last_seen(table, event, now);
        table_cell(table, field_text(event, "type"));
        table_cell(table, field_text(event, "reason"));
        table_cellf(table, "%s/%s", field_text_or(event, "involvedObject.kind", ""),
                    field_text_or(event, "involvedObject.name", ""));
        table_cell_take(table, event_message(event, 0));
}

static void add_titles(struct table *table) {
        static const char *const titles[] = { "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE" };

        table_row(table);
        if (selection.all_namespaces)
                table_cell(table, "NAMESPACE");
        for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
                table_cell(table, titles[i]);
}

static struct error *load(struct cli *cli, const struct filter *filter, json_t **ret) {
        _cleanup_json_ json_t *all = json_array();
        struct error *err = events_load(cli, selection.all_namespaces ? NULL : cli_namespace(cli), all);
        json_t *event;
        size_t i;

        if (err)
                return err;
        *ret = json_array();
        json_array_foreach(all, i, event) if (filter_matches(filter, event)) json_array_append(*ret, event);
        return NULL;
}

/* Rows for what was not in `seen` (uid and count), which then holds it. */
static void add_new_rows(struct table *table, const json_t *events, json_t *seen) {
        json_t *event;
        size_t i;

        json_array_foreach(events, i, event) {
                _cleanup_free_ char *id =
                        xasprintf("%s/%s", object_namespace(event) ? object_namespace(event) : "", object_name(event));
                int64_t count = event_count(event);
                if (json_integer_value(json_object_get(seen, id)) == count)
                        continue;
                json_object_set_new(seen, id, json_integer(count));
                add_row(table, event);
        }
}

static struct error *watch_events(struct cli *cli, const struct filter *filter) {
        _cleanup_watch_ struct watch watch = WATCH_INIT;
        _cleanup_table_ struct table table = TABLE_INIT;
        _cleanup_json_ json_t *seen = json_object();
        const struct request all = { api_kind_of("Event"), selection.all_namespaces ? NULL : (char *)cli_namespace(cli),
                                     NULL };
        struct error *err = watch_open(-1, &watch);

        if (!no_headers)
                add_titles(&table);
        while (!err) {
                _cleanup_json_ json_t *events = NULL;
                err = watch_add_request(&watch, cli, &all);
                if (!err)
                        err = load(cli, filter, &events);
                if (err)
                        break;
                add_new_rows(&table, events, seen);
                table_print(&table, stdout);
                err = output_flush();
                if (!err)
                        watch_wait(&watch, -1);
        }
        return err;
}

struct error *events_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_table_ struct table table = TABLE_INIT;
        _cleanup_json_ json_t *events = NULL;
        struct filter filter = { 0 };
        struct error *err;
        json_t *event;
        size_t i;

        if (arguments->n_words)
                return usage_error("unexpected argument: %s", arguments->words[0]);
        err = output_parse(output_text, template_text, &output);
        if (!err)
                err = filter_parse(&filter);
        if (!err && watch_changes)
                return watch_events(cli, &filter);
        if (!err)
                err = load(cli, &filter, &events);
        if (err)
                return err;
        if (output.format != OUTPUT_TABLE && output.format != OUTPUT_WIDE) {
                _cleanup_json_ json_t *list = output_list(events);
                return output_print(&output, list);
        }
        if (json_array_size(events) == 0) {
                fprintf(stderr, "No events found%s%s%s.\n", selection.all_namespaces ? "" : " in ",
                        selection.all_namespaces ? "" : cli_namespace(cli),
                        selection.all_namespaces ? "" : " namespace");
                return NULL;
        }
        if (!no_headers)
                add_titles(&table);
        json_array_foreach(events, i, event) add_row(&table, event);
        table_print(&table, stdout);
        return NULL;
}
