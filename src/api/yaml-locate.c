/* Where a path stands in YAML or JSON text. Runs only when a mistake is printed, so it reads the text once more. */
#include <stdio.h>
#include <yaml.h>

#include "api/yaml-scalar.h"
#include "api/yaml.h"
#include "base/str.h"

#define STEPS_MAX 64

struct step {
        char *name; /* a field, a map's key, or an index as text */
        bool in_brackets;
};

struct steps {
        struct step items[STEPS_MAX];
        size_t n;
};

static void steps_release(struct steps *steps) {
        for (size_t i = 0; i < steps->n; i++)
                free(steps->items[i].name);
}

static void steps_parse(const char *path, struct steps *steps) {
        while (*path && steps->n < STEPS_MAX) {
                struct step *step = &steps->items[steps->n];
                size_t len;

                if (*path == '.')
                        path++;
                step->in_brackets = *path == '[';
                path += step->in_brackets;
                len = strcspn(path, step->in_brackets ? "]" : ".[");
                step->name = xstrndup(path, len);
                steps->n++;
                path += len;
                if (step->in_brackets && *path == ']')
                        path++;
        }
}

static bool step_index(const struct step *step, size_t *ret) {
        uint64_t index;

        if (!step->in_brackets || !str_to_u64(step->name, &index))
                return false;
        *ret = index;
        return true;
}

struct yaml_cursor {
        yaml_parser_t parser;
        const struct steps *steps;
        bool at_key;
        struct yaml_mark best;
};

static bool next(struct yaml_cursor *c, yaml_event_t *event) {
        return yaml_parser_parse(&c->parser, event);
}

static void found(struct yaml_cursor *c, const yaml_event_t *event) {
        c->best = (struct yaml_mark){ event->start_mark.line + 1, event->start_mark.column + 1 };
}

/* Reads past the rest of the node that `event` began. */
static bool skip(struct yaml_cursor *c, const yaml_event_t *event) {
        int depth = event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT;

        while (depth > 0) {
                yaml_event_t inner;

                if (!next(c, &inner))
                        return false;
                if (inner.type == YAML_MAPPING_START_EVENT || inner.type == YAML_SEQUENCE_START_EVENT)
                        depth++;
                else if (inner.type == YAML_MAPPING_END_EVENT || inner.type == YAML_SEQUENCE_END_EVENT)
                        depth--;
                yaml_event_delete(&inner);
        }
        return true;
}

static void walk(struct yaml_cursor *c, const yaml_event_t *event, size_t i);

/* Reads one node and looks in it for the rest of the path, or passes over it. */
static bool enter_or_skip(struct yaml_cursor *c, bool enter, size_t i) {
        yaml_event_t event;
        bool more = true;

        if (!next(c, &event))
                return false;
        if (enter)
                walk(c, &event, i);
        else
                more = skip(c, &event);
        yaml_event_delete(&event);
        return more && !enter;
}

