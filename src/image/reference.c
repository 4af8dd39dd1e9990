#include "image/reference.h"

#include <ctype.h>

#include "base/str.h"

#define NAME_MAX_LENGTH 255 /* domain and path together */
#define TAG_MAX_LENGTH 128
#define REFERENCE_MAX_LENGTH (NAME_MAX_LENGTH + TAG_MAX_LENGTH + 256)

static bool is_lower_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c) {
        return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

bool digest_is_valid(const char *digest) {
        if (!digest || !str_starts_with(digest, "sha256:") || strlen(digest) != 7 + 64)
                return false;
        for (const char *p = digest + 7; *p; p++)
                if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f')))
                        return false;
        return true;
}

const char *digest_hex(const char *digest) {
        return digest + 7;
}

/* A number of separators between alphanumerics, as the grammar allows: one of "._", two "_", or any number of "-".
 * Returns 0 if there is none. */
static size_t separator_length(const char *p) {
        size_t n = 0;

        if (*p == '.')
                return 1;
        if (*p == '_')
                return p[1] == '_' ? 2 : 1;
        while (p[n] == '-')
                n++;
        return n;
}

/* path-component: lower-case alphanumerics, with single separators inside. */
static bool component_is_valid(const char *p, size_t len) {
        const char *end = p + len;

        if (!len)
                return false;
        while (p < end) {
                if (!is_lower_alnum(*p))
                        return false;
                while (p < end && is_lower_alnum(*p))
                        p++;
                if (p == end)
                        return true;
                size_t n = separator_length(p);
                if (!n || p + n >= end)
                        return false;
                p += n;
        }
        return true;
}

static bool path_is_valid(const char *path) {
        for (const char *p = path;; p++) {
                size_t len = strcspn(p, "/");
                if (!component_is_valid(p, len))
                        return false;
                p += len;
                if (!*p)
                        return true;
        }
}

static bool port_is_valid(const char *p) {
        if (!*p || strlen(p) > 5)
                return false;
        for (; *p; p++)
                if (*p < '0' || *p > '9')
                        return false;
        return true;
}

/* domain: labels of letters, digits and inner hyphens, joined by dots, or an IPv6 address in brackets; then a port. */
static bool domain_is_valid(const char *domain) {
        const char *p = domain;

        if (*p == '[') {
                size_t n = strspn(p + 1, "0123456789abcdefABCDEF:");
                p += 1 + n;
                if (n < 2 || *p++ != ']')
                        return false;
                return !*p || (*p == ':' && port_is_valid(p + 1));
        }
        for (;;) {
                size_t n = 0;
                while (is_alnum(p[n]) || p[n] == '-')
                        n++;
                if (!n || p[0] == '-' || p[n - 1] == '-')
                        return false;
                p += n;
                if (*p != '.')
                        break;
                p++;
        }
        return !*p || (*p == ':' && port_is_valid(p + 1));
}

static bool tag_is_valid(const char *tag) {
        if (!*tag || strlen(tag) > TAG_MAX_LENGTH || !(is_alnum(*tag) || *tag == '_'))
                return false;
        for (; *tag; tag++)
                if (!is_alnum(*tag) && !strchr("_.-", *tag))
                        return false;
        return true;
}

static struct error *bad(const char *text, const char *why) {
        return error_new(ERROR_INVALID, "invalid image reference \"%.300s\": %s", text, why);
}

/* Cuts the domain off the front of `name`, or says docker.io. */
static void split_domain(const char *name, char **ret_domain, char **ret_path) {
        const char *slash = strchr(name, '/');
        size_t n = slash ? (size_t)(slash - name) : 0;
        bool has_upper = false;

        for (size_t i = 0; i < n; i++)
                has_upper = has_upper || isupper((unsigned char)name[i]);
        /* A first part with an upper-case letter cannot be a path, so it is a domain. */
        if (slash &&
            (memchr(name, '.', n) || memchr(name, ':', n) || (n == 9 && !memcmp(name, "localhost", 9)) || has_upper)) {
                *ret_domain = xstrndup(name, n);
                *ret_path = xstrdup(slash + 1);
                if (streq(*ret_domain, "index.docker.io")) {
                        free(*ret_domain);
                        *ret_domain = xstrdup("docker.io");
                }
        } else {
                *ret_domain = xstrdup("docker.io");
                *ret_path = xstrdup(name);
        }
        if (streq(*ret_domain, "docker.io") && !strchr(*ret_path, '/')) {
                char *longer = xasprintf("library/%s", *ret_path);
                free(*ret_path);
                *ret_path = longer;
        }
}

struct error *reference_parse(const char *text, struct reference **ret) {
        _cleanup_reference_ struct reference *r = new0(struct reference);

        if (str_empty(text))
                return bad("", "it is empty");
        if (strlen(text) > REFERENCE_MAX_LENGTH)
                return bad(text, "it is too long");
        if (strstr(text, "://"))
                return bad(text, "leave out the scheme (https://)");

        _cleanup_free_ char *name = xstrdup(text);
        char *at = strchr(name, '@');
        if (at) {
                *at = '\0';
                if (!digest_is_valid(at + 1))
                        return bad(text, str_starts_with(at + 1, "sha256:")
                                                 ? "a sha256 digest has 64 lower-case hexadecimal digits"
                                                 : "a digest is sha256: and 64 hexadecimal digits");
                r->digest = xstrdup(at + 1);
        }
        /* A colon after the last slash begins the tag; before it, a port. */
        char *slash = strrchr(name, '/');
        char *colon = strrchr(slash ? slash : name, ':');
        if (colon) {
                *colon = '\0';
                if (!tag_is_valid(colon + 1))
                        return bad(text, "a tag has letters, digits, '_', '.' and '-' only, and at most 128 of them");
                r->tag = xstrdup(colon + 1);
        }
        if (!*name)
                return bad(text, "the name is missing");
        bool is_hex = strlen(name) == 64;
        for (const char *p = name; *p && is_hex; p++)
                is_hex = isxdigit((unsigned char)*p);
        if (is_hex)
                return bad(text,
                           "64 hexadecimal digits are an id, not a name; write sha256:… for an image that is present");
        split_domain(name, &r->domain, &r->path);
        if (!domain_is_valid(r->domain))
                return bad(text, "the registry's name is not a host name");
        if (!path_is_valid(r->path)) {
                for (const char *p = r->path; *p; p++)
                        if (isupper((unsigned char)*p))
                                return bad(text, "repository names are lower case");
                return bad(
                        text,
                        "a repository name has lower-case letters and digits, with '.', '_', '__' or '-' between them");
        }
        if (strlen(r->domain) + 1 + strlen(r->path) > NAME_MAX_LENGTH)
                return bad(text, "the name is longer than 255 characters");
        if (!r->tag && !r->digest)
                r->tag = xstrdup("latest");
        *ret = TAKE_PTR(r);
        return NULL;
}

char *reference_complaint(const char *text) {
        _cleanup_free_ char *domain = NULL, *path = NULL;

        if (strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64)
                return xasprintf("invalid repository name (%s), cannot specify 64-byte hexadecimal strings", text);
        split_domain(text, &domain, &path);
        path[strcspn(path, ":")] = '\0';
        for (const char *p = path; *p; p++)
                if (isupper((unsigned char)*p))
                        return xasprintf("invalid reference format: repository name (%s) must be lowercase", path);
        if (strlen(path) > NAME_MAX_LENGTH)
                return xasprintf("repository name must not be more than %d characters", NAME_MAX_LENGTH);
        return xstrdup("invalid reference format");
}

struct reference *reference_free(struct reference *r) {
        if (!r)
                return NULL;
        free(r->domain);
        free(r->path);
        free(r->tag);
        free(r->digest);
        free(r);
        return NULL;
}

char *reference_repository(const struct reference *r) {
        return xasprintf("%s/%s", r->domain, r->path);
}

char *reference_format(const struct reference *r) {
        if (r->digest)
                return xasprintf("%s/%s@%s", r->domain, r->path, r->digest);
        return xasprintf("%s/%s:%s", r->domain, r->path, r->tag);
}

char *image_reference_normalize(const char *text) {
        _cleanup_reference_ struct reference *r = NULL;
        _cleanup_error_ struct error *err = reference_parse(text, &r);

        return err ? NULL : reference_format(r);
}
