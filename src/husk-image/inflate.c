#include "husk-image/inflate.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Small enough to stay in the second-level cache until it has been hashed and written. */
#define OUTPUT_SIZE (256 << 10)
#define ZSTD_WINDOW_LOG_MAX 23
#define MAGIC_MAX 6
#define LOOKAHEAD_MAX 8 /* bytes that ISA-L may hold in its bit buffer */

enum format { FORMAT_UNKNOWN, FORMAT_PLAIN, FORMAT_GZIP, FORMAT_ZSTD };

struct inflate {
        inflate_source source;
        void *context;
        enum format format;
        const uint8_t *in; /* compressed bytes not yet used */
        size_t in_len;
        uint8_t head[MAGIC_MAX + LOOKAHEAD_MAX]; /* bytes that come before `in`: the first ones, looked at for the
                                                    format, and those that ISA-L read too far */
        size_t head_len;
        uint8_t tail[LOOKAHEAD_MAX]; /* the last bytes that were consumed */
        bool at_end;                 /* of the source */
        bool in_member;              /* in the middle of a gzip member or zstd frame */
        struct inflate_state *gzip;
        ZSTD_DStream *zstd;
        uint8_t *out;
};

struct inflate *inflate_new(inflate_source source, void *context) {
        struct inflate *inflate = new0(struct inflate);

        inflate->source = source;
        inflate->context = context;
        return inflate;
}

struct inflate *inflate_free(struct inflate *inflate) {
        if (!inflate)
                return NULL;
        free(inflate->gzip);
        ZSTD_freeDStream(inflate->zstd);
        free(inflate->out);
        free(inflate);
        return NULL;
}

bool inflate_is_plain(const struct inflate *inflate) {
        return inflate->format == FORMAT_PLAIN;
}

static struct error *damaged(const char *format, const char *why) {
        return error_new(ERROR_BAD_REQUEST, "damaged %s stream: %s", format, why);
}

static struct error *fill(struct inflate *inflate) {
        struct error *err;

        if (inflate->in_len || inflate->at_end)
                return NULL;
        err = inflate->source(inflate->context, &inflate->in, &inflate->in_len);
        if (!err && !inflate->in_len)
                inflate->at_end = true;
        return err;
}

