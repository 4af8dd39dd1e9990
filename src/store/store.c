#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "store/claim.h"
#include "store/node.h"

/* A stored object may be as large as etcd lets one be (1.5 MiB), and then some. */
#define OBJECT_MAX (16 << 20)
#define CLUSTER_WIDE "_" /* no namespace can have this name */

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static char *folder_default(const char *given, const char *variable, const char *system, const char *xdg_variable,
                            const char *xdg_fallback) {
        const char *value = getenv(variable), *xdg = getenv(xdg_variable), *home = getenv("HOME");

        if (given)
                return xstrdup(given);
        if (!str_empty(value))
                return xstrdup(value);
        if (geteuid() == 0)
                return xstrdup(system);
        if (!str_empty(xdg))
                return path_join(xdg, "husk");
        return xasprintf("%s/%s", str_empty(home) ? "/tmp" : home, xdg_fallback);
}

static struct error *folder_make(const char *path) {
        return error_context(mkdir_parents(path, 0700), "husk cannot keep its state in %s", path);
}

static char *absolute(char *path) {
        if (*path == '/')
                return path;
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        char *joined = path_join(cwd ? cwd : "/", path);
        free(path);
        return joined;
}

/* The namespace "default" is always there; made with the folder that would hold it. */
static struct error *default_namespace_make(struct store *store) {
        _cleanup_free_ char *folder = xasprintf("%s/objects/%s/Namespace", store->root, CLUSTER_WIDE);
        _cleanup_free_ char *path = path_join(folder, "default.json"), *uid = NULL, *text = NULL;
        char stamp[RFC3339_MAX];
        struct error *err;

        if (file_exists(path))
                return NULL;
        err = mkdir_parents(folder, 0700);
        if (err)
                return err;
        uid = store_new_uid();
        text = xasprintf(
                "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"default\",\"uid\":\"%s\","
                "\"resourceVersion\":\"1\",\"creationTimestamp\":\"%s\",\"labels\":{\"kubernetes.io/metadata.name\":"
                "\"default\"}},\"spec\":{\"finalizers\":[\"kubernetes\"]},\"status\":{\"phase\":\"Active\"}}\n",
                uid, rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, stamp));
        err = file_replace(path, text, strlen(text), 0644, FILE_DURABLE | FILE_EXCLUSIVE);
        if (error_is(err, ERROR_ALREADY_EXISTS))
                err = error_free(err); /* another process was quicker */
        return err;
}

struct error *store_open(const char *root, const char *run, struct store **ret) {
        _cleanup_store_ struct store *store = new0(struct store);
        _cleanup_free_ char *pods = NULL, *run_pods = NULL;
        struct error *err;

        store->root =
                absolute(folder_default(root, "HUSK_ROOT", "/var/lib/husk", "XDG_DATA_HOME", ".local/share/husk"));
        store->run = absolute(folder_default(run, "HUSK_RUN", "/run/husk", "XDG_RUNTIME_DIR", ".cache/husk/run"));
        store->is_default = streq(store->root, "/var/lib/husk");
        store->logs = store->is_default ? xstrdup("/var/log/pods") : path_join(store->root, "logs");
        pods = path_join(store->root, "pods");
        run_pods = path_join(store->run, "pods");
        err = folder_make(pods);
        if (!err)
                err = folder_make(run_pods);
        if (!err)
                err = default_namespace_make(store);
        if (err)
                return err;
        *ret = TAKE_PTR(store);
        return NULL;
}

struct store *store_free(struct store *store) {
        if (!store)
                return NULL;
        if (store->counter)
                munmap(store->counter, sizeof(*store->counter));
        free(store->root);
        free(store->run);
        free(store->logs);
        free(store->node_name);
        free(store);
        return NULL;
}

/* Returns a descriptor that holds the lock, or -errno. */
static int lock_open(struct store *store, int operation) {
        _cleanup_free_ char *path = path_join(store->run, "lock");
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
                return -errno;
        while (flock(fd, operation) < 0)
                if (errno != EINTR)
                        return -errno;
        return TAKE_FD(fd);
}

