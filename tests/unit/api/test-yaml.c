#include "api/yaml.h"
#include "test.h"

static void assert_reads(const char *yaml, const char *wanted) {
        _cleanup_free_ char *got = NULL;
        json_t *json = NULL;

        assert_ok(yaml_parse(yaml, strlen(yaml), &json, NULL));
        got = json ? json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT) : xstrdup("nothing");
        if (strcmp(got, wanted) != 0)
                fail_msg("%s is read as %s, not %s", yaml, got, wanted);
        json_decref(json);
}

static void assert_refuses(const char *yaml, size_t line, size_t column, const char *text) {
        struct yaml_mark mark = { 0 };
        json_t *json = NULL;
        struct error *err = yaml_parse(yaml, strlen(yaml), &json, &mark);

        if (!err)
                fail_msg("accepted: %s", yaml);
        if (!strstr(error_message(err), text) || mark.line != line || mark.column != column)
                fail_msg("%s: %zu:%zu: %s", yaml, mark.line, mark.column, error_message(err));
        assert_null(json);
        error_free(err);
}

static void assert_writes(const char *json_text, const char *wanted) {
        json_t *json = json_loads(json_text, JSON_DECODE_ANY, NULL), *back = NULL;
        _cleanup_free_ char *got = NULL;

        assert_non_null(json);
        got = yaml_format(json);
        assert_string_equal(got, wanted);
        assert_ok(yaml_parse(got, strlen(got), &back, NULL));
        assert_true(json_equal(json, back));
        json_decref(json);
        json_decref(back);
}

