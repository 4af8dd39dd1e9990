/* Layers as they are, and layers as an attacker would write them. Everything is unpacked into <folder>/layer; beside it
 * lies <folder>/outside, which must never change. */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "husk-image/maketar.h"
#include "husk-image/unpack.h"

struct fixture {
        char *folder;
        int root; /* of the layer */
        struct unpack_limits limits;
        struct unpack_result result;
        struct made tar;
};

static void begin(struct fixture *f) {
        *f = (struct fixture){ .limits = { .size = 1 << 30, .entries = 100000 } };
        f->folder = xstrdup("/tmp/husk-test-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        _cleanup_free_ char *layer = path_join(f->folder, "layer"), *outside = path_join(f->folder, "outside");
        _cleanup_free_ char *secret = path_join(outside, "secret");
        assert_ok(mkdir_parents(layer, 0755));
        assert_ok(mkdir_parents(outside, 0755));
        assert_ok(file_replace(secret, "secret", 6, 0600, 0));
        f->root = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static struct error *unpack(struct fixture *f) {
        made_end(&f->tar);
        struct error *err = unpack_layer(f->root, made_source, &f->tar, &f->limits, &f->result);
        made_release(&f->tar);
        return err;
}

static void end(struct fixture *f) {
        _cleanup_free_ char *outside = path_join(f->folder, "outside"), *secret = path_join(outside, "secret"),
                            *text = NULL;
        struct stat st;

        /* the folder beside: still one file, with its content, mode and a single name */
        assert_ok(file_read(secret, 100, &text, NULL));
        assert_string_equal(text, "secret");
        assert_int_equal(stat(secret, &st), 0);
        assert_int_equal(st.st_mode, S_IFREG | 0600);
        assert_int_equal(st.st_nlink, 1);
        assert_int_equal(unlink(secret), 0);
        assert_int_equal(rmdir(outside), 0);
        fd_close(f->root);
        assert_ok(remove_tree(f->folder));
        free(f->folder);
        made_release(&f->tar);
}

static struct stat status(struct fixture *f, const char *path) {
        struct stat st;
        if (fstatat(f->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                fail_msg("%s is not there", path);
        return st;
}

static void assert_content(struct fixture *f, const char *path, const char *wanted) {
        _cleanup_free_ char *text = NULL;
        assert_ok(file_read_at(f->root, path, 1000, &text, NULL));
        assert_string_equal(text, wanted);
}

static void assert_missing(struct fixture *f, const char *path) {
        struct stat st;
        assert_int_equal(fstatat(f->root, path, &st, AT_SYMLINK_NOFOLLOW), -1);
}

static void assert_opaque(struct fixture *f, const char *path, bool wanted) {
        _cleanup_close_ int fd = openat(f->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char value[4];
        ssize_t n = fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value));
        assert_int_equal(n, wanted ? 1 : -1);
}

TEST(owners_modes_times_links_devices_and_attributes_are_kept) {
        struct fixture f;
        struct stat st;

        begin(&f);
        made_header(&f.tar, "d", '5', NULL, 02750, 12, 34, 0, 0, 0);
        made_header(&f.tar, "d/su", '0', NULL, 06755, 1000, 2000, 2, 0, 0);
        made_data(&f.tar, "su", 2);
        made_pax(&f.tar, "SCHILY.xattr.user.color", "blue", 4);
        made_pax(&f.tar, "mtime", "5.5", 3);
        made_file(&f.tar, "d/x", 0600, "attributes");
        made_link(&f.tar, "d/hard", '1', "d/x");
        made_header(&f.tar, "sym", '2', "d/x", 0777, 7, 8, 0, 0, 0);
        made_header(&f.tar, "null", '3', NULL, 0666, 0, 0, 0, 1, 3);
        made_header(&f.tar, "pipe", '6', NULL, 0622, 3, 4, 0, 0, 0);
        assert_ok(unpack(&f));

        st = status(&f, "d");
        assert_int_equal(st.st_mode, S_IFDIR | 02750);
        assert_int_equal(st.st_uid, 12);
        assert_int_equal(st.st_mtim.tv_sec, 1000000000); /* though files were made in it later */
        st = status(&f, "d/su");
        assert_int_equal(st.st_mode, S_IFREG | 06755); /* neither the owner nor the content took the setuid bit */
        assert_int_equal(st.st_gid, 2000);
        st = status(&f, "d/x");
        assert_int_equal(st.st_nlink, 2);
        assert_int_equal(st.st_mtim.tv_nsec, 500000000);
        assert_int_equal(st.st_ino, status(&f, "d/hard").st_ino);
        st = status(&f, "sym");
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(st.st_uid, 7);
        assert_int_equal(status(&f, "null").st_rdev, makedev(1, 3));
        assert_int_equal(status(&f, "pipe").st_mode, S_IFIFO | 0622);
        _cleanup_close_ int fd = openat(f.root, "d/x", O_RDONLY | O_CLOEXEC);
        char value[8];
        assert_int_equal(fgetxattr(fd, "user.color", value, sizeof(value)), 4);
        assert_int_equal(f.result.entries, 7);
        assert_int_equal(f.result.size, 12);
        end(&f);
}

TEST(whiteouts_become_what_overlayfs_looks_for) {
        struct fixture f;

        begin(&f);
        made_folder(&f.tar, "d", 0755);
        made_file(&f.tar, "d/.wh.gone", 0, "");
        made_folder(&f.tar, "o", 0755);
        made_file(&f.tar, "o/.wh..wh..opq", 0, "");
        made_file(&f.tar, "o/kept", 0644, "k");
        made_file(&f.tar, ".wh..wh.plnk", 0, "");
        made_file(&f.tar, ".wh.replaced", 0,
                  ""); /* a whiteout, then a folder of that name: the folder hides the lower one's */
        made_folder(&f.tar, "replaced", 0755);
        made_file(&f.tar, ".wh.implied", 0, "");
        made_file(&f.tar, "implied/file", 0644, "i");
        made_file(&f.tar, "stays", 0644, "s"); /* and the other way round: what this layer brings is not taken by it */
        made_file(&f.tar, ".wh.stays", 0, "");
        made_folder(&f.tar, "hides", 0755);
        made_file(&f.tar, ".wh.hides", 0, "");
        assert_ok(unpack(&f));
        assert_true(S_ISCHR(status(&f, "d/gone").st_mode));
        assert_int_equal(status(&f, "d/gone").st_rdev, 0);
        assert_missing(&f, "d/.wh.gone");
        assert_opaque(&f, "o", true);
        assert_opaque(&f, "d", false);
        assert_missing(&f, "o/.wh..wh..opq");
        assert_missing(&f, ".wh..wh.plnk");
        assert_opaque(&f, "replaced", true);
        assert_opaque(&f, "implied", true);
        assert_content(&f, "stays", "s");
        assert_opaque(&f, "hides", true);
        end(&f);
}

TEST(overlays_own_attributes_are_never_taken_from_an_archive) {
        static const char *const names[] = { "SCHILY.xattr.trusted.overlay.redirect",
                                             "SCHILY.xattr.trusted.overlay.metacopy",
                                             "SCHILY.xattr.user.overlay.opaque", "SCHILY.xattr.security.selinux",
                                             "SCHILY.xattr.trusted.x" };
        struct fixture f;
        char buf[512];

        begin(&f);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                made_pax(&f.tar, names[i], "/etc", 4);
        made_folder(&f.tar, "d", 0755);
        assert_ok(unpack(&f));
        assert_int_equal(f.result.ignored_xattrs, 5);
        _cleanup_close_ int fd = openat(f.root, "d", O_RDONLY | O_CLOEXEC);
        assert_int_equal(flistxattr(fd, buf, sizeof(buf)), 0);
        end(&f);
}

TEST(names_with_dots_or_a_slash_in_front_stay_inside) {
        struct fixture f;

        begin(&f);
        made_file(&f.tar, "/abs/olute", 0644, "a");
        made_file(&f.tar, "./dot/./file", 0644, "d");
        made_file(&f.tar, "//x//y", 0644, "xy");
        made_folder(&f.tar, "./", 0711);
        assert_ok(unpack(&f));
        assert_content(&f, "abs/olute", "a");
        assert_content(&f, "dot/file", "d");
        assert_content(&f, "x/y", "xy");
        assert_int_equal(status(&f, ".").st_mode, S_IFDIR | 0711);
        end(&f);
        static const char *const names[] = { "../outside/secret", "a/../../outside/secret", "..", "/../outside/new",
                                             "a/.." };
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                begin(&f);
                made_file(&f.tar, names[i], 0644, "hacked");
                assert_error(unpack(&f), ERROR_BAD_REQUEST, "..");
                end(&f);
        }
}

TEST(symbolic_links_do_not_lead_out) {
        static const char *const targets[] = { "../outside", "/../../outside", "../../../../../../tmp", "/" };
        struct fixture f;

        for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
                begin(&f);
                made_link(&f.tar, "out", '2', targets[i]);
                made_file(&f.tar, "out/secret", 0666, "hacked");
                error_free(unpack(&f)); /* some are refused, some are resolved inside of the layer */
                end(&f);
        }
        begin(&f);
        _cleanup_free_ char *absolute = path_join(f.folder, "outside");
        made_link(&f.tar, "out", '2', absolute);
        made_file(&f.tar, "out/secret", 0666, "hacked");
        made_folder(&f.tar, "out/folder", 0777);
        assert_ok(unpack(&f)); /* an absolute target means the layer's root */
        _cleanup_free_ char *inside = path_join(absolute + 1, "secret");
        assert_content(&f, inside, "hacked");
        end(&f);
}

TEST(a_file_written_over_a_link_replaces_the_link) {
        struct fixture f;

        begin(&f);
        _cleanup_free_ char *secret = path_join(f.folder, "outside/secret");
        made_link(&f.tar, "l", '2', secret);
        made_file(&f.tar, "l", 0644, "plain");
        made_link(&f.tar, "m", '2', "../outside/secret");
        made_header(&f.tar, "m", '0', NULL, 0777, 99, 99, 0, 0, 0);
        assert_ok(unpack(&f));
        assert_true(S_ISREG(status(&f, "l").st_mode));
        assert_content(&f, "l", "plain");
        assert_true(S_ISREG(status(&f, "m").st_mode));
        end(&f);
}

TEST(links_that_change_while_the_archive_goes_on_do_not_lead_out) {
        struct fixture f;

        /* a folder is used (its descriptor is kept), then replaced by a link, then used again */
        begin(&f);
        made_folder(&f.tar, "d", 0755);
        made_file(&f.tar, "d/a", 0644, "a");
        made_link(&f.tar, "d", '2', "../outside");
        made_file(&f.tar, "d/secret", 0666, "hacked");
        error_free(unpack(&f));
        end(&f);
        /* a link to a folder, then a folder in its place */
        begin(&f);
        made_folder(&f.tar, "real", 0755);
        made_link(&f.tar, "d", '2', "real");
        made_file(&f.tar, "d/a", 0644, "through");
        made_folder(&f.tar, "d", 0755);
        made_file(&f.tar, "d/b", 0644, "direct");
        assert_ok(unpack(&f));
        assert_content(&f, "real/a", "through");
        assert_missing(&f, "real/b");
        assert_content(&f, "d/b", "direct");
        end(&f);
}

TEST(hard_links_reach_only_what_is_in_the_layer) {
        static const char *const targets[] = { "../outside/secret", "/etc/passwd", "missing", "", "." };
        struct fixture f;

        for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
                begin(&f);
                made_link(&f.tar, "h", '1', targets[i]);
                assert_error(unpack(&f), ERROR_BAD_REQUEST, "h");
                end(&f);
        }
        begin(&f); /* through a symbolic link, the classical two steps */
        made_link(&f.tar, "out", '2', "../outside");
        made_link(&f.tar, "h", '1', "out/secret");
        made_file(&f.tar, "h", 0666, "hacked");
        assert_error(unpack(&f), ERROR_BAD_REQUEST, "");
        end(&f);
        begin(&f); /* a hard link to a symbolic link is a symbolic link: writing replaces it */
        made_link(&f.tar, "s", '2', "../outside/secret");
        made_link(&f.tar, "h", '1', "s");
        made_header(&f.tar, "h", '0', NULL, 0777, 5, 5, 6, 0, 0);
        made_data(&f.tar, "hacked", 6);
        assert_ok(unpack(&f));
        assert_true(S_ISREG(status(&f, "h").st_mode));
        end(&f);
        begin(&f); /* a folder cannot be linked, and a link does not remove the folder its target is in */
        made_folder(&f.tar, "d", 0755);
        made_file(&f.tar, "d/f", 0644, "x");
        made_link(&f.tar, "d", '1', "d/f");
        assert_error(unpack(&f), ERROR_BAD_REQUEST, "place of a folder");
        end(&f);
        begin(&f);
        made_file(&f.tar, "f", 0644, "x");
        made_link(&f.tar, "f", '1', "f");
        assert_ok(unpack(&f)); /* to itself: nothing to do */
        assert_content(&f, "f", "x");
        end(&f);
}

