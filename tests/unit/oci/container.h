/* container.h - really running a container of the fixture's pod with crun. */
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fixture.h"
#include "oci/env.h"
#include "oci/rootfs.h"
#include "oci/runtime.h"
#include "oci/spec.h"
#include "volume/volume.h"

struct container {
        struct fixture *f;
        struct image image;
        char *layers[2];
        struct mount_list volumes;
        struct env env;
        struct oci_user user;
        char **argv;
        char *rootfs, *folder, *state_root, *bundle, *id, *cgroup;
        json_t *spec;
        struct oci_runtime runtime;
};

/* crun removes the containers' cgroups, not what they were made in. */
__attribute__((destructor)) static void remove_cgroups(void) {
        static const char *const hierarchies[] = {
                "",          "/cpu",        "/cpuacct", "/cpuset",  "/memory",      "/devices",
                "/freezer",  "/blkio",      "/pids",    "/systemd", "/hugetlb",     "/net_cls",
                "/net_prio", "/perf_event", "/rdma",    "/misc",    "/cpu,cpuacct", "/net_cls,net_prio"
        };

        for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
                char path[128];

                snprintf(path, sizeof(path), "/sys/fs/cgroup%s/husk-test-%d", hierarchies[i], getpid());
                (void)rmdir(path);
        }
}

/* An image of busybox alone, as one layer. */
static inline char *make_layer(struct fixture *f) {
        static const char *const applets[] = { "sh",     "cat",   "id",   "ls",      "grep",     "touch",
                                               "mount",  "sleep", "env",  "stat",    "pwd",      "mkdir",
                                               "umount", "chmod", "echo", "true",    "readlink", "tail",
                                               "df",     "find",  "sort", "wc",      "head",     "rm",
                                               "ln",     "mv",    "ip",   "unshare", "hostname" };
        _cleanup_free_ char *bin = fixture_path(f, "layer/bin"), *busybox = path_join(bin, "busybox");
        char *argv[] = { "cp", "/bin/busybox", busybox, NULL };
        int status;

        assert_ok(mkdir_parents(bin, 0755));
        assert_ok(process_run(argv, NULL, &status, NULL, NULL));
        assert_int_equal(status, 0);
        for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
                _cleanup_free_ char *link = path_join(bin, applets[i]);

                assert_true(symlink("busybox", link) == 0 || errno == EEXIST);
        }
        fixture_write(f, "layer/etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n");
        fixture_write(f, "layer/etc/group", "root:x:0:\nstaff:x:50:app\n");
        return fixture_path(f, "layer");
}

static inline struct volume_context volume_context_of(struct fixture *f) {
        return (struct volume_context){ .store = f->store, .downward = { .pod = f->pod }, .host_mntns_fd = -EBADF };
}

