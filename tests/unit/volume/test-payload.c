#include "volume/payload.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "test.h"

#define MANY 20000

static char root[64];

static int begin(void) {
        snprintf(root, sizeof(root), "/tmp/husk-payload-XXXXXX");
        assert_non_null(mkdtemp(root));
        int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static void end(int fd) {
        fd_close(fd);
        assert_ok(remove_tree(root));
}

static void assert_shows(int fd, const char *path, const char *wanted) {
        _cleanup_free_ char *text = NULL;

        assert_ok(file_read_at(fd, path, 1 << 20, &text, NULL));
        assert_string_equal(text, wanted);
}

TEST(the_last_of_two_files_of_one_path_counts) {
        _cleanup_payload_ struct payload payload = PAYLOAD_INIT;
        bool changed = false;
        int fd = begin();

        payload_add(&payload, "a/b", "one", 3, 0644);
        payload_add(&payload, "c", "", 0, 0644);
        payload_add(&payload, "a/b", "three", 5, 0600);
        assert_int_equal(payload.n, 2);
        assert_ok(payload_write(fd, &payload, NULL, &changed));
        assert_true(changed);
        assert_shows(fd, "a/b", "three");
        assert_shows(fd, "c", "");
        assert_ok(payload_write(fd, &payload, NULL, &changed));
        assert_false(changed);
        end(fd);
}

TEST(what_is_no_longer_in_it_goes_and_what_is_not_its_own_stays) {
        _cleanup_payload_ struct payload first = PAYLOAD_INIT, second = PAYLOAD_INIT;
        int fd = begin();

        payload_add(&first, "old", "1", 1, 0644);
        payload_add(&first, "old-and-new/x", "1", 1, 0644);
        payload_add(&second, "old-and-new/y", "2", 1, 0644);
        assert_ok(payload_write(fd, &first, NULL, NULL));
        assert_int_equal(symlinkat("elsewhere", fd, "foreign"), 0);
        assert_ok(payload_write(fd, &second, NULL, NULL));
        assert_shows(fd, "old-and-new/y", "2");
        assert_int_equal(faccessat(fd, "old", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        assert_int_equal(faccessat(fd, "old-and-new/x", F_OK, 0), -1);
        assert_int_equal(faccessat(fd, "foreign", F_OK, AT_SYMLINK_NOFOLLOW), 0);
        end(fd);
}

/* As many keys as fit into a ConfigMap: what is done for each of them must not look at all of them. */
TEST(very_many_files_are_added_and_each_is_found) {
        _cleanup_payload_ struct payload payload = PAYLOAD_INIT;
        char name[16];

        for (unsigned round = 0; round < 2; round++)
                for (unsigned i = 0; i < MANY; i++) {
                        snprintf(name, sizeof(name), "key-%u", i);
                        payload_add(&payload, name, &round, sizeof(round), 0644);
                }
        assert_int_equal(payload.n, MANY);
        for (unsigned i = 0; i < MANY; i++)
                assert_int_equal(*(unsigned *)payload.files[i].data, 1);
}
