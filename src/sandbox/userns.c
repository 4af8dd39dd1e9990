#include "sandbox/userns.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "base/str.h"

static char *leases_folder(const struct store *store) {
        return path_join(store->run, "userns");
}

static struct error *lock(const struct store *store, int *ret_fd) {
        _cleanup_free_ char *folder = leases_folder(store);

        return folder_lock(folder, ret_fd);
}

/* "131072-<uid>"; false for anything else in the folder. */
static bool lease_parse(const char *name, uint32_t *ret_first, const char **ret_uid) {
        char *end;
        unsigned long first = strtoul(name, &end, 10);

        if (*name < '0' || *name > '9' || *end != '-' || !end[1] || first > UINT32_MAX - USERNS_IDS)
                return false;
        *ret_first = (uint32_t)first;
        *ret_uid = end + 1;
        return true;
}

struct leases {
        uint32_t *firsts; /* of other pods */
        size_t n;
        bool found; /* the pod's own */
        uint32_t own;
};

/* Reads all leases; those of pods that are gone are taken back on the way. */
static struct error *leases_read(const struct store *store, const char *pod_uid, struct leases *ret) {
        _cleanup_free_ char *folder = leases_folder(store);
        DIR *dir = opendir(folder);
        const char *uid;
        uint32_t first;

        if (!dir)
                return error_errno(errno, "open %s", folder);
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (!lease_parse(entry->d_name, &first, &uid))
                        continue;
                _cleanup_free_ char *pod = store_pod_run_folder((struct store *)store, uid);
                if (streq(uid, pod_uid)) {
                        ret->found = true;
                        ret->own = first;
                } else if (access(pod, F_OK) < 0 && errno == ENOENT) {
                        unlinkat(dirfd(dir), entry->d_name, 0);
                } else {
                        ret->firsts = xreallocarray(ret->firsts, ret->n + 1, sizeof(*ret->firsts));
                        ret->firsts[ret->n++] = first;
                }
        }
        closedir(dir);
        return NULL;
}

/* A range that was given out under another configuration may lie anywhere. */
static bool is_free(const struct leases *leases, uint32_t first) {
        for (size_t i = 0; i < leases->n; i++)
                if (first < leases->firsts[i] + USERNS_IDS && leases->firsts[i] < first + USERNS_IDS)
                        return false;
        return true;
}

static struct error *reserve_new(const struct store *store, const char *pod_uid, const struct leases *leases,
                                 uint32_t first, uint32_t pods, uint32_t *ret) {
        for (uint32_t i = 0; i < pods; i++) {
                uint64_t candidate = first + (uint64_t)i * USERNS_IDS;

                if (candidate > UINT32_MAX - 2 * USERNS_IDS) /* the last id of all means "none" */
                        break;
                if (!is_free(leases, (uint32_t)candidate))
                        continue;
                _cleanup_free_ char *path = xasprintf("%s/userns/%u-%s", store->run, (uint32_t)candidate, pod_uid);
                _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (fd < 0)
                        return error_errno(errno, "make %s", path);
                *ret = (uint32_t)candidate;
                return NULL;
        }
        return error_new(ERROR_EXHAUSTED,
                         "no user ids are left: %zu pods have 65536 each, and the node's range has room for %u",
                         leases->n, pods);
}

struct error *userns_check_kernel(void) {
        unsigned major = 0, minor = 0;
        struct utsname u;

        uname(&u);
        if (sscanf(u.release, "%u.%u", &major, &minor) == 2 && (major > 5 || (major == 5 && minor >= 19)))
                return NULL;
        return error_new(ERROR_NOT_SUPPORTED,
                         "user namespaces for pods need Linux " USERNS_KERNEL " or newer; this is %s", u.release);
}

struct error *userns_reserve(const struct store *store, const char *pod_uid, uint32_t first, uint32_t pods,
                             uint32_t *ret) {
        struct leases leases = { 0 };
        _cleanup_close_ int lock_fd = -EBADF;
        struct error *err = userns_check_kernel();

        if (!err)
                err = lock(store, &lock_fd);
        if (!err)
                err = leases_read(store, pod_uid, &leases);
        if (!err && leases.found)
                *ret = leases.own;
        else if (!err)
                err = reserve_new(store, pod_uid, &leases, first, pods, ret);
        free(leases.firsts);
        return error_context(err, "spec.hostUsers");
}

struct error *userns_release(const struct store *store, const char *pod_uid) {
        _cleanup_free_ char *folder = leases_folder(store);
        _cleanup_close_ int lock_fd = -EBADF;
        struct leases leases = { 0 };

        if (access(folder, F_OK) < 0 && errno == ENOENT)
                return NULL;
        struct error *err = lock(store, &lock_fd);
        if (!err)
                err = leases_read(store, pod_uid, &leases);
        if (!err && leases.found) {
                _cleanup_free_ char *path = xasprintf("%s/%u-%s", folder, leases.own, pod_uid);
                if (unlink(path) < 0 && errno != ENOENT)
                        err = error_errno(errno, "remove %s", path);
        }
        free(leases.firsts);
        return error_context(err, "give user ids back");
}
