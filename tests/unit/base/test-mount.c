#include "../test.h"

/* The file itself, so that the way of older kernels is tested on newer ones. */
#include "base/mount.c"

#include <sched.h>
#include <sys/vfs.h>

struct layers {
        char folder[64];
        char **paths; /* uppermost first */
        char *target, *upper, *work;
};

static void own_namespace(void) {
        static bool done;

        if (!done && (unshare(CLONE_NEWNS) < 0 ||
                      syscall(SYS_mount, NULL, "/", NULL, MOUNT_PRIVATE | 16384 /* MS_REC */, NULL) < 0))
                skip();
        done = true;
}

/* n layers, each with a file of its number and all with one file "top". */
static struct layers layers_make(size_t n) {
        struct layers l = { .folder = "/tmp/husk-test-XXXXXX" };

        own_namespace();
        assert_non_null(mkdtemp(l.folder));
        for (size_t i = 0; i < n; i++) {
                char *layer = xasprintf(
                        "%s/a-layer-with-a-long-name-like-a-digest-e3b0c44298fc1c149afbf4c8996fb92427ae41e4/%zu",
                        l.folder, i);
                _cleanup_free_ char *own = xasprintf("%s/file-%zu", layer, i), *top = path_join(layer, "top");
                _cleanup_free_ char *text = xasprintf("%zu", i);

                assert_ok(mkdir_parents(layer, 0755));
                assert_ok(file_replace(own, text, strlen(text), 0644, 0));
                assert_ok(file_replace(top, text, strlen(text), 0644, 0));
                l.paths = strv_add_take(l.paths, layer);
        }
        l.target = path_join(l.folder, "target");
        l.upper = path_join(l.folder, "upper");
        l.work = path_join(l.folder, "work");
        assert_ok(mkdir_parents(l.target, 0755));
        assert_ok(mkdir_parents(l.upper, 0755));
        assert_ok(mkdir_parents(l.work, 0755));
        return l;
}

static void layers_remove(struct layers *l) {
        assert_ok(unmount_below(l->folder));
        assert_ok(unmount_below(l->folder));
        assert_ok(remove_tree(l->folder));
        strv_free(l->paths);
        free(l->target);
        free(l->upper);
        free(l->work);
}

static void assert_content(const char *folder, const char *name, const char *wanted) {
        _cleanup_free_ char *path = path_join(folder, name), *text = NULL;

        assert_ok(file_read(path, 100, &text, NULL));
        assert_string_equal(text, wanted);
}

static void assert_writable(struct layers *l) {
        _cleanup_free_ char *path = path_join(l->target, "new"), *upper = path_join(l->upper, "new");

        assert_ok(file_replace(path, "", 0, 0644, 0));
        assert_true(file_exists(upper));
}

TEST(an_overlay_of_500_layers_shows_them_all) {
        _cleanup_(layers_remove) struct layers l = layers_make(OVERLAY_LAYERS_MAX);

        assert_ok(mount_overlay(l.paths, l.upper, l.work, l.target));
        assert_content(l.target, "top", "0");
        assert_content(l.target, "file-499", "499");
        assert_writable(&l);
}

TEST(an_overlay_of_500_layers_is_mounted_by_older_kernels_too) {
        _cleanup_(layers_remove) struct layers l = layers_make(OVERLAY_LAYERS_MAX);
        _cleanup_close_ int target_fd = open(l.target, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *links = xasprintf("%s.layers", l.target);

        assert_ok(overlay_by_links(l.paths, OVERLAY_LAYERS_MAX, l.upper, l.work, l.target, target_fd));
        assert_content(l.target, "top", "0");
        assert_content(l.target, "file-499", "499");
        assert_writable(&l);
        assert_false(file_exists(links));
}

TEST(more_than_500_layers_are_refused) {
        char *paths[OVERLAY_LAYERS_MAX + 2] = { NULL };

        for (size_t i = 0; i <= OVERLAY_LAYERS_MAX; i++)
                paths[i] = "/";
        assert_error(mount_overlay(paths, NULL, NULL, "/"), ERROR_NOT_SUPPORTED,
                     "the image has 501 layers; overlayfs takes at most 500");
}

TEST(an_overlay_without_a_writable_layer_is_read_only) {
        for (size_t n = 1; n < 3; n++) {
                _cleanup_(layers_remove) struct layers l = layers_make(n);
                _cleanup_free_ char *path = path_join(l.target, "new");

                assert_ok(mount_overlay(l.paths, NULL, NULL, l.target));
                assert_content(l.target, "top", "0");
                assert_true(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) < 0);
                assert_int_equal(errno, EROFS);
        }
}

