#include "test.h"

#include <stdio.h>

#include "base/clock.h"

TEST(times_are_written_and_read_back) {
        char buf[RFC3339_MAX];
        int64_t s;
        int32_t ns;

        assert_string_equal(rfc3339_format(0, buf), "1970-01-01T00:00:00Z");
        assert_string_equal(rfc3339_format_ns(1795460636123456789, 9, buf), "2026-11-23T19:03:56.123456789Z");
        assert_string_equal(rfc3339_format_ns(1795460636123456789, 6, buf), "2026-11-23T19:03:56.123456Z");
        assert_true(rfc3339_parse("2026-11-23T21:03:56.5+02:00", &s, &ns));
        assert_int_equal(s, 1795460636);
        assert_int_equal(ns, 500000000);
}

TEST(what_is_no_time_is_refused) {
        int64_t s;
        static const char *const bad[] = { "",
                                           "2026-11-23",
                                           "2026-13-23T00:00:00Z",
                                           "2026-11-23T00:00:00",
                                           "2026-11-23T00:00:00Zx",
                                           "2026-11-23T25:00:00Z",
                                           "2026-11-23T00:00:00.Z",
                                           "2026-11-23T00:00:00+2:00" };
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(rfc3339_parse(bad[i], &s, NULL));
}

TEST(a_boot_has_a_name_that_stays) {
        const char *id = clock_boot_id();
        char text[64] = "";
        FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

        assert_non_null(f);
        assert_non_null(fgets(text, sizeof(text), f));
        fclose(f);
        assert_int_equal(strlen(id), 36);
        assert_memory_equal(id, text, 36);
        assert_ptr_equal(clock_boot_id(), id);
        text[36] = '\0';
        assert_true(clock_is_this_boot(text));
        assert_false(clock_is_this_boot("00000000-0000-0000-0000-000000000000"));
        assert_false(clock_is_this_boot("")); /* what could not be read equals nothing, itself neither */
        assert_false(clock_is_this_boot(NULL));
}
