#include "test.h"

#include "base/clock.h"
#include "base/str.h"
#include "husk/flag.h"

static bool follow, wait_for_it, interactive, tty;
static const char *container, *ns, *dry_run;
static int64_t tail, timeout_ns;
static char **files, **words;

static const struct flag own[] = {
        { "follow", 'f', FLAG_BOOL, &follow, NULL, NULL, "" },
        { "wait", 0, FLAG_BOOL, &wait_for_it, NULL, NULL, "" },
        { "stdin", 'i', FLAG_BOOL, &interactive, NULL, NULL, "" },
        { "tty", 't', FLAG_BOOL, &tty, NULL, NULL, "" },
        { "container", 'c', FLAG_TEXT, &container, NULL, NULL, "" },
        { "tail", 0, FLAG_NUMBER, &tail, NULL, NULL, "" },
        { "timeout", 0, FLAG_DURATION, &timeout_ns, NULL, NULL, "" },
        { "filename", 0, FLAG_TEXTS, &files, NULL, NULL, "" },
        { "types", 0, FLAG_WORDS, &words, NULL, NULL, "" },
        { "dry-run", 0, FLAG_TEXT, &dry_run, NULL, "client", "" },
        { 0 },
};
static const struct flag global[] = {
        { "namespace", 'n', FLAG_TEXT, &ns, NULL, NULL, "" },
        { "force", 'f', FLAG_BOOL, &(bool){ false }, NULL, NULL, "" },
        { 0 },
};

static void reset(void) {
        follow = interactive = tty = false;
        wait_for_it = true;
        container = ns = dry_run = NULL;
        tail = -1;
        timeout_ns = 0;
        files = strv_free(files);
        words = strv_free(words);
}

/* Parses a line of words separated by single blanks. */
static struct error *parse(const char *line, bool until_word, char ***ret_split, struct arguments *ret) {
        reset();
        *ret_split = strv_split(line, ' ');
        return flags_parse(own, global, *ret_split, until_word, ret);
}

#define PARSED(line) \
        _cleanup_strv_ char **split = NULL; \
        _cleanup_arguments_ struct arguments a = { .dash = -1 }; \
        assert_ok(parse(line, false, &split, &a))

static void refused(const char *line, const char *text) {
        _cleanup_strv_ char **split = NULL;
        _cleanup_arguments_ struct arguments a = { .dash = -1 };
        assert_error(parse(line, false, &split, &a), ERROR_INVALID, text);
}

TEST(flags_may_stand_before_between_and_after_words) {
        PARSED("-c app web --tail 5 other --wait=false");
        assert_string_equal(container, "app");
        assert_int_equal(tail, 5);
        assert_false(wait_for_it);
        assert_int_equal(a.n_words, 2);
        assert_string_equal(a.words[0], "web");
        assert_string_equal(a.words[1], "other");
        assert_int_equal(a.dash, -1);
}

TEST(letters_can_be_joined_and_the_last_takes_the_rest) {
        PARSED("-itcapp -ndefault");
        assert_true(interactive && tty);
        assert_string_equal(container, "app");
        assert_string_equal(ns, "default");
}

TEST(a_letter_takes_its_value_after_an_equals_sign_too) {
        PARSED("-n=kube -c= -f=false");
        assert_string_equal(ns, "kube");
        assert_string_equal(container, "");
        assert_false(follow);
}

TEST(after_two_dashes_everything_is_a_word) {
        PARSED("web -c app -- ls -l --tail 3 -- x");
        assert_int_equal(a.dash, 1);
        assert_int_equal(a.n_words, 7);
        assert_string_equal(a.words[1], "ls");
        assert_string_equal(a.words[2], "-l");
        assert_string_equal(a.words[5], "--");
        assert_int_equal(tail, -1);
}

TEST(a_dash_alone_is_a_word) {
        PARSED("--filename - -");
        assert_string_equal(files[0], "-");
        assert_int_equal(a.n_words, 1);
        assert_string_equal(a.words[0], "-");
}

