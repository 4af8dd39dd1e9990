/* prune.h - removal of images, told to the user. */
#pragma once

#include "husk-image/options.h"

/* Removes images by id, and what nothing needs any more; prints it, with the names that went. */
struct error *collect(struct context *context, char *const *ids, char *const *untagged) _must_check_;

/* What the node's configuration (imageGCHighThresholdPercent and its sisters, as a kubelet's) wants gone, if anything:
 * images that no pod uses, nobody pinned and a pull can bring again, those not started for longest first. For after a
 * pull. */
struct error *image_gc(struct context *context) _must_check_;
