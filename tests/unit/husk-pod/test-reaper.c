#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/process.h"
#include "base/socket.h"
#include "base/str.h"
#include "husk-pod/pidfd-exit.h"
#include "husk-pod/reaper.h"
#include "husk-pod/trim.h"
#include "test.h"

/* This test is the keeper's end of the socket. */
static struct loop *loop;
static struct reaper *reaper;
static int keeper;
static pid_t mine; /* exits of this pid are claimed */
static char told[256];

static bool exited(void *arg, const struct keeper_exit *e) {
        char text[32];
        snprintf(text, sizeof(text), "%d:%d;", e->pid, e->status);
        strcat(told, text);
        return e->pid == mine;
}

static void orphaned(void *arg) {
        strcat(told, "orphan;");
        loop_stop(loop);
}

static void say(struct keeper_message m, int fd) {
        m.mounts = 4711;
        assert_int_equal(socket_send(keeper, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0), 0);
}

static void say_descriptor(const char *name, int number) {
        struct keeper_message m = { .type = KEEPER_DESCRIPTOR };
        int fd = memfd_create("test", MFD_CLOEXEC);
        assert_true(dprintf(fd, "%d", number) > 0);
        snprintf(m.name, sizeof(m.name), "%s", name);
        say(m, fd);
        close(fd);
}

static void say_start(uint64_t last, uint64_t pending) {
        say((struct keeper_message){ .type = KEEPER_START, .start = { last, pending } }, -1);
}

static void say_exit(uint64_t sequence, pid_t pid, int status) {
        struct keeper_exit e = {
                .sequence = sequence, .pid = pid, .start_time = 1000 + pid, .code = CLD_EXITED, .status = status
        };
        say((struct keeper_message){ .type = KEEPER_EXIT, .exit = e }, -1);
}

static int pod_end;
static void begin(void) {
        int pair[2];
        told[0] = '\0';
        mine = 0;
        assert_ok(loop_new(&loop));
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        keeper = pair[0];
        pod_end = pair[1];
}

static void receive(void) {
        struct reaper_callbacks callbacks = { exited, orphaned, NULL };
        assert_ok(reaper_new(loop, pod_end, &callbacks, &reaper));
}

/* Runs until the keeper has hung up. */
static void run(void) {
        keeper = fd_close(keeper);
        assert_ok(loop_run(loop));
}

static struct keeper_message heard(int *ret_fd) {
        struct keeper_message m = { 0 };
        size_t n = 1;
        *ret_fd = -EBADF;
        assert_int_equal(socket_receive(keeper, &m, sizeof(m), ret_fd, &n, MSG_DONTWAIT), sizeof(m));
        return m;
}

static void end(_unused_ int *unused) {
        reaper = reaper_free(reaper);
        loop = loop_free(loop);
        keeper = fd_close(keeper);
}
#define WITH_KEEPER \
        _cleanup_(end) _unused_ int _guard = 0; \
        begin()

TEST(a_first_husk_pod_inherits_nothing) {
        WITH_KEEPER;
        say_start(0, 0);
        receive();
        assert_false(reaper_is_orphan(reaper));
        assert_int_equal(reaper_mounts(reaper), 4711);
        assert_int_equal(reaper_take(reaper, "log/journal"), -EBADF);
}

TEST(descriptors_are_taken_once_and_the_rest_is_dropped) {
        WITH_KEEPER;
        char text[8] = "";
        int fd;

        say_descriptor("log/a", 1);
        say_descriptor("stdin/b", 2);
        say_start(5, 0);
        receive();
        int taken = reaper_take(reaper, "log/a");
        assert_true(taken >= 0 && pread(taken, text, 7, 0) == 1);
        assert_string_equal(text, "1");
        assert_int_equal(reaper_take(reaper, "log/a"), -EBADF);
        _cleanup_strv_ char **arguments = reaper_keep_arguments(reaper);
        assert_int_equal(strv_len(arguments), 2);
        reaper_drop_untaken(reaper);
        struct keeper_message m = heard(&fd);
        assert_int_equal(m.type, KEEPER_DROP);
        assert_string_equal(m.name, "stdin/b");
        _cleanup_strv_ char **left = reaper_keep_arguments(reaper);
        assert_int_equal(strv_len(left), 1);
        assert_true(str_ends_with(left[0], "=log/a"));
        close(taken);
}

