#include "server/supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "base/str.h"
#include "server/detached.h"
#include "server/resolver.h"

#define CLEANUP_TIMEOUT_MS 60000
#define CMDLINE_MAX ((size_t)64 << 10)

/* Starts a program of the pod's; `option` may be NULL. */
static struct error *start(struct store *store, const char *program, const char *uid, const char *option) {
        char *argv[] = { (char *)program, (char *)"--root", store->root, (char *)"--run", store->run, (char *)"--uid",
                         (char *)uid,     (char *)option,   NULL };

        return detached_start(argv);
}

struct error *supervisor_start(struct store *store, const char *uid) {
        struct error *err = start(store, "husk-keeper", uid, NULL);

        /* The pod lives; without a resolver it only knows no names, and huskd looks for that again. */
        if (!err)
                error_free(resolver_start(store));
        return err;
}

struct error *supervisor_cleanup_start(struct store *store, const char *uid) {
        return start(store, "husk-pod", uid, "--cleanup");
}

bool supervisor_is_alive(struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_run_folder(store, uid), *ended = path_join(folder, "ended");

        /* After its end it may hold its lock for a moment longer, but looks at nothing any more. */
        return !file_exists(ended) && store_pod_supervisor(store, uid) > 0;
}

/* A pod whose last status is in <root> has ended; it may have been killed, or the power gone, while it was cleared
 * away. */
static bool has_ended(struct store *store, const char *folder, const char *uid) {
        _cleanup_free_ char *kept = path_join(folder, "status.json"), *containers = path_join(folder, "containers");
        _cleanup_free_ char *run_folder = store_pod_run_folder(store, uid), *mark = path_join(run_folder, "ended");

        return file_exists(mark) || (file_exists(kept) && !file_exists(containers));
}

static bool is_being_deleted(struct store *store, const char *uid) {
        json_t *pod = NULL;
        _cleanup_error_ struct error *err = store_pod_spec_read(store, uid, &pod);
        const json_t *metadata = json_object_get(pod, "metadata");
        bool held = json_array_size(json_object_get(metadata, "finalizers")) > 0;
        bool deleted = !err && !held && json_object_get(metadata, "deletionTimestamp");

        json_decref(pod);
        return deleted;
}

bool supervisor_is_wanted(struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_folder(store, uid), *object = path_join(folder, "pod.json");

        if (!file_exists(object))
                return false;
        return !has_ended(store, folder, uid) || is_being_deleted(store, uid);
}

bool supervisor_left_debris(struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_folder(store, uid), *object = path_join(folder, "pod.json");
        _cleanup_free_ char *run_folder = store_pod_run_folder(store, uid);

        return !file_exists(object) && (file_exists(folder) || file_exists(run_folder));
}

/* A container can call its processes as it likes, but they are in another pid namespace (and seldom the owner's). Those
 * of a pod with hostPID are not, and whoever may make such a pod may do worse to the node. */
static bool is_of_host(const char *pid) {
        _cleanup_free_ char *path = xasprintf("/proc/%s/ns/pid", pid), *folder = xasprintf("/proc/%s", pid);
        struct stat own, other, owner;

        return stat("/proc/self/ns/pid", &own) == 0 && stat(path, &other) == 0 && own.st_dev == other.st_dev &&
               own.st_ino == other.st_ino && stat(folder, &owner) == 0 &&
               (owner.st_uid == 0 || owner.st_uid == geteuid());
}

/* The uid on the command line of a husk-keeper or husk-pod of this node; NULL if it is none. */
static char *uid_of_process(const struct store *store, const char *pid) {
        _cleanup_free_ char *path = xasprintf("/proc/%s/cmdline", pid), *line = NULL;
        const char *before = "", *run = NULL, *uid = NULL;
        size_t len = 0;
        _cleanup_error_ struct error *err = file_read(path, CMDLINE_MAX, &line, &len);

        if (err || !len)
                return NULL;
        const char *slash = strrchr(line, '/'), *name = slash ? slash + 1 : line;
        if (!streq(name, "husk-keeper") && !streq(name, "husk-pod"))
                return NULL;
        for (const char *p = line; p < line + len; before = p, p += strlen(p) + 1) {
                if (streq(before, "--run"))
                        run = p;
                if (streq(before, "--uid"))
                        uid = p;
        }
        return uid && streq_ptr(run, store->run) && is_of_host(pid) ? xstrdup(uid) : NULL;
}

char **supervisor_uids_at_work(struct store *store) {
        DIR *dir = opendir("/proc");
        struct dirent *entry;
        char **uids = NULL;

        while (dir && (entry = readdir(dir))) {
                char *uid = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? uid_of_process(store, entry->d_name)
                                                                               : NULL;
                if (uid)
                        uids = strv_add_take(uids, uid);
        }
        if (dir)
                closedir(dir);
        return uids;
}

