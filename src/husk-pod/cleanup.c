/* cleanup.c - the end of a pod, or of what is left of one. Everything here may be done again by whoever comes next: it
 * goes by records and names, and finding nothing is success. */
#include "husk-pod/runtime.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "husk-pod/control.h"
#include "image/image.h"
#include "oci/device-lease.h"
#include "sandbox/cgroup.h"
#include "sandbox/userns.h"
#include "server/dependents.h"
#include "store/claim.h"

#define CGROUP2_MAGIC 0x63677270
#define KEEPER_END_TRIES 1000
#define KILL_TIMEOUT_NS (20 * NSEC_PER_SEC)

static struct error *kill_processes(const struct runtime *rt) {
        int64_t until = clock_monotonic_ns() + KILL_TIMEOUT_NS;
        useconds_t pause = 500;

        for (;;) {
                bool empty = true;
                struct error *err = cgroup_pod_kill(rt->store, rt->uid, &empty);
                if (err || empty)
                        return err;
                if (clock_monotonic_ns() > until)
                        return error_new(ERROR_TIMEOUT, "processes of pod %s do not end", rt->uid);
                usleep(pause);
                pause = MIN(pause * 2, (useconds_t)50000);
        }
}

struct error *cleanup_kernel_objects(struct runtime *rt) {
        struct error *first = NULL;

        error_keep_first(&first, runtime_network_detach_now(rt));
        error_keep_first(&first, sandbox_destroy(rt->store, rt->uid));
        error_keep_first(&first, kill_processes(rt));
        error_keep_first(&first, cgroup_pod_remove(rt->store, rt->uid));
        return first;
}

/* Processes, network, sandbox, cgroups, mounts. */
static void undo_kernel_objects(struct runtime *rt, struct error **first) {
        while (rt->instances)
                instance_purge(rt->instances);
        error_keep_first(first, cleanup_kernel_objects(rt));
        error_keep_first(first, volumes_teardown(rt->folder, rt->run_folder));
        if (!*first) /* while something of it may run, nobody else gets its ids */
                error_keep_first(first, userns_release(rt->store, rt->uid));
        if (!*first)
                error_keep_first(first, devices_release(rt->store, rt->uid));
}

/* The folder's name begins with namespace and name, which may be unknown by now. */
static void remove_logs(struct runtime *rt, struct error **first) {
        _cleanup_free_ char *suffix = xasprintf("_%s", rt->uid);
        DIR *dir = opendir(rt->store->logs);
        struct dirent *entry;

        while (dir && (entry = readdir(dir)))
                if (str_ends_with(entry->d_name, suffix))
                        error_keep_first(first, remove_tree_at(dirfd(dir), entry->d_name));
        if (dir)
                closedir(dir);
}

static void remove_below(const char *folder, const char *const *names, struct error **first) {
        for (; *names; names++) {
                _cleanup_free_ char *path = path_join(folder, *names);
                error_keep_first(first, remove_tree(path));
        }
}

/* A pod that has ended but was not deleted: its status, events and logs stay. */
static void remove_all_but_status(struct runtime *rt, struct error **first) {
        static const char *const in_run[] = { "bundles", "instances",    "crun",           "etc",
                                              "exits",   CONTROL_SOCKET, OCI_PROGRAM_FILE, NULL };
        static const char *const in_root[] = { "containers", "volumes", NULL };

        remove_below(rt->run_folder, in_run, first);
        remove_below(rt->folder, in_root, first);
}

/* What a successor would go on from; without it, and without the status, it would begin anew. */
static void remove_state(struct runtime *rt, struct error **first) {
        static const char *const state[] = { "state.json", NULL };

        remove_below(rt->run_folder, state, first);
        remove_below(rt->folder, state, first);
}

/* Somebody else has still to do with the object, and empties the list of finalizers when that is done
 * (https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/): it stays, like a pod that has ended.
 */
static bool is_held(const struct runtime *rt) {
        return rt->spec->metadata->n_finalizers > 0;
}

/* The pod has ended. Who deletes it, or lets go of it, writes that into its object under the store's lock, then looks
 * whether a supervisor lives that will see it: so under the same lock either the deletion is seen here, or a file says
 * that nobody is left (the keeper holds its lock for a moment longer). Returns true if the pod is to be deleted. */
static bool end_supervision(struct runtime *rt, struct error **first) {
        _cleanup_free_ char *ended = path_join(rt->run_folder, "ended");
        struct api_arena *old = NULL;
        _cleanup_close_ int lock = -EBADF;

        error_keep_first(first, store_lock(rt->store, &lock));
        _cleanup_error_ struct error *err = runtime_read_spec(rt, &old);
        api_arena_free(old);
        if (error_is(err, ERROR_NOT_FOUND) || (!err && rt->spec->metadata->deletiontimestamp && !is_held(rt)))
                return true;
        error_keep_first(first, file_replace(ended, "", 0, 0600, 0));
        return false;
}

