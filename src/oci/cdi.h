/* cdi.h - a container's configuration with the devices that it was given (store/cdi.h). */
#pragma once

#include <jansson.h>

#include "store/cdi.h"

/* Applies containerEdits: device nodes with leave to use them, mounts, environment, groups, hooks. A device of the
 * specification that this machine does not have is an error. `userns`: the container has a user namespace, in which no
 * device can be made: then nodes are bound. */
struct error *cdi_apply(const json_t *edits, bool userns, json_t *spec) _must_check_;
