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
        FIELD_NOT_YET,
        FIELD_REFUSED,
};

struct api_type;

struct api_field {
        const char *name; /* in JSON */
        unsigned flags;
        unsigned index;              /* in type->descriptor->fields */
        const struct api_type *type; /* of a message, or of a map's entry; else NULL */
        const char *patch_strategy;  /* "merge", "merge,retainKeys", "replace"; NULL: none */
        const char *merge_key;       /* NULL: none */
        enum field_support support;
        const char *harmless; /* a value that asks for nothing beyond the default, so that it is fine in any state */
        const char *reason;   /* of FIELD_REFUSED */
};

/* One JSON name of a type, inlined ones included. */
struct api_name {
        const char *name;
        const struct api_field *field;
        const struct api_field *inlined; /* the inline field through which it is reached; NULL: its own */
};

struct api_type {
        const char *name; /* "V1Pod" */
        const ProtobufCMessageDescriptor *descriptor;
        enum api_type_form form;
        bool is_kind; /* apiVersion and kind belong to it */
        const struct api_field *fields;
        size_t n_fields;
        const struct api_name *names; /* sorted by name */
        size_t n_names;
};

/* Never NULL for a descriptor of core-v1.proto. */
const struct api_type *api_type_of(const ProtobufCMessageDescriptor *descriptor);
const struct api_type *api_type_named(const char *name); /* "V1Pod"; NULL if there is none */
const struct api_name *api_type_find(const struct api_type *type, const char *json_name); /* NULL: no such field */
static inline const ProtobufCFieldDescriptor *api_field_descriptor(const struct api_type *type,
                                                                   const struct api_field *field) {
        return &type->descriptor->fields[field->index];
}
/* The type at a JSON path below a type ("spec.containers", indexes left out), for patches and `explain`. */
const struct api_name *api_type_walk(const struct api_type *type, const char *path);

/* All types, for tests that walk the schema. */
extern const struct api_type *const api_types[];
extern const size_t api_types_count;
