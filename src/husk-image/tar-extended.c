/* tar-extended.c - what comes before an entry: pax headers and GNU's long names. */
#include "husk-image/tar-private.h"

#include "base/str.h"

void tar_extended_release(struct extended *x) {
        free(x->path);
        free(x->link);
        free(x->sparse_name);
        free(x->pieces);
        tar_xattrs_free(x->xattrs, x->n_xattrs);
}

/* Numbers in pax records. */
bool tar_parse_decimal(const char *text, size_t len, uint64_t *ret) {
        uint64_t value = 0;

        if (!len || len > 20)
                return false;
        for (size_t i = 0; i < len; i++) {
                if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
                        return false;
        }
        *ret = value;
        return true;
}

/* "[-]seconds[.decimals]" */
static bool parse_time(const char *text, size_t len, struct timespec *ret) {
        bool negative = len && text[0] == '-';
        const char *p = text + negative, *end = text + len;
        const char *dot = memchr(p, '.', end - p);
        uint64_t seconds;
        long nanos = 0, unit = 100000000;

        if (!tar_parse_decimal(p, (dot ? dot : end) - p, &seconds) || seconds > INT64_MAX / 2)
                return false;
        for (const char *d = dot ? dot + 1 : end; d < end; d++, unit /= 10) {
                if (*d < '0' || *d > '9')
                        return false;
                nanos += (*d - '0') * unit; /* digits behind the ninth count nothing */
        }
        *ret = (struct timespec){ .tv_sec = seconds, .tv_nsec = nanos };
        if (negative) {
                ret->tv_sec = -ret->tv_sec - (nanos ? 1 : 0);
                ret->tv_nsec = nanos ? 1000000000L - nanos : 0;
        }
        return true;
}

bool tar_add_piece(struct extended *x, uint64_t offset, uint64_t len) {
        if (x->n_pieces == TAR_SPARSE_MAX)
                return false;
        if (x->n_pieces == x->pieces_cap) {
                x->pieces_cap = x->pieces_cap ? x->pieces_cap * 2 : 16;
                x->pieces = xreallocarray(x->pieces, x->pieces_cap, sizeof(*x->pieces));
        }
        x->pieces[x->n_pieces++] = (struct tar_piece){ offset, len };
        return true;
}

/* "offset,length,offset,length,…" (GNU.sparse.map) */
static bool parse_map(struct extended *x, const char *text, size_t len) {
        const char *p = text, *end = text + len;

        x->n_pieces = 0;
        while (p < end) {
                uint64_t numbers[2];
                for (int i = 0; i < 2; i++) {
                        const char *comma = p < end ? memchr(p, ',', end - p) : NULL;
                        const char *stop = comma ? comma : end;
                        if (p >= end || !tar_parse_decimal(p, stop - p, &numbers[i]))
                                return false;
                        p = comma ? comma + 1 : end;
                }
                if (!tar_add_piece(x, numbers[0], numbers[1]))
                        return false;
        }
        return true;
}

static struct error *take_xattr(struct tar *tar, struct extended *x, const char *name, size_t name_len,
                                const char *value, size_t len) {
        if (!name_len || name_len > 255 || memchr(name, '\0', name_len))
                return tar_malformed(tar, "bad name of an extended attribute");
        if (len > TAR_XATTR_VALUE_MAX || x->n_xattrs == TAR_XATTRS_MAX)
                return tar_malformed(tar, "too many or too large extended attributes");
        x->xattrs = xreallocarray(x->xattrs, x->n_xattrs + 1, sizeof(*x->xattrs));
        x->xattrs[x->n_xattrs++] = (struct tar_xattr){ xstrndup(name, name_len), xmemdup(value, len), len };
        return NULL;
}

static struct error *take_text(struct tar *tar, char **field, const char *value, size_t len) {
        if (memchr(value, '\0', len))
                return tar_malformed(tar, "a name with a NUL byte in it");
        if (len > TAR_PATH_MAX)
                return tar_malformed(tar, "a name longer than 4095 bytes");
        free(*field);
        *field = len ? xstrndup(value, len) : NULL; /* an empty value takes back an earlier one */
        return NULL;
}

