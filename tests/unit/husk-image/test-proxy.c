#include "test.h"

#include <stdlib.h>

#include "husk-image/proxy.h"

TEST(variables_are_read_as_gos_programs_read_them) {
        static const char *const names[] = { "http_proxy", "https_proxy", "all_proxy", "no_proxy",
                                             "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                unsetenv(names[i]);
        proxy_read_environment();
        for (size_t i = 0; i < 4; i++)
                assert_null(getenv(names[i]));
        setenv("HTTP_PROXY", "http://proxy.test:3128", 1);
        setenv("HTTPS_PROXY", "in-capitals.test", 1);
        setenv("https_proxy", "small.test", 1); /* it counts, as for libcurl */
        setenv("ALL_PROXY", "SOCKS5://socks.test:1080", 1);
        setenv("NO_PROXY", " *.example.com,plain.test, 10.0.0.0/8 ,", 1);
        proxy_read_environment();
        assert_string_equal(getenv("http_proxy"), "http://proxy.test:3128");
        assert_string_equal(getenv("https_proxy"), "small.test");
        assert_string_equal(getenv("all_proxy"), "socks5h://socks.test:1080");
        assert_string_equal(getenv("no_proxy"), ".example.com,plain.test,10.0.0.0/8");
}

TEST(an_entry_with_a_port_is_for_that_port) {
        setenv("no_proxy", "a.test, far.test:5000,.sub.test:443", 1);
        assert_true(proxy_is_passed_by("far.test", "5000"));
        assert_true(proxy_is_passed_by("r.far.test", "5000"));
        assert_true(proxy_is_passed_by("x.sub.test", "443"));
        assert_false(proxy_is_passed_by("far.test", "443"));
        assert_false(proxy_is_passed_by("notfar.test", "5000"));
        assert_false(proxy_is_passed_by("sub.test", "443"));
        assert_false(proxy_is_passed_by("a.test", "443")); /* libcurl knows that one itself */
}
