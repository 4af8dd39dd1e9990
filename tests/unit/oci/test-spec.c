#include "container.h"

#include "base/huge-page.h"
#include "oci/capability.h"

#define SHELL(command) "'containers': [{'name': 'a', 'image': 'x', 'command': ['sh', '-c', '" command "']"

TEST(a_container_runs_with_the_defaults_of_kubernetes) {
        _cleanup_free_ char *out =
                output(SHELL("cat /proc/self/status; pwd; id; echo $HOSTNAME; ls -d /dev/pts /dev/shm "
                             "/dev/mqueue; grep -c . /proc/keys /proc/timer_list; ls /sys/firmware | wc -l; "
                             "echo 1 2>/dev/null > /proc/sys/kernel/domainname || echo read-only sysctl; "
                             "grep sysfs /proc/mounts") "}]");

        assert_non_null(strstr(out, "CapEff:\t00000000a80425fb"));
        assert_non_null(strstr(out, "CapPrm:\t00000000a80425fb"));
        assert_non_null(strstr(out, "CapBnd:\t00000000a80425fb"));
        assert_non_null(strstr(out, "CapInh:\t0000000000000000"));
        assert_non_null(strstr(out, "CapAmb:\t0000000000000000"));
        assert_non_null(strstr(out, "NoNewPrivs:\t0"));
        assert_non_null(strstr(out, "Seccomp:\t2"));
        assert_non_null(strstr(out, "\n/\nuid=0(root) gid=0(root)"));
        assert_non_null(strstr(out, "\nweb\n/dev/mqueue\n/dev/pts\n/dev/shm\n/proc/keys:0\n/proc/timer_list:0\n0\n"));
        assert_non_null(strstr(out, "read-only sysctl"));
        assert_non_null(strstr(out, "sysfs ro,"));
}

TEST(a_user_who_is_not_root_has_only_the_bounding_set) {
        _cleanup_free_ char *out =
                output("'securityContext': {'runAsUser': 1000, 'fsGroup': 5000, 'supplementalGroups': [7]}, " SHELL(
                        "cat /proc/self/status") "}]");

        assert_non_null(strstr(out, "CapEff:\t0000000000000000"));
        assert_non_null(strstr(out, "CapPrm:\t0000000000000000"));
        assert_non_null(strstr(out, "CapBnd:\t00000000a80425fb"));
        assert_non_null(strstr(out, "Uid:\t1000\t1000"));
        assert_non_null(strstr(out, "Gid:\t1001\t1001"));
        assert_non_null(strstr(out, "Groups:\t7 50 1001 5000"));
}

