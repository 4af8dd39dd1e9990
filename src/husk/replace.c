/* replace.c - `husk replace -f`: puts objects in the place of those that exist; with --force by deleting them first. */
#include "husk/delete.h"
#include "server/field.h"
#include "husk/plan.h"
#include "husk/verbs.h"

static struct selection selection;
static const char *output_text, *template_text, *dry_run_text, *cascade_text;
static bool force, save_config;
static int64_t grace = -1, timeout_ns;

const struct flag replace_flags[] = {
        FLAGS_FILENAME(selection),
        { "force", 0, FLAG_BOOL, &force, NULL, NULL, "Delete the objects and create them anew" },
        { "grace-period", 0, FLAG_NUMBER, &grace, "SECONDS", NULL, "With --force: time the pods get to end" },
        { "timeout", 0, FLAG_DURATION, &timeout_ns, NULL, NULL,
          "With --force: how long to wait for their end (0: for ever)" },
        FLAG_VALIDATE(selection),
        { "raw", 0, FLAG_REFUSED, NULL, "URI", NULL, "there is no server to send it to" },
        { "subresource", 0, FLAG_REFUSED, NULL, "NAME", NULL, "use `husk patch --subresource`" },
        FLAG_FIELD_MANAGER,
        { "wait", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "--force always waits" },
        { "save-config", 0, FLAG_BOOL, &save_config, NULL, NULL, "Let a later apply know what this manifest has" },
        FLAG_CASCADE(cascade_text),
        FLAG_DRY_RUN(dry_run_text),
        FLAG_OUTPUT(output_text),
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        { 0 },
};

static struct error *plan_one(struct plan_item *item) {
        struct diagnostics *diags = &item->document->diags;
        _cleanup_json_ json_t *document = save_config ? plan_document_saved(item) : plan_document(item);

        if (force) {
                item->action = PLAN_RECREATE;
                submit_check_new(item->kind, document, item->ns, diags, &item->object);
                return NULL;
        }
        if (!item->live)
                return error_new(ERROR_NOT_FOUND, "%s \"%s\" not found", item->kind->plural, item->name);
        item->action = PLAN_UPDATE;
        submit_check_update(item->kind, document, item->live, NULL, diags, &item->object);
        return NULL;
}

struct error *replace_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_plan_ struct plan plan = PLAN_INIT;
        enum dry_run dry_run;
        struct error *err;

        if (arguments->n_words || !selection.filenames)
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
                err = plan_make(cli, &selection, plan_one, &plan);
        if (err)
                return err;
        plan.delete_options =
                (struct delete_options){ .grace = grace, .wait = true, .timeout_ns = timeout_ns, .cascade = cascade };
        return plan_carry_out(cli, &plan, dry_run, &output);
}
