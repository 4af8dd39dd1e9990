#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mount.h"
#include "base/process.h"
#include "base/str.h"
#include "sandbox/cgroup.h"
#include "sandbox/hosts.h"
#include "sandbox/infra.h"

#define RECORD_MAX 65536
#define SHM_OPTIONS "mode=1777,size=65536k" /* as container runtimes give it */
#define FINISH_TIMEOUT_MS 10000
#define MOUNT_READ_ONLY 1 /* MOUNT_ATTR_RDONLY: <linux/mount.h> and <sys/mount.h> exclude each other */
#define KILL_TIMEOUT_MS 10000

/* Each namespace: its bit, its flag, its name in /proc/PID/ns. */
static const struct {
        enum sandbox_namespace bit;
        uint64_t flag;
        const char *name;
} kinds[] = {
        { SANDBOX_NET, CLONE_NEWNET, "net" }, { SANDBOX_UTS, CLONE_NEWUTS, "uts" },
        { SANDBOX_IPC, CLONE_NEWIPC, "ipc" }, { SANDBOX_PID, CLONE_NEWPID, "pid" },
        { SANDBOX_MNT, CLONE_NEWNS, "mnt" },  { SANDBOX_USER, CLONE_NEWUSER, "user" },
};

static unsigned namespaces_of(const V1PodSpec *spec, const struct id_map *ids) {
        unsigned set = SANDBOX_MNT | (id_map_is_set(ids) ? SANDBOX_USER : 0);

        if (!spec->hostnetwork)
                set |= SANDBOX_NET | SANDBOX_UTS;
        if (!spec->hostipc)
                set |= SANDBOX_IPC;
        if (spec->shareprocessnamespace && !spec->hostpid)
                set |= SANDBOX_PID;
        return set;
}

/* ---- the record: <run>/pods/<uid>/sandbox.json ---- */

enum record_state {
        RECORD_INTENT,  /* about to be made; no process can survive without the next state */
        RECORD_STARTED, /* the infra process exists */
        RECORD_READY,   /* … and runs husk-infra in configured namespaces */
        _RECORD_STATE_MAX,
};
static const char *const record_states[] = {
        [RECORD_INTENT] = "intent", [RECORD_STARTED] = "started", [RECORD_READY] = "ready"
};

struct record {
        enum record_state state;
        unsigned attempt;
        pid_t pid;
        uint64_t start_time;
        unsigned namespaces;
        char *hostname;
        char *shm;
};

static void record_release(struct record *r) {
        free(r->hostname);
        free(r->shm);
}

static char *record_path(const struct store *store, const char *pod_uid) {
        _cleanup_free_ char *folder = store_pod_run_folder((struct store *)store, pod_uid);
        return path_join(folder, "sandbox.json");
}

/* Inode numbers of the namespaces, for people and tests who compare. */
static json_t *record_inodes(const struct sandbox *s) {
        json_t *inodes = json_object();

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                char path[64];
                struct stat st;
                snprintf(path, sizeof(path), "/proc/%d/ns/%s", s->pid, kinds[i].name);
                if ((s->namespaces & kinds[i].bit) && s->pid && stat(path, &st) == 0)
                        json_object_set_new(inodes, kinds[i].name, json_integer((json_int_t)st.st_ino));
        }
        return inodes;
}

static struct error *record_write(const struct sandbox *s, enum record_state state) {
        json_t *record = json_pack("{s:s, s:i, s:i, s:I, s:i, s:s, s:s, s:o}", "state", record_states[state], "attempt",
                                   (int)s->attempt, "pid", (int)s->pid, "startTime", (json_int_t)s->start_time,
                                   "shared", (int)s->namespaces, "hostname", s->hostname, "shm", s->shm, "namespaces",
                                   state == RECORD_READY ? record_inodes(s) : json_object());
        if (!record)
                return error_new(ERROR_INVALID, "hostname \"%s\" is not UTF-8", s->hostname);
        _cleanup_free_ char *text = json_dumps(record, JSON_INDENT(1));
        json_decref(record);
        return file_replace(s->record, text, strlen(text), 0600, 0);
}

