#include "store/node-config.h"

#include <arpa/inet.h>

#include "api/yaml.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/file.h"
#include "base/str.h"

#define CONFIG_SIZE_MAX (1U << 20)
#define DOMAIN_MAX 128 /* so that hostname, subdomain and namespace have room before it */
#define ZONE_NAME_MAX 17
#define IDS_PER_POD 65536U
#define IDS_FIRST_DEFAULT IDS_PER_POD /* as a kubelet's */
#define IDS_PODS_DEFAULT 4096U
/* The first range is the node's own, and the last id of all means "none". */
#define IDS_RANGES_MAX (UINT32_MAX / IDS_PER_POD - 1)

/* ---- values ---- */

static struct error *read_strings(const json_t *value, const char *field, char ***ret) {
        _cleanup_strv_ char **list = NULL;
        json_t *item;
        size_t i;

        if (!json_is_array(value))
                return error_new(ERROR_INVALID, "%s: must be a list of strings", field);
        json_array_foreach(value, i, item) {
                if (!json_is_string(item) || !*json_string_value(item))
                        return error_new(ERROR_INVALID, "%s[%zu]: must be a string that is not empty", field, i);
                list = strv_add(list, json_string_value(item));
        }
        strv_free(*ret);
        *ret = TAKE_PTR(list);
        return NULL;
}

/* Absolute paths; one that becomes part of a list like $PATH has no colon. */
static struct error *read_folders(const json_t *value, const char *field, bool in_path, char ***ret) {
        struct error *err = read_strings(value, field, ret);

        for (char **dir = *ret; !err && dir && *dir; dir++)
                if (**dir != '/' || (in_path && strchr(*dir, ':')))
                        err = error_new(ERROR_INVALID, "%s: %s is no absolute path%s", field, *dir,
                                        in_path ? " without \":\"" : "");
        return err;
}

static struct error *read_number(const json_t *value, const char *field, json_int_t min, json_int_t max,
                                 uint32_t *ret) {
        if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
                return error_new(ERROR_INVALID, "%s: must be a number from %lld to %lld", field, (long long)min,
                                 (long long)max);
        *ret = (uint32_t)json_integer_value(value);
        return NULL;
}

/* ---- fields ---- */

static struct error *sysctls_read(const json_t *value, struct node_config *config) {
        return read_strings(value, "allowedUnsafeSysctls", &config->allowed_unsafe_sysctls);
}

static struct error *user_namespaces_read(const json_t *value, struct node_config *config) {
        const char *key;
        json_t *item;
        struct error *err;

        if (!json_is_object(value))
                return error_new(ERROR_INVALID, "userNamespaces: must have fields");
        json_object_foreach((json_t *)value, key, item) {
                if (streq(key, "firstID"))
                        err = read_number(item, "userNamespaces.firstID", IDS_PER_POD,
                                          (json_int_t)IDS_RANGES_MAX * IDS_PER_POD, &config->userns_first);
                else if (streq(key, "pods"))
                        err = read_number(item, "userNamespaces.pods", 1, IDS_RANGES_MAX, &config->userns_pods);
                else
                        err = error_new(ERROR_INVALID, "userNamespaces.%s: unknown field", key);
                if (err)
                        return err;
        }
        if (config->userns_first % IDS_PER_POD)
                return error_new(ERROR_INVALID, "userNamespaces.firstID: must be a multiple of %u", IDS_PER_POD);
        return NULL;
}

static struct error *cdi_read(const json_t *value, struct node_config *config) {
        return read_folders(value, "cdiSpecDirs", false, &config->cdi_spec_dirs);
}

static struct error *cni_conf_read(const json_t *value, struct node_config *config) {
        const char *text = json_string_value(value);

        if (!text || *text != '/')
                return error_new(ERROR_INVALID, "cniConfDir: must be the absolute path of a folder");
        free(config->cni_conf_dir);
        config->cni_conf_dir = xstrdup(text);
        return NULL;
}

