/* quantity.h - Kubernetes' resource quantities ("500m", "1.5Gi", "2e3"): exact decimal arithmetic and canonical text.
 *
 * A quantity is value × 10^scale and remembers in which family of suffixes it was written. Nothing is finer than nano;
 * what is finer is rounded up (away from zero), as Kubernetes does, so that a request for something is never nothing.
 */
#pragma once

#include "base/error.h"

enum quantity_format {
        QUANTITY_DECIMAL_SI,       /* n u m k M G T P E */
        QUANTITY_BINARY_SI,        /* Ki Mi Gi Ti Pi Ei */
        QUANTITY_DECIMAL_EXPONENT, /* e3 */
};

struct quantity {
        __int128 value;
        int32_t scale; /* >= -9 */
        enum quantity_format format;
        bool verbatim; /* Kubernetes keeps this text as it was written */
};

/* False if the text is no quantity; *ret_reason (may be NULL) then says why in Kubernetes' words. */
bool quantity_parse(const char *text, struct quantity *ret, const char **ret_reason);
struct quantity quantity_from_int(int64_t value, enum quantity_format format);

/* Canonical text: no fraction, the largest suffix that needs none, suffix family kept. */
char *quantity_format(struct quantity q);
/* Canonical form of a text, or NULL if it is no quantity. What Kubernetes stores for it. */
char *quantity_canonical(const char *text);

int quantity_compare(struct quantity a, struct quantity b); /* <0, 0, >0 */
int quantity_sign(struct quantity q);
struct quantity quantity_add(struct quantity a, struct quantity b);
struct quantity quantity_neg(struct quantity q);
/* Rounds up to a multiple of 10^scale: -3 for milli. */
struct quantity quantity_round_up(struct quantity q, int32_t scale);

/* Whole units, and thousandths, rounded up; too large is INT64_MAX (too small INT64_MIN). */
int64_t quantity_value(struct quantity q);
int64_t quantity_milli(struct quantity q);
/* q / divisor rounded up, as resourceFieldRef shows it; a zero divisor counts as 1. */
int64_t quantity_divide_up(struct quantity q, struct quantity divisor);

/* Short cuts from text that was validated before; text that is none (or NULL) counts as 0. */
int64_t quantity_text_value(const char *text);
int64_t quantity_text_milli(const char *text);
