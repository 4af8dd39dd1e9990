#include "husk-keeper/keeper-private.h"

#include <errno.h>
#include <unistd.h>

char *text_put(char *at, const char *end, const char *s) {
        while (*s && at < end - 1)
                *at++ = *s++;
        *at = '\0';
        return at;
}

char *text_put_number(char *at, const char *end, int64_t n) {
        char digits[24], *d = digits + sizeof(digits) - 1;
        bool negative = n < 0;

        *d = '\0';
        do
                *--d = (char)('0' + (negative ? -(n % 10) : n % 10));
        while (n /= 10);
        if (negative)
                *--d = '-';
        return text_put(at, end, d);
}

void say(const char *what, const char *object, int error) {
        char line[PATH_SIZE + 256], *at = line;
        const char *end = line + sizeof(line) - 1;

        at = text_put(at, end, "husk-keeper: ");
        at = text_put(at, end, what);
        at = text_put(at, end, object);
        if (error) {
                at = text_put(at, end, ": error ");
                at = text_put_number(at, end, error);
        }
        *at++ = '\n';
        if (write(STDERR_FILENO, line, at - line) < 0)
                return;
}

__attribute__((noreturn)) void fail(const char *what, const char *object) {
        say(what, object, errno);
        _exit(1);
}
