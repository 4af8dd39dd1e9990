#include "server/supervisor.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

#define CLEANUP_TIMEOUT_MS 60000

extern char **environ;

/* A session of its own without a terminal, default signals, and nothing of the caller's descriptors: the keeper lives
 * on when the shell that started it is gone, and holds nothing open for it. */
static int spawn_detached(const char *path, char **argv) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t set;
        pid_t pid;
        int rc;

        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
        posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO);
        posix_spawn_file_actions_addclosefrom_np(&actions, 3);
        posix_spawn_file_actions_addchdir_np(&actions, "/");
        sigemptyset(&set);
        posix_spawnattr_setsigmask(&attributes, &set);
        sigfillset(&set);
        posix_spawnattr_setsigdefault(&attributes, &set);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        rc = posix_spawn(&pid, path, &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return rc;
}

struct error *supervisor_start(struct store *store, const char *uid) {
        _cleanup_free_ char *path = NULL;
        struct error *err;
        int rc;

        err = process_find_sister("husk-keeper", &path);
        if (err)
                return err;
        char *argv[] = { (char *)"husk-keeper", (char *)"--root", store->root, (char *)"--run", store->run,
                         (char *)"--uid",       (char *)uid,      NULL };
        rc = spawn_detached(path, argv);
        if (rc)
                return error_errno(rc, "start %s", path);
        return NULL;
}

bool supervisor_is_alive(struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_run_folder(store, uid), *ended = path_join(folder, "ended");

        /* After its end it may hold its lock for a moment longer, but looks at nothing any more. */
        return !file_exists(ended) && store_pod_supervisor(store, uid) > 0;
}

/* The pid may be another process by the time it is opened: it is the supervisor's if the lock is still its own then. */
int supervisor_open(struct store *store, const char *uid) {
        pid_t pid = store_pod_supervisor(store, uid);
        _cleanup_close_ int fd = pid > 0 ? process_open(pid, 0) : -ESRCH;

        if (fd < 0 || store_pod_supervisor(store, uid) != pid)
                return -ESRCH;
        return TAKE_FD(fd);
}

struct error *supervisor_cleanup(struct store *store, const char *uid) {
        _cleanup_free_ char *path = NULL, *out = NULL;
        struct error *err;
        int status;

        err = process_find_sister("husk-pod", &path);
        if (err)
                return err;
        char *argv[] = { path,        (char *)"--root",    store->root, (char *)"--run", store->run, (char *)"--uid",
                         (char *)uid, (char *)"--cleanup", NULL };
        err = process_run(argv, &(struct process_options){ .timeout_ms = CLEANUP_TIMEOUT_MS }, &status, NULL, &out);
        if (err)
                return error_context(err, "clean up pod %s", uid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                out[strcspn(out, "\n")] = '\0';
                return error_new(ERROR_INTERNAL, "clean up pod %s: %s", uid, *out ? out : "husk-pod failed");
        }
        return NULL;
}

struct error *supervisor_enter_mounts(struct store *store, const char *uid) {
        _cleanup_close_ int pidfd = supervisor_open(store, uid);

        if (pidfd < 0)
                return error_new(ERROR_UNAVAILABLE, "pod %s has no supervisor", uid);
        /* setns on a pidfd takes the namespace of exactly that process. */
        if (setns(pidfd, CLONE_NEWNS) < 0)
                return error_errno(errno, "enter the mount namespace of pod %s", uid);
        return NULL;
}
