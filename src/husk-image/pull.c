/* husk-image pull REFERENCE */
#include <stdio.h>

#include "base/str.h"
#include "husk-image/confine.h"
#include "husk-image/content.h"
#include "husk-image/install.h"
#include "husk-image/options.h"
#include "husk-image/proxy.h"
#include "husk-image/registries.h"
#include "husk-image/result.h"
#include "image/layout.h"

/* What resolving names and checking certificates reads. */
static const char *const network_paths[] = { "/etc/resolv.conf",
                                             "/etc/hosts",
                                             "/etc/host.conf",
                                             "/etc/nsswitch.conf",
                                             "/etc/gai.conf",
                                             "/etc/services",
                                             "/etc/ssl",
                                             "/etc/pki",
                                             "/etc/ca-certificates",
                                             "/etc/gnutls",
                                             "/etc/ld.so.cache",
                                             "/etc/localtime",
                                             "/usr/share/ca-certificates",
                                             "/usr/local/share/ca-certificates",
                                             "/usr/lib",
                                             "/usr/lib64",
                                             "/usr/local/lib",
                                             "/lib",
                                             "/lib64",
                                             "/run/systemd/resolve",
                                             "/run/resolvconf",
                                             "/run/NetworkManager",
                                             "/run/nscd",
                                             "/dev/urandom",
                                             "/dev/null",
                                             NULL,
                                             /* --ca-file */ NULL };

static struct error *read_credentials(const struct options *o, struct credentials *credentials) {
        struct error *err = NULL;

        for (size_t i = 0; !err && o->credentials && o->credentials[i]; i++)
                err = credentials_add_file(credentials, o->credentials[i]);
        if (!err && !o->no_default_credentials)
                err = credentials_add_defaults(credentials);
        return err;
}

/* Before the names: no pod finds an image that it may not use. */
static struct error *note_access(struct context *context, const struct registry *registry,
                                 const struct reference *reference, const char *id) {
        _cleanup_free_ char *repository = reference_repository(reference);

        if (!context->options->for_pod) /* whoever runs the machine gives it to all pods */
                return image_access_open(context->images, id, repository);
        return image_access_grant(context->images, id, repository, registry_secret_used(registry));
}

static struct error *fetch_image(struct context *context, struct installer *in, const struct reference *asked_for,
                                 const struct image_source *source) {
        _cleanup_installed_ struct installed installed = { 0 };
        const struct reference *reference = source->reference;
        _cleanup_free_ char *text = NULL, *type = NULL;
        char digest[DIGEST_TEXT];
        struct error *err;
        size_t len;

        err = registry_manifest(in->fetch.registry, reference->digest ? reference->digest : reference->tag, &text, &len,
                                &type, digest);
        if (!err)
                err = install_image(in, text, len, type, &installed);
        if (!err)
                err = note_access(context, in->fetch.registry, reference, installed.id);
        if (!err)
                err = note_access(context, in->fetch.registry, asked_for, installed.id);
        if (!err)
                err = install_reference(context->images, reference, installed.digest, installed.id,
                                        context->options->pin, false);
        /* A short name may mean another registry's image here: manifests will ask for it by the short name. */
        if (!err && !(streq(asked_for->domain, reference->domain) && streq(asked_for->path, reference->path)))
                err = install_reference(context->images, asked_for, installed.digest, installed.id,
                                        context->options->pin, false);
        return err ? err : result_print(context->options, reference, &installed);
}

static struct error *fetch_source(struct context *context, struct installer *in, const struct reference *asked_for,
                                  const struct image_source *source, const struct credentials *credentials) {
        const struct options *o = context->options;
        _cleanup_registry_ struct registry *registry = NULL;
        struct registry_options options = {
                .credentials = credentials,
                .endpoints = source->endpoints,
                .n_endpoints = source->n_endpoints,
                .ca_file = o->ca_file,
                .connect_timeout_s = (int)o->timeout,
                .stall_timeout_s = (int)o->timeout,
                .retries = !o->has_retries ? 0
                           : o->retries    ? (int)o->retries
                                           : -1,
        };
        struct error *err = registry_open(source->reference, &options, &registry);

        if (err)
                return err;
        in->fetch.registry = registry;
        err = fetch_image(context, in, asked_for, source);
        in->fetch.registry = NULL;
        return err;
}

/* Another registry of the search list may have what this one has not, or does not show. */
static bool next_may_have_it(const struct error *err) {
        return error_is(err, ERROR_NOT_FOUND) || error_is(err, ERROR_FORBIDDEN) || error_is(err, ERROR_UNAVAILABLE) ||
               error_is(err, ERROR_TIMEOUT);
}

static struct error *fetch_sources(struct context *context, struct installer *in, const struct reference *asked_for,
                                   const struct image_sources *sources, const struct credentials *credentials) {
        struct error *err = NULL;

        for (size_t i = 0; i < sources->n; i++) {
                struct error *before = err;
                err = fetch_source(context, in, asked_for, &sources->list[i], credentials);
                bool go_on = err && next_may_have_it(err);
                if (err && before)
                        err = error_context(err, "%s; then", error_message(before));
                error_free(before);
                if (!go_on)
                        break;
        }
        return err;
}

/* What needs the machine's files and programs, and so comes before they are out of sight: where to ask, and as whom. */
static struct error *read_configuration(const struct options *o, struct credentials *credentials,
                                        struct image_sources *sources) {
        _cleanup_registries_ struct registries *registries = NULL;
        struct error *err = registries_read(o->certs, o->insecure, &registries);

        proxy_read_environment();
        if (!err)
                err = registries_sources(registries, o->arguments[0], sources);
        if (!err)
                err = read_credentials(o, credentials);
        if (!err && !o->no_default_credentials)
                credentials_add_helpers(credentials, registries_credential_helpers(registries));
        for (size_t i = 0; !err && i < sources->n; i++)
                for (size_t k = 0; k < sources->list[i].n_endpoints; k++)
                        credentials_ask_helpers(credentials, sources->list[i].endpoints[k].host);
        return err;
}

static struct error *pull(struct context *context) {
        const struct options *o = context->options;
        _cleanup_credentials_ struct credentials *credentials = credentials_new();
        _cleanup_image_sources_ struct image_sources sources = { 0 };
        _cleanup_reference_ struct reference *reference = NULL;
        _cleanup_unpacker_ struct unpacker *unpacker = NULL;
        _cleanup_close_ int lock = -EBADF;
        const char *paths[ARRAY_SIZE(network_paths)];
        struct installer in;
        struct error *err;

        err = reference_parse(o->arguments[0], &reference);
        if (!err)
                err = unpacker_start(&unpacker); /* first, while there is nothing to be known to it */
        if (!err)
                err = content_lock(context->images, false, &lock);
        if (!err)
                err = read_configuration(o, credentials, &sources);
        if (!err)
                err = installer_init(&in, context, unpacker);
        if (err)
                return error_context(err, "pull \"%s\"", o->arguments[0]);
        memcpy(paths, network_paths, sizeof(paths));
        paths[ARRAY_SIZE(paths) - 2] = o->ca_file;
        err = confine_main(context->images, paths);
        if (!err)
                err = fetch_sources(context, &in, reference, &sources, credentials);
        installer_release(&in);
        return error_context(err, "pull \"%s\"", o->arguments[0]);
}

struct error *verb_pull(struct context *context) {
        _cleanup_reference_ struct reference *reference = NULL;
        struct error *err = reference_parse(context->options->arguments[0], &reference);

        return err ? err : run_confined(context, pull);
}