/* The pod is gone, whatever becomes of the claims: what could not be swept away is when the next pod goes. */
static void sweep_claims(struct runtime *rt) {
        _cleanup_error_ struct error *err = claims_sweep(rt->store);

        if (err)
                log_warning("after the end of pod %s: %s", rt->uid, error_message(err));
}

/* The same for what the pod owned. */
static void collect_dependents(struct runtime *rt) {
        _cleanup_error_ struct error *err = dependents_collect(rt->store);

        if (err)
                log_warning("after the end of pod %s: %s", rt->uid, error_message(err));
}

/* Garbage collection takes first what was not used for longest, as a kubelet's does, and until now they were in use. */
static void mark_images_used(struct runtime *rt) {
        json_auto_t *object = NULL;
        _cleanup_error_ struct error *err = store_pod_spec_read(rt->store, rt->uid, &object);

        if (!err)
                images_mark_used_in(rt->store, object);
}

/* How the pod ended must outlast a reboot, or it would run again: the disk may have no room for that just now. */
static void await_publication(struct runtime *rt) {
        struct api_arena *old = NULL;

        while (!publish_is_done(rt)) {
                _cleanup_error_ struct error *err = runtime_read_spec(rt, &old);
                api_arena_free(TAKE_PTR(old));
                if (error_is(err, ERROR_NOT_FOUND) || (!err && rt->spec->metadata->deletiontimestamp && !is_held(rt)))
                        return;
                sleep(1);
        }
}

struct error *cleanup_pod(struct runtime *rt, enum pod_end end) {
        struct error *first = NULL;

        undo_kernel_objects(rt, &first);
        rt->log = log_pump_free(rt->log);
        if (end == POD_END_TERMINAL || (rt->spec && is_held(rt))) {
                remove_all_but_status(rt, &first);
                await_publication(rt);
                remove_state(rt, &first);
                if (!end_supervision(rt, &first))
                        return first;
        }
        claims_remove(rt->store, rt->uid);
        remove_logs(rt, &first);
        mark_images_used(rt);
        if (!first) /* while something is left, the pod's folders say so */
                first = store_pod_remove(rt->store, rt->uid);
        if (!first) {
                sweep_claims(rt);
                collect_dependents(rt);
        }
        return first;
}

/* Nobody must supervise the pod while it is being removed: this is husk-keeper's lock. *ret_fd is negative if the pod's
 * folder vanishes under our hands, because somebody else has just removed the pod. */
static struct error *take_lock(struct runtime *rt, int *ret_fd) {
        _cleanup_free_ char *path = path_join(rt->run_folder, "lock");
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat st;
        struct error *err = mkdir_parents(rt->run_folder, 0700);

        if (err)
                return err;
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "open %s", path);
        _cleanup_free_ char *ended = path_join(rt->run_folder, "ended");
        int tries = file_exists(ended) ? KEEPER_END_TRIES : 1; /* it has ended, or is just about to */
        while (tries > 0 && fcntl(fd, F_SETLK, &lock) < 0 && --tries > 0)
                usleep(5000);
        if (tries == 0)
                return error_new(ERROR_CONFLICT, "pod %s is supervised: its husk-keeper lives", rt->uid);
        if (fstat(fd, &st) < 0 || st.st_nlink == 0)
                return NULL;
        *ret_fd = TAKE_FD(fd);
        return NULL;
}

/* As husk-keeper does for the OCI runtime's sake; see there. */
static struct error *leave_mount_namespace(void) {
        static const char unified[] = "/sys/fs/cgroup/unified";
        struct statfs fs;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return error_errno(errno, "make a mount namespace");
        if (statfs(unified, &fs) == 0 && fs.f_type == CGROUP2_MAGIC &&
            mount("husk", unified, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4m,mode=0755") < 0)
                return error_errno(errno, "cover %s", unified);
        return NULL;
}

/* A husk-pod whose keeper was killed may be in the middle of making something, and so may an OCI runtime: they end
 * before anything is undone. */
static struct error *remove_leftovers(struct runtime *rt) {
        struct api_arena *none = NULL;
        struct error *err = leftover_processes_kill(rt);

        if (!err)
                err = leave_mount_namespace();
        if (err)
                return err;
        error_free(runtime_read_spec(rt, &none)); /* good to have, not needed */
        error_free(kill_processes(rt));
        instances_read(rt);
        return cleanup_pod(rt, POD_END_DELETED);
}

struct error *cleanup_leftovers(const char *root, const char *run, const char *uid) {
        struct runtime *rt = NULL;
        _cleanup_close_ int lock = -EBADF;
        struct error *err = runtime_new(root, run, uid, &rt);

        for (int tries = 0; !err && lock < 0 && tries < 100; tries++)
                err = take_lock(rt, &lock);
        if (!err)
                err = lock < 0 ? error_new(ERROR_CONFLICT, "its folder comes and goes") : remove_leftovers(rt);
        runtime_free(rt);
        return error_context(err, "clean up pod %s", uid);
}
