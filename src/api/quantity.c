#include <stdio.h>

#include "api/quantity.h"
#include "base/str.h"

#define SCALE_MIN (-9)   /* nano */
#define EXPONENT_MAX 300 /* of what is written; more is no resource */
#define DIGITS_MAX 38    /* that always fit into a 128-bit integer */
#define DIGITS_KEPT 36   /* of a value, so that the next hundredfold fits, too */
#define FAST_DIGITS 18   /* digits up to which Kubernetes computes in 64 bits and may keep the text as written */

static const struct {
        const char *text;
        enum quantity_format format;
        int exponent; /* of 10, or of 2 */
} suffixes[] = {
        { "", QUANTITY_DECIMAL_SI, 0 },   { "n", QUANTITY_DECIMAL_SI, -9 }, { "u", QUANTITY_DECIMAL_SI, -6 },
        { "m", QUANTITY_DECIMAL_SI, -3 }, { "k", QUANTITY_DECIMAL_SI, 3 },  { "M", QUANTITY_DECIMAL_SI, 6 },
        { "G", QUANTITY_DECIMAL_SI, 9 },  { "T", QUANTITY_DECIMAL_SI, 12 }, { "P", QUANTITY_DECIMAL_SI, 15 },
        { "E", QUANTITY_DECIMAL_SI, 18 }, { "Ki", QUANTITY_BINARY_SI, 10 }, { "Mi", QUANTITY_BINARY_SI, 20 },
        { "Gi", QUANTITY_BINARY_SI, 30 }, { "Ti", QUANTITY_BINARY_SI, 40 }, { "Pi", QUANTITY_BINARY_SI, 50 },
        { "Ei", QUANTITY_BINARY_SI, 60 },
};

static const char *const bad_format =
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
static const char *const bad_number = "unable to parse numeric part of quantity";
static const char *const bad_suffix = "unable to parse quantity's suffix";

static __int128 power_of_10(unsigned n) {
        __int128 p = 1;

        while (n-- > 0)
                p *= 10;
        return p;
}

/* Value × 10^n, or false if that has no room. */
static bool scaled_up(__int128 value, int64_t n, __int128 *ret) {
        if (value == 0) {
                *ret = 0;
                return true;
        }
        if (n > DIGITS_MAX)
                return false;
        return !__builtin_mul_overflow(value, power_of_10(n), ret);
}

/* Value / 10^n, away from zero. */
static __int128 scaled_down(__int128 value, int64_t n) {
        __int128 p;

        if (value == 0)
                return 0;
        if (n > DIGITS_MAX)
                return value > 0 ? 1 : -1;
        p = power_of_10(n);
        return value / p + (value % p == 0 ? 0 : value > 0 ? 1 : -1);
}

/* Drops zeros, which changes nothing and keeps the value small, and of an absurdly long number the last digits. */
static void normalize(struct quantity *q) {
        const __int128 limit = power_of_10(DIGITS_KEPT);

        for (; q->value >= limit || q->value <= -limit; q->scale++)
                q->value = scaled_down(q->value, 1);
        if (q->value == 0)
                q->scale = 0;
        while (q->value != 0 && q->value % 10 == 0) {
                q->value /= 10;
                q->scale++;
        }
}

struct parts {
        const char *digits; /* whole part, leading zeros skipped */
        size_t n_whole;
        const char *fraction;
        size_t n_fraction;
        const char *suffix;
        bool negative;
};

static bool split(const char *s, struct parts *ret) {
        struct parts p = { 0 };
        const char *start;

        if (*s == '-' || *s == '+')
                p.negative = *s++ == '-';
        start = s;
        while (*s == '0')
                s++;
        p.digits = s;
        p.n_whole = strspn(s, "0123456789");
        s += p.n_whole;
        p.fraction = s;
        if (*s == '.') {
                p.fraction = ++s;
                p.n_fraction = strspn(s, "0123456789");
                s += p.n_fraction;
        }
        if (s == start)
                return false;
        p.suffix = s;
        s += strspn(s, "eEinumkKMGTP");
        if (*s == '-' || *s == '+')
                s++;
        s += strspn(s, "0123456789");
        if (*s != '\0')
                return false;
        *ret = p;
        return true;
}

