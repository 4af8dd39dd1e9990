#include "fixture.h"

#define C "'containers': [{'name': 'a', 'image': 'x'}]"

TEST(an_image_that_may_change_behind_its_name_is_pulled_always) {
        static const struct {
                const char *image, *policy;
        } cases[] = {
                { "busybox", "Always" },
                { "busybox:latest", "Always" },
                { "busybox:1", "IfNotPresent" },
                { "registry.example:5000/team/app", "Always" },
                { "registry.example:5000/team/app:v1", "IfNotPresent" },
                { "localhost/app", "Always" },
                { "app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "IfNotPresent" },
                { "app:latest@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "Always" },
                { "app@sha256:short", "IfNotPresent" },
                { "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "IfNotPresent" },
                { "Upper", "IfNotPresent" }, /* no reference at all */
                { "Upper.example/app", "Always" },
                { "a/../b", "IfNotPresent" },
                { "a__b/c--d.e", "Always" },
                { "a___b", "IfNotPresent" },
                { "[fd00::1]:5000/app", "Always" },
                { "app:", "IfNotPresent" },
                { "", "IfNotPresent" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
                _cleanup_free_ char *spec = xasprintf("'containers': [{'name': 'a', 'image': '%s'}]", cases[i].image);
                V1Pod *pod = fixture_pod(arena, spec);

                if (!streq(pod->spec->containers[0]->imagepullpolicy, cases[i].policy))
                        fail_msg("%s: %s", cases[i].image, pod->spec->containers[0]->imagepullpolicy);
        }
}

TEST(defaults_are_what_kubernetes_stores) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Pod *pod =
                fixture_pod(arena, "'containers': [{'name': 'a', 'image': 'x:1', 'ports': [{'containerPort': 80}], "
                                   "'livenessProbe': {'httpGet': {'port': 80}}, 'resources': {'limits': {'cpu': "
                                   "'0.0011'}}}], "
                                   "'schedulingGroup': {'podGroupName': 'g'}, 'volumes': [{'name': 'v'}, {'name': "
                                   "'h', 'hostPath': {'path': '/'}}]");
        json_t *json = api_encode(&pod->base);
        json_t *want = fixture_json(
                "{'containers': [{'name': 'a', 'image': 'x:1', 'ports': [{'containerPort': 80, 'protocol': 'TCP'}], "
                "'livenessProbe': {'httpGet': {'path': '/', 'port': 80, 'scheme': 'HTTP'}, 'timeoutSeconds': 1, "
                "'periodSeconds': 10, 'successThreshold': 1, 'failureThreshold': 3}, 'resources': {'limits': {'cpu': "
                "'2m'}, 'requests': {'cpu': '2m'}}, 'terminationMessagePath': '/dev/termination-log', "
                "'terminationMessagePolicy': 'File', 'imagePullPolicy': 'IfNotPresent'}], 'restartPolicy': 'Always', "
                "'terminationGracePeriodSeconds': 30, 'dnsPolicy': 'ClusterFirst', 'securityContext': {}, "
                "'schedulerName': 'default-scheduler', 'priority': 0, 'preemptionPolicy': 'PreemptLowerPriority', "
                "'enableServiceLinks': true, 'volumes': [{'name': 'v', "
                "'emptyDir': {}}, {'name': 'h', 'hostPath': {'path': '/', 'type': ''}}]}");
        _cleanup_free_ char *have_text = json_dumps(json_object_get(json, "spec"), JSON_SORT_KEYS);
        _cleanup_free_ char *want_text = json_dumps(want, JSON_SORT_KEYS);

        assert_string_equal(have_text, want_text);
        json_decref(json);
        json_decref(want);
}

TEST(a_priority_class_gives_the_priority) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1PodSpec *spec = fixture_pod(arena, "'priorityClassName': 'system-node-critical', " C)->spec;

        assert_int_equal(spec->priority, 2000001000);
        assert_string_equal(spec->preemptionpolicy, "PreemptLowerPriority");
        assert_int_equal(fixture_pod(arena, "'priorityClassName': 'system-cluster-critical', " C)->spec->priority,
                         2000000000);
        assert_false(fixture_pod(arena, "'priorityClassName': 'gold', " C)->spec->has_priority);
}

TEST(setting_defaults_twice_changes_nothing) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Pod *pod =
                fixture_pod(arena, "'hostNetwork': true, 'resources': {'limits': {'cpu': '3'}}, 'containers': "
                                   "[{'name': 'a', 'image': 'x', 'ports': [{'containerPort': 80}], 'resources': "
                                   "{'requests': {'cpu': '1'}}}], 'topologySpreadConstraints': [{'maxSkew': 1, "
                                   "'topologyKey': 'k', 'whenUnsatisfiable': 'DoNotSchedule', 'labelSelector': {}, "
                                   "'matchLabelKeys': ['app']}]");
        V1Pod *again = api_copy(arena, &pod->base);

        api_set_pod_defaults(again, arena);
        assert_true(api_equal(&pod->base, &again->base));
        assert_int_equal(again->spec->topologyspreadconstraints[0]->labelselector->n_matchexpressions, 1);
        assert_string_equal(again->spec->topologyspreadconstraints[0]->labelselector->matchexpressions[0]->values[0],
                            "web");
}

TEST(a_negative_grace_period_becomes_one_second) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();

        assert_int_equal(
                fixture_pod(arena, "'terminationGracePeriodSeconds': -5, " C)->spec->terminationgraceperiodseconds, 1);
        assert_int_equal(
                fixture_pod(arena, "'terminationGracePeriodSeconds': 0, " C)->spec->terminationgraceperiodseconds, 0);
}

