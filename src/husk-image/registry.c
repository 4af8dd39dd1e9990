#include "husk-image/registry.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <time.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/str.h"
#include "husk-image/hash.h"

#define ERROR_BODY_MAX (64 << 10)
#define TOKEN_BODY_MAX (1 << 20)
#define RETRY_FIRST_MS 300
#define RETRY_MOST_MS 10000
#define RETRY_AFTER_MOST_S 60 /* a registry that wants us to wait longer is told to the user instead */
#define FAILURES_MOST 100     /* of one download, even if each brought a few bytes */
#define CHALLENGE_MAX 4096

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

static void response_release(struct response *r) {
        free(r->content_type);
        free(r->digest);
        free(r->challenge);
        free(r->retry_after);
        free(r->content_range);
        strbuf_release(&r->body);
        *r = (struct response){ .body_max = r->body_max };
}

static void exchange_release(struct registry *registry, struct exchange *x) {
        if (x->easy) {
                curl_multi_remove_handle(registry->multi, x->easy);
                curl_easy_cleanup(x->easy);
        }
        curl_slist_free_all(x->headers);
        response_release(&x->response);
        *x = (struct exchange){ 0 };
}

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

/* --- what comes back ------------------------------------------------------------------------------------------- */

static size_t on_header(char *data, size_t size, size_t n, void *context) {
        struct exchange *x = context;
        struct response *r = &x->response;
        const struct {
                const char *name;
                char **value;
        } known[] = {
                { "content-type", &r->content_type },
                { "docker-content-digest", &r->digest },
                { "retry-after", &r->retry_after },
                { "content-range", &r->content_range },
        };
        size_t len = size * n;

        if (len >= 5 && !memcmp(data, "HTTP/", 5)) { /* another answer: after a redirect */
                response_release(r);
                return len;
        }
        const char *colon = memchr(data, ':', len);
        if (!colon)
                return len;
        const char *value = colon + 1, *end = data + len;
        while (value < end && (*value == ' ' || *value == '\t'))
                value++;
        while (end > value && isspace((unsigned char)end[-1]))
                end--;
        _cleanup_free_ char *name = xstrndup(data, colon - data);
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (!strcasecmp(name, known[i].name)) {
                        free(*known[i].value);
                        *known[i].value = xstrndup(value, MIN(end - value, 1024));
                }
        /* There may be several challenges; a Bearer one is preferred to Basic. */
        if (!strcasecmp(name, "www-authenticate") && (!r->challenge || !strncasecmp(value, "bearer", 6))) {
                free(r->challenge);
                r->challenge = xstrndup(value, MIN(end - value, CHALLENGE_MAX));
        }
        return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *context) {
        struct response *r = context;
        size_t len = size * n;

        if (r->body.len + len > r->body_max) {
                r->too_large = true;
                return 0;
        }
        strbuf_add(&r->body, data, len);
        return len;
}

/* --- making a handle ------------------------------------------------------------------------------------------- */

/* A file in memory that curl opens by name. */
static void set_file(CURL *easy, CURLoption option, int fd) {
        _cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);

        if (fd >= 0)
                curl_easy_setopt(easy, option, path);
}

/* Certificates to trust and to show, and whether that is minded. */
static void set_certificates(CURL *easy, const struct registry_options *o, const struct registry_endpoint *where) {
        bool own_ca = where && where->ca_fd >= 0;

        if (o->ca_file)
                curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_file);
        if (own_ca)
                set_file(easy, CURLOPT_CAINFO, where->ca_fd);
        if (o->ca_file || own_ca)
                curl_easy_setopt(easy, CURLOPT_CAPATH, "/etc/ssl/certs");
        if (where) {
                set_file(easy, CURLOPT_SSLCERT, where->cert_fd);
                set_file(easy, CURLOPT_SSLKEY, where->key_fd);
        }
        if (where && where->insecure && !o->ca_file && !own_ca) {
                curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
                curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
        }
}

