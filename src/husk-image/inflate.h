/* inflate.h - decompresses a stream: gzip (by ISA-L), zstd, or nothing to do.
 *
 * The format is told from the first bytes, not from a media type: both are in use with wrong ones. Members of gzip and
 * frames of zstd that follow one another are one stream. Memory is bounded: a zstd window larger than 8 MiB (more than
 * level 19 makes) is refused. */
#pragma once

#include "base/error.h"

/* Gives the next compressed bytes, valid until the next call; *len 0 at the end. */
typedef struct error *(*inflate_source)(void *context, const uint8_t **data, size_t *len);

struct inflate;

/* Cannot fail; the format is found out with the first read. */
struct inflate *inflate_new(inflate_source source, void *context);
struct inflate *inflate_free(struct inflate *inflate);
static inline void inflate_freep(struct inflate **inflate) {
        *inflate = inflate_free(*inflate);
}
#define _cleanup_inflate_ _cleanup_(inflate_freep)

/* The next decompressed bytes, valid until the next call; *len 0 at the end of the stream. Checksums in the stream are
 * verified. ERROR_BAD_REQUEST: damaged or truncated. ERROR_NOT_SUPPORTED: bzip2, xz, a large window. */
struct error *inflate_read(struct inflate *inflate, const uint8_t **data, size_t *len) _must_check_;
/* True if the stream is not compressed (known after the first read). */
bool inflate_is_plain(const struct inflate *inflate);
