/* describe.c - `husk describe`: all about an object, for people. */
#include "husk/describe.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/yaml.h"
#include "base/clock.h"
#include "husk/columns.h"
#include "base/duration.h"
#include "husk/selection.h"
#include "husk/verbs.h"

static struct selection selection;
static bool show_events = true;

const struct flag describe_flags[] = {
        FLAG_SELECTOR(selection),
        FLAG_ALL_NAMESPACES(selection),
        FLAGS_FILENAME(selection),
        { "show-events", 0, FLAG_BOOL, &show_events, NULL, NULL, "Show the events of the object" },
        { "chunk-size", 0, FLAG_ACCEPTED, NULL, "N", NULL, "answers come in one piece" },
        { 0 },
};

void describe_metadata(struct page *page, const json_t *object) {
        page_field(page, 0, "Name", object_name(object));
        if (object_namespace(object))
                page_field(page, 0, "Namespace", object_namespace(object));
        page_map(page, 0, "Labels", field_at(object, "metadata.labels"), "=");
        page_map(page, 0, "Annotations", field_at(object, "metadata.annotations"), ": ");
}

/* ---- configuration ---- */

/* Bytes that base64 text stands for. */
static size_t base64_size(const json_t *value) {
        const char *text = json_is_string(value) ? json_string_value(value) : "";
        size_t len = strlen(text), padding = 0;

        while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
                padding++;
        return len / 4 * 3 - MIN(padding, len / 4 * 3);
}

static void text_lines(struct page *page, const char *text) {
        while (*text) {
                size_t len = strcspn(text, "\n");
                _cleanup_free_ char *line = xstrndup(text, len);
                page_text(page, 0, line);
                text += len + (text[len] == '\n');
        }
}

static void describe_config_map(struct page *page, const json_t *map) {
        const char *key;
        json_t *value;

        describe_metadata(page, map);
        page_text(page, 0, "");
        page_text(page, 0, "Data");
        page_text(page, 0, "====");
        json_object_foreach(field_at(map, "data"), key, value) {
                page_heading(page, 0, "%s", key);
                page_text(page, 0, "----");
                text_lines(page, json_is_string(value) ? json_string_value(value) : "");
                page_text(page, 0, "");
        }
        page_text(page, 0, "BinaryData");
        page_text(page, 0, "====");
        json_object_foreach(field_at(map, "binaryData"), key, value)
                page_fieldf(page, 0, key, "%zu bytes", base64_size(value));
        page_text(page, 0, "");
}

/* Names and sizes only: a description ends up in tickets and screenshots. */
static void describe_secret(struct page *page, const json_t *secret) {
        const char *key;
        json_t *value;

        describe_metadata(page, secret);
        page_text(page, 0, "");
        page_field(page, 0, "Type", field_text(secret, "type"));
        page_text(page, 0, "");
        page_text(page, 0, "Data");
        page_text(page, 0, "====");
        json_object_foreach(field_at(secret, "data"), key, value)
                page_fieldf(page, 0, key, "%zu bytes", base64_size(value));
}

/* ---- the node ---- */

static void describe_amounts(struct page *page, const char *title, const json_t *amounts) {
        const char *name;
        json_t *value;

        page_heading(page, 0, "%s", title);
        json_object_foreach((json_t *)amounts, name, value)
                page_field(page, 1, name, json_is_string(value) ? json_string_value(value) : "");
}

static void describe_node_conditions(struct page *page, const json_t *node) {
        json_t *condition;
        size_t i;

        page_heading(page, 0, "Conditions");
        json_array_foreach(field_at(node, "status.conditions"), i, condition) {
                _cleanup_free_ char *line =
                        xasprintf("%-16s %-7s %s", field_text_or(condition, "type", ""),
                                  field_text_or(condition, "status", ""), field_text_or(condition, "message", ""));
                page_text(page, 1, line);
        }
}

