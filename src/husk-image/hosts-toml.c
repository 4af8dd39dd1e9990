#include "husk-image/hosts-toml.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/toml.h"

#define CERTIFICATES_MAX (4 << 20)

/* ---- certificates: read before husk-image loses sight of them ---- */

/* Appends a file to what *fd, a file in memory, has. */
static struct error *memory_add(int *fd, const char *path) {
        _cleanup_free_ char *text = NULL;
        size_t len;
        struct error *err = file_read(path, CERTIFICATES_MAX, &text, &len);

        if (err)
                return err;
        if (*fd < 0)
                *fd = memfd_create("certificates", MFD_CLOEXEC);
        if (*fd < 0)
                return error_errno(errno, "memory for %s", path);
        err = fd_write_all(*fd, text, len);
        explicit_bzero(text, len); /* it may be a key */
        return err ? err : fd_write_all(*fd, "\n", 1);
}

static int is_certificate(const struct dirent *entry) {
        return str_ends_with(entry->d_name, ".crt") || str_ends_with(entry->d_name, ".cert");
}

static struct error *certificate_add(const char *folder, const char *name, struct registry_endpoint *e) {
        _cleanup_free_ char *path = path_join(folder, name);

        if (str_ends_with(name, ".crt"))
                return memory_add(&e->ca_fd, path);
        if (e->cert_fd >= 0)
                return NULL;
        _cleanup_free_ char *key = xasprintf("%.*skey", (int)(strlen(path) - strlen("cert")), path);
        if (!file_exists(key))
                return error_new(ERROR_NOT_FOUND, "%s is missing: the key of %s", key, path);
        struct error *err = memory_add(&e->cert_fd, path);
        return err ? err : memory_add(&e->key_fd, key);
}

struct error *certs_read(const char *folder, struct registry_endpoint *endpoint) {
        struct dirent **entries;
        struct error *err = NULL;
        int n = scandir(folder, &entries, is_certificate, alphasort);

        if (n < 0)
                return error_errno(errno, "open %s", folder);
        for (int i = 0; i < n; i++) {
                if (!err)
                        err = certificate_add(folder, entries[i]->d_name, endpoint);
                free(entries[i]);
        }
        free(entries);
        return err;
}

static char *path_of(const char *folder, const char *path) {
        return path[0] == '/' ? xstrdup(path) : path_join(folder, path);
}

static struct error *add_ca(const char *folder, const json_t *ca, struct registry_endpoint *e) {
        struct error *err = NULL;
        const json_t *item;
        size_t i;

        if (json_is_string(ca)) {
                _cleanup_free_ char *path = path_of(folder, json_string_value(ca));
                return memory_add(&e->ca_fd, path);
        }
        if (ca && !json_is_array(ca))
                return error_new(ERROR_BAD_REQUEST, "ca has to be a path or a list of paths");
        json_array_foreach(ca, i, item) if (!err) err =
                json_is_string(item) ? add_ca(folder, item, e)
                                     : error_new(ERROR_BAD_REQUEST, "ca has to be a list of paths");
        return err;
}

/* "both.pem", ["both.pem", …] or [["cert.pem", "key.pem"], …]; of several the first is shown. */
static struct error *add_client(const char *folder, const json_t *client, struct registry_endpoint *e) {
        const json_t *first = json_is_array(client) ? json_array_get(client, 0) : client;
        const char *cert = json_string_value(first), *key = cert;

        if (!client)
                return NULL;
        if (json_is_array(first)) {
                cert = json_string_value(json_array_get(first, 0));
                key = json_string_value(json_array_get(first, 1));
                key = str_empty(key) ? cert : key;
        }
        if (str_empty(cert))
                return error_new(ERROR_BAD_REQUEST, "client has to be a path or a list of [certificate, key]");
        _cleanup_free_ char *cert_path = path_of(folder, cert), *key_path = path_of(folder, key);
        struct error *err = memory_add(&e->cert_fd, cert_path);
        return err ? err : memory_add(&e->key_fd, key_path);
}

/* ---- hosts.toml ---- */

static bool is_printable(const char *text) {
        for (const char *p = text; *p; p++)
                if (iscntrl((unsigned char)*p))
                        return false;
        return true;
}

static struct error *add_header(const char *name, const json_t *value, struct registry_endpoint *e) {
        const char *text = json_string_value(value);

        if (!text || !*name || strpbrk(name, ": \t") || !is_printable(name) || !is_printable(text))
                return error_new(ERROR_BAD_REQUEST, "header %s has to be one line of text", name);
        e->headers = strv_add_take(e->headers, xasprintf("%s: %s", name, text));
        return NULL;
}

static struct error *add_headers(json_t *headers, struct registry_endpoint *e) {
        const char *name;
        json_t *value, *item;
        size_t i;

        if (headers && !json_is_object(headers))
                return error_new(ERROR_BAD_REQUEST, "header has to be a table");
        json_object_foreach(headers, name, value) {
                struct error *err = NULL;
                if (!json_is_array(value))
                        err = add_header(name, value, e);
                json_array_foreach(value, i, item) if (!err) err = add_header(name, item, e);
                if (err)
                        return err;
        }
        return NULL;
}

