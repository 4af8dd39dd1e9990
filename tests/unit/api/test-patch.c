#include "api/patch.h"
#include "test.h"

static json_t *json(const char *text) {
        json_error_t error;
        json_t *j = json_loads(text, JSON_DECODE_ANY, &error);

        if (!j)
                fail_msg("%s: %s", error.text, text);
        return j;
}

static void assert_json(const json_t *got, const char *wanted) {
        _cleanup_free_ char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);

        assert_string_equal(text, wanted);
}

static void assert_merged(const char *document, const char *patch, const char *wanted) {
        json_auto_t *d = json(document), *p = json(patch), *result = patch_merge(d, p), *before = json(document);

        assert_json(result, wanted);
        assert_true(json_equal(d, before));
}

/* The examples of RFC 7386, appendix A. */
TEST(json_merge_patch_does_what_its_rfc_says) {
        assert_merged("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
        assert_merged("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}");
        assert_merged("{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}");
        assert_merged("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
        assert_merged("{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}");
        assert_merged("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}");
        assert_merged("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}");
        assert_merged("[\"a\"]", "[\"c\"]", "[\"c\"]");
        assert_merged("{\"a\":\"foo\"}", "null", "null");
        assert_merged("{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}");
        assert_merged("[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}");
        assert_merged("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}");
}

static void assert_operations(const char *document, const char *patch, const char *wanted) {
        json_auto_t *d = json(document), *p = json(patch), *result = NULL, *before = json(document);
        struct error *err = patch_json(d, p, &result);

        if (err)
                fail_msg("%s: %s", patch, error_message(err));
        assert_json(result, wanted);
        assert_true(json_equal(d, before));
}

static void assert_operations_fail(const char *document, const char *patch, const char *words) {
        json_auto_t *d = json(document), *p = json(patch);
        json_t *result = NULL;
        struct error *err = patch_json(d, p, &result);

        if (!err)
                fail_msg("accepted %s", patch);
        if (!strstr(error_message(err), words))
                fail_msg("%s: %s", patch, error_message(err));
        assert_null(result);
        error_free(err);
}

/* The examples of RFC 6902, appendix A. */
TEST(json_patch_does_what_its_rfc_says) {
        assert_operations("{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
                          "{\"baz\":\"qux\",\"foo\":\"bar\"}");
        assert_operations("{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
                          "{\"foo\":[\"bar\",\"qux\",\"baz\"]}");
        assert_operations("{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
                          "{\"foo\":\"bar\"}");
        assert_operations("{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
                          "{\"foo\":[\"bar\",\"baz\"]}");
        assert_operations("{\"baz\":\"qux\",\"foo\":\"bar\"}",
                          "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
                          "{\"baz\":\"boo\",\"foo\":\"bar\"}");
        assert_operations("{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
                          "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
                          "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}");
        assert_operations("{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
                          "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
                          "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}");
        assert_operations("{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
                          "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},{\"op\":\"test\",\"path\":\"/foo/"
                          "1\",\"value\":2}]",
                          "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}");
        assert_operations("{\"foo\":[\"bar\"]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
                          "{\"foo\":[\"bar\",[\"abc\",\"def\"]]}");
        assert_operations("{\"/\":9,\"~1\":10}",
                          "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10},{\"op\":\"remove\",\"path\":\"/~1\"}]",
                          "{\"~1\":10}");
        assert_operations("{\"a\":{\"b\":1}}",
                          "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"},{\"op\":\"replace\",\"path\":\"/c/"
                          "b\",\"value\":2}]",
                          "{\"a\":{\"b\":1},\"c\":{\"b\":2}}");
        assert_operations("{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}");
        assert_operations("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/\",\"value\":2}]", "{\"\":2,\"a\":1}");
        assert_operations("{\"a\":1}", "[]", "{\"a\":1}");
}

TEST(json_patches_that_do_not_fit_change_nothing) {
        assert_operations_fail("{}", "{}", "a list of operations");
        assert_operations_fail("{}", "[{\"op\":\"remove\"}]", "needs op and path");
        assert_operations_fail("{}", "[{\"op\":\"frob\",\"path\":\"/a\"}]", "unknown operation \"frob\"");
        assert_operations_fail("{}", "[{\"op\":\"add\",\"path\":\"/a\"}]", "add needs a value");
        assert_operations_fail("{}", "[{\"op\":\"copy\",\"path\":\"/a\"}]", "copy needs from");
        assert_operations_fail("{}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]", "there is no \"/a\"");
        assert_operations_fail("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]",
                               "neither object nor list");
        assert_operations_fail("{}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", "no JSON pointer");
        assert_operations_fail("{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", "there is no \"/a\"");
        assert_operations_fail("{}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":1}]", "there is no \"/a\"");
        assert_operations_fail("{\"a\":[]}", "[{\"op\":\"remove\",\"path\":\"/a/0\"}]", "there is no");
        assert_operations_fail("{\"a\":[]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":1}]", "beyond the list");
        assert_operations_fail("{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/01\"}]", "beyond the list");
        assert_operations_fail("{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/-\"}]", "there is no");
        assert_operations_fail("{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":\"1\"}]",
                               "testing value /a failed");
        assert_operations_fail("{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]",
                               "cannot move into itself");
        assert_operations_fail("{\"a\":1}",
                               "[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},{\"op\":\"remove\",\"path\":\"/c\"}]",
                               "operation 1");
}

