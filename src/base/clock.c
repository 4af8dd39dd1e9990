#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/file.h"
#include "base/str.h"

static int64_t read_clock(clockid_t id) {
        struct timespec t;
        clock_gettime(id, &t);
        return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

int64_t clock_realtime_ns(void) {
        return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic_ns(void) {
        return read_clock(CLOCK_BOOTTIME);
}

const char *clock_boot_id(void) {
        static char *id;

        if (id)
                return id;
        _cleanup_error_ struct error *err = file_read("/proc/sys/kernel/random/boot_id", 64, &id, NULL);
        if (err)
                id = xstrdup("");
        id[strcspn(id, "\n")] = '\0';
        return id;
}

bool clock_is_this_boot(const char *id) {
        return !str_empty(id) && streq(id, clock_boot_id());
}

const char *rfc3339_format(int64_t seconds, char buf[static RFC3339_MAX]) {
        time_t t = seconds;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(buf, RFC3339_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
        return buf;
}

const char *rfc3339_format_ns(int64_t ns, int digits, char buf[static RFC3339_MAX]) {
        int64_t seconds = ns / NSEC_PER_SEC, rest = ns % NSEC_PER_SEC;

        if (rest < 0) {
                rest += NSEC_PER_SEC;
                seconds--;
        }
        for (int i = 9; i > digits; i--)
                rest /= 10;
        rfc3339_format(seconds, buf);
        size_t len = strlen(buf) - 1;
        snprintf(buf + len, RFC3339_MAX - len, ".%0*lldZ", digits, (long long)rest);
        return buf;
}

bool rfc3339_parse(const char *s, int64_t *ret_seconds, int32_t *ret_nanos) {
        struct tm tm = { 0 };
        int consumed = 0;
        int64_t offset = 0, nanos = 0;
        int64_t seconds;

        if (sscanf(s, "%4d-%2d-%2d%*1[Tt]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
                   &tm.tm_sec, &consumed) != 6 ||
            consumed != 19)
                return false;
        if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
            tm.tm_sec > 60)
                return false;
        s += consumed;
        if (*s == '.') {
                int64_t unit = NSEC_PER_SEC / 10;
                if (*++s < '0' || *s > '9')
                        return false;
                for (; *s >= '0' && *s <= '9'; s++, unit /= 10)
                        nanos += (*s - '0') * unit;
        }
        if (*s == 'Z' || *s == 'z') {
                s++;
        } else if (*s == '+' || *s == '-') {
                int hours, minutes, n = 0;
                if (sscanf(s + 1, "%2d:%2d%n", &hours, &minutes, &n) != 2 || n != 5 || hours > 23 || minutes > 59)
                        return false;
                offset = (hours * 3600LL + minutes * 60) * (*s == '-' ? -1 : 1);
                s += 1 + n;
        } else {
                return false;
        }
        if (*s)
                return false;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        seconds = timegm(&tm);
        *ret_seconds = seconds - offset;
        if (ret_nanos)
                *ret_nanos = (int32_t)nanos;
        return true;
}