/* Keys that are no strings have become some: "true" for y, "7" for 07. */
static bool key_is_named(const yaml_event_t *key, const char *name) {
        struct yaml_scalar scalar;
        char number[32];

        if (key->type != YAML_SCALAR_EVENT)
                return false;
        if (key->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
                return streq((char *)key->data.scalar.value, name);
        scalar = yaml_scalar_resolve((char *)key->data.scalar.value);
        snprintf(number, sizeof(number), "%lld", (long long)scalar.integer);
        return scalar.type == SCALAR_TRUE    ? streq(name, "true")
               : scalar.type == SCALAR_FALSE ? streq(name, "false")
               : scalar.type == SCALAR_INT   ? streq(name, number)
                                             : streq((char *)key->data.scalar.value, name);
}

static void walk_mapping(struct yaml_cursor *c, size_t i) {
        for (;;) {
                yaml_event_t key;
                bool wanted, end, more = true;

                if (!next(c, &key))
                        return;
                end = key.type == YAML_MAPPING_END_EVENT || key.type == YAML_STREAM_END_EVENT;
                wanted = key_is_named(&key, c->steps->items[i].name);
                if (wanted)
                        found(c, &key);
                else
                        more = end || skip(c, &key);
                yaml_event_delete(&key);
                if (end || !more || (wanted && c->at_key && i + 1 == c->steps->n) || !enter_or_skip(c, wanted, i + 1))
                        return;
        }
}

static void walk_sequence(struct yaml_cursor *c, size_t i) {
        size_t index;

        if (!step_index(&c->steps->items[i], &index))
                return;
        for (size_t n = 0;; n++) {
                yaml_event_t event;
                bool end, more;

                if (!next(c, &event))
                        return;
                end = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_STREAM_END_EVENT;
                if (!end && n == index)
                        walk(c, &event, i + 1);
                more = !end && n != index && skip(c, &event);
                yaml_event_delete(&event);
                if (!more)
                        return;
        }
}

static void walk(struct yaml_cursor *c, const yaml_event_t *event, size_t i) {
        /* An empty value stands nowhere; its key, found before, does. */
        if (event->start_mark.index != event->end_mark.index || event->type != YAML_SCALAR_EVENT)
                found(c, event);
        if (i == c->steps->n)
                return;
        if (event->type == YAML_MAPPING_START_EVENT)
                walk_mapping(c, i);
        else if (event->type == YAML_SEQUENCE_START_EVENT)
                walk_sequence(c, i);
}

struct yaml_mark yaml_locate(const char *text, size_t len, const char *path, bool at_key) {
        struct steps steps = { 0 };
        struct yaml_cursor c = { .steps = &steps, .at_key = at_key };
        bool done = false;

        if (!yaml_parser_initialize(&c.parser))
                return c.best;
        steps_parse(path, &steps);
        yaml_parser_set_input_string(&c.parser, (const unsigned char *)text, len);
        while (!done) {
                yaml_event_t event;

                if (!next(&c, &event))
                        break;
                switch (event.type) {
                case YAML_STREAM_START_EVENT:
                case YAML_DOCUMENT_START_EVENT:
                        break;
                case YAML_MAPPING_START_EVENT:
                case YAML_SEQUENCE_START_EVENT:
                case YAML_SCALAR_EVENT:
                        walk(&c, &event, 0);
                        done = true;
                        break;
                default:
                        done = true;
                }
                yaml_event_delete(&event);
        }
        yaml_parser_delete(&c.parser);
        steps_release(&steps);
        return c.best;
}

/* The text was read as JSON before, so what is not well-formed only ends the search. */
struct json_cursor {
        const char *p, *end;
        const struct steps *steps;
        bool at_key;
        const char *best;
};

static void skip_blanks(struct json_cursor *c) {
        while (c->p < c->end && strchr(" \t\r\n", *c->p) && *c->p)
                c->p++;
}

static bool take(struct json_cursor *c, char wanted) {
        skip_blanks(c);
        if (c->p >= c->end || *c->p != wanted)
                return false;
        c->p++;
        return true;
}

/* Passes over a string; *ret_text (may be NULL) is what stands between its quotes, escapes as they are. */
static bool skip_string(struct json_cursor *c, const char **ret_text, size_t *ret_len) {
        const char *start;

        if (!take(c, '"'))
                return false;
        start = c->p;
        while (c->p < c->end && *c->p != '"')
                c->p += *c->p == '\\' ? 2 : 1;
        if (c->p >= c->end)
                return false;
        if (ret_text) {
                *ret_text = start;
                *ret_len = c->p - start;
        }
        c->p++;
        return true;
}

/* Passes over any value without recursion: only brackets and strings matter. */
static bool skip_value(struct json_cursor *c) {
        int depth = 0;

        do {
                skip_blanks(c);
                if (c->p >= c->end)
                        return false;
                if (*c->p == '"') {
                        if (!skip_string(c, NULL, NULL))
                                return false;
                } else if (*c->p == '{' || *c->p == '[') {
                        depth++;
                        c->p++;
                } else if (*c->p == '}' || *c->p == ']') {
                        depth--;
                        c->p++;
                } else if (*c->p == ',' || *c->p == ':') {
                        c->p++;
                } else {
                        while (c->p < c->end && !strchr(",:{}[]\" \t\r\n", *c->p))
                                c->p++;
                }
        } while (depth > 0);
        return depth == 0;
}

static bool key_is(const char *text, size_t len, const char *wanted) {
        return strlen(wanted) == len && memcmp(text, wanted, len) == 0;
}

static void walk_json(struct json_cursor *c) {
        for (size_t i = 0;; i++) {
                bool entered = false;
                const struct step *step = &c->steps->items[i];
                size_t index, len;
                const char *key;

                skip_blanks(c);
                c->best = c->p;
                if (i == c->steps->n)
                        return;
                if (take(c, '{')) {
                        while (!entered) {
                                const char *at;

                                skip_blanks(c);
                                at = c->p;
                                if (!skip_string(c, &key, &len) || !take(c, ':'))
                                        return;
                                if (key_is(key, len, step->name)) {
                                        c->best = at;
                                        if (c->at_key && i + 1 == c->steps->n)
                                                return;
                                        entered = true;
                                } else if (!skip_value(c) || !take(c, ',')) {
                                        return;
                                }
                        }
                } else if (take(c, '[') && step_index(step, &index)) {
                        for (; index > 0; index--)
                                if (!skip_value(c) || !take(c, ','))
                                        return;
                        skip_blanks(c);
                        if (c->p >= c->end || *c->p == ']')
                                return;
                } else {
                        return;
                }
        }
}

struct yaml_mark yaml_locate_json(const char *text, size_t len, const char *path, bool at_key) {
        struct steps steps = { 0 };
        struct json_cursor c = { .p = text, .end = text + len, .steps = &steps, .at_key = at_key, .best = text };
        struct yaml_mark mark = { 1, 1 };

        steps_parse(path, &steps);
        walk_json(&c);
        for (const char *p = text; p < MIN(c.best, c.end); p++) {
                mark.line += *p == '\n';
                mark.column = *p == '\n' ? 1 : mark.column + (((unsigned char)*p & 0xc0) != 0x80);
        }
        steps_release(&steps);
        return mark;
}
