#include "test.h"

#include "husk-image/toml.h"

static const char *parsed(const char *text) {
        static char *out;
        json_auto_t *json = NULL;

        free(out);
        struct error *err = toml_parse(text, strlen(text), &json);
        if (err) {
                out = xstrdup(error_message(err));
                error_free(err);
        } else {
                out = json_dumps(json, JSON_COMPACT);
        }
        return out;
}

TEST(values_of_every_kind) {
        assert_string_equal(parsed("a = 1\nb = -17\nc = +0x1F\nd = 1_000\ne = 0b101\nf = 0o17 # eight\n"),
                            "line 3: +0x1F is no value: a string stands in quotes");
        assert_string_equal(parsed("a = 1\nb = -17\nc = 0x1F\nd = 1_000\ne = 0b101\nf = 0o17 # eight\n"),
                            "{\"a\":1,\"b\":-17,\"c\":31,\"d\":1000,\"e\":5,\"f\":15}");
        assert_string_equal(
                parsed("a = true\nb = false\nc = 1.5\nd = 1979-05-27T07:32:00Z\ne = 1979-05-27 07:32:00"),
                "{\"a\":true,\"b\":false,\"c\":1.5,\"d\":\"1979-05-27T07:32:00Z\",\"e\":\"1979-05-27 07:32:00\"}");
        assert_string_equal(parsed("a = [ 'x', \"y\\t\\u00e9\", # why\n  [], ]"),
                            "{\"a\":[\"x\",\"y\\t\xc3\xa9\",[]]}");
        assert_string_equal(parsed("a = {b = 1, c.d = 'x'}"), "{\"a\":{\"b\":1,\"c\":{\"d\":\"x\"}}}");
        assert_string_equal(parsed("a = \"\"\"\none \\\n   two\"\"\"\"\nb = '''\nC:\\'''"),
                            "{\"a\":\"one two\\\"\",\"b\":\"C:\\\\\"}");
}

TEST(tables_and_lists_of_tables) {
        assert_string_equal(parsed("[a.b]\nc = 1\n[a]\nd = 2\n"), "{\"a\":{\"b\":{\"c\":1},\"d\":2}}");
        assert_string_equal(parsed("[[r]]\nn = 1\n[[r.m]]\nx = 1\n[[r.m]]\nx = 2\n[[r]]\nn = 2\n"),
                            "{\"r\":[{\"n\":1,\"m\":[{\"x\":1},{\"x\":2}]},{\"n\":2}]}");
        assert_string_equal(parsed("[host.\"https://m:5000\".header]\nx-y = 'z'"),
                            "{\"host\":{\"https://m:5000\":{\"header\":{\"x-y\":\"z\"}}}}");
        assert_string_equal(parsed(""), "{}");
        assert_string_equal(parsed("\xef\xbb\xbf# only a comment\r\n"), "{}");
}

TEST(mistakes_name_their_line) {
        assert_string_equal(parsed("a = 1\na = 2"), "line 2: a is given twice");
        assert_string_equal(parsed("[a]\n[a]"), "line 2: [a] is given twice");
        assert_string_equal(parsed("a = [1]\n[[a]]"), "line 2: a is not a list of tables");
        assert_string_equal(parsed("a = {}\n[a.b]"), "{\"a\":{\"b\":{}}}");
        assert_string_equal(parsed("\na = yes"), "line 2: yes is no value: a string stands in quotes");
        assert_string_equal(parsed("a ="), "line 1: a value is missing");
        assert_string_equal(parsed("a = 'x' 'y'"), "line 1: something follows the value: '");
        assert_string_equal(parsed("a = \"x\n\""), "line 1: a string does not end");
        assert_string_equal(parsed("a = 1__0"), "line 1: 1__0 is no value: a string stands in quotes");
        assert_string_equal(parsed("a = 01"), "line 1: 01 is no value: a string stands in quotes");
        assert_string_equal(parsed("= 1"), "line 1: a key is missing");
        assert_string_equal(parsed("a.b = 1\na.b.c = 2"), "line 2: b is no table that could be added to");
        assert_string_equal(parsed("a = [1 2]"), "line 1: \",\" or \"]\" is missing in an array");
        assert_string_equal(parsed("[a\nb = 1"), "line 1: \"]\" is missing");
        assert_string_equal(parsed("a = \"\\x\""), "line 1: unknown escape in a string");
        assert_string_equal(parsed("a = \"\xff\""), "line 1: a string is not UTF-8");
}

TEST(depth_is_bounded) {
        char text[256] = "a = ";

        for (int i = 0; i < 100; i++)
                strcat(text, "[");
        assert_string_equal(parsed(text), "line 1: nested more than 32 deep");
}
