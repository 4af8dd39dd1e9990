/* jsonpath-parse.c - the text of a JSONPath template. */
#include "api/jsonpath-private.h"

#include "base/str.h"

#define NESTING_MAX 32 /* of ranges, filters and unions */

static void path_release(struct path *path) {
        for (size_t i = 0; i < path->n; i++) {
                struct step *step = &path->steps[i];

                free(step->name);
                path_release(&step->inner);
                path_release(&step->left.path);
                path_release(&step->right.path);
                json_decref(step->left.literal);
                json_decref(step->right.literal);
                for (size_t j = 0; j < step->n_members; j++)
                        path_release(&step->members[j]);
                free(step->members);
        }
        free(path->steps);
        *path = (struct path){ 0 };
}

static void nodes_free(struct node *nodes, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(nodes[i].text);
                path_release(&nodes[i].path);
                nodes_free(nodes[i].body, nodes[i].n_body);
        }
        free(nodes);
}

struct jsonpath *jsonpath_free(struct jsonpath *jsonpath) {
        if (!jsonpath)
                return NULL;
        nodes_free(jsonpath->nodes, jsonpath->n);
        free(jsonpath);
        return NULL;
}

/* ---- reading ---- */

struct reader {
        const char *start, *p;
        unsigned depth;
};

static struct error *fail(const struct reader *r, const char *what) {
        return error_new(ERROR_BAD_REQUEST, "jsonpath %s: %s at position %zu", r->start, what,
                         (size_t)(r->p - r->start) + 1);
}

static void skip_blanks(struct reader *r) {
        r->p += strspn(r->p, " \t\r\n");
}

static struct step *step_add(struct path *path, enum step_type type) {
        path->steps = xreallocarray(path->steps, path->n + 1, sizeof(*path->steps));
        path->steps[path->n] = (struct step){ .type = type };
        return &path->steps[path->n++];
}

/* A name up to what ends it; a backslash keeps the next character. */
static char *read_name(struct reader *r, const char *ends) {
        struct strbuf b = STRBUF_INIT;

        while (*r->p && !strchr(ends, *r->p)) {
                if (*r->p == '\\' && r->p[1])
                        r->p++;
                strbuf_addc(&b, *r->p++);
        }
        return strbuf_take(&b);
}

static struct error *read_quoted(struct reader *r, char **ret) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
        char quote = *r->p++;

        for (; *r->p && *r->p != quote; r->p++) {
                const char *escape;

                if (*r->p != '\\' || !r->p[1]) {
                        strbuf_addc(&b, *r->p);
                        continue;
                }
                r->p++;
                escape = strchr("n\nt\tr\ra\ab\bf\fv\v", *r->p);
                /* What is no escape keeps its backslash: 'a\.b' is a name. */
                if (escape && strchr("ntrabfv", *r->p))
                        strbuf_addc(&b, escape[1]);
                else if (strchr("\\\"'", *r->p))
                        strbuf_addc(&b, *r->p);
                else
                        strbuf_addf(&b, "\\%c", *r->p);
        }
        if (*r->p != quote)
                return fail(r, "a quote is not closed");
        r->p++;
        *ret = strbuf_take(&b);
        return NULL;
}

static struct error *read_path(struct reader *r, struct path *path);

/* ['name'] is a name, or a path where there is no such name: kubectl's own examples write ['metadata.name']. */
static struct error *add_quoted_field(struct reader *r, struct path *path) {
        _cleanup_free_ char *text = NULL, *dotted = NULL;
        struct step *step;
        struct error *err = read_quoted(r, &text);
        struct reader inner;

        if (err)
                return err;
        step = step_add(path, STEP_FIELD);
        dotted = xasprintf(".%s", text);
        inner = (struct reader){ .start = text, .p = text, .depth = r->depth };
        step->name = read_name(&inner, "");
        if (!strchr(text, '.'))
                return NULL;
        inner = (struct reader){ .start = dotted, .p = dotted, .depth = r->depth + 1 };
        if (inner.depth > NESTING_MAX)
                return NULL;
        err = read_path(&inner, &step->inner);
        if (err || *inner.p) {
                /* Then it is only a name. */
                path_release(&step->inner);
                error_free(err);
        }
        return NULL;
}

static bool read_int(struct reader *r, int64_t *ret) {
        size_t len = (*r->p == '-' || *r->p == '+') + strspn(r->p + (*r->p == '-' || *r->p == '+'), "0123456789");
        _cleanup_free_ char *text = xstrndup(r->p + (*r->p == '+'), len - (*r->p == '+' && len > 0));

        if (!str_to_i64(text, ret))
                return false;
        r->p += len;
        return true;
}

