/* instance-remove.c - the end of what a run leaves behind: cgroup, mounts, folders, and its record at last. */
#include "husk-pod/instance-private.h"

#include <linux/magic.h>
#include <signal.h>
#include <sys/statfs.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "oci/rootfs.h"

/* Where the unified hierarchy is covered (husk-keeper), the OCI runtime has made plain folders and files there. */
static void covered_cgroup_remove(struct instance *i) {
        static const char unified[] = "/sys/fs/cgroup/unified";
        struct statfs fs;

        if (!i->cgroup || statfs(unified, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
                return;
        _cleanup_free_ char *path = path_join(unified, i->cgroup);
        instance_warn(i, remove_tree(path));
}

/* Files and mounts, when no process uses them any more; the record last. Forgets the instance. */
static void instance_clear(struct instance *i) {
        struct runtime *rt = i->rt;
        _cleanup_free_ char *state = xasprintf("%s/%s", rt->oci_state_root, i->id);

        instance_close_stdin(i);
        if (i->cgroup)
                instance_warn(i, cgroup_remove(i->cgroup));
        covered_cgroup_remove(i);
        instance_warn(i, unmount_below(i->bundle));
        instance_warn(i, rootfs_remove(i->folder));
        instance_warn(i, remove_tree(i->folder));
        instance_warn(i, remove_tree(i->bundle));
        instance_warn(i, remove_tree(state));
        unlink(i->pid_file);
        unlink(i->record);
        instance_forget(i);
}

static void delete_done(void *arg, struct loop_command_result *result) {
        struct instance *i = arg;
        struct runtime *rt = i->rt;

        i->command = NULL;
        instance_clear(i);
        runtime_sandbox_continue(rt);
}

/* What crun and runc keep of a container are a folder and cgroups, which instance_clear() removes cheaper than they do.
 * Other runtimes have more (a virtual machine, a kernel) and do it themselves. */
static void instance_delete(struct instance *i) {
        struct oci_runtime oci;
        struct error *missing = runtime_oci(i->rt, NULL, &oci);

        if (missing || oci_runtime_is_plain(oci.program)) {
                instance_warn(i, missing);
                instance_clear(i);
                return;
        }
        _cleanup_strv_ char **argv = oci_runtime_delete_argv(&oci, i->id, true);
        struct loop_command_options options = { .argv = argv, .timeout_ns = 30 * NSEC_PER_SEC, .linger_ms = 1 };
        _cleanup_error_ struct error *err = loop_command_new(i->rt->loop, &options, delete_done, i, &i->command);
        if (err) {
                log_warning("container %s: %s", i->name, error_message(err));
                instance_clear(i);
        }
}

void instances_delete(struct runtime *rt) {
        struct instance *next;

        for (struct instance *i = rt->instances; i; i = next) {
                next = i->next;
                if (i->state == INSTANCE_REMOVING && !i->command)
                        instance_delete(i);
        }
}

void instances_delete_later(void *arg) {
        struct runtime *rt = arg;

        if (!instances_starting(rt)) {
                instances_delete(rt);
                runtime_sandbox_continue(rt);
        }
}

/* Clearing away can wait until nothing is being started: mostly it is a restart, and the new run is waited for. */
void instance_remove(void *ctx, const struct container_run *run) {
        struct runtime *rt = ctx;
        struct instance *i = instance_find(rt, run->name, run->attempt);

        if (!i || i->state != INSTANCE_ENDED)
                return;
        struct volume_context volumes = runtime_volume_context(rt);
        instance_streams_close(i);
        instance_warn(i, volume_mounts_release(&volumes, i->name));
        i->state = INSTANCE_REMOVING;
        loop_timer_set(rt->removals, 0);
}

/* Waits for it: for what has failed to start, and at the end. */
static struct error *delete_now(struct instance *i) {
        struct process_options options = { .timeout_ms = 30000 };
        struct oci_runtime oci;
        int status;
        struct error *err = runtime_oci(i->rt, NULL, &oci);

        if (err)
                return err;
        _cleanup_strv_ char **argv = oci_runtime_delete_argv(&oci, i->id, true);
        return process_run(argv, &options, &status, NULL, NULL);
}

void instance_purge(struct instance *i) {
        struct runtime *rt = i->rt;
        _cleanup_free_ char *config = path_join(i->bundle, "config.json");
        bool empty;

        i->command = loop_command_free(i->command);
        i->console = instance_console_free(i->console);
        i->foreign = loop_io_free(i->foreign);
        instance_streams_close(i);
        if (i->runner > 0) {
                _cleanup_close_ int runner = process_open(i->runner, i->runner_start);
                if (runner >= 0)
                        pidfd_signal(runner, SIGKILL);
        }
        if (i->cgroup)
                error_free(cgroup_kill(i->cgroup, &empty));
        if (file_exists(config)) /* else the OCI runtime was not reached */
                instance_warn(i, delete_now(i));
        if (rt->spec) {
                struct volume_context volumes = runtime_volume_context(rt);
                instance_warn(i, volume_mounts_release(&volumes, i->name));
        }
        instance_clear(i);
}
