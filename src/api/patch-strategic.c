/* Strategic merge patch and the three-way merge of `apply`: JSON merge that knows from the schema which lists are
 * really sets of named things.
 * https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/ and the API conventions
 * on strategic merge patch. */
#include "api/patch.h"
#include "base/str.h"

#define DIRECTIVE "$patch"
#define RETAIN_KEYS "$retainKeys"
#define SET_ORDER "$setElementOrder/"
#define DELETE_PRIMITIVES "$deleteFromPrimitiveList/"

/* What the schema says of the value behind a key. */
struct rule {
        const struct api_type *type; /* of the value or of a list's elements; NULL: nothing is known below */
        bool merge;                  /* a list is merged, not replaced */
        bool replace;                /* an object is replaced, not merged */
        bool retain_keys;            /* keys that a patch does not name are dropped */
        const char *key;             /* names a list's elements; NULL: they are plain values */
};

static struct rule rule_of(const struct api_type *type, const char *name) {
        const struct api_name *found = type && type->form == API_TYPE_STRUCT ? api_type_find(type, name) : NULL;
        const struct api_field *field = found ? api_name_field(found) : NULL;
        struct rule rule = { 0 };
        const char *strategy;

        if (!field)
                return rule;
        strategy = api_field_patch_strategy(field) ? api_field_patch_strategy(field) : "";
        rule.type = field->flags & API_FIELD_MAP ? NULL : api_field_type(field);
        rule.merge = str_starts_with(strategy, "merge");
        rule.replace = streq(strategy, "replace");
        rule.retain_keys = strstr(strategy, "retainKeys") != NULL;
        rule.key = api_field_merge_key(field);
        return rule;
}

static bool is_directive(const char *key) {
        return streq(key, DIRECTIVE) || streq(key, RETAIN_KEYS) || str_starts_with(key, SET_ORDER) ||
               str_starts_with(key, DELETE_PRIMITIVES);
}

static const char *directive_of(const json_t *json) {
        return json_string_value(json_object_get(json, DIRECTIVE));
}

/* A patch's value as a document's: directives, and nulls that remove nothing, are gone. */
static json_t *plain(const json_t *json) {
        json_t *value, *copy;
        const char *key;
        size_t i;

        if (json_is_array(json)) {
                copy = json_array();
                json_array_foreach((json_t *)json, i, value) if (!directive_of(value))
                        json_array_append_new(copy, plain(value));
                return copy;
        }
        if (!json_is_object(json))
                return json_deep_copy(json);
        copy = json_object();
        json_object_foreach((json_t *)json, key, value) if (!json_is_null(value) && !is_directive(key))
                json_object_set_new(copy, key, plain(value));
        return copy;
}

/* Are two elements of a list the same thing? By their key, or as values where there is none. */
static bool same_element(const json_t *a, const json_t *b, const char *key) {
        if (!key)
                return json_equal(a, b);
        a = json_object_get(a, key);
        return a && json_equal(a, json_object_get(b, key));
}

#define NOWHERE SIZE_MAX

static size_t index_of(const json_t *list, const json_t *element, const char *key) {
        size_t i;
        json_t *value;

        json_array_foreach((json_t *)list, i, value) if (same_element(value, element, key)) return i;
        return NOWHERE;
}

/* All elements of `list` that are (not) in `others`, in the order of `order`, what is not there last. */
static json_t *sorted_part(const json_t *list, const json_t *others, bool in_others, const json_t *order,
                           const char *key) {
        json_t *part = json_array(), *value, *wanted;
        size_t i, j;

        json_array_foreach((json_t *)order, i, wanted) {
                /* Each is taken once, although the order may name it twice. */
                if (index_of(order, wanted, key) != i)
                        continue;
                json_array_foreach((json_t *)list, j, value) if (same_element(value, wanted, key) &&
                                                                 (index_of(others, value, key) != NOWHERE) == in_others)
                        json_array_append(part, value);
        }
        json_array_foreach((json_t *)list, j, value) if (index_of(order, value, key) == NOWHERE &&
                                                         (index_of(others, value, key) != NOWHERE) == in_others)
                json_array_append(part, value);
        return part;
}

/* Puts a merged list into order: what the patch names stands in the patch's order, the rest where it stood between
 * its neighbours in the live list. */
