#include "world.h"

/* ---- coming up ---- */

TEST(a_pod_comes_up_sandbox_first) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'},{'name':'b','image':'x'}]}");
        pod_step(w.pod);
        assert_lines(&w, "admit\nsandbox-start 0\nvolumes\n");
        assert_string_equal(w.status->phase, "Pending");
        assert_string_equal(world_state(&w, "a"), "waiting/ContainerCreating");
        assert_string_equal(world_condition_text(&w, "PodReadyToStartContainers"), "False");
        world_run(&w);
        assert_lines(&w, "start a/0\nstart b/0\n");
        assert_string_equal(w.status->phase, "Running");
        assert_string_equal(world_state(&w, "a"), "running");
        assert_string_equal(world_last_state(&w, "a"), "none");
        assert_string_equal(world_condition_text(&w, "PodReadyToStartContainers"), "True");
        assert_string_equal(world_condition_text(&w, "PodScheduled"), "True");
        assert_string_equal(world_condition_text(&w, "Initialized"), "True");
        assert_string_equal(world_condition_text(&w, "ContainersReady"), "True");
        assert_string_equal(world_condition_text(&w, "Ready"), "True");
        assert_int_equal(world_condition(&w, "Ready")->observedgeneration, 1);
        assert_string_equal(w.status->podip, "10.88.0.2");
        assert_string_equal(w.status->hostip, "192.0.2.1");
        assert_string_equal(w.status->qosclass, "BestEffort");
        assert_int_equal(w.status->observedgeneration, 1);
        assert_string_equal(world_status(&w, "a")->containerid, "husk://a-0");
        assert_string_equal(world_status(&w, "a")->imageid, "x@sha256:1");
        assert_int_equal(world_status(&w, "a")->user->linux->gid, 0);
        assert_int_equal(world_status(&w, "a")->user->linux->n_supplementalgroups, 2);
        assert_int_equal(world_event(&w, "Scheduled", "Successfully assigned default/web to node1"), 1);
        assert_int_equal(world_event(&w, "Pulled",
                                     "Container image \"x\" already present on machine and can be accessed by the pod"),
                         2);
        assert_int_equal(world_event(&w, "Created", "Container created"), 2);
        assert_int_equal(world_event(&w, "Started", "Container started"), 2);
}

TEST(a_settled_pod_is_quiet) {
        _cleanup_world_ struct world w;
        unsigned published, saved;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        published = w.n_published;
        saved = w.n_saved;
        assert_true(w.wake_ns == INT64_MAX);
        for (int i = 0; i < 10; i++)
                pod_step(w.pod);
        pod_objects_changed(w.pod);
        pod_node_changed(w.pod);
        world_advance(&w, 86400);
        assert_int_equal(w.n_published, published);
        assert_int_equal(w.n_saved, saved);
}

TEST(init_containers_run_one_after_the_other_before_the_rest) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'initContainers':[{'name':'i','image':'x'},{'name':'j','image':'x'}],'containers':[{'name':'a'"
                       ",'image':'x'}]}");
        world_program(&w, "i")->runs_ns = SECONDS(5);
        world_program(&w, "j")->runs_ns = SECONDS(5);
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "i"), "running");
        assert_true(world_status(&w, "i")->started);
        assert_false(world_status(&w, "i")->ready);
        assert_string_equal(world_state(&w, "j"), "waiting/PodInitializing");
        assert_string_equal(world_state(&w, "a"), "waiting/PodInitializing");
        assert_false(world_status(&w, "j")->started);
        assert_string_equal(w.status->phase, "Pending");
        assert_string_equal(world_condition_text(&w, "Initialized"), "False/ContainersNotInitialized");
        assert_string_equal(world_condition(&w, "Initialized")->message, "containers with incomplete status: [i j]");
        assert_string_equal(world_condition(&w, "Ready")->message, "containers with unready status: [a]");
        world_advance(&w, 5);
        assert_string_equal(world_state(&w, "i"), "terminated/Completed");
        assert_true(world_status(&w, "i")->ready);
        assert_string_equal(world_condition(&w, "Initialized")->message, "containers with incomplete status: [j]");
        world_advance(&w, 5);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_string_equal(w.status->phase, "Running");
        assert_string_equal(world_condition_text(&w, "Initialized"), "True");
        assert_lines(&w, "admit\nsandbox-start 0\nvolumes\nstart i/0\nstart j/0\nstart a/0\n");
}

TEST(a_failed_init_container_fails_a_never_pod_and_is_retried_otherwise) {
        static const struct {
                const char *policy, *own, *phase, *state;
                int restarts;
        } rows[] = {
                { "Never", NULL, "Failed", "terminated/Error", 0 },
                { "OnFailure", NULL, "Pending", "waiting/CrashLoopBackOff", 1 },
                { "Always", NULL, "Pending", "waiting/CrashLoopBackOff", 1 },
                { "Always", "Never", "Failed", "terminated/Error", 0 },
                { "Never", "OnFailure", "Pending", "waiting/CrashLoopBackOff", 1 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_world_ struct world w;
                _cleanup_free_ char *own = rows[i].own ? xasprintf(",'restartPolicy':'%s'", rows[i].own) : xstrdup("");
                _cleanup_free_ char *spec =
                        xasprintf("{'restartPolicy':'%s','initContainers':[{'name':'i','image':'x'%s}],"
                                  "'containers':[{'name':'a','image':'x'}]}",
                                  rows[i].policy, own);

                world_init(&w, spec);
                world_program(&w, "i")->runs_ns = 0;
                world_program(&w, "i")->exit_code = 7;
                pod_step(w.pod);
                world_run(&w);
                assert_string_equal(w.status->phase, rows[i].phase);
                assert_string_equal(world_state(&w, "i"), rows[i].state);
                assert_int_equal(world_status(&w, "i")->restartcount, rows[i].restarts);
                assert_string_equal(world_state(&w, "a"), "waiting/PodInitializing");
                assert_string_equal(world_condition_text(&w, "Initialized"), "False/ContainersNotInitialized");
                if (streq(rows[i].phase, "Failed"))
                        assert_true(w.finished && w.end == POD_END_TERMINAL);
        }
}

TEST(init_containers_are_not_run_again_when_a_main_one_restarts) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'initContainers':[{'name':'i','image':'x'}],'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "i")->runs_ns = 0;
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 1);
        world_run(&w);
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
        assert_int_equal(world_status(&w, "i")->restartcount, 0);
}

/* ---- sidecars ---- */

#define SIDECAR_POD \
        "{'restartPolicy':'%s','initContainers':[{'name':'s','image':'x','restartPolicy':'Always'},{'name':'t','" \
        "image':'x','restartPolicy':'Always'}],'containers':[{'name':'a','image':'x'}]}"

