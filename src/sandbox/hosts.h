/* hosts.h - names: the pod's hostname, and /etc/hosts, /etc/resolv.conf and /etc/hostname of its containers.
 *
 * The texts are Kubernetes' byte for byte. The files lie in <run>/pods/<uid>/etc/ and are bound into every container;
 * they are rewritten in place (same inode), so that containers that run see the change, as with a kubelet. */
#pragma once

#include "base/error.h"
#include "core-v1.pb-c.h"
#include "store/store.h"

#define CLUSTER_DOMAIN "cluster.local"

struct pod_hostname {
        char *hostname; /* short: spec.hostnameOverride, spec.hostname, or the pod's name; at most 63 bytes */
        char *domain;   /* "<subdomain>.<namespace>.svc.<cluster domain>", "" without subdomain */
        char *kernel;   /* what the uts namespace gets: the short one, the FQDN with setHostnameAsFQDN, the node's
                           for hostNetwork */
};
/* Kubernetes' rules. With setHostnameAsFQDN an FQDN of more than 64 bytes is an error in the kubelet's words. */
struct error *pod_hostname_of(const V1Pod *pod, const char *cluster_domain, struct pod_hostname *ret) _must_check_;
void pod_hostname_release(struct pod_hostname *hostname);

struct hosts_config {
        const V1Pod *pod;
        char *const *pod_ips;       /* of the pod, first the one for podIP; NULL-terminated; may be NULL */
        const char *cluster_domain; /* NULL: "cluster.local" */
        char *const *cluster_dns;   /* addresses of the cluster's DNS servers; NULL or empty: ClusterFirst is Default */
        const char *node_hosts;     /* NULL: /etc/hosts */
        const char *node_resolv;    /* NULL: /etc/resolv.conf, or systemd-resolved's own list when that only has its
                                       stub; "": the node has no resolver */
};
/* The nameservers of such a file; none if there is no file. The list is the caller's. */
struct error *resolv_conf_nameservers(const char *path, char ***ret) _must_check_;
/* Text of each file; owned by the caller. */
struct error *hosts_text(const struct hosts_config *config, char **ret) _must_check_;
/* `ret_warnings` (may be NULL): what a kubelet says in events of type Warning, each as "DNSConfigForming: <message>";
 * a string list the caller owns. */
struct error *resolv_conf_text(const struct hosts_config *config, char **ret, char ***ret_warnings) _must_check_;
struct error *hostname_text(const struct hosts_config *config, char **ret) _must_check_;

/* Folder of the three files: <run>/pods/<uid>/etc. Owned by the caller. */
char *hosts_folder(const struct store *store, const char *pod_uid);
/* Writes all three ("hosts", "resolv.conf", "hostname"): when the sandbox has been made. ret_warnings as above. */
struct error *hosts_write(const struct store *store, const struct hosts_config *config,
                          char ***ret_warnings) _must_check_;
/* Writes "hosts" only: a kubelet does at every start of a container, also because containers may write into it. */
struct error *hosts_write_hosts(const struct store *store, const struct hosts_config *config) _must_check_;
