/* explain.c - `husk explain`: the fields of a type, from the schema. */
#include <stdio.h>

#include "api/api.h"
#include "api/fields.h"
#include "base/str.h"
#include "husk/selection.h"
#include "husk/verbs.h"

static bool recursive;

const struct flag explain_flags[] = {
        { "recursive", 0, FLAG_BOOL, &recursive, NULL, NULL, "Show the fields of the fields, too" },
        { "api-version", 0, FLAG_ACCEPTED, NULL, "VERSION", NULL, "there is one version of each kind" },
        { "output", 0, FLAG_ACCEPTED, NULL, "FORMAT", NULL, "there is one layout" },
        { 0 },
};

#define DEPTH_MAX 12 /* the schema refers to itself nowhere this deep */

static const char *scalar_name(ProtobufCType type) {
        switch (type) {
        case PROTOBUF_C_TYPE_BOOL:
                return "boolean";
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_BYTES:
                return "string";
        case PROTOBUF_C_TYPE_DOUBLE:
        case PROTOBUF_C_TYPE_FLOAT:
                return "number";
        default:
                return "integer";
        }
}

/* What a type that is no object of fields is in JSON; "Object" names are those of Kubernetes, without our V1. */
static const char *message_name(const struct api_type *type) {
        switch (type->form) {
        case API_TYPE_QUANTITY:
                return "Quantity";
        case API_TYPE_TIME:
        case API_TYPE_MICRO_TIME:
                return "Time";
        case API_TYPE_INT_OR_STRING:
                return "IntOrString";
        case API_TYPE_RAW:
        case API_TYPE_STRUCT:
        case API_TYPE_LIST:
                break;
        }
        return api_type_name(type) + strlen("V1");
}

static char *type_text(const struct api_type *owner, const struct api_field *field) {
        const ProtobufCFieldDescriptor *d = api_field_descriptor(owner, field);
        const char *name = field->type ? message_name(api_field_type(field)) : scalar_name(d->type);

        if (field->flags & API_FIELD_MAP) {
                const struct api_type *entry = api_field_type(field);
                const char *value = "string";
                for (size_t i = 0; entry && i < entry->n_fields; i++) {
                        const struct api_field *member = api_type_field(entry, i);
                        if (streq(api_field_name(member), "value") && api_field_type(member))
                                value = message_name(api_field_type(member));
                }
                return xasprintf("map[string]%s", value);
        }
        return xasprintf("%s%s", d->label == PROTOBUF_C_LABEL_REPEATED ? "[]" : "", name);
}

static const char *support_text(const struct api_field *field) {
        return field->support == FIELD_REFUSED ? "  (not on one machine)" : "";
}

static bool has_fields(const struct api_field *field) {
        return field->type && api_field_type(field)->form == API_TYPE_STRUCT && !(field->flags & API_FIELD_MAP);
}

static void print_fields(const struct api_type *type, int depth) {
        for (size_t i = 0; i < type->n_names; i++) {
                const struct api_name *name = api_type_json_name(type, i);
                const struct api_field *field = api_name_field(name), *inlined = api_name_inlined(name);
                _cleanup_free_ char *text = type_text(inlined ? api_field_type(inlined) : type, field);

                printf("%*s%s\t<%s>%s\n", 2 * depth, "", api_name_text(name), text, support_text(field));
                if (recursive && depth < DEPTH_MAX && has_fields(field))
                        print_fields(api_field_type(field), depth + 1);
        }
}

static struct error *unknown_field(const struct api_type *type, const char *path) {
        const char *names[256];
        size_t n = 0;

        for (size_t i = 0; i < type->n_names && n < ARRAY_SIZE(names) - 1; i++)
                names[n++] = api_name_text(api_type_json_name(type, i));
        names[n] = NULL;
        const char *nearest = nearest_name(path, names);
        if (nearest)
                return usage_error("field \"%s\" does not exist; did you mean \"%s\"?", path, nearest);
        return usage_error("field \"%s\" does not exist", path);
}

/* Walks "spec.containers.image" from a type; *ret_field is NULL for the type itself. */
static struct error *walk(const struct api_type **type, const char *path, const struct api_field **ret_field,
                          const struct api_type **ret_owner) {
        _cleanup_strv_ char **parts = strv_split(path, '.');

        *ret_field = NULL;
        for (size_t i = 0; *path && parts[i]; i++) {
                const struct api_name *name = *type ? api_type_find(*type, parts[i]) : NULL;
                if (!*type)
                        return usage_error("field \"%s\" does not exist", parts[i]);
                if (!name)
                        return unknown_field(*type, parts[i]);
                *ret_owner = name->inlined ? api_field_type(api_name_inlined(name)) : *type;
                *ret_field = api_name_field(name);
                *type = has_fields(*ret_field) ? api_field_type(*ret_field) : NULL;
        }
        return NULL;
}

struct error *explain_run(struct cli *cli, struct arguments *arguments) {
        const struct api_type *type, *owner = NULL;
        const struct api_field *field;
        const struct api_kind *kind;
        struct error *err;

        if (arguments->n_words != 1)
                return usage_error("you must specify the type of resource to explain, e.g. `husk explain pod.spec`");
        size_t len = strcspn(arguments->words[0], ".");
        _cleanup_free_ char *word = xstrndup(arguments->words[0], len);
        const char *path = arguments->words[0] + len + (arguments->words[0][len] == '.');
        err = kind_parse(word, &kind);
        if (err)
                return err;
        type = api_type_of(kind->descriptor);
        err = walk(&type, path, &field, &owner);
        if (err)
                return err;
        printf("KIND:       %s\nVERSION:    %s\n\n", kind->kind, kind->api_version);
        if (field) {
                _cleanup_free_ char *text = type_text(owner, field);
                printf("FIELD: %s <%s>%s\n\n", api_field_name(field), text, support_text(field));
                if (field->reason)
                        printf("%s.\n\n", api_field_reason(field));
        }
        if (type) {
                printf("FIELDS:\n");
                print_fields(type, 1);
        }
        return NULL;
}
