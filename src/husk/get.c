/* get.c - `husk get`: objects as a table for people or in a format for programs, once or as they change. */
#include <stdio.h>
#include <stdlib.h>

#include "api/quantity.h"
#include "base/clock.h"
#include "base/str.h"
#include "husk/columns.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/watch.h"
#include "husk/verbs.h"

static struct selection selection;
static const char *output_text, *template_text, *sort_by;
static bool watch_changes, watch_only, watch_events, show_labels, show_kind;
static char **label_columns;
static struct output output = OUTPUT_INIT;

const struct flag get_flags[] = {
        { "output", 'o', FLAG_TEXT, &output_text, "FORMAT", NULL,
          "wide, json, yaml, name, jsonpath=…, jsonpath-as-json=…, jsonpath-file=…, custom-columns=…, "
          "custom-columns-file=…" },
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_ALL_NAMESPACES(selection),
        FLAG_SELECTOR(selection),
        FLAG_FIELD_SELECTOR(selection),
        FLAGS_FILENAME(selection),
        { "watch", 'w', FLAG_BOOL, &watch_changes, NULL, NULL, "Go on and print what changes" },
        { "watch-only", 0, FLAG_BOOL, &watch_only, NULL, NULL, "Print only what changes from now on" },
        { "output-watch-events", 0, FLAG_BOOL, &watch_events, NULL, NULL,
          "Say of each change if it is ADDED, MODIFIED or DELETED" },
        { "no-headers", 0, FLAG_BOOL, &output.no_headers, NULL, NULL, "Leave the titles of the columns out" },
        { "show-labels", 0, FLAG_BOOL, &show_labels, NULL, NULL, "Show all labels in the last column" },
        { "label-columns", 'L', FLAG_WORDS, &label_columns, "KEY,…", NULL, "Show these labels as columns" },
        { "show-kind", 0, FLAG_BOOL, &show_kind, NULL, NULL, "Show names as type/name" },
        { "sort-by", 0, FLAG_TEXT, &sort_by, "PATH", NULL, "Sort by this field, e.g. .metadata.creationTimestamp" },
        FLAG_IGNORE_NOT_FOUND(selection),
        { "raw", 0, FLAG_REFUSED, NULL, "URI", NULL,
          "there is no server to ask; `husk get -o json` shows all of an object" },
        FLAG_MANAGED_FIELDS,
        { "subresource", 0, FLAG_ACCEPTED, NULL, "NAME", NULL, "every answer is the whole object" },
        { "chunk-size", 0, FLAG_ACCEPTED, NULL, "N", NULL, "answers come in one piece" },
        { "server-print", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "there is no other side" },
        { 0 },
};

static const struct api_kind *kind_of(const json_t *object) {
        return api_kind_of(field_text_or(object, "kind", ""));
}

/* ---- order ---- */

struct sort_item {
        json_t *object;
        json_t *key; /* first value at the path, NULL if there is none */
        size_t index;
};

/* As kubectl: amounts of resources by what they are worth, any other text with its numbers as numbers (web-2 before
 * web-10). */
static int compare_text(const char *a, const char *b) {
        struct quantity x, y;

        return quantity_parse(a, &x, NULL) && quantity_parse(b, &y, NULL) ? quantity_compare(x, y)
                                                                          : str_natural_compare(a, b);
}

/* Numbers by value, everything else as text; what lacks the field comes first. */
static int sort_compare(const void *a, const void *b) {
        const struct sort_item *x = a, *y = b;
        int order;

        if (!x->key || !y->key)
                order = !!x->key - !!y->key;
        else if (json_is_number(x->key) && json_is_number(y->key))
                order = (json_number_value(x->key) > json_number_value(y->key)) -
                        (json_number_value(x->key) < json_number_value(y->key));
        else
                order = compare_text(json_is_string(x->key) ? json_string_value(x->key) : "",
                                     json_is_string(y->key) ? json_string_value(y->key) : "");
        return order ? order : x->index < y->index ? -1 : 1;
}

