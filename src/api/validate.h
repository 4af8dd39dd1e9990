/* validate.h - is this object one that Kubernetes would accept?
 *
 * The rules, field paths and sentences are those of Kubernetes 1.36's apiserver with default feature gates; the odd
 * paths, too ("spec.containers[0].volumeMounts.subPath" has no index), because people and programs look for them. Every
 * mistake is added to `diags`; nothing added means valid. Objects must be decoded strictly and have had their defaults
 * (defaults.h), and a namespaced object its metadata.namespace.
 *
 * What husk cannot carry out on this machine is not looked at here: that is api_check_supported(). */
#pragma once

#include "api/api.h"

/* A pod about to be created. */
void api_validate_pod(const V1Pod *pod, struct diagnostics *diags);
/* An existing pod about to be replaced: images, deadline, tolerations (more of them), labels and annotations may
 * change, scheduling gates go, and a gated pod may be narrowed to fewer nodes. Fields that only the system writes (uid,
 * resourceVersion, creationTimestamp, …) may be left out of the new object; status is not looked at. */
void api_validate_pod_update(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags);
/* Subresource resize: only cpu and memory of containers (and of the pod) may change, and never the QoS class. */
void api_validate_pod_resize(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags);
/* Subresource ephemeralcontainers: they may be added, never changed or taken away. The caller has put the new list into
 * a copy of the old pod. */
void api_validate_pod_ephemeral(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags);
/* Subresource status. */
void api_validate_pod_status(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags);

void api_validate_config_map(const V1ConfigMap *map, struct diagnostics *diags);
void api_validate_config_map_update(const V1ConfigMap *new_map, const V1ConfigMap *old_map, struct diagnostics *diags);
void api_validate_secret(const V1Secret *secret, struct diagnostics *diags);
void api_validate_secret_update(const V1Secret *new_secret, const V1Secret *old_secret, struct diagnostics *diags);
void api_validate_namespace(const V1Namespace *ns, struct diagnostics *diags);
void api_validate_namespace_update(const V1Namespace *new_ns, const V1Namespace *old_ns, struct diagnostics *diags);
void api_validate_claim(const V1PersistentVolumeClaim *claim, struct diagnostics *diags);
void api_validate_claim_update(const V1PersistentVolumeClaim *new_claim, const V1PersistentVolumeClaim *old_claim,
                               struct diagnostics *diags);
void api_validate_runtime_class(const V1RuntimeClass *class, struct diagnostics *diags);
void api_validate_runtime_class_update(const V1RuntimeClass *new_class, const V1RuntimeClass *old_class,
                                       struct diagnostics *diags);
void api_validate_priority_class(const V1PriorityClass *class, struct diagnostics *diags);
void api_validate_priority_class_update(const V1PriorityClass *new_class, const V1PriorityClass *old_class,
                                        struct diagnostics *diags);
void api_validate_node(const V1Node *node, struct diagnostics *diags);
void api_validate_node_update(const V1Node *new_node, const V1Node *old_node, struct diagnostics *diags);

/* By the message's type (the pod rules for a V1Pod, …); events and what else only husk writes have no rules.
 * `old_object` NULL: a creation. */
void api_validate(const ProtobufCMessage *object, const ProtobufCMessage *old_object, struct diagnostics *diags);
