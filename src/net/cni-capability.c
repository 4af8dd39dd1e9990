#include "net/cni-capability.h"

#include "base/str.h"

static json_t *port_mappings(const struct net_request *request) {
        json_t *list = json_array();

        for (size_t i = 0; i < request->n_ports; i++) {
                const struct net_port *p = &request->ports[i];
                if (!p->host_port)
                        continue;
                _cleanup_free_ char *protocol = xstrdup(p->protocol ? p->protocol : "TCP");
                for (char *c = protocol; *c; c++)
                        *c = (char)(*c | 32); /* plugins write it in small letters */
                json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:s}", "hostPort", (int)p->host_port,
                                                      "containerPort", (int)p->container_port, "protocol", protocol,
                                                      "hostIP", p->host_ip ? p->host_ip : ""));
        }
        return list;
}

static json_t *bandwidth(const struct net_request *request) {
        json_t *json = json_object();

        /* Bits a second, and bits of burst: as much as the kubelet's runtimes allow. */
        if (request->ingress_bits) {
                json_object_set_new(json, "ingressRate", json_integer((json_int_t)request->ingress_bits));
                json_object_set_new(json, "ingressBurst", json_integer(INT32_MAX));
        }
        if (request->egress_bits) {
                json_object_set_new(json, "egressRate", json_integer((json_int_t)request->egress_bits));
                json_object_set_new(json, "egressBurst", json_integer(INT32_MAX));
        }
        return json;
}

static json_t *list_of(char *const *strings) {
        json_t *list = json_array();

        for (; strings && *strings; strings++)
                json_array_append_new(list, json_string(*strings));
        return list;
}

/* Takes the value; one that is empty says nothing. */
static void add(json_t *json, const char *capability, json_t *value) {
        if (json_is_string(value) || json_object_size(value) || json_array_size(value))
                json_object_set(json, capability, value);
        json_decref(value);
}

json_t *cni_capabilities_of(const struct net_request *request) {
        const struct net_plugin_request *more = request->for_plugins;
        json_t *json = json_object();

        add(json, "portMappings", port_mappings(request));
        add(json, "bandwidth", bandwidth(request));
        if (!more)
                return json;
        add(json, "ips", list_of(more->ips));
        add(json, "mac", more->mac ? json_string(more->mac) : NULL);
        add(json, "infinibandGUID", more->infiniband_guid ? json_string(more->infiniband_guid) : NULL);
        add(json, "dns",
            json_pack("{s:o, s:o, s:o}", "servers", list_of(more->dns_servers), "searches", list_of(more->dns_searches),
                      "options", list_of(more->dns_options)));
        add(json, "cgroupPath", more->cgroup ? json_string(more->cgroup) : NULL);
        add(json, "io.kubernetes.cri.pod-annotations", json_incref(more->annotations));
        return json;
}

/* Of the others a pod does not ask for itself; they are told to whoever listens. */
static const struct {
        const char *name, *what, *plugin;
} asked_for[] = {
        { "portMappings", "host ports", "portmap" },
        { "bandwidth", "bandwidth annotations", "bandwidth" },
        { "ips", "annotation " NET_ANNOTATION_IPS, "static" },
        { "mac", "annotation " NET_ANNOTATION_MAC, "tuning" },
        { "infinibandGUID", "annotation " NET_ANNOTATION_GUID, "ib-sriov" },
};

static bool has_capability(const struct cni_config *config, const char *name) {
        const json_t *plugin;
        size_t i;

        json_array_foreach(
                config->plugins, i,
                plugin) if (json_is_true(json_object_get(json_object_get(plugin, "capabilities"), name))) return true;
        return false;
}

struct error *cni_capabilities_check(const struct cni_config *config, const json_t *capabilities) {
        for (size_t i = 0; i < ARRAY_SIZE(asked_for); i++)
                if (json_object_get(capabilities, asked_for[i].name) && !has_capability(config, asked_for[i].name))
                        return error_new(
                                ERROR_NOT_SUPPORTED,
                                "no plugin of %s has the capability \"%s\", which the pod needs for its %s: add "
                                "one, such as \"%s\", to the list",
                                config->file, asked_for[i].name, asked_for[i].what, asked_for[i].plugin);
        return NULL;
}
