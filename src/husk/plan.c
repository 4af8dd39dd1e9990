#include "husk/plan.h"

#include <stdio.h>

#include "api/patch.h"
#include "base/str.h"
#include "server/classes.h"
#include "server/field.h"
#include "husk/submit.h"
#include "husk/unknown-field.h"
#include "server/object.h"
#include "server/supervisor.h"

/* As kubectl. submit_update() bears with what changes beside the object, a status; here the decision is made anew. */
#define CONFLICT_RETRIES 5

static struct plan_item *plan_add(struct plan *plan) {
        plan->items = xreallocarray(plan->items, plan->n + 1, sizeof(*plan->items));
        plan->items[plan->n] = (struct plan_item){ 0 };
        return &plan->items[plan->n++];
}

void plan_release(struct plan *plan) {
        for (size_t i = 0; i < plan->n; i++) {
                json_decref(plan->items[i].live);
                json_decref(plan->items[i].object);
        }
        free(plan->items);
        plan->manifest = manifest_free(plan->manifest);
        *plan = (struct plan)PLAN_INIT;
}

/* Stable: documents of one rank keep their order. */
static void plan_sort(struct plan *plan) {
        for (size_t i = 1; i < plan->n; i++) {
                struct plan_item item = plan->items[i];
                size_t at = i;
                for (; at > 0 && object_rank(plan->items[at - 1].kind) > object_rank(item.kind); at--)
                        plan->items[at] = plan->items[at - 1];
                plan->items[at] = item;
        }
}

static bool same_object(const struct plan_item *a, const struct plan_item *b) {
        return a->kind == b->kind && streq_ptr(a->ns, b->ns) && *a->name && streq(a->name, b->name);
}

/* Two documents for one object: one of them is a slip. */
static void check_duplicate(const struct plan *plan, struct plan_item *item) {
        struct field_path metadata = field_path_child(NULL, "metadata");
        struct field_path name = field_path_child(&metadata, "name");

        for (const struct plan_item *other = plan->items; other < item; other++)
                if (same_object(other, item)) {
                        diagnostics_add_string(&item->document->diags, DIAGNOSTIC_DUPLICATE, &name, item->name, NULL);
                        return;
                }
}

/* The namespace exists, or a document before the others makes it. */
static struct error *check_namespace(struct cli *cli, const struct plan *plan, const struct plan_item *item) {
        _cleanup_json_ json_t *found = NULL;
        const struct api_kind *namespaces = api_kind_of("Namespace");
        struct store *store;
        struct error *err;

        if (!item->ns)
                return NULL;
        for (size_t i = 0; i < plan->n; i++)
                if (plan->items[i].kind == namespaces && streq(plan->items[i].name, item->ns))
                        return NULL;
        err = cli_store(cli, &store);
        if (err)
                return err;
        return store_get(store, namespaces, NULL, item->ns, &found);
}

static struct error *read_live(struct cli *cli, struct plan_item *item) {
        struct store *store;
        struct error *err = cli_store(cli, &store);

        if (err || !*item->name)
                return err;
        err = store_get(store, item->kind, item->ns, item->name, &item->live);
        return error_is(err, ERROR_NOT_FOUND) ? error_free(err) : err;
}

/* --validate: "true" and "false" are what "strict" and "ignore" were called before. */
static struct error *check_validate(const char *validate) {
        static const char *const known[] = { "strict", "true", "warn", "ignore", "false", NULL };

        if (!validate || strv_contains((char *const *)known, validate))
                return NULL;
        return usage_error(
                "invalid --validate option \"%s\"; must be one of: strict (or true), warn, ignore (or false)",
                validate);
}

static void leave_out_unknown(const char *validate, const struct api_kind *kind, struct manifest_document *document) {
        if (validate && !streq(validate, "strict") && !streq(validate, "true"))
                unknown_fields_remove(kind, document->json, streq(validate, "warn"));
}

static struct error *add_document(struct cli *cli, struct plan *plan, const struct selection *selection,
                                  struct manifest_document *document) {
        const struct api_kind *kind = api_kind_of_json(document->json, &document->diags);
        struct plan_item *item;

        if (!kind)
                return NULL;
        leave_out_unknown(selection->validate, kind, document);
        item = plan_add(plan);
        item->document = document;
        item->kind = kind;
        item->name = object_name(document->json);
        return namespace_of_document(cli, kind, document->json, &item->ns);
}