/* `where`: the endpoint on whose behalf `url` is asked; NULL: nobody's. */
static CURL *easy_new(struct registry *registry, struct exchange *x, const char *url,
                      const struct registry_endpoint *where, bool loopback) {
        const struct registry_options *o = registry->options;
        bool http_too = where && where->http_too;
        CURL *easy = curl_easy_init();

        if (!easy)
                abort(); /* out of memory */
        x->easy = easy;
        x->finished = false;
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "husk/" HUSK_VERSION);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &x->response);
        curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 10L);
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        /* Nobody is led from an encrypted connection to a clear one. */
        curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, http_too ? "http,https" : "https");
        /* Several connections carry more than one connection's streams: HTTP/2 has a window for each. */
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)(o->connect_timeout_s ? o->connect_timeout_s : 10));
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(o->stall_timeout_s ? o->stall_timeout_s : 30));
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        set_certificates(easy, o, where);
        if (loopback)
                curl_easy_setopt(easy, CURLOPT_PROXY, "");
        return easy;
}

static void add_header(struct exchange *x, const char *line) {
        x->headers = curl_slist_append(x->headers, line);
        curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
}

static void add_headers(struct exchange *x, char *const *lines) {
        for (size_t i = 0; lines && lines[i]; i++)
                add_header(x, lines[i]);
}

static char *endpoint_url(const struct endpoint *e, const char *kind, const char *what) {
        const struct registry_endpoint *where = e->where;

        return xasprintf("%s://%s%s/%s/%s/%s%s%s", e->speaks_http ? "http" : "https", where->host,
                         where->api ? where->api : "/v2", where->path, kind, what, where->namespace_ ? "?ns=" : "",
                         where->namespace_ ? where->namespace_ : "");
}

/* Lets curl work, then waits for more, and takes note of what ended. */
static struct error *pump(struct registry *registry, const int *fds, size_t n_fds, int timeout_ms) {
        struct curl_waitfd wait[64] = { 0 };
        int running, queued;
        CURLMsg *message;

        n_fds = MIN(n_fds, ARRAY_SIZE(wait));
        for (size_t i = 0; i < n_fds; i++) {
                wait[i].fd = fds[i];
                wait[i].events = CURL_WAIT_POLLIN;
        }
        CURLMcode rc = curl_multi_perform(registry->multi, &running);
        while ((message = curl_multi_info_read(registry->multi, &queued))) {
                struct exchange *x;
                if (message->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
                x->result = message->data.result;
                x->finished = true;
                curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->response.status);
                timeout_ms = 0;
        }
        if (!rc && timeout_ms)
                rc = curl_multi_poll(registry->multi, wait, n_fds, timeout_ms, NULL);
        return rc ? error_new(ERROR_INTERNAL, "curl: %s", curl_multi_strerror(rc)) : NULL;
}

/* --- what went wrong, in words --------------------------------------------------------------------------------- */

/* The first message of {"errors": [{"code", "message"}]}, made harmless; "" if there is none. */
static char *registry_words(const struct response *r) {
        json_auto_t *json = r->body.len ? json_loadb(r->body.data, r->body.len, 0, NULL) : NULL;
        json_t *first = json_array_get(json_object_get(json, "errors"), 0);
        const char *text = json_string_value(json_object_get(first, "message"));
        if (!text)
                text = json_string_value(json_object_get(json, "details")); /* token servers */
        if (str_empty(text))
                return xstrdup("");
        char *words = xasprintf(" (the registry says: %.200s)", text);
        for (char *p = words; *p; p++)
                if (iscntrl((unsigned char)*p))
                        *p = '?';
        return words;
}

static struct error *error_of_curl(const char *host, const struct exchange *x) {
        const char *detail = x->error[0] ? x->error : curl_easy_strerror(x->result);
        enum error_reason unavailable = ERROR_UNAVAILABLE;
        long os_errno = 0;

        curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &os_errno);
        switch (x->result) {
        case CURLE_COULDNT_RESOLVE_HOST:
                return error_new(unavailable, "registry %s: no such host name, or no name server answers", host);
        case CURLE_COULDNT_RESOLVE_PROXY:
                return error_new(unavailable, "registry %s: the proxy's name cannot be resolved: %s", host, detail);
        case CURLE_COULDNT_CONNECT:
                if (os_errno == ECONNREFUSED)
                        return error_new(unavailable, "registry %s: connection refused; is it running?", host);
                return error_new(unavailable, "registry %s: %s", host, os_errno ? strerror((int)os_errno) : detail);
        case CURLE_OPERATION_TIMEDOUT:
                return error_new(ERROR_TIMEOUT, "registry %s does not answer: %s", host, detail);
        case CURLE_SSL_CONNECT_ERROR:
                return error_new(unavailable, "registry %s: TLS failed: %s (a registry without TLS needs --insecure)",
                                 host, detail);
        case CURLE_PEER_FAILED_VERIFICATION:
                return error_new(unavailable, "registry %s: its certificate is not trusted: %s (--ca-file, --insecure)",
                                 host, detail);
        case CURLE_WRITE_ERROR:
                if (x->response.too_large)
                        return error_new(ERROR_BAD_REQUEST, "registry %s: an answer larger than %zu bytes", host,
                                         x->response.body_max);
                break;
        default:
                break;
        }
        return error_new(unavailable, "registry %s: %s", host, detail);
}

static struct error *error_of_status(const struct registry *registry, const char *host, const struct response *r,
                                     const char *what) {
        _cleanup_free_ char *words = registry_words(r);
        const char *retry = r->retry_after && strspn(r->retry_after, "0123456789") == strlen(r->retry_after)
                                    ? r->retry_after
                                    : NULL;

        switch (r->status) {
        case 401:
        case 403:
                return error_new(ERROR_FORBIDDEN, "%s does not exist in registry %s, or needs %s%s", what, host,
                                 registry->endpoints[registry->current].n_credentials ? "other credentials"
                                                                                      : "credentials",
                                 words);
        case 404:
                return error_new(ERROR_NOT_FOUND, "%s not found in registry %s: check name and tag%s", what, host,
                                 words);
        case 429:
                return error_new(ERROR_UNAVAILABLE,
                                 "registry %s limits how often images are pulled (429): %s%s%s, or give credentials%s",
                                 host, retry ? "try again in " : "try again later", retry ? retry : "",
                                 retry ? " s" : "", words);
        }
        return error_new(r->status >= 500 ? ERROR_UNAVAILABLE : ERROR_BAD_REQUEST,
                         "registry %s: HTTP status %ld for %s%s", host, r->status, what, words);
}

static bool status_is_passing(long status) {
        return status == 429 || status == 408 || status >= 500;
}

/* Milliseconds until the next try: what the registry asked for, or growing pauses with a random part. */
static int retry_delay_ms(int failures, const struct response *r) {
        uint64_t seconds;
        int delay = RETRY_FIRST_MS;

        if (r && r->retry_after && str_to_u64(r->retry_after, &seconds) && seconds <= RETRY_AFTER_MOST_S)
                return (int)seconds * 1000;
        for (int i = 1; i < failures && delay < RETRY_MOST_MS; i++)
                delay *= 2;
        return MIN(delay, RETRY_MOST_MS) + (int)(clock_monotonic_ns() / 1000 % 200);
}

static int retries_of(const struct registry *registry) {
        int retries = registry->options->retries;
        return retries < 0 ? 0 : retries ? retries : 5;
}

/* --- authorization ---------------------------------------------------------------------------------------------- */

