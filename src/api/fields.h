/* fields.h - what a protobuf descriptor cannot say about a field: how JSON writes it, how patches merge it, and what
 * husk does with it.
 *
 * Made at build time by scripts/gen-fields.py from the `//@` marks in core-v1.proto and the table fields.tsv. The
 * fields of a type stand in the order in which Kubernetes writes them. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

enum api_field_flags {
        API_FIELD_INLINE = 1 << 0,   /* the fields of this message stand in its parent's JSON */
        API_FIELD_ALWAYS = 1 << 1,   /* written even when empty */
        API_FIELD_MAP = 1 << 2,      /* repeated entries here, an object in JSON */
        API_FIELD_POINTER = 1 << 3,  /* a pointer in Go: zero is written when it was set (`optional: false`) */
        API_FIELD_VALUE = 1 << 4,    /* a struct in Go: written even when empty (`resources: {}`) */
        API_FIELD_OMITZERO = 1 << 5, /* … but left out when zero (creationTimestamp) */
};

/* Types that are not written as an object of their fields. */
enum api_type_form {
        API_TYPE_STRUCT,
        API_TYPE_QUANTITY,
        API_TYPE_TIME,
        API_TYPE_MICRO_TIME,
        API_TYPE_INT_OR_STRING,
        API_TYPE_RAW,  /* any JSON, kept as text */
        API_TYPE_LIST, /* a list of its only field's values */
};

enum field_support {
        FIELD_UNLISTED, /* not reachable from a PodSpec */
        FIELD_HONOURED,
        FIELD_REFUSED,
};

/* The tables hold numbers instead of pointers, so that they stay in pages which all processes share: a pointer would
 * have to be relocated, and each pod's supervisor would get its own copy of everything. Read them by the functions
 * below. Text is a place in api_strings; 0 is none. */
struct api_field {
        uint16_t name; /* in JSON */
        uint16_t type; /* of a message, or of a map's entry: 1 + its place in api_types; 0: none */
        uint16_t patch_strategy;
        uint16_t merge_key;
        uint16_t harmless;
        uint16_t reason;
        uint8_t flags;
        uint8_t support;
        uint8_t index; /* in the descriptor's fields */
};

/* One JSON name of a type, inlined ones included. */
struct api_name {
        uint16_t name;
        uint16_t field;   /* in api_fields */
        uint16_t inlined; /* the inline field through which it is reached: 1 + its place in api_fields; 0: its own */
};

struct api_type {
        uint16_t name; /* "V1Pod" */
        uint16_t first_field, n_fields;
        uint16_t first_name, n_names; /* sorted by name */
        uint8_t form;
        bool is_kind; /* apiVersion and kind belong to it */
};

extern const char api_strings[];
extern const struct api_field api_fields[];
extern const struct api_name api_names[];
/* All types, sorted by name, and their descriptors in the same order. */
extern const struct api_type api_types[];
extern const ProtobufCMessageDescriptor *const api_descriptors[];
extern const size_t api_types_count;

static inline const char *api_text(uint16_t place) {
        return place ? api_strings + place : NULL;
}
static inline const char *api_type_name(const struct api_type *type) {
        return api_text(type->name);
}
static inline const ProtobufCMessageDescriptor *api_type_descriptor(const struct api_type *type) {
        return api_descriptors[type - api_types];
}
static inline const struct api_field *api_type_field(const struct api_type *type, size_t i) {
        return &api_fields[type->first_field + i];
}
static inline const struct api_name *api_type_json_name(const struct api_type *type, size_t i) {
        return &api_names[type->first_name + i];
}

static inline const char *api_field_name(const struct api_field *field) {
        return api_text(field->name);
}
/* NULL if the field holds no messages. */
static inline const struct api_type *api_field_type(const struct api_field *field) {
        return field->type ? &api_types[field->type - 1] : NULL;
}
/* "merge", "merge,retainKeys", "replace"; NULL: none */
static inline const char *api_field_patch_strategy(const struct api_field *field) {
        return api_text(field->patch_strategy);
}
static inline const char *api_field_merge_key(const struct api_field *field) {
        return api_text(field->merge_key);
}
/* A value that asks for nothing beyond the default, so that it is fine in any state of support. */
static inline const char *api_field_harmless(const struct api_field *field) {
        return api_text(field->harmless);
}
/* Of FIELD_REFUSED. */
static inline const char *api_field_reason(const struct api_field *field) {
        return api_text(field->reason);
}
static inline const ProtobufCFieldDescriptor *api_field_descriptor(const struct api_type *type,
                                                                   const struct api_field *field) {
        return &api_type_descriptor(type)->fields[field->index];
}

static inline const char *api_name_text(const struct api_name *name) {
        return api_text(name->name);
}
static inline const struct api_field *api_name_field(const struct api_name *name) {
        return &api_fields[name->field];
}
static inline const struct api_field *api_name_inlined(const struct api_name *name) {
        return name->inlined ? &api_fields[name->inlined - 1] : NULL;
}

/* Never NULL for a descriptor of core-v1.proto. */
const struct api_type *api_type_of(const ProtobufCMessageDescriptor *descriptor);
const struct api_type *api_type_named(const char *name); /* "V1Pod"; NULL if there is none */
const struct api_name *api_type_find(const struct api_type *type, const char *json_name); /* NULL: no such field */
/* The type at a JSON path below a type ("spec.containers", indexes left out), for patches and `explain`. */
const struct api_name *api_type_walk(const struct api_type *type, const char *path);