struct error *store_lock(struct store *store, int *ret_fd) {
        int fd = lock_open(store, LOCK_EX);

        if (fd < 0)
                return error_errno(-fd, "lock %s/lock", store->run);
        *ret_fd = fd;
        return NULL;
}

uint64_t store_next_resource_version(struct store *store) {
        if (!store->counter) {
                _cleanup_free_ char *path = path_join(store->run, "rv");
                _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                if (fd >= 0 && ftruncate(fd, sizeof(uint64_t)) == 0) {
                        void *p = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                        if (p != MAP_FAILED)
                                store->counter = p;
                }
        }
        uint64_t now = (uint64_t)(clock_realtime_ns() / 1000);
        if (!store->counter)
                return now;
        /* The folder is new after each boot: the first to count begins at the time of day, which is past all that was
         * given out before, for nobody writes a million times a second. */
        uint64_t zero = 0;
        __atomic_compare_exchange_n(store->counter, &zero, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        return __atomic_add_fetch(store->counter, 1, __ATOMIC_SEQ_CST);
}

char *store_new_uid(void) {
        uint8_t b[16];

        if (getrandom(b, sizeof(b), 0) != sizeof(b))
                abort(); /* cannot happen for 16 bytes once the kernel's pool is filled, which it waits for */
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        return xasprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
                         b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* ---- paths ------------------------------------------------------------------------------------------------------ */

static bool is_pod(const struct api_kind *kind) {
        return streq(kind->kind, "Pod");
}

static bool is_node(const struct api_kind *kind) {
        return streq(kind->kind, "Node");
}

/* What may be one part of a path (Kubernetes: path segment names); everything else names no object. */
static bool name_is_path_part(const char *name) {
        return name && *name && !streq(name, ".") && !streq(name, "..") && !strchr(name, '/') && strlen(name) <= 253;
}

static const char *namespace_or_default(const struct api_kind *kind, const char *ns) {
        if (!kind->namespaced)
                return CLUSTER_WIDE;
        return str_empty(ns) ? "default" : ns;
}

static char *kind_folder(struct store *store, const struct api_kind *kind, const char *ns) {
        return xasprintf("%s/objects/%s/%s", store->root, namespace_or_default(kind, ns), kind->kind);
}

char *store_objects_folder(struct store *store, const struct api_kind *kind, const char *ns) {
        char *folder = kind_folder(store, kind, ns);
        struct error *err = mkdir_parents(folder, 0700);
        error_free(err); /* a watcher of a folder that cannot be made will say so itself */
        return folder;
}

static char *object_path(struct store *store, const struct api_kind *kind, const char *ns, const char *name) {
        _cleanup_free_ char *folder = kind_folder(store, kind, ns);
        return xasprintf("%s/%s%s", folder, name, is_pod(kind) ? "" : ".json");
}

char *store_pod_folder(struct store *store, const char *uid) {
        return xasprintf("%s/pods/%s", store->root, uid);
}

char *store_pod_run_folder(struct store *store, const char *uid) {
        return xasprintf("%s/pods/%s", store->run, uid);
}

char *store_pod_log_folder(struct store *store, const char *ns, const char *name, const char *uid) {
        return xasprintf("%s/%s_%s_%s", store->logs, ns, name, uid);
}

static struct error *not_found(const struct api_kind *kind, const char *name) {
        return error_new(ERROR_NOT_FOUND, "%s \"%s\" not found", kind->plural, name);
}

/* ---- files of JSON ---------------------------------------------------------------------------------------------- */

static struct error *json_read(const char *path, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        json_error_t problem;
        size_t len;
        struct error *err = file_read(path, OBJECT_MAX, &text, &len);

        if (err)
                return err;
        json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &problem);
        if (!json)
                return error_new(ERROR_INTERNAL, "%s:%d: damaged (%s): mend the file or remove it", path, problem.line,
                                 problem.text);
        *ret = json;
        return NULL;
}

static struct error *json_write(const char *path, const json_t *json, mode_t mode, int flags) {
        _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);
        if (!text)
                return error_new(ERROR_INTERNAL, "%s: this object cannot be written as JSON", path);
        return file_replace(path, text, strlen(text), mode, flags);
}

