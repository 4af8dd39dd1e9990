/* create.c - `husk create -f`: makes objects that must not exist yet. */
#include "server/field.h"
#include "husk/plan.h"
#include "husk/verbs.h"

static struct selection selection;
static const char *output_text, *template_text, *dry_run_text;
static bool save_config;
static const char *validate = "strict";

const struct flag create_flags[] = {
        FLAGS_FILENAME(selection),
        FLAG_DRY_RUN(dry_run_text),
        { "output", 'o', FLAG_TEXT, &output_text, "FORMAT", NULL, "Print the objects as json, yaml, name, jsonpath=…" },
        { "template", 0, FLAG_TEXT, &template_text, "TEXT", NULL, "Template of -o jsonpath" },
        { "save-config", 0, FLAG_BOOL, &save_config, NULL, NULL,
          "Accepted for scripts: a later apply merges without it" },
        { "validate", 0, FLAG_TEXT, &validate, "strict", "strict", "Unknown fields are always refused" },
        { 0 },
};

static struct error *plan_one(struct plan_item *item) {
        item->action = PLAN_CREATE;
        submit_check_new(item->kind, item->document->json, item->ns, &item->document->diags, &item->object);
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
