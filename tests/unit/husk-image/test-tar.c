#include "test.h"

#include "husk-image/maketar.h"
#include "husk-image/tar.h"

/* Reads the whole archive; the listing is "type path->link:size=content," for each entry, holes as dots. */
static struct error *list(struct made *m, struct strbuf *out) {
        struct tar_entry *entry;
        struct tar_chunk chunk;
        struct error *err;
        struct tar tar;

        m->given = 0;
        tar_init(&tar, made_source, m);
        while (!(err = tar_next(&tar, &entry)) && entry) {
                uint64_t position = 0;
                strbuf_addf(out, "%c %s", "fhscbdp"[entry->type], entry -> path);
                if (entry->type == TAR_HARD_LINK || entry->type == TAR_SYMLINK)
                        strbuf_addf(out, "->%s", entry->link);
                if (entry->type == TAR_FILE)
                        strbuf_addf(out, ":%llu=", (unsigned long long)entry->size);
                while (!(err = tar_data(&tar, &chunk)) && chunk.len) {
                        for (; position < chunk.offset && position < 64; position++)
                                strbuf_addc(out, '.');
                        strbuf_add(out, chunk.data, chunk.len);
                        position = chunk.offset + chunk.len;
                }
                if (err)
                        break;
                strbuf_addc(out, ',');
        }
        if (!err)
                err = tar_drain(&tar);
        tar_release(&tar);
        return err;
}

/* The same whatever the size of the pieces that the source gives. */
static void assert_listing(struct made *m, const char *wanted) {
        static const size_t steps[] = { 0, 1, 7, 511, 512, 513 };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
                m->step = steps[i];
                assert_ok(list(m, &out));
                assert_string_equal(strbuf_str(&out), wanted);
        }
        made_release(m);
}

static void assert_refused(struct made *m, enum error_reason reason, const char *why) {
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;

        m->step = 0;
        assert_error(list(m, &out), reason, why);
        made_release(m);
}

TEST(all_types_of_entries_are_read) {
        struct made m = { 0 };

        made_folder(&m, "d/", 0755);
        made_file(&m, "d/f", 0644, "hello");
        made_link(&m, "h", '1', "d/f");
        made_link(&m, "s", '2', "../x");
        made_header(&m, "c", '3', NULL, 0666, 0, 0, 0, 1, 3);
        made_header(&m, "b", '4', NULL, 0666, 0, 0, 0, 8, 1);
        made_header(&m, "p", '6', NULL, 0666, 0, 0, 0, 0, 0);
        made_file(&m, "empty", 0644, "");
        made_end(&m);
        assert_listing(&m, "d d/,f d/f:5=hello,h h->d/f,s s->../x,c c,b b,p p,f empty:0=,");
}

TEST(pax_headers_count_more_than_the_block) {
        struct made m = { 0 };
        struct tar_entry *entry;
        struct tar tar;

        made_pax(&m, "path", "p\xc3\xa4th", 5);
        made_pax(&m, "mtime", "1234567890.25", 13);
        made_pax(&m, "uid", "4294967294", 10);
        made_pax(&m, "SCHILY.xattr.user.x", "a\0b=\n", 5);
        made_file(&m, "other", 04755, "x");
        made_file(&m, "next", 0644, "");
        made_end(&m);
        tar_init(&tar, made_source, &m);
        assert_ok(tar_next(&tar, &entry));
        assert_string_equal(entry->path, "p\xc3\xa4th");
        assert_int_equal(entry->mtime.tv_sec, 1234567890);
        assert_int_equal(entry->mtime.tv_nsec, 250000000);
        assert_int_equal(entry->uid, 4294967294);
        assert_int_equal(entry->mode, 04755);
        assert_int_equal(entry->n_xattrs, 1);
        assert_string_equal(entry->xattrs[0].name, "user.x");
        assert_int_equal(entry->xattrs[0].len, 5);
        assert_memory_equal(entry->xattrs[0].value, "a\0b=\n", 5);
        assert_ok(tar_next(&tar, &entry));
        assert_string_equal(entry->path, "next"); /* and only for the entry that follows */
        assert_int_equal(entry->uid, 0);
        assert_int_equal(entry->n_xattrs, 0);
        assert_ok(tar_next(&tar, &entry));
        assert_null(entry);
        tar_release(&tar);
        made_release(&m);
}

