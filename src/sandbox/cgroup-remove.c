#include "sandbox/cgroup-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#define REMOVE_TIMEOUT_MS 2000
#define DEPTH_MAX 256

/* ---- killing ---- */

/* Calls each() for every cgroup below and including `fd`, children first; a negative answer ends it. */
static int tree_walk(int fd, unsigned depth, int (*each)(int fd, void *data), void *data) {
        DIR *dir = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        int rc = 0;

        if (!dir)
                return -errno;
        for (struct dirent *entry; rc >= 0 && (entry = readdir(dir));) {
                if (entry->d_type != DT_DIR || streq(entry->d_name, ".") || streq(entry->d_name, "..") || depth == 0)
                        continue;
                _cleanup_close_ int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (child >= 0)
                        rc = tree_walk(child, depth - 1, each, data);
        }
        closedir(dir);
        return rc < 0 ? rc : each(fd, data);
}

struct kill_count {
        uint64_t alive;
};

/* Kills what is directly in one cgroup. */
static int kill_here(int fd, void *data) {
        struct kill_count *count = data;
        _cleanup_free_ char *text = NULL;
        char *save = NULL;
        _cleanup_error_ struct error *err = file_read_at(fd, "cgroup.procs", PROCS_FILE_MAX, &text, NULL);

        for (char *line = err ? NULL : strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                int64_t pid;
                /* 0: a process of another pid namespace. And never 1 or ourselves, whatever stands there. */
                if (!str_to_i64(line, &pid) || pid <= 1 || pid > INT32_MAX || pid == getpid())
                        continue;
                if (kill((pid_t)pid, SIGKILL) == 0)
                        count->alive++;
        }
        return 0;
}

static void freezer_set(const char *path, const char *state) {
        const struct hierarchy *h = hierarchy_of("freezer");
        if (!h || cgroup_machine()->version != CGROUP_V1)
                return;
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        error_free(folder_write(folder, "freezer.state", state));
}

static struct error *kill_v1(const char *path, bool *ret_empty) {
        struct kill_count count = { 0 };

        /* Frozen, nothing can fork past us. The signals act when it is thawed. */
        freezer_set(path, "FROZEN");
        for (size_t i = 0; i < cgroup_machine()->n_hierarchies; i++) {
                _cleanup_free_ char *folder = xasprintf("%s%s", cgroup_machine()->hierarchies[i].folder, path);
                _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd >= 0)
                        tree_walk(fd, DEPTH_MAX, kill_here, &count);
        }
        freezer_set(path, "THAWED");
        *ret_empty = count.alive == 0;
        return NULL;
}

static struct error *kill_v2(const char *path, bool *ret_empty) {
        _cleanup_free_ char *folder = xasprintf("%s%s", cgroup_machine()->hierarchies[0].folder, path);
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct kill_count count = { 0 };

        *ret_empty = true;
        if (fd < 0)
                return NULL;
        _cleanup_free_ char *events = folder_read(folder, "cgroup.events", 4096);
        if (events && strstr(events, "populated 0"))
                return NULL;
        *ret_empty = false;
        _cleanup_error_ struct error *err = file_poke_at(fd, "cgroup.kill", "1");
        if (!err || error_errnum(err) == ENODEV)
                return NULL;
        /* Linux before 5.14. */
        error_free(file_poke_at(fd, "cgroup.freeze", "1"));
        tree_walk(fd, DEPTH_MAX, kill_here, &count);
        error_free(file_poke_at(fd, "cgroup.freeze", "0"));
        return NULL;
}

struct error *cgroup_kill(const char *path, bool *ret_empty) {
        *ret_empty = true;
        if (cgroup_machine()->version == CGROUP_NONE)
                return NULL;
        return cgroup_machine()->version == CGROUP_V2 ? kill_v2(path, ret_empty) : kill_v1(path, ret_empty);
}

