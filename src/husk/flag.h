/* flag.h - command lines with kubectl's grammar, driven by tables.
 *
 * A verb lists its flags in a table of `struct flag`; the same rows parse the command line, print the help and feed the
 * shell completions. The grammar is that of kubectl (and of the Go library below it): `--name=value`, `--name value`,
 * `-n value`, `-nvalue`, `-n=value`, letters in one word (`-itc app`), flags before, between and after the other words,
 * and `--`, after which everything is a word. Flags that need no value (booleans, and those with `bare`) take one only
 * with `=`. A flag given twice keeps its last value, except lists, which grow. */
#pragma once

#include "base/error.h"

enum flag_type {
        FLAG_BOOL,     /* bool: --wait, --wait=false */
        FLAG_TEXT,     /* const char * */
        FLAG_NUMBER,   /* int64_t */
        FLAG_DURATION, /* int64_t, nanoseconds, written as Go writes them: 90s, 1m30s, 0 */
        FLAG_TEXTS,    /* char **: one element each time it is given */
        FLAG_WORDS,    /* char **: as FLAG_TEXTS, commas separate elements */
        /* kubectl's flags that decide nothing here: taken, so that scripts go on working; with `argument` they need a
         * value, without they are booleans; with `bare` no other value is taken. `help` says why. */
        FLAG_ACCEPTED,
        /* kubectl's flags that would mean something husk does not do: an error, and `help` is its sentence. */
        FLAG_REFUSED,
};

struct flag {
        const char *name; /* long name, without dashes; NULL ends a table */
        char letter;      /* short name, or 0 */
        enum flag_type type;
        void *value;          /* where the value goes, of the type that `type` says; holds the default before */
        const char *argument; /* how help calls the value ("FILE"); NULL: by type */
        const char *bare; /* value when the flag stands alone, for types other than FLAG_BOOL; NULL: needs a value */
        const char *help; /* one sentence, no full stop */
};

/* What is left of a command line when the flags are gone. */
struct arguments {
        char **words; /* NULL-terminated; the strings are argv's own */
        size_t n_words;
        ssize_t dash; /* how many words came before "--", -1 if there was none */
};
void arguments_release(struct arguments *arguments);
#define _cleanup_arguments_ _cleanup_(arguments_release)

/* Parses `argv` (NULL-terminated, without the program's name) by two tables, the verb's and the global one; either may
 * be NULL. `until_word` stops at the first word that is no flag, *ret->words then is everything from there on. */
struct error *flags_parse(const struct flag *own, const struct flag *global, char **argv, bool until_word,
                          struct arguments *ret) _must_check_;

/* The flag whose value is the word behind `word` ("--namespace", "-itc"); NULL if `word` needs none. For completions.
 */
const struct flag *flag_wanting_next(const struct flag *own, const struct flag *global, const char *word);

/* The name among `names` (NULL-terminated) that somebody who typed `word` may have meant, or NULL. */
const char *nearest_name(const char *word, const char *const *names);

/* A mistake in the command line; printed as "error: ...", exit status 1. */
#define usage_error(...) error_new(ERROR_INVALID, __VA_ARGS__)
