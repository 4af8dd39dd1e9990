/* walk.h - visiting everything below a folder that containers may be changing at the same time. */
#pragma once

#include <sys/stat.h>

#include "base/error.h"

/* Deeper folders end the walk with an error: each level costs a descriptor. */
#define WALK_DEPTH_MAX 256

/* Called once for each entry, folders before their content; fd is O_PATH and st describes exactly what it refers to, be
 * it a link or a device. Not 0 (a negative errno) ends the walk. */
typedef int (*walk_visit)(void *context, int fd, const struct stat *st);

/* Visits everything below the folder `fd`, not itself. Follows no link, does not enter other file systems. */
struct error *walk_tree(int fd, walk_visit visit, void *context) _must_check_;
