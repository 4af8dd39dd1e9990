#include "husk-image/credentials.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

#define FILE_SIZE_MAX (1 << 20)
#define HELPER_TIMEOUT_MS 30000

struct entry {
        char *host, *path; /* path "": all of the host */
        size_t order;      /* as read; earlier ones go first among equals */
        struct credential credential;
};

struct helper {
        char *host; /* "": any */
        char *name;
};

struct credentials {
        struct entry *entries;
        size_t n;
        struct helper *helpers;
        size_t n_helpers;
        struct image_secret **secrets; /* that entries came from */
        size_t n_secrets;
};

struct credentials *credentials_new(void) {
        return new0(struct credentials);
}

static void forget(char *secret) {
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

struct credentials *credentials_free(struct credentials *c) {
        for (size_t i = 0; c && i < c->n; i++) {
                struct entry *e = &c->entries[i];
                free(e->host);
                free(e->path);
                free(e->credential.user);
                forget(e->credential.password);
                forget(e->credential.identity_token);
                forget(e->credential.registry_token);
        }
        for (size_t i = 0; c && i < c->n_helpers; i++) {
                free(c->helpers[i].host);
                free(c->helpers[i].name);
        }
        for (size_t i = 0; c && i < c->n_secrets; i++) {
                image_secret_release(c->secrets[i]);
                free(c->secrets[i]);
        }
        if (c) {
                free(c->secrets);
                free(c->entries);
                free(c->helpers);
        }
        free(c);
        return NULL;
}

/* "https://index.docker.io/v1/" and the like are docker.io; else scheme and trailing slashes are cut away, and the
 * paths "v1" and "v2", which are the API's. */
static void normalize_key(const char *key, char **ret_host, char **ret_path) {
        const char *start = strstr(key, "://");

        start = start ? start + 3 : key;
        size_t n = strcspn(start, "/");
        const char *path = start + n;
        while (*path == '/')
                path++;
        size_t path_len = strlen(path);
        while (path_len && path[path_len - 1] == '/')
                path_len--;
        *ret_host = xstrndup(start, n);
        *ret_path = xstrndup(path, path_len);
        char *repository = *ret_path;
        if (str_starts_with(repository, "v1/") || str_starts_with(repository, "v2/"))
                memmove(repository, repository + 3, strlen(repository + 3) + 1);
        else if (streq(repository, "v1") || streq(repository, "v2"))
                *repository = '\0';
        static const char *const hub[] = { "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com" };
        for (size_t i = 0; i < ARRAY_SIZE(hub); i++)
                if (streq(*ret_host, hub[i])) {
                        free(*ret_host);
                        *ret_host = xstrdup("docker.io");
                }
}

static char *text_of(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));
        return str_empty(text) ? NULL : xstrdup(text);
}

static struct error *add_entry(struct credentials *c, const char *key, const json_t *json) {
        const char *auth = json_string_value(json_object_get(json, "auth"));
        struct credential credential = {
                .user = text_of(json, "username"),
                .password = text_of(json, "password"),
                .identity_token = text_of(json, "identitytoken"),
                .registry_token = text_of(json, "registrytoken"),
        };

        if (!str_empty(auth)) {
                _cleanup_free_ char *decoded = NULL;
                size_t len = 0;
                char *colon = NULL;
                if (base64_decode(auth, &decoded, &len))
                        colon = strchr(decoded, ':');
                if (!colon || strlen(decoded) != len) {
                        free(credential.user);
                        forget(credential.password);
                        forget(credential.identity_token);
                        forget(credential.registry_token);
                        return error_new(ERROR_BAD_REQUEST, "\"auth\" of %.200s is not the base64 of user:password",
                                         key);
                }
                free(credential.user);
                forget(credential.password);
                credential.user = xstrndup(decoded, colon - decoded);
                credential.password = xstrdup(colon + 1);
                explicit_bzero(decoded, len);
        }
        if (!credential.identity_token && !credential.registry_token && !(credential.user && credential.password)) {
                free(credential.user); /* "auths": {"host": {}} says that a helper knows */
                forget(credential.password);
                return NULL;
        }
        c->entries = xreallocarray(c->entries, c->n + 1, sizeof(*c->entries));
        struct entry *e = &c->entries[c->n];
        *e = (struct entry){ .order = c->n, .credential = credential };
        normalize_key(key, &e->host, &e->path);
        c->n++;
        return NULL;
}

