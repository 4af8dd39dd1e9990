#include "sandbox/cgroup-private.h"

#include "base/file.h"
#include "base/str.h"

/* The number in a file that holds only it ("max" and the like are 0). */
static uint64_t read_number(const char *controller, const char *path, const char *file) {
        const struct hierarchy *h = hierarchy_of(controller);
        uint64_t value;

        if (!h)
                return 0;
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        _cleanup_free_ char *text = folder_read(folder, file, SMALL_FILE_MAX);
        if (!text)
                return 0;
        text[strcspn(text, "\n")] = '\0';
        return str_to_u64(text, &value) ? value : 0;
}

/* The number behind a key at the beginning of a line. */
static uint64_t text_key(const char *text, const char *key) {
        size_t len = strlen(key);
        for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (strncmp(line, key, len) == 0 && line[len] == ' ')
                        return strtoull(line + len + 1, NULL, 10);
        return 0;
}

static char *read_text(const char *controller, const char *path, const char *file) {
        const struct hierarchy *h = hierarchy_of(controller);
        if (!h)
                return NULL;
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        return folder_read(folder, file, SMALL_FILE_MAX);
}

struct error *cgroup_usage(const char *path, struct cgroup_usage *ret) {
        struct cgroup_usage u = { 0 };
        uint64_t inactive_file = 0;

        if (cgroup_machine()->n_hierarchies == 0)
                return error_new(ERROR_NOT_SUPPORTED, "no cgroup file system is mounted");
        _cleanup_free_ char *folder = xasprintf("%s%s", cgroup_machine()->hierarchies[0].folder, path);
        if (access(folder, F_OK) < 0)
                return error_errno(errno, "cgroup %s", folder);
        bool v2 = cgroup_machine()->version == CGROUP_V2;
        _cleanup_free_ char *stat = read_text("memory", path, "memory.stat");
        if (v2) {
                /* cpu.stat and its usage are there even without the cpu controller. */
                _cleanup_free_ char *cpu = folder_read(folder, "cpu.stat", SMALL_FILE_MAX);
                u.cpu_ns = text_key(cpu, "usage_usec") * 1000;
                u.memory_bytes = read_number("memory", path, "memory.current");
                u.memory_limit = read_number("memory", path, "memory.max");
                u.memory_rss = text_key(stat, "anon");
                inactive_file = text_key(stat, "inactive_file");
        } else {
                u.cpu_ns = read_number("cpuacct", path, "cpuacct.usage");
                u.memory_bytes = read_number("memory", path, "memory.usage_in_bytes");
                u.memory_limit = read_number("memory", path, "memory.limit_in_bytes");
                u.memory_rss = text_key(stat, "total_rss");
                inactive_file = text_key(stat, "total_inactive_file");
                if (u.memory_limit >= 1ULL << 62) /* v1's "none" is the largest multiple of the page size */
                        u.memory_limit = 0;
        }
        u.memory_working_set = u.memory_bytes > inactive_file ? u.memory_bytes - inactive_file : 0;
        u.pids = read_number("pids", path, "pids.current");
        *ret = u;
        return NULL;
}

uint64_t cgroup_oom_kills(const char *path) {
        _cleanup_free_ char *text =
                read_text("memory", path, cgroup_version() == CGROUP_V2 ? "memory.events" : "memory.oom_control");
        return text_key(text, "oom_kill");
}