static json_t *ordered(const json_t *merged, const json_t *patch_order, const json_t *live_order, const char *key) {
        json_auto_t *named = sorted_part(merged, patch_order, true, patch_order, key);
        json_auto_t *others = sorted_part(merged, patch_order, false, live_order, key);
        size_t i = 0, j = 0;
        json_t *result = json_array();

        while (i < json_array_size(others) || j < json_array_size(named)) {
                json_t *left = json_array_get(others, i), *right = json_array_get(named, j);
                size_t at_left = left ? index_of(live_order, left, key) : NOWHERE;
                size_t at_right = right ? index_of(live_order, right, key) : NOWHERE;
                bool take_left = !right || (left && at_left != NOWHERE && at_right != NOWHERE && at_left < at_right);

                json_array_append(result, take_left ? left : right);
                i += take_left;
                j += !take_left;
        }
        return result;
}

static struct error *merge_object(const struct api_type *type, json_t *document, const json_t *patch);

static struct error *needs_key(const json_t *element, const char *key) {
        if (json_object_get(element, key))
                return NULL;
        return error_new(ERROR_INVALID, "an element of a list does not contain its merge key: %s", key);
}

/* {$patch: delete, name: x} removes x; {$patch: replace} makes the patch's other elements the whole list. */
static struct error *obey_list_directives(json_t *list, const json_t *patch, const char *key, bool *ret_replace) {
        struct error *err;
        json_t *element;
        size_t i, at;

        *ret_replace = false;
        json_array_foreach((json_t *)patch, i, element) {
                const char *directive = directive_of(element);

                if (!directive)
                        continue;
                if (streq(directive, "replace")) {
                        *ret_replace = true;
                } else if (streq(directive, "delete")) {
                        err = needs_key(element, key);
                        if (err)
                                return err;
                        while ((at = index_of(list, element, key)) != NOWHERE)
                                json_array_remove(list, at);
                } else if (!streq(directive, "merge")) {
                        return error_new(ERROR_BAD_REQUEST, "unknown patch directive: %s", directive);
                }
        }
        return NULL;
}

static struct error *merge_elements(const struct rule *rule, json_t *list, const json_t *patch) {
        struct error *err;
        json_t *element;
        size_t i, at;

        json_array_foreach((json_t *)patch, i, element) {
                const char *directive = directive_of(element);

                if (directive && !streq(directive, "merge"))
                        continue;
                err = rule->key ? needs_key(element, rule->key) : NULL;
                if (err)
                        return err;
                at = index_of(list, element, rule->key);
                if (at == NOWHERE) {
                        json_array_append_new(list, plain(element));
                } else if (rule->key) {
                        err = merge_object(rule->type, json_array_get(list, at), element);
                        if (err)
                                return err;
                }
        }
        return NULL;
}

/* `order` is $setElementOrder's list or NULL. */
static struct error *merge_list(const struct rule *rule, const json_t *live, const json_t *patch, const json_t *order,
                                json_t **ret) {
        json_auto_t *list = json_deep_copy(live);
        bool replace = false;
        struct error *err;

        if (!rule->key && json_is_object(json_array_get(patch, 0)))
                return error_new(ERROR_INVALID, "cannot merge lists without merge key");
        err = rule->key ? obey_list_directives(list, patch, rule->key, &replace) : NULL;
        if (err)
                return err;
        if (replace) {
                *ret = plain(patch);
                return NULL;
        }
        err = merge_elements(rule, list, patch);
        if (err)
                return err;
        *ret = ordered(list, order ? order : patch, live, rule->key);
        return NULL;
}

static struct error *retain_keys(json_t *document, const json_t *patch, const json_t *keys) {
        json_auto_t *kept = json_object();
        const char *key;
        json_t *value;
        size_t i;

        if (!json_is_array(keys))
                return error_new(ERROR_BAD_REQUEST, RETAIN_KEYS " takes a list of keys");
        json_array_foreach((json_t *)keys, i, value) {
                key = json_string_value(value);
                if (!key)
                        return error_new(ERROR_BAD_REQUEST, RETAIN_KEYS " takes a list of keys");
                if (json_object_get(document, key))
                        json_object_set(kept, key, json_object_get(document, key));
        }
        json_object_foreach((json_t *)patch, key, value) {
                json_auto_t *name = json_string(key);

                if (!is_directive(key) && !json_is_null(value) && index_of(keys, name, NULL) == NOWHERE)
                        return error_new(ERROR_BAD_REQUEST, "\"%s\" is patched but not in " RETAIN_KEYS, key);
        }
        json_object_clear(document);
        json_object_update(document, kept);
        return NULL;
}

static struct error *delete_primitives(json_t *document, const char *name, const json_t *values) {
        json_t *list = json_object_get(document, name), *value;
        size_t i, at;