TEST(gnu_long_names_are_read) {
        struct made m = { 0 };
        char name[301];

        memset(name, 'n', 300);
        name[300] = '\0';
        made_header(&m, "././@LongLink", 'L', NULL, 0, 0, 0, 301, 0, 0);
        made_data(&m, name, 301);
        made_header(&m, "././@LongLink", 'K', NULL, 0, 0, 0, 4, 0, 0);
        made_data(&m, "far", 4);
        made_link(&m, "short", '2', "near");
        made_end(&m);
        _cleanup_free_ char *wanted = xasprintf("s %s->far,", name);
        assert_listing(&m, wanted);
}

TEST(sparse_files_come_with_their_holes_in_all_four_forms) {
        struct made m = { 0 };
        char block[512] = { 0 };

        made_pax(&m, "GNU.sparse.size", "12", 2); /* 0.1 */
        made_pax(&m, "GNU.sparse.map", "2,3,8,2", 7);
        made_file(&m, "one", 0644, "abcde");

        made_pax(&m, "GNU.sparse.size", "6", 1); /* 0.0 */
        made_pax(&m, "GNU.sparse.numblocks", "1", 1);
        made_pax(&m, "GNU.sparse.offset", "4", 1);
        /* the length comes in the same header in reality: here it must not be missing */
        made_end(&m);
        assert_refused(&m, ERROR_BAD_REQUEST, "map of a sparse file");

        made_pax(&m, "GNU.sparse.size", "12", 2);
        made_pax(&m, "GNU.sparse.map", "2,3,8,2", 7);
        made_file(&m, "one", 0644, "abcde");

        struct strbuf both = STRBUF_INIT;
        strbuf_adds(&both, "23 GNU.sparse.offset=4\n25 GNU.sparse.numbytes=2\n21 GNU.sparse.size=9\n");
        made_header(&m, "pax", 'x', NULL, 0644, 0, 0, both.len, 0, 0);
        made_data(&m, both.data, both.len);
        strbuf_release(&both);
        made_file(&m, "zero", 0644, "xy");

        made_pax(&m, "GNU.sparse.major", "1", 1);
        made_pax(&m, "GNU.sparse.minor", "0", 1);
        made_pax(&m, "GNU.sparse.name", "three", 5);
        made_pax(&m, "GNU.sparse.realsize", "7", 1);
        made_header(&m, "GNUSparseFile.0/three", '0', NULL, 0644, 0, 0, 512 + 2, 0, 0);
        memcpy(block, "1\n5\n2\n", 6);
        strbuf_add(&m.bytes, block, sizeof(block));
        made_data(&m, "PQ", 2);

        /* old GNU: the map lies in the header, where ustar has its prefix */
        made_header(&m, "four", 'S', NULL, 0644, 0, 0, 4, 0, 0);
        char *h = m.bytes.data + m.bytes.len - 512;
        memcpy(h + 386, "00000000003", 11);
        memcpy(h + 398, "00000000004", 11);
        memcpy(h + 483, "00000000012", 11);
        memset(h + 148, ' ', 8);
        unsigned sum = 0;
        for (int i = 0; i < 512; i++)
                sum += (unsigned char)h[i];
        snprintf(h + 148, 8, "%06o", sum);
        made_data(&m, "WXYZ", 4);
        made_end(&m);
        assert_listing(&m, "f one:12=..abc...de,f zero:9=....xy,f three:7=.....PQ,f four:10=...WXYZ,");
}

TEST(maps_of_sparse_files_that_lie_are_refused) {
        static const char *const maps[] = { "8,2,2,3", "2,3,4,2", "2,3,11,2",
                                            "2,3",     "2,3,8",   "2,9223372036854775807,8,2",
                                            "x",       "-1,5" };
        struct made m = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
                made_pax(&m, "GNU.sparse.size", "12", 2);
                made_pax(&m, "GNU.sparse.map", maps[i], strlen(maps[i]));
                made_file(&m, "one", 0644, "abcde");
                made_end(&m);
                assert_refused(&m, ERROR_BAD_REQUEST, "sparse");
        }
}

