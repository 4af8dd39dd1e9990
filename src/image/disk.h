/* disk.h - how full the disk of the images is, by the thresholds of a kubelet's image garbage collection. */
#pragma once

#include "base/error.h"
#include "store/node-config.h"

/* Bytes to be freed until it is filled to the low threshold only; 0: it is not filled to the high one, or there is no
 * image yet. */
struct error *images_bytes_to_free(const struct store *store, const struct node_config *config,
                                   uint64_t *ret) _must_check_;
