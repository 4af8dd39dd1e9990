#include "husk-image/tar.h"

#include "base/str.h"

#define BLOCK 512

/* The header block, as POSIX.1-1988 lays it out; GNU's sparse fields lie in the prefix. */
struct header {
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[8];
        char user[32], group[32], major[8], minor[8];
        char prefix[155], unused[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

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

static struct error *malformed(const struct tar *tar, const char *what) {
        return error_new(ERROR_BAD_REQUEST, "malformed tar archive near byte %llu: %s",
                         (unsigned long long)tar->position, what);
}

static struct error *truncated(const struct tar *tar) {
        return error_new(ERROR_BAD_REQUEST, "truncated tar archive: it ends at byte %llu in the middle of an entry",
                         (unsigned long long)tar->position);
}

static void xattrs_free(struct tar_xattr *xattrs, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(xattrs[i].name);
                free(xattrs[i].value);
        }
        free(xattrs);
}

static void entry_reset(struct tar *tar) {
        free(tar->entry.path);
        free(tar->entry.link);
        xattrs_free(tar->entry.xattrs, tar->entry.n_xattrs);
        tar->entry = (struct tar_entry){ 0 };
        free(tar->pieces);
        tar->pieces = NULL;
        tar->n_pieces = tar->piece = 0;
        tar->is_sparse = false;
        tar->has_entry = false;
}

static void extended_release(struct extended *x) {
        free(x->path);
        free(x->link);
        free(x->sparse_name);
        free(x->pieces);
        xattrs_free(x->xattrs, x->n_xattrs);
}

void tar_init(struct tar *tar, tar_source source, void *context) {
        *tar = (struct tar){ .source = source, .context = context };
}

void tar_release(struct tar *tar) {
        entry_reset(tar);
}

/* Makes sure that at least one unused byte is at hand, unless the source has ended. */
static struct error *fill(struct tar *tar) {
        return tar->len ? NULL : tar->source(tar->context, &tar->data, &tar->len);
}

static void take(struct tar *tar, size_t n) {
        tar->data += n;
        tar->len -= n;
        tar->position += n;
}

/* Copies exactly `n` bytes; *ret_got tells how many there were before the source ended. */
static struct error *read_exactly(struct tar *tar, void *buf, size_t n, size_t *ret_got) {
        size_t got = 0;

        while (got < n) {
                struct error *err = fill(tar);
                if (err)
                        return err;
                if (!tar->len)
                        break;
                size_t part = MIN(n - got, tar->len);
                memcpy((char *)buf + got, tar->data, part);
                take(tar, part);
                got += part;
        }
        *ret_got = got;
        return NULL;
}

static struct error *read_whole(struct tar *tar, void *buf, size_t n) {
        size_t got;
        struct error *err = read_exactly(tar, buf, n, &got);

        if (!err && got < n)
                err = truncated(tar);
        return err;
}

static struct error *skip(struct tar *tar, uint64_t n) {
        while (n) {
                struct error *err = fill(tar);
                if (err)
                        return err;
                if (!tar->len)
                        return truncated(tar);
                size_t part = MIN(n, (uint64_t)tar->len);
                take(tar, part);
                n -= part;
        }
        return NULL;
}

/* Octal digits ended by a blank or a NUL, or (GNU) a big-endian number marked by the top bit. An empty field is 0. */
static bool parse_number(const char *field, size_t n, int64_t *ret) {
        const unsigned char *p = (const unsigned char *)field;

        if (p[0] & 0x80) {
                bool negative = p[0] & 0x40;
                uint64_t value = negative ? ~0ULL : 0;
                for (size_t i = 0; i < n; i++) {
                        unsigned char byte = i ? p[i] : negative ? p[i] : p[i] & 0x7f;
                        /* What is shifted out must be sign only. */
                        if ((value >> 56) != (negative ? 0xff : 0))
                                return false;
                        value = value << 8 | byte;
                }
                if ((int64_t)value < 0 && !negative)
                        return false;
                *ret = (int64_t)value;
                return true;
        }
        size_t i = 0;
        uint64_t value = 0;
        while (i < n && p[i] == ' ')
                i++;
        for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) {
                if (value >> 60)
                        return false;
                value = value << 3 | (p[i] - '0');
        }
        for (; i < n; i++)
                if (p[i] != ' ' && p[i] != '\0')
                        return false;
        *ret = (int64_t)value;
        return true;
}

