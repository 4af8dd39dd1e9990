/* The small parts of the machine by themselves: restart rules, back-off, probes' arithmetic, hooks, the event log. */
#include "test.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "husk-pod/event.h"
#include "husk-pod/hook.h"
#include "husk-pod/probe.h"
#include "husk-pod/restart.h"

#define S(n) ((int64_t)(n)*NSEC_PER_SEC)

TEST(the_first_rule_that_matches_decides_then_the_own_policy_then_the_pods) {
        int32_t values[] = { 42, 43 };
        char in[] = "In", not_in[] = "NotIn", odd[] = "Odd", restart[] = "Restart", all[] = "RestartAllContainers";
        char never[] = "Never", on_failure[] = "OnFailure", always[] = "Always";
        V1ContainerRestartRuleOnExitCodes codes = V1_CONTAINER_RESTART_RULE_ON_EXIT_CODES__INIT;
        V1ContainerRestartRule rule = V1_CONTAINER_RESTART_RULE__INIT, *rules[] = { &rule };
        V1Container c = V1_CONTAINER__INIT;
        V1PodSpec pod = V1_POD_SPEC__INIT;
        const struct {
                char *pod, *own, *operator, * action;
                enum container_role role;
                int code;
                enum restart_verdict verdict;
        } rows[] = {
                { always, NULL, NULL, NULL, ROLE_MAIN, 0, RESTART_YES },
                { on_failure, NULL, NULL, NULL, ROLE_MAIN, 0, RESTART_NO },
                { on_failure, NULL, NULL, NULL, ROLE_MAIN, 1, RESTART_YES },
                { never, NULL, NULL, NULL, ROLE_MAIN, 1, RESTART_NO },
                { NULL, NULL, NULL, NULL, ROLE_MAIN, 1, RESTART_YES }, /* Always is the default */
                { never, always, NULL, NULL, ROLE_MAIN, 0, RESTART_YES },
                { always, never, NULL, NULL, ROLE_MAIN, 1, RESTART_NO },
                { never, never, in, restart, ROLE_MAIN, 42, RESTART_YES },
                { never, never, in, restart, ROLE_MAIN, 1, RESTART_NO },
                { never, never, not_in, restart, ROLE_MAIN, 1, RESTART_YES },
                { never, never, not_in, restart, ROLE_MAIN, 43, RESTART_NO },
                { never, never, odd, restart, ROLE_MAIN, 42, RESTART_NO },
                { never, never, in, all, ROLE_MAIN, 42, RESTART_EVERYTHING },
                { always, NULL, NULL, NULL, ROLE_INIT, 0, RESTART_NO },
                { always, NULL, NULL, NULL, ROLE_INIT, 1, RESTART_YES },
                { never, NULL, NULL, NULL, ROLE_INIT, 1, RESTART_NO },
                { never, always, NULL, NULL, ROLE_SIDECAR, 0, RESTART_YES },
                { never, always, in, all, ROLE_SIDECAR, 42, RESTART_EVERYTHING },
                { always, NULL, NULL, NULL, ROLE_EPHEMERAL, 1, RESTART_NO },
        };

        codes.n_values = ARRAY_SIZE(values);
        codes.values = values;
        rule.exitcodes = &codes;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                pod.restartpolicy = rows[i].pod;
                c.restartpolicy = rows[i].own;
                codes.operator_ = rows[i].operator;
                rule.action = rows[i].action;
                c.restartpolicyrules = rules;
                c.n_restartpolicyrules = rows[i].action != NULL;
                if (restart_decide(&pod, &c, rows[i].role, rows[i].code) != rows[i].verdict)
                        fail_msg("row %zu", i);
        }
}

TEST(back_off_doubles_to_five_minutes_and_forgets_after_ten) {
        struct backoff b = { 0 };
        int64_t now = S(100);

        assert_int_equal(backoff_ready_at(&b, now), now);
        for (int delay = 10; delay < 1000; delay *= 2) {
                backoff_advance(&b, now, now);
                assert_int_equal(backoff_ready_at(&b, now), now + S(MIN(delay, 300)));
        }
        assert_int_equal(backoff_ready_at(&b, now + S(601)), now + S(601));
        backoff_advance(&b, now + S(601), now + S(601));
        assert_int_equal(b.delay_ns, S(10));
}

static struct probe probe_of(V1Probe *spec, enum run_kind kind) {
        struct probe p = { .spec = spec, .kind = kind };

        probe_reset(&p);
        return p;
}

