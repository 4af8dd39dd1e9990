/* apply.c - `husk apply`: makes what files describe, changes what differs, leaves alone what is as it should be.
 *
 * All documents are read and checked before the first is stored: a file with a refused document changes nothing.
 * Changes are merged three ways, between what was applied last (kept in an annotation), what is applied now, and the
 * object as it is, so that what others have set since is kept and what was taken out of the file goes. */
#include "husk/apply.h"

#include "api/patch.h"

#include <stdio.h>

#include "base/str.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/plan.h"
#include "husk/selection.h"
#include "husk/submit.h"
#include "husk/verbs.h"

static struct selection selection;
static const char *output_text, *template_text, *dry_run_text, *cascade_text;
static bool force;
static int64_t grace = -1, timeout_ns;

const struct flag apply_flags[] = {
        FLAGS_FILENAME(selection),
        FLAG_DRY_RUN(dry_run_text),
        FLAG_OUTPUT(output_text),
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        { "selector", 'l', FLAG_TEXT, &selection.selector, "LABELS", NULL, "Only documents whose labels match" },
        { "force", 0, FLAG_BOOL, &force, NULL, NULL,
          "Delete and create anew what cannot be changed (a pod starts over)" },
        { "grace-period", 0, FLAG_NUMBER, &grace, "SECONDS", NULL, "With --force: time the pods get to end" },
        { "timeout", 0, FLAG_DURATION, &timeout_ns, NULL, NULL,
          "With --force: how long to wait for their end (0: for ever)" },
        FLAG_VALIDATE(selection),
        { "prune", 0, FLAG_REFUSED, NULL, NULL, NULL,
          "husk does not guess what is no longer wanted; name it: husk delete -l LABELS" },
        { "prune-allowlist", 0, FLAG_REFUSED, NULL, "KIND", NULL, "husk does not prune" },
        { "subresource", 0, FLAG_REFUSED, NULL, "NAME", NULL, "use `husk patch --subresource`" },
        FLAG_FIELD_MANAGER,
        { "server-side", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "there is no other side" },
        { "force-conflicts", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "owners of fields are not kept" },
        { "overwrite", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "what is applied is what counts" },
        { "openapi-patch", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "the schema is built in" },
        { "all", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "concerns --prune alone" },
        { "wait", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "--force always waits" },
        FLAG_CASCADE(cascade_text),
        { 0 },
};

/* --force: an object that must not become what it shall be is deleted and made anew. */
static bool must_recreate(struct plan_item *item, const json_t *merged) {
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_json_ json_t *changed = NULL, *fresh = plan_document_saved(item);

        submit_check_update(item->kind, merged, item->live, NULL, &diags, &changed);
        if (changed)
                return false;
        submit_check_new(item->kind, fresh, item->ns, &item->document->diags, &item->object);
        item->action = PLAN_RECREATE;
        return true;
}

/* Without the annotation nothing can be taken away that an earlier manifest had. */
static void warn_of_missing_annotation(const struct plan_item *item) {
        if (!json_object_get(field_at(item->live, "metadata.annotations"), LAST_APPLIED_ANNOTATION))
                fprintf(stderr,
                        "Warning: resource %s/%s is missing the " LAST_APPLIED_ANNOTATION
                        " annotation which is required by husk "
                        "apply. husk apply should only be used on resources created declaratively by husk apply. The "
                        "missing annotation will be patched automatically.\n",
                        item->kind->plural, item->name);
}

static struct error *plan_update(struct plan_item *item, const json_t *manifest) {
        if (field_text(item->live, "metadata.deletionTimestamp"))
                return error_new(ERROR_CONFLICT, "%s \"%s\" is being deleted; apply again when it is gone",
                                 item->kind->plural, item->name);
        warn_of_missing_annotation(item);
        _cleanup_json_ json_t *merged = patch_apply(api_type_of(item->kind->descriptor), manifest, item->live);
        if (force && must_recreate(item, merged))
                return NULL;
        submit_check_update(item->kind, merged, item->live, NULL, &item->document->diags, &item->object);
        item->action =
                item->object && submit_is_unchanged(item->kind, item->object, item->live) ? PLAN_NOTHING : PLAN_UPDATE;
        return NULL;
}

struct error *apply_decide(struct plan_item *item) {
        const char *prefix = field_text(item->document->json, "metadata.generateName");

        /* The next apply would not find what this one made. */
        if (!*item->name && prefix)
                return usage_error("from %s: cannot use generate name with apply", prefix);
        if (item->live) {
                _cleanup_json_ json_t *manifest = plan_document(item);
                return plan_update(item, manifest);
        }
        _cleanup_json_ json_t *fresh = plan_document_saved(item);
        item->action = PLAN_CREATE;
        submit_check_new(item->kind, fresh, item->ns, &item->document->diags, &item->object);
        return NULL;
}

struct error *apply_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_plan_ struct plan plan = PLAN_INIT;
        enum dry_run dry_run;
        struct error *err;

        if (arguments->n_words)
                return usage_error("unexpected args: %s", arguments->words[0]);
        if (!selection.filenames)
                return usage_error("must specify the objects with -f FILE");
        if (grace >= 0 && !force)
                return usage_error("--grace-period must have --force specified");
        enum cascade cascade;
        err = cascade_parse(cascade_text, &cascade);
        if (!err)
                err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        if (!err)
                err = plan_make(cli, &selection, apply_decide, &plan);
        if (err)
                return err;
        plan.delete_options =
                (struct delete_options){ .grace = grace, .wait = true, .timeout_ns = timeout_ns, .cascade = cascade };
        return plan_carry_out(cli, &plan, dry_run, &output);
}
