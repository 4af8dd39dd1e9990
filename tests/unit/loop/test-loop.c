#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "loop/loop.h"
#include "test.h"

static struct loop *loop;
static char order[64];

static void loop_begin(void) {
        order[0] = '\0';
        assert_ok(loop_new(&loop));
}
static void loop_end(_unused_ int *unused) {
        loop = loop_free(loop);
}
#define WITH_LOOP \
        _cleanup_(loop_end) _unused_ int _loop_guard = 0; \
        loop_begin()

static void note(void *letter) {
        strcat(order, letter);
}
static void note_and_stop(void *letter) {
        strcat(order, letter);
        loop_stop(loop);
}

TEST(timers_fire_once_each_in_order_of_time) {
        WITH_LOOP;
        struct loop_timer *a = loop_timer_new(loop, note, "a"), *b = loop_timer_new(loop, note, "b"),
                          *c = loop_timer_new(loop, note_and_stop, "c"), *never = loop_timer_new(loop, note, "x");
        int64_t begin = clock_monotonic_ns();

        loop_timer_set(c, 30 * NSEC_PER_MSEC);
        loop_timer_set(a, 0);
        loop_timer_set(b, 10 * NSEC_PER_MSEC);
        loop_timer_set(never, 5 * NSEC_PER_MSEC);
        loop_timer_stop(never);
        assert_ok(loop_run(loop));
        assert_string_equal(order, "abc");
        assert_true(clock_monotonic_ns() - begin >= 30 * NSEC_PER_MSEC);
        loop_timer_free(a);
        loop_timer_free(b);
        loop_timer_free(c);
        loop_timer_free(never);
}

static void rearm(void *arg) {
        loop_timer_set(*(struct loop_timer **)arg, 0);
}

TEST(a_timer_can_be_set_again_from_its_callback_without_starving_others) {
        WITH_LOOP;
        struct loop_timer *busy, *stop = loop_timer_new(loop, note_and_stop, "s");
        busy = loop_timer_new(loop, rearm, &busy);
        loop_timer_set(busy, 0);
        loop_timer_set(stop, 5 * NSEC_PER_MSEC);
        assert_ok(loop_run(loop));
        assert_string_equal(order, "s");
        loop_timer_free(busy);
        loop_timer_free(stop);
}

TEST(an_idle_loop_does_not_wake_up) {
        WITH_LOOP;
        struct loop_timer *stop = loop_timer_new(loop, note_and_stop, "s");
        struct rusage before, after;

        loop_timer_set(stop, 300 * NSEC_PER_MSEC);
        getrusage(RUSAGE_SELF, &before);
        assert_ok(loop_run(loop));
        getrusage(RUSAGE_SELF, &after);
        assert_true(after.ru_nvcsw - before.ru_nvcsw <= 3);
        loop_timer_free(stop);
}

static struct loop_deferred *deferred;
static void arm_twice(void *arg) {
        loop_deferred_arm(deferred);
        strcat(order, arg);
        loop_deferred_arm(deferred);
}

TEST(a_deferred_call_comes_once_after_the_events_at_hand) {
        WITH_LOOP;
        deferred = loop_deferred_new(loop, note_and_stop, "d");
        struct loop_timer *a = loop_timer_new(loop, arm_twice, "a"), *b = loop_timer_new(loop, arm_twice, "b");
        loop_timer_set_at(a, 1);
        loop_timer_set_at(b, 2);
        assert_ok(loop_run(loop));
        assert_string_equal(order, "abd");
        loop_timer_free(a);
        loop_timer_free(b);
        loop_deferred_free(deferred);
}

static struct loop_io *both[2];
static int calls;
static void free_both(void *arg, int events) {
        calls++;
        assert_int_equal(events, LOOP_READABLE);
        both[0] = loop_io_free(both[0]);
        both[1] = loop_io_free(both[1]);
        loop_stop(loop);
}

TEST(what_is_freed_by_a_callback_is_not_called_though_it_was_ready) {
        WITH_LOOP;
        int first[2], second[2];

        calls = 0;

        assert_int_equal(pipe(first), 0);
        assert_int_equal(pipe(second), 0);
        assert_ok(loop_io_new(loop, first[0], LOOP_READABLE, free_both, NULL, &both[0]));
        assert_ok(loop_io_new(loop, second[0], LOOP_READABLE, free_both, NULL, &both[1]));
        assert_int_equal(write(first[1], "x", 1), 1);
        assert_int_equal(write(second[1], "x", 1), 1);
        assert_ok(loop_run(loop));
        assert_int_equal(calls, 1);
        for (int i = 0; i < 2; i++) {
                close(first[i]);
                close(second[i]);
        }
}

