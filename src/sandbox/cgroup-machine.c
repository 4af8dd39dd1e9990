#include "sandbox/cgroup-private.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "base/str.h"

static struct machine machine;

bool hierarchy_has(const struct hierarchy *h, const char *controller) {
        char needle[64];
        snprintf(needle, sizeof(needle), ",%s,", controller);
        return strstr(h->controllers, needle);
}

void cgroup_forget(void) {
        for (size_t i = 0; i < machine.n_hierarchies; i++) {
                free(machine.hierarchies[i].folder);
                free(machine.hierarchies[i].controllers);
        }
        memset(&machine, 0, sizeof(machine));
}

/* mountinfo writes blanks and backslashes of a path as \ooo. */
static void unescape_octal(char *s) {
        char *out = s;
        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
                    s[3] <= '7') {
                        *out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                } else {
                        *out++ = *s;
                }
        }
        *out = '\0';
}

/* A mount of cgroup2 can be covered by another (husk-keeper does it on hybrid machines): then the path leads elsewhere.
 */
static bool folder_has_device(const char *folder, dev_t device) {
        struct stat st;
        return stat(folder, &st) == 0 && st.st_dev == device;
}

/* The controllers of a v1 mount stand among its file system's options. */
static char *v1_controllers(char *options) {
        static const char *const known[] = { "cpu",        "cpuacct",  "cpuset",  "memory", "devices",
                                             "freezer",    "blkio",    "hugetlb", "pids",   "net_cls",
                                             "perf_event", "net_prio", "rdma",    "misc" };
        _cleanup_strbuf_ struct strbuf list = STRBUF_INIT;
        char *save = NULL;

        strbuf_addc(&list, ',');
        for (char *word = strtok_r(options, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
                bool is_controller = str_starts_with(word, "name=");
                for (size_t i = 0; i < ARRAY_SIZE(known) && !is_controller; i++)
                        is_controller = streq(word, known[i]);
                if (is_controller)
                        strbuf_addf(&list, "%s,", word);
        }
        return strbuf_take(&list);
}

static char *v2_controllers(const char *folder) {
        _cleanup_free_ char *path = path_join(folder, "cgroup.controllers"), *text = NULL;
        _cleanup_error_ struct error *err = file_read(path, SMALL_FILE_MAX, &text, NULL);
        _cleanup_strbuf_ struct strbuf list = STRBUF_INIT;

        strbuf_addc(&list, ',');
        char *save = NULL;
        for (char *word = err ? NULL : strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save))
                strbuf_addf(&list, "%s,", word);
        return strbuf_take(&list);
}

static void hierarchy_add(const char *folder, char *controllers, dev_t device) {
        for (size_t i = 0; i < machine.n_hierarchies; i++)
                if (machine.hierarchies[i].device == device) {
                        free(controllers);
                        return;
                }
        if (machine.n_hierarchies == HIERARCHIES_MAX) {
                free(controllers);
                return;
        }
        machine.hierarchies[machine.n_hierarchies++] = (struct hierarchy){ xstrdup(folder), controllers, device };
}

/* One line of mountinfo: "id parent major:minor root folder options [tags…] - type source superoptions". */
static void mountinfo_line(char *line, char **v2_folder, dev_t *v2_device) {
        char *tail = strstr(line, " - "), *save = NULL, *fields[6] = { 0 };
        unsigned major_number, minor_number;

        if (!tail)
                return;
        *tail = '\0';
        tail += 3;
        if (!str_starts_with(tail, "cgroup"))
                return;
        for (size_t i = 0; i < 6; i++)
                fields[i] = strtok_r(i ? NULL : line, " ", &save);
        char *type = strtok_r(tail, " ", &save), *source = strtok_r(NULL, " ", &save),
             *options = strtok_r(NULL, " \n", &save);
        if (!fields[5] || !source || !options || sscanf(fields[2], "%u:%u", &major_number, &minor_number) != 2)
                return;
        dev_t device = makedev(major_number, minor_number);
        unescape_octal(fields[4]);
        if (!folder_has_device(fields[4], device))
                return;
        if (streq(type, "cgroup2") && !*v2_folder) {
                *v2_folder = xstrdup(fields[4]);
                *v2_device = device;
        } else if (streq(type, "cgroup")) {
                hierarchy_add(fields[4], v1_controllers(options), device);
        }
}

/* Does some v1 hierarchy have a controller, or are there only named ones (as systemd's in a mixed setup)? */
static bool has_v1_controller(void) {
        for (size_t i = 0; i < machine.n_hierarchies; i++)
                for (const char *p = machine.hierarchies[i].controllers; *p && p[1]; p = strchr(p + 1, ','))
                        if (!str_starts_with(p + 1, "name="))
                                return true;
        return false;
}

static void machine_look(void) {
        _cleanup_free_ char *text = NULL, *v2_folder = NULL;
        dev_t v2_device = 0;
        char *save = NULL;

        if (machine.known)
                return;
        cgroup_forget();
        machine.known = true;
        machine.version = CGROUP_NONE;
        _cleanup_error_ struct error *err = file_read("/proc/self/mountinfo", PROCS_FILE_MAX, &text, NULL);
        if (err)
                return;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                mountinfo_line(line, &v2_folder, &v2_device);
        if (has_v1_controller()) {
                machine.version = CGROUP_V1;
        } else if (v2_folder) {
                cgroup_forget();
                machine.known = true;
                machine.version = CGROUP_V2;
                hierarchy_add(v2_folder, v2_controllers(v2_folder), v2_device);
        }
}

enum cgroup_version cgroup_version(void) {
        machine_look();
        return machine.version;
}

const struct machine *cgroup_machine(void) {
        machine_look();
        return &machine;
}

const struct hierarchy *hierarchy_of(const char *controller) {
        machine_look();
        for (size_t i = 0; i < machine.n_hierarchies; i++)
                if (hierarchy_has(&machine.hierarchies[i], controller))
                        return &machine.hierarchies[i];
        return NULL;
}

char *folder_read(const char *folder, const char *file, size_t max) {
        _cleanup_free_ char *path = path_join(folder, file);
        char *text = NULL;
        _cleanup_error_ struct error *err = file_read(path, max, &text, NULL);
        return err ? NULL : text;
}

struct error *folder_write(const char *folder, const char *file, const char *text) {
        _cleanup_free_ char *path = path_join(folder, file);
        return file_poke(path, text);
}

bool cgroup_controller_acts(const char *path, const char *controller) {
        const struct hierarchy *h = hierarchy_of(controller);

        if (!h || machine.version != CGROUP_V2)
                return h;
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        _cleanup_free_ char *text = folder_read(folder, "cgroup.controllers", SMALL_FILE_MAX);
        if (!text)
                return false;
        text[strcspn(text, "\n")] = '\0';
        _cleanup_strv_ char **list = strv_split(text, ' ');
        return strv_contains(list, controller);
}

struct error *cgroup_resource_write(const char *path, const char *controller, const char *file, const char *text) {
        const struct hierarchy *h = hierarchy_of(controller);

        if (!h)
                return error_new(ERROR_NOT_SUPPORTED, "this machine has no \"%s\" cgroup controller", controller);
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        struct error *err = folder_write(folder, file, text);
        if (!err || error_errnum(err) != ENOENT || cgroup_controller_acts(path, controller))
                return err;
        error_free(err);
        return error_new(ERROR_NOT_SUPPORTED, "the \"%s\" cgroup controller cannot be used in %s", controller, folder);
}
