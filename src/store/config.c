#include "store/config.h"

static struct error *config_read(struct store *store, const char *kind_name, const char *word, const char *ns,
                                 const char *name, struct api_arena *arena, void *ret) {
        const struct api_kind *kind = api_kind_of(kind_name);
        struct error *err;
        json_t *json;

        err = store_get(store, kind, ns, name, &json);
        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return error_new(ERROR_NOT_FOUND, "%s \"%s\" not found", word, name);
        }
        if (err)
                return err;
        err = api_decode_stored(json, kind->descriptor, arena, ret);
        json_decref(json);
        return error_context(err, "%s \"%s\"", word, name);
}

struct error *config_map_read(struct store *store, const char *ns, const char *name, struct api_arena *arena,
                              V1ConfigMap **ret) {
        return config_read(store, "ConfigMap", "configmap", ns, name, arena, ret);
}

struct error *secret_read(struct store *store, const char *ns, const char *name, struct api_arena *arena,
                          V1Secret **ret) {
        return config_read(store, "Secret", "secret", ns, name, arena, ret);
}

static bool bytes_find(V1BytesEntry *const *entries, size_t n, const char *key, ProtobufCBinaryData *ret) {
        for (size_t i = 0; i < n; i++)
                if (streq_ptr(entries[i]->key, key)) {
                        *ret = entries[i]->value;
                        return true;
                }
        return false;
}

bool config_map_value(const V1ConfigMap *map, const char *key, ProtobufCBinaryData *ret) {
        const char *text = api_map_get(map->data, map->n_data, key);

        if (!text)
                return bytes_find(map->binarydata, map->n_binarydata, key, ret);
        *ret = (ProtobufCBinaryData){ .len = strlen(text), .data = (uint8_t *)text };
        return true;
}

bool secret_value(const V1Secret *secret, const char *key, ProtobufCBinaryData *ret) {
        return bytes_find(secret->data, secret->n_data, key, ret);
}
