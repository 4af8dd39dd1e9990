/* diff.c - `husk diff`: what `husk apply` of the same files would change, shown by diff(1).
 *
 * Every object is written twice, as it is and as it would be, into two folders; a program compares them. */
#include <stdio.h>
#include <stdlib.h>

#include "api/patch.h"
#include "api/yaml.h"
#include "base/file.h"
#include "base/str.h"
#include "husk/apply.h"
#include "husk/scratch.h"
#include "husk/verbs.h"
#include "server/field.h"

#define EXIT_TROUBLE 2

static struct selection selection;

const struct flag diff_flags[] = {
        FLAGS_FILENAME(selection),
        { "selector", 'l', FLAG_TEXT, &selection.selector, "LABELS", NULL, "Only documents whose labels match" },
        { "prune", 0, FLAG_REFUSED, NULL, NULL, NULL, "husk does not guess what is no longer wanted" },
        { "prune-allowlist", 0, FLAG_REFUSED, NULL, "KIND", NULL, "husk does not prune" },
        FLAG_MANAGED_FIELDS,
        FLAG_FIELD_MANAGER,
        { "server-side", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "there is no other side" },
        { "force-conflicts", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "owners of fields are not kept" },
        { "concurrency", 0, FLAG_ACCEPTED, NULL, "N", NULL, "nothing has to be waited for" },
        { 0 },
};

/* Values of a Secret do not belong on a screen: equal ones become "***", others say on which side they stand. */
static void hide_values(json_t *data, const json_t *other, const char *mark) {
        json_t *value;
        const char *key;
        void *next;

        json_object_foreach_safe(data, next, key, value) {
                bool same = json_equal(value, json_object_get(other, key));
                json_object_set_new(data, key, json_string(same || !json_object_get(other, key) ? "***" : mark));
        }
}

static void hide_secret(json_t *live, json_t *merged) {
        json_t *before = json_object_get(live, "data"), *after = json_object_get(merged, "data");
        _cleanup_json_ json_t *before_copy = json_deep_copy(before), *after_copy = json_deep_copy(after);

        hide_values(before, after_copy, "*** (before)");
        hide_values(after, before_copy, "*** (after)");
}

/* What only apply itself keeps is no difference. */
static void remove_annotation(json_t *object) {
        json_t *metadata = json_object_get(object, "metadata"), *annotations = json_object_get(metadata, "annotations");

        json_object_del(annotations, LAST_APPLIED_ANNOTATION);
        if (annotations && json_object_size(annotations) == 0)
                json_object_del(metadata, "annotations");
}

static struct error *write_side(const char *folder, const char *name, const json_t *object) {
        _cleanup_free_ char *text = object ? yaml_format(object) : NULL;
        return text ? scratch_write(folder, name, text) : NULL;
}

static struct error *write_item(const struct plan_item *item, const char *live_folder, const char *merged_folder) {
        _cleanup_free_ char *name = xasprintf("%s.%s.%s.%s", item->kind->api_version, item->kind->kind,
                                              item->ns ? item->ns : "", object_name(item->object));
        _cleanup_json_ json_t *live = item->live ? json_deep_copy(item->live) : NULL;
        _cleanup_json_ json_t *merged = json_deep_copy(item->object);

        for (char *c = name; *c; c++)
                if (*c == '/')
                        *c = '.';
        if (live && json_object_get(live, "status"))
                json_object_set(merged, "status", json_object_get(live, "status"));
        remove_annotation(live);
        remove_annotation(merged);
        if (streq(item->kind->kind, "Secret"))
                hide_secret(live, merged);
        struct error *err = write_side(live_folder, name, live);
        return err ? err : write_side(merged_folder, name, merged);
}

static struct error *compare(const struct plan *plan, const char *folder, int *ret_status) {
        const char *program = getenv("KUBECTL_EXTERNAL_DIFF");
        _cleanup_free_ char *live = path_join(folder, "LIVE"), *merged = path_join(folder, "MERGED");
        struct error *err = mkdir_parents(live, 0700);

        if (!err)
                err = mkdir_parents(merged, 0700);
        for (size_t i = 0; !err && i < plan->n; i++)
                if (plan->items[i].action != PLAN_NOTHING)
                        err = write_item(&plan->items[i], live, merged);
        const char *const arguments[] = { live, merged, NULL };
        return err ? err : scratch_run(str_empty(program) ? "diff -u -N" : program, arguments, ret_status);
}

static struct error *diff(struct cli *cli, int *ret_status) {
        _cleanup_plan_ struct plan plan = PLAN_INIT;
        _cleanup_free_ char *folder = NULL;
        struct error *err = plan_make(cli, &selection, apply_decide, &plan);

        if (!err)
                err = scratch_folder("husk-diff", &folder);
        if (err)
                return err;
        err = compare(&plan, folder, ret_status);
        struct error *removal = remove_tree(folder);
        error_free(removal);
        return err;
}

/* As diff(1): 0 no difference, 1 differences, more: trouble. */
struct error *diff_run(struct cli *cli, struct arguments *arguments) {
        struct error *err;

        if (arguments->n_words)
                return usage_error("unexpected args: %s", arguments->words[0]);
        if (!selection.filenames)
                return usage_error("must specify the objects with -f FILE");
        err = diff(cli, &cli->status);
        if (err) {
                cli_report(cli, err);
                cli->status = EXIT_TROUBLE;
        }
        return NULL;
}