TEST(copies_cannot_grow_without_bound) {
        json_auto_t *document = json("{\"a\":[1,2,3]}"), *patch = json_array(),
                    *operation = json("{\"op\":\"copy\",\"from\":\"\",\"path\":\"/a/-\"}");
        json_t *result = NULL;

        for (int i = 0; i < 100; i++)
                json_array_append(patch, operation);
        assert_error(patch_json(document, patch, &result), ERROR_INVALID, "copies more than");
}

static const char pod[] =
        "{\"metadata\":{\"finalizers\":[\"x\",\"y\"],\"labels\":{\"a\":\"1\",\"b\":\"2\"}},\"spec\":{\"containers\":["
        "{\"name\":\"a\",\"image\":\"i\",\"args\":[\"1\",\"2\"],\"env\":[{\"name\":\"X\",\"value\":\"1\"},{\"name\":"
        "\"Y\",\"value\":\"2\"}]},"
        "{\"name\":\"b\",\"image\":\"j\"}],\"nodeSelector\":{\"d\":\"s\"},\"tolerations\":[{\"key\":\"t\"}],"
        "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}";

/* Applies the patch to the pod and compares what stands at one path of the result. */
static void assert_strategic(const char *patch, const char *where, const char *wanted) {
        json_auto_t *d = json(pod), *p = json(patch), *result = NULL;
        struct error *err = patch_strategic(api_type_named("V1Pod"), d, p, &result);
        json_t *at;

        if (err)
                fail_msg("%s: %s", patch, error_message(err));
        at = json_object_get(json_object_get(result, strncmp(where, "spec", 4) == 0 ? "spec" : "metadata"),
                             strchr(where, '.') + 1);
        if (wanted)
                assert_json(at, wanted);
        else
                assert_null(at);
}

static void assert_strategic_fails(const char *patch, const char *words) {
        json_auto_t *d = json(pod), *p = json(patch);
        json_t *result = NULL;
        struct error *err = patch_strategic(api_type_named("V1Pod"), d, p, &result);

        if (!err)
                fail_msg("accepted %s", patch);
        if (!strstr(error_message(err), words))
                fail_msg("%s: %s", patch, error_message(err));
        error_free(err);
}

TEST(lists_of_named_things_are_merged_by_name) {
        assert_strategic("{\"spec\":{\"containers\":[{\"name\":\"b\",\"image\":\"new\"}]}}", "spec.containers",
                         "[{\"args\":[\"1\",\"2\"],\"env\":[{\"name\":\"X\",\"value\":\"1\"},{\"name\":\"Y\",\"value\":"
                         "\"2\"}],\"image\":\"i\",\"name\":\"a\"},"
                         "{\"image\":\"new\",\"name\":\"b\"}]");
        assert_strategic("{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"}]}}", "spec.containers",
                         "[{\"image\":\"j\",\"name\":\"b\"}]");
        assert_strategic("{\"spec\":{\"containers\":[{\"$patch\":\"replace\"},{\"name\":\"c\",\"image\":null}]}}",
                         "spec.containers", "[{\"name\":\"c\"}]");
        assert_strategic("{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"},{\"name\":\"z\"}],\"$"
                         "setElementOrder/containers\":"
                         "[{\"name\":\"z\"},{\"name\":\"b\"}]}}",
                         "spec.containers", "[{\"name\":\"z\"},{\"image\":\"j\",\"name\":\"b\"}]");
}

