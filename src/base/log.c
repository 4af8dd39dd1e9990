#include "base/log.h"

#include <stdio.h>

#include "base/clock.h"

static char *name;
static int level = -1;

static const char *const level_names[] = {
        [LOG_ERROR] = "error",
        [LOG_WARNING] = "warning",
        [LOG_INFO] = "info",
        [LOG_DEBUG] = "debug",
};

void log_set_name(const char *new_name) {
        free(name);
        name = xstrdup(new_name);
}

void log_set_level(enum log_level new_level) {
        level = (int)new_level;
}

static int log_level(void) {
        if (level < 0) {
                const char *wanted = getenv("HUSK_LOG");
                level = LOG_INFO;
                for (size_t i = 0; wanted && i < ARRAY_SIZE(level_names); i++)
                        if (streq(wanted, level_names[i]))
                                level = (int)i;
        }
        return level;
}

void log_write(enum log_level line_level, const char *format, ...) {
        char stamp[RFC3339_MAX];
        va_list ap;

        if ((int)line_level > log_level())
                return;
        va_start(ap, format);
        _cleanup_free_ char *text = xvasprintf(format, ap);
        va_end(ap);
        _cleanup_free_ char *line = xasprintf("%s %s %s: %s\n", rfc3339_format_ns(clock_realtime_ns(), 3, stamp),
                                              level_names[line_level], name ? name : "husk", text);
        ssize_t n = write(STDERR_FILENO, line, strlen(line));
        (void)n;
}