TEST(a_boolean_does_not_eat_the_next_word) {
        PARSED("--follow false");
        assert_true(follow);
        assert_string_equal(a.words[0], "false");
}

TEST(a_flag_with_a_bare_value_takes_another_only_with_an_equals_sign) {
        PARSED("--dry-run server");
        assert_string_equal(dry_run, "client");
        assert_string_equal(a.words[0], "server");
}

TEST(lists_grow_and_words_are_separated_by_commas) {
        PARSED("--filename a,b --filename c --types x,y --types=z");
        assert_int_equal(strv_len(files), 2);
        assert_string_equal(files[0], "a,b");
        assert_int_equal(strv_len(words), 3);
        assert_string_equal(words[2], "z");
}

TEST(the_last_of_two_values_counts) {
        PARSED("--tail=1 --tail=2");
        assert_int_equal(tail, 2);
}

TEST(negative_numbers_and_durations_are_values) {
        PARSED("--tail -1 --timeout -1s");
        assert_int_equal(tail, -1);
        assert_int_equal(timeout_ns, -NSEC_PER_SEC);
}

TEST(the_verbs_own_flag_hides_a_global_one_of_the_same_letter) {
        PARSED("-f");
        assert_true(follow);
}

TEST(parsing_can_stop_at_the_first_word) {
        _cleanup_strv_ char **split = NULL;
        _cleanup_arguments_ struct arguments a = { .dash = -1 };
        assert_ok(parse("-n x get --nosuch", true, &split, &a));
        assert_string_equal(ns, "x");
        assert_int_equal(a.n_words, 2);
        assert_string_equal(a.words[1], "--nosuch");
}

TEST(mistakes_are_named) {
        refused("--folow", "did you mean \"--follow\"?");
        refused("--entirely-different", "unknown flag: --entirely-different");
        refused("-z", "unknown shorthand flag: 'z' in -z");
        refused("-iz", "'z' in -iz");
        refused("--tail", "flag needs an argument: --tail");
        refused("-c", "flag needs an argument: 'c' in -c");
        refused("--tail=x", "invalid argument \"x\" for \"--tail\" flag");
        refused("--tail=99999999999999999999", "whole number");
        refused("--follow=perhaps", "true or false");
        refused("--timeout=5", "duration");
}

TEST(the_nearest_name_is_near) {
        static const char *const names[] = { "get", "apply", "delete", "describe", NULL };
        assert_string_equal(nearest_name("gte", names), "get");
        assert_string_equal(nearest_name("aply", names), "apply");
        assert_string_equal(nearest_name("discribe", names), "describe");
        assert_null(nearest_name("frobnicate", names));
        assert_null(nearest_name("x", (const char *const[]){ NULL }));
}

TEST(an_accepted_flag_takes_its_value_and_a_refused_one_says_why) {
        static const struct flag table[] = {
                { "chunk-size", 0, FLAG_ACCEPTED, NULL, "N", NULL, "answers come in one piece" },
                { "overwrite", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "what is applied counts" },
                { "lenient", 0, FLAG_ACCEPTED, NULL, NULL, "true", "it always is" },
                { "context", 'x', FLAG_REFUSED, NULL, NULL, NULL, "there are no clusters" },
                { 0 },
        };
        static const struct {
                const char *line, *mistake;
        } rows[] = {
                { "--chunk-size 5 --overwrite pods", NULL },
                { "--overwrite=false --lenient pods", NULL },
                { "--lenient=false pods", "--lenient=false is not available: it always is" },
                { "--context mine pods", "--context: there are no clusters" },
                { "--context=mine pods", "--context: there are no clusters" },
                { "-x mine pods", "--context: there are no clusters" },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                _cleanup_strv_ char **split = strv_split(rows[i].line, ' ');
                _cleanup_arguments_ struct arguments a = { .dash = -1 };
                struct error *err = flags_parse(table, NULL, split, false, &a);
                if (rows[i].mistake) {
                        assert_error(err, ERROR_INVALID, rows[i].mistake);
                        continue;
                }
                assert_ok(err);
                assert_int_equal(a.n_words, 1);
                assert_string_equal(a.words[0], "pods");
        }
}
