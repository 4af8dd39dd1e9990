/* patch.c - `husk patch`: changes parts of objects. */
#include "api/patch.h"

#include <stdio.h>

#include "api/yaml.h"
#include "base/file.h"
#include "husk/control.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/submit.h"
#include "husk/verbs.h"

#define PATCH_SIZE_MAX (4U << 20)

static struct selection selection;
static const char *type = "strategic", *patch_text, *patch_file, *subresource, *output_text, *template_text,
                  *dry_run_text;
static bool local;

const struct flag patch_flags[] = {
        { "patch", 'p', FLAG_TEXT, &patch_text, "PATCH", NULL, "The patch, JSON or YAML" },
        { "patch-file", 0, FLAG_TEXT, &patch_file, "FILE", NULL, "File that holds the patch" },
        { "type", 0, FLAG_TEXT, &type, "strategic|merge|json", NULL,
          "How it is to be read (default strategic: lists are merged by their keys)" },
        { "subresource", 0, FLAG_TEXT, &subresource, "NAME", NULL,
          "Patch this part of a pod: resize, ephemeralcontainers, status" },
        FLAGS_FILENAME(selection),
        FLAG_DRY_RUN(dry_run_text),
        FLAG_OUTPUT(output_text),
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        { "local", 0, FLAG_BOOL, &local, NULL, NULL, "Change what -f holds and print it; touch nothing here" },
        FLAG_FIELD_MANAGER,
        { 0 },
};

struct change {
        const struct api_kind *kind;
        const json_t *patch;
};

static struct error *change_object(json_t *object, void *arg) {
        const struct change *change = arg;
        _cleanup_json_ json_t *result = NULL;
        struct error *err = NULL;

        if (streq(type, "json"))
                err = patch_json(object, change->patch, &result);
        else if (streq(type, "merge"))
                result = patch_merge(object, change->patch);
        else
                err = patch_strategic(api_type_of(change->kind->descriptor), object, change->patch, &result);
        if (err)
                return err;
        if (!json_is_object(result))
                return usage_error("the patch leaves no object");
        json_object_clear(object);
        json_object_update(object, result);
        return NULL;
}

/* The conditions of a pod are its supervisor's; those that are not (readiness gates) are handed to it one by one. */
static struct error *change_conditions(struct cli *cli, const struct api_kind *kind, const json_t *live,
                                       struct change *change, json_t **ret) {
        _cleanup_json_ json_t *changed = json_deep_copy(live);
        struct store *store;
        struct error *err;
        json_t *condition;
        size_t i;

        err = cli_store(cli, &store);
        if (!err)
                err = change_object(changed, change);
        if (err)
                return err;
        json_array_foreach(field_at(changed, "status.conditions"), i, condition) {
                const char *name = field_text_or(condition, "type", "");
                if (json_equal(condition, field_find(live, "status.conditions", "type", name)))
                        continue;
                err = control_call(store, field_text_or(live, "metadata.uid", ""), "condition", json_incref(condition),
                                   NULL, 0, NULL, NULL, NULL);
                if (err)
                        return err;
        }
        *ret = json_incref(changed);
        return NULL;
}

static struct error *patch_one(struct cli *cli, const json_t *live, const json_t *patch, enum dry_run dry_run,
                               const struct output *output) {
        const struct api_kind *kind = api_kind_of(field_text_or(live, "kind", ""));
        struct change change = { kind, patch };
        _cleanup_json_ json_t *result = NULL;
        bool changed = true;
        struct error *err;

        if (subresource && streq(subresource, "status") && streq(kind->kind, "Pod") && dry_run == DRY_RUN_NONE)
                err = change_conditions(cli, kind, live, &change, &result);
        else
                err = submit_modify(cli, kind, object_namespace(live), object_name(live), subresource,
                                    dry_run != DRY_RUN_NONE, change_object, &change, &result, &changed);
        if (err)
                return err;
        _cleanup_free_ char *action = xasprintf("patched%s%s", changed ? "" : " (no change)", dry_run_suffix(dry_run));
        return output_result(output, result, action);
}

static struct error *patch_local(const json_t *object, const json_t *patch, const struct output *output) {
        _cleanup_json_ json_t *copy = json_deep_copy(object);
        struct change change = { .patch = patch };
        struct error *err = kind_parse(field_text_or(object, "kind", ""), &change.kind);

        if (!err)
                err = change_object(copy, &change);
        return err ? err : output_result(output, copy, json_equal(copy, object) ? "patched (no change)" : "patched");
}

static struct error *patch_read(json_t **ret) {
        _cleanup_free_ char *content = NULL;
        const char *text = patch_text;
        struct error *err;
        size_t len;

        if (!patch_text == !patch_file)
                return usage_error("must specify -p or --patch-file");
        if (patch_file) {
                err = file_read(patch_file, PATCH_SIZE_MAX, &content, &len);
                if (err)
                        return err;
                text = content;
        }
        err = yaml_parse(text, strlen(text), ret, NULL);
        if (!err && !*ret)
                err = usage_error("the patch is empty");
        return err ? error_context(err, "unable to parse the patch") : NULL;
}

static struct error *check_flags(void) {
        if (!streq(type, "strategic") && !streq(type, "merge") && !streq(type, "json"))
                return usage_error("--type must be one of [json merge strategic], not \"%s\"", type);
        if (subresource && !submit_subresource_is_known(subresource))
                return usage_error(
                        "invalid subresource value: \"%s\". Must be one of [ephemeralcontainers resize status]",
                        subresource);
        return NULL;
}

struct error *patch_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_json_ json_t *patch = NULL, *objects = NULL;
        enum dry_run dry_run;
        struct error *err;
        json_t *object;
        size_t i;

        err = check_flags();
        if (!err)
                err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        if (!err)
                err = patch_read(&patch);
        if (!err && local) {
                objects = json_array();
                err = selection_load_local(&selection, objects);
        } else if (!err)
                err = selection_parse(cli, &selection, arguments->words, arguments->n_words, NULL, &requests);
        if (err)
                return err;
        for (i = 0; i < requests.n; i++)
                if (!requests.items[i].name)
                        return usage_error("resource(s) were provided, but no name was specified");
        if (!local)
                objects = requests_load(cli, &requests, &selection);
        json_array_foreach(objects, i, object) cli_report(cli, local ? patch_local(object, patch, &output)
                                                                     : patch_one(cli, object, patch, dry_run, &output));
        return NULL;
}