        if (!json_is_array(values))
                return error_new(ERROR_BAD_REQUEST, DELETE_PRIMITIVES "%s takes a list", name);
        json_array_foreach((json_t *)values, i, value) while ((at = index_of(list, value, NULL)) != NOWHERE)
                json_array_remove(list, at);
        return NULL;
}

static struct error *merge_value(const struct rule *rule, json_t *document, const char *name, const json_t *value,
                                 const json_t *order) {
        json_t *live = json_object_get(document, name), *merged = NULL;
        struct error *err;

        if (json_is_null(value)) {
                json_object_del(document, name);
        } else if (json_is_object(value) && json_is_object(live) && !rule->replace) {
                return merge_object(rule->type, live, value);
        } else if (json_is_array(value) && json_is_array(live) && rule->merge) {
                err = merge_list(rule, live, value, order, &merged);
                if (err)
                        return error_context(err, "%s", name);
                json_object_set_new(document, name, merged);
        } else {
                json_object_set_new(document, name, plain(value));
        }
        return NULL;
}

/* An order for a list that the patch says nothing else about. */
static void reorder(const struct rule *rule, json_t *document, const char *name, const json_t *order) {
        json_t *live = json_object_get(document, name);

        if (rule->merge && json_is_array(live) && json_is_array(order))
                json_object_set_new(document, name, ordered(live, order, live, rule->key));
}

/* Directives come first: they say how the rest is meant. */
static struct error *obey_object_directives(const struct api_type *type, json_t *document, const json_t *patch) {
        const json_t *keys = json_object_get(patch, RETAIN_KEYS);
        struct error *err = keys ? retain_keys(document, patch, keys) : NULL;
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)patch, key, value) {
                const char *name = strchr(key, '/');
                struct rule rule;

                if (err)
                        return err;
                if (str_starts_with(key, DELETE_PRIMITIVES)) {
                        err = delete_primitives(document, name + 1, value);
                } else if (str_starts_with(key, SET_ORDER) && !json_object_get(patch, name + 1)) {
                        rule = rule_of(type, name + 1);
                        reorder(&rule, document, name + 1, value);
                }
        }
        return err;
}

static struct error *merge_object(const struct api_type *type, json_t *document, const json_t *patch) {
        const char *directive = directive_of(patch), *key;
        struct error *err;
        json_t *value;

        if (directive && streq(directive, "replace")) {
                json_auto_t *whole = plain(patch);

                json_object_clear(document);
                json_object_update(document, whole);
                return NULL;
        }
        if (directive && streq(directive, "delete")) {
                json_object_clear(document);
                return NULL;
        }
        if (directive && !streq(directive, "merge"))
                return error_new(ERROR_BAD_REQUEST, "unknown patch directive: %s", directive);
        err = obey_object_directives(type, document, patch);
        if (err)
                return err;
        json_object_foreach((json_t *)patch, key, value) {
                struct rule rule = rule_of(type, key);
                _cleanup_free_ char *order = xasprintf(SET_ORDER "%s", key);

                if (is_directive(key))
                        continue;
                err = merge_value(&rule, document, key, value, json_object_get(patch, order));
                if (err)
                        return err;
        }
        return NULL;
}

struct error *patch_strategic(const struct api_type *type, const json_t *document, const json_t *patch, json_t **ret) {
        json_auto_t *result = NULL;
        struct error *err;

        if (!json_is_object(document) || !json_is_object(patch))
                return error_new(ERROR_BAD_REQUEST, "a strategic merge patch is an object");
        result = json_deep_copy(document);
        err = merge_object(type, result, patch);
        if (err)
                return err;
        *ret = TAKE_PTR(result);
        return NULL;
}

/* ---- apply ---- */

/* The nth element of a list that is the same thing as `element`. Two ports may have one number (TCP and UDP). */
static json_t *nth_same(const json_t *list, const json_t *element, const char *key, size_t n) {
        size_t i;
        json_t *value;

        json_array_foreach((json_t *)list, i, value) if (same_element(value, element, key) && n-- == 0) return value;
        return NULL;
}

/* How many elements before the ith are the same thing as it. */
static size_t occurrence(const json_t *list, size_t i, const char *key) {
        const json_t *element = json_array_get(list, i);
        size_t n = 0;

        for (size_t j = 0; j < i; j++)
                n += same_element(json_array_get(list, j), element, key);
        return n;
}

static void drop_other_keys(json_t *object, const json_t *kept) {
        const char *key;
        json_t *value;
        void *next;

        json_object_foreach_safe(object, next, key, value) if (!json_object_get(kept, key))
                json_object_del(object, key);
}

