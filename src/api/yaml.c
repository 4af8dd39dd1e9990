#include <yaml.h>

#include "api/yaml-scalar.h"
#include "api/yaml.h"
#include "base/str.h"

struct anchor {
        char *name;
        json_t *value;
        size_t nodes; /* values in it, itself included */
};

struct reader {
        yaml_parser_t parser;
        struct anchor *anchors;
        size_t n_anchors;
        size_t nodes;       /* values read so far, aliases expanded */
        size_t alias_nodes; /* those that aliases added */
        unsigned depth;
        struct yaml_mark mark; /* of the error */
};

static void event_delete(yaml_event_t *event) {
        if (event->type != YAML_NO_EVENT)
                yaml_event_delete(event);
}
#define _cleanup_event_ _cleanup_(event_delete)

static struct yaml_mark mark_of(yaml_mark_t mark) {
        return (struct yaml_mark){ .line = mark.line + 1, .column = mark.column + 1 };
}

/* libyaml's words, with better ones where people stumble most. */
static struct error *syntax_error(struct reader *r) {
        const yaml_parser_t *p = &r->parser;
        const char *problem = p->problem ? p->problem : "cannot be read";
        struct yaml_mark context = mark_of(p->context_mark);

        r->mark = mark_of(p->problem_mark);
        switch (p->error) {
        case YAML_MEMORY_ERROR:
                return error_new(ERROR_EXHAUSTED, "out of memory");
        case YAML_READER_ERROR:
                /* The reader knows bytes, not lines. */
                r->mark = (struct yaml_mark){ 0 };
                return error_new(ERROR_BAD_REQUEST, "not valid YAML: %s at byte %zu", problem, p->problem_offset);
        default:
                break;
        }
        if (streq(problem, "found character that cannot start any token") && p->buffer.pointer &&
            *p->buffer.pointer == '\t')
                return error_new(ERROR_BAD_REQUEST, "not valid YAML: a tab cannot indent; use spaces");
        if (p->context && context.line > 0 && context.line != r->mark.line)
                return error_new(ERROR_BAD_REQUEST, "not valid YAML: %s (%s that begins in line %zu)", problem,
                                 p->context, context.line);
        return error_new(ERROR_BAD_REQUEST, "not valid YAML: %s", problem);
}

static struct error *next_event(struct reader *r, yaml_event_t *ret) {
        if (!yaml_parser_parse(&r->parser, ret)) {
                ret->type = YAML_NO_EVENT;
                return syntax_error(r);
        }
        return NULL;
}

static struct error *fail_at(struct reader *r, yaml_mark_t mark, struct error *err) {
        r->mark = mark_of(mark);
        return err;
}

static bool tag_is(const yaml_char_t *tag, const char *name) {
        static const char prefix[] = "tag:yaml.org,2002:";

        return tag && str_starts_with((const char *)tag, prefix) && streq((const char *)tag + strlen(prefix), name);
}

/* What a scalar event means; quoted ones and those tagged !!str are strings whatever they look like. */
static struct yaml_scalar resolve_event(const yaml_event_t *event) {
        const char *text = (const char *)event->data.scalar.value;
        const yaml_char_t *tag = event->data.scalar.tag;
        bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

        if (tag && (tag_is(tag, "int") || tag_is(tag, "float") || tag_is(tag, "bool") || tag_is(tag, "null")))
                return yaml_scalar_resolve(text);
        if (tag || !plain)
                return (struct yaml_scalar){ .type = SCALAR_STRING };
        return yaml_scalar_resolve(text);
}

static struct error *read_scalar(struct reader *r, const yaml_event_t *event, json_t **ret) {
        const char *text = (const char *)event->data.scalar.value;
        struct yaml_scalar scalar = resolve_event(event);

        if (tag_is(event->data.scalar.tag, "binary"))
                return fail_at(r, event->start_mark,
                               error_new(ERROR_BAD_REQUEST,
                                         "JSON has no binary values; write the base64 text without !!binary"));
        if (strlen(text) != event->data.scalar.length)
                return fail_at(r, event->start_mark, error_new(ERROR_BAD_REQUEST, "a string cannot hold a zero byte"));
        switch (scalar.type) {
        case SCALAR_NULL:
                *ret = json_null();
                break;
        case SCALAR_TRUE:
                *ret = json_true();
                break;
        case SCALAR_FALSE:
                *ret = json_false();
                break;
        case SCALAR_INT:
                *ret = json_integer(scalar.integer);
                break;
        case SCALAR_REAL:
                *ret = json_real(scalar.real);
                break;
        case SCALAR_NOT_FINITE:
                return fail_at(r, event->start_mark,
                               error_new(ERROR_BAD_REQUEST, "%s is a number that JSON does not have", text));
        case SCALAR_STRING:
        case SCALAR_TIMESTAMP:
        case SCALAR_MERGE:
                *ret = json_stringn(text, event->data.scalar.length);
                break;
        }
        if (!*ret)
                return fail_at(r, event->start_mark, error_new(ERROR_BAD_REQUEST, "a value is not valid UTF-8 text"));
        return NULL;
}

