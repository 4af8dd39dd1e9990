/* Strict decoding of JSON into messages, by descriptor and side table. */
#include <limits.h>

#include "api/drop.h"
#include "api/message.h"
#include "api/quantity.h"
#include "base/str.h"

struct decoder {
        struct api_arena *arena;
        struct diagnostics *diags;
        bool lenient;     /* unknown fields are passed over */
        const char *drop; /* fields to leave out, in test builds (drop.h); NULL: none */
};

static const char *json_type_name(const json_t *json) {
        switch (json_typeof(json)) {
        case JSON_OBJECT:
                return "object";
        case JSON_ARRAY:
                return "array";
        case JSON_STRING:
                return "string";
        case JSON_INTEGER:
        case JSON_REAL:
                return "number";
        case JSON_TRUE:
        case JSON_FALSE:
                return "bool";
        case JSON_NULL:
                break;
        }
        return "null";
}

/* "cannot unmarshal number into string", and how to write it rightly where that is clear. */
static void wrong_type(struct decoder *dec, const json_t *json, const char *wanted, const struct field_path *path) {
        const char *hint = "";
        _cleanup_free_ char *text = NULL;
        char *end;

        if (streq(wanted, "string") && json_is_number(json)) {
                text = json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
                diagnostics_add(dec->diags, DIAGNOSTIC_DECODE, path,
                                "cannot unmarshal number into string; write it in quotes: \"%s\"", text ? text : "");
                return;
        }
        if (streq(wanted, "string") && json_is_boolean(json)) {
                hint = "; write it in quotes (true, yes, on, y, false, no, off and n are truth values in YAML)";
        } else if (json_is_string(json) && str_starts_with(wanted, "int") && json_string_length(json) > 0) {
                (void)!strtoll(json_string_value(json), &end, 10);
                if (*end == '\0')
                        hint = "; write it without quotes";
        } else if (json_is_string(json) && streq(wanted, "bool")) {
                hint = "; it is true or false, without quotes";
        } else if (str_starts_with(wanted, "a list") && !json_is_array(json)) {
                hint = "; start each element with \"- \"";
        }
        diagnostics_add(dec->diags, DIAGNOSTIC_DECODE, path, "cannot unmarshal %s into %s%s", json_type_name(json),
                        wanted, hint);
}

/* A whole number; YAML's 80.0 is one, as it is for Kubernetes once its YAML has become JSON. */
static bool whole_number(const json_t *json, int64_t *ret) {
        double real;

        if (json_is_integer(json)) {
                *ret = json_integer_value(json);
                return true;
        }
        if (!json_is_real(json))
                return false;
        real = json_real_value(json);
        if (real < -9007199254740992.0 || real > 9007199254740992.0)
                return false;
        *ret = (int64_t)real;
        return (double)*ret == real;
}

static bool decode_int(struct decoder *dec, const json_t *json, const char *wanted, int64_t min, int64_t max,
                       const struct field_path *path, int64_t *ret) {
        *ret = 0;
        if (!json_is_number(json)) {
                wrong_type(dec, json, wanted, path);
                return false;
        }
        if (!whole_number(json, ret)) {
                diagnostics_add_json(dec->diags, DIAGNOSTIC_DECODE, path, json,
                                     "cannot unmarshal number %.17g into %s; it must be a whole number",
                                     json_number_value(json), wanted);
                return false;
        }
        if (*ret < min || *ret > max) {
                diagnostics_add_json(dec->diags, DIAGNOSTIC_DECODE, path, json,
                                     "cannot unmarshal number %lld into %s; it must be between %lld and %lld",
                                     (long long)*ret, wanted, (long long)min, (long long)max);
                return false;
        }
        return true;
}

/* Decodes RFC 4648 base64 with padding; line breaks are skipped as Go does. Returns the place of the first wrong byte,
 * or -1. `out` has room for 3/4 of the input. */
