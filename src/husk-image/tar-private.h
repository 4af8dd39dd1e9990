/* tar-private.h - what the files of tar.h share: tar.c, tar-extended.c, tar-sparse.c. */
#pragma once

#include "husk-image/tar.h"

#define BLOCK 512

/* The header block, as POSIX.1-1988 lays it out; GNU's sparse fields lie in the prefix. */
struct header {
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[8];
        char user[32], group[32], major[8], minor[8];
        char prefix[155], unused[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");
#define FIELD(f) (f), sizeof(f)

/* What extended headers said about the entry that follows them. */
struct extended {
        char *path, *link;
        bool has_size, has_uid, has_gid, has_mtime;
        uint64_t size, uid, gid;
        struct timespec mtime;
        struct tar_xattr *xattrs;
        size_t n_xattrs;
        /* GNU's sparse files in pax headers */
        char *sparse_name;
        bool has_real_size, is_sparse_1_0, has_map;
        unsigned sparse_major, sparse_minor;
        uint64_t real_size;
        struct tar_piece *pieces;
        size_t n_pieces, pieces_cap;
        bool piece_is_open; /* an offset was read and its length is still to come (0.0) */
};

/* ---- tar.c ---- */

struct error *tar_malformed(const struct tar *tar, const char *what) _must_check_;
struct error *tar_truncated(const struct tar *tar) _must_check_;
void tar_xattrs_free(struct tar_xattr *xattrs, size_t n);
/* Exactly `n` bytes of the archive, or an error. */
struct error *tar_read_whole(struct tar *tar, void *buf, size_t n) _must_check_;
struct error *tar_skip(struct tar *tar, uint64_t n) _must_check_;
/* A number of a header, not above `max`; false if it is none. */
bool tar_parse_unsigned(const char *field, size_t n, uint64_t max, uint64_t *ret);
/* Bytes from the end of `size` bytes of data to the next block. */
static inline uint64_t tar_padding(uint64_t size) {
        return (BLOCK - size % BLOCK) % BLOCK;
}

/* ---- tar-extended.c ---- */

void tar_extended_release(struct extended *x);
/* Digits only, no sign; false if they are none or too many. */
bool tar_parse_decimal(const char *text, size_t len, uint64_t *ret);
/* False if the map has too many pieces. */
bool tar_add_piece(struct extended *x, uint64_t offset, uint64_t len);
/* Reads the header's `size` bytes and takes down what they say about the entry that follows. */
struct error *tar_take_extended(struct tar *tar, struct extended *x, char type, uint64_t size) _must_check_;

/* ---- tar-sparse.c ---- */

/* For a file: reads its map, if it has one, and checks that it goes upwards, stays in the file and fits the data. */
struct error *tar_begin_sparse(struct tar *tar, const struct header *h, struct extended *x) _must_check_;
