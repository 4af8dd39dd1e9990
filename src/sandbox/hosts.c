#include "sandbox/hosts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "base/str.h"

#define HOSTNAME_MAX 63 /* of a label; what the kubelet cuts to */
#define KERNEL_HOSTNAME_MAX 64
#define NAMESERVERS_MAX 3 /* the C library's MAXNS, which Kubernetes holds pods to */
#define SEARCHES_MAX 32
#define SEARCH_LINE_MAX 2048
#define NODE_FILE_MAX (1 << 20)

/* ---- hostname ---- */

/* A name that is cut must not end in a separator. */
static char *hostname_cut(const char *name) {
        size_t len = strlen(name);

        if (len > HOSTNAME_MAX) {
                len = HOSTNAME_MAX;
                while (len > 0 && (name[len - 1] == '-' || name[len - 1] == '.'))
                        len--;
        }
        return xstrndup(name, len);
}

static struct error *kernel_hostname(const V1Pod *pod, const struct pod_hostname *h, char **ret) {
        struct utsname node;

        if (pod->spec->hostnetwork) {
                if (uname(&node) < 0)
                        return error_errno(errno, "uname");
                *ret = xstrdup(node.nodename);
                return NULL;
        }
        if (!pod->spec->sethostnameasfqdn || !*h->domain) {
                *ret = xstrdup(h->hostname);
                return NULL;
        }
        _cleanup_free_ char *fqdn = xasprintf("%s.%s", h->hostname, h->domain);
        if (strlen(fqdn) > KERNEL_HOSTNAME_MAX)
                return error_new(
                        ERROR_INVALID,
                        "failed to construct FQDN from pod hostname and cluster domain, FQDN %s is too long (%d "
                        "characters is the max, %zu characters requested)",
                        fqdn, KERNEL_HOSTNAME_MAX, strlen(fqdn));
        *ret = TAKE_PTR(fqdn);
        return NULL;
}

struct error *pod_hostname_of(const V1Pod *pod, const char *cluster_domain, struct pod_hostname *ret) {
        _cleanup_(pod_hostname_release) struct pod_hostname h = { 0 };
        const V1PodSpec *spec = pod->spec;

        if (!str_empty(spec->hostnameoverride)) {
                h.hostname = xstrdup(spec->hostnameoverride);
                h.domain = xstrdup("");
        } else {
                h.hostname = hostname_cut(str_empty(spec->hostname) ? pod->metadata->name : spec->hostname);
                if (str_empty(spec->subdomain))
                        h.domain = xstrdup("");
                else
                        h.domain = xasprintf("%s.%s.svc.%s", spec->subdomain, pod->metadata->namespace_,
                                             cluster_domain ? cluster_domain : CLUSTER_DOMAIN);
        }
        struct error *err = kernel_hostname(pod, &h, &h.kernel);
        if (err)
                return err;
        *ret = h;
        h = (struct pod_hostname){ 0 };
        return NULL;
}

void pod_hostname_release(struct pod_hostname *h) {
        free(h->hostname);
        free(h->domain);
        free(h->kernel);
        memset(h, 0, sizeof(*h));
}

struct error *hostname_text(const struct hosts_config *config, char **ret) {
        _cleanup_(pod_hostname_release) struct pod_hostname h = { 0 };
        struct error *err = pod_hostname_of(config->pod, config->cluster_domain, &h);
        if (err)
                return err;
        *ret = xasprintf("%s\n", h.kernel);
        return NULL;
}

/* ---- /etc/hosts ---- */

static void hosts_add_aliases(struct strbuf *b, const V1PodSpec *spec) {
        if (!spec->n_hostaliases)
                return;
        strbuf_adds(b, "\n# Entries added by HostAliases.\n");
        for (size_t i = 0; i < spec->n_hostaliases; i++) {
                const V1HostAlias *alias = spec->hostaliases[i];
                strbuf_adds(b, alias->ip);
                for (size_t j = 0; j < alias->n_hostnames; j++)
                        strbuf_addf(b, "\t%s", alias->hostnames[j]);
                /* Also without a name there is the separator: the kubelet joins the names behind a tab. */
                strbuf_adds(b, alias->n_hostnames ? "\n" : "\t\n");
        }
}

