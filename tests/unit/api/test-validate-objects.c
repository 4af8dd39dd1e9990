#include "fixture.h"

#define META(name) "'metadata': {'name': '" name "', 'namespace': 'd'}"

static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *object, *path; /* path NULL: it is valid */
        enum diagnostic_cause cause;
} cases[] = {
        { &v1_config_map__descriptor, "{" META("c") ", 'data': {'a.b-C_d': 'x'}, 'binaryData': {'e': 'AA=='}}", NULL,
          0 },
        { &v1_config_map__descriptor, "{" META("c") ", 'data': {'a/b': 'x'}}", "data[a/b]", DIAGNOSTIC_INVALID },
        { &v1_config_map__descriptor, "{" META("c") ", 'data': {'..': 'x'}}", "data[..]", DIAGNOSTIC_INVALID },
        { &v1_config_map__descriptor, "{" META("c") ", 'data': {'k': 'x'}, 'binaryData': {'k': ''}}", "data[k]",
          DIAGNOSTIC_INVALID },
        { &v1_config_map__descriptor, "{" META("C") "}", "metadata.name", DIAGNOSTIC_INVALID },
        { &v1_config_map__descriptor, "{'metadata': {'name': 'c'}}", "metadata.namespace", DIAGNOSTIC_REQUIRED },
        { &v1_config_map__descriptor, "{'metadata': {'name': 'c', 'namespace': 'a.b'}}", "metadata.namespace",
          DIAGNOSTIC_INVALID },
        { &v1_config_map__descriptor, "{'metadata': {'name': 'c', 'namespace': 'd', 'labels': {'-': 'x'}}}",
          "metadata.labels", DIAGNOSTIC_INVALID },
        { &v1_config_map__descriptor, "{'metadata': {'name': 'c', 'namespace': 'd', 'annotations': {'A/B/C': 'x'}}}",
          "metadata.annotations", DIAGNOSTIC_INVALID },
        { &v1_config_map__descriptor,
          "{'metadata': {'name': 'c', 'namespace': 'd', 'annotations': {'EXAMPLE.com/X': "
          "'any thing'}}}",
          NULL, 0 },
        { &v1_config_map__descriptor, "{'metadata': {'name': 'c', 'namespace': 'd', 'finalizers': ['mine']}}",
          "metadata.finalizers[0]", DIAGNOSTIC_INVALID },
        { &v1_config_map__descriptor, "{'metadata': {'name': 'c', 'namespace': 'd', 'finalizers': ['x.example/mine']}}",
          NULL, 0 },
        { &v1_config_map__descriptor,
          "{'metadata': {'name': 'c', 'namespace': 'd', 'ownerReferences': [{'apiVersion': "
          "'v1', 'kind': 'Pod', 'name': 'p', 'uid': ''}]}}",
          "metadata.ownerReferences.uid", DIAGNOSTIC_INVALID },
        { &v1_config_map__descriptor, "{'metadata': {'namespace': 'd', 'generateName': 'c-'}}", "metadata.name",
          DIAGNOSTIC_REQUIRED },

        { &v1_secret__descriptor, "{" META("s") ", 'data': {'k': ''}}", NULL, 0 },
        { &v1_secret__descriptor, "{" META("s") ", 'stringData': {'a b': 'x'}}", "data[a b]", DIAGNOSTIC_INVALID },
        { &v1_secret__descriptor, "{" META("s") ", 'type': 'kubernetes.io/tls', 'stringData': {'tls.crt': ''}}",
          "data[tls.key]", DIAGNOSTIC_REQUIRED },
        { &v1_secret__descriptor,
          "{" META("s") ", 'type': 'kubernetes.io/basic-auth', 'stringData': {'password': 'x'}}", NULL, 0 },
        { &v1_secret__descriptor, "{" META("s") ", 'type': 'kubernetes.io/basic-auth'}", "data[username]",
          DIAGNOSTIC_REQUIRED },
        { &v1_secret__descriptor,
          "{" META("s") ", 'type': 'kubernetes.io/ssh-auth', 'stringData': {'ssh-privatekey': "
                        "''}}",
          "data[ssh-privatekey]", DIAGNOSTIC_REQUIRED },
        { &v1_secret__descriptor,
          "{" META("s") ", 'type': 'kubernetes.io/dockerconfigjson', 'stringData': "
                        "{'.dockerconfigjson': 'no'}}",
          "data[.dockerconfigjson]", DIAGNOSTIC_INVALID },
        { &v1_secret__descriptor,
          "{" META("s") ", 'type': 'kubernetes.io/dockerconfigjson', 'stringData': "
                        "{'.dockerconfigjson': '{}'}}",
          NULL, 0 },
        { &v1_secret__descriptor, "{" META("s") ", 'type': 'kubernetes.io/service-account-token'}",
          "metadata.annotations[kubernetes.io/service-account.name]", DIAGNOSTIC_REQUIRED },

        { &v1_namespace__descriptor, "{'metadata': {'name': 'n'}}", NULL, 0 },
        { &v1_namespace__descriptor, "{'metadata': {'name': 'a.b'}}", "metadata.name", DIAGNOSTIC_INVALID },
        { &v1_namespace__descriptor, "{'metadata': {'name': 'n', 'namespace': 'x'}}", "metadata.namespace",
          DIAGNOSTIC_FORBIDDEN },

        { &v1_persistent_volume_claim__descriptor,
          "{" META("c") ", 'spec': {'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '1Gi'}}}}",
          NULL, 0 },
        { &v1_persistent_volume_claim__descriptor, "{" META("c") "}", "spec.accessModes", DIAGNOSTIC_REQUIRED },
        { &v1_persistent_volume_claim__descriptor, "{" META("c") "}", "spec.resources[storage]", DIAGNOSTIC_REQUIRED },
        { &v1_persistent_volume_claim__descriptor,
          "{" META("c") ", 'spec': {'accessModes': ['ReadWriteOncePod', 'ReadWriteOnce']}}", "spec.accessModes",
          DIAGNOSTIC_FORBIDDEN },
        { &v1_persistent_volume_claim__descriptor,
          "{" META("c") ", 'spec': {'resources': {'requests': {'storage': '0'}}, 'volumeMode': 'Tape'}}",
          "spec.volumeMode", DIAGNOSTIC_NOT_SUPPORTED },
        { &v1_persistent_volume_claim__descriptor,
          "{" META("c") ", 'spec': {'dataSource': {'kind': 'X', 'name': 'y'}}}", "spec.dataSource",
          DIAGNOSTIC_INVALID },

        { &v1_node__descriptor, "{'metadata': {'name': 'n', 'labels': {'a/b': 'c'}}}", NULL, 0 },
        { &v1_node__descriptor, "{'metadata': {'name': 'n', 'labels': {'a/b': 'c d'}}}", "metadata.labels",
          DIAGNOSTIC_INVALID },
        { &v1_node__descriptor, "{'metadata': {'name': 'n'}, 'spec': {'taints': [{'key': 'k', 'effect': 'Never'}]}}",
          "spec.taints[0].effect", DIAGNOSTIC_NOT_SUPPORTED },
        { &v1_node__descriptor,
          "{'metadata': {'name': 'n'}, 'spec': {'taints': [{'key': 'k', 'effect': 'NoExecute'}, "
          "{'key': 'k', 'value': 'v', 'effect': 'NoExecute'}]}}",
          "spec.taints[1]", DIAGNOSTIC_DUPLICATE },
};

