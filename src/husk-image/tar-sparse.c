/* tar-sparse.c - where the data of a sparse file belongs. */
#include "husk-image/tar-private.h"

struct gnu_piece {
        char offset[12], len[12];
};
/* Where old GNU headers keep the map of a sparse file: in the first block four pieces at byte 386 and the real size,
 * then 21 in each block that follows as long as its flag says so. */
#define GNU_SPARSE_OFFSET 386
#define GNU_SPARSE_IN_HEADER 4
#define GNU_SPARSE_EXTENDED 482
#define GNU_SPARSE_REAL_SIZE 483
#define GNU_SPARSE_IN_BLOCK 21
#define GNU_SPARSE_BLOCK_EXTENDED 504

/* Old GNU sparse files: the map in the header and in the blocks behind it. */
static struct error *read_gnu_map(struct tar *tar, const struct header *h, struct extended *x) {
        char block[BLOCK];
        const char *base = (const char *)h;
        bool more = base[GNU_SPARSE_EXTENDED];
        const struct gnu_piece *piece = (const struct gnu_piece *)(base + GNU_SPARSE_OFFSET);
        size_t n = GNU_SPARSE_IN_HEADER;

        if (!tar_parse_unsigned(base + GNU_SPARSE_REAL_SIZE, 12, INT64_MAX, &x->real_size))
                return tar_malformed(tar, "bad size of a sparse file");
        x->has_real_size = x->has_map = true;
        x->n_pieces = 0;
        for (;;) {
                for (size_t i = 0; i < n; i++) {
                        uint64_t offset, len;
                        if (!piece[i].offset[0] && !piece[i].len[0])
                                break;
                        if (!tar_parse_unsigned(FIELD(piece[i].offset), INT64_MAX, &offset) ||
                            !tar_parse_unsigned(FIELD(piece[i].len), INT64_MAX, &len) || !tar_add_piece(x, offset, len))
                                return tar_malformed(tar, "bad map of a sparse file");
                }
                if (!more)
                        return NULL;
                struct error *err = tar_read_whole(tar, block, BLOCK);
                if (err)
                        return err;
                piece = (const struct gnu_piece *)block;
                n = GNU_SPARSE_IN_BLOCK;
                more = block[GNU_SPARSE_BLOCK_EXTENDED];
        }
}

/* One decimal line of the map that pax 1.0 puts before the data. */
static struct error *read_map_line(struct tar *tar, uint64_t *used, uint64_t limit, uint64_t *ret) {
        char line[24];
        size_t n = 0;

        for (;;) {
                if (*used == limit || n == sizeof(line))
                        return tar_malformed(tar, "bad map of a sparse file");
                struct error *err = tar_read_whole(tar, &line[n], 1);
                if (err)
                        return err;
                ++*used;
                if (line[n] == '\n')
                        return tar_parse_decimal(line, n, ret) ? NULL : tar_malformed(tar, "bad map of a sparse file");
                n++;
        }
}

static struct error *read_pax_map(struct tar *tar, struct extended *x, uint64_t *size) {
        uint64_t used = 0, count = 0, offset = 0, len = 0;
        struct error *err = read_map_line(tar, &used, *size, &count);

        x->n_pieces = 0;
        for (uint64_t i = 0; !err && i < count; i++) {
                err = read_map_line(tar, &used, *size, &offset);
                if (!err)
                        err = read_map_line(tar, &used, *size, &len);
                if (!err && !tar_add_piece(x, offset, len))
                        err = tar_malformed(tar, "a sparse file of too many pieces");
        }
        if (err)
                return err;
        uint64_t padding = tar_padding(used);
        if (padding > *size - used)
                return tar_malformed(tar, "bad map of a sparse file");
        *size -= used + padding;
        return tar_skip(tar, padding);
}

/* The map must go upwards, stay in the file and account for all of the data. */
static struct error *check_map(struct tar *tar, const struct extended *x, uint64_t size) {
        uint64_t position = 0, sum = 0;

        for (size_t i = 0; i < x->n_pieces; i++) {
                uint64_t end;
                if (__builtin_add_overflow(x->pieces[i].offset, x->pieces[i].len, &end) || end > x->real_size ||
                    x->pieces[i].offset < position)
                        return tar_malformed(tar, "bad map of a sparse file");
                position = end;
                sum += x->pieces[i].len;
        }
        return sum == size ? NULL : tar_malformed(tar, "the map of a sparse file does not fit its data");
}

struct error *tar_begin_sparse(struct tar *tar, const struct header *h, struct extended *x) {
        struct error *err = NULL;

        if (h->type == 'S')
                err = read_gnu_map(tar, h, x);
        else if (x->is_sparse_1_0)
                err = read_pax_map(tar, x, &tar->left);
        else if (!x->has_map)
                return NULL;
        if (!err && !x->has_real_size)
                err = tar_malformed(tar, "a sparse file without its size");
        if (!err)
                err = check_map(tar, x, tar->left);
        if (err)
                return err;
        tar->is_sparse = true;
        tar->pieces = TAKE_PTR(x->pieces);
        tar->n_pieces = x->n_pieces;
        tar->entry.size = x->real_size;
        return NULL;
}
