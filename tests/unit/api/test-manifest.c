#include <sys/stat.h>
#include <time.h>

#include "api/api.h"
#include "api/manifest.h"
#include "base/file.h"
#include "base/str.h"
#include "test.h"

static struct manifest *manifest_of(const char *name, const char *text) {
        struct manifest *manifest = manifest_new();

        manifest_add_text(manifest, name, text, strlen(text));
        return manifest;
}

static void decode_all(struct manifest *manifest) {
        for (size_t i = 0; i < manifest->n; i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
                struct manifest_document *document = manifest->documents[i];
                const struct api_kind *kind =
                        document->json ? api_kind_of_json(document->json, &document->diags) : NULL;

                if (kind)
                        api_decode(document->json, kind->descriptor, arena, &document->diags);
        }
}

static void assert_explained(const char *name, const char *text, const char *wanted) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_of(name, text);
        _cleanup_free_ char *got = NULL;

        decode_all(manifest);
        got = manifest_explain(manifest);
        assert_string_equal(got, wanted);
}

/* Names of the objects, joined by blanks. */
static void assert_names(struct manifest *manifest, const char *wanted) {
        char all[1024] = "";

        for (size_t i = 0; i < manifest->n; i++) {
                json_t *metadata = json_object_get(manifest->documents[i]->json, "metadata");
                const char *name = json_string_value(json_object_get(metadata, "name"));

                strcat(strcat(all, i > 0 ? " " : ""), name ? name : "?");
        }
        assert_string_equal(all, wanted);
}

TEST(mistakes_are_shown_with_line_and_caret_all_at_once) {
        assert_explained(
                "web.yaml",
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: web\n"
                "    image: nginx\n    imagePulPolicy: Always\n    command: [sleep, 1000]\n  hostPid: true\n",
                "web.yaml:9:5: spec.containers[0].imagePulPolicy: unknown field; did you mean \"imagePullPolicy\"?\n"
                "    9 |     imagePulPolicy: Always\n"
                "      |     ^\n"
                "web.yaml:10:22: spec.containers[0].command[1]: cannot unmarshal number into string; write it in "
                "quotes: \"1000\"\n"
                "   10 |     command: [sleep, 1000]\n"
                "      |                      ^\n"
                "web.yaml:11:3: spec.hostPid: unknown field; did you mean \"hostPID\"?\n"
                "   11 |   hostPid: true\n"
                "      |   ^\n");
}

TEST(later_documents_have_the_files_line_numbers) {
        assert_explained("two.yaml",
                         "# first\napiVersion: v1\nkind: Pod\n--- # second\napiVersion: v1\nkind: Pod\nsepc: {}\n",
                         "two.yaml:7:1: sepc: unknown field; did you mean \"spec\"?\n"
                         "    7 | sepc: {}\n"
                         "      | ^\n");
        assert_explained("two.yaml",
                         "a: 1\n---\n{kind: Pod, apiVersion: v1, x: 1}\n--- {kind: Pod, apiVersion: v1, z: 1}\n",
                         "two.yaml:1:1: apiVersion: Required value: every object says its apiVersion\n"
                         "    1 | a: 1\n      | ^\n"
                         "two.yaml:1:1: kind: Required value: every object says its kind\n"
                         "    1 | a: 1\n      | ^\n"
                         "two.yaml:3:29: x: unknown field\n"
                         "    3 | {kind: Pod, apiVersion: v1, x: 1}\n      |                             ^\n"
                         "two.yaml:4:33: z: unknown field\n"
                         "    4 | --- {kind: Pod, apiVersion: v1, z: 1}\n      |                                 ^\n");
}

TEST(a_document_that_is_not_yaml_does_not_hide_the_others) {
        assert_explained("x.yaml", "a: b: c\n---\na: 1\na: 2\n---\napiVersion: v1\nkind: Pod\nspec: {priority: x}\n",
                         "x.yaml:1:5: not valid YAML: mapping values are not allowed in this context\n"
                         "    1 | a: b: c\n      |     ^\n"
                         "x.yaml:4:1: key \"a\" is there twice\n"
                         "    4 | a: 2\n      | ^\n"
                         "x.yaml:8:18: spec.priority: cannot unmarshal string into int32\n"
                         "    8 | spec: {priority: x}\n      |                  ^\n");
}

TEST(json_has_positions_too) {
        assert_explained("x.json", "{\"kind\": \"Pod\", \"apiVersion\": \"v1\",\n \"spec\": {\"hostpid\": true}}\n",
                         "x.json:2:11: spec.hostpid: unknown field; did you mean \"hostPID\"?\n"
                         "    2 |  \"spec\": {\"hostpid\": true}}\n      |           ^\n");
        assert_explained("x.json", "{\"a\": 1,\n \"a\": 2}",
                         "x.json:2:4: not valid JSON: duplicate object key near '\"a\"'\n"
                         "    2 |  \"a\": 2}\n      |    ^\n");
}

TEST(several_json_values_may_follow_one_another) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_of(
                "x",
                " {\"metadata\":{\"name\":\"a\"}}\n{\"metadata\":{\"name\":\"b\"}} {\"metadata\":{\"name\":\"c\"}}\n");

        assert_int_equal(manifest_mistakes(manifest), 0);
        assert_names(manifest, "a b c");
        assert_true(manifest->documents[2]->is_json);
}

