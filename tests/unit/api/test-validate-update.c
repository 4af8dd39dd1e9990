#include "fixture.h"

#define POD(meta, spec) "{'metadata': {'name': 'p', 'namespace': 'd', 'uid': 'u'" meta "}, 'spec': {" spec "}}"
#define C "'containers': [{'name': 'a', 'image': 'x'}]"
#define SIZED(cpu, memory) \
        "'containers': [{'name': 'a', 'image': 'x', 'resources': {'requests': {'cpu': '" cpu "', 'memory': '" memory \
        "'}}}]"

typedef void (*update_rule)(const V1Pod *new_pod, const V1Pod *old_pod, struct diagnostics *diags);

/* NULL if the change is allowed, else all that was found wrong with it. */
static char *change(update_rule rule, const char *from, const char *to) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

        rule(fixture_object(arena, &v1_pod__descriptor, to), fixture_object(arena, &v1_pod__descriptor, from), &diags);
        return diags.n > 0 ? fixture_messages(&diags) : NULL;
}

static void assert_allowed(update_rule rule, const char *from, const char *to) {
        _cleanup_free_ char *found = change(rule, from, to);

        if (found)
                fail_msg("%s -> %s: %s", from, to, found);
}

static void assert_refused(update_rule rule, const char *from, const char *to, const char *text) {
        _cleanup_free_ char *found = change(rule, from, to);

        if (!found || !strstr(found, text))
                fail_msg("%s -> %s: %s", from, to, found ? found : "allowed");
}

TEST(an_image_a_label_a_deadline_and_a_further_toleration_may_change) {
        assert_allowed(api_validate_pod_update, POD("", C), POD("", C));
        assert_allowed(api_validate_pod_update, POD("", C),
                       POD(", 'labels': {'a': 'b'}", "'containers': [{'name': 'a', 'image': 'y', 'imagePullPolicy': "
                                                     "'Always'}]"));
        assert_allowed(api_validate_pod_update, POD("", C), POD("", "'activeDeadlineSeconds': 5, " C));
        assert_allowed(api_validate_pod_update, POD("", "'activeDeadlineSeconds': 5, " C),
                       POD("", "'activeDeadlineSeconds': 4, " C));
        assert_allowed(api_validate_pod_update,
                       POD("", "'tolerations': [{'key': 'k', 'operator': 'Exists', 'effect': 'NoExecute'}], " C),
                       POD("", "'tolerations': [{'key': 'k', 'operator': 'Exists', 'effect': 'NoExecute', "
                               "'tolerationSeconds': 9}, {'operator': 'Exists'}], " C));
        assert_allowed(api_validate_pod_update, POD("", "'schedulingGates': [{'name': 'g'}, {'name': 'h'}], " C),
                       POD("", "'schedulingGates': [{'name': 'h'}], " C));
}

TEST(the_same_quantity_written_differently_is_no_change) {
        assert_allowed(api_validate_pod_update, POD("", SIZED("1", "1Gi")), POD("", SIZED("1000m", "1024Mi")));
}

TEST(nothing_else_of_the_spec_may_change_and_the_place_is_named) {
        assert_refused(api_validate_pod_update, POD("", C), POD("", "'hostname': 'h', " C), "spec: Forbidden");
        assert_refused(api_validate_pod_update, POD("", C), POD("", "'hostname': 'h', " C), "changed: spec.hostname");
        assert_refused(api_validate_pod_update, POD("", C),
                       POD("", "'containers': [{'name': 'a', 'image': 'x', 'command': ['y']}]"),
                       "changed: spec.containers[0].command");
        assert_refused(api_validate_pod_update, POD("", SIZED("1", "1")), POD("", SIZED("2", "1")),
                       "spec.containers[0].resources.requests");
        assert_refused(api_validate_pod_update, POD("", C), POD("", "'containers': [{'name': 'b', 'image': 'x'}]"),
                       "spec.containers[0].name");
        assert_refused(api_validate_pod_update, POD("", C),
                       POD("", "'containers': [{'name': 'a', 'image': 'x'}, {'name': 'b', 'image': 'x'}]"),
                       "spec.containers: Forbidden: pod updates may not add or remove containers");
        assert_refused(api_validate_pod_update, POD("", "'activeDeadlineSeconds': 5, " C),
                       POD("", "'activeDeadlineSeconds': 6, " C), "must be less than or equal to previous value");
        assert_refused(api_validate_pod_update, POD("", "'activeDeadlineSeconds': 5, " C), POD("", C),
                       "spec.activeDeadlineSeconds");
        assert_refused(api_validate_pod_update, POD("", "'tolerations': [{'operator': 'Exists'}], " C), POD("", C),
                       "spec.tolerations: Forbidden");
        assert_refused(api_validate_pod_update, POD("", C), POD("", "'schedulingGates': [{'name': 'g'}], " C),
                       "spec.schedulingGates[0].name: Forbidden");
        assert_refused(api_validate_pod_update, POD("", C), POD(", 'resourceVersion': '5'", "'containers': []"),
                       "spec.containers: Required");
}