static struct error *sort_objects(json_t *objects) {
        _cleanup_(jsonpath_freep) struct jsonpath *path = NULL;
        size_t n = json_array_size(objects);
        _cleanup_free_ struct sort_item *items = xcalloc(n + 1, sizeof(*items));
        struct error *err;

        _cleanup_free_ char *full = jsonpath_relax(sort_by);
        err = jsonpath_parse(full, &path);
        for (size_t i = 0; !err && i < n; i++) {
                _cleanup_json_ json_t *values = NULL;
                items[i] = (struct sort_item){ json_incref(json_array_get(objects, i)), NULL, i };
                err = jsonpath_find(path, items[i].object, &values);
                if (!err)
                        items[i].key = json_incref(json_array_get(values, 0));
        }
        if (!err)
                qsort(items, n, sizeof(*items), sort_compare);
        for (size_t i = 0; i < n; i++) {
                if (!err)
                        json_array_set(objects, i, items[i].object);
                json_decref(items[i].object);
                json_decref(items[i].key);
        }
        return err;
}

/* ---- tables ---- */

struct view {
        struct table table;
        const struct api_kind *kind; /* of the rows so far */
        bool mixed;                  /* several kinds: names show their type, and each kind has a table of its own */
};

static struct columns_style view_style(const struct view *view, const struct api_kind *kind) {
        return (struct columns_style){
                .wide = output.format == OUTPUT_WIDE,
                .with_namespace = selection.all_namespaces && kind->namespaced,
                .with_labels = show_labels,
                .label_columns = label_columns,
                .name_prefix = view->mixed || show_kind ? kind->singular : NULL,
        };
}

static void view_add(struct view *view, const json_t *object, const char *event) {
        const struct api_kind *kind = kind_of(object);
        struct columns_style style = view_style(view, kind);
        const struct column *columns = columns_of(kind->kind);

        if (view->kind != kind) {
                bool first = !view->kind;
                table_print(&view->table, stdout);
                table_release(&view->table);
                if (!first)
                        putchar('\n');
                if (!output.no_headers)
                        columns_add_header(&view->table, columns, &style);
                if (!output.no_headers && watch_events)
                        table_prepend(&view->table, "EVENT");
                view->kind = kind;
        }
        columns_add_row(&view->table, columns, &style, object, clock_realtime_ns() / NSEC_PER_SEC);
        if (watch_events)
                table_prepend(&view->table, event);
}

/* As kubectl: of several types that were asked for, each counts although nothing of it is here. */
static bool asks_for_several_kinds(const struct requests *requests) {
        const struct api_kind *kind = NULL;

        for (size_t i = 0; i < requests->n; i++) {
                if (requests->items[i].name)
                        continue;
                if (kind && kind != requests->items[i].kind)
                        return true;
                kind = requests->items[i].kind;
        }
        return false;
}

/* Objects come grouped by request; a table needs them grouped by kind, which is the same. */
static void print_table(struct view *view, const json_t *objects) {
        json_t *object;
        size_t i;

        json_array_foreach(objects, i, object) if (i && kind_of(object) != kind_of(json_array_get(objects, 0)))
                view->mixed = true;
        json_array_foreach(objects, i, object) view_add(view, object, "ADDED");
        table_print(&view->table, stdout);
}

static bool any_namespaced(const struct requests *requests) {
        for (size_t i = 0; i < requests->n; i++)
                if (requests->items[i].kind->namespaced)
                        return true;
        return false;
}

static void say_nothing_found(struct cli *cli, const struct requests *requests) {
        if (selection.ignore_not_found || cli->status)
                return;
        fflush(stdout);
        if (selection.all_namespaces || !any_namespaced(requests))
                fprintf(stderr, "No resources found\n");
        else
                fprintf(stderr, "No resources found in %s namespace.\n", cli_namespace(cli));
}

/* One object asked for by its name is printed as itself, everything else as a List. */
static struct error *print_document(const struct requests *requests, const json_t *objects) {
        bool single = requests->n == 1 && requests->items[0].name;

