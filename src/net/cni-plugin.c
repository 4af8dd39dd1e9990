#include "net/cni-plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

#define QUOTED_MAX 500 /* bytes of what a plugin says that are passed on */

static const char *const commands[] = { [CNI_ADD] = "ADD", [CNI_DEL] = "DEL",       [CNI_CHECK] = "CHECK",
                                        [CNI_GC] = "GC",   [CNI_STATUS] = "STATUS", [CNI_VERSION] = "VERSION" };

const char *cni_plugin_type(const json_t *plugin) {
        return json_string_value(json_object_get(plugin, "type"));
}

/* ---- what it is told ---- */

static struct error *find_plugin(const struct attachment *a, const char *type, char **ret) {
        struct stat st;

        for (size_t i = 0; a->bin_dirs && a->bin_dirs[i]; i++) {
                _cleanup_free_ char *path = path_join(a->bin_dirs[i], type);
                if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0) {
                        *ret = TAKE_PTR(path);
                        return NULL;
                }
        }
        _cleanup_free_ char *folders = strv_join(a->bin_dirs, ", ");
        return error_new(ERROR_UNAVAILABLE,
                         "CNI plugin \"%s\" of %s is not in %s: install it (Debian: apt-get install "
                         "containernetworking-plugins) or name its folder in cniBinDirs",
                         type, a->config.file, folders ? folders : "");
}

struct error *cni_plugins_find(const struct attachment *a) {
        const json_t *plugin;
        size_t i;

        json_array_foreach(a->config.plugins, i, plugin) {
                _cleanup_free_ char *program = NULL;
                struct error *err = find_plugin(a, cni_plugin_type(plugin), &program);
                if (err)
                        return err;
        }
        return NULL;
}

/* The namespace's path while it is there, else "", with which a plugin takes back what it can. */
static char *netns_path(const struct attachment *a) {
        char *path = xasprintf("/proc/%d/ns/net", (int)a->infra);
        struct stat st;

        if (a->infra > 0 && attachment_is_of_this_boot(a) && stat(path, &st) == 0 && st.st_ino == a->netns)
                return path;
        free(path);
        return xstrdup("");
}

/* Is it about one pod's interface? */
static bool is_of_attachment(enum cni_command command) {
        return command == CNI_ADD || command == CNI_DEL || command == CNI_CHECK;
}

static char **environment(const struct attachment *a, enum cni_command command) {
        _cleanup_free_ char *folders = strv_join(a->bin_dirs, ":"), *netns = NULL;
        const char *path = getenv("PATH");
        char **env = NULL;

        env = strv_add_take(env, xasprintf("PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"));
        env = strv_add_take(env, xasprintf("CNI_COMMAND=%s", commands[command]));
        env = strv_add_take(env, xasprintf("CNI_PATH=%s", folders ? folders : ""));
        if (!is_of_attachment(command))
                return env;
        netns = netns_path(a);
        env = strv_add_take(env, xasprintf("CNI_CONTAINERID=%s", a->uid));
        env = strv_add_take(env, xasprintf("CNI_NETNS=%s", netns));
        env = strv_add(env, "CNI_IFNAME=" CNI_IFNAME);
        /* The names that every runtime under a kubelet uses. */
        return strv_add_take(env, xasprintf("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;"
                                            "K8S_POD_INFRA_CONTAINER_ID=%s;K8S_POD_UID=%s",
                                            a->ns, a->pod, a->uid, a->uid));
}

/* What is known of the capabilities that the plugin says it has. */
static json_t *runtime_config_of(const struct attachment *a, const json_t *plugin) {
        const json_t *capabilities = json_object_get(plugin, "capabilities");
        json_t *given = json_object(), *value;
        const char *key;

        json_object_foreach(a->runtime_config, key, value) if (json_is_true(json_object_get(capabilities, key)))
                json_object_set(given, key, value);
        return given;
}

/* A plugin's configuration as it is given to it: with the list's name and version, the result of who came before, and
 * its capabilities' values. What begins with cni.dev/ is the runtime's to say. */
static json_t *plugin_input(const struct attachment *a, enum cni_command command, const json_t *plugin,
                            const json_t *previous, const json_t *attachments) {
        json_t *input = json_object(), *value;
        const char *key;

        json_object_foreach((json_t *)plugin, key,
                            value) if (!streq(key, "capabilities") && !str_starts_with(key, "cni.dev/"))
                json_object_set(input, key, value);
        json_object_set_new(input, "name", json_string(a->config.name));
        json_object_set_new(input, "cniVersion", json_string(a->config.version));
        if (is_of_attachment(command)) {
                json_t *given = runtime_config_of(a, plugin);
                if (json_object_size(given))
                        json_object_set(input, "runtimeConfig", given);
                json_decref(given);
        }
        if (previous)
                json_object_set(input, "prevResult", (json_t *)previous);
        if (attachments)
                json_object_set(input, "cni.dev/valid-attachments", (json_t *)attachments);
        return input;
}

