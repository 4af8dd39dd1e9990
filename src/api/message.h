/* message.h - the memory of one field of a protobuf-c message, for the walkers of src/api. */
#pragma once

#include "api/api.h"
#include "api/fields.h"

static inline void *field_at(const void *message, const ProtobufCFieldDescriptor *d) {
        return (unsigned char *)message + d->offset;
}
/* has_x of an optional scalar. */
static inline protobuf_c_boolean *field_has(const void *message, const ProtobufCFieldDescriptor *d) {
        return (protobuf_c_boolean *)((unsigned char *)message + d->quantifier_offset);
}
/* n_x of a repeated field. */
static inline size_t *field_count(const void *message, const ProtobufCFieldDescriptor *d) {
        return (size_t *)((unsigned char *)message + d->quantifier_offset);
}
static inline void *field_pointer(const void *message, const ProtobufCFieldDescriptor *d) {
        return *(void **)field_at(message, d);
}
/* Size of one value of the field's type. */
size_t field_size(const ProtobufCFieldDescriptor *d);

/* api_new() for callers that have the type already. */
void *message_new(struct api_arena *arena, const struct api_type *type);
/* Zeroed room for a repeated field of `count` values, with the spare room that api_arena_append() expects. */
void *array_new(struct api_arena *arena, size_t count, size_t size);

/* Not set, or set to what an unset one reads as (zero, "", an empty struct where Go has no pointer). */
bool field_is_empty(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *message);
bool message_is_empty(const struct api_type *type, const void *message);
