#include "api/yaml-scalar.h"

static const struct {
        const char *text;
        enum yaml_scalar_type type;
} words[] = {
        { "", SCALAR_NULL },
        { "~", SCALAR_NULL },
        { "null", SCALAR_NULL },
        { "Null", SCALAR_NULL },
        { "NULL", SCALAR_NULL },
        { "y", SCALAR_TRUE },
        { "Y", SCALAR_TRUE },
        { "yes", SCALAR_TRUE },
        { "Yes", SCALAR_TRUE },
        { "YES", SCALAR_TRUE },
        { "true", SCALAR_TRUE },
        { "True", SCALAR_TRUE },
        { "TRUE", SCALAR_TRUE },
        { "on", SCALAR_TRUE },
        { "On", SCALAR_TRUE },
        { "ON", SCALAR_TRUE },
        { "n", SCALAR_FALSE },
        { "N", SCALAR_FALSE },
        { "no", SCALAR_FALSE },
        { "No", SCALAR_FALSE },
        { "NO", SCALAR_FALSE },
        { "false", SCALAR_FALSE },
        { "False", SCALAR_FALSE },
        { "FALSE", SCALAR_FALSE },
        { "off", SCALAR_FALSE },
        { "Off", SCALAR_FALSE },
        { "OFF", SCALAR_FALSE },
        { ".nan", SCALAR_NOT_FINITE },
        { ".NaN", SCALAR_NOT_FINITE },
        { ".NAN", SCALAR_NOT_FINITE },
        { ".inf", SCALAR_NOT_FINITE },
        { ".Inf", SCALAR_NOT_FINITE },
        { ".INF", SCALAR_NOT_FINITE },
        { "+.inf", SCALAR_NOT_FINITE },
        { "+.Inf", SCALAR_NOT_FINITE },
        { "+.INF", SCALAR_NOT_FINITE },
        { "-.inf", SCALAR_NOT_FINITE },
        { "-.Inf", SCALAR_NOT_FINITE },
        { "-.INF", SCALAR_NOT_FINITE },
        { "<<", SCALAR_MERGE },
};

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Skips from `min` to `max` digits; NULL if there are fewer. */
static const char *skip_digits(const char *s, int min, int max) {
        int n = 0;

        for (; s && n < max && is_digit(s[n]); n++)
                ;
        return s && n >= min ? s + n : NULL;
}

static const char *skip_char(const char *s, const char *any_of) {
        return s && *s && strchr(any_of, *s) ? s + 1 : NULL;
}

static const char *skip_clock(const char *s) {
        s = skip_digits(skip_char(skip_digits(s, 1, 2), ":"), 1, 2);
        s = skip_digits(skip_char(s, ":"), 1, 2);
        if (s && *s == '.')
                s = skip_digits(s + 1, 1, 9);
        return s;
}

/* 2024-05-01, 2024-05-01T12:00:00Z, 2024-05-01 12:00:00 */
static bool is_timestamp(const char *s) {
        const char *zone;

        s = skip_digits(skip_char(skip_digits(s, 4, 4), "-"), 1, 2);
        s = skip_digits(skip_char(s, "-"), 1, 2);
        if (!s)
                return false;
        if (*s == '\0')
                return true;
        if (*s == ' ') {
                s = skip_clock(s + 1);
                return s && *s == '\0';
        }
        s = skip_clock(skip_char(s, "Tt"));
        if (!s)
                return false;
        if (*s == 'Z')
                return s[1] == '\0';
        zone = skip_digits(skip_char(skip_digits(skip_char(s, "+-"), 2, 2), ":"), 2, 2);
        return zone && *zone == '\0';
}

static int base_of(const char **digits) {
        const char *s = *digits;

        if (s[0] != '0' || s[1] == '\0')
                return 10;
        *digits = s + 2;
        switch (s[1]) {
        case 'x':
        case 'X':
                return 16;
        case 'b':
        case 'B':
                return 2;
        case 'o':
        case 'O':
                return 8;
        }
        *digits = s + 1;
        return 8;
}

