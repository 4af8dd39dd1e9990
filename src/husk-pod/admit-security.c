/* What a kubelet refuses for good, whatever the scheduler said: sysctls that are not namespaced or not known to be safe
 * (https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/), and security modules that this machine does
 * not have. Kubernetes has no words for SELinux, which its nodes silently go without; husk refuses what it cannot
 * enforce. */
#include "husk-pod/admit-private.h"

#include "oci/lsm.h"
#include "oci/spec.h"
#include "sandbox/sandbox.h"

static bool check_sysctls(const V1Pod *pod, const struct admit_facts *facts, struct admission_result *ret) {
        _cleanup_error_ struct error *err = sandbox_check_sysctls(pod, facts->allowed_sysctls);

        if (err)
                refuse_for_good(ret, "SysctlForbidden", error_message(err));
        return !err;
}

static bool check_container(const V1Pod *pod, const V1Container *container, const struct admit_facts *facts,
                            struct admission_result *ret) {
        const V1AppArmorProfile *profile = lsm_apparmor_profile(pod, container);

        if (profile && !streq_ptr(profile->type, "Unconfined") && !facts->apparmor)
                refuse_for_good(ret, "AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host");
        else if (lsm_selinux_options(pod, container) && !facts->selinux)
                refuse_for_good(ret, "SELinux", "Cannot enforce SELinux: SELinux is not enabled on the host");
        else
                return true;
        return false;
}

void check_security(const V1Pod *pod, const struct admit_facts *facts, struct admission_result *ret) {
        const V1PodSpec *spec = pod->spec;

        if (!check_sysctls(pod, facts, ret))
                return;
        for (size_t i = 0; i < spec->n_initcontainers; i++)
                if (!check_container(pod, spec->initcontainers[i], facts, ret))
                        return;
        for (size_t i = 0; i < spec->n_containers; i++)
                if (!check_container(pod, spec->containers[i], facts, ret))
                        return;
}
