#include "test.h"

#include "base/clock.h"
#include "base/duration.h"

static void parses(const char *text, int64_t ns) {
        int64_t result = -42;
        if (!duration_parse(text, &result) || result != ns)
                fail_msg("%s: %lld, not %lld", text, (long long)result, (long long)ns);
}

static void refused(const char *text) {
        int64_t result;
        if (duration_parse(text, &result))
                fail_msg("%s was taken for %lld", text, (long long)result);
}

TEST(durations_are_read_as_go_writes_them) {
        parses("0", 0);
        parses("30s", 30 * NSEC_PER_SEC);
        parses("1h30m", 5400 * NSEC_PER_SEC);
        parses("1.5s", 1500 * NSEC_PER_MSEC);
        parses(".5s", 500 * NSEC_PER_MSEC);
        parses("300ms", 300 * NSEC_PER_MSEC);
        parses("2us", 2000);
        parses("2µs", 2000);
        parses("-10s", -10 * NSEC_PER_SEC);
        parses("+10s", 10 * NSEC_PER_SEC);
}

TEST(what_is_no_duration_is_refused) {
        refused("");
        refused("5");
        refused("s");
        refused(".s");
        refused("-");
        refused("1x");
        refused("1s2");
        refused("1 s");
        refused("99999999999999999999s");
        refused("9999999999h");
}

static void age(int64_t seconds, const char *text) {
        char buf[DURATION_MAX];
        assert_string_equal(duration_format_age(seconds, buf), text);
}

TEST(ages_get_coarser_as_they_grow) {
        age(-5, "<invalid>");
        age(-1, "0s");
        age(0, "0s");
        age(119, "119s");
        age(120, "2m");
        age(125, "2m5s");
        age(599, "9m59s");
        age(600, "10m");
        age(3 * 3600 - 1, "179m");
        age(3 * 3600, "3h");
        age(3 * 3600 + 300, "3h5m");
        age(8 * 3600 + 300, "8h");
        age(47 * 3600, "47h");
        age(48 * 3600, "2d");
        age(49 * 3600, "2d1h");
        age(8 * 86400 + 3600, "8d");
        age(729 * 86400, "729d");
        age(730 * 86400, "2y");
        age(731 * 86400, "2y1d");
        age(8 * 365 * 86400LL + 86400, "8y");
}

TEST(the_age_of_a_timestamp_is_told_from_now) {
        char buf[DURATION_MAX];
        assert_string_equal(duration_format_since("1970-01-01T00:01:40Z", 160, buf), "60s");
        assert_string_equal(duration_format_since(NULL, 160, buf), "<unknown>");
        assert_string_equal(duration_format_since("yesterday", 160, buf), "<unknown>");
}
