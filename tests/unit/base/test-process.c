#include "test.h"

#include <sys/stat.h>

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
