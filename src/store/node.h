/* node.h - this machine as a Kubernetes Node. What is kept is what a user may change (labels, taints, annotations);
 * what the machine is (capacity, addresses, conditions) is read from it each time. */
#pragma once

#include <jansson.h>

struct store;

/* A Node object for this machine: its name, labels and times; no status. */
json_t *node_new(struct store *store);
/* Sets node.status from the machine as it is now, and from what its configuration and device specifications say. */
void node_fill_status(const struct store *store, json_t *node);