TEST(the_next_container_waits_for_the_startup_probe_of_a_sidecar) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'initContainers':[{'name':'s','image':'x','restartPolicy':'Always','startupProbe':{'exec':{'"
                       "command':['p']},"
                       "'periodSeconds':1,'failureThreshold':100}}],'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "s")->result[RUN_STARTUP_PROBE] = RUN_FAILURE;
        pod_step(w.pod);
        world_advance(&w, 5);
        assert_string_equal(world_state(&w, "s"), "running");
        assert_false(world_status(&w, "s")->started);
        assert_string_equal(world_state(&w, "a"), "waiting/PodInitializing");
        assert_string_equal(w.status->phase, "Pending");
        world_program(&w, "s")->result[RUN_STARTUP_PROBE] = RUN_SUCCESS;
        world_advance(&w, 1);
        assert_true(world_status(&w, "s")->started);
        assert_true(world_status(&w, "s")->ready);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_int_equal(world_event(&w, "Unhealthy", "Startup probe failed: said so"), 6);
}

TEST(a_sidecar_is_restarted_whatever_the_policy_and_its_exit_code) {
        _cleanup_world_ struct world w;
        _cleanup_free_ char *spec = xasprintf(SIDECAR_POD, "Never");

        world_init(&w, spec);
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "s", 0);
        assert_int_equal(world_status(&w, "s")->restartcount, 1);
        assert_string_equal(world_state(&w, "s"), "running");
        assert_string_equal(w.status->phase, "Running");
        assert_int_equal(world_status(&w, "a")->restartcount, 0);
}

TEST(sidecars_do_not_keep_a_finished_pod_alive_and_stop_in_reverse_order) {
        _cleanup_world_ struct world w;
        _cleanup_free_ char *spec = xasprintf(SIDECAR_POD, "Never"), *lines = NULL;

        world_init(&w, spec);
        world_program(&w, "s")->term_takes_ns = SECONDS(1);
        world_program(&w, "t")->term_takes_ns = SECONDS(1);
        pod_step(w.pod);
        world_run(&w);
        lines = world_take_lines(&w);
        world_die(&w, "a", 0);
        assert_string_equal(w.status->phase, "Running");
        assert_lines(&w, "ask t/0\n");
        world_advance(&w, 1);
        assert_lines(&w, "ask s/0\n");
        world_advance(&w, 1);
        assert_lines(&w, "sandbox-stop 0\nfinished\n");
        assert_string_equal(w.status->phase, "Succeeded");
        assert_string_equal(world_state(&w, "s"), "terminated/Error");
        assert_string_equal(world_condition_text(&w, "Ready"), "False/PodCompleted");
        assert_string_equal(world_condition_text(&w, "ContainersReady"), "False/PodCompleted");
        assert_string_equal(world_condition_text(&w, "Initialized"), "True/PodCompleted");
        assert_string_equal(world_condition_text(&w, "PodScheduled"), "True");
        assert_int_equal(w.end, POD_END_TERMINAL);
}

TEST(on_deletion_a_sidecar_waits_for_the_mains_but_its_prestop_runs_at_once) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'initContainers':[{'name':'s','image':'x','restartPolicy':'Always','lifecycle':{'preStop':{'"
                       "exec':{'command':['p']}}}}],"
                       "'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->term_takes_ns = SECONDS(3);
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        world_delete(&w, 20);
        world_run(&w);
        assert_lines(&w, "preStop s\nask a/0\n");
        world_advance(&w, 2);
        assert_lines(&w, "");
        world_advance(&w, 1);
        assert_lines(&w, "ask s/0\nsandbox-stop 0\nfinished\n");
        assert_int_equal(w.end, POD_END_DELETED);
}

TEST(a_deletion_with_more_grace_than_a_lost_sandbox_left_makes_sidecars_wait_longer) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'terminationGracePeriodSeconds':2,'initContainers':[{'name':'s','image':'x','restartPolicy':'"
                       "Always'}],'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->ignores_term = true;
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        w.sandbox_exists = false;
        pod_sandbox_died(w.pod, 0);
        world_delete(&w, 7);
        world_advance(&w, 1);
        assert_lines(&w, "ask a/0\n");
        world_advance(&w, 10);
        assert_lines(&w, "kill a/0\nask s/0\nsandbox-stop 0\nfinished\n");
}

TEST(a_sidecar_whose_turn_never_comes_gets_two_seconds_after_the_grace_period) {
        _cleanup_world_ struct world w;
        _cleanup_free_ char *spec = xasprintf(SIDECAR_POD, "Always");

        world_init(&w, spec);
        for (size_t i = 0; i < w.n_programs; i++)
                w.programs[i].ignores_term = true;
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        world_delete(&w, 10);
        world_advance(&w, 9.9);
        assert_lines(&w, "ask a/0\n");
        world_advance(&w, 0.2); /* 10 s: both sidecars are out of patience, the main one is killed */
        assert_lines(&w, "ask s/0\nask t/0\nkill a/0\n");
        world_advance(&w, 2);
        assert_lines(&w, "kill s/0\nkill t/0\nsandbox-stop 0\nfinished\n");
}

/* ---- restarts ---- */

TEST(the_restart_policy_decides) {
        static const struct {
                const char *policy;
                int code;
                const char *phase;
                bool restarted;
        } rows[] = {
                { "Never", 0, "Succeeded", false },     { "Never", 3, "Failed", false },
                { "OnFailure", 0, "Succeeded", false }, { "OnFailure", 3, "Running", true },
                { "Always", 0, "Running", true },       { "Always", 3, "Running", true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_world_ struct world w;
                _cleanup_free_ char *spec =
                        xasprintf("{'restartPolicy':'%s','containers':[{'name':'a','image':'x'}]}", rows[i].policy);

                world_init(&w, spec);
                pod_step(w.pod);
                world_run(&w);
                world_advance(&w, 1);
                world_die(&w, "a", rows[i].code);
                assert_string_equal(w.status->phase, rows[i].phase);
                assert_int_equal(world_status(&w, "a")->restartcount, rows[i].restarted);
                if (rows[i].restarted) {
                        assert_string_equal(world_state(&w, "a"), "running");
                        assert_int_equal(world_status(&w, "a")->laststate->terminated->exitcode, rows[i].code);
                        assert_string_equal(world_status(&w, "a")->laststate->terminated->containerid, "husk://a-0");
                        assert_string_equal(world_status(&w, "a")->containerid, "husk://a-1");
                } else {
                        assert_string_equal(world_state(&w, "a"),
                                            rows[i].code ? "terminated/Error" : "terminated/Completed");
                        assert_string_equal(world_condition_text(&w, "Ready"),
                                            rows[i].code ? "False/PodFailed" : "False/PodCompleted");
                }
        }
}

TEST(back_off_is_at_once_then_10_s_doubling_to_300_s) {
        static const int waits[] = { 0, 10, 20, 40, 80, 160, 300, 300 };
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->exit_code = 1;
        world_program(&w, "a")->runs_ns = SECONDS(1);
        pod_step(w.pod);
        world_run(&w);
        for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
                world_advance(&w, 1); /* it ends */
                if (waits[i]) {
                        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
                        assert_string_equal(world_last_state(&w, "a"), "terminated/Error");
                        assert_int_equal(world_status(&w, "a")->restartcount, i);
                        assert_string_equal(w.status->phase, "Running");
                        world_advance(&w, waits[i] - 0.001);
                        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
                        world_advance(&w, 0.001);
                }
                assert_string_equal(world_state(&w, "a"), "running");
                assert_int_equal(world_status(&w, "a")->restartcount, i + 1);
        }
        assert_int_equal(world_event(&w, "BackOff", "Back-off restarting failed container a in pod web_default(u1)"),
                         ARRAY_SIZE(waits) - 1);
}

TEST(the_message_of_crash_loop_back_off_is_the_kubelets) {
        static const char *const delays[] = { "10s", "20s", "40s", "1m20s", "2m40s", "5m0s" };
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->runs_ns = 0;
        pod_step(w.pod);
        world_run(&w);
        for (size_t i = 0; i < ARRAY_SIZE(delays); i++) {
                _cleanup_free_ char *expected =
                        xasprintf("back-off %s restarting failed container=a pod=web_default(u1)", delays[i]);

                assert_string_equal(world_status(&w, "a")->state->waiting->message, expected);
                world_run_until(&w, w.wake_ns);
        }
}

TEST(ten_minutes_of_running_begin_the_series_anew) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 1);
        world_die(&w, "a", 1);
        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
        world_advance(&w, 10);
        world_advance(&w, 601);
        world_die(&w, "a", 1);
        assert_string_equal(world_state(&w, "a"), "running"); /* at once */
        world_die(&w, "a", 1);
        assert_true(strstr(world_status(&w, "a")->state->waiting->message, "back-off 10s") != NULL);
}

TEST(a_finished_container_beside_a_running_one_keeps_the_pod_running_and_not_ready) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'restartPolicy':'Never','containers':[{'name':'a','image':'x'},{'name':'b','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 0);
        assert_string_equal(w.status->phase, "Running");
        assert_string_equal(world_condition_text(&w, "Ready"), "False/ContainersNotReady");
        world_die(&w, "b", 2);
        assert_string_equal(w.status->phase, "Failed");
}

TEST(a_containers_own_policy_comes_before_the_pods) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'once','image':'x','restartPolicy':'Never'},{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "once", 4);
        world_advance(&w, 100);
        assert_string_equal(world_state(&w, "once"), "terminated/Error");
        assert_int_equal(world_status(&w, "once")->restartcount, 0);
        assert_string_equal(w.status->phase, "Running");
}

TEST(a_restart_rule_comes_before_the_policy) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'restartPolicy':'Never','containers':[{'name':'a','image':'x','restartPolicy':'Never','"
                       "restartPolicyRules':["
                       "{'action':'Restart','exitCodes':{'operator':'In','values':[42]}}]}]}");
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 42);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
        world_die(&w, "a", 41);
        assert_string_equal(w.status->phase, "Failed");
        assert_string_equal(world_state(&w, "a"), "terminated/Error");
}

TEST(a_rule_restarts_all_containers_in_the_same_sandbox_without_prestop) {
        _cleanup_world_ struct world w;

        world_init(
                &w,
                "{'restartPolicy':'Never','initContainers':[{'name':'i','image':'x'},{'name':'s','image':'x','"
                "restartPolicy':'Always'}],"
                "'containers':[{'name':'a','image':'x','restartPolicy':'Never','restartPolicyRules':["
                "{'action':'RestartAllContainers','exitCodes':{'operator':'In','values':[88]}}]},"
                "{'name':'b','image':'x','lifecycle':{'preStop':{'sleep':{'seconds':5}}}},{'name':'c','image':'x'}]}");
        world_program(&w, "i")->runs_ns = 0;
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_condition_text(&w, "AllContainersRestarting"), "False");
        world_die(&w, "c", 0);
        free(world_take_lines(&w));
        world_exit_at(&w, "a", 0, w.now_ns, 88, 0);
        /* the exit alone, to see what the pod looks like meanwhile */
        {
                struct answer a = w.answers[--w.n_answers];

                world_deliver(&w, a);
        }
        assert_string_equal(world_condition_text(&w, "AllContainersRestarting"), "True/RestartAllContainersStarted");
        world_run(&w);
        assert_lines(&w, "kill s/0\nkill b/0\nstart i/1\nstart s/1\nstart a/1\nstart b/1\nstart c/1\n");
        assert_string_equal(world_condition_text(&w, "AllContainersRestarting"), "False");
        assert_string_equal(world_condition_text(&w, "Initialized"), "True");
        assert_string_equal(world_status(&w, "b")->laststate->terminated->reason, "RestartingAllContainers");
        assert_int_equal(world_status(&w, "a")->laststate->terminated->exitcode, 88);
        assert_int_equal(world_status(&w, "i")->restartcount, 1);
        assert_string_equal(w.status->phase, "Running");
}

TEST(an_out_of_memory_kill_and_a_termination_message_are_shown) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'restartPolicy':'Never','containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->oom = true;
        world_program(&w, "a")->message = "all done";
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 137);
        assert_string_equal(world_state(&w, "a"), "terminated/OOMKilled");
        assert_string_equal(world_status(&w, "a")->state->terminated->message, "all done");
        assert_int_equal(world_status(&w, "a")->state->terminated->exitcode, 137);
}

/* ---- what cannot start ---- */

TEST(a_program_that_cannot_be_executed_is_a_failed_run) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'restartPolicy':'Never','containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->start_fails = START_START_ERROR + 1;
        world_program(&w, "a")->message = "exec /no/such: no such file or directory";
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(w.status->phase, "Failed");
        assert_string_equal(world_state(&w, "a"), "terminated/StartError");
        assert_int_equal(world_status(&w, "a")->state->terminated->exitcode, 128);
        assert_int_equal(world_status(&w, "a")->state->terminated->startedat->seconds, 0);
        assert_int_equal(world_event(&w, "Failed", "Error: exec /no/such: no such file or directory"), 1);
}

TEST(a_program_that_cannot_be_executed_waits_for_its_next_try) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->start_fails = START_START_ERROR + 1;
        world_program(&w, "a")->message = "exec /no/such: no such file or directory";
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "waiting/RunContainerError");
        assert_string_equal(world_status(&w, "a")->state->waiting->message, "exec /no/such: no such file or directory");
        assert_string_equal(world_last_state(&w, "a"), "terminated/StartError");
        world_advance(&w, 20);
        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
        world_delete(&w, 0);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "terminated/StartError");
}

TEST(what_cannot_be_created_waits_and_is_tried_again) {
        static const struct {
                enum start_failure failure;
                const char *state;
        } rows[] = {
                { START_CONFIG_ERROR, "waiting/CreateContainerConfigError" },
                { START_CREATE_ERROR, "waiting/CreateContainerError" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_world_ struct world w;

                world_init(&w, "{'restartPolicy':'Never','containers':[{'name':'a','image':'x'}]}");
                world_program(&w, "a")->start_fails = rows[i].failure + 1;
                world_program(&w, "a")->message = "configmap \"c\" not found";
                pod_step(w.pod);
                world_run(&w);
                assert_string_equal(world_state(&w, "a"), rows[i].state);
                assert_string_equal(world_status(&w, "a")->state->waiting->message, "configmap \"c\" not found");
                assert_string_equal(w.status->phase, "Pending");
                assert_int_equal(world_status(&w, "a")->restartcount, 0);
                world_advance(&w, 25);
                assert_int_equal(world_event(&w, "Failed", "Error: configmap \"c\" not found"), 3);
                world_program(&w, "a")->start_fails = 0;
                pod_objects_changed(w.pod); /* at once, not after the ten seconds */
                world_run(&w);
                assert_string_equal(world_state(&w, "a"), "running");
                assert_int_equal(world_status(&w, "a")->restartcount, 0);
        }
}

TEST(volumes_that_fail_keep_the_pod_creating_until_they_heal) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        w.volumes_fail = "MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found";
        pod_step(w.pod);
        world_advance(&w, 3.4); /* tried at 0, 0.5, 1.5, 3.5 … */
        assert_int_equal(world_event(&w, "FailedMount", w.volumes_fail), 3);
        assert_string_equal(world_state(&w, "a"), "waiting/ContainerCreating");
        assert_string_equal(w.status->phase, "Pending");
        w.volumes_fail = NULL;
        pod_objects_changed(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "running");
}

