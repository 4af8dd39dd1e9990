#include "api/api.h"
#include "test.h"

static json_t *json(const char *text) {
        json_error_t error;
        json_t *j = json_loads(text, 0, &error);

        if (!j)
                fail_msg("%s: %s", error.text, text);
        return j;
}

/* Decodes a pod and compares what is wrong with it, one message a line. */
static void assert_mistakes(const char *text, const char *wanted) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        json_t *j = json(text);
        char all[4096] = "";

        api_decode(j, &v1_pod__descriptor, arena, &diags);
        for (size_t i = 0; i < diags.n; i++) {
                _cleanup_free_ char *message = diagnostic_message(&diags.items[i]);

                strcat(strcat(all, message), "\n");
        }
        assert_string_equal(all, wanted);
        json_decref(j);
}

static void assert_round_trip(const ProtobufCMessageDescriptor *descriptor, const char *text, const char *wanted) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_free_ char *got = NULL;
        json_t *in = json(text), *out;
        void *message = api_decode(in, descriptor, arena, &diags), *copy;

        if (diags.n > 0)
                fail_msg("%s: %s", diags.items[0].path, diags.items[0].detail);
        copy = api_copy(arena, message);
        assert_true(api_equal(message, copy));
        out = api_encode(copy);
        got = json_dumps(out, JSON_COMPACT);
        assert_string_equal(got, wanted);
        json_decref(in);
        json_decref(out);
}

TEST(a_pod_is_written_as_kubernetes_writes_it) {
        assert_round_trip(
                &v1_pod__descriptor,
                "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"labels\":{\"b\":\"2\",\"a\":"
                "\"1\"}},"
                "\"spec\":{\"containers\":[{\"name\":\"a\",\"tty\":false,\"env\":[]}],\"volumes\":[{\"name\":\"v\","
                "\"emptyDir\":{}}],\"hostNetwork\":false,\"enableServiceLinks\":false}}",
                "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\",\"labels\":{\"a\":\"1\",\"b\":"
                "\"2\"}},"
                "\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],\"containers\":[{\"name\":\"a\","
                "\"resources\":{}}],"
                "\"enableServiceLinks\":false},\"status\":{}}");
}

TEST(an_empty_pod_has_what_go_always_writes) {
        assert_round_trip(&v1_pod__descriptor, "{}",
                          "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{},\"spec\":{\"containers\":null},"
                          "\"status\":{}}");
}

TEST(null_is_absent_but_zero_in_lists_and_maps) {
        assert_round_trip(
                &v1_pod__descriptor,
                "{\"metadata\":{\"labels\":{\"x\":null}},\"spec\":{\"affinity\":null,\"imagePullSecrets\":[null],"
                "\"containers\":[{\"name\":\"a\",\"args\":[null,\"b\"],\"resources\":{\"limits\":{\"cpu\":null}}}]}}",
                "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"labels\":{\"x\":\"\"}},\"spec\":{"
                "\"containers\":[{"
                "\"name\":\"a\",\"args\":[\"\",\"b\"],\"resources\":{\"limits\":{\"cpu\":\"0\"}}}],"
                "\"imagePullSecrets\":[{}]},\"status\":{}}");
}

TEST(quantities_become_canonical) {
        assert_round_trip(&v1_resource_requirements__descriptor,
                          "{\"limits\":{\"cpu\":0.5,\"memory\":\"1024Ki\",\"x\":5},\"requests\":{\"cpu\":\"0.5\","
                          "\"memory\":\" 1e3 \"}}",
                          "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Mi\",\"x\":\"5\"},\"requests\":{\"cpu\":"
                          "\"500m\",\"memory\":\"1e3\"}}");
}

TEST(ports_are_numbers_or_names) {
        assert_round_trip(&v1_httpget_action__descriptor, "{\"port\":\"http\"}", "{\"port\":\"http\"}");
        assert_round_trip(&v1_httpget_action__descriptor, "{\"port\":80}", "{\"port\":80}");
        assert_round_trip(&v1_httpget_action__descriptor, "{}", "{\"port\":0}");
}

TEST(inlined_structs_stand_in_their_parent) {
        assert_round_trip(&v1_probe__descriptor, "{\"exec\":{\"command\":[\"true\"]},\"periodSeconds\":3}",
                          "{\"exec\":{\"command\":[\"true\"]},\"periodSeconds\":3}");
        assert_round_trip(&v1_env_var_source__descriptor,
                          "{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\",\"optional\":false}}",
                          "{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\",\"optional\":false}}");
}

