/* New, copied and compared messages, by descriptor. */
#include "api/message.h"
#include "api/quantity.h"

size_t field_size(const ProtobufCFieldDescriptor *d) {
        switch (d->type) {
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_UINT32:
                return sizeof(int32_t);
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_UINT64:
                return sizeof(int64_t);
        case PROTOBUF_C_TYPE_DOUBLE:
                return sizeof(double);
        case PROTOBUF_C_TYPE_BOOL:
                return sizeof(protobuf_c_boolean);
        case PROTOBUF_C_TYPE_BYTES:
                return sizeof(ProtobufCBinaryData);
        default:
                return sizeof(void *);
        }
}

void *array_new(struct api_arena *arena, size_t count, size_t size) {
        return api_arena_alloc(arena, size << (count > 1 ? 64 - __builtin_clzll(count - 1) : 0));
}

/* Go's plain structs always exist; so do ours, or every reader would have to ask for each. */
static bool always_exists(const struct api_field *field) {
        return field->flags & API_FIELD_INLINE ||
               (field->flags & API_FIELD_VALUE && api_field_type(field)->form == API_TYPE_STRUCT);
}

void *message_new(struct api_arena *arena, const struct api_type *type) {
        ProtobufCMessage *message = api_arena_alloc(arena, api_type_descriptor(type)->sizeof_message);

        protobuf_c_message_init(api_type_descriptor(type), message);
        for (size_t i = 0; i < type->n_fields; i++)
                if (always_exists(api_type_field(type, i)))
                        *(void **)field_at(message, api_field_descriptor(type, api_type_field(type, i))) =
                                message_new(arena, api_field_type(api_type_field(type, i)));
        return message;
}

void *api_new(struct api_arena *arena, const ProtobufCMessageDescriptor *descriptor) {
        return message_new(arena, api_type_of(descriptor));
}

/* Copies what the value at `p`, a bitwise copy of another's, points to. */
static void copy_value(struct api_arena *arena, const ProtobufCFieldDescriptor *d, void *p) {
        if (d->type == PROTOBUF_C_TYPE_STRING) {
                *(char **)p = api_arena_strdup(arena, *(char **)p);
        } else if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
                if (*(void **)p)
                        *(void **)p = api_copy(arena, *(void **)p);
        } else if (d->type == PROTOBUF_C_TYPE_BYTES) {
                ProtobufCBinaryData *bytes = p;
                void *data = api_arena_alloc(arena, bytes->len + 1);

                if (bytes->len > 0)
                        memcpy(data, bytes->data, bytes->len);
                bytes->data = data;
        }
}

void *api_copy(struct api_arena *arena, const ProtobufCMessage *message) {
        const ProtobufCMessageDescriptor *descriptor = message->descriptor;
        ProtobufCMessage *copy = api_arena_alloc(arena, descriptor->sizeof_message);

        memcpy(copy, message, descriptor->sizeof_message);
        copy->n_unknown_fields = 0;
        copy->unknown_fields = NULL;
        for (unsigned i = 0; i < descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *d = &descriptor->fields[i];
                size_t count, size = field_size(d);
                unsigned char *array;

                if (d->label != PROTOBUF_C_LABEL_REPEATED) {
                        copy_value(arena, d, field_at(copy, d));
                        continue;
                }
                count = *field_count(copy, d);
                if (count == 0)
                        continue;
                array = array_new(arena, count, size);
                memcpy(array, field_pointer(copy, d), count * size);
                *(void **)field_at(copy, d) = array;
                for (size_t j = 0; j < count; j++)
                        copy_value(arena, d, array + j * size);
        }
        return copy;
}

static bool is_zero(const void *p, size_t size) {
        for (const unsigned char *c = p; size > 0; size--)
                if (*c++ != 0)
                        return false;
        return true;
}

bool field_is_empty(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *message) {
        if (d->label == PROTOBUF_C_LABEL_REPEATED)
                return *field_count(message, d) == 0;
        if (d->type == PROTOBUF_C_TYPE_STRING)
                return str_empty(field_pointer(message, d));
        if (d->type == PROTOBUF_C_TYPE_MESSAGE)
                return !field_pointer(message, d) ||
                       (field->flags & (API_FIELD_INLINE | API_FIELD_VALUE) &&
                        message_is_empty(api_field_type(field), field_pointer(message, d)));
        return !*field_has(message, d) || is_zero(field_at(message, d), field_size(d));
}

bool message_is_empty(const struct api_type *type, const void *message) {
        for (size_t i = 0; i < type->n_fields; i++)
                if (!field_is_empty(api_type_field(type, i), api_field_descriptor(type, api_type_field(type, i)),
                                    message))
                        return false;
        return true;
}

static bool quantity_equal(const char *a, const char *b) {
        struct quantity x, y;

        if (streq_ptr(a, b))
                return true;
        return quantity_parse(a ? a : "0", &x, NULL) && quantity_parse(b ? b : "0", &y, NULL) &&
               quantity_compare(x, y) == 0;
}

