#include "test.h"

#include "base/str.h"

TEST(numbers_are_strict) {
        uint64_t u;
        int64_t i;

        assert_true(str_to_u64("18446744073709551615", &u) && u == UINT64_MAX);
        assert_false(str_to_u64("18446744073709551616", &u));
        assert_false(str_to_u64("", &u));
        assert_false(str_to_u64("1 ", &u));
        assert_false(str_to_u64("-1", &u));
        assert_true(str_to_i64("-9223372036854775808", &i) && i == INT64_MIN);
        assert_false(str_to_i64("9223372036854775808", &i));
        assert_false(str_to_i64("--1", &i));
}

TEST(a_list_is_split_and_joined_again) {
        _cleanup_strv_ char **v = strv_split("a,,b", ',');
        _cleanup_free_ char *joined = strv_join(v, ",");

        assert_int_equal(strv_len(v), 3);
        assert_string_equal(joined, "a,,b");
        assert_true(strv_contains(v, "b"));
        assert_false(strv_contains(v, "c"));
        strv_sort(v);
        _cleanup_free_ char *sorted = strv_join(v, ",");
        assert_string_equal(sorted, ",a,b");
        strv_sort(NULL);
}

TEST(distance_counts_edits_and_swaps) {
        assert_int_equal(str_distance("imagePulPolicy", "imagePullPolicy"), 1);
        assert_int_equal(str_distance("naem", "name"), 1);
        assert_int_equal(str_distance("", "abc"), 3);
        assert_int_equal(str_distance("same", "same"), 0);
}

TEST(a_long_formatted_string_fits) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

        strbuf_addf(&b, "%0*d", 1000, 7);
        assert_int_equal(b.len, 1000);
        assert_int_equal(strlen(b.data), 1000);
}

TEST(quotes_are_those_of_go) {
        static const struct {
                const char *text, *quoted;
        } rows[] = {
                { "", "\"\"" },
                { "plain", "\"plain\"" },
                { "a\nb\tc\r\a\b\v\f", "\"a\\nb\\tc\\r\\a\\b\\v\\f\"" },
                { "say \"x\\y\"", "\"say \\\"x\\\\y\\\"\"" },
                { "\x01\x1f\x7f", "\"\\x01\\x1f\\x7f\"" },
                { "gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"" },
                { "\xc3(\xff\xe2\x82", "\"\\xc3(\\xff\\xe2\\x82\"" }, /* not UTF-8, or cut off */
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

                strbuf_add_quoted(&b, rows[i].text);
                assert_string_equal(strbuf_str(&b), rows[i].quoted);
        }
}

TEST(numbers_in_text_are_compared_as_numbers) {
        static const char *const sorted[] = { "",      "10",     "a", "a1",    "a01b",  "a2",     "a10",    "a10b",
                                              "a10b2", "a10b10", "b", "web-2", "web-9", "web-10", "web-10a" };

        for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
                for (size_t j = 0; j < ARRAY_SIZE(sorted); j++) {
                        int order = str_natural_compare(sorted[i], sorted[j]);
                        if ((order > 0) - (order < 0) != (i > j) - (i < j))
                                fail_msg("\"%s\" and \"%s\": %d", sorted[i], sorted[j], order);
                }
}

TEST(what_others_wrote_moves_no_cursor_and_is_utf8) {
        char text[] = "a\x1b[2J\n\xc3\xbc\xff\x7f\xc3";

        str_make_printable(text);
        assert_string_equal(text, "a?[2J?\xc3\xbc???");
}