/* ["pull", "resolve", "push"]; all of them if nothing is said. */
static struct error *capabilities_read(const json_t *list, bool *ret_pull, bool *ret_resolve) {
        const json_t *item;
        size_t i;

        *ret_pull = *ret_resolve = !list;
        if (list && !json_is_array(list))
                return error_new(ERROR_BAD_REQUEST, "capabilities has to be a list of \"pull\", \"resolve\", \"push\"");
        json_array_foreach(list, i, item) {
                const char *name = json_string_value(item);
                if (streq_ptr(name, "pull"))
                        *ret_pull = true;
                else if (streq_ptr(name, "resolve"))
                        *ret_resolve = true;
                else if (!streq_ptr(name, "push") && !streq_ptr(name, "referrers"))
                        return error_new(ERROR_BAD_REQUEST, "capabilities: there is no \"%s\"", name ? name : "");
        }
        return NULL;
}

/* "https://host:port/path" */
static struct error *address_read(const char *url, bool override_path, struct registry_endpoint *e) {
        const char *host = strstr(url, "://");
        bool http = str_starts_with(url, "http://");

        if (host && !http && !str_starts_with(url, "https://"))
                return error_new(ERROR_BAD_REQUEST, "\"%s\": only http and https are spoken", url);
        host = host ? host + 3 : url;
        size_t n = strcspn(host, "/?#"), path = strlen(host + n);
        if (!n || !is_printable(url) || strpbrk(host, "@ ?#"))
                return error_new(ERROR_BAD_REQUEST, "\"%s\" is no address of a registry", url);
        while (path && host[n + path - 1] == '/')
                path--;
        e->host = xstrndup(host, n);
        e->api = xasprintf("%.*s%s", (int)path, host + n, override_path ? "" : "/v2");
        e->http_only = http;
        e->http_too = http || domain_is_loopback(e->host); /* skip_verify speaks of certificates only */
        e->insecure = e->insecure || e->http_too;
        return NULL;
}

static struct error *host_read(const char *folder, const char *url, const json_t *table,
                               const struct reference *reference, struct registry_endpoint *e, bool *ret_asked) {
        bool pull, resolve;
        struct error *err = capabilities_read(json_object_get(table, "capabilities"), &pull, &resolve);

        e->insecure = json_is_true(json_object_get(table, "skip_verify"));
        if (!err)
                err = address_read(url, json_is_true(json_object_get(table, "override_path")), e);
        if (!err)
                err = add_ca(folder, json_object_get(table, "ca"), e);
        if (!err)
                err = add_client(folder, json_object_get(table, "client"), e);
        if (!err)
                err = add_headers(json_object_get(table, "header"), e);
        if (err)
                return err;
        e->path = xstrdup(reference->path);
        e->namespace_ = streq(e->host, registry_server(reference->domain)) ? NULL : xstrdup(reference->domain);
        e->digests_only = !resolve;
        *ret_asked = pull;
        return NULL;
}

/* Adds a host unless nothing may be pulled from it. */
static struct error *host_add(const char *folder, const char *url, const json_t *table,
                              const struct reference *reference, struct registry_endpoint **list, size_t *n) {
        struct registry_endpoint e = REGISTRY_ENDPOINT_INIT;
        bool asked = false;
        struct error *err = host_read(folder, url, table, reference, &e, &asked);

        if (err || !asked) {
                registry_endpoint_release(&e);
                return err;
        }
        *list = xreallocarray(*list, *n + 1, sizeof(**list));
        (*list)[(*n)++] = e;
        return NULL;
}

static struct error *hosts_read(const char *folder, const json_t *root, const struct reference *reference,
                                struct registry_endpoint **list, size_t *n) {
        json_t *hosts = json_object_get(root, "host"), *table;
        const json_t *server = json_object_get(root, "server");
        const char *url;
        struct error *err;

        if (hosts && !json_is_object(hosts))
                return error_new(ERROR_BAD_REQUEST, "host has to be a table of addresses: [host.\"https://…\"]");
        if (server && !json_is_string(server))
                return error_new(ERROR_BAD_REQUEST, "server has to be an address in quotes");
        json_object_foreach(hosts, url, table) {
                err = host_add(folder, url, table, reference, list, n);
                if (err)
                        return err;
        }
        const char *own = json_string_value(server);
        return host_add(folder, str_empty(own) ? registry_server(reference->domain) : own, root, reference, list, n);
}

struct error *hosts_toml_read(const char *folder, const char *text, size_t len, const struct reference *reference,
                              struct registry_endpoint **ret, size_t *ret_n) {
        json_auto_t *root = NULL;
        struct error *err = toml_parse(text, len, &root);

        if (!err)
                err = hosts_read(folder, root, reference, ret, ret_n);
        return error_context(err, "%s/hosts.toml", folder);
}
