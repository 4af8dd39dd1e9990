/* JSON patch and JSON merge patch. */
#include "api/patch.h"
#include "base/str.h"

#define OPERATIONS_MAX 10000
#define COPIED_MAX 100000 /* values that "copy" operations may add: each can double the document */

/* An object or list without nulls in objects, which in a patch mean "remove" and have no meaning in a document. */
static json_t *without_nulls(const json_t *json) {
        const char *key;
        json_t *value, *copy;

        if (!json_is_object(json))
                return json_deep_copy(json);
        copy = json_object();
        json_object_foreach((json_t *)json, key, value) if (!json_is_null(value))
                json_object_set_new(copy, key, without_nulls(value));
        return copy;
}

static void merge_into(json_t *object, const json_t *patch) {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)patch, key, value) {
                json_t *member = json_object_get(object, key);

                if (json_is_null(value))
                        json_object_del(object, key);
                else if (json_is_object(value) && json_is_object(member))
                        merge_into(member, value);
                else
                        json_object_set_new(object, key, without_nulls(value));
        }
}

json_t *patch_merge(const json_t *document, const json_t *patch) {
        json_t *result;

        if (!json_is_object(patch) || !json_is_object(document))
                return without_nulls(patch);
        result = json_deep_copy(document);
        merge_into(result, patch);
        return result;
}

/* ---- RFC 6902 ---- */

/* Where a pointer points: a member of an object, or a place in a list. */
struct place {
        json_t *parent;
        char *key;    /* of an object */
        size_t index; /* in a list; its length is the place after the last element */
};

static void place_release(struct place *place) {
        free(place->key);
}

/* Takes the next part of a JSON pointer, which begins with a slash; ~1 is a slash and ~0 a tilde. */
static char *next_part(const char **pointer) {
        struct strbuf b = STRBUF_INIT;
        const char *p = *pointer + 1;

        for (; *p && *p != '/'; p++) {
                if (*p == '~' && (p[1] == '0' || p[1] == '1'))
                        strbuf_addc(&b, *++p == '0' ? '~' : '/');
                else
                        strbuf_addc(&b, *p);
        }
        *pointer = p;
        return strbuf_take(&b);
}

static bool list_index(const json_t *list, const char *part, size_t *ret) {
        uint64_t index;

        if (streq(part, "-")) {
                *ret = json_array_size(list);
                return true;
        }
        if (!str_to_u64(part, &index) || (part[0] == '0' && part[1]) || index > json_array_size(list))
                return false;
        *ret = index;
        return true;
}

static json_t *child_of(json_t *parent, const char *part) {
        size_t index;

        if (json_is_array(parent))
                return list_index(parent, part, &index) ? json_array_get(parent, index) : NULL;
        return json_object_get(parent, part);
}

/* The place that `pointer` names below `root`; all but its last part must exist. "" is the whole document and no place:
 * then ret->parent is NULL. */
static struct error *find_place(json_t *root, const char *pointer, struct place *ret) {
        const char *p = pointer;

        *ret = (struct place){ 0 };
        if (*p == '\0')
                return NULL;
        if (*p != '/')
                return error_new(ERROR_BAD_REQUEST, "\"%s\" is no JSON pointer: it begins with a slash", pointer);
        for (;;) {
                _cleanup_free_ char *part = next_part(&p);

                if (*p == '/') {
                        root = child_of(root, part);
                        if (!root)
                                return error_new(ERROR_INVALID, "there is no \"%.*s\"", (int)(p - pointer), pointer);
                        continue;
                }
                if (json_is_array(root) && !list_index(root, part, &ret->index))
                        return error_new(ERROR_INVALID, "\"%s\" is beyond the list, which has %zu elements", pointer,
                                         json_array_size(root));
                if (!json_is_array(root) && !json_is_object(root))
                        return error_new(ERROR_INVALID, "there is no \"%s\": its parent is neither object nor list",
                                         pointer);
                ret->parent = root;
                ret->key = TAKE_PTR(part);
                return NULL;
        }
}

static json_t *place_get(const struct place *place, json_t *root) {
        if (!place->parent)
                return root;
        return json_is_array(place->parent) ? json_array_get(place->parent, place->index)
                                            : json_object_get(place->parent, place->key);
}

/* value is taken over. */
static void place_add(const struct place *place, json_t **root, json_t *value) {
        if (!place->parent) {
                json_decref(*root);
                *root = value;
        } else if (json_is_array(place->parent)) {
                json_array_insert_new(place->parent, place->index, value);
        } else {
                json_object_set_new(place->parent, place->key, value);
        }
}

static void place_remove(const struct place *place, json_t **root) {
        if (!place->parent) {
                json_decref(*root);
                *root = json_null();
        } else if (json_is_array(place->parent)) {
                json_array_remove(place->parent, place->index);
        } else {
                json_object_del(place->parent, place->key);
        }
}

