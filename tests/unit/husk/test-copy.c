/* Copies between two folders that stand for a machine and a container; runs as root. */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "husk/copy.h"

static char folder[64];
static struct copy_side here, container;
static struct strbuf warnings;

static void note(const char *text) {
        strbuf_addf(&warnings, "%s\n", text);
}

static const struct copy_options options = { .preserve = true, .warn = note };

static char *path_of(const char *name) {
        return path_join(folder, name);
}

static void make_folder(const char *name) {
        _cleanup_free_ char *path = path_of(name);
        assert_ok(mkdir_parents(path, 0755));
}

static void make_file(const char *name, const char *text, mode_t mode) {
        _cleanup_free_ char *path = path_of(name);
        assert_ok(file_replace(path, text, strlen(text), mode, 0));
        assert_int_equal(chmod(path, mode), 0);
}

static void make_link(const char *target, const char *name) {
        _cleanup_free_ char *path = path_of(name);
        assert_int_equal(symlink(target, path), 0);
}

static void holds(const char *name, const char *text) {
        _cleanup_free_ char *path = path_of(name);
        _cleanup_free_ char *content = NULL;
        assert_ok(file_read(path, 1 << 20, &content, NULL));
        assert_string_equal(content, text);
}

static bool exists(const char *name) {
        _cleanup_free_ char *path = path_of(name);
        return file_exists(path);
}

static struct stat status(const char *name) {
        _cleanup_free_ char *path = path_of(name);
        struct stat st;
        assert_int_equal(lstat(path, &st), 0);
        return st;
}

