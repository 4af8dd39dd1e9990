/* spec-security.c - what a container may do: capabilities, masked paths, seccomp, AppArmor, SELinux. */
#include "oci/spec-private.h"

#include <dirent.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "oci/capability.h"
#include "oci/lsm.h"
#include "oci/seccomp.h"

static bool has_no_new_privileges(const V1Container *container) {
        const V1SecurityContext *sc = container->securitycontext;

        return sc && sc->has_allowprivilegeescalation && !sc->allowprivilegeescalation;
}

static bool is_unmasked(const V1Container *container) {
        const V1SecurityContext *sc = container->securitycontext;

        return is_privileged(container) || (sc && streq_ptr(sc->procmount, "Unmasked"));
}

/* ---- capabilities ---- */

static struct error *capability_set(char *const *names, size_t n, uint64_t *ret, bool *ret_all) {
        uint64_t set_ = 0;
        bool all = false;

        for (size_t i = 0; i < n; i++) {
                int number = capability_number(names[i]);

                if (streq(names[i], "ALL") || streq(names[i], "all"))
                        all = true;
                else if (number < 0)
                        return error_new(ERROR_INVALID, "unknown capability \"%s\"", names[i]);
                else
                        set_ |= 1ULL << number;
        }
        *ret = set_;
        *ret_all = all;
        return NULL;
}

/* As the CRI orders it: add ALL, drop ALL, then single additions, then single removals. */
struct error *oci_capabilities(const V1Container *container, uint64_t *ret) {
        const V1Capabilities *wanted = container->securitycontext ? container->securitycontext->capabilities : NULL;
        uint64_t available = capabilities_available(), caps = capabilities_default & available, add = 0, drop = 0;
        bool add_all, drop_all;
        struct error *err;

        if (is_privileged(container)) {
                *ret = available;
                return NULL;
        }
        if (wanted) {
                err = capability_set(wanted->add, wanted->n_add, &add, &add_all);
                if (!err)
                        err = capability_set(wanted->drop, wanted->n_drop, &drop, &drop_all);
                if (err)
                        return err;
                if (add & ~drop & ~available)
                        return error_new(ERROR_FORBIDDEN, "capability %s cannot be added: husk itself runs without it",
                                         capability_name(__builtin_ctzll(add & ~drop & ~available)));
                caps = ((drop_all ? 0 : add_all ? available : caps) | add) & ~drop;
        }
        *ret = caps;
        return NULL;
}

static json_t *capabilities_object(uint64_t caps) {
        json_t *list = json_array(), *object;

        for (unsigned c = 0; c < 64; c++)
                if (caps & 1ULL << c)
                        json_array_append_new(list, json_string(capability_name(c)));
        /* Inheritable and ambient stay empty: with them a program with file capabilities, or any program of a user who
         * is not root, would get what the Pod never gave (CVE-2022-24769). The kernel takes effective and permitted
         * from a user other than root at execve(2); the bounding set stays. */
        object = json_pack("{s:O, s:O, s:O, s:[], s:[]}", "bounding", list, "effective", list, "permitted", list,
                           "inheritable", "ambient");
        json_decref(list);
        return object;
}

/* ---- paths, profiles and labels ---- */

/* Both lists are Kubernetes' (1.36), which container runtimes have, too. */
static const char *const masked_paths[] = {
        "/proc/acpi",          "/proc/asound",     "/proc/kcore",       "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/proc/scsi",          "/proc/interrupts", "/sys/firmware",     "/sys/devices/virtual/powercap"
};
static const char *const read_only_paths[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                               "/proc/sysrq-trigger" };

static json_t *path_array(const char *const *paths, size_t n) {
        json_t *array = json_array();

        for (size_t i = 0; i < n; i++)
                json_array_append_new(array, json_string(paths[i]));
        return array;
}

