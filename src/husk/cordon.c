/* cordon.c - `husk cordon` and `husk uncordon`: no new pods on this node, or again. */
#include <stdio.h>

#include "base/str.h"
#include "server/field.h"
#include "husk/selection.h"
#include "husk/submit.h"
#include "husk/verbs.h"

static struct selection selection;
static const char *dry_run_text;

#define FLAGS FLAG_SELECTOR(selection), FLAG_DRY_RUN(dry_run_text)

const struct flag cordon_flags[] = { FLAGS, { 0 } };
const struct flag uncordon_flags[] = { FLAGS, { 0 } };

static struct error *change_node(json_t *node, void *wanted) {
        json_t *spec = field_make_object(node, "spec");

        if (*(bool *)wanted)
                json_object_set_new(spec, "unschedulable", json_true());
        else
                json_object_del(spec, "unschedulable");
        return NULL;
}

static struct error *mark_one(struct cli *cli, const char *name, bool unschedulable, enum dry_run dry_run) {
        _cleanup_json_ json_t *result = NULL;
        bool changed;
        struct error *err = submit_modify(cli, api_kind_of("Node"), NULL, name, NULL, dry_run != DRY_RUN_NONE,
                                          change_node, &unschedulable, &result, &changed);

        if (!err)
                printf("node/%s %s%sed%s\n", name, changed ? "" : "already ", unschedulable ? "cordon" : "uncordon",
                       dry_run_suffix(dry_run));
        return err;
}

/* Words are names of nodes: there is no other kind that could be meant. */
static struct error *mark_run(struct cli *cli, struct arguments *arguments, bool unschedulable) {
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        enum dry_run dry_run;
        struct error *err = dry_run_parse(dry_run_text, &dry_run);
        json_t *node;
        size_t i;

        if (!err && !arguments->n_words && !selection.selector)
                err = usage_error("USAGE: %s NODE [flags]", cli->verb->name);
        if (!err)
                err = selection_parse(cli, &selection, arguments->words, arguments->n_words, api_kind_of("Node"),
                                      &requests);
        if (err)
                return err;
        for (i = 0; i < requests.n; i++)
                if (!streq(requests.items[i].kind->kind, "Node"))
                        return usage_error("%s: only nodes can be %sed", requests.items[i].kind->plural,
                                           cli->verb->name);
        _cleanup_json_ json_t *nodes = requests_load(cli, &requests, &selection);
        json_array_foreach(nodes, i, node) cli_report(cli, mark_one(cli, object_name(node), unschedulable, dry_run));
        return NULL;
}

struct error *cordon_run(struct cli *cli, struct arguments *arguments) {
        return mark_run(cli, arguments, true);
}

struct error *uncordon_run(struct cli *cli, struct arguments *arguments) {
        return mark_run(cli, arguments, false);
}
