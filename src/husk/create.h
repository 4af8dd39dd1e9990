/* create.h - `husk create TYPE NAME …`: what the verbs that make an object from the command line have in common. */
#pragma once

#include "husk/cli.h"
#include "husk/output.h"

struct create_flags {
        const char *dry_run, *output, *template;
};
#define FLAGS_CREATE(f) \
        { \
                "dry-run", \
                0, \
                FLAG_TEXT, \
                &(f).dry_run, \
                "none|client|server", \
                "client", \
                "Check and print only, change nothing" \
        }, \
                FLAG_OUTPUT((f).output), FLAG_TEMPLATE((f).template), FLAG_MISSING_KEYS, FLAG_MANAGED_FIELDS, \
                FLAG_FIELD_MANAGER, \
                { "save-config", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "a later apply merges without it" }, { \
                "validate", 0, FLAG_ACCEPTED, NULL, NULL, "strict", "what husk makes itself has no unknown fields" \
        }

/* Checks, stores and prints an object. With --dry-run=client it is printed as it was made, without defaults. */
struct error *create_object(struct cli *cli, json_t *object, const struct create_flags *flags) _must_check_;
/* The one word that such a verb takes. */
struct error *create_name(const struct cli *cli, const struct arguments *arguments, const char **ret) _must_check_;