static ssize_t base64_decode(const char *s, unsigned char *out, size_t *ret_len) {
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        unsigned bits = 0;
        size_t n = 0, len = 0, padding = 0, i;

        for (i = 0; s[i]; i++) {
                const char *found;

                if (s[i] == '\r' || s[i] == '\n')
                        continue;
                if (s[i] == '=') {
                        if (n % 4 < 2 || ++padding + n % 4 > 4)
                                return i;
                        continue;
                }
                found = strchr(alphabet, s[i]);
                if (!found || padding > 0)
                        return i;
                bits = bits << 6 | (unsigned)(found - alphabet);
                n++;
                if (n % 4 != 1)
                        out[len++] = (unsigned char)(bits >> (n % 4 == 2 ? 4 : n % 4 == 3 ? 2 : 0));
        }
        if ((n + padding) % 4 != 0)
                return i;
        *ret_len = len;
        return -1;
}

static void decode_bytes(struct decoder *dec, const json_t *json, const struct field_path *path,
                         ProtobufCBinaryData *ret) {
        const char *text = json_string_value(json);
        ssize_t wrong;

        if (!text) {
                wrong_type(dec, json, "string", path);
                return;
        }
        ret->data = api_arena_alloc(dec->arena, json_string_length(json) / 4 * 3 + 4);
        wrong = base64_decode(text, ret->data, &ret->len);
        if (wrong >= 0)
                diagnostics_add(dec->diags, DIAGNOSTIC_DECODE, path,
                                "illegal base64 data at input byte %zd; plain text belongs into stringData", wrong);
}

static void decode_raw(struct decoder *dec, const json_t *json, ProtobufCBinaryData *ret) {
        _cleanup_free_ char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);

        if (!text)
                return;
        ret->data = (uint8_t *)api_arena_strdup(dec->arena, text);
        ret->len = strlen(text);
}

/* The text of a quantity: a number counts as if it were written in quotes. */
static char *quantity_text(const json_t *json) {
        if (json_is_integer(json))
                return xasprintf("%lld", (long long)json_integer_value(json));
        if (json_is_real(json)) {
                /* The shortest text that reads back as the same number, as Kubernetes' JSON has it. */
                for (int digits = 15; digits <= 17; digits++) {
                        _cleanup_free_ char *text = xasprintf("%.*g", digits, json_real_value(json));

                        if (digits == 17 || strtod(text, NULL) == json_real_value(json))
                                return TAKE_PTR(text);
                }
        }
        return NULL;
}

static void decode_quantity(struct decoder *dec, const json_t *json, const struct field_path *path, V1Quantity *ret) {
        _cleanup_free_ char *text = NULL, *canonical = NULL;
        const char *reason = NULL;
        struct quantity q;

        if (json_is_string(json)) {
                const char *s = json_string_value(json);
                size_t start = strspn(s, " \t\r\n"), len = strlen(s + start);

                while (len > 0 && strchr(" \t\r\n", s[start + len - 1]))
                        len--;
                text = xstrndup(s + start, len);
        } else {
                text = quantity_text(json);
        }
        if (!text) {
                wrong_type(dec, json, "a quantity", path);
                return;
        }
        if (!quantity_parse(text, &q, &reason)) {
                diagnostics_add_string(dec->diags, DIAGNOSTIC_DECODE, path, text, "\"%s\" is no quantity: %s",
                                       strlen(text) <= 64 ? text : "…", reason);
                return;
        }
        canonical = q.verbatim ? NULL : quantity_format(q);
        ret->string = api_arena_strdup(dec->arena, canonical ? canonical : text);
}

static void decode_time(struct decoder *dec, const json_t *json, const struct field_path *path, V1Time *ret) {
        if (!json_is_string(json)) {
                wrong_type(dec, json, "a time", path);
                return;
        }
        if (!api_time_parse(json_string_value(json), &ret->seconds, &ret->nanos)) {
                diagnostics_add_json(dec->diags, DIAGNOSTIC_DECODE, path, json,
                                     "cannot be read as a time; one is written as 2006-01-02T15:04:05Z (RFC 3339)");
                return;
        }
        ret->has_seconds = true;
        ret->has_nanos = ret->nanos != 0;
}

