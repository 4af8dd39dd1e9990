/* Quantities: the canonical form must be one itself, mean the same, and arithmetic must hold together. */
#include "api/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = xstrndup((const char *)data, size), *once = NULL, *twice = NULL;
        struct quantity q, again;

        if (!quantity_parse(text, &q, NULL))
                return 0;
        once = quantity_format(q);
        if (!quantity_parse(once, &again, NULL) || quantity_compare(q, again) != 0)
                abort();
        twice = quantity_format(again);
        /* 1536 was 1.5Ki, and nothing tells it from a decimal number any more; Kubernetes has it so, too. */
        if (q.format == again.format && strcmp(once, twice) != 0)
                abort();
        if (quantity_sign(quantity_add(q, quantity_neg(again))) != 0 ||
            quantity_compare(quantity_add(q, q), q) != quantity_sign(q))
                abort();
        (void)quantity_milli(q);
        (void)quantity_value(q);
        (void)quantity_divide_up(q, again);
        (void)quantity_divide_up(quantity_from_int(INT64_MIN, QUANTITY_BINARY_SI), q);
        if (quantity_compare(quantity_round_up(q, -3), q) * quantity_sign(q) < 0)
                abort();
        return 0;
}
