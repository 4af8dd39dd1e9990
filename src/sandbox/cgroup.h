/* cgroup.h - the control groups of a pod, on cgroup v1, hybrid and v2 alike.
 *
 * Layout, as a kubelet with the cgroupfs driver makes it, in every mounted v1 hierarchy or in the one v2 hierarchy:
 *
 *   /kubepods                          of the default node; /husk-<hash of the root> of any other
 *   /kubepods/pod<uid>                 Guaranteed pods
 *   /kubepods/burstable/pod<uid>
 *   /kubepods/besteffort/pod<uid>
 *   …/pod<uid>/<container id>          its name is the last part of cgroupsPath; made by the OCI runtime, or here
 *                                     (cgroup_container_is_ours())
 *   …/pod<uid>/infra                   the infra process (v2 only: there processes live in leaves; on v1 it is in
 * pod<uid>)
 *
 * A path in this interface is such a path, from the top of a hierarchy, as an OCI runtime-spec's linux.cgroupsPath
 * wants it. On a hybrid machine the controllers are v1's and the unified mount is left alone.
 *
 * Creating is idempotent and doubles as updating; so are killing and removing, which need only the uid. */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "core-v1.pb-c.h"
#include "store/store.h"

enum cgroup_version {
        CGROUP_NONE, /* no cgroup file system is mounted */
        CGROUP_V1,   /* controllers in v1 hierarchies; also "hybrid", with an additional unified mount */
        CGROUP_V2,   /* one unified hierarchy with all controllers */
};
/* What this machine mounts; looked up in /proc/self/mountinfo once. */
enum cgroup_version cgroup_version(void);
/* Forgets what cgroup_version() found: for tests that change the mounts. */
void cgroup_forget(void);

/* Quality of service of a pod (status.qosClass). */
enum pod_qos { POD_QOS_GUARANTEED, POD_QOS_BURSTABLE, POD_QOS_BEST_EFFORT };
/* api_pod_qos_class() as an enum. */
enum pod_qos pod_qos(const V1Pod *pod);
const char *pod_qos_string(enum pod_qos qos); /* "Guaranteed", "Burstable", "BestEffort" */

/* Huge pages of one size that may be used; sizes that are not listed may not be used at all. */
struct cgroup_huge_pages {
        char size[16]; /* "2MB", "1GB", "64KB": as the kernel names its files */
        int64_t bytes;
};
#define CGROUP_HUGE_PAGE_SIZES_MAX 8

/* Limits in the kernel's units. -1 is "not limited" for quota, memory and pids. */
struct cgroup_limits {
        uint64_t cpu_shares;  /* v1 scale: 2 … 262144; on v2 mapped to cpu.weight */
        int64_t cpu_quota_us; /* per cpu_period_us */
        uint64_t cpu_period_us;
        int64_t memory_bytes;
        int64_t pids;
        struct cgroup_huge_pages huge_pages[CGROUP_HUGE_PAGE_SIZES_MAX];
        size_t n_huge_pages;
};
/* What a kubelet sets for the pod as a whole: shares from the requests (init containers and sidecars by the scheduler's
 * rule, overhead added), a quota when every container has a cpu limit, memory when every container has a memory limit,
 * huge pages as requested. `pids_max` is the node's limit per pod, -1 for none. */
struct cgroup_limits cgroup_limits_of_pod(const V1Pod *pod, int64_t pids_max);
/* The same for one container, for who needs the numbers: shares from the request (the limit stands in for a missing
 * one). */
struct cgroup_limits cgroup_limits_of_container(const V1Container *container);
/* Kubernetes' arithmetic: shares = max(2, m * 1024 / 1000); quota = max(1000, m * 100) of a 100000 us period. */
uint64_t cgroup_shares_from_milli_cpu(int64_t milli_cpu);
int64_t cgroup_quota_from_milli_cpu(int64_t milli_cpu); /* 0 gives -1 */
/* v1's 2…262144 as v2's 1…10000, for a pod and what is above it, as a kubelet does since Kubernetes 1.35
 * (opencontainers/cgroups, ConvertCPUSharesToCgroupV2Value); and back. A container's weight is its OCI runtime's
 * matter: cgroup-resources.c. */
uint64_t cgroup_weight_from_shares(uint64_t shares);
uint64_t cgroup_shares_from_weight(uint64_t weight);

/* Paths; owned by the caller. */
char *cgroup_node_path(const struct store *store);                                       /* "/kubepods" */
char *cgroup_pod_path(const struct store *store, const char *pod_uid, enum pod_qos qos); /* ".../pod<uid>" */
char *cgroup_container_path(const char *pod_path, const char *container_id);             /* "<pod>/<id>" */

