/* label.h - SELinux labels of files: what a container with seLinuxOptions is to read and write gets its label, as a
 * kubelet has the container runtime relabel volumes (not those of the host: hostPath keeps what it has). */
#pragma once

#include "base/error.h"

/* Labels the file or folder `fd` (may be O_PATH) and everything below it on the same file system. */
struct error *label_set_tree(int fd, const char *label) _must_check_;
