/* explain.h - sentences about types and fields, for people (`husk explain`).
 *
 * Made at build time by scripts/gen-explain.py from explain.tsv, in an object of its own: only a program that explains
 * carries the text, and only the pages that are read cost anything. Every field of the kinds that husk serves has its
 * sentence; what hangs on a refused field alone may have none. */
#pragma once

#include "api/fields.h"

/* Text is a place in api_explain_strings; 0 is none. */
struct api_explanation {
        uint32_t text;
        uint32_t values; /* the only values it may have, sorted, with commas between them; "" (two quotes) is empty */
        bool required;
};

extern const char api_explain_strings[];
extern const struct api_explanation api_explanations[]; /* in the order of api_fields */
extern const uint32_t api_type_explanations[];          /* in the order of api_types */
extern const struct api_explanation api_explanation_of_api_version, api_explanation_of_kind;

static inline const struct api_explanation *api_explanation_of(const struct api_field *field) {
        return &api_explanations[field - api_fields];
}
/* What the field does; NULL: nothing is said. */
static inline const char *api_explanation_text(const struct api_explanation *explanation) {
        return explanation->text ? api_explain_strings + explanation->text : NULL;
}
/* "Always,Never"; NULL: any value. */
static inline const char *api_explanation_values(const struct api_explanation *explanation) {
        return explanation->values ? api_explain_strings + explanation->values : NULL;
}
/* What the type is; NULL: what its fields say is all. */
static inline const char *api_type_explanation(const struct api_type *type) {
        uint32_t place = api_type_explanations[type - api_types];
        return place ? api_explain_strings + place : NULL;
}
