#include "api/jsonpath.h"
#include "test.h"

static const char document[] = "{\"kind\":\"List\",\"items\":["
                               "{\"kind\":\"None\",\"metadata\":{\"name\":\"127.0.0.1\",\"labels\":{\"app.kubernetes."
                               "io/name\":\"x\",\"n\":\"1\"}},"
                               "\"status\":{\"capacity\":{\"cpu\":\"4\"},\"addresses\":[{\"type\":\"LegacyHostIP\","
                               "\"address\":\"127.0.0.1\"}]}},"
                               "{\"kind\":\"None\",\"metadata\":{\"name\":\"127.0.0.2\"},\"status\":{\"capacity\":{"
                               "\"cpu\":\"8\"},\"ready\":true,"
                               "\"addresses\":[{\"type\":\"LegacyHostIP\",\"address\":\"127.0.0.2\"},{\"type\":"
                               "\"another\",\"address\":\"127.0.0.3\"}]}}],"
                               "\"users\":[{\"name\":\"myself\",\"user\":{}},{\"name\":\"e2e\",\"age\":5,\"user\":{"
                               "\"username\":\"admin\",\"password\":\"secret\"}}],"
                               "\"n\":[0,1,2,3,4],\"real\":1.5,\"nothing\":null}";

static void assert_prints(const char *template, const char *wanted) {
        _cleanup_(jsonpath_freep) struct jsonpath *jsonpath = NULL;
        _cleanup_free_ char *got = NULL;
        json_auto_t *json = json_loads(document, 0, NULL);
        struct error *err = jsonpath_parse(template, &jsonpath);

        assert_non_null(json);
        if (!err)
                err = jsonpath_print(jsonpath, json, &got);
        if (err)
                fail_msg("%s: %s", template, error_message(err));
        if (strcmp(got, wanted) != 0)
                fail_msg("%s prints %s, not %s", template, got, wanted);
}

static void assert_fails(const char *template, const char *text) {
        _cleanup_(jsonpath_freep) struct jsonpath *jsonpath = NULL;
        _cleanup_free_ char *got = NULL;
        json_auto_t *json = json_loads(document, 0, NULL);
        struct error *err = jsonpath_parse(template, &jsonpath);

        if (!err)
                err = jsonpath_print(jsonpath, json, &got);
        if (!err)
                fail_msg("%s prints %s", template, got);
        if (!strstr(error_message(err), text))
                fail_msg("%s: %s", template, error_message(err));
        error_free(err);
}

