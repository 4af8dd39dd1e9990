/* selection.h - which objects a command line means: files, TYPE NAME…, TYPE/NAME…, selectors, --all.
 *
 * Words and files become requests (a kind, a namespace, and a name or "all that match"); a request is loaded as often
 * as its verb wants to look. */
#pragma once

#include "api/api.h"
#include "api/manifest.h"
#include "api/selector.h"
#include "husk/cli.h"

/* What the flags say; the verb's table of flags points here. */
struct selection {
        char **filenames;
        bool recursive;
        const char *selector;
        const char *field_selector;
        bool all;
        bool all_namespaces;
        bool ignore_not_found;
        const char *validate; /* --validate: NULL is "strict" */
        /* made by selection_parse() */
        struct label_selector *labels;
        struct field_selector *fields;
};

/* Rows for a table of flags. */
#define FLAGS_FILENAME(s) \
        { "filename", \
          'f', \
          FLAG_TEXTS, \
          &(s).filenames, \
          "FILE|DIR|-", \
          NULL, \
          "Take the objects from this file, the manifests of this folder, or standard input" }, \
                { "recursive", 'R', FLAG_BOOL, &(s).recursive, NULL, NULL, "Look into the subfolders of -f too" }, { \
                "kustomize", 'k', FLAG_REFUSED, NULL, NULL, NULL, \
                        "husk does not build kustomizations; pipe them: kustomize build DIR | husk apply -f -" \
        }
#define FLAG_SELECTOR(s) \
        { \
                "selector", 'l', FLAG_TEXT, &(s).selector, "LABELS", NULL, \
                        "Only objects whose labels match, e.g. app=web,tier in (a,b),!old" \
        }
#define FLAG_FIELD_SELECTOR(s) \
        { \
                "field-selector", 0, FLAG_TEXT, &(s).field_selector, "FIELDS", NULL, \
                        "Only objects whose fields match, e.g. status.phase=Running" \
        }
#define FLAG_ALL(s) \
        { "all", 0, FLAG_BOOL, &(s).all, NULL, NULL, "All objects of these types in the namespace" }
#define FLAG_ALL_NAMESPACES(s) \
        { "all-namespaces", 'A', FLAG_BOOL, &(s).all_namespaces, NULL, NULL, "Objects of all namespaces" }
#define FLAG_IGNORE_NOT_FOUND(s) \
        { \
                "ignore-not-found", 0, FLAG_BOOL, &(s).ignore_not_found, NULL, NULL, \
                        "An object that does not exist is no error" \
        }

#define FLAG_VALIDATE(s) \
        { \
                "validate", 0, FLAG_TEXT, &(s).validate, "strict|warn|ignore", "strict", \
                        "Fields that no such object has are mistakes (default strict); or leave them out, with a " \
                        "warning or without" \
        }

struct request {
        const struct api_kind *kind;
        char *ns;   /* NULL: cluster-wide, or all namespaces */
        char *name; /* NULL: all that match the selection */
};

struct requests {
        struct request *items;
        size_t n;
};
#define REQUESTS_INIT \
        { 0 }
void requests_release(struct requests *requests);
#define _cleanup_requests_ _cleanup_(requests_release)

/* Files (if -f was given) or words to requests. `fallback` is the kind of a word that names none (logs POD); NULL:
 * the first word must be a type. */
struct error *selection_parse(struct cli *cli, struct selection *selection, char *const *words, size_t n_words,
                              const struct api_kind *fallback, struct requests *ret) _must_check_;
/* -f alone, for verbs that need the documents themselves. Mistakes of syntax are printed: an error then. */
struct error *selection_read_files(const struct selection *selection, struct manifest **ret) _must_check_;
/* The objects that -f holds, as they are written there, in an array: for --local. */
struct error *selection_load_local(const struct selection *selection, json_t *array) _must_check_;
/* The namespace of an object from a file: its own, which must be that of -n if both are given. */
struct error *namespace_of_document(struct cli *cli, const struct api_kind *kind, const json_t *object,
                                    const char **ret) _must_check_;

/* "po", "pod/x": the kind of a type's word. An unknown one is an error that suggests another. */
struct error *kind_parse(const char *word, const struct api_kind **ret) _must_check_;

/* Appends the objects of a request, as they are now, to an array. A named one that does not exist is ERROR_NOT_FOUND
 * (nothing with ignore_not_found). */
struct error *request_load(struct cli *cli, const struct request *request, const struct selection *selection,
                           json_t *array) _must_check_;
/* All requests, in one array; what cannot be loaded is reported and the others are loaded still. */
json_t *requests_load(struct cli *cli, const struct requests *requests, const struct selection *selection);

/* The pod that `word` names: "web", "pod/web". */
struct error *pod_load(struct cli *cli, const char *word, json_t **ret) _must_check_;

/* Events of the pods of a namespace (NULL: all), oldest first. They are kept with their pods, not in the store. */
struct error *events_load(struct cli *cli, const char *ns, json_t *array) _must_check_;
