#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* The pump is compiled into this test with points at which a child process running it kills itself. */
static int crash_at, crash_after;
static void crash_point(int n);
#define CRASH_POINT(n) crash_point(n)
#include "husk-pod/log-pump.c"
#include "test.h"

static void crash_point(int n) {
        if (n == crash_at && crash_after-- <= 0)
                raise(SIGKILL);
}

/* A pod's folder, pump and one pipe; `kept` plays husk-keeper. */
static char folder[64], path[128];
static struct loop *loop;
static struct log_pump *pump;
static struct log_source *source;
static int input;
static struct {
        char name[128];
        int fd;
} kept[16];

static void keep(void *arg, const char *name, int fd) {
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                if (streq(kept[i].name, name) || (fd >= 0 && !kept[i].name[0])) {
                        if (streq(kept[i].name, name))
                                fd_close(kept[i].fd);
                        snprintf(kept[i].name, sizeof(kept[i].name), "%s", fd < 0 ? "" : name);
                        kept[i].fd = fd < 0 ? -EBADF : fcntl(fd, F_DUPFD_CLOEXEC, 100);
                        return;
                }
}

static int get_kept(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                if (streq(kept[i].name, name))
                        return fcntl(kept[i].fd, F_DUPFD_CLOEXEC, 10);
        return -EBADF;
}

static void ended(void *arg) {
        loop_stop(loop);
}

static void pump_start(int64_t size_max) {
        struct log_pump_options options = { .size_max = size_max, .store = keep };
        assert_ok(loop_new(&loop));
        assert_ok(log_pump_new(loop, &options, get_kept("log/journal"), get_kept("log/side-read"),
                               get_kept("log/side-write"), &pump));
}

static void setup(int64_t size_max) {
        int fds[2];

        memset(kept, 0, sizeof(kept));
        strcpy(folder, "/tmp/test-log-XXXXXX");
        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/0.log", folder);
        pump_start(size_max);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        input = fds[1];
        assert_ok(log_source_new(pump, "app/0/stdout", path, LOG_STDOUT, fds[0], ended, NULL, &source));
}

static void pump_stop(void) {
        pump = log_pump_free(pump);
        loop = loop_free(loop);
        source = NULL;
}

static void teardown(_unused_ int *unused) {
        pump_stop();
        input = fd_close(input);
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                if (kept[i].name[0])
                        fd_close(kept[i].fd);
        assert_ok(remove_tree(folder));
}
#define WITH_PUMP(size_max) \
        _cleanup_(teardown) _unused_ int _pump_guard = 0; \
        setup(size_max)

static void container_prints(const char *text) {
        assert_int_equal(write(input, text, strlen(text)), strlen(text));
}

static void container_ends(void) {
        input = fd_close(input);
        assert_ok(loop_run(loop));
        assert_true(log_source_at_end(source));
        source = log_source_free(source);
}

static char *log_text(void) {
        char *text = NULL;
        assert_ok(file_read(path, 64 << 20, &text, NULL));
        return text;
}

/* The file without the timestamps, which are checked to be such. */
static char *log_records(void) {
        _cleanup_free_ char *text = log_text();
        struct strbuf records = STRBUF_INIT;
        char *save = NULL;

        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                int64_t seconds;
                int32_t nanos;
                assert_true(strlen(line) >= PREFIX_LEN);
                assert_int_equal(line[30], ' ');
                line[30] = '\0';
                assert_true(rfc3339_parse(line, &seconds, &nanos));
                assert_true(labs(seconds - clock_realtime_ns() / NSEC_PER_SEC) < 100);
                strbuf_addf(&records, "%s\n", line + 31);
        }
        return strbuf_take(&records);
}

TEST(each_line_becomes_a_cri_record) {
        WITH_PUMP(0);
        container_prints("hello\n\nworld\n");
        container_ends();
        _cleanup_free_ char *records = log_records();
        assert_string_equal(records, "stdout F hello\nstdout F \nstdout F world\n");
}

TEST(two_streams_share_a_file) {
        WITH_PUMP(0);
        int fds[2];
        struct log_source *errors;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_ok(log_source_new(pump, "app/0/stderr", path, LOG_STDERR, fds[0], NULL, NULL, &errors));
        assert_int_equal(write(fds[1], "oops\n", 5), 5);
        log_source_drain(errors);
        close(fds[1]);
        log_source_drain(errors);
        assert_true(log_source_at_end(errors));
        log_source_free(errors);
        container_prints("fine\n");
        container_ends();
        _cleanup_free_ char *records = log_records();
        assert_string_equal(records, "stderr F oops\nstdout F fine\n");
}

TEST(a_line_waits_for_its_end_and_is_partial_if_that_never_comes) {
        WITH_PUMP(0);
        container_prints("one ");
        log_source_drain(source);
        container_prints("line\npassword: ");
        log_source_drain(source);
        _cleanup_free_ char *before = log_records();
        assert_string_equal(before, "stdout F one line\n");
        container_ends();
        _cleanup_free_ char *after = log_records();
        assert_string_equal(after, "stdout F one line\nstdout P password: \n");
}