TEST(times_keep_their_precision) {
        assert_round_trip(&v1_event__descriptor,
                          "{\"metadata\":{\"creationTimestamp\":\"2024-05-01T14:00:00+02:00\"},"
                          "\"eventTime\":\"2024-05-01T12:00:00.1234567Z\",\"lastTimestamp\":\"1970-01-01T00:00:00Z\"}",
                          "{\"kind\":\"Event\",\"apiVersion\":\"v1\",\"metadata\":{\"creationTimestamp\":\"2024-05-"
                          "01T12:00:00Z\"},"
                          "\"involvedObject\":{},\"source\":{},\"firstTimestamp\":null,\"lastTimestamp\":\"1970-01-"
                          "01T00:00:00Z\","
                          "\"eventTime\":\"2024-05-01T12:00:00.123456Z\",\"reportingComponent\":\"\","
                          "\"reportingInstance\":\"\"}");
}

TEST(bytes_are_base64) {
        assert_round_trip(
                &v1_secret__descriptor,
                "{\"data\":{\"a\":\"aGk=\",\"b\":\"\",\"c\":\"aGVsbG8h\",\"d\":\"\\naA==\\n\"}}",
                "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{},\"data\":{\"a\":\"aGk=\",\"b\":\"\","
                "\"c\":\"aGVsbG8h\",\"d\":\"aA==\"}}");
}

TEST(bad_base64_is_refused) {
        static const char *const bad[] = { "a",     "aGk",  "aG=k",     "====", "not base64!",
                                           "aGk==", "a===", "aGk=aGk=", "aGk-" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
                _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
                json_t *j = json_pack("{s{ss}}", "data", "k", bad[i]);

                api_decode(j, &v1_secret__descriptor, arena, &diags);
                if (diags.n != 1 || !strstr(diags.items[0].detail, "illegal base64"))
                        fail_msg("accepted %s", bad[i]);
                json_decref(j);
        }
}

TEST(unknown_fields_are_named_with_what_was_meant) {
        assert_mistakes("{\"spec\":{\"containers\":[{\"name\":\"a\",\"imagePulPolicy\":\"Always\",\"Image\":\"x\"}],"
                        "\"xyzzy\":1},\"sepc\":{}}",
                        "spec.containers[0].imagePulPolicy: unknown field; did you mean \"imagePullPolicy\"?\n"
                        "spec.containers[0].Image: unknown field; did you mean \"image\"?\n"
                        "spec.xyzzy: unknown field\n"
                        "sepc: unknown field; did you mean \"spec\"?\n");
}

TEST(inlined_names_are_suggested_too) {
        assert_mistakes("{\"spec\":{\"volumes\":[{\"emptydir\":{}}]}}",
                        "spec.volumes[0].emptydir: unknown field; did you mean \"emptyDir\"?\n");
        assert_mistakes("{\"spec\":{\"volumes\":[{\"volumeSource\":{}}]}}",
                        "spec.volumes[0].volumeSource: unknown field\n");
}

TEST(wrong_types_are_refused_in_kubernetes_words) {
        assert_mistakes(
                "{\"spec\":{\"containers\":{\"name\":\"a\"}}}",
                "spec.containers: cannot unmarshal object into a list of Container; start each element with \"- \"\n");
        assert_mistakes(
                "{\"spec\":{\"containers\":[{\"name\":5,\"command\":\"x\",\"ports\":[{\"containerPort\":\"80\"}]}]}}",
                "spec.containers[0].name: cannot unmarshal number into string; write it in quotes: \"5\"\n"
                "spec.containers[0].command: cannot unmarshal string into a list of strings; start each element with "
                "\"- \"\n"
                "spec.containers[0].ports[0].containerPort: cannot unmarshal string into int32; write it without "
                "quotes\n");
        assert_mistakes("{\"spec\":{\"hostPID\":\"yes\",\"nodeSelector\":{\"x\":1},\"affinity\":[]}}",
                        "spec.hostPID: cannot unmarshal string into bool; it is true or false, without quotes\n"
                        "spec.nodeSelector[x]: cannot unmarshal number into string; write it in quotes: \"1\"\n"
                        "spec.affinity: cannot unmarshal array into a mapping (Affinity)\n");
}

TEST(numbers_out_of_range_are_refused) {
        assert_mistakes("{\"spec\":{\"priority\":2147483648,\"terminationGracePeriodSeconds\":1.5}}",
                        "spec.priority: cannot unmarshal number 2147483648 into int32; it must be between -2147483648 "
                        "and 2147483647\n"
                        "spec.terminationGracePeriodSeconds: cannot unmarshal number 1.5 into int64; it must be a "
                        "whole number\n");
        assert_mistakes("{\"spec\":{\"priority\":7.0}}", "");
}