struct error *cni_call_make(const struct attachment *a, enum cni_command command, const json_t *plugin,
                            const json_t *previous, const json_t *attachments, struct cni_call *ret) {
        char *program = NULL;
        struct error *err = find_plugin(a, cni_plugin_type(plugin), &program);

        if (err)
                return err;
        json_t *input = plugin_input(a, command, plugin, previous, attachments);
        *ret = (struct cni_call){ .argv = { program, NULL },
                                  .env = environment(a, command),
                                  .input = json_dumps(input, JSON_COMPACT) };
        json_decref(input);
        return NULL;
}

void cni_call_release(struct cni_call *call) {
        free(call->argv[0]);
        strv_free(call->env);
        free(call->input);
        *call = (struct cni_call){ 0 };
}

/* ---- what it answers ---- */

/* Of what a program printed, so much as fits into a message, and nothing that a terminal would take for orders or JSON
 * for no text. Owned by the caller. */
static char *quotable(const char *text) {
        size_t len = strnlen(text ? text : "", QUOTED_MAX), used = 0;
        char *copy = xstrndup(text ? text : "", len);

        for (int i = 0; len == QUOTED_MAX && i < 3 && copy[len - 1 - i] & 0x80; i++) /* perhaps half of a character */
                copy[len - 1 - i] = '\0';
        json_auto_t *utf8 = json_string(copy);
        for (char *c = copy; *c; c++) {
                bool blank = (unsigned char)*c <= ' ' || *c == 0x7f;
                if (!blank)
                        copy[used++] = utf8 || !(*c & 0x80) ? *c : '?';
                else if (used && copy[used - 1] != ' ')
                        copy[used++] = ' ';
        }
        if (used && copy[used - 1] == ' ')
                used--;
        copy[used] = '\0';
        return copy;
}

static const char *meaning_of(int code) {
        static const char *const meanings[] = {
                [1] = "incompatible CNI version",
                [2] = "unsupported field in the network configuration",
                [3] = "container unknown or does not exist",
                [4] = "invalid environment variables",
                [5] = "I/O failure",
                [6] = "failed to decode content",
                [7] = "invalid network configuration",
                [CNI_TRY_AGAIN_LATER] = "try again later",
                [50] = "the plugin is not available",
                [51] = "the plugin is not available, and existing pods may have limited connectivity",
        };
        return code > 0 && code < (int)ARRAY_SIZE(meanings) ? meanings[code] : NULL;
}

/* What went wrong, in the plugin's words: an object with code, msg and details. */
static struct error *plugin_error(const char *type, enum cni_command command, const json_t *answer,
                                  const struct net_answer *raw, int *ret_code) {
        _cleanup_free_ char *message = quotable(json_string_value(json_object_get(answer, "msg")));
        _cleanup_free_ char *details = quotable(json_string_value(json_object_get(answer, "details")));
        _cleanup_free_ char *complaint = quotable(raw->errors), *ended = NULL;
        json_int_t code = json_integer_value(json_object_get(answer, "code"));
        const char *meaning;

        *ret_code = code > 0 && code <= INT32_MAX ? (int)code : 0;
        meaning = meaning_of(*ret_code);
        if (WIFSIGNALED(raw->status))
                ended = xasprintf("it was ended by signal %d", WTERMSIG(raw->status));
        else
                ended = xasprintf("it ended with status %d and does not say why", WEXITSTATUS(raw->status));
        return error_new(ERROR_UNAVAILABLE, "CNI plugin \"%s\": %s failed: %s%s%s%s%s%s", type, commands[command],
                         *message     ? message
                         : meaning    ? meaning
                         : *complaint ? complaint
                                      : ended,
                         *details ? ": " : "", details, *message && meaning ? " (" : "",
                         *message && meaning ? meaning : "", *message && meaning ? ")" : "");
}

struct error *cni_answer_read(const char *type, enum cni_command command, const struct net_answer *answer, json_t **ret,
                              int *ret_code) {
        json_auto_t *json = NULL;

        *ret = NULL;
        *ret_code = 0;
        if (answer->timed_out)
                return error_new(ERROR_TIMEOUT, "CNI plugin \"%s\": %s did not end in time and was killed", type,
                                 commands[command]);
        if (answer->failure)
                return error_new(ERROR_UNAVAILABLE, "CNI plugin \"%s\": %s: %s", type, commands[command],
                                 answer->failure);
        if (answer->output_len >= CNI_OUTPUT_MAX)
                return error_new(ERROR_UNAVAILABLE, "CNI plugin \"%s\": %s printed more than %zu KiB", type,
                                 commands[command], CNI_OUTPUT_MAX / 1024);
        json = json_loadb(answer->output ? answer->output : "", answer->output_len, 0, NULL);
        if (!WIFEXITED(answer->status) || WEXITSTATUS(answer->status) != 0)
                return plugin_error(type, command, json, answer, ret_code);
        if (command == CNI_ADD && !json_is_object(json)) {
                _cleanup_free_ char *printed = quotable(answer->output);
                return error_new(ERROR_UNAVAILABLE, "CNI plugin \"%s\": ADD printed no result%s%s%s", type,
                                 *printed ? " but \"" : "", printed, *printed ? "\"" : "");
        }
        if (json_is_object(json))
                *ret = json_incref(json);
        return NULL;
}