TEST(a_pod_that_ends_while_its_sandbox_is_made_does_not_wait_for_that) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        w.hold_sandbox = true;
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        world_delete(&w, 20);
        world_run(&w);
        assert_lines(&w, "sandbox-stop 0\nfinished\n");
        assert_int_equal(w.end, POD_END_DELETED);
}

TEST(a_sandbox_that_cannot_be_made_is_tried_again) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        w.sandbox_fails = "no address left";
        pod_step(w.pod);
        world_advance(&w, 3.5);
        assert_int_equal(world_event(&w, "FailedCreatePodSandBox", "Failed to create pod sandbox: no address left"), 3);
        w.sandbox_fails = NULL;
        world_advance(&w, 10);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_int_equal(w.sandbox_attempt, 3);
}

/* ---- images ---- */

TEST(an_absent_image_with_policy_never_is_not_pulled) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','imagePullPolicy':'Never'}]}");
        w.absent_image = "x";
        pod_step(w.pod);
        world_advance(&w, 15);
        assert_string_equal(world_state(&w, "a"), "waiting/ErrImageNeverPull");
        assert_string_equal(world_status(&w, "a")->state->waiting->message,
                            "Container image \"x\" is not present with pull policy of Never");
        assert_string_equal(w.status->phase, "Pending");
        assert_int_equal(world_event(&w, "Failed", "Error: ErrImageNeverPull"), 2);
        assert_true(pod_waits_for_image(w.pod));
        w.absent_image = NULL; /* loaded */
        pod_images_changed(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "running");
}

TEST(a_pull_that_fails_is_shown_and_backed_off) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','imagePullPolicy':'IfNotPresent'}]}");
        w.absent_image = "x";
        w.pull_fails = "connection refused";
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "waiting/ErrImagePull");
        assert_string_equal(world_status(&w, "a")->state->waiting->message, "connection refused");
        world_advance(&w, 2);
        assert_string_equal(world_state(&w, "a"), "waiting/ImagePullBackOff");
        assert_string_equal(world_status(&w, "a")->state->waiting->message,
                            "Back-off pulling image \"x\": ErrImagePull: connection refused");
        assert_int_equal(world_event(&w, "Pulling", "Pulling image \"x\""), 1);
        assert_int_equal(world_event(&w, "Failed", "Failed to pull image \"x\": connection refused"), 1);
        assert_int_equal(world_event(&w, "Failed", "Error: ErrImagePull"), 1);
        assert_int_equal(world_event(&w, "Failed", "Error: ImagePullBackOff"), 1);
        assert_int_equal(world_event(&w, "BackOff", "Back-off pulling image \"x\""), 1);
        world_advance(&w, 8);
        assert_int_equal(world_event(&w, "Pulling", NULL), 2);
        w.pull_fails = NULL;
        world_advance(&w, 20);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_int_equal(
                world_event(&w, "Pulled",
                            "Successfully pulled image \"x\" in 1.5s (2s including waiting). Image size: 1000 bytes."),
                1);
}

TEST(an_image_that_comes_another_way_ends_the_back_off_of_its_pull) {
        for (int told = 0; told < 2; told++) {
                _cleanup_world_ struct world w;

                world_init(&w, "{'containers':[{'name':'a','image':'x','imagePullPolicy':'IfNotPresent'}]}");
                w.absent_image = "x";
                w.pull_fails = "connection refused";
                pod_step(w.pod);
                world_advance(&w, 2);
                assert_string_equal(world_state(&w, "a"), "waiting/ImagePullBackOff");
                assert_true(pod_waits_for_image(w.pod));
                w.absent_image = NULL;
                if (told)
                        pod_images_changed(w.pod);
                world_advance(&w, told ? 0 : 10); /* nobody told: it is looked for before the next try */
                world_run(&w);
                assert_string_equal(world_state(&w, "a"), "running");
                assert_int_equal(world_event(&w, "Pulling", NULL), 1);
                assert_false(pod_waits_for_image(w.pod));
        }
}

TEST(two_containers_with_one_image_share_a_pull) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','imagePullPolicy':'Always'},{'name':'b','image':'x','"
                       "imagePullPolicy':'Always'}]}");
        pod_step(w.pod);
        world_run(&w);
        assert_lines(&w, "admit\nsandbox-start 0\nvolumes\npull x\nstart a/0\nstart b/0\n");
        world_die(&w, "a", 1); /* Always means at every start */
        assert_lines(&w, "pull x\nstart a/1\n");
}

TEST(a_container_waits_for_the_images_of_its_volumes_and_the_others_do_not) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','volumeMounts':[{'name':'v','mountPath':'/v'}]},"
                       "{'name':'b','image':'x'}],'volumes':[{'name':'v','image':{'reference':'files','pullPolicy':"
                       "'IfNotPresent'}},{'name':'unused','image':{'reference':'none'}}]}");
        w.absent_image = "files";
        w.pull_fails = "connection refused";
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "waiting/ErrImagePull");
        assert_string_equal(world_state(&w, "b"), "running");
        assert_int_equal(world_event(&w, "Pulling", "Pulling image \"files\""), 1);
        assert_int_equal(world_event(&w, "Pulling", NULL), 1);
        world_advance(&w, 2);
        assert_string_equal(world_state(&w, "a"), "waiting/ImagePullBackOff");
        assert_string_equal(world_status(&w, "a")->state->waiting->message,
                            "Back-off pulling image \"files\": ErrImagePull: connection refused");
        w.pull_fails = NULL;
        world_advance(&w, 20);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_string_equal(world_status(&w, "a")->imageid, "x@sha256:1");
}

TEST(an_image_volume_with_policy_never_is_not_pulled) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','volumeMounts':[{'name':'v','mountPath':'/v'}]}],"
                       "'volumes':[{'name':'v','image':{'reference':'files','pullPolicy':'Never'}}]}");
        w.absent_image = "files";
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "waiting/ErrImageNeverPull");
        assert_int_equal(world_event(&w, "Pulling", NULL), 0);
        w.absent_image = NULL; /* loaded by hand */
        pod_objects_changed(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "running");
}

TEST(an_image_name_that_is_none_is_said_so) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'X!'}]}");
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "waiting/InvalidImageName");
}

static void change_image(struct world *w, const char *name, const char *image) {
        V1Pod *spec = api_copy(w->arena, &w->spec->base);

        for (size_t i = 0; i < spec->spec->n_containers; i++)
                if (streq(spec->spec->containers[i]->name, name))
                        spec->spec->containers[i]->image = api_arena_strdup(w->arena, image);
        spec->metadata->generation++;
        w->spec = spec;
        pod_spec_changed(w->pod, spec);
}

TEST(a_changed_image_restarts_that_container_alone_whatever_the_policy) {
        static const char *const policies[] = { "Always", "OnFailure", "Never" };

        for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
                _cleanup_world_ struct world w;
                _cleanup_free_ char *spec = xasprintf(
                        "{'restartPolicy':'%s','containers':[{'name':'a','image':'x'},{'name':'b','image':'x'}]}",
                        policies[i]);

                world_init(&w, spec);
                world_program(&w, "a")->term_exit_code = 0;
                pod_step(w.pod);
                world_run(&w);
                free(world_take_lines(&w));
                change_image(&w, "a", "y");
                world_run(&w);
                assert_lines(&w, "ask a/0\nstart a/1\n");
                assert_int_equal(world_status(&w, "a")->restartcount, 1);
                assert_string_equal(world_status(&w, "a")->imageid, "y@sha256:1");
                assert_int_equal(world_event(&w, "Killing", "Container a definition changed, will be restarted"), 1);
                assert_int_equal(w.status->observedgeneration, 2);
        }
}

TEST(a_change_to_an_image_that_cannot_be_had_leaves_the_phase_running) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        w.absent_image = "y";
        w.pull_fails = "not found";
        pod_step(w.pod);
        world_run(&w);
        change_image(&w, "a", "y");
        world_advance(&w, 3);
        assert_string_equal(w.status->phase, "Running");
        assert_string_equal(world_state(&w, "a"), "waiting/ImagePullBackOff");
        assert_string_equal(world_last_state(&w, "a"), "terminated/Error");
        change_image(&w, "a", "z");
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
}

/* ---- probes ---- */

#define PROBE_POD(probe) "{'containers':[{'name':'a','image':'x'," probe "}]}"

TEST(readiness_follows_its_probe_and_never_restarts) {
        _cleanup_world_ struct world w;

        world_init(&w, PROBE_POD("'readinessProbe':{'exec':{'command':['p']},'periodSeconds':1,'failureThreshold':1}"));
        world_program(&w, "a")->result[RUN_READINESS_PROBE] = RUN_FAILURE;
        pod_step(w.pod);
        world_advance(&w, 3);
        assert_string_equal(world_condition_text(&w, "Ready"), "False/ContainersNotReady");
        assert_true(world_status(&w, "a")->started);
        world_program(&w, "a")->result[RUN_READINESS_PROBE] = RUN_SUCCESS;
        world_advance(&w, 1);
        assert_string_equal(world_condition_text(&w, "Ready"), "True");
        world_program(&w, "a")->result[RUN_READINESS_PROBE] = RUN_FAILURE;
        world_advance(&w, 1);
        assert_string_equal(world_condition_text(&w, "Ready"), "False/ContainersNotReady");
        assert_int_equal(world_status(&w, "a")->restartcount, 0);
}

