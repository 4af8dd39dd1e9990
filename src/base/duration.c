#include "base/duration.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

static const struct {
        const char *name;
        int64_t ns;
} units[] = {
        { "ns", 1 },
        { "us", 1000 },
        { "µs", 1000 },
        { "ms", NSEC_PER_MSEC },
        { "s", NSEC_PER_SEC },
        { "m", 60 * NSEC_PER_SEC },
        { "h", 3600 * NSEC_PER_SEC },
};

static int64_t unit_parse(const char **s) {
        size_t len = 0;

        while ((*s)[len] && (*s)[len] != '.' && !isdigit((unsigned char)(*s)[len]))
                len++;
        for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                if (strlen(units[i].name) == len && strncmp(*s, units[i].name, len) == 0) {
                        *s += len;
                        return units[i].ns;
                }
        return 0;
}

/* Digits, a fraction, a unit: adds them to *total. */
static bool part_parse(const char **s, int64_t *total) {
        int64_t whole = 0, fraction = 0, scale = 1, value, unit;
        const char *start = *s;

        for (; isdigit((unsigned char)**s); (*s)++)
                if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, **s - '0', &whole))
                        return false;
        bool digits = *s > start;
        if (**s == '.')
                for ((*s)++; isdigit((unsigned char)**s); (*s)++) {
                        digits = true;
                        if (scale < 1000000000) {
                                fraction = fraction * 10 + (**s - '0');
                                scale *= 10;
                        }
                }
        unit = unit_parse(s);
        if (!digits || !unit || __builtin_mul_overflow(whole, unit, &value))
                return false;
        value += (int64_t)((__int128)fraction * unit / scale);
        return !__builtin_add_overflow(*total, value, total) && *total >= 0;
}

bool duration_parse(const char *s, int64_t *ret_ns) {
        int64_t total = 0;
        bool negative = *s == '-';

        if (*s == '-' || *s == '+')
                s++;
        if (!*s)
                return false;
        if (streq(s, "0")) {
                *ret_ns = 0;
                return true;
        }
        while (*s)
                if (!part_parse(&s, &total))
                        return false;
        *ret_ns = negative ? -total : total;
        return true;
}

/* "<n><unit>", and "<m><smaller>" if there is any of it. */
static void format_two(char *buf, int64_t n, char unit, int64_t m, char smaller) {
        if (m)
                snprintf(buf, DURATION_MAX, "%" PRId64 "%c%" PRId64 "%c", n, unit, m, smaller);
        else
                snprintf(buf, DURATION_MAX, "%" PRId64 "%c", n, unit);
}

const char *duration_format_age(int64_t seconds, char buf[static DURATION_MAX]) {
        int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

        if (seconds < -1)
                snprintf(buf, DURATION_MAX, "<invalid>");
        else if (seconds < 120)
                snprintf(buf, DURATION_MAX, "%" PRId64 "s", MAX(seconds, 0));
        else if (minutes < 10)
                format_two(buf, minutes, 'm', seconds % 60, 's');
        else if (minutes < 3 * 60)
                format_two(buf, minutes, 'm', 0, 0);
        else if (hours < 8)
                format_two(buf, hours, 'h', minutes % 60, 'm');
        else if (hours < 48)
                format_two(buf, hours, 'h', 0, 0);
        else if (days < 8)
                format_two(buf, days, 'd', hours % 24, 'h');
        else if (days < 2 * 365)
                format_two(buf, days, 'd', 0, 0);
        else if (days < 8 * 365)
                format_two(buf, days / 365, 'y', days % 365, 'd');
        else
                format_two(buf, days / 365, 'y', 0, 0);
        return buf;
}

const char *duration_format_since(const char *timestamp, int64_t now, char buf[static DURATION_MAX]) {
        int64_t then;

        if (!timestamp || !rfc3339_parse(timestamp, &then, NULL))
                snprintf(buf, DURATION_MAX, "<unknown>");
        else
                duration_format_age(now - then, buf);
        return buf;
}