TEST(malformed_values_are_refused) {
        assert_mistakes(
                "{\"metadata\":{\"creationTimestamp\":\"yesterday\"},\"spec\":{\"overhead\":{\"cpu\":\"12Megs\"}}}",
                "metadata.creationTimestamp: cannot be read as a time; one is written as 2006-01-02T15:04:05Z (RFC "
                "3339)\n"
                "spec.overhead[cpu]: \"12Megs\" is no quantity: quantities must match the regular expression "
                "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'\n");
}

TEST(what_is_no_object_gives_no_message) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        json_t *j = json("[]");

        assert_null(api_decode(j, &v1_pod__descriptor, arena, &diags));
        assert_int_equal(diags.n, 1);
        json_decref(j);
}

TEST(stored_objects_may_have_fields_of_a_later_version) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        json_t *j = json("{\"spec\":{\"hostname\":\"h\",\"invented\":true}}"),
               *bad = json("{\"spec\":{\"hostname\":1}}");
        V1Pod *pod = NULL;

        assert_ok(api_decode_stored(j, &v1_pod__descriptor, arena, &pod));
        assert_string_equal(pod->spec->hostname, "h");
        assert_error(api_decode_stored(bad, &v1_pod__descriptor, arena, &pod), ERROR_BAD_REQUEST, "spec.hostname");
        json_decref(j);
        json_decref(bad);
}

TEST(what_go_holds_as_a_struct_is_never_null) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Pod *pod = api_new(arena, &v1_pod__descriptor);
        V1Container *container = api_new(arena, &v1_container__descriptor);
        V1Volume *volume = api_new(arena, &v1_volume__descriptor);
        V1Probe *probe = api_new(arena, &v1_probe__descriptor);

        assert_non_null(pod->metadata);
        assert_non_null(pod->spec);
        assert_non_null(pod->status);
        assert_non_null(container->resources);
        assert_non_null(volume->volumesource);
        assert_non_null(probe->handler);
        assert_null(pod->spec->securitycontext);
}

TEST(equal_means_what_kubernetes_means_by_it) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        static const struct {
                const char *a, *b;
                bool equal;
        } cases[] = {
                { "{\"resources\":{\"limits\":{\"cpu\":\"1\"}}}", "{\"resources\":{\"limits\":{\"cpu\":\"1000m\"}}}",
                  true },
                { "{\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1\"}}}",
                  "{\"resources\":{\"limits\":{\"memory\":\"1\",\"cpu\":\"1\"}}}", true },
                { "{\"resources\":{\"limits\":{\"cpu\":\"1\"}}}", "{\"resources\":{\"limits\":{\"cpu\":\"2\"}}}",
                  false },
                { "{\"tty\":false}", "{}", true },
                { "{\"image\":\"\"}", "{}", true },
                { "{\"resources\":{}}", "{}", true },
                { "{\"securityContext\":{\"privileged\":false}}", "{\"securityContext\":{}}", false },
                { "{\"securityContext\":{}}", "{}", false },
                { "{\"args\":[]}", "{}", true },
                { "{\"args\":[\"a\"]}", "{\"args\":[\"b\"]}", false },
                { "{\"args\":[\"a\"]}", "{\"args\":[\"a\",\"b\"]}", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                json_t *a = json(cases[i].a), *b = json(cases[i].b);
                V1Container *x = api_decode(a, &v1_container__descriptor, arena, &diags);
                V1Container *y = api_decode(b, &v1_container__descriptor, arena, &diags);

                if (api_equal_messages(x, y) != cases[i].equal)
                        fail_msg("%s and %s", cases[i].a, cases[i].b);
                json_decref(a);
                json_decref(b);
        }
        assert_int_equal(diags.n, 0);
}

TEST(a_list_may_grow_after_it_was_decoded_or_copied) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        json_t *j = json("{\"args\":[\"0\",\"1\",\"2\"]}");
        V1Container *c = api_decode(j, &v1_container__descriptor, arena, &diags);

        c = api_copy(arena, &c->base);
        for (int i = 3; i < 20; i++)
                *(char **)api_arena_append(arena, &c->args, &c->n_args, sizeof(char *)) =
                        api_arena_printf(arena, "%d", i);
        assert_int_equal(c->n_args, 20);
        for (int i = 0; i < 20; i++)
                assert_int_equal(atoi(c->args[i]), i);
        json_decref(j);
}

TEST(kinds_are_found_by_kubectls_words) {
        static const char *const words[] = { "po", "pod", "pods", "Pod", "PODS", "pods.v1", "pods.v1.", "pods." };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (!api_kind_lookup(words[i]) || strcmp(api_kind_lookup(words[i])->kind, "Pod") != 0)
                        fail_msg("%s", words[i]);
        assert_null(api_kind_lookup("pods.v2"));
        assert_null(api_kind_lookup("pods.apps"));
        assert_null(api_kind_lookup("p"));
        assert_null(api_kind_lookup(""));
        assert_null(api_kind_of("pod"));
        assert_string_equal(api_kind_of("Secret")->plural, "secrets");
}

