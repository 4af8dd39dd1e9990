#include "../oci/container.h"

#include <sys/syscall.h>
#include <time.h>

#define POD(volumes, mounts, command) \
        "'volumes': [" volumes "], 'containers': [{'name': 'a', 'image': 'x', 'command': ['sh', '-c', '" command \
        "'], 'env': [{'name': 'POD', 'value': 'web'}], 'volumeMounts': [" mounts "]}]"
#define EMPTY_DIR "{'name': 'd', 'emptyDir': {}}"

static struct error *plan(struct fixture *f, struct mount_list *ret) {
        struct volume_context context = volume_context_of(f);
        char *variables[] = { "POD=web", NULL };
        struct error *err = volumes_setup(&context);

        return err ? err : volume_mounts(&context, f->pod->spec->containers[0], variables, env_expand_strict, ret);
}

static void teardown(struct fixture *f) {
        _cleanup_free_ char *pod = store_pod_folder(f->store, POD_UID), *run = store_pod_run_folder(f->store, POD_UID);

        assert_ok(volumes_teardown(pod, run));
}

static char *run_pod(struct fixture *f) {
        _cleanup_container_ struct container c = { 0 };
        _cleanup_free_ char *err = NULL;
        char *out;
        int status;

        assert_ok(container_prepare(&c, f, 0, NULL));
        out = container_run(&c, &status, &err);
        if (status != 0)
                fail_msg("%s", err);
        return out;
}

TEST(a_sub_path_mounts_one_file_or_folder_and_is_made_if_missing) {
        _cleanup_fixture_ struct fixture f = fixture_new(
                POD("{'name': 'c', 'configMap': {'name': 'c'}}, " EMPTY_DIR,
                    "{'name': 'c', 'mountPath': '/etc/one.conf', 'subPath': 'one'}, {'name': 'd', 'mountPath': '/x', "
                    "'subPath': "
                    "'deep/dir'}, {'name': 'd', 'mountPath': '/all/'}, {'name': 'd', 'mountPath': '/y', 'subPathExpr': "
                    "'logs/$(POD)'}",
                    "cat /etc/one.conf; ls /etc | wc -l; echo f > /x/f; echo g > /y/g; cat /all/deep/dir/f "
                    "/all/logs/web/g; "
                    "stat -c %a /x /all/logs"),
                NULL);
        _cleanup_free_ char *out = NULL, *again = NULL;

        fixture_put(&f, "ConfigMap", "c", "'data': {'one': '1\\n'}");
        out = run_pod(&f);
        assert_string_equal(out, "1\n3\nf\ng\n777\n777\n");
        again = run_pod(&f);
        assert_string_equal(again, out);
        teardown(&f);
}

