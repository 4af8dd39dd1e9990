#include "net/cni-config.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/str.h"

#define CONFIG_SIZE_MAX (1U << 20)

/* Newest first: of several that a list offers the newest known is spoken. */
static const char *const versions[] = { "1.1.0", "1.0.0", "0.4.0", "0.3.1", "0.3.0" };

void cni_config_release(struct cni_config *config) {
        free(config->file);
        free(config->name);
        free(config->version);
        strv_free(config->offered);
        json_decref(config->plugins);
        *config = (struct cni_config){ 0 };
}

bool cni_config_is_0_4(const struct cni_config *config) {
        return !str_starts_with(config->version, "0.3.");
}

bool cni_config_is_1_1(const struct cni_config *config) {
        return streq(config->version, "1.1.0");
}

/* cniVersions, a list, came with 1.1.0; else there is cniVersion alone. Newest first. */
static char **versions_of(const json_t *json) {
        const json_t *offered = json_object_get(json, "cniVersions"), *item;
        const char *one = json_string_value(json_object_get(json, "cniVersion"));
        char **found = NULL;
        size_t n;

        for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
                bool named = streq_ptr(one, versions[i]);
                json_array_foreach(offered, n, item) named |= streq_ptr(json_string_value(item), versions[i]);
                if (named)
                        found = strv_add(found, versions[i]);
        }
        return found;
}

/* The name becomes part of paths that plugins make. */
static bool name_is_valid(const char *name) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
        return !str_empty(name) && name[0] != '.' && name[0] != '-' && strspn(name, letters) == strlen(name);
}

static struct error *check_plugins(const char *file, const json_t *plugins) {
        const json_t *plugin;
        size_t i;

        json_array_foreach(plugins, i, plugin) {
                const char *type = json_string_value(json_object_get(plugin, "type"));
                if (str_empty(type) || strchr(type, '/') || streq(type, "..") || streq(type, "."))
                        return error_new(ERROR_INVALID, "%s: plugin %zu: type has to be the name of a program", file,
                                         i);
        }
        return json_array_size(plugins) ? NULL : error_new(ERROR_INVALID, "%s: it names no plugins", file);
}

struct error *cni_config_of_json(const char *file, json_t *json, struct cni_config *ret) {
        json_t *plugins = json_object_get(json, "plugins");
        const char *name = json_string_value(json_object_get(json, "name"));
        _cleanup_strv_ char **offered = versions_of(json);

        if (!json_is_object(json))
                return error_new(ERROR_INVALID, "%s: has to be an object", file);
        if (!name_is_valid(name))
                return error_new(ERROR_INVALID, "%s: name has to be letters, digits, \"_\", \".\" and \"-\"", file);
        if (!offered)
                return error_new(ERROR_NOT_SUPPORTED,
                                 "%s: cniVersion has to be one of 1.1.0, 1.0.0, 0.4.0, 0.3.1 and 0.3.0", file);
        if (plugins && !json_is_array(plugins))
                return error_new(ERROR_INVALID, "%s: plugins has to be a list", file);
        plugins = plugins ? json_incref(plugins) : json_pack("[O]", json); /* one plugin's configuration by itself */
        struct error *err = check_plugins(file, plugins);
        if (err) {
                json_decref(plugins);
                return err;
        }
        *ret = (struct cni_config){ .file = xstrdup(file),
                                    .name = xstrdup(name),
                                    .version = xstrdup(offered[0]),
                                    .disable_check = json_is_true(json_object_get(json, "disableCheck")),
                                    .disable_gc = json_is_true(json_object_get(json, "disableGC")),
                                    .plugins = plugins };
        ret->offered = TAKE_PTR(offered);
        return NULL;
}

json_t *cni_config_json(const struct cni_config *config) {
        return json_pack("{s:s, s:s, s:b, s:b, s:O}", "name", config->name, "cniVersion", config->version,
                         "disableCheck", (int)config->disable_check, "disableGC", (int)config->disable_gc, "plugins",
                         config->plugins);
}

static struct error *load(const char *file, const char *text, size_t len, json_t **ret) {
        json_error_t mistake;

        *ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, &mistake);
        return *ret ? NULL : error_new(ERROR_INVALID, "%s:%d:%d: %s", file, mistake.line, mistake.column, mistake.text);
}

/* ---- files ---- */

static int is_config(const struct dirent *entry) {
        const char *name = entry->d_name;
        return name[0] != '.' &&
               (str_ends_with(name, ".conflist") || str_ends_with(name, ".conf") || str_ends_with(name, ".json"));
}

static int is_plugin(const struct dirent *entry) {
        return entry->d_name[0] != '.' && str_ends_with(entry->d_name, ".conf");
}

/* Paths of a folder's files, by name; none if there is no such folder. */
static struct error *list_folder(const char *folder, int (*filter)(const struct dirent *), char ***ret) {
        struct dirent **entries;
        int n = scandir(folder, &entries, filter, alphasort);

        if (n < 0)
                return errno == ENOENT || errno == ENOTDIR ? NULL : error_errno(errno, "open %s", folder);
        for (int i = 0; i < n; i++) {
                *ret = strv_add_take(*ret, path_join(folder, entries[i]->d_name));
                free(entries[i]);
        }
        free(entries);
        return NULL;
}

/* The plugins of the folder FOLDER/NETWORK come after those of the list itself. */
static struct error *add_plugins_beside(const char *folder, json_t *list) {
        const char *name = json_string_value(json_object_get(list, "name"));
        _cleanup_strv_ char **paths = NULL;
        _cleanup_free_ char *beside = NULL;
        json_t *plugins;

        if (json_is_true(json_object_get(list, "loadOnlyInlinedPlugins")) || !name_is_valid(name))
                return NULL;
        beside = path_join(folder, name);
        struct error *err = list_folder(beside, is_plugin, &paths);
        if (!err && paths && !json_object_get(list, "plugins"))
                json_object_set_new(list, "plugins", json_array());
        plugins = json_object_get(list, "plugins");
        for (char **path = paths; !err && path && *path; path++) {
                _cleanup_free_ char *text = NULL;
                json_t *plugin = NULL;
                size_t len;
                err = file_read(*path, CONFIG_SIZE_MAX, &text, &len);
                if (!err)
                        err = load(*path, text, len, &plugin);
                if (!err)
                        json_array_append(plugins, plugin);
                json_decref(plugin);
        }
        return err;
}

struct error *cni_config_parse(const char *file, const char *text, size_t len, const char *folder,
                               struct cni_config *ret) {
        json_auto_t *json = NULL;
        bool list = str_ends_with(file, ".conflist");
        struct error *err = load(file, text, len, &json);

        if (!err && folder && json_is_object(json) && (list || json_object_get(json, "plugins")))
                err = add_plugins_beside(folder, json);
        if (err)
                return err;
        if (list && !json_object_get(json, "plugins"))
                return error_new(ERROR_INVALID, "%s: a list has plugins", file);
        return cni_config_of_json(file, json, ret);
}

struct error *cni_config_read(const char *folder, struct cni_config *ret) {
        _cleanup_strv_ char **paths = NULL;
        _cleanup_free_ char *text = NULL;
        size_t len;
        struct error *err = list_folder(folder, is_config, &paths);

        if (!err && !paths)
                err = error_new(ERROR_NOT_FOUND, "there is no CNI configuration (NAME.conflist) in %s", folder);
        if (!err)
                err = file_read(paths[0], CONFIG_SIZE_MAX, &text, &len);
        return err ? err : cni_config_parse(paths[0], text, len, folder, ret);
}
