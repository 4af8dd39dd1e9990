/* store-pod.c - pods: found by their names, put together from spec and status, made, and removed. */
#include "store/store-private.h"

#include <fcntl.h>
#include <sys/file.h>

#include "api/resources.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

/* ---- reading ---- */

/* Reads the link that reserves a pod's name: its uid, or NULL if the name is free. */
static char *pod_link_read(struct store *store, const struct api_kind *kind, const char *ns, const char *name) {
        _cleanup_free_ char *path = store_object_path(store, kind, ns, name);
        char target[512];
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        if (n <= 0)
                return NULL;
        target[n] = '\0';
        const char *slash = strrchr(target, '/');
        const char *uid = slash ? slash + 1 : target;
        return store_name_is_part(uid) ? xstrdup(uid) : NULL;
}

static bool pod_exists(struct store *store, const char *uid) {
        _cleanup_free_ char *path = xasprintf("%s/pods/%s/pod.json", store->root, uid);
        return file_exists(path);
}

static struct error *link_remove(const char *link) {
        return unlink(link) < 0 && errno != ENOENT ? error_errno(errno, "remove %s", link) : NULL;
}

/* A name whose pod has no pod.json belongs to a creation or removal that was cut short (both happen under the lock,
 * which the caller holds, so none is under way): finish it. */
static struct error *pod_debris_remove(struct store *store, const struct api_kind *kind, const char *ns,
                                       const char *name) {
        _cleanup_free_ char *uid = pod_link_read(store, kind, ns, name), *link = NULL, *folder = NULL,
                            *run_folder = NULL;

        if (!uid || pod_exists(store, uid))
                return NULL;
        folder = store_pod_folder(store, uid);
        run_folder = store_pod_run_folder(store, uid);
        struct error *err = remove_tree(run_folder);
        if (!err)
                err = remove_tree(folder);
        link = store_object_path(store, kind, ns, name);
        return err ? err : link_remove(link);
}

struct error *store_pod_uid(struct store *store, const char *ns, const char *name, char **ret) {
        const struct api_kind *kind = api_kind_of("Pod");
        _cleanup_free_ char *uid = store_name_is_part(name) ? pod_link_read(store, kind, ns, name) : NULL;
        struct error *err;

        if (uid && pod_exists(store, uid)) {
                *ret = TAKE_PTR(uid);
                return NULL;
        }
        if (uid) {
                /* Not waiting: whoever holds the lock may be making or removing this very pod (or be our own caller).
                 */
                _cleanup_close_ int lock = store_lock_open(store, LOCK_EX | LOCK_NB);
                err = lock >= 0 ? pod_debris_remove(store, kind, ns, name) : NULL;
                if (err)
                        return err;
        }
        return store_not_found(kind, name ? name : "");
}

struct error *store_pod_spec_read(struct store *store, const char *uid, json_t **ret) {
        _cleanup_free_ char *path = xasprintf("%s/pods/%s/pod.json", store->root, uid);
        struct error *err = store_file_read(path, ret);

        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return store_not_found(api_kind_of("Pod"), uid);
        }
        return err;
}

pid_t store_pod_supervisor(struct store *store, const char *uid) {
        _cleanup_free_ char *path = xasprintf("%s/pods/%s/lock", store->run, uid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        /* Asking takes nothing, so that nobody who asks is taken for the supervisor. */
        return fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
}

/* Status files hold {"resourceVersion": …, "status": …}: a change of status changes the Pod's resourceVersion. */
static struct error *status_file_read(struct store *store, const char *uid, json_t **ret) {
        _cleanup_free_ char *path = xasprintf("%s/pods/%s/status.json", store->run, uid);
        _cleanup_free_ char *kept = xasprintf("%s/pods/%s/status.json", store->root, uid);
        struct error *err = store_file_read(path, ret);

        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                err = store_file_read(kept, ret);
        }
        if (error_is(err, ERROR_NOT_FOUND)) {
                err = error_free(err);
                *ret = json_pack("{s:s, s:{s:s}}", "resourceVersion", "0", "status", "phase", "Pending");
        }
        return err;
}