static struct error *read_slice(struct reader *r, struct path *path) {
        struct step *step = step_add(path, STEP_SLICE);
        size_t part = 0;

        for (;; part++) {
                skip_blanks(r);
                step->slice[part].known = read_int(r, &step->slice[part].value);
                skip_blanks(r);
                if (*r->p != ':' || part == 2)
                        break;
                r->p++;
        }
        if (part == 0) {
                if (!step->slice[0].known)
                        return fail(r, "not an index, a slice or a quoted name");
                /* [-1] has no end; [n] ends at n + 1 */
                step->slice[1].known = step->slice[0].value != -1;
                step->slice[1].value = step->slice[0].value + 1;
                step->slice[2].known = false;
                step->name = xstrdup(""); /* marks a single index: out of bounds is an error then */
        }
        if (step->slice[2].known && step->slice[2].value <= 0)
                return fail(r, "the step of a slice must be positive");
        return NULL;
}

static struct error *read_number(struct reader *r, json_t **ret) {
        size_t len = strspn(r->p, "+-0123456789.eE");
        _cleanup_free_ char *text = xstrndup(r->p, len);
        int64_t integer;
        char *end;
        double real;

        if (str_to_i64(text, &integer)) {
                *ret = json_integer(integer);
        } else {
                real = strtod(text, &end);
                if (end == text || *end)
                        return fail(r, "not a number");
                *ret = json_real(real);
        }
        if (!*ret)
                return fail(r, "not a number");
        r->p += len;
        return NULL;
}

static struct error *read_operand(struct reader *r, struct operand *operand) {
        _cleanup_free_ char *text = NULL;
        struct error *err;

        skip_blanks(r);
        if (*r->p == '"' || *r->p == '\'') {
                err = read_quoted(r, &text);
                if (!err)
                        operand->literal = json_string(text);
                return err || operand->literal ? err : fail(r, "a string is not valid UTF-8");
        }
        if (str_starts_with(r->p, "true") || str_starts_with(r->p, "false")) {
                operand->literal = json_boolean(*r->p == 't');
                r->p += *r->p == 't' ? 4 : 5;
                return NULL;
        }
        if (*r->p && strchr("+-0123456789", *r->p))
                return read_number(r, &operand->literal);
        if (*r->p != '@' && *r->p != '$' && *r->p != '.')
                return fail(r, "a filter compares @.paths, strings in quotes, numbers, true and false");
        return read_path(r, &operand->path);
}

static const struct {
        const char *text;
        enum comparison comparison;
} comparisons[] = {
        { "==", EQUAL },         { "!=", NOT_EQUAL }, { "<=", LESS_EQUAL },
        { ">=", GREATER_EQUAL }, { "<", LESS },       { ">", GREATER },
};

static struct error *read_filter(struct reader *r, struct path *path) {
        struct step *step = step_add(path, STEP_FILTER);
        struct error *err;

        r->p += strlen("?(");
        err = read_operand(r, &step->left);
        if (err)
                return err;
        skip_blanks(r);
        for (size_t i = 0; i < ARRAY_SIZE(comparisons) && step->comparison == EXISTS; i++)
                if (str_starts_with(r->p, comparisons[i].text)) {
                        step->comparison = comparisons[i].comparison;
                        r->p += strlen(comparisons[i].text);
                }
        if (step->comparison != EXISTS) {
                err = read_operand(r, &step->right);
                if (err)
                        return err;
        }
        skip_blanks(r);
        if (*r->p != ')')
                return fail(r, "a filter is not closed");
        r->p++;
        return NULL;
}

/* What stands between brackets, without commas. */
static struct error *read_member(struct reader *r, struct path *path) {
        skip_blanks(r);
        if (*r->p == '\'' || *r->p == '"')
                return add_quoted_field(r, path);
        if (*r->p == '*') {
                r->p++;
                step_add(path, STEP_WILDCARD);
                return NULL;
        }
        if (str_starts_with(r->p, "?("))
                return read_filter(r, path);
        if (*r->p == '.')
                return read_path(r, path);
        return read_slice(r, path);
}

static struct error *read_brackets(struct reader *r, struct path *path) {
        struct path *members = NULL;
        struct step *step;
        size_t n = 0;
        struct error *err = NULL;

        if (++r->depth > NESTING_MAX)
                return fail(r, "nested too deeply");
        do {
                r->p++;
                members = xreallocarray(members, n + 1, sizeof(*members));
                members[n] = (struct path){ 0 };
                err = read_member(r, &members[n++]);
                skip_blanks(r);
        } while (!err && *r->p == ',');
        if (!err && *r->p != ']')
                err = fail(r, "a bracket is not closed");
        r->depth--;
        step = step_add(path, STEP_UNION);
        step->members = members;
        step->n_members = n;
        if (err)
                return err;
        r->p++;
        return NULL;
}

