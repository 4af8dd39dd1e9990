/* seccomp-filter.h - the default system call filter as the kernel takes it.
 *
 * An OCI runtime makes a filter from names with libseccomp, which takes 20 ms for a profile of this size: more than
 * everything else about starting a container. This compiler takes microseconds, and its filter, a binary search, is
 * quicker at every call as well. crun is given it beside the profile, as the annotation run.oci.seccomp_bpf_data; a
 * runtime that does not know the annotation uses the profile. */
#pragma once

#include <linux/filter.h>

#include "base/base.h"

enum seccomp_verdict {
        SECCOMP_UNKNOWN, /* ENOSYS */
        SECCOMP_ALLOW,
        SECCOMP_REFUSE, /* EPERM */
        /* Decided by the first argument: */
        SECCOMP_IF_NO_NAMESPACES,     /* clone */
        SECCOMP_IF_USUAL_PERSONALITY, /* personality */
        SECCOMP_IF_NOT_VSOCK,         /* socket */
        _SECCOMP_VERDICT_MAX,
};

#define SECCOMP_CALLS_MAX 1024 /* numbers from here on are SECCOMP_UNKNOWN */

/* What is decided about each call, by number: [0] of the machine's own calls, [1] of the 32-bit ones. */
struct seccomp_verdicts {
        uint8_t of[2][SECCOMP_CALLS_MAX];
};

/* True where this compiler knows the architecture. */
bool seccomp_filter_supported(void);
/* Sets the verdict on a call by name, on both architectures; a name unknown here changes nothing. */
void seccomp_verdict_set(struct seccomp_verdicts *verdicts, const char *name, enum seccomp_verdict verdict);
/* The program; *ret_n instructions, owned by the caller. */
struct sock_filter *seccomp_filter_compile(const struct seccomp_verdicts *verdicts, size_t *ret_n);
