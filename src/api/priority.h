/* priority.h - PriorityClasses: what a priorityClassName stands for.
 *
 * Two classes are in every cluster, and there is always "none". Others are objects: whoever has a store makes them
 * known (priority_class_add()), for defaults and validation look nothing up themselves. */
#pragma once

#include "api/api.h"

struct priority_class {
        char *name;
        int32_t value;
        const char *preemption_policy; /* PreemptLowerPriority or Never */
        bool global_default;
};

/* Lets `load` make classes known just before they matter for the first time: most commands never look at one. */
void priority_classes_on_demand(void (*load)(void *arg), void *arg);
/* Makes a class known to this process, in the place of one of that name. */
void priority_class_add(const V1PriorityClass *class);
/* Forgets all but those that every cluster has. */
void priority_classes_forget(void);
/* NULL or "": the global default, else the class without a name, of priority 0. NULL if there is none of that name. */
const struct priority_class *priority_class_find(const char *name);
/* One of the two that every cluster has. */
const struct priority_class *priority_class_find_known(const char *name);

/* What the admission of an apiserver writes into a new pod. What the pod says itself stays; api_validate_pod() holds it
 * against the class. */
void priority_set(V1PodSpec *spec, struct api_arena *arena);
