/* submit.h - how a verb brings an object to the store once it has been checked (server/check.h). */
#pragma once

#include <jansson.h>

#include "api/api.h"
#include "husk/cli.h"
#include "server/check.h"

/* Stores a checked object; a pod is started. `object` gets uid and times. */
struct error *submit_create(struct cli *cli, const struct api_kind *kind, json_t *object) _must_check_;
/* submit_refusal() for people: several mistakes have a line each, as kubectl prints them. */
struct error *submit_mistakes(const struct api_kind *kind, const char *name,
                              const struct diagnostics *diags) _must_check_;
/* What --dry-run=server has of it: the complaint if there is such an object already. */
struct error *submit_create_dry(struct cli *cli, const struct api_kind *kind, const json_t *object) _must_check_;
/* Replaces `live`, from which it was made; a pod's supervisor sees the change by itself. A status that was written
 * meanwhile is no conflict. */
struct error *submit_update(struct cli *cli, const struct api_kind *kind, json_t *object,
                            const json_t *live) _must_check_;

/* Reads the object anew, lets `change` alter it, checks and stores it, and begins again if somebody else was faster.
 * *ret_changed (may be NULL) says whether there was anything to change; *ret is the object as it is then. */
typedef struct error *(*submit_change)(json_t *object, void *arg);
struct error *submit_modify(struct cli *cli, const struct api_kind *kind, const char *ns, const char *name,
                            const char *subresource, bool dry_run, submit_change change, void *arg, json_t **ret,
                            bool *ret_changed) _must_check_;

/* --dry-run */
enum dry_run { DRY_RUN_NONE, DRY_RUN_CLIENT, DRY_RUN_SERVER };
struct error *dry_run_parse(const char *text, enum dry_run *ret) _must_check_;
/* "", " (dry run)", " (server dry run)" */
const char *dry_run_suffix(enum dry_run dry_run);
#define FLAG_DRY_RUN(var) \
        { "dry-run", 0, FLAG_TEXT, &(var), "none|client|server", "client", "Check and print only, change nothing" }