static int open_side(const char *name) {
        _cleanup_free_ char *path = path_of(name);
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static void fixture_open(uid_t uid) {
        _cleanup_free_ char *path = NULL;
        strcpy(folder, "/tmp/test-copy-XXXXXX");
        assert_non_null(mkdtemp(folder));
        assert_int_equal(chmod(folder, 0755), 0);
        make_folder("here");
        make_folder("c/tmp");
        make_file("secret", "outside", 0600);
        path = path_of("c/tmp");
        assert_int_equal(chmod(path, 0777), 0);
        here = (struct copy_side){ .root = open_side("here") };
        container = (struct copy_side){ .root = open_side("c"), .remote = true, .uid = uid, .gid = uid };
        strbuf_release(&warnings);
}

static void fixture_close(void) {
        copy_side_release(&here);
        copy_side_release(&container);
        strbuf_release(&warnings);
        assert_ok(remove_tree(folder));
}

TEST(a_file_is_copied_with_its_permissions_and_times) {
        fixture_open(0);
        make_file("here/src", "text", 0750);
        assert_ok(copy_tree(&here, "/src", &container, "/tmp/dst", &options));
        holds("c/tmp/dst", "text");
        assert_int_equal(status("c/tmp/dst").st_mode & 07777, 0750);
        assert_int_equal(status("c/tmp/dst").st_mtim.tv_sec, status("here/src").st_mtim.tv_sec);
        assert_ok(copy_tree(&container, "/tmp/dst", &here, "/back", &options));
        holds("here/back", "text");
        fixture_close();
}

TEST(set_user_id_is_never_kept) {
        fixture_open(0);
        make_file("c/tmp/x", "text", 04755);
        assert_ok(copy_tree(&container, "/tmp/x", &here, "/x", &options));
        assert_int_equal(status("here/x").st_mode & 07777, 0755);
        fixture_close();
}

TEST(into_a_folder_it_keeps_its_name_and_a_longer_file_is_cut) {
        fixture_open(0);
        make_file("here/src", "new", 0644);
        make_file("c/tmp/src", "much longer", 0644);
        assert_ok(copy_tree(&here, "/src", &container, "/tmp/", &options));
        holds("c/tmp/src", "new");
        assert_error(copy_tree(&here, "/src", &container, "/nosuch/", &options), ERROR_NOT_FOUND, "/nosuch/");
        assert_error(copy_tree(&here, "/nosuch", &container, "/tmp", &options), ERROR_NOT_FOUND, "/nosuch");
        fixture_close();
}

TEST(folders_are_copied_with_what_is_in_them) {
        fixture_open(0);
        make_folder("here/d/e/f");
        make_file("here/d/one", "1", 0644);
        make_file("here/d/e/two", "2", 0600);
        make_link("one", "here/d/link");
        assert_ok(copy_tree(&here, "/d", &container, "/tmp/d2", &options));
        holds("c/tmp/d2/one", "1");
        holds("c/tmp/d2/e/two", "2");
        assert_true(exists("c/tmp/d2/e/f"));
        assert_true(S_ISLNK(status("c/tmp/d2/link").st_mode));
        /* A second time into the folder that is there now. */
        assert_ok(copy_tree(&here, "/d/e", &container, "/tmp/d2", &options));
        holds("c/tmp/d2/e/two", "2");
        fixture_close();
}

TEST(links_of_a_container_are_neither_followed_nor_made_here) {
        fixture_open(0);
        make_folder("c/tmp/d");
        make_link("/etc/passwd", "c/tmp/d/absolute");
        make_link("../../../secret", "c/tmp/d/relative");
        make_file("c/tmp/d/plain", "1", 0644);
        assert_ok(copy_tree(&container, "/tmp/d", &here, "/d", &options));
        holds("here/d/plain", "1");
        assert_false(exists("here/d/absolute"));
        assert_false(exists("here/d/relative"));
        assert_non_null(strstr(strbuf_str(&warnings), "skipping symlink: \"/tmp/d/absolute\" -> \"/etc/passwd\""));
        fixture_close();
}

TEST(no_path_or_link_leads_out_of_the_containers_root) {
        fixture_open(0);
        make_file("here/src", "mine", 0644);
        make_link("../../../../secret", "c/tmp/file");
        make_link("../../..", "c/tmp/up");
        /* Reading: they end at the container's root, where there is no such file. */
        assert_error(copy_tree(&container, "/tmp/file", &here, "/got", &options), ERROR_NOT_FOUND, "/tmp/file");
        assert_error(copy_tree(&container, "/../secret", &here, "/got", &options), ERROR_NOT_FOUND, "/../secret");
        assert_error(copy_tree(&container, "/tmp/up/secret", &here, "/got", &options), ERROR_NOT_FOUND, "secret");
        /* Writing, too. */
        assert_ok(copy_tree(&here, "/src", &container, "/tmp/up/secret", &options));
        holds("secret", "outside");
        holds("c/secret", "mine");
        assert_ok(copy_tree(&here, "/src", &container, "/../../secret2", &options));
        holds("c/secret2", "mine");
        fixture_close();
}

TEST(a_link_in_the_place_of_the_copy_is_not_written_through) {
        fixture_open(0);
        make_folder("c/tmp/d");
        make_file("c/tmp/d/victim", "new", 0644);
        make_folder("here/d");
        make_file("here/other", "old", 0644);
        make_link("../other", "here/d/victim");
        struct error *err = copy_tree(&container, "/tmp/d", &here, "/", &options);
        assert_non_null(err);
        error_free(err);
        holds("here/other", "old");
        fixture_close();
}

TEST(pipes_and_devices_are_passed_over_and_do_not_block) {
        fixture_open(0);
        make_folder("c/tmp/d");
        make_file("here/src", "x", 0644);
        _cleanup_free_ char *pipe_path = path_of("c/tmp/d/pipe");
        assert_int_equal(mkfifo(pipe_path, 0666), 0);
        assert_ok(copy_tree(&container, "/tmp/d", &here, "/d", &options));
        assert_false(exists("here/d/pipe"));
        assert_non_null(strstr(strbuf_str(&warnings), "skipping /tmp/d/pipe: neither file nor folder"));
        assert_error(copy_tree(&container, "/tmp/d/pipe", &here, "/p", &options), ERROR_INVALID,
                     "neither file nor folder");
        struct error *err = copy_tree(&here, "/src", &container, "/tmp/d/pipe", &options);
        assert_non_null(err);
        error_free(err);
        fixture_close();
}

TEST(in_a_container_only_its_users_rights_count) {
        fixture_open(12345);
        make_file("here/src", "x", 0600);
        make_file("c/private", "root only", 0600);
        make_folder("c/locked");
        assert_error(copy_tree(&container, "/private", &here, "/got", &options), ERROR_FORBIDDEN, "/private");
        assert_error(copy_tree(&here, "/src", &container, "/locked/x", &options), ERROR_FORBIDDEN, "");
        assert_ok(copy_tree(&here, "/src", &container, "/tmp/x", &options));
        assert_int_equal(status("c/tmp/x").st_uid, 12345);
        assert_int_equal(status("c/tmp/x").st_gid, 12345);
        /* And afterwards ours again. */
        holds("c/private", "root only");
        fixture_close();
}

TEST(folders_without_end_are_an_error) {
        _cleanup_strbuf_ struct strbuf deep = STRBUF_INIT;
        fixture_open(0);
        strbuf_adds(&deep, "c/tmp");
        for (int i = 0; i < 140; i++)
                strbuf_adds(&deep, "/d");
        make_folder(strbuf_str(&deep));
        assert_error(copy_tree(&container, "/tmp", &here, "/", &options), ERROR_INVALID, "more than 128 folders");
        fixture_close();
}
