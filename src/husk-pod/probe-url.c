#include "husk-pod/probe-url.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/str.h"

static bool is_control(char c) {
        return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool is_escape(const char *s) {
        return s[0] == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2]);
}

static bool is_readable(const char *text) {
        for (const char *p = text; *p; p++)
                if (is_control(*p) || (*p == '%' && !is_escape(p)))
                        return false;
        return true;
}

/* net/url's shouldEscape() for paths, turned round. */
static bool stands_for_itself(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr("-_.~$&+,/:;=@", c));
}

/* Is a path as it is written one that may be sent so? Besides the above, what RFC 3986 lets stand in it. */
static bool is_encoded(const char *path) {
        for (const char *p = path; *p; p++)
                if (!stands_for_itself(*p) && !strchr("!'()*[]%", *p))
                        return false;
        return true;
}

static void add_escaped(struct strbuf *b, unsigned char c) {
        if (stands_for_itself((char)c))
                strbuf_addc(b, (char)c);
        else
                strbuf_addf(b, "%%%02X", c);
}

/* `raw`: "%41" is three bytes, not one. */
static void add_path(struct strbuf *b, const char *path, bool raw) {
        if (!raw && is_encoded(path)) {
                strbuf_adds(b, path);
                return;
        }
        for (const char *p = path; *p; p++) {
                unsigned char c = *p;

                if (!raw && is_escape(p)) {
                        const char digits[] = { p[1], p[2], '\0' };
                        c = (unsigned char)strtoul(digits, NULL, 16);
                        p += 2;
                }
                add_escaped(b, c);
        }
}

char *probe_request_path(const char *path) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_free_ char *address = xstrndup(path, strcspn(path, "#")), *name = NULL;

        if (*path != '/')
                strbuf_addc(&text, '/');
        name = xstrndup(address, strcspn(address, "?"));
        /* A query is sent as it is written, but for control characters; its '%' are nobody's business. */
        bool readable = is_readable(name) && is_readable(path + strlen(address));
        for (const char *p = path; *p; p++)
                readable = readable && !is_control(*p);
        if (!readable) {
                add_path(&text, path, true);
        } else {
                add_path(&text, name, false);
                strbuf_adds(&text, address + strlen(name));
        }
        return strbuf_take(&text);
}

const char *probe_bad_header(V1HTTPHeader *const *headers, size_t n) {
        for (size_t i = 0; i < n; i++)
                for (const char *p = headers[i]->value ? headers[i]->value : ""; *p; p++)
                        if (is_control(*p) && *p != '\t')
                                return headers[i]->name;
        return NULL;
}
