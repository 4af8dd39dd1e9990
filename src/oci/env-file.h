/* env-file.h - Kubernetes' environment files (env.valueFrom.fileKeyRef).
 *
 * A line is NAME='value': blanks before it, blank lines and lines that start with "#" do not count; no blanks around
 * "="; everything between the quotes is literal and may span lines; after the closing quote only blanks and a comment
 * may follow. A POSIX shell reads such a file the same way. */
#pragma once

#include "base/error.h"

#define ENV_FILE_MAX (64 * 1024)

/* Value of a key, or NULL in *ret if the file does not have it. A malformed line before it is ERROR_INVALID and says
 * which line. The content is hostile: it is written by a container. */
struct error *env_file_value(const char *text, size_t len, const char *key, char **ret) _must_check_;