static void describe_taints(struct page *page, const json_t *node) {
        const json_t *taints = field_at(node, "spec.taints");
        json_t *taint;
        size_t i;

        if (!json_array_size(taints))
                page_field(page, 0, "Taints", "<none>");
        json_array_foreach(taints, i, taint)
                page_fieldf(page, 0, i ? "" : "Taints", "%s%s%s:%s", field_text_or(taint, "key", ""),
                            field_text(taint, "value") ? "=" : "", field_text_or(taint, "value", ""),
                            field_text_or(taint, "effect", ""));
        page_field(page, 0, "Unschedulable", field_is_true(node, "spec.unschedulable") ? "true" : "false");
}

static void describe_node(struct page *page, const json_t *node) {
        json_t *address;
        size_t i;

        page_field(page, 0, "Name", object_name(node));
        page_map(page, 0, "Labels", field_at(node, "metadata.labels"), "=");
        page_map(page, 0, "Annotations", field_at(node, "metadata.annotations"), ": ");
        page_time(page, 0, "CreationTimestamp", field_text(node, "metadata.creationTimestamp"));
        describe_taints(page, node);
        describe_node_conditions(page, node);
        page_heading(page, 0, "Addresses");
        json_array_foreach(field_at(node, "status.addresses"), i, address)
                page_field(page, 1, field_text_or(address, "type", ""), field_text(address, "address"));
        describe_amounts(page, "Capacity", field_at(node, "status.capacity"));
        describe_amounts(page, "Allocatable", field_at(node, "status.allocatable"));
        describe_amounts(page, "System Info", field_at(node, "status.nodeInfo"));
}

/* The pods on the node and what they ask for. */
static struct error *print_node_pods(struct cli *cli) {
        _cleanup_json_ json_t *pods = NULL;
        _cleanup_table_ struct table table = { .dense = true };
        struct store *store;
        struct error *err;
        json_t *pod;
        size_t i;

        err = cli_store(cli, &store);
        if (!err)
                err = store_list(store, api_kind_of("Pod"), NULL, &pods);
        if (err)
                return err;
        printf("Non-terminated Pods:\n");
        table_row(&table);
        table_cell(&table, "  Namespace");
        table_cell(&table, "Name");
        table_cell(&table, "QoS");
        table_cell(&table, "Age");
        json_array_foreach(pods, i, pod) {
                const char *phase = field_text_or(pod, "status.phase", "");
                char age[DURATION_MAX];
                if (streq(phase, "Succeeded") || streq(phase, "Failed"))
                        continue;
                table_row(&table);
                table_cellf(&table, "  %s", object_namespace(pod));
                table_cell(&table, object_name(pod));
                table_cell(&table, field_text(pod, "status.qosClass"));
                table_cell(&table, duration_format_since(field_text(pod, "metadata.creationTimestamp"),
                                                         clock_realtime_ns() / NSEC_PER_SEC, age));
        }
        table_print(&table, stdout);
        return NULL;
}

/* ---- any other kind ---- */

/* What is left of the object below its metadata, as YAML: nothing is hidden for want of a layout of its own. */
static void describe_other(struct page *page, const json_t *object) {
        _cleanup_json_ json_t *rest = json_copy((json_t *)object);

        page_field(page, 0, "Kind", field_text(object, "kind"));
        describe_metadata(page, object);
        page_time(page, 0, "Created", field_text(object, "metadata.creationTimestamp"));
        json_object_del(rest, "metadata");
        json_object_del(rest, "kind");
        json_object_del(rest, "apiVersion");
        if (json_object_size(rest) == 0)
                return;
        _cleanup_free_ char *yaml = yaml_format(rest);
        text_lines(page, yaml);
}

static const struct {
        const char *kind;
        void (*describe)(struct page *page, const json_t *object);
        bool events;
        struct error *(*look_up)(struct cli *cli, struct page *page,
                                 const json_t *object); /* what else is to be said */
} kinds[] = {
        { "Pod", describe_pod, true },
        { "Node", describe_node, true },
        { "ConfigMap", describe_config_map, true },
        { "Secret", describe_secret, false },
        { "Namespace", describe_namespace, false },
        { "PriorityClass", describe_priority_class, true },
        { "PersistentVolumeClaim", NULL, true, describe_claim },
};