/* Value of a parameter of a challenge: Bearer realm="…",service="…",scope="…". */
static char *challenge_value(const char *challenge, const char *name) {
        const char *p = challenge + strcspn(challenge, " ");

        while (*p) {
                while (*p == ' ' || *p == ',')
                        p++;
                size_t n = strcspn(p, "=, ");
                bool found = n == strlen(name) && !strncasecmp(p, name, n);
                p += n;
                if (*p != '=')
                        continue;
                p++;
                struct strbuf value = STRBUF_INIT;
                if (*p == '"') {
                        for (p++; *p && *p != '"'; p++) {
                                if (*p == '\\' && p[1])
                                        p++;
                                strbuf_addc(&value, *p);
                        }
                        if (*p)
                                p++;
                } else {
                        n = strcspn(p, ", ");
                        strbuf_add(&value, p, n);
                        p += n;
                }
                if (found)
                        return strbuf_take(&value);
                strbuf_release(&value);
        }
        return NULL;
}

static char *basic_header(const struct credential *credential) {
        _cleanup_free_ char *pair = xasprintf("%s:%s", credential->user, credential->password);
        _cleanup_free_ char *encoded = base64_encode(pair, strlen(pair));

        return xasprintf("Authorization: Basic %s", encoded);
}

static struct error *perform(struct registry *registry, struct exchange *x) {
        struct error *err = NULL;

        curl_multi_add_handle(registry->multi, x->easy);
        while (!err && !x->finished)
                err = pump(registry, NULL, 0, 1000);
        return err;
}

static bool header_value_is_clean(const char *value) {
        for (const char *p = value; *p; p++)
                if (iscntrl((unsigned char)*p))
                        return false;
        return true;
}

/* Asks the realm for a token. */
static struct error *fetch_token(struct registry *registry, struct endpoint *e, const struct credential *credential,
                                 const char *challenge, char **ret) {
        _cleanup_free_ char *realm = challenge_value(challenge, "realm"),
                            *service = challenge_value(challenge, "service");
        _cleanup_free_ char *scope = challenge_value(challenge, "scope"), *url = NULL, *post = NULL, *basic = NULL;
        _cleanup_free_ char *default_scope = xasprintf("repository:%s:pull", e->where->path);
        struct exchange x = { .response.body_max = TOKEN_BODY_MAX };
        struct error *err;

        if (str_empty(realm) || (!str_starts_with(realm, "https://") && !str_starts_with(realm, "http://")))
                return error_new(ERROR_UNAVAILABLE, "registry %s: it names no place to get a token", e->where->host);
        const char *host = strstr(realm, "://") + 3;
        if (credential && str_starts_with(realm, "http://") && !e->where->http_too && !domain_is_loopback(host))
                return error_new(ERROR_FORBIDDEN,
                                 "registry %s wants the credentials sent unencrypted to %.200s: refused",
                                 e->where->host, realm);

        CURL *escaper = curl_easy_init();
        char *service_escaped = curl_easy_escape(escaper, service ? service : "", 0);
        char *scope_escaped = curl_easy_escape(escaper, scope ? scope : default_scope, 0);
        if (credential && credential->identity_token) {
                char *token = curl_easy_escape(escaper, credential->identity_token, 0);
                post = xasprintf("grant_type=refresh_token&client_id=husk&service=%s&scope=%s&refresh_token=%s",
                                 service_escaped, scope_escaped, token);
                curl_free(token);
                url = xstrdup(realm);
        } else {
                url = xasprintf("%s%cservice=%s&scope=%s", realm, strchr(realm, '?') ? '&' : '?', service_escaped,
                                scope_escaped);
        }
        curl_free(service_escaped);
        curl_free(scope_escaped);
        curl_easy_cleanup(escaper);

        easy_new(registry, &x, url, e->where, domain_is_loopback(host));
        if (post) {
                curl_easy_setopt(x.easy, CURLOPT_COPYPOSTFIELDS, post);
        } else if (credential && credential->user && credential->password) {
                basic = basic_header(credential);
                add_header(&x, basic);
        }
        err = perform(registry, &x);
        if (!err && x.result)
                err = error_of_curl(host, &x);
        if (!err && (x.response.status == 401 || x.response.status == 403))
                err = error_new(ERROR_FORBIDDEN, "registry %s: wrong user name or password", e->where->host);
        if (!err && x.response.status != 200)
                err = error_of_status(registry, e->where->host, &x.response, "a token");
        if (!err) {
                json_auto_t *json = json_loadb(strbuf_str(&x.response.body), x.response.body.len, 0, NULL);
                const char *token = json_string_value(json_object_get(json, "token"));
                if (str_empty(token))
                        token = json_string_value(json_object_get(json, "access_token"));
                if (str_empty(token) || !header_value_is_clean(token))
                        err = error_new(ERROR_UNAVAILABLE, "registry %s: its token server sent no token",
                                        e->where->host);
                else
                        *ret = xasprintf("Authorization: Bearer %s", token);
        }
        exchange_release(registry, &x);
        return err;
}