TEST(capabilities_and_privilege_escalation_are_as_asked) {
        static const struct {
                const char *sc, *line;
        } cases[] = {
                { "'capabilities': {'drop': ['ALL']}", "CapEff:\t0000000000000000" },
                { "'capabilities': {'drop': ['ALL'], 'add': ['NET_BIND_SERVICE']}", "CapBnd:\t0000000000000400" },
                { "'capabilities': {'add': ['NET_ADMIN']}", "CapEff:\t00000000a80435fb" },
                { "'capabilities': {'drop': ['CAP_NET_RAW', 'kill']}", "CapEff:\t00000000a80405db" },
                { "'allowPrivilegeEscalation': false", "NoNewPrivs:\t1" },
                { "'seccompProfile': {'type': 'Unconfined'}", "Seccomp:\t0" },
                { "'privileged': true", "Seccomp:\t0" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec =
                        xasprintf(SHELL("cat /proc/self/status") ", 'securityContext': {%s}}]", cases[i].sc);
                _cleanup_free_ char *out = output(spec);

                if (!strstr(out, cases[i].line))
                        fail_msg("%s: not in\n%s", cases[i].line, out);
        }
}

TEST(a_privileged_container_has_the_hosts_devices_and_nothing_is_masked) {
        _cleanup_free_ char *out =
                output(SHELL("mount -t tmpfs none /mnt 2>/dev/null || { mkdir -p /mnt; mount -t tmpfs none "
                             "/mnt; } && echo mounted; grep sysfs /proc/mounts; ls /dev | wc -l; "
                             "grep CapEff /proc/self/status") ", 'securityContext': {'privileged': true}}]");
        _cleanup_free_ char *caps = xasprintf("CapEff:\t%016llx", (unsigned long long)capabilities_available());

        assert_non_null(strstr(out, "mounted"));
        assert_non_null(strstr(out, "sysfs rw,"));
        assert_non_null(strstr(out, caps));
}

TEST(a_read_only_root_leaves_volumes_shm_and_the_termination_log_writable) {
        _cleanup_free_ char *out = output("'volumes': [{'name': 'd', 'emptyDir': {}}], " SHELL(
                "touch /x 2>&1; touch /tmp/x /dev/shm/x && echo fine") ", 'securityContext': "
                                                                       "{'readOnlyRootFilesystem': true}, "
                                                                       "'volumeMounts': [{'name': "
                                                                       "'d', 'mountPath': '/tmp'}]}]");

        assert_non_null(strstr(out, "/x: Read-only file system"));
        assert_non_null(strstr(out, "fine"));
}

TEST(a_working_folder_that_is_not_there_is_made) {
        _cleanup_free_ char *out =
                output("'containers': [{'name': 'a', 'image': 'x', 'command': ['pwd'], 'workingDir': "
                       "'/new/deep'}]");

        assert_string_equal(out, "/new/deep\n");
}

static char hosts_file[128];

static void with_files(struct oci_spec_config *config) {
        config->hosts = hosts_file;
        config->termination_log = hosts_file;
}

TEST(files_of_the_pod_are_mounted_unless_a_volume_takes_their_place) {
        _cleanup_free_ char *out = NULL, *out2 = NULL;

        strcpy(hosts_file, "/tmp/husk-test-hosts-XXXXXX");
        fd_close(mkstemp(hosts_file));
        assert_ok(file_replace(hosts_file, "managed\n", 8, 0644, 0));
        out = output_with(SHELL("cat /etc/hosts; echo said > /dev/termination-log; cat /etc/hosts") "}]", with_files);
        assert_string_equal(out, "managed\nsaid\n");
        assert_int_equal(chmod(hosts_file, 0644), 0);
        out2 = output_with("'volumes': [{'name': 'h', 'hostPath': {'path': '@/layer/etc/group'}}], " SHELL(
                                   "cat /etc/hosts") ", 'volumeMounts': [{'name': 'h', 'mountPath': '/etc/hosts'}]}]",
                           with_files);
        assert_non_null(strstr(out2, "staff:x:50:app"));
        assert_int_equal(unlink(hosts_file), 0);
}

TEST(limits_reach_the_cgroup) {
        _cleanup_free_ char *out = output(
                SHELL("cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us "
                      "cpu/cpu.shares 2>/dev/null || cat memory.max cpu.max cpu.weight") ", 'resources': {'limits': "
                                                                                         "{'cpu': '250m', 'memory': "
                                                                                         "'48Mi'}, 'requests': {'cpu': "
                                                                                         "'125m'}}}]");

        if (file_exists("/sys/fs/cgroup/memory"))
                assert_string_equal(out, "50331648\n25000\n128\n");
        else
                assert_non_null(strstr(out, "50331648\n25000 100000\n"));
}

/* ---- the translation alone ---- */

static json_t *cpu_of(struct fixture *f, json_t **ret_resources) {
        *ret_resources = oci_resources(f->pod, f->pod->spec->containers[0], 0);
        return json_object_get(*ret_resources, "cpu");
}

TEST(cpu_is_rounded_as_a_kubelet_rounds_it) {
        static const struct {
                const char *resources;
                int shares, quota; /* 0: none */
        } cases[] = {
                { "", 2, 0 },
                { "'requests': {'cpu': '500m'}", 512, 0 },
                { "'limits': {'cpu': '1m'}", 2, 1000 },
                { "'limits': {'cpu': '2'}", 2048, 200000 },
                { "'requests': {'cpu': '0.0011'}", 2, 0 },
                { "'requests': {'cpu': '1000'}", 262144, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec =
                        xasprintf("'containers': [{'name': 'a', 'image': 'x', 'resources': {%s}}]", cases[i].resources);
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                json_t *resources, *cpu = cpu_of(&f, &resources);

                assert_int_equal(json_integer_value(json_object_get(cpu, "shares")), cases[i].shares);
                assert_int_equal(json_integer_value(json_object_get(cpu, "quota")), cases[i].quota);
                json_decref(resources);
        }
}

static json_int_t huge_page_limit(const json_t *resources, const char *size) {
        json_t *entry;
        size_t i;

        json_array_foreach(json_object_get(resources, "hugepageLimits"), i,
                           entry) if (streq(json_string_value(json_object_get(entry, "pageSize")),
                                            size)) return json_integer_value(json_object_get(entry, "limit"));
        return -1;
}

TEST(a_container_has_its_own_huge_pages_or_the_pods_and_none_of_other_sizes) {
        _cleanup_fixture_ struct fixture f =
                fixture_new("'resources': {'limits': {'cpu': '1', 'hugepages-2Mi': '8Mi'}}, 'containers': [{'name': "
                            "'a', 'image': 'x', 'resources': {'limits': {'cpu': '1', 'hugepages-2Mi': '4Mi'}}}, "
                            "{'name': 'b', 'image': 'x'}]",
                            NULL);
        _cleanup_fixture_ struct fixture without =
                fixture_new("'containers': [{'name': 'a', 'image': 'x', 'resources': {'limits': {'cpu': '1'}}}]", NULL);
        _cleanup_strv_ char **sizes = huge_page_sizes();
        json_t *a = oci_resources(f.pod, f.pod->spec->containers[0], 100);
        json_t *b = oci_resources(f.pod, f.pod->spec->containers[1], 0);
        json_t *c = oci_resources(without.pod, without.pod->spec->containers[0], 0);

        for (char **size = sizes; size && *size; size++) {
                assert_int_equal(huge_page_limit(a, *size), streq(*size, "2MB") ? 4 << 20 : 0);
                assert_int_equal(huge_page_limit(b, *size), streq(*size, "2MB") ? 8 << 20 : 0);
        }
        assert_null(json_object_get(c, "hugepageLimits"));
        assert_int_equal(json_integer_value(json_object_get(json_object_get(a, "pids"), "limit")), 100);
        json_decref(a);
        json_decref(b);
        json_decref(c);
}

TEST(a_container_without_a_limit_has_the_pods) {
        _cleanup_fixture_ struct fixture f = fixture_new(
                "'resources': {'limits': {'cpu': '2', 'memory': '1Gi'}, 'requests': {'memory': '1Gi'}}, 'containers': "
                "[{'name': 'a', 'image': 'x', 'resources': {'limits': {'memory': '256Mi'}, 'requests': {'memory': "
                "'256Mi'}}}, {'name': 'b', 'image': 'x'}]",
                NULL);
        const V1Container *a = f.pod->spec->containers[0], *b = f.pod->spec->containers[1];
        json_t *resources = oci_resources(f.pod, b, 0);

        assert_int_equal(oci_memory_limit(f.pod, a), 256 << 20);
        assert_int_equal(oci_memory_limit(f.pod, b), 1 << 30);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(resources, "cpu"), "quota")), 200000);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(resources, "cpu"), "shares")), 2048);
        json_decref(resources);
        /* 768 MiB that the pod asks for and its containers do not are divided among the two */
        assert_int_equal(oci_oom_score_adj(f.pod, a, "Burstable", 4ULL << 30, NULL), 1000 - 1000 * (256 + 384) / 4096);
        assert_int_equal(oci_oom_score_adj(f.pod, b, "Burstable", 4ULL << 30, NULL), 1000 - 1000 * 384 / 4096);
}

