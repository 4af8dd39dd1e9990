/* create.c - `husk create`: makes objects that must not exist yet, from files or (create.h) from the command line. */
#include "husk/create.h"

#include "server/field.h"
#include "base/str.h"
#include "husk/plan.h"
#include "husk/verbs.h"

static struct selection selection;
static const char *output_text, *template_text, *dry_run_text;
static bool save_config;
static enum dry_run dry_run;

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
        if (item->live && dry_run != DRY_RUN_CLIENT) /* the client alone would not know */
                return error_new(ERROR_ALREADY_EXISTS, "%s \"%s\" already exists", item->kind->plural, item->name);
        return NULL;
}

/* ---- what the verbs below it share ---- */

struct error *create_name(const struct cli *cli, const struct arguments *arguments, const char **ret) {
        if (arguments->n_words != 1)
                return usage_error("exactly one NAME is required, got %zu", arguments->n_words);
        *ret = arguments->words[0];
        return NULL;
}

struct error *create_object(struct cli *cli, json_t *object, const struct create_flags *flags) {
        const struct api_kind *kind = api_kind_of(field_text_or(object, "kind", ""));
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_json_ json_t *checked = NULL;
        struct error *err;

        err = dry_run_parse(flags->dry_run, &dry_run);
        if (!err)
                err = output_parse(flags->output, flags->template, &output);
        if (err)
                return err;
        if (kind->namespaced && cli->ns)
                json_object_set_new(field_make_object(object, "metadata"), "namespace", json_string(cli->ns));
        submit_check_new(kind, object, cli_namespace(cli), &diags, &checked);
        err = submit_mistakes(kind, object_name(object), &diags);
        if (!err && dry_run == DRY_RUN_NONE)
                err = submit_create(cli, kind, checked);
        else if (!err && dry_run == DRY_RUN_SERVER)
                err = submit_create_dry(cli, kind, checked);
        if (err)
                return err;
        _cleanup_free_ char *action = xasprintf("created%s", dry_run_suffix(dry_run));
        return output_result(&output, dry_run == DRY_RUN_CLIENT ? object : checked, action);
}

/* ---- the verb ---- */

/* `create pod`, `create deployment`: there are verbs for some types, for the others a manifest is needed. */
static struct error *unknown_type(const char *type) {
        _cleanup_free_ char *prefix = xasprintf("create %s", type);
        _cleanup_strbuf_ struct strbuf known = STRBUF_INIT;

        for (int pass = 0; pass < 2 && !known.len; pass++)
                for (const struct verb *v = verbs; v->name; v++)
                        if (str_starts_with(v->name, pass ? "create " : prefix))
                                strbuf_addf(&known, "%s`husk %s`", known.len ? ", " : "", v->name);
        return usage_error("husk create has no \"%s\"; expected %s, or -f FILE for anything else", type,
                           strbuf_str(&known));
}

struct error *create_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_plan_ struct plan plan = PLAN_INIT;
        struct error *err;

        if (arguments->n_words)
                return unknown_type(arguments->words[0]);
        if (!selection.filenames)
                return usage_error("must specify the objects with -f FILE");
        err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        if (!err)
                err = plan_make(cli, &selection, plan_one, &plan);
        return err ? err : plan_carry_out(cli, &plan, dry_run, &output);
}
