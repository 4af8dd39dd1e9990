#include "fixture.h"
#include "oci/env-file.h"
#include "oci/env.h"

#include <fcntl.h>

static struct error *build(struct fixture *f, struct env *ret) {
        char *const image_env[] = { "PATH=/image/bin", "FOO=image", "ONLY=image", NULL };
        struct env_config config = {
                .store = f->store,
                .downward = { .pod = f->pod,
                              .pod_ips = (char *[]){ "10.1.0.2", "fd00::2", NULL },
                              .host_ips = (char *[]){ "192.0.2.1", NULL } },
                .container = f->pod->spec->containers[0],
                .image_env = image_env,
                .hostname = "web",
        };

        return env_build(&config, ret);
}

static const char *value(const struct env *env, const char *name) {
        size_t n = strlen(name);

        for (size_t i = 0; env->all[i]; i++)
                if (strncmp(env->all[i], name, n) == 0 && env->all[i][n] == '=')
                        return env->all[i] + n + 1;
        return NULL;
}

TEST(values_of_the_manifest_win_over_the_image) {
        _cleanup_fixture_ struct fixture f = fixture_new("'containers': [{'name': 'a', 'image': 'x', 'env': [{'name': "
                                                         "'FOO', 'value': 'mine'}, {'name': 'EMPTY'}]}]",
                                                         NULL);
        _cleanup_env_ struct env env = { 0 };

        assert_ok(build(&f, &env));
        assert_string_equal(value(&env, "FOO"), "mine");
        assert_string_equal(value(&env, "ONLY"), "image");
        assert_string_equal(value(&env, "EMPTY"), "");
        assert_string_equal(value(&env, "PATH"), "/image/bin");
        assert_string_equal(value(&env, "HOSTNAME"), "web");
        assert_null(value(&env, "TERM"));
        assert_int_equal(strv_len(env.kubernetes), 2);
}

TEST(references_see_earlier_variables_and_never_the_image) {
        _cleanup_fixture_ struct fixture f = fixture_new("'containers': [{'name': 'a', 'image': 'x', 'env': ["
                                                         "{'name': 'EARLY', 'value': '$(LATE)'}, {'name': 'A', "
                                                         "'value': 'one'}, {'name': 'B', 'value': '$(A)-two'},"
                                                         "{'name': 'C', 'value': '$(B)/$(ONLY)'}, {'name': 'A', "
                                                         "'value': '$(A)!'}, {'name': 'D', 'value': '$(A)'},"
                                                         "{'name': 'LATE', 'value': 'late'}]}]",
                                                         NULL);
        _cleanup_env_ struct env env = { 0 };

        assert_ok(build(&f, &env));
        assert_string_equal(value(&env, "EARLY"), "$(LATE)");
        assert_string_equal(value(&env, "B"), "one-two");
        assert_string_equal(value(&env, "C"), "one-two/$(ONLY)");
        assert_string_equal(value(&env, "A"), "one!");
        assert_string_equal(value(&env, "D"), "one!");
}

TEST(expansion_knows_references_and_escapes_and_nothing_else) {
        static const struct {
                const char *text, *expanded;
        } cases[] = {
                { "$(A)$(A)", "11" },
                { "$(A", "$(A" },
                { "$()", "$()" },
                { "$(A))", "1)" },
                { "$$", "$" },
                { "$$$", "$$" },
                { "$$$$(A)", "$$(A)" },
                { "$$(A)", "$(A)" },
                { "$$$(A)", "$1" },
                { "$", "$" },
                { "a$", "a$" },
                { "$x(A)", "$x(A)" },
                { "$( A )", "$( A )" },
                { "\\$(A)", "\\1" },
                { "", "" },
                { "kill -9 $$", "kill -9 $" },
                { "$($(A))", "$($(A))" },
                { "$(wc -l < f)", "$(wc -l < f)" },
        };
        char *const variables[] = { "A=0", "A=1", NULL };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *expanded = env_expand(cases[i].text, variables);

                assert_string_equal(expanded, cases[i].expanded);
        }
}

TEST(a_strict_expansion_names_the_variable_that_is_missing) {
        char *const variables[] = { "POD=web", "EMPTY=", NULL };
        _cleanup_free_ char *text = NULL;

        assert_ok(env_expand_strict("logs/$(POD)", variables, &text));
        assert_string_equal(text, "logs/web");
        assert_error(env_expand_strict("$(NONE)", variables, &text), ERROR_INVALID, "missing value for NONE");
        assert_error(env_expand_strict("$(Z)/$(POD)/$(EMPTY)/$(A)$(Z)", variables, &text), ERROR_INVALID,
                     "missing value for A, EMPTY, Z");
}