static struct error *take_sparse_record(struct tar *tar, struct extended *x, const char *key, const char *value,
                                        size_t len) {
        uint64_t number = 0;

        if (streq(key, "name"))
                return take_text(tar, &x->sparse_name, value, len);
        if (streq(key, "map")) {
                x->has_map = true;
                /* Were a piece begun by "offset" still open, its "numbytes" would be written where the new map has
                 * none. */
                return !x->piece_is_open && parse_map(x, value, len) ? NULL
                                                                     : tar_malformed(tar, "bad map of a sparse file");
        }
        if (!tar_parse_decimal(value, len, &number))
                return tar_malformed(tar, "bad number in the header of a sparse file");
        if (streq(key, "major")) {
                x->sparse_major = number;
        } else if (streq(key, "minor")) {
                x->sparse_minor = number;
        } else if (streq(key, "size") || streq(key, "realsize")) {
                x->has_real_size = true;
                x->real_size = number;
        } else if (streq(key, "numblocks")) {
                x->has_map = true;
        } else if (streq(key, "offset")) {
                if (x->piece_is_open || !tar_add_piece(x, number, 0))
                        return tar_malformed(tar, "bad map of a sparse file");
                x->piece_is_open = x->has_map = true;
        } else if (streq(key, "numbytes")) {
                if (!x->piece_is_open)
                        return tar_malformed(tar, "bad map of a sparse file");
                x->pieces[x->n_pieces - 1].len = number;
                x->piece_is_open = false;
        }
        x->is_sparse_1_0 = x->sparse_major == 1 && x->sparse_minor == 0;
        return NULL;
}

static struct error *take_record(struct tar *tar, struct extended *x, const char *key, size_t key_len,
                                 const char *value, size_t len) {
        static const char xattr[] = "SCHILY.xattr.", sparse[] = "GNU.sparse.";
        char name[32];
        bool fine = true;

        if (key_len > strlen(xattr) && !memcmp(key, xattr, strlen(xattr)))
                return take_xattr(tar, x, key + strlen(xattr), key_len - strlen(xattr), value, len);
        if (key_len >= sizeof(name))
                return NULL; /* somebody's own */
        memcpy(name, key, key_len);
        name[key_len] = '\0';
        if (str_starts_with(name, sparse))
                return take_sparse_record(tar, x, name + strlen(sparse), value, len);
        if (streq(name, "path"))
                return take_text(tar, &x->path, value, len);
        if (streq(name, "linkpath"))
                return take_text(tar, &x->link, value, len);
        if (streq(name, "size"))
                fine = !(x->has_size = len > 0) || (tar_parse_decimal(value, len, &x->size) && x->size <= INT64_MAX);
        else if (streq(name, "uid"))
                fine = !(x->has_uid = len > 0) || tar_parse_decimal(value, len, &x->uid);
        else if (streq(name, "gid"))
                fine = !(x->has_gid = len > 0) || tar_parse_decimal(value, len, &x->gid);
        else if (streq(name, "mtime"))
                fine = !(x->has_mtime = len > 0) || parse_time(value, len, &x->mtime);
        return fine ? NULL : tar_malformed(tar, "bad number in a pax header");
}

/* Records are "length key=value\n", the length counting all of the record. */
static struct error *parse_pax(struct tar *tar, struct extended *x, const char *data, size_t len) {
        const char *p = data, *end = data + len;

        while (p < end) {
                const char *blank = memchr(p, ' ', MIN(end - p, 21));
                uint64_t size;
                if (!blank || !tar_parse_decimal(p, blank - p, &size) || size > (uint64_t)(end - p) ||
                    size < (uint64_t)(blank - p) + 3 || p[size - 1] != '\n')
                        return tar_malformed(tar, "bad record in a pax header");
                const char *key = blank + 1, *stop = p + size - 1;
                const char *equals = memchr(key, '=', stop - key);
                if (!equals || equals == key)
                        return tar_malformed(tar, "bad record in a pax header");
                struct error *err = take_record(tar, x, key, equals - key, equals + 1, stop - equals - 1);
                if (err)
                        return err;
                p += size;
        }
        return x->piece_is_open ? tar_malformed(tar, "bad map of a sparse file") : NULL;
}

/* Data of an extended header, NUL-terminated. */
static struct error *read_extended(struct tar *tar, uint64_t size, char **ret) {
        if (size > TAR_EXTENDED_MAX)
                return tar_malformed(tar, "an extended header larger than 1 MiB");
        _cleanup_free_ char *data = xmalloc(size + 1);
        struct error *err = tar_read_whole(tar, data, size);
        if (!err)
                err = tar_skip(tar, tar_padding(size));
        if (err)
                return err;
        data[size] = '\0';
        *ret = TAKE_PTR(data);
        return NULL;
}

struct error *tar_take_extended(struct tar *tar, struct extended *x, char type, uint64_t size) {
        _cleanup_free_ char *data = NULL;
        struct error *err = read_extended(tar, size, &data);

        if (err)
                return err;
        switch (type) {
        case 'x':
        case 'X':
                return parse_pax(tar, x, data, size);
        case 'L':
                return take_text(tar, &x->path, data, strlen(data));
        case 'K':
                return take_text(tar, &x->link, data, strlen(data));
        }
        return NULL; /* 'g': defaults for all entries; nobody writes any that matter into an image */
}
