#include "net/cni-record.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#define RECORD_MAX (4U << 20)

void attachment_release(struct attachment *a) {
        free(a->uid);
        free(a->path);
        cni_config_release(&a->config);
        strv_free(a->bin_dirs);
        free(a->ns);
        free(a->pod);
        free(a->boot);
        json_decref(a->runtime_config);
        json_decref(a->result);
        json_decref(a->partial);
}

void attachment_clear(struct attachment *a) {
        attachment_release(a);
        *a = (struct attachment){ 0 };
}

bool attachment_is_of_this_boot(const struct attachment *a) {
        return clock_is_this_boot(a->boot);
}

char *records_folder(const struct store *store) {
        return path_join(store->root, "cni");
}

char *record_path(const struct store *store, const char *uid) {
        return xasprintf("%s/cni/%s.json", store->root, uid);
}

static json_t *json_of_strv(char *const *list) {
        json_t *json = json_array();

        for (size_t i = 0; list && list[i]; i++)
                json_array_append_new(json, json_string(list[i]));
        return json;
}

struct error *record_write(const struct attachment *a) {
        _cleanup_free_ char *folder = records_folder(a->store), *text = NULL;
        json_auto_t *json = json_pack("{s:o, s:s, s:o, s:s, s:s, s:i, s:I, s:s, s:O*, s:O*, s:O*}", "config",
                                      cni_config_json(&a->config), "file", a->config.file, "binDirs",
                                      json_of_strv(a->bin_dirs), "namespace", a->ns, "pod", a->pod, "infra",
                                      (int)a->infra, "netns", (json_int_t)a->netns, "boot", a->boot, "runtimeConfig",
                                      a->runtime_config, "result", a->result, "partialResult", a->partial);
        struct error *err = mkdir_parents(folder, 0700);

        if (err)
                return err;
        text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
        if (!text)
                return error_new(ERROR_INVALID, "the name of the CNI configuration is no UTF-8");
        return file_replace(a->path, text, strlen(text), 0600, 0);
}

static struct error *record_of_json(json_t *json, struct attachment *a) {
        json_t *config = json_object_get(json, "config"), *bin_dirs = json_object_get(json, "binDirs"), *item;
        const char *file = json_string_value(json_object_get(json, "file"));
        const char *ns = json_string_value(json_object_get(json, "namespace"));
        const char *pod = json_string_value(json_object_get(json, "pod"));
        const char *boot = json_string_value(json_object_get(json, "boot"));
        size_t i;

        if (!file || !ns || !pod || !boot)
                return error_new(ERROR_INTERNAL, "it is damaged");
        a->ns = xstrdup(ns);
        a->pod = xstrdup(pod);
        a->boot = xstrdup(boot);
        a->infra = (pid_t)json_integer_value(json_object_get(json, "infra"));
        a->netns = (uint64_t)json_integer_value(json_object_get(json, "netns"));
        a->runtime_config = json_incref(json_object_get(json, "runtimeConfig"));
        a->result = json_incref(json_object_get(json, "result"));
        a->partial = json_incref(json_object_get(json, "partialResult"));
        json_array_foreach(bin_dirs, i, item) if (json_is_string(item)) a->bin_dirs =
                strv_add(a->bin_dirs, json_string_value(item));
        struct error *err = cni_config_of_json(file, config, &a->config);
        if (!err)
                return NULL;
        error_free(err);
        return error_new(ERROR_INTERNAL, "it is damaged");
}

struct error *record_read(const struct store *store, const char *uid, struct attachment *ret, bool *ret_found) {
        _cleanup_attachment_ struct attachment a = { .store = store,
                                                     .uid = xstrdup(uid),
                                                     .path = record_path(store, uid) };
        _cleanup_free_ char *text = NULL;
        size_t len;
        struct error *err = file_read(a.path, RECORD_MAX, &text, &len);

        *ret_found = false;
        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return NULL;
        }
        if (err && !error_is(err, ERROR_INVALID)) /* that: larger than any that was written */
                return err;
        error_free(err);
        json_auto_t *json = text ? json_loadb(text, len, 0, NULL) : NULL;
        err = record_of_json(json, &a);
        if (err)
                return error_context(err, "%s", a.path);
        *ret = a;
        a = (struct attachment){ 0 };
        *ret_found = true;
        return NULL;
}