TEST(a_long_line_is_cut_at_16_kib) {
        WITH_PUMP(0);
        _cleanup_free_ char *line = xcalloc(1, 40002);
        memset(line, 'x', 40000);
        line[LINE_MAX_BYTES * 2 - 1] = 'E';
        line[40000] = '\n';
        container_prints(line);
        memset(line, 'y', LINE_MAX_BYTES);
        strcpy(line + LINE_MAX_BYTES, "\n");
        container_prints(line);
        container_ends();

        _cleanup_free_ char *records = log_records();
        size_t cut = strlen("stdout P ") + LINE_MAX_BYTES;
        assert_int_equal(strncmp(records, "stdout P xxx", 12), 0);
        assert_int_equal(records[cut], '\n');
        assert_int_equal(strncmp(records + cut + 1, "stdout P xxx", 12), 0);
        assert_int_equal(records[2 * cut], 'E');
        char *last = records + 2 * (cut + 1);
        assert_int_equal(strncmp(last, "stdout F xxx", 12), 0);
        assert_int_equal(strcspn(last, "\n"), strlen("stdout F ") + 40000 - 2 * LINE_MAX_BYTES);
        last += strcspn(last, "\n") + 1;
        assert_int_equal(strncmp(last, "stdout F yyy", 12), 0); /* exactly 16 KiB is one record */
        assert_int_equal(strlen(last), strlen("stdout F \n") + LINE_MAX_BYTES);
}

static int count_files(void) {
        DIR *dir = opendir(folder);
        struct dirent *entry;
        int n = 0;
        while ((entry = readdir(dir)))
                n += entry->d_name[0] != '.';
        closedir(dir);
        return n;
}

TEST(a_full_file_is_rotated_and_five_are_kept) {
        WITH_PUMP(10000);
        char line[128];

        for (int i = 0; i < 4000; i++) {
                snprintf(line, sizeof(line), "line %d\n", i);
                container_prints(line);
                if (i % 50 == 49)
                        log_source_drain(source);
        }
        assert_int_equal(count_files(), 5);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 10000 + 50 * 60);
        container_ends();
        _cleanup_free_ char *records = log_records();
        assert_non_null(strstr(records, "stdout F line 3999\n"));
}

static int compare_paths(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The numbers of "line %d" over all files as a reader puts them in order: without a gap, up to the last one printed. */
static void check_lines_up_to(int last) {
        char *names[16] = { 0 };
        DIR *dir = opendir(folder);
        struct dirent *entry;
        int n = 0, before = -1;

        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.' && !streq(entry->d_name, "0.log"))
                        names[n++] = strdup(entry->d_name);
        closedir(dir);
        qsort(names, (size_t)n, sizeof(char *), compare_paths);
        names[n++] = strdup("0.log");
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *file = path_join(folder, names[i]), *text = NULL;
                assert_ok(file_read(file, 1 << 20, &text, NULL));
                for (char *p = text; (p = strstr(p, "F line ")); p++) {
                        int number = atoi(p + 7);
                        assert_true(before < 0 || number == before + 1);
                        before = number;
                }
                free(names[i]);
        }
        assert_int_equal(before, last);
}

TEST(many_files_of_one_second_keep_their_order_and_the_newest_of_them_stay) {
        WITH_PUMP(2000);
        char line[128];

        for (int i = 0; i < 3000; i++) { /* some ninety files, in a fraction of a second */
                snprintf(line, sizeof(line), "line %d\n", i);
                container_prints(line);
                if (i % 10 == 9)
                        log_source_drain(source);
        }
        container_ends();
        assert_int_equal(count_files(), 5);
        check_lines_up_to(2999);
}

TEST(files_from_before_the_clock_was_set_back_are_the_older_ones) {
        WITH_PUMP(2000);
        _cleanup_free_ char *ahead = xasprintf("%s.29990101-000000.999", path);
        char line[128];

        assert_ok(file_replace(ahead, "", 0, 0600, 0));
        for (int i = 0; i < 500; i++) {
                snprintf(line, sizeof(line), "line %d\n", i);
                container_prints(line);
                if (i % 10 == 9)
                        log_source_drain(source);
        }
        container_ends();
        assert_false(file_exists(ahead));
        check_lines_up_to(499);
}

TEST(a_log_that_cannot_be_written_does_not_stop_the_container) {
        WITH_PUMP(0);
        int full = open("/dev/full", O_WRONLY | O_CLOEXEC), good = source->file->fd;
        log_set_level(LOG_ERROR);

        container_prints("kept\n");
        log_source_drain(source);
        source->file->fd = full;
        container_prints("lost\n");
        log_source_drain(source);
        assert_true(source->file->failing);
        source->file->fd = good;
        close(full);
        container_prints("again\n");
        container_ends();
        log_set_level(LOG_INFO);
        _cleanup_free_ char *records = log_records();
        assert_string_equal(records, "stdout F kept\nstdout F again\n");
}