/* Steps until something that is none of them. */
static struct error *read_path(struct reader *r, struct path *path) {
        if (*r->p == '@' || *r->p == '$')
                r->p++;
        for (;;) {
                struct error *err = NULL;

                if (str_starts_with(r->p, "..")) {
                        step_add(path, STEP_RECURSIVE);
                        r->p++;
                        if (r->p[1] == '[')
                                r->p++;
                } else if (*r->p == '.') {
                        _cleanup_free_ char *name = NULL;
                        const char *from = ++r->p;

                        name = read_name(r, " \t\r\n.,[]{}()$@=!<>\"'");
                        if (r->p - from == 1 && *from == '*')
                                step_add(path, STEP_WILDCARD);
                        else if (*name)
                                step_add(path, STEP_FIELD)->name = TAKE_PTR(name);
                } else if (*r->p == '[') {
                        err = read_brackets(r, path);
                } else {
                        return NULL;
                }
                if (err)
                        return err;
        }
}

static struct node *node_add(struct node **nodes, size_t *n, enum node_type type) {
        *nodes = xreallocarray(*nodes, *n + 1, sizeof(**nodes));
        (*nodes)[*n] = (struct node){ .type = type };
        return &(*nodes)[(*n)++];
}

static bool is_word(const struct reader *r, const char *word) {
        return str_starts_with(r->p, word) && (!r->p[strlen(word)] || strchr(" \t\r\n.[@$}", r->p[strlen(word)]));
}

static struct error *read_nodes(struct reader *r, bool in_range, struct node **nodes, size_t *n);

/* What stands between braces; *ret_end if it is {end}. */
static struct error *read_action(struct reader *r, struct node **nodes, size_t *n, bool *ret_end) {
        struct error *err = NULL;
        struct node *node;

        r->p++;
        skip_blanks(r);
        if (is_word(r, "end")) {
                *ret_end = true;
                r->p += strlen("end");
        } else if (is_word(r, "range")) {
                r->p += strlen("range");
                skip_blanks(r);
                node = node_add(nodes, n, NODE_RANGE);
                err = read_path(r, &node->path);
                skip_blanks(r);
                if (err)
                        return err;
                if (*r->p != '}')
                        return fail(r, "range takes a path");
                r->p++;
                if (++r->depth > NESTING_MAX)
                        return fail(r, "nested too deeply");
                err = read_nodes(r, true, &node->body, &node->n_body);
                r->depth--;
                return err;
        } else if (*r->p == '"' || *r->p == '\'') {
                node = node_add(nodes, n, NODE_TEXT);
                err = read_quoted(r, &node->text);
        } else if (*r->p && strchr("+-0123456789", *r->p)) {
                json_t *number = NULL;

                err = read_number(r, &number);
                if (!err)
                        node_add(nodes, n, NODE_TEXT)->text = jsonpath_value_text(number);
                json_decref(number);
        } else if (*r->p && strchr(".[@$", *r->p)) {
                node = node_add(nodes, n, NODE_PATH);
                err = read_path(r, &node->path);
        } else {
                return fail(r, "not a path (it begins with a dot)");
        }
        if (err)
                return err;
        skip_blanks(r);
        if (*r->p != '}')
                return fail(r, *r->p ? "unexpected character" : "a brace is not closed");
        r->p++;
        return NULL;
}

static struct error *read_nodes(struct reader *r, bool in_range, struct node **nodes, size_t *n) {
        while (*r->p) {
                size_t len = strcspn(r->p, "{");
                bool end = false;
                struct error *err;

                if (len > 0) {
                        node_add(nodes, n, NODE_TEXT)->text = xstrndup(r->p, len);
                        r->p += len;
                        continue;
                }
                err = read_action(r, nodes, n, &end);
                if (err)
                        return err;
                if (end && in_range)
                        return NULL;
                if (end)
                        return fail(r, "{end} without {range}");
        }
        return in_range ? fail(r, "{range} without {end}") : NULL;
}

struct error *jsonpath_parse(const char *text, struct jsonpath **ret) {
        _cleanup_(jsonpath_freep) struct jsonpath *jsonpath = new0(struct jsonpath);
        struct reader r = { .start = text, .p = text };
        struct error *err = read_nodes(&r, false, &jsonpath->nodes, &jsonpath->n);

        if (err)
                return err;
        *ret = TAKE_PTR(jsonpath);
        return NULL;
}

char *jsonpath_relax(const char *text) {
        size_t len = strlen(text);

        if (len >= 2 && text[0] == '{' && text[len - 1] == '}')
                return xstrdup(text);
        return xasprintf("{%s%s}", *text && strchr(".[@$", *text) ? "" : ".", text);
}