/* Decimal, 0x, 0b, 0o and leading-zero octal. Too large for 64 bits is a real number, as it is in JSON. */
static bool resolve_int(const char *s, struct yaml_scalar *ret) {
        bool negative = *s == '-';
        const char *digits = *s == '-' || *s == '+' ? s + 1 : s;
        int base = base_of(&digits);
        char *end;
        unsigned long long value;

        if (*digits == '\0' || *digits == '-' || *digits == '+' || *digits == ' ')
                return false;
        errno = 0;
        value = strtoull(digits, &end, base);
        /* strtoull() takes a second "0x" of its own. */
        if (*end != '\0' || (base == 16 && digits[1] && strchr("xX", digits[1])))
                return false;
        if (errno == ERANGE)
                return false;
        if (value > (unsigned long long)INT64_MAX + negative) {
                *ret = (struct yaml_scalar){ .type = SCALAR_REAL, .real = negative ? -(double)value : (double)value };
                return true;
        }
        *ret = (struct yaml_scalar){ .type = SCALAR_INT, .integer = negative ? (int64_t)(0 - value) : (int64_t)value };
        return true;
}

static bool is_real(const char *s) {
        const char *start;

        if (*s == '-' || *s == '+')
                s++;
        start = s;
        while (is_digit(*s))
                s++;
        if (*s == '.') {
                s++;
                if (s - start == 1 && !is_digit(*s))
                        return false;
                while (is_digit(*s))
                        s++;
        }
        if (s == start)
                return false;
        if (*s == 'e' || *s == 'E') {
                s++;
                if (*s == '-' || *s == '+')
                        s++;
                if (!is_digit(*s))
                        return false;
                while (is_digit(*s))
                        s++;
        }
        return *s == '\0';
}

static bool resolve_number(const char *text, struct yaml_scalar *ret) {
        _cleanup_free_ char *plain = xstrdup(text);
        char *to = plain;

        for (const char *from = text; *from; from++)
                if (*from != '_')
                        *to++ = *from;
        *to = '\0';
        if (resolve_int(plain, ret))
                return true;
        if (!is_real(plain))
                return false;
        ret->real = strtod(plain, NULL);
        if (ret->real - ret->real != 0)
                return false; /* too large: a string for Kubernetes' YAML */
        ret->type = SCALAR_REAL;
        /* JSON writes 80.0 as 80, and from there on it is a whole number. */
        if (ret->real >= -9.2e18 && ret->real <= 9.2e18 && (double)(int64_t)ret->real == ret->real) {
                ret->integer = (int64_t)ret->real;
                ret->type = SCALAR_INT;
        }
        return true;
}

struct yaml_scalar yaml_scalar_resolve(const char *text) {
        struct yaml_scalar scalar = { .type = SCALAR_STRING };

        /* Nearly every scalar is an ordinary word: its first letter tells. */
        for (size_t i = 0; (*text == '\0' || strchr("~nNyYtTfFoO.+-<", *text)) && i < ARRAY_SIZE(words); i++)
                if (streq(text, words[i].text))
                        return (struct yaml_scalar){ .type = words[i].type };
        if (!is_digit(*text) && !strchr("+-.", *text))
                return scalar;
        if (is_timestamp(text))
                scalar.type = SCALAR_TIMESTAMP;
        else
                (void)resolve_number(text, &scalar);
        return scalar;
}

bool yaml_scalar_is_base_60(const char *s) {
        if (*s == '-' || *s == '+')
                s++;
        if (!is_digit(*s))
                return false;
        while (is_digit(*s) || *s == '_')
                s++;
        if (*s != ':')
                return false;
        while (*s == ':') {
                s++;
                if (!is_digit(*s))
                        return false;
                s += is_digit(s[1]) && *s <= '5' ? 2 : 1;
        }
        if (*s == '.')
                for (s++; is_digit(*s) || *s == '_'; s++)
                        ;
        return *s == '\0';
}
