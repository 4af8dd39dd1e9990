/* cgroup-private.h - inside src/sandbox: what the parts of cgroup.h share.
 *
 *   cgroup-machine.c  which hierarchies are mounted where
 *   cgroup.c          paths, making, entering
 *   cgroup-container.c  a container's own, where no OCI runtime makes it: making, entering
 *   cgroup-resources.c  its limits
 *   cgroup-devices.c    the devices it may use
 *   cgroup-limits.c   what a pod asks for, and the files it is written into
 *   cgroup-weight.c   shares of v1 as weights of v2
 *   cgroup-remove.c   killing and removing
 *   cgroup-usage.c    reading */
#pragma once

#include "sandbox/cgroup.h"

#define HIERARCHIES_MAX 16
#define SMALL_FILE_MAX (256 * 1024)
#define PROCS_FILE_MAX (16 * 1024 * 1024)

/* One mounted hierarchy: one or several controllers on v1 ("cpu,cpuacct", "name=systemd"), all of them on v2. */
struct hierarchy {
        char *folder;      /* where it is mounted */
        char *controllers; /* separated by commas, with a comma at both ends: ",cpu,cpuacct," */
        dev_t device;      /* tells a second mount of the same hierarchy */
};

struct machine {
        bool known;
        enum cgroup_version version;
        struct hierarchy hierarchies[HIERARCHIES_MAX];
        size_t n_hierarchies;
};
/* What cgroup_version() is an answer of. */
const struct machine *cgroup_machine(void);
bool hierarchy_has(const struct hierarchy *h, const char *controller);
const struct hierarchy *hierarchy_of(const char *controller); /* NULL: this machine does not have it */

/* Text of a small file in a folder; NULL if it cannot be read. */
char *folder_read(const char *folder, const char *file, size_t max);
struct error *folder_write(const char *folder, const char *file, const char *text) _must_check_;
/* Does a controller act in the cgroup `path`? On v2 the parent has to have given it. */
bool cgroup_controller_acts(const char *path, const char *controller);
/* Writes a file of a controller in the cgroup `path`; ERROR_NOT_SUPPORTED, in words about the controller, if it does
 * not act there. */
struct error *cgroup_resource_write(const char *path, const char *controller, const char *file,
                                    const char *text) _must_check_;
/* Limits the huge pages of one size ("2MB"), those that are used and, where the kernel counts them, those that are
 * reserved: so that a program learns of the limit when it asks, and is not killed later. */
struct error *cgroup_huge_pages_limit(const char *path, const char *size, int64_t bytes) _must_check_;
/* Lets processes in the cgroup `folder` use the devices that `rules` (linux.resources.devices of a runtime-spec) allow,
 * and those every container has: by the files of v1, by a program on v2. */
struct error *cgroup_devices_write(const char *folder, const json_t *rules) _must_check_;
/* Begins anew to note whether the kernel refuses it. */
void cgroup_devices_forget(void);
struct error *cgroup_devices_attach(const char *folder, const json_t *rules) _must_check_;

/* Makes a cgroup and its parents in every hierarchy. */
struct error *cgroup_make_everywhere(const char *path) _must_check_;

/* Folder of a node's pods of one class, below the node's: "", "/burstable", "/besteffort". */
const char *qos_folder(enum pod_qos qos);

/* Writes the limits of a pod's cgroup. A new one (`is_new`) has the default values already. */
struct error *cgroup_limits_apply(const struct cgroup_limits *limits, const char *path, bool is_new) _must_check_;
/* Weighs the classes against the Guaranteed pods, as a kubelet does: after a pod came or went. */
void cgroup_burstable_recount(const struct store *store);
void cgroup_besteffort_weigh(const struct store *store);
/* Weighs all pods together against the rest of the machine. */
void cgroup_node_weigh(const struct store *store);
