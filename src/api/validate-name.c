#include "api/validate-name.h"

#include <arpa/inet.h>
#include <ctype.h>

#define MUST_NOT_EXCEED(n) "must be no more than " #n " characters"

/* The sentences of k8s.io/apimachinery's validation package, each with the pattern it stands for: it is the text people
 * search for. */
#define DNS_LABEL_PATTERN "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define DNS_LABEL_SENTENCE \
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and " \
        "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used " \
        "for validation is '" DNS_LABEL_PATTERN "')"
#define DNS_SUBDOMAIN_SENTENCE \
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', " \
        "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for " \
        "validation is '" DNS_LABEL_PATTERN "(\\." DNS_LABEL_PATTERN ")*')"
#define DNS_SEARCH_PATTERN "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
#define DNS_SEARCH_SENTENCE \
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', " \
        "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for " \
        "validation is '" DNS_SEARCH_PATTERN "(\\." DNS_SEARCH_PATTERN ")*')"
#define QUALIFIED_NAME_SENTENCE \
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " \
        "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation " \
        "is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define LABEL_VALUE_SENTENCE \
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', " \
        "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or " \
        "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
#define CONFIG_KEY_SENTENCE \
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  " \
        "or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
#define ENV_NAME_SENTENCE \
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
#define HTTP_HEADER_SENTENCE \
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used " \
        "for validation is '[-A-Za-z0-9]+')"
#define IP_SENTENCE "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"

static void fault(struct text_faults *faults, const char *sentence) {
        if (faults->n < TEXT_FAULTS_MAX)
                faults->sentence[faults->n++] = sentence;
}