static const char *string_of(const json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key));
}

static json_t *metadata_of(json_t *object) {
        json_t *metadata = json_object_get(object, "metadata");
        if (!metadata) {
                metadata = json_object();
                json_object_set_new(object, "metadata", metadata);
        }
        return metadata;
}

static void set_resource_version(struct store *store, json_t *metadata) {
        char text[24];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)store_next_resource_version(store));
        json_object_set_new(metadata, "resourceVersion", json_string(text));
}

/* ---- pods by name ----------------------------------------------------------------------------------------------- */

/* Reads the link that reserves a pod's name: its uid, or NULL if the name is free. */
static char *pod_link_read(struct store *store, const struct api_kind *kind, const char *ns, const char *name) {
        _cleanup_free_ char *path = object_path(store, kind, ns, name);
        char target[512];
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        if (n <= 0)
                return NULL;
        target[n] = '\0';
        const char *slash = strrchr(target, '/');
        return xstrdup(slash ? slash + 1 : target);
}

static bool pod_exists(struct store *store, const char *uid) {
        _cleanup_free_ char *path = xasprintf("%s/pods/%s/pod.json", store->root, uid);
        return file_exists(path);
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
        link = object_path(store, kind, ns, name);
        if (!err && unlink(link) < 0 && errno != ENOENT)
                err = error_errno(errno, "remove %s", link);
        return err;
}

struct error *store_pod_uid(struct store *store, const char *ns, const char *name, char **ret) {
        const struct api_kind *kind = api_kind_of("Pod");
        _cleanup_free_ char *uid = name_is_path_part(name) ? pod_link_read(store, kind, ns, name) : NULL;
        struct error *err;

        if (uid && pod_exists(store, uid)) {
                *ret = TAKE_PTR(uid);
                return NULL;
        }
        if (uid) {
                /* Not waiting: whoever holds the lock may be making or removing this very pod (or be our own caller).
                 */
                _cleanup_close_ int lock = lock_open(store, LOCK_EX | LOCK_NB);
                err = lock >= 0 ? pod_debris_remove(store, kind, ns, name) : NULL;
                if (err)
                        return err;
        }
        return not_found(kind, name ? name : "");
}

struct error *store_pod_spec_read(struct store *store, const char *uid, json_t **ret) {
        _cleanup_free_ char *path = xasprintf("%s/pods/%s/pod.json", store->root, uid);
        struct error *err = json_read(path, ret);

        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return not_found(api_kind_of("Pod"), uid);
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
        struct error *err = json_read(path, ret);

        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                err = json_read(kept, ret);
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

