/* infra.h - inside src/sandbox: the steps of the infra process between clone3(2) and execve(2).
 *
 * The child shares its memory with nobody, but it is a copy of a process that may have had other threads, so it calls
 * nothing that allocates or locks: everything it needs was put into a plan beforehand. It makes its namespaces itself,
 * beside its creator, which makes the cgroups meanwhile; those of a user namespace are made with it, for that owns
 * them.
 *
 * It talks with its creator over a SOCK_SEQPACKET pair: a struct infra_failure when something does not work; "n" when
 * its namespaces are as they are to be. It becomes husk-infra only when told to go on, that is when its pid is on
 * record: "g", with the cgroups it is to enter. The end of the pair without a word is success, if it lives: execve(2)
 * closes it. */
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
        bool own_network;            /* whose other interfaces husk makes */
        bool user_namespace;         /* of its own: it waits for "m" until its ids are mapped */
        int namespaces;              /* CLONE_NEW…: those that it makes itself */
        struct infra_write *sysctls; /* below /proc/sys */
        size_t n_sysctls;
};

/* What it was at, where more can be said than the kernel does. */
#define INFRA_UNSHARES "create the namespaces of the pod"
#define INFRA_ENTERS "enter the pod's cgroup below "
#define INFRA_EXECUTES "execute husk-infra"

#define INFRA_GO_MAX 1024 /* bytes of "g" and names */

struct infra_failure {
        int errnum;
        char what[256];
};

/* In the creator, infra-words.c: why there is no infra process, for people: with the limit to look at, where there is
 * one. A failure of clone3(2) with these namespaces; what the child said; how it died without a word (as in siginfo_t;
 * code 0: not known). */
struct error *infra_not_cloned(int errnum, uint64_t clone_flags) _must_check_;
struct error *infra_failed(struct infra_failure *failure) _must_check_;
struct error *infra_died(int code, int status, bool out_of_memory) _must_check_;
/* In the creator: gives a fresh infra process with a user namespace of its own its ids, sets the sysctls of its
 * namespaces and lets it go on. Nothing to do for one without. */
struct error *infra_map_ids(const struct infra_plan *plan, const struct id_map *ids, pid_t pid, int pidfd) _must_check_;

/* In the creator, infra-talk.c. Waits until the namespaces are made and configured, and opens the network namespace. */
struct error *infra_await_namespaces(struct sandbox *s) _must_check_;
/* Lets it enter these cgroups (with the rights of who opened them; none on v2) and become husk-infra. */
struct error *infra_go(struct sandbox *s, const struct cgroup_entry *cgroup) _must_check_;
/* Waits until it has. */
struct error *infra_answer(struct sandbox *s) _must_check_;

_noreturn_ void infra_main(const struct infra_plan *plan);
