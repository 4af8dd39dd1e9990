/* apply.c - `husk apply`: makes what files describe, changes what differs, leaves alone what is as it should be.
 *
 * All documents are read and checked before the first is stored: a file with a refused document changes nothing.
 * Changes are merged three ways, between what was applied last (kept in an annotation), what is applied now, and the
 * object as it is, so that what others have set since is kept and what was taken out of the file goes. */
#include "api/patch.h"
#include "base/str.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/plan.h"
#include "husk/selection.h"
#include "husk/submit.h"
#include "husk/verbs.h"

static struct selection selection;
static const char *output_text, *template_text, *dry_run_text;
static bool server_side, force_conflicts;
static const char *validate = "strict", *field_manager;

const struct flag apply_flags[] = {
        FLAGS_FILENAME(selection),
        FLAG_DRY_RUN(dry_run_text),
        { "output", 'o', FLAG_TEXT, &output_text, "FORMAT", NULL, "Print the objects as json, yaml, name, jsonpath=…" },
        { "template", 0, FLAG_TEXT, &template_text, "TEXT", NULL, "Template of -o jsonpath" },
        { "selector", 'l', FLAG_TEXT, &selection.selector, "LABELS", NULL, "Only documents whose labels match" },
        { "server-side", 0, FLAG_BOOL, &server_side, NULL, NULL, "Accepted for scripts; husk has no other side" },
        { "force-conflicts", 0, FLAG_BOOL, &force_conflicts, NULL, NULL, "Accepted for scripts, as --server-side" },
        { "field-manager", 0, FLAG_TEXT, &field_manager, "NAME", NULL,
          "Accepted for scripts; owners of fields are not kept" },
        { "validate", 0, FLAG_TEXT, &validate, "strict", "strict", "Unknown fields are always refused" },
        { 0 },
};

/* The document in the namespace it goes to. */
static json_t *manifest_of(const struct plan_item *item) {
        json_t *manifest = json_deep_copy(item->document->json);

        if (item->ns)
                json_object_set_new(field_make_object(manifest, "metadata"), "namespace", json_string(item->ns));
        return manifest;
}

static struct error *plan_update(struct plan_item *item, const json_t *manifest) {
        if (field_text(item->live, "metadata.deletionTimestamp"))
                return error_new(ERROR_CONFLICT, "%s \"%s\" is being deleted; apply again when it is gone",
                                 item->kind->plural, item->name);
        _cleanup_json_ json_t *merged = patch_apply(api_type_of(item->kind->descriptor), manifest, item->live);
        submit_check_update(item->kind, merged, item->live, NULL, &item->document->diags, &item->object);
        item->action =
                item->object && submit_is_unchanged(item->kind, item->object, item->live) ? PLAN_NOTHING : PLAN_UPDATE;
        return NULL;
}

static struct error *plan_one(struct plan_item *item) {
        _cleanup_json_ json_t *manifest = manifest_of(item);

        if (item->live)
                return plan_update(item, manifest);
        _cleanup_json_ json_t *written = json_deep_copy(manifest);
        last_applied_set(manifest, written);
        item->action = PLAN_CREATE;
        submit_check_new(item->kind, manifest, item->ns, &item->document->diags, &item->object);
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
                return usage_error("must specify one of -f and -k");
        err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        if (!err)
                err = plan_make(cli, &selection, plan_one, &plan);
        return err ? err : plan_carry_out(cli, &plan, dry_run, &output);
}