        if (single && json_array_size(objects) == 0)
                return NULL;
        if (single)
                return output_print(&output, json_array_get(objects, 0));
        _cleanup_json_ json_t *list = output_list(objects);
        return output_print(&output, list);
}

static struct error *print_objects(struct cli *cli, const struct requests *requests, struct view *view,
                                   const json_t *objects) {
        bool tabular = output.format == OUTPUT_TABLE || output.format == OUTPUT_WIDE;

        if (json_array_size(objects) == 0 && tabular) {
                say_nothing_found(cli, requests);
                return NULL;
        }
        if (!tabular)
                return print_document(requests, objects);
        print_table(view, objects);
        return NULL;
}

/* ---- watching ---- */

static char *identity(const json_t *object) {
        return xasprintf("%s/%s", field_text_or(object, "metadata.uid", ""), object_name(object));
}

static struct error *print_change(struct view *view, const json_t *object, const char *event) {
        if (output.format == OUTPUT_TABLE || output.format == OUTPUT_WIDE) {
                view_add(view, object, event);
                table_print(&view->table, stdout);
                return output_flush();
        }
        _cleanup_json_ json_t *wrapped = NULL;
        if (watch_events && output_is_document(&output))
                wrapped = json_pack("{s:s, s:O}", "type", event, "object", object);
        struct error *err = output_print(&output, wrapped ? wrapped : object);
        /* The titles are printed once. */
        output.no_headers = true;
        return err ? err : output_flush();
}

/* Prints what differs between the last look and this one; `seen` (identity to object) then is this one. */
static struct error *print_changes(struct view *view, json_t **seen, const json_t *objects, bool silent) {
        json_t *now = json_object(), *object;
        struct error *err = NULL;
        const char *key;
        size_t i;

        json_array_foreach(objects, i, object) {
                _cleanup_free_ char *id = identity(object);
                const json_t *before = json_object_get(*seen, id);
                json_object_set(now, id, object);
                if (!err && !silent && !(before && json_equal(before, object)))
                        err = print_change(view, object, before ? "MODIFIED" : "ADDED");
        }
        json_object_foreach(*seen, key, object) if (!err && !silent && !json_object_get(now, key)) err =
                print_change(view, object, "DELETED");
        json_decref(*seen);
        *seen = now;
        return err;
}

static struct error *watch_requests(struct cli *cli, const struct requests *requests, struct view *view) {
        _cleanup_watch_ struct watch watch = WATCH_INIT;
        _cleanup_json_ json_t *seen = json_object();
        bool first = true;
        struct error *err;

        err = watch_open(-1, &watch);
        while (!err) {
                _cleanup_json_ json_t *objects = json_array();
                for (size_t i = 0; !err && i < requests->n; i++) {
                        err = watch_add_request(&watch, cli, &requests->items[i]);
                        if (!err)
                                err = request_load(cli, &requests->items[i], &selection, objects);
                        /* A named object must exist when the watch begins; its end is a change like any other. */
                        if (!first && error_is(err, ERROR_NOT_FOUND))
                                err = error_free(err);
                }
                if (!err)
                        err = print_changes(view, &seen, objects, first && watch_only);
                if (err)
                        break;
                first = false;
                watch_wait(&watch, -1);
        }
        return err;
}

struct error *get_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        struct view view = { 0 };
        struct error *err;

        err = output_parse(output_text, template_text, &output);
        if (!err)
                err = selection_parse(cli, &selection, arguments->words, arguments->n_words, NULL, &requests);
        if (err)
                return err;
        /* As kubectl: "all" may be of several kinds, so names show theirs. */
        view.mixed = (arguments->n_words && streq(arguments->words[0], "all")) || asks_for_several_kinds(&requests);
        if (watch_changes || watch_only) {
                err = watch_requests(cli, &requests, &view);
        } else {
                _cleanup_json_ json_t *objects = requests_load(cli, &requests, &selection);
                if (sort_by)
                        err = sort_objects(objects);
                if (!err)
                        err = print_objects(cli, &requests, &view, objects);
        }
        table_release(&view.table);
        return err;
}
