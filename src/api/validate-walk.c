#include "api/validate-walk.h"

#include <inttypes.h>

void fault_required(struct diagnostics *diags, path_t path, const char *detail) {
        if (detail)
                diagnostics_add(diags, DIAGNOSTIC_REQUIRED, path, "%s", detail);
        else
                diagnostics_add(diags, DIAGNOSTIC_REQUIRED, path, NULL);
}

void fault_invalid(struct diagnostics *diags, path_t path, const char *value, const char *detail) {
        diagnostics_add_string(diags, DIAGNOSTIC_INVALID, path, text_or_empty(value), "%s", detail);
}

void fault_invalid_int(struct diagnostics *diags, path_t path, int64_t value, const char *detail) {
        diagnostics_add_int(diags, DIAGNOSTIC_INVALID, path, value, "%s", detail);
}

void fault_invalid_true(struct diagnostics *diags, path_t path, const char *detail) {
        diagnostics_add_json(diags, DIAGNOSTIC_INVALID, path, json_true(), "%s", detail);
}

void fault_invalid_object(struct diagnostics *diags, path_t path, const char *detail) {
        diagnostics_add(diags, DIAGNOSTIC_INVALID, path, "%s", detail);
}

void fault_duplicate(struct diagnostics *diags, path_t path, const char *value) {
        diagnostics_add_string(diags, DIAGNOSTIC_DUPLICATE, path, text_or_empty(value), NULL);
}

void fault_forbidden(struct diagnostics *diags, path_t path, const char *detail) {
        diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, path, "%s", detail);
}

void fault_not_found(struct diagnostics *diags, path_t path, const char *value) {
        diagnostics_add_string(diags, DIAGNOSTIC_NOT_FOUND, path, text_or_empty(value), NULL);
}

void fault_too_long(struct diagnostics *diags, path_t path, size_t max_bytes) {
        diagnostics_add(diags, DIAGNOSTIC_TOO_LONG, path, "may not be more than %zu bytes", max_bytes);
}

void fault_too_many(struct diagnostics *diags, path_t path, size_t count, size_t max) {
        diagnostics_add_int(diags, DIAGNOSTIC_TOO_MANY, path, (int64_t)count, "must have at most %zu items", max);
}

void validate_text(struct diagnostics *diags, const char *value, text_check check, path_t path) {
        struct text_faults faults = { 0 };

        value = text_or_empty(value);
        check(value, &faults);
        for (size_t i = 0; i < faults.n; i++)
                fault_invalid(diags, path, value, faults.sentence[i]);
}

void validate_name(struct diagnostics *diags, const char *value, text_check check, path_t path) {
        if (str_empty(value))
                fault_required(diags, path, NULL);
        else
                validate_text(diags, value, check, path);
}

bool words_contain(words_t words, const char *word) {
        for (; *words; words++)
                if (streq(*words, word))
                        return true;
        return false;
}

void validate_word(struct diagnostics *diags, const char *value, words_t words, path_t path) {
        value = text_or_empty(value);
        if (!words_contain(words, value))
                diagnostics_add_unsupported_value(diags, path, value, words);
}

void validate_required_word(struct diagnostics *diags, const char *value, words_t words, path_t path) {
        if (str_empty(value))
                fault_required(diags, path, NULL);
        else
                validate_word(diags, value, words, path);
}

void validate_non_negative(struct diagnostics *diags, int64_t value, path_t path) {
        if (value < 0)
                fault_invalid_int(diags, path, value, "must be greater than or equal to 0");
}

void validate_range(struct diagnostics *diags, int64_t value, int64_t low, int64_t high, path_t path) {
        if (value < low || value > high)
                diagnostics_add_int(diags, DIAGNOSTIC_INVALID, path, value,
                                    "must be between %" PRId64 " and %" PRId64 ", inclusive", low, high);
}

void validate_id(struct diagnostics *diags, int64_t id, path_t path) {
        validate_range(diags, id, 0, INT32_MAX, path);
}

void validate_port(struct diagnostics *diags, int64_t port, path_t path) {
        validate_range(diags, port, 1, 65535, path);
}

void validate_port_or_name(struct diagnostics *diags, const V1IntOrString *port, path_t path) {
        if (port && port->type == 1)
                validate_text(diags, port->strval, text_check_port_name, path);
        else
                validate_port(diags, port ? port->intval : 0, path);
}

