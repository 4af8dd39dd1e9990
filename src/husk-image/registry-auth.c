/* registry-auth.c - the answer to a challenge: Basic, or a token from where the registry says. */
#include "husk-image/registry-private.h"

#include <ctype.h>

#include "base/base64.h"
#include "base/str.h"

#define TOKEN_BODY_MAX (1 << 20)

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

static bool header_value_is_clean(const char *value) {
        for (const char *p = value; *p; p++)
                if (iscntrl((unsigned char)*p))
                        return false;
        return true;
}

/* Taken apart by curl itself, so that nothing is believed of an address that curl would read otherwise. */
struct error *realm_host(const char *realm, bool *ret_encrypted, char **ret_host) {
        char *scheme = NULL, *host = NULL, *user = NULL;
        CURLU *url = curl_url();

        bool fine = realm && !curl_url_set(url, CURLUPART_URL, realm, 0) &&
                    !curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) && !curl_url_get(url, CURLUPART_HOST, &host, 0) &&
                    curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
                    (streq(scheme, "https") || streq(scheme, "http"));
        if (fine) {
                *ret_encrypted = streq(scheme, "https");
                *ret_host = xstrdup(host);
        }
        curl_free(scheme);
        curl_free(host);
        curl_free(user);
        curl_url_cleanup(url);
        return fine ? NULL : error_new(ERROR_UNAVAILABLE, "it names no place to get a token");
}

/* What to ask the realm: *ret_post is NULL if the question is all in the address. */
static void token_question(const struct endpoint *e, const struct credential *credential, const char *challenge,
                           const char *realm, char **ret_url, char **ret_post) {
        _cleanup_free_ char *service = challenge_value(challenge, "service"),
                            *scope = challenge_value(challenge, "scope");
        _cleanup_free_ char *default_scope = xasprintf("repository:%s:pull", e->where->path);
        CURL *escaper = curl_easy_init();
        char *service_escaped = curl_easy_escape(escaper, service ? service : "", 0);
        char *scope_escaped = curl_easy_escape(escaper, scope ? scope : default_scope, 0);

        if (credential && credential->identity_token) {
                char *token = curl_easy_escape(escaper, credential->identity_token, 0);
                *ret_post = xasprintf("grant_type=refresh_token&client_id=husk&service=%s&scope=%s&refresh_token=%s",
                                      service_escaped, scope_escaped, token);
                curl_free(token);
                *ret_url = xstrdup(realm);
        } else {
                *ret_post = NULL;
                *ret_url = xasprintf("%s%cservice=%s&scope=%s", realm, strchr(realm, '?') ? '&' : '?', service_escaped,
                                     scope_escaped);
        }
        curl_free(service_escaped);
        curl_free(scope_escaped);
        curl_easy_cleanup(escaper);
}

/* The header line that the realm's answer leads to. */
static struct error *token_take(const struct endpoint *e, const struct response *r, char **ret) {
        json_auto_t *json = json_loadb(strbuf_str(&r->body), r->body.len, 0, NULL);
        const char *token = json_string_value(json_object_get(json, "token"));

        if (str_empty(token))
                token = json_string_value(json_object_get(json, "access_token"));
        if (str_empty(token) || !header_value_is_clean(token))
                return error_new(ERROR_UNAVAILABLE, "registry %s: its token server sent no token", e->where->host);
        *ret = xasprintf("Authorization: Bearer %s", token);
        return NULL;
}

/* Asks the realm for a token. */
static struct error *fetch_token(struct registry *registry, struct endpoint *e, const struct credential *credential,
                                 const char *challenge, char **ret) {
        _cleanup_free_ char *realm = challenge_value(challenge, "realm"), *host = NULL, *url = NULL, *post = NULL,
                            *basic = NULL;
        struct exchange x = { .response.body_max = TOKEN_BODY_MAX };
        bool encrypted;
        struct error *err = realm_host(realm, &encrypted, &host);

        if (err)
                return error_context(err, "registry %s", e->where->host);
        if (credential && !encrypted && !e->where->http_too && !domain_is_loopback(host))
                return error_new(ERROR_FORBIDDEN,
                                 "registry %s wants the credentials sent unencrypted to %.200s: refused",
                                 e->where->host, realm);

        token_question(e, credential, challenge, realm, &url, &post);
        exchange_open(registry, &x, url, e->where, domain_is_loopback(host));
        if (post) {
                curl_easy_setopt(x.easy, CURLOPT_COPYPOSTFIELDS, post);
        } else if (credential && credential->user && credential->password) {
                basic = basic_header(credential);
                exchange_add_header(&x, basic);
        }
        err = exchange_perform(registry, &x);
        if (!err && x.result)
                err = exchange_error(host, &x);
        if (!err && (x.response.status == 401 || x.response.status == 403))
                err = error_new(ERROR_FORBIDDEN, "registry %s: wrong user name or password", e->where->host);
        if (!err && x.response.status != 200)
                err = registry_error_of_status(registry, e->where->host, &x.response, "a token");
        if (!err)
                err = token_take(e, &x.response, ret);
        exchange_release(registry, &x);
        return err;
}

void endpoint_has_answered(struct endpoint *e) {
        if (e->authorization && e->credential < e->n_credentials && e->credentials[e->credential]->secret)
                e->used = e->credentials[e->credential]->secret;
}

const struct image_secret *registry_secret_used(const struct registry *registry) {
        for (size_t i = 0; i < registry->n_endpoints; i++)
                if (registry->endpoints[i].used)
                        return registry->endpoints[i].used;
        return NULL;
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
struct error *endpoint_authorize(struct registry *registry, struct endpoint *e, const struct response *r,
                                 bool just_tried, bool *ret_try_again) {
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
