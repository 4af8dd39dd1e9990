#include "oci/env.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "oci/env-file.h"
#include "store/config.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- lists of "NAME=value" ---- */

static const char *variable_value(const char *variable, const char *name, size_t name_len) {
        if (strncmp(variable, name, name_len) != 0 || variable[name_len] != '=')
                return NULL;
        return variable + name_len + 1;
}

/* Sets a variable: in its old place if it has one, else at the end. `variable` is taken over. */
static char **variables_set_take(char **variables, char *variable) {
        size_t len = strcspn(variable, "=");

        for (size_t i = 0; variables && variables[i]; i++)
                if (variable_value(variables[i], variable, len)) {
                        free(variables[i]);
                        variables[i] = variable;
                        return variables;
                }
        return strv_add_take(variables, variable);
}

static const char *variables_get(char *const *variables, const char *name, size_t len) {
        const char *found = NULL;

        for (size_t i = 0; variables && variables[i]; i++) {
                const char *value = variable_value(variables[i], name, len);

                if (value)
                        found = value;
        }
        return found;
}

/* ---- $(NAME) ---- */

/* Expands; with `ret_missing` names that are not known, or empty, go to that list. */
static char *expand(const char *text, char *const *variables, char ***ret_missing) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

        for (const char *p = text; *p;) {
                const char *end = p[0] == '$' && p[1] == '(' ? strchr(p, ')') : NULL;

                if (p[0] == '$' && p[1] == '$') { /* "$$" stands for one "$", whatever follows */
                        strbuf_addc(&b, '$');
                        p += 2;
                } else if (end) {
                        size_t len = end - (p + 2);
                        const char *value = variables_get(variables, p + 2, len);

                        if (ret_missing && str_empty(value))
                                *ret_missing = strv_add_take(*ret_missing, xstrndup(p + 2, len));
                        else if (value)
                                strbuf_adds(&b, value);
                        else
                                strbuf_add(&b, p, len + 3);
                        p = end + 1;
                } else
                        strbuf_addc(&b, *p++);
        }
        return strbuf_take(&b);
}

char *env_expand(const char *text, char *const *variables) {
        return expand(text, variables, NULL);
}

struct error *env_expand_strict(const char *text, char *const *variables, char **ret) {
        _cleanup_strv_ char **missing = NULL, **once = NULL;
        _cleanup_free_ char *result = expand(text, variables, &missing);
        size_t n = strv_len(missing);

        if (!n) {
                *ret = TAKE_PTR(result);
                return NULL;
        }
        strv_sort(missing);
        for (size_t i = 0; i < n; i++)
                if (!strv_contains(once, missing[i]))
                        once = strv_add(once, missing[i]);
        _cleanup_free_ char *names = strv_join(once, ", ");
        return error_new(ERROR_INVALID, "missing value for %s", names);
}

/* ---- sources ---- */

struct builder {
        const struct env_config *config;
        const char *ns;
        struct api_arena *arena;
        struct env *env;
};

static void set_variable(struct builder *b, const char *name, const char *value, size_t len) {
        b->env->kubernetes = variables_set_take(b->env->kubernetes,
                                                xasprintf("%s=%.*s", name, (int)MIN(len, (size_t)INT_MAX), value));
}

/* Kubernetes 1.34: printable ASCII but "=". */
static bool is_variable_name(const char *name) {
        if (!*name)
                return false;
        for (; *name; name++)
                if (*name < ' ' || *name > '~' || *name == '=')
                        return false;
        return true;
}

/* Adds the keys of one source, sorted so that the result never depends on an object's inner order. */
struct source {
        const char *what; /* "configMap" */
        const char *name, *prefix;
        struct strbuf skipped;
};

static struct error *add_key(struct builder *b, struct source *source, const char *key, const void *data, size_t len) {
        _cleanup_free_ char *name = xasprintf("%s%s", source->prefix ? source->prefix : "", key);

        if (!is_variable_name(name)) {
                strbuf_addf(&source->skipped, source->skipped.len ? ", %s" : "%s", name);
                return NULL;
        }
        /* A process' environment cannot hold a NUL; the OCI runtime would cut the value silently. */
        if (data && memchr(data, '\0', len))
                return error_new(ERROR_INVALID, "key %s in %s %s/%s contains a NUL byte", key, source->what, b->ns,
                                 source->name);
        set_variable(b, name, data ? data : "", data ? len : 0);
        return NULL;
}

static void source_end(struct builder *b, struct source *source) {
        if (source->skipped.len)
                b->env->warnings = strv_add_take(
                        b->env->warnings,
                        xasprintf("Keys [%s] from the EnvFrom %s %s/%s were skipped since they are considered invalid "
                                  "environment variable names.",
                                  strbuf_str(&source->skipped), source->what, b->ns, source->name));
        strbuf_release(&source->skipped);
}

