/* sandbox.h - what the containers of a pod share: the infra process and the namespaces it holds.
 *
 * The sandbox is born first and removed last. The infra process (program husk-infra) is created by clone3 with the new
 * namespaces the Pod asks for, configures them from inside (hostname, loopback, sysctls), gives up its root file
 * system, its capabilities, its descriptors and its uid, and becomes husk-infra. It is created with CLONE_PARENT, so
 * that the caller's parent (husk-keeper) is its parent: it outlives its creator, and its exit is reported by the
 * keeper.
 *
 *   namespace   new                                                     else
 *   network     unless hostNetwork                                      the node's
 *   uts         unless hostNetwork                                      the node's: hostNetwork pods have its hostname
 *   ipc         unless hostIPC                                          the node's
 *   pid         if shareProcessNamespace (husk-infra is PID 1)          hostPID: the node's; else one per container
 *   user        if hostUsers is false; it owns the others               the node's
 *   mount       always, with nothing in it                              -
 *
 * Which process it is stands in <run>/pods/<uid>/sandbox.json from before it is made until it is gone, so that whoever
 * comes after a crash finds it (sandbox_open) or undoes it (sandbox_destroy).
 *
 * Order of use: sandbox_start(), which has the pod's cgroups made, then, while the infra process goes on,
 * net_attach_begin() with sandbox.netns_fd and the files of hosts.h, then sandbox_finish(). Containers join through
 * sandbox_namespace_path(). */
#pragma once

#include "base/error.h"
#include "base/idmap.h"
#include "core-v1.pb-c.h"
#include "store/store.h"

struct sandbox_config {
        const struct store *store;
        const V1Pod *pod; /* with defaults; metadata.uid is set */
        unsigned attempt; /* 0 for the first sandbox of the pod, then counting */
        const char
                *cgroup_path; /* of the pod (cgroup_pod_path); NULL: the infra process stays in the caller's cgroups */
        /* Makes the cgroup at cgroup_path, called once by sandbox_start(): on v1 while the infra process makes its
         * namespaces, on v2, where it is born in its cgroup, before. NULL: it is there already. */
        struct error *(*make_cgroups)(void *arg);
        void *arg;
        const char *cluster_domain; /* NULL: "cluster.local" */
        const char *infra_program;  /* NULL: husk-infra beside the running program */
        const struct id_map *ids;   /* for hostUsers: false; else NULL or not set */
        bool foreign_network;       /* its interfaces are made by others (CNI plugins), who configure them, too */
        bool own_child; /* the infra process becomes the caller's child, without CLONE_PARENT (tests, CRI) */
};

/* Namespaces by bit, as in struct sandbox.namespaces: those the pod has of its own. */
enum sandbox_namespace {
        SANDBOX_NET = 1 << 0,
        SANDBOX_UTS = 1 << 1,
        SANDBOX_IPC = 1 << 2,
        SANDBOX_PID = 1 << 3, /* one pid namespace for all containers */
        SANDBOX_MNT = 1 << 4,
        SANDBOX_USER = 1 << 5,
};

struct sandbox {
        pid_t pid;           /* of the infra process, in the node's pid namespace */
        uint64_t start_time; /* with the pid a name for ever: base/process.h */
        int pidfd;           /* readable when it has exited */
        int netns_fd;        /* its network namespace; -EBADF for hostNetwork */
        int ready_fd;        /* readable when sandbox_finish() would not wait; -EBADF when it is done */
        unsigned namespaces; /* enum sandbox_namespace */
        unsigned attempt;
        bool died; /* sandbox_finish() found it dead without a word: sandbox_died() has one when its exit is known */
        char *hostname; /* what the pod's containers see; the node's for hostNetwork */
        char *uid;      /* of the pod */
        char *shm;      /* folder to bind on /dev/shm of every container */
        char *record;   /* <run>/pods/<uid>/sandbox.json */
};

/* Makes the infra process and returns as soon as its namespaces are configured; it goes on by itself. */
struct error *sandbox_start(const struct sandbox_config *config, struct sandbox **ret) _must_check_;
/* Waits until the infra process has configured its namespaces and runs husk-infra; or returns what went wrong there, in
 * its own words ("write sysctl net.core.somaxconn: …"). After an error the sandbox is only good for sandbox_destroy().
 */
struct error *sandbox_finish(struct sandbox *sandbox) _must_check_;
/* Of what a sandbox died that had said nothing: `code` and `status` as in siginfo_t. `cgroup_path` as in the config. */
struct error *sandbox_died(const char *cgroup_path, int code, int status) _must_check_;
/* sandbox_start() and sandbox_finish(); what went wrong is undone. */
struct error *sandbox_create(const struct sandbox_config *config, struct sandbox **ret) _must_check_;
/* For a successor: the sandbox recorded for this pod, if its infra process still runs and had got ready. A sandbox that
 * is not there, dead or half made gives *ret = NULL: destroy what there may be and create the next attempt. */
struct error *sandbox_open(const struct store *store, const char *pod_uid, struct sandbox **ret) _must_check_;
/* Attempt number of the recorded sandbox whatever its state, -1 if there is no record. */
int sandbox_recorded_attempt(const struct store *store, const char *pod_uid);
/* Kills the infra process and waits for its end, unmounts /dev/shm, removes the record. From the record alone, in any
 * state and any number of times. Does not touch the network (net_detach_begin first) nor cgroups. */
struct error *sandbox_destroy(const struct store *store, const char *pod_uid) _must_check_;

bool sandbox_is_running(const struct sandbox *sandbox);
/* "/proc/<pid>/ns/net" for a namespace the pod has of its own, NULL for one it shares with the node (or, for pid, with
 * nobody). Owned by the caller. */
char *sandbox_namespace_path(const struct sandbox *sandbox, enum sandbox_namespace which);

struct sandbox *sandbox_free(struct sandbox *sandbox); /* closes descriptors; the processes live on. NULL is fine */
static inline void sandbox_freep(struct sandbox **sandbox) {
        *sandbox = sandbox_free(*sandbox);
}
#define _cleanup_sandbox_ _cleanup_(sandbox_freep)

/* Mounts the pod's /dev/shm (a tmpfs of 64 MiB; nothing for hostIPC, where it is the node's /dev/shm) if it is not
 * there yet; sandbox_start() does it. It belongs to root of `ids`. Returns its folder, owned by the caller. A new
 * attempt gets a new, empty one. */
struct error *sandbox_shm_mount(const struct store *store, const V1Pod *pod, const struct id_map *ids,
                                char **ret) _must_check_;

/* The sysctls of spec.securityContext.sysctls. */
struct sysctl {
        char *name;                   /* with dots: "net.ipv4.ip_forward" */
        char *path;                   /* below /proc/sys: "net/ipv4/ip_forward" */
        enum sandbox_namespace group; /* which namespace it belongs to: SANDBOX_NET or SANDBOX_IPC; 0: to none */
};
/* Takes a name apart by Kubernetes' rules ("a.b/c.d" and "a/b.c" are one spelling each); false if it is no such name.
 */
bool sysctl_parse(const char *name, struct sysctl *ret);
void sysctl_release(struct sysctl *sysctl);
/* On Kubernetes' list of safe sysctls? `name` in either spelling. */
bool sysctl_is_safe(const char *name);
/* Node admission: NULL, or ERROR_FORBIDDEN with the kubelet's words for the status message of a pod that is to be
 * Failed with reason SysctlForbidden. `allowed`: more names or "prefix*" the node allows; may be NULL. */
struct error *sandbox_check_sysctls(const V1Pod *pod, char *const *allowed) _must_check_;
