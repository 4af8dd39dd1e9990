/* completion.c - `husk completion SHELL`: a script that asks husk itself what may stand next. */
#include <ctype.h>
#include <stdio.h>

#include "api/api.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/selection.h"
#include "husk/verbs.h"
#include "server/field.h"

const struct flag completion_flags[] = { { 0 } };
const struct flag complete_flags[] = { { 0 } };

/* What ends in one of these goes on: no blank is put after it. Where husk has no answer that fits, there are files. */
static const char bash[] =
        "_husk() {\n"
        "        local IFS=$'\\n' current=${COMP_WORDS[COMP_CWORD]}\n"
        "        COMPREPLY=($(compgen -W \"$(husk __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\" -- "
        "\"$current\"))\n"
        "        [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[:=/] ]] && compopt -o nospace 2>/dev/null\n"
        "        return 0\n"
        "}\n"
        "complete -o default -F _husk husk\n";

static const char zsh[] =
        "#compdef husk\n"
        "_husk() {\n"
        "        local -a answers\n"
        "        local found=1\n"
        "        answers=(${(f)\"$(husk __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
        "        compadd -S '' -- ${(M)answers:#*[:=/]} && found=0\n"
        "        compadd -- ${answers:#*[:=/]} && found=0\n"
        "        (( found )) && _files\n"
        "}\n"
        "compdef _husk husk\n"
        "# As a file of fpath it is run at the first use; sourced, it must not complete anything yet.\n"
        "if [ \"$funcstack[1]\" = _husk ]; then _husk; fi\n";

static const char fish[] = "function __husk_complete\n"
                           "        set -l words (commandline -opc) (commandline -ct)\n"
                           "        set -l current (string escape --style=regex -- (commandline -ct))\n"
                           "        set -l answers (husk __complete $words[2..-1] 2>/dev/null | string match -r -- "
                           "\"^$current.*\")\n"
                           "        if test (count $answers) -gt 0\n"
                           "                printf '%s\\n' $answers\n"
                           "        else\n"
                           "                __fish_complete_path (commandline -ct)\n"
                           "        end\n"
                           "end\n"
                           "complete -c husk -f -a '(__husk_complete)'\n";