TEST(a_wrong_kind_or_version_is_explained) {
        static const struct {
                const char *text, *wanted;
        } cases[] = {
                { "{}", "apiVersion: Required value: every object says its apiVersion" },
                { "{\"apiVersion\":\"v1\",\"kind\":\"pod\"}",
                  "kind: no kind \"pod\" in version \"v1\"; did you mean \"Pod\"?" },
                { "{\"apiVersion\":\"v1\",\"kind\":\"Sercet\"}",
                  "kind: no kind \"Sercet\" in version \"v1\"; did you mean \"Secret\"?" },
                { "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\"}",
                  "kind: no kind \"Deployment\" in version \"apps/v1\" on a single machine: husk runs Pods: put its "
                  "pod template under kind: Pod, once for each replica" },
                { "{\"apiVersion\":\"x/v1\",\"kind\":\"Gadget\"}",
                  "kind: no kind \"Gadget\" in version \"x/v1\" on a single machine: husk runs Pods; `husk "
                  "api-resources` lists what else it keeps" },
                { "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"Role\"}",
                  "kind: no kind \"Role\" in version \"rbac.authorization.k8s.io/v1\" on a single machine: there is no "
                  "API server here whose use could be ruled; leave it out" },
                { "{\"apiVersion\":\"v2\",\"kind\":\"Pod\"}",
                  "apiVersion: no kind \"Pod\" in version \"v2\"; its version is \"v1\"" },
                { "{\"apiVersion\":1,\"kind\":\"Pod\"}", "apiVersion: apiVersion must be a string" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
                _cleanup_free_ char *message = NULL;
                json_t *j = json(cases[i].text);

                assert_null(api_kind_of_json(j, &diags));
                message = diagnostic_message(&diags.items[0]);
                assert_string_equal(message, cases[i].wanted);
                json_decref(j);
        }
}

TEST(what_the_system_writes_about_an_object_is_kept_as_it_is) {
        const char *text = "{\"metadata\":{\"name\":\"a\",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\","
                           "\"name\":\"p\",\"uid\":\"u\",\"controller\":true,\"blockOwnerDeletion\":true}],"
                           "\"managedFields\":[{\"manager\":\"m\",\"operation\":\"Apply\",\"apiVersion\":\"v1\","
                           "\"time\":\"2026-01-01T00:00:00Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:spec\":{}},"
                           "\"subresource\":\"status\"}]}}";
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        json_t *in = json(text), *out;
        V1ConfigMap *map = api_decode(in, &v1_config_map__descriptor, arena, &diags);

        assert_int_equal(diags.n, 0);
        out = api_encode(&map->base);
        assert_true(json_equal(json_object_get(in, "metadata"), json_object_get(out, "metadata")));
        json_decref(in);
        json_decref(out);
}

#ifdef HUSK_TEST_HOOKS
TEST(a_dropped_field_is_as_if_nobody_had_written_it) {
        static const struct {
                const char *drop, *wanted;
        } cases[] = {
                { "", "tty stdin init" },
                { "spec.containers.tty", "stdin init" },
                { "spec.containers.stdin,spec.containers.tty", "init" },
                { "Container.tty", "stdin" },
                { "containers.tty,Container.t,ontainer.tty,EphemeralContainerCommon.tty", "tty stdin init" },
        };
        const char *text = "{\"spec\":{\"containers\":[{\"tty\":true,\"stdin\":true}],"
                           "\"initContainers\":[{\"tty\":true}]}}";

        setenv("HUSK_TEST_DROP", "spec.containers.tty", true);
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        json_t *j = json(text);
        V1Pod *stored = NULL;
        assert_ok(api_decode_stored(j, &v1_pod__descriptor, arena, &stored));
        assert_true(stored->spec->containers[0]->tty);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
                char found[64] = "";

                setenv("HUSK_TEST_DROP", cases[i].drop, true);
                V1Pod *pod = api_decode(j, &v1_pod__descriptor, arena, &diags);
                assert_int_equal(diags.n, 0);
                if (pod->spec->containers[0]->tty)
                        strcat(found, " tty");
                if (pod->spec->containers[0]->stdin)
                        strcat(found, " stdin");
                if (pod->spec->initcontainers[0]->tty)
                        strcat(found, " init");
                assert_string_equal(found[0] ? found + 1 : found, cases[i].wanted);
        }
        unsetenv("HUSK_TEST_DROP");
        json_decref(j);
}
#endif
