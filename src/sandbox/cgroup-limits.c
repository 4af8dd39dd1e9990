#include "sandbox/cgroup-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>

#include "api/quantity.h"
#include "api/resources.h"
#include "base/file.h"
#include "base/huge-page.h"
#include "base/str.h"

#define CPU_PERIOD_US 100000
#define SHARES_MIN 2
#define SHARES_MAX 262144
#define SHARES_DEFAULT 1024
#define WEIGHT_DEFAULT 100

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

static int64_t list_milli(const struct resource_list *list, const char *name) {
        const struct quantity *q = resource_list_get(list, name);
        return q ? quantity_milli(*q) : 0;
}

/* Requests and limits of huge pages are the same, and so is what is not overhead of any kind. */
static void huge_pages_of_pod(const struct resource_list *requests, struct cgroup_limits *l) {
        const char *prefix = "hugepages-";

        for (size_t i = 0; i < requests->n && l->n_huge_pages < CGROUP_HUGE_PAGE_SIZES_MAX; i++) {
                const struct resource *r = &requests->items[i];

                if (!str_starts_with(r->name, prefix) || quantity_sign(r->quantity) <= 0)
                        continue;
                struct cgroup_huge_pages *h = &l->huge_pages[l->n_huge_pages++];
                _cleanup_free_ char *size =
                        huge_page_size_name((uint64_t)quantity_text_value(r->name + strlen(prefix)));
                snprintf(h->size, sizeof(h->size), "%s", size);
                h->bytes = quantity_value(r->quantity);
        }
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
        huge_pages_of_pod(&requests, &l);
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

/* ---- the files that take it ---- */

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

/* Without the cpu controller a request of next to nothing is kept anyway; everything else needs its controller. */
static bool limit_needs_nothing(const struct limit_file *f, const struct cgroup_limits *l) {
        return f->is_default || (streq(f->what, "cpu request") && l->cpu_shares <= SHARES_MIN);
}

static struct error *limit_apply(const struct limit_file *f, const struct cgroup_limits *l, const char *path,
                                 bool is_new) {
        if (is_new && f->is_default)
                return NULL;
        struct error *err = cgroup_resource_write(path, f->controller, f->file, f->text);
        if (!err)
                return NULL;
        bool is_missing = error_errnum(err) == ENOENT || error_is(err, ERROR_NOT_SUPPORTED);
        if (is_missing && limit_needs_nothing(f, l))
                return error_free(err);
        if (is_missing && streq(f->file, "cpu.cfs_quota_us") && hierarchy_of("cpu")) {
                error_free(err);
                return error_new(ERROR_NOT_SUPPORTED, "%s: this kernel has no CFS bandwidth control", f->what);
        }
        return error_context(err, "%s", f->what);
}

/* Weight of "burstable" among the Guaranteed pods: what its pods request together, as a kubelet keeps it. Recounted
 * from the kernel at each change, under a lock on the folder; a request is a hint, so a failure here is none of the
 * pod's. */
void cgroup_burstable_recount(const struct store *store) {
        const struct hierarchy *h = hierarchy_of("cpu");
        if (!h)
                return;
        bool v2 = cgroup_machine()->version == CGROUP_V2;
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
                        sum += v2 ? cgroup_shares_from_weight(one) : one;
        }
        closedir(dir);
        sum = MIN(MAX(sum, (uint64_t)SHARES_MIN), (uint64_t)SHARES_MAX);
        char text[32];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)(v2 ? cgroup_weight_from_shares(sum) : sum));
        error_free(folder_write(folder, file, text));
}

static void weigh(const struct store *store, const char *below, uint64_t shares) {
        const struct hierarchy *h = hierarchy_of("cpu");
        bool v2 = cgroup_machine()->version == CGROUP_V2;
        char text[32];

        if (!h)
                return;
        _cleanup_free_ char *node = cgroup_node_path(store);
        _cleanup_free_ char *folder = xasprintf("%s%s%s", h->folder, node, below);
        snprintf(text, sizeof(text), "%" PRIu64, v2 ? cgroup_weight_from_shares(shares) : shares);
        error_free(folder_write(folder, v2 ? "cpu.weight" : "cpu.shares", text));
}