TEST(a_failing_liveness_probe_kills_and_restarts_even_after_exit_code_0) {
        static const struct {
                const char *policy;
                const char *message, *phase;
                int restarts;
        } rows[] = {
                { "Always", "Container a failed liveness probe, will be restarted", "Running", 1 },
                { "OnFailure", "Container a failed liveness probe, will be restarted", "Running", 1 },
                { "Never", "Container a failed liveness probe", "Succeeded", 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_world_ struct world w;
                _cleanup_free_ char *spec =
                        xasprintf("{'restartPolicy':'%s','containers':[{'name':'a','image':'x','livenessProbe':"
                                  "{'exec':{'command':['p']},'periodSeconds':1,'failureThreshold':3}}]}",
                                  rows[i].policy);

                world_init(&w, spec);
                world_program(&w, "a")->term_exit_code = 0;
                world_program(&w, "a")->result[RUN_LIVENESS_PROBE] = RUN_FAILURE;
                pod_step(w.pod);
                world_advance(&w, 1.5);
                assert_int_equal(world_status(&w, "a")->restartcount, 0);
                world_program(&w, "a")->term_takes_ns = 0;
                world_advance(&w, 0.5);
                assert_int_equal(world_status(&w, "a")->restartcount, rows[i].restarts);
                assert_int_equal(world_event(&w, "Killing", rows[i].message), 1);
                assert_true(world_event(&w, "Unhealthy", "Liveness probe failed: said so") >= 3);
                assert_string_equal(w.status->phase, rows[i].phase);
        }
}

TEST(until_the_startup_probe_succeeds_the_others_wait) {
        _cleanup_world_ struct world w;

        world_init(&w, PROBE_POD("'startupProbe':{'exec':{'command':['p']},'periodSeconds':1,'failureThreshold':60},"
                                 "'livenessProbe':{'exec':{'command':['p']},'periodSeconds':1,'failureThreshold':1},"
                                 "'readinessProbe':{'exec':{'command':['p']},'periodSeconds':1}"));
        world_program(&w, "a")->result[RUN_STARTUP_PROBE] = RUN_FAILURE;
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        world_advance(&w, 2);
        assert_lines(&w, "startup a\nstartup a\n");
        assert_false(world_status(&w, "a")->started);
        world_program(&w, "a")->result[RUN_STARTUP_PROBE] = RUN_SUCCESS;
        world_advance(&w, 2);
        assert_lines(&w, "startup a\nliveness a\nreadiness a\nliveness a\nreadiness a\n");
        assert_string_equal(world_condition_text(&w, "Ready"), "True");
}

TEST(a_startup_probe_that_fails_for_good_restarts) {
        _cleanup_world_ struct world w;

        world_init(&w, PROBE_POD("'startupProbe':{'exec':{'command':['p']},'periodSeconds':1,'failureThreshold':2}"));
        world_program(&w, "a")->result[RUN_STARTUP_PROBE] = RUN_FAILURE;
        pod_step(w.pod);
        world_advance(&w, 1);
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
        assert_int_equal(world_event(&w, "Killing", "Container a failed startup probe, will be restarted"), 1);
}

TEST(initial_delay_and_success_threshold_hold_readiness_back) {
        _cleanup_world_ struct world w;

        world_init(&w, PROBE_POD("'readinessProbe':{'exec':{'command':['p']},'initialDelaySeconds':5,'periodSeconds':2,"
                                 "'successThreshold':3}"));
        pod_step(w.pod);
        world_advance(&w, 4.9);
        assert_int_equal(w.n_runs, 0);
        world_advance(&w, 2.2);
        assert_int_equal(w.n_runs, 2);
        assert_false(world_status(&w, "a")->ready);
        world_advance(&w, 2);
        assert_true(world_status(&w, "a")->ready);
        assert_int_equal(world_condition(&w, "Ready")->lasttransitiontime->seconds -
                                 world_status(&w, "a")->state->running->startedat->seconds,
                         9);
}

TEST(a_restarted_container_is_probed_anew) {
        _cleanup_world_ struct world w;

        world_init(&w, PROBE_POD("'readinessProbe':{'exec':{'command':['p']},'periodSeconds':1}"));
        pod_step(w.pod);
        world_advance(&w, 1);
        assert_true(world_status(&w, "a")->ready);
        world_program(&w, "a")->result[RUN_READINESS_PROBE] = RUN_FAILURE;
        world_die(&w, "a", 1);
        world_advance(&w, 1);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_false(world_status(&w, "a")->ready);
}

TEST(a_probe_that_could_not_be_done_counts_for_nothing) {
        _cleanup_world_ struct world w;

        world_init(&w, PROBE_POD("'livenessProbe':{'exec':{'command':['p']},'periodSeconds':1,'failureThreshold':1}"));
        world_program(&w, "a")->result[RUN_LIVENESS_PROBE] = RUN_ERROR;
        pod_step(w.pod);
        world_advance(&w, 5);
        assert_int_equal(world_status(&w, "a")->restartcount, 0);
        assert_int_equal(world_event(&w, "Unhealthy", "Liveness probe errored and resulted in unknown state: said so"),
                         6);
}

TEST(a_probe_brings_its_own_grace_period) {
        _cleanup_world_ struct world w;

        world_init(&w, PROBE_POD("'livenessProbe':{'exec':{'command':['p']},'periodSeconds':1,'failureThreshold':1,'"
                                 "terminationGracePeriodSeconds':3}"));
        world_program(&w, "a")->ignores_term = true;
        world_program(&w, "a")->result[RUN_LIVENESS_PROBE] = RUN_FAILURE;
        pod_step(w.pod);
        world_advance(&w, 2.9);
        assert_int_equal(world_status(&w, "a")->restartcount, 0);
        world_advance(&w, 0.1);
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
}

TEST(readiness_gates_hold_the_pod_back) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'readinessGates':[{'conditionType':'x.y/z'}],'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_condition_text(&w, "ContainersReady"), "True");
        assert_string_equal(world_condition_text(&w, "Ready"), "False/ReadinessGatesNotReady");
        assert_string_equal(world_condition(&w, "Ready")->message,
                            "corresponding condition of pod readiness gate \"x.y/z\" does not exist.");
        assert_true(pod_set_condition(w.pod, "x.y/z", "False", NULL, NULL));
        assert_string_equal(world_condition(&w, "Ready")->message,
                            "the status of pod readiness gate \"x.y/z\" is not \"True\", but False");
        assert_true(pod_set_condition(w.pod, "x.y/z", "True", "Fine", NULL));
        assert_string_equal(world_condition_text(&w, "Ready"), "True");
        assert_false(pod_set_condition(w.pod, "Ready", "False", NULL, NULL));
        assert_false(pod_set_condition(w.pod, "x.y/z", "Perhaps", NULL, NULL));
}

/* ---- hooks ---- */

TEST(a_container_counts_as_running_only_after_its_poststart_hook) {
        _cleanup_world_ struct world w;

        world_init(&w,
                   "{'containers':[{'name':'a','image':'x','lifecycle':{'postStart':{'exec':{'command':['p']}}}}]}");
        world_program(&w, "a")->takes_ns[RUN_POST_START] = SECONDS(4);
        pod_step(w.pod);
        world_advance(&w, 3.9);
        assert_string_equal(world_state(&w, "a"), "waiting/ContainerCreating");
        assert_string_equal(w.status->phase, "Pending");
        world_advance(&w, 0.1);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_true(world_status(&w, "a")->started);
}

TEST(a_failed_poststart_hook_kills_and_restarts) {
        _cleanup_world_ struct world w;

        world_init(&w,
                   "{'containers':[{'name':'a','image':'x','lifecycle':{'postStart':{'exec':{'command':['p']}}}}]}");
        world_program(&w, "a")->result[RUN_POST_START] = RUN_FAILURE;
        pod_step(w.pod);
        world_run(&w);
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
        assert_string_equal(world_state(&w, "a"), "waiting/PostStartHookError");
        assert_string_equal(
                world_status(&w, "a")->state->waiting->message,
                "Exec lifecycle hook ([p]) for Container \"a\" in Pod \"web_default(u1)\" failed - error: said so");
        assert_string_equal(world_last_state(&w, "a"), "terminated/Error");
        assert_int_equal(world_event(&w, "FailedPostStartHook", "PostStartHook failed"), 2);
        assert_int_equal(world_event(&w, "Killing", "FailedPostStartHook"), 2);
        world_advance(&w, 10); /* again, and again in vain: now 20 s to wait */
        assert_string_equal(world_state(&w, "a"), "waiting/PostStartHookError");
        world_advance(&w, 10);
        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
        world_program(&w, "a")->result[RUN_POST_START] = RUN_SUCCESS;
        world_advance(&w, 10);
        assert_string_equal(world_state(&w, "a"), "running");
        world_die(&w, "a", 1);
        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
}

TEST(a_poststart_hook_holds_back_the_next_container) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','lifecycle':{'postStart':{'sleep':{'seconds':4}}}},"
                       "{'name':'b','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        world_advance(&w, 3.9);
        assert_string_equal(world_state(&w, "b"), "waiting/ContainerCreating");
        assert_lines(&w, "");
        world_advance(&w, 0.1);
        assert_lines(&w, "start b/0\n");
        assert_string_equal(world_state(&w, "b"), "running");
        world_die(&w, "a", 1);
        world_die(&w, "b", 1); /* both come back, one after the other */
        assert_lines(&w, "start a/1\n");
        world_advance(&w, 4);
        assert_lines(&w, "start b/1\n");
}

TEST(a_hook_without_a_usable_action_fails) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','lifecycle':{'postStart':{'tcpSocket':{'port':80}}}}]}");
        pod_step(w.pod);
        world_run(&w);
        assert_int_equal(world_event(&w, "FailedPostStartHook", NULL), 2);
        assert_string_equal(world_status(&w, "a")->state->waiting->message,
                            "Cannot run handler: invalid handler: a hook runs exec, httpGet or sleep");
}

TEST(a_hook_that_fell_back_to_http_says_so_and_succeeds) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','lifecycle':{'postStart':{'httpGet':{'port':80}}}}]}");
        world_program(&w, "a")->result[RUN_POST_START] = RUN_WARNING;
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_int_equal(world_event(&w, "LifecycleHTTPFallback", "said so"), 1);
}

