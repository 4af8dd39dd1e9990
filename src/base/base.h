/* base.h - the few macros and allocation helpers every file of husk uses.
 *
 * Memory: small allocations end the process with a message when they fail (xmalloc and friends never return NULL);
 * sizes that come from outside are bounded by the caller first. Ownership is released by cleanup attributes at the
 * declaration (`_cleanup_free_ char *name = NULL;`) and handed over with TAKE_PTR / TAKE_FD. */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))
#define _must_check_ __attribute__((warn_unused_result))
#define _noreturn_ __attribute__((noreturn))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Hands a pointer (or descriptor) over: yields its value and leaves NULL (or -EBADF) behind. */
#define TAKE_PTR(p) \
        ({ \
                __typeof__(p) *_pp = &(p); \
                __typeof__(p) _take = *_pp; \
                *_pp = NULL; \
                _take; \
        })
#define TAKE_FD(fd) \
        ({ \
                int *_fdp = &(fd); \
                int _take = *_fdp; \
                *_fdp = -EBADF; \
                _take; \
        })

static inline void freep(void *p) {
        free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(freep)

/* Closes a descriptor if it is one, keeps errno, returns -EBADF: `fd = fd_close(fd);` */
int fd_close(int fd);
static inline void fd_closep(int *fd) {
        fd_close(*fd);
}
#define _cleanup_close_ _cleanup_(fd_closep)

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
/* Like realloc for an array, with a check against overflow of count * size. */
void *xreallocarray(void *p, size_t count, size_t size);
char *xstrdup(const char *s); /* NULL gives NULL */
/* Puts a copy of `s` (NULL: nothing) in the place of *p, which is freed; `s` may lie inside the old string. */
void str_replace(char **p, const char *s);
char *xstrndup(const char *s, size_t n);
void *xmemdup(const void *p, size_t size);
char *xasprintf(const char *format, ...) _printf_(1, 2);
char *xvasprintf(const char *format, va_list ap) _printf_(1, 0);

#define new0(type) ((type *)xcalloc(1, sizeof(type)))

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}
/* Equal, where NULL equals only NULL. */
static inline bool streq_ptr(const char *a, const char *b) {
        return a == b || (a && b && strcmp(a, b) == 0);
}
static inline bool str_empty(const char *s) {
        return !s || !*s;
}
bool str_starts_with(const char *s, const char *prefix);
bool str_ends_with(const char *s, const char *suffix);
