/* oci-program.c - which program the OCI runtime is, and that nobody can write to it from inside a container.
 *
 * The first thing that runs in a container is the OCI runtime itself, and through /proc/PID/exe a container could reach
 * and overwrite it (CVE-2019-5736). crun and runc therefore run from a copy, or a read-only mount, that they make at
 * every start: they execute twice, which takes a quarter of crun's time. Here the program is mounted read-only over
 * itself, once, in the pod's own mount namespace: the runtime sees that it lies on a read-only mount and starts at
 * once, and so does the one that `husk exec` runs. When the host replaces the file (an upgrade), the kernel takes this
 * mount away with the old file, and the new one is found and covered the next time.
 *
 * /dev/null gets the same: OCI runtimes give standard streams to the container's user, and a process that is given the
 * machine's own could take it from everybody else with fchmod(2). On a read-only mount its owner and mode stay. */
#include "husk-pod/runtime.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mount.h"
#include "base/process.h"
#include "base/str.h"
#include "store/node-config.h"

static bool is_read_only(int fd) {
        struct statvfs fs;
        return fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_RDONLY);
}

static struct error *mount_over_itself(int file) {
        _cleanup_close_ int mount = -EBADF;
        struct error *err = mount_clone(file, false, &mount);

        if (!err)
                err = mount_set_attributes(mount, false, MOUNT_ATTR_RDONLY, 0);
        return err ? err : mount_attach(mount, file);
}

/* Without it the runtime protects itself, so that a failure is no more than a word in the log. */
static void protect(const char *path) {
        _cleanup_close_ int file = open(path, O_PATH | O_CLOEXEC);

        if (file < 0 || is_read_only(file))
                return;
        _cleanup_error_ struct error *err = mount_over_itself(file);
        if (err)
                log_warning("protect %s: %s", path, error_message(err));
}

static void protect_all(const char *program) {
        protect(program);
        protect("/dev/null");
}

/* ---- RuntimeClass ---- */

static struct error *handler_of_class(struct runtime *rt, const char *class_name, char **ret) {
        json_t *class = NULL;
        struct error *err = store_get(rt->store, api_kind_of("RuntimeClass"), NULL, class_name, &class);

        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return error_new(ERROR_NOT_FOUND, "RuntimeClass \"%s\" not found", class_name);
        }
        if (!err)
                *ret = xstrdup(json_string_value(json_object_get(class, "handler")) ?: "");
        json_decref(class);
        return err;
}

static struct error *program_of_class(struct runtime *rt, const char *class_name, char **ret) {
        _cleanup_node_config_ struct node_config config = { 0 };
        _cleanup_free_ char *handler = NULL;
        struct error *err = handler_of_class(rt, class_name, &handler);

        if (!err)
                err = node_config_read(rt->store, &config);
        if (err)
                return err;
        const char *program = node_config_runtime(&config, handler);
        if (!program)
                return error_new(ERROR_NOT_FOUND,
                                 "failed to get sandbox runtime: no runtime for \"%s\" is configured (the handler of "
                                 "RuntimeClass \"%s\"); name its program under runtimeHandlers in %s/config.yaml",
                                 handler, class_name, rt->store->root);
        *ret = process_find_program(program);
        if (!*ret)
                return error_new(ERROR_NOT_FOUND,
                                 "failed to get sandbox runtime: %s, the program of handler \"%s\", is not there or "
                                 "cannot be executed",
                                 program, handler);
        return NULL;
}

/* Another OCI runtime than crun: a name in PATH, or a path. NULL: nobody asks for one. */
static const char *asked_of_environment(void) {
        const char *asked = getenv("HUSK_RUNTIME");

        return str_empty(asked) ? NULL : asked;
}

/* The program is written down beside the sandbox: whatever becomes of class, configuration and environment, who comes
 * after talks to the runtime that has made the containers. */
struct error *runtime_oci_choose(struct runtime *rt) {
        const char *class_name = rt->spec->spec->runtimeclassname;
        _cleanup_free_ char *path = path_join(rt->run_folder, OCI_PROGRAM_FILE), *program = NULL;
        struct error *err = NULL;

        free(rt->oci_program);
        rt->oci_program = NULL;
        if (!str_empty(class_name))
                err = program_of_class(rt, class_name, &program);
        else if (asked_of_environment())
                program = process_find_program(asked_of_environment()) ?: xstrdup(asked_of_environment());
        if (err)
                return err;
        if (program)
                return file_replace(path, program, strlen(program), 0600, 0);
        return unlink(path) < 0 && errno != ENOENT ? error_errno(errno, "remove %s", path) : NULL;
}

struct error *runtime_oci(struct runtime *rt, const char *log, struct oci_runtime *ret) {
        if (!rt->oci_program || access(rt->oci_program, X_OK) < 0) {
                _cleanup_free_ char *program = NULL;
                const char *class_name = rt->spec ? rt->spec->spec->runtimeclassname : NULL;
                struct error *err =
                        oci_runtime_find(rt->run_folder, class_name, asked_of_environment() ?: "crun", &program);

                if (err)
                        return err;
                free(rt->oci_program);
                rt->oci_program = TAKE_PTR(program);
        }
        /* Only where the mount namespace is the pod's own: there the keeper has kept the host's. */
        if (log && rt->host_mounts >= 0)
                protect_all(rt->oci_program);
        *ret = (struct oci_runtime){ .program = rt->oci_program, .state_root = rt->oci_state_root, .log = log };
        ret->finds_cgroup =
                rt->sb.cgroup && cgroup_container_is_ours() && oci_runtime_can_leave_cgroups(rt->oci_program);
        ret->no_cgroups = ret->finds_cgroup && cgroup_runtime_is_inside();
        return NULL;
}