static bool interpret_suffix(const char *s, enum quantity_format *ret_format, int *ret_exponent) {
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
                if (streq(s, suffixes[i].text)) {
                        *ret_format = suffixes[i].format;
                        *ret_exponent = suffixes[i].exponent;
                        return true;
                }
        if (*s == 'e' || *s == 'E') {
                int64_t exponent;

                if (!str_to_i64(s[1] == '+' ? s + 2 : s + 1, &exponent) || exponent < -EXPONENT_MAX ||
                    exponent > EXPONENT_MAX)
                        return false;
                *ret_format = QUANTITY_DECIMAL_EXPONENT;
                *ret_exponent = exponent;
                return true;
        }
        return false;
}

/* Takes the digits of whole part and fraction as one number, up to `max` of them; *ret_dropped counts the rest and
 * *ret_inexact says whether anything but zeros is among them. */
static __int128 gather_digits(const struct parts *p, size_t max, size_t *ret_dropped, bool *ret_inexact) {
        __int128 value = 0;
        size_t significant = 0;

        *ret_dropped = 0;
        *ret_inexact = false;
        for (size_t i = 0; i < p->n_whole + p->n_fraction; i++) {
                int digit = (i < p->n_whole ? p->digits[i] : p->fraction[i - p->n_whole]) - '0';

                if (significant >= max) {
                        (*ret_dropped)++;
                        *ret_inexact |= digit != 0;
                        continue;
                }
                value = value * 10 + digit;
                significant += value != 0;
        }
        return value;
}

/* Kubernetes keeps some texts as they were written although they are not canonical ("1.500"); these rules say which. */
static bool keeps_text(const struct parts *p, enum quantity_format format, int exponent) {
        size_t n = MAX(p->n_whole, 1u) + p->n_fraction;
        char digits[FAST_DIGITS + 2];

        if (n > FAST_DIGITS)
                return false;
        snprintf(digits, sizeof(digits), "%.*s%.*s", (int)MAX(p->n_whole, 1u), p->n_whole ? p->digits : "0",
                 (int)p->n_fraction, p->fraction);
        if (format == QUANTITY_BINARY_SI) {
                int64_t number = strtoll(digits, NULL, 10);

                return p->n_fraction == 0 && 15 - (int)n - (int)((float)exponent * 3 / 10) - 1 >= 0 &&
                       (number & 7) != 0;
        }
        return exponent - (int)p->n_fraction >= SCALE_MIN && (exponent - (int)p->n_fraction) % 3 == 0 &&
               !str_ends_with(digits, "000") && digits[0] != '0';
}

