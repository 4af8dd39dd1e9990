#include "husk-image/registries.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/hosts-toml.h"
#include "husk-image/toml.h"

#define DEFAULT_FILE "/etc/containers/registries.conf"
#define FILE_SIZE_MAX (256 << 10)

static const char *const machine_certs[] = { "/etc/containers/certs.d", "/etc/docker/certs.d",
                                             "/etc/containerd/certs.d" };

/* Which names a mirror is asked for. */
enum pull_from { PULL_ALL, PULL_DIGEST_ONLY, PULL_TAG_ONLY };
static const char *const pull_from_names[] = {
        [PULL_ALL] = "all",
        [PULL_DIGEST_ONLY] = "digest-only",
        [PULL_TAG_ONLY] = "tag-only",
};

struct location {
        char *text; /* what the prefix is exchanged for; "": nothing is exchanged */
        bool insecure;
        enum pull_from pull_from;
};

/* One [[registry]]. */
struct entry {
        char *prefix, *file;
        struct location own, *mirrors;
        size_t n_mirrors;
        bool blocked;
};

enum short_name_mode { SHORT_NAME_ENFORCING, SHORT_NAME_PERMISSIVE, SHORT_NAME_DISABLED };
static const char *const short_name_modes[] = {
        [SHORT_NAME_ENFORCING] = "enforcing",
        [SHORT_NAME_PERMISSIVE] = "permissive",
        [SHORT_NAME_DISABLED] = "disabled",
};

struct registries {
        struct entry *entries;
        size_t n;
        json_t *aliases; /* short name → name in full */
        char **search;   /* registries that short names are looked for in */
        enum short_name_mode mode;
        char **helpers;
        char **certs;    /* folders like certs.d */
        char **insecure; /* from the command line */
};

/* ---- making and freeing ---- */

struct registries *registries_new(void) {
        struct registries *r = new0(struct registries);

        r->aliases = json_object();
        return r;
}

static void entry_release(struct entry *e) {
        free(e->prefix);
        free(e->file);
        free(e->own.text);
        for (size_t i = 0; i < e->n_mirrors; i++)
                free(e->mirrors[i].text);
        free(e->mirrors);
        *e = (struct entry){ 0 };
}

struct registries *registries_free(struct registries *r) {
        if (!r)
                return NULL;
        for (size_t i = 0; i < r->n; i++)
                entry_release(&r->entries[i]);
        free(r->entries);
        json_decref(r->aliases);
        strv_free(r->search);
        strv_free(r->helpers);
        strv_free(r->certs);
        strv_free(r->insecure);
        free(r);
        return NULL;
}

void image_sources_release(struct image_sources *sources) {
        for (size_t i = 0; i < sources->n; i++) {
                reference_free(sources->list[i].reference);
                for (size_t k = 0; k < sources->list[i].n_endpoints; k++)
                        registry_endpoint_release(&sources->list[i].endpoints[k]);
                free(sources->list[i].endpoints);
        }
        free(sources->list);
        *sources = (struct image_sources){ 0 };
}

char *const *registries_credential_helpers(const struct registries *registries) {
        return registries->helpers;
}

/* ---- reading registries.conf ---- */

static struct error *bad(const char *where, const char *key, const char *wanted) {
        return error_new(ERROR_BAD_REQUEST, "%s: %s has to be %s", where, key, wanted);
}

static struct error *text_of(const json_t *table, const char *where, const char *key, char **ret) {
        const json_t *value = json_object_get(table, key);

        if (value && !json_is_string(value))
                return bad(where, key, "a string");
        free(*ret);
        *ret = xstrdup(value ? json_string_value(value) : "");
        return NULL;
}

static struct error *bool_of(const json_t *table, const char *where, const char *key, bool *ret) {
        const json_t *value = json_object_get(table, key);

        if (value && !json_is_boolean(value))
                return bad(where, key, "true or false");
        *ret = json_is_true(value);
        return NULL;
}

static struct error *choice_of(const json_t *table, const char *where, const char *key, const char *const *names,
                               size_t n, int *ret) {
        const json_t *value = json_object_get(table, key);

        if (!value)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if (json_is_string(value) && streq(names[i], json_string_value(value))) {
                        *ret = (int)i;
                        return NULL;
                }
        return error_new(ERROR_BAD_REQUEST, "%s: %s has to be \"%s\", \"%s\" or \"%s\"", where, key, names[0], names[1],
                         names[2]);
}

