/* instance.c - one run of one container: what it is called, and how it ends. See instance-private.h for the rest. */
#include "husk-pod/instance-private.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

/* ---- identity ---- */

/* 256 bits that differ whenever the input does. Nobody's security hangs on them: they are a name. */
void container_id_make(const char *pod_uid, const char *name, unsigned attempt, unsigned sandbox, char ret[static 65]) {
        _cleanup_free_ char *text = xasprintf("%s/%s/%u/%u", pod_uid, name, attempt, sandbox);
        uint64_t words[4] = { 0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1 };

        for (int round = 0; round < 2; round++)
                for (const char *p = text; *p; p++)
                        for (int i = 0; i < 4; i++) {
                                words[i] = (words[i] ^ (unsigned char)*p ^ words[(i + 1) % 4] >> 29) *
                                           0x9e3779b97f4a7c15ULL;
                                words[i] ^= words[i] >> 32;
                        }
        snprintf(ret, 65, "%016llx%016llx%016llx%016llx", (unsigned long long)words[0], (unsigned long long)words[1],
                 (unsigned long long)words[2], (unsigned long long)words[3]);
}

struct instance *instance_new(struct runtime *rt, const char *name, unsigned attempt, unsigned sandbox,
                              enum container_role role) {
        struct instance *i = new0(struct instance);
        char id[65];

        container_id_make(rt->uid, name, attempt, sandbox, id);
        i->rt = rt;
        i->name = xstrdup(name);
        i->attempt = attempt;
        i->sandbox = sandbox;
        i->role = role;
        i->id = xstrdup(id);
        i->folder = xasprintf("%s/containers/%s/%u", rt->folder, name, attempt);
        i->bundle = xasprintf("%s/bundles/%s", rt->run_folder, id);
        i->record = xasprintf("%s/instances/%s.json", rt->run_folder, id);
        i->pid_file = xasprintf("%s/instances/%s.pid", rt->run_folder, id);
        i->cgroup = rt->sb.cgroup ? cgroup_container_path(rt->sb.cgroup, id) : NULL;
        i->log_path = xasprintf("%s/%s/%u.log", rt->log_folder ? rt->log_folder : "", name, attempt);
        i->pidfd = i->stdin_fd = -EBADF;
        i->stop_signal = SIGTERM;
        i->next = rt->instances;
        rt->instances = i;
        return i;
}

struct instance *instance_free(struct instance *i) {
        if (!i)
                return NULL;
        loop_io_free(i->foreign);
        cgroup_entry_close(&i->entry);
        fd_close(i->pidfd);
        fd_close(i->stdin_fd);
        instance_console_free(i->console);
        /* A command is left alone: the OCI runtime goes on when husk-pod makes room for its successor. */
        free(i->name);
        free(i->id);
        free(i->cgroup);
        free(i->folder);
        free(i->bundle);
        free(i->record);
        free(i->pid_file);
        free(i->log_path);
        free(i->program);
        free(i->groups);
        free(i);
        return NULL;
}

void instance_forget(struct instance *i) {
        struct instance **p = &i->rt->instances;
        while (*p != i)
                p = &(*p)->next;
        *p = i->next;
        instance_free(i);
}

struct instance *instance_find(struct runtime *rt, const char *name, unsigned attempt) {
        for (struct instance *i = rt->instances; i; i = i->next)
                if (i->attempt == attempt && streq(i->name, name))
                        return i;
        return NULL;
}

struct instance *instance_running(struct runtime *rt, const char *name) {
        for (struct instance *i = rt->instances; i; i = i->next)
                if (i->state == INSTANCE_RUNNING && streq(i->name, name))
                        return i;
        return NULL;
}

bool instances_starting(const struct runtime *rt) {
        for (struct instance *i = rt->instances; i; i = i->next)
                if (i->state == INSTANCE_STARTING)
                        return true;
        return false;
}

struct container_started instance_started_facts(const struct instance *i) {
        return (struct container_started){
                .id = i->id,
                .pid = i->pid,
                .pid_start_time = i->start_time,
                .realtime_ns = i->started_ns,
                .monotonic_ns = i->started_monotonic_ns,
                .uid = i->uid,
                .gid = i->gid,
                .groups = i->groups,
                .n_groups = i->n_groups,
                .stop_signal = i->stop_signal,
        };
}

char *instance_termination_log(const struct instance *i) {
        return path_join(i->folder, "termination-log");
}

/* ---- its end ---- */

static struct container_exit exit_facts(const struct instance *i, const struct keeper_exit *e) {
        struct container_exit end = {
                .started_at_ns = i->started_ns,
                .finished_at_ns = e->time_ns,
        };
        int64_t ago = clock_realtime_ns() - e->time_ns;

        end.finished_monotonic_ns = clock_monotonic_ns() - MAX(ago, (int64_t)0);
        end.signal = e->code == CLD_EXITED ? 0 : e->status;
        end.exit_code = e->code == CLD_EXITED ? e->status : 128 + e->status;
        return end;
}

/* The container's first process has ended, and with it the container. */
void instance_exit_take(struct instance *i, const struct keeper_exit *e) {
        _cleanup_free_ char *log = instance_termination_log(i), *message = NULL;
        struct container_exit end = exit_facts(i, e);
        bool empty;

        i->state = INSTANCE_ENDED;
        i->foreign = loop_io_free(i->foreign);
        i->pidfd = fd_close(i->pidfd);
        cgroup_entry_close(&i->entry);
        /* In a pid namespace of its own the kernel has killed the rest with it; in a shared one nobody has yet. */
        if (!i->own_pidns && i->cgroup)
                error_free(cgroup_kill(i->cgroup, &empty));
        end.oom_killed = i->cgroup && cgroup_oom_kills(i->cgroup) > 0;
        instance_streams_drain(i);
        control_container_ended(i->rt, i, end.exit_code);
        message = termination_message(log, i->log_path, i->log_on_error && end.exit_code != 0);
        end.message = message;
        runtime_settle_later(i->rt);
        pod_container_exited(i->rt->pod, i->name, i->attempt, &end); /* may clear the instance away */
}

bool instance_exited(struct runtime *rt, const struct keeper_exit *e) {
        for (struct instance *i = rt->instances; i; i = i->next) {
                if (i->state != INSTANCE_RUNNING || i->pid != e->pid)
                        continue;
                if (i->start_time && e->start_time && i->start_time != e->start_time)
                        continue;
                instance_exit_take(i, e);
                return true;
        }
        return false;
}

void instance_signal(void *ctx, const struct container_run *run, enum stop_signal signal) {
        struct runtime *rt = ctx;
        struct instance *i = instance_find(rt, run->name, run->attempt);
        bool empty;

        if (!i || i->state != INSTANCE_RUNNING)
                return;
        if (signal == STOP_KILL && i->cgroup)
                error_free(cgroup_kill(i->cgroup, &empty));
        if (i->pidfd >= 0)
                pidfd_signal(i->pidfd, signal == STOP_KILL ? SIGKILL : i->stop_signal);
}

void instance_warn(const struct instance *i, struct error *err) {
        if (err)
                log_warning("container %s: %s", i->name, error_message(err));
        error_free(err);
}