struct error *supervisors_start_missing(struct store *store, size_t *ret_started) {
        _cleanup_strv_ char **uids = NULL, **at_work = supervisor_uids_at_work(store);
        struct error *first = store_pod_uids(store, &uids);

        *ret_started = 0;
        for (char **uid = uids; uid && *uid; uid++) {
                if (store_pod_supervisor(store, *uid) > 0 || strv_contains(at_work, *uid) ||
                    !supervisor_is_wanted(store, *uid))
                        continue;
                struct error *err = supervisor_start(store, *uid);
                *ret_started += !err;
                error_keep_first(&first, err);
        }
        return first;
}

/* ---- another version ---- */

/* Its name on the disk, as far as it is one of husk's own. */
static bool runs_program(pid_t pid, const char *name) {
        _cleanup_free_ char *path = xasprintf("/proc/%d/comm", pid), *comm = NULL;
        _cleanup_error_ struct error *err = file_read(path, 64, &comm, NULL);

        return !err && strncmp(comm, name, strlen(name)) == 0 && comm[strlen(name)] == '\n';
}

/* The link leads to what runs, also when that has been replaced on the disk. */
static bool runs_other_file(pid_t pid, const char *name) {
        _cleanup_free_ char *running = xasprintf("/proc/%d/exe", pid), *path = NULL;
        _cleanup_error_ struct error *err = process_find_sister(name, &path);
        struct stat a, b;

        if (err || stat(running, &a) < 0 || stat(path, &b) < 0)
                return false;
        return a.st_dev != b.st_dev || a.st_ino != b.st_ino;
}

static pid_t husk_pod_of(pid_t keeper) {
        _cleanup_free_ char *path = xasprintf("/proc/%d/task/%d/children", keeper, keeper), *text = NULL;
        _cleanup_error_ struct error *err = file_read(path, CMDLINE_MAX, &text, NULL);

        for (char *p = text, *end; !err && *p; p = end) {
                pid_t pid = (pid_t)strtol(p, &end, 10);
                if (end == p)
                        break;
                _cleanup_free_ char *number = xasprintf("%d", pid);
                if (runs_program(pid, "husk-pod") && is_of_host(number) && process_parent(pid) == keeper)
                        return pid;
        }
        return 0;
}

bool supervisor_is_outdated(struct store *store, const char *uid) {
        pid_t keeper = store_pod_supervisor(store, uid), pod;

        if (keeper <= 0 || !runs_program(keeper, "husk-keeper"))
                return false;
        pod = husk_pod_of(keeper);
        return runs_other_file(keeper, "husk-keeper") || (pod > 0 && runs_other_file(pod, "husk-pod"));
}

/* Would it live through this signal? */
static bool expects_signal(pid_t pid, int signal) {
        static const char *const sets[] = { "\nSigBlk:", "\nSigIgn:", "\nSigCgt:" };
        _cleanup_free_ char *path = xasprintf("/proc/%d/status", pid), *status = NULL;
        _cleanup_error_ struct error *err = file_read(path, CMDLINE_MAX, &status, NULL);

        for (size_t i = 0; !err && i < ARRAY_SIZE(sets); i++) {
                const char *set = strstr(status, sets[i]);
                if (set && strtoull(set + strlen(sets[i]), NULL, 16) >> (signal - 1) & 1)
                        return true;
        }
        return false;
}

struct error *supervisor_renew(struct store *store, const char *uid) {
        _cleanup_close_ int keeper = supervisor_open(store, uid);
        pid_t pid = store_pod_supervisor(store, uid);

        /* A `husk-pod --cleanup` holds the lock, too, and must not be sent a signal it does not know. */
        if (keeper < 0 || !runs_program(pid, "husk-keeper") || store_pod_supervisor(store, uid) != pid)
                return error_new(ERROR_UNAVAILABLE, "pod %s has no supervisor", uid);
        if (!expects_signal(pid, SIGUSR2))
                return error_new(ERROR_UNAVAILABLE, "the supervisor of pod %s is only just starting", uid);
        int rc = pidfd_signal(keeper, SIGUSR2);
        return rc < 0 ? error_errno(-rc, "renew the supervisor of pod %s", uid) : NULL;
}

struct error *supervisors_renew_outdated(struct store *store, size_t *ret_renewed) {
        _cleanup_strv_ char **uids = NULL;
        struct error *first = store_pod_uids(store, &uids);

        *ret_renewed = 0;
        for (char **uid = uids; uid && *uid; uid++) {
                if (!supervisor_is_outdated(store, *uid))
                        continue;
                struct error *err = supervisor_renew(store, *uid);
                *ret_renewed += !err;
                error_keep_first(&first, err);
        }
        return first;
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