TEST(fields_of_the_pod_reach_the_environment) {
        static const char *const paths[][2] = {
                { "metadata.name", "web" },
                { "metadata.namespace", "default" },
                { "metadata.uid", POD_UID },
                { "metadata.labels['tier']", "front" },
                { "metadata.annotations['a.b/x']", "some \"text\"" },
                { "metadata.labels['none']", "" },
                { "spec.nodeName", "node-1" },
                { "spec.serviceAccountName", "default" },
                { "status.podIP", "10.1.0.2" },
                { "status.podIPs", "10.1.0.2,fd00::2" },
                { "status.hostIP", "192.0.2.1" },
                { "status.hostIPs", "192.0.2.1" },
                { "metadata.labels", "app=\"x\"\ntier=\"front\"" },
        };
        _cleanup_fixture_ struct fixture f = fixture_new(
                "'nodeName': 'node-1', 'serviceAccountName': 'default', 'containers': [{'name': 'a', 'image': 'x'}]",
                ", 'labels': {'tier': 'front', 'app': 'x'}, 'annotations': {'a.b/x': 'some \\'text\\''}");
        struct downward d = { .pod = f.pod,
                              .pod_ips = (char *[]){ "10.1.0.2", "fd00::2", NULL },
                              .host_ips = (char *[]){ "192.0.2.1", NULL } };
        _cleanup_free_ char *none = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                _cleanup_free_ char *text = NULL;

                assert_ok(downward_field(&d, paths[i][0], &text));
                assert_string_equal(text, paths[i][1]);
        }
        assert_error(downward_field(&d, "spec.hostNetwork", &none), ERROR_INVALID, "unsupported fieldPath");
        assert_error(downward_field(&d, "metadata.labels[tier]", &none), ERROR_INVALID, "unsupported fieldPath");
}

TEST(resources_are_divided_and_rounded_up) {
        static const struct {
                const char *resource, *divisor, *text;
        } cases[] = {
                { "limits.cpu", NULL, "2" },
                { "limits.cpu", "1m", "1500" },
                { "requests.cpu", "1m", "250" },
                { "limits.memory", NULL, "67108864" },
                { "requests.memory", "1Mi", "32" },
                { "limits.cpu", "0", "2" },
                { "limits.ephemeral-storage", "1Gi", "7" },
                { "requests.ephemeral-storage", NULL, "0" },
                { "limits.hugepages-2Mi", NULL, "0" },
        };
        _cleanup_fixture_ struct fixture f = fixture_new("'containers': [{'name': 'a', 'image': 'x', 'resources': "
                                                         "{'limits': {'cpu': '1500m', 'memory': '64Mi'}, "
                                                         "'requests': {'cpu': '250m', 'memory': '32Mi'}}}]",
                                                         NULL);
        V1Node *node =
                fixture_object(f.arena, &v1_node__descriptor,
                               "{'metadata': {'name': 'n'}, 'status': {'allocatable': {'cpu': '4', 'memory': '8Gi', "
                               "'ephemeral-storage': '7Gi'}}}");
        struct downward d = { .pod = f.pod, .node = node };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                V1Quantity divisor = V1_QUANTITY__INIT;
                V1ResourceFieldSelector selector = V1_RESOURCE_FIELD_SELECTOR__INIT;
                _cleanup_free_ char *text = NULL;

                selector.resource = (char *)cases[i].resource;
                divisor.string = (char *)cases[i].divisor;
                selector.divisor = cases[i].divisor ? &divisor : NULL;
                assert_ok(downward_resource(&d, f.pod->spec->containers[0], &selector, &text));
                assert_string_equal(text, cases[i].text);
        }
}

TEST(a_limit_that_is_not_set_or_zero_is_what_the_node_can_allocate) {
        static const struct {
                const char *container, *resource, *text; /* container NULL: the asking one */
        } cases[] = {
                { NULL, "limits.cpu", "4" }, { NULL, "limits.memory", "1" },
                { "b", "limits.cpu", "4" },  { "b", "limits.memory", "8589934592" },
                { "i", "limits.cpu", "0" },  { "i", "requests.cpu", "0" },
        };
        _cleanup_fixture_ struct fixture f = fixture_new(
                "'initContainers': [{'name': 'i', 'image': 'x'}], 'containers': [{'name': 'a', 'image': 'x', "
                "'resources': {'limits': {'cpu': '0', 'memory': '1'}}}, {'name': 'b', 'image': 'x'}]",
                NULL);
        V1Node *node = fixture_object(f.arena, &v1_node__descriptor,
                                      "{'metadata': {'name': 'n'}, 'status': {'allocatable': {'cpu': '4', 'memory': "
                                      "'8Gi'}}}");
        struct downward d = { .pod = f.pod, .node = node };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                V1ResourceFieldSelector selector = V1_RESOURCE_FIELD_SELECTOR__INIT;
                _cleanup_free_ char *text = NULL;

                selector.resource = (char *)cases[i].resource;
                selector.containername = (char *)cases[i].container;
                assert_ok(downward_resource(&d, f.pod->spec->containers[0], &selector, &text));
                assert_string_equal(text, cases[i].text);
        }
}

