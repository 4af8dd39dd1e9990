/* become.h - husk becomes the OCI runtime, in a container's cgroup.
 *
 * Who moves itself into a cgroup of v2 waits for the kernel (10 ms and more); who is born in it does not. So there the
 * runtime is a child, and what is left of husk waits for it: nothing passes through it but signals that are meant for
 * it alone, and the exit status. On v1, and where the kernel has no CLONE_INTO_CGROUP, husk itself moves and is
 * replaced. */
#pragma once

#include "base/error.h"
#include "sandbox/cgroup.h"

/* Executes argv[0], found in PATH or by its path, with the caller's descriptors, in the cgroup that `entry` leads to
 * (or where the caller is, if it is empty). `attend` is called before, with the pid that the program will have, and may
 * leave helpers behind, which are not in that cgroup. Returns only after a child's end, with its exit status, or with
 * an error: what `attend` says, or why the program could not be executed. */
struct error *become(char *const *argv, const struct cgroup_entry *entry, struct error *(*attend)(pid_t program),
                     int *ret_status) _must_check_;
