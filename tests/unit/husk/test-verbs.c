/* Walks the table of verbs: what the help, the completions and the parser rely on. */
#include "test.h"

#include <ctype.h>

#include "base/str.h"
#include "husk/cli.h"

TEST(every_verb_has_a_summary_a_usage_and_a_function) {
        for (const struct verb *v = verbs; v->name; v++) {
                if (!v->summary)
                        continue; /* not for people: the completions' own verb */
                if (!v->group || !v->usage || !v->run)
                        fail_msg("%s lacks something", v->name);
                size_t len = strlen(v->summary);
                if (!isupper((unsigned char)v->summary[0]) || v->summary[len - 1] == '.' || len > 90)
                        fail_msg("%s: not a summary: %s", v->name, v->summary);
        }
}

TEST(every_verb_has_an_example_that_uses_it_and_says_what_for) {
        for (const struct verb *v = verbs; v->name; v++) {
                char command[64];
                if (!v->summary)
                        continue;
                snprintf(command, sizeof(command), "husk %s", v->name);
                if (!v->example || v->example[0] != '#' || !strstr(v->example, command))
                        fail_msg("%s has no example", v->name);
        }
}

TEST(no_two_verbs_have_one_name_and_groups_stand_together) {
        for (const struct verb *v = verbs; v->name; v++) {
                bool left = false;
                for (const struct verb *w = v + 1; w->name; w++) {
                        if (streq(v->name, w->name))
                                fail_msg("%s twice", v->name);
                        if (v->summary && w->summary && !streq(v->group, w->group))
                                left = true;
                        else if (left && v->summary && w->summary)
                                fail_msg("%s stands apart from its group", w->name);
                }
        }
}

TEST(every_flag_has_a_help_text_a_place_and_a_name_of_its_own) {
        for (const struct verb *v = verbs; v->name; v++)
                for (const struct flag *f = v->flags; f && f->name; f++) {
                        bool decides = f->type != FLAG_ACCEPTED && f->type != FLAG_REFUSED;
                        if (!f->value == decides || !f->help || !*f->help || f->help[strlen(f->help) - 1] == '.')
                                fail_msg("%s --%s: help?", v->name, f->name);
                        if (f->type == FLAG_BOOL && f->bare)
                                fail_msg("%s --%s: a boolean is always bare", v->name, f->name);
                        for (const struct flag *g = f + 1; g->name; g++)
                                if (streq(f->name, g->name) || (f->letter && f->letter == g->letter))
                                        fail_msg("%s: --%s and --%s", v->name, f->name, g->name);
                        for (const struct flag *g = global_flags; g->name; g++)
                                if (streq(f->name, g->name))
                                        fail_msg("%s hides the global --%s", v->name, f->name);
                }
}

static char *help_of(const struct verb *verb) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        help_print_verb(f, verb);
        fclose(f);
        return text;
}

TEST(the_help_of_a_verb_shows_its_example_and_all_its_flags) {
        for (const struct verb *v = verbs; v->name; v++) {
                if (!v->summary)
                        continue;
                _cleanup_free_ char *help = help_of(v);
                assert_non_null(strstr(help, v->summary));
                assert_non_null(strstr(help, "Examples:\n  #"));
                for (const struct flag *f = v->flags; f && f->name; f++) {
                        char name[64];
                        snprintf(name, sizeof(name), "--%s", f->name);
                        if (f->type != FLAG_REFUSED && !strstr(help, name))
                                fail_msg("%s: no %s in its help", v->name, name);
                }
        }
}

TEST(an_unknown_verb_is_answered_with_the_nearest) {
        assert_error(verb_unknown("aply"), ERROR_INVALID, "did you mean \"apply\"?");
        assert_error(verb_unknown("frobnicate"), ERROR_INVALID, "unknown command \"frobnicate\"");
        assert_error(verb_unknown("rollout"), ERROR_INVALID, "husk set image");
        assert_null(verb_find("aply"));
        assert_non_null(verb_find("apply"));
}

/* Splits a line of an example as a shell would, as far as the examples go: quotes, and an end at |, <, > or a comment.
 */
static char **shell_words(const char *line) {
        char **words = NULL;

        for (const char *c = line + strspn(line, " "); *c && !strchr("|<>#", *c); c += strspn(c, " ")) {
                _cleanup_strbuf_ struct strbuf word = STRBUF_INIT;
                char quote = 0;
                for (; *c && (quote || !strchr(" |<>", *c)); c++) {
                        if (*c == quote)
                                quote = 0;
                        else if (!quote && (*c == '\'' || *c == '"'))
                                quote = *c;
                        else if (*c == '(' && !quote) /* $(…) is one word */
                                while (*c && *c != ')')
                                        c++;
                        else
                                strbuf_addc(&word, *c);
                }
                words = strv_add(words, strbuf_str(&word));
        }
        return words;
}

/* One command of an example, "husk …" somewhere in it, is understood by the tables of the verb it names. */
static void check_command(const struct verb *verb, const char *line) {
        const char *start = strstr(line, "husk ");
        _cleanup_strv_ char **words = start ? shell_words(start + strlen("husk ")) : NULL;
        _cleanup_arguments_ struct arguments a = { .dash = -1 };
        size_t n;

        if (!words || strv_contains(words, "--help"))
                return;
        const struct verb *named = verb_find_words(words, &n);
        if (named != verb) {
                fail_msg("%s: the example calls another verb: %s", verb->name, line);
                return;
        }
        struct error *err = flags_parse(verb->flags, global_flags, words + n, verb->verbatim, &a);
        if (err)
                fail_msg("%s: %s: %s", verb->name, line, error_message(err));
}

TEST(every_example_is_a_command_line_that_its_verb_understands) {
        for (const struct verb *v = verbs; v->name; v++) {
                _cleanup_strbuf_ struct strbuf joined = STRBUF_INIT;
                if (!v->summary)
                        continue;
                for (const char *c = v->example; *c; c++)
                        if (c[0] == '\\' && c[1] == '\n')
                                c++; /* goes on in the next line */
                        else
                                strbuf_addc(&joined, *c);
                _cleanup_strv_ char **lines = strv_split(strbuf_str(&joined), '\n');
                for (size_t i = 0; lines[i]; i++)
                        if (lines[i][0] != '#')
                                check_command(v, lines[i]);
        }
}