TEST(ports_on_the_hosts_network_are_ports_of_the_host) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Pod *pod = fixture_pod(arena, "'hostNetwork': true, 'containers': [{'name': 'a', 'image': 'x', 'ports': "
                                        "[{'containerPort': 80}]}]");

        assert_int_equal(pod->spec->containers[0]->ports[0]->hostport, 80);
}

TEST(a_pods_own_requests_follow_from_its_containers_and_its_limits) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Pod *pod =
                fixture_pod(arena, "'resources': {'limits': {'cpu': '2', 'memory': '1Gi'}}, 'containers': [{'name': "
                                   "'a', 'image': 'x', 'resources': {'requests': {'cpu': '100m'}}}, {'name': 'b', "
                                   "'image': 'x', 'resources': {'requests': {'cpu': '200m'}}}]");
        V1ResourceRequirements *r = pod->spec->resources;

        assert_string_equal(api_quantity_get(r->requests, r->n_requests, "cpu")->string, "300m");
        assert_string_equal(api_quantity_get(r->requests, r->n_requests, "memory")->string, "1Gi");
}

TEST(the_old_name_of_the_service_account_still_counts) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();

        assert_string_equal(fixture_pod(arena, "'serviceAccount': 'sa', " C)->spec->serviceaccountname, "sa");
        assert_string_equal(fixture_pod(arena, "'serviceAccountName': 'sa', " C)->spec->serviceaccount, "sa");
}

TEST(an_ephemeral_container_gets_a_containers_defaults) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Pod *pod = fixture_pod(arena, C ", 'ephemeralContainers': [{'name': 'e', 'image': 'x:1'}]");
        V1EphemeralContainerCommon *c = pod->spec->ephemeralcontainers[0]->ephemeralcontainercommon;

        assert_string_equal(c->imagepullpolicy, "IfNotPresent");
        assert_string_equal(c->terminationmessagepolicy, "File");
        assert_ptr_equal(c->base.descriptor, &v1_ephemeral_container_common__descriptor);
}

TEST(a_secrets_text_becomes_data) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Secret *secret = fixture_object(arena, &v1_secret__descriptor,
                                          "{'metadata': {'name': 's'}, 'data': {'a': 'b2xk', 'b': ''}, 'stringData': "
                                          "{'a': 'new', 'c': 'see'}}");

        assert_string_equal(secret->type, "Opaque");
        assert_int_equal(secret->n_stringdata, 0);
        assert_int_equal(secret->n_data, 3);
        for (size_t i = 0; i < secret->n_data; i++)
                if (streq(secret->data[i]->key, "a"))
                        assert_memory_equal(secret->data[i]->value.data, "new", 3);
}

TEST(a_namespace_carries_its_name_as_a_label) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Namespace *ns = fixture_object(arena, &v1_namespace__descriptor, "{'metadata': {'name': 'n'}}");

        assert_string_equal(api_map_get(ns->metadata->labels, ns->metadata->n_labels, "kubernetes.io/metadata.name"),
                            "n");
        assert_string_equal(ns->status->phase, "Active");
        assert_string_equal(ns->spec->finalizers[0], "kubernetes");
}