static const struct { const char *shell, *script; } scripts[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

struct error *completion_run(struct cli *cli, struct arguments *arguments) {
        for (size_t i = 0; arguments->n_words == 1 && i < ARRAY_SIZE(scripts); i++)
                if (streq(scripts[i].shell, arguments->words[0])) {
                        fputs(scripts[i].script, stdout);
                        return NULL;
                }
        return usage_error("expected one of: bash, zsh, fish");
}

/* ---- the line so far ---- */

struct line {
        const struct verb *verb;
        char **words; /* after the verb's name, without flags and their values; the strings are argv's */
        size_t n_words;
        const struct flag *pending; /* the word being typed is its value … */
        char *before;               /* … and begins with this: "--output="; NULL: nothing */
        bool after_dash;            /* it belongs to a command in a container */
        const char *current;
};

/* What a flag's value on the line means for the answers. */
static void heed_value(struct cli *cli, const struct flag *flag, const char *value) {
        if (streq(flag->name, "namespace"))
                cli->ns = value;
        else if (streq(flag->name, "root"))
                cli->root = value;
        else if (streq(flag->name, "run"))
                cli->run = value;
}

/* "--output=ya" is, other than in bash, one word. */
static void line_split_current(struct line *line) {
        const char *equals = str_starts_with(line->current, "--") ? strchr(line->current, '=') : NULL;
        _cleanup_free_ char *name = equals ? xstrndup(line->current, equals - line->current) : NULL;

        if (!equals)
                return;
        line->pending = flag_wanting_next(line->verb ? line->verb->flags : NULL, global_flags, name);
        if (!line->pending)
                return;
        line->before = xasprintf("%s=", name);
        line->current = equals + 1;
}

/* `words`: what was typed after "husk", the word being typed last. bash makes words of their own of "=" and what
 * follows: they are taken for the value that they are. */
static void line_parse(struct cli *cli, char **words, size_t n, struct line *ret) {
        size_t i = 0, name_words = 0;

        ret->current = n ? words[n - 1] : "";
        ret->words = xcalloc(n + 1, sizeof(char *));
        if (n > 1)
                ret->verb = verb_find_words(words, &name_words);
        if (name_words >= n) { /* the verb's name is still being typed: "create configmap" */
                _cleanup_free_ char *first = xstrdup(words[0]);
                ret->verb = verb_find(first);
                name_words = 1;
        }
        for (i = name_words; i + 1 < n; i++) {
                const struct flag *flag = ret->pending;
                ret->pending = NULL;
                if (streq(words[i], "=")) {
                        ret->pending = flag;
                } else if (flag) {
                        heed_value(cli, flag, words[i]);
                } else if (ret->after_dash) {
                        ret->words[ret->n_words++] = words[i];
                } else if (streq(words[i], "--")) {
                        ret->after_dash = true;
                } else if (words[i][0] == '-' && words[i][1]) {
                        ret->pending = flag_wanting_next(ret->verb ? ret->verb->flags : NULL, global_flags, words[i]);
                } else {
                        ret->words[ret->n_words++] = words[i];
                }
        }
        if (ret->pending && streq(ret->current, "="))
                ret->current = "";
        if (!ret->pending && !ret->after_dash)
                line_split_current(ret);
}

static void line_release(struct line *line) {
        free(line->words);
        free(line->before);
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

/* Names of all objects of a kind, each between `before` and `after`. */
static struct error *say_names(struct cli *cli, const struct api_kind *kind, const char *before, const char *after) {
        _cleanup_json_ json_t *objects = json_array();
        struct selection none = { 0 };
        const struct request all = { kind, (char *)cli_namespace_for(cli, kind), NULL };
        struct error *err = request_load(cli, &all, &none, objects);
        json_t *object;
        size_t i;

        json_array_foreach(objects, i, object) printf("%s%s%s\n", before, object_name(object), after);
        return err;
}

/* "pod/<TAB>" */
static struct error *say_slash_names(struct cli *cli, const char *current) {
        _cleanup_free_ char *type = xstrndup(current, strcspn(current, "/"));
        _cleanup_free_ char *before = xasprintf("%s/", type);
        const struct api_kind *kind = api_kind_lookup(type);

        return kind ? say_names(cli, kind, before, "") : NULL;
}

static struct error *say_containers(struct cli *cli, const char *word, const char *before) {
        _cleanup_json_ json_t *pod = NULL;
        struct error *err = pod_load(cli, word, &pod);

        if (err)
                return err;
        _cleanup_free_ const char **names = container_names_in_order(pod);
        for (size_t i = 0; names[i]; i++)
                printf("%s%s\n", before, names[i]);
        return NULL;
}

/* Ports that the pod names, for port-forward. */
static struct error *say_ports(struct cli *cli, const char *word) {
        _cleanup_json_ json_t *pod = NULL;
        struct error *err = pod_load(cli, word, &pod);
        json_t *container, *port;
        size_t i, p;

        json_array_foreach(field_at(pod, "spec.containers"), i, container) {
                json_array_foreach(json_object_get(container, "ports"), p, port)
                        printf("%lld\n", (long long)field_number(port, "containerPort", 0));
        }
        return err;
}

/* CONTAINER= for `set image`. */
static struct error *say_images(struct cli *cli, const struct line *line) {
        const char *slash = strchr(line->words[0], '/');
        _cleanup_json_ json_t *pod = NULL;
        struct error *err = slash || line->n_words > 1 ? pod_load(cli, line->words[slash ? 0 : 1], &pod) : NULL;
        json_t *container;
        size_t i;

        json_array_foreach(field_at(pod, "spec.containers"), i, container)
                printf("%s=\n", field_text_or(container, "name", ""));
        return err;
}

/* --for=pod/NAME */
static struct error *say_event_subjects(struct cli *cli, const struct line *line) {
        _cleanup_free_ char *pods = xasprintf("%spod/", line->before ?: "");

        if (strchr(line->current, '/') && !line->before)
                return say_slash_names(cli, line->current);
        return say_names(cli, api_kind_of("Pod"), pods, "");
}

/* Values of flags that are known: words that their help lists, separated by bars, or a name of something. */
static struct error *say_values(struct cli *cli, const struct line *line) {
        static const struct {
                const char *flag, *values;
        } known[] = {
                { "output", "wide|json|yaml|name|jsonpath=|jsonpath-as-json=|custom-columns=" },
                { "for", "condition=Ready|condition=Initialized|condition=PodScheduled|create|delete|jsonpath=" },
                { "restart", "Always|OnFailure|Never" },
                { "image-pull-policy", "Always|IfNotPresent|Never" },
                { "profile", "general|baseline|restricted|netadmin|sysadmin" },
                { "types", "Normal|Warning" },
                { "subresource", "resize|ephemeralcontainers|status" },
        };
        const struct flag *flag = line->pending;
        /* "FILE|DIR|-" names kinds of words, "none|client|server" are the words */
        const char *values =
                flag->argument && strchr(flag->argument, '|') && !isupper(*flag->argument) ? flag->argument : NULL;

        const char *before = line->before ?: "";

        if (streq(flag->name, "namespace"))
                return say_names(cli, api_kind_of("Namespace"), before, "");
        if ((streq(flag->name, "container") || streq(flag->name, "target")) && line->n_words)
                return say_containers(cli, line->words[0], before);
        if (streq(flag->name, "for") && streq(line->verb->name, "events"))
                return say_event_subjects(cli, line);
        for (size_t i = 0; !values && i < ARRAY_SIZE(known); i++)
                if (streq(known[i].flag, flag->name))
                        values = known[i].values;
        _cleanup_strv_ char **words = values ? strv_split(values, '|') : NULL;
        for (size_t i = 0; words && words[i]; i++)
                printf("%s%s\n", before, words[i]);
        return NULL;
}

/* Verbs whose first word is a pod, not a type. */
static bool takes_pods(const char *verb) {
        static const char *const names[] = { "logs", "exec", "attach", "debug", "port-forward", "tree", NULL };
        return strv_contains((char *const *)names, verb);
}

/* Verbs that take no object. */
static bool takes_none(const char *verb) {
        static const char *const names[] = { "apply",         "create",       "diff",       "replace", "run", "events",
                                             "api-resources", "api-versions", "completion", "version", NULL };
        return strv_contains((char *const *)names, verb) || str_starts_with(verb, "create ");
}

static struct error *say_words(struct cli *cli, const struct line *line) {
        const char *verb = line->verb->name;
        const struct api_kind *kind;

        if (streq(verb, "completion"))
                puts("bash\nzsh\nfish");
        if (takes_none(verb))
                return NULL;
        if (streq(verb, "cp"))
                return say_names(cli, api_kind_of("Pod"), "", ":");
        if (strchr(line->current, '/'))
                return say_slash_names(cli, line->current);
        if (takes_pods(verb)) {
                if (line->n_words == 0)
                        return say_names(cli, api_kind_of("Pod"), "", "");
                return streq(verb, "port-forward") ? say_ports(cli, line->words[0])
                                                   : say_containers(cli, line->words[0], "");
        }
        if (streq(verb, "cordon") || streq(verb, "uncordon"))
                return say_names(cli, api_kind_of("Node"), "", "");
        if (line->n_words == 0) {
                if (streq(verb, "top"))
                        puts("pod");
                else
                        say_types();
                return NULL;
        }
        if (streq(verb, "set image") && (line->n_words > 1 || strchr(line->words[0], '/')))
                return say_images(cli, line);
        kind = api_kind_lookup(line->words[0]);
        return kind ? say_names(cli, kind, "", "") : NULL;
}

/* First words of verbs, or the second ones of those that begin as the line does. */
static void say_verbs(char **words, size_t n) {
        _cleanup_strbuf_ struct strbuf prefix = STRBUF_INIT;
        const char *last = "";

        for (size_t i = 0; i + 1 < n; i++)
                strbuf_addf(&prefix, "%s ", words[i]);
        for (const struct verb *v = verbs; v->name; v++) {
                if (!v->summary || !str_starts_with(v->name, strbuf_str(&prefix)))
                        continue;
                const char *rest = v->name + prefix.len;
                size_t len = strcspn(rest, " ");
                if (strncmp(last, rest, len) != 0 || (last[len] && last[len] != ' '))
                        printf("%.*s\n", (int)len, rest);
                last = rest;
        }
}

/* `husk __complete WORD… CURRENT`: the last word is the one being typed, perhaps empty. */
struct error *complete_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_(line_release) struct line line = { 0 };

        line_parse(cli, arguments->words, arguments->n_words, &line);
        if (!line.pending && line.current[0] != '-' && !line.after_dash)
                say_verbs(arguments->words, arguments->n_words);
        if (!line.verb || line.after_dash)
                return NULL;
        if (line.pending)
                return say_values(cli, &line);
        if (line.current[0] == '-') {
                say_flags(line.verb->flags);
                say_flags(global_flags);
                return NULL;
        }
        return say_words(cli, &line);
}