struct error *store_pod_status_read(struct store *store, const char *uid, json_t **ret) {
        json_t *file = NULL;
        struct error *err = status_file_read(store, uid, &file);

        if (err)
                return err;
        *ret = json_incref(json_object_get(file, "status"));
        json_decref(file);
        return NULL;
}

struct error *store_pod_status_write(struct store *store, const char *uid, const json_t *status, bool durable) {
        _cleanup_free_ char *path = xasprintf("%s/pods/%s/status.json", store->run, uid);
        _cleanup_free_ char *kept = xasprintf("%s/pods/%s/status.json", store->root, uid);
        json_t *file = json_object();
        struct error *err = NULL;

        store_set_version(store, file);
        json_object_set(file, "status", (json_t *)status);
        if (durable)
                err = store_file_write(kept, file, 0644, FILE_DURABLE);
        /* Where the disk is full it is seen for now all the same. */
        error_keep_first(&err, store_file_write(path, file, 0644, 0));
        json_decref(file);
        return err;
}

static bool is_scheduled(const json_t *status) {
        const json_t *condition;
        size_t i;

        json_array_foreach(json_object_get(status, "conditions"), i,
                           condition) if (streq_ptr(string_of(condition, "type"),
                                                    "PodScheduled")) return streq_ptr(string_of(condition, "status"),
                                                                                      "True");
        return false;
}

/* The scheduler's binding: a pod that has been admitted shows the node's name in its spec. It is not written into
 * pod.json, for it follows from the status and there is only one node it can be. */
static void bind_to_node(struct store *store, json_t *pod, const json_t *status) {
        json_t *spec = json_object_get(pod, "spec"), *node = NULL;

        if (!spec || string_of(spec, "nodeName") || !is_scheduled(status))
                return;
        if (!store->node_name) {
                struct error *err = store_node(store, &node);
                if (err) {
                        error_free(err); /* whoever asks for the node itself will be told */
                        return;
                }
                store->node_name = xstrdup(string_of(json_object_get(node, "metadata"), "name"));
                json_decref(node);
        }
        json_object_set_new(spec, "nodeName", json_string(store->node_name));
}

/* Does nobody look after the pod? While a husk-pod takes its dead keeper's place, that is so for a moment. */
static bool is_unsupervised(struct store *store, const char *uid) {
        for (int tries = 0; tries < 4; tries++) {
                if (store_pod_supervisor(store, uid) > 0)
                        return false;
                usleep(10000);
        }
        return true;
}

/* Phase Unknown is Kubernetes' word for a pod whose state cannot be obtained; what was published last may be long past.
 */
static void tell_unsupervised(struct store *store, const char *uid, json_t *status) {
        const char *phase = string_of(status, "phase");
        _cleanup_free_ char *published = xasprintf("%s/pods/%s/status.json", store->run, uid);
        json_t *condition;
        size_t i;

        if (streq_ptr(phase, "Succeeded") || streq_ptr(phase, "Failed") || store_pod_supervisor(store, uid) > 0 ||
            !file_exists(published) || !is_unsupervised(store, uid))
                return;
        json_object_set_new(status, "phase", json_string("Unknown"));
        json_object_set_new(status, "reason", json_string("SupervisorLost"));
        json_object_set_new(status, "message",
                            json_string("The processes that look after the pod were killed. Apply the "
                                        "pod again to have them back, or delete it."));
        json_array_foreach(json_object_get(status, "conditions"), i, condition) {
                const char *type = string_of(condition, "type");
                if (streq_ptr(type, "Ready") || streq_ptr(type, "ContainersReady"))
                        json_object_set_new(condition, "status", json_string("Unknown"));
        }
}

/* Its QoS class is part of a Pod from its creation on, before a supervisor has said anything. */
static void add_qos_class(const json_t *pod, json_t *status) {
        _cleanup_(api_arena_freep) struct api_arena *arena = NULL;
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        const V1Pod *typed;

        if (json_object_get(status, "qosClass"))
                return;
        arena = api_arena_new();
        typed = api_decode(pod, &v1_pod__descriptor, arena, &diags);
        if (typed && typed->spec)
                json_object_set_new(status, "qosClass", json_string(api_pod_qos_class(typed)));
}

