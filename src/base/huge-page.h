/* huge-page.h - the sizes of huge pages this machine has, and their names. */
#pragma once

#include "base/base.h"

/* "64KB", "2MB", "1GB": as the kernel names the control files of a cgroup and the OCI runtime-spec its limits. Owned by
 * the caller. */
char *huge_page_size_name(uint64_t bytes);
/* The names of all sizes of this machine, the smallest first; NULL if it has none. A list of the caller's. */
char **huge_page_sizes(void);