static struct error *cni_bin_read(const json_t *value, struct node_config *config) {
        return read_folders(value, "cniBinDirs", true, &config->cni_bin_dirs);
}

/* Names as firewalld takes them: up to 17 characters, so that the names of its chains fit into iptables. */
static struct error *firewalld_read(const json_t *value, struct node_config *config) {
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/";
        const char *text = json_string_value(value);

        if (!text || strlen(text) > ZONE_NAME_MAX || strspn(text, letters) != strlen(text) || *text == '-')
                return error_new(ERROR_INVALID,
                                 "firewalldZone: must be the name of a zone of firewalld, or \"\" to leave "
                                 "firewalld alone");
        str_replace(&config->firewalld_zone, text);
        return NULL;
}

static struct error *cni_timeout_read(const json_t *value, struct node_config *config) {
        return read_number(value, "cniTimeoutSeconds", 1, 3600, &config->cni_timeout_s);
}

static struct error *resolver_read(const json_t *value, struct node_config *config) {
        if (!json_is_boolean(value))
                return error_new(ERROR_INVALID, "resolver: must be true or false");
        config->resolver = json_is_true(value);
        return NULL;
}

static struct error *domain_read(const json_t *value, struct node_config *config) {
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
        const char *text = json_string_value(value);

        if (str_empty(text) || strlen(text) > DOMAIN_MAX || strspn(text, letters) != strlen(text) || *text == '.' ||
            str_ends_with(text, ".") || strstr(text, ".."))
                return error_new(ERROR_INVALID,
                                 "clusterDomain: must be a domain in small letters, such as cluster.local");
        str_replace(&config->cluster_domain, text);
        return NULL;
}

static struct error *cluster_dns_read(const json_t *value, struct node_config *config) {
        struct error *err = read_strings(value, "clusterDNS", &config->cluster_dns);
        uint8_t bytes[16];

        for (char **a = config->cluster_dns; !err && a && *a; a++)
                if (inet_pton(AF_INET, *a, bytes) != 1 && inet_pton(AF_INET6, *a, bytes) != 1)
                        err = error_new(ERROR_INVALID, "clusterDNS: \"%s\" is no IP address", *a);
        return err;
}

static struct error *resolv_conf_read(const json_t *value, struct node_config *config) {
        const char *text = json_string_value(value);

        if (!text || (*text && *text != '/'))
                return error_new(ERROR_INVALID, "resolvConf: must be the absolute path of a file, or \"\" for none");
        str_replace(&config->resolv_conf, text);
        return NULL;
}

static struct error *pids_read(const json_t *value, struct node_config *config) {
        if (!json_is_integer(value) || json_integer_value(value) < -1 || json_integer_value(value) == 0)
                return error_new(ERROR_INVALID, "podPidsLimit: must be a positive number, or -1 for no limit");
        config->pod_pids_limit = json_integer_value(value);
        return NULL;
}

static struct error *runtimes_read(const json_t *value, struct node_config *config) {
        const char *handler;
        json_t *program;

        if (!json_is_object(value))
                return error_new(ERROR_INVALID, "runtimeHandlers: must have fields, each a handler with its program");
        json_object_foreach((json_t *)value, handler, program) {
                if (!*handler || strchr(handler, '='))
                        return error_new(ERROR_INVALID, "runtimeHandlers.%s: not a name for a handler", handler);
                if (str_empty(json_string_value(program)))
                        return error_new(ERROR_INVALID, "runtimeHandlers.%s: must be the name or path of a program",
                                         handler);
                config->runtime_handlers = strv_add_take(config->runtime_handlers,
                                                         xasprintf("%s=%s", handler, json_string_value(program)));
        }
        return NULL;
}

static struct error *gc_high_read(const json_t *value, struct node_config *config) {
        return read_number(value, "imageGCHighThresholdPercent", 0, 100, &config->image_gc_high_percent);
}