static struct loop_command_result last;
static char last_failure[256];
static void command_done(void *arg, struct loop_command_result *result) {
        last = *result;
        snprintf(last_failure, sizeof(last_failure), "%s", result->failure ? result->failure : "");
        result->output = result->errors = NULL;
        loop_stop(loop);
}
static void run_command(struct loop_command_options options) {
        struct loop_command *command;
        free(last.output);
        free(last.errors);
        last = (struct loop_command_result){ 0 };
        assert_ok(loop_command_new(loop, &options, command_done, NULL, &command));
        assert_ok(loop_run(loop));
}
static void results_free(_unused_ int *unused) {
        free(last.output);
        free(last.errors);
        last = (struct loop_command_result){ 0 };
}
#define SHELL(text) \
        (char *const[]) { \
                "sh", "-c", text, NULL \
        }

TEST(a_command_tells_its_status_and_what_it_printed) {
        WITH_LOOP;
        _cleanup_(results_free) _unused_ int guard = 0;

        run_command((struct loop_command_options){
                .argv = SHELL("echo out; echo err >&2; exit 3"), .gather_output = true, .gather_errors = true });
        assert_int_equal(last.exit.si_code, CLD_EXITED);
        assert_int_equal(last.exit.si_status, 3);
        assert_string_equal(last.output, "out\n");
        assert_string_equal(last.errors, "err\n");

        run_command((struct loop_command_options){
                .argv = SHELL("echo a; echo b >&2; kill -9 $$"), .gather_output = true, .merge = true });
        assert_int_equal(last.exit.si_code, CLD_KILLED);
        assert_int_equal(last.exit.si_status, SIGKILL);
        assert_string_equal(last.output, "a\nb\n");
}

TEST(a_missing_program_is_an_error_and_not_an_exit) {
        WITH_LOOP;
        struct loop_command *command;
        assert_error(loop_command_new(loop,
                                      &(struct loop_command_options){ .argv = (char *const[]){ "/nonexistent", NULL } },
                                      command_done, NULL, &command),
                     ERROR_NOT_FOUND, "run /nonexistent");
}

/* With `enter` a command is started by fork(2), not posix_spawn(3): nothing else may differ. */
TEST(a_command_enters_what_it_is_told_to_before_its_program_runs) {
        WITH_LOOP;
        _cleanup_(results_free) _unused_ int guard = 0;
        _cleanup_close_ int group = memfd_create("group", MFD_CLOEXEC), given = memfd_create("given", MFD_CLOEXEC);
        int keep[32]; /* so many that one of them is to have the very number of `group` */
        char text[8] = "";

        assert_int_equal(write(given, "fd", 2), 2);
        assert_int_equal(lseek(given, 0, SEEK_SET), 0);
        for (size_t i = 0; i < ARRAY_SIZE(keep); i++)
                keep[i] = given;
        assert_true(group < 3 + (int)ARRAY_SIZE(keep));
        run_command(
                (struct loop_command_options){ .argv = SHELL("cat <&3; pwd; read x || echo none >&2; kill -PIPE $$"),
                                               .folder = "/proc",
                                               .gather_output = true,
                                               .gather_errors = true,
                                               .keep = keep,
                                               .n_keep = ARRAY_SIZE(keep),
                                               .enter = &group,
                                               .n_enter = 1 });
        assert_string_equal(last.output, "fd/proc\n");
        assert_string_equal(last.errors, "none\n");
        assert_int_equal(last.exit.si_status, SIGPIPE);
        assert_int_equal(pread(group, text, sizeof(text), 0), 1);
        assert_string_equal(text, "0");
}

TEST(a_command_that_cannot_enter_does_not_run_and_says_why) {
        WITH_LOOP;
        _cleanup_(results_free) _unused_ int guard = 0;
        _cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC), fine = memfd_create("fine", MFD_CLOEXEC);

        run_command((struct loop_command_options){
                .argv = SHELL("echo ran"), .gather_output = true, .enter = &full, .n_enter = 1 });
        assert_string_equal(last_failure, "enter the cgroup for sh: No space left on device");
        assert_string_equal(last.output, "");
        assert_int_equal(last.exit.si_status, 127);
        run_command((struct loop_command_options){
                .argv = (char *const[]){ "/nonexistent", NULL }, .enter = &fine, .n_enter = 1 });
        assert_string_equal(last_failure, "run /nonexistent: No such file or directory");
        run_command((struct loop_command_options){ .argv = SHELL("exit 127"), .enter = &fine, .n_enter = 1 });
        assert_string_equal(last_failure, "");
}