static bool parse_unsigned(const char *field, size_t n, uint64_t max, uint64_t *ret) {
        int64_t value;

        if (!parse_number(field, n, &value) || value < 0 || (uint64_t)value > max)
                return false;
        *ret = value;
        return true;
}
#define FIELD(f) (f), sizeof(f)

static bool checksum_is_right(const struct header *h) {
        const unsigned char *p = (const unsigned char *)h;
        int64_t wanted, sum = 0, signed_sum = 0;

        if (!parse_number(FIELD(h->checksum), &wanted))
                return false;
        for (size_t i = 0; i < BLOCK; i++) {
                bool is_checksum = i >= offsetof(struct header, checksum) && i < offsetof(struct header, type);
                sum += is_checksum ? ' ' : p[i];
                signed_sum += is_checksum ? ' ' : (signed char)p[i]; /* as some old programs summed */
        }
        return wanted == sum || wanted == signed_sum;
}

static bool is_zero(const void *block) {
        static const char zero[BLOCK];
        return memcmp(block, zero, BLOCK) == 0;
}

/* Numbers in pax records. */
static bool parse_decimal(const char *text, size_t len, uint64_t *ret) {
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

        if (!parse_decimal(p, (dot ? dot : end) - p, &seconds) || seconds > INT64_MAX / 2)
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

static bool add_piece(struct extended *x, uint64_t offset, uint64_t len) {
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
                        if (p >= end || !parse_decimal(p, stop - p, &numbers[i]))
                                return false;
                        p = comma ? comma + 1 : end;
                }
                if (!add_piece(x, numbers[0], numbers[1]))
                        return false;
        }
        return true;
}

static struct error *take_xattr(struct tar *tar, struct extended *x, const char *name, size_t name_len,
                                const char *value, size_t len) {
        if (!name_len || name_len > 255 || memchr(name, '\0', name_len))
                return malformed(tar, "bad name of an extended attribute");
        if (len > TAR_XATTR_VALUE_MAX || x->n_xattrs == TAR_XATTRS_MAX)
                return malformed(tar, "too many or too large extended attributes");
        x->xattrs = xreallocarray(x->xattrs, x->n_xattrs + 1, sizeof(*x->xattrs));
        x->xattrs[x->n_xattrs++] = (struct tar_xattr){ xstrndup(name, name_len), xmemdup(value, len), len };
        return NULL;
}

static struct error *take_text(struct tar *tar, char **field, const char *value, size_t len) {
        if (memchr(value, '\0', len))
                return malformed(tar, "a name with a NUL byte in it");
        if (len > TAR_PATH_MAX)
                return malformed(tar, "a name longer than 4095 bytes");
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
                return parse_map(x, value, len) ? NULL : malformed(tar, "bad map of a sparse file");
        }
        if (!parse_decimal(value, len, &number))
                return malformed(tar, "bad number in the header of a sparse file");
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
                if (x->piece_is_open || !add_piece(x, number, 0))
                        return malformed(tar, "bad map of a sparse file");
                x->piece_is_open = x->has_map = true;
        } else if (streq(key, "numbytes")) {
                if (!x->piece_is_open)
                        return malformed(tar, "bad map of a sparse file");
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
                fine = !(x->has_size = len > 0) || (parse_decimal(value, len, &x->size) && x->size <= INT64_MAX);
        else if (streq(name, "uid"))
                fine = !(x->has_uid = len > 0) || parse_decimal(value, len, &x->uid);
        else if (streq(name, "gid"))
                fine = !(x->has_gid = len > 0) || parse_decimal(value, len, &x->gid);
        else if (streq(name, "mtime"))
                fine = !(x->has_mtime = len > 0) || parse_time(value, len, &x->mtime);
        return fine ? NULL : malformed(tar, "bad number in a pax header");
}

