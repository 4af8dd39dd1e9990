#include "husk-image/hash.h"

void hash_finish(struct hash *hash, char text[static DIGEST_TEXT]) {
        static const char digits[] = "0123456789abcdef";
        uint8_t digest[SHA256_DIGEST_SIZE];

        sha256_digest(&hash->ctx, sizeof(digest), digest);
        memcpy(text, "sha256:", 7);
        for (size_t i = 0; i < sizeof(digest); i++) {
                text[7 + 2 * i] = digits[digest[i] >> 4];
                text[8 + 2 * i] = digits[digest[i] & 15];
        }
        text[DIGEST_TEXT - 1] = '\0';
}

void hash_of(const void *data, size_t len, char text[static DIGEST_TEXT]) {
        struct hash hash;

        hash_init(&hash);
        hash_add(&hash, data, len);
        hash_finish(&hash, text);
}