static bool document_matches(const struct selection *selection, const struct manifest_document *document) {
        return !selection->labels ||
               label_selector_matches(selection->labels, field_at(document->json, "metadata.labels"));
}

static struct error *add_documents(struct cli *cli, struct plan *plan, struct selection *selection) {
        struct error *err = NULL;

        if (selection->selector)
                err = label_selector_parse(selection->selector, &selection->labels);
        for (size_t i = 0; !err && i < plan->manifest->n; i++)
                if (document_matches(selection, plan->manifest->documents[i]))
                        err = add_document(cli, plan, selection, plan->manifest->documents[i]);
        return err;
}

/* Pods may name classes of the same files. */
static void add_classes(const struct plan *plan) {
        for (size_t i = 0; i < plan->n; i++)
                classes_add(plan->items[i].document->json);
}

static struct error *plan_mistakes(struct plan *plan) {
        /* None, if a file could not be read: its error says so. */
        size_t mistakes = plan->manifest ? manifest_mistakes(plan->manifest) : 0;

        if (!mistakes)
                return NULL;
        _cleanup_free_ char *text = manifest_explain(plan->manifest);
        fputs(text, stderr);
        return usage_error("%zu mistake%s; nothing was changed", mistakes, mistakes == 1 ? "" : "s");
}

/* One object was refused for another reason than its text: `error when creating "pod.yaml": pods "web" already exists`,
 * as kubectl has it. What the store answers of an apply names the object itself. */
static struct error *item_context(const struct cli *cli, const struct plan_item *item, struct error *err) {
        bool is_answer =
                error_is(err, ERROR_NOT_FOUND) || error_is(err, ERROR_ALREADY_EXISTS) || error_is(err, ERROR_CONFLICT);
        const char *file = item->document->file->name;

        if (streq(cli->verb->name, "create"))
                return error_context(err, "error when creating \"%s\"", file);
        if (streq(cli->verb->name, "replace"))
                return error_context(err, "error when replacing \"%s\"", file);
        return is_answer ? err : error_context(err, "%s", file);
}

struct error *plan_make(struct cli *cli, struct selection *selection, plan_decide decide, struct plan *ret) {
        _cleanup_plan_ struct plan plan = PLAN_INIT;
        struct error *err;

        err = check_validate(selection->validate);
        if (!err)
                err = selection_read_files(selection, &plan.manifest);
        if (err)
                return err;
        err = add_documents(cli, &plan, selection);
        add_classes(&plan);
        for (size_t i = 0; !err && i < plan.n; i++) {
                struct plan_item *item = &plan.items[i];
                check_duplicate(&plan, item);
                err = read_live(cli, item);
                if (!err)
                        err = decide(item);
                if (!err && !item->live)
                        err = check_namespace(cli, &plan, item);
                if (err)
                        err = item_context(cli, item, err);
        }
        /* Mistakes in the text are said in any case: they may be why the rest went wrong. */
        struct error *mistakes = plan_mistakes(&plan);
        if (mistakes) {
                error_free(err);
                return mistakes;
        }
        if (err)
                return err;
        plan_sort(&plan);
        plan.decide = decide;
        *ret = plan;
        plan = (struct plan)PLAN_INIT;
        return NULL;
}

json_t *plan_document(const struct plan_item *item) {
        json_t *document = json_deep_copy(item->document->json);

        if (item->ns)
                json_object_set_new(field_make_object(document, "metadata"), "namespace", json_string(item->ns));
        return document;
}

json_t *plan_document_saved(const struct plan_item *item) {
        _cleanup_json_ json_t *document = plan_document(item);
        json_t *saved = json_deep_copy(document);

        last_applied_set(saved, document);
        return saved;
}

static struct error *recreate(struct cli *cli, const struct plan *plan, struct plan_item *item) {
        struct error *err = NULL;