TEST(a_layer_that_is_missing_is_named) {
        _cleanup_(layers_remove) struct layers l = layers_make(3);

        assert_ok(remove_tree(l.paths[1]));
        assert_error(mount_overlay(l.paths, l.upper, l.work, l.target), ERROR_NOT_FOUND, l.paths[1]);
}

TEST(a_path_longer_than_the_kernels_strings_is_mounted_all_the_same) {
        _cleanup_(layers_remove) struct layers l = layers_make(1);
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

        strbuf_adds(&b, l.folder);
        for (int i = 0; i < 10; i++)
                strbuf_addf(&b, "/%050d", i);
        assert_ok(mkdir_parents(strbuf_str(&b), 0755));
        l.paths = strv_add(l.paths, strbuf_str(&b));
        strbuf_adds(&b, "/deep");
        assert_ok(file_replace(strbuf_str(&b), "deep", 4, 0644, 0));
        assert_ok(mount_overlay(l.paths, l.upper, l.work, l.target));
        assert_content(l.target, "deep", "deep");
        assert_content(l.target, "top", "0");
}

TEST(a_tmpfs_takes_options_and_leaves_out_unknown_ones_if_told) {
        _cleanup_(layers_remove) struct layers l = layers_make(1);
        _cleanup_close_ int target_fd = open(l.target, O_PATH | O_DIRECTORY | O_CLOEXEC), mount_fd = -EBADF,
                            fd = -EBADF;
        struct statfs fs;
        struct stat st;

        assert_error(mount_new("tmpfs", "nonsense=1", &mount_fd), ERROR_INTERNAL, "option nonsense of a tmpfs");
        assert_ok(mount_new("tmpfs", "size=1048576,mode=0700,?nonsense=1", &mount_fd));
        assert_false(mount_is_root(target_fd));
        assert_ok(mount_attach(mount_fd, target_fd));
        fd = open(l.target, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(mount_is_root(fd));
        assert_int_equal(fstatfs(fd, &fs), 0);
        assert_int_equal(fs.f_blocks * fs.f_bsize, 1048576);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
}

TEST(everything_below_a_folder_is_unmounted_and_nothing_beside_it) {
        _cleanup_(layers_remove) struct layers l = layers_make(1);
        static const char *const names[] = { "a", "a b", "a/in", "ab" };
        _cleanup_free_ char *a = path_join(l.target, "a"), *ab = path_join(l.target, "ab");

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_free_ char *path = path_join(l.target, names[i]);
                _cleanup_close_ int fd = -EBADF, mount_fd = -EBADF;

                for (int twice = 0; twice < 2; twice++) { /* one on top of the other */
                        assert_ok(mkdir_parents(path, 0755));
                        fd_close(TAKE_FD(fd));
                        fd_close(TAKE_FD(mount_fd));
                        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
                        assert_ok(mount_new("tmpfs", NULL, &mount_fd));
                        assert_ok(mount_attach(mount_fd, fd));
                }
        }
        assert_ok(unmount_below(a));
        _cleanup_close_ int a_fd = open(a, O_PATH | O_CLOEXEC), ab_fd = open(ab, O_PATH | O_CLOEXEC);
        assert_false(mount_is_root(a_fd));
        assert_true(mount_is_root(ab_fd));
}

TEST(mounts_are_ordered_by_depth_and_else_as_they_came) {
        static const char *const destinations[] = { "/a/b/c", "/z", "/a/b", "/", "/a", "/b//" };
        static const char *const sorted[] = { "/", "/z", "/a", "/b//", "/a/b", "/a/b/c" };
        _cleanup_mount_list_ struct mount_list list = MOUNT_LIST_INIT;

        for (size_t i = 0; i < ARRAY_SIZE(destinations); i++)
                mount_list_add(&list, destinations[i], "s", "bind", "rbind,ro");
        mount_list_sort(&list);
        for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
                assert_string_equal(list.entries[i].destination, sorted[i]);
        assert_int_equal(strv_len(list.entries[0].options), 2);
        assert_non_null(mount_list_find(&list, "/a/b"));
        assert_null(mount_list_find(&list, "/a/c"));
}

TEST(a_tree_deeper_than_any_path_is_removed) {
        char folder[] = "/tmp/husk-test-XXXXXX";
        int fd;

        assert_non_null(mkdtemp(folder));
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; i < 5000; i++) {
                int next;

                assert_int_equal(mkdirat(fd, "d", 0755), 0);
                if (i % 100 == 0)
                        fd_close(openat(fd, ".removed-0", O_WRONLY | O_CREAT | O_CLOEXEC, 0644)); /* a name husk uses */
                next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                fd_close(fd);
                fd = next;
        }
        fd_close(fd);
        assert_ok(remove_tree(folder));
        assert_false(file_exists(folder));
}