TEST(kubectls_documented_examples_work) {
        assert_prints("{.kind}", "List");
        assert_prints("{['kind']}", "List");
        assert_prints("{..name}", "127.0.0.1 127.0.0.2 myself e2e");
        assert_prints("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2");
        assert_prints("{.users[0].name}", "myself");
        assert_prints("{.items[*]['metadata.name', 'status.capacity']}",
                      "127.0.0.1 {\"cpu\":\"4\"} 127.0.0.2 {\"cpu\":\"8\"}");
        assert_prints("{.users[?(@.name==\"e2e\")].user.password}", "secret");
        assert_prints("{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
                      "[127.0.0.1, {\"cpu\":\"4\"}] [127.0.0.2, {\"cpu\":\"8\"}] ");
        assert_prints("{range .items[*]}{.metadata.name}{'\\t'}{end}", "127.0.0.1\t127.0.0.2\t");
        assert_prints("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "x");
        assert_prints("{.items[0].metadata.labels['app\\.kubernetes\\.io/name']}", "x");
        assert_prints("{.items[0].metadata.labels['app.kubernetes.io/name']}", "x");
        assert_prints("kind is {.kind}{\"\\n\"}", "kind is List\n");
}

TEST(slices_count_from_both_ends) {
        assert_prints("{.n[0]}", "0");
        assert_prints("{.n[-1]}", "4");
        assert_prints("{.n[-2]}", "3");
        assert_prints("{.n[-5]}", "0");
        assert_prints("{.n[1:3]}", "1 2");
        assert_prints("{.n[:2]}", "0 1");
        assert_prints("{.n[3:]}", "3 4");
        assert_prints("{.n[-2:]}", "3 4");
        assert_prints("{.n[:-3]}", "0 1");
        assert_prints("{.n[0:5:2]}", "0 2 4");
        assert_prints("{.n[::3]}", "0 3");
        assert_prints("{.n[0,2]}", "0 2");
        assert_prints("{.n[3:9]}", "3 4");
        assert_prints("{.n[*]}", "0 1 2 3 4");
        assert_prints("{.n}", "[0,1,2,3,4]");
}

TEST(filters_compare_strings_numbers_and_truth) {
        assert_prints("{.items[*].status.addresses[?(@.type==\"another\")].address}", "127.0.0.3");
        assert_prints("{.items[*].status.addresses[?(@.type!='another')].address}", "127.0.0.1 127.0.0.2");
        assert_prints("{.users[?(@.age)].name}", "e2e");
        assert_prints("{.users[?(@.age>4)].name}", "e2e");
        assert_prints("{.users[?(@.age >= 5.0)].name}", "e2e");
        assert_prints("{.users[?(@.age<5)].name}", "");
        assert_prints("{.items[?(@.status.ready==true)].metadata.name}", "127.0.0.2");
        assert_prints("{.n[?(@>2)]}", "3 4");
        assert_prints("{.items[?(@.metadata.labels.app\\.kubernetes\\.io/name==\"x\")].metadata.name}", "127.0.0.1");
}

TEST(what_is_not_there_is_empty) {
        assert_prints("{.metadata.name}", "");
        assert_prints("{.metadata.list[0].x}", "");
        assert_prints("{.kind.x}", "");
        assert_prints("{.items.x}", "");
        assert_prints("{.nothing[0]}", "");
        assert_prints("{range .metadata.x[*]}y{end}", "");
}

TEST(any_value_can_be_printed) {
        assert_prints("{.real}", "1.5");
        assert_prints("{.items[1].status.ready}", "true");
        assert_prints("{.users[1].user}", "{\"password\":\"secret\",\"username\":\"admin\"}");
        assert_prints("{.users[1].user.*}", "secret admin");
        assert_prints("{.users[0].user}", "{}");
        assert_prints("{5}{'a'}{\"b\\\"\"}", "5ab\"");
        assert_prints("{@.kind}{$.kind}", "ListList");
        assert_prints("plain", "plain");
        assert_prints("", "");
        assert_prints("{range .users[*]}{range .user.*}{@}{end}{.name};{end}", "myself;secretadmine2e;");
}

TEST(mistakes_in_a_template_are_explained) {
        assert_fails("{.kind", "a brace is not closed at position 7");
        assert_fails("{kind}", "begins with a dot");
        assert_fails("{.n[x]}", "not an index");
        assert_fails("{.n[0}", "a bracket is not closed");
        assert_fails("{.n[?(@.x==\"y)]}", "a quote is not closed");
        assert_fails("{.n[?(@.x==y)]}", "a filter compares");
        assert_fails("{.n[?(@.x]}", "a filter is not closed");
        assert_fails("{.n[0:1:0]}", "step");
        assert_fails("{range .n}", "{range} without {end}");
        assert_fails("{end}", "{end} without {range}");
        assert_fails("{.n[7]}", "array index out of bounds: index 7, length 5");
        assert_fails("{.n[-6]}", "array index out of bounds");
        assert_fails("{.kind[0]}", "needs a list");
        assert_fails("{.kind[?(@.x)]}", "only a list can be filtered");
        assert_fails("{.items[?(@.kind==5)]}", "incompatible types");
        assert_fails("{.items[?(@.status.addresses[*].type==\"x\")]}", "one element at a time");
        assert_fails("{}", "begins with a dot");
        assert_fails("{.items[?(@.status.addresses[1].type == \"another\")].kind}", "out of bounds");
        assert_fails("{......................................................x}", "more than");
}

TEST(deep_nesting_is_refused) {
        char template[2048] = "{", *p = template + 1;

        for (int i = 0; i < 100; i++)
                p += sprintf(p, ".a[?(@");
        assert_fails(template, "nested too deeply");
}

TEST(loose_expressions_are_made_templates) {
        static const char *const cases[][2] = {
                { "metadata.name", "{.metadata.name}" }, { ".x", "{.x}" }, { "{.x}", "{.x}" }, { "['x']", "{['x']}" }
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *got = jsonpath_relax(cases[i][0]);
                assert_string_equal(got, cases[i][1]);
        }
}

TEST(values_can_be_had_as_json) {
        _cleanup_(jsonpath_freep) struct jsonpath *jsonpath = NULL;
        json_auto_t *json = json_loads(document, 0, NULL), *found = NULL;

        assert_ok(jsonpath_parse("{.items[*].status.ready}{.n[1]}", &jsonpath));
        assert_ok(jsonpath_find(jsonpath, json, &found));
        assert_int_equal(json_array_size(found), 2);
        assert_true(json_is_true(json_array_get(found, 0)));
        assert_int_equal(json_integer_value(json_array_get(found, 1)), 1);
}
