/* describe-volume.c - the volumes of a pod as kubectl describes them. */
#include "base/str.h"
#include "husk/describe.h"
#include "server/field.h"

/* What is shown of a field of a volume's source. */
struct shown {
        const char *title, *path;
        const char *otherwise; /* if the field is missing; NULL: then nothing is shown */
};

#define SHOWN_MAX 6

/* Types in kubectl's sentences; any other is shown with its fields as they are. */
static const struct {
        const char *key, *text;
        struct shown fields[SHOWN_MAX];
} types[] = {
        { "emptyDir",
          "EmptyDir (a temporary directory that shares a pod's lifetime)",
          { { "Medium", "medium", "" }, { "SizeLimit", "sizeLimit", "<unset>" } } },
        { "hostPath",
          "HostPath (bare host directory volume)",
          { { "Path", "path", "" }, { "HostPathType", "type", "" } } },
        { "configMap",
          "ConfigMap (a volume populated by a ConfigMap)",
          { { "Name", "name", "" }, { "Optional", "optional", "false" } } },
        { "secret",
          "Secret (a volume populated by a Secret)",
          { { "SecretName", "secretName", "" }, { "Optional", "optional", "false" } } },
        { "persistentVolumeClaim",
          "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
          { { "ClaimName", "claimName", "" }, { "ReadOnly", "readOnly", "false" } } },
        { "image",
          "Image (a container image or OCI artifact)",
          { { "Reference", "reference", "" }, { "PullPolicy", "pullPolicy", "" } } },
        { "nfs",
          "NFS (an NFS mount that lasts the lifetime of a pod)",
          { { "Server", "server", "" }, { "Path", "path", "" }, { "ReadOnly", "readOnly", "false" } } },
        { "ephemeral",
          "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)",
          { { "StorageClass", "volumeClaimTemplate.spec.storageClassName", "" } } },
        { "projected", "Projected (a volume that contains injected data from multiple sources)", { { 0 } } },
        { "downwardAPI", "DownwardAPI (a volume populated by information about the pod)", { { 0 } } },
};

/* Sources of a projected volume. */
static const struct {
        const char *key;
        struct shown fields[SHOWN_MAX];
} sources[] = {
        { "secret", { { "SecretName", "name", "" }, { "Optional", "optional", "false" } } },
        { "configMap", { { "ConfigMapName", "name", "" }, { "Optional", "optional", "false" } } },
        { "serviceAccountToken", { { "TokenExpirationSeconds", "expirationSeconds", "" } } },
};

static char *text_of(const json_t *value) {
        return json_is_string(value) ? xstrdup(json_string_value(value))
                                     : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}

static void show_fields(struct page *page, const struct shown *fields, const json_t *source) {
        for (const struct shown *f = fields; f->title; f++) {
                const json_t *value = field_at(source, f->path);
                _cleanup_free_ char *text = value ? text_of(value) : xstrdup(f->otherwise);
                if (text)
                        page_field(page, 2, f->title, text);
        }
}

static void show_items(struct page *page, const json_t *items) {
        json_t *item;
        size_t i;

        if (!json_array_size(items))
                return;
        page_heading(page, 2, "Items");
        json_array_foreach(items, i, item) {
                const char *field = field_text(item, "fieldRef.fieldPath");
                _cleanup_free_ char *line =
                        xasprintf("%s -> %s", field ? field : field_text_or(item, "resourceFieldRef.resource", ""),
                                  field_text_or(item, "path", ""));
                page_text(page, 3, line);
        }
}

static void show_projected(struct page *page, const json_t *projected) {
        json_t *source;
        size_t i;

        json_array_foreach(json_object_get(projected, "sources"), i, source) {
                if (json_object_get(source, "downwardAPI"))
                        page_field(page, 2, "DownwardAPI", "true");
                for (size_t k = 0; k < ARRAY_SIZE(sources); k++)
                        if (json_object_get(source, sources[k].key))
                                show_fields(page, sources[k].fields, json_object_get(source, sources[k].key));
        }
}

static void show_all(struct page *page, const json_t *source) {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)source, key, value) {
                _cleanup_free_ char *text = text_of(value), *title = xstrdup(key);
                if (*title >= 'a' && *title <= 'z')
                        *title -= 'a' - 'A';
                page_field(page, 2, title, text);
        }
}

void describe_volume(struct page *page, const json_t *volume) {
        const char *key;
        json_t *source;

        page_heading(page, 1, "%s", field_text_or(volume, "name", ""));
        json_object_foreach((json_t *)volume, key, source) {
                size_t i = 0;
                if (streq(key, "name"))
                        continue;
                while (i < ARRAY_SIZE(types) && !streq(types[i].key, key))
                        i++;
                page_field(page, 2, "Type", i < ARRAY_SIZE(types) ? types[i].text : key);
                if (i == ARRAY_SIZE(types))
                        show_all(page, source);
                else
                        show_fields(page, types[i].fields, source);
                if (streq(key, "projected"))
                        show_projected(page, source);
                if (streq(key, "downwardAPI"))
                        show_items(page, json_object_get(source, "items"));
        }
}