TEST(other_lists_are_replaced) {
        assert_strategic("{\"spec\":{\"tolerations\":[{\"key\":\"n\"}]}}", "spec.tolerations", "[{\"key\":\"n\"}]");
        assert_strategic("{\"spec\":{\"tolerations\":null}}", "spec.tolerations", NULL);
}

TEST(sets_of_plain_values_are_united) {
        assert_strategic("{\"metadata\":{\"finalizers\":[\"z\",\"x\"]}}", "metadata.finalizers", "[\"z\",\"x\",\"y\"]");
        assert_strategic("{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"x\"]}}", "metadata.finalizers",
                         "[\"y\"]");
        assert_strategic("{\"metadata\":{\"$setElementOrder/finalizers\":[\"y\",\"x\"]}}", "metadata.finalizers",
                         "[\"y\",\"x\"]");
}

TEST(maps_take_directives) {
        assert_strategic("{\"spec\":{\"nodeSelector\":{\"$patch\":\"replace\",\"z\":\"1\"}}}", "spec.nodeSelector",
                         "{\"z\":\"1\"}");
        assert_strategic("{\"spec\":{\"nodeSelector\":{\"$patch\":\"delete\"}}}", "spec.nodeSelector", "{}");
        assert_strategic("{\"spec\":{\"volumes\":[{\"name\":\"v\",\"$retainKeys\":[\"name\",\"hostPath\"],\"hostPath\":"
                         "{\"path\":\"/y\"}}]}}",
                         "spec.volumes", "[{\"hostPath\":{\"path\":\"/y\"},\"name\":\"v\"}]");
        assert_strategic("{\"metadata\":{\"labels\":{\"a\":null,\"c\":\"3\"}}}", "metadata.labels",
                         "{\"b\":\"2\",\"c\":\"3\"}");
}

TEST(bad_strategic_patches_are_refused) {
        assert_strategic_fails("[]", "is an object");
        assert_strategic_fails("{\"spec\":{\"containers\":[{\"image\":\"x\"}]}}", "merge key: name");
        assert_strategic_fails("{\"spec\":{\"containers\":[{\"$patch\":\"delete\"}]}}", "merge key: name");
        assert_strategic_fails("{\"spec\":{\"nodeSelector\":{\"$patch\":\"bogus\"}}}",
                               "unknown patch directive: bogus");
        assert_strategic_fails("{\"spec\":{\"volumes\":[{\"name\":\"v\",\"$retainKeys\":[\"name\"],\"hostPath\":{}}]}}",
                               "not in $retainKeys");
        assert_strategic_fails("{\"spec\":{\"$retainKeys\":5}}", "takes a list of keys");
        assert_strategic_fails("{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":5}}", "takes a list");
        assert_strategic_fails("{\"metadata\":{\"finalizers\":[{}]}}", "without merge key");
}

static void assert_three_way(const char *last, const char *manifest, const char *live, const char *wanted) {
        json_auto_t *l = last ? json(last) : NULL, *m = json(manifest), *c = json(live);
        json_auto_t *result = patch_three_way(api_type_named("V1Pod"), l, m, c);

        assert_json(result, wanted);
}

TEST(apply_keeps_what_others_set_and_removes_what_the_manifest_dropped) {
        assert_three_way("{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}}",
                         "{\"metadata\":{\"labels\":{\"b\":\"3\"}}}",
                         "{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"live\"},\"uid\":\"u\"}}",
                         "{\"metadata\":{\"labels\":{\"b\":\"3\",\"c\":\"live\"},\"uid\":\"u\"}}");
        assert_three_way(NULL, "{\"metadata\":{\"labels\":{\"b\":\"3\"}}}", "{\"metadata\":{\"labels\":{\"a\":\"1\"}}}",
                         "{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"3\"}}}");
        assert_three_way("{\"spec\":{\"hostname\":\"h\"}}", "{\"spec\":{\"subdomain\":null}}",
                         "{\"spec\":{\"hostname\":\"h\",\"subdomain\":\"s\"}}", "{\"spec\":{}}");
}