static bool message_equal(const struct api_type *type, const ProtobufCMessage *a, const ProtobufCMessage *b);

/* A struct that Go holds as a value is never absent: none is the same as an empty one. Any other is a pointer. */
static bool child_equal(const struct api_field *field, const ProtobufCMessage *a, const ProtobufCMessage *b) {
        if (field->flags & (API_FIELD_INLINE | API_FIELD_VALUE) && !a != !b)
                return message_is_empty(api_field_type(field), a ? a : b);
        return message_equal(api_field_type(field), a, b);
}

static bool value_equal(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *a,
                        const void *b) {
        const ProtobufCBinaryData *x = a, *y = b;

        switch (d->type) {
        case PROTOBUF_C_TYPE_STRING:
                return streq_ptr(*(char *const *)a, *(char *const *)b);
        case PROTOBUF_C_TYPE_MESSAGE:
                return child_equal(field, *(void *const *)a, *(void *const *)b);
        case PROTOBUF_C_TYPE_BYTES:
                return x->len == y->len && (x->len == 0 || memcmp(x->data, y->data, x->len) == 0);
        default:
                return memcmp(a, b, field_size(d)) == 0;
        }
}

static bool optional_equal(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *a,
                           const void *b) {
        const void *x = field_at(a, d), *y = field_at(b, d);
        bool has_x, has_y;

        if (d->type == PROTOBUF_C_TYPE_STRING && !(field->flags & API_FIELD_POINTER)) {
                const char *s = *(char *const *)x, *t = *(char *const *)y;
                return streq(s ? s : "", t ? t : "");
        }
        if (d->type == PROTOBUF_C_TYPE_STRING || d->type == PROTOBUF_C_TYPE_MESSAGE)
                return value_equal(field, d, x, y);
        has_x = *field_has(a, d);
        has_y = *field_has(b, d);
        if (has_x && has_y)
                return value_equal(field, d, x, y);
        if (has_x == has_y)
                return true;
        /* One was set: that makes a difference for a pointer, or if it is not zero. */
        return !(field->flags & API_FIELD_POINTER) && is_zero(has_x ? x : y, field_size(d));
}

static const void *map_find(const ProtobufCFieldDescriptor *d, void *const *entries, size_t n, const char *key) {
        const ProtobufCMessageDescriptor *entry = d->descriptor;

        for (size_t i = 0; i < n; i++) {
                const char *k = field_pointer(entries[i], &entry->fields[0]);
                if (streq_ptr(k, key))
                        return entries[i];
        }
        return NULL;
}

static bool repeated_equal(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *a,
                           const void *b) {
        size_t n = *field_count(a, d), size = field_size(d);
        const unsigned char *x = field_pointer(a, d), *y = field_pointer(b, d);

        if (n != *field_count(b, d))
                return false;
        for (size_t i = 0; i < n; i++) {
                if (field->flags & API_FIELD_MAP) {
                        const ProtobufCMessage *entry = ((void *const *)x)[i];
                        const char *key = field_pointer(entry, &entry->descriptor->fields[0]);
                        const void *other = map_find(d, (void *const *)y, n, key);

                        if (!other || !message_equal(api_field_type(field), entry, other))
                                return false;
                } else if (!value_equal(field, d, x + i * size, y + i * size)) {
                        return false;
                }
        }
        return true;
}

static bool message_equal(const struct api_type *type, const ProtobufCMessage *a, const ProtobufCMessage *b) {
        if (type->form == API_TYPE_QUANTITY && a && b)
                return quantity_equal(((const V1Quantity *)a)->string, ((const V1Quantity *)b)->string);
        if (!a || !b)
                return a == b;
        for (size_t i = 0; i < type->n_fields; i++) {
                const struct api_field *field = api_type_field(type, i);
                const ProtobufCFieldDescriptor *d = api_field_descriptor(type, field);

                if (d->label == PROTOBUF_C_LABEL_REPEATED ? !repeated_equal(field, d, a, b)
                                                          : !optional_equal(field, d, a, b))
                        return false;
        }
        return true;
}

bool api_equal(const ProtobufCMessage *a, const ProtobufCMessage *b) {
        if (!a || !b)
                return a == b;
        return a->descriptor == b->descriptor && message_equal(api_type_of(a->descriptor), a, b);
}

const char *api_map_get(V1StringEntry *const *entries, size_t count, const char *key) {
        for (size_t i = 0; i < count; i++)
                if (streq_ptr(entries[i]->key, key))
                        return entries[i]->value;
        return NULL;
}

const V1Quantity *api_quantity_get(V1QuantityEntry *const *entries, size_t count, const char *key) {
        for (size_t i = 0; i < count; i++)
                if (streq_ptr(entries[i]->key, key))
                        return entries[i]->value;
        return NULL;
}