/* ---- damaged ones ---- */

/* Whose it is stands in the pod's object, if that is still there. */
static void name_pod(struct attachment *a) {
        json_auto_t *object = NULL;

        error_free(store_pod_spec_read((struct store *)a->store, a->uid, &object)); /* it may be gone already */
        const json_t *metadata = json_object_get(object, "metadata");
        const char *ns = json_string_value(json_object_get(metadata, "namespace"));
        const char *name = json_string_value(json_object_get(metadata, "name"));

        a->ns = xstrdup(ns ? ns : "");
        a->pod = xstrdup(name ? name : "");
}

static struct error *record_give_up(const struct attachment *a, const char *damage) {
        log_error("%s; there is no CNI configuration any more by which to take back what plugins made for pod %s: the "
                  "record is removed, and what they reserved for the container ID %s may stay so",
                  damage, a->uid, a->uid);
        return unlink(a->path) < 0 && errno != ENOENT ? error_errno(errno, "remove %s", a->path) : NULL;
}

static struct error *record_heal(const struct store *store, const struct node_config *config, const char *uid,
                                 const char *damage, struct attachment *ret, bool *ret_found) {
        _cleanup_attachment_ struct attachment a = { .store = store,
                                                     .uid = xstrdup(uid),
                                                     .path = record_path(store, uid),
                                                     .bin_dirs = strv_copy(config->cni_bin_dirs),
                                                     .boot = xstrdup(clock_boot_id()) };
        struct error *err = config->cni_conf_dir ? cni_config_read(config->cni_conf_dir, &a.config) : NULL;

        if (!config->cni_conf_dir || error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return record_give_up(&a, damage);
        }
        name_pod(&a);
        if (!err)
                err = record_write(&a);
        if (err)
                return error_context(err, "%s; it cannot be made anew", damage);
        log_warning("%s; what plugins made for pod %s/%s is taken back by %s, without their results", damage, a.ns,
                    a.pod, a.config.file);
        *ret = a;
        a = (struct attachment){ 0 };
        *ret_found = true;
        return NULL;
}

struct error *record_read_healed(const struct store *store, const struct node_config *config, const char *uid,
                                 struct attachment *ret, bool *ret_found) {
        _cleanup_error_ struct error *err = record_read(store, uid, ret, ret_found);

        if (!error_is(err, ERROR_INTERNAL) || error_errnum(err))
                return TAKE_PTR(err);
        return record_heal(store, config, uid, error_message(err), ret, ret_found);
}

/* ---- locks ---- */

struct error *record_lock(const struct store *store, const char *uid, int *ret) {
        _cleanup_free_ char *path = record_path(store, uid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        *ret = -EBADF;
        if (fd < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "open %s", path);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? NULL : error_errno(errno, "lock %s", path);
        *ret = TAKE_FD(fd);
        return NULL;
}

struct error *records_lock(const struct store *store, bool alone, int *ret) {
        _cleanup_free_ char *folder = records_folder(store), *path = path_join(folder, "lock");
        struct error *err = mkdir_parents(folder, 0700);

        *ret = -EBADF;
        if (err)
                return err;
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        if (flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? NULL : error_errno(errno, "lock %s", path);
        *ret = TAKE_FD(fd);
        return NULL;
}

struct error *records_each(const struct store *store, struct error *(*f)(const char *uid, void *data), void *data) {
        _cleanup_free_ char *folder = records_folder(store);
        struct error *err = NULL;
        struct dirent *entry;
        DIR *dir = opendir(folder);

        while (!err && dir && (entry = readdir(dir))) {
                if (entry->d_name[0] == '.' || !str_ends_with(entry->d_name, ".json"))
                        continue;
                _cleanup_free_ char *uid = xstrndup(entry->d_name, strlen(entry->d_name) - strlen(".json"));
                err = f(uid, data);
        }
        if (dir)
                closedir(dir);
        return err;
}
