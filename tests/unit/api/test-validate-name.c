#include "../test.h"

#include "api/validate-name.h"

/* A text of n letters, and what the check thinks of it. */
static bool long_text_is(size_t n, text_check check) {
        char text[512];

        assert_true(n < sizeof(text));
        memset(text, 'a', n);
        text[n] = '\0';
        return text_is(text, check);
}

TEST(names_are_checked_as_kubernetes_checks_them) {
        static const struct {
                text_check check;
                const char *good[8], *bad[10];
        } cases[] = {
                { text_check_dns_label, { "a", "a-b", "0", "1e3" }, { "", "-", "a-", "A", "a.b", "a_b", "ünï" } },
                { text_check_dns_subdomain,
                  { "a", "a.b", "1.2.3.4", "a-b.c" },
                  { "", ".", "a.", ".a", "a..b", "A.b", "a.-b" } },
                { text_check_dns_search, { "a", "_a.b", "a_b" }, { "", "_", "a_", "a._", "A" } },
                { text_check_qualified_name,
                  { "a", "A_b.c", "a.b/C", "0.5" },
                  { "", "a/b/c", "/a", "a/", "-a", "a b", "A/b", "a_/b" } },
                { text_check_annotation_key, { "A.B/c", "x" }, { "", "a/b/c" } },
                { text_check_label_value, { "", "a", "A.b_c-d" }, { "-", "a-", "a/b", "a b" } },
                { text_check_config_key, { "a", ".a", "A_b.c", "-" }, { "", ".", "..", "..a", "a/b", "a b" } },
                { text_check_env_name, { "A", "a.b", "1", " ", "a-b" }, { "", "a=b", "a\tb", "ü" } },
                { text_check_port_name, { "http", "a1", "1a" }, { "", "1", "A", "-a", "a-", "a--b", "a_b" } },
                { text_check_http_header, { "X-A", "0" }, { "", "a b", "a_b" } },
                { text_check_ip,
                  { "1.2.3.4", "0.0.0.0", "::", "2001:db8::1", "::1.2.3.4" },
                  { "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "::ffff:1.2.3.4", "fe80::1%eth0", "a",
                    "1.2.3.4 " } },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                for (size_t j = 0; j < ARRAY_SIZE(cases[i].good) && cases[i].good[j]; j++)
                        if (!text_is(cases[i].good[j], cases[i].check))
                                fail_msg("row %zu: \"%s\" is refused", i, cases[i].good[j]);
                for (size_t j = 0; j < ARRAY_SIZE(cases[i].bad) && cases[i].bad[j]; j++)
                        if (text_is(cases[i].bad[j], cases[i].check))
                                fail_msg("row %zu: \"%s\" is accepted", i, cases[i].bad[j]);
        }
}

TEST(lengths_are_limited) {
        assert_true(long_text_is(63, text_check_dns_label));
        assert_false(long_text_is(64, text_check_dns_label));
        assert_true(long_text_is(253, text_check_dns_subdomain));
        assert_false(long_text_is(254, text_check_dns_subdomain));
        assert_true(long_text_is(63, text_check_label_value));
        assert_false(long_text_is(64, text_check_label_value));
        assert_true(long_text_is(63, text_check_qualified_name));
        assert_false(long_text_is(64, text_check_qualified_name));
        assert_true(long_text_is(253, text_check_config_key));
        assert_false(long_text_is(254, text_check_config_key));
        assert_true(long_text_is(15, text_check_port_name));
        assert_false(long_text_is(16, text_check_port_name));
}

TEST(every_thing_wrong_is_said) {
        struct text_faults faults = { 0 };

        text_check_port_name("METADATA--labels[", &faults);
        assert_int_equal(faults.n, 3); /* too long, wrong letters, two hyphens */
}

TEST(sysctls_have_dots_or_slashes) {
        assert_true(text_is_sysctl("net.ipv4.tcp_syncookies"));
        assert_true(text_is_sysctl("net/ipv4/conf/eth0.1/x"));
        assert_true(text_is_sysctl("a-b"));
        assert_false(text_is_sysctl(""));
        assert_false(text_is_sysctl("a..b"));
        assert_false(text_is_sysctl("a b"));
        assert_false(text_is_sysctl(".a"));
        assert_false(text_is_sysctl("A"));
}

TEST(backsteps_are_whole_parts_of_a_path) {
        assert_true(text_has_backstep(".."));
        assert_true(text_has_backstep("a/.."));
        assert_true(text_has_backstep("../a"));
        assert_true(text_has_backstep("a/../b"));
        assert_true(text_has_backstep(".../.."));
        assert_false(text_has_backstep(""));
        assert_false(text_has_backstep("a..b"));
        assert_false(text_has_backstep("..a/b.."));
        assert_false(text_has_backstep("..."));
}
