#include "sandbox/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>

#include "api/quantity.h"
#include "api/resources.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#define HIERARCHIES_MAX 16
#define SMALL_FILE_MAX (256 * 1024)
#define PROCS_FILE_MAX (16 * 1024 * 1024)
#define CPU_PERIOD_US 100000
#define SHARES_MIN 2
#define SHARES_MAX 262144
#define SHARES_DEFAULT 1024
#define WEIGHT_DEFAULT 100
#define REMOVE_TIMEOUT_MS 2000
#define DEPTH_MAX 256

/* ---- what is mounted ---- */

/* One mounted hierarchy: one or several controllers on v1 ("cpu,cpuacct", "name=systemd"), all of them on v2. */
struct hierarchy {
        char *folder;      /* where it is mounted */
        char *controllers; /* separated by commas, with a comma at both ends: ",cpu,cpuacct," */
        dev_t device;      /* tells a second mount of the same hierarchy */
};

static struct {
        bool known;
        enum cgroup_version version;
        struct hierarchy hierarchies[HIERARCHIES_MAX];
        size_t n_hierarchies;
} machine;

static bool list_contains(const char *list, const char *word) {
        char needle[64];
        snprintf(needle, sizeof(needle), ",%s,", word);
        return list && strstr(list, needle);
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

static const struct hierarchy *hierarchy_of(const char *controller) {
        machine_look();
        for (size_t i = 0; i < machine.n_hierarchies; i++)
                if (list_contains(machine.hierarchies[i].controllers, controller))
                        return &machine.hierarchies[i];
        return NULL;
}

/* ---- what a pod asks for ---- */

enum pod_qos pod_qos(const V1Pod *pod) {
        const char *class = api_pod_qos_class(pod);
        for (enum pod_qos qos = POD_QOS_GUARANTEED; qos < POD_QOS_BEST_EFFORT; qos++)
                if (streq(class, pod_qos_string(qos)))
                        return qos;
        return POD_QOS_BEST_EFFORT;
}

const char *pod_qos_string(enum pod_qos qos) {
        static const char *const names[] = { [POD_QOS_GUARANTEED] = "Guaranteed",
                                             [POD_QOS_BURSTABLE] = "Burstable",
                                             [POD_QOS_BEST_EFFORT] = "BestEffort" };
        return names[qos];
}

uint64_t cgroup_shares_from_milli_cpu(int64_t milli_cpu) {
        if (milli_cpu <= 0)
                return SHARES_MIN;
        if (milli_cpu > SHARES_MAX)
                return SHARES_MAX;
        uint64_t shares = (uint64_t)milli_cpu * 1024 / 1000;
        return MIN(MAX(shares, (uint64_t)SHARES_MIN), (uint64_t)SHARES_MAX);
}

int64_t cgroup_quota_from_milli_cpu(int64_t milli_cpu) {
        if (milli_cpu <= 0)
                return -1;
        if (milli_cpu > INT64_MAX / CPU_PERIOD_US)
                return -1;
        return MAX(milli_cpu * CPU_PERIOD_US / 1000, (int64_t)1000);
}

uint64_t cgroup_weight_from_shares(uint64_t shares) {
        shares = MIN(MAX(shares, (uint64_t)SHARES_MIN), (uint64_t)SHARES_MAX);
        return 1 + (shares - 2) * 9999 / 262142;
}

/* The smallest number of shares with this weight, so that there and back gives the same. */
static uint64_t shares_from_weight(uint64_t weight) {
        weight = MIN(MAX(weight, (uint64_t)1), (uint64_t)10000);
        return 2 + ((weight - 1) * 262142 + 9998) / 9999;
}

static int64_t list_milli(const struct resource_list *list, const char *name) {
        const struct quantity *q = resource_list_get(list, name);
        return q ? quantity_milli(*q) : 0;
}

struct cgroup_limits cgroup_limits_of_pod(const V1Pod *pod, int64_t pids_max) {
        _cleanup_resource_list_ struct resource_list requests = RESOURCE_LIST_INIT, limits = RESOURCE_LIST_INIT;
        const V1ResourceRequirements *own = pod->spec->resources;
        struct cgroup_limits l = { SHARES_MIN, -1, CPU_PERIOD_US, -1, pids_max > 0 ? pids_max : -1 };
        bool own_cpu = false, own_memory = false;

        api_pod_requests(pod, &requests);
        api_pod_limits(pod, &limits);
        for (size_t i = 0; own && i < own->n_limits; i++) {
                own_cpu = own_cpu || streq(own->limits[i]->key, "cpu");
                own_memory = own_memory || streq(own->limits[i]->key, "memory");
        }
        l.cpu_shares = cgroup_shares_from_milli_cpu(list_milli(&requests, "cpu"));
        /* One container without a limit makes the pod unlimited, unless the pod has one of its own. */
        if (own_cpu || api_pod_limits_every_container(pod, "cpu"))
                l.cpu_quota_us = cgroup_quota_from_milli_cpu(list_milli(&limits, "cpu"));
        const struct quantity *memory = resource_list_get(&limits, "memory");
        if (memory && quantity_sign(*memory) > 0 && (own_memory || api_pod_limits_every_container(pod, "memory")))
                l.memory_bytes = quantity_value(*memory);
        return l;
}

static const char *entry_text(size_t n, V1QuantityEntry *const *entries, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(entries[i]->key, name))
                        return entries[i]->value ? entries[i]->value->string : NULL;
        return NULL;
}