void cgroup_besteffort_weigh(const struct store *store) {
        weigh(store, "/besteffort", SHARES_MIN);
}

/* A kubelet's rule of Node Allocatable, enforced for pods: what the node offers is all its processors. */
void cgroup_node_weigh(const struct store *store) {
        weigh(store, "", cgroup_shares_from_milli_cpu(sysconf(_SC_NPROCESSORS_ONLN) * 1000));
}

/* ---- huge pages ---- */

static int64_t huge_pages_wanted(const struct cgroup_limits *l, const char *size) {
        for (size_t i = 0; i < l->n_huge_pages; i++)
                if (streq(l->huge_pages[i].size, size))
                        return l->huge_pages[i].bytes;
        return 0;
}

/* On a hybrid machine the controller is where the unified hierarchy is mounted, which OCI runtimes do not look at. */
static struct error *huge_pages_refuse(const struct cgroup_limits *l) {
        _cleanup_free_ char *unified = folder_read("/sys/fs/cgroup/unified", "cgroup.controllers", SMALL_FILE_MAX);
        bool is_there = unified && strstr(unified, "hugetlb");

        return error_new(
                ERROR_NOT_SUPPORTED,
                "huge pages of %s cannot be limited: %s; start this machine with cgroup v2 alone "
                "(systemd.unified_cgroup_hierarchy=1 on the kernel's command line), or with the controller in a "
                "hierarchy of its own",
                l->huge_pages[0].size,
                is_there ? "the \"hugetlb\" cgroup controller is in the unified hierarchy of a hybrid layout"
                         : "this machine has no \"hugetlb\" cgroup controller");
}

/* Every size the machine has: what is not asked for is not given. */
static struct error *huge_pages_apply(const struct cgroup_limits *l, const char *path) {
        if (!hierarchy_of("hugetlb"))
                return l->n_huge_pages ? huge_pages_refuse(l) : NULL;
        _cleanup_strv_ char **sizes = huge_page_sizes();
        for (size_t i = 0; i < l->n_huge_pages; i++)
                if (!strv_contains(sizes, l->huge_pages[i].size))
                        return error_new(ERROR_NOT_SUPPORTED, "this machine has no huge pages of %s",
                                         l->huge_pages[i].size);
        for (char **size = sizes; size && *size; size++) {
                struct error *err = cgroup_huge_pages_limit(path, *size, huge_pages_wanted(l, *size));
                /* A controller that is not given to this part of the hierarchy matters to who wants something. */
                if (err && !l->n_huge_pages && (error_is(err, ERROR_NOT_SUPPORTED) || error_errnum(err) == ENOENT))
                        err = error_free(err);
                if (err)
                        return error_context(err, "huge pages of %s", *size);
        }
        return NULL;
}

/* Nothing of a pod is swapped out, as a kubelet has it unless told otherwise (NodeSwap: NoSwap). On v1 swap is counted
 * together with memory, container by container (oci/spec.h). */
static void swap_forbid(const char *path) {
        const struct hierarchy *h = hierarchy_of("memory");

        if (!h || cgroup_machine()->version != CGROUP_V2)
                return;
        _cleanup_free_ char *folder = xasprintf("%s%s", h->folder, path);
        error_free(folder_write(folder, "memory.swap.max", "0")); /* a kernel without swap has no such file */
}

struct error *cgroup_limits_apply(const struct cgroup_limits *limits, const char *path, bool is_new) {
        struct limit_file files[LIMIT_FILES_MAX];
        size_t n = limit_files(cgroup_machine()->version == CGROUP_V2, limits, files);

        for (size_t i = 0; i < n; i++) {
                struct error *err = limit_apply(&files[i], limits, path, is_new);
                if (err)
                        return err;
        }
        if (is_new)
                swap_forbid(path);
        return huge_pages_apply(limits, path);
}
