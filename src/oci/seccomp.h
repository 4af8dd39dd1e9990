/* seccomp.h - the system call filter of a container.
 *
 * RuntimeDefault is a table in seccomp.c: the system calls that programs use, less those that need a capability the
 * container does not have and those that only serve to attack a kernel: these fail with EPERM. A call that is not in
 * it, newer ones above all, fails with ENOSYS, so that C libraries fall back. The result is the `linux.seccomp` object
 * of the OCI runtime-spec, kept small because the OCI runtime parses it at every start, and beside it the filter ready
 * made. */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* The default profile for a container with these capabilities (a bit per capability of its bounding set). */
json_t *seccomp_runtime_default(uint64_t capabilities);
/* The same as a program for the kernel, in base64: the value of crun's annotation SECCOMP_FILTER_ANNOTATION (see
 * seccomp-filter.h). NULL on an architecture for which it is not made here. Owned by the caller. */
char *seccomp_runtime_default_filter(uint64_t capabilities);
#define SECCOMP_FILTER_ANNOTATION "run.oci.seccomp_bpf_data"
/* A Localhost profile: `name` is a path below `folder` (<root>/seccomp), in the format of the kubelet's and docker's
 * profiles; includes and excludes by capability and architecture are resolved here, because OCI runtimes do not know
 * them. */
struct error *seccomp_localhost(const char *folder, const char *name, uint64_t capabilities, json_t **ret) _must_check_;
