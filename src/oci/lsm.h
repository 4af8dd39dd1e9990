/* lsm.h - AppArmor and SELinux, where the kernel has them: which profile or label a container gets.
 *
 * A Pod that asks for one of them on a machine without it is refused when it is admitted, in the kubelet's words, and
 * again here. What nobody asks for is left alone, but for AppArmor's profile husk-default, which every container gets
 * that is not privileged and names none, if it is loaded: packaging/apparmor/husk-default, as a runtime's own. */
#pragma once

#include "api/api.h"

#define APPARMOR_DEFAULT_PROFILE "husk-default"

/* Where the kernel shows these; tests put files of their own there. */
struct lsm_paths {
        const char *apparmor_profiles; /* loaded ones, "name (mode)" each on a line; no such file: no AppArmor */
        const char *selinux_enforce;   /* no such file: no SELinux */
};
extern const struct lsm_paths lsm_paths_kernel;

bool lsm_has_apparmor(const struct lsm_paths *paths);
bool lsm_has_selinux(const struct lsm_paths *paths);

/* The effective settings of a container: its own, else the pod's; NULL: none. SELinux's with all fields empty are none.
 */
const V1AppArmorProfile *lsm_apparmor_profile(const V1Pod *pod, const V1Container *container);
const V1SELinuxOptions *lsm_selinux_options(const V1Pod *pod, const V1Container *container);

/* Name of the profile to run under, owned by the caller; NULL: unconfined. */
struct error *lsm_apparmor(const struct lsm_paths *paths, const V1Pod *pod, const V1Container *container,
                           char **ret) _must_check_;
/* Labels of the container's processes and of its files, owned by the caller; NULL: none was asked for. */
struct error *lsm_selinux(const struct lsm_paths *paths, const V1Pod *pod, const V1Container *container,
                          char **ret_process, char **ret_file) _must_check_;