        set_resource_version(store, file);
        json_object_set(file, "status", (json_t *)status);
        if (durable)
                err = json_write(kept, file, 0644, FILE_DURABLE);
        if (!err)
                err = json_write(path, file, 0644, 0);
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

static struct error *pod_read(struct store *store, const char *uid, json_t **ret) {
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
        json_t *metadata = metadata_of(pod);
        const char *text = string_of(metadata, "resourceVersion");
        if (text)
                str_to_u64(text, &spec_version);
        text = string_of(file, "resourceVersion");
        if (text)
                str_to_u64(text, &status_version);
        if (status_version > spec_version)
                json_object_set(metadata, "resourceVersion", json_object_get(file, "resourceVersion"));
        tell_unsupervised(store, uid, json_object_get(file, "status"));
        json_object_set(pod, "status", json_object_get(file, "status"));
        bind_to_node(store, pod, json_object_get(file, "status"));
        json_decref(file);
        *ret = pod;
        return NULL;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct error *store_node(struct store *store, json_t **ret) {
        _cleanup_free_ char *path = path_join(store->root, "node.json");
        struct error *err = json_read(path, ret);

        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                json_t *node = node_new(store);
                err = json_write(path, node, 0644, FILE_DURABLE | FILE_EXCLUSIVE);
                json_decref(node);
                if (error_is(err, ERROR_ALREADY_EXISTS))
                        err = error_free(err); /* somebody else made it just now */
                if (!err)
                        err = json_read(path, ret);
        }
        if (!err)
                node_fill_status(store, *ret);
        return err;
}

struct error *store_get(struct store *store, const struct api_kind *kind, const char *ns, const char *name,
                        json_t **ret) {
        struct error *err;

        if (!name_is_path_part(name) || (kind->namespaced && !name_is_path_part(namespace_or_default(kind, ns))))
                return not_found(kind, name ? name : "");
        if (is_pod(kind)) {
                _cleanup_free_ char *uid = NULL;
                err = store_pod_uid(store, ns, name, &uid);
                if (!err)
                        err = pod_read(store, uid, ret);
                if (error_is(err, ERROR_NOT_FOUND)) {
                        error_free(err);
                        err = not_found(kind, name);
                }
                return err;
        }
        if (is_node(kind)) {
                json_t *node = NULL;
                err = store_node(store, &node);
                if (err)
                        return err;
                if (!streq_ptr(string_of(json_object_get(node, "metadata"), "name"), name)) {
                        json_decref(node);
                        return not_found(kind, name);
                }
                *ret = node;
                return NULL;
        }
        _cleanup_free_ char *path = object_path(store, kind, ns, name);
        err = json_read(path, ret);
        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return not_found(kind, name);
        }
        return err;
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted, without hidden ones; none (NULL) if there is no such folder. That one could not be looked
 * into is an error: whoever took it for an empty one might remove what belongs to its objects. */
static struct error *folder_names(const char *path, char ***ret) {
        _cleanup_strv_ char **names = NULL;
        DIR *dir = opendir(path);
        struct dirent *entry;
        size_t n = 0;
        int rc;

        if (!dir && errno != ENOENT)
                return error_errno(errno, "open %s", path);
        while (dir && (errno = 0, entry = readdir(dir))) {
                if (entry->d_name[0] == '.')
                        continue;
                names = xreallocarray(names, n + 2, sizeof(char *));
                names[n++] = xstrdup(entry->d_name);
                names[n] = NULL;
        }
        rc = dir ? errno : 0;
        if (dir)
                closedir(dir);
        if (rc && rc != ENOENT) /* it may have been removed meanwhile */
                return error_errno(rc, "read %s", path);
        if (n)
                qsort(names, n, sizeof(char *), compare_strings);
        *ret = TAKE_PTR(names);
        return NULL;
}

/* With `ret_bad`, an object that cannot be read is passed over, and the first such is told there. */
static struct error *list_namespace(struct store *store, const struct api_kind *kind, const char *ns, json_t *array,
                                    struct error **ret_bad) {
        _cleanup_free_ char *folder = kind_folder(store, kind, ns);
        _cleanup_strv_ char **names = NULL;
        struct error *err = folder_names(folder, &names);

        for (size_t i = 0; !err && names && names[i]; i++) {
                json_t *object = NULL;

                if (!is_pod(kind)) {
                        if (!str_ends_with(names[i], ".json"))
                                continue;
                        names[i][strlen(names[i]) - strlen(".json")] = '\0';
                }
                err = store_get(store, kind, ns, names[i], &object);
                if (error_is(err, ERROR_NOT_FOUND)) {
                        err = error_free(err); /* removed meanwhile */
                        continue;
                }
                if (!err)
                        json_array_append_new(array, object);
                else if (ret_bad)
                        error_keep_first(ret_bad, TAKE_PTR(err));
        }
        return err;
}

static struct error *list(struct store *store, const struct api_kind *kind, const char *ns, json_t **ret,
                          struct error **ret_bad) {
        json_t *array = json_array();
        struct error *err = NULL;