struct cgroup_limits cgroup_limits_of_container(const V1Container *container) {
        struct cgroup_limits l = { SHARES_MIN, -1, CPU_PERIOD_US, -1, -1 };
        const V1ResourceRequirements *r = container->resources;

        if (!r)
                return l;
        const char *request = entry_text(r->n_requests, r->requests, "cpu");
        const char *limit = entry_text(r->n_limits, r->limits, "cpu");
        const char *memory = entry_text(r->n_limits, r->limits, "memory");
        l.cpu_shares = cgroup_shares_from_milli_cpu(quantity_text_milli(request ? request : limit));
        l.cpu_quota_us = cgroup_quota_from_milli_cpu(quantity_text_milli(limit));
        if (quantity_text_value(memory) > 0)
                l.memory_bytes = quantity_text_value(memory);
        return l;
}

/* ---- paths ---- */

char *cgroup_node_path(const struct store *store) {
        char tag[STORE_TAG_SIZE];
        if (store->is_default)
                return xstrdup("/kubepods");
        return xasprintf("/husk-%s", store_tag(store, tag));
}

static const char *const qos_folders[] = {
        [POD_QOS_GUARANTEED] = "", [POD_QOS_BURSTABLE] = "/burstable", [POD_QOS_BEST_EFFORT] = "/besteffort"
};

char *cgroup_pod_path(const struct store *store, const char *pod_uid, enum pod_qos qos) {
        _cleanup_free_ char *node = cgroup_node_path(store);
        return xasprintf("%s%s/pod%s", node, qos_folders[qos], pod_uid);
}

char *cgroup_container_path(const char *pod_path, const char *container_id) {
        return path_join(pod_path, container_id);
}

/* ---- making ---- */

/* Text of a small file in a folder; NULL if it cannot be read. */
static char *folder_read(const char *folder, const char *file, size_t max) {
        _cleanup_free_ char *path = path_join(folder, file);
        char *text = NULL;
        _cleanup_error_ struct error *err = file_read(path, max, &text, NULL);
        return err ? NULL : text;
}

static struct error *folder_write(const char *folder, const char *file, const char *text) {
        _cleanup_free_ char *path = path_join(folder, file);
        return file_poke(path, text);
}

/* A new cpuset has no processors and no memory nodes, and takes no process until it has. */
static struct error *cpuset_inherit(const char *parent, const char *folder) {
        static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *own = folder_read(folder, files[i], SMALL_FILE_MAX);
                if (own && *own && *own != '\n')
                        continue;
                _cleanup_free_ char *text = folder_read(parent, files[i], SMALL_FILE_MAX);
                struct error *err = text ? folder_write(folder, files[i], text) : NULL;
                if (err)
                        return err;
        }
        return NULL;
}

/* Gives the children of a v2 cgroup its controllers. One that cannot be given (threaded, in use by processes here) is
 * left out: a limit that needs it fails by name later. */
