/* Messages to JSON as Kubernetes writes them. */
#include "api/message.h"
#include "api/quantity.h"
#include "base/str.h"

static json_t *encode_message(const struct api_type *type, const ProtobufCMessage *message);

static json_t *string(const char *s) {
        json_t *json = json_string(s ? s : "");

        /* Text that is not UTF-8 (a termination message, say) must not make an object unreadable. */
        return json ? json : json_string("");
}

static json_t *encode_bytes(const ProtobufCBinaryData *bytes) {
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        struct strbuf b = STRBUF_INIT;
        json_t *json;

        for (size_t i = 0; i < bytes->len; i += 3) {
                size_t left = bytes->len - i;
                unsigned bits = bytes->data[i] << 16 | (left > 1 ? bytes->data[i + 1] << 8 : 0) |
                                (left > 2 ? bytes->data[i + 2] : 0);
                char four[4] = { alphabet[bits >> 18], alphabet[bits >> 12 & 63],
                                 left > 1 ? alphabet[bits >> 6 & 63] : '=', left > 2 ? alphabet[bits & 63] : '=' };

                strbuf_add(&b, four, sizeof(four));
        }
        json = json_string(strbuf_str(&b));
        strbuf_release(&b);
        return json;
}

static json_t *encode_value(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *p) {
        switch (d->type) {
        case PROTOBUF_C_TYPE_STRING:
                return string(*(char *const *)p);
        case PROTOBUF_C_TYPE_BOOL:
                return json_boolean(*(const protobuf_c_boolean *)p);
        case PROTOBUF_C_TYPE_INT32:
                return json_integer(*(const int32_t *)p);
        case PROTOBUF_C_TYPE_UINT32:
                return json_integer(*(const uint32_t *)p);
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_UINT64:
                return json_integer(*(const int64_t *)p);
        case PROTOBUF_C_TYPE_DOUBLE:
                return json_real(*(const double *)p);
        case PROTOBUF_C_TYPE_BYTES:
                return encode_bytes(p);
        case PROTOBUF_C_TYPE_MESSAGE:
                return encode_message(api_field_type(field), *(ProtobufCMessage *const *)p);
        default:
                abort(); /* The schema has no other types; a unit test walks it. */
        }
}

/* What Go writes for a value that was never set. */
static json_t *encode_absent(const struct api_field *field, const ProtobufCFieldDescriptor *d) {
        if (field->flags & API_FIELD_POINTER)
                return json_null();
        switch (d->type) {
        case PROTOBUF_C_TYPE_STRING:
                return json_string("");
        case PROTOBUF_C_TYPE_BOOL:
                return json_false();
        case PROTOBUF_C_TYPE_BYTES:
                return json_null();
        case PROTOBUF_C_TYPE_MESSAGE:
                return field->flags & API_FIELD_VALUE ? encode_message(api_field_type(field), NULL) : json_null();
        default:
                return json_integer(0);
        }
}

static json_t *encode_list(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *message) {
        size_t n = *field_count(message, d), size = field_size(d);
        const unsigned char *values = field_pointer(message, d);
        json_t *list;

        /* Go's nil slice; only fields that are always written get here with nothing in them. A list of objects is
         * nevertheless written as one: that is what kubectl shows. */
        if (n == 0)
                return streq(api_field_name(field), "items") ? json_array() : json_null();
        list = json_array();
        for (size_t i = 0; i < n; i++)
                json_array_append_new(list, encode_value(field, d, values + i * size));
        return list;
}

static int compare_entries(const void *a, const void *b) {
        const V1StringEntry *x = *(V1StringEntry *const *)a, *y = *(V1StringEntry *const *)b;

        return strcmp(x->key ? x->key : "", y->key ? y->key : "");
}

/* All entry types begin alike: the base, then the key. */
_Static_assert(offsetof(V1StringEntry, key) == offsetof(V1QuantityEntry, key) &&
                       offsetof(V1StringEntry, key) == offsetof(V1BytesEntry, key),
               "entries of maps have the key in the same place");

static json_t *encode_map(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *message) {
        size_t n = *field_count(message, d);
        V1StringEntry **sorted = xmemdup(field_pointer(message, d), n * sizeof(*sorted));
        const ProtobufCMessageDescriptor *entry = d->descriptor;
        const ProtobufCFieldDescriptor *value_d = &entry->fields[1];
        json_t *map = json_object();

        qsort(sorted, n, sizeof(*sorted), compare_entries);
        for (size_t i = 0; i < n; i++)
                json_object_set_new(
                        map, sorted[i]->key ? sorted[i]->key : "",
                        encode_value(api_type_field(api_field_type(field), 1), value_d, field_at(sorted[i], value_d)));
        free(sorted);
        return map;
}

