/* infra.h - inside src/sandbox: the steps of the infra process between clone3(2) and execve(2).
 *
 * The child shares its memory with nobody, but it is a copy of a process that may have had other threads, so it calls
 * nothing that allocates or locks: everything it needs was put into a plan beforehand. It talks with its creator over a
 * SOCK_SEQPACKET pair: a struct infra_failure when something does not work, and it becomes husk-infra only when told to
 * go on, that is when its pid is on record. The end of the pair without a word is success (execve closes it; on cgroup
 * v1 the child itself does, before it moves into its cgroups, which takes long). */
#pragma once

#include <stdbool.h>

#include "sandbox/cgroup.h"
#include "sandbox/sandbox.h"

struct infra_write {
        char *path;
        char *text;
};

struct infra_plan {
        int socket;                  /* the child's end of the pair */
        int creator_socket;          /* the other one, of which the child must not keep a copy */
        int program;                 /* husk-infra */
        const char *hostname;        /* NULL: no uts namespace of its own */
        bool loopback;               /* a network namespace of its own, where lo is to be up */
        bool user_namespace;         /* of its own: it waits for "m" until its ids are mapped */
        struct cgroup_entry cgroup;  /* v1: opened with the creator's rights; empty on v2 */
        struct infra_write *sysctls; /* below /proc/sys */
        size_t n_sysctls;
};

struct infra_failure {
        int errnum;
        char what[256];
};

/* In the creator: gives a fresh infra process with a user namespace of its own its ids, sets the sysctls of its
 * namespaces and lets it go on. Nothing to do for one without. */
struct error *infra_map_ids(const struct infra_plan *plan, const struct id_map *ids, pid_t pid, int pidfd) _must_check_;
_noreturn_ void infra_main(const struct infra_plan *plan);
