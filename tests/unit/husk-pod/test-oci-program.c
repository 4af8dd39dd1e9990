#include <stdio.h>
#include <sys/stat.h>

#include "../test.h"
#include "base/file.h"
#include "base/str.h"
#include "husk-pod/runtime.h"

struct fixture {
        char folder[64];
        char *class_program, *own_program;
        V1Pod pod;
        V1PodSpec spec;
        struct runtime rt;
};

static char *program_make(const char *folder, const char *name) {
        char *path = path_join(folder, name);

        assert_ok(file_replace(path, "#!/bin/sh\n", 10, 0755, 0));
        return path;
}

static struct fixture *fixture_new(const char *class_name) {
        struct fixture *f = new0(struct fixture);

        strcpy(f->folder, "/tmp/test-oci-program-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        f->class_program = program_make(f->folder, "sandboxed");
        f->own_program = program_make(f->folder, "own");
        assert_int_equal(setenv("HUSK_RUNTIME", f->own_program, 1), 0);
        f->spec.runtimeclassname = (char *)class_name;
        f->pod.spec = &f->spec;
        f->rt.spec = &f->pod;
        f->rt.run_folder = f->folder;
        f->rt.host_mounts = -EBADF;
        if (class_name) {
                _cleanup_free_ char *record = path_join(f->folder, OCI_PROGRAM_FILE);
                assert_ok(file_replace(record, f->class_program, strlen(f->class_program), 0600, 0));
        }
        return f;
}

static void fixture_release(struct fixture **fixture) {
        struct fixture *f = *fixture;

        assert_ok(remove_tree(f->folder));
        free(f->rt.oci_program);
        free(f->class_program);
        free(f->own_program);
        free(f);
}
#define _cleanup_fixture_ _cleanup_(fixture_release)

TEST(a_pod_without_a_class_has_the_runtime_of_the_node) {
        _cleanup_fixture_ struct fixture *f = fixture_new(NULL);
        struct oci_runtime oci;

        assert_ok(runtime_oci(&f->rt, NULL, &oci));
        assert_string_equal(oci.program, f->own_program);
        assert_int_equal(unlink(f->own_program), 0);
        assert_error(runtime_oci(&f->rt, NULL, &oci), ERROR_UNAVAILABLE, "is not installed");
}

TEST(a_pod_with_a_class_never_has_another_runtime) {
        _cleanup_fixture_ struct fixture *f = fixture_new("strict");
        struct oci_runtime oci;

        assert_ok(runtime_oci(&f->rt, NULL, &oci));
        assert_string_equal(oci.program, f->class_program);
        /* While it is being upgraded, say, both where it is known already and in a supervisor that has just begun. */
        assert_int_equal(chmod(f->class_program, 0600), 0);
        assert_error(runtime_oci(&f->rt, NULL, &oci), ERROR_UNAVAILABLE, "RuntimeClass \"strict\"");
        free(f->rt.oci_program);
        f->rt.oci_program = NULL;
        assert_error(runtime_oci(&f->rt, NULL, &oci), ERROR_UNAVAILABLE, "RuntimeClass \"strict\"");
        assert_int_equal(chmod(f->class_program, 0755), 0);
        assert_ok(runtime_oci(&f->rt, NULL, &oci));
        assert_string_equal(oci.program, f->class_program);
}

TEST(a_pod_with_a_class_needs_the_record_of_its_runtime) {
        _cleanup_fixture_ struct fixture *f = fixture_new("strict");
        _cleanup_free_ char *record = path_join(f->folder, OCI_PROGRAM_FILE);
        struct oci_runtime oci;

        assert_int_equal(unlink(record), 0);
        assert_error(runtime_oci(&f->rt, NULL, &oci), ERROR_UNAVAILABLE, "cannot be read");
}

/* Whoever finds the containers, `husk exec` too, asks the runtime that has made them, with whatever environment. */
TEST(the_runtime_that_the_environment_chose_is_written_down_and_later_overrides_it) {
        _cleanup_fixture_ struct fixture *f = fixture_new(NULL);
        _cleanup_free_ char *found = NULL, *record = path_join(f->folder, OCI_PROGRAM_FILE);
        struct oci_runtime oci;

        assert_ok(runtime_oci_choose(&f->rt));
        assert_int_equal(setenv("HUSK_RUNTIME", "/another", 1), 0);
        assert_ok(runtime_oci(&f->rt, NULL, &oci));
        assert_string_equal(oci.program, f->own_program);
        assert_ok(oci_runtime_find(f->folder, NULL, "crun", &found));
        assert_string_equal(found, f->own_program);

        /* another sandbox, and nobody asks any more */
        assert_int_equal(unsetenv("HUSK_RUNTIME"), 0);
        assert_ok(runtime_oci_choose(&f->rt));
        assert_false(file_exists(record));
}

TEST(a_record_that_cannot_be_read_is_an_error_and_no_reason_for_another_runtime) {
        _cleanup_fixture_ struct fixture *f = fixture_new(NULL);
        _cleanup_free_ char *record = path_join(f->folder, OCI_PROGRAM_FILE), *found = NULL;

        assert_ok(file_replace(record, "", 0, 0600, 0));
        assert_error(oci_runtime_find(f->folder, NULL, f->own_program, &found), ERROR_UNAVAILABLE, "cannot be read");
        assert_int_equal(unlink(record), 0);
        assert_ok(mkdir_parents(record, 0700));
        assert_error(oci_runtime_find(f->folder, NULL, f->own_program, &found), ERROR_UNAVAILABLE, "cannot be read");
        assert_error(oci_runtime_find(f->folder, "strict", f->own_program, &found), ERROR_UNAVAILABLE,
                     "RuntimeClass \"strict\"");
        assert_null(found);
}
