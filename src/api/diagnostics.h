/* diagnostics.h - mistakes found in what a user wrote: where, what kind, and words that help.
 *
 * Decoding, validation and the check for unsupported fields all add to one list, so that a person sees all mistakes of
 * a file at once. A diagnostic knows its path ("spec.containers[0].name"); line and column are looked up only when it
 * is printed (manifest.h). The words and causes are those of Kubernetes' field errors.
 *
 * Walkers carry the path as a chain of small structs on the stack, which becomes a string only when there is something
 * to say:
 *
 *     struct field_path spec = field_path_child(NULL, "spec");
 *     struct field_path containers = field_path_child(&spec, "containers");
 *     for (size_t i = 0; i < n; i++) {
 *             struct field_path container = field_path_index(&containers, i);
 *             struct field_path name = field_path_child(&container, "name");
 *             if (str_empty(c[i]->name))
 *                     diagnostics_add(diags, DIAGNOSTIC_REQUIRED, &name, NULL);
 *     }
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* One step of a path; NULL is the object itself. Points to its parent, so it must not outlive it. */
struct field_path {
        const struct field_path *parent;
        const char *name; /* .name, or the key in brackets if is_key; NULL for an index */
        size_t index;
        bool is_key;
};

struct field_path field_path_child(const struct field_path *parent, const char *name); /* spec.NAME */
struct field_path field_path_index(const struct field_path *parent, size_t index);     /* containers[INDEX] */
struct field_path field_path_key(const struct field_path *parent, const char *key);    /* labels[KEY] */
char *field_path_string(const struct field_path *path);                                /* "" for NULL */

enum diagnostic_cause {
        DIAGNOSTIC_REQUIRED,      /* FieldValueRequired: "Required value" */
        DIAGNOSTIC_INVALID,       /* FieldValueInvalid */
        DIAGNOSTIC_DUPLICATE,     /* FieldValueDuplicate */
        DIAGNOSTIC_NOT_SUPPORTED, /* FieldValueNotSupported: a word that is not in the list of words */
        DIAGNOSTIC_FORBIDDEN,     /* FieldValueForbidden */
        DIAGNOSTIC_TOO_LONG,      /* FieldValueTooLong */
        DIAGNOSTIC_NOT_FOUND,     /* FieldValueNotFound */
        DIAGNOSTIC_TOO_MANY,      /* FieldValueTooMany */
        DIAGNOSTIC_TYPE_INVALID,  /* FieldValueTypeInvalid */
        DIAGNOSTIC_UNKNOWN_FIELD, /* strict decoding: no such field */
        DIAGNOSTIC_DECODE,        /* strict decoding: a wrong type, a number out of range, not valid YAML */
        DIAGNOSTIC_UNSUPPORTED,   /* Kubernetes knows it, husk does not carry it out (yet) */
        _DIAGNOSTIC_CAUSE_MAX,
};

const char *diagnostic_cause_string(enum diagnostic_cause cause); /* "FieldValueRequired" */

struct diagnostic {
        enum diagnostic_cause cause;
        char *path;    /* "spec.containers[0].name"; "" is the object itself */
        char *value;   /* the bad value as it is shown: `"x"` or `70000`; NULL: none is shown */
        char *detail;  /* the sentence after the cause; NULL: none */
        bool at_key;   /* the mistake is the field's name, not its value: that is where the caret goes */
        char **places; /* paths that may be in the text although `path` says less: the caret goes to the first of them
                          that is there; NULL: to `path` */
        size_t line;   /* from 1; 0: not known (yet) */
        size_t column;
};

struct diagnostics {
        struct diagnostic *items;
        size_t n;
};
#define DIAGNOSTICS_INIT \
        { 0 }

void diagnostics_release(struct diagnostics *diags);
#define _cleanup_diagnostics_ _cleanup_(diagnostics_release)

/* Adds one; `format` may be NULL. The value shown: none, a string (shown in quotes), a number, or any JSON. */
void diagnostics_add(struct diagnostics *diags, enum diagnostic_cause cause, const struct field_path *path,
                     const char *format, ...) _printf_(4, 5);
void diagnostics_add_string(struct diagnostics *diags, enum diagnostic_cause cause, const struct field_path *path,
                            const char *value, const char *format, ...) _printf_(5, 6);
void diagnostics_add_int(struct diagnostics *diags, enum diagnostic_cause cause, const struct field_path *path,
                         int64_t value, const char *format, ...) _printf_(5, 6);
void diagnostics_add_json(struct diagnostics *diags, enum diagnostic_cause cause, const struct field_path *path,
                          const json_t *value, const char *format, ...) _printf_(5, 6);
/* FieldValueNotSupported: `Unsupported value: "x": supported values: "A", "B"`; words is NULL-terminated. */
void diagnostics_add_unsupported_value(struct diagnostics *diags, const struct field_path *path, const char *value,
                                       const char *const *words);
/* The same with a path that is a string already, copied; for paths that Kubernetes words oddly. */
void diagnostics_add_at(struct diagnostics *diags, enum diagnostic_cause cause, const char *path, const char *value,
                        const char *format, ...) _printf_(5, 6);

/* Where the caret of the one added last may go; the list is taken over. */
void diagnostics_set_places(struct diagnostics *diags, char **places);

/* `spec.containers[0].name: Invalid value: "A": must be …`, without file and position. */
char *diagnostic_message(const struct diagnostic *diagnostic);
/* One error of them all, one message after the other with ", " between and "[…]" around if several, as Kubernetes
 * joins them; reason ERROR_BAD_REQUEST if any could not be decoded, else ERROR_INVALID. NULL if there are none. */
struct error *diagnostics_error(const struct diagnostics *diags) _must_check_;