TEST(prestop_comes_before_the_stop_signal_and_inside_the_grace) {
        static const struct {
                const char *hook;
                double takes, asked_at, killed_at;
                enum run_result result;
                int failed_events;
        } rows[] = {
                { "'exec':{'command':['p']}", 2, 2, 20, RUN_SUCCESS, 0 },
                { "'exec':{'command':['p']}", 2, 2, 20, RUN_FAILURE, 1 },
                { "'exec':{'command':['p']}", 100, 20, 22, RUN_SUCCESS, 0 }, /* cut off, then the two seconds */
                { "'exec':{'command':['p']}", 19, 19, 21, RUN_SUCCESS, 0 },
                { "'sleep':{'seconds':3}", 0, 3, 20, RUN_SUCCESS, 0 },
                { "'tcpSocket':{'port':1}", 0, 0, 20, RUN_SUCCESS, 1 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_world_ struct world w;
                _cleanup_free_ char *spec = xasprintf(
                        "{'containers':[{'name':'a','image':'x','lifecycle':{'preStop':{%s}}}]}", rows[i].hook);
                _cleanup_free_ char *lines = NULL;

                world_init(&w, spec);
                world_program(&w, "a")->ignores_term = true;
                world_program(&w, "a")->takes_ns[RUN_PRE_STOP] = SECONDS(rows[i].takes);
                world_program(&w, "a")->result[RUN_PRE_STOP] = rows[i].result;
                pod_step(w.pod);
                world_run(&w);
                world_delete(&w, 20);
                if (rows[i].asked_at > 0)
                        world_advance(&w, rows[i].asked_at - 0.001);
                lines = world_take_lines(&w);
                if (rows[i].asked_at > 0)
                        assert_null(strstr(lines, "ask"));
                world_advance(&w, rows[i].asked_at > 0 ? 0.001 : 0);
                free(lines);
                lines = world_take_lines(&w);
                if (rows[i].asked_at > 0)
                        assert_non_null(strstr(lines, "ask a/0"));
                world_advance(&w, rows[i].killed_at - rows[i].asked_at - 0.001);
                assert_true(world_alive(&w, "a"));
                world_advance(&w, 0.001);
                assert_true(w.finished);
                assert_int_equal(world_event(&w, "FailedPreStopHook", "PreStopHook failed"), rows[i].failed_events);
        }
}

/* ---- the end ---- */

TEST(deletion_asks_then_kills_when_the_grace_is_over) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->ignores_term = true;
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        world_delete(&w, 4);
        world_advance(&w, 3.9);
        assert_lines(&w, "ask a/0\n");
        world_advance(&w, 0.1);
        assert_lines(&w, "kill a/0\nsandbox-stop 0\nfinished\n");
        assert_int_equal(w.end, POD_END_DELETED);
        assert_int_equal(world_event(&w, "Killing", "Stopping container a"), 1);
}

TEST(deletion_by_force_kills_at_once_and_cuts_hooks_off) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','lifecycle':{'preStop':{'exec':{'command':['p']}}}},{'"
                       "name':'b','image':'x'}]}");
        world_program(&w, "a")->takes_ns[RUN_PRE_STOP] = FOR_EVER;
        world_program(&w, "b")->ignores_term = true;
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        world_delete(&w, 100);
        world_advance(&w, 1);
        assert_lines(&w, "preStop a\nask b/0\n");
        world_delete(&w, 0);
        world_run(&w);
        assert_lines(&w, "cancel\nkill a/0\nkill b/0\nsandbox-stop 0\nfinished\n");
}

TEST(a_second_deletion_with_less_grace_shortens_the_first) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->ignores_term = true;
        pod_step(w.pod);
        world_run(&w);
        world_delete(&w, 60);
        world_advance(&w, 1);
        world_delete(&w, 2);
        world_advance(&w, 2);
        assert_true(w.finished);
}

TEST(deletion_while_coming_up_waits_for_what_was_begun) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_delete(&w, 30); /* the sandbox is being made */
        world_run(&w);
        assert_lines(&w, "admit\nsandbox-start 0\nvolumes\nsandbox-stop 0\nfinished\n");
}

TEST(a_container_that_was_being_started_at_deletion_is_stopped_when_it_is_up) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        while (w.n_answers && w.answers[0].kind != ANSWER_START) {
                struct answer a = w.answers[0];

                memmove(&w.answers[0], &w.answers[1], --w.n_answers * sizeof(a));
                world_deliver(&w, a);
        }
        free(world_take_lines(&w));
        world_delete(&w, 30);
        assert_lines(&w, "");
        world_run(&w);
        assert_lines(&w, "ask a/0\nsandbox-stop 0\nfinished\n");
}

TEST(an_unscheduled_pod_is_deleted_at_once) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        w.admission = ADMIT_WAIT;
        pod_step(w.pod);
        world_delete(&w, 30);
        assert_lines(&w, "admit\nfinished\n");
        assert_int_equal(w.end, POD_END_DELETED);
}

TEST(the_active_deadline_fails_the_pod) {
        static const struct {
                const char *spec;
        } rows[] = {
                { "{'activeDeadlineSeconds':3,'containers':[{'name':'a','image':'x'}]}" },
                { "{'activeDeadlineSeconds':3,'initContainers':[{'name':'a','image':'x'}],'containers':[{'name':'m','"
                  "image':'x'}]}" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_world_ struct world w;

                world_init(&w, rows[i].spec);
                world_program(&w, "a")->term_takes_ns = SECONDS(1);
                pod_step(w.pod);
                world_advance(&w, 3.5);
                assert_string_not_equal(w.status->phase, "Failed"); /* not before all have ended */
                world_advance(&w, 0.5);
                assert_string_equal(w.status->phase, "Failed");
                assert_string_equal(w.status->reason, "DeadlineExceeded");
                assert_string_equal(w.status->message, "Pod was active on the node longer than the specified deadline");
                assert_string_equal(world_condition_text(&w, "Ready"), "False/PodFailed");
                assert_true(w.finished && w.end == POD_END_TERMINAL);
        }
}

TEST(an_active_deadline_can_be_set_later) {
        _cleanup_world_ struct world w;
        V1Pod *spec;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_advance(&w, 100);
        spec = api_copy(w.arena, &w.spec->base);
        spec->spec->has_activedeadlineseconds = true;
        spec->spec->activedeadlineseconds = 1;
        pod_spec_changed(w.pod, spec);
        world_run(&w);
        assert_string_equal(w.status->reason, "DeadlineExceeded");
}

TEST(eviction_for_a_limit_of_its_own_fails_the_pod_and_is_no_disruption) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->ignores_term = true;
        pod_step(w.pod);
        world_run(&w);
        pod_evict(w.pod, "Usage of EmptyDir volume \"d\" exceeds the limit \"1Mi\". ", 1);
        world_advance(&w, 1);
        assert_string_equal(w.status->phase, "Failed");
        assert_string_equal(w.status->reason, "Evicted");
        assert_null(world_condition(&w, "DisruptionTarget"));
        assert_int_equal(world_event(&w, "Evicted", NULL), 1);
}

TEST(what_does_not_fit_waits_and_is_admitted_when_it_does) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        w.admission = ADMIT_WAIT;
        snprintf(w.admission_message, sizeof(w.admission_message), "0/1 nodes are available: 1 Insufficient cpu.");
        pod_step(w.pod);
        pod_node_changed(w.pod);
        assert_string_equal(w.status->phase, "Pending");
        assert_string_equal(world_condition_text(&w, "PodScheduled"), "False/Unschedulable");
        assert_string_equal(world_condition(&w, "PodScheduled")->message, w.admission_message);
        assert_int_equal(w.status->n_containerstatuses, 0);
        assert_null(w.status->starttime);
        assert_int_equal(world_event(&w, "FailedScheduling", w.admission_message), 1);
        w.admission = ADMIT_YES;
        pod_node_changed(w.pod);
        world_run(&w);
        assert_string_equal(w.status->phase, "Running");
        assert_string_equal(world_condition_text(&w, "PodScheduled"), "True");
}

/* ---- priority, gates, taints ---- */

TEST(a_pod_of_higher_priority_has_others_disrupted_and_says_where_it_waits) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'priority':2000000000,'containers':[{'name':'a','image':'x'}]}");
        w.admission = ADMIT_WAIT;
        w.victims[0] = "u7";
        w.victims[1] = "u8";
        snprintf(w.admission_message, sizeof(w.admission_message), "0/1 nodes are available: 1 Insufficient cpu.");
        pod_step(w.pod);
        assert_string_equal(
                strbuf_str(&w.disrupted),
                "u7 PreemptionByScheduler: default-scheduler: preempting to accommodate a higher priority pod\n"
                "u8 PreemptionByScheduler: default-scheduler: preempting to accommodate a higher priority pod\n");
        assert_string_equal(w.status->nominatednodename, "node1");
        w.admission = ADMIT_YES;
        w.victims[0] = NULL;
        pod_node_changed(w.pod);
        world_run(&w);
        assert_string_equal(w.status->phase, "Running");
        assert_null(w.status->nominatednodename);
}

/* The object of a pod that somebody has disrupted. */
static void disrupt(struct world *w, const char *reason, int64_t grace) {
        V1PodCondition *condition = api_new(w->arena, &v1_pod_condition__descriptor);

        condition->type = api_arena_strdup(w->arena, "DisruptionTarget");
        condition->status = api_arena_strdup(w->arena, "True");
        condition->reason = api_arena_strdup(w->arena, reason);
        condition->message = api_arena_strdup(w->arena, "because");
        w->spec = api_copy(w->arena, &w->spec->base);
        w->spec->status = api_new(w->arena, &v1_pod_status__descriptor);
        w->spec->status->message = api_arena_strdup(w->arena, "Preempted by pod u2 on node node1");
        *(V1PodCondition **)api_arena_append(w->arena, &w->spec->status->conditions, &w->spec->status->n_conditions,
                                             sizeof(void *)) = condition;
        world_delete(w, grace);
}

TEST(a_victim_ends_with_its_grace_and_says_for_whom) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->term_takes_ns = SECONDS(2);
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        disrupt(&w, "PreemptionByScheduler", 30);
        assert_string_equal(world_condition_text(&w, "DisruptionTarget"), "True/PreemptionByScheduler");
        assert_string_equal(world_condition(&w, "DisruptionTarget")->message, "because");
        assert_int_equal(world_event(&w, "Preempted", "Preempted by pod u2 on node node1"), 1);
        assert_int_equal(w.n_renewed, 1); /* others see that it is ending */
        assert_true(w.claimed);
        world_advance(&w, 2);
        assert_lines(&w, "ask a/0\nsandbox-stop 0\nfinished\n");
        assert_int_equal(w.end, POD_END_DELETED);
        assert_string_equal(w.status->phase, "Failed");
}

TEST(a_change_of_labels_renews_the_claim) {
        _cleanup_world_ struct world w;
        V1StringEntry label = V1_STRING_ENTRY__INIT, *labels[] = { &label };
        static char key[] = "a", value[] = "b";
        V1Pod *spec;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        spec = api_copy(w.arena, &w.spec->base);
        pod_spec_changed(w.pod, spec);
        assert_int_equal(w.n_renewed, 0);
        label.key = key;
        label.value = value;
        spec = api_copy(w.arena, &w.spec->base);
        spec->metadata->labels = labels;
        spec->metadata->n_labels = 1;
        pod_spec_changed(w.pod, spec);
        assert_int_equal(w.n_renewed, 1);
}

TEST(a_gated_pod_starts_when_its_gates_are_gone) {
        _cleanup_world_ struct world w;
        V1Pod *spec;

        world_init(&w, "{'schedulingGates':[{'name':'g'}],'containers':[{'name':'a','image':'x'}]}");
        w.admission = ADMIT_WAIT;
        w.admission_reason = "SchedulingGated";
        snprintf(w.admission_message, sizeof(w.admission_message),
                 "Scheduling is blocked due to non-empty scheduling gates");
        pod_step(w.pod);
        assert_string_equal(world_condition_text(&w, "PodScheduled"), "False/SchedulingGated");
        assert_string_equal(w.status->phase, "Pending");
        assert_int_equal(world_event(&w, "FailedScheduling", NULL), 0);
        w.admission = ADMIT_YES;
        spec = api_copy(w.arena, &w.spec->base);
        spec->spec->n_schedulinggates = 0;
        w.spec = spec;
        pod_spec_changed(w.pod, spec);
        world_run(&w);
        assert_string_equal(w.status->phase, "Running");
}

