/* dispatch.c - from a command line to the function of a verb. */
#include <stdio.h>

#include "api/priority.h"
#include "api/runtime-class.h"
#include "base/str.h"
#include "husk/cli.h"
#include "server/classes.h"

#define NAME_WORDS_MAX 3 /* "create secret generic" */

struct cli cli_invocation;

const struct verb *verb_find(const char *name) {
        for (const struct verb *v = verbs; v->name; v++)
                if (streq(v->name, name) || streq_ptr(v->alias, name))
                        return v;
        return NULL;
}

const struct verb *verb_find_words(char *const *words, size_t *ret_n) {
        size_t n = MIN(strv_len((char **)words), NAME_WORDS_MAX);

        for (; n > 0; n--) {
                _cleanup_strbuf_ struct strbuf name = STRBUF_INIT;
                for (size_t i = 0; i < n; i++)
                        strbuf_addf(&name, "%s%s", i ? " " : "", words[i]);
                const struct verb *verb = verb_find(strbuf_str(&name));
                if (verb) {
                        *ret_n = n;
                        return verb;
                }
        }
        return NULL;
}

struct error *verb_unknown(const char *name) {
        const char *names[128];
        size_t n = 0;

        for (const struct refused_verb *r = refused_verbs; r->name; r++)
                if (streq(r->name, name))
                        return usage_error("husk has no verb \"%s\": %s", name, r->why);
        for (const struct verb *v = verbs; v->name && n < ARRAY_SIZE(names) - 1; v++)
                if (v->summary)
                        names[n++] = v->name;
        names[n] = NULL;
        const char *nearest = nearest_name(name, names);
        if (nearest)
                return usage_error("unknown command \"%s\" for \"husk\"; did you mean \"%s\"?", name, nearest);
        return usage_error("unknown command \"%s\" for \"husk\"; `husk help` lists them", name);
}

static struct error *help_run(struct cli *cli, char **words) {
        const struct verb *verb;
        size_t n;

        cli->help = false; /* the help shows defaults */
        if (!words[0] || words[0][0] == '-') {
                help_print_overview(stdout);
                return NULL;
        }
        verb = verb_find_words(words, &n);
        if (!verb)
                return verb_unknown(words[0]);
        help_print_verb(stdout, verb);
        return NULL;
}

static struct error *verb_run(struct cli *cli, const struct verb *verb, char **words) {
        _cleanup_arguments_ struct arguments arguments = { .dash = -1 };
        struct error *err;

        cli->verb = verb;
        err = flags_parse(verb->flags, global_flags, words, verb->verbatim, &arguments);
        if (err) {
                cli_print_error(err);
                error_free(err);
                fprintf(stderr, "See 'husk %s --help' for usage.\n", verb->name);
                cli->status = 1;
                return NULL;
        }
        if (cli->help) {
                cli->help = false; /* the help shows defaults */
                help_print_verb(stdout, verb);
                return NULL;
        }
        return verb->run(cli, &arguments);
}

/* `husk [GLOBAL FLAGS] VERB …` */
static struct error *dispatch(struct cli *cli, char **argv) {
        _cleanup_arguments_ struct arguments arguments = { .dash = -1 };
        const struct verb *verb;
        struct error *err;
        size_t n;

        err = flags_parse(NULL, global_flags, argv, true, &arguments);
        if (err)
                return err;
        if (arguments.n_words == 0 || streq(arguments.words[0], "help"))
                return help_run(cli, arguments.words + (arguments.n_words > 0));
        verb = verb_find_words(arguments.words, &n);
        if (!verb)
                return verb_unknown(arguments.words[0]);
        return verb_run(cli, verb, arguments.words + n);
}

/* Without a store there are no classes but Kubernetes' own; whoever goes on will hear of it. */
static void load_classes(void *arg) {
        struct store *store;
        struct error *err = cli_store(arg, &store);

        if (err)
                error_free(err);
        else
                classes_load(store);
}

static void load_runtime_classes(void *arg) {
        struct store *store;
        struct error *err = cli_store(arg, &store);

        if (err)
                error_free(err);
        else
                runtime_classes_load(store);
}

int cli_main(int argc, char **argv) {
        struct cli *cli = &cli_invocation;
        struct error *err;

        priority_classes_on_demand(load_classes, cli);
        runtime_classes_on_demand(load_runtime_classes, cli);
        err = dispatch(cli, argv + (argc > 0));

        if (fflush(stdout) != 0 && !err)
                err = error_errno(errno, "write standard output");
        cli_report(cli, err);
        cli->store = store_free(cli->store);
        return cli->status;
}