TEST(what_the_system_wrote_may_be_left_out_but_not_changed) {
        assert_allowed(api_validate_pod_update, POD("", C),
                       "{'metadata': {'name': 'p', 'namespace': 'd'}, 'spec': {" C "}}");
        assert_refused(api_validate_pod_update, POD("", C),
                       "{'metadata': {'name': 'p', 'namespace': 'd', 'uid': 'other'}, 'spec': {" C "}}",
                       "metadata.uid");
        assert_refused(api_validate_pod_update, POD("", C),
                       POD(", 'annotations': {'kubernetes.io/config.mirror': 'x'}", "'nodeName': 'n', " C),
                       "may not add mirror pod annotation");
}

#define GATED(nodes) "'schedulingGates': [{'name': 'g'}], " nodes C
#define TERMS(terms) \
        "'affinity': {'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': {'nodeSelectorTerms': " \
        "[" terms "]}}}, "
#define HAS(key) "{'key': '" key "', 'operator': 'Exists'}"

TEST(a_gated_pod_may_be_narrowed_to_fewer_nodes_only) {
        assert_allowed(api_validate_pod_update, POD("", GATED("")), POD("", GATED("'nodeSelector': {'a': 'b'}, ")));
        assert_refused(api_validate_pod_update, POD("", C), POD("", "'nodeSelector': {'a': 'b'}, " C),
                       "spec.nodeSelector");
        assert_refused(api_validate_pod_update, POD("", GATED("'nodeSelector': {'a': 'b'}, ")),
                       POD("", GATED("'nodeSelector': {'a': 'c'}, ")), "only additions to spec.nodeSelector");
        assert_allowed(api_validate_pod_update, POD("", GATED("")),
                       POD("", GATED(TERMS("{'matchExpressions': [" HAS("a") "]}"))));
        assert_allowed(api_validate_pod_update, POD("", GATED(TERMS("{'matchExpressions': [" HAS("a") "]}"))),
                       POD("", GATED(TERMS("{'matchExpressions': [" HAS("a") ", " HAS("b") "]}"))));
        assert_refused(
                api_validate_pod_update, POD("", GATED(TERMS("{'matchExpressions': [" HAS("a") "]}"))),
                POD("", GATED(TERMS("{'matchExpressions': [" HAS("a") "]}, {'matchExpressions': [" HAS("b") "]}"))),
                "no additions/deletions");
        assert_refused(api_validate_pod_update, POD("", GATED(TERMS("{'matchExpressions': [" HAS("a") "]}"))),
                       POD("", GATED(TERMS("{'matchExpressions': [" HAS("b") "]}"))), "only additions are allowed");
}

TEST(a_resize_changes_cpu_and_memory_and_nothing_else) {
        assert_allowed(api_validate_pod_resize, POD("", SIZED("1", "1Gi")), POD("", SIZED("2", "512Mi")));
        assert_refused(api_validate_pod_resize, POD("", SIZED("1", "1Gi")),
                       POD("", "'hostname': 'h', " SIZED("2", "1Gi")),
                       "only cpu and memory resources are mutable (changed: spec.hostname)");
        assert_refused(api_validate_pod_resize, POD("", SIZED("1", "1Gi")),
                       POD("", "'containers': [{'name': 'a', 'image': 'x', 'resources': {'requests': {'cpu': '1'}}}]"),
                       "resource requests cannot be removed");
        assert_refused(api_validate_pod_resize, POD("", C), POD("", SIZED("1", "1Gi")), "QOS Class may not change");
        assert_refused(
                api_validate_pod_resize,
                POD(", 'annotations': {'kubernetes.io/config.mirror': 'x'}", "'nodeName': 'n', " SIZED("1", "1")),
                POD(", 'annotations': {'kubernetes.io/config.mirror': 'x'}", "'nodeName': 'n', " SIZED("2", "1")),
                "static pods cannot be resized");
}