        if (is_node(kind)) {
                json_t *node = NULL;
                err = store_node(store, &node);
                if (!err)
                        json_array_append_new(array, node);
        } else if (ns || !kind->namespaced) {
                if (!kind->namespaced || name_is_path_part(ns))
                        err = list_namespace(store, kind, ns, array, ret_bad);
        } else {
                _cleanup_free_ char *folder = path_join(store->root, "objects");
                _cleanup_strv_ char **namespaces = NULL;
                err = folder_names(folder, &namespaces);
                for (size_t i = 0; !err && namespaces && namespaces[i]; i++)
                        if (!streq(namespaces[i], CLUSTER_WIDE))
                                err = list_namespace(store, kind, namespaces[i], array, ret_bad);
        }
        if (err) {
                json_decref(array);
                return err;
        }
        *ret = array;
        return NULL;
}

struct error *store_list(struct store *store, const struct api_kind *kind, const char *ns, json_t **ret) {
        return list(store, kind, ns, ret, NULL);
}

struct error *store_list_readable(struct store *store, const struct api_kind *kind, const char *ns, json_t **ret,
                                  struct error **ret_bad) {
        *ret_bad = NULL;
        return list(store, kind, ns, ret, ret_bad);
}

struct error *store_pod_uids(struct store *store, char ***ret) {
        _cleanup_free_ char *folder = path_join(store->root, "pods"), *run_folder = path_join(store->run, "pods");
        _cleanup_strv_ char **uids = NULL, **running = NULL;
        struct error *err = folder_names(folder, &uids);

        if (!err)
                err = folder_names(run_folder, &running);
        if (err)
                return err;
        for (size_t i = 0; running && running[i]; i++)
                if (!strv_contains(uids, running[i]))
                        uids = strv_add(uids, running[i]);
        *ret = TAKE_PTR(uids);
        return NULL;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static mode_t file_mode(const struct api_kind *kind) {
        return streq(kind->kind, "Secret") ? 0600 : 0644;
}

static struct error *namespace_must_exist(struct store *store, const char *ns) {
        const struct api_kind *kind = api_kind_of("Namespace");
        _cleanup_free_ char *path = object_path(store, kind, NULL, ns);

        if (!name_is_path_part(ns) || !file_exists(path))
                return not_found(kind, ns);
        return NULL;
}

static struct error *pod_create(struct store *store, const struct api_kind *kind, const char *ns, const char *name,
                                json_t *object) {
        const char *uid = string_of(metadata_of(object), "uid");
        _cleanup_free_ char *folder = store_pod_folder(store, uid), *run_folder = store_pod_run_folder(store, uid);
        _cleanup_free_ char *link = object_path(store, kind, ns, name), *target = xasprintf("../../../pods/%s", uid);
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
                err = json_write(path, stored, 0644, FILE_EXCLUSIVE);
        json_decref(stored);
        if (err) {
                struct error *ignored = pod_debris_remove(store, kind, ns, name);
                error_free(ignored);
        }
        return err;
}

struct error *store_create(struct store *store, const struct api_kind *kind, json_t *object) {
        json_t *metadata = metadata_of(object);
        const char *name = string_of(metadata, "name");
        const char *ns = namespace_or_default(kind, string_of(metadata, "namespace"));
        _cleanup_close_ int lock = -EBADF;
        char stamp[RFC3339_MAX];
        struct error *err;

        if (!name_is_path_part(name))
                return error_new(ERROR_INVALID, "metadata.name: Invalid value: \"%s\": is no usable name",
                                 name ? name : "");
        if (is_node(kind))
                return error_new(ERROR_FORBIDDEN, "nodes \"%s\": husk has exactly one node, this machine", name);
        if (kind->namespaced) {
                err = namespace_must_exist(store, ns);
                if (err)
                        return err;
        }
        _cleanup_free_ char *folder = kind_folder(store, kind, ns), *path = object_path(store, kind, ns, name);
        err = mkdir_parents(folder, 0700);
        if (!err)
                err = store_lock(store, &lock);
        if (err)
                return err;

