/* start.c - `husk start`: supervisors for pods that have lost theirs, as after a reboot. */
#include <stdio.h>

#include "base/str.h"
#include "husk/flag.h"
#include "husk/output.h"
#include "server/field.h"
#include "server/supervisor.h"
#include "husk/verbs.h"

static bool all, renew;

const struct flag start_flags[] = {
        { "all", 0, FLAG_BOOL, &all, NULL, NULL, "Every pod of the node, of all namespaces" },
        { "renew", 0, FLAG_BOOL, &renew, NULL, NULL,
          "With --all: replace supervisors that run an older husk than is installed; containers go on" },
        { 0 },
};

static struct error *start_named(struct cli *cli, struct store *store, const char *word) {
        const char *name = str_starts_with(word, "pod/") ? word + 4 : word, *done = "has a supervisor";
        _cleanup_free_ char *uid = NULL;
        struct error *err = store_pod_uid(store, cli_namespace(cli), name, &uid);

        if (err)
                return err;
        if (!supervisor_is_wanted(store, uid)) {
                done = "has ended";
        } else if (!supervisor_is_alive(store, uid)) {
                err = supervisor_start(store, uid);
                done = "started";
        }
        if (!err)
                printf("pod/%s %s\n", name, done);
        return err;
}

struct error *start_run(struct cli *cli, struct arguments *arguments) {
        struct store *store;
        struct error *err;
        size_t started, renewed = 0;

        if (all ? arguments->n_words > 0 : arguments->n_words == 0)
                return usage_error("name the pods to start, or --all");
        if (renew && !all)
                return usage_error("--renew goes with --all");
        err = cli_store(cli, &store);
        if (err)
                return err;
        if (all) {
                err = supervisors_start_missing(store, &started);
                printf("%zu pod%s started\n", started, started == 1 ? "" : "s");
                if (!err && renew)
                        err = supervisors_renew_outdated(store, &renewed);
                if (renew)
                        printf("%zu supervisor%s renewed\n", renewed, renewed == 1 ? "" : "s");
                return err;
        }
        for (size_t i = 0; i < arguments->n_words; i++)
                cli_report(cli, start_named(cli, store, arguments->words[i]));
        return NULL;
}
