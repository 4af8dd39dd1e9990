/* manifest.h - files as people write them: YAML with any number of documents, or JSON, from files, folders or a pipe.
 *
 * Text becomes documents; an object of kind List becomes its items. A document that is not valid YAML or JSON becomes a
 * diagnostic and the others are still read. Where something stands in the text is looked up only when it has to be
 * printed. */
#pragma once

#include "api/diagnostics.h"

struct manifest_file {
        char *name; /* as shown: "web.yaml", "STDIN" */
        char *text;
        size_t len;
        size_t searched; /* bytes read to look up places so far */
};

struct manifest_document {
        json_t *json; /* the object, never a List; NULL if the text could not be read */
        struct manifest_file *file;
        size_t offset, len; /* the document within the file's text */
        bool is_json;
        char *prefix;             /* path of the object in its document: "" or "items[2]" */
        struct diagnostics diags; /* syntax errors; the caller adds what decoding and validation find */
};

struct manifest {
        struct manifest_document **documents; /* in the order of the text */
        size_t n;
        struct manifest_file **files;
        size_t n_files;
};

struct manifest *manifest_new(void);
struct manifest *manifest_free(struct manifest *manifest); /* accepts NULL, returns NULL */
static inline void manifest_freep(struct manifest **manifest) {
        *manifest = manifest_free(*manifest);
}

#define MANIFEST_SIZE_MAX (16U * 1024 * 1024)

/* Adds the documents of a text. Mistakes in the text are in the documents' diags, not in the returned error. */
void manifest_add_text(struct manifest *manifest, const char *name, const char *text, size_t len);
/* Adds a file, "-" for standard input, or every *.yaml, *.yml and *.json of a folder in the order of their names. */
struct error *manifest_add_path(struct manifest *manifest, const char *path, bool recursive) _must_check_;

/* Number of mistakes in all documents. */
size_t manifest_mistakes(const struct manifest *manifest);
/* Looks up line and column of a document's diagnostics (of what is nearest, if a field is absent). Each costs reading
 * the document once more; in a huge file with many mistakes only the first ones are looked up. */
void manifest_locate(struct manifest_document *document);
/* All mistakes as a person reads them, in the order of the text:
 *     web.yaml:12:7: spec.containers[0].imagePulPolicy: unknown field; did you mean "imagePullPolicy"?
 *       12 |       imagePulPolicy: Always
 *          |       ^
 * "" if there are none; at most 100 are listed and the others counted. */
char *manifest_explain(struct manifest *manifest);
