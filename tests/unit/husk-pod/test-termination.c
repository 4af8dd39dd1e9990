#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-pod/runtime.h"
#include "test.h"

static char folder[64], file[128], log_file[128];

static void begin(void) {
        strcpy(folder, "/tmp/test-termination-XXXXXX");
        assert_non_null(mkdtemp(folder));
        snprintf(file, sizeof(file), "%s/termination-log", folder);
        snprintf(log_file, sizeof(log_file), "%s/0.log", folder);
}
static void end(_unused_ int *unused) {
        assert_ok(remove_tree(folder));
}
#define WITH_FOLDER \
        _cleanup_(end) _unused_ int _guard = 0; \
        begin()

static void write_file(const char *path, const char *text) {
        assert_ok(file_replace(path, text, strlen(text), 0600, 0));
}

TEST(the_file_is_the_message_cut_at_4096_bytes) {
        WITH_FOLDER;
        char text[5001];
        memset(text, 'x', 5000);
        text[5000] = '\0';
        write_file(file, "bye\n");
        _cleanup_free_ char *message = termination_message(file, log_file, false);
        assert_string_equal(message, "bye\n");
        write_file(file, text);
        _cleanup_free_ char *cut = termination_message(file, log_file, true);
        assert_int_equal(strlen(cut), 4096);
}

TEST(without_a_message_there_is_none_unless_the_log_is_asked_for) {
        WITH_FOLDER;
        write_file(file, "");
        write_file(
                log_file,
                "2026-11-23T19:03:56.123456789Z stdout F first\n2026-11-23T19:03:56.123456789Z stderr F last words\n");
        assert_null(termination_message(file, log_file, false));
        _cleanup_free_ char *message = termination_message(file, log_file, true);
        assert_string_equal(message, "first\nlast words\n");
}

TEST(of_the_log_the_last_80_lines_and_2048_bytes_count) {
        WITH_FOLDER;
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        for (int i = 0; i < 100; i++)
                strbuf_addf(&text, "2026-11-23T19:03:56.123456789Z stdout F l%d\n", i);
        write_file(log_file, text.data);
        _cleanup_free_ char *message = termination_message(file, log_file, true);
        assert_int_equal(strncmp(message, "l20\nl21\n", 8), 0);
        assert_true(str_ends_with(message, "l99\n"));

        strbuf_truncate(&text, 0);
        for (int i = 0; i < 50; i++)
                strbuf_addf(&text, "2026-11-23T19:03:56.123456789Z stdout F %0100d\n", i);
        write_file(log_file, text.data);
        _cleanup_free_ char *cut = termination_message(file, log_file, true);
        assert_int_equal(strlen(cut), 2048);
        assert_true(str_ends_with(cut, "49\n"));
}

TEST(partial_records_are_joined) {
        WITH_FOLDER;
        write_file(log_file,
                   "2026-11-23T19:03:56.123456789Z stdout P one \n2026-11-23T19:03:56.123456789Z stdout F line\n"
                   "2026-11-23T19:03:56.123456789Z stderr P no end\n");
        _cleanup_free_ char *message = termination_message(file, log_file, true);
        assert_string_equal(message, "one line\nno end");
}

TEST(whatever_the_container_made_of_the_file_does_no_harm) {
        WITH_FOLDER;
        assert_int_equal(symlink("/etc/passwd", file), 0);
        assert_null(termination_message(file, log_file, false));
        unlink(file);
        assert_int_equal(mkfifo(file, 0600), 0);
        assert_null(termination_message(file, log_file, false));
        unlink(file);
        assert_int_equal(mkdir(file, 0700), 0);
        assert_null(termination_message(file, log_file, false));
        assert_int_equal(rmdir(file), 0);
        write_file(file, "caf\xc3\xa9 \xff\xfe \xe2\x82");
        _cleanup_free_ char *message = termination_message(file, log_file, false);
        assert_string_equal(message, "caf\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd");
}
