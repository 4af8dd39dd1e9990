/* husk-image pull REFERENCE */
#include <stdio.h>

#include "base/str.h"
#include "husk-image/confine.h"
#include "husk-image/content.h"
#include "husk-image/install.h"
#include "husk-image/options.h"
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

static bool is_insecure(const struct options *o, const char *domain) {
        return domain_is_loopback(domain) || strv_contains(o->insecure, domain);
}

static struct error *read_credentials(const struct options *o, struct credentials *credentials) {
        struct error *err = NULL;

        for (size_t i = 0; !err && o->credentials && o->credentials[i]; i++)
                err = credentials_add_file(credentials, o->credentials[i]);
        if (!err && !o->no_default_credentials)
                err = credentials_add_defaults(credentials);
        return err;
}

static struct error *fetch_image(struct context *context, struct installer *in, const struct reference *reference,
                                 struct registry *registry) {
        _cleanup_installed_ struct installed installed = { 0 };
        _cleanup_free_ char *text = NULL, *type = NULL;
        char digest[DIGEST_TEXT];
        struct error *err;
        size_t len;

        err = registry_manifest(registry, reference->digest ? reference->digest : reference->tag, &text, &len, &type,
                                digest);
        if (err)
                return err;
        err = install_image(in, text, len, type, &installed);
        if (!err)
                err = install_reference(context->images, reference, installed.digest, installed.id,
                                        context->options->pin);
        return err ? err : result_print(context->options, reference, &installed);
}

static struct error *pull(struct context *context) {
        const struct options *o = context->options;
        _cleanup_credentials_ struct credentials *credentials = credentials_new();
        _cleanup_reference_ struct reference *reference = NULL;
        _cleanup_unpacker_ struct unpacker *unpacker = NULL;
        _cleanup_registry_ struct registry *registry = NULL;
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
                err = read_credentials(o, credentials);
        if (!err)
                err = installer_init(&in, context, unpacker);
        if (err)
                return err;
        memcpy(paths, network_paths, sizeof(paths));
        paths[ARRAY_SIZE(paths) - 2] = o->ca_file;
        err = confine_main(context->images, paths);
        if (err)
                return err;

        bool is_hub = streq(reference->domain, "docker.io");
        struct registry_endpoint endpoint = { is_hub ? "registry-1.docker.io" : reference->domain, NULL,
                                              is_insecure(o, reference->domain) };
        struct registry_options options = {
                .credentials = credentials,
                .endpoints = &endpoint,
                .n_endpoints = 1,
                .ca_file = o->ca_file,
                .connect_timeout_s = (int)o->timeout,
                .stall_timeout_s = (int)o->timeout,
                .retries = !o->has_retries ? 0
                           : o->retries    ? (int)o->retries
                                           : -1,
        };
        err = registry_open(reference, &options, &registry);
        if (!err) {
                in.fetch.registry = registry;
                err = fetch_image(context, &in, reference, registry);
        }
        installer_release(&in);
        return error_context(err, "pull \"%s\"", o->arguments[0]);
}

struct error *verb_pull(struct context *context) {
        _cleanup_reference_ struct reference *reference = NULL;
        struct error *err = reference_parse(context->options->arguments[0], &reference);

        return err ? err : run_confined(context, pull);
}