TEST(plain_scalars_follow_yaml_1_1_as_kubernetes_does) {
        static const struct {
                const char *yaml, *json;
        } cases[] = {
                { "y", "true" },
                { "Yes", "true" },
                { "on", "true" },
                { "True", "true" },
                { "n", "false" },
                { "NO", "false" },
                { "off", "false" },
                { "false", "false" },
                { "~", "null" },
                { "Null", "null" },
                { "yEs", "\"yEs\"" },
                { "1", "1" },
                { "-5", "-5" },
                { "+5", "5" },
                { "0400", "256" },
                { "0o17", "15" },
                { "0x1f", "31" },
                { "-0x10", "-16" },
                { "0b101", "5" },
                { "1_000", "1000" },
                { "08", "8" },
                { "1e3", "1000" },
                { "1.5", "1.5" },
                { ".5", "0.5" },
                { "80.0", "80" },
                { "1.2.3", "\"1.2.3\"" },
                { "0x", "\"0x\"" },
                { "1e", "\"1e\"" },
                { "100m", "\"100m\"" },
                { "\"5\"", "\"5\"" },
                { "'yes'", "\"yes\"" },
                { "!!str 5", "\"5\"" },
                { "2024-05-01", "\"2024-05-01\"" },
                { "12:30", "\"12:30\"" },
                { "9223372036854775807", "9223372036854775807" },
                { "1e400", "\"1e400\"" },
                { "nan", "\"nan\"" },
                { "!!int \"5\"", "5" },
                { "0x0x1", "\"0x0x1\"" },
                { "-", "[null]" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_reads(cases[i].yaml, cases[i].json);
}

TEST(keys_become_strings) {
        assert_reads("{1: a, yes: b, c: d, 1.5: e, \"2\": f}",
                     "{\"1\":\"a\",\"true\":\"b\",\"c\":\"d\",\"1.5\":\"e\",\"2\":\"f\"}");
        assert_refuses("? [a]\n: b\n", 1, 3, "a key must be a plain value");
        assert_refuses("~: b\n", 1, 1, "a key is empty");
}

TEST(an_empty_document_is_nothing) {
        assert_reads("", "nothing");
        assert_reads("# only a comment\n", "nothing");
        assert_reads("---\n", "null");
}

TEST(duplicate_keys_are_refused_where_they_stand) {
        assert_refuses("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", 5, 3, "key \"c\" is there twice");
        assert_refuses("yes: 1\ntrue: 2\n", 2, 1, "key \"true\" is there twice");
}

TEST(anchors_and_merges_work) {
        assert_reads("a: &x {b: 1, c: 2}\nd: *x\n", "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":1,\"c\":2}}");
        assert_reads("- &x {b: 1}\n- <<: *x\n  c: 2\n- {b: 9, <<: *x}\n- {<<: *x, b: 9}\n",
                     "[{\"b\":1},{\"c\":2,\"b\":1},{\"b\":9},{\"b\":9}]");
        assert_reads("- &x {b: 1}\n- &y {b: 2, c: 2}\n- <<: [*x, *y]\n",
                     "[{\"b\":1},{\"b\":2,\"c\":2},{\"b\":1,\"c\":2}]");
        assert_reads("[&x 1, *x, &x 2, *x]", "[1,1,2,2]");
        assert_refuses("a: *x\n", 1, 4, "no anchor \"&x\"");
        assert_refuses("a: &x [*x]\n", 1, 8, "no anchor \"&x\"");
        assert_refuses("<<: 5\n", 1, 5, "<< merges mappings only");
}

TEST(alias_bombs_are_refused) {
        assert_refuses("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                       "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                       "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
                       5, 29, "aliases expand to more than");
}

TEST(deep_nesting_is_refused) {
        char deep[1024];

        memset(deep, '[', 1000);
        deep[1000] = '\0';
        assert_refuses(deep, 1, 201, "nested deeper than 200");
}

TEST(what_is_not_yaml_is_explained) {
        assert_refuses("a:\n\t- b\n", 2, 1, "a tab cannot indent");
        assert_refuses("a: b: c\n", 1, 5, "mapping values are not allowed");
        assert_refuses("a: [1, 2\nb: 3\n", 2, 2, "did not find expected ',' or ']'");
        assert_refuses("a: \"x\n", 2, 1, "unexpected end of stream");
        assert_refuses("a: .inf\n", 1, 4, "a number that JSON does not have");
        assert_refuses("a: !!binary aGk=\n", 1, 4, "without !!binary");
        assert_refuses("a: \"x\\0y\"\n", 1, 4, "zero byte");
        assert_refuses("a\n...\n--- b\n", 3, 5, "a second document");
}

TEST(yaml_is_written_in_kubectls_layout) {
        assert_writes("{\"b\":[{\"y\":1,\"x\":[\"a\"]}],\"a\":{},\"c\":[],\"d\":null,\"e\":true,\"f\":1.5}",
                      "a: {}\nb:\n- x:\n  - a\n  \"y\": 1\nc: []\nd: null\ne: true\nf: 1.5\n");
        assert_writes("{\"s\":\"line\\nline\\n\",\"t\":\"a\\nb\",\"u\":\" x\\ny\"}",
                      "s: |\n  line\n  line\nt: |-\n  a\n  b\nu: |2-\n   x\n  y\n");
        assert_writes("\"x\"", "x\n");
        assert_writes("[]", "[]\n");
}

TEST(strings_that_look_like_something_else_are_quoted) {
        assert_writes(
                "[\"yes\",\"1\",\"1.5\",\"null\",\"\",\"0400\",\"12:30\",\"2024-05-01\",\"a: b\",\"#\",\" a\",\"<<\"]",
                "- \"yes\"\n- \"1\"\n- \"1.5\"\n- \"null\"\n- \"\"\n- \"0400\"\n- \"12:30\"\n- \"2024-05-01\"\n- 'a: "
                "b'\n"
                "- '#'\n- ' a'\n- \"<<\"\n");
        assert_writes("[\"a b\",\"1.2.3\",\"100m\",\"a:b\",\"\\u00e9\"]",
                      "- a b\n- 1.2.3\n- 100m\n- a:b\n- \xc3\xa9\n");
}

TEST(keys_sort_as_people_count) {
        assert_writes("{\"a10\":1,\"a2\":1,\"A\":1,\"a\":1,\"a_1\":1,\"10\":1,\"9\":1}",
                      "\"9\": 1\n\"10\": 1\nA: 1\na: 1\na_1: 1\na2: 1\na10: 1\n");
}

static void assert_at(const char *text, bool is_json, const char *path, bool at_key, size_t line, size_t column) {
        struct yaml_mark mark = (is_json ? yaml_locate_json : yaml_locate)(text, strlen(text), path, at_key);

        if (mark.line != line || mark.column != column)
                fail_msg("%s is at %zu:%zu", path, mark.line, mark.column);
}

TEST(paths_are_found_in_yaml) {
        static const char text[] = "apiVersion: v1\nmetadata:\n  labels: {a/b.c: x, d: é, e: y}\nspec:\n  containers:\n"
                                   "  - name: a\n    args: [x, 5]\n  - name: b\n    image:\n    tty: true\n";

        assert_at(text, false, "spec.containers[1].name", false, 8, 11);
        assert_at(text, false, "spec.containers[1].name", true, 8, 5);
        assert_at(text, false, "spec.containers[0].args[1]", false, 7, 15);
        assert_at(text, false, "metadata.labels[a/b.c]", true, 3, 12);
        assert_at(text, false, "metadata.labels[e]", true, 3, 28);
        assert_at(text, false, "spec.containers[1]", false, 8, 5);
        assert_at(text, false, "spec.containers", true, 5, 3);
        assert_at(text, false, "spec.containers[1].image", false, 9, 5);
        assert_at(text, false, "", false, 1, 1);
        assert_at("data: {a: 1, y: 2, 07: 3}", false, "data[true]", true, 1, 14);
        assert_at("data: {a: 1, y: 2, 07: 3}", false, "data[7]", true, 1, 20);
}

TEST(of_a_path_that_is_not_there_the_deepest_part_is_found) {
        static const char text[] = "spec:\n  containers:\n  - name: a\n    volumeMounts:\n    - name: v\n";

        assert_at(text, false, "spec.containers[0].image", false, 3, 5);
        assert_at(text, false, "spec.containers[0].volumeMounts.subPath", false, 5, 5);
        assert_at(text, false, "spec.containers[7].image", false, 3, 3);
        assert_at(text, false, "status", false, 1, 1);
        assert_at("", false, "x", false, 0, 0);
        assert_at("a: [", false, "a[0].b", false, 1, 4);
}

TEST(paths_are_found_in_json) {
        static const char text[] = "{\"spec\":{\n  \"x\": \"}\\\"{\", \"l\": {\"a/b.c\": [1, [2], {}]},\n  "
                                   "\"containers\": [ {\"name\": \"a\"},\n"
                                   "    {\"name\" : \"b\"} ] } }";

        assert_at(text, true, "spec.containers[1].name", false, 4, 15);
        assert_at(text, true, "spec.containers[1].name", true, 4, 6);
        assert_at(text, true, "spec.l[a/b.c][1][0]", false, 2, 36);
        assert_at(text, true, "spec.containers[0].image", false, 3, 19);
        assert_at(text, true, "spec.containers[5]", false, 3, 17);
        assert_at(text, true, "", false, 1, 1);
        assert_at("{\"a\":", true, "a.b", false, 1, 6);
        assert_at("[", true, "[3]", false, 1, 1);
}
