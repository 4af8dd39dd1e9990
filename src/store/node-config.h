/* node-config.h - what whoever runs the machine decides about a node: <root>/config.yaml.
 *
 *   allowedUnsafeSysctls: ["kernel.msg*"]        as a kubelet's configuration has it
 *   userNamespaces: {firstID: 65536, pods: 4096} ids of pods with hostUsers: false, 65536 each
 *   cdiSpecDirs: [/etc/cdi, /var/run/cdi]        folders with CDI specifications of devices
 *   resolver: true                               husk answers the pods' questions for names of pods
 *   clusterDomain: cluster.local                 the domain of these names, as a kubelet's
 *   clusterDNS: [10.96.0.10]                     without resolver: servers for pods of dnsPolicy ClusterFirst, as a
 *                                                kubelet's
 *   resolvConf: /etc/resolv.conf                 the machine's own nameservers, as a kubelet's; "": none
 *   podPidsLimit: 1024                           processes and threads a pod may have, -1: any number; as a kubelet's
 *   runtimeHandlers: {gvisor: /usr/bin/runsc}    OCI runtimes by the name that a RuntimeClass gives as its handler
 *   cniConfDir: /etc/cni/net.d                   CNI plugins make the pods' network, by the first configuration there;
 *                                                without it husk does so itself, whatever others left in that folder
 *   cniBinDirs: [/opt/cni/bin, /usr/lib/cni]     where the plugins are
 *   cniTimeoutSeconds: 60                        how long one of them may take
 *   firewalldZone: trusted                       where firewalld runs, the zone that the pods' bridge is put into;
 *                                                "": husk leaves firewalld alone
 *   imageGCHighThresholdPercent: 85              image garbage collection, as a kubelet's: begins when the disk is so
 *                                                full (100: never),
 *   imageGCLowThresholdPercent: 80               ends when it is so empty,
 *   imageMinimumGCAge: 2m                        leaves images that came or were used so lately,
 *   imageMaximumGCAge: 0s                        and takes whatever was not used for so long (0s: no such limit)
 *   imagePullCredentialsVerificationPolicy: NeverVerifyPreloadedImages
 *                                                for which images that are here a pod's credentials are verified before
 *                                                it may use them, as a kubelet's; see image/access.h
 *   preloadedImagesVerificationAllowlist: [quay.io/team/app]
 *                                                for NeverVerifyAllowlistedImages: the preloaded images that are not
 *
 * Every field may be left out; apiVersion and kind are not looked at. An unknown field or a value out of range is an
 * error that names it: protection that was asked for must not be lost by a slip of the pen. */
#pragma once

#include "base/error.h"
#include "store/store.h"

enum image_verification { VERIFY_NEVER, VERIFY_PULLED, VERIFY_UNLISTED, VERIFY_ALWAYS };
#define NODE_CONFIG_CNI_TIMEOUT_S 60

struct node_config {
        char **allowed_unsafe_sysctls; /* names or "prefix*"; may be NULL */
        uint32_t userns_first;         /* a multiple of 65536 */
        uint32_t userns_pods;
        char **cdi_spec_dirs;
        char *cni_conf_dir; /* NULL: the built-in network */
        char **cni_bin_dirs;
        char *firewalld_zone;   /* NULL: trusted; "": none */
        uint32_t cni_timeout_s; /* of one plugin */
        bool resolver;
        char *cluster_domain;   /* NULL: cluster.local */
        char **cluster_dns;     /* addresses; may be NULL */
        char *resolv_conf;      /* NULL: /etc/resolv.conf; "": none */
        int64_t pod_pids_limit; /* -1: none */
        uint32_t image_gc_high_percent, image_gc_low_percent;
        int64_t image_min_age_s, image_max_age_s; /* seconds; the second 0: no limit */
        enum image_verification image_verification;
        char **preloaded_allowlist; /* names without tag, or "prefix" and a slash and a star; may be NULL */
        char **runtime_handlers;    /* "handler=program", the program an absolute path or a name in PATH; may be NULL */
};

/* The defaults if there is no such file. */
struct error *node_config_read(const struct store *store, struct node_config *ret) _must_check_;
/* The same from the file's text; `name` is for messages. */
struct error *node_config_parse(const char *name, const char *text, size_t len, struct node_config *ret) _must_check_;
/* The program of a handler; NULL: there is no such handler. */
const char *node_config_runtime(const struct node_config *config, const char *handler);
/* "cluster.local", or what the file says. */
const char *node_config_cluster_domain(const struct node_config *config);
void node_config_release(struct node_config *config);
#define _cleanup_node_config_ _cleanup_(node_config_release)
