#include "oci/device-lease.h"

#include "fixture.h"

#define TEXT \
        "cdiVersion: 0.6.0\nkind: a.com/x\ncontainerEdits: {env: [ALL=yes]}\n" \
        "devices:\n- {name: '0', containerEdits: {env: [N=0], deviceNodes: [{path: /dev/x0, hostPath: /dev/null, " \
        "permissions: r}]}}\n" \
        "- {name: '1', containerEdits: {env: [N=1]}}\n- {name: '2', containerEdits: {env: [N=2]}}\n"

static struct cdi_registry registry;

static void describe(void) {
        registry = (struct cdi_registry)CDI_REGISTRY_INIT;
        assert_ok(cdi_parse(TEXT, strlen(TEXT), 0, &registry));
        cdi_settle(&registry);
}

static V1Pod *pod_of(struct fixture *f, const char *uid, const char *spec) {
        _cleanup_free_ char *text =
                xasprintf("{'metadata': {'name': 'p', 'namespace': 'default', 'uid': '%s'}, 'spec': {%s}}", uid, spec);
        _cleanup_free_ char *folder = store_pod_run_folder(f->store, uid);

        assert_ok(mkdir_parents(folder, 0700));
        return fixture_object(f->arena, &v1_pod__descriptor, text);
}

#define WANTS(name, n) "{'name': '" name "', 'resources': {'limits': {'a.com/x': '" n "', 'cpu': '1'}}}"

static char *allocated(struct fixture *f, const V1Pod *pod) {
        json_t *allocation = NULL;

        assert_ok(devices_allocate(f->store, pod, &registry, &allocation));
        char *text = json_dumps(allocation, JSON_COMPACT | JSON_SORT_KEYS);
        json_decref(allocation);
        return text;
}

TEST(each_device_belongs_to_one_pod_until_that_is_gone) {
        _cleanup_fixture_ struct fixture f = fixture_new("'containers': []", NULL);
        describe();
        V1Pod *one = pod_of(&f, "u1", "'containers': [" WANTS("a", "1") "," WANTS("b", "1") "]");
        V1Pod *two = pod_of(&f, "u2", "'containers': [" WANTS("a", "2") "]");
        V1Pod *none = pod_of(&f, "u3", "'containers': [{'name': 'a', 'resources': {'limits': {'cpu': '1'}}}]");
        json_t *allocation;

        assert_true(devices_are_wanted(one));
        assert_false(devices_are_wanted(none));
        _cleanup_free_ char *first = allocated(&f, one), *again = allocated(&f, one);
        assert_string_equal(first, "{\"a\":[\"a.com/x=0\"],\"b\":[\"a.com/x=1\"]}");
        assert_string_equal(again, first);
        assert_error(devices_allocate(f.store, two, &registry, &allocation), ERROR_EXHAUSTED,
                     "requested number of devices unavailable for a.com/x. Requested: 2, Available: 1");
        /* It is gone without having given them back. */
        _cleanup_free_ char *folder = store_pod_run_folder(f.store, "u1");
        assert_ok(remove_tree(folder));
        _cleanup_free_ char *second = allocated(&f, two);
        assert_string_equal(second, "{\"a\":[\"a.com/x=0\",\"a.com/x=1\"]}");
        assert_ok(devices_release(f.store, "u2"));
        assert_ok(devices_release(f.store, "u2"));
        cdi_release(&registry);
}

TEST(what_init_containers_had_is_used_again) {
        _cleanup_fixture_ struct fixture f = fixture_new("'containers': []", NULL);
        describe();
        V1Pod *pod = pod_of(&f, "u1",
                            "'initContainers': [" WANTS(
                                    "i", "2") ", {'name': 's', 'restartPolicy': 'Always', 'resources': "
                                              "{'limits': {'a.com/x': '1'}}}], 'containers': [" WANTS("a", "2") "]");
        _cleanup_free_ char *text = allocated(&f, pod);

        /* The sidecar goes on while the container runs: they share none. */
        json_t *json = json_loads(text, 0, NULL);
        assert_int_equal(json_array_size(json_object_get(json, "i")), 2);
        const char *sidecar = json_string_value(json_array_get(json_object_get(json, "s"), 0));
        json_t *own = json_object_get(json, "a");
        assert_int_equal(json_array_size(own), 2);
        for (size_t i = 0; i < 2; i++)
                assert_string_not_equal(json_string_value(json_array_get(own, i)), sidecar);
        json_decref(json);
        cdi_release(&registry);
}

TEST(a_container_is_changed_as_its_devices_say) {
        describe();
        json_t *allocation = json_pack("{s:[s,s]}", "a", "a.com/x=0", "a.com/x=1");

        for (int userns = 0; userns < 2; userns++) {
                json_t *spec = json_pack("{s:{s:[s,s]}}", "process", "env", "N=9", "PATH=/bin");
                assert_ok(devices_apply(allocation, "a", &registry, userns, spec));
                assert_ok(devices_apply(allocation, "b", &registry, userns, spec));
                _cleanup_free_ char *env = json_dumps(json_object_get(json_object_get(spec, "process"), "env"), 0);
                assert_string_equal(env, "[\"N=1\", \"PATH=/bin\", \"ALL=yes\"]");
                json_t *linux_ = json_object_get(spec, "linux");
                const json_t *allowed =
                        json_array_get(json_object_get(json_object_get(linux_, "resources"), "devices"), 0);
                assert_int_equal(json_integer_value(json_object_get(allowed, "major")), 1);
                assert_int_equal(json_integer_value(json_object_get(allowed, "minor")), 3);
                assert_string_equal(json_string_value(json_object_get(allowed, "access")), "r");
                assert_int_equal(json_array_size(json_object_get(linux_, "devices")), !userns);
                assert_int_equal(json_array_size(json_object_get(spec, "mounts")), userns);
                json_decref(spec);
        }
        json_t *spec = json_object();
        json_t *unknown = json_pack("{s:[s]}", "a", "a.com/x=7");
        assert_error(devices_apply(unknown, "a", &registry, false, spec), ERROR_NOT_FOUND, "device a.com/x=7");
        json_decref(unknown);
        json_decref(spec);
        json_decref(allocation);
        cdi_release(&registry);
}