static void subtree_enable(const char *folder) {
        static const char *const wanted[] = { "cpu", "memory", "pids", "cpuset", "io", "hugetlb" };
        _cleanup_free_ char *have = folder_read(folder, "cgroup.controllers", SMALL_FILE_MAX);
        _cleanup_free_ char *on = folder_read(folder, "cgroup.subtree_control", SMALL_FILE_MAX);
        _cleanup_strbuf_ struct strbuf all = STRBUF_INIT;
        bool missing[ARRAY_SIZE(wanted)] = { 0 };

        if (!have || !on)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
                _cleanup_strv_ char **available = NULL, **enabled = NULL;
                have[strcspn(have, "\n")] = on[strcspn(on, "\n")] = '\0';
                available = strv_split(have, ' ');
                enabled = strv_split(on, ' ');
                missing[i] = strv_contains(available, wanted[i]) && !strv_contains(enabled, wanted[i]);
                if (missing[i])
                        strbuf_addf(&all, "+%s ", wanted[i]);
        }
        if (!all.len)
                return;
        _cleanup_error_ struct error *err = folder_write(folder, "cgroup.subtree_control", all.data);
        for (size_t i = 0; err && i < ARRAY_SIZE(wanted); i++) {
                char one[32];
                snprintf(one, sizeof(one), "+%s", wanted[i]);
                error_free(missing[i] ? folder_write(folder, "cgroup.subtree_control", one) : NULL);
        }
}

/* Makes one cgroup of a hierarchy, its parent exists or -ENOENT. Returns 1 if it is new, 0 if it was there, or -errno.
 */
static int cgroup_make_one(const struct hierarchy *h, const char *parent, const char *folder) {
        if (machine.version == CGROUP_V2)
                subtree_enable(parent);
        if (mkdir(folder, 0755) < 0)
                return errno == EEXIST ? 0 : -errno;
        if (list_contains(h->controllers, "cpuset") && machine.version == CGROUP_V1)
                error_free(cpuset_inherit(parent, folder)); /* what is missing is told when a process enters */
        if (list_contains(h->controllers, "memory") && machine.version == CGROUP_V1) {
                /* Always hierarchical since Linux 5.11; before, the pod's limit would not hold its containers. */
                _cleanup_free_ char *text = folder_read(folder, "memory.use_hierarchy", 64);
                if (text && *text == '0')
                        error_free(folder_write(folder, "memory.use_hierarchy", "1"));
        }
        return 1;
}

static struct error *cgroup_make_error(int errnum, const char *folder) {
        if (errnum == EROFS || errnum == EACCES || errnum == EPERM)
                return error_errno(errnum, "create cgroup %s: the cgroup file system cannot be written here", folder);
        return error_errno(errnum, "create cgroup %s", folder);
}

/* Makes `path` in one hierarchy with all its parents. Somebody may be removing an empty parent at the same time. */
static struct error *cgroup_make(const struct hierarchy *h, const char *path, bool *ret_new) {
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        char *slash = strrchr(folder, '/');
        int rc = -ENOENT;

        *slash = '\0';
        if (access(folder, F_OK) == 0) {
                _cleanup_free_ char *parent = xstrdup(folder);
                *slash = '/';
                rc = cgroup_make_one(h, parent, folder);
        }
        *slash = '/';
        for (unsigned attempt = 0; rc == -ENOENT && attempt < 20; attempt++)
                for (char *p = folder + strlen(h->folder); *p; p++) {
                        if (p[1] != '/' && p[1] != '\0')
                                continue;
                        char after = p[1];
                        p[1] = '\0';
                        char *last = strrchr(folder, '/');
                        _cleanup_free_ char *parent = xstrndup(folder, last - folder);
                        rc = cgroup_make_one(h, parent, folder);
                        p[1] = after;
                        if (rc < 0)
                                break;
                }
        if (rc < 0)
                return cgroup_make_error(-rc, folder);
        if (ret_new)
                *ret_new = rc > 0;
        return NULL;
}

/* One limit: the file that takes it on either version, the controller behind it, and what a person calls it. */
struct limit_file {
        const char *what;
        const char *controller;
        const char *file;
        char text[64];
        bool is_default; /* the value a new cgroup has anyway */
};

#define LIMIT_FILES_MAX 5

static struct limit_file *limit_add(struct limit_file **end, const char *what, const char *controller, const char *file,
                                    bool is_default) {
        struct limit_file *f = (*end)++;
        *f = (struct limit_file){ what, controller, file, "", is_default };
        return f;
}
#define limit_text(f, ...) snprintf((f)->text, sizeof((f)->text), __VA_ARGS__)

