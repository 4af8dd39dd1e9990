/* api-resources.c - `husk api-resources`: the kinds husk knows. */
#include <stdio.h>

#include "api/api.h"
#include "base/str.h"
#include "husk/cli.h"
#include "husk/table.h"
#include "husk/verbs.h"

static const char *output, *namespaced;
static bool no_headers;

const struct flag api_resources_flags[] = {
        { "output", 'o', FLAG_TEXT, &output, "name", NULL, "Names only" },
        { "namespaced", 0, FLAG_TEXT, &namespaced, "true|false", "true",
          "Only kinds that are (or are not) in namespaces" },
        { "no-headers", 0, FLAG_BOOL, &no_headers, NULL, NULL, "Leave the titles of the columns out" },
        { "api-group", 0, FLAG_REFUSED, NULL, "GROUP", NULL, "the list is short; husk knows no groups to choose by" },
        { "categories", 0, FLAG_REFUSED, NULL, "LIST", NULL, "the list is short; husk knows no categories" },
        { "verbs", 0, FLAG_REFUSED, NULL, "LIST", NULL, "every verb works on every kind" },
        { "sort-by", 0, FLAG_REFUSED, NULL, "name|kind", NULL, "pipe it to sort" },
        { "cached", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "nothing is cached" },
        { 0 },
};

static void add_row(struct table *table, const struct api_kind *kind) {
        _cleanup_free_ char *names = strv_join((char *const *)kind->short_names, ",");

        table_row(table);
        table_cell(table, kind->plural);
        table_cell(table, names);
        table_cell(table, kind->api_version);
        table_cell(table, kind->namespaced ? "true" : "false");
        table_cell(table, kind->kind);
}

struct error *api_resources_run(struct cli *cli, struct arguments *arguments) {
        static const char *const titles[] = { "NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND" };
        _cleanup_table_ struct table table = TABLE_INIT;
        size_t n;
        const struct api_kind *kinds = api_kinds(&n);
        bool names_only = output && streq(output, "name");

        if (output && !names_only)
                return usage_error("--output %s is not available; only \"name\" is", output);
        if (!no_headers && !names_only) {
                table_row(&table);
                for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
                        table_cell(&table, titles[i]);
        }
        for (size_t i = 0; i < n; i++) {
                if (namespaced && kinds[i].namespaced != streq(namespaced, "true"))
                        continue;
                if (names_only)
                        puts(kinds[i].plural);
                else
                        add_row(&table, &kinds[i]);
        }
        table_print(&table, stdout);
        return NULL;
}