static struct error *gc_low_read(const json_t *value, struct node_config *config) {
        return read_number(value, "imageGCLowThresholdPercent", 0, 100, &config->image_gc_low_percent);
}

static struct error *read_duration(const json_t *value, const char *field, int64_t *ret_s) {
        const char *text = json_string_value(value);
        int64_t ns;

        if (!text || !duration_parse(text, &ns) || ns < 0)
                return error_new(ERROR_INVALID, "%s: must be a duration such as 2m or 36h", field);
        *ret_s = ns / NSEC_PER_SEC;
        return NULL;
}

static struct error *gc_min_age_read(const json_t *value, struct node_config *config) {
        return read_duration(value, "imageMinimumGCAge", &config->image_min_age_s);
}

static struct error *gc_max_age_read(const json_t *value, struct node_config *config) {
        return read_duration(value, "imageMaximumGCAge", &config->image_max_age_s);
}

static struct error *verification_read(const json_t *value, struct node_config *config) {
        static const char *const names[] = {
                [VERIFY_NEVER] = "NeverVerify",
                [VERIFY_PULLED] = "NeverVerifyPreloadedImages",
                [VERIFY_UNLISTED] = "NeverVerifyAllowlistedImages",
                [VERIFY_ALWAYS] = "AlwaysVerify",
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (streq_ptr(names[i], json_string_value(value))) {
                        config->image_verification = i;
                        return NULL;
                }
        return error_new(ERROR_INVALID, "imagePullCredentialsVerificationPolicy: must be %s, %s, %s or %s", names[0],
                         names[1], names[2], names[3]);
}

static struct error *allowlist_read(const json_t *value, struct node_config *config) {
        static const char field[] = "preloadedImagesVerificationAllowlist";
        struct error *err = read_strings(value, field, &config->preloaded_allowlist);

