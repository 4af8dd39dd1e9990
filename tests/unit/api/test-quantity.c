#include "api/quantity.h"
#include "test.h"

TEST(the_canonical_form_is_kubernetes_one) {
        static const struct {
                const char *text, *canonical;
        } cases[] = {
                { "0", "0" },
                { "0.5", "500m" },
                { "100m", "100m" },
                { "0.0011", "1100u" },
                { "1000m", "1" },
                { "1024Ki", "1Mi" },
                { "1.5Gi", "1536Mi" },
                { "0.5Gi", "512Mi" },
                { "1000", "1k" },
                { "1000000", "1M" },
                { "1e3", "1e3" },
                { "1e4", "10e3" },
                { "1E", "1E" },
                { "1E2", "100" },
                { "5", "5" },
                { "-5", "-5" },
                { "1500Mi", "1500Mi" },
                { "1536Mi", "1536Mi" },
                { "2048Mi", "2Gi" },
                { "128Mi", "128Mi" },
                { "512Ki", "512Ki" },
                { "0.1", "100m" },
                { "0.0000000001", "1n" },
                { "0.1n", "1n" },
                { "-0.1n", "-1n" },
                { "1.23456789", "1234567890n" },
                { "00", "0" },
                { "0Mi", "0" },
                { "1Ki", "1Ki" },
                { "0.5Ki", "512" },
                { "0.0001Ki", "102400u" },
                { "1.5Ki", "1536" },
                { "9223372036854775807", "9223372036854775807" },
                { "100Ei", "9223372036854775807" },
                { "1000E", "1000E" },
                { "12345678901234567890", "12345678901234567890" },
                { ".5", "500m" },
                { "5.", "5." },
                { "1e-9", "1e-9" },
                { "1e-10", "1e-9" },
                { "1.5e1", "1.5e1" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *got = quantity_canonical(cases[i].text);

                if (!got || strcmp(got, cases[i].canonical) != 0)
                        fail_msg("%s becomes %s, not %s", cases[i].text, got ? got : "nothing", cases[i].canonical);
        }
}

TEST(what_is_no_quantity_is_refused) {
        static const char *const bad[] = { "",
                                           "a",
                                           "1.2.3",
                                           "1 Gi",
                                           "1gi",
                                           "Gi",
                                           "1Kb",
                                           "1e",
                                           "1e1.5",
                                           "--1",
                                           "1i",
                                           "+",
                                           "-",
                                           ".",
                                           "m",
                                           "1mm",
                                           "0x1",
                                           "1,5",
                                           " 1",
                                           "1K",
                                           "1e999999",
                                           "1Ee",
                                           "1ki",
                                           "e3",
                                           "1_0",
                                           "NaN",
                                           "inf",
                                           "1u1",
                                           "1Mi2",
                                           "٣",
                                           "1e-9223372036854775808",
                                           "1e-301" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct quantity q;
                const char *reason = NULL;

                if (quantity_parse(bad[i], &q, &reason) || !reason)
                        fail_msg("accepted %s", bad[i]);
        }
}

static struct quantity q(const char *text) {
        struct quantity ret;

        if (!quantity_parse(text, &ret, NULL))
                fail_msg("%s", text);
        return ret;
}

TEST(quantities_compare_by_value) {
        assert_int_equal(quantity_compare(q("1"), q("1000m")), 0);
        assert_int_equal(quantity_compare(q("1Gi"), q("1G")), 1);
        assert_int_equal(quantity_compare(q("999m"), q("1")), -1);
        assert_int_equal(quantity_compare(q("-1"), q("1n")), -1);
        assert_int_equal(quantity_compare(q("0"), q("-1n")), 1);
        assert_int_equal(quantity_compare(q("1e200"), q("1n")), 1);
        assert_int_equal(quantity_compare(q("1n"), q("1e200")), -1);
        assert_int_equal(quantity_compare(q("-1e200"), q("-1e199")), -1);
        assert_int_equal(quantity_compare(q("0"), q("0Mi")), 0);
}

static void assert_is(struct quantity got, const char *wanted) {
        _cleanup_free_ char *text = quantity_format(got);

        assert_string_equal(text, wanted);
}

TEST(sums_and_differences_are_exact) {
        assert_is(quantity_add(q("100m"), q("0.9")), "1");
        assert_is(quantity_add(q("1Gi"), q("1Mi")), "1025Mi");
        assert_is(quantity_add(q("0"), q("1Mi")), "1Mi");
        assert_is(quantity_add(q("1"), quantity_neg(q("1n"))), "999999999n");
        assert_is(quantity_add(q("1"), quantity_neg(q("1"))), "0");
        assert_is(quantity_add(q("1Mi"), quantity_neg(q("2Mi"))), "-1Mi");
        assert_is(quantity_add(q("1e30"), q("1n")), "1e30");
        assert_is(quantity_add(q("1e300"), q("1e300")), "2e300");
        assert_is(quantity_add(q("1n"), quantity_neg(q("1e300"))), "-1e300");
}

TEST(values_round_up) {
        assert_int_equal(quantity_value(q("0.1")), 1);
        assert_int_equal(quantity_value(q("-1.5")), -2);
        assert_int_equal(quantity_value(q("1.5Ki")), 1536);
        assert_int_equal(quantity_milli(q("0.0011")), 2);
        assert_int_equal(quantity_milli(q("1")), 1000);
        assert_int_equal(quantity_value(q("1e100")), INT64_MAX);
        assert_int_equal(quantity_milli(q("-1e100")), INT64_MIN);
        assert_is(quantity_round_up(q("0.0011"), -3), "2m");
        assert_is(quantity_round_up(q("5"), -3), "5");
        assert_int_equal(quantity_text_milli("250m"), 250);
        assert_int_equal(quantity_text_value(NULL), 0);
        assert_int_equal(quantity_text_value("x"), 0);
}

TEST(a_divisor_rounds_up_as_the_downward_api_does) {
        assert_int_equal(quantity_divide_up(q("100m"), q("1")), 1);
        assert_int_equal(quantity_divide_up(q("1500m"), q("1")), 2);
        assert_int_equal(quantity_divide_up(q("100m"), q("1m")), 100);
        assert_int_equal(quantity_divide_up(q("100Mi"), q("1Mi")), 100);
        assert_int_equal(quantity_divide_up(q("100Mi"), q("1M")), 105);
        assert_int_equal(quantity_divide_up(q("100Mi"), q("0")), 104857600);
        assert_int_equal(quantity_divide_up(q("0"), q("1Mi")), 0);
}
