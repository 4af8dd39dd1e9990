/* cni-config.h - a CNI network configuration list: which plugins make the pods' network.
 *
 * Of the files NAME.conflist, NAME.conf and NAME.json in the folder the first by name counts, as for every runtime.
 * Versions 0.3.0 to 1.1.0 of the specification (https://www.cni.dev/docs/spec/); since 1.1.0 the plugins of a list may
 * lie in a folder beside it, too, that is called as the network is. */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct cni_config {
        char *file, *name, *version;
        char **offered; /* of what cniVersion and cniVersions name the known ones, newest first; version is the first */
        bool disable_check, disable_gc;
        json_t *plugins; /* array of objects, as in the file */
};

/* ERROR_NOT_FOUND: no configuration in the folder; ERROR_INVALID: what is wrong with it. */
struct error *cni_config_read(const char *folder, struct cni_config *ret) _must_check_;
/* From the file's text; `file` is for messages and tells a list (.conflist) from a single plugin. `folder`: where
 * further plugins of the list may lie; NULL: nowhere. */
struct error *cni_config_parse(const char *file, const char *text, size_t len, const char *folder,
                               struct cni_config *ret) _must_check_;
void cni_config_release(struct cni_config *config);

/* Back and forth, for what is kept about a pod. */
json_t *cni_config_json(const struct cni_config *config);
struct error *cni_config_of_json(const char *file, json_t *json, struct cni_config *ret) _must_check_;

/* CHECK, and prevResult for DEL, came with version 0.4.0; STATUS and GC with 1.1.0. */
bool cni_config_is_0_4(const struct cni_config *config);
bool cni_config_is_1_1(const struct cni_config *config);
