/* propagate.h - sources of mounts that take part in mount propagation
 * (https://kubernetes.io/docs/concepts/storage/volumes/#mount-propagation).
 *
 * The supervisor's mount namespace is a slave of the host's: what the host mounts arrives in it, so HostToContainer can
 * use a source as it is. What a container mounts in a Bidirectional volume is to arrive on the host, for which the
 * source must be a peer of the host's own mount: it is cloned in the host's mount namespace and handed over as a
 * descriptor. */
#pragma once

#include "base/error.h"

enum propagation {
        PROPAGATION_NONE,
        PROPAGATION_HOST_TO_CONTAINER,
        PROPAGATION_BIDIRECTIONAL,
};

/* NULL and "" are None; false if it is none of the three. */
bool propagation_parse(const char *name, enum propagation *ret);
/* Opens `subpath` below `path` (NULL or "": itself; it cannot leave `path`), O_PATH. -EXDEV: it would leave. */
int propagation_open(const char *path, const char *subpath);
/* HostToContainer: the mount `fd` lies on must be shared or a slave. The words are containerd's. */
struct error *propagation_check_slave(int fd, const char *path) _must_check_;
/* Bidirectional: clones `path` with all that is mounted below, in the mount namespace `host_mntns_fd`. */
struct error *propagation_clone_from_host(int host_mntns_fd, const char *path, const char *subpath,
                                          int *ret_mount_fd) _must_check_;
