#include "test.h"

#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "husk/log-file.h"

#define T "2026-11-23T19:03:56.123456789Z"

static char folder[64];

static void fixture_open(void) {
        strcpy(folder, "/tmp/test-log-file-XXXXXX");
        assert_non_null(mkdtemp(folder));
}

static void fixture_close(void) {
        assert_ok(remove_tree(folder));
}

static void append(const char *name, const char *text) {
        _cleanup_free_ char *path = path_join(folder, name);
        FILE *f = fopen(path, "a");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void rename_log(const char *from, const char *to) {
        _cleanup_free_ char *a = path_join(folder, from);
        _cleanup_free_ char *b = path_join(folder, to);
        assert_int_equal(rename(a, b), 0);
}

/* All that can be read now, as the container printed it. */
static char *read_now(struct log_file *log) {
        struct strbuf text = STRBUF_INIT;
        struct log_record record;
        bool found;

        for (;;) {
                assert_ok(log_file_next(log, &record, &found));
                if (!found)
                        break;
                strbuf_add(&text, record.text, record.len);
                if (record.is_complete)
                        strbuf_addc(&text, '\n');
        }
        return strbuf_take(&text);
}

static void reads(struct log_file *log, const char *wanted) {
        _cleanup_free_ char *text = read_now(log);
        assert_string_equal(text, wanted);
}

static void tail_reads(int64_t tail, const char *wanted) {
        struct log_file *log;
        assert_ok(log_file_open(folder, 0, tail, &log));
        reads(log, wanted);
        log_file_close(log);
}

TEST(a_record_is_taken_apart) {
        struct log_record r;
        static const char line[] = T " stderr P some  text ";
        assert_true(log_record_parse(line, strlen(line), &r));
        assert_int_equal(r.time_len, 30);
        assert_true(r.is_stderr);
        assert_false(r.is_complete);
        assert_int_equal(r.len, strlen("some  text "));
        assert_memory_equal(r.text, "some  text ", r.len);
        static const char empty[] = T " stdout F ";
        assert_true(log_record_parse(empty, strlen(empty), &r));
        assert_int_equal(r.len, 0);
}

TEST(what_is_no_record_is_refused) {
        struct log_record r;
        static const char *const lines[] = {
                "", " ", "x", T, T " ", T " stdout", T " stdout F", T " stdoutF x", "a b c d e f g"
        };
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                assert_false(log_record_parse(lines[i], strlen(lines[i]), &r));
}

TEST(a_log_that_does_not_exist_is_empty_and_may_come_later) {
        struct log_file *log;
        fixture_open();
        assert_ok(log_file_open(folder, 3, -1, &log));
        reads(log, "");
        append("3.log", T " stdout F here\n");
        reads(log, "here\n");
        log_file_close(log);
        fixture_close();
}

TEST(a_record_that_is_being_written_is_waited_for) {
        struct log_file *log;
        fixture_open();
        append("0.log", T " stdout F one\n" T " stdout F t");
        assert_ok(log_file_open(folder, 0, -1, &log));
        reads(log, "one\n");
        append("0.log", "wo\n");
        reads(log, "two\n");
        log_file_close(log);
        fixture_close();
}

TEST(reading_goes_on_over_rotations) {
        struct log_file *log;
        fixture_open();
        append("0.log.20260101T000001", T " stdout F old\n");
        append("0.log", T " stdout F one\n");
        append("1.log", T " stdout F another run\n");
        assert_ok(log_file_open(folder, 0, -1, &log));
        reads(log, "old\none\n");
        /* What was appended between our last read and the renaming is not lost; two rotations at once neither. */
        append("0.log", T " stdout F two\n");
        rename_log("0.log", "0.log.20260101T000002");
        append("0.log", T " stdout F three\n");
        rename_log("0.log", "0.log.20260101T000003");
        append("0.log", T " stdout F four\n");
        reads(log, "two\nthree\nfour\n");
        log_file_close(log);
        fixture_close();
}

TEST(reading_goes_on_with_the_oldest_file_when_its_own_was_removed) {
        struct log_file *log;
        fixture_open();
        append("0.log", T " stdout F one\n");
        assert_ok(log_file_open(folder, 0, -1, &log));
        reads(log, "one\n");
        _cleanup_free_ char *path = path_join(folder, "0.log");
        unlink(path);
        append("0.log.20260101T000002", T " stdout F two\n");
        append("0.log", T " stdout F three\n");
        reads(log, "two\nthree\n");
        log_file_close(log);
        fixture_close();
}

TEST(the_tail_counts_lines_not_records) {
        fixture_open();
        append("0.log", T " stdout F one\n" T " stdout P tw\n" T " stdout F o\n" T " stdout F three\n");
        tail_reads(0, "");
        tail_reads(1, "three\n");
        tail_reads(2, "two\nthree\n");
        tail_reads(3, "one\ntwo\nthree\n");
        tail_reads(99, "one\ntwo\nthree\n");
        fixture_close();
}

TEST(the_tail_reaches_into_older_files) {
        fixture_open();
        append("0.log.20260101T000001", T " stdout F one\n" T " stdout F two\n");
        append("0.log.20260101T000002", T " stdout F three\n");
        append("0.log", T " stdout F four\n");
        tail_reads(1, "four\n");
        tail_reads(2, "three\nfour\n");
        tail_reads(3, "two\nthree\nfour\n");
        tail_reads(9, "one\ntwo\nthree\nfour\n");
        fixture_close();
}

TEST(the_tail_of_an_empty_file_is_in_the_one_before) {
        fixture_open();
        append("0.log.20260101T000001", T " stdout F one\n" T " stdout F two\n");
        append("0.log", "");
        tail_reads(1, "two\n");
        fixture_close();
}

TEST(an_unfinished_line_is_a_line_of_the_tail) {
        fixture_open();
        append("0.log", T " stdout F one\n" T " stdout F two\n" T " stdout P th\n" T " stdout P r\n");
        tail_reads(0, "");
        tail_reads(1, "thr");
        tail_reads(2, "two\nthr");
        fixture_close();
}

TEST(lines_that_are_no_records_are_passed_over) {
        fixture_open();
        append("0.log", "garbage\n\n" T " stdout F one\nmore\n");
        tail_reads(-1, "one\n");
        fixture_close();
}

TEST(the_newest_run_is_found) {
        fixture_open();
        assert_int_equal(log_file_newest_run(folder), -1);
        append("0.log", "");
        append("10.log", "");
        append("9.log.20260101T000002", "");
        append("99.txt", "");
        append("x.log", "");
        assert_int_equal(log_file_newest_run(folder), 10);
        assert_int_equal(log_file_newest_run("/nonexistent"), -1);
        fixture_close();
}