static void anchor_set(struct reader *r, const yaml_char_t *name, json_t *value, size_t nodes) {
        struct anchor *anchor;

        if (!name)
                return;
        r->anchors = xreallocarray(r->anchors, r->n_anchors + 1, sizeof(*r->anchors));
        anchor = &r->anchors[r->n_anchors++];
        *anchor = (struct anchor){ .name = xstrdup((const char *)name), .value = json_incref(value), .nodes = nodes };
}

/* An anchor may be set again; the last one before the alias counts. */
static struct error *read_alias(struct reader *r, const yaml_event_t *event, json_t **ret) {
        const char *name = (const char *)event->data.alias.anchor;

        for (size_t i = r->n_anchors; i > 0; i--) {
                const struct anchor *anchor = &r->anchors[i - 1];

                if (!streq(anchor->name, name))
                        continue;
                r->alias_nodes += anchor->nodes;
                r->nodes += anchor->nodes;
                if (r->alias_nodes > YAML_ALIAS_NODES_MAX)
                        return fail_at(r, event->start_mark,
                                       error_new(ERROR_BAD_REQUEST, "aliases expand to more than %d values",
                                                 YAML_ALIAS_NODES_MAX));
                *ret = json_deep_copy(anchor->value);
                return NULL;
        }
        return fail_at(r, event->start_mark, error_new(ERROR_BAD_REQUEST, "no anchor \"&%s\" before its alias", name));
}

static struct error *read_node(struct reader *r, const yaml_event_t *event, json_t **ret);

static struct error *read_sequence(struct reader *r, json_t **ret) {
        json_auto_t *list = json_array();

        for (;;) {
                _cleanup_event_ yaml_event_t event = { 0 };
                json_t *value = NULL;
                struct error *err = next_event(r, &event);

                if (err)
                        return err;
                if (event.type == YAML_SEQUENCE_END_EVENT)
                        break;
                err = read_node(r, &event, &value);
                if (err)
                        return err;
                json_array_append_new(list, value);
        }
        *ret = TAKE_PTR(list);
        return NULL;
}

/* JSON's keys are strings; Kubernetes turns numbers and truth values into them. */
static struct error *read_key(struct reader *r, const yaml_event_t *event, char **ret, bool *ret_merge) {
        const char *text = (const char *)event->data.scalar.value;
        struct yaml_scalar scalar;

        *ret_merge = false;
        if (event->type != YAML_SCALAR_EVENT)
                return fail_at(r, event->start_mark, error_new(ERROR_BAD_REQUEST, "a key must be a plain value"));
        scalar = resolve_event(event);
        switch (scalar.type) {
        case SCALAR_MERGE:
                *ret_merge = true;
                break;
        case SCALAR_TRUE:
                text = "true";
                break;
        case SCALAR_FALSE:
                text = "false";
                break;
        case SCALAR_INT:
                *ret = xasprintf("%lld", (long long)scalar.integer);
                return NULL;
        case SCALAR_NULL:
                return fail_at(r, event->start_mark, error_new(ERROR_BAD_REQUEST, "a key is empty"));
        default:
                break;
        }
        if (scalar.type == SCALAR_STRING && strlen(text) != event->data.scalar.length)
                return fail_at(r, event->start_mark, error_new(ERROR_BAD_REQUEST, "a key cannot hold a zero byte"));
        *ret = xstrdup(text);
        return NULL;
}

/* Keys that the mapping has itself win over merged ones, and earlier merged ones over later. */
static struct error *merge(struct reader *r, yaml_mark_t mark, json_t *into, const json_t *from) {
        size_t i;
        json_t *element;

        if (json_is_object(from)) {
                json_object_update_missing(into, (json_t *)from);
                return NULL;
        }
        if (!json_is_array(from))
                return fail_at(r, mark, error_new(ERROR_BAD_REQUEST, "<< merges mappings only"));
        json_array_foreach((json_t *)from, i, element) {
                if (!json_is_object(element))
                        return fail_at(r, mark, error_new(ERROR_BAD_REQUEST, "<< merges mappings only"));
                json_object_update_missing(into, element);
        }
        return NULL;
}

