/* columns.h - the columns of `husk get` for each kind: one table of rows a kind. */
#pragma once

#include <jansson.h>

#include "husk/table.h"

/* One column: either a path into the object or a function makes its text. */
struct column {
        const char *title; /* NULL ends a kind's columns */
        bool wide;         /* with -o wide only */
        const char *path;
        char *(*text)(const json_t *object, int64_t now);
};

/* Columns of a kind; NAME and AGE for one without a table of its own. */
const struct column *columns_of(const char *kind);

struct columns_style {
        bool wide;
        bool with_namespace;        /* -A: NAMESPACE first */
        bool with_labels;           /* --show-labels: LABELS last */
        char *const *label_columns; /* -L */
        const char *name_prefix;    /* "pod": NAME shows pod/x; NULL: x */
};
void columns_add_header(struct table *table, const struct column *columns, const struct columns_style *style);
void columns_add_row(struct table *table, const struct column *columns, const struct columns_style *style,
                     const json_t *object, int64_t now);

/* "RWO,ROX" */
char *access_modes(const json_t *modes);
/* "a=1,b=2", "<none>" for none. */
char *labels_format(const json_t *labels);
/* Its message without blanks and line ends around it. */
char *event_message(const json_t *event, int64_t now);
/* Newest moment an event tells of (lastTimestamp, series, eventTime, …), NULL if none. */
const char *event_last_seen(const json_t *event);
int64_t event_count(const json_t *event);
