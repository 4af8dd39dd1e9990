/* config.h - ConfigMaps and Secrets as typed objects, in the kubelet's words when they are missing.
 *
 * Used by environments (src/oci) and volumes (src/volume). */
#pragma once

#include "api/api.h"
#include "store/store.h"

/* Reads one; it lives in the arena. ERROR_NOT_FOUND: `configmap "x" not found`, `secret "x" not found`. */
struct error *config_map_read(struct store *store, const char *ns, const char *name, struct api_arena *arena,
                              V1ConfigMap **ret) _must_check_;
struct error *secret_read(struct store *store, const char *ns, const char *name, struct api_arena *arena,
                          V1Secret **ret) _must_check_;

/* The bytes under a key (of data or binaryData), or false. */
bool config_map_value(const V1ConfigMap *map, const char *key, ProtobufCBinaryData *ret);
bool secret_value(const V1Secret *secret, const char *key, ProtobufCBinaryData *ret);
