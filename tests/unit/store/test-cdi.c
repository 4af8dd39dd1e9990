#include "store/cdi.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "test.h"

#define SPEC(kind, devices) "cdiVersion: 0.6.0\nkind: " kind "\ndevices: [" devices "]\n"

static void add(struct cdi_registry *registry, const char *text, unsigned priority) {
        assert_ok(cdi_parse(text, strlen(text), priority, registry));
}

TEST(devices_are_counted_by_kind_under_one_name_each) {
        _cleanup_cdi_ struct cdi_registry r = CDI_REGISTRY_INIT;

        add(&r,
            SPEC("a.com/gpu", "{name: '0', containerEdits: {env: [X=0]}}, {name: uuid-0, containerEdits: {env: [X=0]}},"
                              "{name: '1', containerEdits: {env: [X=1]}}, {name: all, containerEdits: {env: [X=all]}}"),
            0);
        add(&r, SPEC("a.com/tpu", "{name: all}"), 0);
        cdi_settle(&r);
        assert_int_equal(cdi_count(&r, "a.com/gpu"), 2);
        assert_int_equal(cdi_count(&r, "a.com/tpu"), 1); /* there is nothing else of it */
        assert_int_equal(cdi_count(&r, "a.com"), 0);
        assert_non_null(cdi_find(&r, "a.com/gpu", "uuid-0"));
        assert_null(cdi_find(&r, "a.com/gpu", "2"));
}

TEST(a_later_folder_wins_and_two_of_one_folder_exclude_each_other) {
        _cleanup_cdi_ struct cdi_registry r = CDI_REGISTRY_INIT;

        add(&r, SPEC("a.com/x", "{name: one, containerEdits: {env: [A=early]}}, {name: two}"), 0);
        add(&r, SPEC("a.com/x", "{name: one, containerEdits: {env: [A=late]}}"), 1);
        add(&r, SPEC("a.com/x", "{name: two}"), 0);
        cdi_settle(&r);
        const struct cdi_device *one = cdi_find(&r, "a.com/x", "one");
        assert_string_equal(json_string_value(json_array_get(json_object_get(one->edits, "env"), 0)), "A=late");
        assert_null(cdi_find(&r, "a.com/x", "two"));
        assert_int_equal(cdi_count(&r, "a.com/x"), 1);
}

TEST(what_is_no_specification_is_refused_by_field) {
        static const struct {
                const char *text, *words;
        } rows[] = {
                { "", "empty" },
                { "[", "line" },
                { "[]", "must have fields" },
                { "kind: a.com/x\ndevices: []\n", "cdiVersion: is required" },
                { SPEC("gpu", ""), "kind: must be vendor/class" },
                { SPEC("a.com/../x", ""), "kind: must be vendor/class" },
                { SPEC("a.com/x", "{}"), "devices[0].name: is required" },
                { SPEC("a.com/x", "{name: a/b}"), "devices[0].name" },
                { SPEC("a.com/x", "{name: 'a=b'}"), "devices[0].name" },
                { SPEC("a.com/x", "{name: a, edits: {}}"), "devices[0].edits: husk does not know this field" },
                { SPEC("a.com/x", "{name: a, containerEdits: {env: [X]}}"),
                  "containerEdits.env[0]: must be NAME=VALUE" },
                { SPEC("a.com/x", "{name: a, containerEdits: {intelRdt: {}}}"), "intelRdt: husk does not know" },
                { SPEC("a.com/x", "{name: a, containerEdits: {deviceNodes: [{path: dev/x}]}}"),
                  "deviceNodes[0].path: must be an absolute path" },
                { SPEC("a.com/x", "{name: a, containerEdits: {deviceNodes: [{path: /x, permissions: rx}]}}"),
                  "permissions" },
                { SPEC("a.com/x", "{name: a, containerEdits: {mounts: [{containerPath: /x}]}}"),
                  "mounts[0].hostPath: is required" },
                { SPEC("a.com/x", "{name: a, containerEdits: {hooks: [{hookName: poststop, path: /x}]}}"),
                  "hooks[0].hookName" },
                { SPEC("a.com/x", "{name: a, containerEdits: {additionalGids: [-1]}}"), "additionalGids[0]" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_cdi_ struct cdi_registry r = CDI_REGISTRY_INIT;
                _cleanup_error_ struct error *err = cdi_parse(rows[i].text, strlen(rows[i].text), 0, &r);

                if (!err || !strstr(error_message(err), rows[i].words) || r.n)
                        fail_msg("%s: %s", rows[i].text, err ? error_message(err) : "no error");
        }
}

TEST(only_files_that_nobody_else_may_write_count) {
        char folder[] = "/tmp/husk-test-cdi-XXXXXX";
        assert_non_null(mkdtemp(folder));
        char *folders[] = { folder, (char *)"/nonexistent", NULL };
        const char *text = SPEC("a.com/x", "{name: a}"), *bad = SPEC("a.com/x", "{nam: b}");
        _cleanup_free_ char *good = path_join(folder, "good.yaml"), *wide = path_join(folder, "wide.json"),
                            *wrong = path_join(folder, "wrong.yaml"), *other = path_join(folder, "notes.txt");

        assert_ok(file_replace(good, text, strlen(text), 0644, 0));
        assert_ok(file_replace(other, text, strlen(text), 0644, 0));
        assert_ok(file_replace(wrong, bad, strlen(bad), 0644, 0));
        assert_ok(file_replace(wide, text, strlen(text), 0644, 0));
        assert_int_equal(chmod(wide, 0666), 0);
        _cleanup_cdi_ struct cdi_registry r = CDI_REGISTRY_INIT;
        cdi_read(folders, &r);
        assert_int_equal(cdi_count(&r, "a.com/x"), 1);
        assert_int_equal(strv_len(r.problems), 2);
        _cleanup_free_ char *problems = strv_join(r.problems, "\n");
        assert_non_null(strstr(problems, "wide.json: others than root may write it"));
        assert_non_null(strstr(problems, "wrong.yaml: devices[0].nam"));
        assert_ok(remove_tree(folder));
}
