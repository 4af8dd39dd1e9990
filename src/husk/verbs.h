/* verbs.h - the functions and flags of the verbs, each in the file of its name, gathered in the table of husk.c. */
#pragma once

#include "husk/cli.h"

#define VERB(id) \
        extern const struct flag id##_flags[]; \
        struct error *id##_run(struct cli *cli, struct arguments *arguments)

VERB(annotate);
VERB(api_resources);
VERB(apply);
VERB(attach);
VERB(complete);
VERB(completion);
VERB(cordon);
VERB(cp);
VERB(create);
VERB(delete);
VERB(describe);
VERB(events);
VERB(exec);
VERB(explain);
VERB(get);
VERB(image);
VERB(label);
VERB(logs);
VERB(patch);
VERB(port_forward);
VERB(replace);
VERB(run);
VERB(start);
VERB(taint);
VERB(top);
VERB(tree);
VERB(uncordon);
VERB(version);
VERB(wait);

#undef VERB
