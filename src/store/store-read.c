/* store-read.c - one object, or all of a kind. */
#include "store/store-private.h"

#include <dirent.h>

#include "base/file.h"
#include "base/str.h"
#include "store/node.h"

struct error *store_node(struct store *store, json_t **ret) {
        _cleanup_free_ char *path = path_join(store->root, "node.json");
        struct error *err = store_file_read(path, ret);

        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                json_t *node = node_new(store);
                err = store_file_write(path, node, 0644, FILE_DURABLE | FILE_EXCLUSIVE);
                json_decref(node);
                if (error_is(err, ERROR_ALREADY_EXISTS))
                        err = error_free(err); /* somebody else made it just now */
                if (!err)
                        err = store_file_read(path, ret);
        }
        if (!err)
                node_fill_status(store, *ret);
        return err;
}

struct error *store_get(struct store *store, const struct api_kind *kind, const char *ns, const char *name,
                        json_t **ret) {
        struct error *err;

        if (!store_name_is_part(name) || (kind->namespaced && !store_name_is_part(store_namespace(kind, ns))))
                return store_not_found(kind, name ? name : "");
        if (kind_is_pod(kind)) {
                _cleanup_free_ char *uid = NULL;
                err = store_pod_uid(store, ns, name, &uid);
                if (!err)
                        err = store_pod_read(store, uid, ret);
                if (error_is(err, ERROR_NOT_FOUND)) {
                        error_free(err);
                        err = store_not_found(kind, name);
                }
                return err;
        }
        if (kind_is_node(kind)) {
                json_t *node = NULL;
                err = store_node(store, &node);
                if (err)
                        return err;
                if (!streq_ptr(string_of(json_object_get(node, "metadata"), "name"), name)) {
                        json_decref(node);
                        return store_not_found(kind, name);
                }
                *ret = node;
                return NULL;
        }
        _cleanup_free_ char *path = store_object_path(store, kind, ns, name);
        err = store_file_read(path, ret);
        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return store_not_found(kind, name);
        }
        return err;
}

struct error *store_folder_names(const char *path, char ***ret) {
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
        strv_sort(names);
        *ret = TAKE_PTR(names);
        return NULL;
}

/* With `ret_bad`, an object that cannot be read is passed over, and the first such is told there. */
static struct error *list_namespace(struct store *store, const struct api_kind *kind, const char *ns, json_t *array,
                                    struct error **ret_bad) {
        _cleanup_free_ char *folder = store_kind_folder(store, kind, ns);
        _cleanup_strv_ char **names = NULL;
        struct error *err = store_folder_names(folder, &names);

        for (size_t i = 0; !err && names && names[i]; i++) {
                json_t *object = NULL;

                if (!kind_is_pod(kind)) {
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

        if (kind_is_node(kind)) {
                json_t *node = NULL;
                err = store_node(store, &node);
                if (!err)
                        json_array_append_new(array, node);
        } else if (ns || !kind->namespaced) {
                if (!kind->namespaced || store_name_is_part(ns))
                        err = list_namespace(store, kind, ns, array, ret_bad);
        } else {
                _cleanup_free_ char *folder = path_join(store->root, "objects");
                _cleanup_strv_ char **namespaces = NULL;
                err = store_folder_names(folder, &namespaces);
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

bool store_may_have_any(struct store *store, const struct api_kind *kind) {
        _cleanup_free_ char *folder = path_join(store->root, "objects");
        _cleanup_strv_ char **namespaces = NULL;
        _cleanup_error_ struct error *err = store_folder_names(folder, &namespaces);
        bool any = err;

        for (size_t i = 0; namespaces && namespaces[i] && !any; i++) {
                _cleanup_free_ char *of_kind = store_kind_folder(store, kind, namespaces[i]);
                _cleanup_strv_ char **names = NULL;
                _cleanup_error_ struct error *bad = store_folder_names(of_kind, &names);
                any = bad || names;
        }
        return any;
}

struct error *store_list(struct store *store, const struct api_kind *kind, const char *ns, json_t **ret) {
        return list(store, kind, ns, ret, NULL);
}

struct error *store_list_readable(struct store *store, const struct api_kind *kind, const char *ns, json_t **ret,
                                  struct error **ret_bad) {
        *ret_bad = NULL;
        return list(store, kind, ns, ret, ret_bad);
}
