/* leftover.c - finds the programs that work for a pod by their command lines, the one trace that every process has from
 * its first moment on, also where its parent was killed before it could write anything down. The pod's uid stands in
 * all of them: nobody else's process is meant by it. */
#include "husk-pod/runtime.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

#define CMDLINE_MAX ((size_t)1 << 20)
#define KILL_TIMEOUT_NS (20 * NSEC_PER_SEC)

/* Is `word` one of the command line's words, and `before` (if given) the one before it? */
static bool has_words(const char *line, size_t len, const char *before, const char *word) {
        const char *last = "";

        for (const char *p = line; p < line + len; p += strlen(p) + 1) {
                if (streq(p, word) && (!before || streq(last, before)))
                        return true;
                last = p;
        }
        return false;
}

static bool is_oci_runtime(const struct runtime *rt, const char *line, size_t len, const char *id) {
        return has_words(line, len, "--root", rt->oci_state_root) && (!id || has_words(line, len, NULL, id));
}

/* A husk-keeper or husk-pod; also one that was forked and has not yet become what it will be. */
static bool is_supervisor(const struct runtime *rt, const char *line, size_t len) {
        return has_words(line, len, "--run", rt->store->run) && has_words(line, len, "--uid", rt->uid) &&
               !has_words(line, len, NULL, "--cleanup");
}

static bool matches(const struct runtime *rt, pid_t pid, const char *id) {
        _cleanup_free_ char *text = NULL;
        char path[64];
        size_t len = 0;

        snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
        _cleanup_error_ struct error *err = file_read(path, CMDLINE_MAX, &text, &len);
        if (err || !len)
                return false;
        return is_oci_runtime(rt, text, len, id) || (!id && is_supervisor(rt, text, len));
}

/* The next process after `dir`'s position: the OCI runtime of `id`, or, without one, any of the pod's programs. */
static pid_t next_process(const struct runtime *rt, DIR *dir, const char *id) {
        struct dirent *entry;
        uint64_t pid;

        while ((entry = readdir(dir)))
                if (str_to_u64(entry->d_name, &pid) && pid <= INT32_MAX && (pid_t)pid != getpid() &&
                    matches(rt, (pid_t)pid, id))
                        return (pid_t)pid;
        return 0;
}

pid_t leftover_runner(const struct runtime *rt, const char *id) {
        DIR *dir = opendir("/proc");
        pid_t pid = dir ? next_process(rt, dir, id) : 0;

        if (dir)
                closedir(dir);
        return pid;
}

/* Kills it if it still is what it was, and waits until it is no more. */
static void kill_one(const struct runtime *rt, pid_t pid) {
        _cleanup_close_ int pidfd = process_open(pid, 0);
        struct pollfd ended = { .fd = pidfd, .events = POLLIN };

        if (pidfd < 0 || !matches(rt, pid, NULL))
                return;
        pidfd_signal(pidfd, SIGKILL);
        poll(&ended, 1, (int)(KILL_TIMEOUT_NS / NSEC_PER_MSEC));
}

/* One look at /proc; false if there was none of them. */
static bool kill_round(const struct runtime *rt) {
        DIR *dir = opendir("/proc");
        bool any = false;
        pid_t pid;

        while (dir && (pid = next_process(rt, dir, NULL))) {
                kill_one(rt, pid);
                any = true;
        }
        if (dir)
                closedir(dir);
        return any;
}

struct error *leftover_processes_kill(const struct runtime *rt) {
        int64_t until = clock_monotonic_ns() + KILL_TIMEOUT_NS;

        /* Again, because one may have been forked behind our back by another that was killed then. */
        while (kill_round(rt))
                if (clock_monotonic_ns() > until)
                        return error_new(ERROR_TIMEOUT, "programs of pod %s do not end", rt->uid);
        return NULL;
}
