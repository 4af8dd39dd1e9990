/* validate-name.h - what Kubernetes allows in a short text: a name, a label, a key, a port's name, an address.
 *
 * A check looks at one text and writes down every sentence that is true of what is wrong with it (none: the text is
 * good). The sentences are Kubernetes' own, because people look them up; they are constants, so nothing is freed. The
 * walkers of validate-*.c put path and value in front of them. Checks are table entries elsewhere, hence one type. */
#pragma once

#include "base/base.h"

#define TEXT_FAULTS_MAX 8
struct text_faults {
        const char *sentence[TEXT_FAULTS_MAX];
        size_t n;
};

typedef void (*text_check)(const char *text, struct text_faults *faults);

/* RFC 1123, lower case, 63 characters: container and volume names, hostnames. */
void text_check_dns_label(const char *text, struct text_faults *faults);
/* The same joined by dots, 253 characters: names of most objects. */
void text_check_dns_subdomain(const char *text, struct text_faults *faults);
/* As a subdomain, but "_" is allowed: search domains of a resolver. */
void text_check_dns_search(const char *text, struct text_faults *faults);
/* [prefix/]name: label and annotation keys, conditions, extended resources. */
void text_check_qualified_name(const char *text, struct text_faults *faults);
/* The same after lower-casing: annotation keys. */
void text_check_annotation_key(const char *text, struct text_faults *faults);
void text_check_label_value(const char *text, struct text_faults *faults);
/* A key of a ConfigMap or Secret; it becomes a file's name. */
void text_check_config_key(const char *text, struct text_faults *faults);
/* An environment variable: printable ASCII without "=" (RelaxedEnvironmentVariableValidation). */
void text_check_env_name(const char *text, struct text_faults *faults);
/* A port's name (IANA service name). */
void text_check_port_name(const char *text, struct text_faults *faults);
void text_check_http_header(const char *text, struct text_faults *faults);
/* An IPv4 or IPv6 address, as StrictIPCIDRValidation wants it: no leading zeros, no IPv4 mapped into IPv6. */
void text_check_ip(const char *text, struct text_faults *faults);

/* Does the check find nothing? */
bool text_is(const char *text, text_check check);
/* A sysctl's name with dots or slashes, at most 253 characters. */
bool text_is_sysctl(const char *text);
bool text_is_ipv6(const char *text);
/* Does any part between slashes equal ".."? */
bool text_has_backstep(const char *path);
