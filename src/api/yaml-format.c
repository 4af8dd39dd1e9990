/* JSON to YAML in kubectl's layout. libyaml's emitter makes the same choices as the one Kubernetes uses (both descend
 * from it); which strings need quotes is decided here. */
#include <stdio.h>
#include <yaml.h>

#include "api/yaml-scalar.h"
#include "api/yaml.h"
#include "base/str.h"

static int append(void *data, unsigned char *buffer, size_t size) {
        strbuf_add(data, buffer, size);
        return 1;
}

static yaml_scalar_style_t string_style(const char *s) {
        enum yaml_scalar_type type;

        if (strchr(s, '\n'))
                return YAML_LITERAL_SCALAR_STYLE;
        type = yaml_scalar_resolve(s).type;
        if (type != SCALAR_STRING || yaml_scalar_is_base_60(s))
                return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
        return YAML_PLAIN_SCALAR_STYLE; /* the emitter quotes what plain style cannot hold */
}

static void emit(yaml_emitter_t *emitter, yaml_event_t *event) {
        /* Fails only without memory; the output is then short, which is better than none. */
        (void)!yaml_emitter_emit(emitter, event);
}

static void emit_text(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style) {
        yaml_event_t event;

        if (yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), 1, 1, style))
                emit(emitter, &event);
}

static void emit_real(yaml_emitter_t *emitter, double value) {
        char text[40];

        for (int digits = 15; digits <= 17; digits++) {
                snprintf(text, sizeof(text), "%.*g", digits, value);
                if (strtod(text, NULL) == value)
                        break;
        }
        emit_text(emitter, text, YAML_PLAIN_SCALAR_STYLE);
}

static bool is_letter(unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* The number that a run of digits starting here is; long ones saturate, which only makes them equal. */
static uint64_t run_of_digits(const char *s, size_t *ret_len) {
        uint64_t n = 0;
        size_t i;

        for (i = 0; is_digit(s[i]); i++)
                n = n > UINT64_MAX / 20 ? UINT64_MAX / 2 : n * 10 + (uint64_t)(s[i] - '0');
        *ret_len = i;
        return n;
}

/* Kubernetes' YAML sorts keys as people do: a2 before a10, letters after everything else. */
static int compare_keys(const void *pa, const void *pb) {
        const char *a = *(const char *const *)pa, *b = *(const char *const *)pb;
        size_t i = 0, len_a, len_b;
        uint64_t x, y;

        while (a[i] && a[i] == b[i])
                i++;
        if (!a[i] || !b[i])
                return (a[i] != '\0') - (b[i] != '\0');
        if (is_letter(a[i]) || is_letter(b[i]))
                return is_letter(a[i]) && is_letter(b[i]) ? (unsigned char)a[i] - (unsigned char)b[i]
                                                          : is_letter(a[i]) - is_letter(b[i]);
        /* A zero after other digits is a digit like any other, not the beginning of a number. */
        x = run_of_digits(a + i, &len_a);
        y = run_of_digits(b + i, &len_b);
        if (a[i] == '0' || b[i] == '0') {
                size_t j = i;

                while (j > 0 && a[j - 1] == '0')
                        j--;
                if (j > 0 && is_digit(a[j - 1]) && len_a != len_b)
                        return len_a < len_b ? -1 : 1;
        }
        if (x != y)
                return x < y ? -1 : 1;
        if (len_a != len_b)
                return len_a < len_b ? -1 : 1;
        return (unsigned char)a[i] - (unsigned char)b[i];
}

static void emit_value(yaml_emitter_t *emitter, const json_t *json);

static void emit_object(yaml_emitter_t *emitter, const json_t *json) {
        size_t n = json_object_size(json), i = 0;
        const char **keys = xcalloc(n ? n : 1, sizeof(*keys));
        yaml_event_t event;
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)json, key, value) keys[i++] = key;
        qsort(keys, n, sizeof(*keys), compare_keys);
        yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                            n ? YAML_BLOCK_MAPPING_STYLE : YAML_FLOW_MAPPING_STYLE);
        emit(emitter, &event);
        for (i = 0; i < n; i++) {
                emit_text(emitter, keys[i], string_style(keys[i]));
                emit_value(emitter, json_object_get(json, keys[i]));
        }
        free(keys);
        yaml_mapping_end_event_initialize(&event);
        emit(emitter, &event);
}

static void emit_array(yaml_emitter_t *emitter, const json_t *json) {
        size_t n = json_array_size(json);
        yaml_event_t event;

        yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                             n ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE);
        emit(emitter, &event);
        for (size_t i = 0; i < n; i++)
                emit_value(emitter, json_array_get(json, i));
        yaml_sequence_end_event_initialize(&event);
        emit(emitter, &event);
}

static void emit_value(yaml_emitter_t *emitter, const json_t *json) {
        char number[32];

        switch (json_typeof(json)) {
        case JSON_OBJECT:
                emit_object(emitter, json);
                break;
        case JSON_ARRAY:
                emit_array(emitter, json);
                break;
        case JSON_STRING:
                emit_text(emitter, json_string_value(json), string_style(json_string_value(json)));
                break;
        case JSON_INTEGER:
                snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(json));
                emit_text(emitter, number, YAML_PLAIN_SCALAR_STYLE);
                break;
        case JSON_REAL:
                emit_real(emitter, json_real_value(json));
                break;
        case JSON_TRUE:
                emit_text(emitter, "true", YAML_PLAIN_SCALAR_STYLE);
                break;
        case JSON_FALSE:
                emit_text(emitter, "false", YAML_PLAIN_SCALAR_STYLE);
                break;
        case JSON_NULL:
                emit_text(emitter, "null", YAML_PLAIN_SCALAR_STYLE);
                break;
        }
}

char *yaml_format(const json_t *json) {
        struct strbuf b = STRBUF_INIT;
        yaml_emitter_t emitter;
        yaml_event_t event;

        if (!yaml_emitter_initialize(&emitter))
                abort();
        yaml_emitter_set_output(&emitter, append, &b);
        yaml_emitter_set_unicode(&emitter, 1);
        yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
        emit(&emitter, &event);
        yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
        emit(&emitter, &event);
        emit_value(&emitter, json);
        yaml_document_end_event_initialize(&event, 1);
        emit(&emitter, &event);
        yaml_stream_end_event_initialize(&event);
        emit(&emitter, &event);
        yaml_emitter_delete(&emitter);
        return strbuf_take(&b);
}