/* Makes the pod's cgroups (and their parents, with the controllers enabled) and sets its limits. Also changes the
 * limits of a pod that runs (in-place resize). A limit whose controller this machine does not have is an error that
 * names the controller; without a limit nobody misses it. */
struct error *cgroup_pod_create(const struct store *store, const char *pod_uid, enum pod_qos qos,
                                const struct cgroup_limits *limits) _must_check_;
/* Folder descriptor (O_PATH) of the leaf in which a new process of the pod can be cloned with CLONE_INTO_CGROUP: v2
 * only, elsewhere -EOPNOTSUPP. Made if it is missing. */
int cgroup_open_leaf(const char *pod_path, const char *leaf);
/* Where a process of one thread that is to enter a cgroup writes "0", in every hierarchy: for a fresh child that must
 * not allocate, or by cgroup_entry_take(). On v1 it need not wait for the kernel, as whoever is moved by others has to
 * (Linux 5.5 and later). */
#define CGROUP_ENTRIES_MAX 16
struct cgroup_entry {
        int fds[CGROUP_ENTRIES_MAX];
        const char *hierarchies[CGROUP_ENTRIES_MAX]; /* where each one's is mounted; not owned */
        size_t n;
};
/* The cgroup has been made. `ret` is empty before, and after a failure. */
struct error *cgroup_entry_open(const char *path, struct cgroup_entry *ret) _must_check_;
void cgroup_entry_close(struct cgroup_entry *entry);
#define _cleanup_cgroup_entry_ __attribute__((cleanup(cgroup_entry_close)))
/* Moves the caller; 0 or an errno. It takes nothing but system calls. */
int cgroup_entry_take(const int *fds, size_t n);
/* Moves a process (0: the caller) into a cgroup of every hierarchy, made if missing. */
struct error *cgroup_enter(const char *path, pid_t pid) _must_check_;
/* Moves the caller to where it is, in one hierarchy: nothing changes, but the kernel makes the caller wait, as it does
 * with the first who moves a process in a while, and the next ones need not. Cgroups cannot be made meanwhile. */
void cgroup_move_to_itself(void);

/* Kills every process below the pod's cgroups (cgroup.kill on v2; freezer and signals on v1) and returns when the
 * kernel has been told; false in *ret_empty as long as some still exist. Idempotent, also when nothing of it exists. */
struct error *cgroup_pod_kill(const struct store *store, const char *pod_uid, bool *ret_empty) _must_check_;
/* The same for one container's cgroup path. */
struct error *cgroup_kill(const char *path, bool *ret_empty) _must_check_;
/* Removes the pod's cgroups in every hierarchy, deepest first, trying again for a moment while dead processes linger
 * (EBUSY). When the last pod of a node with its own root goes, the node's cgroups go too. Idempotent. */
struct error *cgroup_pod_remove(const struct store *store, const char *pod_uid) _must_check_;
/* The same for one cgroup path and what is below. */
struct error *cgroup_remove(const char *path) _must_check_;

/* Does husk make a container's cgroup itself on this machine, if the OCI runtime can be told to leave them alone? */
bool cgroup_container_is_ours(void);
/* Is the runtime then started in it, to leave cgroups alone (v1), or outside, to let the container be born there (v2)?
 */
bool cgroup_runtime_is_inside(void);
/* Makes a container's cgroup in every hierarchy and limits it as `resources` (linux.resources of an OCI runtime-spec)
 * has it. What cannot be honoured is an error by name; then some of it may have been made: cgroup_remove(). */
struct error *cgroup_container_create(const char *path, const json_t *resources) _must_check_;
/* Was it for the kernel's refusal of a program for the devices (v2, for a husk that is itself confined, or a kernel
 * without them) that the last cgroup_container_create() failed? An OCI runtime may know a way. */
bool cgroup_devices_refused(void);
/* Changes what `resources` names, of a container that may run. */
struct error *cgroup_container_limit(const char *path, const json_t *resources) _must_check_;

/* What a cgroup uses and used. A number the machine does not count is 0. */
struct cgroup_usage {
        uint64_t cpu_ns;             /* processor time since it was made */
        uint64_t memory_bytes;       /* everything charged */
        uint64_t memory_working_set; /* charged minus inactive file pages, as kubelet reports it */
        uint64_t memory_rss;         /* anonymous memory */
        uint64_t memory_limit;       /* 0: none */
        uint64_t pids;
};
struct error *cgroup_usage(const char *path, struct cgroup_usage *ret) _must_check_;
/* How many processes of this cgroup the kernel has killed for want of memory (v1 memory.oom_control, v2 memory.events);
 * 0 if the cgroup is gone. Read it after a container's exit and before the runtime deletes it: not 0 is OOMKilled. */
uint64_t cgroup_oom_kills(const char *path);