/* Records are "length key=value\n", the length counting all of the record. */
static struct error *parse_pax(struct tar *tar, struct extended *x, const char *data, size_t len) {
        const char *p = data, *end = data + len;

        while (p < end) {
                const char *blank = memchr(p, ' ', MIN(end - p, 21));
                uint64_t size;
                if (!blank || !parse_decimal(p, blank - p, &size) || size > (uint64_t)(end - p) ||
                    size < (uint64_t)(blank - p) + 3 || p[size - 1] != '\n')
                        return malformed(tar, "bad record in a pax header");
                const char *key = blank + 1, *stop = p + size - 1;
                const char *equals = memchr(key, '=', stop - key);
                if (!equals || equals == key)
                        return malformed(tar, "bad record in a pax header");
                struct error *err = take_record(tar, x, key, equals - key, equals + 1, stop - equals - 1);
                if (err)
                        return err;
                p += size;
        }
        return x->piece_is_open ? malformed(tar, "bad map of a sparse file") : NULL;
}

static uint64_t padding_of(uint64_t size) {
        return (BLOCK - size % BLOCK) % BLOCK;
}

/* Data of an extended header, NUL-terminated. */
static struct error *read_extended(struct tar *tar, uint64_t size, char **ret) {
        if (size > TAR_EXTENDED_MAX)
                return malformed(tar, "an extended header larger than 1 MiB");
        _cleanup_free_ char *data = xmalloc(size + 1);
        struct error *err = read_whole(tar, data, size);
        if (!err)
                err = skip(tar, padding_of(size));
        if (err)
                return err;
        data[size] = '\0';
        *ret = TAKE_PTR(data);
        return NULL;
}

static struct error *take_extended(struct tar *tar, struct extended *x, char type, uint64_t size) {
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

/* Old GNU sparse files: the map in the header and in the blocks behind it. */
static struct error *read_gnu_map(struct tar *tar, const struct header *h, struct extended *x) {
        char block[BLOCK];
        const char *base = (const char *)h;
        bool more = base[GNU_SPARSE_EXTENDED];
        const struct gnu_piece *piece = (const struct gnu_piece *)(base + GNU_SPARSE_OFFSET);
        size_t n = GNU_SPARSE_IN_HEADER;

        if (!parse_unsigned(base + GNU_SPARSE_REAL_SIZE, 12, INT64_MAX, &x->real_size))
                return malformed(tar, "bad size of a sparse file");
        x->has_real_size = x->has_map = true;
        x->n_pieces = 0;
        for (;;) {
                for (size_t i = 0; i < n; i++) {
                        uint64_t offset, len;
                        if (!piece[i].offset[0] && !piece[i].len[0])
                                break;
                        if (!parse_unsigned(FIELD(piece[i].offset), INT64_MAX, &offset) ||
                            !parse_unsigned(FIELD(piece[i].len), INT64_MAX, &len) || !add_piece(x, offset, len))
                                return malformed(tar, "bad map of a sparse file");
                }
                if (!more)
                        return NULL;
                struct error *err = read_whole(tar, block, BLOCK);
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
                        return malformed(tar, "bad map of a sparse file");
                struct error *err = read_whole(tar, &line[n], 1);
                if (err)
                        return err;
                ++*used;
                if (line[n] == '\n')
                        return parse_decimal(line, n, ret) ? NULL : malformed(tar, "bad map of a sparse file");
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
                if (!err && !add_piece(x, offset, len))
                        err = malformed(tar, "a sparse file of too many pieces");
        }
        if (err)
                return err;
        uint64_t padding = padding_of(used);
        if (padding > *size - used)
                return malformed(tar, "bad map of a sparse file");
        *size -= used + padding;
        return skip(tar, padding);
}

/* The map must go upwards, stay in the file and account for all of the data. */
static struct error *check_map(struct tar *tar, const struct extended *x, uint64_t size) {
        uint64_t position = 0, sum = 0;