/* Answers a challenge: makes endpoint->authorization with the credential in use. *ret_tried: there was something to
 * try. */
static struct error *authorize_once(struct registry *registry, struct endpoint *e, const char *challenge,
                                    bool *ret_tried) {
        const struct credential *credential = e->credential < e->n_credentials ? e->credentials[e->credential] : NULL;

        free(TAKE_PTR(e->authorization));
        *ret_tried = true;
        if (credential && credential->registry_token && header_value_is_clean(credential->registry_token)) {
                e->authorization = xasprintf("Authorization: Bearer %s", credential->registry_token);
                return NULL;
        }
        if (!strncasecmp(challenge, "bearer", 6))
                return fetch_token(registry, e, credential, challenge, &e->authorization);
        if (!strncasecmp(challenge, "basic", 5) && credential && credential->user && credential->password) {
                e->authorization = basic_header(credential);
                return NULL;
        }
        *ret_tried = false;
        return NULL;
}

/* After a 401 or 403: first the credential in use (the token may be old), and if that was just tried, the next. */
static struct error *authorize(struct registry *registry, struct endpoint *e, const struct response *r, bool just_tried,
                               bool *ret_try_again) {
        struct error *err = NULL;

        *ret_try_again = false;
        if (!r->challenge)
                return NULL;
        _cleanup_free_ char *challenge = xstrdup(r->challenge);
        if (just_tried) {
                if (e->credential + 1 >= e->n_credentials)
                        return NULL;
                e->credential++;
        }
        for (;;) {
                error_free(err);
                err = authorize_once(registry, e, challenge, ret_try_again);
                if (!error_is(err, ERROR_FORBIDDEN) || e->credential + 1 >= e->n_credentials)
                        return err;
                e->credential++;
        }
}

/* --- requests into memory --------------------------------------------------------------------------------------- */

/* A loopback registry, or one called insecure, may speak HTTP only. */
static bool fall_back_to_http(struct endpoint *e, CURLcode result) {
        if (e->speaks_http || !e->where->http_too)
                return false;
        if (result != CURLE_SSL_CONNECT_ERROR && result != CURLE_COULDNT_CONNECT && result != CURLE_RECV_ERROR &&
            result != CURLE_GOT_NOTHING)
                return false;
        e->speaks_http = true;
        return true;
}

static struct error *request_once(struct registry *registry, struct endpoint *e, const char *kind, const char *what,
                                  size_t max, struct exchange *x) {
        _cleanup_free_ char *url = endpoint_url(e, kind, what);

        exchange_release(registry, x);
        x->response.body_max = max;
        easy_new(registry, x, url, e->where, domain_is_loopback(e->where->host));
        add_headers(x, e->where->headers);
        if (e->authorization)
                add_header(x, e->authorization);
        for (size_t i = 0; streq(kind, "manifests") && manifest_media_types[i]; i++) {
                _cleanup_free_ char *accept = xasprintf("Accept: %s", manifest_media_types[i]);
                add_header(x, accept);
        }
        return perform(registry, x);
}

static struct error *wait_ms(struct registry *registry, int ms) {
        int64_t until = clock_monotonic_ns() + ms * NSEC_PER_MSEC;
        struct error *err = NULL;