TEST(a_container_is_killed_the_later_the_more_memory_it_asks_for) {
        _cleanup_fixture_ struct fixture f =
                fixture_new("'initContainers': [{'name': 's', 'image': 'x', 'restartPolicy': 'Always'}], 'containers': "
                            "[{'name': 'a', "
                            "'image': 'x', 'resources': {'requests': {'memory': '1Gi'}}}, {'name': 'b', 'image': 'x'}]",
                            NULL);
        const V1Container *a = f.pod->spec->containers[0], *b = f.pod->spec->containers[1];
        bool clamped;

        assert_int_equal(oci_oom_score_adj(f.pod, a, "Burstable", 4ULL << 30, &clamped), 750);
        assert_int_equal(oci_oom_score_adj(f.pod, b, "Burstable", 4ULL << 30, &clamped), 999);
        assert_int_equal(oci_oom_score_adj(f.pod, f.pod->spec->initcontainers[0], "Burstable", 4ULL << 30, &clamped),
                         750);
        assert_int_equal(oci_oom_score_adj(f.pod, a, "BestEffort", 4ULL << 30, &clamped), 1000);
        assert_false(clamped);
        /* Without CAP_SYS_RESOURCE nobody gets below himself. */
        int64_t score = oci_oom_score_adj(f.pod, a, "Guaranteed", 4ULL << 30, &clamped);
        if (capabilities_available() & 1ULL << capability_number("SYS_RESOURCE"))
                assert_int_equal(score, -997);
        else
                assert_true(clamped && score > -997);
}

TEST(what_cannot_be_given_is_refused) {
        static const struct {
                const char *more, *error;
        } cases[] = {
                { ", 'securityContext': {'capabilities': {'add': ['NO_SUCH']}}", "unknown capability \"NO_SUCH\"" },
                { ", 'securityContext': {'seccompProfile': {'type': 'Localhost', 'localhostProfile': 'none.json'}}",
                  "none.json" },
                { ", 'volumeMounts': [{'name': 'd', 'mountPath': '/proc/sys/kernel'}]",
                  "nothing can be mounted inside /proc" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec =
                        xasprintf("'volumes': [{'name': 'd', 'emptyDir': {}}], " SHELL("true") "%s}]", cases[i].more);
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                _cleanup_container_ struct container c = { 0 };
                struct error *err = container_prepare(&c, &f, 0, NULL);

                assert_non_null(err);
                if (!strstr(error_message(err), cases[i].error))
                        fail_msg("%s", error_message(err));
                error_free(err);
        }
}
