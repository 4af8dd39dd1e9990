/* cli.h - one invocation of husk, and what a verb is.
 *
 * main() parses the command line by the tables of a verb, calls its function once and prints the error it returns.
 * Nothing is opened before a verb asks for it: `husk version` must not cost more than starting a program does. */
#pragma once

#include "base/error.h"
#include "husk/flag.h"
#include "store/store.h"

struct api_kind;

struct cli {
        const struct verb *verb;
        const char *root, *run; /* --root, --run, or NULL */
        const char *ns;         /* -n, or NULL */
        bool help;
        struct store *store; /* opened by cli_store() */
        int status;          /* exit status when no error is returned */
};

extern struct cli cli_invocation; /* the one there is; the table of global flags points into it */

struct verb {
        const char *name;        /* several words for a verb below another: "create configmap" */
        const char *alias;       /* another name, or NULL */
        const char *group;       /* heading in `husk help` */
        const char *summary;     /* one line, no full stop */
        const char *usage;       /* what follows the verb's name */
        const char *description; /* paragraphs; NULL: the summary says it all */
        const char *example;     /* lines: "# what it does", then the command */
        const struct flag *flags;
        bool verbatim; /* the verb parses its words itself (it hands them to another program) */
        struct error *(*run)(struct cli *cli, struct arguments *arguments);
};

/* The verbs, in the order of `husk help`; ends with a NULL name. */
extern const struct verb verbs[];
extern const struct flag global_flags[];
const struct verb *verb_find(const char *name);
/* The verb that a command line begins with, and of how many words its name is. NULL: there is none. */
const struct verb *verb_find_words(char *const *words, size_t *ret_n);

/* Verbs of kubectl that have no meaning here; ends with a NULL name. */
struct refused_verb {
        const char *name, *why;
};
extern const struct refused_verb refused_verbs[];

/* Why there is no such verb: refused, mistyped, or not known at all. */
struct error *verb_unknown(const char *name) _must_check_;

void help_print_verb(FILE *f, const struct verb *verb);
void help_print_overview(FILE *f);
void help_print_flags(FILE *f, const struct flag *flags);

/* The whole program. Returns its exit status. */
int cli_main(int argc, char **argv);

/* The node's store, opened at the first call; owned by `cli`. */
struct error *cli_store(struct cli *cli, struct store **ret) _must_check_;
/* The namespace asked for, "default" if none was. */
const char *cli_namespace(const struct cli *cli);
/* The namespace an object of this kind is looked up in: NULL for cluster-wide kinds. */
const char *cli_namespace_for(const struct cli *cli, const struct api_kind *kind);
/* Becomes `program` (a sister of husk) with --root and --run of this invocation in front of `argv`; returns only if
 * that fails. `called` is its argv[0]: what the user typed, so that its help and errors say that. */
struct error *cli_exec_sister(struct cli *cli, const char *program, const char *called, char *const *argv) _must_check_;

/* Prints an error to standard error in kubectl's form: what the "server" (the store, the pod) answers as
 * "Error from server (NotFound): ...", anything else as "error: ...". */
void cli_print_error(const struct error *err);
/* Prints, frees, and remembers that the exit status is 1: for verbs that go on with the next object. */
void cli_report(struct cli *cli, struct error *err);
