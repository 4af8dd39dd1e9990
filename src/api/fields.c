#include "api/fields.h"

static int compare_name(const void *key, const void *element) {
        return strcmp(key, api_name_text(element));
}

static int compare_type(const void *key, const void *element) {
        return strcmp(key, api_type_name(element));
}

const struct api_type *api_type_named(const char *name) {
        return bsearch(name, api_types, api_types_count, sizeof(api_types[0]), compare_type);
}

const struct api_type *api_type_of(const ProtobufCMessageDescriptor *descriptor) {
        return api_type_named(descriptor->name);
}

const struct api_name *api_type_find(const struct api_type *type, const char *json_name) {
        return bsearch(json_name, &api_names[type->first_name], type->n_names, sizeof(api_names[0]), compare_name);
}

const struct api_name *api_type_walk(const struct api_type *type, const char *path) {
        const struct api_name *name = NULL;

        while (*path) {
                size_t len = strcspn(path, ".");
                _cleanup_free_ char *word = xstrndup(path, len);

                if (!type || type->form != API_TYPE_STRUCT)
                        return NULL;
                name = api_type_find(type, word);
                if (!name)
                        return NULL;
                type = api_name_field(name)->flags & API_FIELD_MAP ? NULL : api_field_type(api_name_field(name));
                path += len + (path[len] == '.');
        }
        return name;
}
