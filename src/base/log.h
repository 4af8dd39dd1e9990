/* log.h - what a program says on standard error. Only programs and event callbacks log; libraries return errors. */
#pragma once

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Program name printed before each line ("husk-image pull"); copied. */
void log_set_name(const char *name);
/* Everything up to this level is printed; default LOG_INFO, or HUSK_LOG=error|warning|info|debug. */
void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *format, ...) _printf_(2, 3);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