TEST(the_output_of_a_terminal_is_carried_too) {
        WITH_PUMP(0);
        struct log_source *tty;
        int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

        assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
        int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(slave >= 0);
        assert_ok(log_source_new(pump, "app/0/tty", path, LOG_STDOUT, master, ended, NULL, &tty));
        assert_int_equal(write(slave, "shell\n", 6), 6);
        log_source_drain(tty);
        close(slave);
        log_source_drain(tty);
        assert_true(log_source_at_end(tty));
        log_source_free(tty);
        container_ends();
        _cleanup_free_ char *records = log_records();
        assert_string_equal(records, "stdout F shell\r\n");
}

/* A child carries until it kills itself at point `point`; then this process goes on from what was kept. */
static void crash_and_go_on(int point, int after) {
        pid_t child = fork();
        if (child == 0) {
                crash_at = point;
                crash_after = after;
                log_source_drain(source);
                _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (point)
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        pump_stop();
        pump_start(0);
        int fd = get_kept("log/app/0/stdout");
        assert_true(fd >= 0);
        assert_ok(log_source_new(pump, "app/0/stdout", path, LOG_STDOUT, fd, ended, NULL, &source));
}

TEST(nothing_is_lost_or_doubled_wherever_the_process_is_killed) {
        for (int point = 1; point <= 6; point++) {
                WITH_PUMP(0);
                container_prints("same\nsame\nbegin");
                log_source_drain(source);
                container_prints("-end\nsame\nsame\nrest"); /* lines that a comparison of texts could not tell apart */
                crash_and_go_on(point, 0);
                container_prints("-over\nsame\n");
                crash_and_go_on(point, 0);
                container_ends();
                _cleanup_free_ char *records = log_records();
                assert_string_equal(records, "stdout F same\nstdout F same\nstdout F begin-end\nstdout F same\n"
                                             "stdout F same\nstdout F rest-over\nstdout F same\n");
        }
}

/* A writer, and one process after the other that carries until it is killed at a random moment. */
TEST(a_stream_survives_many_kills) {
        WITH_PUMP(1LL << 40);
        enum { LINES = 300000 };
        pid_t writer = fork();
        if (writer == 0) {
                FILE *f = fdopen(input, "w");
                setvbuf(f, NULL, _IOFBF, 3000); /* so that most writes end inside a line */
                for (int i = 0; i < LINES; i++)
                        fprintf(f, "line %d of many\n", i);
                fclose(f);
                _exit(0);
        }
        input = fd_close(input);
        source->fd = fd_close(source->fd); /* this process only watches */

        srand(7);
        bool over = false;
        int kills = 0;
        while (!over) {
                pid_t carrier = fork();
                if (carrier == 0) {
                        struct log_pump_options options = { .size_max = 1LL << 40 };
                        error_free(loop_new(&loop));
                        if (log_pump_new(loop, &options, get_kept("log/journal"), get_kept("log/side-read"),
                                         get_kept("log/side-write"), &pump) ||
                            log_source_new(pump, "app/0/stdout", path, LOG_STDOUT, get_kept("log/app/0/stdout"), ended,
                                           NULL, &source))
                                _exit(1);
                        error_free(loop_run(loop));
                        _exit(0);
                }
                usleep(rand() % 3000);
                kill(carrier, SIGKILL);
                int status;
                assert_int_equal(waitpid(carrier, &status, 0), carrier);
                over = WIFEXITED(status);
                if (over)
                        assert_int_equal(WEXITSTATUS(status), 0);
                else
                        kills++;
        }
        int status;
        waitpid(writer, &status, 0);
        print_message("survived %d kills\n", kills);
        assert_true(kills > 5);

        _cleanup_free_ char *text = log_text();
        char *p = text;
        for (int i = 0; i < LINES; i++) {
                char wanted[64];
                int n = snprintf(wanted, sizeof(wanted), "stdout F line %d of many\n", i);
                if (strncmp(p + 31, wanted, n) != 0)
                        fail_msg("line %d: found %.60s", i, p);
                p += 31 + n;
        }
        assert_int_equal(*p, '\0');
}

TEST(buffers_are_given_back_after_a_burst) {
        WITH_PUMP(1LL << 40);
        _cleanup_free_ char *block = xmalloc(60001);
        unsigned char resident[(LINE_MAX_BYTES + INPUT_SIZE) / 4096];
        int pages = 0;

        memset(block, 'x', 60000);
        for (int i = 99; i < 60000; i += 100)
                block[i] = '\n';
        block[60000] = '\0';
        container_prints(block);
        log_source_drain(source);
        loop_timer_set(pump->release_timer, 0);
        pump->touched_ns -= 2 * RELEASE_AFTER_NS;
        struct loop_timer *stop = loop_timer_new(loop, ended, NULL);
        loop_timer_set(stop, 10 * NSEC_PER_MSEC);
        assert_ok(loop_run(loop));
        loop_timer_free(stop);
        assert_int_equal(mincore(pump->input, LINE_MAX_BYTES + INPUT_SIZE, resident), 0);
        for (size_t i = 0; i < ARRAY_SIZE(resident); i++)
                pages += resident[i] & 1;
        assert_int_equal(pages, 0);
}