TEST(a_probe_runs_on_its_grid_and_makes_up_for_one_late_run_only) {
        V1Probe spec = V1_PROBE__INIT;
        struct probe p = probe_of(&spec, RUN_READINESS_PROBE);

        spec.has_initialdelayseconds = spec.has_periodseconds = true;
        spec.initialdelayseconds = 3;
        spec.periodseconds = 5;
        probe_schedule(&p, S(100), S(101));
        assert_false(probe_is_due(&p, S(103) - 1));
        assert_true(probe_is_due(&p, S(103)));
        p.run_id = 7;
        assert_false(probe_is_due(&p, S(110))); /* never two at a time */
        probe_answered(&p, RUN_SUCCESS, S(104));
        assert_int_equal(p.next_ns, S(108));
        probe_answered(&p, RUN_SUCCESS, S(121)); /* started at 108, answered after two more were due */
        assert_true(probe_is_due(&p, S(121)));
        probe_answered(&p, RUN_SUCCESS, S(121));
        assert_int_equal(p.next_ns, S(123)); /* on the grid again */
}

TEST(defaults_hold_where_a_probe_says_nothing) {
        V1Probe spec = V1_PROBE__INIT;
        struct probe p = probe_of(&spec, RUN_LIVENESS_PROBE);

        assert_int_equal(probe_period_ns(&spec), S(10));
        assert_int_equal(probe_timeout_ns(&spec), S(1));
        probe_schedule(&p, S(1), S(1));
        assert_false(probe_answered(&p, RUN_FAILURE, S(1)));
        assert_false(probe_answered(&p, RUN_FAILURE, S(11)));
        assert_true(probe_answered(&p, RUN_FAILURE, S(21)));
        assert_int_equal(p.value, PROBE_FAILURE);
        assert_false(probe_is_due(&p, S(1000))); /* a failed liveness probe rests until there is a new container */
}

TEST(thresholds_count_answers_in_a_row) {
        V1Probe spec = V1_PROBE__INIT;
        struct probe p = probe_of(&spec, RUN_READINESS_PROBE);
        static const struct {
                enum run_result result;
                enum probe_value value;
        } rows[] = {
                { RUN_SUCCESS, PROBE_UNKNOWN }, { RUN_FAILURE, PROBE_UNKNOWN }, { RUN_SUCCESS, PROBE_UNKNOWN },
                { RUN_ERROR, PROBE_UNKNOWN },   { RUN_WARNING, PROBE_SUCCESS }, { RUN_FAILURE, PROBE_SUCCESS },
                { RUN_FAILURE, PROBE_SUCCESS }, { RUN_SUCCESS, PROBE_SUCCESS }, { RUN_FAILURE, PROBE_SUCCESS },
                { RUN_FAILURE, PROBE_SUCCESS }, { RUN_FAILURE, PROBE_FAILURE }, { RUN_SUCCESS, PROBE_FAILURE },
                { RUN_SUCCESS, PROBE_SUCCESS },
        };

        spec.has_successthreshold = true;
        spec.successthreshold = 2;
        probe_schedule(&p, S(1), S(1));
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                probe_answered(&p, rows[i].result, S(1));
                if (p.value != rows[i].value)
                        fail_msg("row %zu: %d", i, p.value);
        }
}

TEST(jitter_puts_off_only_what_is_due) {
        V1Probe spec = V1_PROBE__INIT;
        struct probe p = probe_of(&spec, RUN_READINESS_PROBE);

        probe_schedule(&p, S(1), S(1));
        probe_jitter(&p, 3 * NSEC_PER_SEC, S(50));
        assert_int_equal(p.next_ns, S(53));
        probe_jitter(&p, 3 * NSEC_PER_SEC, S(50));
        assert_int_equal(p.next_ns, S(53));
}

TEST(the_stop_signal_is_the_containers_then_the_images_then_sigterm) {
        char own[] = "SIGUSR1", odd[] = "SIGBOGUS";
        V1Lifecycle lifecycle = V1_LIFECYCLE__INIT;

        assert_int_equal(hook_stop_signal(NULL, NULL), SIGTERM);
        assert_int_equal(hook_stop_signal(&lifecycle, ""), SIGTERM);
        assert_int_equal(hook_stop_signal(&lifecycle, "RTMIN+3"), SIGRTMIN + 3);
        assert_int_equal(hook_stop_signal(NULL, "BOGUS"), SIGTERM);
        lifecycle.stopsignal = own;
        assert_int_equal(hook_stop_signal(&lifecycle, "SIGINT"), SIGUSR1);
        lifecycle.stopsignal = odd;
        assert_int_equal(hook_stop_signal(&lifecycle, "SIGINT"), SIGINT);
}