struct error *store_pod_read(struct store *store, const char *uid, json_t **ret) {
        json_t *pod = NULL, *file = NULL;
        struct error *err = store_pod_spec_read(store, uid, &pod);
        uint64_t spec_version = 0, status_version = 0;

        if (err)
                return err;
        err = status_file_read(store, uid, &file);
        if (err) {
                json_decref(pod);
                return err;
        }
        json_t *metadata = object_metadata(pod);
        const char *text = string_of(metadata, "resourceVersion");
        if (text)
                str_to_u64(text, &spec_version);
        text = string_of(file, "resourceVersion");
        if (text)
                str_to_u64(text, &status_version);
        if (status_version > spec_version)
                json_object_set(metadata, "resourceVersion", json_object_get(file, "resourceVersion"));
        add_qos_class(pod, json_object_get(file, "status"));
        tell_unsupervised(store, uid, json_object_get(file, "status"));
        json_object_set(pod, "status", json_object_get(file, "status"));
        bind_to_node(store, pod, json_object_get(file, "status"));
        json_decref(file);
        *ret = pod;
        return NULL;
}

struct error *store_pod_uids(struct store *store, char ***ret) {
        _cleanup_free_ char *folder = path_join(store->root, "pods"), *run_folder = path_join(store->run, "pods");
        _cleanup_strv_ char **uids = NULL, **running = NULL;
        struct error *err = store_folder_names(folder, &uids);

        if (!err)
                err = store_folder_names(run_folder, &running);
        if (err)
                return err;
        for (size_t i = 0; running && running[i]; i++)
                if (!strv_contains(uids, running[i]))
                        uids = strv_add(uids, running[i]);
        *ret = TAKE_PTR(uids);
        return NULL;
}

/* ---- writing ---- */

struct error *store_pod_create(struct store *store, const struct api_kind *kind, const char *ns, const char *name,
                               json_t *object) {
        const char *uid = string_of(object_metadata(object), "uid");
        _cleanup_free_ char *folder = store_pod_folder(store, uid), *run_folder = store_pod_run_folder(store, uid);
        _cleanup_free_ char *link = store_object_path(store, kind, ns, name),
                            *target = xasprintf("../../../pods/%s", uid);
        _cleanup_free_ char *path = path_join(folder, "pod.json");
        json_t *stored;
        struct error *err = pod_debris_remove(store, kind, ns, name);

        if (err)
                return err;
        /* The name first: whoever comes upon it without a pod.json behind it, holding the lock, knows what to undo. */
        if (symlink(target, link) < 0)
                return errno == EEXIST ? error_new(ERROR_ALREADY_EXISTS, "%s \"%s\" already exists", kind->plural, name)
                                       : error_errno(errno, "create %s", link);
        stored = json_copy(object);
        json_object_del(stored, "status");
        err = mkdir_parents(run_folder, 0700);
        if (!err)
                err = mkdir_parents(folder, 0700);
        if (!err)
                err = store_file_write(path, stored, 0644, FILE_EXCLUSIVE);
        json_decref(stored);
        if (err) {
                struct error *ignored = pod_debris_remove(store, kind, ns, name);
                error_free(ignored);
        }
        return err;
}

static struct error *sync_path(const char *path, int flags) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        if (fsync(fd) < 0)
                return error_errno(errno, "sync %s", path);
        return NULL;
}

struct error *store_pod_sync(struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_folder(store, uid), *path = path_join(folder, "pod.json");
        _cleanup_free_ char *pods = path_join(store->root, "pods"), *names = NULL;
        json_t *pod = NULL;
        struct error *err = store_pod_spec_read(store, uid, &pod);

        if (error_is(err, ERROR_NOT_FOUND))
                return error_free(err); /* deleted meanwhile: nothing to keep */
        if (err)
                return err;
        names = store_kind_folder(store, api_kind_of("Pod"), string_of(object_metadata(pod), "namespace"));
        json_decref(pod);
        err = sync_path(path, 0);
        if (!err)
                err = sync_path(folder, O_DIRECTORY);
        if (!err)
                err = sync_path(pods, O_DIRECTORY);
        if (!err)
                err = sync_path(names, O_DIRECTORY);
        if (error_is(err, ERROR_NOT_FOUND))
                err = error_free(err);
        return err;
}

