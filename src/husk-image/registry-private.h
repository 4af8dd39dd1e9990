/* registry-private.h - what the files of registry.h share. */
#pragma once

#include <curl/curl.h>

#include "base/str.h"
#include "husk-image/registry.h"

/* What a response said beside its body. */
struct response {
        long status;
        char *content_type, *digest, *challenge, *retry_after, *content_range;
        struct strbuf body; /* of a request; of a download only if it is an error */
        size_t body_max;
        bool too_large;
};

/* One exchange with a server, as curl knows it. */
struct exchange {
        CURL *easy;
        struct curl_slist *headers;
        struct response response;
        bool finished;
        CURLcode result;
        char error[CURL_ERROR_SIZE];
};

/* A registry or mirror and what was learnt about it. */
struct endpoint {
        const struct registry_endpoint *where;
        bool speaks_http;    /* HTTPS failed, and it may */
        char *authorization; /* header line that the last challenge led to */
        size_t credential;   /* the one in use */
        const struct credential **credentials;
        size_t n_credentials;
        const struct image_secret *used; /* with the credential of this one something came from here */
};

struct registry {
        CURLM *multi;
        struct reference *reference;
        const struct registry_options *options;
        struct endpoint *endpoints;
        size_t n_endpoints, current; /* the one that had the manifest */
        struct download **downloads;
        size_t n_downloads;
};

/* A download's part that curl and retries need. */
struct transfer {
        struct exchange exchange;
        struct registry *registry;
        struct download *download;
        bool running, started;
        uint64_t skip;     /* bytes of the answer to be passed over: it begins at 0 though we have some */
        bool no_range;     /* the server does not understand ranges */
        bool write_failed; /* download->error is set */
        bool oversized;
        size_t endpoint; /* asked now; beyond the last: the blob's urls */
        size_t url;
        int failures, failures_in_row, challenges;
        uint64_t have_at_start;
};

/* ---- registry-http.c ---- */

/* A handle for `url`; `where`: the endpoint on whose behalf it is asked, NULL: nobody's. No proxy for a loopback
 * address. x->response.body_max is the caller's to set. */
CURL *exchange_open(struct registry *registry, struct exchange *x, const char *url,
                    const struct registry_endpoint *where, bool loopback);
void exchange_release(struct registry *registry, struct exchange *x);
void exchange_add_header(struct exchange *x, const char *line);
void exchange_add_headers(struct exchange *x, char *const *lines);
/* Takes what arrives into the response (`context`), up to its limit; curl's write function. */
size_t exchange_on_body(char *data, size_t size, size_t n, void *context);
/* Carries the exchange out, however long it takes: x->result is curl's word, x->response the server's. */
struct error *exchange_perform(struct registry *registry, struct exchange *x) _must_check_;
/* Lets curl work, then waits for more, and takes note of what ended. */
struct error *registry_pump(struct registry *registry, const int *fds, size_t n_fds, int timeout_ms) _must_check_;
/* Owned by the caller. */
char *endpoint_url(const struct endpoint *e, const char *kind, const char *what);
/* A loopback registry, or one called insecure, may speak HTTP only: true if that is to be tried now. */
bool endpoint_fall_back_to_http(struct endpoint *e, CURLcode result);

/* In words: curl's failure, or a status that is none of the wanted ones. */
struct error *exchange_error(const char *host, const struct exchange *x) _must_check_;
struct error *registry_error_of_status(const struct registry *registry, const char *host, const struct response *r,
                                       const char *what) _must_check_;
/* Is it worth trying again? */
bool status_is_passing(long status);
/* Milliseconds until the next try: what the registry asked for, or growing pauses with a random part. */
int registry_retry_delay_ms(int failures, const struct response *r);
/* How often that endpoint is asked again: where there is another, not long. */
int registry_retries(const struct registry *registry, size_t endpoint, const struct response *r);

/* ---- registry-auth.c ---- */

/* Something came from there: takes note of the credential. */
void endpoint_has_answered(struct endpoint *e);

/* The host that curl would ask for a token, owned by the caller. ERROR_UNAVAILABLE if the realm (may be NULL) is no
 * address by HTTP or HTTPS, or brings a user of its own. */
struct error *realm_host(const char *realm, bool *ret_encrypted, char **ret_host) _must_check_;

/* After a 401 or 403: first the credential in use (the token may be old), and if that was just tried, the next. */
struct error *endpoint_authorize(struct registry *registry, struct endpoint *e, const struct response *r,
                                 bool just_tried, bool *ret_try_again) _must_check_;
