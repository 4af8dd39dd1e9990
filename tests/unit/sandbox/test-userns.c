#include "sandbox/userns.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/idmap.h"
#include "base/mount.h"
#include "fixture.h"

static void make_pod(const struct node *node, const char *uid) {
        _cleanup_free_ char *folder = store_pod_run_folder((struct store *)&node->store, uid);
        assert_ok(mkdir_parents(folder, 0700));
}

static uint32_t reserve(const struct node *node, const char *uid) {
        uint32_t first = 0;
        make_pod(node, uid);
        assert_ok(userns_reserve(&node->store, uid, 131072, 3, &first));
        return first;
}

TEST(each_pod_has_a_range_of_its_own_and_keeps_it) {
        _cleanup_node_ struct node node;
        node_make(&node);

        assert_int_equal(reserve(&node, "a"), 131072);
        assert_int_equal(reserve(&node, "b"), 131072 + 65536);
        assert_int_equal(reserve(&node, "a"), 131072);
        assert_ok(userns_release(&node.store, "a"));
        assert_ok(userns_release(&node.store, "a"));
        assert_int_equal(reserve(&node, "c"), 131072);
}

TEST(when_all_are_taken_the_next_waits_until_a_pod_is_gone) {
        _cleanup_node_ struct node node;
        node_make(&node);
        uint32_t first;

        reserve(&node, "a");
        reserve(&node, "b");
        reserve(&node, "c");
        _cleanup_error_ struct error *err = userns_reserve(&node.store, "d", 131072, 3, &first);
        assert_true(error_is(err, ERROR_EXHAUSTED));
        /* Nobody released it: whoever finds the pod gone takes it back. */
        _cleanup_free_ char *folder = store_pod_run_folder(&node.store, "b");
        assert_ok(remove_tree(folder));
        assert_int_equal(reserve(&node, "d"), 131072 + 65536);
}

TEST(another_configuration_does_not_give_out_what_is_in_use) {
        _cleanup_node_ struct node node;
        node_make(&node);
        uint32_t first;

        reserve(&node, "a");
        make_pod(&node, "b");
        assert_ok(userns_reserve(&node.store, "b", 131072 - 65536, 3, &first));
        assert_int_equal(first, 65536);
        make_pod(&node, "c");
        assert_ok(userns_reserve(&node.store, "c", 131072 - 65536, 3, &first));
        assert_int_equal(first, 131072 + 65536);
        /* The last id of all means "none". */
        make_pod(&node, "d");
        _cleanup_error_ struct error *err = userns_reserve(&node.store, "d", 0xffff0000, 1, &first);
        assert_true(error_is(err, ERROR_EXHAUSTED));
}

TEST(ids_outside_are_those_of_the_range) {
        struct id_map map = { .first = 131072, .count = 65536, .userns_fd = -EBADF };

        assert_int_equal(id_map_outside(NULL, 1000), 1000);
        assert_int_equal(id_map_outside(&ID_MAP_NONE, 1000), 1000);
        assert_int_equal(id_map_outside(&map, 1000), 132072);
        assert_int_equal(id_map_outside(&map, 65536), 131072);
}

/* In a mount namespace of a child, on a tmpfs if it can be mapped, else on the disk. */
TEST(a_mapped_mount_shows_and_stores_other_ids) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct id_map map = ID_MAP_NONE;
        struct stat st;

        assert_ok(id_map_open(131072, 65536, &map));
        _cleanup_free_ char *file = path_join(node.store.root, "f");
        assert_ok(file_replace(file, "x", 1, 0600, 0));
        assert_int_equal(chown(file, 1000, 0), 0);
        _cleanup_close_ int folder = open(node.store.root, O_PATH | O_DIRECTORY | O_CLOEXEC), mount_fd = -EBADF;
        assert_ok(mount_clone(folder, false, &mount_fd));
        struct error *err = id_map_mount(&map, mount_fd, true);
        if (error_is(err, ERROR_NOT_SUPPORTED)) {
                error_free(err);
                id_map_release(&map);
                skip();
        }
        assert_ok(err);
        assert_int_equal(fstatat(mount_fd, "f", &st, 0), 0);
        assert_int_equal(st.st_uid, 131072 + 1000);
        assert_int_equal(st.st_gid, 131072);
        id_map_release(&map);
}
