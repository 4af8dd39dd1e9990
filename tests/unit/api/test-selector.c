#include "api/selector.h"
#include "test.h"

static const char labels_text[] = "{\"app\":\"web\",\"tier\":\"front\",\"cores\":\"8\",\"a.b/c\":\"\"}";

static void assert_selects(const char *text, bool wanted) {
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        json_auto_t *labels = json_loads(labels_text, 0, NULL);

        assert_ok(label_selector_parse(text, &selector));
        if (label_selector_matches(selector, labels) != wanted)
                fail_msg("%s", text);
}

static void assert_refused(const char *text, const char *words) {
        struct label_selector *selector = NULL;

        assert_error(label_selector_parse(text, &selector), ERROR_BAD_REQUEST, words);
        assert_null(selector);
}

TEST(label_selectors_match_as_kubectls_do) {
        static const struct {
                const char *text;
                bool matches;
        } cases[] = {
                { "", true },
                { "app=web", true },
                { "app==web", true },
                { " app = web , tier=front ", true },
                { "app=db", false },
                { "app!=db", true },
                { "app!=web", false },
                { "zone!=x", true },
                { "app", true },
                { "zone", false },
                { "!zone", true },
                { "!app", false },
                { "! app", false },
                { "app in (web,db)", true },
                { "app in (db)", false },
                { "app in(web)", true },
                { "zone in (web)", false },
                { "app notin (db, x)", true },
                { "app notin (web)", false },
                { "zone notin (x)", true },
                { "a.b/c=", true },
                { "a.b/c in (,x)", true },
                { "cores>7", true },
                { "cores>8", false },
                { "cores<9", true },
                { "app>1", false },
                { "zone>1", false },
                { "app=web,tier in (front,back),!old", true },
                { "app=web,old", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_selects(cases[i].text, cases[i].matches);
}

TEST(bad_label_selectors_are_refused) {
        assert_refused("app web", "expected: '=', '!=', '==', 'in', 'notin'");
        assert_refused("app in web", "expected: '('");
        assert_refused("app in (web", "',' or ')'");
        assert_refused("app in ()", "values set can't be empty");
        assert_refused("app=web,", "after ','");
        assert_refused("app=web tier=x", "expected: ','");
        assert_refused("=web", "a label's key");
        assert_refused(",", "a label's key");
        assert_refused("-app=web", "label key \"-app\"");
        assert_refused("a/b/c", "label key \"a/b/c\"");
        assert_refused("app=$x", "label value \"$x\"");
        assert_refused("app>x", "must be an integer");
}

TEST(label_selectors_are_written_shortly) {
        static const char *const cases[][2] = {
                { "app==web", "app=web" },        { "app in (web)", "app=web" },
                { "a in (x,y)", "a in (x,y)" },   { "a notin (x,y)", "a notin (x,y)" },
                { "a != x , b,!c", "a!=x,b,!c" }, { "a>1,b<2", "a>1,b<2" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
                _cleanup_free_ char *text = NULL;

                assert_ok(label_selector_parse(cases[i][0], &selector));
                text = label_selector_format(selector);
                assert_string_equal(text, cases[i][1]);
        }
}

static void *decoded(struct api_arena *arena, const ProtobufCMessageDescriptor *descriptor, const char *text) {
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        json_auto_t *json = json_loads(text, 0, NULL);
        void *message = api_decode(json, descriptor, arena, &diags);

        assert_int_equal(diags.n, 0);
        return message;
}

TEST(selectors_of_the_api_match_too) {
        static const struct {
                const char *text;
                bool matches;
        } cases[] = {
                { "{}", true },
                { "{\"matchLabels\":{\"app\":\"web\"}}", true },
                { "{\"matchLabels\":{\"app\":\"web\",\"x\":\"y\"}}", false },
                { "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\",\"values\":[\"db\",\"web\"]}]}", true },
                { "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"NotIn\",\"values\":[\"web\"]}]}", false },
                { "{\"matchExpressions\":[{\"key\":\"x\",\"operator\":\"DoesNotExist\"}]}", true },
                { "{\"matchExpressions\":[{\"key\":\"x\",\"operator\":\"Exists\"}],\"matchLabels\":{\"app\":\"web\"}}",
                  false },
        };
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_(label_selector_freep) struct label_selector *none = NULL;
        json_auto_t *labels = json_loads(labels_text, 0, NULL);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(label_selector_freep) struct label_selector *selector = NULL;

                assert_ok(
                        label_selector_from(decoded(arena, &v1_label_selector__descriptor, cases[i].text), &selector));
                if (label_selector_matches(selector, labels) != cases[i].matches)
                        fail_msg("%s", cases[i].text);
        }
        assert_ok(label_selector_from(NULL, &none));
        assert_false(label_selector_matches(none, labels));
        assert_true(label_selector_matches(NULL, labels));
        assert_error(label_selector_from(
                             decoded(arena, &v1_label_selector__descriptor,
                                     "{\"matchExpressions\":[{\"key\":\"x\",\"operator\":\"Gt\",\"values\":[\"1\"]}]}"),
                             &none),
                     ERROR_INVALID, "\"Gt\" is not a valid label selector operator");
}

TEST(field_selectors_look_into_objects) {
        static const char object_text[] =
                "{\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"},\"spec\":{\"nodeName\":\"n=1,x\"},"
                "\"status\":{\"phase\":\"Running\"}}";
        static const struct {
                const char *text;
                bool matches;
        } cases[] = {
                { "", true },
                { "metadata.name=web", true },
                { "metadata.name==web,status.phase!=Pending", true },
                { "metadata.name!=web", false },
                { "status.phase=Pending", false },
                { "status.podIP=", true },
                { "spec.nodeName=n\\=1\\,x", true },
                { "spec.hostNetwork=false", true },
                { "spec.hostNetwork=true", false },
        };
        json_auto_t *object = json_loads(object_text, 0, NULL);
        struct field_selector *bad = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(field_selector_freep) struct field_selector *selector = NULL;

                assert_ok(field_selector_parse(cases[i].text, &selector));
                assert_ok(field_selector_check(selector, api_kind_of("Pod")));
                if (field_selector_matches(selector, object) != cases[i].matches)
                        fail_msg("%s", cases[i].text);
        }
        assert_error(field_selector_parse("metadata.name", &bad), ERROR_BAD_REQUEST, "invalid field selector");
        assert_error(field_selector_parse("a!b", &bad), ERROR_BAD_REQUEST, "invalid field selector");
        assert_error(field_selector_parse("=x", &bad), ERROR_BAD_REQUEST, "invalid field selector");
}

