/* Times as Kubernetes writes them: RFC 3339, UTC. */
#include <stdio.h>
#include <time.h>

#include "api/api.h"

static char *format(int64_t seconds, const char *fraction) {
        time_t t = seconds;
        struct tm tm;

        if (!gmtime_r(&t, &tm))
                return xstrdup("");
        return xasprintf("%04d-%02d-%02dT%02d:%02d:%02d%sZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                         tm.tm_min, tm.tm_sec, fraction);
}

char *api_time_format(const V1Time *time) {
        return format(time->seconds, "");
}

char *api_micro_time_format(const V1MicroTime *time) {
        char fraction[16];

        snprintf(fraction, sizeof(fraction), ".%06u", (unsigned)time->nanos / 1000 % 1000000);
        return format(time->seconds, fraction);
}

/* Reads exactly `width` digits. */
static bool number(const char **s, int width, int min, int max, int *ret) {
        int n = 0;

        for (int i = 0; i < width; i++, (*s)++) {
                if (**s < '0' || **s > '9')
                        return false;
                n = n * 10 + (**s - '0');
        }
        *ret = n;
        return n >= min && n <= max;
}

static bool literal(const char **s, char c) {
        return *(*s)++ == c;
}

static bool fraction(const char **s, int32_t *ret_nanos) {
        int32_t nanos = 0, unit = 100000000;

        if (**s != '.')
                return true;
        (*s)++;
        if (**s < '0' || **s > '9')
                return false;
        for (; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
                nanos += (**s - '0') * unit;
        *ret_nanos = nanos;
        return true;
}

static bool offset(const char **s, int *ret_seconds) {
        int hours, minutes, sign = **s == '-' ? -1 : 1;

        if (**s == 'Z') {
                (*s)++;
                *ret_seconds = 0;
                return true;
        }
        if (**s != '+' && **s != '-')
                return false;
        (*s)++;
        if (!number(s, 2, 0, 23, &hours) || !literal(s, ':') || !number(s, 2, 0, 59, &minutes))
                return false;
        *ret_seconds = sign * (hours * 3600 + minutes * 60);
        return true;
}

static int days_in_month(int year, int month) {
        static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        return days[month - 1] + (month == 2 && leap);
}

bool api_time_parse(const char *s, int64_t *ret_seconds, int32_t *ret_nanos) {
        struct tm tm = { 0 };
        int year, month, east;
        int32_t nanos = 0;

        if (!number(&s, 4, 0, 9999, &year) || !literal(&s, '-') || !number(&s, 2, 1, 12, &month) || !literal(&s, '-') ||
            !number(&s, 2, 1, days_in_month(year, month), &tm.tm_mday) || !literal(&s, 'T') ||
            !number(&s, 2, 0, 23, &tm.tm_hour) || !literal(&s, ':') || !number(&s, 2, 0, 59, &tm.tm_min) ||
            !literal(&s, ':') || !number(&s, 2, 0, 59, &tm.tm_sec) || !fraction(&s, &nanos) || !offset(&s, &east) ||
            *s != '\0')
                return false;
        tm.tm_year = year - 1900;
        tm.tm_mon = month - 1;
        *ret_seconds = (int64_t)timegm(&tm) - east;
        *ret_nanos = nanos;
        return true;
}

V1Time *api_time_new(struct api_arena *arena, int64_t seconds) {
        V1Time *t = api_new(arena, &v1_time__descriptor);

        t->has_seconds = true;
        t->seconds = seconds;
        return t;
}
