/* registry-download.c - layers: written to files as they arrive, resumed, retried, asked for elsewhere. */
#include "husk-image/registry-private.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"

#define ERROR_BODY_MAX (64 << 10)
#define FAILURES_MOST 100 /* of one download, even if each brought a few bytes */

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
                return exchange_on_body(data, size, n, &t->exchange.response);
        d->fetched += len;
        d->place = t->endpoint;
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
        exchange_open(registry, x, url, e ? e->where : NULL, e && domain_is_loopback(e->where->host));
        if (e)
                exchange_add_headers(x, e->where->headers);
        curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_blob);
        curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, t);
        if (e && e->authorization)
                exchange_add_header(x, e->authorization);
        if (d->have && !t->no_range) {
                _cleanup_free_ char *range = xasprintf("%llu-", (unsigned long long)d->have);
                curl_easy_setopt(x->easy, CURLOPT_RANGE, range);
        }
        curl_multi_add_handle(registry->multi, x->easy);
        t->running = true;
}

size_t registry_places(const struct registry *registry) {
        return registry->n_endpoints;
}

struct download *download_start(struct registry *registry, const struct descriptor *blob, int fd, uint64_t have,
                                size_t place) {
        struct download *d = new0(struct download);
        struct transfer *t = new0(struct transfer);

        *d = (struct download){ .blob = blob, .fd = fd, .have = have, .transfer = t };
        *t = (struct transfer){ .registry = registry, .download = d, .endpoint = MAX(registry->current, place) };
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
        if (++t->failures > FAILURES_MOST || t->failures_in_row > registry_retries(t->registry, t->endpoint, r)) {
                give_place_up(t, err);
                return;
        }
        error_free(err);
        d->trouble = trouble;
        d->retry_at = clock_monotonic_ns() + registry_retry_delay_ms(t->failures_in_row, r) * NSEC_PER_MSEC;
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
                if (e)
                        endpoint_has_answered(e);
                d->done = true;
                return;
        }
        if (x->result) {
                if (e && endpoint_fall_back_to_http(e, x->result)) {
                        d->retry_at = clock_monotonic_ns();
                        return;
                }
                retry_later(t, "the connection broke", NULL, exchange_error(host, x));
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
                struct error *err = endpoint_authorize(registry, e, &x->response, just_tried, &again);
                if (err) {
                        give_place_up(t, err);
                        return;
                }
                if (again) {
                        d->retry_at = clock_monotonic_ns();
                        return;
                }
        }
        struct error *err = registry_error_of_status(registry, host, &x->response, "a layer of the image");
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
        struct error *err = registry_pump(registry, fds, n_fds, timeout_ms);
        if (err)
                return err;
        for (size_t i = 0; i < registry->n_downloads; i++) {
                struct download *d = registry->downloads[i];
                if (!d->done && d->transfer->running && d->transfer->exchange.finished)
                        download_finished(d);
        }
        return NULL;
}