static void limit_files_cpu_v1(struct limit_file **end, const struct cgroup_limits *l) {
        bool unlimited = l->cpu_quota_us < 0;
        limit_text(limit_add(end, "cpu request", "cpu", "cpu.shares", l->cpu_shares == SHARES_DEFAULT), "%" PRIu64,
                   l->cpu_shares);
        limit_text(limit_add(end, "cpu limit", "cpu", "cpu.cfs_period_us", unlimited), "%" PRIu64, l->cpu_period_us);
        limit_text(limit_add(end, "cpu limit", "cpu", "cpu.cfs_quota_us", unlimited), "%" PRId64, l->cpu_quota_us);
}

static void limit_files_cpu_v2(struct limit_file **end, const struct cgroup_limits *l) {
        uint64_t weight = cgroup_weight_from_shares(l->cpu_shares);
        limit_text(limit_add(end, "cpu request", "cpu", "cpu.weight", weight == WEIGHT_DEFAULT), "%" PRIu64, weight);
        struct limit_file *f = limit_add(end, "cpu limit", "cpu", "cpu.max", l->cpu_quota_us < 0);
        if (l->cpu_quota_us < 0)
                limit_text(f, "max %" PRIu64, l->cpu_period_us);
        else
                limit_text(f, "%" PRId64 " %" PRIu64, l->cpu_quota_us, l->cpu_period_us);
}

static size_t limit_files(bool v2, const struct cgroup_limits *l, struct limit_file files[static LIMIT_FILES_MAX]) {
        struct limit_file *end = files, *f;

        if (v2)
                limit_files_cpu_v2(&end, l);
        else
                limit_files_cpu_v1(&end, l);
        f = limit_add(&end, "memory limit", "memory", v2 ? "memory.max" : "memory.limit_in_bytes", l->memory_bytes < 0);
        if (l->memory_bytes < 0)
                limit_text(f, "%s", v2 ? "max" : "-1");
        else
                limit_text(f, "%" PRId64, l->memory_bytes);
        f = limit_add(&end, "pids limit", "pids", "pids.max", l->pids < 0);
        if (l->pids < 0)
                limit_text(f, "max");
        else
                limit_text(f, "%" PRId64, l->pids);
        return end - files;
}

/* Does this controller act in the cgroup at `folder`? On v2 the parent has to have given it. */
static bool controller_acts(const char *folder, const char *controller) {
        if (machine.version != CGROUP_V2)
                return true;
        _cleanup_free_ char *text = folder_read(folder, "cgroup.controllers", SMALL_FILE_MAX);
        if (!text)
                return false;
        text[strcspn(text, "\n")] = '\0';
        _cleanup_strv_ char **list = strv_split(text, ' ');
        return strv_contains(list, controller);
}

/* Without the cpu controller a request of next to nothing is kept anyway; everything else needs its controller. */
static bool limit_needs_nothing(const struct limit_file *f, const struct cgroup_limits *l) {
        return f->is_default || (streq(f->what, "cpu request") && l->cpu_shares <= SHARES_MIN);
}

static struct error *limit_apply(const struct limit_file *f, const struct cgroup_limits *l, const char *path,
                                 bool is_new) {
        const struct hierarchy *h = hierarchy_of(f->controller);
        _cleanup_free_ char *folder = h ? xasprintf("%s%s", h->folder, path) : NULL;
        struct error *err;

        if (is_new && f->is_default)
                return NULL;
        if (!h && limit_needs_nothing(f, l))
                return NULL;
        if (!h)
                return error_new(ERROR_NOT_SUPPORTED, "%s: this machine has no \"%s\" cgroup controller", f->what,
                                 f->controller);
        err = folder_write(folder, f->file, f->text);
        if (!err)
                return NULL;
        if (error_errnum(err) == ENOENT && limit_needs_nothing(f, l))
                return error_free(err);
        if (error_errnum(err) == ENOENT && !controller_acts(folder, f->controller)) {
                error_free(err);
                return error_new(ERROR_NOT_SUPPORTED, "%s: the \"%s\" cgroup controller cannot be used in %s", f->what,
                                 f->controller, folder);
        }
        if (error_errnum(err) == ENOENT && streq(f->file, "cpu.cfs_quota_us")) {
                error_free(err);
                return error_new(ERROR_NOT_SUPPORTED, "%s: this kernel has no CFS bandwidth control", f->what);
        }
        return error_context(err, "%s", f->what);
}

/* Weight of "burstable" among the Guaranteed pods: what its pods request together, as a kubelet keeps it. Recounted
 * from the kernel at each change, under a lock on the folder; a request is a hint, so a failure here is none of the
 * pod's. */