/* The node with that one taint, or with none. */
static void taint(struct world *w, const char *key) {
        V1Node *node = api_new(w->arena, &v1_node__descriptor);

        if (key) {
                V1Taint *t = api_new(w->arena, &v1_taint__descriptor);

                t->key = api_arena_strdup(w->arena, key);
                t->effect = api_arena_strdup(w->arena, "NoExecute");
                if (!node->spec)
                        node->spec = api_new(w->arena, &v1_node_spec__descriptor);
                *(V1Taint **)api_arena_append(w->arena, &node->spec->taints, &node->spec->n_taints, sizeof(void *)) = t;
        }
        pod_node_seen(w->pod, node);
}

#define MARKED "Marking for deletion Pod default/web"
#define DISRUPTED "u1 DeletionByTaintManager: Taint manager: deleting due to NoExecute taint\n"

TEST(a_no_execute_taint_deletes_a_running_pod_that_does_not_tolerate_it) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'tolerations':[{'key':'k','operator':'Exists','effect':'NoExecute','tolerationSeconds':30},"
                       "{'key':'m','operator':'Exists'}],'containers':[{'name':'a','image':'x'}]}");
        taint(&w, NULL);
        pod_step(w.pod);
        world_run(&w);
        taint(&w, "m");
        world_advance(&w, 1000);
        assert_string_equal(strbuf_str(&w.disrupted), "");
        taint(&w, "k");
        world_advance(&w, 29.9);
        assert_string_equal(strbuf_str(&w.disrupted), "");
        taint(&w, NULL);
        assert_int_equal(world_event(&w, "TaintManagerEviction", "Cancelling deletion of Pod default/web"), 1);
        taint(&w, "k");
        world_advance(&w, 29.9);
        taint(&w, "k"); /* the node changed otherwise: the time goes on */
        assert_string_equal(strbuf_str(&w.disrupted), "");
        world_advance(&w, 0.1);
        assert_string_equal(strbuf_str(&w.disrupted), DISRUPTED);
        assert_int_equal(world_event(&w, "TaintManagerEviction", MARKED), 1);
        world_advance(&w, 10); /* nobody did it: again */
        assert_string_equal(strbuf_str(&w.disrupted), DISRUPTED DISRUPTED);
        assert_int_equal(world_event(&w, "TaintManagerEviction", MARKED), 1);
        disrupt(&w, "DeletionByTaintManager", 30);
        assert_string_equal(world_condition_text(&w, "DisruptionTarget"), "True/DeletionByTaintManager");
        world_advance(&w, 30);
        assert_true(w.finished);
        assert_string_equal(strbuf_str(&w.disrupted), DISRUPTED DISRUPTED);
}

TEST(an_untolerated_taint_deletes_at_once) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        taint(&w, "k");
        assert_string_equal(strbuf_str(&w.disrupted), DISRUPTED);
}

TEST(what_the_node_refuses_has_failed) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'nodeName':'node1','containers':[{'name':'a','image':'x'}]}");
        w.admission = ADMIT_REFUSE;
        w.admission_reason = "NodeAffinity";
        snprintf(w.admission_message, sizeof(w.admission_message), "Predicate NodeAffinity failed");
        pod_step(w.pod);
        assert_string_equal(w.status->phase, "Failed");
        assert_string_equal(w.status->reason, "NodeAffinity");
        assert_string_equal(w.status->message, "Pod was rejected: Predicate NodeAffinity failed");
        assert_lines(&w, "admit\nfinished\n");
}

/* ---- the sandbox dies ---- */

TEST(a_dead_sandbox_restarts_everything_once) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'initContainers':[{'name':'i','image':'x'}],'containers':[{'name':'a','image':'x'},{'name':'b'"
                       ",'image':'x'}]}");
        world_program(&w, "i")->runs_ns = SECONDS(1);
        pod_step(w.pod);
        world_advance(&w, 2);
        free(world_take_lines(&w));
        pod_sandbox_died(w.pod, 0);
        world_run(&w);
        assert_lines(&w, "ask a/0\nask b/0\nsandbox-stop 0\nsandbox-start 1\nstart i/1\n");
        assert_string_equal(world_state(&w, "a"), "waiting/PodInitializing");
        assert_string_equal(world_last_state(&w, "a"), "terminated/Error");
        world_advance(&w, 1);
        assert_lines(&w, "start a/1\nstart b/1\n");
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
        assert_int_equal(world_status(&w, "i")->restartcount, 1);
        assert_int_equal(world_event(&w, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created."),
                         1);
        assert_string_equal(w.status->phase, "Running");
}

TEST(a_dead_sandbox_ends_a_never_pod) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'restartPolicy':'Never','containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        pod_sandbox_died(w.pod, 0);
        world_run(&w);
        assert_string_equal(w.status->phase, "Failed");
        assert_true(w.finished);
}

TEST(a_dead_sandbox_does_not_rerun_what_succeeded_in_an_onfailure_pod) {
        _cleanup_world_ struct world w;

        world_init(&w,
                   "{'restartPolicy':'OnFailure','containers':[{'name':'a','image':'x'},{'name':'b','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 0);
        free(world_take_lines(&w));
        pod_sandbox_died(w.pod, 0);
        world_run(&w);
        assert_lines(&w, "ask b/0\nsandbox-stop 0\nsandbox-start 1\nstart b/1\n");
        assert_string_equal(world_state(&w, "a"), "terminated/Completed");
}

/* ---- ephemeral containers, resize ---- */

/* Before those that are there, as a strategic merge patch does it. */
static void add_ephemeral(struct world *w, const char *name) {
        V1Pod *spec = api_copy(w->arena, &w->spec->base);
        V1EphemeralContainer *e = api_new(w->arena, &v1_ephemeral_container__descriptor);

        if (!e->ephemeralcontainercommon)
                e->ephemeralcontainercommon = api_new(w->arena, &v1_ephemeral_container_common__descriptor);
        e->ephemeralcontainercommon->name = api_arena_strdup(w->arena, name);
        e->ephemeralcontainercommon->image = api_arena_strdup(w->arena, "x");
        api_arena_append(w->arena, &spec->spec->ephemeralcontainers, &spec->spec->n_ephemeralcontainers,
                         sizeof(void *));
        memmove(spec->spec->ephemeralcontainers + 1, spec->spec->ephemeralcontainers,
                (spec->spec->n_ephemeralcontainers - 1) * sizeof(void *));
        spec->spec->ephemeralcontainers[0] = e;
        world_add_program(w, e->ephemeralcontainercommon->name);
        w->spec = spec;
        pod_spec_changed(w->pod, spec);
}

TEST(an_ephemeral_container_is_run_once_and_counts_for_nothing) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'restartPolicy':'Always','containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        add_ephemeral(&w, "debug");
        world_run(&w);
        assert_lines(&w, "volumes\nstart debug/0\n");
        assert_string_equal(world_state(&w, "debug"), "running");
        assert_int_equal(w.status->n_ephemeralcontainerstatuses, 1);
        world_die(&w, "debug", 1);
        world_advance(&w, 1000);
        assert_string_equal(world_state(&w, "debug"), "terminated/Error");
        assert_string_equal(world_condition_text(&w, "Ready"), "True");
        add_ephemeral(&w, "debug2");
        world_run(&w);
        free(world_take_lines(&w));
        assert_string_equal(w.status->ephemeralcontainerstatuses[0]->name, "debug2");
        assert_string_equal(world_state(&w, "debug2"), "running");
        assert_string_equal(world_state(&w, "debug"), "terminated/Error");
        assert_int_equal(world_status(&w, "debug")->state->terminated->exitcode, 1);
        world_delete(&w, 5);
        world_run(&w);
        assert_lines(&w, "ask a/0\nask debug2/0\nsandbox-stop 0\nfinished\n");
}

static void resize(struct world *w, const char *cpu) {
        V1Pod *spec = api_copy(w->arena, &w->spec->base);
        json_t *json = json_pack("{s:{s:s}}", "requests", "cpu", cpu);
        struct diagnostics diags = DIAGNOSTICS_INIT;

        spec->spec->containers[0]->resources =
                api_decode(json, &v1_resource_requirements__descriptor, w->arena, &diags);
        json_decref(json);
        diagnostics_release(&diags);
        w->spec = spec;
        pod_spec_changed(w->pod, spec);
}

TEST(resources_are_resized_in_place_when_the_node_has_room) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','resources':{'requests':{'cpu':'100m'}}}]}");
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(world_status(&w, "a")->allocatedresources[0]->value->string, "100m");
        free(world_take_lines(&w));
        w.admission = ADMIT_WAIT;
        snprintf(w.admission_message, sizeof(w.admission_message), "no room");
        resize(&w, "200m");
        assert_lines(&w, "admit\n");
        assert_string_equal(world_condition_text(&w, "PodResizePending"), "True/Deferred");
        assert_string_equal(world_status(&w, "a")->resources->requests[0]->value->string, "100m");
        w.admission = ADMIT_YES;
        pod_node_changed(w.pod);
        assert_lines(&w, "admit\nresize a/0\n");
        assert_string_equal(world_condition_text(&w, "PodResizePending"), "absent");
        assert_string_equal(world_status(&w, "a")->resources->requests[0]->value->string, "200m");
        assert_int_equal(world_status(&w, "a")->restartcount, 0);
        w.resize_fails = "no such file";
        resize(&w, "300m");
        assert_string_equal(world_condition_text(&w, "PodResizeInProgress"), "True/Error");
        w.resize_fails = NULL;
        world_advance(&w, 10);
        assert_string_equal(world_condition_text(&w, "PodResizeInProgress"), "absent");
        assert_string_equal(world_status(&w, "a")->allocatedresources[0]->value->string, "300m");
}

TEST(while_a_resize_is_carried_out_everything_else_goes_on_and_the_next_one_waits) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','resources':{'requests':{'cpu':'100m'}}}]}");
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        w.resize_takes = true;
        resize(&w, "200m");
        resize(&w, "300m"); /* it is not even asked for until the first is done */
        assert_lines(&w, "admit\nresize a/0\n");
        assert_int_equal(world_event(&w, "ResizeCompleted", NULL), 0);
        world_run(&w);
        assert_lines(&w, "admit\nresize a/0\n");
        assert_int_equal(world_event(&w, "ResizeCompleted", NULL), 2);
        resize(&w, "400m");
        world_delete(&w, 5); /* nor is it waited for */
        world_program(&w, "a")->term_takes_ns = 0;
        world_advance(&w, 1);
        assert_lines(&w, "admit\nresize a/0\nask a/0\nsandbox-stop 0\nfinished\n");
}

