/* set-image.c - `husk set image`: other images for containers of pods; each of them restarts alone. */
#include "base/str.h"
#include "husk/flag.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/submit.h"
#include "husk/verbs.h"
#include "server/field.h"

static struct selection selection;
static const char *output_text, *template_text, *dry_run_text;
static bool local;

const struct flag set_image_flags[] = {
        FLAGS_FILENAME(selection),
        FLAG_SELECTOR(selection),
        FLAG_ALL(selection),
        { "local", 0, FLAG_BOOL, &local, NULL, NULL, "Change what -f holds and print it; touch nothing here" },
        FLAG_DRY_RUN(dry_run_text),
        FLAG_OUTPUT(output_text),
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        FLAG_FIELD_MANAGER,
        { 0 },
};

/* CONTAINER=IMAGE…; "*" is every container. */
struct images {
        char *const *words;
        size_t n;
        bool *found; /* by word: some container had that name */
};

static void set_images_of(json_t *containers, const struct images *images) {
        json_t *container;
        size_t i;

        json_array_foreach(containers, i, container) {
                const char *name = field_text_or(container, "name", "");
                for (size_t w = 0; w < images->n; w++) {
                        const char *word = images->words[w], *equals = strchr(word, '=');
                        size_t len = equals - word;
                        if ((len == 1 && *word == '*') || (strlen(name) == len && strncmp(word, name, len) == 0)) {
                                json_object_set_new(container, "image", json_string(equals + 1));
                                images->found[w] = true;
                        }
                }
        }
}

static struct error *change(json_t *object, void *arg) {
        const struct images *images = arg;

        if (!streq(field_text_or(object, "kind", ""), "Pod"))
                return usage_error("%s/%s has no containers", field_text_or(object, "kind", ""), object_name(object));
        memset(images->found, 0, images->n * sizeof(bool));
        set_images_of(field_at(object, "spec.initContainers"), images);
        set_images_of(field_at(object, "spec.containers"), images);
        for (size_t w = 0; w < images->n; w++)
                if (!images->found[w])
                        return error_new(ERROR_NOT_FOUND, "unable to find container named \"%.*s\"",
                                         (int)strcspn(images->words[w], "="), images->words[w]);
        return NULL;
}

static struct error *change_one(struct cli *cli, const json_t *object, struct images *images, enum dry_run dry_run,
                                const struct output *output) {
        _cleanup_json_ json_t *result = local ? json_deep_copy(object) : NULL;
        bool changed = true;
        struct error *err;

        if (local)
                err = change(result, images);
        else
                err = submit_modify(cli, api_kind_of(field_text_or(object, "kind", "")), object_namespace(object),
                                    object_name(object), NULL, dry_run != DRY_RUN_NONE, change, images, &result,
                                    &changed);
        if (err || (!changed && output->format == OUTPUT_TABLE))
                return err;
        _cleanup_free_ char *action = xasprintf("image updated%s", dry_run_suffix(dry_run));
        return output_result(output, result, action);
}

static bool is_image(const char *word) {
        const char *equals = strchr(word, '=');
        return equals && equals > word && equals[1];
}

struct error *set_image_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_json_ json_t *objects = NULL;
        size_t n_names = 0, i;
        enum dry_run dry_run;
        struct error *err;
        json_t *object;

        while (n_names < arguments->n_words && !strchr(arguments->words[n_names], '='))
                n_names++;
        _cleanup_free_ bool *found = xcalloc(arguments->n_words + 1, sizeof(bool));
        struct images images = { arguments->words + n_names, arguments->n_words - n_names, found };
        for (i = 0; i < images.n; i++)
                if (!is_image(images.words[i]))
                        return usage_error("expected CONTAINER=IMAGE after the pods, not %s", images.words[i]);
        if (images.n == 0)
                return usage_error("at least one image update is required: CONTAINER=IMAGE");
        err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        if (!err && local) {
                objects = json_array();
                err = selection_load_local(&selection, objects);
        } else if (!err) {
                err = selection_parse(cli, &selection, arguments->words, n_names, NULL, &requests);
        }
        if (err)
                return err;
        for (i = 0; i < requests.n; i++)
                if (!requests.items[i].name && !selection.all && !selection.labels)
                        return usage_error("resource(s) were provided, but no name was specified");
        if (!local)
                objects = requests_load(cli, &requests, &selection);
        json_array_foreach(objects, i, object) cli_report(cli, change_one(cli, object, &images, dry_run, &output));
        return NULL;
}