/* A write that blocks, as the child of a cgroup whose processor time is used up stands still. */
TEST(a_command_that_takes_long_to_enter_holds_nobody_up) {
        WITH_LOOP;
        _cleanup_(results_free) _unused_ int guard = 0;
        struct loop_command *command;
        int fifo[2];

        assert_int_equal(pipe(fifo), 0);
        assert_int_equal(fcntl(fifo[1], F_SETPIPE_SZ, 4096), 4096);
        char page[4096] = { 0 };
        assert_int_equal(write(fifo[1], page, sizeof(page)), sizeof(page));
        assert_ok(loop_command_new(
                loop,
                &(struct loop_command_options){
                        .argv = SHELL("echo in"), .gather_output = true, .enter = &fifo[1], .n_enter = 1 },
                command_done, NULL, &command));
        /* It has come back, though the command cannot have entered: now it can. */
        assert_int_equal(read(fifo[0], page, sizeof(page)), sizeof(page));
        assert_ok(loop_run(loop));
        assert_string_equal(last.output, "in\n");
        close(fifo[0]);
        close(fifo[1]);
}

/* Ends without a word to the command, as by SIGKILL. */
static _noreturn_ void start_and_die(int output, int enter) {
        struct loop_command *command;
        struct loop_command_options options = {
                .argv = SHELL("echo ran"), .output = output, .enter = &enter, .n_enter = 1
        };
        struct error *err = loop_new(&loop);

        if (!err)
                err = loop_command_new(loop, &options, command_done, NULL, &command);
        _exit(err ? 1 : 0);
}

/* Whoever takes over would not find it: it looks like its parent, and is not in its cgroup yet. */
TEST(a_command_that_has_not_entered_dies_with_its_parent) {
        int fifo[2], ends[2], status;
        char page[4096] = { 0 };

        assert_int_equal(pipe(fifo), 0);
        assert_int_equal(fcntl(fifo[1], F_SETPIPE_SZ, 4096), 4096);
        assert_int_equal(write(fifo[1], page, sizeof(page)), sizeof(page));
        assert_int_equal(pipe(ends), 0);
        pid_t parent = fork();
        if (parent == 0)
                start_and_die(ends[1], fifo[1]);
        assert_int_equal(waitpid(parent, &status, 0), parent);
        assert_int_equal(status, 0);
        close(ends[1]);
        assert_int_equal(read(ends[0], page, sizeof(page)), 0); /* its end, and nothing was run */
        close(ends[0]);
        close(fifo[0]);
        close(fifo[1]);
}

TEST(output_beyond_the_bound_is_dropped_without_blocking_the_command) {
        WITH_LOOP;
        _cleanup_(results_free) _unused_ int guard = 0;
        run_command((struct loop_command_options){
                .argv = SHELL("head -c 1000000 /dev/zero | tr '\\0' x"), .gather_output = true, .output_max = 1000 });
        assert_int_equal(last.output_len, 1000);
        assert_int_equal(last.exit.si_status, 0);
}

TEST(a_command_that_takes_too_long_is_killed_with_its_children) {
        WITH_LOOP;
        _cleanup_(results_free) _unused_ int guard = 0;
        int64_t begin = clock_monotonic_ns();
        run_command((struct loop_command_options){ .argv = SHELL("sleep 30 & sleep 30"),
                                                   .gather_output = true,
                                                   .timeout_ns = 50 * NSEC_PER_MSEC,
                                                   .new_session = true });
        assert_true(last.timed_out);
        assert_int_equal(last.exit.si_code, CLD_KILLED);
        assert_true(clock_monotonic_ns() - begin < 5 * NSEC_PER_SEC);
}

TEST(a_grandchild_that_keeps_the_output_open_delays_the_end_only_a_little) {
        WITH_LOOP;
        _cleanup_(results_free) _unused_ int guard = 0;
        int64_t begin = clock_monotonic_ns();
        run_command((struct loop_command_options){
                .argv = SHELL("sleep 1 & echo ready"), .gather_output = true, .linger_ms = 50 });
        assert_string_equal(last.output, "ready\n");
        assert_true(clock_monotonic_ns() - begin < 900 * NSEC_PER_MSEC);
}

