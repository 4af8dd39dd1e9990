/* registry-http.c - one exchange with a server by way of libcurl, and what it means when it fails. */
#include "husk-image/proxy.h"
#include "husk-image/registry-private.h"

#include <ctype.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"

#define RETRY_FIRST_MS 300
#define RETRY_MOST_MS 10000
#define RETRY_AFTER_MOST_S 60 /* a registry that wants us to wait longer is told to the user instead */
#define CHALLENGE_MAX 4096

static void response_release(struct response *r) {
        free(r->content_type);
        free(r->digest);
        free(r->challenge);
        free(r->retry_after);
        free(r->content_range);
        strbuf_release(&r->body);
        *r = (struct response){ .body_max = r->body_max };
}

void exchange_release(struct registry *registry, struct exchange *x) {
        if (x->easy) {
                curl_multi_remove_handle(registry->multi, x->easy);
                curl_easy_cleanup(x->easy);
        }
        curl_slist_free_all(x->headers);
        response_release(&x->response);
        *x = (struct exchange){ 0 };
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

size_t exchange_on_body(char *data, size_t size, size_t n, void *context) {
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

/* Is the host of `url`, with its port, among those that are asked without a proxy? */
static bool is_passed_by(const char *url) {
        char *host = NULL, *port = NULL;
        CURLU *parts = curl_url();
        bool passed = !curl_url_set(parts, CURLUPART_URL, url, 0) && !curl_url_get(parts, CURLUPART_HOST, &host, 0) &&
                      !curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) && proxy_is_passed_by(host, port);

        curl_free(host);
        curl_free(port);
        curl_url_cleanup(parts);
        return passed;
}

/* `where`: the endpoint on whose behalf `url` is asked; NULL: nobody's. */
CURL *exchange_open(struct registry *registry, struct exchange *x, const char *url,
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
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, exchange_on_body);
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
        if (loopback || is_passed_by(url))
                curl_easy_setopt(easy, CURLOPT_PROXY, "");
        return easy;
}

void exchange_add_header(struct exchange *x, const char *line) {
        x->headers = curl_slist_append(x->headers, line);
        curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
}

void exchange_add_headers(struct exchange *x, char *const *lines) {
        for (size_t i = 0; lines && lines[i]; i++)
                exchange_add_header(x, lines[i]);
}

char *endpoint_url(const struct endpoint *e, const char *kind, const char *what) {
        const struct registry_endpoint *where = e->where;

        return xasprintf("%s://%s%s/%s/%s/%s%s%s", e->speaks_http ? "http" : "https", where->host,
                         where->api ? where->api : "/v2", where->path, kind, what, where->namespace_ ? "?ns=" : "",
                         where->namespace_ ? where->namespace_ : "");
}

/* Lets curl work, then waits for more, and takes note of what ended. */
struct error *registry_pump(struct registry *registry, const int *fds, size_t n_fds, int timeout_ms) {
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

struct error *exchange_perform(struct registry *registry, struct exchange *x) {
        struct error *err = NULL;

        curl_multi_add_handle(registry->multi, x->easy);
        while (!err && !x->finished)
                err = registry_pump(registry, NULL, 0, 1000);
        return err;
}

/* A loopback registry, or one called insecure, may speak HTTP only. */
bool endpoint_fall_back_to_http(struct endpoint *e, CURLcode result) {
        if (e->speaks_http || !e->where->http_too)
                return false;
        /* A name that only a proxy for HTTP can resolve is one of these failures, too. */
        if (result != CURLE_SSL_CONNECT_ERROR && result != CURLE_COULDNT_CONNECT && result != CURLE_RECV_ERROR &&
            result != CURLE_GOT_NOTHING && result != CURLE_COULDNT_RESOLVE_HOST)
                return false;
        e->speaks_http = true;
        return true;
}

/* --- what went wrong, in words --------------------------------------------------------------------------------- */

/* The first message of {"errors": [{"code", "message"}]}, made harmless; "" if there is none. */
static char *registry_words(const struct response *r) {
        json_auto_t *json = r->body.len ? json_loadb(r->body.data, r->body.len, 0, NULL) : NULL;
        json_t *first = json_array_get(json_object_get(json, "errors"), 0);
        const char *text = json_string_value(json_object_get(first, "message"));
        int len = 200;

        if (!text)
                text = json_string_value(json_object_get(json, "details")); /* token servers */
        if (!text && !json && r->body.len && r->body.data[0] != '<') {      /* no page, but a plain sentence */
                text = strbuf_str(&r->body);
                len = MIN(len, (int)strcspn(text, "\r\n"));
        }
        if (str_empty(text) || !len)
                return xstrdup("");
        char *words = xasprintf(" (the registry says: %.*s)", len, text);
        str_make_printable(words);
        return words;
}

struct error *exchange_error(const char *host, const struct exchange *x) {
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

struct error *registry_error_of_status(const struct registry *registry, const char *host, const struct response *r,
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

bool status_is_passing(long status) {
        return status == 429 || status == 408 || status >= 500;
}

/* Seconds that the registry asks us to wait (the form with a date is not taken); 0: it does not say. */
static uint64_t seconds_asked_for(const struct response *r) {
        uint64_t seconds;

        return r && r->retry_after && str_to_u64(r->retry_after, &seconds) ? seconds : 0;
}

/* Milliseconds until the next try: what the registry asked for, or growing pauses with a random part. */
int registry_retry_delay_ms(int failures, const struct response *r) {
        uint64_t seconds = seconds_asked_for(r);
        int delay = RETRY_FIRST_MS;

        if (seconds && seconds <= RETRY_AFTER_MOST_S)
                return (int)seconds * 1000;
        for (int i = 1; i < failures && delay < RETRY_MOST_MS; i++)
                delay *= 2;
        return MIN(delay, RETRY_MOST_MS) + (int)(clock_monotonic_ns() / 1000 % 200);
}

int registry_retries(const struct registry *registry, size_t endpoint, const struct response *r) {
        int retries = registry->options->retries;

        retries = retries < 0 ? 0 : retries ? retries : 5;
        if (seconds_asked_for(r) > RETRY_AFTER_MOST_S)
                return 0;
        if (endpoint + 1 >= registry->n_endpoints)
                return retries;
        return r && r->status == 429 ? 0 : MIN(retries, 1); /* it asks for patience: the next place need not */
}
