#include "test.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "base/str.h"
#include "husk-image/inflate.h"

struct stream {
        const uint8_t *data;
        size_t len, given, step;
};

static struct error *give(void *context, const uint8_t **data, size_t *len) {
        static uint8_t copy[4096]; /* the bytes of the last call are gone, as with a real reader */
        struct stream *s = context;

        memset(copy, 0xaa, sizeof(copy));
        *len = MIN(MIN(s->step, s->len - s->given), sizeof(copy));
        memcpy(copy, s->data + s->given, *len);
        s->given += *len;
        *data = copy;
        return NULL;
}

static struct error *inflate(const struct strbuf *in, size_t step, struct strbuf *out) {
        struct stream stream = { (const uint8_t *)in->data, in->len, 0, step };
        _cleanup_inflate_ struct inflate *inflate = inflate_new(give, &stream);
        const uint8_t *data;
        size_t len;

        do {
                struct error *err = inflate_read(inflate, &data, &len);
                if (err)
                        return err;
                strbuf_add(out, data, len);
        } while (len);
        return NULL;
}

/* Text that compresses somewhat and is longer than the output buffer. */
static void make_text(struct strbuf *text, size_t len) {
        uint32_t x = 12345;

        while (text->len < len) {
                x = x * 1103515245 + 12345;
                strbuf_addf(text, "%x %s ", x >> 20, x & 0x10000 ? "layer" : "image");
        }
        strbuf_truncate(text, len);
}

static void add_gzip(struct strbuf *out, const char *data, size_t len) {
        size_t room = len + len / 10 + 1000;
        _cleanup_free_ uint8_t *buf = xmalloc(room), *level = xmalloc(ISAL_DEF_LVL1_DEFAULT);
        struct isal_zstream z;

        isal_deflate_init(&z);
        z.gzip_flag = IGZIP_GZIP;
        z.level = 1;
        z.level_buf = level;
        z.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
        z.end_of_stream = 1;
        z.next_in = (uint8_t *)data;
        z.avail_in = len;
        z.next_out = buf;
        z.avail_out = room;
        assert_int_equal(isal_deflate(&z), COMP_OK);
        strbuf_add(out, buf, z.total_out);
}

static void add_zstd(struct strbuf *out, const char *data, size_t len) {
        size_t room = ZSTD_compressBound(len);
        _cleanup_free_ char *buf = xmalloc(room);
        strbuf_add(out, buf, ZSTD_compress(buf, room, data, len, 3));
}

static const size_t steps[] = { 1, 2, 3, 5, 7, 100, 1000, 4096 };
static const size_t lengths[] = { 0, 1, 5, 1000, 256 << 10, (256 << 10) + 1, 700000 };

static void assert_round_trip(void (*compress)(struct strbuf *, const char *, size_t)) {
        for (size_t l = 0; l < ARRAY_SIZE(lengths); l++) {
                _cleanup_strbuf_ struct strbuf text = STRBUF_INIT, packed = STRBUF_INIT;
                make_text(&text, lengths[l]);
                compress(&packed, strbuf_str(&text), text.len);
                for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
                        assert_ok(inflate(&packed, steps[i], &out));
                        assert_int_equal(out.len, text.len);
                        assert_memory_equal(strbuf_str(&out), strbuf_str(&text), text.len);
                }
        }
}

TEST(gzip_comes_back_whatever_the_pieces) {
        assert_round_trip(add_gzip);
}

TEST(zstd_comes_back_whatever_the_pieces) {
        assert_round_trip(add_zstd);
}

static void add_plain(struct strbuf *out, const char *data, size_t len) {
        strbuf_add(out, data, len);
}

TEST(what_is_not_compressed_passes_as_it_is) {
        assert_round_trip(add_plain);
}

TEST(members_and_frames_that_follow_one_another_are_one_stream) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        make_text(&text, 300000);
        for (int kind = 0; kind < 2; kind++) {
                _cleanup_strbuf_ struct strbuf packed = STRBUF_INIT;
                for (size_t at = 0; at < text.len; at += 7777)
                        (kind ? add_zstd : add_gzip)(&packed, text.data + at, MIN((size_t)7777, text.len - at));
                if (!kind)
                        strbuf_add(&packed, "\0\0\0\0\0\0\0\0\0\0", 10); /* padding */
                for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
                        assert_ok(inflate(&packed, steps[i], &out));
                        assert_int_equal(out.len, text.len);
                        assert_memory_equal(out.data, text.data, text.len);
                }
        }
}

TEST(damaged_and_truncated_streams_are_errors) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        make_text(&text, 20000);
        for (int kind = 0; kind < 2; kind++) {
                _cleanup_strbuf_ struct strbuf packed = STRBUF_INIT, out = STRBUF_INIT;
                (kind ? add_zstd : add_gzip)(&packed, text.data, text.len);
                for (size_t n = 7; n < packed.len; n += packed.len / 20) {
                        struct strbuf cut = { packed.data, n, packed.cap };
                        assert_error(inflate(&cut, 100, &out), ERROR_BAD_REQUEST, "too early");
                }
                if (!kind) { /* the checksum at the end counts */
                        packed.data[packed.len - 6] ^= 1;
                        assert_error(inflate(&packed, 100, &out), ERROR_BAD_REQUEST, "checksum");
                        packed.data[packed.len - 6] ^= 1;
                }
                strbuf_adds(&packed, "garbage");
                assert_error(inflate(&packed, 100, &out), ERROR_BAD_REQUEST, "damaged");
        }
}

TEST(other_formats_are_named_in_the_refusal) {
        struct strbuf bzip2 = { "BZh91AY&SY", 10, 0 }, xz = { "\3757zXZ\0aaaa", 10, 0 };
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;

        assert_error(inflate(&bzip2, 3, &out), ERROR_NOT_SUPPORTED, "bzip2");
        assert_error(inflate(&xz, 3, &out), ERROR_NOT_SUPPORTED, "xz");
}

TEST(a_zstd_window_that_would_take_too_much_memory_is_refused) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT, packed = STRBUF_INIT, out = STRBUF_INIT;
        ZSTD_CCtx *c = ZSTD_createCCtx();
        size_t room;

        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, 27);
        ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
        make_text(&text, 100000);
        room = ZSTD_compressBound(text.len);
        _cleanup_free_ char *buf = xmalloc(room);
        ZSTD_inBuffer in = { text.data, text.len, 0 };
        ZSTD_outBuffer o = { buf, room, 0 };
        ZSTD_compressStream2(c, &o, &in, ZSTD_e_continue); /* the size of the whole is not known */
        ZSTD_compressStream2(c, &o, &in, ZSTD_e_end);
        ZSTD_freeCCtx(c);
        strbuf_add(&packed, buf, o.pos);
        assert_error(inflate(&packed, 1000, &out), ERROR_NOT_SUPPORTED, "needs more than 8 MiB of memory");
}