TEST(descriptors_are_handed_over_in_order_whatever_their_numbers) {
        WITH_LOOP;
        _cleanup_(results_free) _unused_ int guard = 0;
        int a[2], b[2];

        assert_int_equal(pipe(a), 0);
        assert_int_equal(pipe(b), 0);
        assert_int_equal(write(a[1], "A\n", 2), 2);
        assert_int_equal(write(b[1], "B\n", 2), 2);
        run_command((struct loop_command_options){ .argv = SHELL("read x <&3; read y <&4; echo $x$y"),
                                                   .gather_output = true,
                                                   .keep = (int[]){ b[0], a[0] },
                                                   .n_keep = 2,
                                                   .folder = "/" });
        assert_string_equal(last.output, "BA\n");
        for (int i = 0; i < 2; i++) {
                close(a[i]);
                close(b[i]);
        }
}

TEST(a_command_that_is_freed_early_is_killed_and_leaves_no_zombie) {
        WITH_LOOP;
        struct loop_command *command;
        struct loop_timer *stop = loop_timer_new(loop, note_and_stop, "s");

        assert_ok(loop_command_new(loop,
                                   &(struct loop_command_options){ .argv = SHELL("sleep 30"), .gather_output = true },
                                   command_done, NULL, &command));
        pid_t pid = loop_command_pid(command);
        loop_command_free(command);
        loop_timer_set(stop, 100 * NSEC_PER_MSEC);
        assert_ok(loop_run(loop));
        assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        loop_timer_free(stop);

        assert_ok(loop_command_new(loop, &(struct loop_command_options){ .argv = SHELL("sleep 30") }, command_done,
                                   NULL, &command));
        pid = loop_command_pid(command);
        loop_command_free(command);
        loop = loop_free(loop);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

static char seen[256];
static void file_changed(void *arg, uint32_t events, const char *name) {
        strcat(seen, (char *)arg);
        strcat(seen, name);
        strcat(seen, ";");
        loop_stop(loop);
}

TEST(two_watches_of_one_folder_are_both_told_and_one_can_go) {
        WITH_LOOP;
        char folder[] = "/tmp/test-loop-XXXXXX", path[64];
        struct loop_watch *one, *two;

        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/pod.json", folder);
        assert_ok(loop_watch_new(loop, folder, IN_MOVED_TO, file_changed, "1:", &one));
        assert_ok(loop_watch_new(loop, folder, IN_MOVED_TO | IN_DELETE, file_changed, "2:", &two));
        assert_ok(file_replace(path, "x", 1, 0600, 0));
        seen[0] = '\0';
        assert_ok(loop_run(loop));
        assert_string_equal(seen, "2:pod.json;1:pod.json;");

        loop_watch_free(two);
        assert_ok(file_replace(path, "y", 1, 0600, 0));
        seen[0] = '\0';
        assert_ok(loop_run(loop));
        assert_string_equal(seen, "1:pod.json;");
        loop_watch_free(one);
        assert_ok(remove_tree(folder));
}

TEST(watching_a_missing_file_is_an_error) {
        WITH_LOOP;
        struct loop_watch *watch;
        assert_error(loop_watch_new(loop, "/nonexistent/file", IN_MODIFY, file_changed, "", &watch), ERROR_NOT_FOUND,
                     "watch /nonexistent/file");
}

/* CLOCK_BOOTTIME is nobody's to set, and goes on while the machine sleeps. */
TEST(timers_are_on_a_clock_that_no_setting_of_the_time_moves) {
        WITH_LOOP;
        struct loop_timer *timer = loop_timer_new(loop, NULL, NULL);
        int found = 0;

        loop_timer_set(timer, NSEC_PER_SEC);
        for (int fd = 3; fd < 64; fd++) {
                char path[64], link[64] = "";
                _cleanup_free_ char *text = NULL;

                snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
                if (readlink(path, link, sizeof(link) - 1) < 0 || !strstr(link, "[timerfd]"))
                        continue;
                snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
                assert_ok(file_read(path, 4096, &text, NULL));
                assert_non_null(strstr(text, "clockid: 7\n"));
                found++;
        }
        assert_true(found > 0);
        loop_timer_free(timer);
}
