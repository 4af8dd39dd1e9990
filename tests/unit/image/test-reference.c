#include "test.h"

#include "image/reference.h"

static void assert_normal(const char *text, const char *wanted) {
        _cleanup_free_ char *normal = image_reference_normalize(text);
        if (!normal)
                fail_msg("%s is refused", text);
        assert_string_equal(normal, wanted);
}

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

TEST(short_names_are_docker_hubs) {
        assert_normal("redis", "docker.io/library/redis:latest");
        assert_normal("redis:7", "docker.io/library/redis:7");
        assert_normal("grafana/loki", "docker.io/grafana/loki:latest");
        assert_normal("docker.io/redis", "docker.io/library/redis:latest");
        assert_normal("index.docker.io/redis:7", "docker.io/library/redis:7");
        assert_normal("docker.io/grafana/loki:1", "docker.io/grafana/loki:1");
}

TEST(the_first_part_is_a_registry_if_it_looks_like_one) {
        assert_normal("localhost/app:1", "localhost/app:1");
        assert_normal("localhost:5000/app", "localhost:5000/app:latest");
        assert_normal("quay.io/a/b/c:v1.2_x-3", "quay.io/a/b/c:v1.2_x-3");
        assert_normal("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest");
        assert_normal("[::1]:5000/app", "[::1]:5000/app:latest");
        assert_normal("Registry/app", "Registry/app:latest");
        assert_normal("host.name:80/a__b/c.d/e---f", "host.name:80/a__b/c.d/e---f:latest");
        assert_normal("localhost:5000", "docker.io/library/localhost:5000"); /* no slash: that is a tag */
}

TEST(a_digest_counts_more_than_a_tag) {
        _cleanup_reference_ struct reference *r = NULL;

        assert_normal("redis@sha256:" HEX64, "docker.io/library/redis@sha256:" HEX64);
        assert_normal("redis:7@sha256:" HEX64, "docker.io/library/redis@sha256:" HEX64);
        assert_ok(reference_parse("localhost:5000/x/y:7@sha256:" HEX64, &r));
        assert_string_equal(r->domain, "localhost:5000");
        assert_string_equal(r->path, "x/y");
        assert_string_equal(r->tag, "7");
        assert_string_equal(digest_hex(r->digest), HEX64);
        _cleanup_free_ char *repository = reference_repository(r);
        assert_string_equal(repository, "localhost:5000/x/y");
}

TEST(what_cannot_be_a_reference_is_refused_with_the_reason) {
        static const struct {
                const char *text, *why;
        } cases[] = {
                { "", "empty" },
                { "Redis", "lower case" },
                { "quay.io/A/b", "lower case" },
                { "https://quay.io/a", "scheme" },
                { "redis:", "a tag has" },
                { "redis:a b", "a tag has" },
                { "redis:-x", "a tag has" },
                { ":tag", "name is missing" },
                { "a//b", "repository name" },
                { "a/", "repository name" },
                { "/a", "repository name" },
                { "a..b", "repository name" },
                { "a___b", "repository name" },
                { "a/-b", "repository name" },
                { "a/../b", "repository name" },
                { "redis@sha256:abc", "64" },
                { "redis@md5:" HEX64, "digest" },
                { HEX64, "id, not a name" },
                { "host:99999999/a", "host name" },
                { "-bad.example/a", "host name" },
                { "[::1/a", "host name" },
                { "redis\n", "repository name" },
        };
        char longest[700];
        struct reference *r;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_error(reference_parse(cases[i].text, &r), ERROR_INVALID, cases[i].why);
        memset(longest, 'a', sizeof(longest));
        longest[300] = '\0';
        assert_error(reference_parse(longest, &r), ERROR_INVALID, "longer than 255");
        longest[300] = 'a';
        longest[699] = '\0';
        assert_error(reference_parse(longest, &r), ERROR_INVALID, "too long");
        assert_null(image_reference_normalize("Redis"));
}

TEST(what_is_wrong_is_said_as_a_kubelet_says_it) {
        static const char *const cases[][2] = {
                { "Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase" },
                { "quay.io/Team/app:1", "invalid reference format: repository name (Team/app) must be lowercase" },
                { "a//b", "invalid reference format" },
                { "busybox:", "invalid reference format" },
                { "busybox@sha256:12", "invalid reference format" },
                { "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                  "invalid repository name (0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef), cannot "
                  "specify 64-byte hexadecimal strings" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *said = reference_complaint(cases[i][0]);
                assert_string_equal(said, cases[i][1]);
        }
}

TEST(only_whole_lower_case_sha256_digests_are_digests) {
        assert_true(digest_is_valid("sha256:" HEX64));
        assert_false(digest_is_valid(NULL));
        assert_false(digest_is_valid(HEX64));
        assert_false(digest_is_valid("sha256:" HEX64 "0"));
        assert_false(digest_is_valid("sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        assert_false(digest_is_valid("sha512:" HEX64));
}