TEST(a_resize_says_whether_it_is_deferred_or_infeasible_and_how_it_went) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','resources':{'requests':{'cpu':'100m'}}}]}");
        pod_step(w.pod);
        world_run(&w);
        w.admission = ADMIT_WAIT;
        w.admission_reason = "Infeasible";
        snprintf(w.admission_message, sizeof(w.admission_message), "too much");
        resize(&w, "5");
        assert_string_equal(world_condition_text(&w, "PodResizePending"), "True/Infeasible");
        assert_int_equal(
                world_event(&w, "ResizeInfeasible",
                            "Pod resize Infeasible: {\"containers\":[{\"name\":\"a\",\"resources\":{\"requests\":{"
                            "\"cpu\":\"5\"}}}],\"generation\":1,\"error\":\"too much\"}"),
                1);
        w.admission_reason = "Deferred";
        resize(&w, "2");
        assert_string_equal(world_condition_text(&w, "PodResizePending"), "True/Deferred");
        w.admission = ADMIT_YES;
        resize(&w, "1");
        assert_string_equal(world_condition_text(&w, "PodResizePending"), "absent");
        assert_int_equal(world_event(&w, "ResizeStarted", NULL), 1);
        assert_int_equal(
                world_event(&w, "ResizeCompleted",
                            "Pod resize completed: {\"containers\":[{\"name\":\"a\",\"resources\":{\"requests\":{"
                            "\"cpu\":\"1\"}}}],\"generation\":1}"),
                1);
}

static void set_requests(struct world *w, const char *const *cpu) {
        V1Pod *spec = api_copy(w->arena, &w->spec->base);

        for (size_t i = 0; i < spec->spec->n_containers; i++)
                spec->spec->containers[i]->resources->requests[0]->value->string = api_arena_strdup(w->arena, cpu[i]);
        spec->metadata->has_generation = true;
        spec->metadata->generation++;
        w->spec = spec;
        pod_spec_changed(w->pod, spec);
}

TEST(containers_are_resized_together_and_only_what_failed_is_tried_again) {
        _cleanup_world_ struct world w;
        const char *cpu[] = { "1", "1" };

        world_init(&w, "{'containers':[{'name':'a','image':'x','resources':{'requests':{'cpu':'2'}}},"
                       "{'name':'b','image':'x','resources':{'requests':{'cpu':'2'}}}]}");
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        w.resize_fails = "b is stubborn";
        w.resize_reaches = 1;
        set_requests(&w, cpu);
        assert_lines(&w, "admit\nresize a/0 b/0\n");
        w.resize_reaches = 0;
        assert_string_equal(world_condition_text(&w, "PodResizeInProgress"), "True/Error");
        assert_string_equal(world_status(&w, "a")->resources->requests[0]->value->string, "1");
        assert_string_equal(world_status(&w, "b")->resources->requests[0]->value->string, "2");
        assert_string_equal(world_status(&w, "b")->allocatedresources[0]->value->string, "1");
        assert_int_equal(world_event(&w, "ResizeError", NULL), 1);
        world_advance(&w, 10);
        assert_lines(&w, "resize b/0\n");
        assert_int_equal(world_event(&w, "ResizeError", NULL), 1); /* the same words are not told again */
        w.resize_fails = NULL;
        world_advance(&w, 10);
        assert_lines(&w, "resize b/0\n");
        assert_int_equal(world_event(&w, "ResizeCompleted", NULL), 1);
        assert_string_equal(world_condition_text(&w, "PodResizeInProgress"), "absent");
}

TEST(what_is_restarted_while_a_resize_waits_gets_what_is_allocated) {
        _cleanup_world_ struct world w;
        const char *wanted[] = { "2" }, *back[] = { "100m" };

        world_init(&w, "{'containers':[{'name':'a','image':'x','resources':{'requests':{'cpu':'100m'}}}]}");
        pod_step(w.pod);
        world_run(&w);
        w.admission = ADMIT_WAIT;
        snprintf(w.admission_message, sizeof(w.admission_message), "no room");
        set_requests(&w, wanted);
        world_die(&w, "a", 1);
        world_run(&w);
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
        assert_string_equal(world_status(&w, "a")->resources->requests[0]->value->string, "100m");
        assert_string_equal(pod_allocated(w.pod)->spec->containers[0]->resources->requests[0]->value->string, "100m");
        assert_string_equal(w.spec->spec->containers[0]->resources->requests[0]->value->string, "2");
        set_requests(&w, back);
        assert_string_equal(world_condition_text(&w, "PodResizePending"), "absent");
        assert_ptr_equal(pod_allocated(w.pod), w.spec);
        assert_int_equal(world_event(&w, "ResizeStarted", NULL), 0);
}

TEST(a_resize_can_wait_while_the_one_before_is_still_under_way) {
        _cleanup_world_ struct world w;
        const char *first[] = { "200m" }, *second[] = { "9" };

        world_init(&w, "{'containers':[{'name':'a','image':'x','resources':{'requests':{'cpu':'100m'}}}]}");
        pod_step(w.pod);
        world_run(&w);
        w.resize_fails = "busy";
        set_requests(&w, first);
        w.admission = ADMIT_WAIT;
        snprintf(w.admission_message, sizeof(w.admission_message), "no room");
        set_requests(&w, second);
        assert_string_equal(world_condition_text(&w, "PodResizePending"), "True/Deferred");
        assert_string_equal(world_condition_text(&w, "PodResizeInProgress"), "True/Error");
        for (size_t i = 0; i < w.status->n_conditions; i++) {
                const V1PodCondition *c = w.status->conditions[i];
                bool before = streq(c->type, "PodResizeInProgress");

                assert_int_equal(c->observedgeneration, w.spec->metadata->generation - before);
        }
        w.resize_fails = NULL;
        world_advance(&w, 10);
        assert_string_equal(world_condition_text(&w, "PodResizeInProgress"), "absent");
        assert_string_equal(world_condition_text(&w, "PodResizePending"), "True/Deferred");
        assert_string_equal(world_status(&w, "a")->resources->requests[0]->value->string, "200m");
}

TEST(the_resources_of_a_pod_are_shown_and_resized) {
        _cleanup_world_ struct world w;
        V1Pod *spec;

        world_init(&w, "{'resources':{'requests':{'cpu':'1'},'limits':{'cpu':'2'}},'containers':[{'name':'a','image':'"
                       "x'},{'name':'b','image':'x','resources':{'limits':{'cpu':'1','memory':'1Gi'}}}]}");
        pod_step(w.pod);
        world_run(&w);
        assert_string_equal(w.status->resources->limits[0]->value->string, "2");
        assert_string_equal(w.status->allocatedresources[0]->value->string, "1");
        free(world_take_lines(&w));
        spec = api_copy(w.arena, &w.spec->base);
        spec->spec->resources->limits[0]->value->string = api_arena_strdup(w.arena, "3");
        w.spec = spec;
        w.resize_fails = "no such file";
        pod_spec_changed(w.pod, spec);
        assert_lines(&w, "admit\nresize a/0\n");
        assert_string_equal(w.status->resources->limits[0]->value->string, "2");
        assert_string_equal(world_condition_text(&w, "PodResizeInProgress"), "True/Error");
        w.resize_fails = NULL;
        world_advance(&w, 10);
        assert_lines(&w, "resize a/0\n");
        assert_string_equal(w.status->resources->limits[0]->value->string, "3");
        assert_string_equal(world_condition_text(&w, "PodResizeInProgress"), "absent");
}

TEST(a_resize_policy_may_ask_for_a_restart) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','resizePolicy':[{'resourceName':'cpu','restartPolicy':'"
                       "RestartContainer'}],"
                       "'resources':{'requests':{'cpu':'100m'}}}]}");
        pod_step(w.pod);
        world_run(&w);
        free(world_take_lines(&w));
        resize(&w, "200m");
        world_run(&w);
        /* the pod's cgroup has room before the container comes back */
        assert_lines(&w, "admit\nask a/0\nresize\nstart a/1\n");
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
        assert_int_equal(world_event(&w, "Killing", "Container a resize requires restart"), 1);
        assert_string_equal(world_status(&w, "a")->resources->requests[0]->value->string, "200m");
}

/* ---- going on after the supervisor was killed ---- */

/* A new supervisor takes over; what lives is reported if `found`. */
static void succeed(struct world *w, bool found, bool same_boot) {
        json_t *state = json_deep_copy(w->state), *events = json_deep_copy(w->events);
        const struct sandbox_facts facts = { 0 };

        pod_free(w->pod);
        w->n_active = 0;
        w->resizing = false;
        w->pod = pod_restore(&world_ops, w, w->spec, state, events, same_boot);
        if (found && w->sandbox_exists)
                pod_sandbox_found(w->pod, w->sandbox_attempt, &facts);
        for (size_t i = 0; found && i < w->n_processes; i++) {
                struct container_started started = { .id = "again", .n_groups = -1, .realtime_ns = world_realtime(w) };

                if (w->processes[i].alive)
                        pod_container_found(w->pod, w->processes[i].name, w->processes[i].attempt, &started);
        }
        if (!found) {
                for (size_t i = 0; i < w->n_processes; i++)
                        w->processes[i].alive = false;
                w->n_answers = 0;
        }
        pod_restored(w->pod);
        json_decref(state);
        json_decref(events);
}

TEST(a_successor_goes_on_without_touching_anything) {
        _cleanup_world_ struct world w;
        _cleanup_free_ char *before = NULL, *after = NULL;
        json_t *json;

        world_init(&w, "{'initContainers':[{'name':'s','image':'x','restartPolicy':'Always'}],'containers':[{'name':'a'"
                       ",'image':'x',"
                       "'readinessProbe':{'exec':{'command':['p']},'periodSeconds':10}}]}");
        pod_step(w.pod);
        world_advance(&w, 5);
        world_die(&w, "a", 3);
        world_advance(&w, 1);
        json = api_encode(&w.status->base);
        before = json_dumps(json, JSON_SORT_KEYS);
        json_decref(json);
        free(world_take_lines(&w));
        succeed(&w, true, true);
        assert_lines(&w, "admit\n");
        json = api_encode(&w.status->base);
        after = json_dumps(json, JSON_SORT_KEYS);
        json_decref(json);
        assert_string_equal(before, after);
        assert_int_equal(world_event(&w, "Scheduled", NULL), 1);
        world_advance(&w, 10);
        assert_lines(&w, "readiness a\n");
}