struct error *store_pod_disrupt(struct store *store, const char *uid, const json_t *status) {
        _cleanup_free_ char *folder = store_pod_folder(store, uid), *path = path_join(folder, "pod.json");
        _cleanup_close_ int lock = -EBADF;
        json_t *old = NULL, *pod, *metadata;
        char stamp[RFC3339_MAX];
        struct error *err = store_lock(store, &lock);

        if (!err)
                err = store_pod_spec_read(store, uid, &old);
        if (error_is(err, ERROR_NOT_FOUND))
                return error_free(err);
        if (err)
                return err;
        if (json_object_get(json_object_get(old, "metadata"), "deletionTimestamp")) {
                json_decref(old);
                return NULL;
        }
        const json_t *own_grace = json_object_get(json_object_get(old, "spec"), "terminationGracePeriodSeconds");
        json_int_t grace = json_is_integer(own_grace) ? json_integer_value(own_grace) : 30;
        pod = json_deep_copy(old);
        metadata = object_metadata(pod);
        rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC + grace, stamp);
        json_object_set_new(metadata, "deletionTimestamp", json_string(stamp));
        json_object_set_new(metadata, "deletionGracePeriodSeconds", json_integer(grace));
        json_object_set(pod, "status", (json_t *)status);
        store_carry_over(store, api_kind_of("Pod"), pod, old);
        err = store_file_write(path, pod, 0644, FILE_DURABLE);
        json_decref(pod);
        json_decref(old);
        return err;
}

/* The link that leads to a pod of which no pod.json is left to tell its name. */
static struct error *links_to_uid_remove(struct store *store, const char *uid) {
        _cleanup_free_ char *objects = path_join(store->root, "objects");
        _cleanup_strv_ char **namespaces = NULL;
        const struct api_kind *kind = api_kind_of("Pod");
        struct error *err = store_folder_names(objects, &namespaces);

        for (size_t i = 0; !err && namespaces && namespaces[i]; i++) {
                _cleanup_free_ char *folder = store_kind_folder(store, kind, namespaces[i]);
                _cleanup_strv_ char **names = NULL;
                err = store_folder_names(folder, &names);
                for (size_t j = 0; !err && names && names[j]; j++) {
                        _cleanup_free_ char *link = path_join(folder, names[j]);
                        _cleanup_free_ char *target = pod_link_read(store, kind, namespaces[i], names[j]);
                        if (target && streq(target, uid))
                                err = link_remove(link);
                }
        }
        return err;
}

struct error *store_pod_remove(struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_folder(store, uid), *run_folder = store_pod_run_folder(store, uid);
        _cleanup_close_ int lock = -EBADF;
        json_t *pod = NULL;
        struct error *err;

        if (!store_name_is_part(uid))
                return error_new(ERROR_INVALID, "\"%s\" is no uid of a pod", uid);
        err = store_lock(store, &lock);
        if (err)
                return err;
        err = store_pod_spec_read(store, uid, &pod);
        error_free(err); /* damaged or gone: then the links are searched */

        err = pod ? owner_leaves(store, api_kind_of("Pod"), pod) : NULL;
        if (!err)
                err = remove_tree(run_folder);
        if (!err)
                err = remove_tree(folder);
        if (!err && pod)
                owner_forget(store, pod);
        if (err) {
                json_decref(pod);
                return err;
        }
        json_t *metadata = json_object_get(pod, "metadata");
        const char *name = string_of(metadata, "name"), *ns = string_of(metadata, "namespace");
        if (name && ns) {
                const struct api_kind *kind = api_kind_of("Pod");
                _cleanup_free_ char *target = pod_link_read(store, kind, ns, name);
                _cleanup_free_ char *link = store_object_path(store, kind, ns, name);
                if (target && streq(target, uid))
                        err = link_remove(link);
        } else {
                err = links_to_uid_remove(store, uid);
        }
        json_decref(pod);
        return err;
}