/* ---- events ---- */

static void add_event(struct table *table, const json_t *event, int64_t now) {
        char last[DURATION_MAX], first[DURATION_MAX];
        int64_t count = event_count(event);

        duration_format_since(event_last_seen(event), now, last);
        table_row(table);
        table_cellf(table, "  %s", field_text_or(event, "type", ""));
        table_cell(table, field_text(event, "reason"));
        if (count > 1)
                table_cellf(table, "%s (x%" PRId64 " over %s)", last, count,
                            duration_format_since(field_text(event, "firstTimestamp"), now, first));
        else
                table_cell(table, last);
        const char *component = field_text(event, "source.component");
        table_cell(table, component ? component : field_text(event, "reportingComponent"));
        _cleanup_free_ char *message = event_message(event, now);
        const char *part = field_text(event, "involvedObject.fieldPath");
        table_cellf(table, "%s%s%s", part ?: "", part ? ": " : "", message);
}

static struct error *print_events(struct cli *cli, const json_t *object) {
        _cleanup_table_ struct table table = { .dense = true };
        _cleanup_json_ json_t *events = json_array();
        const char *uid = field_text_or(object, "metadata.uid", "");
        static const char *const titles[] = { "  Type", "Reason", "Age", "From", "Message" };
        static const char *const lines[] = { "  ----", "------", "----", "----", "-------" };
        struct error *err = events_load(cli, object_namespace(object), events);
        size_t i, n = 0;
        json_t *event;

        if (err)
                return err;
        for (const char *const *row = titles; row; row = row == titles ? lines : NULL) {
                table_row(&table);
                for (i = 0; i < ARRAY_SIZE(titles); i++)
                        table_cell(&table, row[i]);
        }
        json_array_foreach(events, i, event) if (streq_ptr(field_text(event, "involvedObject.uid"), uid)) {
                add_event(&table, event, clock_realtime_ns() / NSEC_PER_SEC);
                n++;
        }
        if (n == 0) {
                printf("Events:  <none>\n");
                return NULL;
        }
        printf("Events:\n");
        table_print(&table, stdout);
        return NULL;
}

static struct error *describe_object(struct cli *cli, const json_t *object) {
        const char *kind = field_text_or(object, "kind", "");
        _cleanup_page_ struct page page = PAGE_INIT;
        bool events = false;
        struct error *err = NULL;
        size_t i;

        for (i = 0; i < ARRAY_SIZE(kinds); i++)
                if (streq(kinds[i].kind, kind)) {
                        if (kinds[i].describe)
                                kinds[i].describe(&page, object);
                        if (kinds[i].look_up)
                                err = kinds[i].look_up(cli, &page, object);
                        events = kinds[i].events;
                        break;
                }
        if (i == ARRAY_SIZE(kinds))
                describe_other(&page, object);
        if (err)
                return err;
        page_print(&page, stdout);
        if (streq(kind, "Node"))
                err = print_node_pods(cli);
        if (!err && events && show_events)
                err = print_events(cli, object);
        return err;
}

struct error *describe_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        struct error *err;
        json_t *object;
        size_t i;

        err = selection_parse(cli, &selection, arguments->words, arguments->n_words, NULL, &requests);
        if (err)
                return err;
        _cleanup_json_ json_t *objects = requests_load(cli, &requests, &selection);
        json_array_foreach(objects, i, object) {
                if (i)
                        printf("\n\n");
                err = describe_object(cli, object);
                if (err)
                        return err;
        }
        if (json_array_size(objects) == 0 && !cli->status)
                fprintf(stderr, "No resources found in %s namespace.\n", cli_namespace(cli));
        return NULL;
}
