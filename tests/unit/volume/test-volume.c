#include "../oci/container.h"

#include <sys/statfs.h>

#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6

/* A pod whose container mounts every volume of this list at /<name>. */
static char *spec_of(const char *volumes, const char *mounts, const char *pod_sc, const char *command) {
        return xasprintf(
                "'securityContext': {%s}, 'volumes': [%s], 'containers': [{'name': 'a', 'image': 'x', 'command': "
                "['sh', '-c', '%s'], 'volumeMounts': [%s]}]",
                pod_sc, volumes, command, mounts);
}

static char *volume_file(struct fixture *f, const char *path) {
        struct volume_context context = volume_context_of(f);
        _cleanup_free_ char *name = xstrndup(path, strcspn(path, "/")), *text = NULL;
        _cleanup_close_ int volume = volume_open(&context, name), fd = -EBADF;

        assert_true(volume >= 0);
        fd = openat(volume, path + strlen(name) + 1, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        assert_ok(fd_read_all(fd, 1 << 20, &text, NULL));
        return TAKE_PTR(text);
}

static mode_t volume_mode(struct fixture *f, const char *name, gid_t *ret_gid) {
        struct volume_context context = volume_context_of(f);
        _cleanup_close_ int fd = volume_open(&context, name);
        struct stat st;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        if (ret_gid)
                *ret_gid = st.st_gid;
        return st.st_mode & 07777;
}

static void put_objects(struct fixture *f) {
        fixture_put(f, "ConfigMap", "c", "'data': {'one': '1', 'two': 'line'}, 'binaryData': {'bin': 'AAEC/w=='}");
        fixture_put(f, "Secret", "s", "'data': {'user': 'YWRtaW4=', 'pass': 'aHVzaA=='}");
}

static void teardown(struct fixture *f) {
        _cleanup_free_ char *pod = store_pod_folder(f->store, POD_UID), *run = store_pod_run_folder(f->store, POD_UID);
        _cleanup_free_ char *volumes = path_join(pod, "volumes"), *objects = path_join(run, "volumes");
        _cleanup_free_ char *subpaths = path_join(run, "subpaths");

        for (int twice = 0; twice < 2; twice++)
                assert_ok(volumes_teardown(pod, run));
        assert_false(file_exists(volumes) || file_exists(objects) || file_exists(subpaths));
}

TEST(volumes_of_objects_show_their_files_and_follow_their_changes) {
        _cleanup_free_ char *spec =
                spec_of("{'name': 'c', 'configMap': {'name': 'c'}}", "{'name': 'c', 'mountPath': '/c'}", "",
                        "cat /c/one /c/two; ls /c; od -An -tx1 /c/bin 2>/dev/null; touch /c/x; "
                        "stat -L -c %a /c/one");
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        struct volume_context context = volume_context_of(&f);
        _cleanup_free_ char *one = NULL, *gone = NULL, *three = NULL;
        bool changed;

        put_objects(&f);
        assert_ok(volumes_setup(&context));
        assert_ok(volumes_setup(&context));
        assert_int_equal(volume_mode(&f, "c", NULL), 0777);
        one = volume_file(&f, "c/one");
        assert_string_equal(one, "1");
        assert_ok(volume_refresh(&context, f.pod->spec->volumes[0], &changed));
        assert_false(changed);

        fixture_put(&f, "ConfigMap", "c", "'data': {'one': 'changed', 'three': '3'}");
        assert_ok(volume_refresh(&context, f.pod->spec->volumes[0], &changed));
        assert_true(changed);
        free(one);
        one = volume_file(&f, "c/one");
        three = volume_file(&f, "c/three");
        gone = volume_file(&f, "c/two");
        assert_string_equal(one, "changed");
        assert_string_equal(three, "3");
        assert_null(gone);

        /* One version, one ..data, one link for each of the two keys: nothing else is left. */
        _cleanup_free_ char *run = store_pod_run_folder(f.store, POD_UID), *folder = path_join(run, "volumes/c");
        char *argv[] = { "ls", "-A", folder, NULL };
        _cleanup_free_ char *listing = NULL;
        int status;

        assert_ok(process_run(argv, NULL, &status, &listing, NULL));
        assert_int_equal(strncmp(listing, "..20", 4), 0);
        assert_non_null(strstr(listing, "\n..data\none\nthree\n"));
        assert_int_equal(strlen(strchr(listing, '\n')), strlen("\n..data\none\nthree\n"));

        assert_true(volume_depends_on(f.pod->spec->volumes[0], "ConfigMap", "c"));
        assert_false(volume_depends_on(f.pod->spec->volumes[0], "Secret", "c"));
        assert_false(volume_depends_on_pod(f.pod->spec->volumes[0]));
        teardown(&f);
}

TEST(a_container_sees_object_volumes_read_only) {
        _cleanup_free_ char *spec = spec_of(
                "{'name': 'c', 'configMap': {'name': 'c', 'defaultMode': 288, 'items': [{'key': 'one', 'path': "
                "'sub/first', "
                "'mode': 256}, {'key': 'two', 'path': 'two'}]}}, {'name': 's', 'secret': {'secretName': 's', "
                "'defaultMode': "
                "256}}, {'name': 'p', 'projected': {'sources': [{'configMap': {'name': 'c', 'items': [{'key': 'one', "
                "'path': "
                "'cm/one'}]}}, {'secret': {'name': 's', 'items': [{'key': 'user', 'path': 'sec/user'}]}}, "
                "{'downwardAPI': "
                "{'items': [{'path': 'name', 'fieldRef': {'fieldPath': 'metadata.name'}}]}}]}}, "
                "{'name': 'o', 'configMap': {'name': 'none', 'optional': true}}",
                "{'name': 'c', 'mountPath': '/c'}, {'name': 's', 'mountPath': '/s', 'readOnly': false}, {'name': 'p', "
                "'mountPath': '/p'}, {'name': 'o', 'mountPath': '/o'}",
                "",
                "cd /c; ls; cat sub/first; stat -L -c %a sub/first two; readlink sub; cat /s/user /p/cm/one "
                "/p/sec/user "
                "/p/name; echo; stat -L -c %a /s/user; touch /c/x /s/x 2>&1; ls /o | wc -l; grep -c \\\" /s tmpfs\\\" "
                "/proc/mounts");
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        _cleanup_container_ struct container c = { 0 };
        _cleanup_free_ char *out = NULL, *err = NULL;
        int status;

        put_objects(&f);
        assert_ok(container_prepare(&c, &f, 0, NULL));
        out = container_run(&c, &status, &err);
        assert_string_equal(out, "sub\ntwo\n1400\n440\n..data/sub\nadmin1adminweb\n400\n"
                                 "touch: /c/x: Read-only file system\ntouch: /s/x: Read-only file system\n0\n1\n");
}

TEST(fs_group_owns_what_is_the_pods) {
        _cleanup_free_ char *spec = spec_of(
                "{'name': 'd', 'emptyDir': {}}, {'name': 'm', 'emptyDir': {'medium': 'Memory', 'sizeLimit': '4Mi'}}, "
                "{'name': 's', 'secret': {'secretName': 's', 'defaultMode': 256}}, {'name': 'h', 'hostPath': {'path': "
                "'@/h', "
                "'type': 'DirectoryOrCreate'}}",
                "{'name': 'd', 'mountPath': '/d'}, {'name': 'm', 'mountPath': '/m'}, {'name': 's', 'mountPath': '/s'}, "
                "{'name': 'h', 'mountPath': '/h'}",
                "'runAsUser': 1000, 'runAsGroup': 1000, 'fsGroup': 5000",
                "touch /d/f; stat -c \\\"%g %a\\\" /d /m; stat -c %g /d/f; stat -L -c \\\"%g %a\\\" /s/user; cat "
                "/s/user; "
                "stat -c %g /h; df -k /m | tail -n 1");
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        _cleanup_container_ struct container c = { 0 };
        _cleanup_free_ char *out = NULL, *err = NULL;
        int status;

        put_objects(&f);
        assert_ok(container_prepare(&c, &f, 0, NULL));
        out = container_run(&c, &status, &err);
        assert_int_equal(strncmp(out, "5000 2777\n5000 2777\n5000\n5000 440\nadmin0\n", 41), 0);
        assert_non_null(strstr(out, " 4096 "));
}

TEST(an_empty_dir_keeps_its_content_and_a_memory_one_its_mount) {
        _cleanup_free_ char *spec =
                spec_of("{'name': 'd', 'emptyDir': {}}, {'name': 'm', 'emptyDir': {'medium': 'Memory'}}, "
                        "{'name': 'unused', 'configMap': {'name': 'none'}}",
                        "{'name': 'd', 'mountPath': '/d'}, {'name': 'm', 'mountPath': '/m'}", "", "true");
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        struct volume_context context = volume_context_of(&f);
        _cleanup_free_ char *d = NULL, *m = NULL;

        assert_ok(volumes_setup(&context)); /* the volume nobody mounts is not missed */
        assert_int_equal(volume_mode(&f, "d", NULL), 0777);
        assert_int_equal(volume_mode(&f, "m", NULL), 0777);
        fixture_write(&f, "root/pods/" POD_UID "/volumes/d/kept", "kept");
        fixture_write(&f, "root/pods/" POD_UID "/volumes/m/kept", "kept");
        assert_ok(volumes_setup(&context));
        d = volume_file(&f, "d/kept");
        m = volume_file(&f, "m/kept");
        assert_string_equal(d, "kept");
        assert_string_equal(m, "kept");
        teardown(&f);
}

/* With the page size in the medium's name, or of the one size that the pod has a limit for. */
TEST(an_empty_dir_of_huge_pages_is_a_file_system_of_them) {
        static const char *const media[] = { "HugePages-2Mi", "HugePages" };

        for (size_t i = 0; i < ARRAY_SIZE(media); i++) {
                _cleanup_free_ char *spec = xasprintf(
                        "'volumes': [{'name': 'h', 'emptyDir': {'medium': '%s', 'sizeLimit': '4Mi'}}], 'containers': "
                        "[{'name': 'a', 'image': 'x', 'resources': {'limits': {'hugepages-2Mi': '8Mi'}}, "
                        "'volumeMounts': [{'name': 'h', 'mountPath': '/h'}]}]",
                        media[i]);
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                struct volume_context context = volume_context_of(&f);
                struct statfs fs;

                assert_ok(volumes_setup(&context));
                assert_ok(volumes_setup(&context));
                _cleanup_close_ int fd = volume_open(&context, "h");
                assert_true(fd >= 0);
                assert_int_equal(fstatfs(fd, &fs), 0);
                assert_int_equal(fs.f_type, HUGETLBFS_MAGIC);
                assert_int_equal(fs.f_bsize, 2 << 20);
                assert_int_equal(fs.f_blocks, 2);
                assert_int_equal(volume_mode(&f, "h", NULL), 0777);
                fd = fd_close(fd);
                teardown(&f);
        }
}

TEST(what_is_missing_or_wrong_is_said_in_the_kubelets_words) {
        static const struct {
                const char *volume, *error;
        } cases[] = {
                { "'configMap': {'name': 'none'}",
                  "MountVolume.SetUp failed for volume \"v\" : configmap \"none\" not found" },
                { "'secret': {'secretName': 'none'}",
                  "MountVolume.SetUp failed for volume \"v\" : secret \"none\" not found" },
                { "'configMap': {'name': 'c', 'items': [{'key': 'k', 'path': 'p'}]}",
                  "configmap references non-existent config key: k" },
                { "'secret': {'secretName': 's', 'items': [{'key': 'k', 'path': 'p'}]}",
                  "references non-existent secret key: k" },
                { "'projected': {'sources': [{'configMap': {'name': 'none'}}, {'secret': {'name': 'none'}}]}",
                  ": [configmap \"none\" not found, secret \"none\" not found]" },
                { "'configMap': {'name': 'c', 'items': [{'key': 'one', 'path': '../x'}]}",
                  "is no path inside a volume" },
                { "'configMap': {'name': 'c', 'items': [{'key': 'one', 'path': '/x'}]}", "is no path inside a volume" },
                { "'hostPath': {'path': '@/absent', 'type': 'Directory'}",
                  "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: " },
                { "'hostPath': {'path': '@/file', 'type': 'Directory'}", "/file is not a directory" },
                { "'hostPath': {'path': '@/file', 'type': 'DirectoryOrCreate'}", "/file is not a directory" },
                { "'hostPath': {'path': '@', 'type': 'File'}", "is not a file" },
                { "'hostPath': {'path': '@/file', 'type': 'Socket'}", "/file is not a socket file" },
                { "'hostPath': {'path': '@/file', 'type': 'CharDevice'}", "/file is not a character device" },
                { "'hostPath': {'path': '/dev/null', 'type': 'BlockDevice'}", "/dev/null is not a block device" },
                { "'persistentVolumeClaim': {'claimName': 'none'}", "persistentvolumeclaim \"none\" not found" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *volume = xasprintf("{'name': 'v', %s}", cases[i].volume);
                _cleanup_free_ char *spec = spec_of(volume, "{'name': 'v', 'mountPath': '/v'}", "", "true");
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                struct volume_context context = volume_context_of(&f);
                struct error *err;

                put_objects(&f);
                fixture_write(&f, "file", "");
                err = volumes_setup(&context);
                if (!err)
                        fail_msg("%s: no error", cases[i].volume);
                if (!strstr(error_message(err), cases[i].error))
                        fail_msg("%s", error_message(err));
                error_free(err);
        }
}

TEST(a_host_path_is_made_where_its_type_says_so) {
        static const struct {
                const char *type;
                mode_t mode;
        } cases[] = { { "", S_IFDIR | 0755 },
                      { "DirectoryOrCreate", S_IFDIR | 0755 },
                      { "FileOrCreate", S_IFREG | 0644 } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *volume =
                        xasprintf("{'name': 'v', 'hostPath': {'path': '@/made', 'type': '%s'}}", cases[i].type);
                _cleanup_free_ char *spec =
                        spec_of(volume, "{'name': 'v', 'mountPath': '/v'}", "'fsGroup': 77", "true");
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                struct volume_context context = volume_context_of(&f);
                _cleanup_free_ char *path = fixture_path(&f, "made");
                mode_t old = umask(077);
                struct stat st;

                assert_ok(volumes_setup(&context));
                umask(old);
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_mode, cases[i].mode);
                assert_int_equal(st.st_gid, 0);
                teardown(&f);
                assert_int_equal(stat(path, &st), 0); /* the host's: it stays */
        }
}

TEST(labels_in_a_volume_follow_the_pod) {
        _cleanup_free_ char *spec =
                spec_of("{'name': 'i', 'downwardAPI': {'items': [{'path': 'labels', 'fieldRef': {'fieldPath': "
                        "'metadata.labels'}}, {'path': 'cpu', 'resourceFieldRef': {'containerName': 'a', "
                        "'resource': 'requests.cpu'}}]}}",
                        "{'name': 'i', 'mountPath': '/i'}", "", "true");
        _cleanup_fixture_ struct fixture f = fixture_new(spec, ", 'labels': {'v': 'one', 'a': '1'}");
        struct volume_context context = volume_context_of(&f);
        _cleanup_free_ char *before = NULL, *after = NULL;
        bool changed;

        assert_true(volume_depends_on_pod(f.pod->spec->volumes[0]));
        assert_ok(volumes_setup(&context));
        before = volume_file(&f, "i/labels");
        assert_string_equal(before, "a=\"1\"\nv=\"one\"");
        for (size_t i = 0; i < f.pod->metadata->n_labels; i++)
                if (streq(f.pod->metadata->labels[i]->key, "v"))
                        f.pod->metadata->labels[i]->value = "two";
        assert_ok(volume_refresh(&context, f.pod->spec->volumes[0], &changed));
        assert_true(changed);
        after = volume_file(&f, "i/labels");
        assert_string_equal(after, "a=\"1\"\nv=\"two\"");
        teardown(&f);
}

TEST(a_claim_outlives_its_pod) {
        _cleanup_free_ char *spec = spec_of("{'name': 'v', 'persistentVolumeClaim': {'claimName': 'data'}}",
                                            "{'name': 'v', 'mountPath': '/v'}", "'fsGroup': 5000", "true");
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        struct volume_context context = volume_context_of(&f);
        _cleanup_free_ char *text = NULL, *root = path_join(f.store->root, "persistent-volumes");
        _cleanup_close_ int fd = -EBADF, file = -EBADF;
        struct stat st;
        gid_t gid;

        fixture_put(&f, "PersistentVolumeClaim", "data",
                    "'spec': {'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '1Gi'}}}");
        assert_ok(volumes_setup(&context));
        assert_int_equal(volume_mode(&f, "v", &gid), 02777);
        assert_int_equal(gid, 5000);
        fd = volume_open(&context, "v");
        file = openat(fd, "kept", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_ok(fd_write_all(file, "kept", 4));
        teardown(&f);
        assert_ok(volumes_setup(&context));
        text = volume_file(&f, "v/kept");
        assert_string_equal(text, "kept");
        assert_int_equal(fstat(file, &st), 0);
        assert_int_equal(st.st_gid, 5000);
        assert_int_equal(st.st_mode & 07777, 0660);
        assert_true(file_exists(root));
        teardown(&f);
}

/* As on Linux before 6.3: a tmpfs cannot be mapped, so its files are given to the ids outside. */
TEST(where_a_tmpfs_cannot_be_mapped_its_files_belong_to_the_ids_of_the_pod) {
        _cleanup_free_ char *spec =
                spec_of("{'name': 's', 'secret': {'secretName': 's'}}, {'name': 'm', 'emptyDir': {'medium': 'Memory'}}",
                        "{'name': 's', 'mountPath': '/s'}, {'name': 'm', 'mountPath': '/m'}", "'fsGroup': 7", "true");
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        const struct id_map ids = { .first = 131072, .count = 65536, .userns_fd = -EBADF };
        struct volume_context context = volume_context_of(&f);
        struct mount_list mounts = MOUNT_LIST_INIT;
        struct stat st;

        put_objects(&f);
        context.ids = &ids;
        for (int round = 0; round < 2; round++) {
                bool changed;

                assert_ok(volumes_setup(&context));
                _cleanup_close_ int secret = volume_open(&context, "s"), memory = volume_open(&context, "m");
                assert_int_equal(fstatat(secret, "..data/user", &st, 0), 0);
                assert_int_equal(st.st_uid, 131072);
                assert_int_equal(st.st_gid, 131072 + 7);
                assert_int_equal(st.st_mode & 0777, 0644);
                assert_int_equal(fstat(secret, &st), 0);
                assert_int_equal(st.st_uid, 131072);
                assert_int_equal(fstat(memory, &st), 0);
                assert_int_equal(st.st_uid, 131072);
                assert_int_equal(st.st_gid, 131072 + 7);
                assert_int_equal(st.st_mode & 07777, 02777);
                fixture_put(&f, "Secret", "s", "'data': {'user': 'bmV3'}");
                assert_ok(volume_refresh(&context, f.pod->spec->volumes[0], &changed));
                assert_int_equal(changed, round == 0);
        }
        assert_ok(volume_mounts(&context, f.pod->spec->containers[0], NULL, env_expand_strict, &mounts));
        assert_int_equal(mounts.count, 2);
        mount_list_release(&mounts);
        teardown(&f);
}