TEST(a_sleep_hook_ends_by_the_clock_and_an_absurd_one_does_not_overflow) {
        V1SleepAction sleep = V1_SLEEP_ACTION__INIT;
        V1LifecycleHandler spec = V1_LIFECYCLE_HANDLER__INIT;
        struct hook h = { .kind = RUN_PRE_STOP };

        spec.sleep = &sleep;
        sleep.has_seconds = true;
        sleep.seconds = 3;
        assert_false(hook_begin(&h, &spec, 1, S(10)));
        hook_step(&h, S(13) - 1);
        assert_int_equal(h.state, HOOK_RUNNING);
        hook_step(&h, S(13));
        assert_int_equal(h.state, HOOK_SUCCEEDED);
        sleep.seconds = INT64_MAX;
        assert_false(hook_begin(&h, &spec, 1, S(10)));
        assert_int_equal(h.state, HOOK_RUNNING);
        sleep.seconds = -5;
        assert_false(hook_begin(&h, &spec, 1, S(10)));
        assert_int_equal(h.state, HOOK_SUCCEEDED);
        spec.sleep = NULL;
        assert_false(hook_begin(&h, &spec, 1, S(10)));
        assert_int_equal(h.state, HOOK_FAILED);
}

static void add(struct event_log *log, const char *reason, int64_t now, const char *message) {
        event_log_add(log, EVENT_FROM_KUBELET, EVENT_WARNING, reason, "spec.containers{a}", "web", now, message);
}

TEST(events_that_repeat_are_counted_and_move_to_the_end) {
        struct event_log log = { 0 }, again = { 0 };
        const struct event_subject subject = { .namespace = "default", .name = "web", .uid = "u", .node = "n" };
        json_t *json, *copy;

        add(&log, "BackOff", S(1), "x");
        add(&log, "Failed", S(2), "not \xff UTF-8");
        add(&log, "BackOff", S(3), "x");
        add(&log, "BackOff", S(4), "y");
        json = event_log_to_json(&log, &subject);
        assert_int_equal(json_array_size(json), 3);
        assert_string_equal(json_string_value(json_object_get(json_array_get(json, 0), "message")), "not ? UTF-8");
        assert_int_equal(json_integer_value(json_object_get(json_array_get(json, 1), "count")), 2);
        assert_string_equal(json_string_value(json_object_get(json_array_get(json, 1), "firstTimestamp")),
                            "1970-01-01T00:00:01Z");
        assert_string_equal(json_string_value(json_object_get(json_array_get(json, 1), "lastTimestamp")),
                            "1970-01-01T00:00:03Z");
        assert_string_equal(json_string_value(json_object_get(
                                    json_object_get(json_array_get(json, 1), "involvedObject"), "fieldPath")),
                            "spec.containers{a}");
        event_log_from_json(&again, json);
        copy = event_log_to_json(&again, &subject);
        assert_true(json_equal(json, copy));
        json_decref(json);
        json_decref(copy);
        event_log_release(&log);
        event_log_release(&again);
}

TEST(events_that_differ_in_their_message_alone_become_one_from_the_tenth_on) {
        struct event_log log = { 0 };
        char message[16];

        add(&log, "Other", S(1), "x");
        for (int i = 1; i <= 30; i++) {
                snprintf(message, sizeof(message), "at %d", i);
                add(&log, "Unhealthy", S(i), message);
        }
        assert_int_equal(log.n, 1 + 9 + 1);
        assert_string_equal(log.events[9].message, "at 9");
        assert_string_equal(log.events[10].message, "(combined from similar events): at 30");
        assert_int_equal(log.events[10].count, 21);
        assert_int_equal(log.events[10].first_ns, S(10));
        assert_int_equal(log.events[10].last_ns, S(30));
        add(&log, "Unhealthy", S(31), "at 3"); /* one that has its own record still */
        assert_int_equal(log.n, 11);
        assert_string_equal(log.events[10].message, "at 3");
        assert_int_equal(log.events[10].count, 2);
        /* ten quiet minutes later it begins anew */
        add(&log, "Unhealthy", S(700), "at 700");
        assert_string_equal(log.events[11].message, "at 700");
        event_log_release(&log);
}

TEST(no_more_than_200_events_are_kept_the_newest) {
        struct event_log log = { 0 };
        char message[16];

        for (int i = 0; i < 500; i++) {
                snprintf(message, sizeof(message), "%d", i);
                add(&log, message, S(i), message);
        }
        assert_int_equal(log.n, EVENTS_MAX);
        assert_string_equal(log.events[0].message, "300");
        assert_string_equal(log.events[EVENTS_MAX - 1].message, "499");
        event_log_release(&log);
}