static struct error *add_config_map(struct builder *b, const V1EnvFromSource *from) {
        const V1ConfigMapEnvSource *ref = from->configmapref;
        struct source source = { .what = "configMap", .name = ref->localobjectreference->name, .prefix = from->prefix };
        V1ConfigMap *map;
        struct error *err;

        err = config_map_read(b->config->store, b->ns, source.name, b->arena, &map);
        if (error_is(err, ERROR_NOT_FOUND) && ref->optional) {
                error_free(err);
                return NULL;
        }
        if (err)
                return err;
        for (size_t i = 0; i < map->n_data && !err; i++)
                err = add_key(b, &source, map->data[i]->key, map->data[i]->value,
                              map->data[i]->value ? strlen(map->data[i]->value) : 0);
        source_end(b, &source);
        return err;
}

static struct error *add_secret(struct builder *b, const V1EnvFromSource *from) {
        const V1SecretEnvSource *ref = from->secretref;
        struct source source = { .what = "secret", .name = ref->localobjectreference->name, .prefix = from->prefix };
        V1Secret *secret;
        struct error *err;

        err = secret_read(b->config->store, b->ns, source.name, b->arena, &secret);
        if (error_is(err, ERROR_NOT_FOUND) && ref->optional) {
                error_free(err);
                return NULL;
        }
        if (err)
                return err;
        for (size_t i = 0; i < secret->n_data && !err; i++)
                err = add_key(b, &source, secret->data[i]->key, secret->data[i]->value.data,
                              secret->data[i]->value.len);
        source_end(b, &source);
        return err;
}

/* Every way to get a value ends in one of: a value, nothing (an optional reference to what is not there), an error. */
static struct error *take_bytes(const ProtobufCBinaryData *bytes, char **ret) {
        if (memchr(bytes->data ? (const char *)bytes->data : "", '\0', bytes->len))
                return error_new(ERROR_INVALID, "value contains a NUL byte");
        *ret = xstrndup(bytes->data ? (const char *)bytes->data : "", bytes->len);
        return NULL;
}

static struct error *value_of_config_map(struct builder *b, const V1ConfigMapKeySelector *ref, char **ret) {
        const char *name = ref->localobjectreference->name;
        V1ConfigMap *map;
        const char *text;
        struct error *err;

        err = config_map_read(b->config->store, b->ns, name, b->arena, &map);
        if (error_is(err, ERROR_NOT_FOUND) && ref->optional) {
                error_free(err);
                return NULL;
        }
        if (err)
                return err;
        text = api_map_get(map->data, map->n_data, ref->key); /* binaryData cannot be an environment variable */
        if (!text && !ref->optional)
                return error_new(ERROR_NOT_FOUND, "couldn't find key %s in ConfigMap %s/%s", ref->key, b->ns, name);
        *ret = xstrdup(text);
        return NULL;
}

static struct error *value_of_secret(struct builder *b, const V1SecretKeySelector *ref, char **ret) {
        const char *name = ref->localobjectreference->name;
        ProtobufCBinaryData bytes;
        V1Secret *secret;
        struct error *err;

        err = secret_read(b->config->store, b->ns, name, b->arena, &secret);
        if (error_is(err, ERROR_NOT_FOUND) && ref->optional) {
                error_free(err);
                return NULL;
        }
        if (err)
                return err;
        if (secret_value(secret, ref->key, &bytes))
                return error_context(take_bytes(&bytes, ret), "key %s in Secret %s/%s", ref->key, b->ns, name);
        if (!ref->optional)
                return error_new(ERROR_NOT_FOUND, "couldn't find key %s in Secret %s/%s", ref->key, b->ns, name);
        return NULL;
}

/* The file is a container's: opened below the volume (links cannot leave it), a regular file, bounded. */
static struct error *open_env_file(struct builder *b, const V1FileKeySelector *ref, int *ret_fd) {
        _cleanup_close_ int volume_fd = -EBADF, fd = -EBADF;
        struct stat st;

        if (!b->config->open_volume)
                return error_new(ERROR_NOT_SUPPORTED, "fileKeyRef: volume \"%s\" cannot be read", ref->volumename);
        volume_fd = b->config->open_volume(b->config->userdata, ref->volumename);
        if (volume_fd < 0)
                return error_errno(-volume_fd, "cannot find the volume \"%s\" referenced by FileKeyRef",
                                   ref->volumename);
        fd = open_in_root(volume_fd, ref->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (fd < 0)
                return error_errno(-fd, "open environment variable file \"%s\" of volume \"%s\"", ref->path,
                                   ref->volumename);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_new(ERROR_INVALID, "environment variable file \"%s\" of volume \"%s\" is no regular file",
                                 ref->path, ref->volumename);
        *ret_fd = TAKE_FD(fd);
        return NULL;
}

static struct error *value_of_file(struct builder *b, const V1FileKeySelector *ref, char **ret) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        struct error *err;
        size_t len;

