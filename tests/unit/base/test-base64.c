#include "test.h"

#include "base/base64.h"

TEST(base64_goes_both_ways) {
        static const char *const texts[] = { "", "a", "ab", "abc", "abcd", "\xff\xfe\xfd" };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_free_ char *encoded = base64_encode(texts[i], strlen(texts[i])), *decoded = NULL;
                size_t len;
                assert_true(base64_decode(encoded, &decoded, &len));
                assert_int_equal(len, strlen(texts[i]));
                assert_string_equal(decoded, texts[i]);
        }
        char *decoded;
        size_t len;
        assert_false(base64_decode("a", &decoded, &len));
        assert_false(base64_decode("a b=", &decoded, &len));
}
