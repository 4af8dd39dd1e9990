/* duration.h - lengths of time in the notation of Go: on command lines, in configurations and tables. */
#pragma once

#include "base/base.h"

/* Go's notation: numbers with units, "1h30m", "1.5s", "300ms", "-1s", or "0". Nanoseconds. False if it is none. */
bool duration_parse(const char *s, int64_t *ret_ns);

#define DURATION_MAX 32
/* A length in whole seconds as the AGE column shows it: the longer it is the coarser, at most two units ("2m5s", "3h",
 * "7d23h", "2y40d"); a little below zero (clocks differ) is "0s", more is "<invalid>". Returns buf. */
const char *duration_format_age(int64_t seconds, char buf[static DURATION_MAX]);
/* Age of an RFC 3339 timestamp at `now` (seconds since 1970); "<unknown>" if there is none. */
const char *duration_format_since(const char *timestamp, int64_t now, char buf[static DURATION_MAX]);
