/* tar.h - reads a tar archive as a stream, bounded in every direction.
 *
 * Understands what image layers and image archives are written in: POSIX ustar and pax (long names, large sizes, times
 * with decimals, SCHILY.xattr.*), GNU tar (long names, base-256 numbers) and sparse files in all four forms (old GNU,
 * pax 0.0, 0.1 and 1.0). Names are bytes. Nothing is written anywhere here, and no size that an archive claims is
 * allocated before it was compared with a limit.
 *
 *     tar_init(&tar, read_more, context);
 *     while (!(err = tar_next(&tar, &entry)) && entry)
 *             while (!(err = tar_data(&tar, &chunk)) && chunk.len)
 *                     pwrite(fd, chunk.data, chunk.len, chunk.offset);
 *     tar_release(&tar);
 *
 * Errors are ERROR_BAD_REQUEST (malformed, truncated), ERROR_NOT_SUPPORTED, or the source's own. */
#pragma once

#include <time.h>

#include "base/error.h"

#define TAR_PATH_MAX 4095
#define TAR_EXTENDED_MAX (1 << 20) /* bytes of one pax header or GNU long name */
#define TAR_XATTRS_MAX 128
#define TAR_XATTR_VALUE_MAX 65536 /* the kernel's own limit */
#define TAR_SPARSE_MAX (1 << 18)  /* pieces of one sparse file */

/* Gives the next bytes of the archive: as many as it has at hand, valid until the next call; *len 0 at its end. */
typedef struct error *(*tar_source)(void *context, const uint8_t **data, size_t *len);

enum tar_type { TAR_FILE, TAR_HARD_LINK, TAR_SYMLINK, TAR_CHAR_DEVICE, TAR_BLOCK_DEVICE, TAR_FOLDER, TAR_FIFO };

struct tar_xattr {
        char *name;
        void *value;
        size_t len;
};

struct tar_entry {
        enum tar_type type;
        char *path;  /* as written, not cleaned */
        char *link;  /* target of a hard or symbolic link */
        mode_t mode; /* permission bits, setuid, setgid, sticky */
        uint32_t uid, gid;
        uint32_t major, minor;
        struct timespec mtime;
        uint64_t size; /* of the file, holes included */
        struct tar_xattr *xattrs;
        size_t n_xattrs;
};

struct tar_piece {
        uint64_t offset, len;
};

struct tar_chunk {
        const uint8_t *data;
        size_t len;      /* 0: the file's data is over */
        uint64_t offset; /* in the file */
};

struct tar {
        tar_source source;
        void *context;
        const uint8_t *data; /* bytes from the source not yet used */
        size_t len;
        uint64_t position; /* bytes taken from the archive, for messages */
        bool ended;        /* the two zero blocks were seen */
        struct tar_entry entry;
        bool has_entry;
        uint64_t left;            /* data bytes of the entry still in the archive */
        uint64_t padding;         /* bytes behind them up to the next block */
        uint64_t offset;          /* in the file, of the next byte */
        struct tar_piece *pieces; /* map of a sparse file */
        size_t n_pieces, piece;
        bool is_sparse;
};

void tar_init(struct tar *tar, tar_source source, void *context);
void tar_release(struct tar *tar);
/* The next entry (owned by `tar`, valid until the next call), NULL at the end of the archive. What was left of the last
 * one's data is skipped. */
struct error *tar_next(struct tar *tar, struct tar_entry **ret) _must_check_;
/* The next piece of the current entry's data. Holes of sparse files are not delivered: offsets jump. */
struct error *tar_data(struct tar *tar, struct tar_chunk *ret) _must_check_;
/* Reads what is left behind the end of the archive (padding), so that all of the source has passed by. */
struct error *tar_drain(struct tar *tar) _must_check_;