TEST(only_some_fields_can_be_selected_by) {
        _cleanup_(field_selector_freep) struct field_selector *selector = NULL;

        assert_ok(field_selector_parse("spec.priority=1", &selector));
        assert_error(field_selector_check(selector, api_kind_of("Pod")), ERROR_BAD_REQUEST,
                     "field label not supported: spec.priority");
}

TEST(node_selectors_match_labels_and_names) {
        static const struct {
                const char *text;
                bool matches;
        } cases[] = {
                { "{}", false },
                { "{\"nodeSelectorTerms\":[{}]}", false },
                { "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\",\"values\":["
                  "\"web\"]}]}]}",
                  true },
                { "{\"nodeSelectorTerms\":[{},{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\"}]}]}",
                  true },
                { "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"cores\",\"operator\":\"Gt\",\"values\":["
                  "\"4\"]}]}]}",
                  true },
                { "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"cores\",\"operator\":\"Lt\",\"values\":["
                  "\"4\"]}]}]}",
                  false },
                { "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Gt\",\"values\":["
                  "\"4\"]}]}]}",
                  false },
                { "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"NotIn\",\"values\":["
                  "\"a\"]}]}]}",
                  true },
                { "{\"nodeSelectorTerms\":[{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":"
                  "[\"n1\"]}]}]}",
                  true },
                { "{\"nodeSelectorTerms\":[{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"NotIn\","
                  "\"values\":[\"n1\"]}]}]}",
                  false },
                { "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\"}],"
                  "\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n2\"]}]}]}",
                  false },
        };
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        json_auto_t *labels = json_loads(labels_text, 0, NULL);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if (node_selector_matches(decoded(arena, &v1_node_selector__descriptor, cases[i].text), labels, "n1") !=
                    cases[i].matches)
                        fail_msg("%s", cases[i].text);
}
