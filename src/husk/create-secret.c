/* create-secret.c - `husk create secret generic|tls|docker-registry`. */
#include <jansson.h>

#include "base/base64.h"
#include "base/file.h"
#include "husk/create-data.h"
#include "husk/create.h"
#include "husk/verbs.h"
#include "server/field.h"

#define PEM_SIZE_MAX (1U << 20)

static struct create_flags flags;

/* ---- what they share ---- */

static json_t *secret_new(const char *name, const char *type) {
        json_t *secret =
                json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Secret", "metadata", "name", name);
        if (type)
                json_object_set_new(secret, "type", json_string(type));
        return secret;
}

static struct error *add(void *arg, const char *key, const char *value, size_t len) {
        json_t *secret = arg, *data = field_make_object(secret, "data");
        _cleanup_free_ char *encoded = base64_encode(value, len);

        if (json_object_get(data, key))
                return usage_error("cannot add key %s, another key by that name already exists", key);
        json_object_set_new(data, key, json_string(encoded));
        return NULL;
}

/* ---- generic ---- */

static struct data_source source;
static const char *type;

const struct flag create_secret_generic_flags[] = {
        FLAGS_DATA_SOURCE(source),
        { "type", 0, FLAG_TEXT, &type, "TYPE", NULL, "The secret's type (default Opaque)" },
        FLAGS_CREATE(flags),
        { 0 },
};

struct error *create_secret_generic_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_json_ json_t *secret = NULL;
        const char *name;
        struct error *err = create_name(cli, arguments, &name);

        if (err)
                return err;
        secret = secret_new(name, type);
        err = data_source_read(&source, add, secret);
        return err ? err : create_object(cli, secret, &flags);
}

/* ---- tls ---- */

static const char *cert_file, *key_file;

const struct flag create_secret_tls_flags[] = {
        { "cert", 0, FLAG_TEXT, &cert_file, "FILE", NULL, "The certificate, PEM" },
        { "key", 0, FLAG_TEXT, &key_file, "FILE", NULL, "Its private key, PEM" },
        { "append-hash", 0, FLAG_REFUSED, NULL, NULL, NULL, "give it the name that you want" },
        FLAGS_CREATE(flags),
        { 0 },
};

/* Whether key and certificate belong together shows in whoever uses them; that they were not swapped shows here. */
static struct error *add_pem(json_t *secret, const char *key, const char *path, const char *mark) {
        _cleanup_free_ char *content = NULL;
        size_t len;
        struct error *err = file_read(path, PEM_SIZE_MAX, &content, &len);

        if (err)
                return err;
        if (!strstr(content, mark))
                return usage_error("%s holds no \"%s\"", path, mark);
        return add(secret, key, content, len);
}

struct error *create_secret_tls_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_json_ json_t *secret = NULL;
        const char *name;
        struct error *err = create_name(cli, arguments, &name);

        if (err)
                return err;
        if (!cert_file || !key_file)
                return usage_error("%s must be specified", key_file ? "--cert" : "--key");
        secret = secret_new(name, "kubernetes.io/tls");
        err = add_pem(secret, "tls.crt", cert_file, "-----BEGIN CERTIFICATE-----");
        if (!err)
                err = add_pem(secret, "tls.key", key_file, "PRIVATE KEY-----");
        return err ? err : create_object(cli, secret, &flags);
}

/* ---- docker-registry ---- */

static char **config_files;
static const char *server = "https://index.docker.io/v1/", *user, *password, *email;

const struct flag create_secret_docker_registry_flags[] = {
        { "docker-server", 0, FLAG_TEXT, &server, "URL", NULL, "The registry (default Docker Hub)" },
        { "docker-username", 0, FLAG_TEXT, &user, "NAME", NULL, "Whom to log in as" },
        { "docker-password", 0, FLAG_TEXT, &password, "TEXT", NULL, "With which password or token" },
        { "docker-email", 0, FLAG_TEXT, &email, "ADDRESS", NULL, "Some registries ask for it" },
        { "from-file", 0, FLAG_TEXTS, &config_files, "[.dockerconfigjson=]FILE", NULL,
          "A config.json that holds the login already, e.g. ~/.docker/config.json" },
        { "append-hash", 0, FLAG_REFUSED, NULL, NULL, NULL, "give it the name that you want" },
        FLAGS_CREATE(flags),
        { 0 },
};

static struct error *add_login(json_t *secret) {
        _cleanup_free_ char *pair = xasprintf("%s:%s", user, password);
        _cleanup_free_ char *auth = base64_encode(pair, strlen(pair));
        json_t *login = json_pack("{s:s, s:s, s:s}", "username", user, "password", password, "auth", auth);

        if (email)
                json_object_set_new(login, "email", json_string(email));
        _cleanup_json_ json_t *config = json_pack("{s:{s:o}}", "auths", server, login);
        _cleanup_free_ char *text = json_dumps(config, JSON_COMPACT);
        return add(secret, ".dockerconfigjson", text, strlen(text));
}

/* Whatever the file is called, it is known by one key. */
static struct error *add_config(void *arg, const char *key, const char *value, size_t len) {
        return add(arg, ".dockerconfigjson", value, len);
}

struct error *create_secret_docker_registry_run(struct cli *cli, struct arguments *arguments) {
        const struct data_source files = { .files = config_files };
        _cleanup_json_ json_t *secret = NULL;
        const char *name;
        struct error *err = create_name(cli, arguments, &name);

        if (err)
                return err;
        if (!config_files && (!user || !password))
                return usage_error("either --from-file or the combination of --docker-username, --docker-password and "
                                   "--docker-server is required");
        secret = secret_new(name, "kubernetes.io/dockerconfigjson");
        err = config_files ? data_source_read(&files, add_config, secret) : add_login(secret);
        return err ? err : create_object(cli, secret, &flags);
}
