/* verbs.h - the functions and flags of the verbs, each in the file of its name, gathered in the table of husk.c. */
#pragma once

#include "husk/cli.h"

#define VERB(id) \
        extern const struct flag id##_flags[]; \
        struct error *id##_run(struct cli *cli, struct arguments *arguments)

VERB(annotate);
VERB(api_resources);
VERB(api_versions);
VERB(apply);
VERB(attach);
VERB(complete);
VERB(completion);
VERB(cordon);
VERB(cp);
VERB(create);
VERB(create_configmap);
VERB(create_namespace);
VERB(create_priorityclass);
VERB(create_secret_docker_registry);
VERB(create_secret_generic);
VERB(create_secret_tls);
VERB(debug);
VERB(delete);
VERB(describe);
VERB(diff);
VERB(edit);
VERB(events);
VERB(exec);
VERB(explain);
VERB(get);
VERB(image);
VERB(label);
VERB(logs);
VERB(network);
VERB(network_inspect);
VERB(patch);
VERB(port_forward);
VERB(replace);
VERB(run);
VERB(set_image);
VERB(start);
VERB(taint);
VERB(top);
VERB(tree);
VERB(uncordon);
VERB(version);
VERB(view_last_applied);
VERB(wait);

#undef VERB
