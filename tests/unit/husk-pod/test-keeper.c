/* husk-keeper as a real process, with this program in the part of husk-pod: the keeper is copied into a folder of its
 * own where "husk-pod" is a link to the test. That fake connects to the test's socket, tells it in words what the
 * keeper says, and does what the test asks. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "base/socket.h"
#include "base/str.h"
#include "husk-keeper/protocol.h"
#include "test.h"

/* ---- the fake husk-pod ---- */

static int control_connect(const char *run) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", run);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                _exit(3);
        return fd;
}

static void fake_says(int control, const char *format, ...) _printf_(2, 3);
static void fake_says(int control, const char *format, ...) {
        char line[512];
        va_list ap;
        va_start(ap, format);
        int n = vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        if (send(control, line, n + 1, MSG_NOSIGNAL) < 0)
                _exit(4);
}

static void fake_hears_keeper(int control) {
        struct keeper_message m;
        int fd = -1;
        size_t n_fds = 1;
        ssize_t n = socket_receive(KEEPER_SOCKET, &m, sizeof(m), &fd, &n_fds, 0);

        if (n != sizeof(m))
                _exit(5);
        if (m.type == KEEPER_DESCRIPTOR && streq(m.name, "host-mounts")) {
                close(fd);
        } else if (m.type == KEEPER_DESCRIPTOR) {
                char content[64] = "";
                if (pread(fd, content, sizeof(content) - 1, 0) < 0)
                        _exit(6);
                fake_says(control, "descriptor %s %s", m.name, content);
                close(fd);
        } else if (m.type == KEEPER_START) {
                fake_says(control, "start %u", m.started);
        } else if (m.type == KEEPER_EXIT) {
                fake_says(control, "exit %llu pid %d %s %d", (unsigned long long)m.exit.sequence, m.exit.pid,
                          m.exit.code == CLD_EXITED ? "status" : "signal", m.exit.status);
        }
}

/* A grandchild whose parent is gone at once, as a container after `crun run --detach`. */
static void fake_spawns(int control, int status) {
        int fds[2];
        pid_t pid;

        if (pipe(fds) < 0)
                _exit(7);
        pid_t child = fork();
        if (child == 0) {
                pid = fork();
                if (pid == 0) {
                        if (status >= 0)
                                _exit(status);
                        prctl(PR_SET_PDEATHSIG, 0);
                        for (;;)
                                pause();
                }
                if (write(fds[1], &pid, sizeof(pid)) < 0)
                        _exit(1);
                _exit(0);
        }
        waitpid(child, NULL, 0);
        if (read(fds[0], &pid, sizeof(pid)) != sizeof(pid))
                _exit(8);
        close(fds[0]);
        close(fds[1]);
        fake_says(control, "spawned %d", pid);
}

static void fake_obeys(int control) {
        char line[512], word[100];
        int number;
        ssize_t n = recv(control, line, sizeof(line) - 1, 0);

        if (n <= 0)
                _exit(9);
        line[n] = '\0';
        struct keeper_message m = { 0 };
        if (sscanf(line, "exit %d", &number) == 1) {
                _exit(number);
        } else if (sscanf(line, "spawn %d", &number) == 1) {
                fake_spawns(control, number);
        } else if (sscanf(line, "burst %d", &number) == 1) {
                while (number-- > 0) { /* without listening: the keeper's socket becomes full */
                        pid_t child = fork();
                        if (child == 0) {
                                if (fork() == 0)
                                        _exit(9);
                                _exit(0);
                        }
                        waitpid(child, NULL, 0);
                }
                usleep(200000);
                fake_says(control, "burst over");
        } else if (sscanf(line, "store %99s %d", word, &number) == 2) {
                int fd = memfd_create("stored", MFD_CLOEXEC);
                m.type = KEEPER_STORE;
                snprintf(m.name, sizeof(m.name), "%s", word);
                if (dprintf(fd, "%d", number) < 0 || socket_send(KEEPER_SOCKET, &m, sizeof(m), &fd, 1) < 0)
                        _exit(10);
                close(fd);
        } else if (sscanf(line, "drop %99s", word) == 1) {
                m.type = KEEPER_DROP;
                snprintf(m.name, sizeof(m.name), "%s", word);
                if (socket_send(KEEPER_SOCKET, &m, sizeof(m), NULL, 0) < 0)
                        _exit(11);
        } else if (sscanf(line, "seen %d", &number) == 1) {
                m.type = KEEPER_SEEN;
                m.sequence = number;
                if (socket_send(KEEPER_SOCKET, &m, sizeof(m), NULL, 0) < 0)
                        _exit(12);
        } else if (streq(line, "parent")) {
                fake_says(control, "parent %d", getppid());
        }
}