        err = open_env_file(b, ref, &fd);
        if (err && ref->optional && error_errnum(err) == ENOENT) {
                error_free(err);
                return NULL;
        }
        if (!err)
                err = fd_read_all(fd, ENV_FILE_MAX, &text, &len);
        if (!err)
                err = env_file_value(text, len, ref->key, ret);
        if (err)
                return error_context(err, "environment variable file \"%s\"", ref->path);
        if (!*ret && !ref->optional)
                return error_new(ERROR_NOT_FOUND, "environment variable key \"%s\" not found in file \"%s\"", ref->key,
                                 ref->path);
        return NULL;
}

static struct error *value_from(struct builder *b, const V1EnvVarSource *from, char **ret) {
        if (from->fieldref)
                return downward_field(&b->config->downward, from->fieldref->fieldpath, ret);
        if (from->resourcefieldref)
                return downward_resource(&b->config->downward, b->config->container, from->resourcefieldref, ret);
        if (from->configmapkeyref)
                return value_of_config_map(b, from->configmapkeyref, ret);
        if (from->secretkeyref)
                return value_of_secret(b, from->secretkeyref, ret);
        if (from->filekeyref)
                return value_of_file(b, from->filekeyref, ret);
        return error_new(ERROR_INVALID, "valueFrom names no source");
}

static struct error *add_variable(struct builder *b, const V1EnvVar *variable) {
        _cleanup_free_ char *value = NULL;
        struct error *err;

        if (!str_empty(variable->value) || !variable->valuefrom)
                value = env_expand(variable->value ? variable->value : "", b->env->kubernetes);
        else {
                err = value_from(b, variable->valuefrom, &value);
                if (err)
                        return err;
        }
        if (value)
                set_variable(b, variable->name, value, strlen(value));
        return NULL;
}

static struct error *add_kubernetes(struct builder *b) {
        const V1Container *c = b->config->container;
        struct error *err;

        for (size_t i = 0; i < c->n_envfrom; i++) {
                err = NULL;
                if (c->envfrom[i]->configmapref)
                        err = add_config_map(b, c->envfrom[i]);
                else if (c->envfrom[i]->secretref)
                        err = add_secret(b, c->envfrom[i]);
                if (err)
                        return err;
        }
        for (size_t i = 0; i < c->n_env; i++) {
                err = add_variable(b, c->env[i]);
                if (err)
                        return err;
        }
        return NULL;
}

static char **merge(const struct env_config *config, char *const *kubernetes) {
        char **all = strv_add(NULL, DEFAULT_PATH);

        if (config->container->tty)
                all = strv_add(all, "TERM=xterm");
        if (config->hostname)
                all = variables_set_take(all, xasprintf("HOSTNAME=%s", config->hostname));
        for (size_t i = 0; config->image_env && config->image_env[i]; i++)
                if (strchr(config->image_env[i], '=') && config->image_env[i][0] != '=')
                        all = variables_set_take(all, xstrdup(config->image_env[i]));
        for (size_t i = 0; kubernetes && kubernetes[i]; i++)
                all = variables_set_take(all, xstrdup(kubernetes[i]));
        return all;
}

struct error *env_build(const struct env_config *config, struct env *ret) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        struct env env = { 0 };
        struct builder b = {
                .config = config, .ns = config->downward.pod->metadata->namespace_, .arena = arena, .env = &env
        };
        struct error *err;

        err = add_kubernetes(&b);
        if (err) {
                env_release(&env);
                return err;
        }
        env.all = merge(config, env.kubernetes);
        *ret = env;
        return NULL;
}

void env_release(struct env *env) {
        env->all = strv_free(env->all);
        env->kubernetes = strv_free(env->kubernetes);
        env->warnings = strv_free(env->warnings);
}

/* ---- argv ---- */

static char **add_all(char **argv, char *const *words, size_t n, char *const *variables) {
        for (size_t i = 0; i < n; i++)
                argv = variables ? strv_add_take(argv, env_expand(words[i], variables)) : strv_add(argv, words[i]);
        return argv;
}

struct error *env_command(const V1Container *container, const struct image *image, char *const *variables,
                          char ***ret) {
        char *const none[] = { NULL };
        char **argv = NULL;

        if (!variables) /* words of the manifest are expanded even if there is nothing to refer to: "$$" is "$" */
                variables = none;
        if (container->n_command > 0)
                argv = add_all(argv, container->command, container->n_command, variables);
        else
                argv = add_all(argv, image->entrypoint, strv_len(image->entrypoint), NULL);
        if (container->n_args > 0)
                argv = add_all(argv, container->args, container->n_args, variables);
        else if (container->n_command == 0)
                argv = add_all(argv, image->cmd, strv_len(image->cmd), NULL);
        if (!argv)
                return error_new(ERROR_INVALID, "no command specified");
        *ret = argv;
        return NULL;
}