        for (int64_t left; !err && (left = until - clock_monotonic_ns()) > 0;)
                err = pump(registry, NULL, 0, (int)(left / NSEC_PER_MSEC) + 1);
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
                if (!x->result && status == 200)
                        return NULL;
                if (x->result && fall_back_to_http(e, x->result))
                        continue;
                if (!x->result && (status == 401 || status == 403)) {
                        bool again = false;
                        err = authorize(registry, e, &x->response, just_tried, &again);
                        if (err)
                                return err;
                        just_tried = true;
                        if (again)
                                continue;
                }
                _cleanup_free_ char *repository = reference_format(registry->reference);
                _cleanup_free_ char *noun = xasprintf("image \"%s\"", repository);
                if (x->result)
                        err = error_of_curl(host, x);
                else
                        err = error_of_status(registry, host, &x->response,
                                              streq(kind, "manifests") ? noun : "a part of the image");
                /* Nobody there is told at once; what broke on the way, or a busy server, is tried again. */
                bool passing =
                        x->result ? x->result != CURLE_COULDNT_CONNECT && x->result != CURLE_COULDNT_RESOLVE_HOST &&
                                            x->result != CURLE_SSL_CONNECT_ERROR &&
                                            x->result != CURLE_PEER_FAILED_VERIFICATION &&
                                            x->result != CURLE_WRITE_ERROR && x->result != CURLE_OPERATION_TIMEDOUT
                                  : status_is_passing(status);
                if (!passing || ++failures > retries_of(registry))
                        return err;
                error_free(err);
                err = wait_ms(registry, retry_delay_ms(failures, &x->response));
                if (err)
                        return err;
        }
}

/* Asks one place after the other. *ret_place is the one that answered; digests, which come next, are asked for from the
 * first on that knows digests only, if it was passed over for a tag. */
static struct error *manifest_request(struct registry *registry, const char *tag_or_digest, struct exchange *x,
                                      size_t *ret_place) {
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
                if (err && before)
                        err = error_context(err, "%s; then", error_message(before));
                error_free(before);
                if (!err) {
                        *ret_place = i;
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
        size_t place = 0;
        struct error *err = manifest_request(registry, tag_or_digest, &x, &place);

        if (!err) {
                char *semicolon = x.response.content_type ? strchr(x.response.content_type, ';') : NULL;
                if (semicolon)
                        *semicolon = '\0';
                hash_of(strbuf_str(&x.response.body), x.response.body.len, ret_digest);
                const char *wanted = digest_is_valid(tag_or_digest) ? tag_or_digest : x.response.digest;
                if (digest_is_valid(wanted) && !streq(wanted, ret_digest))
                        err = error_new(ERROR_BAD_REQUEST, "registry %s: wrong digest: the manifest has %s, not %s",
                                        registry->endpoints[place].where->host, ret_digest, wanted);
        }
        if (!err) {
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

/* --- downloads -------------------------------------------------------------------------------------------------- */

static const char *transfer_host(const struct transfer *t) {
        const struct registry *r = t->registry;

        return t->endpoint < r->n_endpoints ? r->endpoints[t->endpoint].where->host : t->download->blob->urls[t->url];
}

/* The first bytes of an answer: does it begin where we want it? */
static bool check_start(struct transfer *t) {
        struct exchange *x = &t->exchange;
        struct download *d = t->download;
        unsigned long long from;

        curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->response.status);
        t->started = true;
        t->skip = 0;
        if (x->response.status == 200) {
                t->skip = d->have; /* ranges are not understood: what we have goes by */
                return true;
        }
        if (x->response.status != 206)
                return false;
        if (x->response.content_range && sscanf(x->response.content_range, "bytes %llu-", &from) == 1 &&
            from == d->have)
                return true;
        t->no_range = true; /* an answer to something else: ask for all of it next time */
        return false;
}

static size_t on_blob(char *data, size_t size, size_t n, void *context) {
        struct transfer *t = context;
        struct download *d = t->download;
        size_t len = size * n, taken = len;

        if (!t->started && !check_start(t) && t->no_range)
                return 0;
        if (t->exchange.response.status != 200 && t->exchange.response.status != 206)
                return on_body(data, size, n, &t->exchange.response);
        d->fetched += len;
        size_t passed = MIN((uint64_t)len, t->skip);
        t->skip -= passed;
        data += passed;
        len -= passed;
        if (len > d->blob->size - d->have) {
                t->oversized = true;
                return 0;
        }
        while (len) {
                ssize_t written = pwrite(d->fd, data, len, d->have);
                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0) {
                        t->write_failed = true;
                        d->error = error_errno(errno, "write a layer");
                        return 0;
                }
                data += written;
                len -= written;
                d->have += written;
        }
        return taken;
}

static void transfer_begin(struct transfer *t) {
        struct registry *registry = t->registry;
        struct download *d = t->download;
        struct exchange *x = &t->exchange;
        struct endpoint *e = t->endpoint < registry->n_endpoints ? &registry->endpoints[t->endpoint] : NULL;
        _cleanup_free_ char *url = e ? endpoint_url(e, "blobs", d->blob->digest) : xstrdup(d->blob->urls[t->url]);

        exchange_release(registry, x);
        x->response.body_max = ERROR_BODY_MAX;
        t->started = t->oversized = false;
        t->have_at_start = d->have;
        d->retry_at = 0;
        easy_new(registry, x, url, e ? e->where : NULL, e && domain_is_loopback(e->where->host));
        if (e)
                add_headers(x, e->where->headers);
        curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_blob);
        curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, t);
        if (e && e->authorization)
                add_header(x, e->authorization);
        if (d->have && !t->no_range) {
                _cleanup_free_ char *range = xasprintf("%llu-", (unsigned long long)d->have);
                curl_easy_setopt(x->easy, CURLOPT_RANGE, range);
        }
        curl_multi_add_handle(registry->multi, x->easy);
        t->running = true;
}