/* A name becomes part of a program's: no path. */
static void add_helper(struct credentials *c, const char *key, const char *name) {
        _cleanup_free_ char *path = NULL;

        if (str_empty(name) || strchr(name, '/'))
                return;
        c->helpers = xreallocarray(c->helpers, c->n_helpers + 1, sizeof(*c->helpers));
        struct helper *h = &c->helpers[c->n_helpers++];
        *h = (struct helper){ .name = xstrdup(name) };
        normalize_key(key, &h->host, &path);
}

void credentials_add_helpers(struct credentials *c, char *const *names) {
        for (size_t i = 0; names && names[i]; i++)
                add_helper(c, "", names[i]);
}

static void read_helpers(struct credentials *c, json_t *json) {
        const char *key;
        json_t *value;

        json_object_foreach(json_object_get(json, "credHelpers"), key, value)
                add_helper(c, key, json_string_value(value));
        add_helper(c, "", json_string_value(json_object_get(json, "credsStore")));
}

static struct error *add_text(struct credentials *c, const char *text, size_t len, bool with_helpers) {
        json_auto_t *json = NULL;
        json_error_t where;
        const char *key;
        json_t *value;

        json = json_loadb(text, len, 0, &where);
        if (!json)
                return error_new(ERROR_BAD_REQUEST, "not JSON: line %d: %s", where.line, where.text);
        json_t *auths = json_object_get(json, "auths");
        bool is_new_form = auths || json_object_get(json, "credHelpers") || json_object_get(json, "credsStore");
        json_object_foreach(is_new_form ? auths : json, key, value) {
                if (!json_is_object(value))
                        continue;
                struct error *err = add_entry(c, key, value);
                if (err)
                        return err;
        }
        if (with_helpers)
                read_helpers(c, json);
        return NULL;
}

struct error *credentials_add_text(struct credentials *c, const char *text, size_t len) {
        return add_text(c, text, len, false);
}

/* The Secret that a file was made of, or NULL. */
static const struct image_secret *read_secret(struct credentials *c, const char *text, size_t len) {
        json_auto_t *json = json_loadb(text, len, 0, NULL);
        const json_t *of = json_object_get(json, "secret");

        if (!json_is_object(of))
                return NULL;
        struct image_secret *secret = new0(struct image_secret);
        *secret = (struct image_secret){ text_of(of, "uid"), text_of(of, "namespace"), text_of(of, "name") };
        c->secrets = xreallocarray(c->secrets, c->n_secrets + 1, sizeof(struct image_secret *));
        c->secrets[c->n_secrets++] = secret;
        return secret;
}

static struct error *add_file(struct credentials *c, const char *path, bool is_users) {
        _cleanup_free_ char *text = NULL;
        struct error *err;
        size_t len, n = c->n;

        err = file_read(path, FILE_SIZE_MAX, &text, &len);
        if (err)
                return error_context(err, "credentials file");
        err = add_text(c, text, len, is_users);
        const struct image_secret *secret = is_users ? NULL : read_secret(c, text, len);
        for (; n < c->n; n++)
                c->entries[n].credential.secret = secret;
        explicit_bzero(text, len);
        return error_context(err, "credentials file %s", path);
}

struct error *credentials_add_file(struct credentials *c, const char *path) {
        return add_file(c, path, false);
}

struct error *credentials_add_defaults(struct credentials *c) {
        const char *home = getenv("HOME"), *run = getenv("XDG_RUNTIME_DIR"), *docker = getenv("DOCKER_CONFIG");
        _cleanup_strv_ char **paths = NULL;

        if (getenv("REGISTRY_AUTH_FILE"))
                paths = strv_add(paths, getenv("REGISTRY_AUTH_FILE"));
        /* `podman login` writes to the second one where there is no XDG_RUNTIME_DIR, as for root on a server. */
        if (run)
                paths = strv_add_take(paths, path_join(run, "containers/auth.json"));
        paths = strv_add_take(paths, xasprintf("/run/containers/%u/auth.json", geteuid()));
        if (home)
                paths = strv_add_take(paths, path_join(home, ".config/containers/auth.json"));
        if (docker)
                paths = strv_add_take(paths, path_join(docker, "config.json"));
        else if (home)
                paths = strv_add_take(paths, path_join(home, ".docker/config.json"));
        if (home)
                paths = strv_add_take(paths, path_join(home, ".dockercfg"));
        for (size_t i = 0; paths && paths[i]; i++) {
                struct error *err = add_file(c, paths[i], true);
                if (error_is(err, ERROR_NOT_FOUND))
                        err = error_free(err);
                if (err)
                        return err;
        }
        return NULL;
}

