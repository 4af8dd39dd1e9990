/* user.h - who a container runs as.
 *
 * securityContext of the container goes before that of the pod, that before the image's USER. As with a kubelet only
 * the user part of the image's USER counts ("1234:1234" is uid 1234; its gid is what /etc/passwd says, else 0).
 * /etc/passwd and /etc/group are the container's: they are hostile input, opened below the root, bounded, parsed
 * strictly. */
#pragma once

#include "api/api.h"
#include "image/image.h"

struct image;

struct oci_user {
        uint32_t uid, gid;
        uint32_t *groups; /* supplementary; the primary group is among them, as containerd does */
        size_t n_groups;
};

/* runAsNonRoot, as far as it can be told without the root file system: a failure is CreateContainerConfigError with the
 * kubelet's words. Fails closed: a named user of the image is refused. */
struct error *oci_user_verify(const V1Pod *pod, const V1Container *container, const struct image *image) _must_check_;
/* Resolves; `root_fd` is the container's root folder. supplementalGroupsPolicy Merge adds the groups /etc/group lists
 * for the user, Strict does not; supplementalGroups and fsGroup are added always. A failure is CreateContainerError. */
struct error *oci_user_resolve(const V1Pod *pod, const V1Container *container, const struct image *image, int root_fd,
                               struct oci_user *ret) _must_check_;
void oci_user_release(struct oci_user *user);
#define _cleanup_oci_user_ _cleanup_(oci_user_release)
