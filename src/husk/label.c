/* label.c - `husk label` and `husk annotate`: the two maps of an object's metadata, changed by the same words. */
#include <stdio.h>

#include "base/str.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/submit.h"
#include "husk/verbs.h"

static struct selection selection;
static bool overwrite, list, local;
static const char *output_text, *template_text, *dry_run_text, *resource_version;

#define FLAGS \
        { "overwrite", 0, FLAG_BOOL, &overwrite, NULL, NULL, "Allow values that exist to be changed" }, \
                { "list", 0, FLAG_BOOL, &list, NULL, NULL, "Print them" }, FLAG_ALL(selection), \
                FLAG_ALL_NAMESPACES(selection), FLAG_SELECTOR(selection), FLAG_FIELD_SELECTOR(selection), \
                FLAGS_FILENAME(selection), FLAG_DRY_RUN(dry_run_text), \
                { "resource-version", \
                  0, \
                  FLAG_TEXT, \
                  &resource_version, \
                  "VERSION", \
                  NULL, \
                  "Change it only if this is its resourceVersion" }, \
                { "local", 0, FLAG_BOOL, &local, NULL, NULL, "Change what -f holds and print it; touch nothing here" }, \
                FLAG_OUTPUT(output_text), FLAG_TEMPLATE(template_text), FLAG_MISSING_KEYS, FLAG_MANAGED_FIELDS, \
                FLAG_FIELD_MANAGER

const struct flag label_flags[] = { FLAGS, { 0 } };
const struct flag annotate_flags[] = { FLAGS, { 0 } };

/* What the command line wants done to one map. */
struct edit {
        const char *map;    /* "labels" or "annotations" */
        char *const *words; /* KEY=VALUE, KEY- */
        size_t n_words;
        const char *const *done; /* what is said: changed, removed only, not changed */
};

static const char *const label_words[] = { "labeled", "unlabeled", "not labeled" };

static bool is_removal(const char *word) {
        return !strchr(word, '=') && str_ends_with(word, "-");
}

static bool is_edit(const char *word) {
        return strchr(word, '=') || is_removal(word);
}

static struct error *edit_one(json_t *map, const char *word, bool tells) {
        const char *equals = strchr(word, '=');
        _cleanup_free_ char *key = equals ? xstrndup(word, equals - word) : xstrndup(word, strlen(word) - 1);
        const char *before = json_string_value(json_object_get(map, key));

        if (!*key)
                return usage_error("\"%s\" has no key", word);
        if (!equals) {
                if (json_object_del(map, key) < 0 && tells)
                        printf("label \"%s\" not found.\n", key);
                return NULL;
        }
        if (before && !overwrite && !streq(before, equals + 1))
                return usage_error("'%s' already has a value (%s), and --overwrite is false", key, before);
        json_object_set_new(map, key, json_string(equals + 1));
        return NULL;
}

static struct error *edit_object(json_t *object, void *arg) {
        const struct edit *edit = arg;
        json_t *metadata = field_make_object(object, "metadata");
        json_t *map = field_make_object(metadata, edit->map);

        if (resource_version && !streq_ptr(field_text(object, "metadata.resourceVersion"), resource_version))
                return error_new(ERROR_CONFLICT, "%s: the object has been modified; its resourceVersion is %s",
                                 object_name(object), field_text_or(object, "metadata.resourceVersion", "unknown"));
        for (size_t i = 0; i < edit->n_words; i++) {
                struct error *err = edit_one(map, edit->words[i], edit->done == label_words);
                if (err)
                        return err;
        }
        if (json_object_size(map) == 0)
                json_object_del(metadata, edit->map);
        return NULL;
}

static const char *edit_word(const struct edit *edit, bool changed) {
        if (!changed)
                return edit->done[2];
        for (size_t i = 0; i < edit->n_words; i++)
                if (!is_removal(edit->words[i]))
                        return edit->done[0];
        return edit->done[1];
}

static struct error *edit_and_print(struct cli *cli, const json_t *object, const struct edit *edit,
                                    const struct output *output, enum dry_run dry_run) {
        const struct api_kind *kind = api_kind_of(field_text_or(object, "kind", ""));
        _cleanup_json_ json_t *result = NULL;
        bool changed;
        struct error *err;

        err = submit_modify(cli, kind, object_namespace(object), object_name(object), NULL, dry_run != DRY_RUN_NONE,
                            edit_object, (void *)edit, &result, &changed);
        if (err)
                return err;
        _cleanup_free_ char *action = xasprintf("%s%s", edit_word(edit, changed), dry_run_suffix(dry_run));
        return output_result(output, result, action);
}

static struct error *edit_local(const json_t *object, const struct edit *edit, const struct output *output) {
        _cleanup_json_ json_t *copy = json_deep_copy(object);
        struct error *err = edit_object(copy, (void *)edit);

        if (err)
                return err;
        return output_result(output, copy, edit_word(edit, !json_equal(copy, object)));
}

static void print_map(const json_t *object, const char *map, bool with_name) {
        _cleanup_free_ char *name = output_name(object);
        json_t *value;
        const char *key;

        if (with_name)
                printf("Listing %s for %s:\n", map, name);
        json_object_foreach(json_object_get(json_object_get(object, "metadata"), map), key, value)
                printf("%s%s=%s\n", with_name ? " " : "", key, json_string_value(value));
}

static struct error *map_run(struct cli *cli, struct arguments *arguments, const char *map, const char *const *done) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        _cleanup_output_ struct output output = OUTPUT_INIT;
        struct edit edit = { .map = map, .done = done };
        enum dry_run dry_run;
        size_t n_names = 0, i;
        struct error *err;
        json_t *object;

        while (n_names < arguments->n_words && !is_edit(arguments->words[n_names]))
                n_names++;
        edit.words = arguments->words + n_names;
        edit.n_words = arguments->n_words - n_names;
        for (i = 0; i < edit.n_words; i++)
                if (!is_edit(edit.words[i]))
                        return usage_error("all resources must be specified before %s changes: %s", cli->verb->name,
                                           edit.words[i]);
        if (!edit.n_words && !list)
                return usage_error("at least one %s update is required", cli->verb->name);
        err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        _cleanup_json_ json_t *objects = local ? json_array() : NULL;
        if (!err && local)
                err = selection_load_local(&selection, objects);
        else if (!err)
                err = selection_parse(cli, &selection, arguments->words, n_names, NULL, &requests);
        if (err)
                return err;
        for (i = 0; i < requests.n; i++)
                if (!requests.items[i].name && !selection.all && !selection.labels && !selection.fields && !list)
                        return usage_error("resource(s) were provided, but no name was specified");
        if (!local)
                objects = requests_load(cli, &requests, &selection);
        json_array_foreach(objects, i, object) {
                if (edit.n_words && local)
                        cli_report(cli, edit_local(object, &edit, &output));
                else if (edit.n_words)
                        cli_report(cli, edit_and_print(cli, object, &edit, &output, dry_run));
                else
                        print_map(object, map, json_array_size(objects) > 1);
        }
        return NULL;
}

struct error *label_run(struct cli *cli, struct arguments *arguments) {
        return map_run(cli, arguments, "labels", label_words);
}

struct error *annotate_run(struct cli *cli, struct arguments *arguments) {
        static const char *const done[] = { "annotated", "annotated", "annotated" };
        return map_run(cli, arguments, "annotations", done);
}