static struct error *texts_of(const json_t *table, const char *where, const char *key, char ***ret) {
        const json_t *value = json_object_get(table, key), *item;
        size_t i;

        if (!value)
                return NULL;
        if (!json_is_array(value))
                return bad(where, key, "a list of strings");
        strv_free(*ret);
        *ret = NULL;
        json_array_foreach(value, i, item) {
                if (!json_is_string(item))
                        return bad(where, key, "a list of strings");
                *ret = strv_add(*ret, json_string_value(item));
        }
        return NULL;
}

static void trim_slashes(char *text) {
        size_t len = text ? strlen(text) : 0;

        while (len && text[len - 1] == '/')
                text[--len] = '\0';
}

static struct error *location_read(const json_t *table, const char *where, struct location *ret) {
        int from = PULL_ALL;
        struct error *err = text_of(table, where, "location", &ret->text);

        if (!err)
                err = bool_of(table, where, "insecure", &ret->insecure);
        if (!err)
                err = choice_of(table, where, "pull-from-mirror", pull_from_names, ARRAY_SIZE(pull_from_names), &from);
        ret->pull_from = from;
        trim_slashes(ret->text);
        if (!err && strstr(ret->text, "://"))
                err = error_new(ERROR_BAD_REQUEST, "%s: location \"%s\": leave out the scheme", where, ret->text);
        return err;
}

static struct error *mirrors_read(const json_t *table, const char *where, struct entry *e) {
        const json_t *mirrors = json_object_get(table, "mirror"), *item;
        bool digest_only = false;
        size_t i;

        struct error *err = bool_of(table, where, "mirror-by-digest-only", &digest_only);
        if (err || !mirrors)
                return err;
        if (!json_is_array(mirrors))
                return bad(where, "mirror", "a list of tables: [[registry.mirror]]");
        e->mirrors = xcalloc(json_array_size(mirrors) + 1, sizeof(*e->mirrors));
        json_array_foreach(mirrors, i, item) {
                if (!json_is_object(item))
                        return bad(where, "mirror", "a list of tables: [[registry.mirror]]");
                struct location *mirror = &e->mirrors[e->n_mirrors++];
                err = location_read(item, where, mirror);
                if (!err && str_empty(mirror->text))
                        err = error_new(ERROR_BAD_REQUEST, "%s: a mirror has no location", where);
                if (err)
                        return err;
                if (digest_only && mirror->pull_from == PULL_ALL)
                        mirror->pull_from = PULL_DIGEST_ONLY;
        }
        return NULL;
}

static struct error *entry_read(const json_t *table, const char *file, struct entry *e) {
        _cleanup_free_ char *where = NULL;
        struct error *err;

        if (!json_is_object(table))
                return bad(file, "registry", "a list of tables: [[registry]]");
        e->file = xstrdup(file);
        err = text_of(table, file, "prefix", &e->prefix);
        if (!err)
                err = location_read(table, file, &e->own);
        if (err)
                return err;
        trim_slashes(e->prefix);
        if (str_empty(e->prefix)) {
                free(e->prefix);
                e->prefix = xstrdup(e->own.text);
        }
        if (str_empty(e->prefix))
                return error_new(ERROR_BAD_REQUEST, "%s: a [[registry]] has neither prefix nor location", file);
        if (str_empty(e->own.text) && !str_starts_with(e->prefix, "*.")) {
                free(e->own.text);
                e->own.text = xstrdup(e->prefix);
        }
        where = xasprintf("%s: registry \"%s\"", file, e->prefix);
        err = bool_of(table, where, "blocked", &e->blocked);
        return err ? err : mirrors_read(table, where, e);
}

/* The entry of this prefix, made where there is none: of several files the last one speaks. */
static struct entry *entry_of(struct registries *r, const char *prefix) {
        for (size_t i = 0; i < r->n; i++)
                if (streq(r->entries[i].prefix, prefix)) {
                        entry_release(&r->entries[i]);
                        return &r->entries[i];
                }
        r->entries = xreallocarray(r->entries, r->n + 1, sizeof(*r->entries));
        r->entries[r->n] = (struct entry){ 0 };
        return &r->entries[r->n++];
}

static struct error *entries_read(struct registries *r, const json_t *root, const char *file) {
        const json_t *list = json_object_get(root, "registry"), *item;
        size_t i;