/* What a processor tells of its heat tells of its neighbours' work: masked where the machine has such files. */
static void add_thermal_paths(json_t *array) {
        DIR *dir = opendir("/sys/devices/system/cpu");
        struct dirent *entry;

        while (dir && (entry = readdir(dir))) {
                unsigned cpu;
                char rest;

                if (sscanf(entry->d_name, "cpu%u%c", &cpu, &rest) != 1)
                        continue;
                _cleanup_free_ char *path = xasprintf("/sys/devices/system/cpu/cpu%u/thermal_throttle", cpu);
                if (file_exists(path))
                        json_array_append_new(array, json_string(path));
        }
        if (dir)
                closedir(dir);
}

static json_t *masked_array(void) {
        json_t *array = path_array(masked_paths, ARRAY_SIZE(masked_paths));

        add_thermal_paths(array);
        return array;
}

static const V1SeccompProfile *seccomp_profile(const V1Pod *pod, const V1Container *container) {
        if (container->securitycontext && container->securitycontext->seccompprofile)
                return container->securitycontext->seccompprofile;
        return pod->spec->securitycontext ? pod->spec->securitycontext->seccompprofile : NULL;
}

/* RuntimeDefault also where nothing is said: a kubelet's seccompDefault, which husk has on. */
static struct error *add_seccomp(json_t *spec, json_t *linux_, const struct oci_spec_config *config, uint64_t caps) {
        const V1SeccompProfile *profile = seccomp_profile(config->pod, config->container);
        const char *type = profile && profile->type ? profile->type : "RuntimeDefault";
        _cleanup_free_ char *filter = NULL;
        struct error *err;
        json_t *object;

        if (is_privileged(config->container) || streq(type, "Unconfined"))
                return NULL;
        if (streq(type, "Localhost")) {
                err = seccomp_localhost(config->seccomp_folder, profile->localhostprofile, caps, &object);
                if (err)
                        return err;
                set(linux_, "seccomp", object);
                return NULL;
        }
        set(linux_, "seccomp", seccomp_runtime_default(caps));
        filter = seccomp_runtime_default_filter(caps);
        if (filter)
                set(spec, "annotations", json_pack("{s:s}", SECCOMP_FILTER_ANNOTATION, filter));
        return NULL;
}

static struct error *add_apparmor(json_t *process, const struct oci_spec_config *config) {
        _cleanup_free_ char *profile = NULL;
        struct error *err =
                lsm_apparmor(config->lsm ? config->lsm : &lsm_paths_kernel, config->pod, config->container, &profile);

        if (profile)
                set(process, "apparmorProfile", json_string(profile));
        return err;
}

static struct error *add_selinux(json_t *process, json_t *linux_, const struct oci_spec_config *config) {
        _cleanup_free_ char *label = NULL, *file_label = NULL;
        struct error *err = lsm_selinux(config->lsm ? config->lsm : &lsm_paths_kernel, config->pod, config->container,
                                        &label, &file_label);

        if (label) {
                set(process, "selinuxLabel", json_string(label));
                set(linux_, "mountLabel", json_string(file_label));
        }
        return err;
}

struct error *oci_spec_add_security(json_t *spec, json_t *process, json_t *linux_,
                                    const struct oci_spec_config *config) {
        struct error *err;
        uint64_t caps;

        err = oci_capabilities(config->container, &caps);
        if (err)
                return err;
        set(process, "capabilities", capabilities_object(caps));
        set(process, "noNewPrivileges", json_boolean(has_no_new_privileges(config->container)));
        if (!is_unmasked(config->container)) {
                set(linux_, "maskedPaths", masked_array());
                set(linux_, "readonlyPaths", path_array(read_only_paths, ARRAY_SIZE(read_only_paths)));
        }
        err = add_seccomp(spec, linux_, config, caps);
        if (!err)
                err = add_apparmor(process, config);
        if (!err)
                err = add_selinux(process, linux_, config);
        return err;
}
