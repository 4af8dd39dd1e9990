/* resources.h - what a pod asks for altogether, and the quality of service that follows from it.
 *
 * Containers run side by side, so their requests add up; ordinary init containers run before them and one by one, so
 * only the largest counts; a sidecar (init container with restartPolicy Always) runs beside everything that starts
 * after it. Requests and limits of the pod itself (spec.resources) replace the sum for cpu, memory and huge pages;
 * overhead comes on top
 * (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers). */
#pragma once

#include "api/api.h"
#include "api/quantity.h"

struct resource {
        const char *name; /* "cpu"; belongs to the pod */
        struct quantity quantity;
};

struct resource_list {
        struct resource *items;
        size_t n;
};
#define RESOURCE_LIST_INIT \
        { 0 }
void resource_list_release(struct resource_list *list);
#define _cleanup_resource_list_ _cleanup_(resource_list_release)

/* NULL if there is no such entry. */
const struct quantity *resource_list_get(const struct resource_list *list, const char *name);

/* Effective requests and limits of the whole pod, overhead included; an empty list is given back filled. */
void api_pod_requests(const V1Pod *pod, struct resource_list *ret);
void api_pod_limits(const V1Pod *pod, struct resource_list *ret);
/* The same without spec.resources and overhead: what the containers alone ask for. */
void api_pod_container_requests(const V1Pod *pod, struct resource_list *ret);
void api_pod_container_limits(const V1Pod *pod, struct resource_list *ret);
/* Does every container that will run (init containers, too) have a limit for it? Only then is the sum a limit of the
 * pod: one container without makes the pod unlimited. */
bool api_pod_limits_every_container(const V1Pod *pod, const char *resource);

/* "Guaranteed", "Burstable" or "BestEffort" (https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/). */
const char *api_pod_qos_class(const V1Pod *pod);

/* An init container that stays: restartPolicy Always. */
bool api_container_is_sidecar(const V1Container *init_container);