TEST(json_values_may_be_apart_like_yaml_documents) {
        assert_explained("x.json",
                         "{\"kind\": \"Pod\", \"apiVersion\": \"v1\", \"x\": 1}\n---\n"
                         "{\"kind\": \"Pod\", \"apiVersion\": \"v1\",\n \"y\": 1}\n--- # end\n"
                         "kind: Pod\napiVersion: v1\nz: 1\n",
                         "x.json:1:37: x: unknown field\n"
                         "    1 | {\"kind\": \"Pod\", \"apiVersion\": \"v1\", \"x\": 1}\n"
                         "      |                                     ^\n"
                         "x.json:4:2: y: unknown field\n    4 |  \"y\": 1}\n      |  ^\n"
                         "x.json:8:1: z: unknown field\n    8 | z: 1\n      | ^\n");
}

TEST(flow_yaml_is_no_bad_json) {
        _cleanup_(manifest_freep) struct manifest *manifest =
                manifest_of("x", "{metadata: {name: a}}\n---\nmetadata: {name: b}\n");

        assert_int_equal(manifest_mistakes(manifest), 0);
        assert_names(manifest, "a b");
}

TEST(empty_documents_are_passed_over) {
        _cleanup_(manifest_freep) struct manifest *manifest =
                manifest_of("x", "\xef\xbb\xbf# c\n---\n---\n# only a comment\n---\nmetadata: {name: a}\n...\n# "
                                 "c\n---\nmetadata: {name: b}\n---\n");

        assert_int_equal(manifest_mistakes(manifest), 0);
        assert_names(manifest, "a b");
}

TEST(directives_belong_to_the_document_after_them) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_of("x", "%YAML 1.1\n---\nmetadata: {name: a}\n");

        assert_int_equal(manifest_mistakes(manifest), 0);
        assert_names(manifest, "a");
}

TEST(dashes_inside_a_block_do_not_divide_it) {
        _cleanup_(manifest_freep) struct manifest *manifest =
                manifest_of("x", "metadata: {name: a}\ndata:\n  x: |\n    ---\n    y\n");

        assert_names(manifest, "a");
}

TEST(windows_line_ends_are_fine) {
        _cleanup_(manifest_freep) struct manifest *manifest =
                manifest_of("x", "metadata:\r\n  name: a\r\n---\r\nmetadata:\r\n  name: b\r\n");

        assert_int_equal(manifest_mistakes(manifest), 0);
        assert_names(manifest, "a b");
}

TEST(a_list_becomes_its_items) {
        assert_explained("l.yaml",
                         "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n- apiVersion: v1\n  kind: "
                         "Pod\n  spec: {x: 1}\n",
                         "l.yaml:8:10: spec.x: unknown field\n"
                         "    8 |   spec: {x: 1}\n      |          ^\n");
        assert_explained("l.yaml", "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {nam: b}\n",
                         "l.yaml:4:14: metadata.nam: unknown field; did you mean \"name\"?\n"
                         "    4 | - metadata: {nam: b}\n      |              ^\n");
}

TEST(a_huge_file_full_of_mistakes_is_explained_in_time) {
        _cleanup_(manifest_freep) struct manifest *manifest = NULL;
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
        _cleanup_free_ char *got = NULL;
        clock_t start = clock();

        strbuf_adds(&b, "apiVersion: v1\nkind: List\nitems:\n");
        for (int i = 0; i < 20000; i++)
                strbuf_adds(&b, "- {apiVersion: v1, kind: Pod, metadata: {name: a}, sepc: {x: 1}}\n");
        manifest = manifest_of("huge.yaml", b.data);
        decode_all(manifest);
        assert_int_equal(manifest_mistakes(manifest), 20000);
        got = manifest_explain(manifest);
        assert_non_null(strstr(got, "huge.yaml:4:52: sepc: unknown field"));
        assert_non_null(strstr(got, "… and 19900 more\n"));
        assert_true((clock() - start) / CLOCKS_PER_SEC < 60);
}

TEST(binary_and_other_encodings_do_no_harm) {
        _cleanup_(manifest_freep) struct manifest *utf16 = manifest_new(), *binary = manifest_new(),
                                                  *latin = manifest_new();

        manifest_add_text(utf16, "u",
                          "\xff\xfe"
                          "a\0:\0 \0"
                          "1\0\n\0",
                          12);
        assert_int_equal(manifest_mistakes(utf16), 0);
        manifest_add_text(binary, "b",
                          "\x7f"
                          "ELF\0\1\2",
                          7);
        assert_int_equal(manifest_mistakes(binary), 1);
        manifest_add_text(latin, "l", "a: \xe9\n", 5);
        assert_int_equal(manifest_mistakes(latin), 1);
}

TEST(a_folder_gives_its_manifests_in_order) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_new(), *deep = manifest_new();
        char folder[] = "/tmp/husk-test-manifest-XXXXXX";
        static const struct {
                const char *name, *text;
        } files[] = {
                { "b.yml", "metadata: {name: b}\n" },
                { "a.yaml", "metadata: {name: a}\n" },
                { "c.json", "{\"metadata\":{\"name\":\"c\"}}" },
                { "README.md", "# no manifest: [\n" },
                { "sub/d.yaml", "metadata: {name: d}\n" },
        };

        assert_non_null(mkdtemp(folder));
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *path = path_join(folder, files[i].name), *sub = path_join(folder, "sub");

                assert_ok(mkdir_parents(sub, 0700));
                assert_ok(file_replace(path, files[i].text, strlen(files[i].text), 0600, 0));
        }
        assert_ok(manifest_add_path(manifest, folder, false));
        assert_names(manifest, "a b c");
        assert_ok(manifest_add_path(deep, folder, true));
        assert_names(deep, "a b c d");
        assert_error(manifest_add_path(manifest, "/nonexistent/x.yaml", false), ERROR_NOT_FOUND, "/nonexistent/x.yaml");
        assert_ok(remove_tree(folder));
}
