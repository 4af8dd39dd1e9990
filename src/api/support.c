/* Which set fields of a pod or a claim husk does not carry out. */
#include "api/message.h"

static void check_message(const struct api_type *type, const void *message, const struct field_path *path,
                          struct diagnostics *diags);

/* Asks for no more than the default does. */
static bool is_harmless(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *message) {
        if (field_is_empty(field, d, message))
                return true;
        if (!api_field_harmless(field) || d->label == PROTOBUF_C_LABEL_REPEATED)
                return false;
        if (d->type == PROTOBUF_C_TYPE_STRING)
                return streq(field_pointer(message, d), api_field_harmless(field));
        if (d->type == PROTOBUF_C_TYPE_BOOL)
                return *(const protobuf_c_boolean *)field_at(message, d) == streq(api_field_harmless(field), "true");
        return false;
}

static void check_children(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *message,
                           const struct field_path *path, struct diagnostics *diags) {
        void *const *children;

        if (d->type != PROTOBUF_C_TYPE_MESSAGE || field->flags & API_FIELD_MAP)
                return;
        if (d->label != PROTOBUF_C_LABEL_REPEATED) {
                if (field_pointer(message, d))
                        check_message(api_field_type(field), field_pointer(message, d), path, diags);
                return;
        }
        children = field_pointer(message, d);
        for (size_t i = 0; i < *field_count(message, d); i++) {
                struct field_path element = field_path_index(path, i);
                check_message(api_field_type(field), children[i], &element, diags);
        }
}

static void check_message(const struct api_type *type, const void *message, const struct field_path *path,
                          struct diagnostics *diags) {
        if (type->form != API_TYPE_STRUCT)
                return;
        for (size_t i = 0; i < type->n_fields; i++) {
                const struct api_field *field = api_type_field(type, i);
                const ProtobufCFieldDescriptor *d = api_field_descriptor(type, field);
                struct field_path child = field_path_child(path, api_field_name(field));

                if (field->flags & API_FIELD_INLINE)
                        check_children(field, d, message, path, diags);
                else if (field->support == FIELD_HONOURED)
                        check_children(field, d, message, &child, diags);
                else if (is_harmless(field, d, message))
                        continue;
                else if (field->support == FIELD_REFUSED)
                        diagnostics_add(diags, DIAGNOSTIC_UNSUPPORTED, &child,
                                        "not supported on a single machine: it %s", api_field_reason(field));
        }
}

void api_check_supported(const ProtobufCMessage *object, struct diagnostics *diags) {
        struct field_path spec = field_path_child(NULL, "spec");

        if (object->descriptor == &v1_pod__descriptor && ((const V1Pod *)object)->spec)
                check_message(api_type_of(&v1_pod_spec__descriptor), ((const V1Pod *)object)->spec, &spec, diags);
        if (object->descriptor == &v1_persistent_volume_claim__descriptor &&
            ((const V1PersistentVolumeClaim *)object)->spec)
                check_message(api_type_of(&v1_persistent_volume_claim_spec__descriptor),
                              ((const V1PersistentVolumeClaim *)object)->spec, &spec, diags);
}
