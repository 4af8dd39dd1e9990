/* owner.h - group and modes as pod.spec.securityContext.fsGroup wants them, as a kubelet sets them
 * (https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-pod). */
#pragma once

#include "base/error.h"

enum owner_mode {
        OWNER_READ_WRITE, /* the group may read and write: mode |= 0660 */
        OWNER_READ_ONLY,  /* files husk writes: mode |= 0440 */
};

/* Gives the folder `fd` and everything in it to the group; folders also get 0110 and the set-group-id bit, so that what
 * is made in them belongs to the group. Links are changed themselves, never followed; other file systems mounted in it
 * are left alone. The content may change meanwhile. */
struct error *owner_set_tree(int fd, int64_t gid, enum owner_mode mode) _must_check_;
/* The same for the folder (or file) `fd` alone, which may be O_PATH. */
struct error *owner_set(int fd, int64_t gid, enum owner_mode mode) _must_check_;
/* True if it is as owner_set() leaves it: what fsGroupChangePolicy OnRootMismatch looks at. */
bool owner_is_set(int fd, int64_t gid, enum owner_mode mode);
/* Makes `id` user and group of the folder `fd` (may be O_PATH) and of everything in it. Set-user-id bits go. */
struct error *owner_give_tree(int fd, uint32_t id) _must_check_;
