/* registry.c - a registry and the places that answer for it: manifests and small blobs. */
#include "husk-image/registry-private.h"

#include "base/clock.h"
#include "base/str.h"
#include "husk-image/hash.h"

void registry_endpoint_release(struct registry_endpoint *e) {
        free(e->host);
        free(e->path);
        free(e->api);
        free(e->namespace_);
        strv_free(e->headers);
        fd_close(e->ca_fd);
        fd_close(e->cert_fd);
        fd_close(e->key_fd);
        *e = (struct registry_endpoint)REGISTRY_ENDPOINT_INIT;
}

const char *registry_server(const char *domain) {
        return streq(domain, "docker.io") ? "registry-1.docker.io" : domain;
}

bool domain_is_loopback(const char *domain) {
        _cleanup_free_ char *host = xstrdup(domain);

        if (host[0] == '[')
                return str_starts_with(host, "[::1]");
        host[strcspn(host, ":")] = '\0';
        if (streq(host, "localhost") || str_ends_with(host, ".localhost"))
                return true;
        return str_starts_with(host, "127.") && strspn(host, "0123456789.") == strlen(host);
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

struct error *registry_open(const struct reference *reference, const struct registry_options *options,
                            struct registry **ret) {
        _cleanup_registry_ struct registry *registry = new0(struct registry);

        if (curl_global_init(CURL_GLOBAL_DEFAULT))
                return error_new(ERROR_INTERNAL, "curl does not start");
        registry->multi = curl_multi_init();
        curl_multi_setopt(registry->multi, CURLMOPT_MAXCONNECTS, 16L);
        registry->reference = new0(struct reference);
        *registry->reference = (struct reference){ xstrdup(reference->domain), xstrdup(reference->path),
                                                   xstrdup(reference->tag), xstrdup(reference->digest) };
        registry->options = options;
        registry->n_endpoints = options->n_endpoints;
        registry->endpoints = xcalloc(options->n_endpoints + 1, sizeof(*registry->endpoints));
        for (size_t i = 0; i < options->n_endpoints; i++) {
                struct endpoint *e = &registry->endpoints[i];
                e->where = &options->endpoints[i];
                /* Docker Hub is logged into as docker.io, whatever its servers are called. */
                const char *login = streq(e->where->host, "registry-1.docker.io") ? "docker.io" : e->where->host;
                e->speaks_http = e->where->http_only;
                credentials_find(options->credentials, login, e->where->path, &e->credentials, &e->n_credentials);
        }
        *ret = TAKE_PTR(registry);
        return NULL;
}

struct registry *registry_free(struct registry *registry) {
        if (!registry)
                return NULL;
        while (registry->n_downloads)
                download_free(registry, registry->downloads[0]);
        free(registry->downloads);
        curl_multi_cleanup(registry->multi);
        for (size_t i = 0; i < registry->n_endpoints; i++) {
                struct endpoint *e = &registry->endpoints[i];
                if (e->authorization)
                        explicit_bzero(e->authorization, strlen(e->authorization));
                free(e->authorization);
                free(e->credentials);
        }
        free(registry->endpoints);
        reference_free(registry->reference);
        free(registry);
        return NULL;
}

/* --- requests into memory --------------------------------------------------------------------------------------- */

static struct error *request_once(struct registry *registry, struct endpoint *e, const char *kind, const char *what,
                                  size_t max, struct exchange *x) {
        _cleanup_free_ char *url = endpoint_url(e, kind, what);

        exchange_release(registry, x);
        x->response.body_max = max;
        exchange_open(registry, x, url, e->where, domain_is_loopback(e->where->host));
        exchange_add_headers(x, e->where->headers);
        if (e->authorization)
                exchange_add_header(x, e->authorization);
        for (size_t i = 0; streq(kind, "manifests") && manifest_media_types[i]; i++) {
                _cleanup_free_ char *accept = xasprintf("Accept: %s", manifest_media_types[i]);
                exchange_add_header(x, accept);
        }
        return exchange_perform(registry, x);
}

static struct error *wait_ms(struct registry *registry, int ms) {
        int64_t until = clock_monotonic_ns() + ms * NSEC_PER_MSEC;
        struct error *err = NULL;

        for (int64_t left; !err && (left = until - clock_monotonic_ns()) > 0;)
                err = registry_pump(registry, NULL, 0, (int)(left / NSEC_PER_MSEC) + 1);
        return err;
}

/* One request at one endpoint, with authorization and retries. On success x holds the answer. */
static struct error *request(struct registry *registry, struct endpoint *e, const char *kind, const char *what,
                             size_t max, struct exchange *x) {
        const char *host = e->where->host;
        bool just_tried = false;

        for (int failures = 0;;) {
                struct error *err = request_once(registry, e, kind, what, max, x);
                if (err)
                        return err;
                long status = x->response.status;
                if (!x->result && status == 200) {
                        endpoint_has_answered(e);
                        return NULL;
                }
                if (x->result && endpoint_fall_back_to_http(e, x->result))
                        continue;
                if (!x->result && (status == 401 || status == 403)) {
                        bool again = false;
                        err = endpoint_authorize(registry, e, &x->response, just_tried, &again);
                        if (err)
                                return err;
                        just_tried = true;
                        if (again)
                                continue;
                }
                _cleanup_free_ char *repository = reference_format(registry->reference);
                _cleanup_free_ char *noun = xasprintf("image \"%s\"", repository);
                if (x->result)
                        err = exchange_error(host, x);
                else
                        err = registry_error_of_status(registry, host, &x->response,
                                                       streq(kind, "manifests") ? noun : "a part of the image");
                /* Nobody there is told at once; what broke on the way, or a busy server, is tried again. */
                bool passing =
                        x->result ? x->result != CURLE_COULDNT_CONNECT && x->result != CURLE_COULDNT_RESOLVE_HOST &&
                                            x->result != CURLE_SSL_CONNECT_ERROR &&
                                            x->result != CURLE_PEER_FAILED_VERIFICATION &&
                                            x->result != CURLE_WRITE_ERROR && x->result != CURLE_OPERATION_TIMEDOUT
                                  : status_is_passing(status);
                if (!passing || ++failures > registry_retries(registry, e - registry->endpoints, &x->response))
                        return err;
                error_free(err);
                err = wait_ms(registry, registry_retry_delay_ms(failures, &x->response));
                if (err)
                        return err;
        }
}

/* What a place sent for a manifest: is it what its name, or the place itself, says? */
static struct error *manifest_check(const struct endpoint *e, const char *tag_or_digest, const struct response *r,
                                    char ret_digest[static 72]) {
        const char *wanted = digest_is_valid(tag_or_digest) ? tag_or_digest : r->digest;

        hash_of(strbuf_str(&r->body), r->body.len, ret_digest);
        if (!digest_is_valid(wanted) || streq(wanted, ret_digest))
                return NULL;
        return error_new(ERROR_BAD_REQUEST, "registry %s: wrong digest: the manifest has %s, not %s", e->where->host,
                         ret_digest, wanted);
}

/* Asks one place after the other. The one that answered is registry->current; digests, which come next, are asked for
 * from the first on that knows digests only, if it was passed over for a tag. */
static struct error *manifest_request(struct registry *registry, const char *tag_or_digest, struct exchange *x,
                                      char ret_digest[static 72]) {
        bool by_tag = !digest_is_valid(tag_or_digest);
        size_t passed_over = registry->n_endpoints;
        struct error *err = NULL;

        for (size_t i = registry->current; i < registry->n_endpoints; i++) {
                if (by_tag && registry->endpoints[i].where->digests_only) {
                        passed_over = MIN(passed_over, i);
                        continue;
                }
                registry->current = i;
                struct error *before = err;
                err = request(registry, &registry->endpoints[i], "manifests", tag_or_digest, MANIFEST_SIZE_MAX, x);
                if (!err)
                        err = manifest_check(&registry->endpoints[i], tag_or_digest, &x->response, ret_digest);
                if (err && before)
                        err = error_context(err, "%s; then", error_message(before));
                error_free(before);
                if (!err) {
                        registry->current = MIN(i, passed_over);
                        return NULL;
                }
        }
        return err ? err
                   : error_new(ERROR_UNAVAILABLE, "no registry may be asked for the tag %s: all are for digests only",
                               tag_or_digest);
}

struct error *registry_manifest(struct registry *registry, const char *tag_or_digest, char **ret, size_t *ret_len,
                                char **ret_type, char ret_digest[static 72]) {
        struct exchange x = { 0 };
        struct error *err = manifest_request(registry, tag_or_digest, &x, ret_digest);

        if (!err) {
                char *semicolon = x.response.content_type ? strchr(x.response.content_type, ';') : NULL;
                if (semicolon)
                        *semicolon = '\0';
                *ret_len = x.response.body.len;
                *ret = strbuf_take(&x.response.body);
                *ret_type = TAKE_PTR(x.response.content_type);
        }
        exchange_release(registry, &x);
        return err;
}

struct error *registry_blob(struct registry *registry, const struct descriptor *blob, char **ret) {
        struct error *err = NULL;
        struct exchange x = { 0 };
        char digest[DIGEST_TEXT];

        for (size_t i = registry->current; i < registry->n_endpoints; i++) {
                const char *host = registry->endpoints[i].where->host;
                error_free(err);
                err = request(registry, &registry->endpoints[i], "blobs", blob->digest, blob->size, &x);
                if (!err) {
                        hash_of(strbuf_str(&x.response.body), x.response.body.len, digest);
                        if (x.response.body.len != blob->size || !streq(digest, blob->digest))
                                err = error_new(ERROR_BAD_REQUEST, "registry %s: wrong digest: a blob has %s, not %s",
                                                host, digest, blob->digest);
                }
                if (!err)
                        break;
        }
        if (!err)
                *ret = strbuf_take(&x.response.body);
        exchange_release(registry, &x);
        return err;
}