static bool is_written(const struct api_field *field, const ProtobufCFieldDescriptor *d, const void *message) {
        if (field->flags & API_FIELD_ALWAYS)
                return true;
        if (field->flags & API_FIELD_OMITZERO)
                return field_pointer(message, d) && !message_is_empty(api_field_type(field), field_pointer(message, d));
        if (field->flags & API_FIELD_VALUE)
                return true;
        if (d->label == PROTOBUF_C_LABEL_REPEATED)
                return *field_count(message, d) > 0;
        if (d->type == PROTOBUF_C_TYPE_MESSAGE)
                return field_pointer(message, d);
        if (field->flags & API_FIELD_POINTER)
                return d->type == PROTOBUF_C_TYPE_STRING ? field_pointer(message, d) != NULL : *field_has(message, d);
        return !field_is_empty(field, d, message);
}

static bool is_set(const ProtobufCFieldDescriptor *d, const void *message) {
        if (d->type == PROTOBUF_C_TYPE_STRING || d->type == PROTOBUF_C_TYPE_MESSAGE)
                return field_pointer(message, d) != NULL;
        return *field_has(message, d);
}

static void encode_fields(const struct api_type *type, const void *message, json_t *object) {
        for (size_t i = 0; i < type->n_fields; i++) {
                const struct api_field *field = api_type_field(type, i);
                const ProtobufCFieldDescriptor *d = api_field_descriptor(type, field);
                json_t *value;

                if (field->flags & API_FIELD_INLINE) {
                        if (field_pointer(message, d))
                                encode_fields(api_field_type(field), field_pointer(message, d), object);
                        continue;
                }
                if (!is_written(field, d, message))
                        continue;
                if (field->flags & API_FIELD_MAP && *field_count(message, d) > 0)
                        value = encode_map(field, d, message);
                else if (d->label == PROTOBUF_C_LABEL_REPEATED)
                        value = encode_list(field, d, message);
                else if (is_set(d, message))
                        value = encode_value(field, d, field_at(message, d));
                else
                        value = encode_absent(field, d);
                json_object_set_new_nocheck(object, api_field_name(field), value);
        }
}

static json_t *encode_quantity(const V1Quantity *q) {
        _cleanup_free_ char *canonical = NULL;

        if (!q || str_empty(q->string))
                return json_string("0");
        canonical = quantity_canonical(q->string);
        return string(canonical ? canonical : q->string);
}

static json_t *encode_int_or_string(const V1IntOrString *v) {
        if (v && v->type == 1)
                return string(v->strval);
        return json_integer(v ? v->intval : 0);
}

static json_t *encode_time(const V1Time *time) {
        _cleanup_free_ char *text = NULL;

        if (!time || !time->has_seconds)
                return json_null();
        text = api_time_format(time);
        return json_string(text);
}

static json_t *encode_micro_time(const V1MicroTime *time) {
        _cleanup_free_ char *text = NULL;

        if (!time || !time->has_seconds)
                return json_null();
        text = api_micro_time_format(time);
        return json_string(text);
}

static json_t *encode_raw(const ProtobufCBinaryData *raw) {
        json_t *json = raw->len > 0 ? json_loadb((const char *)raw->data, raw->len, JSON_DECODE_ANY, NULL) : NULL;

        return json ? json : json_null();
}

/* NULL is the empty struct. */
static json_t *encode_message(const struct api_type *type, const ProtobufCMessage *message) {
        json_t *object;

        switch (type->form) {
        case API_TYPE_STRUCT:
                break;
        case API_TYPE_QUANTITY:
                return encode_quantity((const V1Quantity *)message);
        case API_TYPE_TIME:
                return encode_time((const V1Time *)message);
        case API_TYPE_MICRO_TIME:
                return encode_micro_time((const V1MicroTime *)message);
        case API_TYPE_INT_OR_STRING:
                return encode_int_or_string((const V1IntOrString *)message);
        case API_TYPE_RAW:
                return message ? encode_raw(field_at(message, &api_type_descriptor(type)->fields[0])) : json_null();
        case API_TYPE_LIST:
                return message ? encode_list(api_type_field(type, 0), &api_type_descriptor(type)->fields[0], message)
                               : json_null();
        }
        object = json_object();
        if (message) {
                encode_fields(type, message, object);
        } else {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();

                encode_fields(type, message_new(arena, type), object);
        }
        return object;
}

json_t *api_encode(const ProtobufCMessage *message) {
        const struct api_type *type = api_type_of(message->descriptor);
        const struct api_kind *kinds;
        json_t *object;
        size_t n;

        if (type->form != API_TYPE_STRUCT)
                return encode_message(type, message);
        object = json_object();
        kinds = api_kinds(&n);
        for (size_t i = 0; i < n; i++) {
                if (kinds[i].descriptor != message->descriptor)
                        continue;
                json_object_set_new(object, "kind", json_string(kinds[i].kind));
                json_object_set_new(object, "apiVersion", json_string(kinds[i].api_version));
        }
        encode_fields(type, message, object);
        return object;
}
