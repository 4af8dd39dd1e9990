#include "base/str.h"
#include "sandbox/sandbox.h"

#define SYSCTL_NAME_MAX 253

static bool is_alphanumeric(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Segments of lower case letters, digits, '-' and '_' (the latter two not at an end), separated by '.' or '/': so there
 * is no empty segment and no "..", and the path cannot leave /proc/sys. */
static bool name_is_valid(const char *name) {
        char before = '.';

        if (strlen(name) > SYSCTL_NAME_MAX)
                return false;
        for (const char *p = name; *p; p++) {
                bool separator = *p == '.' || *p == '/';
                if (!separator && *p != '-' && *p != '_' && !is_alphanumeric(*p))
                        return false;
                if (separator && !is_alphanumeric(before))
                        return false;
                if ((*p == '-' || *p == '_') && (before == '.' || before == '/'))
                        return false;
                before = *p;
        }
        return is_alphanumeric(before);
}

static char *separators_swapped(const char *s) {
        char *copy = xstrdup(s);
        for (char *p = copy; *p; p++)
                *p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
        return copy;
}

/* Which namespace isolates it; the kernel shows these per namespace (Kubernetes' list). */
static enum sandbox_namespace group_of(const char *name) {
        static const struct {
                const char *prefix;
                bool whole;
                enum sandbox_namespace group;
        } groups[] = {
                { "kernel.sem", true, SANDBOX_IPC },  { "kernel.shm", false, SANDBOX_IPC },
                { "kernel.msg", false, SANDBOX_IPC }, { "fs.mqueue.", false, SANDBOX_IPC },
                { "net.", false, SANDBOX_NET },
        };
        for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
                if (groups[i].whole ? streq(name, groups[i].prefix) : str_starts_with(name, groups[i].prefix))
                        return groups[i].group;
        return 0;
}

bool sysctl_parse(const char *name, struct sysctl *ret) {
        if (!name || !*name || !name_is_valid(name))
                return false;
        /* The first separator decides the spelling: "net.ipv4.conf.eth0/1.rp_filter" is
         * "net/ipv4/conf/eth0.1/rp_filter". */
        const char *first = strpbrk(name, "./");
        bool slashes = first && *first == '/';
        ret->name = slashes ? separators_swapped(name) : xstrdup(name);
        ret->path = separators_swapped(ret->name);
        ret->group = group_of(ret->name);
        return true;
}

void sysctl_release(struct sysctl *sysctl) {
        free(sysctl->name);
        free(sysctl->path);
        memset(sysctl, 0, sizeof(*sysctl));
}

/* https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls */
static bool name_is_safe(const char *name) {
        static const char *const safe[] = {
                "kernel.shm_rmid_forced",
                "net.ipv4.ip_local_port_range",
                "net.ipv4.tcp_syncookies",
                "net.ipv4.ping_group_range",
                "net.ipv4.ip_unprivileged_port_start",
                "net.ipv4.ip_local_reserved_ports",
                "net.ipv4.tcp_keepalive_time",
                "net.ipv4.tcp_fin_timeout",
                "net.ipv4.tcp_keepalive_intvl",
                "net.ipv4.tcp_keepalive_probes",
                "net.ipv4.tcp_rmem",
                "net.ipv4.tcp_wmem",
        };
        for (size_t i = 0; i < ARRAY_SIZE(safe); i++)
                if (streq(name, safe[i]))
                        return true;
        return false;
}

bool sysctl_is_safe(const char *name) {
        _cleanup_(sysctl_release) struct sysctl s = { 0 };
        return sysctl_parse(name, &s) && name_is_safe(s.name);
}

static bool name_is_allowed(const char *name, char *const *allowed) {
        for (; allowed && *allowed; allowed++) {
                size_t len = strlen(*allowed);
                bool pattern = len > 0 && (*allowed)[len - 1] == '*';
                if (pattern ? strncmp(name, *allowed, len - 1) == 0 : streq(name, *allowed))
                        return true;
        }
        return false;
}

static struct error *check_one(const V1PodSpec *spec, const char *name, char *const *allowed) {
        _cleanup_(sysctl_release) struct sysctl s = { 0 };

        if (!sysctl_parse(name, &s))
                return error_new(ERROR_FORBIDDEN, "forbidden sysctl: \"%s\" is not the name of a sysctl",
                                 name ? name : "");
        if (!name_is_safe(s.name) && !(s.group && name_is_allowed(s.name, allowed)))
                return error_new(ERROR_FORBIDDEN, "forbidden sysctl: \"%s\" not allowlisted", s.name);
        if (s.group == SANDBOX_IPC && spec->hostipc)
                return error_new(ERROR_FORBIDDEN, "forbidden sysctl: \"%s\" not allowed with host ipc enabled", s.name);
        if (s.group == SANDBOX_NET && spec->hostnetwork)
                return error_new(ERROR_FORBIDDEN, "forbidden sysctl: \"%s\" not allowed with host net enabled", s.name);
        return NULL;
}

struct error *sandbox_check_sysctls(const V1Pod *pod, char *const *allowed) {
        const V1PodSecurityContext *context = pod->spec->securitycontext;

        for (size_t i = 0; context && i < context->n_sysctls; i++) {
                struct error *err = check_one(pod->spec, context->sysctls[i]->name, allowed);
                if (err)
                        return err;
        }
        return NULL;
}
