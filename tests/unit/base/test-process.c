#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

TEST(a_program_is_found_as_execvp_would_find_it) {
        char folder[] = "/tmp/husk-test-XXXXXX";
        assert_non_null(mkdtemp(folder));
        _cleanup_free_ char *first = path_join(folder, "first"), *second = path_join(folder, "second"),
                            *shadow = path_join(first, "tool"), *plain = path_join(first, "data"),
                            *program = path_join(second, "tool"),
                            *list = xasprintf("%s/none:%s:%s", folder, first, second);
        _cleanup_free_ char *before = xstrdup(getenv("PATH"));

        assert_int_equal(mkdir(first, 0755), 0);
        assert_int_equal(mkdir(second, 0755), 0);
        assert_int_equal(mkdir(shadow, 0755), 0); /* a folder of that name is no program */
        assert_ok(file_replace(plain, "", 0, 0644, 0));
        assert_ok(file_replace(program, "", 0, 0755, 0));
        setenv("PATH", list, 1);
        _cleanup_free_ char *found = process_find_program("tool"), *data = process_find_program("data"),
                            *by_path = process_find_program(program), *nothing = process_find_program(shadow);
        setenv("PATH", before, 1);
        assert_string_equal(found, program);
        assert_string_equal(by_path, program);
        assert_null(data);
        assert_null(nothing);
        assert_ok(remove_tree(folder));
}

TEST(a_program_is_run_with_its_input_and_both_its_outputs_gathered) {
        char *argv[] = { "sh", "-c", "cat; echo two >&2; exit 3", NULL };
        const struct process_options options = { .input = "one" };
        _cleanup_free_ char *out = NULL, *err = NULL;
        int status;

        assert_ok(process_run(argv, &options, &status, &out, &err));
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
        assert_string_equal(out, "one");
        assert_string_equal(err, "two\n");
        assert_ok(process_run(argv, NULL, &status, NULL, NULL)); /* nobody listens, nothing is read */
        assert_int_equal(WEXITSTATUS(status), 3);
}

TEST(only_so_much_is_kept_of_what_a_program_prints) {
        char *argv[] = { "sh", "-c", "yes | head -c 300000", NULL };
        const struct process_options options = { .output_max = 1000 };
        _cleanup_free_ char *out = NULL;
        int status;

        assert_ok(process_run(argv, &options, &status, &out, NULL));
        assert_int_equal(status, 0);
        assert_int_equal(strlen(out), 1000);
}

TEST(who_holds_a_programs_output_after_its_end_is_not_waited_for) {
        char *argv[] = { "sh", "-c", "sleep 1000 & echo $!", NULL };
        const struct process_options options = { .linger_ms = 50 };
        _cleanup_free_ char *out = NULL;
        int status;

        assert_ok(process_run(argv, &options, &status, &out, NULL));
        assert_int_equal(status, 0);
        assert_int_equal(kill(atoi(out), SIGKILL), 0);
}

TEST(a_program_that_takes_too_long_is_killed_and_one_that_is_missing_named) {
        char *slow[] = { "sleep", "1000", NULL }, *none[] = { "/nonexistent/program", NULL };
        const struct process_options options = { .timeout_ms = 50 };
        _cleanup_free_ char *out = NULL;
        int status;

        assert_error(process_run(slow, &options, &status, &out, NULL), ERROR_TIMEOUT, "sleep did not end within 50 ms");
        assert_null(out);
        assert_error(process_run(none, NULL, &status, NULL, NULL), ERROR_NOT_FOUND, "/nonexistent/program");
}