        if (item->live)
                err = delete_object(cli, item->kind, item->live, &plan->delete_options);
        if (error_is(err, ERROR_NOT_FOUND)) /* it may have gone with its owner just now */
                err = error_free(err);
        return err ? err : submit_create(cli, item->kind, item->object);
}

/* An applied pod is looked after, whatever has become of its supervisor. One that has ended needs none. */
static struct error *supervise_again(struct cli *cli, const struct plan_item *item) {
        const char *phase = field_text_or(item->live, "status.phase", ""),
                   *uid = field_text(item->live, "metadata.uid");
        struct store *store;
        struct error *err = cli_store(cli, &store);

        if (err || !streq(item->kind->kind, "Pod") || streq(phase, "Succeeded") || streq(phase, "Failed") ||
            supervisor_is_alive(store, uid))
                return err;
        return supervisor_start(store, uid);
}

static struct error *item_carry_out_once(struct cli *cli, const struct plan *plan, struct plan_item *item) {
        switch (item->action) {
        case PLAN_CREATE:
                return submit_create(cli, item->kind, item->object);
        case PLAN_UPDATE:
                return submit_update(cli, item->kind, item->object, item->live) ?: supervise_again(cli, item);
        case PLAN_RECREATE:
                return recreate(cli, plan, item);
        case PLAN_NOTHING:
                return supervise_again(cli, item);
        }
        return NULL;
}

/* Somebody changed the object meanwhile, as placing a pod does: what the document asks for is computed anew from what
 * it is now. Unless the document names the version that it is meant for. */
static struct error *decide_again(struct cli *cli, const struct plan *plan, struct plan_item *item) {
        json_decref(TAKE_PTR(item->live));
        json_decref(TAKE_PTR(item->object));
        struct error *err = read_live(cli, item);

        if (!err)
                err = plan->decide(item);
        if (!err && !item->object)
                err = error_new(ERROR_CONFLICT,
                                "%s \"%s\": the object has been modified, and what is asked for does not "
                                "go with what it is now; look at it and apply again",
                                item->kind->plural, item->name);
        return err;
}

static struct error *item_carry_out(struct cli *cli, const struct plan *plan, struct plan_item *item) {
        bool names_version = field_text(item->document->json, "metadata.resourceVersion") != NULL;
        struct error *err = item_carry_out_once(cli, plan, item);

        for (int i = 0; i < CONFLICT_RETRIES && error_is(err, ERROR_CONFLICT) && !names_version; i++) {
                error_free(err);
                err = decide_again(cli, plan, item);
                if (!err)
                        err = item_carry_out_once(cli, plan, item);
        }
        return err;
}

/* -o json of several objects is one List. */
static struct error *print_documents(const struct plan *plan, const struct output *output) {
        _cleanup_json_ json_t *items = json_array();

        for (size_t i = 0; i < plan->n; i++)
                if (!plan->items[i].failed)
                        json_array_append(items, plan->items[i].object);
        if (plan->n == 1)
                return output_print(output, plan->items[0].object);
        _cleanup_json_ json_t *list = output_list(items);
        return output_print(output, list);
}

struct error *plan_carry_out(struct cli *cli, struct plan *plan, enum dry_run dry_run, const struct output *output) {
        const char *update_word = streq(cli->verb->name, "replace") ? "replaced" : "configured";
        const char *const words[] = {
                [PLAN_NOTHING] = "unchanged",
                [PLAN_CREATE] = "created",
                [PLAN_UPDATE] = update_word,
                [PLAN_RECREATE] = "replaced",
        };

        for (size_t i = 0; i < plan->n; i++) {
                struct plan_item *item = &plan->items[i];
                struct error *err = dry_run == DRY_RUN_NONE ? item_carry_out(cli, plan, item) : NULL;
                if (err && plan->n == 1)
                        return item_context(cli, item, err);
                item->failed = err != NULL;
                if (err) /* what can be done is done, as kubectl has it */
                        cli_report(cli, item_context(cli, item, err));
                if (err || output_is_document(output))
                        continue;
                _cleanup_free_ char *action = xasprintf("%s%s", words[item->action], dry_run_suffix(dry_run));
                err = output_result(output, item->object, action);
                if (err)
                        return err;
        }
        return output_is_document(output) ? print_documents(plan, output) : NULL;
}