TEST(config_maps_and_secrets_give_single_variables_and_whole_sets) {
        _cleanup_fixture_ struct fixture f = fixture_new(
                "'containers': [{'name': 'a', 'image': 'x', 'envFrom': [{'configMapRef': {'name': 'c'}}, "
                "{'prefix': 'S_', 'secretRef': {'name': 's'}}, {'configMapRef': {'name': 'none', 'optional': true}}], "
                "'env': ["
                "{'name': 'COLOR', 'valueFrom': {'configMapKeyRef': {'name': 'c', 'key': 'color'}}},"
                "{'name': 'PASS', 'valueFrom': {'secretKeyRef': {'name': 's', 'key': 'pass'}}},"
                "{'name': 'REF', 'value': '$(number)-$(S_pass)'}, {'name': 'number', 'value': '6'},"
                "{'name': 'NO1', 'valueFrom': {'configMapKeyRef': {'name': 'none', 'key': 'k', 'optional': true}}},"
                "{'name': 'NO2', 'valueFrom': {'secretKeyRef': {'name': 's', 'key': 'k', 'optional': true}}}]}]",
                NULL);
        _cleanup_env_ struct env env = { 0 };

        fixture_put(&f, "ConfigMap", "c", "'data': {'color': 'blue', 'number': '5'}");
        fixture_put(&f, "Secret", "s", "'data': {'pass': 'aHVzaA=='}");
        assert_ok(build(&f, &env));
        assert_string_equal(value(&env, "COLOR"), "blue");
        assert_string_equal(value(&env, "color"), "blue");
        assert_string_equal(value(&env, "PASS"), "hush");
        assert_string_equal(value(&env, "S_pass"), "hush");
        assert_string_equal(value(&env, "REF"), "5-hush");
        assert_string_equal(value(&env, "number"), "6");
        assert_null(value(&env, "NO1"));
        assert_null(value(&env, "NO2"));
}

TEST(what_is_missing_is_said_in_the_kubelets_words) {
        static const char *const cases[][2] = {
                { "'configMapKeyRef': {'name': 'none', 'key': 'k'}", "configmap \"none\" not found" },
                { "'configMapKeyRef': {'name': 'c', 'key': 'k'}", "couldn't find key k in ConfigMap default/c" },
                { "'secretKeyRef': {'name': 'none', 'key': 'k'}", "secret \"none\" not found" },
                { "'secretKeyRef': {'name': 's', 'key': 'k'}", "couldn't find key k in Secret default/s" },
                { "'secretKeyRef': {'name': 's', 'key': 'nul'}", "NUL byte" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec = xasprintf("'containers': [{'name': 'a', 'image': 'x', 'env': "
                                                      "[{'name': 'X', 'valueFrom': {%s}}]}]",
                                                      cases[i][0]);
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                _cleanup_env_ struct env env = { 0 };
                struct error *err;

                fixture_put(&f, "ConfigMap", "c", "'data': {'color': 'blue'}");
                fixture_put(&f, "Secret", "s", "'data': {'pass': 'aHVzaA==', 'nul': 'YQBi'}");
                err = build(&f, &env);
                assert_non_null(err);
                assert_non_null(strstr(error_message(err), cases[i][1]));
                error_free(err);
        }
}

TEST(command_and_args_replace_entrypoint_and_cmd_by_kubernetes_rules) {
        static const struct {
                const char *spec, *argv;
        } cases[] = {
                { "", "E1 C1 C2" },
                { ", 'args': ['A1']", "E1 A1" },
                { ", 'command': ['X1', '$(V)']", "X1 v" },
                { ", 'command': ['X1'], 'args': ['$$(V)', '$(U)']", "X1 $(V) $(U)" },
        };
        struct image image = { .entrypoint = (char *[]){ "E1", NULL }, .cmd = (char *[]){ "C1", "C2", NULL } },
                     none = { 0 };
        char *const variables[] = { "V=v", NULL };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec = xasprintf("'containers': [{'name': 'a', 'image': 'x'%s}]", cases[i].spec);
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                _cleanup_strv_ char **argv = NULL;
                _cleanup_free_ char *joined = NULL;

                assert_ok(env_command(f.pod->spec->containers[0], &image, variables, &argv));
                joined = strv_join(argv, " ");
                assert_string_equal(joined, cases[i].argv);
                if (i == 0)
                        assert_error(env_command(f.pod->spec->containers[0], &none, variables, &argv), ERROR_INVALID,
                                     "no command specified");
        }
}