        if (list && !json_is_array(list))
                return bad(file, "registry", "a list of tables: [[registry]]");
        json_array_foreach(list, i, item) {
                struct entry e = { 0 };
                struct error *err = entry_read(item, file, &e);
                if (err) {
                        entry_release(&e);
                        return err;
                }
                *entry_of(r, e.prefix) = e;
        }
        return NULL;
}

static struct error *aliases_read(struct registries *r, const json_t *root, const char *file) {
        json_t *aliases = json_object_get(root, "aliases"), *value;
        const char *key;

        if (aliases && !json_is_object(aliases))
                return bad(file, "aliases", "a table");
        json_object_foreach(aliases, key, value) if (!json_is_string(value)) return bad(file, key,
                                                                                        "a string: the name in full");
        if (aliases)
                json_object_update(r->aliases, aliases);
        return NULL;
}

static struct error *root_read(struct registries *r, const json_t *root, const char *file) {
        _cleanup_strv_ char **helpers = NULL;
        int mode = (int)r->mode;
        struct error *err;

        if (json_object_get(root, "registries"))
                return error_new(ERROR_NOT_SUPPORTED,
                                 "%s: [registries.…] is version 1 of this file, which nobody reads any more; write "
                                 "unqualified-search-registries and [[registry]]",
                                 file);
        err = texts_of(root, file, "unqualified-search-registries", &r->search);
        if (!err)
                err = choice_of(root, file, "short-name-mode", short_name_modes, ARRAY_SIZE(short_name_modes), &mode);
        if (!err)
                err = texts_of(root, file, "credential-helpers", &helpers);
        if (!err)
                err = entries_read(r, root, file);
        if (!err)
                err = aliases_read(r, root, file);
        r->mode = mode;
        for (size_t i = 0; helpers && helpers[i]; i++)
                if (!streq(helpers[i], "containers-auth.json") && !strv_contains(r->helpers, helpers[i]))
                        r->helpers = strv_add(r->helpers, helpers[i]);
        return err;
}

struct error *registries_add_text(struct registries *registries, const char *name, const char *text, size_t len) {
        json_auto_t *root = NULL;
        struct error *err = toml_parse(text, len, &root);

        return err ? error_context(err, "%s", name) : root_read(registries, root, name);
}

static struct error *add_file(struct registries *r, const char *path) {
        _cleanup_free_ char *text = NULL;
        size_t len;
        struct error *err = file_read(path, FILE_SIZE_MAX, &text, &len);

        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return NULL;
        }
        return err ? err : registries_add_text(r, path, text, len);
}

static int is_drop_in(const struct dirent *entry) {
        return entry->d_name[0] != '.' && str_ends_with(entry->d_name, ".conf");
}

static struct error *add_drop_ins(struct registries *r, const char *folder) {
        struct dirent **entries;
        struct error *err = NULL;
        int n = scandir(folder, &entries, is_drop_in, alphasort);

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = path_join(folder, entries[i]->d_name);
                if (!err)
                        err = add_file(r, path);
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        return err;
}

struct error *registries_read(char *const *certs, char *const *insecure, struct registries **ret) {
        _cleanup_registries_ struct registries *r = registries_new();
        const char *named = getenv("CONTAINERS_REGISTRIES_CONF");
        const char *path = str_empty(named) ? DEFAULT_FILE : named;
        _cleanup_free_ char *folder = xasprintf("%s.d", path);

        r->certs = strv_copy(certs);
        for (size_t i = 0; i < ARRAY_SIZE(machine_certs); i++)
                r->certs = strv_add(r->certs, machine_certs[i]);
        r->insecure = strv_copy(insecure);
        struct error *err = add_file(r, path);
        if (!err)
                err = add_drop_ins(r, folder);
        if (err)
                return err;
        *ret = TAKE_PTR(r);
        return NULL;
}

/* ---- which entry speaks for an image ---- */

/* How much of the name a prefix covers; 0: nothing. "*.example.com" covers any host below that. */
static size_t covered(const char *prefix, const char *name) {
        size_t n = strlen(prefix), host = strcspn(name, "/");

        if (str_starts_with(prefix, "*.")) {
                n--;
                const char *found = memmem(name, host, prefix + 1, n);
                for (; found; found = memmem(found + 1, host - (size_t)(found + 1 - name), prefix + 1, n))
                        if (found > name && (found[n] == '/' || found[n] == ':'))
                                return (size_t)(found - name) + n;
                return 0;
        }
        if (strncmp(prefix, name, n) != 0)
                return 0;
        bool ends = name[n] == '\0' || name[n] == '/' || (n > host && (name[n] == ':' || name[n] == '@'));
        return ends ? n : 0;
}

