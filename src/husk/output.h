/* output.h - the formats of -o: how an object or a list of them is printed. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "api/jsonpath.h"
#include "base/error.h"

enum output_format {
        OUTPUT_TABLE, /* no -o: what the verb prints for people */
        OUTPUT_WIDE,
        OUTPUT_JSON,
        OUTPUT_YAML,
        OUTPUT_NAME,
        OUTPUT_JSONPATH,
        OUTPUT_JSONPATH_AS_JSON,
        OUTPUT_CUSTOM_COLUMNS,
};

/* One column of -o custom-columns=NAME:.metadata.name,… */
struct output_column {
        char *title;
        struct jsonpath *path;
};

struct output {
        enum output_format format;
        struct jsonpath *template; /* of jsonpath= */
        struct output_column *columns;
        size_t n_columns;
        bool no_headers;
};
#define OUTPUT_INIT \
        { 0 }

/* Rows for a table of flags. */
#define FLAG_OUTPUT(var) \
        { "output", 'o', FLAG_TEXT, &(var), "FORMAT", NULL, "Print the objects as json, yaml, name, jsonpath=…" }
#define FLAG_TEMPLATE(var) \
        { "template", 0, FLAG_TEXT, &(var), "TEXT", NULL, "Template of -o jsonpath" }
#define FLAG_MISSING_KEYS \
        { \
                "allow-missing-template-keys", 0, FLAG_ACCEPTED, NULL, NULL, "true", \
                        "a field that an object lacks is printed as nothing" \
        }
#define FLAG_MANAGED_FIELDS \
        { "show-managed-fields", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "owners of fields are not kept" }
#define FLAG_FIELD_MANAGER \
        { "field-manager", 0, FLAG_ACCEPTED, NULL, "NAME", NULL, "owners of fields are not kept" }

/* Reads the text of -o (NULL: none). `template` is that of --template, for "-o jsonpath --template=…"; may be NULL. */
struct error *output_parse(const char *text, const char *template, struct output *ret) _must_check_;
void output_release(struct output *output);
#define _cleanup_output_ _cleanup_(output_release)

/* Is it for programs: one document for all objects? Else every object is a row or a line of its own. */
static inline bool output_is_document(const struct output *output) {
        return output->format != OUTPUT_TABLE && output->format != OUTPUT_WIDE && output->format != OUTPUT_NAME &&
               output->format != OUTPUT_CUSTOM_COLUMNS;
}

/* Prints one object, or a List (name and custom-columns print its items). Not for the formats that are tables. */
struct error *output_print(const struct output *output, const json_t *object) _must_check_;
/* The verbs that change objects: prints "pod/x created" (`action`; NULL: nothing), or with -o the object. */
struct error *output_result(const struct output *output, const json_t *object, const char *action) _must_check_;
/* -o json or -o yaml only, for what is no API object. */
struct error *output_document(const char *format, const json_t *document) _must_check_;

/* An array of objects as a List. Takes nothing; new reference. */
json_t *output_list(const json_t *items);
/* "pod/web"; owned by the caller. */
char *output_name(const json_t *object);
/* Standard output may be a pipe that nobody reads any more: an error then. */
struct error *output_flush(void) _must_check_;