struct error *cgroup_pod_kill(const struct store *store, const char *pod_uid, bool *ret_empty) {
        *ret_empty = true;
        /* The class of the pod is not needed: it is where it is. */
        for (enum pod_qos qos = POD_QOS_GUARANTEED; qos <= POD_QOS_BEST_EFFORT; qos++) {
                _cleanup_free_ char *path = cgroup_pod_path(store, pod_uid, qos);
                bool empty;
                struct error *err = cgroup_kill(path, &empty);
                if (err)
                        return err;
                *ret_empty = *ret_empty && empty;
        }
        return NULL;
}

/* ---- removing ---- */

static int remove_folder(const char *folder, int fd, unsigned depth);

/* Removes the cgroups in the folder `fd`; 0 or the first -errno. */
static int remove_children(int fd, unsigned depth) {
        DIR *dir = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        int result = 0;

        if (!dir)
                return -errno;
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (entry->d_type != DT_DIR || streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                int rc = remove_folder(entry->d_name, fd, depth);
                result = result ? result : rc;
        }
        closedir(dir);
        return result;
}

static int remove_folder(const char *folder, int parent_fd, unsigned depth) {
        if (unlinkat(parent_fd, folder, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        if (errno != EBUSY && errno != ENOTEMPTY)
                return -errno;
        /* EBUSY is children as well as processes: look for the former. */
        _cleanup_close_ int fd = openat(parent_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        int rc = depth ? remove_children(fd, depth - 1) : -ELOOP;
        if (rc < 0)
                return rc;
        return unlinkat(parent_fd, folder, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Finds one process in a cgroup. */
static int find_process(int fd, void *data) {
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ struct error *err = file_read_at(fd, "cgroup.procs", PROCS_FILE_MAX, &text, NULL);

        if (err || !*text)
                return 0;
        *(int64_t *)data = strtoll(text, NULL, 10);
        return -ECANCELED;
}

static struct error *remove_error(int errnum, const char *folder) {
        _cleanup_close_ int fd = errnum == EBUSY ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
        int64_t pid = 0;

        if (fd >= 0 && tree_walk(fd, DEPTH_MAX, find_process, &pid) == -ECANCELED)
                return error_errno(errnum, "remove cgroup %s: process %" PRId64 " is still in it", folder, pid);
        return error_errno(errnum, "remove cgroup %s", folder);
}

struct error *cgroup_remove(const char *path) {
        int64_t deadline = clock_monotonic_ns() + REMOVE_TIMEOUT_MS * NSEC_PER_MSEC;

        for (size_t i = 0; i < cgroup_machine()->n_hierarchies; i++) {
                _cleanup_free_ char *folder = xasprintf("%s%s", cgroup_machine()->hierarchies[i].folder, path);
                struct timespec pause = { 0, 500000 };
                int rc;
                while ((rc = remove_folder(folder, AT_FDCWD, DEPTH_MAX)) == -EBUSY && clock_monotonic_ns() < deadline) {
                        /* A process that was killed leaves its cgroup a little later. */
                        nanosleep(&pause, NULL);
                        pause.tv_nsec = MIN(pause.tv_nsec * 2, 20000000L);
                }
                if (rc < 0)
                        return remove_error(-rc, folder);
        }
        return NULL;
}

/* Takes away what a node without pods leaves; whatever is not empty stays. */
static void node_prune(const struct store *store) {
        _cleanup_free_ char *node = cgroup_node_path(store);

        for (size_t i = 0; i < cgroup_machine()->n_hierarchies; i++)
                for (int qos = POD_QOS_BEST_EFFORT; qos >= POD_QOS_GUARANTEED; qos--) {
                        _cleanup_free_ char *folder = xasprintf("%s%s%s", cgroup_machine()->hierarchies[i].folder, node,
                                                                qos_folder((enum pod_qos)qos));
                        rmdir(folder);
                }
}

struct error *cgroup_pod_remove(const struct store *store, const char *pod_uid) {
        for (enum pod_qos qos = POD_QOS_GUARANTEED; qos <= POD_QOS_BEST_EFFORT; qos++) {
                _cleanup_free_ char *path = cgroup_pod_path(store, pod_uid, qos);
                struct error *err = cgroup_remove(path);
                if (err)
                        return err;
        }
        cgroup_burstable_recount(store);
        if (!store->is_default)
                node_prune(store);
        return NULL;
}
