/* runtime-class.h - RuntimeClasses (node.k8s.io/v1): what a runtimeClassName stands for.
 *
 * A class names the handler that runs a pod's containers (the node's configuration says which program that is), what it
 * costs beside them, and where it is to be had. Classes are objects: whoever has a store makes them known, for defaults
 * and validation look nothing up themselves (https://kubernetes.io/docs/concepts/containers/runtime-class/). */
#pragma once

#include "api/api.h"

/* Lets `load` make classes known just before they matter for the first time. */
void runtime_classes_on_demand(void (*load)(void *arg), void *arg);
/* Makes a class known to this process, in the place of one of that name. Copied. */
void runtime_class_add(const V1RuntimeClass *class);
void runtime_classes_forget(void);
/* NULL: there is none of that name. */
const V1RuntimeClass *runtime_class_find(const char *name);

/* What the admission of an apiserver writes into a new pod: overhead, node selector and tolerations of its class. What
 * the pod says itself stays; api_validate_pod() holds it against the class. */
void runtime_class_set(V1PodSpec *spec, struct api_arena *arena);