static bool has_keys(const json_t *list, const char *key) {
        size_t i;
        json_t *element;

        json_array_foreach((json_t *)list, i, element) if (!json_object_get(element, key)) return false;
        return true;
}

static json_t *three_way_list(const struct rule *rule, const json_t *last, const json_t *manifest, const json_t *live) {
        json_auto_t *merged = json_array();
        json_t *element;
        size_t i;

        json_array_foreach((json_t *)manifest, i, element) {
                size_t n = occurrence(manifest, i, rule->key);
                json_t *current = nth_same(live, element, rule->key, n), *result;

                if (!rule->key || !current) {
                        json_array_append_new(merged, plain(element));
                        continue;
                }
                result = patch_three_way(rule->type, nth_same(last, element, rule->key, n), element, current);
                if (rule->retain_keys)
                        drop_other_keys(result, element);
                json_array_append_new(merged, result);
        }
        /* What others added stays; what an earlier manifest had said goes. */
        json_array_foreach((json_t *)live, i, element) if (index_of(manifest, element, rule->key) == NOWHERE &&
                                                           index_of(last, element, rule->key) == NOWHERE)
                json_array_append_new(merged, json_deep_copy(element));
        return ordered(merged, manifest, live, rule->key);
}

static json_t *three_way_value(const struct rule *rule, const json_t *last, const json_t *manifest,
                               const json_t *live) {
        json_t *result;

        if (json_is_object(manifest) && json_is_object(live) && !rule->replace) {
                result = patch_three_way(rule->type, last, manifest, live);
                if (rule->retain_keys)
                        drop_other_keys(result, manifest);
                return result;
        }
        if (json_is_array(manifest) && json_is_array(live) && rule->merge &&
            (!rule->key || (has_keys(manifest, rule->key) && has_keys(live, rule->key))))
                return three_way_list(rule, last, manifest, live);
        return plain(manifest);
}

json_t *patch_three_way(const struct api_type *type, const json_t *last, const json_t *manifest, const json_t *live) {
        json_t *result = json_deep_copy(live), *value;
        const char *key;

        json_object_foreach((json_t *)last, key, value) if (!json_object_get(manifest, key))
                json_object_del(result, key);
        json_object_foreach((json_t *)manifest, key, value) {
                struct rule rule = rule_of(type, key);

                if (json_is_null(value))
                        json_object_del(result, key);
                else
                        json_object_set_new(
                                result, key,
                                three_way_value(&rule, json_object_get(last, key), value, json_object_get(live, key)));
        }
        return result;
}

char *last_applied_text(const json_t *manifest) {
        json_auto_t *copy = json_deep_copy(manifest);
        json_t *metadata = json_object_get(copy, "metadata"), *annotations;
        _cleanup_free_ char *text = NULL;

        if (!json_is_object(metadata)) {
                metadata = json_object();
                json_object_set_new(copy, "metadata", metadata);
        }
        annotations = json_object_get(metadata, "annotations");
        if (json_is_object(annotations))
                json_object_del(annotations, LAST_APPLIED_ANNOTATION);
        else
                json_object_set_new(metadata, "annotations", json_object());
        text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
        return xasprintf("%s\n", text ? text : "{}");
}

/* The object behind a key, made if there is none; NULL if there is something else. */
static json_t *object_at(json_t *json, const char *key) {
        json_t *value = json_object_get(json, key);

        if (!value || json_is_null(value)) {
                json_object_set_new(json, key, json_object());
                value = json_object_get(json, key);
        }
        return json_is_object(value) ? value : NULL;
}

void last_applied_set(json_t *object, const json_t *manifest) {
        json_t *metadata = object_at(object, "metadata");
        json_t *annotations = metadata ? object_at(metadata, "annotations") : NULL;
        _cleanup_free_ char *text = last_applied_text(manifest);

        if (annotations)
                json_object_set_new(annotations, LAST_APPLIED_ANNOTATION, json_string(text));
}

json_t *last_applied_of(const json_t *live) {
        const json_t *annotations = json_object_get(json_object_get(live, "metadata"), "annotations");
        const char *text = json_string_value(json_object_get(annotations, LAST_APPLIED_ANNOTATION));

        return text ? json_loads(text, 0, NULL) : NULL;
}

json_t *patch_apply(const struct api_type *type, const json_t *manifest, const json_t *live) {
        json_auto_t *last = last_applied_of(live);
        json_t *result = patch_three_way(type, last, manifest, live);

        last_applied_set(result, manifest);
        return result;
}