TEST(exits_that_came_first_wait_to_be_claimed) {
        WITH_KEEPER;
        struct keeper_exit e;

        say_start(12, 2);
        say_exit(11, 100, 1);
        say_exit(12, 200, 2);
        receive();
        assert_false(reaper_claim(reaper, 200, 99, &e)); /* the same pid, another process */
        assert_true(reaper_claim(reaper, 200, 1200, &e));
        assert_int_equal(e.status, 2);
        assert_false(reaper_claim(reaper, 200, 1200, &e));
        mine = 100;
        reaper_offer(reaper);
        assert_string_equal(told, "100:1;");
        assert_false(reaper_claim(reaper, 100, 0, &e));
}

TEST(an_exit_is_acknowledged_only_when_all_before_it_are_dealt_with) {
        WITH_KEEPER;
        struct keeper_exit e;
        int fd;

        say_start(12, 2);
        say_exit(11, 100, 1);
        say_exit(12, 200, 2);
        receive();
        assert_true(reaper_claim(reaper, 200, 0, &e));
        reaper_acknowledge(reaper, false); /* 11 may still be somebody's */
        struct keeper_message none;
        assert_int_equal(recv(keeper, &none, sizeof(none), MSG_DONTWAIT), -1);
        reaper_acknowledge(reaper, true);
        struct keeper_message m = heard(&fd);
        assert_int_equal(m.type, KEEPER_SEEN);
        assert_int_equal(m.sequence, 12);
}

TEST(exits_are_told_as_they_come_and_the_keepers_end_too) {
        WITH_KEEPER;
        struct keeper_exit e;

        say_start(0, 0);
        receive();
        mine = 7;
        say_exit(1, 7, 3);
        say_exit(2, 8, 4);
        run();
        assert_string_equal(told, "7:3;8:4;orphan;");
        assert_false(reaper_claim(reaper, 7, 0, &e));
        assert_true(reaper_claim(reaper, 8, 0, &e));
}

TEST(a_keeper_killed_while_it_hands_over_leaves_what_had_arrived) {
        WITH_KEEPER;
        say_descriptor("log/a", 1);
        keeper = fd_close(keeper);
        receive();
        assert_true(reaper_is_orphan(reaper));
        assert_int_equal(reaper_mounts(reaper), 4711);
        _cleanup_strv_ char **arguments = reaper_keep_arguments(reaper);
        assert_int_equal(strv_len(arguments), 1);
}

TEST(the_kernel_tells_how_a_process_ended_that_is_no_child) {
        int fds[2], status;
        pid_t pid;
        int32_t code, value;

        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0) {
                pid = fork();
                if (pid == 0) {
                        usleep(100000);
                        _exit(42);
                }
                _exit(write(fds[1], &pid, sizeof(pid)) < 0);
        }
        assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
        _cleanup_close_ int pidfd = process_open(pid, 0);
        assert_true(pidfd >= 0);
        assert_false(pidfd_exit(pidfd, &code, &value)); /* it lives */
        waitpid(child, &status, 0);
        for (int i = 0; i < 200 && process_start_time(pid); i++)
                usleep(10000);
        if (!pidfd_exit(pidfd, &code, &value))
                skip(); /* a kernel older than 6.15 */
        assert_int_equal(code, CLD_EXITED);
        assert_int_equal(value, 42);
        close(fds[0]);
        close(fds[1]);
}

static int written = 1;
static const char *const table[] = { "a table", "of pointers" };

TEST(trimming_memory_changes_nothing_but_its_size) {
        char on_stack[4096];
        char *heap = xmalloc(100000);

        written = 2;
        memset(on_stack, 's', sizeof(on_stack));
        memset(heap, 'h', 100000);
        memory_trim();
        assert_int_equal(written, 2);
        assert_string_equal(table[1], "of pointers");
        for (size_t i = 0; i < sizeof(on_stack); i++)
                assert_int_equal(on_stack[i], 's');
        assert_int_equal(heap[99999], 'h');
        free(heap);
}
