/* cni.h - inside src/net: the pods' network made by CNI plugins instead of the built-in one.
 *
 * Used for a node whose <root>/config.yaml has cniConfDir. What a pod has, and the configuration it was made with, lies
 * in <root>/cni/<uid>.json from before the first plugin is called until DEL has succeeded for all: a DEL that failed
 * is tried again by whoever attaches next, or deletes the pod again. The records outlive a reboot because the plugins'
 * own (of addresses) do. The lock beside them is held shared while plugins are called for a pod, and alone for GC,
 * which must not meet them. */
#pragma once

#include "net/net.h"
#include "store/node-config.h"

/* As net_attach(); the namespace's loopback is up already. STATUS is asked first where the configuration is of version
 * 1.1.0, and garbage is collected (GC) after a dead pod's network was taken back. ERROR_UNAVAILABLE with the plugin's
 * words. */
struct error *cni_attach(const struct store *store, const struct node_config *config, const char *pod_uid, int netns_fd,
                         const struct net_request *request, struct net_result *ret) _must_check_;
/* *ret_mine: the pod's network was CNI's. Idempotent; a DEL that fails is a warning, and tried again as said above. */
struct error *cni_detach(const struct store *store, const char *pod_uid, bool *ret_mine) _must_check_;
/* What ADD answered. *ret_mine as above. */
struct error *cni_read(const struct store *store, const char *pod_uid, struct net_result *ret,
                       bool *ret_mine) _must_check_;
/* Calls `f` for each pod whose network plugins have made. */
struct error *cni_each(const struct store *store,
                       void (*f)(const char *uid, const char *pod_name, const struct net_result *result, void *data),
                       void *data) _must_check_;
/* Does all of it still stand (CHECK)? For `husk network`. ERROR_NOT_FOUND: the pod's network is not CNI's. */
struct error *cni_check(const struct store *store, const char *pod_uid) _must_check_;

/* Addresses in a plugin's result that belong to the pod's interface. */
struct error *cni_result_parse(const json_t *result, struct net_result *ret) _must_check_;
