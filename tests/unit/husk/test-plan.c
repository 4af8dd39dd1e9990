/* apply, create, delete and label end to end on a store of their own, for objects that need no processes. */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/str.h"
#include "husk/cli.h"
#include "server/field.h"

static char folder[64];

/* Runs `husk --root … --run … <line>` in a process of its own; what it prints goes to *ret (may be NULL). */
static int husk(const char *line, char **ret) {
        _cleanup_free_ char *path = path_join(folder, "output");
        _cleanup_free_ char *full = xasprintf("husk --root %s/root --run %s/run %s", folder, folder, line);
        _cleanup_strv_ char **argv = strv_split(full, ' ');
        int status;

        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
                int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
                dup2(fd, STDOUT_FILENO);
                dup2(fd, STDERR_FILENO);
                int code = cli_main((int)strv_len(argv), argv);
                fflush(stdout);
                _exit(code);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (ret)
                assert_ok(file_read(path, 1 << 20, ret, NULL));
        return WEXITSTATUS(status);
}

static void prints(const char *line, int status, const char *wanted) {
        _cleanup_free_ char *text = NULL;
        int rc = husk(line, &text);
        if (rc != status || !strstr(text, wanted))
                fail_msg("husk %s: exit %d, not %d: %s", line, rc, status, text);
}

static char *write_manifest(const char *name, const char *text) {
        char *path = path_join(folder, name);
        assert_ok(file_replace(path, text, strlen(text), 0600, 0));
        return path;
}

static void fixture_open(void) {
        strcpy(folder, "/tmp/test-plan-XXXXXX");
        assert_non_null(mkdtemp(folder));
}

static void fixture_close(void) {
        assert_ok(remove_tree(folder));
}

#define MAP(name, value) "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " name "}\ndata: {k: '" value "'}\n"

TEST(apply_says_created_unchanged_and_configured) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1")));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints(apply, 0, "configmap/one created\n");
        prints(apply, 0, "configmap/one unchanged\n");
        free(write_manifest("m.yaml", MAP("one", "2")));
        prints(apply, 0, "configmap/one configured\n");
        prints("get configmap one -o jsonpath={.data.k}", 0, "2");
        fixture_close();
}

TEST(what_was_taken_out_of_a_manifest_goes_and_what_others_set_stays) {
        fixture_open();
        free(write_manifest("m.yaml",
                            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '1', b: '2'}\n"));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints(apply, 0, "created");
        prints("label cm one mine=yes", 0, "configmap/one labeled\n");
        free(write_manifest("m.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '1'}\n"));
        prints(apply, 0, "configured");
        prints("get cm one -o jsonpath={.data},{.metadata.labels.mine}", 0, "{\"a\":\"1\"},yes");
        fixture_close();
}

TEST(a_file_that_cannot_be_read_is_an_error_of_every_verb_that_reads_files) {
        fixture_open();
        free(write_manifest("bad.yaml", "kind: Pod\n spec: {}\n"));
        const char *const readers[] = {
                "apply", "create", "replace", "get", "delete", "wait --for=delete", "label a=b"
        };
        for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
                _cleanup_free_ char *missing = xasprintf("%s -f %s/none.yaml", readers[i], folder);
                _cleanup_free_ char *bad = xasprintf("%s -f %s/bad.yaml", readers[i], folder);
                prints(missing, 1, "none.yaml\" does not exist");
                prints(bad, 1, "bad.yaml:2:6: not valid YAML");
        }
        fixture_close();
}

TEST(a_file_with_one_bad_document_changes_nothing) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1") "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {nam: two}\n"
                                                      "---\nkind: Nonsense\napiVersion: v1\nmetadata: {name: x}\n"));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints(apply, 1, "m.yaml:8:12: metadata.nam: unknown field; did you mean \"name\"?");
        prints(apply, 1, "Nonsense");
        prints("get configmaps", 0, "No resources found in default namespace.");
        fixture_close();
}

TEST(two_documents_for_one_object_are_a_slip) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1") "---\n" MAP("one", "2")));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints(apply, 1, "Duplicate value: \"one\"");
        prints("get cm", 0, "No resources found");
        fixture_close();
}

TEST(a_namespace_is_made_before_what_is_in_it_and_takes_it_along) {
        fixture_open();
        free(write_manifest("m.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: mine}\n---\n"
                                      "apiVersion: v1\nkind: Namespace\nmetadata: {name: mine}\n"));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints(apply, 0, "namespace/mine created\nconfigmap/one created\n");
        prints("get cm -n mine -o name", 0, "configmap/one\n");
        prints("delete ns mine", 0, "namespace \"mine\" deleted\n");
        prints("get cm -A", 0, "No resources found\n");
        prints("delete ns default", 1, "Error from server (Forbidden)");
        fixture_close();
}