static void decode_micro_time(struct decoder *dec, const json_t *json, const struct field_path *path,
                              V1MicroTime *ret) {
        V1Time time = V1_TIME__INIT;

        decode_time(dec, json, path, &time);
        ret->has_seconds = time.has_seconds;
        ret->seconds = time.seconds;
        ret->has_nanos = time.has_nanos;
        ret->nanos = time.nanos;
}

static void decode_int_or_string(struct decoder *dec, const json_t *json, const struct field_path *path,
                                 V1IntOrString *ret) {
        int64_t value;

        ret->has_type = true;
        if (json_is_string(json)) {
                ret->type = 1;
                ret->strval = api_arena_strdup(dec->arena, json_string_value(json));
        } else if (!json_is_number(json)) {
                wrong_type(dec, json, "a number or a name", path);
        } else if (decode_int(dec, json, "int32", INT32_MIN, INT32_MAX, path, &value)) {
                ret->has_intval = true;
                ret->intval = (int32_t)value;
        }
}

static void *decode_message(struct decoder *dec, const struct api_type *type, const json_t *json,
                            const struct field_path *path);

/* One value (of a singular field, of a list, of a map) to the zeroed place `ret`. */
static void decode_value(struct decoder *dec, const struct api_field *field, const ProtobufCFieldDescriptor *d,
                         const json_t *json, const struct field_path *path, void *ret) {
        int64_t value;

        switch (d->type) {
        case PROTOBUF_C_TYPE_STRING:
                if (json_is_string(json))
                        *(char **)ret =
                                api_arena_strndup(dec->arena, json_string_value(json), json_string_length(json));
                else
                        wrong_type(dec, json, "string", path);
                break;
        case PROTOBUF_C_TYPE_BOOL:
                if (json_is_boolean(json))
                        *(protobuf_c_boolean *)ret = json_is_true(json);
                else
                        wrong_type(dec, json, "bool", path);
                break;
        case PROTOBUF_C_TYPE_INT32:
                if (decode_int(dec, json, "int32", INT32_MIN, INT32_MAX, path, &value))
                        *(int32_t *)ret = (int32_t)value;
                break;
        case PROTOBUF_C_TYPE_UINT32:
                if (decode_int(dec, json, "uint32", 0, UINT32_MAX, path, &value))
                        *(uint32_t *)ret = (uint32_t)value;
                break;
        case PROTOBUF_C_TYPE_INT64:
                if (decode_int(dec, json, "int64", INT64_MIN, INT64_MAX, path, &value))
                        *(int64_t *)ret = value;
                break;
        case PROTOBUF_C_TYPE_UINT64:
                if (decode_int(dec, json, "uint64", 0, INT64_MAX, path, &value))
                        *(uint64_t *)ret = (uint64_t)value;
                break;
        case PROTOBUF_C_TYPE_DOUBLE:
                if (json_is_number(json))
                        *(double *)ret = json_number_value(json);
                else
                        wrong_type(dec, json, "a number", path);
                break;
        case PROTOBUF_C_TYPE_BYTES:
                decode_bytes(dec, json, path, ret);
                break;
        case PROTOBUF_C_TYPE_MESSAGE:
                *(void **)ret = decode_message(dec, api_field_type(field), json, path);
                break;
        default:
                abort(); /* The schema has no other types; a unit test walks it. */
        }
}

/* null as an element of a list or map is Go's zero value. */
static void zero_value(struct decoder *dec, const struct api_field *field, const ProtobufCFieldDescriptor *d,
                       void *ret) {
        if (d->type == PROTOBUF_C_TYPE_STRING) {
                *(char **)ret = api_arena_strdup(dec->arena, "");
        } else if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
                *(void **)ret = message_new(dec->arena, api_field_type(field));
                if (api_field_type(field)->form == API_TYPE_QUANTITY)
                        (*(V1Quantity **)ret)->string = api_arena_strdup(dec->arena, "0");
        }
}