static void burstable_recount(const struct store *store) {
        const struct hierarchy *h = hierarchy_of("cpu");
        if (!h)
                return;
        bool v2 = machine.version == CGROUP_V2;
        const char *file = v2 ? "cpu.weight" : "cpu.shares";
        _cleanup_free_ char *node = cgroup_node_path(store);
        _cleanup_free_ char *folder = xasprintf("%s%s/burstable", h->folder, node);
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX) < 0)
                return;
        DIR *dir = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        if (!dir)
                return;
        uint64_t sum = 0, one;
        for (struct dirent *entry; (entry = readdir(dir));) {
                char path[300], text[32];
                if (entry->d_type != DT_DIR || !str_starts_with(entry->d_name, "pod"))
                        continue;
                snprintf(path, sizeof(path), "%s/%s", entry->d_name, file);
                _cleanup_close_ int file_fd = openat(fd, path, O_RDONLY | O_CLOEXEC);
                ssize_t n = file_fd < 0 ? -1 : read(file_fd, text, sizeof(text) - 1);
                if (n <= 0)
                        continue;
                text[n] = '\0';
                text[strcspn(text, "\n")] = '\0';
                if (str_to_u64(text, &one))
                        sum += v2 ? shares_from_weight(one) : one;
        }
        closedir(dir);
        sum = MIN(MAX(sum, (uint64_t)SHARES_MIN), (uint64_t)SHARES_MAX);
        char text[32];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)(v2 ? cgroup_weight_from_shares(sum) : sum));
        error_free(folder_write(folder, file, text));
}

static void besteffort_weight(const struct store *store) {
        const struct hierarchy *h = hierarchy_of("cpu");
        if (!h)
                return;
        _cleanup_free_ char *node = cgroup_node_path(store);
        _cleanup_free_ char *folder = xasprintf("%s%s/besteffort", h->folder, node);
        if (machine.version == CGROUP_V2)
                error_free(folder_write(folder, "cpu.weight", "1"));
        else
                error_free(folder_write(folder, "cpu.shares", "2"));
}

struct error *cgroup_pod_create(const struct store *store, const char *pod_uid, enum pod_qos qos,
                                const struct cgroup_limits *limits) {
        _cleanup_free_ char *path = cgroup_pod_path(store, pod_uid, qos);
        struct limit_file files[LIMIT_FILES_MAX];
        struct error *err;
        bool is_new = false, all_new = true;

        machine_look();
        if (machine.version == CGROUP_NONE)
                return error_new(ERROR_NOT_SUPPORTED, "no cgroup file system is mounted; mount one on /sys/fs/cgroup");
        for (size_t i = 0; i < machine.n_hierarchies; i++) {
                err = cgroup_make(&machine.hierarchies[i], path, &is_new);
                if (err)
                        return err;
                all_new = all_new && is_new;
        }
        if (machine.version == CGROUP_V2) {
                _cleanup_free_ char *folder = xasprintf("%s%s", machine.hierarchies[0].folder, path);
                subtree_enable(folder);
        }
        size_t n = limit_files(machine.version == CGROUP_V2, limits, files);
        for (size_t i = 0; i < n; i++) {
                err = limit_apply(&files[i], limits, path, all_new);
                if (err)
                        return err;
        }
        if (qos == POD_QOS_BURSTABLE)
                burstable_recount(store);
        else if (qos == POD_QOS_BEST_EFFORT && all_new)
                besteffort_weight(store);
        return NULL;
}

