/* api-versions.c - `husk api-versions`: the versions of the API whose objects husk takes. */
#include <stdio.h>

#include "api/api.h"
#include "husk/verbs.h"

const struct flag api_versions_flags[] = { { 0 } };

struct error *api_versions_run(struct cli *cli, struct arguments *arguments) {
        size_t n;
        const struct api_kind *kinds = api_kinds(&n);

        if (arguments->n_words)
                return usage_error("unexpected args: %s", arguments->words[0]);
        for (size_t i = 0; i < n; i++) {
                bool seen = false;
                for (size_t j = 0; j < i; j++)
                        seen |= strcmp(kinds[i].api_version, kinds[j].api_version) == 0;
                if (!seen)
                        puts(kinds[i].api_version);
        }
        return NULL;
}
