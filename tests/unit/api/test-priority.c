#include "fixture.h"

#include "api/priority.h"

#define C "'containers': [{'name': 'a', 'image': 'x'}]"

static void add(const char *text) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();

        priority_class_add(fixture_object(arena, &v1_priority_class__descriptor, text));
}

#define CLASS(name, value, more) "{'metadata': {'name': '" name "'}, 'value': " value more "}"

static void assert_set(const char *pod, const char *class, int32_t priority, const char *policy) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        V1Pod *made = fixture_pod(arena, pod);

        api_validate_pod(made, &diags);
        if (diags.n)
                fail_msg("%s: %s", pod, fixture_messages(&diags));
        assert_string_equal(made->spec->priorityclassname ? made->spec->priorityclassname : "", class);
        assert_int_equal(made->spec->priority, priority);
        assert_string_equal(made->spec->preemptionpolicy, policy);
}

static void assert_pod_refused(const char *pod, const char *text) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

        api_validate_pod(fixture_pod(arena, pod), &diags);
        _cleanup_free_ char *found = fixture_messages(&diags);
        if (!strstr(found, text))
                fail_msg("%s: %s", pod, found);
}

TEST(a_pod_gets_priority_and_policy_of_its_class) {
        priority_classes_forget();
        assert_set(C, "", 0, "PreemptLowerPriority");
        add(CLASS("gold", "1000", ""));
        add(CLASS("patient", "7", ", 'preemptionPolicy': 'Never'"));
        assert_set("'priorityClassName': 'gold', " C, "gold", 1000, "PreemptLowerPriority");
        assert_set("'priorityClassName': 'patient', " C, "patient", 7, "Never");
        assert_set("'priorityClassName': 'patient', 'priority': 7, 'preemptionPolicy': 'Never', " C, "patient", 7,
                   "Never");
        add(CLASS("gold", "2000", ""));
        assert_set("'priorityClassName': 'gold', " C, "gold", 2000, "PreemptLowerPriority");
}

TEST(a_pod_without_a_class_gets_the_global_default) {
        priority_classes_forget();
        add(CLASS("usual", "50", ", 'globalDefault': true, 'preemptionPolicy': 'Never'"));
        add(CLASS("gold", "1000", ""));
        assert_set(C, "usual", 50, "Never");
        assert_set("'priorityClassName': 'gold', " C, "gold", 1000, "PreemptLowerPriority");
        priority_classes_forget();
}

TEST(priority_and_policy_that_are_not_those_of_the_class_are_refused) {
        priority_classes_forget();
        add(CLASS("patient", "7", ", 'preemptionPolicy': 'Never'"));
        assert_pod_refused("'priorityClassName': 'silver', " C,
                           "spec.priorityClassName: Forbidden: no PriorityClass with name silver was found");
        assert_pod_refused(
                "'priorityClassName': 'patient', 'priority': 8, " C,
                "spec.priority: Forbidden: the integer value of priority (8) must not be provided in pod spec; "
                "priority admission controller computed 7 from the given PriorityClass name");
        assert_pod_refused(
                "'priorityClassName': 'patient', 'preemptionPolicy': 'PreemptLowerPriority', " C,
                "spec.preemptionPolicy: Forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) "
                "must not be provided in pod spec; priority admission controller computed Never from the "
                "given PriorityClass name");
        assert_pod_refused("'preemptionPolicy': 'Never', " C, "spec.preemptionPolicy: Forbidden");
        priority_classes_forget();
}

static void assert_class(const char *was, const char *now, const char *text) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        const ProtobufCMessageDescriptor *type = &v1_priority_class__descriptor;

        api_validate(fixture_object(arena, type, now), was ? fixture_object(arena, type, was) : NULL, &diags);
        _cleanup_free_ char *found = fixture_messages(&diags);
        if (!strstr(found, text))
                fail_msg("%s: %s", now, found);
}

TEST(a_class_is_held_against_the_apiservers_rules) {
        priority_classes_forget();
        assert_class(NULL, CLASS("gold", "1000000000", ""), "nothing");
        assert_class(NULL, CLASS("gold", "-5", ""), "nothing");
        assert_class(NULL, CLASS("gold", "1000000001", ""),
                     "value: Forbidden: maximum allowed value of a user defined priority is 1000000000");
        assert_class(NULL, CLASS("Gold", "1", ""), "metadata.name: Invalid");
        assert_class(NULL, CLASS("gold", "1", ", 'preemptionPolicy': 'Always'"), "preemptionPolicy: Unsupported value");
        assert_class(NULL, CLASS("system-mine", "1", ""),
                     "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use "
                     "only. error: system-mine is not a known system priority class");
        assert_class(NULL, CLASS("system-node-critical", "1", ""),
                     "value of system-node-critical PriorityClass must be 2000001000");
        assert_class(NULL, CLASS("system-node-critical", "2000001000", ""), "nothing");
        add(CLASS("usual", "50", ", 'globalDefault': true"));
        assert_class(NULL, CLASS("usual", "50", ", 'globalDefault': true"), "nothing");
        assert_class(NULL, CLASS("other", "50", ", 'globalDefault': true"),
                     "globalDefault: Forbidden: PriorityClass usual is already marked as default. Only one default can "
                     "exist");
        priority_classes_forget();
}

TEST(value_and_policy_of_a_class_stay) {
        assert_class(CLASS("gold", "1", ""), CLASS("gold", "1", ", 'description': 'new'"), "nothing");
        assert_class(CLASS("gold", "1", ""), CLASS("gold", "2", ""),
                     "value: Forbidden: may not be changed in an update.");
        assert_class(CLASS("gold", "1", ""), CLASS("gold", "1", ", 'preemptionPolicy': 'Never'"),
                     "preemptionPolicy: Invalid value: \"Never\": field is immutable");
}

static void load(void *count) {
        ++*(int *)count;
        add(CLASS("gold", "1000", ""));
}

TEST(classes_are_loaded_when_they_matter_and_once) {
        int count = 0;

        priority_classes_forget();
        priority_classes_on_demand(load, &count);
        assert_int_equal(count, 0);
        add(CLASS("gold", "2000", "")); /* of a file: newer than what is stored */
        assert_int_equal(count, 1);
        assert_int_equal(priority_class_find("gold")->value, 2000);
        assert_int_equal(count, 1);
        priority_classes_forget();
}
