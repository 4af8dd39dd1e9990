/* view-last-applied.c - `husk apply view-last-applied`: the manifest that an object was last made from. */
#include <stdio.h>

#include "api/patch.h"
#include "api/yaml.h"
#include "base/str.h"
#include "husk/selection.h"
#include "husk/verbs.h"
#include "server/field.h"

static struct selection selection;
static const char *format = "yaml";

const struct flag view_last_applied_flags[] = {
        FLAG_SELECTOR(selection),
        FLAGS_FILENAME(selection),
        { "all", 0, FLAG_BOOL, &selection.all, NULL, NULL, "All objects of the type in the namespace" },
        { "output", 'o', FLAG_TEXT, &format, "yaml|json", NULL, "Print it in this format (default yaml)" },
        { 0 },
};

static struct error *print_manifest(const json_t *object) {
        _cleanup_json_ json_t *manifest = last_applied_of(object);

        if (!manifest)
                return usage_error("no last-applied-configuration annotation found on resource: %s",
                                   object_name(object));
        _cleanup_free_ char *text =
                streq(format, "json") ? json_dumps(manifest, JSON_INDENT(2) | JSON_SORT_KEYS) : yaml_format(manifest);
        printf("%s%s", text, streq(format, "json") ? "\n" : "");
        return NULL;
}

struct error *view_last_applied_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        struct error *err;
        json_t *object;
        size_t i;

        if (!streq(format, "yaml") && !streq(format, "json"))
                return usage_error("Unexpected -o output mode: %s, the flag 'output' must be one of yaml|json", format);
        err = selection_parse(cli, &selection, arguments->words, arguments->n_words, NULL, &requests);
        if (err)
                return err;
        _cleanup_json_ json_t *objects = requests_load(cli, &requests, &selection);
        json_array_foreach(objects, i, object) {
                err = print_manifest(object);
                if (err)
                        return err;
        }
        return NULL;
}