TEST(a_sub_path_cannot_leave_its_volume) {
        static const struct {
                const char *mount, *error;
        } cases[] = {
                { "'subPath': 'link'", "failed to prepare subPath for volumeMount \"d\" of container \"a\"" },
                { "'subPath': 'absolute'", "failed to prepare subPath" },
                { "'subPath': 'link/below'", "failed to prepare subPath" },
                { "'subPath': 'dangling'", "failed to prepare subPath" },
                { "'subPath': 'dangling/below'", "failed to prepare subPath" },
                { "'subPath': 'file/below'", "failed to prepare subPath" },
                { "'subPath': '../x'", "unable to provision SubPath `../x`: must not contain '..'" },
                { "'subPath': '/x'", "error SubPath `/x` must not be an absolute path" },
                { "'subPathExpr': '$(NONE)/x'", "missing value for NONE" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec =
                        xasprintf(POD(EMPTY_DIR, "{'name': 'd', 'mountPath': '/d', %s}", "true"), cases[i].mount);
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                _cleanup_free_ char *d = fixture_path(&f, "root/pods/" POD_UID "/volumes/d"), *outside = NULL;
                _cleanup_mount_list_ struct mount_list mounts = MOUNT_LIST_INIT;
                _cleanup_close_ int fd = -EBADF;
                struct error *err;

                fixture_write(&f, "root/pods/" POD_UID "/volumes/d/file", "");
                fixture_write(&f, "outside/secret", "");
                fd = open(d, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                outside = fixture_path(&f, "outside");
                assert_int_equal(symlinkat("../../../../../outside", fd, "link"), 0);
                assert_int_equal(symlinkat(outside, fd, "absolute"), 0);
                assert_int_equal(symlinkat("nowhere", fd, "dangling"), 0);
                err = plan(&f, &mounts);
                if (!err)
                        fail_msg("%s: no error", cases[i].mount);
                if (!strstr(error_message(err), cases[i].error))
                        fail_msg("%s", error_message(err));
                error_free(err);
                teardown(&f);
        }
}

TEST(a_link_inside_the_volume_is_followed) {
        _cleanup_fixture_ struct fixture f = fixture_new(
                POD(EMPTY_DIR, "{'name': 'd', 'mountPath': '/x', 'subPath': 'link/new'}", "echo in > /x/f"), NULL);
        _cleanup_free_ char *link = fixture_path(&f, "root/pods/" POD_UID "/volumes/d/link"), *out = NULL;
        _cleanup_free_ char *made = fixture_path(&f, "root/pods/" POD_UID "/volumes/d/real/new/f");

        fixture_write(&f, "root/pods/" POD_UID "/volumes/d/real/x", "");
        assert_int_equal(symlink("real", link), 0);
        out = run_pod(&f);
        assert_true(file_exists(made));
        teardown(&f);
}

/* A container that exchanges a folder of its volume for a link to the host, as fast as it can. */
static pid_t start_racer(const char *volume, const char *target) {
        pid_t pid = fork();

        if (pid == 0) {
                _cleanup_close_ int fd = open(volume, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (mkdirat(fd, "dir", 0755) < 0 && errno != EEXIST)
                        _exit(1);
                (void)symlinkat(target, fd, "link");
                for (;;)
                        (void)syscall(SYS_renameat2, fd, "dir", fd, "link", 2 /* RENAME_EXCHANGE */);
        }
        return pid;
}

TEST(a_sub_path_that_is_exchanged_meanwhile_never_shows_the_host) {
        _cleanup_fixture_ struct fixture f =
                fixture_new(POD(EMPTY_DIR, "{'name': 'd', 'mountPath': '/x', 'subPath': 'dir'}", "true"), NULL);
        _cleanup_free_ char *d = fixture_path(&f, "root/pods/" POD_UID "/volumes/d"), *host = fixture_path(&f, "host");
        unsigned mounted = 0, refused = 0;
        time_t end = time(NULL) + 2;
        pid_t racer;
        int status;

        fixture_write(&f, "root/pods/" POD_UID "/volumes/d/x", "");
        fixture_write(&f, "host/secret", "");
        racer = start_racer(d, host);
        while (time(NULL) < end) {
                _cleanup_mount_list_ struct mount_list mounts = MOUNT_LIST_INIT;
                _cleanup_free_ char *secret = NULL;
                struct error *err = plan(&f, &mounts);

                if (err) {
                        error_free(err);
                        refused++;
                        continue;
                }
                secret = path_join(mounts.entries[0].source, "secret");
                assert_false(file_exists(secret));
                mounted++;
        }
        kill(racer, SIGKILL);
        assert_int_equal(waitpid(racer, &status, 0), racer);
        /* Both must have been met, else nothing was raced. */
        assert_true(mounted > 0 && refused > 0);
        teardown(&f);
}

TEST(mounts_come_parents_first_whatever_their_order) {
        _cleanup_fixture_ struct fixture f = fixture_new(
                POD("{'name': 'inner', 'emptyDir': {'medium': 'Memory'}}, {'name': 'outer', 'emptyDir': {}}",
                    "{'name': 'inner', 'mountPath': '/m/in'}, {'name': 'outer', 'mountPath': '//m/./'}",
                    "grep -c \\' /m/in tmpfs \\' /proc/mounts; touch /m/in/f /m/g; ls /m"),
                NULL);
        _cleanup_mount_list_ struct mount_list mounts = MOUNT_LIST_INIT;
        _cleanup_free_ char *out = NULL;

        assert_ok(plan(&f, &mounts));
        assert_string_equal(mounts.entries[0].destination, "/m");
        assert_string_equal(mounts.entries[1].destination, "/m/in");
        out = run_pod(&f);
        assert_string_equal(out, "1\ng\nin\n");
        teardown(&f);
}

TEST(read_only_holds_for_one_mount_and_recursively_for_what_is_below) {
        _cleanup_fixture_ struct fixture f =
                fixture_new(POD("{'name': 'h', 'hostPath': {'path': '@/h'}}",
                                "{'name': 'h', 'mountPath': '/rw'}, {'name': 'h', 'mountPath': '/ro', 'readOnly': "
                                "true}, {'name': 'h', "
                                "'mountPath': '/rro', 'readOnly': true, 'recursiveReadOnly': 'Enabled'}",
                                "touch /rw/a /rw/sub/a && echo rw; touch /ro/b 2>&1; touch /ro/sub/b && echo ro/sub; "
                                "touch /rro/c 2>&1; "
                                "touch /rro/sub/c 2>&1"),
                            NULL);
        _cleanup_free_ char *sub = fixture_path(&f, "h/sub"), *out = NULL;

        assert_ok(mkdir_parents(sub, 0755));
        assert_int_equal(mount("none", sub, "tmpfs", 0, NULL), 0);
        out = run_pod(&f);
        assert_string_equal(out,
                            "rw\ntouch: /ro/b: Read-only file system\nro/sub\ntouch: /rro/c: Read-only file system\n"
                            "touch: /rro/sub/c: Read-only file system\n");
        teardown(&f);
}

/* ---- propagation ---- */

/* Goes into a mount namespace like a supervisor's: a slave of the "host's", which is the one the test started in. */
static int enter_supervisor_namespace(void) {
        int host = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

        assert_true(host >= 0);
        assert_int_equal(unshare(CLONE_NEWNS), 0);
        assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), 0);
        return host;
}

static void leave_supervisor_namespace(int host) {
        assert_int_equal(setns(host, CLONE_NEWNS), 0);
        fd_close(host);
}

static void make_shared_mount(struct fixture *f) {
        _cleanup_free_ char *path = fixture_path(f, "shared"), *a = fixture_path(f, "shared/from-host");

        assert_ok(mkdir_parents(path, 0755));
        assert_int_equal(mount("none", path, "tmpfs", 0, NULL), 0);
        assert_int_equal(mount(NULL, path, NULL, MS_SHARED, NULL), 0);
        assert_ok(mkdir_parents(a, 0755));
}

TEST(a_bidirectional_mount_reaches_the_host) {
        _cleanup_fixture_ struct fixture f =
                fixture_new(POD("{'name': 'h', 'hostPath': {'path': '@/shared'}}",
                                "{'name': 'h', 'mountPath': '/h', 'mountPropagation': 'Bidirectional'}",
                                "mkdir /h/sub && mount -t tmpfs none /h/sub && touch /h/sub/from-container"),
                            NULL);
        _cleanup_free_ char *seen = fixture_path(&f, "shared/sub/from-container"), *err = NULL, *out = NULL;
        struct volume_context context = volume_context_of(&f);
        _cleanup_container_ struct container c = { 0 };
        _cleanup_mount_list_ struct mount_list mounts = MOUNT_LIST_INIT;
        char *variables[] = { NULL };
        int host, status;

        f.pod->spec->containers[0]->securitycontext = api_new(f.arena, &v1_security_context__descriptor);
        f.pod->spec->containers[0]->securitycontext->has_privileged = true;
        f.pod->spec->containers[0]->securitycontext->privileged = true;
        make_shared_mount(&f);
        host = enter_supervisor_namespace();
        /* Prepared as usual it is refused: the host is out of reach. */
        assert_error(container_prepare(&c, &f, 0, NULL), ERROR_NOT_SUPPORTED, "out of reach");
        context.host_mntns_fd = host;
        assert_ok(volume_mounts(&context, f.pod->spec->containers[0], variables, env_expand_strict, &mounts));
        assert_true(mounts.entries[0].shared);
        struct oci_spec_config config = {
                .pod = f.pod,
                .container = f.pod->spec->containers[0],
                .image = &c.image,
                .argv = c.argv,
                .env = c.env.all,
                .user = &c.user,
                .rootfs = c.rootfs,
                .volumes = &mounts,
                .cgroups_path = c.cgroup,
                .oom_score_adj = 1000,
        };
        _cleanup_free_ char *path = path_join(c.bundle, "config.json");
        assert_ok(oci_spec_build(&config, &c.spec));
        assert_int_equal(json_dump_file(c.spec, path, 0), 0);
        out = container_run(&c, &status, &err);
        if (status != 0)
                fail_msg("%s", err);
        container_release(&c);
        c = (struct container){ 0 };
        leave_supervisor_namespace(host);
        assert_true(file_exists(seen));
        teardown(&f);
}

TEST(a_mount_of_the_host_arrives_in_a_container_that_runs) {
        _cleanup_fixture_ struct fixture f = fixture_new(
                POD("{'name': 'h', 'hostPath': {'path': '@/shared'}}",
                    "{'name': 'h', 'mountPath': '/h', 'mountPropagation': 'HostToContainer'}",
                    "exec >/dev/null 2>&1; while [ ! -e /h/from-host/late ]; do sleep 0.05; done; touch /h/arrived"),
                NULL);
        _cleanup_free_ char *target = fixture_path(&f, "shared/from-host"),
                            *arrived = fixture_path(&f, "shared/arrived");
        _cleanup_free_ char *late = path_join(target, "late"), *err = NULL, *out = NULL;
        _cleanup_container_ struct container c = { 0 };
        int host, status, here;

        make_shared_mount(&f);
        host = enter_supervisor_namespace();
        here = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        assert_ok(container_prepare(&c, &f, 0, NULL));
        out = container_run(&c, &status, &err);
        if (status != 0)
                fail_msg("%s", err);
        assert_int_equal(setns(host, CLONE_NEWNS), 0);
        assert_int_equal(mount("none", target, "tmpfs", 0, NULL), 0);
        fd_close(open(late, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        for (int i = 0; i < 100 && !file_exists(arrived); i++)
                usleep(50000);
        assert_true(file_exists(arrived));
        assert_int_equal(setns(here, CLONE_NEWNS), 0);
        fd_close(here);
        container_release(&c);
        c = (struct container){ 0 };
        leave_supervisor_namespace(host);
        teardown(&f);
}

TEST(a_source_that_is_no_shared_mount_is_refused_in_the_usual_words) {
        static const char *const cases[][2] = {
                { "HostToContainer", "but it is not a shared or slave mount" },
                { "Bidirectional", "but it is not a shared mount" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec =
                        xasprintf(POD("{'name': 'h', 'hostPath': {'path': '@'}}",
                                      "{'name': 'h', 'mountPath': '/h', 'mountPropagation': '%s'}", "true"),
                                  cases[i][0]);
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                _cleanup_close_ int host = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
                struct volume_context context = volume_context_of(&f);
                struct mount_list mounts;

                context.host_mntns_fd = host;
                assert_error(volume_mounts(&context, f.pod->spec->containers[0], NULL, env_expand_strict, &mounts),
                             ERROR_INVALID, cases[i][1]);
                teardown(&f);
        }
}

TEST(containers_of_a_pod_see_what_one_of_them_mounts_in_an_empty_dir) {
        _cleanup_fixture_ struct fixture f = fixture_new(
                "'volumes': [" EMPTY_DIR
                "], 'containers': [{'name': 'a', 'image': 'x', 'command': ['sh', '-c', 'exec >/dev/null "
                "2>&1; while [ ! -e /d/sub/late ]; do sleep 0.05; done; touch /d/arrived'], 'volumeMounts': [{'name': "
                "'d', "
                "'mountPath': '/d', 'mountPropagation': 'HostToContainer'}]}, {'name': 'b', 'image': 'x', "
                "'securityContext': "
                "{'privileged': true}, 'volumeMounts': [{'name': 'd', 'mountPath': '/d', 'mountPropagation': "
                "'Bidirectional'}]}]",
                NULL);
        _cleanup_free_ char *arrived = fixture_path(&f, "root/pods/" POD_UID "/volumes/d/arrived"), *err = NULL,
                            *out = NULL;
        _cleanup_container_ struct container a = { 0 };
        _cleanup_mount_list_ struct mount_list mounts = MOUNT_LIST_INIT;
        struct volume_context context = volume_context_of(&f);
        int status;

        assert_ok(container_prepare(&a, &f, 0, NULL));
        out = container_run(&a, &status, &err);
        if (status != 0)
                fail_msg("%s", err);
        /* What b's runtime does: mount on a peer of its source. */
        assert_ok(volume_mounts(&context, f.pod->spec->containers[1], NULL, env_expand_strict, &mounts));
        _cleanup_free_ char *sub = path_join(mounts.entries[0].source, "sub"), *late = path_join(sub, "late");
        assert_ok(mkdir_parents(sub, 0755));
        assert_int_equal(mount("none", sub, "tmpfs", 0, NULL), 0);
        fd_close(open(late, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        for (int i = 0; i < 100 && !file_exists(arrived); i++)
                usleep(50000);
        assert_true(file_exists(arrived));
        assert_ok(volume_mounts_release(&context, "b"));
        teardown(&f);
}
