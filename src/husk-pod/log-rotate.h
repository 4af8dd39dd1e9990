/* log-rotate.h - the files of a log that were full: "0.log" becomes "0.log.20261127-120000", as a kubelet names it.
 *
 * Their names sort by age: readers put the parts of a log in order by them, and the oldest go first. */
#pragma once

#include "base/base.h"

/* The path to move the full file `path` to. Named by the time, but after all that are there: there may be several in a
 * second (of which the first are gone already), and the clock may have been set back. Owned by the caller. */
char *log_rotated_name(const char *path);
/* Removes the oldest ones until `keep` are left. */
void log_rotated_prune(const char *path, size_t keep);
