#include "husk-pod/network-request.h"

#include <arpa/inet.h>

#include "api/quantity.h"
#include "base/str.h"
#include "sandbox/hosts.h"

static const char *annotation_of(const V1Pod *pod, const char *key) {
        const V1ObjectMeta *meta = pod->metadata;

        for (size_t i = 0; i < meta->n_annotations; i++)
                if (streq(meta->annotations[i]->key, key))
                        return meta->annotations[i]->value ? meta->annotations[i]->value : "";
        return NULL;
}

/* ---- host ports ---- */

static size_t count_ports(const V1Pod *pod) {
        size_t n = 0;
        for (size_t i = 0; i < pod->spec->n_containers; i++)
                n += pod->spec->containers[i]->n_ports;
        for (size_t i = 0; i < pod->spec->n_initcontainers; i++)
                n += pod->spec->initcontainers[i]->n_ports;
        return n;
}

static size_t add_ports(const V1Container *c, struct net_port *to) {
        size_t n = 0;
        for (size_t i = 0; i < c->n_ports; i++) {
                const V1ContainerPort *p = c->ports[i];
                if (!p->has_hostport || !p->hostport)
                        continue;
                to[n++] = (struct net_port){ .protocol = p->protocol,
                                             .container_port = (uint16_t)p->containerport,
                                             .host_port = (uint16_t)p->hostport,
                                             .host_ip = p->hostip };
        }
        return n;
}

static void take_ports(const V1Pod *pod, struct network_request *r) {
        r->ports = xcalloc(count_ports(pod), sizeof(*r->ports));
        for (size_t i = 0; i < pod->spec->n_containers; i++)
                r->net.n_ports += add_ports(pod->spec->containers[i], r->ports + r->net.n_ports);
        for (size_t i = 0; i < pod->spec->n_initcontainers; i++)
                r->net.n_ports += add_ports(pod->spec->initcontainers[i], r->ports + r->net.n_ports);
        r->net.ports = r->ports;
}

/* ---- bandwidth ---- */

/* kubernetes.io/ingress-bandwidth and egress-bandwidth: bits a second, between 1k and 1P, as runtimes under a kubelet
 * take them. */
static struct error *take_bandwidth(const V1Pod *pod, const char *key, uint64_t *ret_bits) {
        const char *text = annotation_of(pod, key);
        struct quantity q;

        if (!text)
                return NULL;
        if (!quantity_parse(text, &q, NULL) || quantity_value(q) < 1000 || quantity_value(q) > 1000000000000000)
                return error_new(ERROR_INVALID,
                                 "annotation %s: \"%s\" has to be a number of bits a second from 1k to 1P, such as 10M",
                                 key, text);
        *ret_bits = (uint64_t)quantity_value(q);
        return NULL;
}

/* ---- for plugins ---- */

/* "10.1.0.5" or "10.1.0.5/16" */
static bool is_address(const char *text) {
        const char *slash = strchr(text, '/');
        _cleanup_free_ char *address = xstrndup(text, slash ? (size_t)(slash - text) : strlen(text));
        uint8_t bytes[16];
        uint64_t len = 0;
        bool four = inet_pton(AF_INET, address, bytes) == 1;

        return (four || inet_pton(AF_INET6, address, bytes) == 1) &&
               (!slash || (str_to_u64(slash + 1, &len) && len <= (four ? 32 : 128)));
}

static struct error *take_ips(const V1Pod *pod, struct net_plugin_request *r) {
        const char *text = annotation_of(pod, NET_ANNOTATION_IPS);

        if (!text)
                return NULL;
        r->ips = strv_split(text, ',');
        for (char **ip = r->ips; *ip; ip++)
                if (!is_address(*ip))
                        return error_new(ERROR_INVALID,
                                         "annotation " NET_ANNOTATION_IPS ": \"%s\" has to be IP addresses, with or "
                                         "without prefix length, with \",\" between them",
                                         text);
        return NULL;
}

/* So many pairs of hexadecimal digits with colons between them. */
static struct error *take_pairs(const V1Pod *pod, const char *key, size_t n, char **ret) {
        const char *text = annotation_of(pod, key);
        bool good = text && strlen(text) == 3 * n - 1;

