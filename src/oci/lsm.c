#include "oci/lsm.h"

#include "base/file.h"
#include "base/str.h"

#define PROFILES_SIZE_MAX (4U << 20)

const struct lsm_paths lsm_paths_kernel = { "/sys/kernel/security/apparmor/profiles", "/sys/fs/selinux/enforce" };

bool lsm_has_apparmor(const struct lsm_paths *paths) {
        return file_exists(paths->apparmor_profiles);
}

bool lsm_has_selinux(const struct lsm_paths *paths) {
        return file_exists(paths->selinux_enforce);
}

/* ---- AppArmor ---- */

const V1AppArmorProfile *lsm_apparmor_profile(const V1Pod *pod, const V1Container *container) {
        if (container->securitycontext && container->securitycontext->apparmorprofile)
                return container->securitycontext->apparmorprofile;
        return pod->spec->securitycontext ? pod->spec->securitycontext->apparmorprofile : NULL;
}

/* A line is "name (enforce)"; names may hold blanks. */
static struct error *is_loaded(const struct lsm_paths *paths, const char *profile, bool *ret) {
        _cleanup_free_ char *text = NULL;
        size_t len = strlen(profile);
        struct error *err = file_read(paths->apparmor_profiles, PROFILES_SIZE_MAX, &text, NULL);

        if (err)
                return err;
        *ret = false;
        for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
                if (strncmp(line, profile, len) == 0 && str_starts_with(line + len, " ("))
                        *ret = true;
        return NULL;
}

struct error *lsm_apparmor(const struct lsm_paths *paths, const V1Pod *pod, const V1Container *container, char **ret) {
        const V1AppArmorProfile *profile = lsm_apparmor_profile(pod, container);
        const V1SecurityContext *sc = container->securitycontext;
        const char *type = profile && profile->type ? profile->type : "", *name = APPARMOR_DEFAULT_PROFILE;
        struct error *err;
        bool loaded;

        *ret = NULL;
        if (streq(type, "Unconfined"))
                return NULL;
        if (!lsm_has_apparmor(paths))
                return profile ? error_new(ERROR_NOT_SUPPORTED,
                                           "Cannot enforce AppArmor: AppArmor is not enabled on the host")
                               : NULL;
        if (streq(type, "Localhost"))
                name = profile->localhostprofile;
        else if (sc && sc->has_privileged && sc->privileged)
                return NULL;
        err = is_loaded(paths, name, &loaded);
        if (err)
                return err;
        if (!loaded && !profile)
                return NULL;
        if (!loaded && streq(type, "Localhost"))
                return error_new(ERROR_NOT_FOUND, "apparmor profile not found %s", name);
        if (!loaded)
                return error_new(ERROR_NOT_FOUND,
                                 "apparmor profile not found %s: load it with `apparmor_parser -r /etc/apparmor.d/%s`",
                                 name, name);
        *ret = xstrdup(name);
        return NULL;
}

/* ---- SELinux ---- */

const V1SELinuxOptions *lsm_selinux_options(const V1Pod *pod, const V1Container *container) {
        const V1SELinuxOptions *o = container->securitycontext ? container->securitycontext->selinuxoptions : NULL;

        if (!o)
                o = pod->spec->securitycontext ? pod->spec->securitycontext->selinuxoptions : NULL;
        return o && (!str_empty(o->user) || !str_empty(o->role) || !str_empty(o->type) || !str_empty(o->level)) ? o
                                                                                                                : NULL;
}

static const char *or_default(const char *text, const char *otherwise) {
        return str_empty(text) ? otherwise : text;
}

/* What is left out is what container policies call their own (container-selinux). A file has the user and the level of
 * the process, so that other levels cannot read it. */
struct error *lsm_selinux(const struct lsm_paths *paths, const V1Pod *pod, const V1Container *container,
                          char **ret_process, char **ret_file) {
        const V1SELinuxOptions *o = lsm_selinux_options(pod, container);

        *ret_process = *ret_file = NULL;
        if (!o)
                return NULL;
        if (!lsm_has_selinux(paths))
                return error_new(ERROR_NOT_SUPPORTED, "Cannot enforce SELinux: SELinux is not enabled on the host");
        *ret_process = xasprintf("%s:%s:%s:%s", or_default(o->user, "system_u"), or_default(o->role, "system_r"),
                                 or_default(o->type, "container_t"), or_default(o->level, "s0"));
        *ret_file = xasprintf("%s:object_r:container_file_t:%s", or_default(o->user, "system_u"),
                              or_default(o->level, "s0"));
        return NULL;
}
