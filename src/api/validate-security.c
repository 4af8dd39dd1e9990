#include "api/validate-walk.h"

#define SECCOMP_POD_ANNOTATION "seccomp.security.alpha.kubernetes.io/pod"
#define SECCOMP_CONTAINER_ANNOTATION "container.seccomp.security.alpha.kubernetes.io/"
#define APPARMOR_ANNOTATION "container.apparmor.security.beta.kubernetes.io/"

static const char *const profile_types[] = { "Localhost", "RuntimeDefault", "Unconfined", NULL };
static const char *const proc_mounts[] = { "Default", "Unmasked", NULL };
static const char *const group_change_policies[] = { "Always", "OnRootMismatch", NULL };
static const char *const group_policies[] = { "Merge", "Strict", NULL };
/* MountOption waits for the gate SELinuxMount. */
static const char *const selinux_change_policies[] = { "Recursive", NULL };
static const char *const os_names[] = { "linux", "windows", NULL };

/* Which sysctls belong to a namespace of the pod; those of a namespace shared with the host cannot be set. */
enum sysctl_namespace { SYSCTL_OTHER, SYSCTL_IPC, SYSCTL_NET };
static const struct {
        const char *name;
        bool whole; /* else any name that begins with it */
        enum sysctl_namespace namespace;
} sysctl_namespaces[] = {
        { "kernel.sem", true, SYSCTL_IPC },  { "kernel.shm", false, SYSCTL_IPC }, { "kernel.msg", false, SYSCTL_IPC },
        { "fs.mqueue.", false, SYSCTL_IPC }, { "net.", false, SYSCTL_NET },
};

/* Slashes and dots separate alike; the first one in the name says which of them is meant (sysctl.d(5)). */
static char *sysctl_dotted(const char *name) {
        char *dotted = xstrdup(name), *first = dotted + strcspn(dotted, "./");

        if (*first == '/')
                for (char *p = dotted; *p; p++)
                        *p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
        return dotted;
}

static enum sysctl_namespace sysctl_namespace_of(const char *name) {
        _cleanup_free_ char *dotted = sysctl_dotted(name);

        for (size_t i = 0; i < ARRAY_SIZE(sysctl_namespaces); i++)
                if (sysctl_namespaces[i].whole ? streq(dotted, sysctl_namespaces[i].name)
                                               : str_starts_with(dotted, sysctl_namespaces[i].name))
                        return sysctl_namespaces[i].namespace;
        return SYSCTL_OTHER;
}

