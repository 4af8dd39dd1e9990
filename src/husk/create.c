/* create.c - `husk create -f`: makes objects that must not exist yet. */
#include "server/field.h"
#include "husk/plan.h"
#include "husk/verbs.h"

static struct selection selection;
static const char *output_text, *template_text, *dry_run_text;
static bool save_config;

const struct flag create_flags[] = {
        FLAGS_FILENAME(selection),
        FLAG_DRY_RUN(dry_run_text),
        FLAG_OUTPUT(output_text),
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        { "selector", 'l', FLAG_TEXT, &selection.selector, "LABELS", NULL, "Only documents whose labels match" },
        FLAG_VALIDATE(selection),
        { "raw", 0, FLAG_REFUSED, NULL, "URI", NULL, "there is no server to send it to" },
        { "edit", 0, FLAG_REFUSED, NULL, NULL, NULL, "edit the file first, or the object later with `husk edit`" },
        FLAG_FIELD_MANAGER,
        { "save-config", 0, FLAG_BOOL, &save_config, NULL, NULL, "Let a later apply know what this manifest has" },
        { "windows-line-endings", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "concerns --edit alone" },
        { 0 },
};

static struct error *plan_one(struct plan_item *item) {
        _cleanup_json_ json_t *document = save_config ? plan_document_saved(item) : plan_document(item);

        item->action = PLAN_CREATE;
        submit_check_new(item->kind, document, item->ns, &item->document->diags, &item->object);
        if (item->live)
                return error_new(ERROR_ALREADY_EXISTS, "%s \"%s\" already exists", item->kind->plural, item->name);
        return NULL;
}

struct error *create_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_plan_ struct plan plan = PLAN_INIT;
        enum dry_run dry_run;
        struct error *err;

        if (arguments->n_words || !selection.filenames)
                return usage_error("must specify the objects with -f FILE");
        err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        if (!err)
                err = plan_make(cli, &selection, plan_one, &plan);
        return err ? err : plan_carry_out(cli, &plan, dry_run, &output);
}