TEST(back_off_goes_on_in_the_successor) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 1);
        world_die(&w, "a", 1);
        world_advance(&w, 4);
        succeed(&w, true, true);
        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
        world_advance(&w, 5.9);
        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
        world_advance(&w, 0.1);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_int_equal(world_status(&w, "a")->restartcount, 2);
        world_die(&w, "a", 1);
        assert_true(strstr(world_status(&w, "a")->state->waiting->message, "back-off 20s") != NULL);
}

TEST(what_was_lost_meanwhile_is_said_and_restarted) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        w.processes[0].alive = false;
        succeed(&w, true, true);
        world_run(&w);
        assert_string_equal(world_last_state(&w, "a"), "terminated/ContainerStatusUnknown");
        assert_int_equal(world_status(&w, "a")->laststate->terminated->exitcode, 137);
        assert_int_equal(world_status(&w, "a")->restartcount, 1);
}

TEST(a_start_that_nobody_answered_is_asked_for_again_or_found) {
        for (int found = 0; found < 2; found++) {
                _cleanup_world_ struct world w;

                world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
                pod_step(w.pod);
                while (w.answers[0].kind != ANSWER_START) {
                        struct answer a = w.answers[0];

                        memmove(&w.answers[0], &w.answers[1], --w.n_answers * sizeof(a));
                        world_deliver(&w, a);
                }
                w.n_answers = 0;
                if (!found)
                        w.n_processes = 0;
                free(world_take_lines(&w));
                succeed(&w, true, true);
                assert_lines(&w, found ? "admit\n" : "admit\nstart a/0\n");
                world_run(&w);
                assert_string_equal(world_state(&w, "a"), "running");
                assert_int_equal(world_status(&w, "a")->restartcount, 0);
        }
}

TEST(an_exit_during_the_supervisors_absence_counts_from_when_it_happened) {
        _cleanup_world_ struct world w;
        struct container_exit end = { .exit_code = 5 };
        json_t *saved;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 1); /* the first restart is behind it */
        world_advance(&w, 1);
        w.processes[1].alive = false;
        end.finished_at_ns = world_realtime(&w);
        end.finished_monotonic_ns = w.now_ns;
        w.now_ns += SECONDS(7);
        saved = json_incref(w.state);
        pod_free(w.pod);
        w.pod = pod_restore(&world_ops, &w, w.spec, saved, w.events, true);
        json_decref(saved);
        pod_sandbox_found(w.pod, 0, &(struct sandbox_facts){ 0 });
        pod_container_exited(w.pod, "a", 1, &end);
        pod_restored(w.pod);
        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
        assert_int_equal(world_status(&w, "a")->laststate->terminated->exitcode, 5);
        world_advance(&w, 2.9);
        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
        world_advance(&w, 0.1);
        assert_string_equal(world_state(&w, "a"), "running");
}

TEST(setting_the_time_of_day_moves_no_deadline) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        world_program(&w, "a")->ignores_term = true;
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 1);
        world_die(&w, "a", 1);
        world_advance(&w, 4);
        w.realtime_ns += SECONDS(86400);
        pod_step(w.pod);
        world_advance(&w, 5.9);
        assert_string_equal(world_state(&w, "a"), "waiting/CrashLoopBackOff");
        world_advance(&w, 0.1);
        assert_string_equal(world_state(&w, "a"), "running");
        w.realtime_ns -= SECONDS(2 * 86400);
        world_delete(&w, 10);
        w.realtime_ns += SECONDS(86400);
        world_advance(&w, 9.9);
        assert_false(w.finished);
        world_advance(&w, 0.2);
        assert_true(w.finished);
}

TEST(after_a_reboot_the_pod_gets_a_new_sandbox_and_keeps_its_counts) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 1);
        w.sandbox_exists = false;
        w.realtime_ns += SECONDS(3600) + w.now_ns;
        w.now_ns = SECONDS(10);
        succeed(&w, false, false);
        world_run(&w);
        assert_string_equal(world_state(&w, "a"), "running");
        assert_int_equal(world_status(&w, "a")->restartcount, 2);
        assert_string_equal(world_last_state(&w, "a"), "terminated/ContainerStatusUnknown");
        assert_int_equal(w.sandbox_attempt, 1);
}

TEST(a_successor_knows_what_was_allocated_while_a_resize_waits) {
        _cleanup_world_ struct world w;
        const char *wanted[] = { "2" };

        world_init(&w, "{'containers':[{'name':'a','image':'x','resources':{'requests':{'cpu':'100m'}}}]}");
        pod_step(w.pod);
        world_run(&w);
        w.admission = ADMIT_WAIT;
        snprintf(w.admission_message, sizeof(w.admission_message), "no room");
        set_requests(&w, wanted);
        succeed(&w, true, true);
        assert_string_equal(world_condition_text(&w, "PodResizePending"), "True/Deferred");
        assert_string_equal(pod_allocated(w.pod)->spec->containers[0]->resources->requests[0]->value->string, "100m");
        assert_int_equal(world_event(&w, "ResizeDeferred", NULL), 1); /* not told twice */
        w.admission = ADMIT_YES;
        free(world_take_lines(&w));
        pod_node_changed(w.pod);
        assert_lines(&w, "admit\nresize a/0\n");
        assert_string_equal(world_status(&w, "a")->resources->requests[0]->value->string, "2");
}

/* state-version-1.json was written by husk 0.1.0 for a pod of a sidecar `s` and a container `a` that runs for the
 * second time. Whoever changes what is kept, or the order of an enum, sees here that pods do not survive the upgrade.
 */
TEST(the_state_that_a_former_version_wrote_is_understood) {
        _cleanup_free_ char *path = xasprintf("%s/state-version-1.json", getenv("HUSK_FIXTURES"));
        _cleanup_world_ struct world w;

        world_init(&w, "{'initContainers':[{'name':'s','image':'localhost/husk/busybox:1','restartPolicy':'Always'}],"
                       "'containers':[{'name':'a','image':'localhost/husk/"
                       "busybox:1','readinessProbe':{'exec':{'command':['p']},'periodSeconds':10}}]}");
        pod_step(w.pod);
        world_advance(&w, 5);
        world_die(&w, "a", 3);
        world_advance(&w, 1);
        w.realtime_ns += SECONDS(1795770160) - world_realtime(&w);
        w.realtime_ns -= SECONDS(2455) - w.now_ns;
        w.now_ns = SECONDS(2455);
        json_decref(w.state);
        w.state = json_load_file(path, 0, NULL);
        assert_non_null(w.state);
        free(world_take_lines(&w));
        succeed(&w, true, true);
        assert_lines(&w, "admit\n");
        assert_string_equal(world_state(&w, "s"), "running");
        assert_string_equal(world_state(&w, "a"), "running");
        const V1ContainerStatus *a = world_status(&w, "a");
        assert_int_equal(a->restartcount, 1);
        assert_true(a->ready && a->started);
        assert_string_equal(world_last_state(&w, "a"), "terminated/Error");
        assert_int_equal(a->laststate->terminated->exitcode, 3);
        assert_string_equal(w.status->podip, "10.123.246.3");
        assert_string_equal(w.status->phase, "Running");
        world_die(&w, "a", 1); /* its back-off goes on, too */
        assert_true(strstr(world_status(&w, "a")->state->waiting->message, "back-off 10s") != NULL);
}

TEST(a_termination_goes_on_in_the_successor) {
        _cleanup_world_ struct world w;

        world_init(&w, "{'containers':[{'name':'a','image':'x','lifecycle':{'preStop':{'exec':{'command':['p']}}}}]}");
        world_program(&w, "a")->ignores_term = true;
        world_program(&w, "a")->takes_ns[RUN_PRE_STOP] = SECONDS(2);
        pod_step(w.pod);
        world_run(&w);
        world_delete(&w, 10);
        world_advance(&w, 1);
        free(world_take_lines(&w));
        w.n_answers = 0;
        succeed(&w, true, true);
        world_advance(&w, 3);
        assert_lines(&w, "admit\npreStop a\nask a/0\n");
        succeed(&w, true, true);
        assert_lines(&w, "admit\nask a/0\n");
        world_advance(&w, 6);
        assert_true(w.finished);
}

TEST(nonsense_in_a_saved_state_is_survived) {
        static const char *const states[] = {
                "null",
                "[]",
                "{}",
                "{\"version\":1}",
                "{\"version\":1,\"state\":99,\"containers\":[{\"name\":\"a\",\"state\":\"x\"}]}",
                "{\"version\":1,\"state\":1,\"scheduled\":true,\"sandbox.state\":2,\"containers\":[{\"name\":\"a\","
                "\"state\":5},{\"name\":\"a\"},7]}",
                "{\"version\":1,\"state\":1,\"scheduled\":true,\"containers\":[{\"name\":\"a\",\"state\":7,\"attempt\":"
                "-4,\"ran\":true,\"term\":3}],\"pulls\":[3,{}],\"conditions\":[{}]}",
                "{\"version\":1,\"state\":5,\"phase\":\"0123456789012345678901234567890\"}",
        };

        for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
                _cleanup_world_ struct world w;

                world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
                json_decref(w.state);
                w.state = json_loads(states[i], JSON_DECODE_ANY, NULL);
                succeed(&w, true, true);
                world_run(&w);
                world_advance(&w, 1000);
                assert_true(w.finished || streq(world_state(&w, "a"), "running"));
        }
}

TEST(stale_and_doubled_answers_do_no_harm) {
        _cleanup_world_ struct world w;
        struct container_exit end = { .exit_code = 1 };
        struct container_started started = { .id = "z" };
        struct image_facts image = { 0 };
        unsigned published;

        world_init(&w, "{'containers':[{'name':'a','image':'x'}]}");
        pod_step(w.pod);
        world_run(&w);
        world_die(&w, "a", 1);
        world_advance(&w, 1);
        published = w.n_published;
        free(world_take_lines(&w));
        pod_sandbox_started(w.pod, 0, NULL);
        pod_sandbox_failed(w.pod, 0, "x");
        pod_sandbox_died(w.pod, 7);
        pod_sandbox_stopped(w.pod, 0);
        pod_volumes_ready(w.pod);
        pod_volumes_failed(w.pod, (char *const[]){ "x", NULL });
        pod_image_pulled(w.pod, "x", &image);
        pod_image_failed(w.pod, "nowhere", NULL, "x");
        pod_container_started(w.pod, "a", 1, &started);
        pod_container_start_failed(w.pod, "a", 1, START_CREATE_ERROR, "x", NULL);
        pod_container_exited(w.pod, "a", 0, &end);
        pod_container_exited(w.pod, "nobody", 0, &end);
        pod_run_done(w.pod, 99, RUN_FAILURE, "x");
        pod_run_done(w.pod, 0, RUN_FAILURE, "x");
        assert_lines(&w, "");
        assert_int_equal(w.n_published, published);
}