static const char *list_name(const struct api_field *field, const ProtobufCFieldDescriptor *d, char *buffer,
                             size_t size) {
        if (d->type == PROTOBUF_C_TYPE_STRING)
                return "a list of strings";
        if (d->type != PROTOBUF_C_TYPE_MESSAGE)
                return "a list of numbers";
        snprintf(buffer, size, "a list of %s", api_type_name(api_field_type(field)) + 2);
        return buffer;
}

static void decode_list(struct decoder *dec, const struct api_field *field, const ProtobufCFieldDescriptor *d,
                        const json_t *json, const struct field_path *path, void *message) {
        size_t n = json_array_size(json), size = field_size(d);
        unsigned char *array;
        char name[80];

        if (!json_is_array(json)) {
                wrong_type(dec, json, list_name(field, d, name, sizeof(name)), path);
                return;
        }
        if (n == 0)
                return;
        array = array_new(dec->arena, n, size);
        for (size_t i = 0; i < n; i++) {
                struct field_path element = field_path_index(path, i);
                const json_t *value = json_array_get(json, i);

                if (json_is_null(value))
                        zero_value(dec, field, d, array + i * size);
                else
                        decode_value(dec, field, d, value, &element, array + i * size);
                /* What could not be decoded has been reported; readers may still rely on there being something. */
                if (d->type == PROTOBUF_C_TYPE_STRING && !*(char **)(array + i * size))
                        zero_value(dec, field, d, array + i * size);
        }
        *(void **)field_at(message, d) = array;
        *field_count(message, d) = n;
}

static void decode_map(struct decoder *dec, const struct api_field *field, const ProtobufCFieldDescriptor *d,
                       const json_t *json, const struct field_path *path, void *message) {
        const ProtobufCMessageDescriptor *entry = d->descriptor;
        const struct api_field *value_field = api_type_field(api_field_type(field), 1);
        const ProtobufCFieldDescriptor *value_d = &entry->fields[1];
        size_t n = json_object_size(json), i = 0;
        const char *key;
        json_t *value;
        void **entries;

        if (!json_is_object(json)) {
                wrong_type(dec, json, "a mapping", path);
                return;
        }
        if (n == 0)
                return;
        entries = array_new(dec->arena, n, sizeof(void *));
        json_object_foreach((json_t *)json, key, value) {
                struct field_path element = field_path_key(path, key);
                void *place;

                entries[i] = api_arena_alloc(dec->arena, entry->sizeof_message);
                protobuf_c_message_init(entry, entries[i]);
                *(char **)field_at(entries[i], &entry->fields[0]) = api_arena_strdup(dec->arena, key);
                place = field_at(entries[i], value_d);
                if (!json_is_null(value))
                        decode_value(dec, value_field, value_d, value, &element, place);
                if (value_d->type == PROTOBUF_C_TYPE_BYTES)
                        *field_has(entries[i], value_d) = true;
                else if (!*(void **)place)
                        zero_value(dec, value_field, value_d, place);
                i++;
        }
        *(void **)field_at(message, d) = entries;
        *field_count(message, d) = n;
}

static void unknown_field(struct decoder *dec, const struct api_type *type, const char *key,
                          const struct field_path *path) {
        const char *best = NULL;
        size_t len = strlen(key), best_distance = len <= 3 ? 2 : len <= 8 ? 3 : 4;

        if (dec->lenient)
                return;
        for (size_t i = 0; i < type->n_names && len < 64; i++) {
                const char *name = api_name_text(api_type_json_name(type, i));
                size_t distance = strcasecmp(key, name) == 0 ? 0 : str_distance(key, name);

                if (distance < best_distance) {
                        best = name;
                        best_distance = distance;
                }
        }
        if (best)
                diagnostics_add(dec->diags, DIAGNOSTIC_UNKNOWN_FIELD, path, "did you mean \"%s\"?", best);
        else
                diagnostics_add(dec->diags, DIAGNOSTIC_UNKNOWN_FIELD, path, NULL);
}

