/* clock.h - times and their text. Instants are nanoseconds since 1970 (realtime) or since boot (monotonic). */
#pragma once

#include "base/base.h"

#define NSEC_PER_SEC 1000000000LL
#define NSEC_PER_MSEC 1000000LL

int64_t clock_realtime_ns(void);
int64_t clock_monotonic_ns(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps */
/* Names the boot that monotonic instants count from, and so whether what is written down with one still means anything:
 * a UUID of the kernel's (proc(5), random/boot_id), "" if it cannot be read. Static; the same as long as we live. */
const char *clock_boot_id(void);
/* Is it the boot of now? Not known is no; NULL is fine. */
bool clock_is_this_boot(const char *id);

#define RFC3339_MAX 40
/* "2026-11-23T19:03:56Z" (RFC 3339). Returns buf. */
const char *rfc3339_format(int64_t seconds, char buf[static RFC3339_MAX]);
/* With exactly `digits` (1 to 9) decimals of the second, in UTC. Returns buf. */
const char *rfc3339_format_ns(int64_t ns, int digits, char buf[static RFC3339_MAX]);
/* Parses RFC 3339 with optional decimals and offset; false if it is not one. ret_nanos may be NULL. */
bool rfc3339_parse(const char *s, int64_t *ret_seconds, int32_t *ret_nanos);