bool quantity_parse(const char *text, struct quantity *ret, const char **ret_reason) {
        struct quantity q = { 0 };
        struct parts p;
        size_t dropped;
        bool inexact;
        int exponent;
        const char *reason = NULL;

        if (!*text || !split(text, &p))
                reason = bad_format;
        else if (p.n_whole == 0 && p.n_fraction == 0 && !memchr(text, '0', p.suffix - text))
                reason = bad_number;
        else if (!interpret_suffix(p.suffix, &q.format, &exponent))
                reason = bad_suffix;
        if (ret_reason)
                *ret_reason = reason;
        if (reason)
                return false;

        q.verbatim = streq(text, "0") || keeps_text(&p, q.format, exponent);
        if (q.format == QUANTITY_BINARY_SI) {
                /* 2^60 takes 19 of the 38 digits there is room for. */
                q.value = gather_digits(&p, 19, &dropped, &inexact);
                q.value *= (__int128)1 << exponent;
                q.scale = (int)dropped - (int)p.n_fraction;
        } else {
                q.value = gather_digits(&p, DIGITS_KEPT, &dropped, &inexact);
                q.scale = (int)dropped - (int)p.n_fraction + exponent;
        }
        if (inexact)
                q.value++;
        if (q.scale < SCALE_MIN) {
                q.value = scaled_down(q.value, SCALE_MIN - q.scale);
                q.scale = SCALE_MIN;
        }
        if (p.negative)
                q.value = -q.value;
        normalize(&q);
        if (q.scale > EXPONENT_MAX) {
                if (ret_reason)
                        *ret_reason = bad_number;
                return false;
        }
        if (q.format == QUANTITY_BINARY_SI) {
                struct quantity max = quantity_from_int(INT64_MAX, QUANTITY_BINARY_SI),
                                one = quantity_from_int(1, QUANTITY_DECIMAL_SI);

                if (quantity_compare(q, max) > 0)
                        q = max;
                else if (quantity_compare(q, quantity_neg(max)) < 0)
                        q = quantity_neg(max);
                else if (quantity_compare(q, one) < 0 && quantity_compare(q, quantity_neg(one)) > 0 && q.value != 0)
                        q.format = QUANTITY_DECIMAL_SI;
        }
        *ret = q;
        return true;
}

struct quantity quantity_from_int(int64_t value, enum quantity_format format) {
        struct quantity q = { .value = value, .format = format };

        normalize(&q);
        return q;
}

int quantity_sign(struct quantity q) {
        return q.value > 0 ? 1 : q.value < 0 ? -1 : 0;
}

struct quantity quantity_neg(struct quantity q) {
        q.value = -q.value;
        q.verbatim = false;
        return q;
}

int quantity_compare(struct quantity a, struct quantity b) {
        __int128 x = a.value, y = b.value;

        if (quantity_sign(a) != quantity_sign(b) || x == 0)
                return quantity_sign(a) < quantity_sign(b) ? -1 : quantity_sign(a) > quantity_sign(b);
        /* What does not fit once scaled up to the other's unit is larger than anything that does. */
        if (a.scale > b.scale && !scaled_up(x, (int64_t)a.scale - b.scale, &x))
                return quantity_sign(a);
        if (b.scale > a.scale && !scaled_up(y, (int64_t)b.scale - a.scale, &y))
                return -quantity_sign(b);
        return x < y ? -1 : x > y;
}

/* In units of 10^scale, towards zero if that is coarser; false if it is too large for them. */
static bool rescaled(struct quantity q, int32_t scale, __int128 *ret) {
        if (q.scale >= scale)
                return scaled_up(q.value, (int64_t)q.scale - scale, ret) && *ret < power_of_10(DIGITS_MAX - 1) &&
                       *ret > -power_of_10(DIGITS_MAX - 1);
        *ret = (int64_t)scale - q.scale > DIGITS_MAX ? 0 : q.value / power_of_10(scale - q.scale);
        return true;
}

/* Exact, unless the two are so far apart that one vanishes beside the other. */
struct quantity quantity_add(struct quantity a, struct quantity b) {
        struct quantity sum = { .scale = MIN(a.scale, b.scale), .format = a.value == 0 ? b.format : a.format };
        __int128 x, y;

        while (!rescaled(a, sum.scale, &x) || !rescaled(b, sum.scale, &y))
                sum.scale++;
        sum.value = x + y;
        normalize(&sum);
        return sum;
}

struct quantity quantity_round_up(struct quantity q, int32_t scale) {
        if (q.scale >= scale)
                return q;
        q.value = scaled_down(q.value, (int64_t)scale - q.scale);
        q.scale = scale;
        q.verbatim = false;
        normalize(&q);
        return q;
}