int cgroup_open_leaf(const char *pod_path, const char *leaf) {
        machine_look();
        if (machine.version != CGROUP_V2)
                return -EOPNOTSUPP;
        _cleanup_free_ char *folder = xasprintf("%s%s/%s", machine.hierarchies[0].folder, pod_path, leaf);
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return -errno;
        int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

char **cgroup_procs_files(const char *path) {
        char **files = NULL;
        machine_look();
        for (size_t i = 0; i < machine.n_hierarchies; i++)
                files = strv_add_take(files, xasprintf("%s%s/cgroup.procs", machine.hierarchies[i].folder, path));
        return files;
}

struct error *cgroup_enter(const char *path, pid_t pid) {
        char text[16];

        machine_look();
        snprintf(text, sizeof(text), "%d", pid);
        for (size_t i = 0; i < machine.n_hierarchies; i++) {
                struct error *err = cgroup_make(&machine.hierarchies[i], path, NULL);
                if (err)
                        return err;
                _cleanup_free_ char *folder = xasprintf("%s%s", machine.hierarchies[i].folder, path);
                err = folder_write(folder, "cgroup.procs", text);
                if (err)
                        return error_context(err, "enter cgroup");
        }
        return NULL;
}

/* ---- killing ---- */

/* Calls each() for every cgroup below and including `fd`, children first; a negative answer ends it. */
static int tree_walk(int fd, unsigned depth, int (*each)(int fd, void *data), void *data) {
        DIR *dir = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        int rc = 0;

        if (!dir)
                return -errno;
        for (struct dirent *entry; rc >= 0 && (entry = readdir(dir));) {
                if (entry->d_type != DT_DIR || streq(entry->d_name, ".") || streq(entry->d_name, "..") || depth == 0)
                        continue;
                _cleanup_close_ int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (child >= 0)
                        rc = tree_walk(child, depth - 1, each, data);
        }
        closedir(dir);
        return rc < 0 ? rc : each(fd, data);
}

struct kill_count {
        uint64_t alive;
};

/* Kills what is directly in one cgroup. */
static int kill_here(int fd, void *data) {
        struct kill_count *count = data;
        _cleanup_free_ char *text = NULL;
        char *save = NULL;
        _cleanup_error_ struct error *err = file_read_at(fd, "cgroup.procs", PROCS_FILE_MAX, &text, NULL);

        for (char *line = err ? NULL : strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                int64_t pid;
                /* 0: a process of another pid namespace. And never 1 or ourselves, whatever stands there. */
                if (!str_to_i64(line, &pid) || pid <= 1 || pid > INT32_MAX || pid == getpid())
                        continue;
                if (kill((pid_t)pid, SIGKILL) == 0)
                        count->alive++;
        }
        return 0;
}

static void freezer_set(const char *path, const char *state) {
        const struct hierarchy *h = hierarchy_of("freezer");
        if (!h || machine.version != CGROUP_V1)
                return;
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        error_free(folder_write(folder, "freezer.state", state));
}

static struct error *kill_v1(const char *path, bool *ret_empty) {
        struct kill_count count = { 0 };

        /* Frozen, nothing can fork past us. The signals act when it is thawed. */
        freezer_set(path, "FROZEN");
        for (size_t i = 0; i < machine.n_hierarchies; i++) {
                _cleanup_free_ char *folder = xasprintf("%s%s", machine.hierarchies[i].folder, path);
                _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd >= 0)
                        tree_walk(fd, DEPTH_MAX, kill_here, &count);
        }
        freezer_set(path, "THAWED");
        *ret_empty = count.alive == 0;
        return NULL;
}

static struct error *kill_v2(const char *path, bool *ret_empty) {
        _cleanup_free_ char *folder = xasprintf("%s%s", machine.hierarchies[0].folder, path);
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct kill_count count = { 0 };

        *ret_empty = true;
        if (fd < 0)
                return NULL;
        _cleanup_free_ char *events = folder_read(folder, "cgroup.events", 4096);
        if (events && strstr(events, "populated 0"))
                return NULL;
        *ret_empty = false;
        _cleanup_error_ struct error *err = file_poke_at(fd, "cgroup.kill", "1");
        if (!err || error_errnum(err) == ENODEV)
                return NULL;
        /* Linux before 5.14. */
        error_free(file_poke_at(fd, "cgroup.freeze", "1"));
        tree_walk(fd, DEPTH_MAX, kill_here, &count);
        error_free(file_poke_at(fd, "cgroup.freeze", "0"));
        return NULL;
}

struct error *cgroup_kill(const char *path, bool *ret_empty) {
        machine_look();
        *ret_empty = true;
        if (machine.version == CGROUP_NONE)
                return NULL;
        return machine.version == CGROUP_V2 ? kill_v2(path, ret_empty) : kill_v1(path, ret_empty);
}

struct error *cgroup_pod_kill(const struct store *store, const char *pod_uid, bool *ret_empty) {
        *ret_empty = true;
        /* The class of the pod is not needed: it is where it is. */
        for (enum pod_qos qos = POD_QOS_GUARANTEED; qos <= POD_QOS_BEST_EFFORT; qos++) {
                _cleanup_free_ char *path = cgroup_pod_path(store, pod_uid, qos);
                bool empty;
                struct error *err = cgroup_kill(path, &empty);
                if (err)
                        return err;
                *ret_empty = *ret_empty && empty;
        }
        return NULL;
}