static void fake_main(const char *run) {
        int control = control_connect(run);
        for (;;) {
                struct pollfd fds[] = { { control, POLLIN, 0 }, { KEEPER_SOCKET, POLLIN, 0 } };
                poll(fds, 2, -1);
                if (fds[1].revents)
                        fake_hears_keeper(control);
                if (fds[0].revents)
                        fake_obeys(control);
        }
}

__attribute__((constructor)) static void become_fake(int argc, char **argv) {
        if (argc == 7 && str_ends_with(argv[0], "/husk-pod"))
                fake_main(argv[4]);
}

/* ---- the test's side ---- */

struct fixture {
        char folder[64];
        int listener, control;
        pid_t keeper;
};

static void copy_program(const char *from, const char *to) {
        char *data;
        size_t len;
        assert_ok(file_read(from, 64 << 20, &data, &len));
        assert_ok(file_replace(to, data, len, 0755, 0));
        free(data);
}

static void keeper_start(struct fixture *f, const char *extra, const char *extra_value) {
        char program[128];
        snprintf(program, sizeof(program), "%s/husk-keeper", f->folder);
        f->keeper = fork();
        if (f->keeper == 0) {
                char *argv[] = { program, "--root",      f->folder,           "--run", f->folder, "--uid",
                                 "u1",    (char *)extra, (char *)extra_value, NULL };
                setsid();
                execv(program, argv);
                _exit(127);
        }
}

static void accept_fake(struct fixture *f) {
        struct pollfd p = { f->listener, POLLIN, 0 };
        assert_int_equal(poll(&p, 1, 5000), 1);
        f->control = fd_close(f->control);
        f->control = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(f->control >= 0);
}

