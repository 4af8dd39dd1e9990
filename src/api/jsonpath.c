#include <stdio.h>

#include "api/jsonpath.h"
#include "base/str.h"

#define NESTING_MAX 32     /* of ranges, filters and unions */
#define VALUES_MAX 1000000 /* looked at in one evaluation: repeated ".." and ranges multiply */

enum step_type {
        STEP_FIELD,     /* .name, ['name'] */
        STEP_SLICE,     /* [1], [0:2], [::2] */
        STEP_WILDCARD,  /* *, [*] */
        STEP_RECURSIVE, /* .. */
        STEP_FILTER,    /* [?(@.x=="y")] */
        STEP_UNION,     /* [0,2], ['a','b'] */
};

struct path {
        struct step *steps;
        size_t n;
};

/* One side of a filter: a path, or a literal. */
struct operand {
        struct path path;
        json_t *literal;
};

enum comparison { EXISTS, EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL };

struct step {
        enum step_type type;
        char *name;        /* of a field, escapes resolved */
        struct path inner; /* ['a.b']: .a.b, in case there is no field "a.b" */
        struct {
                bool known;
                int64_t value;
        } slice[3]; /* from, to, step */
        struct operand left, right;
        enum comparison comparison;
        struct path *members; /* of a union */
        size_t n_members;
};

enum node_type { NODE_TEXT, NODE_PATH, NODE_RANGE };

/* A piece of the template. */
struct node {
        enum node_type type;
        char *text;
        struct path path;
        struct node *body; /* of a range */
        size_t n_body;
};

struct jsonpath {
        struct node *nodes;
        size_t n;
};

/* Values found so far; borrowed from the document. `work` counts over the whole evaluation. */
struct values {
        json_t **items;
        size_t n;
        size_t *work;
};

static void values_add(struct values *values, json_t *value) {
        if (!value)
                return;
        (*values->work)++;
        if ((values->n & (values->n - 1)) == 0)
                values->items = xreallocarray(values->items, values->n ? values->n * 2 : 1, sizeof(*values->items));
        values->items[values->n++] = value;
}

static void values_release(struct values *values) {
        free(values->items);
}
#define _cleanup_values_ _cleanup_(values_release)

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

/* ---- evaluating ---- */

static struct error *eval_path(const struct path *path, json_t *current, struct values *ret);

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Elements of a list, or an object's values in the order of their names. */
static void add_children(json_t *json, struct values *ret) {
        const char *name, **names;
        json_t *value;
        size_t i = 0;

        if (json_is_array(json))
                for (size_t j = 0; j < json_array_size(json); j++)
                        values_add(ret, json_array_get(json, j));
        if (!json_is_object(json))
                return;
        names = xcalloc(json_object_size(json) + 1, sizeof(*names));
        json_object_foreach(json, name, value) names[i++] = name;
        qsort(names, i, sizeof(*names), compare_names);
        for (size_t j = 0; j < i; j++)
                values_add(ret, json_object_get(json, names[j]));
        free(names);
}

/* Everything that has children, outermost first. */
static void add_descendants(json_t *json, struct values *ret) {
        _cleanup_values_ struct values children = { .work = ret->work };

        add_children(json, &children);
        if (children.n == 0)
                return;
        values_add(ret, json);
        for (size_t i = 0; i < children.n; i++)
                add_descendants(children.items[i], ret);
}

static struct error *eval_field(const struct step *step, json_t *json, struct values *ret) {
        json_t *value = json_object_get(json, step->name);

        if (!value && step->inner.n > 0)
                return eval_path(&step->inner, json, ret);
        values_add(ret, value);
        return NULL;
}

static struct error *eval_slice(const struct step *step, json_t *json, struct values *ret) {
        int64_t n = (int64_t)json_array_size(json), from = 0, to = n, by = 1;

        if (json_is_null(json))
                return NULL;
        if (!json_is_array(json))
                return error_new(ERROR_BAD_REQUEST, "jsonpath: an index needs a list");
        if (step->slice[0].known)
                from = step->slice[0].value < 0 ? step->slice[0].value + n : step->slice[0].value;
        if (step->slice[1].known)
                to = step->slice[1].value < 0 ||
                                     (step->slice[1].value == 0 && step->slice[0].known && step->slice[0].value < 0)
                             ? step->slice[1].value + n
                             : step->slice[1].value;
        if (step->slice[2].known)
                by = step->slice[2].value;
        if (step->name && (from < 0 || from >= n))
                return error_new(ERROR_BAD_REQUEST, "array index out of bounds: index %lld, length %lld",
                                 (long long)step->slice[0].value, (long long)n);
        for (int64_t i = MAX(from, 0); i < MIN(to, n); i += MIN(by, n))
                values_add(ret, json_array_get(json, (size_t)i));
        return NULL;
}

/* <0, 0, >0; false if the two cannot be compared. */
static bool compare(const json_t *a, const json_t *b, int *ret) {
        if (json_is_integer(a) && json_is_integer(b)) {
                *ret = json_integer_value(a) < json_integer_value(b) ? -1
                                                                     : json_integer_value(a) > json_integer_value(b);
                return true;
        }
        if (json_is_number(a) && json_is_number(b)) {
                *ret = json_number_value(a) < json_number_value(b) ? -1 : json_number_value(a) > json_number_value(b);
                return true;
        }
        if (json_is_string(a) && json_is_string(b)) {
                *ret = strcmp(json_string_value(a), json_string_value(b));
                return true;
        }
        if (json_is_boolean(a) && json_is_boolean(b)) {
                *ret = json_is_true(a) - json_is_true(b);
                return true;
        }
        return false;
}

