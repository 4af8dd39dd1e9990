/* result.h - what pull and load say when they are done, and what they share in setting up. */
#pragma once

#include "husk-image/install.h"
#include "husk-image/options.h"

/* One line for people ("docker.io/library/redis:7  sha256:…"), or a JSON object with -o json:
 * {"reference", "id", "digest", "size", "fetched", "layersFetched", "layersPresent"}. reference may be NULL. */
struct error *result_print(const struct options *options, const struct reference *reference,
                           const struct installed *installed) _must_check_;

/* Fills an installer from the command line; in.fetch.registry stays NULL. */
struct error *installer_init(struct installer *in, const struct context *context,
                             struct unpacker *unpacker) _must_check_;
void installer_release(struct installer *in);
