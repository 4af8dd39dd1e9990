/* credentials.h - user names and passwords for registries, from files like ~/.docker/config.json.
 *
 *     { "auths": { "registry.example:5000": { "auth": "<base64 of user:password>" },
 *                  "quay.io/team": { "username": "u", "password": "p" },
 *                  "https://index.docker.io/v1/": { "identitytoken": "…" } } }
 *
 * Kubernetes' Secrets of type kubernetes.io/dockerconfigjson hold the same, those of type dockercfg what is inside of
 * "auths". A key may have a path (auth.json) and a wildcard in a host's label (kubelet); the longest match counts, and
 * of several files the first. */
#pragma once

#include "base/error.h"
#include "image/access.h"

struct credential {
        char *user, *password;
        char *identity_token;              /* OAuth2 refresh token */
        char *registry_token;              /* bearer token to be sent as it is */
        const struct image_secret *secret; /* of a pod, that it stands in; NULL: it is the node's own */
};

struct credentials;

struct credentials *credentials_new(void);
struct credentials *credentials_free(struct credentials *credentials);
static inline void credentials_freep(struct credentials **credentials) {
        *credentials = credentials_free(*credentials);
}
#define _cleanup_credentials_ _cleanup_(credentials_freep)

/* Adds a file; later files come after earlier ones. One that was made of a pod's Secret says so:
 * "secret": {"uid", "namespace", "name"} beside "auths". */
struct error *credentials_add_file(struct credentials *credentials, const char *path) _must_check_;
struct error *credentials_add_text(struct credentials *credentials, const char *text, size_t len) _must_check_;
/* Adds what this user has: $REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json, /run/containers/UID/auth.json,
 * ~/.config/containers/auth.json, $DOCKER_CONFIG or ~/.docker/config.json, ~/.dockercfg. Missing ones are nothing. */
struct error *credentials_add_defaults(struct credentials *credentials) _must_check_;

/* All that match a repository ("docker.io", "library/redis"), best first: *ret an array of *ret_n pointers into
 * `credentials`, the array the caller's. */
void credentials_find(const struct credentials *credentials, const char *domain, const char *path,
                      const struct credential ***ret, size_t *ret_n);

/* Credential helpers: programs docker-credential-NAME that know passwords which no file holds ("credHelpers" and
 * "credsStore" of this user's own files; those of other files name no programs that husk would run). Adds helpers that
 * are asked when none is named for a host; NULL-terminated. */
void credentials_add_helpers(struct credentials *credentials, char *const *names);
/* Asks the helpers for a host's credentials and adds them. A helper that fails is a warning, one that knows nothing is
 * not. */
void credentials_ask_helpers(struct credentials *credentials, const char *host);