static struct error *eval_operand(const struct operand *operand, json_t *current, struct values *ret) {
        if (!operand->literal)
                return eval_path(&operand->path, current, ret);
        values_add(ret, operand->literal);
        return NULL;
}

static struct error *passes(const struct step *step, json_t *element, size_t *work, bool *ret) {
        _cleanup_values_ struct values left = { .work = work }, right = { .work = work };
        int order;
        struct error *err = eval_operand(&step->left, element, &left);

        *ret = false;
        if (err)
                return err;
        if (step->comparison == EXISTS) {
                *ret = left.n > 0;
                return NULL;
        }
        err = eval_operand(&step->right, element, &right);
        if (err)
                return err;
        if (left.n == 0 || right.n == 0)
                return NULL;
        if (left.n > 1 || right.n > 1)
                return error_new(ERROR_BAD_REQUEST, "jsonpath: can only compare one element at a time");
        if (!compare(left.items[0], right.items[0], &order))
                return error_new(ERROR_BAD_REQUEST, "jsonpath: incompatible types for comparison");
        *ret = (step->comparison == EQUAL && order == 0) || (step->comparison == NOT_EQUAL && order != 0) ||
               (step->comparison == LESS && order < 0) || (step->comparison == LESS_EQUAL && order <= 0) ||
               (step->comparison == GREATER && order > 0) || (step->comparison == GREATER_EQUAL && order >= 0);
        return NULL;
}

static struct error *eval_filter(const struct step *step, json_t *json, struct values *ret) {
        if (json_is_null(json))
                return NULL;
        if (!json_is_array(json))
                return error_new(ERROR_BAD_REQUEST, "jsonpath: only a list can be filtered");
        for (size_t i = 0; i < json_array_size(json); i++) {
                bool pass;
                struct error *err = passes(step, json_array_get(json, i), ret->work, &pass);

                if (err)
                        return err;
                if (pass)
                        values_add(ret, json_array_get(json, i));
        }
        return NULL;
}

static struct error *eval_step(const struct step *step, json_t *json, struct values *ret) {
        struct error *err = NULL;

        switch (step->type) {
        case STEP_FIELD:
                return eval_field(step, json, ret);
        case STEP_SLICE:
                return eval_slice(step, json, ret);
        case STEP_WILDCARD:
                add_children(json, ret);
                break;
        case STEP_RECURSIVE:
                add_descendants(json, ret);
                break;
        case STEP_FILTER:
                return eval_filter(step, json, ret);
        case STEP_UNION:
                for (size_t i = 0; i < step->n_members && !err; i++)
                        err = eval_path(&step->members[i], json, ret);
                break;
        }
        return err;
}

static struct error *eval_path(const struct path *path, json_t *current, struct values *ret) {
        _cleanup_values_ struct values values = { .work = ret->work };

        values_add(&values, current);
        for (size_t i = 0; i < path->n; i++) {
                struct values next = { .work = ret->work };
                struct error *err = NULL;

                for (size_t j = 0; j < values.n && !err; j++) {
                        err = eval_step(&path->steps[i], values.items[j], &next);
                        if (!err && *ret->work > VALUES_MAX)
                                err = error_new(ERROR_BAD_REQUEST, "jsonpath: more than %d values", VALUES_MAX);
                }
                free(values.items);
                values = next;
                if (err)
                        return err;
        }
        for (size_t i = 0; i < values.n; i++)
                values_add(ret, values.items[i]);
        return NULL;
}

char *jsonpath_value_text(const json_t *json) {
        char text[40];

        if (json_is_string(json))
                return xstrdup(json_string_value(json));
        if (json_is_real(json)) {
                for (int digits = 15; digits <= 17; digits++) {
                        snprintf(text, sizeof(text), "%.*g", digits, json_real_value(json));
                        if (strtod(text, NULL) == json_real_value(json))
                                break;
                }
                return xstrdup(text);
        }
        return json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
}

/* Text goes to `b`, or values to `list`; the other one is NULL. */
static struct error *run(const struct node *nodes, size_t n, json_t *current, size_t *work, struct strbuf *b,
                         json_t *list) {
        for (size_t i = 0; i < n; i++) {
                _cleanup_values_ struct values values = { .work = work };
                const struct node *node = &nodes[i];
                struct error *err;

                if (node->type == NODE_TEXT) {
                        if (b)
                                strbuf_adds(b, node->text);
                        continue;
                }
                err = eval_path(&node->path, current, &values);
                for (size_t j = 0; j < values.n && !err; j++) {
                        if (node->type == NODE_RANGE) {
                                err = run(node->body, node->n_body, values.items[j], work, b, list);
                        } else if (b) {
                                _cleanup_free_ char *text = jsonpath_value_text(values.items[j]);
                                strbuf_addf(b, "%s%s", j > 0 ? " " : "", text ? text : "");
                        } else {
                                json_array_append(list, values.items[j]);
                        }
                }
                if (err)
                        return err;
        }
        return NULL;
}

struct error *jsonpath_print(const struct jsonpath *jsonpath, const json_t *json, char **ret) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
        size_t work = 0;
        struct error *err = run(jsonpath->nodes, jsonpath->n, (json_t *)json, &work, &b, NULL);

        if (err)
                return err;
        *ret = strbuf_take(&b);
        return NULL;
}

struct error *jsonpath_find(const struct jsonpath *jsonpath, const json_t *json, json_t **ret) {
        json_auto_t *list = json_array();
        size_t work = 0;
        struct error *err = run(jsonpath->nodes, jsonpath->n, (json_t *)json, &work, NULL, list);

        if (err)
                return err;
        *ret = TAKE_PTR(list);
        return NULL;
}
