/* status.h - what a pod looks like from outside: phase, conditions, container statuses, as V1PodStatus.
 *
 * Derived from the machine's state alone, each time anew; only the conditions remember (their last transition). */
#pragma once

#include "husk-pod/pod-private.h"

/* Brings the conditions up to date and builds the status in `arena`. */
V1PodStatus *status_build(struct pod *pod, struct api_arena *arena);
bool status_phase_is_terminal(const char *phase);
/* Types of conditions that nobody but the machine sets. */
bool status_owns_condition(const char *type);