static struct error *read_mapping(struct reader *r, json_t **ret) {
        json_auto_t *map = json_object();
        json_auto_t *merged = NULL;

        for (;;) {
                _cleanup_event_ yaml_event_t key_event = { 0 }, event = { 0 };
                _cleanup_free_ char *key = NULL;
                json_auto_t *value = NULL;
                bool is_merge;
                struct error *err = next_event(r, &key_event);

                if (err)
                        return err;
                if (key_event.type == YAML_MAPPING_END_EVENT)
                        break;
                err = read_key(r, &key_event, &key, &is_merge);
                if (err)
                        return err;
                if (!is_merge && json_object_get(map, key))
                        return fail_at(r, key_event.start_mark,
                                       error_new(ERROR_BAD_REQUEST, "key \"%.100s\" is there twice", key));
                err = next_event(r, &event);
                if (!err)
                        err = read_node(r, &event, &value);
                if (err)
                        return err;
                if (is_merge) {
                        if (!merged)
                                merged = json_object();
                        err = merge(r, event.start_mark, merged, value);
                        if (err)
                                return err;
                } else if (json_object_set(map, key, value) < 0) {
                        return fail_at(r, key_event.start_mark,
                                       error_new(ERROR_BAD_REQUEST, "a key is not valid UTF-8"));
                }
        }
        if (merged)
                json_object_update_missing(map, merged);
        *ret = TAKE_PTR(map);
        return NULL;
}

static struct error *read_collection(struct reader *r, const yaml_event_t *event, json_t **ret) {
        struct error *err;

        if (++r->depth > YAML_DEPTH_MAX)
                return fail_at(r, event->start_mark,
                               error_new(ERROR_BAD_REQUEST, "nested deeper than %d levels", YAML_DEPTH_MAX));
        err = event->type == YAML_SEQUENCE_START_EVENT ? read_sequence(r, ret) : read_mapping(r, ret);
        r->depth--;
        return err;
}

static struct error *read_node(struct reader *r, const yaml_event_t *event, json_t **ret) {
        size_t before = r->nodes++;
        const yaml_char_t *anchor = NULL;
        struct error *err;

        switch (event->type) {
        case YAML_ALIAS_EVENT:
                return read_alias(r, event, ret);
        case YAML_SCALAR_EVENT:
                anchor = event->data.scalar.anchor;
                err = read_scalar(r, event, ret);
                break;
        case YAML_SEQUENCE_START_EVENT:
                anchor = event->data.sequence_start.anchor;
                err = read_collection(r, event, ret);
                break;
        case YAML_MAPPING_START_EVENT:
                anchor = event->data.mapping_start.anchor;
                err = read_collection(r, event, ret);
                break;
        default:
                return fail_at(r, event->start_mark, error_new(ERROR_BAD_REQUEST, "not valid YAML"));
        }
        if (!err)
                anchor_set(r, anchor, *ret, r->nodes - before);
        return err;
}

/* The stream holds one document, or none. */
static struct error *read_stream(struct reader *r, json_t **ret) {
        json_auto_t *json = NULL;

        for (;;) {
                _cleanup_event_ yaml_event_t event = { 0 };
                struct error *err = next_event(r, &event);

                if (err)
                        return err;
                switch (event.type) {
                case YAML_STREAM_END_EVENT:
                        *ret = TAKE_PTR(json);
                        return NULL;
                case YAML_STREAM_START_EVENT:
                case YAML_DOCUMENT_START_EVENT:
                case YAML_DOCUMENT_END_EVENT:
                        break;
                default:
                        if (json)
                                return fail_at(
                                        r, event.start_mark,
                                        error_new(ERROR_BAD_REQUEST, "a second document where one was expected"));
                        err = read_node(r, &event, &json);
                        if (err)
                                return err;
                }
        }
}

struct error *yaml_parse(const char *text, size_t len, json_t **ret, struct yaml_mark *ret_mark) {
        struct reader r = { 0 };
        struct error *err;

        *ret = NULL;
        if (!yaml_parser_initialize(&r.parser))
                return error_new(ERROR_EXHAUSTED, "out of memory");
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
        err = read_stream(&r, ret);
        yaml_parser_delete(&r.parser);
        for (size_t i = 0; i < r.n_anchors; i++) {
                free(r.anchors[i].name);
                json_decref(r.anchors[i].value);
        }
        free(r.anchors);
        if (err && ret_mark)
                *ret_mark = r.mark;
        return err;
}
