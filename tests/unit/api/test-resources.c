#include "fixture.h"

#include "api/resources.h"

#define CPU(value) "'resources': {'requests': {'cpu': '" value "'}}"

static void assert_cpu(const char *spec, const char *want) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_resource_list_ struct resource_list list = RESOURCE_LIST_INIT;
        const struct quantity *cpu;
        _cleanup_free_ char *text = NULL;

        api_pod_requests(fixture_pod(arena, spec), &list);
        cpu = resource_list_get(&list, "cpu");
        text = cpu ? quantity_format(*cpu) : xstrdup("none");
        assert_string_equal(text, want);
}

TEST(containers_add_up_and_the_largest_init_container_counts) {
        assert_cpu("'containers': [{'name': 'a', 'image': 'x'}]", "none");
        assert_cpu("'containers': [{'name': 'a', 'image': 'x', " CPU("1") "}, {'name': 'b', 'image': 'x', " CPU(
                           "500m") "}]",
                   "1500m");
        assert_cpu("'initContainers': [{'name': 'i', 'image': 'x', " CPU("3") "}, {'name': 'j', 'image': 'x', " CPU(
                           "2") "}], 'containers': [{'name': 'a', 'image': 'x', " CPU("1") "}]",
                   "3");
}

TEST(a_sidecar_runs_beside_everything_after_it) {
        /* with the containers: 1 + 2; during the second init container: 2 + 2 */
        assert_cpu("'initContainers': [{'name': 's', 'image': 'x', 'restartPolicy': 'Always', " CPU(
                           "2") "}, {'name': 'i', 'image': 'x', " CPU("2") "}], 'containers': [{'name': 'a', 'image': "
                                                                           "'x', " CPU("1") "}]",
                   "4");
        /* the init container comes before the sidecar, so they are never together */
        assert_cpu("'initContainers': [{'name': 'i', 'image': 'x', " CPU("2") "}, {'name': 's', 'image': 'x', "
                                                                              "'restartPolicy': 'Always', " CPU(
                                                                                      "2") "}], 'containers': "
                                                                                           "[{'name': 'a', 'image': "
                                                                                           "'x', " CPU("1") "}]",
                   "3");
}

TEST(the_pods_own_share_replaces_the_sum_and_overhead_comes_on_top) {
        assert_cpu("'resources': {'requests': {'cpu': '5'}}, 'overhead': {'cpu': '250m'}, 'containers': [{'name': 'a', "
                   "'image': 'x', " CPU("1") "}]",
                   "5250m");
}

TEST(overhead_makes_no_limit) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_resource_list_ struct resource_list list = RESOURCE_LIST_INIT;

        api_pod_limits(fixture_pod(arena,
                                   "'overhead': {'cpu': '1', 'memory': '1'}, 'containers': [{'name': 'a', 'image': "
                                   "'x', 'resources': {'limits': {'memory': '9'}}}]"),
                       &list);
        assert_null(resource_list_get(&list, "cpu"));
        assert_int_equal(quantity_value(*resource_list_get(&list, "memory")), 10);
}

TEST(one_container_without_a_limit_leaves_the_pod_unlimited) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Pod *pod =
                fixture_pod(arena, "'containers': [{'name': 'a', 'image': 'x', 'resources': {'limits': {'cpu': '1', "
                                   "'memory': '1'}}}, {'name': 'b', 'image': 'x', 'resources': {'limits': "
                                   "{'memory': '1'}}}]");

        assert_true(api_pod_limits_every_container(pod, "memory"));
        assert_false(api_pod_limits_every_container(pod, "cpu"));
}

TEST(quality_of_service_follows_from_requests_and_limits) {
        static const struct {
                const char *spec, *class;
        } cases[] = {
                { "'containers': [{'name': 'a', 'image': 'x'}]", "BestEffort" },
                { "'containers': [{'name': 'a', 'image': 'x', 'resources': {'requests': {'cpu': '0'}}}]",
                  "BestEffort" },
                { "'containers': [{'name': 'a', 'image': 'x', 'resources': {'limits': {'ephemeral-storage': '1'}}}]",
                  "BestEffort" },
                { "'containers': [{'name': 'a', 'image': 'x', 'resources': {'limits': {'cpu': '1'}}}]", "Burstable" },
                { "'containers': [{'name': 'a', 'image': 'x', 'resources': {'limits': {'cpu': '1', 'memory': '1Gi'}}}]",
                  "Guaranteed" },
                { "'containers': [{'name': 'a', 'image': 'x', 'resources': {'requests': {'cpu': '0.5'}, 'limits': "
                  "{'cpu': "
                  "'1', 'memory': '1Gi'}}}]",
                  "Burstable" },
                { "'containers': [{'name': 'a', 'image': 'x', 'resources': {'limits': {'cpu': '1', 'memory': '1Gi'}}}, "
                  "{'name': 'b', 'image': 'x'}]",
                  "Burstable" },
                { "'initContainers': [{'name': 'i', 'image': 'x'}], 'containers': [{'name': 'a', 'image': 'x', "
                  "'resources': {'limits': {'cpu': '1', 'memory': '1Gi'}}}]",
                  "Burstable" },
                { "'resources': {'limits': {'cpu': '1', 'memory': '1Gi'}}, 'containers': [{'name': 'a', 'image': 'x'}]",
                  "Guaranteed" },
                { "'resources': {'requests': {'cpu': '1'}}, 'containers': [{'name': 'a', 'image': 'x'}]", "Burstable" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();

                assert_string_equal(api_pod_qos_class(fixture_pod(arena, cases[i].spec)), cases[i].class);
        }
}