TEST(a_pods_own_resources_and_its_sidecars_can_be_resized) {
        assert_allowed(api_validate_pod_resize, POD("", "'resources': {'requests': {'cpu': '1'}}, " C),
                       POD("", "'resources': {'requests': {'cpu': '2'}}, " C));
        assert_allowed(api_validate_pod_resize,
                       POD("", "'initContainers': [{'name': 'i', 'image': 'x', 'restartPolicy': 'Always', 'resources': "
                               "{'limits': {'memory': '1Gi'}}}], " C),
                       POD("", "'initContainers': [{'name': 'i', 'image': 'x', 'restartPolicy': 'Always', 'resources': "
                               "{'limits': {'memory': '2Gi'}}}], " C));
}

#define EPHEMERAL(fields) C ", 'ephemeralContainers': [{'name': 'e', 'image': 'x'" fields "}]"

TEST(ephemeral_containers_come_but_neither_change_nor_go) {
        assert_allowed(api_validate_pod_ephemeral, POD("", C), POD("", EPHEMERAL(", 'targetContainerName': 'a'")));
        assert_refused(api_validate_pod_ephemeral, POD("", EPHEMERAL("")), POD("", C), "may not be removed");
        assert_refused(api_validate_pod_ephemeral, POD("", EPHEMERAL("")), POD("", EPHEMERAL(", 'stdin': true")),
                       "may not be changed");
        assert_refused(api_validate_pod_ephemeral, POD("", C),
                       POD("", EPHEMERAL(", 'lifecycle': {'preStop': {'sleep': "
                                         "{'seconds': 1}}}")),
                       "spec.ephemeralContainers[0].lifecycle: Forbidden");
}

#define STATUS(spec, status) \
        "{'metadata': {'name': 'p', 'namespace': 'd'}, 'spec': {" spec C "}, 'status': {" status "}}"
#define ENDED(code) "'containerStatuses': [{'name': 'a', 'state': {'terminated': {'exitCode': " code "}}}]"
#define RUNNING "'containerStatuses': [{'name': 'a', 'state': {'running': {}}}]"

TEST(a_container_that_has_ended_for_good_does_not_run_again) {
        assert_refused(api_validate_pod_status, STATUS("'restartPolicy': 'Never', ", ENDED("1")),
                       STATUS("'restartPolicy': 'Never', ", RUNNING), "status.containerStatuses[0].state: Forbidden");
        assert_refused(api_validate_pod_status, STATUS("'restartPolicy': 'OnFailure', ", ENDED("0")),
                       STATUS("'restartPolicy': 'OnFailure', ", RUNNING),
                       "status.containerStatuses[0].state: Forbidden");
        assert_allowed(api_validate_pod_status, STATUS("'restartPolicy': 'OnFailure', ", ENDED("1")),
                       STATUS("'restartPolicy': 'OnFailure', ", RUNNING));
        assert_allowed(api_validate_pod_status, STATUS("", ENDED("1")), STATUS("", RUNNING));
        assert_refused(api_validate_pod_status, STATUS("", "'qosClass': 'Burstable'"),
                       STATUS("", "'qosClass': 'Guaranteed'"), "status.qosClass");
        assert_refused(api_validate_pod_status, STATUS("", ""),
                       STATUS("", "'podIPs': [{'ip': '10.0.0.1'}, {'ip': '10.0.0.2'}]"),
                       "may specify no more than one IP for each IP family");
        assert_allowed(api_validate_pod_status, STATUS("", ""),
                       STATUS("", "'podIPs': [{'ip': '10.0.0.1'}, {'ip': 'fd00::2'}]"));
}
