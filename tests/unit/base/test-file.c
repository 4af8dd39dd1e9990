#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/file.h"

static char *temporary_folder(void) {
        char *folder = xstrdup("/tmp/husk-test-XXXXXX");
        assert_non_null(mkdtemp(folder));
        return folder;
}

TEST(a_file_is_replaced_whole_and_leaves_no_temporary) {
        _cleanup_free_ char *folder = temporary_folder(), *path = path_join(folder, "sub/f"), *text = NULL;
        _cleanup_free_ char *sub = path_join(folder, "sub");
        size_t len;

        assert_ok(mkdir_parents(sub, 0755));
        assert_ok(file_replace(path, "one", 3, 0600, FILE_DURABLE));
        assert_ok(file_replace(path, "three", 5, 0600, 0));
        assert_ok(file_read(path, 100, &text, &len));
        assert_string_equal(text, "three");
        assert_error(file_replace(path, "x", 1, 0600, FILE_EXCLUSIVE), ERROR_ALREADY_EXISTS, "write");
        free(TAKE_PTR(text));
        assert_error(file_read(path, 4, &text, &len), ERROR_INVALID, "larger than 4 bytes");
        assert_int_equal(rmdir(sub), -1);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(sub), 0); /* nothing else was left in it */
        assert_ok(remove_tree(folder));
        assert_false(file_exists(folder));
}

TEST(what_a_killed_writer_left_under_a_fixed_name_is_written_over) {
        _cleanup_free_ char *folder = temporary_folder(), *path = path_join(folder, "a"),
                            *other = path_join(folder, "b");
        _cleanup_free_ char *temporary = path_join(folder, ".new"), *text = NULL, *again = NULL;
        struct stat st;

        assert_ok(file_replace(temporary, "half of something longer", 24, 0644, 0));
        assert_ok(file_replace_through(temporary, path, "one", 3, 0600, FILE_EXCLUSIVE));
        assert_ok(file_read(path, 100, &text, NULL));
        assert_string_equal(text, "one");
        assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
        assert_error(file_replace_through(temporary, path, "x", 1, 0600, FILE_EXCLUSIVE), ERROR_ALREADY_EXISTS,
                     "write");
        assert_false(file_exists(temporary));
        assert_int_equal(symlink(path, temporary), 0); /* not followed */
        assert_error(file_replace_through(temporary, other, "two", 3, 0600, FILE_DURABLE), ERROR_INTERNAL, "create");
        assert_int_equal(unlink(temporary), 0);
        assert_ok(file_replace_through(temporary, path, "two", 3, 0600, FILE_DURABLE));
        assert_ok(file_read(path, 100, &again, NULL));
        assert_string_equal(again, "two");
        assert_false(file_exists(temporary) || file_exists(other));
        assert_ok(remove_tree(folder));
}

TEST(paths_do_not_leave_their_root) {
        _cleanup_free_ char *folder = temporary_folder(), *root = path_join(folder, "root");
        _cleanup_free_ char *link = path_join(root, "out"), *outside = path_join(folder, "secret");

        assert_ok(mkdir_parents(root, 0755));
        assert_ok(file_replace(outside, "secret", 6, 0600, 0));
        assert_int_equal(symlink("..", link), 0);
        _cleanup_close_ int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(open_in_root(fd, "../secret", O_RDONLY, 0), -ENOENT);
        assert_int_equal(open_in_root(fd, "out/secret", O_RDONLY, 0), -ENOENT);
        assert_ok(remove_tree(folder));
}

TEST(a_folder_is_locked_until_the_descriptor_is_closed) {
        _cleanup_free_ char *folder = temporary_folder(), *deep = path_join(folder, "a/b");
        _cleanup_free_ char *path = path_join(deep, "lock");
        int held = -EBADF;

        assert_ok(folder_lock(deep, &held));
        _cleanup_close_ int other = open(path, O_RDWR | O_CLOEXEC);
        assert_true(other >= 0);
        assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
        fd_close(held);
        assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink("/dev/null", path), 0);
        assert_error(folder_lock(deep, &held), ERROR_INTERNAL, "open"); /* whoever made a link there is not followed */
        assert_ok(remove_tree(folder));
}

TEST(what_was_unfinished_when_its_writer_died_is_swept_and_nothing_else) {
        static const char *const unfinished[] = { ".a.json.17.1.tmp", ".a.json.123456.10.tmp", ".a.b.json.5.5.tmp" };
        static const char *const others[] = { "a.json",    ".a.json.tmp",  ".a.json.1.tmp",   ".a.json.x.1.tmp",
                                              ".17.1.tmp", ".a.17.1.tmpx", "a.json.17.1.tmp", ".a.17..tmp" };
        char folder[] = "/tmp/husk-file-XXXXXX";

        assert_non_null(mkdtemp(folder));
        for (size_t i = 0; i < ARRAY_SIZE(unfinished) + ARRAY_SIZE(others); i++) {
                const char *name = i < ARRAY_SIZE(unfinished) ? unfinished[i] : others[i - ARRAY_SIZE(unfinished)];
                _cleanup_free_ char *path = path_join(folder, name);
                assert_ok(file_replace(path, "", 0, 0600, 0));
        }
        files_sweep(folder, "a.json");
        for (size_t i = 0; i < ARRAY_SIZE(unfinished); i++) {
                _cleanup_free_ char *path = path_join(folder, unfinished[i]);
                assert_int_equal(file_exists(path), i == 2);
        }
        files_sweep(folder, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(unfinished) + ARRAY_SIZE(others); i++) {
                const char *name = i < ARRAY_SIZE(unfinished) ? unfinished[i] : others[i - ARRAY_SIZE(unfinished)];
                _cleanup_free_ char *path = path_join(folder, name);
                assert_int_equal(file_exists(path), i >= ARRAY_SIZE(unfinished));
        }
        files_sweep("/no/such/folder", NULL);
        assert_ok(remove_tree(folder));
}
