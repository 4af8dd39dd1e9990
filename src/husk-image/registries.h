/* registries.h - what this machine's configuration says of registries: where an image is really fetched from.
 *
 *  - /etc/containers/registries.conf and the drop-ins NAME.conf in registries.conf.d beside it: short names, the search
 *    list, prefixes rewritten to locations, mirrors, blocked and insecure registries (containers-registries.conf(5),
 *    version 2);
 *  - certs.d/HOST[:PORT]: certificates of one registry (containers-certs.d(5)), and hosts.toml, which is containerd's
 *    form of mirrors and certificates.
 *
 * certs.d is looked for below /etc/containers, /etc/docker and /etc/containerd, in this order. hosts.toml speaks for a
 * registry that registries.conf does not. $CONTAINERS_REGISTRIES_CONF names another registries.conf (its drop-ins are
 * then in the folder of that name with ".d"). */
#pragma once

#include "husk-image/registry.h"

/* What is to be asked for, and where. */
struct image_source {
        struct reference *reference; /* a short name stands here in full */
        struct registry_endpoint *endpoints;
        size_t n_endpoints;
};
struct image_sources {
        struct image_source *list; /* in the order in which they are tried */
        size_t n;
};
void image_sources_release(struct image_sources *sources);
#define _cleanup_image_sources_ _cleanup_(image_sources_release)

struct registries;

/* Reads the configuration. `certs`: folders like certs.d, asked before the machine's; may be NULL. `insecure`:
 * registries (host, or host and port) that were called so on the command line. Errors name file and line. */
struct error *registries_read(char *const *certs, char *const *insecure, struct registries **ret) _must_check_;
struct registries *registries_free(struct registries *registries);
static inline void registries_freep(struct registries **registries) {
        *registries = registries_free(*registries);
}
#define _cleanup_registries_ _cleanup_(registries_freep)

/* Adds what one file's text says; later ones win. `name` is for messages. */
struct error *registries_add_text(struct registries *registries, const char *name, const char *text,
                                  size_t len) _must_check_;
/* An empty configuration, as if there were no file at all. */
struct registries *registries_new(void);

/* Where an image of this name, as a user or manifest has it, comes from: never empty. ERROR_FORBIDDEN: its registry is
 * blocked. ERROR_INVALID: no reference, or a short name that could be several images. */
struct error *registries_sources(const struct registries *registries, const char *name,
                                 struct image_sources *ret) _must_check_;
/* Names of credential helpers that registries.conf lists, without "containers-auth.json"; NULL-terminated, borrowed. */
char *const *registries_credential_helpers(const struct registries *registries);
