#include "oci/lsm.h"

#include "container.h"

#define POD(pod, container) \
        pod "'containers': [{'name': 'a', 'image': 'x', 'command': ['true'], 'securityContext': {" container "}}]"
#define PROFILES "husk-default (enforce)\nlocal one (complain)\n/usr/bin/man (enforce)\nhusk-default-no\n"

/* A machine that has both, and one that has neither. */
static struct lsm_paths with, without = { "/nonexistent/profiles", "/nonexistent/enforce" };

static void make_machine(struct fixture *f, const char *profiles) {
        fixture_write(f, "profiles", profiles);
        fixture_write(f, "enforce", "1");
        with = (struct lsm_paths){ fixture_path(f, "profiles"), fixture_path(f, "enforce") };
}

static void release_machine(void) {
        free((char *)with.apparmor_profiles);
        free((char *)with.selinux_enforce);
}

static void on_such_a_machine(struct oci_spec_config *config) {
        config->lsm = &with;
}

/* Writes the container's config.json on the machine with both, and gives back one text of it ("" if it is not there).
 */
static char *written(const char *spec, const char *profiles, const char *object, const char *key, struct error **ret) {
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        _cleanup_container_ struct container c = { 0 };

        make_machine(&f, profiles);
        *ret = container_prepare(&c, &f, 0, on_such_a_machine);
        const json_t *value = json_object_get(json_object_get(c.spec, object), key);
        char *text = xstrdup(json_is_string(value) ? json_string_value(value) : "");
        release_machine();
        return text;
}

TEST(the_profile_is_the_one_the_pod_asks_for_if_it_is_loaded) {
        static const struct {
                const char *spec, *profile, *error;
        } cases[] = {
                { POD("", ""), "husk-default", NULL },
                { POD("", "'appArmorProfile': {'type': 'RuntimeDefault'}"), "husk-default", NULL },
                { POD("", "'appArmorProfile': {'type': 'Unconfined'}"), "", NULL },
                { POD("", "'appArmorProfile': {'type': 'Localhost', 'localhostProfile': 'local one'}"), "local one",
                  NULL },
                { POD("'securityContext': {'appArmorProfile': {'type': 'Localhost', 'localhostProfile': "
                      "'/usr/bin/man'}}, ",
                      ""),
                  "/usr/bin/man", NULL },
                { POD("'securityContext': {'appArmorProfile': {'type': 'Unconfined'}}, ",
                      "'appArmorProfile': {'type': 'RuntimeDefault'}"),
                  "husk-default", NULL },
                { POD("", "'privileged': true"), "", NULL },
                { POD("", "'privileged': true, 'appArmorProfile': {'type': 'Localhost', 'localhostProfile': 'local "
                          "one'}"),
                  "local one", NULL },
                { POD("", "'appArmorProfile': {'type': 'Localhost', 'localhostProfile': 'local'}"), "",
                  "apparmor profile not found local" },
                { POD("", "'appArmorProfile': {'type': 'Localhost', 'localhostProfile': 'husk-default-no'}"), "",
                  "apparmor profile not found husk-default-no" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct error *err;
                _cleanup_free_ char *profile = written(cases[i].spec, PROFILES, "process", "apparmorProfile", &err);

                if (!streq(profile, cases[i].profile) || !err != !cases[i].error ||
                    (err && !strstr(error_message(err), cases[i].error)))
                        fail_msg("%s: %s (%s)", cases[i].spec, profile, err ? error_message(err) : "no error");
                error_free(err);
        }
}

TEST(without_its_own_profile_only_those_who_ask_for_it_are_refused) {
        struct error *err;
        _cleanup_free_ char *none = written(POD("", ""), "", "process", "apparmorProfile", &err);
        assert_null(err);
        assert_string_equal(none, "");
        _cleanup_free_ char *asked = written(POD("", "'appArmorProfile': {'type': 'RuntimeDefault'}"), "", "process",
                                             "apparmorProfile", &err);
        assert_string_equal(asked, "");
        assert_non_null(strstr(error_message(err), "apparmor_parser"));
        error_free(err);
}

TEST(labels_are_completed_with_those_of_containers) {
        static const struct {
                const char *spec, *process, *file;
        } cases[] = {
                { POD("", ""), "", "" },
                { POD("", "'seLinuxOptions': {}"), "", "" },
                { POD("", "'seLinuxOptions': {'level': 's0:c1,c2'}"), "system_u:system_r:container_t:s0:c1,c2",
                  "system_u:object_r:container_file_t:s0:c1,c2" },
                { POD("'securityContext': {'seLinuxOptions': {'user': 'u', 'role': 'r', 'type': 't', 'level': 's1'}}, ",
                      ""),
                  "u:r:t:s1", "u:object_r:container_file_t:s1" },
                { POD("'securityContext': {'seLinuxOptions': {'type': 'pod_t'}}, ",
                      "'seLinuxOptions': {'type': 'own_t'}"),
                  "system_u:system_r:own_t:s0", "system_u:object_r:container_file_t:s0" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct error *err;
                _cleanup_free_ char *process = written(cases[i].spec, "", "process", "selinuxLabel", &err);
                assert_ok(err);
                _cleanup_free_ char *file = written(cases[i].spec, "", "linux", "mountLabel", &err);
                assert_ok(err);
                if (!streq(process, cases[i].process) || !streq(file, cases[i].file))
                        fail_msg("%s: %s, %s", cases[i].spec, process, file);
        }
}

TEST(a_machine_without_them_refuses_who_asks) {
        _cleanup_fixture_ struct fixture f = fixture_new(
                "'containers': [{'name': 'a', 'securityContext': {'appArmorProfile': {'type': 'RuntimeDefault'}, "
                "'seLinuxOptions': {'type': 't'}}}, {'name': 'b', 'securityContext': {'appArmorProfile': {'type': "
                "'Unconfined'}}}, {'name': 'c'}]",
                NULL);
        V1Container *const *c = f.pod->spec->containers;
        char *profile, *process, *file;

        assert_error(lsm_apparmor(&without, f.pod, c[0], &profile), ERROR_NOT_SUPPORTED,
                     "Cannot enforce AppArmor: AppArmor is not enabled on the host");
        assert_error(lsm_selinux(&without, f.pod, c[0], &process, &file), ERROR_NOT_SUPPORTED,
                     "SELinux is not enabled on the host");
        for (int i = 1; i < 3; i++) {
                assert_ok(lsm_apparmor(&without, f.pod, c[i], &profile));
                assert_null(profile);
                assert_ok(lsm_selinux(&without, f.pod, c[i], &process, &file));
                assert_null(process);
        }
}
