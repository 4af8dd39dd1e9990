/* defaults.h - what Kubernetes' apiserver fills in and leaves out of an object before it is checked and stored.
 *
 * Called once on a decoded object, before validation: afterwards every field that has a default is set, and what the
 * apiserver of a Kubernetes 1.36 with its default feature gates would drop is gone (schedulingGroup, …). Calling it
 * again changes nothing. New texts and structs come from the arena that must live as long as the object. */
#pragma once

#include "api/api.h"

void api_set_pod_defaults(V1Pod *pod, struct api_arena *arena);
void api_set_config_map_defaults(V1ConfigMap *map, struct api_arena *arena);
/* stringData is moved into data (it wins over equal keys), as it is write-only. */
void api_set_secret_defaults(V1Secret *secret, struct api_arena *arena);
void api_set_namespace_defaults(V1Namespace *ns, struct api_arena *arena);
void api_set_claim_defaults(V1PersistentVolumeClaim *claim, struct api_arena *arena);
void api_set_node_defaults(V1Node *node, struct api_arena *arena);
void api_set_priority_class_defaults(V1PriorityClass *class, struct api_arena *arena);

/* By the message's type; kinds without defaults are left as they are. */
void api_set_defaults(ProtobufCMessage *object, struct api_arena *arena);
