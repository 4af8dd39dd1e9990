/* create-configmap.c - `husk create configmap`: files and values as a ConfigMap. */
#include "base/base64.h"
#include "husk/create-data.h"
#include "husk/create.h"
#include "husk/verbs.h"
#include "server/field.h"

static struct create_flags flags;
static struct data_source source;

const struct flag create_configmap_flags[] = { FLAGS_DATA_SOURCE(source), FLAGS_CREATE(flags), { 0 } };

/* Text is data, bytes that are no UTF-8 are binaryData. */
static struct error *add(void *arg, const char *key, const char *value, size_t len) {
        json_t *map = arg, *text = memchr(value, '\0', len) ? NULL : json_stringn(value, len);

        if (json_object_get(json_object_get(map, "data"), key) ||
            json_object_get(json_object_get(map, "binaryData"), key)) {
                json_decref(text);
                return usage_error(
                        "cannot add key \"%s\", another key by that name already exists in Data for ConfigMap "
                        "\"%s\"",
                        key, object_name(map));
        }
        if (text) {
                json_object_set_new(field_make_object(map, "data"), key, text);
                return NULL;
        }
        _cleanup_free_ char *encoded = base64_encode(value, len);
        json_object_set_new(field_make_object(map, "binaryData"), key, json_string(encoded));
        return NULL;
}

struct error *create_configmap_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_json_ json_t *map = NULL;
        const char *name;
        struct error *err = create_name(cli, arguments, &name);

        if (err)
                return err;
        map = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap", "metadata", "name", name);
        err = data_source_read(&source, add, map);
        return err ? err : create_object(cli, map, &flags);
}