TEST(later_entries_replace_earlier_ones_of_any_type) {
        struct fixture f;

        begin(&f);
        made_folder(&f.tar, "a", 0755);
        made_file(&f.tar, "a/b", 0644, "x");
        made_file(&f.tar, "a", 0644, "file");
        made_file(&f.tar, "c", 0644, "file");
        made_folder(&f.tar, "c", 0755);
        made_file(&f.tar, "c/d", 0644, "below");
        made_file(&f.tar, "e", 0644, "first, longer");
        made_file(&f.tar, "e", 0600, "second");
        made_folder(&f.tar, "g", 0755);
        made_file(&f.tar, "g/kept", 0644, "kept");
        made_folder(&f.tar, "g", 0700);
        assert_ok(unpack(&f));
        assert_content(&f, "a", "file");
        assert_content(&f, "c/d", "below");
        assert_content(&f, "e", "second");
        assert_content(&f, "g/kept", "kept");
        assert_int_equal(status(&f, "g").st_mode, S_IFDIR | 0700);
        end(&f);
}

TEST(folders_behind_links_to_lower_layers_are_made) {
        struct fixture f;

        begin(&f);
        made_link(&f.tar, "lib", '2', "usr/lib"); /* usr/lib is in a layer below, perhaps */
        made_file(&f.tar, "lib/x.so", 0644, "so");
        made_link(&f.tar, "loop", '2', "loop");
        assert_ok(unpack(&f));
        assert_content(&f, "usr/lib/x.so", "so");
        end(&f);
        begin(&f);
        made_link(&f.tar, "a", '2', "b");
        made_link(&f.tar, "b", '2', "a");
        made_file(&f.tar, "a/x", 0644, "x");
        assert_error(unpack(&f), ERROR_BAD_REQUEST, "too many links");
        end(&f);
        begin(&f);
        made_file(&f.tar, "file", 0644, "x");
        made_file(&f.tar, "file/below", 0644, "x");
        assert_error(unpack(&f), ERROR_BAD_REQUEST, "not a folder");
        end(&f);
}

