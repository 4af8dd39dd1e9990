/* install.h - makes an image of the store out of a manifest: chooses the platform, reads the configuration, brings the
 * layers, and writes the records, the reference last. Shared by pull (blobs from a registry) and load (blobs from an
 * archive that were stored before). */
#pragma once

#include "husk-image/fetch.h"

struct installer {
        struct fetch_options fetch; /* with images, unpacker and, for pull, registry */
        struct platform platform;
        bool any_platform; /* take an image that says it is for another one (asked for by --platform) */
};

struct installed {
        char *id;
        char digest[DIGEST_TEXT]; /* of what was named: the index or manifest */
        struct fetch_result layers;
        char *warning; /* or NULL */
};
void installed_release(struct installed *installed);
#define _cleanup_installed_ _cleanup_(installed_release)

/* Installs what the manifest or index `text` describes; it is stored too. */
struct error *install_image(const struct installer *installer, const char *text, size_t len, const char *type,
                            struct installed *ret) _must_check_;
/* Lets a reference mean an installed image; with a tag also name@digest. `pin`: prune never takes it. `loaded`: no
 * registry had it under this name, so that garbage collection leaves it alone. */
struct error *install_reference(const char *images, const struct reference *reference, const char *digest,
                                const char *id, bool pin, bool loaded) _must_check_;
