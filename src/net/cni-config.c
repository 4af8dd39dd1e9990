#include "net/cni-config.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/str.h"

#define CONFIG_SIZE_MAX (1U << 20)

/* Newest first: of several that a list offers the newest known is spoken. */
static const char *const versions[] = { "1.1.0", "1.0.0", "0.4.0" };

void cni_config_release(struct cni_config *config) {
        free(config->file);
        free(config->name);
        free(config->version);
        json_decref(config->plugins);
        *config = (struct cni_config){ 0 };
}

bool cni_config_is_1_1(const struct cni_config *config) {
        return streq(config->version, "1.1.0");
}

/* cniVersions, a list, came with 1.1.0; else there is cniVersion alone. */
static const char *version_of(const json_t *json) {
        const json_t *offered = json_object_get(json, "cniVersions"), *item;
        const char *one = json_string_value(json_object_get(json, "cniVersion"));
        size_t n;

        for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
                if (streq_ptr(one, versions[i]))
                        return versions[i];
                json_array_foreach(offered, n,
                                   item) if (streq_ptr(json_string_value(item), versions[i])) return versions[i];
        }
        return NULL;
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
        const char *name = json_string_value(json_object_get(json, "name")), *version = version_of(json);
        struct error *err;

        if (!json_is_object(json))
                return error_new(ERROR_INVALID, "%s: has to be an object", file);
        if (!name_is_valid(name))
                return error_new(ERROR_INVALID, "%s: name has to be letters, digits, \"_\", \".\" and \"-\"", file);
        if (!version)
                return error_new(ERROR_NOT_SUPPORTED, "%s: cniVersion has to be 0.4.0, 1.0.0 or 1.1.0", file);
        if (plugins && !json_is_array(plugins))
                return error_new(ERROR_INVALID, "%s: plugins has to be a list", file);
        plugins = plugins ? json_incref(plugins) : json_pack("[O]", json); /* one plugin's configuration by itself */
        err = check_plugins(file, plugins);
        if (err) {
                json_decref(plugins);
                return err;
        }
        *ret = (struct cni_config){ .file = xstrdup(file),
                                    .name = xstrdup(name),
                                    .version = xstrdup(version),
                                    .disable_check = json_is_true(json_object_get(json, "disableCheck")),
                                    .disable_gc = json_is_true(json_object_get(json, "disableGC")),
                                    .plugins = plugins };
        return NULL;
}

json_t *cni_config_json(const struct cni_config *config) {
        return json_pack("{s:s, s:s, s:b, s:b, s:O}", "name", config->name, "cniVersion", config->version,
                         "disableCheck", (int)config->disable_check, "disableGC", (int)config->disable_gc, "plugins",
                         config->plugins);
}

struct error *cni_config_parse(const char *file, const char *text, size_t len, struct cni_config *ret) {
        json_error_t mistake;
        json_auto_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &mistake);

        if (!json)
                return error_new(ERROR_INVALID, "%s:%d:%d: %s", file, mistake.line, mistake.column, mistake.text);
        bool list = json_object_get(json, "plugins") != NULL;
        if (str_ends_with(file, ".conflist") && !list)
                return error_new(ERROR_INVALID, "%s: a list has plugins", file);
        return cni_config_of_json(file, json, ret);
}

static int is_config(const struct dirent *entry) {
        const char *name = entry->d_name;
        return name[0] != '.' &&
               (str_ends_with(name, ".conflist") || str_ends_with(name, ".conf") || str_ends_with(name, ".json"));
}

struct error *cni_config_read(const char *folder, struct cni_config *ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        struct dirent **entries;
        size_t len;
        int n = scandir(folder, &entries, is_config, alphasort);

        if (n < 0 && errno != ENOENT)
                return error_errno(errno, "open %s", folder);
        for (int i = 0; i < n; i++) {
                if (i == 0)
                        path = path_join(folder, entries[i]->d_name);
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        if (!path)
                return error_new(ERROR_NOT_FOUND, "there is no CNI configuration (NAME.conflist) in %s", folder);
        struct error *err = file_read(path, CONFIG_SIZE_MAX, &text, &len);
        return err ? err : cni_config_parse(path, text, len, ret);
}
