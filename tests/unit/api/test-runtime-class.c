#include "fixture.h"

#include "api/runtime-class.h"

#define C "'containers': [{'name': 'a', 'image': 'x'}]"
#define VIRTUAL \
        "{'metadata': {'name': 'virtual'}, 'handler': 'kata', 'overhead': {'podFixed': {'cpu': '250m', 'memory': " \
        "'64Mi'}}, 'scheduling': {'nodeSelector': {'vm': 'yes'}, 'tolerations': [{'key': 'vm', 'operator': " \
        "'Exists'}]}}"

static void add(const char *text) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();

        runtime_class_add(fixture_object(arena, &v1_runtime_class__descriptor, text));
}

static void assert_pod(const char *pod, const char *wanted) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

        api_validate_pod(fixture_pod(arena, pod), &diags);
        _cleanup_free_ char *found = fixture_messages(&diags);
        if (wanted ? !strstr(found, wanted) : diags.n > 0)
                fail_msg("%s: %s", pod, found);
}

TEST(a_pod_gets_overhead_selector_and_tolerations_of_its_class) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1PodSpec *spec;

        add(VIRTUAL);
        add(VIRTUAL); /* in its own place */
        spec = fixture_pod(arena, "'runtimeClassName': 'virtual', 'nodeSelector': {'disk': 'ssd'}, 'tolerations': "
                                  "[{'key': 'vm', 'operator': 'Exists'}], " C)
                       ->spec;
        assert_int_equal(spec->n_overhead, 2);
        assert_string_equal(api_quantity_get(spec->overhead, spec->n_overhead, "memory")->string, "64Mi");
        assert_int_equal(spec->n_nodeselector, 2);
        assert_string_equal(api_map_get(spec->nodeselector, spec->n_nodeselector, "vm"), "yes");
        assert_int_equal(spec->n_tolerations, 1);
        runtime_classes_forget();
}

TEST(a_pod_that_disagrees_with_its_class_is_refused) {
        add(VIRTUAL);
        add("{'metadata': {'name': 'plain'}, 'handler': 'runc'}");
        assert_pod("'runtimeClassName': 'virtual', " C, NULL);
        assert_pod("'runtimeClassName': 'plain', " C, NULL);
        assert_pod("'runtimeClassName': 'virtual', 'overhead': {'cpu': '0.25', 'memory': '64Mi'}, " C, NULL);
        assert_pod("'runtimeClassName': 'virtual', 'overhead': {'cpu': '1'}, " C,
                   "spec.overhead: Forbidden: pod rejected: Pod's Overhead doesn't match");
        assert_pod("'runtimeClassName': 'plain', 'overhead': {'cpu': '1'}, " C,
                   "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
        assert_pod("'runtimeClassName': 'virtual', 'nodeSelector': {'vm': 'no'}, " C,
                   "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no");
        runtime_classes_forget();
        assert_pod("'runtimeClassName': 'virtual', " C,
                   "spec.runtimeClassName: Forbidden: pod rejected: RuntimeClass \"virtual\" not found");
}

static void assert_class(const char *class, const char *wanted) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

        api_validate(fixture_object(arena, &v1_runtime_class__descriptor, class), NULL, &diags);
        _cleanup_free_ char *found = fixture_messages(&diags);
        if (wanted ? !strstr(found, wanted) : diags.n > 0)
                fail_msg("%s: %s", class, found);
}

TEST(classes_are_checked) {
        assert_class(VIRTUAL, NULL);
        assert_class("{'metadata': {'name': 'x'}, 'handler': 'A_b'}", "handler: Invalid value: \"A_b\"");
        assert_class("{'metadata': {'name': 'x'}}", "handler");
        assert_class("{'metadata': {'name': 'x'}, 'handler': 'a', 'overhead': {'podFixed': {'cpu': '-1'}}}",
                     "overhead.podFixed[cpu]");
        assert_class("{'metadata': {'name': 'x'}, 'handler': 'a', 'scheduling': {'nodeSelector': {'-': ''}}}",
                     "scheduling.nodeSelector");
        assert_class("{'metadata': {'name': 'x'}, 'handler': 'a', 'scheduling': {'tolerations': [{'operator': 'E'}]}}",
                     "scheduling.tolerations[0]");
}
