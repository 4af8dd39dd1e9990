/* tar.c - entries and their data, one after the other. */
#include "husk-image/tar-private.h"

#include "base/str.h"

struct error *tar_malformed(const struct tar *tar, const char *what) {
        return error_new(ERROR_BAD_REQUEST, "malformed tar archive near byte %llu: %s",
                         (unsigned long long)tar->position, what);
}

struct error *tar_truncated(const struct tar *tar) {
        return error_new(ERROR_BAD_REQUEST, "truncated tar archive: it ends at byte %llu in the middle of an entry",
                         (unsigned long long)tar->position);
}

void tar_xattrs_free(struct tar_xattr *xattrs, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(xattrs[i].name);
                free(xattrs[i].value);
        }
        free(xattrs);
}

static void entry_reset(struct tar *tar) {
        free(tar->entry.path);
        free(tar->entry.link);
        tar_xattrs_free(tar->entry.xattrs, tar->entry.n_xattrs);
        tar->entry = (struct tar_entry){ 0 };
        free(tar->pieces);
        tar->pieces = NULL;
        tar->n_pieces = tar->piece = 0;
        tar->is_sparse = false;
        tar->has_entry = false;
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

struct error *tar_read_whole(struct tar *tar, void *buf, size_t n) {
        size_t got;
        struct error *err = read_exactly(tar, buf, n, &got);

        if (!err && got < n)
                err = tar_truncated(tar);
        return err;
}

struct error *tar_skip(struct tar *tar, uint64_t n) {
        while (n) {
                struct error *err = fill(tar);
                if (err)
                        return err;
                if (!tar->len)
                        return tar_truncated(tar);
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

bool tar_parse_unsigned(const char *field, size_t n, uint64_t max, uint64_t *ret) {
        int64_t value;

        if (!parse_number(field, n, &value) || value < 0 || (uint64_t)value > max)
                return false;
        *ret = value;
        return true;
}

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
        if (!tar_parse_unsigned(FIELD(h->mode), UINT32_MAX, &mode) ||
            !tar_parse_unsigned(FIELD(h->uid), INT64_MAX, &uid) ||
            !tar_parse_unsigned(FIELD(h->gid), INT64_MAX, &gid) ||
            !tar_parse_unsigned(FIELD(h->size), INT64_MAX, &size) || !parse_number(FIELD(h->mtime), &mtime))
                return tar_malformed(tar, "bad number in a header");
        if ((entry->type == TAR_CHAR_DEVICE || entry->type == TAR_BLOCK_DEVICE) &&
            (!tar_parse_unsigned(FIELD(h->major), 0xfff, &major) ||
             !tar_parse_unsigned(FIELD(h->minor), 0xfffff, &minor)))
                return tar_malformed(tar, "bad device number");
        uid = x->has_uid ? x->uid : uid;
        gid = x->has_gid ? x->gid : gid;
        if (uid >= UINT32_MAX || gid >= UINT32_MAX) /* (uid_t)-1 means "leave it" to the kernel */
                return tar_malformed(tar, "owner out of range");
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
        tar->padding = tar_padding(tar->left);
        entry->size = tar->left;
        return NULL;
}

static struct error *next_header(struct tar *tar, struct header *h, bool *ret_end) {
        size_t got;
        struct error *err = read_exactly(tar, h, BLOCK, &got);

        *ret_end = false;
        if (err)
                return err;
        if (got && got < BLOCK)
                return tar_truncated(tar);
        if (!got || is_zero(h)) { /* some writers leave the zero blocks out */
                *ret_end = true;
                return NULL;
        }
        return checksum_is_right(h) ? NULL : tar_malformed(tar, "wrong checksum of a header");
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
                        return tar_truncated(tar);
                if (end) {
                        tar->ended = true;
                        return NULL;
                }
                if (!h.type || !strchr("xXgLKV", h.type))
                        break;
                if (extensions > 32)
                        return tar_malformed(tar, "too many extended headers in a row");
                if (!tar_parse_unsigned(FIELD(h.size), INT64_MAX, &size))
                        return tar_malformed(tar, "bad number in a header");
                err = h.type == 'V' ? tar_skip(tar, size + tar_padding(size)) : tar_take_extended(tar, x, h.type, size);
                if (err)
                        return err;
                if (h.type == 'g' || h.type == 'V') /* stands alone */
                        extensions = -1;
        }
        err = fill_entry(tar, &h, x);
        if (!err && tar->entry.type == TAR_FILE)
                err = tar_begin_sparse(tar, &h, x);
        if (err)
                return err;
        tar->offset = 0;
        tar->has_entry = true;
        *ret = &tar->entry;
        return NULL;
}

struct error *tar_next(struct tar *tar, struct tar_entry **ret) {
        _cleanup_(tar_extended_release) struct extended x = { 0 };

        *ret = NULL;
        if (tar->has_entry) {
                struct error *err = tar_skip(tar, tar->left);
                if (!err)
                        err = tar_skip(tar, tar->padding);
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
                return tar_truncated(tar);
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
