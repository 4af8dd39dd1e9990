#include "test.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/credentials.h"

static const char *find(const struct credentials *c, const char *domain, const char *path) {
        static char user[64];
        const struct credential **list;
        size_t n;

        credentials_find(c, domain, path, &list, &n);
        strcpy(user, n ? list[0]->user ? list[0]->user : list[0]->identity_token : "nobody");
        free(list);
        return user;
}

static void add(struct credentials *c, const char *text) {
        assert_ok(credentials_add_text(c, text, strlen(text)));
}

TEST(docker_and_kubernetes_forms_are_read) {
        _cleanup_credentials_ struct credentials *c = credentials_new();

        add(c, "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnA6dw==\"},"
               "\"quay.io\":{\"username\":\"q\",\"password\":\"p\"},\"helper.example\":{},"
               "\"token.example\":{\"identitytoken\":\"tok\"}},\"credsStore\":\"x\"}");
        add(c, "{\"old.example:5000\":{\"auth\":\"b2xkOnA=\"}}"); /* .dockercfg */
        assert_string_equal(find(c, "docker.io", "library/redis"), "hub");
        assert_string_equal(find(c, "quay.io", "a/b"), "q");
        assert_string_equal(find(c, "token.example", "a"), "tok");
        assert_string_equal(find(c, "old.example:5000", "a"), "old");
        assert_string_equal(find(c, "old.example", "a"), "nobody");
        assert_string_equal(find(c, "helper.example", "a"), "nobody");
        add(c, "{\"auths\":{\"https://api.example/v2/team\":{\"username\":\"api\",\"password\":\"p\"}}}");
        assert_string_equal(find(c, "api.example", "team/app"), "api");
        assert_string_equal(find(c, "api.example", "other"), "nobody");

        const struct credential **list;
        size_t n;
        credentials_find(c, "docker.io", "x", &list, &n);
        assert_int_equal(n, 1);
        assert_string_equal(list[0]->password, "p:w"); /* only the first colon separates */
        free(list);
}

TEST(the_longest_path_counts_then_the_first_file) {
        _cleanup_credentials_ struct credentials *c = credentials_new();

        add(c, "{\"auths\":{\"r.example\":{\"username\":\"all\",\"password\":\"p\"},"
               "\"r.example/team\":{\"username\":\"team\",\"password\":\"p\"}}}");
        add(c, "{\"auths\":{\"r.example/team\":{\"username\":\"second\",\"password\":\"p\"},"
               "\"*.wild.example:5000\":{\"username\":\"wild\",\"password\":\"p\"}}}");
        assert_string_equal(find(c, "r.example", "team/app"), "team");
        assert_string_equal(find(c, "r.example", "team"), "team");
        assert_string_equal(find(c, "r.example", "teams/app"), "all");
        assert_string_equal(find(c, "a.wild.example:5000", "x"), "wild");
        assert_string_equal(find(c, "a.b.wild.example:5000", "x"), "nobody");
        assert_string_equal(find(c, "a.wild.example", "x"), "nobody");
        const struct credential **list;
        size_t n;
        credentials_find(c, "r.example", "team/app", &list, &n);
        assert_int_equal(n, 3); /* the others are tried after it */
        free(list);
}

TEST(bad_credentials_files_are_errors_that_do_not_show_the_password) {
        static const char *const bad[] = { "{\"auths\":{\"x\":{\"auth\":\"c2VjcmV0\"}}}",
                                           "{\"auths\":{\"x\":{\"auth\":\"!!!\"}}}" };
        _cleanup_credentials_ struct credentials *c = credentials_new();

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_error_ struct error *err = credentials_add_text(c, bad[i], strlen(bad[i]));
                assert_non_null(err);
                assert_null(strstr(error_message(err), "secret"));
        }
        assert_error(credentials_add_text(c, "{", 1), ERROR_BAD_REQUEST, "not JSON");
        assert_error(credentials_add_file(c, "/nonexistent/f"), ERROR_NOT_FOUND, "credentials file");
}

TEST(the_files_of_this_user_are_found_old_and_new) {
        static const char *const files[] = { ".dockercfg", ".docker/config.json", ".config/containers/auth.json" };
        static const char *const texts[] = { "{\"one.example\":{\"auth\":\"b2xkOnA=\"}}",
                                             "{\"auths\":{\"two.example\":{\"auth\":\"b2xkOnA=\"}}}",
                                             "{\"auths\":{\"three.example\":{\"auth\":\"b2xkOnA=\"}}}" };
        _cleanup_credentials_ struct credentials *c = credentials_new();
        char home[] = "/tmp/credentials-test-XXXXXX";

        assert_non_null(mkdtemp(home));
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *path = path_join(home, files[i]), *folder = xstrdup(path);
                *strrchr(folder, '/') = '\0';
                assert_ok(mkdir_parents(folder, 0700));
                assert_ok(file_replace(path, texts[i], strlen(texts[i]), 0600, 0));
        }
        setenv("HOME", home, 1);
        unsetenv("DOCKER_CONFIG");
        assert_ok(credentials_add_defaults(c));
        assert_string_equal(find(c, "one.example", "a"), "old");
        assert_string_equal(find(c, "two.example", "a"), "old");
        assert_string_equal(find(c, "three.example", "a"), "old");
        assert_ok(remove_tree(home));
}