TEST(a_map_between_the_two_halves_of_a_piece_is_refused) {
        static const char records[] = "23 GNU.sparse.offset=4\n19 GNU.sparse.map=\n25 GNU.sparse.numbytes=2\n"
                                      "21 GNU.sparse.size=9\n";
        struct made m = { 0 };

        made_header(&m, "pax", 'x', NULL, 0644, 0, 0, strlen(records), 0, 0);
        made_data(&m, records, strlen(records));
        made_file(&m, "one", 0644, "");
        made_end(&m);
        assert_refused(&m, ERROR_BAD_REQUEST, "bad map of a sparse file");
}

TEST(archives_that_end_too_early_are_truncated) {
        struct made whole = { 0 };

        made_pax(&whole, "path", "x", 1);
        made_file(&whole, "f", 0644, "hello");
        for (size_t n = 1; n < whole.bytes.len; n += 100) {
                struct made m = { 0 };
                strbuf_add(&m.bytes, whole.bytes.data, n);
                assert_refused(&m, ERROR_BAD_REQUEST, "truncated");
        }
        /* but the zero blocks at the end may be missing, and garbage may follow them */
        assert_listing(&whole, "f x:5=hello,");
        struct made m = { 0 };
        made_end(&m);
        made_file(&m, "f", 0644, "after the end");
        assert_listing(&m, "");
}

TEST(headers_that_lie_are_refused) {
        struct made m = { 0 };

        made_file(&m, "f", 0644, "x");
        m.bytes.data[3] ^= 1;
        assert_refused(&m, ERROR_BAD_REQUEST, "checksum");

        made_header(&m, "pax", 'x', NULL, 0, 0, 0, TAR_EXTENDED_MAX + 1, 0, 0);
        assert_refused(&m, ERROR_BAD_REQUEST, "larger than 1 MiB");

        made_pax(&m, "uid", "4294967295", 10);
        made_file(&m, "f", 0644, "x");
        assert_refused(&m, ERROR_BAD_REQUEST, "owner out of range");

        made_pax(&m, "size", "-1", 2);
        made_file(&m, "f", 0644, "x");
        assert_refused(&m, ERROR_BAD_REQUEST, "bad number");

        made_pax(&m, "size", "99999999999999999999", 20);
        made_file(&m, "f", 0644, "x");
        assert_refused(&m, ERROR_BAD_REQUEST, "bad number");

        made_pax(&m, "path", "a\0b", 3);
        made_file(&m, "f", 0644, "x");
        assert_refused(&m, ERROR_BAD_REQUEST, "NUL");

        char big[TAR_PATH_MAX + 2];
        memset(big, 'a', sizeof(big));
        made_pax(&m, "path", big, sizeof(big));
        made_file(&m, "f", 0644, "x");
        assert_refused(&m, ERROR_BAD_REQUEST, "longer than 4095");

        made_header(&m, "f", 'M', NULL, 0, 0, 0, 0, 0, 0);
        assert_refused(&m, ERROR_NOT_SUPPORTED, "type 'M'");

        made_header(&m, "pax", 'x', NULL, 0, 0, 0, 4, 0, 0);
        made_data(&m, "9 a=", 4);
        assert_refused(&m, ERROR_BAD_REQUEST, "bad record");

        for (int i = 0; i < 40; i++)
                made_pax(&m, "path", "x", 1);
        assert_refused(&m, ERROR_BAD_REQUEST, "too many extended headers");

        made_header(&m, "c", '3', NULL, 0, 0, 0, 0, 07777, 0);
        made_end(&m);
        assert_listing(&m, "c c,");
        made_header(&m, "c", '3', NULL, 0, 0, 0, 0, 010000, 0);
        assert_refused(&m, ERROR_BAD_REQUEST, "device number");
}

TEST(sizes_in_the_headers_of_links_and_folders_mean_nothing) {
        struct made m = { 0 };

        made_header(&m, "d", '5', NULL, 0755, 0, 0, 4096, 0, 0);
        made_header(&m, "s", '2', "x", 0777, 0, 0, 99, 0, 0);
        made_header(&m, "h", '1', "f", 0777, 0, 0, 12345, 0, 0);
        made_file(&m, "f", 0644, "x");
        made_end(&m);
        assert_listing(&m, "d d,s s->x,h h->f,f f:1=x,");
}
