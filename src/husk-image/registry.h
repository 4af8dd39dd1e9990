/* registry.h - fetches from a registry, by the OCI distribution specification (version 2 of Docker's).
 *
 * HTTPS with the machine's certificates; HTTP only for loopback addresses and registries that were called insecure, and
 * only after HTTPS failed there. Authorization as the registry asks for it: none, Basic, or a token from the realm it
 * names, credentials being sent to nobody else and never in clear over a network. Mirrors of a registry are asked in
 * order, the registry itself last.
 *
 * Manifests and configurations are fetched into memory. Layers are downloads: any number at once, each written to its
 * file as it arrives, resumed after a broken connection where it stood (Range), retried with growing pauses. Digests
 * are the caller's to verify; sizes are verified here.
 *
 * Errors: ERROR_NOT_FOUND, ERROR_FORBIDDEN (credentials), ERROR_UNAVAILABLE, ERROR_TIMEOUT, ERROR_BAD_REQUEST. */
#pragma once

#include "husk-image/credentials.h"
#include "image/manifest.h"
#include "image/reference.h"

struct registry;

/* One place to ask. */
struct registry_endpoint {
        char *host;                 /* "registry-1.docker.io", "127.0.0.1:5000" */
        char *path;                 /* the repository's, there: "library/redis", "cache/library/redis" */
        char *api;                  /* what stands between host and repository; NULL: "/v2" */
        char *namespace_;           /* registry that a mirror of several is asked for (?ns=); NULL: not said */
        char **headers;             /* sent with every request; NULL: none */
        int ca_fd, cert_fd, key_fd; /* certificates trusted besides, shown, its key; in memory, owned; -EBADF: none */
        bool insecure;              /* certificates are not checked */
        bool http_too;              /* HTTP will do where HTTPS fails */
        bool http_only;             /* HTTPS is not tried */
        bool digests_only;          /* may have old tags: not asked for one */
};
#define REGISTRY_ENDPOINT_INIT \
        { .ca_fd = -EBADF, .cert_fd = -EBADF, .key_fd = -EBADF }
void registry_endpoint_release(struct registry_endpoint *endpoint);

/* The host that answers for a registry's name: "registry-1.docker.io" for "docker.io". */
const char *registry_server(const char *domain);

struct registry_options {
        const struct credentials *credentials;
        struct registry_endpoint *endpoints; /* in the order in which they are asked; the caller's */
        size_t n_endpoints;
        const char *ca_file;   /* certificates trusted besides; NULL: none */
        int connect_timeout_s; /* 0: 10 */
        int stall_timeout_s;   /* give up a transfer that stands still so long; 0: 30 */
        int retries;           /* after the first try; -1: none, 0: 5 */
};

struct error *registry_open(const struct reference *reference, const struct registry_options *options,
                            struct registry **ret) _must_check_;
struct registry *registry_free(struct registry *registry);
static inline void registry_freep(struct registry **registry) {
        *registry = registry_free(*registry);
}
#define _cleanup_registry_ _cleanup_(registry_freep)

/* True for localhost, 127.0.0.0/8 and [::1], with or without port. */
bool domain_is_loopback(const char *domain);

/* Fetches a manifest by tag or digest (digest: verified). *ret_type its Content-Type, ret_digest its digest. */
struct error *registry_manifest(struct registry *registry, const char *tag_or_digest, char **ret, size_t *ret_len,
                                char **ret_type, char ret_digest[static 72]) _must_check_;
/* Fetches a small blob and verifies its size and digest. */
struct error *registry_blob(struct registry *registry, const struct descriptor *blob, char **ret) _must_check_;

/* The pod's Secret without which it would not have come; NULL: any pod of this node would have got it. */
const struct image_secret *registry_secret_used(const struct registry *registry);

struct download {
        const struct descriptor *blob; /* the caller's */
        int fd;                        /* the caller's; written from `have` on */
        uint64_t have;                 /* bytes in the file */
        uint64_t fetched;              /* bytes that came over the network */
        bool done;                     /* all there, or failed */
        struct error *error;           /* owned by the download */
        int64_t retry_at;              /* waiting until then (monotonic ns); 0: not waiting */
        const char *trouble;           /* why it is waiting, or NULL */
        size_t place;                  /* of those that are asked: the one that sent the last of it */
        struct transfer *transfer;     /* registry.c's */
};

/* Begins one; registry_step() drives it. `have` bytes are in the file already. Places before `place` are not asked:
 * what they sent was wrong. */
struct download *download_start(struct registry *registry, const struct descriptor *blob, int fd, uint64_t have,
                                size_t place);
/* How many places there are; beyond them are only the addresses of foreign layers. */
size_t registry_places(const struct registry *registry);
struct download *download_free(struct registry *registry, struct download *download);
/* Does what is to be done for all downloads, waiting at most `timeout_ms` for the network or one of the descriptors. */
struct error *registry_step(struct registry *registry, const int *fds, size_t n_fds, int timeout_ms) _must_check_;
