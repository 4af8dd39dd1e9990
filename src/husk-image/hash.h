/* hash.h - SHA-256 of a stream, by nettle (which uses the processor's SHA instructions). */
#pragma once

#include <nettle/sha2.h>

#include "base/base.h"

#define DIGEST_TEXT (7 + 64 + 1) /* "sha256:…" and its NUL */

struct hash {
        struct sha256_ctx ctx;
};

static inline void hash_init(struct hash *hash) {
        sha256_init(&hash->ctx);
}
static inline void hash_add(struct hash *hash, const void *data, size_t len) {
        sha256_update(&hash->ctx, len, data);
}
/* Writes "sha256:…" and begins anew. */
void hash_finish(struct hash *hash, char text[static DIGEST_TEXT]);
/* Digest of something small. */
void hash_of(const void *data, size_t len, char text[static DIGEST_TEXT]);