static void fixture_init(struct fixture *f) {
        char path[128], self[256];
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *keeper = getenv("HUSK_KEEPER");

        assert_non_null(keeper);
        strcpy(f->folder, "/tmp/test-keeper-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        snprintf(path, sizeof(path), "%s/husk-keeper", f->folder);
        copy_program(keeper, path);
        snprintf(path, sizeof(path), "%s/pods/u1", f->folder); /* of a pod that exists */
        assert_ok(mkdir_parents(path, 0700));
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        assert_true(n > 0);
        self[n] = '\0';
        snprintf(path, sizeof(path), "%s/husk-pod", f->folder);
        assert_int_equal(symlink(self, path), 0);

        f->control = -EBADF;
        f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", f->folder);
        assert_int_equal(bind(f->listener, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(f->listener, 5), 0);
        keeper_start(f, NULL, NULL);
        accept_fake(f);
}

static void fixture_release(struct fixture *f) {
        fd_close(f->control);
        fd_close(f->listener);
        if (f->keeper > 0) {
                kill(f->keeper, SIGKILL);
                waitpid(f->keeper, NULL, 0);
        }
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        error_free(remove_tree(f->folder));
}
#define _cleanup_fixture_ _cleanup_(fixture_release)

static void expect(struct fixture *f, const char *wanted) {
        char line[512];
        struct pollfd p = { f->control, POLLIN, 0 };
        assert_int_equal(poll(&p, 1, 5000), 1);
        ssize_t n = recv(f->control, line, sizeof(line) - 1, 0);
        line[n > 0 ? n : 0] = '\0';
        assert_string_equal(line, wanted);
}

static int expect_number(struct fixture *f, const char *format) {
        char line[512];
        int number = -1;
        struct pollfd p = { f->control, POLLIN, 0 };
        assert_int_equal(poll(&p, 1, 5000), 1);
        ssize_t n = recv(f->control, line, sizeof(line) - 1, 0);
        line[n > 0 ? n : 0] = '\0';
        if (sscanf(line, format, &number) != 1)
                fail_msg("\"%s\" is not %s", line, format);
        return number;
}

static void ask(struct fixture *f, const char *command) {
        assert_true(send(f->control, command, strlen(command), 0) > 0);
}

static void expect_exit(struct fixture *f, int sequence, pid_t pid, const char *how, int status) {
        char wanted[128];
        snprintf(wanted, sizeof(wanted), "exit %d pid %d %s %d", sequence, pid, how, status);
        expect(f, wanted);
}

TEST(the_keeper_ends_when_husk_pod_ends_well) {
        _cleanup_fixture_ struct fixture f;
        int status;

        fixture_init(&f);
        expect(&f, "start 0");
        ask(&f, "exit 0");
        assert_int_equal(waitpid(f.keeper, &status, 0), f.keeper);
        f.keeper = 0;
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(a_husk_pod_that_dies_is_started_again_and_gets_its_descriptors_back) {
        _cleanup_fixture_ struct fixture f;

        fixture_init(&f);
        expect(&f, "start 0");
        ask(&f, "store log/a 11");
        ask(&f, "store log/b 12");
        ask(&f, "store other 13");
        ask(&f, "store other 14");
        ask(&f, "drop log/a");
        ask(&f, "exit 1");
        accept_fake(&f);
        expect(&f, "descriptor other 14");
        expect(&f, "descriptor log/b 12");
        expect(&f, "start 1");
        ask(&f, "drop log/*");
        ask(&f, "exit 1");
        accept_fake(&f);
        expect(&f, "descriptor other 14");
        expect(&f, "start 2");
}

TEST(orphans_become_the_keepers_children_and_their_exits_are_told) {
        _cleanup_fixture_ struct fixture f;

        fixture_init(&f);
        expect(&f, "start 0");
        ask(&f, "spawn -1");
        pid_t pid = expect_number(&f, "spawned %d");
        kill(pid, SIGTERM);
        expect_exit(&f, 1, pid, "signal", SIGTERM);
        ask(&f, "spawn 7");
        pid = expect_number(&f, "spawned %d");
        expect_exit(&f, 2, pid, "status", 7);
}

TEST(exits_are_told_again_to_a_successor_until_they_were_seen) {
        _cleanup_fixture_ struct fixture f;

        fixture_init(&f);
        expect(&f, "start 0");
        ask(&f, "spawn 1");
        pid_t first = expect_number(&f, "spawned %d");
        expect_exit(&f, 1, first, "status", 1);
        ask(&f, "spawn 2");
        pid_t second = expect_number(&f, "spawned %d");
        expect_exit(&f, 2, second, "status", 2);
        ask(&f, "seen 1");
        ask(&f, "exit 1");
        accept_fake(&f);
        expect(&f, "start 1");
        expect_exit(&f, 2, second, "status", 2);
}

TEST(what_ends_while_no_husk_pod_runs_is_told_to_the_next) {
        _cleanup_fixture_ struct fixture f;

        fixture_init(&f);
        expect(&f, "start 0");
        ask(&f, "spawn -1");
        pid_t pid = expect_number(&f, "spawned %d");
        ask(&f, "exit 1");
        kill(pid, SIGKILL);
        accept_fake(&f);
        expect(&f, "start 1");
        expect_exit(&f, 1, pid, "signal", SIGKILL);
}

TEST(a_new_keeper_goes_on_with_the_exits_that_the_killed_one_wrote) {
        _cleanup_fixture_ struct fixture f;

        fixture_init(&f);
        expect(&f, "start 0");
        ask(&f, "spawn 3");
        pid_t pid = expect_number(&f, "spawned %d");
        expect_exit(&f, 1, pid, "status", 3);
        kill(f.keeper, SIGKILL);
        waitpid(f.keeper, NULL, 0);

        char path[128];
        snprintf(path, sizeof(path), "%s/pods/u1/exits", f.folder);
        int fd = open(path, O_WRONLY | O_APPEND);
        assert_int_equal(write(fd, "half a record", 13), 13); /* as if killed in the middle of writing */
        close(fd);

        int kept = memfd_create("kept", 0);
        char argument[32];
        assert_true(dprintf(kept, "42") > 0);
        snprintf(argument, sizeof(argument), "%d=log/kept", kept);
        keeper_start(&f, "--keep", argument);
        close(kept);
        accept_fake(&f);
        expect(&f, "descriptor log/kept 42");
        expect(&f, "start 0");
        expect_exit(&f, 1, pid, "status", 3);
        ask(&f, "spawn 4");
        pid = expect_number(&f, "spawned %d");
        expect_exit(&f, 2, pid, "status", 4);
}

TEST(a_second_keeper_for_the_same_pod_refuses_to_run) {
        _cleanup_fixture_ struct fixture f;
        int status;

        fixture_init(&f);
        expect(&f, "start 0");
        pid_t first = f.keeper;
        keeper_start(&f, "--foreground", NULL);
        assert_int_equal(waitpid(f.keeper, &status, 0), f.keeper);
        f.keeper = first;
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

TEST(polite_signals_do_not_end_the_keeper) {
        _cleanup_fixture_ struct fixture f;

        fixture_init(&f);
        expect(&f, "start 0");
        kill(f.keeper, SIGTERM);
        kill(f.keeper, SIGINT);
        kill(f.keeper, SIGHUP);
        ask(&f, "spawn 0");
        pid_t pid = expect_number(&f, "spawned %d");
        expect_exit(&f, 1, pid, "status", 0);
}

TEST(a_renewed_keeper_is_the_program_on_the_disk_and_keeps_pid_lock_children_and_descriptors) {
        _cleanup_fixture_ struct fixture f;
        char path[128], fresh[128], running[64];
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat on_disk, runs;

        fixture_init(&f);
        expect(&f, "start 0");
        ask(&f, "store log/a 11");
        ask(&f, "store log/b 12");
        ask(&f, "spawn -1");
        pid_t pid = expect_number(&f, "spawned %d");
        snprintf(path, sizeof(path), "%s/husk-keeper", f.folder);
        snprintf(fresh, sizeof(fresh), "%s/fresh", f.folder);
        copy_program(getenv("HUSK_KEEPER"), fresh);
        assert_int_equal(rename(fresh, path), 0);
        kill(f.keeper, SIGUSR2);
        accept_fake(&f);
        expect(&f, "descriptor log/a 11");
        expect(&f, "descriptor log/b 12");
        expect(&f, "start 0");
        snprintf(running, sizeof(running), "/proc/%d/exe", f.keeper);
        assert_int_equal(stat(path, &on_disk), 0);
        assert_int_equal(stat(running, &runs), 0);
        assert_int_equal(runs.st_ino, on_disk.st_ino);
        snprintf(path, sizeof(path), "%s/pods/u1/lock", f.folder);
        _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GETLK, &lock), 0);
        assert_true(lock.l_type == F_WRLCK && lock.l_pid == f.keeper);
        kill(pid, SIGKILL);
        expect_exit(&f, 1, pid, "signal", SIGKILL);
        ask(&f, "exit 1"); /* and once more, from the renewed one */
        accept_fake(&f);
        expect(&f, "descriptor log/a 11");
        expect(&f, "descriptor log/b 12");
        expect(&f, "start 1");
        expect_exit(&f, 1, pid, "signal", SIGKILL);
}

TEST(a_keeper_that_cannot_be_renewed_goes_on) {
        _cleanup_fixture_ struct fixture f;
        char path[128];

        fixture_init(&f);
        expect(&f, "start 0");
        ask(&f, "store log/a 11");
        ask(&f, "spawn 0"); /* when that is answered, the descriptor has arrived */
        pid_t pid = expect_number(&f, "spawned %d");
        expect_exit(&f, 1, pid, "status", 0);
        snprintf(path, sizeof(path), "%s/husk-keeper", f.folder);
        assert_int_equal(unlink(path), 0);
        kill(f.keeper, SIGUSR2);
        accept_fake(&f);
        expect(&f, "descriptor log/a 11");
        expect(&f, "start 1");
        expect_exit(&f, 1, pid, "status", 0); /* nobody had seen it */
}

TEST(exits_arrive_in_order_and_complete_though_the_reader_is_slow) {
        _cleanup_fixture_ struct fixture f;
        char line[128];

        fixture_init(&f);
        expect(&f, "start 0");
        ask(&f, "burst 1000");
        expect(&f, "burst over");
        for (int i = 1; i <= 1000; i++) {
                unsigned long long sequence = 0;
                int pid, status = 0;
                struct pollfd p = { f.control, POLLIN, 0 };
                assert_int_equal(poll(&p, 1, 5000), 1);
                ssize_t n = recv(f.control, line, sizeof(line) - 1, 0);
                line[n > 0 ? n : 0] = '\0';
                assert_int_equal(sscanf(line, "exit %llu pid %d status %d", &sequence, &pid, &status), 3);
                assert_int_equal(sequence, i);
                assert_int_equal(status, 9);
        }
}

TEST(the_file_of_exits_does_not_grow_for_ever) {
        _cleanup_fixture_ struct fixture f;

        fixture_init(&f);
        expect(&f, "start 0");
        for (int i = 1; i <= 2000; i++) {
                ask(&f, "spawn 5");
                pid_t pid = expect_number(&f, "spawned %d");
                expect_exit(&f, i, pid, "status", 5);
                if (i % 700 == 0) {
                        char seen[32];
                        snprintf(seen, sizeof(seen), "seen %d", i);
                        ask(&f, seen);
                }
        }
        ask(&f, "seen 2000");
        ask(&f, "exit 1");
        accept_fake(&f);
        expect(&f, "start 1");
        struct stat st;
        char path[128];
        snprintf(path, sizeof(path), "%s/pods/u1/exits", f.folder);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 0); /* all of it was seen */
        ask(&f, "spawn 6");
        pid_t pid = expect_number(&f, "spawned %d");
        expect_exit(&f, 2001, pid, "status", 6);
}

TEST(the_keeper_costs_a_few_pages) {
        _cleanup_fixture_ struct fixture f;
        _cleanup_free_ char *smaps = NULL;
        char path[64];
        int pss = 0;

        fixture_init(&f);
        expect(&f, "start 0");
        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", f.keeper);
        assert_ok(file_read(path, 1 << 16, &smaps, NULL));
        char *line = strstr(smaps, "\nPss:");
        assert_non_null(line);
        assert_int_equal(sscanf(line, "\nPss: %d kB", &pss), 1);
        print_message("keeper: %d kB\n", pss);
        if (!getenv("HUSK_SANITIZED"))
                assert_true(pss <= 80);
}
