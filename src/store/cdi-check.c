#include "store/cdi-check.h"

#include <ctype.h>

#include "base/str.h"

#define ENTRIES_MAX 4096

/* What a value must look like; NULL if it does. */
typedef const char *(*check)(const json_t *value);

/* One field of an object. */
struct field {
        const char *name;
        bool required;
        check check;                /* of the value, or, with `list`, of each element */
        const struct field *fields; /* of an object, ended by one without name */
        bool list;
};

/* ---- forms ---- */

static bool is_word(const char *text, size_t len, const char *more) {
        if (len == 0 || !isalnum((unsigned char)text[0]) || !isalnum((unsigned char)text[len - 1]))
                return false;
        for (size_t i = 0; i < len; i++)
                if (!isalnum((unsigned char)text[i]) && !strchr(more, text[i]))
                        return false;
        return true;
}

static const char *text(const json_t *value) {
        return json_is_string(value) ? NULL : "must be a string";
}

static const char *anything(const json_t *value) {
        return NULL;
}

static const char *version(const json_t *value) {
        const char *v = json_string_value(value);

        return v && (str_starts_with(v, "0.") || str_starts_with(v, "1.")) ? NULL : "must be 0.x or 1.x";
}

static const char *kind(const json_t *value) {
        const char *v = json_string_value(value), *slash = v ? strchr(v, '/') : NULL;

        return slash && is_word(v, (size_t)(slash - v), "-_.") && is_word(slash + 1, strlen(slash + 1), "-_.") &&
                               strlen(v) < 256
                       ? NULL
                       : "must be vendor/class";
}

static const char *device_name(const json_t *value) {
        const char *v = json_string_value(value);

        return v && is_word(v, strlen(v), "-_.:") && strlen(v) < 256 ? NULL : "must be a name of letters and digits";
}

static const char *path(const json_t *value) {
        const char *v = json_string_value(value);

        return v && *v == '/' ? NULL : "must be an absolute path";
}

static const char *assignment(const json_t *value) {
        const char *v = json_string_value(value), *equals = v ? strchr(v, '=') : NULL;

        return equals && equals > v ? NULL : "must be NAME=VALUE";
}

static const char *number(const json_t *value) {
        return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) < UINT32_MAX
                       ? NULL
                       : "must be a number from 0 to 4294967294";
}

static const char *mode(const json_t *value) {
        return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= 07777
                       ? NULL
                       : "must be a file mode";
}

static const char *device_type(const json_t *value) {
        const char *v = json_string_value(value);

        return v && (streq(v, "b") || streq(v, "c") || streq(v, "u") || streq(v, "p")) ? NULL : "must be b, c, u or p";
}

static const char *permissions(const json_t *value) {
        const char *v = json_string_value(value);

        return v && *v && strspn(v, "rwm") == strlen(v) ? NULL : "must be of r, w and m";
}

/* poststop would need the runtime to be asked to delete the container, which husk does without it. */
static const char *hook_name(const json_t *value) {
        static const char *const names[] = { "prestart", "createRuntime", "createContainer", "startContainer",
                                             "poststart" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (streq_ptr(json_string_value(value), names[i]))
                        return NULL;
        return "must be prestart, createRuntime, createContainer, startContainer or poststart";
}

/* ---- fields ---- */

static const struct field device_node_fields[] = { { "path", true, path },
                                                   { "hostPath", false, path },
                                                   { "type", false, device_type },
                                                   { "major", false, number },
                                                   { "minor", false, number },
                                                   { "fileMode", false, mode },
                                                   { "permissions", false, permissions },
                                                   { "uid", false, number },
                                                   { "gid", false, number },
                                                   { 0 } };
static const struct field mount_fields[] = { { "hostPath", true, text },
                                             { "containerPath", true, path },
                                             { "type", false, text },
                                             { "options", false, text, .list = true },
                                             { 0 } };
static const struct field hook_fields[] = {
        { "hookName", true, hook_name },       { "path", true, path },
        { "args", false, text, .list = true }, { "env", false, assignment, .list = true },
        { "timeout", false, number },          { 0 }
};
static const struct field edits_fields[] = { { "env", false, assignment, .list = true },
                                             { "deviceNodes", false, NULL, device_node_fields, .list = true },
                                             { "mounts", false, NULL, mount_fields, .list = true },
                                             { "hooks", false, NULL, hook_fields, .list = true },
                                             { "additionalGids", false, number, .list = true },
                                             { 0 } };
static const struct field device_fields[] = { { "name", true, device_name },
                                              { "annotations", false, anything },
                                              { "containerEdits", false, NULL, edits_fields },
                                              { 0 } };
static const struct field spec_fields[] = { { "cdiVersion", true, version },
                                            { "kind", true, kind },
                                            { "annotations", false, anything },
                                            { "devices", true, NULL, device_fields, .list = true },
                                            { "containerEdits", false, NULL, edits_fields },
                                            { 0 } };

/* ---- the walk ---- */

static struct error *check_object(const json_t *object, const struct field *fields, const char *at);

static struct error *check_value(const json_t *value, const struct field *field, const char *at) {
        const char *fault = field->check ? field->check(value) : NULL;

        if (fault)
                return error_new(ERROR_INVALID, "%s: %s", at, fault);
        return field->fields ? check_object(value, field->fields, at) : NULL;
}

static struct error *check_list(const json_t *list, const struct field *field, const char *at) {
        json_t *value;
        size_t i;

        if (!json_is_array(list))
                return error_new(ERROR_INVALID, "%s: must be a list", at);
        if (json_array_size(list) > ENTRIES_MAX)
                return error_new(ERROR_INVALID, "%s: has more than %d entries", at, ENTRIES_MAX);
        json_array_foreach(list, i, value) {
                _cleanup_free_ char *element = xasprintf("%s[%zu]", at, i);
                struct error *err = check_value(value, field, element);
                if (err)
                        return err;
        }
        return NULL;
}

static const struct field *field_of(const struct field *fields, const char *name) {
        for (; fields->name; fields++)
                if (streq(fields->name, name))
                        return fields;
        return NULL;
}

static struct error *check_object(const json_t *object, const struct field *fields, const char *at) {
        const char *dot = *at ? "." : "", *key;
        json_t *value;

        if (!json_is_object(object))
                return error_new(ERROR_INVALID, "%s: must have fields", *at ? at : "it");
        json_object_foreach((json_t *)object, key, value) {
                const struct field *field = field_of(fields, key);
                _cleanup_free_ char *child = xasprintf("%s%s%.100s", at, dot, key);
                struct error *err = NULL;

                if (!field)
                        return error_new(ERROR_NOT_SUPPORTED, "%s: husk does not know this field", child);
                err = field->list ? check_list(value, field, child) : check_value(value, field, child);
                if (err)
                        return err;
        }
        for (const struct field *field = fields; field->name; field++)
                if (field->required && !json_object_get(object, field->name))
                        return error_new(ERROR_INVALID, "%s%s%s: is required", at, dot, field->name);
        return NULL;
}

struct error *cdi_check_spec(const json_t *spec) {
        return check_object(spec, spec_fields, "");
}