/* ---- removing ---- */

static int remove_folder(const char *folder, int fd, unsigned depth);

/* Removes the cgroups in the folder `fd`; 0 or the first -errno. */
static int remove_children(int fd, unsigned depth) {
        DIR *dir = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        int result = 0;

        if (!dir)
                return -errno;
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (entry->d_type != DT_DIR || streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                int rc = remove_folder(entry->d_name, fd, depth);
                result = result ? result : rc;
        }
        closedir(dir);
        return result;
}

static int remove_folder(const char *folder, int parent_fd, unsigned depth) {
        if (unlinkat(parent_fd, folder, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        if (errno != EBUSY && errno != ENOTEMPTY)
                return -errno;
        /* EBUSY is children as well as processes: look for the former. */
        _cleanup_close_ int fd = openat(parent_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        int rc = depth ? remove_children(fd, depth - 1) : -ELOOP;
        if (rc < 0)
                return rc;
        return unlinkat(parent_fd, folder, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Finds one process in a cgroup. */
static int find_process(int fd, void *data) {
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ struct error *err = file_read_at(fd, "cgroup.procs", PROCS_FILE_MAX, &text, NULL);

        if (err || !*text)
                return 0;
        *(int64_t *)data = strtoll(text, NULL, 10);
        return -ECANCELED;
}

static struct error *remove_error(int errnum, const char *folder) {
        _cleanup_close_ int fd = errnum == EBUSY ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
        int64_t pid = 0;

        if (fd >= 0 && tree_walk(fd, DEPTH_MAX, find_process, &pid) == -ECANCELED)
                return error_errno(errnum, "remove cgroup %s: process %" PRId64 " is still in it", folder, pid);
        return error_errno(errnum, "remove cgroup %s", folder);
}

struct error *cgroup_remove(const char *path) {
        int64_t deadline = clock_monotonic_ns() + REMOVE_TIMEOUT_MS * NSEC_PER_MSEC;

        machine_look();
        for (size_t i = 0; i < machine.n_hierarchies; i++) {
                _cleanup_free_ char *folder = xasprintf("%s%s", machine.hierarchies[i].folder, path);
                struct timespec pause = { 0, 500000 };
                int rc;
                while ((rc = remove_folder(folder, AT_FDCWD, DEPTH_MAX)) == -EBUSY && clock_monotonic_ns() < deadline) {
                        /* A process that was killed leaves its cgroup a little later. */
                        nanosleep(&pause, NULL);
                        pause.tv_nsec = MIN(pause.tv_nsec * 2, 20000000L);
                }
                if (rc < 0)
                        return remove_error(-rc, folder);
        }
        return NULL;
}

/* Takes away what a node without pods leaves; whatever is not empty stays. */
static void node_prune(const struct store *store) {
        _cleanup_free_ char *node = cgroup_node_path(store);

        for (size_t i = 0; i < machine.n_hierarchies; i++)
                for (int qos = POD_QOS_BEST_EFFORT; qos >= POD_QOS_GUARANTEED; qos--) {
                        _cleanup_free_ char *folder =
                                xasprintf("%s%s%s", machine.hierarchies[i].folder, node, qos_folders[qos]);
                        rmdir(folder);
                }
}

struct error *cgroup_pod_remove(const struct store *store, const char *pod_uid) {
        for (enum pod_qos qos = POD_QOS_GUARANTEED; qos <= POD_QOS_BEST_EFFORT; qos++) {
                _cleanup_free_ char *path = cgroup_pod_path(store, pod_uid, qos);
                struct error *err = cgroup_remove(path);
                if (err)
                        return err;
        }
        burstable_recount(store);
        if (!store->is_default)
                node_prune(store);
        return NULL;
}

/* ---- reading ---- */

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

        machine_look();
        if (machine.n_hierarchies == 0)
                return error_new(ERROR_NOT_SUPPORTED, "no cgroup file system is mounted");
        _cleanup_free_ char *folder = xasprintf("%s%s", machine.hierarchies[0].folder, path);
        if (access(folder, F_OK) < 0)
                return error_errno(errno, "cgroup %s", folder);
        bool v2 = machine.version == CGROUP_V2;
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