        for (size_t i = 0; i < x->n_pieces; i++) {
                uint64_t end;
                if (__builtin_add_overflow(x->pieces[i].offset, x->pieces[i].len, &end) || end > x->real_size ||
                    x->pieces[i].offset < position)
                        return malformed(tar, "bad map of a sparse file");
                position = end;
                sum += x->pieces[i].len;
        }
        return sum == size ? NULL : malformed(tar, "the map of a sparse file does not fit its data");
}

static char *copy_field(const char *field, size_t n) {
        return xstrndup(field, strnlen(field, n));
}

static char *header_path(const struct header *h) {
        _cleanup_free_ char *name = copy_field(FIELD(h->name));
        bool is_ustar = memcmp(h->magic, "ustar\0", 6) == 0;

        if (!is_ustar || !h->prefix[0])
                return TAKE_PTR(name);
        /* star marks its headers at the end and keeps times in the last bytes of the prefix */
        size_t n = memcmp(h->unused + 8, "tar\0", 4) == 0 ? 131 : sizeof(h->prefix);
        _cleanup_free_ char *prefix = copy_field(h->prefix, n);
        return xasprintf("%s/%s", prefix, name);
}

static bool type_of(const struct header *h, const char *path, enum tar_type *ret) {
        switch (h->type) {
        case '\0':
        case '0':
        case '7':
        case 'S':
                *ret = str_ends_with(path, "/") && h->type != 'S' ? TAR_FOLDER
                                                                  : TAR_FILE; /* before POSIX: folders by name */
                return true;
        case '1':
                *ret = TAR_HARD_LINK;
                return true;
        case '2':
                *ret = TAR_SYMLINK;
                return true;
        case '3':
                *ret = TAR_CHAR_DEVICE;
                return true;
        case '4':
                *ret = TAR_BLOCK_DEVICE;
                return true;
        case '5':
        case 'D':
                *ret = TAR_FOLDER;
                return true;
        case '6':
                *ret = TAR_FIFO;
                return true;
        }
        return false;
}

/* Makes the entry from its header and what the extended headers said. */
static struct error *fill_entry(struct tar *tar, const struct header *h, struct extended *x) {
        struct tar_entry *entry = &tar->entry;
        uint64_t uid, gid, mode, major = 0, minor = 0, size;
        int64_t mtime = 0;

        entry->path = x->sparse_name ? TAKE_PTR(x->sparse_name) : x->path ? TAKE_PTR(x->path) : header_path(h);
        if (!type_of(h, entry->path, &entry->type))
                return error_new(ERROR_NOT_SUPPORTED, "%.200s: entries of type '%c' in a tar archive", entry->path,
                                 h->type > ' ' && h->type < 127 ? h->type : '?');
        entry->link = x->link ? TAKE_PTR(x->link) : copy_field(FIELD(h->link));
        if (!parse_unsigned(FIELD(h->mode), UINT32_MAX, &mode) || !parse_unsigned(FIELD(h->uid), INT64_MAX, &uid) ||
            !parse_unsigned(FIELD(h->gid), INT64_MAX, &gid) || !parse_unsigned(FIELD(h->size), INT64_MAX, &size) ||
            !parse_number(FIELD(h->mtime), &mtime))
                return malformed(tar, "bad number in a header");
        if ((entry->type == TAR_CHAR_DEVICE || entry->type == TAR_BLOCK_DEVICE) &&
            (!parse_unsigned(FIELD(h->major), 0xfff, &major) || !parse_unsigned(FIELD(h->minor), 0xfffff, &minor)))
                return malformed(tar, "bad device number");
        uid = x->has_uid ? x->uid : uid;
        gid = x->has_gid ? x->gid : gid;
        if (uid >= UINT32_MAX || gid >= UINT32_MAX) /* (uid_t)-1 means "leave it" to the kernel */
                return malformed(tar, "owner out of range");
        entry->mode = mode & 07777;
        entry->uid = uid;
        entry->gid = gid;
        entry->major = major;
        entry->minor = minor;
        entry->mtime = x->has_mtime ? x->mtime : (struct timespec){ .tv_sec = mtime };
        entry->xattrs = TAKE_PTR(x->xattrs);
        entry->n_xattrs = x->n_xattrs;
        x->n_xattrs = 0;