static size_t count_values(const json_t *json) {
        const char *key;
        json_t *value;
        size_t n = 1, i;

        json_object_foreach((json_t *)json, key, value) n += count_values(value);
        json_array_foreach((json_t *)json, i, value) n += count_values(value);
        return n;
}

struct patcher {
        json_t *root;
        size_t copied;
};

static struct error *no_such(const char *pointer) {
        return error_new(ERROR_INVALID, "there is no \"%s\"", pointer);
}

/* "copy" and "move": the value at `from`, taken away from there if it moves. */
static struct error *take_from(struct patcher *p, const char *from, bool move, json_t **ret) {
        _cleanup_(place_release) struct place place = { 0 };
        json_t *value;
        struct error *err = find_place(p->root, from, &place);

        if (err)
                return err;
        value = place_get(&place, p->root);
        if (!value)
                return no_such(from);
        if (!move) {
                p->copied += count_values(value);
                if (p->copied > COPIED_MAX)
                        return error_new(ERROR_INVALID, "copies more than %d values", COPIED_MAX);
                *ret = json_deep_copy(value);
                return NULL;
        }
        *ret = json_incref(value);
        place_remove(&place, &p->root);
        return NULL;
}

static struct error *add(struct patcher *p, const char *path, json_t *value) {
        _cleanup_(place_release) struct place place = { 0 };
        struct error *err = find_place(p->root, path, &place);

        if (err)
                json_decref(value);
        else
                place_add(&place, &p->root, value);
        return err;
}

static struct error *remove_or_replace(struct patcher *p, const char *path, json_t *value) {
        _cleanup_(place_release) struct place place = { 0 };
        struct error *err = find_place(p->root, path, &place);

        if (!err && !place_get(&place, p->root))
                err = no_such(path);
        if (err) {
                json_decref(value);
                return err;
        }
        if (!value)
                place_remove(&place, &p->root);
        else if (json_is_array(place.parent))
                json_array_set_new(place.parent, place.index, value);
        else
                place_add(&place, &p->root, value);
        return NULL;
}

static struct error *test(struct patcher *p, const char *path, const json_t *wanted) {
        _cleanup_(place_release) struct place place = { 0 };
        json_t *value;
        struct error *err = find_place(p->root, path, &place);

        if (err)
                return err;
        value = place_get(&place, p->root);
        if (value ? json_equal(value, wanted) : json_is_null(wanted))
                return NULL;
        return error_new(ERROR_INVALID, "testing value %s failed", path);
}

static bool is_below(const char *path, const char *ancestor) {
        return str_starts_with(path, ancestor) && path[strlen(ancestor)] == '/';
}

static struct error *operate(struct patcher *p, const json_t *operation) {
        const char *op = json_string_value(json_object_get(operation, "op"));
        const char *path = json_string_value(json_object_get(operation, "path"));
        const char *from = json_string_value(json_object_get(operation, "from"));
        json_t *value = json_object_get(operation, "value");
        struct error *err;

        if (!op || !path)
                return error_new(ERROR_BAD_REQUEST, "an operation needs op and path");
        if (streq(op, "remove"))
                return remove_or_replace(p, path, NULL);
        if (streq(op, "copy") || streq(op, "move")) {
                if (!from)
                        return error_new(ERROR_BAD_REQUEST, "%s needs from", op);
                if (streq(op, "move") && is_below(path, from))
                        return error_new(ERROR_INVALID, "\"%s\" cannot move into itself", from);
                err = take_from(p, from, streq(op, "move"), &value);
                return err ? err : add(p, path, value);
        }
        if (!streq(op, "add") && !streq(op, "replace") && !streq(op, "test"))
                return error_new(ERROR_BAD_REQUEST, "unknown operation \"%s\"", op);
        if (!value)
                return error_new(ERROR_BAD_REQUEST, "%s needs a value", op);
        if (streq(op, "test"))
                return test(p, path, value);
        return streq(op, "add") ? add(p, path, json_deep_copy(value))
                                : remove_or_replace(p, path, json_deep_copy(value));
}

struct error *patch_json(const json_t *document, const json_t *patch, json_t **ret) {
        struct patcher p = { 0 };
        struct error *err = NULL;
        size_t i;
        json_t *operation;

        if (!json_is_array(patch))
                return error_new(ERROR_BAD_REQUEST, "a JSON patch is a list of operations");
        if (json_array_size(patch) > OPERATIONS_MAX)
                return error_new(ERROR_BAD_REQUEST, "a JSON patch has at most %d operations", OPERATIONS_MAX);
        p.root = json_deep_copy(document);
        json_array_foreach((json_t *)patch, i, operation) {
                err = error_context(operate(&p, operation), "operation %zu", i);
                if (err)
                        break;
        }
        if (err)
                json_decref(p.root);
        else
                *ret = p.root;
        return err;
}
