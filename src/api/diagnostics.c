#include "api/diagnostics.h"
#include "base/str.h"

struct field_path field_path_child(const struct field_path *parent, const char *name) {
        return (struct field_path){ .parent = parent, .name = name };
}

struct field_path field_path_index(const struct field_path *parent, size_t index) {
        return (struct field_path){ .parent = parent, .index = index };
}

struct field_path field_path_key(const struct field_path *parent, const char *key) {
        return (struct field_path){ .parent = parent, .name = key, .is_key = true };
}

static void path_add(struct strbuf *b, const struct field_path *path) {
        if (!path)
                return;
        path_add(b, path->parent);
        if (!path->name)
                strbuf_addf(b, "[%zu]", path->index);
        else if (path->is_key)
                strbuf_addf(b, "[%s]", path->name);
        else
                strbuf_addf(b, "%s%s", b->len > 0 ? "." : "", path->name);
}

char *field_path_string(const struct field_path *path) {
        struct strbuf b = STRBUF_INIT;

        path_add(&b, path);
        return strbuf_take(&b);
}

/* The name in the API's status.details.causes, and what stands between path and detail. */
static const struct {
        const char *name;
        const char *words;
        bool hides_value;
} causes[_DIAGNOSTIC_CAUSE_MAX] = {
        [DIAGNOSTIC_REQUIRED] = { "FieldValueRequired", "Required value", true },
        [DIAGNOSTIC_INVALID] = { "FieldValueInvalid", "Invalid value" },
        [DIAGNOSTIC_DUPLICATE] = { "FieldValueDuplicate", "Duplicate value" },
        [DIAGNOSTIC_NOT_SUPPORTED] = { "FieldValueNotSupported", "Unsupported value" },
        [DIAGNOSTIC_FORBIDDEN] = { "FieldValueForbidden", "Forbidden", true },
        [DIAGNOSTIC_TOO_LONG] = { "FieldValueTooLong", "Too long", true },
        [DIAGNOSTIC_NOT_FOUND] = { "FieldValueNotFound", "Not found" },
        [DIAGNOSTIC_TOO_MANY] = { "FieldValueTooMany", "Too many" },
        [DIAGNOSTIC_TYPE_INVALID] = { "FieldValueTypeInvalid", "Invalid value", true },
        [DIAGNOSTIC_UNKNOWN_FIELD] = { "UnknownField", "unknown field" },
        [DIAGNOSTIC_DECODE] = { "FieldValueTypeInvalid", NULL },
        [DIAGNOSTIC_UNSUPPORTED] = { "FieldValueForbidden", NULL },
};

const char *diagnostic_cause_string(enum diagnostic_cause cause) {
        return causes[cause].name;
}

void diagnostics_release(struct diagnostics *diags) {
        for (size_t i = 0; i < diags->n; i++) {
                free(diags->items[i].path);
                free(diags->items[i].value);
                free(diags->items[i].detail);
                strv_free(diags->items[i].places);
        }
        free(diags->items);
        *diags = (struct diagnostics)DIAGNOSTICS_INIT;
}

/* All three strings are taken over. */
static struct diagnostic *add_take(struct diagnostics *diags, enum diagnostic_cause cause, char *path, char *value,
                                   char *detail) {
        struct diagnostic *d;

        diags->items = xreallocarray(diags->items, diags->n + 1, sizeof(*diags->items));
        d = &diags->items[diags->n++];
        *d = (struct diagnostic){ .cause = cause, .path = path, .value = value, .detail = detail };
        d->at_key = cause == DIAGNOSTIC_UNKNOWN_FIELD || cause == DIAGNOSTIC_UNSUPPORTED;
        return d;
}

static char *quote(const char *s) {
        struct strbuf b = STRBUF_INIT;

        strbuf_add_quoted(&b, s);
        return strbuf_take(&b);
}

static char *format_detail(const char *format, va_list ap) {
        return format ? xvasprintf(format, ap) : NULL;
}

#define DETAIL(detail, format) \
        do { \
                va_list _ap; \
                va_start(_ap, format); \
                (detail) = format_detail(format, _ap); \
                va_end(_ap); \
        } while (0)

void diagnostics_add(struct diagnostics *diags, enum diagnostic_cause cause, const struct field_path *path,
                     const char *format, ...) {
        char *detail;

        DETAIL(detail, format);
        add_take(diags, cause, field_path_string(path), NULL, detail);
}

void diagnostics_add_string(struct diagnostics *diags, enum diagnostic_cause cause, const struct field_path *path,
                            const char *value, const char *format, ...) {
        char *detail;

        DETAIL(detail, format);
        add_take(diags, cause, field_path_string(path), quote(value ? value : ""), detail);
}

void diagnostics_add_int(struct diagnostics *diags, enum diagnostic_cause cause, const struct field_path *path,
                         int64_t value, const char *format, ...) {
        char *detail;

        DETAIL(detail, format);
        add_take(diags, cause, field_path_string(path), xasprintf("%lld", (long long)value), detail);
}

void diagnostics_add_json(struct diagnostics *diags, enum diagnostic_cause cause, const struct field_path *path,
                          const json_t *value, const char *format, ...) {
        char *detail, *text;

        DETAIL(detail, format);
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
        add_take(diags, cause, field_path_string(path), text ? text : xstrdup("null"), detail);
}

void diagnostics_add_unsupported_value(struct diagnostics *diags, const struct field_path *path, const char *value,
                                       const char *const *words) {
        struct strbuf b = STRBUF_INIT;

        strbuf_adds(&b, "supported values: ");
        for (size_t i = 0; words[i]; i++)
                strbuf_addf(&b, "%s\"%s\"", i > 0 ? ", " : "", words[i]);
        add_take(diags, DIAGNOSTIC_NOT_SUPPORTED, field_path_string(path), quote(value ? value : ""), strbuf_take(&b));
}

void diagnostics_add_at(struct diagnostics *diags, enum diagnostic_cause cause, const char *path, const char *value,
                        const char *format, ...) {
        char *detail;

        DETAIL(detail, format);
        add_take(diags, cause, xstrdup(path), xstrdup(value), detail);
}

void diagnostics_set_places(struct diagnostics *diags, char **places) {
        strv_free(diags->items[diags->n - 1].places);
        diags->items[diags->n - 1].places = places;
}

char *diagnostic_message(const struct diagnostic *d) {
        struct strbuf b = STRBUF_INIT;
        const char *words = causes[d->cause].words;

        if (*d->path)
                strbuf_addf(&b, "%s: ", d->path);
        if (words)
                strbuf_adds(&b, words);
        if (words && d->value && !causes[d->cause].hides_value)
                strbuf_addf(&b, ": %s", d->value);
        if (d->detail && *d->detail)
                strbuf_addf(&b, "%s%s", !words ? "" : d->cause == DIAGNOSTIC_UNKNOWN_FIELD ? "; " : ": ", d->detail);
        return strbuf_take(&b);
}

struct error *diagnostics_error(const struct diagnostics *diags) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
        enum error_reason reason = ERROR_INVALID;

        if (diags->n == 0)
                return NULL;
        for (size_t i = 0; i < diags->n; i++) {
                _cleanup_free_ char *message = diagnostic_message(&diags->items[i]);

                strbuf_addf(&b, "%s%s", i > 0 ? ", " : "", message);
                if (diags->items[i].cause == DIAGNOSTIC_UNKNOWN_FIELD || diags->items[i].cause == DIAGNOSTIC_DECODE)
                        reason = ERROR_BAD_REQUEST;
        }
        return diags->n == 1 ? error_new(reason, "%s", b.data) : error_new(reason, "[%s]", b.data);
}
