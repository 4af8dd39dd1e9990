/* The words of `husk taint`, and what becomes of a node's list. */
#include "test.h"

#include "server/field.h"
#include "husk/taint.h"

static json_t *parse(const char *text) {
        json_t *json = json_loads(text, 0, NULL);
        assert_non_null(json);
        return json;
}

static struct error *edit(const char *taints, char *const *words, bool overwrite, char **ret_taints,
                          const char **ret_word) {
        _cleanup_(taint_edit_release) struct taint_edit edit = { 0 };
        _cleanup_json_ json_t *node =
                json_pack("{s:{s:s}, s:{s:o}}", "metadata", "name", "n", "spec", "taints", parse(taints));
        size_t n = 0;

        while (words[n])
                n++;
        struct error *err = taint_edit_parse(words, n, &edit);
        edit.overwrite = overwrite;
        if (!err)
                err = taint_edit_apply(&edit, node, ret_word);
        if (!err)
                *ret_taints = json_dumps(field_at(node, "spec.taints") ?: json_null(),
                                         JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        return err;
}

#define WORDS(...) ((char *[]){ __VA_ARGS__, NULL })
#define A "{\"effect\":\"NoSchedule\",\"key\":\"a\",\"value\":\"1\"}"
#define B "{\"effect\":\"NoExecute\",\"key\":\"a\"}"

static void changes(const char *before, char *const *words, bool overwrite, const char *word, const char *after) {
        _cleanup_free_ char *taints = NULL;
        const char *said = NULL;
        struct error *err = edit(before, words, overwrite, &taints, &said);

        if (err)
                fail_msg("%s: %s", words[0], error_message(err));
        assert_string_equal(taints, after);
        assert_string_equal(said, word);
}

TEST(taints_are_added_and_removed_by_key_and_effect) {
        changes("[]", WORDS("a=1:NoSchedule"), false, "tainted", "[" A "]");
        changes("[" A "]", WORDS("a:NoExecute"), false, "tainted", "[" B "," A "]");
        changes("[" A "]", WORDS("a=1:NoSchedule"), true, "modified", "[" A "]");
        changes("[" A "," B "]", WORDS("a:NoExecute-"), false, "untainted", "[" A "]");
        changes("[" A "," B "]", WORDS("a-"), false, "untainted", "null");
        changes("[" A "]", WORDS("a:NoSchedule-", "a:NoExecute"), false, "modified", "[" B "]");
}

TEST(a_wrong_taint_is_refused_in_words) {
        static const struct {
                const char *taints, *word, *message;
        } rows[] = {
                { "[" A "]", "a=2:NoSchedule",
                  "node n already has a taint(s) with same effect(s) and --overwrite is false" },
                { "[]", "a:NoSchedule-", "taint \"a:NoSchedule\" not found" },
                { "[]", "a-", "taint \"a\" not found" },
                { "[]", "a=1:Never", "invalid taint effect: Never, unsupported taint effect" },
                { "[]", "a=1", "invalid taint spec: a=1" },
                { "[]", "=1:NoSchedule", "invalid taint spec: =1:NoSchedule" },
                { "[]", "a=b=c:NoSchedule", "invalid taint spec: a=b=c:NoSchedule" },
                { "[]", "a:NoSchedule:x", "invalid taint spec: a:NoSchedule:x" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *taints = NULL;
                const char *said;

                assert_error(edit(rows[i].taints, WORDS((char *)rows[i].word), false, &taints, &said), ERROR_INVALID,
                             rows[i].message);
        }
}