static const struct entry *entry_for(const struct registries *r, const char *name, size_t *ret_covered) {
        const struct entry *best = NULL;
        size_t most = 0;

        for (size_t i = 0; i < r->n; i++) {
                size_t n = covered(r->entries[i].prefix, name);
                /* Of a wildcard and a host, which cover the same, the host is the closer one. */
                if (n > most || (n && n == most && str_starts_with(best->prefix, "*."))) {
                        best = &r->entries[i];
                        most = n;
                }
        }
        *ret_covered = most;
        return best;
}

/* ---- endpoints ---- */

/* "host_5000_" of "host:5000": containerd's other name for its folder, where a colon is unwelcome. NULL: no port. */
static char *name_without_colon(const char *host) {
        const char *colon = strrchr(host, ':');

        return colon && !strchr(colon, ']') ? xasprintf("%.*s_%s_", (int)(colon - host), host, colon + 1) : NULL;
}

static char *folder_below(const char *certs, const char *name) {
        _cleanup_free_ char *folder = path_join(certs, name);
        struct stat st;

        return stat(folder, &st) == 0 && S_ISDIR(st.st_mode) ? TAKE_PTR(folder) : NULL;
}

/* The folder of certs.d that speaks of a host, if there is one. */
static char *certs_folder(const struct registries *r, const char *host) {
        _cleanup_free_ char *other = name_without_colon(host);

        for (size_t i = 0; r->certs && r->certs[i]; i++) {
                char *folder = folder_below(r->certs[i], host);
                if (!folder && other)
                        folder = folder_below(r->certs[i], other);
                if (folder)
                        return folder;
        }
        return NULL;
}

static struct error *endpoint_init(const struct registries *r, const struct reference *reference, bool insecure,
                                   struct registry_endpoint *ret) {
        _cleanup_free_ char *folder = certs_folder(r, reference->domain);

        *ret = (struct registry_endpoint)REGISTRY_ENDPOINT_INIT;
        ret->host = xstrdup(registry_server(reference->domain));
        ret->path = xstrdup(reference->path);
        ret->insecure =
                insecure || domain_is_loopback(reference->domain) || strv_contains(r->insecure, reference->domain);
        ret->http_too = ret->insecure;
        return folder ? certs_read(folder, ret) : NULL;
}

static struct error *add_location(const struct registries *r, const char *name, size_t covers, const struct entry *e,
                                  const struct location *location, struct image_source *source) {
        _cleanup_free_ char *text =
                str_empty(location->text) ? xstrdup(name) : xasprintf("%s%s", location->text, name + covers);
        _cleanup_reference_ struct reference *reference = NULL;

        struct error *err = reference_parse(text, &reference);
        if (err) {
                error_free(err);
                return error_new(ERROR_INVALID, "%s: registry \"%s\": \"%s\" is no place for an image", e->file,
                                 e->prefix, text);
        }
        return endpoint_init(r, reference, location->insecure, &source->endpoints[source->n_endpoints++]);
}

static bool mirror_is_asked(const struct location *mirror, const struct reference *reference) {
        return mirror->pull_from == PULL_ALL || (mirror->pull_from == PULL_DIGEST_ONLY) == (reference->digest != NULL);
}

static struct error *configured_endpoints(const struct registries *r, const struct entry *e, const char *name,
                                          size_t covers, struct image_source *source) {
        struct error *err = NULL;

        if (e->blocked)
                return error_new(ERROR_FORBIDDEN, "registry \"%s\" is blocked by %s", e->prefix, e->file);
        source->endpoints = xcalloc(e->n_mirrors + 1, sizeof(*source->endpoints));
        for (size_t i = 0; !err && i < e->n_mirrors; i++)
                if (mirror_is_asked(&e->mirrors[i], source->reference))
                        err = add_location(r, name, covers, e, &e->mirrors[i], source);
        return err ? err : add_location(r, name, covers, e, &e->own, source);
}

/* What hosts.toml of the registry, or of _default, says; nothing if there is none. */
static struct error *hosts_toml_endpoints(const struct registries *r, struct image_source *source) {
        _cleanup_free_ char *other = name_without_colon(source->reference->domain);
        const char *const names[] = { source->reference->domain, other, "_default" };