TEST(apply_merges_containers_by_name) {
        assert_three_way(
                "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"1\",\"tty\":true},{\"name\":\"b\",\"image\":"
                "\"1\"}]}}",
                "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"1\"},{\"name\":\"a\",\"image\":\"2\"}]}}",
                "{\"spec\":{\"containers\":[{\"name\":\"s\",\"image\":\"injected\"},{\"name\":\"a\",\"image\":\"1\","
                "\"tty\":true,\"imagePullPolicy\":\"Always\"},"
                "{\"name\":\"b\",\"image\":\"1\"}]}}",
                "{\"spec\":{\"containers\":[{\"image\":\"1\",\"name\":\"c\"},{\"image\":\"injected\",\"name\":\"s\"},"
                "{\"image\":\"2\",\"imagePullPolicy\":\"Always\",\"name\":\"a\"}]}}");
}

TEST(apply_changes_a_volumes_source_whole) {
        assert_three_way("{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}",
                         "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/x\"}}]}}",
                         "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}",
                         "{\"spec\":{\"volumes\":[{\"hostPath\":{\"path\":\"/x\"},\"name\":\"v\"}]}}");
}

TEST(apply_keeps_two_ports_of_one_number_apart) {
        assert_three_way("{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":53,\"protocol\":"
                         "\"UDP\"},{\"containerPort\":53,\"protocol\":\"TCP\"}]}]}}",
                         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":53,\"protocol\":"
                         "\"UDP\"},{\"containerPort\":53,\"protocol\":\"TCP\",\"name\":\"t\"}]}]}}",
                         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":53,\"protocol\":"
                         "\"UDP\"},{\"containerPort\":53,\"protocol\":\"TCP\"}]}]}}",
                         "{\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":53,\"protocol\":"
                         "\"UDP\"},{\"containerPort\":53,\"name\":\"t\",\"protocol\":\"TCP\"}]}]}}");
}

TEST(apply_replaces_lists_without_names_and_unites_sets) {
        assert_three_way("{\"spec\":{\"tolerations\":[{\"key\":\"a\"}]}}",
                         "{\"spec\":{\"tolerations\":[{\"key\":\"b\"}]}}",
                         "{\"spec\":{\"tolerations\":[{\"key\":\"a\"},{\"key\":\"live\"}]}}",
                         "{\"spec\":{\"tolerations\":[{\"key\":\"b\"}]}}");
        assert_three_way("{\"metadata\":{\"finalizers\":[\"old\",\"kept\"]}}",
                         "{\"metadata\":{\"finalizers\":[\"kept\",\"new\"]}}",
                         "{\"metadata\":{\"finalizers\":[\"old\",\"kept\",\"live\"]}}",
                         "{\"metadata\":{\"finalizers\":[\"kept\",\"new\",\"live\"]}}");
}

TEST(apply_remembers_the_manifest_as_kubectl_does) {
        json_auto_t *manifest = json(
                "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\",\"annotations\":{\"x\":\"y\"}}}");
        json_auto_t *live = json("{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"}}"), *last = NULL, *again = NULL;
        json_auto_t *first = patch_apply(api_type_named("V1Pod"), manifest, live);
        _cleanup_free_ char *text = last_applied_text(manifest);

        assert_string_equal(text, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"annotations\":{\"x\":\"y\"},"
                                  "\"name\":\"p\"}}\n");
        assert_null(last_applied_of(live));
        last = last_applied_of(first);
        assert_true(json_equal(last, manifest));
        again = patch_apply(api_type_named("V1Pod"), manifest, first);
        assert_true(json_equal(first, again));
        json_object_del(json_object_get(manifest, "metadata"), "annotations");
        json_decref(again);
        again = patch_apply(api_type_named("V1Pod"), manifest, first);
        assert_null(json_object_get(json_object_get(json_object_get(again, "metadata"), "annotations"), "x"));
}

TEST(apply_leaves_what_is_of_a_wrong_type_to_the_decoder) {
        json_auto_t *manifest = json("{\"metadata\":{\"annotations\":[]}}"), *live = json("{\"metadata\":{}}");
        json_auto_t *result = patch_apply(api_type_named("V1Pod"), manifest, live);

        assert_json(result, "{\"metadata\":{\"annotations\":[]}}");
}
