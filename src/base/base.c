#include "base/base.h"

#include <stdio.h>

static _noreturn_ void out_of_memory(void) {
        static const char message[] = "husk: out of memory\n";
        ssize_t n = write(STDERR_FILENO, message, sizeof(message) - 1);
        (void)n;
        abort();
}

int fd_close(int fd) {
        if (fd >= 0) {
                int saved = errno;
                close(fd);
                errno = saved;
        }
        return -EBADF;
}

void *xmalloc(size_t size) {
        void *p = malloc(size ? size : 1);
        if (!p)
                out_of_memory();
        return p;
}

void *xcalloc(size_t count, size_t size) {
        void *p = calloc(count ? count : 1, size ? size : 1);
        if (!p)
                out_of_memory();
        return p;
}

void *xrealloc(void *p, size_t size) {
        p = realloc(p, size ? size : 1);
        if (!p)
                out_of_memory();
        return p;
}

void *xreallocarray(void *p, size_t count, size_t size) {
        if (!count || !size)
                return xrealloc(p, 1);
        p = reallocarray(p, count, size);
        if (!p)
                out_of_memory();
        return p;
}

char *xstrdup(const char *s) {
        return s ? xmemdup(s, strlen(s) + 1) : NULL;
}

void str_replace(char **p, const char *s) {
        char *copy = xstrdup(s);

        free(*p);
        *p = copy;
}

char *xstrndup(const char *s, size_t n) {
        size_t len = strnlen(s, n);
        char *copy = xmalloc(len + 1);
        memcpy(copy, s, len);
        copy[len] = '\0';
        return copy;
}

void *xmemdup(const void *p, size_t size) {
        void *copy = xmalloc(size);
        if (size)
                memcpy(copy, p, size);
        return copy;
}

char *xvasprintf(const char *format, va_list ap) {
        char *s;
        if (vasprintf(&s, format, ap) < 0)
                out_of_memory();
        return s;
}

char *xasprintf(const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        char *s = xvasprintf(format, ap);
        va_end(ap);
        return s;
}

bool str_starts_with(const char *s, const char *prefix) {
        return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends_with(const char *s, const char *suffix) {
        size_t len = strlen(s), suffix_len = strlen(suffix);
        return len >= suffix_len && strcmp(s + len - suffix_len, suffix) == 0;
}
