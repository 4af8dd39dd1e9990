/* completion.c - `husk completion SHELL`: a script that asks husk itself what may stand next. */
#include <stdio.h>

#include "api/api.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/selection.h"
#include "husk/verbs.h"

const struct flag completion_flags[] = { { 0 } };
const struct flag complete_flags[] = { { 0 } };

static const char bash[] = "_husk() {\n"
                           "        local IFS=$'\\n' current=${COMP_WORDS[COMP_CWORD]}\n"
                           "        COMPREPLY=($(compgen -W \"$(husk __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" "
                           "2>/dev/null)\" -- \"$current\"))\n"
                           "}\n"
                           "complete -o default -F _husk husk\n";

static const char zsh[] =
        "#compdef husk\n"
        "_husk() {\n"
        "        local -a answers\n"
        "        answers=(${(f)\"$(husk __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
        "        if (( ${#answers} )); then compadd -- $answers; else _files; fi\n"
        "}\n"
        "compdef _husk husk\n"
        "# As a file of fpath it is run at the first use; sourced, it must not complete anything yet.\n"
        "if [ \"$funcstack[1]\" = _husk ]; then _husk; fi\n";

static const char fish[] = "function __husk_complete\n"
                           "        set -l words (commandline -opc) (commandline -ct)\n"
                           "        husk __complete $words[2..-1] 2>/dev/null\n"
                           "end\n"
                           "complete -c husk -f -a '(__husk_complete)'\n"
                           "complete -c husk -s f -l filename -r -F\n";

static const struct { const char *shell, *script; } scripts[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

struct error *completion_run(struct cli *cli, struct arguments *arguments) {
        for (size_t i = 0; arguments->n_words == 1 && i < ARRAY_SIZE(scripts); i++)
                if (streq(scripts[i].shell, arguments->words[0])) {
                        fputs(scripts[i].script, stdout);
                        return NULL;
                }
        return usage_error("expected one of: bash, zsh, fish");
}

/* ---- answers: one a line; the shell picks those that begin as the current word does ---- */

static void say_flags(const struct flag *flags) {
        for (const struct flag *f = flags; f && f->name; f++)
                if (f->type != FLAG_REFUSED && f->type != FLAG_ACCEPTED)
                        printf("--%s\n", f->name);
}

static void say_types(void) {
        size_t n;
        const struct api_kind *kinds = api_kinds(&n);

        for (size_t i = 0; i < n; i++)
                printf("%s\n", kinds[i].plural);
}

static struct error *say_names(struct cli *cli, const struct api_kind *kind) {
        _cleanup_json_ json_t *objects = json_array();
        struct selection none = { 0 };
        const struct request all = { kind, (char *)cli_namespace_for(cli, kind), NULL };
        struct error *err = request_load(cli, &all, &none, objects);
        json_t *object;
        size_t i;

        json_array_foreach(objects, i, object) puts(object_name(object));
        return err;
}

static struct error *say_containers(struct cli *cli, const char *word) {
        _cleanup_json_ json_t *pod = NULL;
        struct error *err = pod_load(cli, word, &pod);

        if (err)
                return err;
        _cleanup_free_ const char **names = container_names_in_order(pod);
        for (size_t i = 0; names[i]; i++)
                puts(names[i]);
        return NULL;
}

/* Verbs whose first word is a pod, not a type. */
static bool takes_pods(const char *verb) {
        static const char *const names[] = { "logs", "exec", "attach", "port-forward", "cp", "tree", NULL };
        return strv_contains((char *const *)names, verb);
}

/* Words of a line that are no flags; values of flags are taken for words, which offers too much and never too little.
 */
static struct error *say_words(struct cli *cli, const struct verb *verb, char **words, size_t n) {
        const struct api_kind *kind;

        if (takes_pods(verb->name))
                return n == 0 ? say_names(cli, api_kind_of("Pod")) : say_containers(cli, words[0]);
        if (n == 0) {
                say_types();
                return NULL;
        }
        kind = api_kind_lookup(words[0]);
        return kind ? say_names(cli, kind) : NULL;
}

/* `husk __complete WORD… CURRENT`: the last word is the one being typed, perhaps empty. */
struct error *complete_run(struct cli *cli, struct arguments *arguments) {
        size_t n = arguments->n_words, n_plain = 0;
        char **words = arguments->words;
        const char *current = n ? words[n - 1] : "";

        if (n <= 1) {
                for (const struct verb *v = verbs; v->name; v++)
                        if (v->summary)
                                puts(v->name);
                return NULL;
        }
        const struct verb *verb = verb_find(words[0]);
        if (!verb)
                return NULL;
        if (*current == '-') {
                say_flags(verb->flags);
                say_flags(global_flags);
                return NULL;
        }
        _cleanup_free_ char **plain = xcalloc(n, sizeof(char *));
        for (size_t i = 1; i + 1 < n; i++) {
                if ((streq(words[i], "-n") || streq(words[i], "--namespace")) && i + 2 < n)
                        cli->ns = words[++i];
                else if (words[i][0] != '-')
                        plain[n_plain++] = words[i];
        }
        const char *before = words[n - 2];
        if (streq(before, "-n") || streq(before, "--namespace"))
                return say_names(cli, api_kind_of("Namespace"));
        if ((streq(before, "-c") || streq(before, "--container")) && n_plain)
                return say_containers(cli, plain[0]);
        return say_words(cli, verb, plain, n_plain);
}