/* *ret_found is false without a record. A damaged one is an error: guessing could lose a process. */
static struct error *record_read(const struct store *store, const char *pod_uid, struct record *ret, bool *ret_found) {
        _cleanup_free_ char *path = record_path(store, pod_uid), *text = NULL;
        const char *state, *hostname, *shm;
        int attempt, pid, shared;
        json_int_t start_time;
        json_error_t json_error;

        *ret_found = false;
        struct error *err = file_read(path, RECORD_MAX, &text, NULL);
        if (err && (error_errnum(err) == ENOENT || error_errnum(err) == ENOTDIR))
                return error_free(err);
        if (err)
                return err;
        json_t *record = json_loads(text, 0, &json_error);
        if (!record)
                return error_new(ERROR_INTERNAL, "%s: %s", path, json_error.text);
        if (json_unpack_ex(record, &json_error, 0, "{s:s, s:i, s:i, s:I, s:i, s:s, s:s}", "state", &state, "attempt",
                           &attempt, "pid", &pid, "startTime", &start_time, "shared", &shared, "hostname", &hostname,
                           "shm", &shm) < 0) {
                json_decref(record);
                return error_new(ERROR_INTERNAL, "%s: %s", path, json_error.text);
        }
        *ret = (struct record){ RECORD_INTENT, attempt, pid, start_time, shared, xstrdup(hostname), xstrdup(shm) };
        for (enum record_state i = 0; i < _RECORD_STATE_MAX; i++)
                if (streq(state, record_states[i]))
                        ret->state = i;
        json_decref(record);
        *ret_found = true;
        return NULL;
}

/* ---- /dev/shm ---- */

static char *shm_folder(const struct store *store, const char *pod_uid) {
        _cleanup_free_ char *folder = store_pod_run_folder((struct store *)store, pod_uid);
        return path_join(folder, "shm");
}

static bool is_mounted(const char *folder) {
        _cleanup_free_ char *above = path_join(folder, "..");
        struct stat own, parent;
        return stat(folder, &own) == 0 && stat(above, &parent) == 0 && own.st_dev != parent.st_dev;
}

struct error *sandbox_shm_mount(const struct store *store, const V1Pod *pod, const struct id_map *ids, char **ret) {
        char options[96];

