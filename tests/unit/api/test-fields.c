#include "api/api.h"
#include "api/fields.h"
#include "test.h"

TEST(the_side_table_agrees_with_the_descriptors) {
        for (size_t i = 0; i < api_types_count; i++) {
                const struct api_type *type = &api_types[i];

                assert_ptr_equal(api_type_of(api_type_descriptor(type)), type);
                assert_string_equal(api_type_name(type), api_type_descriptor(type)->name);
                assert_int_equal(type->n_fields, api_type_descriptor(type)->n_fields);
                for (size_t j = 0; j < type->n_fields; j++) {
                        const ProtobufCFieldDescriptor *d = api_field_descriptor(type, api_type_field(type, j));
                        const struct api_field *field = api_type_field(type, j);

                        if (type->form == API_TYPE_STRUCT && strcmp(api_field_name(field), d->name) != 0)
                                fail_msg("%s: %s is not %s", api_type_name(type), api_field_name(field), d->name);
                        assert_int_equal(d->type == PROTOBUF_C_TYPE_MESSAGE, api_field_type(field) != NULL);
                        if (api_field_type(field))
                                assert_ptr_equal(api_type_descriptor(api_field_type(field)), d->descriptor);
                        if (field->flags & API_FIELD_MAP)
                                assert_int_equal(d->label, PROTOBUF_C_LABEL_REPEATED);
                }
        }
}

/* The walkers abort on what they do not know; this is where that would show. */
TEST(the_schema_has_only_types_that_the_walkers_know) {
        for (size_t i = 0; i < api_types_count; i++)
                for (unsigned j = 0; j < api_descriptors[i]->n_fields; j++)
                        switch (api_descriptors[i]->fields[j].type) {
                        case PROTOBUF_C_TYPE_STRING:
                        case PROTOBUF_C_TYPE_BOOL:
                        case PROTOBUF_C_TYPE_INT32:
                        case PROTOBUF_C_TYPE_INT64:
                        case PROTOBUF_C_TYPE_BYTES:
                        case PROTOBUF_C_TYPE_MESSAGE:
                                break;
                        default:
                                fail_msg("%s.%s", api_type_name(&api_types[i]), api_descriptors[i]->fields[j].name);
                        }
}

static void walk(const struct api_type *type, const char *path, int depth) {
        assert_true(depth < 30);
        for (size_t i = 0; i < type->n_fields; i++) {
                const struct api_field *field = api_type_field(type, i);
                char child[1024];

                snprintf(child, sizeof(child), "%s.%s", path, api_field_name(field));
                if (!(field->flags & API_FIELD_INLINE) && field->support == FIELD_UNLISTED)
                        fail_msg("%s has no row in fields.tsv", child);
                if (field->support == FIELD_REFUSED && !api_field_reason(field))
                        fail_msg("%s is refused without a reason", child);
                if (api_field_type(field) && api_field_type(field)->form == API_TYPE_STRUCT &&
                    !(field->flags & API_FIELD_MAP) && field->support != FIELD_REFUSED)
                        walk(api_field_type(field), child, depth + 1);
        }
}

TEST(each_field_reachable_from_a_pod_spec_has_a_row) {
        walk(api_type_named("V1PodSpec"), "spec", 0);
}

TEST(a_path_finds_its_field) {
        const struct api_type *pod = api_type_named("V1Pod");

        assert_string_equal(api_field_merge_key(api_name_field(api_type_walk(pod, "spec.containers.env"))), "name");
        assert_string_equal(api_field_patch_strategy(api_name_field(api_type_walk(pod, "spec.volumes"))),
                            "merge,retainKeys");
        assert_string_equal(api_name_text(api_type_walk(pod, "spec.volumes.emptyDir.medium")), "medium");
        assert_null(api_type_walk(pod, "spec.volumes.volumeSource"));
        assert_null(api_type_walk(pod, "spec.nodeSelector.x"));
        assert_null(api_type_walk(pod, ""));
        assert_null(api_type_named("V1Nothing"));
}

static void assert_supported(const char *text, const char *wanted) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        json_t *j = json_loads(text, 0, NULL);
        char all[2048] = "";
        V1Pod *pod = api_decode(j, &v1_pod__descriptor, arena, &diags);

        assert_int_equal(diags.n, 0);
        api_check_supported(&pod->base, &diags);
        for (size_t i = 0; i < diags.n; i++) {
                _cleanup_free_ char *message = diagnostic_message(&diags.items[i]);

                strcat(strcat(all, message), "\n");
        }
        assert_string_equal(all, wanted);
        json_decref(j);
}

TEST(fields_for_other_systems_are_refused_by_their_path) {
        assert_supported("{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"securityContext\":{"
                         "\"windowsOptions\":{\"hostProcess\":true}}}],"
                         "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}},{\"name\":\"w\",\"awsElasticBlockStore\":{"
                         "\"volumeID\":\"i\"}}]}}",
                         "spec.volumes[1].awsElasticBlockStore: not supported on a single machine: it needs a "
                         "cluster's storage driver\n"
                         "spec.containers[0].securityContext.windowsOptions: not supported on a single machine: it is "
                         "for Windows nodes\n");
}

TEST(what_asks_for_the_default_is_always_fine) {
        assert_supported("{\"spec\":{\"hostUsers\":true,\"resourceClaims\":[],\"containers\":[{\"name\":\"a\","
                         "\"resources\":{\"claims\":[]},"
                         "\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\",\"mountPropagation\":\"None\"}]}]}}",
                         "");
}