        if (kind->namespaced && str_empty(string_of(metadata, "namespace")))
                json_object_set_new(metadata, "namespace", json_string(ns));
        if (!string_of(metadata, "uid")) {
                _cleanup_free_ char *uid = store_new_uid();
                json_object_set_new(metadata, "uid", json_string(uid));
        }
        json_object_set_new(metadata, "creationTimestamp",
                            json_string(rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, stamp)));
        set_resource_version(store, metadata);
        if (is_pod(kind)) {
                json_object_set_new(metadata, "generation", json_integer(1));
                return pod_create(store, kind, ns, name, object);
        }
        if (claim_is_kind(kind))
                claim_bind(object);
        err = json_write(path, object, file_mode(kind), FILE_DURABLE | FILE_EXCLUSIVE);
        if (error_is(err, ERROR_ALREADY_EXISTS)) {
                error_free(err);
                return error_new(ERROR_ALREADY_EXISTS, "%s \"%s\" already exists", kind->plural, name);
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
        names = kind_folder(store, api_kind_of("Pod"), string_of(metadata_of(pod), "namespace"));
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

/* Keeps what a writer may not change, and counts what has changed. */
static void carry_over(struct store *store, const struct api_kind *kind, json_t *object, const json_t *old) {
        static const char *const fixed[] = { "uid", "creationTimestamp", "namespace", "name" };
        json_t *metadata = metadata_of(object), *old_metadata = json_object_get(old, "metadata");

        for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
                if (json_object_get(old_metadata, fixed[i]))
                        json_object_set(metadata, fixed[i], json_object_get(old_metadata, fixed[i]));
        set_resource_version(store, metadata);
        if (!is_pod(kind))
                return;
        json_int_t generation = json_integer_value(json_object_get(old_metadata, "generation"));
        bool deleting =
                json_object_get(metadata, "deletionTimestamp") && !json_object_get(old_metadata, "deletionTimestamp");
        if (deleting || !json_equal(json_object_get(object, "spec"), json_object_get(old, "spec")))
                generation++;
        json_object_set_new(metadata, "generation", json_integer(generation));
}

/* What store_pod_disrupt() wrote beside the spec stays with it. */
static void keep_disruption(struct store *store, const char *uid, json_t *stored) {
        json_t *before = NULL;
        struct error *err = store_pod_spec_read(store, uid, &before);

        json_object_del(stored, "status");
        if (!err && json_object_get(before, "status"))
                json_object_set(stored, "status", json_object_get(before, "status"));
        error_free(err); /* the pod was read a moment ago */
        json_decref(before);
}

struct error *store_update(struct store *store, const struct api_kind *kind, json_t *object) {
        json_t *metadata = metadata_of(object), *old = NULL, *stored;
        const char *name = string_of(metadata, "name"), *ns = string_of(metadata, "namespace");
        const char *version = string_of(metadata, "resourceVersion");
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *path = NULL;
        struct error *err;

        err = store_lock(store, &lock);
        if (!err)
                err = store_get(store, kind, ns, name, &old);
        if (err)
                return err;
        if (!str_empty(version) &&
            !streq_ptr(version, string_of(json_object_get(old, "metadata"), "resourceVersion")) &&
            !streq(version, "0")) {
                json_decref(old);
                return error_new(
                        ERROR_CONFLICT,
                        "%s \"%s\": the object has been modified; please apply your changes to the latest version",
                        kind->plural, name);
        }
        carry_over(store, kind, object, old);
        name = string_of(metadata, "name");
        ns = string_of(metadata, "namespace");
        stored = json_copy(object);
        if (is_pod(kind)) {
                const char *uid = string_of(json_object_get(old, "metadata"), "uid");
                path = xasprintf("%s/pods/%s/pod.json", store->root, uid);
                keep_disruption(store, uid, stored);
        } else if (is_node(kind)) {
                path = path_join(store->root, "node.json");
                json_object_del(stored, "status");
        } else {
                path = object_path(store, kind, ns, name);
        }
        /* Of a claim whose deletion waited, somebody may have taken away what held it. */
        bool ends = claim_is_kind(kind) && claim_update(stored, old);
        err = ends ? claim_delete(store, stored, path) : json_write(path, stored, file_mode(kind), FILE_DURABLE);
        json_decref(stored);
        json_decref(old);
        lock = fd_close(lock);
        return err || !ends ? err : claims_empty_bin(store);
}

static struct error *claim_remove(struct store *store, const struct api_kind *kind, const char *ns, const char *name,
                                  const char *path) {
        json_t *claim = NULL;
        struct error *err = store_get(store, kind, ns, name, &claim);

        if (!err)
                err = claim_delete(store, claim, path);
        json_decref(claim);
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
        metadata = metadata_of(pod);
        rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC + grace, stamp);
        json_object_set_new(metadata, "deletionTimestamp", json_string(stamp));
        json_object_set_new(metadata, "deletionGracePeriodSeconds", json_integer(grace));
        json_object_set(pod, "status", (json_t *)status);
        carry_over(store, api_kind_of("Pod"), pod, old);
        err = json_write(path, pod, file_mode(api_kind_of("Pod")), FILE_DURABLE);
        json_decref(pod);
        json_decref(old);
        return err;
}

struct error *store_delete(struct store *store, const struct api_kind *kind, const char *ns, const char *name) {
        _cleanup_close_ int lock = -EBADF;
        struct error *err;