        if (!text)
                return NULL;
        for (size_t i = 0; good && text[i]; i++)
                good = i % 3 == 2 ? text[i] == ':' : strchr("0123456789abcdefABCDEF", text[i]) != NULL;
        if (!good)
                return error_new(ERROR_INVALID,
                                 "annotation %s: \"%s\" has to be %zu pairs of hexadecimal digits with \":\" between "
                                 "them",
                                 key, text, n);
        *ret = xstrdup(text);
        return NULL;
}

static void take_words(char ***list, const char *line) {
        _cleanup_strv_ char **words = strv_split(line, ' ');

        for (char **word = words; *word; word++)
                if (**word)
                        *list = strv_add(*list, *word);
}

/* What the pod's resolv.conf will say. */
static struct error *take_dns(struct runtime *rt, struct net_plugin_request *r) {
        struct hosts_config config;
        _cleanup_free_ char *text = NULL;
        struct error *err = runtime_hosts_config(rt, &config);

        if (!err)
                err = resolv_conf_text(&config, &text, NULL);
        if (err)
                return err;
        _cleanup_strv_ char **lines = strv_split(text, '\n');
        for (char **line = lines; *line; line++) {
                if (str_starts_with(*line, "nameserver "))
                        take_words(&r->dns_servers, *line + strlen("nameserver "));
                else if (str_starts_with(*line, "search "))
                        take_words(&r->dns_searches, *line + strlen("search "));
                else if (str_starts_with(*line, "options "))
                        take_words(&r->dns_options, *line + strlen("options "));
        }
        return NULL;
}

static void take_annotations(const V1Pod *pod, struct net_plugin_request *r) {
        r->annotations = json_object();
        for (size_t i = 0; i < pod->metadata->n_annotations; i++)
                json_object_set_new(r->annotations, pod->metadata->annotations[i]->key,
                                    json_string(pod->metadata->annotations[i]->value ?: ""));
}

static struct error *take_plugins(struct runtime *rt, struct network_request *r) {
        struct error *err = take_ips(rt->spec, &r->plugins);

        if (!err)
                err = take_pairs(rt->spec, NET_ANNOTATION_MAC, 6, &r->plugins.mac);
        if (!err)
                err = take_pairs(rt->spec, NET_ANNOTATION_GUID, 8, &r->plugins.infiniband_guid);
        if (!err)
                err = take_dns(rt, &r->plugins);
        if (err)
                return err;
        take_annotations(rt->spec, &r->plugins);
        r->plugins.cgroup = xstrdup(rt->sb.cgroup);
        r->net.for_plugins = &r->plugins;
        return NULL;
}

static struct error *refuse_plugins(const V1Pod *pod) {
        static const char *const keys[] = { NET_ANNOTATION_IPS, NET_ANNOTATION_MAC, NET_ANNOTATION_GUID };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (annotation_of(pod, keys[i]))
                        return error_new(ERROR_NOT_SUPPORTED,
                                         "annotation %s: it is for CNI plugins, and here husk makes the network itself "
                                         "(there is no cniConfDir in config.yaml)",
                                         keys[i]);
        return NULL;
}

/* ---- all of it ---- */

struct error *network_request_of(struct runtime *rt, struct network_request *ret) {
        const V1Pod *pod = rt->spec;
        struct error *err = take_bandwidth(pod, "kubernetes.io/ingress-bandwidth", &ret->net.ingress_bits);

        if (!err)
                err = take_bandwidth(pod, "kubernetes.io/egress-bandwidth", &ret->net.egress_bits);
        if (!err)
                err = rt->sb.by_plugins ? take_plugins(rt, ret) : refuse_plugins(pod);
        if (err)
                return err;
        take_ports(pod, ret);
        ret->pod_name = xasprintf("%s/%s", pod->metadata->namespace_, pod->metadata->name);
        ret->net.pod_name = ret->pod_name;
        ret->net.infra_pid = rt->sb.sandbox->pid;
        return NULL;
}

void network_request_release(struct network_request *r) {
        free(r->pod_name);
        free(r->ports);
        strv_free(r->plugins.dns_servers);
        strv_free(r->plugins.dns_searches);
        strv_free(r->plugins.dns_options);
        free(r->plugins.cgroup);
        json_decref(r->plugins.annotations);
        strv_free(r->plugins.ips);
        free(r->plugins.mac);
        free(r->plugins.infiniband_guid);
}