TEST(limits_end_a_bomb) {
        struct fixture f;
        char deep[2000];

        begin(&f);
        f.limits.size = 8;
        made_file(&f.tar, "a", 0644, "12345");
        made_file(&f.tar, "b", 0644, "67890");
        assert_error(unpack(&f), ERROR_EXHAUSTED, "--max-layer-size");
        end(&f);
        begin(&f);
        f.limits.entries = 2;
        for (int i = 0; i < 3; i++)
                made_file(&f.tar, "a", 0644, "");
        assert_error(unpack(&f), ERROR_EXHAUSTED, "more than 2 entries");
        end(&f);
        begin(&f);
        f.limits.keep_free = UINT64_MAX;
        made_file(&f.tar, "a", 0644, "");
        assert_error(unpack(&f), ERROR_EXHAUSTED, "disk nearly full");
        end(&f);
        begin(&f);
        for (size_t i = 0; i < sizeof(deep); i++)
                deep[i] = i % 2 ? '/' : 'd';
        made_pax(&f.tar, "path", deep, sizeof(deep) - 1);
        made_folder(&f.tar, "x", 0755);
        assert_error(unpack(&f), ERROR_BAD_REQUEST, "folders deep");
        end(&f);
        begin(&f);
        memset(deep, 'n', 300);
        made_pax(&f.tar, "path", deep, 300);
        made_file(&f.tar, "x", 0644, "");
        assert_error(unpack(&f), ERROR_BAD_REQUEST, "longer than 255");
        end(&f);
        begin(&f); /* a hole takes no room and is no bomb */
        made_pax(&f.tar, "GNU.sparse.size", "1099511627776", 13);
        made_pax(&f.tar, "GNU.sparse.map", "1099511627770,6", 15);
        made_file(&f.tar, "hole", 0644, "at end");
        assert_ok(unpack(&f));
        assert_true(status(&f, "hole").st_blocks < 64);
        assert_int_equal(f.result.size, 6);
        end(&f);
}

TEST(times_of_very_many_folders_are_set_without_keeping_them_in_memory) {
        struct fixture f;
        char name[300];

        begin(&f);
        memset(name, 'x', sizeof(name));
        for (int i = 0; i < 6000; i++) { /* more than a megabyte of records: some go through the file */
                int n = snprintf(name, sizeof(name), "d%06d", i);
                name[n] = 'x';
                name[200] = '\0';
                made_pax(&f.tar, "path", name, 200);
                made_folder(&f.tar, "x", 0755);
        }
        assert_ok(unpack(&f));
        for (int i = 0; i < 6000; i += 599) {
                snprintf(name, sizeof(name), "d%06d", i);
                name[7] = 'x';
                name[200] = '\0';
                assert_int_equal(status(&f, name).st_mtim.tv_sec, 1000000000);
        }
        end(&f);
}