/* ---- helpers ---- */

/* What a helper printed: {"ServerURL": …, "Username": …, "Secret": …}; the user "<token>" says that it is an identity
 * token. False: that is not it. */
static bool add_answer(struct credentials *c, const char *host, const char *text) {
        json_auto_t *json = json_loads(text, 0, NULL);
        const char *user = json_string_value(json_object_get(json, "Username"));
        const char *secret = json_string_value(json_object_get(json, "Secret"));

        if (!user || str_empty(secret))
                return false;
        json_auto_t *entry = streq(user, "<token>") ? json_pack("{s:s}", "identitytoken", secret)
                                                    : json_pack("{s:s, s:s}", "username", user, "password", secret);
        error_free(add_entry(c, host, entry)); /* complains of "auth" only */
        return true;
}

static bool ask_helper(struct credentials *c, const char *name, const char *host) {
        _cleanup_free_ char *program = xasprintf("docker-credential-%s", name), *out = NULL, *complaint = NULL;
        char *argv[] = { program, (char *)"get", NULL };
        struct process_options options = {
                /* Docker Hub has had this name for as long as there are helpers. */
                .input = streq(host, "docker.io") ? "https://index.docker.io/v1/" : host,
                .timeout_ms = HELPER_TIMEOUT_MS,
        };
        int status = 0;
        struct error *err = process_run(argv, &options, &status, &out, &complaint);

        if (err) {
                log_warning("credential helper %s: %s", program, error_message(err));
                error_free(err);
                return false;
        }
        bool known = WIFEXITED(status) && WEXITSTATUS(status) == 0 && add_answer(c, host, out);
        /* Helpers say on standard output that they know nothing. */
        if (!known && !strstr(out, "credentials not found"))
                log_warning("credential helper %s failed for %s: %.200s", program, host,
                            strchr(out, '{') ? complaint
                            : *out           ? out
                                             : complaint); /* JSON may hold the secret */
        explicit_bzero(out, strlen(out));
        return known;
}

void credentials_ask_helpers(struct credentials *c, const char *host) {
        _cleanup_free_ char *login = NULL, *path = NULL;
        bool named = false;

        normalize_key(host, &login, &path);
        for (size_t i = 0; i < c->n_helpers && !named; i++)
                if (streq(c->helpers[i].host, login)) {
                        ask_helper(c, c->helpers[i].name, login);
                        named = true;
                }
        for (size_t i = 0; i < c->n_helpers && !named; i++)
                if (!*c->helpers[i].host && ask_helper(c, c->helpers[i].name, login))
                        return;
}

/* Label by label, where "*" in a pattern stands for anything in one label; the ports must be equal. */
static bool host_matches(const char *pattern, const char *host) {
        for (;; pattern++, host++) {
                if (*pattern == '*') {
                        pattern++;
                        size_t fixed = strcspn(pattern, ".:*"), label = strcspn(host, ".:");
                        if (label < fixed || strncmp(host + label - fixed, pattern, fixed) != 0)
                                return false;
                        pattern += fixed;
                        host += label;
                }
                if (*pattern != *host)
                        return false;
                if (!*pattern)
                        return true;
        }
}

static bool path_matches(const char *prefix, const char *path) {
        size_t n = strlen(prefix);
        return !n || (strncmp(prefix, path, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

static int compare_entries(const void *a, const void *b) {
        const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
        size_t nx = strlen(x->path), ny = strlen(y->path);

        if (nx != ny)
                return nx > ny ? -1 : 1;
        return x->order < y->order ? -1 : x->order > y->order;
}

void credentials_find(const struct credentials *c, const char *domain, const char *path, const struct credential ***ret,
                      size_t *ret_n) {
        _cleanup_free_ struct entry **found = xcalloc((c ? c->n : 0) + 1, sizeof(*found));
        size_t n = 0;

        for (size_t i = 0; c && i < c->n; i++)
                if (host_matches(c->entries[i].host, domain) && path_matches(c->entries[i].path, path))
                        found[n++] = &c->entries[i];
        qsort(found, n, sizeof(*found), compare_entries);
        *ret = xcalloc(n + 1, sizeof(**ret));
        for (size_t i = 0; i < n; i++)
                (*ret)[i] = &found[i]->credential;
        *ret_n = n;
}