        for (size_t n = 0; n < ARRAY_SIZE(names); n++)
                for (size_t i = 0; names[n] && r->certs && r->certs[i]; i++) {
                        _cleanup_free_ char *folder = path_join(r->certs[i], names[n]), *text = NULL,
                                            *path = path_join(folder, "hosts.toml");
                        size_t len;
                        struct error *err = file_read(path, FILE_SIZE_MAX, &text, &len);
                        if (error_is(err, ERROR_NOT_FOUND) || (err && error_errnum(err) == ENOTDIR)) {
                                error_free(err);
                                continue;
                        }
                        return err ? err
                                   : hosts_toml_read(folder, text, len, source->reference, &source->endpoints,
                                                     &source->n_endpoints);
                }
        return NULL;
}

static struct error *source_init(const struct registries *r, const char *text, struct image_source *source) {
        struct error *err = reference_parse(text, &source->reference);
        size_t covers;

        if (err)
                return err;
        /* A tag beside a digest is matched by neither. */
        _cleanup_free_ char *name = reference_format(source->reference);
        const struct entry *e = entry_for(r, name, &covers);
        if (e)
                return configured_endpoints(r, e, name, covers, source);
        err = hosts_toml_endpoints(r, source);
        if (err || source->n_endpoints)
                return err;
        source->endpoints = xcalloc(1, sizeof(*source->endpoints));
        source->n_endpoints = 1;
        return endpoint_init(r, source->reference, false, &source->endpoints[0]);
}

static struct error *add_source(const struct registries *r, const char *text, struct image_sources *sources) {
        sources->list = xreallocarray(sources->list, sources->n + 1, sizeof(*sources->list));
        sources->list[sources->n] = (struct image_source){ 0 };
        return source_init(r, text, &sources->list[sources->n++]);
}

/* ---- short names ---- */

/* "redis:7", "team/app": what begins with no registry. */
static bool is_short(const char *name) {
        size_t n = strcspn(name, "/");
        _cleanup_free_ char *first = xstrndup(name, n);

        return !name[n] || (!strpbrk(first, ".:ABCDEFGHIJKLMNOPQRSTUVWXYZ") && !streq(first, "localhost"));
}

/* The alias of a short name with the tag or digest that it was asked with. */
static char *alias_of(const struct registries *r, const char *name) {
        const char *slash = strrchr(name, '/');
        size_t n = (size_t)(slash ? slash - name : 0) + strcspn(slash ? slash : name, ":@");
        _cleanup_free_ char *repository = xstrndup(name, n);
        const char *alias = json_string_value(json_object_get(r->aliases, repository));

        return str_empty(alias) ? NULL : xasprintf("%s%s", alias, name + n);
}

struct error *registries_sources(const struct registries *r, const char *name, struct image_sources *ret) {
        _cleanup_image_sources_ struct image_sources sources = { 0 };
        _cleanup_free_ char *alias = is_short(name) ? alias_of(r, name) : NULL;
        _cleanup_reference_ struct reference *checked = NULL;
        struct error *err = reference_parse(name, &checked); /* what cannot be a name has its own words */

        if (err)
                return err;
        if (alias) {
                err = add_source(r, alias, &sources);
        } else if (!is_short(name) || strv_len(r->search) == 0) {
                err = add_source(r, name, &sources); /* docker.io, as Kubernetes has it */
        } else if (r->mode == SHORT_NAME_ENFORCING && strv_len(r->search) > 1) {
                _cleanup_free_ char *list = strv_join(r->search, ", ");
                err = error_new(ERROR_INVALID,
                                "\"%s\" is a short name that could be an image of any of %s: write the registry before "
                                "it, or give it an alias in %s",
                                name, list, DEFAULT_FILE);
        } else {
                for (size_t i = 0; !err && r->search[i]; i++) {
                        _cleanup_free_ char *full = xasprintf("%s/%s", r->search[i], name);
                        err = add_source(r, full, &sources);
                        /* A blocked registry is passed over as long as others are left. */
                        if (error_is(err, ERROR_FORBIDDEN) && (r->search[i + 1] || sources.n > 1)) {
                                err = error_free(err);
                                reference_free(sources.list[--sources.n].reference);
                        }
                }
        }
        if (err)
                return err;
        *ret = sources;
        sources = (struct image_sources){ 0 };
        return NULL;
}
