/* spec.h - config.json of one container, from what the Pod says and what has been prepared for it.
 *
 * oci_spec_build() is a pure translation: it opens no file but the seccomp profile that a container names, and makes
 * nothing. The order of preparation is: rootfs_mount(), env_build(), oci_user_verify(), oci_user_resolve(),
 * volume_mounts(), oci_spec_build(), write <bundle>/config.json, run. Labels and annotations of images are not looked
 * at: only the Pod decides what a container may do. */
#pragma once

#include <jansson.h>

#include "api/api.h"
#include "base/mount.h"
#include "image/image.h"
#include "oci/user.h"

struct image;
struct lsm_paths;

struct oci_spec_config {
        const V1Pod *pod;
        const V1Container *container;
        const struct image *image;
        char *const *argv; /* env_command() */
        char *const *env;  /* env.all of env_build() */
        const struct oci_user *user;
        const char *rootfs;               /* the mounted root folder */
        const struct mount_list *volumes; /* volume_mounts(); may be NULL */

        /* Namespaces to join, as paths ("/proc/123/ns/net"). NULL: for net, ipc and uts that of the host (hostNetwork,
         * hostIPC; uts: hostNetwork); for pid a new one of the container's own. */
        const char *netns, *ipcns, *utsns, *pidns;
        /* The pod's user namespace, by path only: told the mappings, too, crun 1.8 gives /dev/null of the host away. */
        const char *userns;
        bool host_pid; /* spec.hostPID: no pid namespace of its own; pidns is NULL then */

        const char *cgroups_path; /* as crun's cgroupfs manager takes it, below the pod's cgroup */
        const char *shm;          /* the pod's /dev/shm on the host; NULL: a private tmpfs */
        const char *hosts, *hostname_file, *resolv_conf; /* files on the host; NULL: the image's own stay */
        const char *termination_log; /* file on the host, bound to terminationMessagePath; NULL: none */
        const char *seccomp_folder;  /* <root>/seccomp, for Localhost profiles */
        const struct lsm_paths *lsm; /* NULL: the kernel's */
        int64_t oom_score_adj;       /* oci_oom_score_adj() */
        int64_t pids_limit;          /* 0: none */
        bool terminal;               /* allocate one (container.tty) */
};

/* Builds the runtime-spec. An error means that the container waits with CreateContainerError. */
struct error *oci_spec_build(const struct oci_spec_config *config, json_t **ret) _must_check_;
/* process.json for a command executed in a running container (`crun exec --process`): user, capabilities, environment,
 * working folder and seccomp of the container, another argv. `spec` is the container's config.json. */
json_t *oci_process_for_exec(const json_t *spec, char *const *argv, bool terminal);

/* The cgroup settings alone (`crun update -r -`, or sandbox/cgroup.h), for a resize in place. */
json_t *oci_resources(const V1Pod *pod, const V1Container *container, int64_t pids_limit);
/* The memory limit in it, bytes; -1: none. */
int64_t oci_memory_limit(const V1Pod *pod, const V1Container *container);
/* oom_score_adj as a kubelet sets it by QoS class and memory request. A process without CAP_SYS_RESOURCE cannot go
 * below its own value: then the result is raised to that and *ret_clamped is set (may be NULL). `memory_capacity`: of
 * the node. */
int64_t oci_oom_score_adj(const V1Pod *pod, const V1Container *container, const char *qos_class,
                          uint64_t memory_capacity, bool *ret_clamped);
/* Capabilities (a bit each) that the container's bounding set has: Kubernetes' defaults, add and drop, or all. Names
 * with or without "CAP_", any case; ERROR_INVALID for one that the kernel does not have. */
struct error *oci_capabilities(const V1Container *container, uint64_t *ret) _must_check_;