static int64_t clamp(__int128 value) {
        return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

/* In units of 10^scale, rounded up. */
static int64_t in_units(struct quantity q, int32_t scale) {
        __int128 value;

        if (q.scale < scale)
                return clamp(scaled_down(q.value, (int64_t)scale - q.scale));
        if (!scaled_up(q.value, (int64_t)q.scale - scale, &value))
                return q.value > 0 ? INT64_MAX : INT64_MIN;
        return clamp(value);
}

int64_t quantity_value(struct quantity q) {
        return in_units(q, 0);
}

int64_t quantity_milli(struct quantity q) {
        return in_units(q, -3);
}

/* Kubernetes divides the whole values, or the thousandths if the divisor is a fraction (cpu in "1m"). */
int64_t quantity_divide_up(struct quantity q, struct quantity divisor) {
        bool fraction = divisor.scale < 0;
        int64_t a = fraction ? quantity_milli(q) : quantity_value(q);
        int64_t b = fraction ? quantity_milli(divisor) : quantity_value(divisor);

        if (b == 0)
                b = 1;
        if (a == INT64_MIN && b == -1)
                return INT64_MAX;
        return a / b + (a % b != 0 && (a < 0) == (b < 0));
}

static void add_number(struct strbuf *b, __int128 value) {
        char digits[48], *p = digits + sizeof(digits);
        bool negative = value < 0;

        *--p = '\0';
        do {
                int digit = value % 10;

                *--p = '0' + (negative ? -digit : digit);
                value /= 10;
        } while (value != 0);
        if (negative)
                *--p = '-';
        strbuf_adds(b, p);
}

/* The whole number and the largest power of 1024, if it is one that has a binary suffix. */
static bool format_binary(struct strbuf *b, struct quantity q) {
        __int128 value;
        int exponent = 0;

        if (q.scale < 0 || !scaled_up(q.value, q.scale, &value) || (value > -1024 && value < 1024))
                return false;
        while (value % 1024 == 0 && exponent < 60) {
                value /= 1024;
                exponent += 10;
        }
        add_number(b, value);
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
                if (suffixes[i].format == QUANTITY_BINARY_SI && suffixes[i].exponent == exponent)
                        strbuf_adds(b, suffixes[i].text);
        return true;
}

static void format_decimal(struct strbuf *b, struct quantity q) {
        int32_t exponent = q.scale - ((q.scale % 3) + 3) % 3;
        __int128 value = q.value * power_of_10(q.scale - exponent);

        if (q.format == QUANTITY_DECIMAL_EXPONENT) {
                add_number(b, value);
                if (exponent != 0)
                        strbuf_addf(b, "e%d", exponent);
                return;
        }
        for (; exponent > 18; exponent -= 3)
                if (__builtin_mul_overflow(value, (__int128)1000, &value)) {
                        /* Beyond any suffix: written as an exponent rather than wrongly. */
                        q.format = QUANTITY_DECIMAL_EXPONENT;
                        format_decimal(b, q);
                        return;
                }
        add_number(b, value);
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
                if (suffixes[i].format == QUANTITY_DECIMAL_SI && suffixes[i].exponent == exponent)
                        strbuf_adds(b, suffixes[i].text);
}

char *quantity_format(struct quantity q) {
        struct strbuf b = STRBUF_INIT;

        normalize(&q);
        if (q.value == 0)
                return xstrdup("0");
        /* Small and fractional numbers read better in decimal, whatever suffix they were written with. */
        if (q.format == QUANTITY_BINARY_SI && format_binary(&b, q))
                return strbuf_take(&b);
        if (q.format == QUANTITY_BINARY_SI)
                q.format = QUANTITY_DECIMAL_SI;
        format_decimal(&b, q);
        return strbuf_take(&b);
}

char *quantity_canonical(const char *text) {
        struct quantity q;

        if (!quantity_parse(text, &q, NULL))
                return NULL;
        return q.verbatim ? xstrdup(text) : quantity_format(q);
}

int64_t quantity_text_value(const char *text) {
        struct quantity q;

        return text && quantity_parse(text, &q, NULL) ? quantity_value(q) : 0;
}

int64_t quantity_text_milli(const char *text) {
        struct quantity q;

        return text && quantity_parse(text, &q, NULL) ? quantity_milli(q) : 0;
}