TEST(objects_keep_their_rules) {
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
                _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
                char *copy = xstrdup(cases[i].object);
                ProtobufCMessage *object = fixture_object(arena, cases[i].type, copy);
                _cleanup_free_ char *found = NULL;

                free(copy);
                api_validate(object, NULL, &diags);
                found = fixture_messages(&diags);
                if (cases[i].path ? !fixture_has(&diags, cases[i].path, cases[i].cause) : diags.n > 0)
                        fail_msg("%s: %s", cases[i].object, found);
        }
}

static char *update(const ProtobufCMessageDescriptor *type, const char *from, const char *to) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;

        api_validate(fixture_object(arena, type, to), fixture_object(arena, type, from), &diags);
        return fixture_messages(&diags);
}

#define assert_update(type, from, to, text) \
        do { \
                _cleanup_free_ char *found = update(type, from, to); \
                if (!strstr(found, text)) \
                        fail_msg("%s -> %s: %s", from, to, found); \
        } while (0)

TEST(an_immutable_config_map_stays_as_it_is) {
        assert_update(&v1_config_map__descriptor, "{" META("c") ", 'data': {'k': 'a'}}",
                      "{" META("c") ", 'data': {'k': 'b'}, 'immutable': true}", "nothing");
        assert_update(&v1_config_map__descriptor, "{" META("c") ", 'immutable': true, 'data': {'k': 'a'}}",
                      "{" META("c") ", 'immutable': true, 'data': {'k': 'b'}}", "data: Forbidden");
        assert_update(&v1_config_map__descriptor, "{" META("c") ", 'immutable': true}", "{" META("c") "}",
                      "immutable: Forbidden");
        assert_update(&v1_config_map__descriptor, "{" META("c") ", 'immutable': true, 'data': {'k': 'a'}}",
                      "{'metadata': {'name': 'c', 'namespace': 'd', 'labels': {'x': 'y'}}, 'immutable': true, 'data': "
                      "{'k': 'a'}}",
                      "nothing");
}

TEST(a_secret_keeps_its_type) {
        assert_update(&v1_secret__descriptor, "{" META("s") "}", "{" META("s") ", 'type': 'x.example/y'}",
                      "type: Invalid value");
        assert_update(&v1_secret__descriptor, "{" META("s") "}", "{" META("s") ", 'stringData': {'k': 'v'}}",
                      "nothing");
}

#define CLAIM(size, more) \
        "{" META("c") ", 'spec': {'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '" size \
                      "'}}" more "}, 'status': {'phase': 'Bound', 'capacity': {'storage': '2Gi'}}}"

TEST(a_bound_claim_may_grow_and_otherwise_stays) {
        assert_update(&v1_persistent_volume_claim__descriptor, CLAIM("2Gi", ""), CLAIM("3Gi", ""), "nothing");
        assert_update(&v1_persistent_volume_claim__descriptor, CLAIM("2Gi", ""), CLAIM("1Gi", ""),
                      "field can not be less than status.capacity");
        assert_update(&v1_persistent_volume_claim__descriptor, CLAIM("2Gi", ""),
                      CLAIM("2Gi", ", 'volumeMode': 'Block'"), "spec: Forbidden: spec is immutable");
        assert_update(&v1_persistent_volume_claim__descriptor, CLAIM("2Gi", ""), CLAIM("2Gi", ", 'volumeName': 'v'"),
                      "nothing");
        assert_update(&v1_persistent_volume_claim__descriptor, CLAIM("2Gi", ""),
                      CLAIM("2Gi", ", 'storageClassName': 'fast'"), "nothing");
        assert_update(&v1_persistent_volume_claim__descriptor, CLAIM("2Gi", ", 'storageClassName': 'slow'"),
                      CLAIM("2Gi", ", 'storageClassName': 'fast'"), "spec is immutable");
}