TEST(a_missing_namespace_is_said_before_anything_is_made) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1") "---\napiVersion: v1\nkind: ConfigMap\n"
                                                      "metadata: {name: two, namespace: nosuch}\n"));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints(apply, 1, "Error from server (NotFound): namespaces \"nosuch\" not found");
        prints("get cm", 0, "No resources found");
        fixture_close();
}

TEST(create_refuses_what_exists_and_replace_what_does_not) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1")));
        _cleanup_free_ char *create = xasprintf("create -f %s/m.yaml", folder);
        _cleanup_free_ char *replace = xasprintf("replace -f %s/m.yaml", folder);
        prints(replace, 1, "Error from server (NotFound): error when replacing \"");
        prints(create, 0, "configmap/one created\n");
        prints(create, 1, "Error from server (AlreadyExists): error when creating \"");
        prints(replace, 0, "configmap/one replaced\n");
        fixture_close();
}

TEST(a_dry_run_changes_nothing) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1")));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml --dry-run=server", folder);
        prints(apply, 0, "configmap/one created (server dry run)\n");
        prints("get cm one", 1, "Error from server (NotFound): configmaps \"one\" not found\n");
        fixture_close();
}

TEST(deleting_names_what_it_deletes_and_what_it_does_not_find) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1") "---\n" MAP("two", "2")));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints(apply, 0, "configmap/two created");
        prints("delete cm one nosuch", 1, "Error from server (NotFound): configmaps \"nosuch\" not found");
        prints("get cm -o name", 0, "configmap/two\n");
        prints("delete cm nosuch --ignore-not-found", 0, "");
        prints("delete cm", 1, "no name was specified");
        prints("delete cm --all", 0, "configmap \"two\" deleted from default namespace\n");
        fixture_close();
}

TEST(labels_are_not_overwritten_unless_asked_for) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1")));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints(apply, 0, "created");
        prints("label cm one a=1 b=2", 0, "configmap/one labeled\n");
        prints("label cm one a=2", 1, "'a' already has a value (1), and --overwrite is false");
        prints("label cm one a=2 b- --overwrite", 0, "configmap/one labeled\n");
        prints("label cm one b-", 0, "configmap/one not labeled\n");
        prints("label cm one a-", 0, "configmap/one unlabeled\n");
        prints("label cm one a=not/allowed", 1, "metadata.labels");
        prints("get cm one --show-labels --no-headers", 0, "<none>\n");
        fixture_close();
}

TEST(patches_of_all_three_types_are_carried_out) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1")));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints(apply, 0, "created");
        prints("patch cm one -p {\"data\":{\"a\":\"1\"}}", 0, "configmap/one patched\n");
        prints("patch cm one -p {\"data\":{\"a\":\"1\"}}", 0, "configmap/one patched (no change)\n");
        prints("patch cm one --type=merge -p {\"data\":{\"k\":null}}", 0, "configmap/one patched\n");
        prints("patch cm one --type=json -p [{\"op\":\"add\",\"path\":\"/data/z\",\"value\":\"9\"}]", 0, "patched\n");
        prints("get cm one -o jsonpath={.data}", 0, "{\"a\":\"1\",\"z\":\"9\"}");
        prints("patch cm one --type=nonsense -p {}", 1, "--type must be one of");
        prints("patch cm one -p {\"data\":7}", 1, "data");
        fixture_close();
}

TEST(waiting_for_objects_that_do_not_change_ends_by_itself) {
        fixture_open();
        free(write_manifest("m.yaml", MAP("one", "1")));
        _cleanup_free_ char *apply = xasprintf("apply -f %s/m.yaml", folder);
        prints("wait --for=delete cm/one --timeout=1s", 0, "");
        prints("wait --for=create cm/one --timeout=50ms", 1, "timed out waiting for the condition on configmaps/one");
        prints("wait --for=condition=Ready cm/one --timeout=50ms", 1, "configmaps \"one\" not found");
        prints(apply, 0, "created");
        prints("wait --for=create cm/one --timeout=1s", 0, "configmap/one condition met\n");
        prints("wait --for=jsonpath={.data.k}=1 cm/one --timeout=1s", 0, "configmap/one condition met\n");
        prints("wait --for=jsonpath={.data.k}=2 cm/one --timeout=50ms", 1, "timed out");
        prints("wait --for=jsonpath=.data.k cm/one", 0, "condition met");
        prints("wait --for=nonsense cm/one", 1, "unrecognized condition");
        fixture_close();
}
