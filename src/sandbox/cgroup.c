#include "sandbox/cgroup-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"

/* ---- paths ---- */

char *cgroup_node_path(const struct store *store) {
        char tag[STORE_TAG_SIZE];
        if (store->is_default)
                return xstrdup("/kubepods");
        return xasprintf("/husk-%s", store_tag(store, tag));
}

const char *qos_folder(enum pod_qos qos) {
        static const char *const folders[] = {
                [POD_QOS_GUARANTEED] = "", [POD_QOS_BURSTABLE] = "/burstable", [POD_QOS_BEST_EFFORT] = "/besteffort"
        };
        return folders[qos];
}

char *cgroup_pod_path(const struct store *store, const char *pod_uid, enum pod_qos qos) {
        _cleanup_free_ char *node = cgroup_node_path(store);
        return xasprintf("%s%s/pod%s", node, qos_folder(qos), pod_uid);
}

char *cgroup_container_path(const char *pod_path, const char *container_id) {
        return path_join(pod_path, container_id);
}

/* ---- making ---- */

/* Writing processors into a cpuset has the kernel look through all of the machine's, half a millisecond beside 500
 * pods; but one whose parent says this is born with what its parent has, and says it too (cgroup-v1/cgroups.rst, 1.5).
 * The root of the hierarchy is not ours to change. */
static void cpuset_hand_down(const struct hierarchy *h, const char *folder) {
        if (!streq(folder, h->folder))
                error_free(folder_write(folder, "cgroup.clone_children", "1")); /* without, it takes longer */
}

/* Text of a file of a v1 cpuset. A new one has no processors and no memory nodes, and takes no process until it has
 * those of its parent: which may be just as new, made by another pod that comes at the same moment and has not got
 * further, or was killed there. So what is missing is filled in from above, whoever made it. */
static struct error *cpuset_fill(const struct hierarchy *h, const char *folder, const char *file, char **ret) {
        *ret = folder_read(folder, file, SMALL_FILE_MAX);
        if (!*ret || (**ret && **ret != '\n') || streq(folder, h->folder))
                return NULL;
        _cleanup_free_ char *parent = xstrndup(folder, strrchr(folder, '/') - folder), *above = NULL;
        struct error *err = cpuset_fill(h, parent, file, &above);
        if (!err && above)
                err = folder_write(folder, file, above);
        cpuset_hand_down(h, folder);
        cpuset_hand_down(h, parent);
        free(*ret);
        *ret = TAKE_PTR(above);
        return err;
}

static struct error *cpuset_inherit(const struct hierarchy *h, const char *folder) {
        _cleanup_free_ char *cpus = NULL, *mems = NULL;

        if (cgroup_machine()->version != CGROUP_V1 || !hierarchy_has(h, "cpuset"))
                return NULL;
        struct error *err = cpuset_fill(h, folder, "cpuset.cpus", &cpus);
        return err ? err : cpuset_fill(h, folder, "cpuset.mems", &mems);
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
        if (cgroup_machine()->version == CGROUP_V2)
                subtree_enable(parent);
        if (mkdir(folder, 0755) < 0)
                return errno == EEXIST ? 0 : -errno;
        if (hierarchy_has(h, "memory") && cgroup_machine()->version == CGROUP_V1) {
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
        _cleanup_free_ char *above = xstrndup(folder, strrchr(folder, '/') - folder);
        int rc = cgroup_make_one(h, above, folder);

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
        return cpuset_inherit(h, folder);
}

struct error *cgroup_pod_create(const struct store *store, const char *pod_uid, enum pod_qos qos,
                                const struct cgroup_limits *limits) {
        _cleanup_free_ char *path = cgroup_pod_path(store, pod_uid, qos);
        const struct machine *m = cgroup_machine();
        bool is_new = false, all_new = true;
        struct error *err;

        if (m->version == CGROUP_NONE)
                return error_new(ERROR_NOT_SUPPORTED, "no cgroup file system is mounted; mount one on /sys/fs/cgroup");
        for (size_t i = 0; i < m->n_hierarchies; i++) {
                err = cgroup_make(&m->hierarchies[i], path, &is_new);
                if (err)
                        return err;
                all_new = all_new && is_new;
        }
        if (m->version == CGROUP_V2) {
                _cleanup_free_ char *folder = xasprintf("%s%s", m->hierarchies[0].folder, path);
                subtree_enable(folder);
        }
        err = cgroup_limits_apply(limits, path, all_new);
        if (err)
                return err;
        cgroup_node_weigh(store); /* each time: who made it may have been killed before */
        if (qos == POD_QOS_BURSTABLE)
                cgroup_burstable_recount(store);
        else if (qos == POD_QOS_BEST_EFFORT && all_new)
                cgroup_besteffort_weigh(store);
        return NULL;
}

int cgroup_open_leaf(const char *pod_path, const char *leaf) {
        if (cgroup_machine()->version != CGROUP_V2)
                return -EOPNOTSUPP;
        _cleanup_free_ char *folder = xasprintf("%s%s/%s", cgroup_machine()->hierarchies[0].folder, pod_path, leaf);
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return -errno;
        int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

struct error *cgroup_make_everywhere(const char *path) {
        struct error *err = NULL;

        for (size_t i = 0; i < cgroup_machine()->n_hierarchies && !err; i++)
                err = cgroup_make(&cgroup_machine()->hierarchies[i], path, NULL);
        return err;
}

struct error *cgroup_enter(const char *path, pid_t pid) {
        char text[16];

        snprintf(text, sizeof(text), "%d", pid);
        for (size_t i = 0; i < cgroup_machine()->n_hierarchies; i++) {
                struct error *err = cgroup_make(&cgroup_machine()->hierarchies[i], path, NULL);
                if (err)
                        return err;
                _cleanup_free_ char *folder = xasprintf("%s%s", cgroup_machine()->hierarchies[i].folder, path);
                err = folder_write(folder, "cgroup.procs", text);
                if (err)
                        return error_context(err, "enter cgroup");
        }
        return NULL;
}

/* The folder that a line of /proc/PID/cgroup ("4:memory:/a/b") means; NULL: of a hierarchy that is not used. */
static char *folder_of_line(char *line) {
        char *save = NULL, *number = strtok_r(line, ":", &save), *controllers = strtok_r(NULL, ":", &save), *path;
        const struct hierarchy *h;

        if (!number || !controllers)
                return NULL;
        if (*controllers == '/') { /* "0::/a/b": the unified hierarchy */
                path = controllers;
                h = cgroup_version() == CGROUP_V2 ? &cgroup_machine()->hierarchies[0] : NULL;
        } else {
                path = strtok_r(NULL, "", &save);
                controllers[strcspn(controllers, ",")] = '\0';
                h = hierarchy_of(controllers);
        }
        return h && path ? xasprintf("%s%s", h->folder, path) : NULL;
}

void cgroup_move_to_itself(void) {
        _cleanup_free_ char *text = NULL;
        char *save = NULL;
        _cleanup_error_ struct error *err = file_read("/proc/self/cgroup", SMALL_FILE_MAX, &text, NULL);

        for (char *line = err ? NULL : strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                _cleanup_free_ char *folder = folder_of_line(line);
                struct error *failed = folder ? folder_write(folder, "cgroup.procs", "0") : NULL;
                if (folder && !failed)
                        return;
                error_free(failed);
        }
}