static const struct {
        const char *name;
        uint8_t magic[MAGIC_MAX];
        size_t len;
        enum format format; /* FORMAT_UNKNOWN: known, and not taken */
} formats[] = {
        { "gzip", { 0x1f, 0x8b }, 2, FORMAT_GZIP },
        { "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, FORMAT_ZSTD },
        { "bzip2", { 'B', 'Z', 'h' }, 3, FORMAT_UNKNOWN },
        { "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, FORMAT_UNKNOWN },
};

/* zstd:chunked and pzstd begin with a skippable frame: 0x184D2A5? in little endian. */
static bool is_zstd_skippable(const uint8_t *head, size_t len) {
        return len >= 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18;
}

static struct error *find_format(struct inflate *inflate) {
        struct error *err = NULL;

        while (!err && inflate->head_len < MAGIC_MAX && !inflate->at_end) {
                err = fill(inflate);
                size_t n = MIN(inflate->in_len, MAGIC_MAX - inflate->head_len);
                memcpy(inflate->head + inflate->head_len, inflate->in, n);
                inflate->head_len += n;
                inflate->in += n;
                inflate->in_len -= n;
        }
        if (err)
                return err;
        inflate->format = FORMAT_PLAIN;
        if (is_zstd_skippable(inflate->head, inflate->head_len))
                inflate->format = FORMAT_ZSTD;
        for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
                if (inflate->head_len < formats[i].len || memcmp(inflate->head, formats[i].magic, formats[i].len) != 0)
                        continue;
                if (formats[i].format == FORMAT_UNKNOWN)
                        return error_new(ERROR_NOT_SUPPORTED,
                                         "compression with %s is not supported (gzip, zstd or none)", formats[i].name);
                inflate->format = formats[i].format;
        }
        if (inflate->format == FORMAT_GZIP) {
                inflate->gzip = xcalloc(1, sizeof(*inflate->gzip));
                isal_inflate_init(inflate->gzip);
                inflate->gzip->crc_flag = ISAL_GZIP;
        } else if (inflate->format == FORMAT_ZSTD) {
                inflate->zstd = ZSTD_createDStream();
                if (!inflate->zstd)
                        return error_new(ERROR_INTERNAL, "zstd: out of memory");
                ZSTD_DCtx_setParameter(inflate->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
        }
        if (inflate->format != FORMAT_PLAIN)
                inflate->out = xmalloc(OUTPUT_SIZE);
        return NULL;
}

/* The bytes kept from the beginning come first, then the source's. */
static void input(struct inflate *inflate, const uint8_t **data, size_t *len) {
        *data = inflate->head_len ? inflate->head : inflate->in;
        *len = inflate->head_len ? inflate->head_len : inflate->in_len;
}

static void consume(struct inflate *inflate, size_t n) {
        const uint8_t *from = inflate->head_len ? inflate->head : inflate->in;
        size_t kept = MIN(n, (size_t)LOOKAHEAD_MAX);

        memmove(inflate->tail, inflate->tail + kept, LOOKAHEAD_MAX - kept);
        if (kept)
                memcpy(inflate->tail + LOOKAHEAD_MAX - kept, from + n - kept, kept);
        if (inflate->head_len) {
                memmove(inflate->head, inflate->head + n, inflate->head_len - n);
                inflate->head_len -= n;
        } else {
                inflate->in += n;
                inflate->in_len -= n;
        }
}

/* At the end of a member ISA-L gives back what its bit buffer still holds; that may be more than the piece it was given
 * last, when the end came late only because the output was full. */
static bool give_back(struct inflate *inflate, size_t n) {
        if (n > LOOKAHEAD_MAX || inflate->head_len + n > sizeof(inflate->head))
                return false;
        memmove(inflate->head + n, inflate->head, inflate->head_len);
        memcpy(inflate->head, inflate->tail + LOOKAHEAD_MAX - n, n);
        inflate->head_len += n;
        return true;
}

/* Behind a member there may be another, or zeros (tapes were padded with them). */
static struct error *skip_zeros(struct inflate *inflate) {
        const uint8_t *data;
        size_t len;

        for (;;) {
                if (!inflate->head_len) {
                        struct error *err = fill(inflate);
                        if (err)
                                return err;
                }
                input(inflate, &data, &len);
                size_t n = 0;
                while (n < len && !data[n])
                        n++;
                consume(inflate, n);
                if (n < len || !len)
                        return NULL;
        }
}

static struct error *read_gzip(struct inflate *inflate, size_t *ret_len) {
        struct inflate_state *state = inflate->gzip;
        const uint8_t *data;
        struct error *err;
        size_t len;

        state->next_out = inflate->out;
        state->avail_out = OUTPUT_SIZE;
        while (state->avail_out) {
                if (!inflate->in_member) {
                        err = skip_zeros(inflate);
                        if (err)
                                return err;
                } else if (!inflate->head_len) {
                        err = fill(inflate);
                        if (err)
                                return err;
                }
                input(inflate, &data, &len);
                if (!len && !inflate->in_member)
                        break;
                if (!inflate->in_member) {
                        isal_inflate_reset(state);
                        state->crc_flag = ISAL_GZIP;
                        inflate->in_member = true;
                }
                size_t part = MIN(len, (size_t)UINT32_MAX / 2);
                uint32_t out_before = state->avail_out;
                state->next_in = (uint8_t *)data;
                state->avail_in = part;
                int rc = isal_inflate(state);
                if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT)
                        return damaged("gzip", rc == ISAL_INCORRECT_CHECKSUM ? "wrong checksum" : "invalid data");
                if (state->avail_in <= part)
                        consume(inflate, part - state->avail_in);
                else if (!give_back(inflate, state->avail_in - part))
                        return damaged("gzip", "invalid data");
                if (state->block_state == ISAL_BLOCK_FINISH)
                        inflate->in_member = false;
                else if (!len && state->avail_out == out_before)
                        return damaged("gzip", "it ends too early");
        }
        *ret_len = OUTPUT_SIZE - state->avail_out;
        return NULL;
}

static struct error *read_zstd(struct inflate *inflate, size_t *ret_len) {
        ZSTD_outBuffer out = { inflate->out, OUTPUT_SIZE, 0 };
        const uint8_t *data;
        size_t len;

        while (out.pos < out.size) {
                if (!inflate->head_len) {
                        struct error *err = fill(inflate);
                        if (err)
                                return err;
                }
                input(inflate, &data, &len);
                if (!len && !inflate->in_member)
                        break;
                ZSTD_inBuffer in = { data, len, 0 };
                size_t out_before = out.pos;
                size_t rc = ZSTD_decompressStream(inflate->zstd, &out, &in);
                if (ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge)
                        return error_new(ERROR_NOT_SUPPORTED,
                                         "a zstd stream that needs more than %d MiB of memory (made with --ultra or "
                                         "--long) is not supported",
                                         1 << (ZSTD_WINDOW_LOG_MAX - 20));
                if (ZSTD_isError(rc))
                        return damaged("zstd", ZSTD_getErrorName(rc));
                consume(inflate, in.pos);
                inflate->in_member = rc != 0;
                if (!len && rc && out.pos == out_before)
                        return damaged("zstd", "it ends too early");
        }
        *ret_len = out.pos;
        return NULL;
}

struct error *inflate_read(struct inflate *inflate, const uint8_t **data, size_t *len) {
        struct error *err = NULL;

        *len = 0;
        if (inflate->format == FORMAT_UNKNOWN)
                err = find_format(inflate);
        if (err)
                return err;
        *data = inflate->out;
        switch (inflate->format) {
        case FORMAT_GZIP:
                return read_gzip(inflate, len);
        case FORMAT_ZSTD:
                return read_zstd(inflate, len);
        default:
                break;
        }
        if (inflate->head_len) { /* the kept bytes, once */
                *data = inflate->head;
                *len = inflate->head_len;
                inflate->head_len = 0;
                return NULL;
        }
        err = fill(inflate);
        if (err)
                return err;
        *data = inflate->in;
        *len = inflate->in_len;
        inflate->in_len = 0;
        return NULL;
}
