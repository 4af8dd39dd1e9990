#include "server/field.h"

json_t *field_at(const json_t *object, const char *path) {
        while (object && *path) {
                size_t len = strcspn(path, ".");
                char key[128];

                if (len >= sizeof(key))
                        return NULL;
                memcpy(key, path, len);
                key[len] = '\0';
                object = json_object_get(object, key);
                path += len + (path[len] == '.');
        }
        return (json_t *)object;
}

const char *field_text(const json_t *object, const char *path) {
        return json_string_value(field_at(object, path));
}

const char *field_text_or(const json_t *object, const char *path, const char *otherwise) {
        const char *text = field_text(object, path);
        return text ? text : otherwise;
}

int64_t field_number(const json_t *object, const char *path, int64_t otherwise) {
        const json_t *value = field_at(object, path);
        return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool field_is_true(const json_t *object, const char *path) {
        return json_is_true(field_at(object, path));
}

json_t *field_find(const json_t *object, const char *path, const char *key, const char *value) {
        json_t *element;
        size_t i;

        json_array_foreach(field_at(object, path), i,
                           element) if (streq_ptr(field_text(element, key), value)) return element;
        return NULL;
}

const char *field_condition(const json_t *object, const char *type) {
        return field_text(field_find(object, "status.conditions", "type", type), "status");
}

json_t *field_make_object(json_t *object, const char *key) {
        json_t *value = json_object_get(object, key);

        if (!json_is_object(value)) {
                value = json_object();
                json_object_set_new(object, key, value);
        }
        return value;
}