struct download *download_start(struct registry *registry, const struct descriptor *blob, int fd, uint64_t have) {
        struct download *d = new0(struct download);
        struct transfer *t = new0(struct transfer);

        *d = (struct download){ .blob = blob, .fd = fd, .have = have, .transfer = t };
        *t = (struct transfer){ .registry = registry, .download = d, .endpoint = registry->current };
        registry->downloads =
                xreallocarray(registry->downloads, registry->n_downloads + 1, sizeof(*registry->downloads));
        registry->downloads[registry->n_downloads++] = d;
        if (have >= blob->size)
                d->done = true;
        else
                transfer_begin(t);
        return d;
}

struct download *download_free(struct registry *registry, struct download *d) {
        if (!d)
                return NULL;
        for (size_t i = 0; i < registry->n_downloads; i++)
                if (registry->downloads[i] == d)
                        registry->downloads[i--] = registry->downloads[--registry->n_downloads];
        exchange_release(registry, &d->transfer->exchange);
        error_free(d->error);
        free(d->transfer);
        free(d);
        return NULL;
}

/* Another place to get the blob from: the next endpoint, then the addresses the manifest gives (foreign layers). */
static bool next_place(struct transfer *t) {
        const struct descriptor *blob = t->download->blob;

        if (t->endpoint < t->registry->n_endpoints) {
                t->endpoint++;
                t->url = 0;
        } else {
                t->url++;
        }
        t->challenges = t->failures_in_row = 0;
        if (t->endpoint < t->registry->n_endpoints)
                return true;
        while (t->url < strv_len(blob->urls) && !str_starts_with(blob->urls[t->url], "https://"))
                t->url++;
        return t->url < strv_len(blob->urls);
}

/* Gives this place up: the next one, or the end. Takes err. */
static void give_place_up(struct transfer *t, struct error *err) {
        struct download *d = t->download;

        if (next_place(t)) {
                error_free(err);
                d->retry_at = clock_monotonic_ns();
                d->trouble = "asking the next place";
                return;
        }
        d->error = err;
        d->done = true;
}

