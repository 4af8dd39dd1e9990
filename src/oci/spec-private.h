/* spec-private.h - what the files of config.json share: spec.c, spec-resources.c, spec-security.c. */
#pragma once

#include "base/str.h"
#include "oci/spec.h"

static inline bool is_privileged(const V1Container *container) {
        const V1SecurityContext *sc = container->securitycontext;

        return sc && sc->has_privileged && sc->privileged;
}

/* Takes over `value`. */
static inline void set(json_t *object, const char *key, json_t *value) {
        json_object_set_new(object, key, value);
}

/* Capabilities and the rest of what the security context decides; into the spec, its process and its "linux". */
struct error *oci_spec_add_security(json_t *spec, json_t *process, json_t *linux_,
                                    const struct oci_spec_config *config) _must_check_;
