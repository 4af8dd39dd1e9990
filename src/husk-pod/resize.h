/* resize.h - resources of a pod that changes them while it runs (KEP-1287, and KEP-5419 for the pod's own).
 *
 * Three answers to "how much" are kept apart, as a kubelet does:
 *
 *   desired     the Pod object
 *   allocated   what the node has granted: the Pod object, until a change of it has to wait (pod_allocated(), ops.h)
 *   applied     what was written to the cgroups of a run, or of the pod
 *
 * desired ──the node has room──▶ allocated ──written to the cgroups, or by a restart──▶ applied
 *
 * The first step waits as PodResizePending (Deferred, Infeasible), the second as PodResizeInProgress; both may wait at
 * once. Whatever is started meanwhile is started with what is allocated. For the files of the state machine only. */
#pragma once

#include "husk-pod/pod-private.h"

/* The Pod object is about to be replaced by `spec`; what was allocated stays. Sets pod->spec. */
void resize_desired(struct pod *pod, const V1Pod *spec);
/* Does the Pod object ask for something else than is allocated? */
bool resize_is_desired(const struct pod *pod);
/* For pod_restore(): what `state` says was allocated. */
void resize_load(struct pod *pod, const json_t *state);
void resize_save(const struct pod *pod, json_t *state);
/* What is allocated has been made part of the pod's cgroup (a new one), or of a run. */
void resize_remember_pod(struct pod *pod);
void resize_remember(struct container *c);
/* Asks the node, if that is due, and brings cgroups to what is allocated. */
void resize_step(struct pod *pod);
/* Something that stood in the way may be gone: try again at once. */
void resize_retry(struct pod *pod);
/* Runs with other cpu or memory than is allocated; and has to be restarted to get it (resizePolicy). */
bool resize_is_due(const struct container *c);
bool resize_needs_restart(const struct container *c);