static void retry_later(struct transfer *t, const char *trouble, const struct response *r, struct error *err) {
        struct download *d = t->download;

        /* A connection that brought something was worth it; only tries that bring nothing count. */
        t->failures_in_row = d->have > t->have_at_start ? 1 : t->failures_in_row + 1;
        if (++t->failures > FAILURES_MOST || t->failures_in_row > retries_of(t->registry)) {
                give_place_up(t, err);
                return;
        }
        error_free(err);
        d->trouble = trouble;
        d->retry_at = clock_monotonic_ns() + retry_delay_ms(t->failures_in_row, r) * NSEC_PER_MSEC;
}

static void download_finished(struct download *d) {
        struct transfer *t = d->transfer;
        struct exchange *x = &t->exchange;
        struct registry *registry = t->registry;
        struct endpoint *e = t->endpoint < registry->n_endpoints ? &registry->endpoints[t->endpoint] : NULL;
        const char *host = transfer_host(t);

        t->running = false;
        if (t->write_failed) {
                d->done = true;
                return;
        }
        if (t->oversized) {
                give_place_up(t, error_new(ERROR_BAD_REQUEST,
                                           "registry %s: a layer is larger than its size in the manifest", host));
                return;
        }
        if (d->have == d->blob->size) {
                d->done = true;
                return;
        }
        if (x->result) {
                if (e && fall_back_to_http(e, x->result)) {
                        d->retry_at = clock_monotonic_ns();
                        return;
                }
                retry_later(t, "the connection broke", NULL, error_of_curl(host, x));
                return;
        }
        if (x->response.status == 200 || x->response.status == 206) {
                retry_later(t, "the connection broke", NULL,
                            error_new(ERROR_UNAVAILABLE, "registry %s: a layer ends after %llu of %llu bytes", host,
                                      (unsigned long long)d->have, (unsigned long long)d->blob->size));
                return;
        }
        if (x->response.status == 416 && !t->no_range) {
                t->no_range = true;
                d->retry_at = clock_monotonic_ns();
                return;
        }
        if (e && (x->response.status == 401 || x->response.status == 403) && t->challenges < 4) {
                /* Tokens live for minutes, downloads may take longer: the first challenge is answered anew. */
                bool again = false;
                bool just_tried = t->challenges++ > 0 && d->have == t->have_at_start;
                struct error *err = authorize(registry, e, &x->response, just_tried, &again);
                if (err) {
                        give_place_up(t, err);
                        return;
                }
                if (again) {
                        d->retry_at = clock_monotonic_ns();
                        return;
                }
        }
        struct error *err = error_of_status(registry, host, &x->response, "a layer of the image");
        if (status_is_passing(x->response.status))
                retry_later(t,
                            x->response.status == 429 ? "the registry asks for patience" : "the registry has trouble",
                            &x->response, err);
        else
                give_place_up(t, err);
}

struct error *registry_step(struct registry *registry, const int *fds, size_t n_fds, int timeout_ms) {
        int64_t now = clock_monotonic_ns();

        for (size_t i = 0; i < registry->n_downloads; i++) {
                struct download *d = registry->downloads[i];
                if (d->done || d->transfer->running)
                        continue;
                if (d->retry_at <= now) {
                        d->trouble = NULL;
                        transfer_begin(d->transfer);
                } else {
                        timeout_ms = MIN(timeout_ms, (int)((d->retry_at - now) / NSEC_PER_MSEC) + 1);
                }
        }
        struct error *err = pump(registry, fds, n_fds, timeout_ms);
        if (err)
                return err;
        for (size_t i = 0; i < registry->n_downloads; i++) {
                struct download *d = registry->downloads[i];
                if (!d->done && d->transfer->running && d->transfer->exchange.finished)
                        download_finished(d);
        }
        return NULL;
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
