#include "test.h"

#include "husk-pod/probe-url.h"

TEST(a_path_is_sent_as_go_sends_it) {
        static const struct {
                const char *path, *sent;
        } cases[] = {
                { "/", "/" },
                { "", "/" },
                { "healthz", "/healthz" },
                { "/a/b?x=1&y=2", "/a/b?x=1&y=2" },
                { "/a b", "/a%20b" },
                { "/a%20b", "/a%20b" },
                { "/a%2Fb", "/a%2Fb" },     /* not the same as /a/b: stays */
                { "/a%2Fb c", "/a/b%20c" }, /* cannot stay, so it is read and written anew */
                { "/\303\251", "/%C3%A9" },
                { "/a#fragment", "/a" },
                { "/a?x=1#fragment", "/a?x=1" },
                { "/a?x=%zz y", "/a?x=%zz y" },
                { "/!$&'()*+,;=:@[]-_.~", "/!$&'()*+,;=:@[]-_.~" },
                { "/\"<>^`{|}\\", "/%22%3C%3E%5E%60%7B%7C%7D%5C" },
                /* what cannot be read is a name as a whole */
                { "/100%", "/100%25" },
                { "/%zz?x=1#y", "/%25zz%3Fx=1%23y" },
                { "/a HTTP/1.1\r\nHost: b\r\n\r\nPUT /c", "/a%20HTTP/1.1%0D%0AHost:%20b%0D%0A%0D%0APUT%20/c" },
                { "/a?b\nc", "/a%3Fb%0Ac" },
                { "/a#%zz", "/a%23%25zz" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *sent = probe_request_path(cases[i].path);
                assert_string_equal(sent, cases[i].sent);
        }
}

TEST(values_of_headers_are_of_one_line) {
        V1HTTPHeader fine = V1_HTTPHEADER__INIT, bad = V1_HTTPHEADER__INIT, none = V1_HTTPHEADER__INIT;
        V1HTTPHeader *headers[] = { &none, &fine, &bad };

        none.name = "X-None";
        fine.name = "X-Fine";
        fine.value = "a\tb \303\251";
        bad.name = "X-Bad";
        bad.value = "a\r\nX-More: b";
        assert_string_equal(probe_bad_header(headers, 3), "X-Bad");
        assert_null(probe_bad_header(headers, 2));
        bad.value = "\x7f";
        assert_string_equal(probe_bad_header(headers, 3), "X-Bad");
}
