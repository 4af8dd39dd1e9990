/* cni.h - inside src/net: the pods' network made by CNI plugins instead of the built-in one.
 *
 * Used for a node whose <root>/config.yaml has cniConfDir. What a pod has, and the configuration it was made with, lies
 * in <root>/cni/<uid>.json from before the first plugin is called until DEL has succeeded for all: a DEL that failed
 * is tried again by whoever attaches next, or deletes the pod again. The records outlive a reboot because the plugins'
 * own (of addresses) do. The lock beside them is held shared while plugins are called for a pod, and alone for GC,
 * which must not meet them. What has to be done is done by jobs (cni-job.h). */
#pragma once

#include "net/job.h"
#include "net/net.h"
#include "store/node-config.h"

/* As net_attach_begin(); the namespace's loopback is up already. */
struct error *cni_attach(const struct store *store, const struct node_config *config, const char *pod_uid, int netns_fd,
                         const struct net_request *request, struct net_result *ret,
                         struct net_job **ret_job) _must_check_;
/* *ret_job: NULL if there is nothing on record. strict: a DEL that fails is an error of the job, else a warning. */
struct error *cni_detach(const struct store *store, const char *pod_uid, bool strict,
                         struct net_job **ret_job) _must_check_;
/* What ADD answered. *ret_mine: the pod's network is CNI's. */
struct error *cni_read(const struct store *store, const char *pod_uid, struct net_result *ret,
                       bool *ret_mine) _must_check_;
/* Calls `f` for each pod whose network plugins have made. */
struct error *cni_each(const struct store *store,
                       void (*f)(const char *uid, const char *pod_name, const struct net_result *result, void *data),
                       void *data) _must_check_;
/* Does all of it still stand (CHECK)? Waits. ERROR_NOT_FOUND: the pod's network is not CNI's. */
struct error *cni_check(const struct store *store, const char *pod_uid) _must_check_;
/* Can pods be attached (STATUS)? Waits. */
struct error *cni_status(const struct store *store, const struct node_config *config) _must_check_;
/* For people: 'network "pods" of /etc/cni/net.d/10-pods.conflist: bridge, portmap'; NULL: there is none. The caller's.
 */
char *cni_summary(const struct node_config *config);
