/* jsonpath.c - a JSONPath template filled in from a document. */
#include "api/jsonpath-private.h"

#include <stdio.h>

#include "base/str.h"

#define VALUES_MAX 1000000 /* looked at in one evaluation: repeated ".." and ranges multiply */

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

static struct error *eval_path(const struct path *path, json_t *current, struct values *ret);

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
        strv_sort((char **)names);
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
