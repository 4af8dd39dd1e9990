/* options.h - the command line of husk-image: one table of verbs, one of flags, and what they leave behind. */
#pragma once

#include "base/error.h"
#include "husk-image/progress.h"
#include "husk-image/unpack.h"
#include "store/store.h"

struct options {
        const char *root, *run;
        bool json;  /* -o json */
        bool quiet; /* names or ids only */
        char **credentials;
        bool no_default_credentials;
        char **insecure;
        char **certs; /* folders like certs.d */
        const char *ca_file;
        const char *platform;
        const char *name;   /* load: name for an image that has none or only a tag */
        const char *output; /* save */
        bool all, force, repair, no_trunc, pin, unpin;
        uint64_t parallel, retries, timeout;
        uint64_t end_with; /* 0: with nobody */
        bool for_pod;      /* pull: note with which Secret it was got */
        bool has_retries;
        enum progress_mode progress;
        struct unpack_limits limits;
        uint64_t max_size; /* of an archive */
        char **arguments;
};

/* What a verb works with. */
struct context {
        const struct options *options;
        struct store *store;
        char *images;
        bool silent; /* say nothing of what is removed: it is not what the user asked for */
};

typedef struct error *(*verb_function)(struct context *context);

/* The verbs, one file each. They print their result on standard output. */
struct error *verb_pull(struct context *context);
struct error *verb_load(struct context *context);
struct error *verb_ls(struct context *context);
struct error *verb_inspect(struct context *context);
struct error *verb_history(struct context *context);
struct error *verb_tag(struct context *context);
struct error *verb_rm(struct context *context);
struct error *verb_prune(struct context *context);
struct error *verb_gc(struct context *context);
struct error *verb_save(struct context *context);
struct error *verb_df(struct context *context);
struct error *verb_verify(struct context *context);

/* Runs `work` in a confined child, and afterwards, whatever became of it, removes what it left half made. `readable`:
 * paths it may read beside the store. Only for verbs that touch what others wrote. */
struct error *run_confined(struct context *context, verb_function work) _must_check_;