/* Prepares everything up to config.json; `change` may alter the configuration. */
static inline struct error *container_prepare(struct container *c, struct fixture *f, unsigned index,
                                              void (*change)(struct oci_spec_config *)) {
        static unsigned count;
        const V1Container *container = f->pod->spec->containers[index];
        struct volume_context volumes = volume_context_of(f);
        struct env_config env = {
                .store = f->store, .downward = { .pod = f->pod }, .container = container, .hostname = "web"
        };
        struct oci_spec_config config;
        _cleanup_free_ char *path = NULL, *seccomp = fixture_path(f, "seccomp");
        struct error *err;
        int fd;

        *c = (struct container){ .f = f };
        c->layers[0] = make_layer(f);
        c->image = (struct image){ .reference = "test", .layers = c->layers, .env = NULL };
        c->folder = xasprintf("%s/pods/" POD_UID "/containers/%s/0", f->store->root, container->name);
        c->id = xasprintf("husk-test-%d-%u", getpid(), count++);
        c->cgroup = xasprintf("/husk-test-%d/%s", getpid(), c->id);
        c->state_root = xasprintf("%s/crun", f->store->run);
        c->bundle = xasprintf("%s/bundle-%s", f->store->run, container->name);
        c->runtime = (struct oci_runtime){ .program = "crun", .state_root = c->state_root };
        assert_ok(mkdir_parents(c->bundle, 0700));
        assert_ok(rootfs_mount(&c->image, c->folder, NULL, &c->rootfs));
        fd = open(c->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        err = volumes_setup(&volumes);
        if (!err)
                err = env_build(&env, &c->env);
        if (!err)
                err = env_command(container, &c->image, c->env.kubernetes, &c->argv);
        if (!err)
                err = oci_user_verify(f->pod, container, &c->image);
        if (!err)
                err = oci_user_resolve(f->pod, container, &c->image, fd, &c->user);
        fd_close(fd);
        if (!err)
                err = volume_mounts(&volumes, container, c->env.kubernetes, env_expand_strict, &c->volumes);
        if (err)
                return err;
        config = (struct oci_spec_config){
                .pod = f->pod,
                .container = container,
                .image = &c->image,
                .argv = c->argv,
                .env = c->env.all,
                .user = &c->user,
                .rootfs = c->rootfs,
                .volumes = &c->volumes,
                .cgroups_path = c->cgroup,
                .seccomp_folder = seccomp,
                .oom_score_adj = oci_oom_score_adj(f->pod, container, "Burstable", 0, NULL),
        };
        if (change)
                change(&config);
        err = oci_spec_build(&config, &c->spec);
        if (err)
                return err;
        path = path_join(c->bundle, "config.json");
        assert_int_equal(json_dump_file(c->spec, path, JSON_COMPACT), 0);
        return NULL;
}

static inline char *run_argv(char **argv, int *ret_status, char **ret_err) {
        /* The OCI runtime ends before its container: what that prints is waited for, on a busy machine too. Streams of
         * its own, as the runtime would make the container's user the owner of the machine's /dev/null. */
        struct process_options options = { .input = "", .timeout_ms = 20000, .linger_ms = 20000 };
        _cleanup_free_ char *ignored = NULL;
        char *out = NULL;

        assert_ok(process_run(argv, &options, ret_status, &out, ret_err ?: &ignored));
        strv_free(argv);
        return out;
}

/* Starts it; what it prints until it ends is the result. A runtime's error goes to *ret_err. */
static inline char *container_run(struct container *c, int *ret_status, char **ret_err) {
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        return run_argv(oci_runtime_run_argv(&c->runtime, c->id, c->bundle, NULL, NULL), ret_status, ret_err);
}

static inline void container_release(struct container *c) {
        int status;

        if (c->id) {
                struct volume_context volumes = volume_context_of(c->f);
                _cleanup_free_ char *err = NULL, *out = NULL;

                out = run_argv(oci_runtime_delete_argv(&c->runtime, c->id, true), &status, &err);
                while (waitpid(-1, &status, WNOHANG) > 0)
                        ;
                assert_ok(volume_mounts_release(&volumes, c->f->pod->spec->containers[0]->name));
                assert_ok(rootfs_remove(c->folder));
        }
        mount_list_release(&c->volumes);
        env_release(&c->env);
        oci_user_release(&c->user);
        strv_free(c->argv);
        json_decref(c->spec);
        char *strings[] = { c->layers[0], c->rootfs, c->folder, c->state_root, c->bundle, c->id, c->cgroup };
        for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
                free(strings[i]);
}
#define _cleanup_container_ _cleanup_(container_release)

/* Runs the first container of a pod with this spec and gives back what it printed; it must start. */
static inline char *output_with(const char *spec, void (*change)(struct oci_spec_config *)) {
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        _cleanup_container_ struct container c = { 0 };
        _cleanup_free_ char *err = NULL;
        char *out;
        int status;

        assert_ok(container_prepare(&c, &f, 0, change));
        out = container_run(&c, &status, &err);
        if (status != 0)
                fail_msg("crun: %s", err);
        return out;
}

static inline char *output(const char *spec) {
        return output_with(spec, NULL);
}