static void decode_field(struct decoder *dec, const struct api_type *type, const struct api_field *field,
                         const json_t *json, const struct field_path *path, void *message) {
        const ProtobufCFieldDescriptor *d = api_field_descriptor(type, field);

        if (json_is_null(json))
                return;
        if (field->flags & API_FIELD_MAP) {
                decode_map(dec, field, d, json, path, message);
        } else if (d->label == PROTOBUF_C_LABEL_REPEATED) {
                decode_list(dec, field, d, json, path, message);
        } else {
                decode_value(dec, field, d, json, path, field_at(message, d));
                if (d->quantifier_offset != 0)
                        *field_has(message, d) = true;
        }
}

static void decode_struct(struct decoder *dec, const struct api_type *type, const json_t *json,
                          const struct field_path *path, void *message) {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)json, key, value) {
                struct field_path child = field_path_child(path, key);
                const struct api_name *name = api_type_find(type, key);
                const struct api_field *inlined = name ? api_name_inlined(name) : NULL;
                const struct api_type *owner = inlined ? api_field_type(inlined) : type;

                if (name && dec->drop && drop_has(dec->drop, owner, api_name_field(name), &child))
                        continue;
                if (inlined) {
                        const ProtobufCFieldDescriptor *d = api_field_descriptor(type, inlined);
                        decode_field(dec, owner, api_name_field(name), value, &child, field_pointer(message, d));
                } else if (name) {
                        decode_field(dec, type, api_name_field(name), value, &child, message);
                } else if (type->is_kind && (streq(key, "apiVersion") || streq(key, "kind"))) {
                        if (!json_is_string(value) && !json_is_null(value))
                                wrong_type(dec, value, "string", &child);
                } else {
                        unknown_field(dec, type, key, &child);
                }
        }
}

static void *decode_message(struct decoder *dec, const struct api_type *type, const json_t *json,
                            const struct field_path *path) {
        void *message = message_new(dec->arena, type);
        char name[80];

        switch (type->form) {
        case API_TYPE_STRUCT:
                if (json_is_object(json)) {
                        decode_struct(dec, type, json, path, message);
                } else {
                        snprintf(name, sizeof(name), "a mapping (%s)", api_type_name(type) + 2);
                        wrong_type(dec, json, name, path);
                }
                break;
        case API_TYPE_QUANTITY:
                decode_quantity(dec, json, path, message);
                break;
        case API_TYPE_TIME:
                decode_time(dec, json, path, message);
                break;
        case API_TYPE_MICRO_TIME:
                decode_micro_time(dec, json, path, message);
                break;
        case API_TYPE_INT_OR_STRING:
                decode_int_or_string(dec, json, path, message);
                break;
        case API_TYPE_RAW: {
                const ProtobufCFieldDescriptor *d = &api_type_descriptor(type)->fields[0];

                decode_raw(dec, json, field_at(message, d));
                *field_has(message, d) = true;
                break;
        }
        case API_TYPE_LIST:
                decode_list(dec, api_type_field(type, 0), &api_type_descriptor(type)->fields[0], json, path, message);
                break;
        }
        return message;
}

static void *decode(const json_t *json, const ProtobufCMessageDescriptor *descriptor, struct api_arena *arena,
                    struct diagnostics *diags, bool lenient) {
        struct decoder dec = {
                .arena = arena, .diags = diags, .lenient = lenient, .drop = lenient ? NULL : drop_list()
        };

        if (!json_is_object(json)) {
                diagnostics_add(diags, DIAGNOSTIC_DECODE, NULL,
                                "a Kubernetes object is a mapping with apiVersion and kind");
                return NULL;
        }
        return decode_message(&dec, api_type_of(descriptor), json, NULL);
}

void *api_decode(const json_t *json, const ProtobufCMessageDescriptor *descriptor, struct api_arena *arena,
                 struct diagnostics *diags) {
        return decode(json, descriptor, arena, diags, false);
}

struct error *api_decode_stored(const json_t *json, const ProtobufCMessageDescriptor *descriptor,
                                struct api_arena *arena, void *ret_message) {
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        void *message = decode(json, descriptor, arena, &diags, true);

        if (diags.n > 0)
                return diagnostics_error(&diags);
        memcpy(ret_message, &message, sizeof(message));
        return NULL;
}
