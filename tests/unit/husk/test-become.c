#include "husk/become.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "base/str.h"
#include "test.h"

#define CGROUP2_MAGIC 0x63677270
#define WAIT_MS 20000

static pid_t attended; /* in the process that calls become() */

static struct error *attend(pid_t program) {
        attended = program;
        return NULL;
}

static struct error *attend_badly(pid_t program) {
        return error_new(ERROR_INTERNAL, "nobody has time");
}

/* A cgroup of v2, also on a hybrid machine; NULL: none can be made here. */
static char *make_cgroup(void) {
        static const char *const tops[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
        struct statfs fs;

        for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
                _cleanup_free_ char *path = xasprintf("%s/husk-test-become-%d", tops[i], getpid());
                if (statfs(tops[i], &fs) == 0 && fs.f_type == CGROUP2_MAGIC && mkdir(path, 0755) == 0)
                        return TAKE_PTR(path);
        }
        return NULL;
}

static void remove_cgroup(char **path) {
        for (unsigned i = 0; *path && rmdir(*path) < 0 && errno == EBUSY && i < 2000; i++)
                usleep(1000);
        free(*path);
}
#define _cleanup_cgroup_ _cleanup_(remove_cgroup)

/* A process that becomes `script`, in `cgroup` if there is one, and ends with its status, or 99 for an error. */
static pid_t start(const char *cgroup, const char *script, int out) {
        pid_t pid = fork();
        int status = 0;

        if (pid)
                return pid;
        struct cgroup_entry entry = { .folder = cgroup ? open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC) : 0 };
        char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
        dup2(out, STDOUT_FILENO);
        struct error *err = become(argv, &entry, attend, &status);
        if (err)
                fprintf(stderr, "%s\n", error_message(err));
        _exit(err ? 99 : status);
}

static int end_of(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

/* Reads until `word` has come; false: the end, or nothing for long. */
static bool hear(int fd, const char *word) {
        char text[256] = "";
        size_t n = 0;

        while (!strstr(text, word) && n < sizeof(text) - 1) {
                struct pollfd readable = { .fd = fd, .events = POLLIN };
                if (poll(&readable, 1, WAIT_MS) <= 0)
                        return false;
                ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);
                if (got <= 0)
                        return false;
                n += (size_t)got;
                text[n] = '\0';
        }
        return strstr(text, word);
}

/* Both ways: a child in the cgroup, and the process itself. */
static void check_ends(const char *cgroup) {
        assert_int_equal(end_of(start(cgroup, "exit 7", STDOUT_FILENO)), 7 << 8);
        assert_int_equal(end_of(start(cgroup, "kill -TERM $$", STDOUT_FILENO)), SIGTERM);
        assert_int_equal(end_of(start(cgroup, "kill -KILL $$", STDOUT_FILENO)), SIGKILL);
}

TEST(a_program_that_husk_became_ends_husk_as_it_ended) {
        _cleanup_cgroup_ char *cgroup = make_cgroup();

        check_ends(NULL);
        if (cgroup)
                check_ends(cgroup);
}

TEST(a_program_is_born_in_the_cgroup_and_husk_is_not) {
        _cleanup_cgroup_ char *cgroup = make_cgroup();
        int pipes[2];

        if (!cgroup)
                skip();
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        pid_t pid = start(cgroup, "grep ^0: /proc/$$/cgroup /proc/$PPID/cgroup | cut -d: -f2-; echo .; exec sleep 1000",
                          pipes[1]);
        close(pipes[1]);
        char text[1024] = "";
        size_t n = 0;
        for (ssize_t got = 1; got > 0 && !strstr(text, "."); n += (size_t)MAX(got, 0))
                got = read(pipes[0], text + n, sizeof(text) - 1 - n);
        const char *first = strstr(text, strrchr(cgroup, '/'));
        assert_non_null(first);
        assert_null(strstr(first + 1, strrchr(cgroup, '/')));
        assert_int_equal(kill(pid, SIGTERM), 0);
        assert_int_equal(end_of(pid), SIGTERM);
        close(pipes[0]);
}

TEST(signals_reach_the_program_and_without_husk_it_is_gone) {
        _cleanup_cgroup_ char *cgroup = make_cgroup();
        int pipes[2];

        if (!cgroup)
                skip();
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        pid_t pid = start(cgroup, "trap 'echo heard; exit 9' USR1; echo ready; while :; do sleep 0.01; done", pipes[1]);
        assert_true(hear(pipes[0], "ready"));
        kill(pid, SIGUSR1);
        assert_true(hear(pipes[0], "heard"));
        assert_int_equal(end_of(pid), 9 << 8);

        pid = start(cgroup, "echo ready; exec sleep 1000", pipes[1]);
        assert_true(hear(pipes[0], "ready"));
        kill(pid, SIGKILL);
        assert_int_equal(end_of(pid), SIGKILL);
        close(pipes[1]);
        assert_false(hear(pipes[0], "anything")); /* the other end is closed at once, not after 1000 s */
        close(pipes[0]);
}

TEST(what_cannot_be_executed_is_told_and_nothing_stays_behind) {
        _cleanup_cgroup_ char *cgroup = make_cgroup();
        char *argv[] = { (char *)"/nonexistent/runtime", NULL };
        int status = 0;

        if (!cgroup)
                skip();
        struct cgroup_entry entry = { .folder = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC) };
        assert_error(become(argv, &entry, attend, &status), ERROR_NOT_FOUND, "run /nonexistent/runtime: No such file");
        assert_true(attended > 0);
        assert_false(process_is_running(attended, 0));
        argv[0] = (char *)"/bin/true";
        assert_error(become(argv, &entry, attend_badly, &status), ERROR_INTERNAL, "nobody has time");
        close(entry.folder);
}