        for (char **p = config->preloaded_allowlist; !err && p && *p; p++) {
                const char *star = strchr(*p, '*');
                if (star && (star[1] || star == *p || star[-1] != '/'))
                        err = error_new(ERROR_INVALID, "%s: \"%s\": a star may only stand for all below a path: a/b/*",
                                        field, *p);
        }
        return err;
}

/* What single fields cannot tell. */
static struct error *check(const struct node_config *config) {
        if (config->preloaded_allowlist && config->image_verification != VERIFY_UNLISTED)
                return error_new(ERROR_INVALID, "preloadedImagesVerificationAllowlist: needs "
                                                "imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages");
        if (config->image_gc_low_percent >= config->image_gc_high_percent)
                return error_new(ERROR_INVALID,
                                 "imageGCLowThresholdPercent: must be less than imageGCHighThresholdPercent (%u)",
                                 config->image_gc_high_percent);
        if (config->resolver && config->cni_conf_dir)
                return error_new(ERROR_INVALID, "resolver: it listens on the bridge that husk makes itself; with "
                                                "cniConfDir name DNS servers in clusterDNS");
        if (config->resolver && config->cluster_dns)
                return error_new(ERROR_INVALID,
                                 "clusterDNS: choose one: with resolver: true the pods ask husk, not these servers");
        return NULL;
}

static struct error *ignored(const json_t *value, struct node_config *config) {
        return NULL;
}

static const struct {
        const char *name;
        struct error *(*read)(const json_t *value, struct node_config *config);
} fields[] = {
        { "apiVersion", ignored },
        { "kind", ignored },
        { "allowedUnsafeSysctls", sysctls_read },
        { "userNamespaces", user_namespaces_read },
        { "cdiSpecDirs", cdi_read },
        { "cniConfDir", cni_conf_read },
        { "cniBinDirs", cni_bin_read },
        { "firewalldZone", firewalld_read },
        { "cniTimeoutSeconds", cni_timeout_read },
        { "resolver", resolver_read },
        { "clusterDomain", domain_read },
        { "clusterDNS", cluster_dns_read },
        { "resolvConf", resolv_conf_read },
        { "podPidsLimit", pids_read },
        { "imageGCHighThresholdPercent", gc_high_read },
        { "imageGCLowThresholdPercent", gc_low_read },
        { "imageMinimumGCAge", gc_min_age_read },
        { "imageMaximumGCAge", gc_max_age_read },
        { "imagePullCredentialsVerificationPolicy", verification_read },
        { "preloadedImagesVerificationAllowlist", allowlist_read },
        { "runtimeHandlers", runtimes_read },
};

static struct error *read_field(const char *key, const json_t *value, struct node_config *config) {
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                if (streq(fields[i].name, key))
                        return fields[i].read(value, config);
        return error_new(ERROR_INVALID, "%s: unknown field", key);
}

const char *node_config_runtime(const struct node_config *config, const char *handler) {
        size_t len = strlen(handler);

        for (char **r = config->runtime_handlers; r && *r; r++)
                if (strncmp(*r, handler, len) == 0 && (*r)[len] == '=')
                        return *r + len + 1;
        return NULL;
}

const char *node_config_cluster_domain(const struct node_config *config) {
        return config->cluster_domain ? config->cluster_domain : "cluster.local";
}

/* ---- the file ---- */

static void defaults_set(struct node_config *config) {
        *config = (struct node_config){ .userns_first = IDS_FIRST_DEFAULT,
                                        .userns_pods = IDS_PODS_DEFAULT,
                                        .pod_pids_limit = -1,
                                        .cni_timeout_s = NODE_CONFIG_CNI_TIMEOUT_S,
                                        .image_gc_high_percent = 85, /* as a kubelet's, all three */
                                        .image_gc_low_percent = 80,
                                        .image_min_age_s = 120,
                                        .image_verification = VERIFY_PULLED };
        config->cdi_spec_dirs = strv_add(strv_add(NULL, "/etc/cdi"), "/var/run/cdi");
        config->cni_bin_dirs = strv_add(strv_add(NULL, "/opt/cni/bin"), "/usr/lib/cni");
}

void node_config_release(struct node_config *config) {
        strv_free(config->allowed_unsafe_sysctls);
        strv_free(config->cdi_spec_dirs);
        free(config->cni_conf_dir);
        strv_free(config->cni_bin_dirs);
        strv_free(config->runtime_handlers);
        strv_free(config->preloaded_allowlist);
        free(config->firewalld_zone);
        free(config->cluster_domain);
        strv_free(config->cluster_dns);
        free(config->resolv_conf);
        *config = (struct node_config){ 0 };
}

struct error *node_config_parse(const char *name, const char *text, size_t len, struct node_config *ret) {
        _cleanup_node_config_ struct node_config config = { 0 };
        struct yaml_mark mark = { 0 };
        json_t *json = NULL, *value;
        const char *key;
        struct error *err = yaml_parse(text, len, &json, &mark);

        if (err)
                return error_context(err, "%s:%zu:%zu", name, mark.line, mark.column);
        defaults_set(&config);
        if (json && !json_is_object(json))
                err = error_new(ERROR_INVALID, "must have fields");
        if (!err)
                json_object_foreach(json, key, value) {
                        err = read_field(key, value, &config);
                        if (err)
                                break;
                }
        json_decref(json);
        if (!err)
                err = check(&config);
        if (err)
                return error_context(err, "%s", name);
        *ret = config;
        config = (struct node_config){ 0 };
        return NULL;
}

struct error *node_config_read(const struct store *store, struct node_config *ret) {
        _cleanup_free_ char *path = path_join(store->root, "config.yaml"), *text = NULL;
        size_t len;
        struct error *err = file_read(path, CONFIG_SIZE_MAX, &text, &len);

        if (err && error_errnum(err) == ENOENT) {
                error_free(err);
                defaults_set(ret);
                return NULL;
        }
        return err ? err : node_config_parse(path, text, len, ret);
}
