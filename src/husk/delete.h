/* delete.h - how objects end.
 *
 * A plain object is removed at once. A pod is marked (deletionTimestamp, deletionGracePeriodSeconds), its supervisor
 * stops it and removes it; where there is no supervisor any more, what is left is cleaned up here. A namespace takes
 * everything in it along. */
#pragma once

#include "api/api.h"
#include "husk/cli.h"

/* What becomes of the objects that name a deleted one as their owner: kubectl's --cascade. */
enum cascade { CASCADE_BACKGROUND, CASCADE_ORPHAN, CASCADE_FOREGROUND };
/* NULL: background. The booleans that kubectl still takes are taken with its warning. */
struct error *cascade_parse(const char *text, enum cascade *ret) _must_check_;
#define FLAG_CASCADE(var) \
        { \
                "cascade", 0, FLAG_TEXT, &(var), "background|orphan|foreground", "background", \
                        "Objects that belong to a deleted one (ownerReferences): delete them, keep them, or delete " \
                        "them first" \
        }

struct delete_options {
        int64_t grace;      /* seconds; negative: the pod's own terminationGracePeriodSeconds */
        bool wait;          /* until it is gone */
        int64_t timeout_ns; /* for waiting; 0 or less: for ever */
        enum cascade cascade;
        json_t *seen; /* in the foreground: uids of those that are being deleted already; NULL: none */
};
#define DELETE_OPTIONS_INIT \
        { .grace = -1, .wait = true }

/* Asks for the deletion and returns. `object` is the object as it was read. */
struct error *delete_begin(struct cli *cli, const struct api_kind *kind, const json_t *object,
                           const struct delete_options *options) _must_check_;
/* Returns when it is gone; ERROR_TIMEOUT if it is not by then. */
struct error *delete_wait(struct cli *cli, const struct api_kind *kind, const json_t *object,
                          const struct delete_options *options) _must_check_;
/* Both, as the options say. */
struct error *delete_object(struct cli *cli, const struct api_kind *kind, const json_t *object,
                            const struct delete_options *options) _must_check_;