static void validate_sysctls(const struct pod_walk *walk, const V1PodSecurityContext *context, path_t path) {
        for (size_t i = 0; i < context->n_sysctls; i++) {
                const char *name = text_or_empty(context->sysctls[i]->name);
                path_t at = CHILD(INDEX(path, i), "name");
                enum sysctl_namespace namespace = sysctl_namespace_of(name);
                bool seen = false;

                for (size_t j = 0; j < i; j++)
                        seen = seen || streq(text_or_empty(context->sysctls[j]->name), name);
                if (!*name)
                        fault_required(walk->diags, at, NULL);
                else if (!text_is_sysctl(name))
                        fault_invalid(walk->diags, at, name,
                                      "must have at most 253 characters and match regex "
                                      "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
                else if (seen)
                        fault_duplicate(walk->diags, at, name);
                if (walk->spec->hostnetwork && namespace == SYSCTL_NET)
                        fault_invalid(walk->diags, at, name, "may not be specified when 'hostNetwork' is true");
                if (walk->spec->hostipc && namespace == SYSCTL_IPC)
                        fault_invalid(walk->diags, at, name, "may not be specified when 'hostIPC' is true");
        }
}

static void validate_seccomp(struct diagnostics *diags, const V1SeccompProfile *profile, path_t path) {
        if (!profile)
                return;
        if (str_empty(profile->type))
                fault_required(diags, CHILD(path, "type"), "type is required when seccompProfile is set");
        else
                validate_word(diags, profile->type, profile_types, CHILD(path, "type"));
        if (streq_ptr(profile->type, "Localhost")) {
                if (!profile->localhostprofile)
                        fault_required(diags, CHILD(path, "localhostProfile"),
                                       "must be set when seccomp type is Localhost");
                else
                        validate_descending_path(diags, profile->localhostprofile, CHILD(path, "localhostProfile"));
        } else if (profile->localhostprofile)
                fault_invalid(diags, CHILD(path, "localhostProfile"), profile->localhostprofile,
                              "can only be set when seccomp type is Localhost");
}

static void validate_apparmor(struct diagnostics *diags, const V1AppArmorProfile *profile, path_t path) {
        const char *name = profile ? profile->localhostprofile : NULL;
        size_t len = strlen(text_or_empty(name));

        if (!profile)
                return;
        if (str_empty(profile->type))
                fault_required(diags, CHILD(path, "type"), "type is required when appArmorProfile is set");
        else if (!words_contain(profile_types, profile->type))
                validate_word(diags, profile->type, profile_types, CHILD(path, "type"));
        else if (!streq(profile->type, "Localhost")) {
                if (name)
                        fault_invalid(diags, CHILD(path, "localhostProfile"), name,
                                      "can only be set when AppArmor type is Localhost");
        } else if (len == 0)
                fault_required(diags, CHILD(path, "localhostProfile"), "must be set when AppArmor type is Localhost");
        else if (strchr(" \t\n\v\f\r", name[0]) || strchr(" \t\n\v\f\r", name[len - 1]))
                fault_invalid(diags, CHILD(path, "localhostProfile"), name, "must not be padded with whitespace");
        else if (len > 4095)
                fault_too_long(diags, CHILD(path, "localhostProfile"), 4095);
}

/* Windows accounts ("DOMAIN\user"); husk runs none, but a manifest is right or wrong wherever it is read. */
static void validate_windows_user(struct diagnostics *diags, const char *name, path_t path) {
        const char *backslash = strchr(name, '\\'), *user = backslash ? backslash + 1 : name;
        size_t domain_len = backslash ? (size_t)(backslash - name) : 0;

        for (const char *p = name; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f) {
                        fault_invalid(diags, path, name, "runAsUserName cannot contain control characters");
                        return;
                }
        if (!*name)
                fault_invalid(diags, path, name, "runAsUserName cannot be an empty string");
        else if (strchr(user, '\\'))
                fault_invalid(diags, path, name, "runAsUserName cannot contain more than one backslash");
        else {
                if (domain_len >= 256)
                        fault_invalid(diags, path, name, "runAsUserName's Domain length must be under 256 characters");
                if (backslash && (domain_len == 0 || strcspn(name, "/:*?\"<>|") < domain_len || name[0] == '.'))
                        fault_invalid(diags, path, name,
                                      "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
                if (!*user)
                        fault_invalid(diags, path, name, "runAsUserName's User cannot be empty");
                else if (strlen(user) > 104)
                        fault_invalid(diags, path, name,
                                      "runAsUserName's User length must not be longer than 104 characters");
                if (*user && strspn(user, ". ") == strlen(user))
                        fault_invalid(diags, path, name, "runAsUserName's User cannot contain only periods or spaces");
                if (strpbrk(user, "\"/\\:;|=,+*?<>@[]"))
                        fault_invalid(diags, path, name,
                                      "runAsUserName's User cannot contain the following characters: "
                                      "\"/\\:;|=,+*?<>@[]");
        }
}

static void validate_windows_options(struct diagnostics *diags, const V1WindowsSecurityContextOptions *o, path_t path) {
        if (!o)
                return;
        if (o->gmsacredentialspecname)
                validate_text(diags, o->gmsacredentialspecname, text_check_dns_subdomain,
                              CHILD(path, "gmsaCredentialSpecName"));
        if (o->gmsacredentialspec && !*o->gmsacredentialspec)
                fault_invalid(diags, CHILD(path, "gmsaCredentialSpec"), "",
                              "gmsaCredentialSpec cannot be an empty string");
        else if (o->gmsacredentialspec && strlen(o->gmsacredentialspec) > 64 * 1024)
                fault_invalid_object(diags, CHILD(path, "gmsaCredentialSpec"),
                                     "gmsaCredentialSpec size must be under 64 KiB");
        if (o->runasusername)
                validate_windows_user(diags, o->runasusername, CHILD(path, "runAsUserName"));
}

void validate_pod_security(const struct pod_walk *walk, path_t spec_path) {
        const V1PodSecurityContext *c = walk->spec->securitycontext;
        const V1PodSpec *spec = walk->spec;
        path_t path = CHILD(spec_path, "securityContext");
        struct diagnostics *diags = walk->diags;

        /* Kubernetes keeps this field inside the security context, and says so. */
        if (spec->has_shareprocessnamespace && spec->shareprocessnamespace && spec->hostpid)
                fault_invalid_true(diags, CHILD(path, "shareProcessNamespace"),
                                   "ShareProcessNamespace and HostPID cannot both be enabled");
        if (!c)
                return;
        if (c->has_fsgroup)
                validate_id(diags, c->fsgroup, CHILD(path, "fsGroup"));
        if (c->has_runasuser)
                validate_id(diags, c->runasuser, CHILD(path, "runAsUser"));
        if (c->has_runasgroup)
                validate_id(diags, c->runasgroup, CHILD(path, "runAsGroup"));
        for (size_t i = 0; i < c->n_supplementalgroups; i++)
                validate_id(diags, c->supplementalgroups[i], INDEX(CHILD(path, "supplementalGroups"), i));
        validate_sysctls(walk, c, CHILD(path, "sysctls"));
        if (c->fsgroupchangepolicy)
                validate_word(diags, c->fsgroupchangepolicy, group_change_policies, CHILD(path, "fsGroupChangePolicy"));
        validate_seccomp(diags, c->seccompprofile, CHILD(path, "seccompProfile"));
        validate_windows_options(diags, c->windowsoptions, CHILD(path, "windowsOptions"));
        validate_apparmor(diags, c->apparmorprofile, CHILD(path, "appArmorProfile"));
        if (c->supplementalgroupspolicy)
                validate_word(diags, c->supplementalgroupspolicy, group_policies,
                              CHILD(path, "supplementalGroupsPolicy"));
        if (c->selinuxchangepolicy)
                validate_word(diags, c->selinuxchangepolicy, selinux_change_policies,
                              CHILD(path, "seLinuxChangePolicy"));
}

/* no_new_privs and what needs new privileges exclude each other. */
static void validate_escalation(struct diagnostics *diags, const V1SecurityContext *c, path_t path) {
        if (!c->has_allowprivilegeescalation || c->allowprivilegeescalation)
                return;
        if (c->has_privileged && c->privileged)
                fault_invalid_object(diags, path,
                                     "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        for (size_t i = 0; c->capabilities && i < c->capabilities->n_add; i++)
                if (streq(c->capabilities->add[i], "CAP_SYS_ADMIN"))
                        fault_invalid_object(diags, path,
                                             "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                                             "CAP_SYS_ADMIN");
}

void validate_container_security(const struct pod_walk *walk, const V1SecurityContext *c, path_t path) {
        struct diagnostics *diags = walk->diags;

        if (!c)
                return;
        if (c->has_runasuser)
                validate_id(diags, c->runasuser, CHILD(path, "runAsUser"));
        if (c->has_runasgroup)
                validate_id(diags, c->runasgroup, CHILD(path, "runAsGroup"));
        if (c->procmount) {
                validate_word(diags, c->procmount, proc_mounts, CHILD(path, "procMount"));
                if (walk->host_users && streq(c->procmount, "Unmasked"))
                        fault_invalid(diags, CHILD(path, "procMount"), c->procmount,
                                      "`hostUsers` must be false to use `Unmasked`");
        }
        validate_seccomp(diags, c->seccompprofile, CHILD(path, "seccompProfile"));
        validate_escalation(diags, c, path);
        validate_windows_options(diags, c->windowsoptions, CHILD(path, "windowsOptions"));
        validate_apparmor(diags, c->apparmorprofile, CHILD(path, "appArmorProfile"));
}

/* Profiles used to be annotations; old manifests still carry them. */
static void validate_seccomp_annotation(struct diagnostics *diags, const char *profile, path_t path) {
        if (str_starts_with(profile, "localhost/"))
                validate_descending_path(diags, profile + strlen("localhost/"), path);
        else if (!streq(profile, "runtime/default") && !streq(profile, "docker/default") &&
                 !streq(profile, "unconfined"))
                fault_invalid(diags, path, profile, "must be a valid seccomp profile");
}

static bool has_container(const struct pod_walk *walk, const char *name) {
        const V1PodSpec *spec = walk->spec;

        for (size_t i = 0; i < spec->n_initcontainers; i++)
                if (streq_ptr(spec->initcontainers[i]->name, name))
                        return true;
        for (size_t i = 0; i < spec->n_containers; i++)
                if (streq_ptr(spec->containers[i]->name, name))
                        return true;
        for (size_t i = 0; i < spec->n_ephemeralcontainers; i++) {
                V1Container c = container_of_ephemeral(spec->ephemeralcontainers[i]);

                if (streq_ptr(c.name, name))
                        return true;
        }
        return false;
}

static void validate_apparmor_annotation(const struct pod_walk *walk, const char *container, const char *profile,
                                         path_t path) {
        if (!has_container(walk, container))
                fault_invalid(walk->diags, path, container, "container not found");
        if (*profile && !streq(profile, "runtime/default") && !streq(profile, "unconfined") &&
            !str_starts_with(profile, "localhost/"))
                diagnostics_add_string(walk->diags, DIAGNOSTIC_INVALID, path, profile,
                                       "invalid AppArmor profile name: \"%s\"", profile);
}

void validate_security_annotations(const struct pod_walk *walk, path_t path) {
        for (size_t i = 0; i < walk->meta->n_annotations; i++) {
                const char *key = text_or_empty(walk->meta->annotations[i]->key);
                const char *value = text_or_empty(walk->meta->annotations[i]->value);

                if (streq(key, SECCOMP_POD_ANNOTATION) || str_starts_with(key, SECCOMP_CONTAINER_ANNOTATION))
                        validate_seccomp_annotation(walk->diags, value, CHILD(path, key));
                if (str_starts_with(key, APPARMOR_ANNOTATION))
                        validate_apparmor_annotation(walk, key + strlen(APPARMOR_ANNOTATION), value, KEY(path, key));
        }
}

/* A profile given both ways has to be the same one. `docker` also allows seccomp's older word for the default. */
static void validate_profiles_match(struct diagnostics *diags, const char *annotation, const char *type,
                                    const char *localhost, bool docker, const char *what, path_t path) {
        bool same_type;

        if (streq_ptr(type, "Unconfined"))
                same_type = streq(annotation, "unconfined");
        else if (streq_ptr(type, "RuntimeDefault"))
                same_type = streq(annotation, "runtime/default") || (docker && streq(annotation, "docker/default"));
        else if (streq_ptr(type, "Localhost"))
                same_type = str_starts_with(annotation, "localhost/");
        else
                return;
        if (!same_type)
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(path, "type"),
                                "%s type in annotation and field must match", what);
        else if (streq(type, "Localhost") && !streq_ptr(localhost, annotation + strlen("localhost/")))
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(path, "localhostProfile"),
                                "%s profile in annotation and field must match", what);
}

static const char *annotation_for(const struct pod_walk *walk, const char *prefix, const char *container) {
        _cleanup_free_ char *key = xasprintf("%s%s", prefix, text_or_empty(container));

        return api_map_get(walk->meta->annotations, walk->meta->n_annotations, key);
}

static void validate_container_annotations_match(const struct pod_walk *walk, _unused_ enum container_kind kind,
                                                 const V1Container *c, path_t path) {
        const V1SecurityContext *own = c->securitycontext;
        const V1AppArmorProfile *apparmor = own ? own->apparmorprofile : NULL;
        const char *annotation;

        if (!apparmor && walk->spec->securitycontext)
                apparmor = walk->spec->securitycontext->apparmorprofile;
        path = CHILD(path, "securityContext");
        annotation = annotation_for(walk, SECCOMP_CONTAINER_ANNOTATION, c->name);
        if (own && own->seccompprofile && annotation)
                validate_profiles_match(walk->diags, annotation, own->seccompprofile->type,
                                        own->seccompprofile->localhostprofile, true, "seccomp",
                                        CHILD(path, "seccompProfile"));
        annotation = annotation_for(walk, APPARMOR_ANNOTATION, c->name);
        if (apparmor && annotation && !(walk->spec->os && streq_ptr(walk->spec->os->name, "windows")))
                validate_profiles_match(walk->diags, annotation, apparmor->type, apparmor->localhostprofile, false,
                                        "apparmor", CHILD(path, "appArmorProfile"));
}

void validate_security_annotations_match(const struct pod_walk *walk) {
        const V1PodSecurityContext *pod = walk->spec->securitycontext;
        const char *annotation = annotation_for(walk, SECCOMP_POD_ANNOTATION, NULL);

        if (walk->meta->n_annotations == 0)
                return;
        if (pod && pod->seccompprofile && annotation)
                validate_profiles_match(walk->diags, annotation, pod->seccompprofile->type,
                                        pod->seccompprofile->localhostprofile, true, "seccomp",
                                        CHILD(CHILD(CHILD(NULL, "spec"), "securityContext"), "seccompProfile"));
        pod_walk_containers(walk, validate_container_annotations_match);
}

/* The options that mean something on one operating system only. */
static const char *const not_on_windows[] = {
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "seLinuxChangePolicy",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        NULL,
};
static const char *const pod_not_on_windows[] = { "hostUsers", "shareProcessNamespace", NULL };

static void forbid_fields(struct diagnostics *diags, const ProtobufCMessage *message, words_t names,
                          const char *sentence, path_t path) {
        for (; *names; names++)
                if (message_has(message, *names))
                        fault_forbidden(diags, CHILD(path, *names), sentence);
}

static void validate_linux_container(const struct pod_walk *walk, _unused_ enum container_kind kind,
                                     const V1Container *c, path_t path) {
        if (c->securitycontext && c->securitycontext->windowsoptions)
                fault_forbidden(walk->diags, CHILD(CHILD(path, "securityContext"), "windowsOptions"),
                                "windows options cannot be set for a linux pod");
}

static void validate_windows_container(const struct pod_walk *walk, _unused_ enum container_kind kind,
                                       const V1Container *c, path_t path) {
        if (c->securitycontext)
                forbid_fields(walk->diags, &c->securitycontext->base, not_on_windows, "cannot be set for a windows pod",
                              CHILD(path, "securityContext"));
}

static void validate_windows(const struct pod_walk *walk, path_t spec_path) {
        static const char sentence[] = "cannot be set for a windows pod";
        const V1PodSpec *spec = walk->spec;

        forbid_fields(walk->diags, &spec->base, pod_not_on_windows, sentence, spec_path);
        if (spec->hostpid)
                fault_forbidden(walk->diags, CHILD(spec_path, "hostPID"), sentence);
        if (spec->hostipc)
                fault_forbidden(walk->diags, CHILD(spec_path, "hostIPC"), sentence);
        if (spec->securitycontext)
                forbid_fields(walk->diags, &spec->securitycontext->base, not_on_windows, sentence,
                              CHILD(spec_path, "securityContext"));
        pod_walk_containers(walk, validate_windows_container);
}

void validate_os(const struct pod_walk *walk, path_t spec_path) {
        const V1PodSpec *spec = walk->spec;

        if (!spec->os)
                return;
        if (str_empty(spec->os->name))
                fault_required(walk->diags, CHILD(CHILD(spec_path, "os"), "name"), "cannot be empty");
        else if (!words_contain(os_names, spec->os->name))
                validate_word(walk->diags, spec->os->name, os_names, CHILD(spec_path, "os"));
        else if (streq(spec->os->name, "windows"))
                validate_windows(walk, spec_path);
        else {
                if (spec->securitycontext && spec->securitycontext->windowsoptions)
                        fault_forbidden(walk->diags, CHILD(CHILD(spec_path, "securityContext"), "windowsOptions"),
                                        "windows options cannot be set for a linux pod");
                pod_walk_containers(walk, validate_linux_container);
        }
}

/* hostProcess containers of Windows: all or none of a pod, as the pod says, and on the host's network. */
void validate_windows_host_process(const struct pod_walk *walk, path_t spec_path) {
        const V1PodSpec *spec = walk->spec;
        const V1WindowsSecurityContextOptions *pod =
                spec->securitycontext ? spec->securitycontext->windowsoptions : NULL;
        size_t n = spec->n_initcontainers + spec->n_containers + spec->n_ephemeralcontainers, on_host = 0;

        for (size_t i = 0; i < n; i++) {
                size_t at = i;
                V1Container c = V1_CONTAINER__INIT;
                const V1WindowsSecurityContextOptions *own;
                const char *list = "initContainers";

                if (i < spec->n_initcontainers)
                        c = *spec->initcontainers[i];
                else if ((at = i - spec->n_initcontainers) < spec->n_containers) {
                        c = *spec->containers[at];
                        list = "containers";
                } else {
                        at -= spec->n_containers;
                        c = container_of_ephemeral(spec->ephemeralcontainers[at]);
                        list = "ephemeralContainers";
                }
                own = c.securitycontext ? c.securitycontext->windowsoptions : NULL;
                if (pod && pod->has_hostprocess && own && own->has_hostprocess && pod->hostprocess != own->hostprocess)
                        diagnostics_add(walk->diags, DIAGNOSTIC_INVALID,
                                        CHILD(CHILD(CHILD(INDEX(CHILD(spec_path, list), at), "securityContext"),
                                                    "windowsOptions"),
                                              "hostProcess"),
                                        "pod hostProcess value must be identical if both are specified, was %s",
                                        pod->hostprocess ? "true" : "false");
                on_host += own && own->has_hostprocess ? own->hostprocess : pod && pod->hostprocess;
        }
        if (on_host == 0)
                return;
        if (on_host != n)
                fault_invalid(walk->diags, spec_path, "",
                              "If pod contains any hostProcess containers then all containers must be HostProcess "
                              "containers");
        if (!spec->hostnetwork)
                fault_invalid_object(walk->diags, CHILD(spec_path, "hostNetwork"),
                                     "hostNetwork must be true if pod contains any hostProcess containers");
}