        size = x->has_size ? x->size : size;
        bool has_data = entry->type == TAR_FILE || h->type == 'D';
        tar->left = has_data ? size : 0; /* whatever the header of a link or folder claims */
        tar->padding = padding_of(tar->left);
        entry->size = tar->left;
        return NULL;
}

static struct error *begin_sparse(struct tar *tar, const struct header *h, struct extended *x) {
        struct error *err = NULL;

        if (h->type == 'S')
                err = read_gnu_map(tar, h, x);
        else if (x->is_sparse_1_0)
                err = read_pax_map(tar, x, &tar->left);
        else if (!x->has_map)
                return NULL;
        if (!err && !x->has_real_size)
                err = malformed(tar, "a sparse file without its size");
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

static struct error *next_header(struct tar *tar, struct header *h, bool *ret_end) {
        size_t got;
        struct error *err = read_exactly(tar, h, BLOCK, &got);

        *ret_end = false;
        if (err)
                return err;
        if (got && got < BLOCK)
                return truncated(tar);
        if (!got || is_zero(h)) { /* some writers leave the zero blocks out */
                *ret_end = true;
                return NULL;
        }
        return checksum_is_right(h) ? NULL : malformed(tar, "wrong checksum of a header");
}

static struct error *read_entry(struct tar *tar, struct extended *x, struct tar_entry **ret) {
        struct header h;
        struct error *err;
        uint64_t size;
        bool end;

        for (int extensions = 0;; extensions++) {
                err = next_header(tar, &h, &end);
                if (err)
                        return err;
                if (end && extensions)
                        return truncated(tar);
                if (end) {
                        tar->ended = true;
                        return NULL;
                }
                if (!h.type || !strchr("xXgLKV", h.type))
                        break;
                if (extensions > 32)
                        return malformed(tar, "too many extended headers in a row");
                if (!parse_unsigned(FIELD(h.size), INT64_MAX, &size))
                        return malformed(tar, "bad number in a header");
                err = h.type == 'V' ? skip(tar, size + padding_of(size)) : take_extended(tar, x, h.type, size);
                if (err)
                        return err;
                if (h.type == 'g' || h.type == 'V') /* stands alone */
                        extensions = -1;
        }
        err = fill_entry(tar, &h, x);
        if (!err && tar->entry.type == TAR_FILE)
                err = begin_sparse(tar, &h, x);
        if (err)
                return err;
        tar->offset = 0;
        tar->has_entry = true;
        *ret = &tar->entry;
        return NULL;
}

struct error *tar_next(struct tar *tar, struct tar_entry **ret) {
        _cleanup_(extended_release) struct extended x = { 0 };

        *ret = NULL;
        if (tar->has_entry) {
                struct error *err = skip(tar, tar->left);
                if (!err)
                        err = skip(tar, tar->padding);
                if (err)
                        return err;
        }
        entry_reset(tar);
        return tar->ended ? NULL : read_entry(tar, &x, ret);
}

struct error *tar_data(struct tar *tar, struct tar_chunk *ret) {
        uint64_t limit = tar->left;
        struct error *err;

        *ret = (struct tar_chunk){ 0 };
        if (!tar->has_entry || !tar->left)
                return NULL;
        err = fill(tar);
        if (err)
                return err;
        if (!tar->len)
                return truncated(tar);
        if (tar->is_sparse) {
                while (!tar->pieces[tar->piece].len) /* check_map() has seen to it that there is another */
                        tar->piece++;
                struct tar_piece *piece = &tar->pieces[tar->piece];
                tar->offset = piece->offset;
                limit = piece->len;
        }
        size_t n = MIN(limit, (uint64_t)tar->len);
        *ret = (struct tar_chunk){ tar->data, n, tar->offset };
        take(tar, n);
        tar->left -= n;
        tar->offset += n;
        if (tar->is_sparse) {
                tar->pieces[tar->piece].offset += n;
                tar->pieces[tar->piece].len -= n;
        }
        return NULL;
}

struct error *tar_drain(struct tar *tar) {
        for (;;) {
                struct error *err = fill(tar);
                if (err || !tar->len)
                        return err;
                take(tar, tar->len);
        }
}