/* ASCII only, whatever the locale: the rules are written for bytes. */
static bool is_lower_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c) {
        return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* One label of `len` bytes: begins and ends with a letter or digit; `extra` may stand between. */
static bool is_lower_label(const char *s, size_t len, const char *extra) {
        if (len == 0 || !is_lower_alnum(s[0]) || !is_lower_alnum(s[len - 1]))
                return false;
        for (size_t i = 1; i + 1 < len; i++)
                if (!is_lower_alnum(s[i]) && !strchr(extra, s[i]))
                        return false;
        return true;
}

static bool is_label_sequence(const char *s, size_t len, const char *separators, const char *extra,
                              bool underscore_first) {
        size_t start = 0;

        for (size_t i = 0; i <= len; i++) {
                if (i < len && !strchr(separators, s[i]))
                        continue;
                if (underscore_first && start < i && s[start] == '_')
                        start++;
                if (!is_lower_label(s + start, i - start, extra))
                        return false;
                start = i + 1;
        }
        return true;
}

static bool is_subdomain(const char *s, size_t len) {
        return is_label_sequence(s, len, ".", "-", false);
}

/* Letters, digits, "-", "_" and ".", with a letter or digit at both ends: the form of label names and values. */
static bool is_label_text(const char *s, size_t len) {
        if (len == 0 || !is_alnum(s[0]) || !is_alnum(s[len - 1]))
                return false;
        for (size_t i = 1; i + 1 < len; i++)
                if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
                        return false;
        return true;
}

void text_check_dns_label(const char *text, struct text_faults *faults) {
        size_t len = strlen(text);

        if (len > 63)
                fault(faults, MUST_NOT_EXCEED(63));
        if (!is_lower_label(text, len, "-"))
                fault(faults, DNS_LABEL_SENTENCE);
}

void text_check_dns_subdomain(const char *text, struct text_faults *faults) {
        size_t len = strlen(text);

        if (len > 253)
                fault(faults, MUST_NOT_EXCEED(253));
        if (!is_subdomain(text, len))
                fault(faults, DNS_SUBDOMAIN_SENTENCE);
}

void text_check_dns_search(const char *text, struct text_faults *faults) {
        size_t len = strlen(text);

        if (len > 253)
                fault(faults, MUST_NOT_EXCEED(253));
        if (!is_label_sequence(text, len, ".", "-_", true))
                fault(faults, DNS_SEARCH_SENTENCE);
}

void text_check_qualified_name(const char *text, struct text_faults *faults) {
        const char *slash = strchr(text, '/');
        const char *name = slash ? slash + 1 : text;
        size_t len = strlen(name), prefix_len = slash ? (size_t)(slash - text) : 0;

        if (slash && strchr(name, '/')) {
                fault(faults, "a qualified name " QUALIFIED_NAME_SENTENCE
                              " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
                return;
        }
        if (slash && prefix_len == 0)
                fault(faults, "prefix part must be non-empty");
        if (prefix_len > 253)
                fault(faults, "prefix part " MUST_NOT_EXCEED(253));
        if (prefix_len > 0 && !is_subdomain(text, prefix_len))
                fault(faults, "prefix part " DNS_SUBDOMAIN_SENTENCE);
        if (len == 0)
                fault(faults, "name part must be non-empty");
        else if (len > 63)
                fault(faults, "name part " MUST_NOT_EXCEED(63));
        if (!is_label_text(name, len))
                fault(faults, "name part " QUALIFIED_NAME_SENTENCE);
}

void text_check_annotation_key(const char *text, struct text_faults *faults) {
        _cleanup_free_ char *lower = xstrdup(text);

        for (char *p = lower; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p = (char)(*p - 'A' + 'a');
        text_check_qualified_name(lower, faults);
}

void text_check_label_value(const char *text, struct text_faults *faults) {
        size_t len = strlen(text);

        if (len > 63)
                fault(faults, MUST_NOT_EXCEED(63));
        if (len > 0 && !is_label_text(text, len))
                fault(faults, LABEL_VALUE_SENTENCE);
}

void text_check_config_key(const char *text, struct text_faults *faults) {
        size_t len = strlen(text);
        bool good = len > 0;

        for (const char *p = text; *p; p++)
                good = good && (is_alnum(*p) || *p == '-' || *p == '_' || *p == '.');

        if (len > 253)
                fault(faults, MUST_NOT_EXCEED(253));
        if (!good)
                fault(faults, CONFIG_KEY_SENTENCE);
        if (streq(text, "."))
                fault(faults, "must not be '.'");
        else if (streq(text, ".."))
                fault(faults, "must not be '..'");
        else if (str_starts_with(text, ".."))
                fault(faults, "must not start with '..'");
}

void text_check_env_name(const char *text, struct text_faults *faults) {
        if (!*text)
                fault(faults, "environment variable name must be non-empty");
        for (const char *p = text; *p; p++)
                if (*p < 0x20 || *p > 0x7e || *p == '=') {
                        fault(faults, ENV_NAME_SENTENCE);
                        return;
                }
}

void text_check_port_name(const char *text, struct text_faults *faults) {
        size_t len = strlen(text);
        bool known = len > 0, letter = false;

        for (const char *p = text; *p; p++) {
                known = known && (is_lower_alnum(*p) || *p == '-');
                letter = letter || (*p >= 'a' && *p <= 'z');
        }
        if (len > 15)
                fault(faults, MUST_NOT_EXCEED(15));
        if (!known)
                fault(faults, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
        if (!letter)
                fault(faults, "must contain at least one letter (a-z)");
        if (strstr(text, "--"))
                fault(faults, "must not contain consecutive hyphens");
        if (len > 0 && (text[0] == '-' || text[len - 1] == '-'))
                fault(faults, "must not begin or end with a hyphen");
}

void text_check_http_header(const char *text, struct text_faults *faults) {
        bool good = *text != 0;

        for (const char *p = text; *p; p++)
                good = good && (is_alnum(*p) || *p == '-');
        if (!good)
                fault(faults, HTTP_HEADER_SENTENCE);
}

/* Four decimal parts of 0 to 255; leading zeros are told apart, because old clusters read them as decimal and libc as
 * octal (CVE-2021-29923). */
static bool parse_ipv4(const char *text, bool *ret_leading_zero) {
        const char *p = text;

        *ret_leading_zero = false;
        for (int part = 0; part < 4; part++) {
                unsigned value = 0, digits = 0;

                for (; *p >= '0' && *p <= '9'; p++, digits++) {
                        if (digits == 1 && p[-1] == '0')
                                *ret_leading_zero = true;
                        value = value * 10 + (unsigned)(*p - '0');
                        if (value > 255)
                                return false;
                }
                if (digits == 0 || *p != (part < 3 ? '.' : '\0'))
                        return false;
                p++;
        }
        return true;
}

bool text_is_ipv6(const char *text) {
        struct in6_addr address;

        return strchr(text, ':') && inet_pton(AF_INET6, text, &address) == 1;
}

void text_check_ip(const char *text, struct text_faults *faults) {
        struct in6_addr address;
        bool leading_zero;

        if (parse_ipv4(text, &leading_zero)) {
                if (leading_zero)
                        fault(faults, "must not have leading 0s");
        } else if (!strchr(text, ':') || inet_pton(AF_INET6, text, &address) != 1)
                fault(faults, IP_SENTENCE);
        else if (IN6_IS_ADDR_V4MAPPED(&address))
                fault(faults, "must not be an IPv4-mapped IPv6 address");
}

bool text_is(const char *text, text_check check) {
        struct text_faults faults = { 0 };

        check(text, &faults);
        return faults.n == 0;
}

bool text_is_sysctl(const char *text) {
        size_t len = strlen(text);

        return len <= 253 && is_label_sequence(text, len, "./", "-_", false);
}

bool text_has_backstep(const char *path) {
        for (const char *p = path; (p = strstr(p, "..")); p += 2)
                if ((p == path || p[-1] == '/') && (p[2] == '\0' || p[2] == '/'))
                        return true;
        return false;
}
