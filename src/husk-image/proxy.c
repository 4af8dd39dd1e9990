#include "husk-image/proxy.h"

#include <stdlib.h>
#include <strings.h>

#include "base/str.h"

#define SEPARATORS ", "

/* The lower-case name counts, as for libcurl. NULL: neither is set. */
static const char *variable(const char *lower, const char *upper) {
        const char *value = getenv(lower);

        return value ? value : getenv(upper);
}

/* In Go a proxy of the kind socks5 is told the host's name, which libcurl does for the kind socks5h. */
static void take_proxy(const char *lower, const char *upper) {
        static const char socks[] = "socks5://";
        const char *value = variable(lower, upper);
        _cleanup_free_ char *named = value && !strncasecmp(value, socks, strlen(socks))
                                             ? xasprintf("socks5h://%s", value + strlen(socks))
                                             : NULL;

        if (value)
                setenv(lower, named ?: value, 1);
}

/* "*.example.com" is ".example.com". */
static void take_exceptions(void) {
        const char *value = variable("no_proxy", "NO_PROXY");
        _cleanup_strbuf_ struct strbuf list = STRBUF_INIT;

        if (!value)
                return;
        while (*(value += strspn(value, SEPARATORS))) {
                size_t n = strcspn(value, SEPARATORS), star = str_starts_with(value, "*.");
                strbuf_addf(&list, "%s%.*s", list.len ? "," : "", (int)(n - star), value + star);
                value += n;
        }
        setenv("no_proxy", strbuf_str(&list), 1);
}

void proxy_read_environment(void) {
        /* libcurl reads the name in capitals for HTTPS only, since for programs behind a web server the other may be a
         * header of the request. husk-image is none, and people set all of them in capitals. */
        take_proxy("http_proxy", "HTTP_PROXY");
        take_proxy("https_proxy", "HTTPS_PROXY");
        take_proxy("all_proxy", "ALL_PROXY");
        take_exceptions();
}

/* `entry` is a host, a domain with a dot in front, or a domain with all below it. */
static bool covers(const char *entry, size_t len, const char *host) {
        size_t n = strlen(host);
        bool dot = *entry == '.';

        if (n < len || strncasecmp(host + n - len, entry, len) != 0)
                return false;
        return dot || n == len || host[n - len - 1] == '.';
}

bool proxy_is_passed_by(const char *host, const char *port) {
        const char *value = variable("no_proxy", "NO_PROXY");

        while (value && *(value += strspn(value, SEPARATORS))) {
                size_t n = strcspn(value, SEPARATORS);
                _cleanup_free_ char *entry = xstrndup(value, n);
                char *colon = strrchr(entry, ':');
                if (colon && streq(colon + 1, port) && covers(entry, colon - entry, host))
                        return true;
                value += n;
        }
        return false;
}
