#include "husk/flag.h"

#include "base/str.h"
#include "base/duration.h"

/* One pass over a command line. */
struct parser {
        const struct flag *own;
        const struct flag *global;
        char **argv;
        size_t next; /* the word after the one in hand */
};

static const struct flag *table_find(const struct flag *table, const char *name, size_t len, char letter) {
        for (const struct flag *f = table; f && f->name; f++)
                if (name ? strlen(f->name) == len && strncmp(f->name, name, len) == 0 : f->letter == letter)
                        return f;
        return NULL;
}

/* The verb's own flags first: `-f` is a file here and "follow" there. */
static const struct flag *parser_find(const struct parser *p, const char *name, size_t len, char letter) {
        const struct flag *f = table_find(p->own, name, len, letter);
        return f ? f : table_find(p->global, name, len, letter);
}

static bool flag_needs_value(const struct flag *f) {
        if (f->type == FLAG_ACCEPTED)
                return f->argument != NULL;
        return f->type != FLAG_BOOL && f->type != FLAG_REFUSED && !f->bare;
}

static struct error *flag_bad_value(const struct flag *f, const char *value, const char *wanted) {
        return usage_error("invalid argument \"%s\" for \"--%s\" flag: must be %s", value, f->name, wanted);
}

static bool bool_parse(const char *s, bool *ret) {
        static const char *const yes[] = { "true", "1", "t", "T", "True", "TRUE", NULL };
        static const char *const no[] = { "false", "0", "f", "F", "False", "FALSE", NULL };

        *ret = strv_contains((char *const *)yes, s);
        return *ret || strv_contains((char *const *)no, s);
}

static void flag_add_words(const struct flag *f, const char *value) {
        char ***list = f->value;
        _cleanup_strv_ char **parts = strv_split(value, ',');

        for (size_t i = 0; parts && parts[i]; i++)
                *list = strv_add(*list, parts[i]);
}

static struct error *flag_set(const struct flag *f, const char *value) {
        switch (f->type) {
        case FLAG_ACCEPTED:
                if (f->bare && !streq(f->bare, value))
                        return usage_error("--%s=%s is not available: %s", f->name, value, f->help);
                break;
        case FLAG_REFUSED:
                return usage_error("--%s: %s", f->name, f->help);
        case FLAG_BOOL:
                if (!bool_parse(value, f->value))
                        return flag_bad_value(f, value, "true or false");
                break;
        case FLAG_TEXT:
                *(const char **)f->value = value;
                break;
        case FLAG_NUMBER:
                if (!str_to_i64(value, f->value))
                        return flag_bad_value(f, value, "a whole number");
                break;
        case FLAG_DURATION:
                if (!duration_parse(value, f->value))
                        return flag_bad_value(f, value, "a duration such as 30s, 5m or 1h30m");
                break;
        case FLAG_TEXTS:
                *(char ***)f->value = strv_add(*(char ***)f->value, value);
                break;
        case FLAG_WORDS:
                flag_add_words(f, value);
                break;
        }
        return NULL;
}

/* All long names of both tables that would be of use, for "did you mean". */
static const char *parser_nearest(const struct parser *p, const char *word) {
        const struct flag *tables[] = { p->own, p->global };
        const char *names[128];
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
                for (const struct flag *f = tables[i]; f && f->name && n < ARRAY_SIZE(names) - 1; f++)
                        if (f->type != FLAG_REFUSED)
                                names[n++] = f->name;
        names[n] = NULL;
        return nearest_name(word, names);
}

static struct error *parse_long(struct parser *p, const char *word) {
        size_t len = strcspn(word, "=");
        const char *value = word[len] == '=' ? word + len + 1 : NULL;
        const struct flag *f = parser_find(p, word, len, 0);

        if (!f) {
                _cleanup_free_ char *name = xstrndup(word, len);
                const char *nearest = parser_nearest(p, name);
                if (nearest)
                        return usage_error("unknown flag: --%s; did you mean \"--%s\"?", name, nearest);
                return usage_error("unknown flag: --%s", name);
        }
        if (value)
                return flag_set(f, value);
        if (!flag_needs_value(f))
                return flag_set(f, f->bare ? f->bare : "true");
        if (!p->argv[p->next])
                return usage_error("flag needs an argument: --%s", f->name);
        return flag_set(f, p->argv[p->next++]);
}

/* `word` is what follows the dash: letters, of which the first that needs a value takes the rest of the word, or the
 * next word. */
static struct error *parse_letters(struct parser *p, const char *word) {
        for (const char *c = word; *c; c++) {
                const struct flag *f = parser_find(p, NULL, 0, *c);
                struct error *err;

                if (!f)
                        return usage_error("unknown shorthand flag: '%c' in -%s", *c, word);
                if (c[1] == '=')
                        return flag_set(f, c + 2);
                if (flag_needs_value(f)) {
                        if (c[1])
                                return flag_set(f, c + 1);
                        if (!p->argv[p->next])
                                return usage_error("flag needs an argument: '%c' in -%s", *c, word);
                        return flag_set(f, p->argv[p->next++]);
                }
                err = flag_set(f, f->bare ? f->bare : "true");
                if (err)
                        return err;
        }
        return NULL;
}

static struct error *parser_run(struct parser *p, bool until_word, struct arguments *ret) {
        while (p->argv[p->next]) {
                char *word = p->argv[p->next];
                struct error *err = NULL;

                /* "-" alone is a word: standard input. */
                if (word[0] != '-' || !word[1]) {
                        if (until_word)
                                break;
                        ret->words[ret->n_words++] = word;
                        p->next++;
                        continue;
                }
                p->next++;
                if (streq(word, "--")) {
                        ret->dash = ret->n_words;
                        break;
                }
                err = word[1] == '-' ? parse_long(p, word + 2) : parse_letters(p, word + 1);
                if (err)
                        return err;
        }
        while (p->argv[p->next])
                ret->words[ret->n_words++] = p->argv[p->next++];
        return NULL;
}

struct error *flags_parse(const struct flag *own, const struct flag *global, char **argv, bool until_word,
                          struct arguments *ret) {
        struct parser p = { .own = own, .global = global, .argv = argv };
        _cleanup_arguments_ struct arguments arguments = { .dash = -1 };
        struct error *err;

        arguments.words = xcalloc(strv_len(argv) + 1, sizeof(char *));
        err = parser_run(&p, until_word, &arguments);
        if (err)
                return err;
        *ret = arguments;
        arguments.words = NULL;
        return NULL;
}

void arguments_release(struct arguments *arguments) {
        free(arguments->words);
        *arguments = (struct arguments){ .dash = -1 };
}

const struct flag *flag_wanting_next(const struct flag *own, const struct flag *global, const char *word) {
        const struct parser p = { .own = own, .global = global };
        const struct flag *f = NULL;

        if (word[0] != '-' || !word[1] || strchr(word, '='))
                return NULL;
        if (word[1] == '-') {
                f = parser_find(&p, word + 2, strlen(word + 2), 0);
                return f && flag_needs_value(f) ? f : NULL;
        }
        for (const char *c = word + 1; *c; c++) {
                f = parser_find(&p, NULL, 0, *c);
                if (!f)
                        return NULL;
                if (flag_needs_value(f))
                        return c[1] ? NULL : f;
        }
        return NULL;
}

const char *nearest_name(const char *word, const char *const *names) {
        const char *best = NULL;
        size_t best_distance = MAX(strlen(word) / 3, 1) + 1;

        for (; *names; names++) {
                size_t distance = str_distance(word, *names);
                if (distance < best_distance) {
                        best = *names;
                        best_distance = distance;
                }
        }
        return best;
}
