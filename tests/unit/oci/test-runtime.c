#include "container.h"

/* Starts a container that cannot run; what the failure is taken for. */
static struct oci_failure failure_of(const char *more) {
        _cleanup_free_ char *spec = xasprintf("'containers': [{'name': 'app', 'image': 'x', %s}]", more);
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        _cleanup_container_ struct container c = { 0 };
        _cleanup_free_ char *out = NULL, *log = NULL, *message = NULL;
        struct oci_failure failure;
        int status;

        assert_ok(container_prepare(&c, &f, 0, NULL));
        fixture_write(&f, "layer/bin/plain", "no program\n");
        out = container_run(&c, &status, &log);
        assert_int_not_equal(status, 0);
        message = oci_runtime_log_message(log, strlen(log));
        oci_failure_of(message, status, "app", c.argv[0], &failure);
        return failure;
}

TEST(a_program_that_cannot_be_started_is_named_as_a_kubelet_names_it) {
        static const struct {
                const char *container, *message;
                bool missing;
        } cases[] = {
                { "'command': ['nosuch', 'arg']", "exec: \"nosuch\": executable file not found in $PATH", true },
                { "'command': ['/bin/nosuch']", "exec: \"/bin/nosuch\": executable file not found in $PATH", true },
                { "'command': ['/bin/plain']", "exec: \"/bin/plain\": permission denied", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct oci_failure failure = failure_of(cases[i].container);

                assert_string_equal(failure.reason, "StartError");
                assert_int_equal(failure.exit_code, 128);
                if (!strstr(failure.message, cases[i].message))
                        fail_msg("%s", failure.message);
                assert_int_equal(failure.command_missing, cases[i].missing);
                assert_true(str_starts_with(failure.message, "failed to start container \"app\": "));
                oci_failure_release(&failure);
        }
}

TEST(a_runtime_that_is_not_there_is_no_fault_of_the_container) {
        struct oci_failure failure;

        oci_failure_of("", -1, "app", "sh", &failure);
        assert_string_equal(failure.reason, "RunContainerError");
        assert_non_null(strstr(failure.message, "could not be run"));
        oci_failure_release(&failure);
        oci_failure_of(NULL, 1 << 8, "app", "sh", &failure);
        assert_string_equal(failure.reason, "StartError");
        assert_non_null(strstr(failure.message, "exit status 1"));
        oci_failure_release(&failure);
}

TEST(the_newest_error_of_a_log_counts) {
        static const char *const cases[][2] = {
                { "{\"msg\":\"a\",\"level\":\"error\"}\n{\"msg\":\"b `x`\",\"level\":\"error\"}\n", "b `x`" },
                { "{\"msg\":\"a\",\"level\":\"error\"}\n{\"msg\":\"b\",\"level\":\"debug\"}\n", "a" },
                { "plain words\n", "plain words" },
                { "{\"msg\":\"line\\nbreak\\u0007\"}", "line break" },
                { "", "" },
                { "\n\n", "" },
                { "{\"msg\":5}\n", "" },
                { "{\"broken", "{\"broken" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *message = oci_runtime_log_message(cases[i][0], strlen(cases[i][0]));

                assert_string_equal(message, cases[i][1]);
        }
}

/* Runs "<runtime> VERB ID [more]", as a person does, and returns what it prints. */
static char *runtime_says(const struct container *c, const char *verb, const char *more) {
        char **argv = strv_add(strv_add(strv_add(NULL, c->runtime.program), "--root"), c->runtime.state_root);
        int status;

        argv = strv_add(strv_add(argv, verb), c->id);
        char *out = run_argv(more ? strv_add(argv, more) : argv, &status, NULL);
        assert_int_equal(status, 0);
        return out;
}

TEST(a_running_container_takes_commands_and_signals) {
        _cleanup_fixture_ struct fixture f =
                fixture_new("'containers': [{'name': 'a', 'image': 'x', 'command': ['sh', '-c', 'exec >/dev/null 2>&1; "
                            "exec sleep 1000'], "
                            "'env': [{'name': 'A', 'value': '1'}], 'securityContext': {'runAsUser': 1000}}]",
                            NULL);
        _cleanup_container_ struct container c = { 0 };
        _cleanup_free_ char *err = NULL, *out = NULL, *shown = NULL, *state2 = NULL, *said = NULL, *killed = NULL;
        char *process_path = NULL,
             *command[] = { "sh", "-c", "id -u; echo $A; grep -E \"Seccomp:|CapBnd\" /proc/self/status", NULL };
        json_t *process;
        int status;

        assert_ok(container_prepare(&c, &f, 0, NULL));
        out = container_run(&c, &status, &err);
        assert_int_equal(status, 0);
        shown = runtime_says(&c, "state", NULL);
        json_auto_t *parsed = json_loads(shown, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(parsed, "status")), "running");
        pid_t pid = (pid_t)json_integer_value(json_object_get(parsed, "pid"));
        assert_true(pid > 1);

        process = oci_process_for_exec(c.spec, command, false);
        process_path = path_join(c.bundle, "process.json");
        assert_int_equal(json_dump_file(process, process_path, 0), 0);
        said = run_argv(oci_runtime_exec_argv(&c.runtime, c.id, process_path, NULL, NULL, false), &status, NULL);
        assert_string_equal(said, "1000\n1\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n");
        free(process_path);
        json_decref(process);

        killed = runtime_says(&c, "kill", "KILL");
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        state2 = runtime_says(&c, "state", NULL);
        assert_non_null(strstr(state2, "\"stopped\""));
}
