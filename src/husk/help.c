#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "husk/cli.h"
#include "base/duration.h"

#define HELP_WIDTH 100
#define HELP_COLUMN 30

/* Columns of a UTF-8 text: its code points. */
static int text_width(const char *s) {
        int width = 0;

        for (; *s; s++)
                width += ((unsigned char)*s & 0xc0) != 0x80;
        return width;
}

/* Prints a sentence from column `column` on, wrapped at HELP_WIDTH; the cursor already stands there. */
static void print_wrapped(FILE *f, const char *text, int column) {
        int at = column;

        while (*text) {
                int len = strcspn(text, " ");
                if (at > column && at + 1 + len > HELP_WIDTH) {
                        fprintf(f, "\n%*s", column, "");
                        at = column;
                } else if (at > column) {
                        fputc(' ', f);
                        at++;
                }
                fwrite(text, 1, len, f);
                at += len;
                text += len;
                text += strspn(text, " ");
        }
        fputc('\n', f);
}

static const char *flag_argument(const struct flag *flag) {
        static const char *const by_type[] = {
                [FLAG_BOOL] = "",      [FLAG_TEXT] = "TEXT",  [FLAG_NUMBER] = "N", [FLAG_DURATION] = "TIME",
                [FLAG_TEXTS] = "TEXT", [FLAG_WORDS] = "LIST", [FLAG_REFUSED] = "",
        };
        return flag->argument ? flag->argument : by_type[flag->type];
}

static void print_flag(FILE *f, const struct flag *flag) {
        _cleanup_strbuf_ struct strbuf head = STRBUF_INIT;
        const char *argument = flag_argument(flag);

        if (flag->letter)
                strbuf_addf(&head, "  -%c, --%s", flag->letter, flag->name);
        else
                strbuf_addf(&head, "      --%s", flag->name);
        if (flag->type == FLAG_BOOL)
                strbuf_adds(&head, *(bool *)flag->value ? "[=false]" : "");
        else if (flag->bare)
                strbuf_addf(&head, "[=%s]", argument);
        else
                strbuf_addf(&head, " %s", argument);
        int width = text_width(strbuf_str(&head));
        if (width >= HELP_COLUMN - 1)
                fprintf(f, "%s\n%*s", strbuf_str(&head), HELP_COLUMN, "");
        else
                fprintf(f, "%s%*s", strbuf_str(&head), HELP_COLUMN - width, "");
        print_wrapped(f, flag->help, HELP_COLUMN);
}

static bool decides(const struct flag *flag) {
        return flag->type != FLAG_ACCEPTED && flag->type != FLAG_REFUSED;
}

static void print_accepted(FILE *f, const struct flag *flags) {
        _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;

        for (const struct flag *flag = flags; flag && flag->name; flag++)
                if (flag->type == FLAG_ACCEPTED)
                        strbuf_addf(&names, "%s--%s", names.len ? ", " : "", flag->name);
        if (!names.len)
                return;
        fprintf(f, "\nAccepted for scripts, without effect:\n  ");
        print_wrapped(f, strbuf_str(&names), 2);
}

/* Flags that husk refuses are not shown: whoever tries one is told why. */
void help_print_flags(FILE *f, const struct flag *flags) {
        for (const struct flag *flag = flags; flag && flag->name; flag++)
                if (decides(flag))
                        print_flag(f, flag);
}

/* Every line of `text`, two columns in. */
static void print_indented(FILE *f, const char *text) {
        while (*text) {
                int len = strcspn(text, "\n");
                fprintf(f, "%s%.*s\n", len ? "  " : "", len, text);
                text += len + (text[len] == '\n');
        }
}

/* "create configmap" and the others below "create". */
static void print_subverbs(FILE *f, const struct verb *verb) {
        size_t len = strlen(verb->name);
        bool any = false;

        for (const struct verb *v = verbs; v->name; v++) {
                if (strncmp(v->name, verb->name, len) != 0 || v->name[len] != ' ')
                        continue;
                if (!any)
                        fprintf(f, "\nMore verbs:\n");
                any = true;
                fprintf(f, "  %-*s  %s\n", HELP_COLUMN - 4, v->name, v->summary);
        }
}

void help_print_verb(FILE *f, const struct verb *verb) {
        fprintf(f, "%s.\n", verb->summary);
        if (verb->description)
                fprintf(f, "\n%s\n", verb->description);
        fprintf(f, "\nUsage:\n  husk %s %s\n\nExamples:\n", verb->name, verb->usage);
        print_indented(f, verb->example);
        print_subverbs(f, verb);
        if (verb->flags && verb->flags[0].name) {
                fprintf(f, "\nFlags:\n");
                help_print_flags(f, verb->flags);
        }
        print_accepted(f, verb->flags);
        fprintf(f, "\nGlobal flags:\n");
        help_print_flags(f, global_flags);
}

/* "create configmap" is shown in the help of "create"; "set image" has nobody to show it. */
static bool has_parent(const struct verb *verb) {
        size_t len = strcspn(verb->name, " ");
        _cleanup_free_ char *parent = xstrndup(verb->name, len);

        return verb->name[len] && verb_find(parent);
}

void help_print_overview(FILE *f) {
        const char *group = NULL;

        fprintf(f, "husk runs Kubernetes Pods on this machine, without a cluster.\n");
        for (const struct verb *v = verbs; v->name; v++) {
                if (!v->summary || has_parent(v))
                        continue;
                if (!streq_ptr(group, v->group))
                        fprintf(f, "\n%s:\n", v->group);
                group = v->group;
                fprintf(f, "  %-15s %s\n", v->name, v->summary);
        }
        fprintf(f, "\nUsage:\n  husk VERB [ARGUMENTS] [FLAGS]\n\nGlobal flags:\n");
        help_print_flags(f, global_flags);
        fprintf(f, "\n`husk VERB --help` explains a verb and gives examples.\n");
}