        if (pod->spec->hostipc) {
                *ret = xstrdup("/dev/shm");
                return NULL;
        }
        _cleanup_free_ char *folder = shm_folder(store, pod->metadata->uid);
        struct error *err = mkdir_parents(folder, 0700);
        if (err)
                return err;
        uint32_t root = id_map_outside(ids, 0);
        snprintf(options, sizeof(options), SHM_OPTIONS ",uid=%u,gid=%u", root, root);
        if (!is_mounted(folder) && mount("shm", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
                return error_errno(errno, "mount /dev/shm of the pod on %s", folder);
        *ret = TAKE_PTR(folder);
        return NULL;
}

static struct error *shm_unmount(const struct store *store, const char *pod_uid) {
        _cleanup_free_ char *folder = shm_folder(store, pod_uid);

        while (is_mounted(folder))
                if (umount2(folder, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
                        return error_errno(errno, "unmount %s", folder);
        if (rmdir(folder) < 0 && errno != ENOENT && errno != ENOTDIR)
                return error_errno(errno, "remove %s", folder);
        return NULL;
}

/* ---- creation ---- */

static void plan_release(struct infra_plan *plan) {
        fd_close(plan->socket);
        fd_close(plan->program);
        for (size_t i = 0; i < plan->n_sysctls; i++) {
                free(plan->sysctls[i].path);
                free(plan->sysctls[i].text);
        }
        free(plan->sysctls);
}

/* A container that may trace the infra process (CAP_SYS_PTRACE in a shared pid namespace) finds its program behind
 * /proc/1/exe: what it finds there is a mount of the program that nobody can write through (CVE-2019-5736). */
static struct error *plan_program(struct infra_plan *plan, const char *program) {
        _cleanup_free_ char *found = NULL;
        _cleanup_close_ int fd = -EBADF;

        if (!program) {
                struct error *err = process_find_sister("husk-infra", &found);
                if (err)
                        return err;
                program = found;
        }
        fd = open(program, O_PATH | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", program);
        struct error *err = mount_clone(fd, false, &plan->program);
        if (!err)
                err = mount_set_attributes(plan->program, false, MOUNT_READ_ONLY, 0);
        return error_context(err, "%s", program);
}

/* Only what belongs to a namespace the pod has of its own: anything else would be the node's setting. */
static struct error *plan_sysctls(struct infra_plan *plan, const V1PodSpec *spec, unsigned namespaces) {
        const V1PodSecurityContext *context = spec->securitycontext;

        if (!context || !context->n_sysctls)
                return NULL;
        plan->sysctls = xcalloc(context->n_sysctls, sizeof(*plan->sysctls));
        for (size_t i = 0; i < context->n_sysctls; i++) {
                _cleanup_(sysctl_release) struct sysctl s = { 0 };
                const V1Sysctl *wanted = context->sysctls[i];
                if (!sysctl_parse(wanted->name, &s) || !(s.group & namespaces))
                        return error_new(ERROR_FORBIDDEN, "sysctl \"%s\" does not belong to a namespace of the pod",
                                         wanted->name ? wanted->name : "");
                plan->sysctls[plan->n_sysctls++] = (struct infra_write){ xasprintf("/proc/sys/%s", s.path),
                                                                         xstrdup(wanted->value ? wanted->value : "") };
        }
        return NULL;
}

/* On v2 the child is born in its cgroup (*ret_fd); on v1 it moves itself. */
static struct error *plan_cgroup(const char *cgroup_path, int *ret_fd) {
        if (!cgroup_path || cgroup_version() != CGROUP_V2)
                return NULL;
        *ret_fd = cgroup_open_leaf(cgroup_path, "infra");
        return *ret_fd < 0 ? error_errno(-*ret_fd, "open cgroup %s/infra", cgroup_path) : NULL;
}

/* A process in a new pid namespace, or in a user namespace that is to own the others, can only be born there. */
static int namespaces_to_make(unsigned namespaces) {
        uint64_t flags = 0;

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if ((namespaces & kinds[i].bit) && kinds[i].bit != SANDBOX_PID)
                        flags |= kinds[i].flag;
        return namespaces & SANDBOX_USER ? 0 : (int)flags;
}

static uint64_t clone_flags(const struct sandbox_config *config, unsigned namespaces, int cgroup_fd) {
        uint64_t flags = CLONE_PIDFD;

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (namespaces & kinds[i].bit)
                        flags |= kinds[i].flag;
        flags &= ~(uint64_t)namespaces_to_make(namespaces);
        if (!config->own_child)
                flags |= CLONE_PARENT;
        if (cgroup_fd >= 0)
                flags |= CLONE_INTO_CGROUP;
        return flags;
}

/* Clones the infra process. With CLONE_PARENT the exit signal is the creator's own, and must be given as 0. */
static struct error *infra_clone(const struct sandbox_config *config, const struct infra_plan *plan, int cgroup_fd,
                                 struct sandbox *s) {
        struct clone_args args = {
                .flags = clone_flags(config, s->namespaces, cgroup_fd),
                .pidfd = (uint64_t)(uintptr_t)&s->pidfd,
                .exit_signal = config->own_child ? SIGCHLD : 0,
                .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
        };
        sigset_t all, before;

        /* No handler of ours may run in the child; husk-infra sets its own mask. */
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        long pid = syscall(SYS_clone3, &args, sizeof(args));
        int saved = errno;
        if (pid == 0)
                infra_main(plan);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (pid < 0)
                return infra_not_cloned(saved, args.flags);
        s->pid = (pid_t)pid;
        return NULL;
}

/* Writes the new process down. Until it is told to go on it ends by itself if this process dies. */
static struct error *infra_record(struct sandbox *s) {
        s->start_time = process_start_time(s->pid);
        return record_write(s, RECORD_STARTED);
}

static struct error *sandbox_prepare(const struct sandbox_config *config, struct sandbox *s, struct infra_plan *plan,
                                     int *ret_cgroup_fd) {
        _cleanup_(pod_hostname_release) struct pod_hostname hostname = { 0 };
        struct error *err;

        err = pod_hostname_of(config->pod, config->cluster_domain, &hostname);
        if (err)
                return err;
        s->hostname = TAKE_PTR(hostname.kernel);
        err = sandbox_shm_mount(config->store, config->pod, config->ids, &s->shm);
        if (!err)
                err = plan_program(plan, config->infra_program);
        if (!err)
                err = plan_sysctls(plan, config->pod->spec, s->namespaces);
        if (!err)
                err = plan_cgroup(config->cgroup_path, ret_cgroup_fd);
        return err;
}

/* The infra process has been made: it makes its namespaces while the pod's cgroups are made here. */
static struct error *infra_accompany(const struct sandbox_config *config, struct sandbox *s) {
        _cleanup_cgroup_entry_ struct cgroup_entry cgroup = { 0 };
        bool is_v2 = cgroup_version() == CGROUP_V2;
        struct error *err = infra_record(s);

        if (!err && !is_v2 && config->make_cgroups)
                err = config->make_cgroups(config->arg);
        if (!err && !is_v2 && config->cgroup_path)
                err = cgroup_entry_open(config->cgroup_path, &cgroup);
        if (!err)
                err = infra_await_namespaces(s);
        return err ? err : infra_go(s, &cgroup);
}

static struct error *sandbox_start_in(const struct sandbox_config *config, struct sandbox *s) {
        _cleanup_(plan_release) struct infra_plan plan = { .socket = -EBADF,
                                                           .creator_socket = -EBADF,
                                                           .program = -EBADF };
        _cleanup_close_ int cgroup_fd = -EBADF;
        struct error *err = NULL;
        int pair[2];

        s->namespaces = namespaces_of(config->pod->spec, config->ids);
        if (config->make_cgroups && cgroup_version() == CGROUP_V2)
                err = config->make_cgroups(config->arg);
        if (!err)
                err = sandbox_prepare(config, s, &plan, &cgroup_fd);
        if (err)
                return err;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(errno, "socketpair");
        s->ready_fd = pair[0];
        plan.socket = pair[1];
        plan.creator_socket = pair[0];
        plan.hostname = s->namespaces & SANDBOX_UTS ? s->hostname : NULL;
        plan.loopback = s->namespaces & SANDBOX_NET;
        plan.own_network = plan.loopback && !config->foreign_network;
        plan.user_namespace = s->namespaces & SANDBOX_USER;
        plan.namespaces = namespaces_to_make(s->namespaces);

        err = record_write(s, RECORD_INTENT);
        if (!err)
                err = infra_clone(config, &plan, cgroup_fd, s);
        plan.socket = fd_close(plan.socket); /* the end of the child is to be the end of the pair */
        if (!err)
                err = infra_map_ids(&plan, config->ids, s->pid, s->pidfd);
        return err ? err : infra_accompany(config, s);
}

static struct sandbox *sandbox_new(const struct store *store, const char *pod_uid, unsigned attempt) {
        struct sandbox *s = new0(struct sandbox);
        s->pidfd = s->netns_fd = s->ready_fd = -EBADF;
        s->uid = xstrdup(pod_uid);
        s->record = record_path(store, pod_uid);
        s->attempt = attempt;
        return s;
}

struct sandbox *sandbox_free(struct sandbox *s) {
        if (!s)
                return NULL;
        fd_close(s->pidfd);
        fd_close(s->netns_fd);
        fd_close(s->ready_fd);
        free(s->hostname);
        free(s->uid);
        free(s->shm);
        free(s->record);
        free(s);
        return NULL;
}

/* Undoes what a failed start has made; the first error is the one to tell. */
static struct error *sandbox_undo(const struct sandbox_config *config, struct error *err) {
        error_free(sandbox_destroy(config->store, config->pod->metadata->uid));
        return error_context(err, "sandbox");
}

struct error *sandbox_start(const struct sandbox_config *config, struct sandbox **ret) {
        _cleanup_sandbox_ struct sandbox *s = sandbox_new(config->store, config->pod->metadata->uid, config->attempt);
        _cleanup_free_ char *folder = store_pod_run_folder((struct store *)config->store, s->uid);
        struct error *err = mkdir_parents(folder, 0700);

        if (!err)
                err = sandbox_start_in(config, s);
        if (err) {
                s->ready_fd = fd_close(s->ready_fd); /* a child that waits for its go ends */
                return sandbox_undo(config, err);
        }
        *ret = TAKE_PTR(s);
        return NULL;
}

struct error *sandbox_finish(struct sandbox *s) {
        if (s->ready_fd < 0)
                return NULL;
        struct error *err = infra_answer(s);
        s->ready_fd = fd_close(s->ready_fd);
        if (!err)
                err = record_write(s, RECORD_READY);
        return error_context(err, "sandbox");
}

struct error *sandbox_died(const char *cgroup_path, int code, int status) {
        bool killed = code == CLD_KILLED && status == SIGKILL;

        return error_context(infra_died(code, status, killed && cgroup_path && cgroup_oom_kills(cgroup_path) > 0),
                             "sandbox");
}

struct error *sandbox_create(const struct sandbox_config *config, struct sandbox **ret) {
        _cleanup_sandbox_ struct sandbox *s = NULL;
        struct error *err = sandbox_start(config, &s);

        if (err)
                return err;
        err = sandbox_finish(s);
        if (err) {
                error_free(sandbox_destroy(config->store, s->uid));
                return err;
        }
        *ret = TAKE_PTR(s);
        return NULL;
}

/* ---- afterwards ---- */

struct error *sandbox_open(const struct store *store, const char *pod_uid, struct sandbox **ret) {
        _cleanup_(record_release) struct record r = { 0 };
        bool found;
        char path[64];

        *ret = NULL;
        struct error *err = record_read(store, pod_uid, &r, &found);
        if (err || !found || r.state != RECORD_READY)
                return err;
        _cleanup_sandbox_ struct sandbox *s = sandbox_new(store, pod_uid, r.attempt);
        s->pid = r.pid;
        s->start_time = r.start_time;
        s->namespaces = r.namespaces;
        s->hostname = TAKE_PTR(r.hostname);
        s->shm = TAKE_PTR(r.shm);
        s->pidfd = process_open(s->pid, s->start_time);
        if (s->pidfd < 0 || !process_is_running(s->pid, s->start_time))
                return NULL;
        if (s->namespaces & SANDBOX_NET) {
                snprintf(path, sizeof(path), "/proc/%d/ns/net", s->pid);
                s->netns_fd = open(path, O_RDONLY | O_CLOEXEC);
                if (s->netns_fd < 0)
                        return NULL;
        }
        *ret = TAKE_PTR(s);
        return NULL;
}

int sandbox_recorded_attempt(const struct store *store, const char *pod_uid) {
        _cleanup_(record_release) struct record r = { 0 };
        bool found;
        _cleanup_error_ struct error *err = record_read(store, pod_uid, &r, &found);

        return !err && found ? (int)r.attempt : -1;
}

static struct error *infra_kill(pid_t pid, uint64_t start_time) {
        _cleanup_close_ int pidfd = pid > 1 && start_time ? process_open(pid, start_time) : -ESRCH;
        struct pollfd exited = { .fd = pidfd, .events = POLLIN };
        siginfo_t info;
        int rc;

        if (pidfd < 0)
                return NULL;
        rc = pidfd_signal(pidfd, SIGKILL);
        if (rc < 0 && rc != -ESRCH)
                return error_errno(-rc, "kill the infra process %d", pid);
        while ((rc = poll(&exited, 1, KILL_TIMEOUT_MS)) < 0 && errno == EINTR)
                ;
        if (rc == 0)
                return error_new(ERROR_TIMEOUT, "the infra process %d does not end %d s after SIGKILL", pid,
                                 KILL_TIMEOUT_MS / 1000);
        waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG); /* nobody else reaps it if it was made as our own child */
        return NULL;
}

struct error *sandbox_destroy(const struct store *store, const char *pod_uid) {
        _cleanup_(record_release) struct record r = { 0 };
        _cleanup_free_ char *path = record_path(store, pod_uid);
        bool found;

        struct error *err = record_read(store, pod_uid, &r, &found);
        if (!err && found)
                err = infra_kill(r.pid, r.start_time);
        if (!err)
                err = shm_unmount(store, pod_uid);
        if (!err && unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
                err = error_errno(errno, "remove %s", path);
        return error_context(err, "remove sandbox");
}

bool sandbox_is_running(const struct sandbox *s) {
        struct pollfd exited = { .fd = s->pidfd, .events = POLLIN };
        return s->pidfd >= 0 && poll(&exited, 1, 0) == 0;
}

char *sandbox_namespace_path(const struct sandbox *s, enum sandbox_namespace which) {
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (kinds[i].bit == which && (s->namespaces & which))
                        return xasprintf("/proc/%d/ns/%s", s->pid, kinds[i].name);
        return NULL;
}