/* hostNetwork: the node's own names are the pod's. */
static struct error *hosts_of_node(const struct hosts_config *config, char **ret) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
        _cleanup_free_ char *node = NULL;
        struct error *err =
                file_read(config->node_hosts ? config->node_hosts : "/etc/hosts", NODE_FILE_MAX, &node, NULL);

        if (err && error_errnum(err) != ENOENT)
                return err;
        error_free(err);
        strbuf_adds(&b, "# Kubernetes-managed hosts file (host network).\n");
        strbuf_adds(&b, node ? node : "");
        hosts_add_aliases(&b, config->pod->spec);
        *ret = strbuf_take(&b);
        return NULL;
}

struct error *hosts_text(const struct hosts_config *config, char **ret) {
        _cleanup_(pod_hostname_release) struct pod_hostname h = { 0 };
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

        if (config->pod->spec->hostnetwork)
                return hosts_of_node(config, ret);
        struct error *err = pod_hostname_of(config->pod, config->cluster_domain, &h);
        if (err)
                return err;
        strbuf_adds(&b, "# Kubernetes-managed hosts file.\n"
                        "127.0.0.1\tlocalhost\n"
                        "::1\tlocalhost ip6-localhost ip6-loopback\n"
                        "fe00::0\tip6-localnet\n"
                        "fe00::0\tip6-mcastprefix\n"
                        "fe00::1\tip6-allnodes\n"
                        "fe00::2\tip6-allrouters\n");
        for (char *const *ip = config->pod_ips; ip && *ip; ip++) {
                if (*h.domain)
                        strbuf_addf(&b, "%s\t%s.%s\t%s\n", *ip, h.hostname, h.domain, h.hostname);
                else
                        strbuf_addf(&b, "%s\t%s\n", *ip, h.hostname);
        }
        hosts_add_aliases(&b, config->pod->spec);
        *ret = strbuf_take(&b);
        return NULL;
}

/* ---- /etc/resolv.conf ---- */

struct resolver {
        char **nameservers;
        char **searches;
        char **options; /* "name" or "name:value" */
};

static void resolver_release(struct resolver *r) {
        r->nameservers = strv_free(r->nameservers);
        r->searches = strv_free(r->searches);
        r->options = strv_free(r->options);
}

static void strv_add_once(char ***v, const char *s) {
        if (!strv_contains(*v, s))
                *v = strv_add(*v, s);
}

/* An option replaces an earlier one of the same name, in its place. */
static void options_set(char ***options, const char *name, size_t name_len, const char *whole) {
        for (char **o = *options; o && *o; o++)
                if (strncmp(*o, name, name_len) == 0 && ((*o)[name_len] == ':' || (*o)[name_len] == '\0')) {
                        free(*o);
                        *o = xstrdup(whole);
                        return;
                }
        *options = strv_add(*options, whole);
}

/* resolv.conf(5): comments start with # or ;, the last search (or domain) line counts. */
static void resolver_parse(char *text, struct resolver *r) {
        char *save_line = NULL;

        for (char *line = strtok_r(text, "\n", &save_line); line; line = strtok_r(NULL, "\n", &save_line)) {
                char *save = NULL, *key = strtok_r(line, " \t\r", &save), *word;
                if (!key || *key == '#' || *key == ';')
                        continue;
                if (streq(key, "nameserver")) {
                        word = strtok_r(NULL, " \t\r", &save);
                        if (word)
                                r->nameservers = strv_add(r->nameservers, word);
                } else if (streq(key, "search") || streq(key, "domain")) {
                        r->searches = strv_free(r->searches);
                        while ((word = strtok_r(NULL, " \t\r", &save))) {
                                size_t len = strlen(word);
                                if (len > 1 && word[len - 1] == '.')
                                        word[len - 1] = '\0';
                                r->searches = strv_add(r->searches, word);
                        }
                } else if (streq(key, "options")) {
                        while ((word = strtok_r(NULL, " \t\r", &save)))
                                options_set(&r->options, word, strcspn(word, ":"), word);
                }
        }
}

static struct error *resolver_read(const char *path, struct resolver *r) {
        _cleanup_free_ char *text = NULL;

        if (!*path)
                return NULL;
        struct error *err = file_read(path, NODE_FILE_MAX, &text, NULL);
        if (err && error_errnum(err) == ENOENT) /* a node without a resolver: the pod has none either */
                return error_free(err);
        if (err)
                return err;
        resolver_parse(text, r);
        return NULL;
}