        if (is_node(kind))
                return error_new(ERROR_FORBIDDEN, "nodes \"%s\": husk has exactly one node, this machine", name);
        if (!name_is_path_part(name) || (kind->namespaced && !name_is_path_part(namespace_or_default(kind, ns))))
                return not_found(kind, name ? name : "");
        err = store_lock(store, &lock);
        if (err)
                return err;
        _cleanup_free_ char *path = object_path(store, kind, ns, name);
        if (claim_is_kind(kind)) {
                err = claim_remove(store, kind, ns, name, path);
                lock = fd_close(lock);
                return err ? err : claims_empty_bin(store);
        }
        if (unlink(path) < 0)
                return errno == ENOENT ? not_found(kind, name) : error_errno(errno, "remove %s", path);
        return NULL;
}

/* The link that leads to a pod of which no pod.json is left to tell its name. */
static struct error *links_to_uid_remove(struct store *store, const char *uid) {
        _cleanup_free_ char *objects = path_join(store->root, "objects");
        _cleanup_strv_ char **namespaces = NULL;
        const struct api_kind *kind = api_kind_of("Pod");
        struct error *err = folder_names(objects, &namespaces);

        for (size_t i = 0; !err && namespaces && namespaces[i]; i++) {
                _cleanup_free_ char *folder = kind_folder(store, kind, namespaces[i]);
                _cleanup_strv_ char **names = NULL;
                err = folder_names(folder, &names);
                for (size_t j = 0; !err && names && names[j]; j++) {
                        _cleanup_free_ char *link = path_join(folder, names[j]);
                        _cleanup_free_ char *target = pod_link_read(store, kind, namespaces[i], names[j]);
                        if (target && streq(target, uid))
                                unlink(link);
                }
        }
        return err;
}

struct error *store_pod_remove(struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_folder(store, uid), *run_folder = store_pod_run_folder(store, uid);
        _cleanup_close_ int lock = -EBADF;
        json_t *pod = NULL;
        struct error *err;

        if (!name_is_path_part(uid))
                return error_new(ERROR_INVALID, "\"%s\" is no uid of a pod", uid);
        err = store_lock(store, &lock);
        if (err)
                return err;
        err = store_pod_spec_read(store, uid, &pod);
        error_free(err); /* damaged or gone: then the links are searched */

        err = remove_tree(run_folder);
        if (!err)
                err = remove_tree(folder);
        if (err) {
                json_decref(pod);
                return err;
        }
        json_t *metadata = json_object_get(pod, "metadata");
        const char *name = string_of(metadata, "name"), *ns = string_of(metadata, "namespace");
        if (name && ns) {
                const struct api_kind *kind = api_kind_of("Pod");
                _cleanup_free_ char *target = pod_link_read(store, kind, ns, name);
                _cleanup_free_ char *link = object_path(store, kind, ns, name);
                if (target && streq(target, uid))
                        unlink(link);
        } else {
                err = links_to_uid_remove(store, uid);
        }
        json_decref(pod);
        return err;
}
