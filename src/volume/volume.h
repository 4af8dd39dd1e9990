/* volume.h - the volumes of a pod: prepared on the host, mounted into containers, refreshed, removed.
 *
 * A volume is set up once per pod, before its first container (an image volume: before the first that mounts it, for
 * only then its image is here), and only if a container mounts it. What it is made of lies in
 *
 *   <root>/pods/<uid>/volumes/<name>        emptyDir on disk; mount points of Memory emptyDirs, images
 *   <run>/pods/<uid>/volumes/               one tmpfs for the files of all configMap, secret, downwardAPI and projected
 *                                           volumes, <name>/ each
 *   <run>/pods/<uid>/subpaths/<container>/<n>   subPath mounts: the resolved file or folder, bound by descriptor
 *
 * All mounts are in the caller's mount namespace, the pod's own. A container never sees a path that it could change
 * while it is being walked: subPath is resolved with openat2 inside the volume and then bound by descriptor; the OCI
 * runtime is given the place it was bound to.
 *
 * Every function is idempotent: a supervisor that died in between calls it again. Errors have the kubelet's words;
 * setup errors are FailedMount events (the pod goes on waiting, ContainerCreating, and calls again later), errors of
 * volume_mounts() are CreateContainerConfigError. */
#pragma once

#include "api/downward.h"
#include "base/idmap.h"
#include "base/mount.h"
#include "store/store.h"

struct volume_context {
        struct store *store;
        struct downward downward; /* the pod (metadata with uid; spec.volumes), its addresses, its node */
        /* The host's mount namespace (/proc/…/ns/mnt), for mountPropagation Bidirectional; -EBADF: such mounts fail. */
        int host_mntns_fd;
        const struct id_map *ids; /* of the pod's user namespace; NULL or not set: it has none */
        const char *label;        /* SELinux label for files of the container that is being started; NULL: none */
};

/* Sets up all volumes that a container of the pod mounts. The first failure: `MountVolume.SetUp failed for volume "v" :
 * configmap "x" not found`. Nothing is undone then; call again. */
struct error *volumes_setup(const struct volume_context *context) _must_check_;
/* The same; *ret: what went wrong with each volume that failed, a list that is NULL if none did. */
void volumes_setup_each(const struct volume_context *context, char ***ret);
struct error *volume_setup(const struct volume_context *context, const V1Volume *volume) _must_check_;
/* True if some container (of any kind) of the pod mounts it. */
bool volume_is_used(const V1Pod *pod, const V1Volume *volume);

/* True if the content of the volume comes from this object (kind "ConfigMap" or "Secret", of the pod's namespace). */
bool volume_depends_on(const V1Volume *volume, const char *kind, const char *name);
/* True if the content of the volume comes from the pod's own metadata (downwardAPI). */
bool volume_depends_on_pod(const V1Volume *volume);
/* Writes the content anew if it differs from what is there, at once for all files (`..data` moves from the old folder
 * to the new). *ret_changed may be NULL. A volume that was not set up is left alone. */
struct error *volume_refresh(const struct volume_context *context, const V1Volume *volume,
                             bool *ret_changed) _must_check_;

/* Opens the folder of a volume (O_PATH); for env's fileKeyRef. Returns a descriptor or -errno. */
int volume_open(const struct volume_context *context, const char *volume_name);

/* Mounts of a container, in the order they must be done. `variables`: env.kubernetes of env_build(), for subPathExpr
 * (expanded by the caller's `expand`, which is oci's env_expand_strict). Call it again at each start of the container.
 */
typedef struct error *(*volume_expand)(const char *text, char *const *variables, char **ret);
struct error *volume_mounts(const struct volume_context *context, const V1Container *container, char *const *variables,
                            volume_expand expand, struct mount_list *ret) _must_check_;
/* A file of the host that is to be bound into the container, as the pod's user namespace sees it: the path to bind,
 * which is `path` itself where there is none. `name` (no digit first) tells it from others of the container. After
 * volume_mounts(). */
struct error *volume_bind_file(const struct volume_context *context, const char *container_name, const char *name,
                               const char *path, char **ret) _must_check_;
/* After the container has ended: its subPath mounts and what else was bound for it go. */
struct error *volume_mounts_release(const struct volume_context *context, const char *container_name) _must_check_;

/* Removes everything: mounts first, then files, without following links or entering foreign file systems. Needs only
 * the folders, not the Pod: `pod_folder` is <root>/pods/<uid>, `run_folder` <run>/pods/<uid>. */
struct error *volumes_teardown(const char *pod_folder, const char *run_folder) _must_check_;
