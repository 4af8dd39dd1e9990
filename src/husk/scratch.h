/* scratch.h - temporary files for programs that look at objects or change them: a diff, an editor. */
#pragma once

#include "base/error.h"

/* Makes a folder of the caller's own below $TMPDIR or /tmp; the path is owned by the caller. */
struct error *scratch_folder(const char *prefix, char **ret) _must_check_;
/* Writes `text` to FOLDER/NAME, readable by the caller alone. */
struct error *scratch_write(const char *folder, const char *name, const char *text) _must_check_;
/* Runs `command` by the shell with `arguments` (NULL-terminated) behind it, on the caller's terminal, and waits. *ret
 * is its exit status, 128 + N for signal N. Only failing to run a shell is an error. */
struct error *scratch_run(const char *command, const char *const *arguments, int *ret) _must_check_;