void validate_mode(struct diagnostics *diags, bool has_mode, int32_t mode, path_t path) {
        if (has_mode && (mode < 0 || mode > 0777))
                fault_invalid_int(diags, path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

void validate_no_backstep(struct diagnostics *diags, const char *value, path_t path) {
        if (text_has_backstep(value))
                fault_invalid(diags, path, value, "must not contain '..'");
}

void validate_descending_path(struct diagnostics *diags, const char *value, path_t path) {
        if (value[0] == '/')
                fault_invalid(diags, path, value, "must be a relative path");
        validate_no_backstep(diags, value, path);
}

void validate_unreserved_path(struct diagnostics *diags, const char *value, path_t path) {
        validate_descending_path(diags, value, path);
        /* "../x" has had its sentence; "..x" and ".." would hide the kubelet's own "..data". */
        if (str_starts_with(value, "..") && !str_starts_with(value, "../"))
                fault_invalid(diags, path, value, "must not start with '..'");
}

static bool field_is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field) {
        const char *base = (const char *)message;

        if (field->label == PROTOBUF_C_LABEL_REPEATED)
                return *(const size_t *)(base + field->quantifier_offset) > 0;
        if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE)
                return *(void *const *)(base + field->offset) != NULL;
        return *(const protobuf_c_boolean *)(base + field->quantifier_offset);
}

static bool message_is_empty(const ProtobufCMessage *message) {
        for (unsigned i = 0; i < message->descriptor->n_fields; i++)
                if (field_is_set(message, &message->descriptor->fields[i]))
                        return false;
        return true;
}

bool message_has(const ProtobufCMessage *message, const char *name) {
        const ProtobufCFieldDescriptor *field =
                protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

        return field && field_is_set(message, field);
}

void validate_only_fields(struct diagnostics *diags, const ProtobufCMessage *message, words_t allowed,
                          const char *sentence, path_t path) {
        for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];

                if (words_contain(allowed, field->name) || !field_is_set(message, field))
                        continue;
                /* What Go holds as a plain struct is never NULL here; empty, it counts as left out. */
                if (field->type == PROTOBUF_C_TYPE_MESSAGE && field->label != PROTOBUF_C_LABEL_REPEATED &&
                    streq(field->name, "resources") &&
                    message_is_empty(*(ProtobufCMessage *const *)((const char *)message + field->offset)))
                        continue;
                fault_forbidden(diags, CHILD(path, field->name), sentence);
        }
}

const V1Volume *pod_walk_volume(const struct pod_walk *walk, const char *name) {
        for (size_t i = 0; i < walk->n_volumes; i++)
                if (streq_ptr(walk->volumes[i]->name, name))
                        return walk->volumes[i];
        return NULL;
}

/* protoc-c gives messages with the same fields the same layout; should one of them ever gain a field alone, the build
 * stops here. */
_Static_assert(sizeof(V1Container) == sizeof(V1EphemeralContainerCommon) &&
                       offsetof(V1Container, restartpolicyrules) ==
                               offsetof(V1EphemeralContainerCommon, restartpolicyrules) &&
                       offsetof(V1Container, tty) == offsetof(V1EphemeralContainerCommon, tty),
               "an ephemeral container has the fields of a container");

V1Container container_of_ephemeral(const V1EphemeralContainer *ephemeral) {
        V1Container c = V1_CONTAINER__INIT;

        if (ephemeral->ephemeralcontainercommon) {
                memcpy(&c, ephemeral->ephemeralcontainercommon, sizeof(c));
                c.base.descriptor = &v1_container__descriptor;
        }
        return c;
}

void pod_walk_containers(const struct pod_walk *walk, container_visit visit) {
        const V1PodSpec *spec = walk->spec;
        path_t path = CHILD(NULL, "spec");

        for (size_t i = 0; i < spec->n_initcontainers; i++)
                visit(walk, CONTAINER_INIT, spec->initcontainers[i], INDEX(CHILD(path, "initContainers"), i));
        for (size_t i = 0; i < spec->n_containers; i++)
                visit(walk, CONTAINER_MAIN, spec->containers[i], INDEX(CHILD(path, "containers"), i));
        for (size_t i = 0; i < spec->n_ephemeralcontainers; i++) {
                V1Container c = container_of_ephemeral(spec->ephemeralcontainers[i]);

                visit(walk, CONTAINER_EPHEMERAL, &c, INDEX(CHILD(path, "ephemeralContainers"), i));
        }
}