TEST(an_env_file_is_read_as_a_shell_reads_it) {
        static const struct {
                const char *text, *key, *value, *error;
        } cases[] = {
                { "  A='1'\n\tB='2'\nC='3'\n", "B", "2", NULL },
                { "# c\n\n  # d\nA='x # y' # z\n", "A", "x # y", NULL },
                { "A='one\n\n  two'\nB='3'", "A", "one\n\n  two", NULL },
                { "A='one\n\n  two'\nB='3'", "B", "3", NULL },
                { "A=''\n", "A", "", NULL },
                { "A='1'\n", "B", NULL, NULL },
                { "", "A", NULL, NULL },
                { "A ='1'\n", "A", NULL, "whitespace before '=' is not allowed" },
                { "A= '1'\n", "A", NULL, "single quotes" },
                { "A=1\n", "A", NULL, "single quotes" },
                { "A=\"1\"\n", "A", NULL, "single quotes" },
                { "A='1''2'\n", "A", NULL, "unexpected content after closing quote" },
                { "A='1'\nB='x\n", "B", NULL, "line 2: unclosed single quote" },
                { "='1'\n", "A", NULL, "at line 1" },
                { "A='1'\nWORD\n", "B", NULL, "at line 2" },
                { "A='1\n2'\nWORD\n", "B", NULL, "at line 3" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *found = NULL;

                if (cases[i].error) {
                        assert_error(env_file_value(cases[i].text, strlen(cases[i].text), cases[i].key, &found),
                                     ERROR_INVALID, cases[i].error);
                        continue;
                }
                assert_ok(env_file_value(cases[i].text, strlen(cases[i].text), cases[i].key, &found));
                assert_true(streq_ptr(found, cases[i].value));
        }
}

static int open_volume(void *userdata, const char *name) {
        const struct fixture *f = userdata;
        _cleanup_free_ char *path = fixture_path(f, name);
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

TEST(a_key_of_a_file_cannot_be_read_from_outside_its_volume) {
        static const struct {
                const char *ref, *value, *error;
        } cases[] = {
                { "'path': 'ok.env', 'key': 'A'", "1", NULL },
                { "'path': 'ok.env', 'key': 'B', 'optional': true", NULL, NULL },
                { "'path': 'none.env', 'key': 'A', 'optional': true", NULL, NULL },
                { "'path': 'ok.env', 'key': 'B'", NULL, "environment variable key \"B\" not found in file \"ok.env\"" },
                { "'path': 'none.env', 'key': 'A'", NULL, "No such file" },
                { "'path': 'link.env', 'key': 'A'", NULL, "No such file" },
                { "'path': 'pipe.env', 'key': 'A'", NULL, "no regular file" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *spec =
                        xasprintf("'volumes': [{'name': 'd', 'emptyDir': {}}], 'containers': [{'name': "
                                  "'a', 'image': 'x', 'env': [{'name': 'X', 'valueFrom': {'fileKeyRef': "
                                  "{'volumeName': 'd', %s}}}]}]",
                                  cases[i].ref);
                _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
                _cleanup_free_ char *link = fixture_path(&f, "d/link.env"), *pipe = fixture_path(&f, "d/pipe.env");
                _cleanup_env_ struct env env = { 0 };
                struct env_config config = { .store = f.store,
                                             .downward = { .pod = f.pod },
                                             .container = f.pod->spec->containers[0],
                                             .open_volume = open_volume,
                                             .userdata = &f };
                struct error *err;

                fixture_write(&f, "d/ok.env", "A='1'\n");
                fixture_write(&f, "secret.env", "A='host'\n");
                assert_int_equal(symlink("../secret.env", link), 0);
                assert_int_equal(mkfifo(pipe, 0600), 0);
                err = env_build(&config, &env);
                if (cases[i].error) {
                        assert_non_null(err);
                        if (!strstr(error_message(err), cases[i].error))
                                fail_msg("%s", error_message(err));
                        error_free(err);
                        continue;
                }
                assert_ok(err);
                assert_true(streq_ptr(value(&env, "X"), cases[i].value));
        }
}
