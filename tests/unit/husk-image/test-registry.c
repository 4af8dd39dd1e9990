#include "test.h"

#include "husk-image/registry-private.h"

TEST(only_addresses_of_this_machine_are_loopback) {
        static const char *const yes[] = { "localhost", "localhost:5000", "127.0.0.1",  "127.1.2.3:80",
                                           "[::1]",     "[::1]:443",      "a.localhost" };
        static const char *const no[] = { "example.com", "localhost.example.com", "127.0.0.1.example.com", "[::2]",
                                          "128.0.0.1" };

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
                if (!domain_is_loopback(yes[i]))
                        fail_msg("%s", yes[i]);
        for (size_t i = 0; i < ARRAY_SIZE(no); i++)
                if (domain_is_loopback(no[i]))
                        fail_msg("%s", no[i]);
}

TEST(the_host_of_a_realm_is_the_one_that_will_be_asked) {
        static const struct {
                const char *realm, *host;
                bool encrypted;
        } cases[] = {
                { "https://auth.example.com/token", "auth.example.com", true },
                { "http://localhost/token?a=b", "localhost", false },
                { "http://127.0.0.1:5000/token", "127.0.0.1", false },
                { "http://[::1]:5000/token", "[::1]", false },
                { "HTTPS://auth.example.com", "auth.example.com", true },
                { "http://example.com/?x=localhost:1", "example.com", false },
        };
        static const char *const bad[] = {
                NULL,
                "",
                "auth.example.com",
                "ftp://example.com/",
                "file:///etc/passwd",
                /* what stands before an at sign is no host, whatever it looks like */
                "http://localhost:80@example.com/token",
                "http://[::1]@example.com/",
                "http://127.0.0.1:1@example.com",
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *host = NULL;
                bool encrypted;
                assert_ok(realm_host(cases[i].realm, &encrypted, &host));
                assert_string_equal(host, cases[i].host);
                assert_int_equal(encrypted, cases[i].encrypted);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                char *host = NULL;
                bool encrypted;
                assert_error(realm_host(bad[i], &encrypted, &host), ERROR_UNAVAILABLE, "no place to get a token");
                assert_null(host);
        }
}
