#include "husk/create-data.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "api/validate-name.h"
#include "base/file.h"
#include "base/str.h"
#include "husk/flag.h"

#define DATA_SIZE_MAX (1U << 20) /* of a ConfigMap or Secret as a whole, see Kubernetes' ConfigMap concept page */

static struct error *add_file(const char *key, const char *path, data_add add, void *arg) {
        _cleanup_free_ char *content = NULL;
        size_t len;
        struct error *err = file_read(path, DATA_SIZE_MAX, &content, &len);

        if (!err)
                err = add(arg, key, content, len);
        return err;
}

/* Files whose names can be keys; folders, links and the like are passed over, as kubectl does. */
static struct error *add_folder(const char *path, data_add add, void *arg) {
        struct dirent **entries;
        struct error *err = NULL;
        int n = scandir(path, &entries, NULL, alphasort);

        if (n < 0)
                return error_errno(errno, "read %s", path);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *file = path_join(path, entries[i]->d_name);
                struct stat st;
                if (!err && lstat(file, &st) == 0 && S_ISREG(st.st_mode) &&
                    text_is(entries[i]->d_name, text_check_config_key))
                        err = add_file(entries[i]->d_name, file, add, arg);
                free(entries[i]);
        }
        free(entries);
        return err;
}

/* "[KEY=]PATH" */
static struct error *add_path(const char *text, data_add add, void *arg) {
        const char *equals = strchr(text, '='), *path = equals ? equals + 1 : text;
        _cleanup_free_ char *key = equals ? xstrndup(text, equals - text) : NULL;
        const char *slash = strrchr(path, '/');
        struct stat st;

        if (equals && (!*key || !*path))
                return usage_error("%s name for file path %s missing", *key ? "file path" : "key", *path ? path : text);
        if (equals && strchr(path, '='))
                return usage_error("key names or file paths cannot contain '='");
        if (stat(path, &st) < 0)
                return error_errno(errno, "read %s", path);
        if (S_ISDIR(st.st_mode) && key)
                return usage_error("cannot give a key name for a directory path: %s", text);
        if (S_ISDIR(st.st_mode))
                return add_folder(path, add, arg);
        return add_file(key ? key : slash ? slash + 1 : path, path, add, arg);
}

/* "KEY=VALUE", of a pair of quotes around the value freed. */
static struct error *add_literal(const char *text, data_add add, void *arg) {
        const char *equals = strchr(text, '=');

        if (!equals || equals == text)
                return usage_error("invalid literal source %s, expected key=value", text);
        _cleanup_free_ char *key = xstrndup(text, equals - text);
        const char *value = equals + 1;
        size_t len = strlen(value);
        if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0]) {
                value++;
                len -= 2;
        }
        return add(arg, key, value, len);
}

/* A line of an env file. Blank lines and comments are passed over. */
static struct error *add_line(char *line, data_add add, void *arg) {
        line += strspn(line, " \t\v\f\r");
        size_t len = strlen(line);
        if (len && line[len - 1] == '\r')
                line[--len] = '\0';
        if (!len || *line == '#')
                return NULL;
        char *equals = strchr(line, '=');
        if (equals)
                *equals = '\0';
        if (!text_is(line, text_check_env_name))
                return usage_error("\"%s\" is not a valid key name", line);
        const char *value = equals ? equals + 1 : getenv(line);
        return add(arg, line, value ? value : "", value ? strlen(value) : 0);
}

static struct error *add_env_file(const char *path, data_add add, void *arg) {
        static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, as some editors write it */
        _cleanup_free_ char *content = NULL;
        struct error *err = file_read(path, DATA_SIZE_MAX, &content, NULL);
        char *at = content, *line;

        if (err)
                return err;
        if (str_starts_with(at, mark))
                at += strlen(mark);
        for (size_t number = 1; !err && (line = strsep(&at, "\n")); number++) {
                err = add_line(line, add, arg);
                if (err)
                        err = error_context(err, "%s:%zu", path, number);
        }
        return err;
}

struct error *data_source_read(const struct data_source *source, data_add add, void *arg) {
        struct error *err = NULL;

        if (source->env_files && (source->files || source->literals))
                return usage_error("from-env-file cannot be combined with from-file or from-literal");
        for (size_t i = 0; !err && source->files && source->files[i]; i++)
                err = add_path(source->files[i], add, arg);
        for (size_t i = 0; !err && source->literals && source->literals[i]; i++)
                err = add_literal(source->literals[i], add, arg);
        for (size_t i = 0; !err && source->env_files && source->env_files[i]; i++)
                err = add_env_file(source->env_files[i], add, arg);
        return err;
}
