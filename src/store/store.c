/* store.c - the store itself: its folders, lock and counters, and where which object lies. */
#include "store/store-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

/* A stored object may be as large as etcd lets one be (1.5 MiB), and then some. */
#define OBJECT_MAX (16 << 20)

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

int store_lock_open(struct store *store, int operation) {
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
        int fd = store_lock_open(store, LOCK_EX);

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

bool store_name_is_part(const char *name) {
        return name && *name && !streq(name, ".") && !streq(name, "..") && !strchr(name, '/') && strlen(name) <= 253;
}

const char *store_namespace(const struct api_kind *kind, const char *ns) {
        if (!kind->namespaced)
                return CLUSTER_WIDE;
        return str_empty(ns) ? "default" : ns;
}

char *store_kind_folder(struct store *store, const struct api_kind *kind, const char *ns) {
        return xasprintf("%s/objects/%s/%s", store->root, store_namespace(kind, ns), kind->kind);
}

char *store_objects_folder(struct store *store, const struct api_kind *kind, const char *ns) {
        char *folder = store_kind_folder(store, kind, ns);
        struct error *err = mkdir_parents(folder, 0700);
        error_free(err); /* a watcher of a folder that cannot be made will say so itself */
        return folder;
}

char *store_object_path(struct store *store, const struct api_kind *kind, const char *ns, const char *name) {
        _cleanup_free_ char *folder = store_kind_folder(store, kind, ns);
        return xasprintf("%s/%s%s", folder, name, kind_is_pod(kind) ? "" : ".json");
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

struct error *store_not_found(const struct api_kind *kind, const char *name) {
        return error_new(ERROR_NOT_FOUND, "%s \"%s\" not found", kind->plural, name);
}

/* ---- files of JSON ---------------------------------------------------------------------------------------------- */

struct error *store_file_read(const char *path, json_t **ret) {
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

struct error *store_run_write(const struct store *store, const char *path, const char *text) {
        _cleanup_free_ char *temporary = path_join(store->run, ".new");

        return file_replace_through(temporary, path, text, strlen(text), 0600, 0);
}

struct error *store_object_write(const struct store *store, const char *path, const json_t *json, mode_t mode,
                                 int flags) {
        _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT), *temporary = path_join(store->root, "objects/.new");
        if (!text)
                return error_new(ERROR_INTERNAL, "%s: this object cannot be written as JSON", path);
        return file_replace_through(temporary, path, text, strlen(text), mode, flags);
}

struct error *store_file_write(const char *path, const json_t *json, mode_t mode, int flags) {
        _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);
        if (!text)
                return error_new(ERROR_INTERNAL, "%s: this object cannot be written as JSON", path);
        return file_replace(path, text, strlen(text), mode, flags);
}

json_t *object_metadata(json_t *object) {
        json_t *metadata = json_object_get(object, "metadata");
        if (!metadata) {
                metadata = json_object();
                json_object_set_new(object, "metadata", metadata);
        }
        return metadata;
}

void store_set_version(struct store *store, json_t *metadata) {
        char text[24];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)store_next_resource_version(store));
        json_object_set_new(metadata, "resourceVersion", json_string(text));
}
