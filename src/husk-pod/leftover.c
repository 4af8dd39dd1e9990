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

/* The words of a file of /proc, each with a NUL after it. */
static bool read_words(pid_t pid, const char *name, char **ret, size_t *ret_len) {
        char path[64];

        snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
        _cleanup_error_ struct error *err = file_read(path, CMDLINE_MAX, ret, ret_len);
        return !err && *ret_len;
}

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

/* What is looked for: the OCI runtime of the container `id`; with NULL any of the pod's programs. */
static bool is_program(const struct runtime *rt, pid_t pid, const char *id) {
        _cleanup_free_ char *text = NULL;
        size_t len = 0;

        return read_words(pid, "cmdline", &text, &len) &&
               (is_oci_runtime(rt, text, len, id) || (!id && is_supervisor(rt, text, len)));
}

/* A CNI plugin has no command line to tell it by, but it hands its environment on to those that it starts. */
static bool is_plugin(const struct runtime *rt, pid_t pid, const char *id) {
        _cleanup_free_ char *text = NULL, *word = xasprintf("CNI_CONTAINERID=%s", rt->uid);
        size_t len = 0;

        return read_words(pid, "environ", &text, &len) && has_words(text, len, NULL, word);
}

typedef bool (*matcher)(const struct runtime *rt, pid_t pid, const char *id);

static pid_t next_process(const struct runtime *rt, DIR *dir, matcher matches, const char *id) {
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
        pid_t pid = dir ? next_process(rt, dir, is_program, id) : 0;

        if (dir)
                closedir(dir);
        return pid;
}

/* Kills it if it still is what it was, and waits until it is no more. */
static void kill_one(const struct runtime *rt, pid_t pid, matcher matches) {
        _cleanup_close_ int pidfd = process_open(pid, 0);
        struct pollfd ended = { .fd = pidfd, .events = POLLIN };

        if (pidfd < 0 || !matches(rt, pid, NULL))
                return;
        pidfd_signal(pidfd, SIGKILL);
        poll(&ended, 1, (int)(KILL_TIMEOUT_NS / NSEC_PER_MSEC));
}

/* One look at /proc; false if there was none of them. */
static bool kill_round(const struct runtime *rt, matcher matches) {
        DIR *dir = opendir("/proc");
        bool any = false;
        pid_t pid;

        while (dir && (pid = next_process(rt, dir, matches, NULL))) {
                kill_one(rt, pid, matches);
                any = true;
        }
        if (dir)
                closedir(dir);
        return any;
}

static struct error *kill_all(const struct runtime *rt, matcher matches, const char *what) {
        int64_t until = clock_monotonic_ns() + KILL_TIMEOUT_NS;

        /* Again, because one may have been forked behind our back by another that was killed then. */
        while (kill_round(rt, matches))
                if (clock_monotonic_ns() > until)
                        return error_new(ERROR_TIMEOUT, "%s of pod %s do not end", what, rt->uid);
        return NULL;
}

struct error *leftover_processes_kill(const struct runtime *rt) {
        return kill_all(rt, is_program, "programs");
}

struct error *leftover_plugins_kill(const struct runtime *rt) {
        return kill_all(rt, is_plugin, "CNI plugins");
}