struct error *resolv_conf_nameservers(const char *path, char ***ret) {
        _cleanup_(resolver_release) struct resolver r = { 0 };
        struct error *err = resolver_read(path, &r);

        if (!err)
                *ret = TAKE_PTR(r.nameservers);
        return err;
}

static bool address_is_loopback(const char *s) {
        struct in_addr v4;
        struct in6_addr v6;

        if (inet_pton(AF_INET, s, &v4) == 1)
                return (ntohl(v4.s_addr) >> 24) == 127;
        return inet_pton(AF_INET6, s, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* A stub resolver on the node's loopback (systemd-resolved, 127.0.0.53) cannot be reached from a pod with a network of
 * its own. systemd-resolved writes the servers behind it to a second file, as kubeadm knows too. */
static struct error *resolver_of_node(const struct hosts_config *config, struct resolver *r) {
        static const char *const behind_the_stub = "/run/systemd/resolve/resolv.conf";
        struct error *err = resolver_read(config->node_resolv ? config->node_resolv : "/etc/resolv.conf", r);

        if (err || config->node_resolv || config->pod->spec->hostnetwork || !r->nameservers ||
            !file_exists(behind_the_stub))
                return err;
        for (char **s = r->nameservers; *s; s++)
                if (!address_is_loopback(*s))
                        return NULL;
        resolver_release(r);
        return resolver_read(behind_the_stub, r);
}

/* The cluster's own domains come before the node's. */
static void resolver_of_cluster(const struct hosts_config *config, struct resolver *r) {
        const char *domain = config->cluster_domain ? config->cluster_domain : CLUSTER_DOMAIN;
        char **searches = NULL;

        searches = strv_add_take(searches, xasprintf("%s.svc.%s", config->pod->metadata->namespace_, domain));
        searches = strv_add_take(searches, xasprintf("svc.%s", domain));
        searches = strv_add(searches, domain);
        for (char **s = r->searches; s && *s; s++)
                strv_add_once(&searches, *s);
        resolver_release(r);
        r->searches = searches;
        r->nameservers = strv_copy(config->cluster_dns);
        r->options = strv_add(NULL, "ndots:5");
}

static void resolver_merge(struct resolver *r, const V1PodDNSConfig *config) {
        _cleanup_(resolver_release) struct resolver old = *r;

        *r = (struct resolver){ NULL, NULL, TAKE_PTR(old.options) };
        for (char **s = old.nameservers; s && *s; s++)
                strv_add_once(&r->nameservers, *s);
        for (size_t i = 0; i < config->n_nameservers; i++)
                strv_add_once(&r->nameservers, config->nameservers[i]);
        for (char **s = old.searches; s && *s; s++)
                strv_add_once(&r->searches, *s);
        for (size_t i = 0; i < config->n_searches; i++)
                strv_add_once(&r->searches, config->searches[i]);
        for (size_t i = 0; i < config->n_options; i++) {
                const V1PodDNSConfigOption *o = config->options[i];
                _cleanup_free_ char *whole =
                        str_empty(o->value) ? xstrdup(o->name) : xasprintf("%s:%s", o->name, o->value);
                options_set(&r->options, o->name, strlen(o->name), whole);
        }
}

static void strv_cut(char **v, size_t n) {
        for (char **s = v + n; *s; s++) {
                free(*s);
                *s = NULL;
        }
}

/* Holds the resolver to the limits of C libraries, and says so as the kubelet does. */
static void resolver_limit(struct resolver *r, char ***warnings) {
        if (strv_len(r->nameservers) > NAMESERVERS_MAX) {
                strv_cut(r->nameservers, NAMESERVERS_MAX);
                _cleanup_free_ char *line = strv_join(r->nameservers, " ");
                *warnings =
                        strv_add_take(*warnings, xasprintf("DNSConfigForming: Nameserver limits were exceeded, some "
                                                           "nameservers have been omitted, the applied nameserver line "
                                                           "is: %s",
                                                           line));
        }
        size_t n = strv_len(r->searches), keep = MIN(n, (size_t)SEARCHES_MAX), len = 0;
        for (size_t i = 0; i < keep; i++) {
                len += strlen(r->searches[i]) + (i ? 1 : 0);
                if (len > SEARCH_LINE_MAX)
                        keep = i;
        }
        if (keep < n) {
                strv_cut(r->searches, keep);
                _cleanup_free_ char *line = strv_join(r->searches, " ");
                *warnings =
                        strv_add_take(*warnings, xasprintf("DNSConfigForming: Search Line limits were exceeded, some "
                                                           "search paths have been omitted, the applied search line "
                                                           "is: %s",
                                                           line));
        }
}

static char *resolver_text(const struct resolver *r) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

        if (strv_len(r->searches)) {
                _cleanup_free_ char *line = strv_join(r->searches, " ");
                strbuf_addf(&b, "search %s\n", line);
        }
        for (char *const *s = r->nameservers; s && *s; s++)
                strbuf_addf(&b, "nameserver %s\n", *s);
        if (strv_len(r->options)) {
                _cleanup_free_ char *line = strv_join(r->options, " ");
                strbuf_addf(&b, "options %s\n", line);
        }
        return strbuf_take(&b);
}

struct error *resolv_conf_text(const struct hosts_config *config, char **ret, char ***ret_warnings) {
        _cleanup_(resolver_release) struct resolver r = { 0 };
        _cleanup_strv_ char **warnings = NULL;
        const V1PodSpec *spec = config->pod->spec;
        const char *policy = str_empty(spec->dnspolicy) ? "ClusterFirst" : spec->dnspolicy;
        bool none = streq(policy, "None");
        bool cluster =
                streq(policy, "ClusterFirstWithHostNet") || (streq(policy, "ClusterFirst") && !spec->hostnetwork);

        if (!none) {
                struct error *err = resolver_of_node(config, &r);
                if (err)
                        return err;
        }
        if (cluster && strv_len(config->cluster_dns))
                resolver_of_cluster(config, &r);
        if (spec->dnsconfig)
                resolver_merge(&r, spec->dnsconfig);
        resolver_limit(&r, &warnings);
        *ret = resolver_text(&r);
        if (ret_warnings)
                *ret_warnings = TAKE_PTR(warnings);
        return NULL;
}

/* ---- the files ---- */

char *hosts_folder(const struct store *store, const char *pod_uid) {
        return xasprintf("%s/pods/%s/etc", store->run, pod_uid);
}

/* Same inode (containers have it bound), and never an empty file in between; untouched if it says so already. */
static struct error *rewrite(const char *folder, const char *name, const char *text) {
        _cleanup_free_ char *path = path_join(folder, name), *old = NULL;
        size_t len = strlen(text);

        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        _cleanup_error_ struct error *err = fd_read_all(fd, NODE_FILE_MAX * 2, &old, NULL);
        if (!err && streq(old, text))
                return NULL;
        if (pwrite(fd, text, len, 0) != (ssize_t)len || ftruncate(fd, len) < 0 || fchmod(fd, 0644) < 0)
                return error_errno(errno ? errno : ENOSPC, "write %s", path);
        return NULL;
}

static struct error *folder_make(const struct store *store, const struct hosts_config *config, char **ret) {
        *ret = hosts_folder(store, config->pod->metadata->uid);
        return mkdir_parents(*ret, 0755);
}

struct error *hosts_write_hosts(const struct store *store, const struct hosts_config *config) {
        _cleanup_free_ char *folder = NULL, *text = NULL;
        struct error *err = folder_make(store, config, &folder);

        if (!err)
                err = hosts_text(config, &text);
        return err ? err : rewrite(folder, "hosts", text);
}

struct error *hosts_write(const struct store *store, const struct hosts_config *config, char ***ret_warnings) {
        _cleanup_free_ char *folder = NULL, *resolv = NULL, *hostname = NULL;
        _cleanup_strv_ char **warnings = NULL;
        struct error *err;

        err = hosts_write_hosts(store, config);
        if (err)
                return err;
        err = folder_make(store, config, &folder);
        if (err)
                return err;
        err = resolv_conf_text(config, &resolv, &warnings);
        if (!err)
                err = rewrite(folder, "resolv.conf", resolv);
        if (err)
                return err;
        err = hostname_text(config, &hostname);
        if (!err)
                err = rewrite(folder, "hostname", hostname);
        if (!err && ret_warnings)
                *ret_warnings = TAKE_PTR(warnings);
        return err;
}
