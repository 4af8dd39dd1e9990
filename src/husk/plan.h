/* plan.h - what apply, create and replace are about to do with the documents of some files.
 *
 * First every document becomes an item: its kind, its namespace, the object of that name as it is now, and the checked
 * object that is to be stored. Only when no document has a mistake is anything carried out, in the order in which
 * objects need each other: namespaces, then configuration and storage, then pods. */
#pragma once

#include "husk/delete.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/submit.h"

enum plan_action {
        PLAN_NOTHING, /* as it should be */
        PLAN_CREATE,
        PLAN_UPDATE,
        PLAN_RECREATE, /* replace --force: delete, then create */
};

struct plan_item {
        struct manifest_document *document;
        const struct api_kind *kind;
        const char *ns;   /* NULL: cluster-wide */
        const char *name; /* "" if it is to be generated */
        json_t *live;     /* NULL: there is none */
        json_t *object;   /* to be stored */
        enum plan_action action;
        bool failed; /* to be carried out; the reason has been printed */
};

/* Sets action and object of an item from its document and `live`. */
typedef struct error *(*plan_decide)(struct plan_item *item);

struct plan {
        struct manifest *manifest;
        plan_decide decide;
        struct plan_item *items;
        size_t n;
        struct delete_options delete_options; /* of PLAN_RECREATE */
};
#define PLAN_INIT \
        { .delete_options = DELETE_OPTIONS_INIT }
void plan_release(struct plan *plan);
#define _cleanup_plan_ _cleanup_(plan_release)

/* Reads the files and lets `decide` set action and object of each item; mistakes go to its document's diags. If there
 * are any, they are printed with their places in the text and an error is returned. */
struct error *plan_make(struct cli *cli, struct selection *selection, plan_decide decide,
                        struct plan *ret) _must_check_;
/* The document in the namespace it goes to, as `apply` remembers it. New reference. */
json_t *plan_document(const struct plan_item *item);
/* The same, with itself in the annotation that a later `apply` compares with (--save-config). */
json_t *plan_document_saved(const struct plan_item *item);
/* Carries it out and prints what was done. */
struct error *plan_carry_out(struct cli *cli, struct plan *plan, enum dry_run dry_run,
                             const struct output *output) _must_check_;
