/* What `husk debug` makes, by kubectl's rules. */
#include "test.h"

#include "husk/debug-pod.h"
#include "server/field.h"

static char *no_words[] = { NULL };

static json_t *parse(const char *text) {
        json_t *json = json_loads(text, 0, NULL);
        assert_non_null(json);
        return json;
}

static json_t *pod(void) {
        return parse(
                "{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"labels\":{\"app\":\"web\"},"
                "\"annotations\":{\"note\":\"x\"},\"uid\":\"u\"},\"spec\":{\"nodeName\":\"n\",\"ephemeralContainers\":["
                "{\"name\":\"e\"}],"
                "\"initContainers\":[{\"name\":\"i\",\"image\":\"i:1\"}],"
                "\"containers\":[{\"name\":\"app\",\"image\":\"app:1\",\"args\":[\"serve\"],\"livenessProbe\":{},"
                "\"readinessProbe\":{},"
                "\"startupProbe\":{}},{\"name\":\"side\",\"image\":\"side:1\"}]},\"status\":{\"phase\":\"Running\"}}");
}

static void json_is(const json_t *json, const char *wanted) {
        _cleanup_json_ json_t *expected = json_loads(wanted, JSON_DECODE_ANY, NULL);
        _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        if (!json_equal(json, expected))
                fail_msg("%s, not %s", text ? text : "nothing", wanted);
}

TEST(an_ephemeral_container_is_added_behind_those_there_are) {
        char *command[] = { "sh", NULL }, *env[] = { "A=b=c", NULL };
        const struct debug_options options = { .image = "busybox",
                                               .container = "dbg",
                                               .target = "app",
                                               .profile = "general",
                                               .command = command,
                                               .env = env,
                                               .use_stdin = true,
                                               .use_tty = true };
        _cleanup_json_ json_t *p = pod();

        assert_ok(debug_add_ephemeral(&options, p));
        json_is(json_array_get(field_at(p, "spec.ephemeralContainers"), 1),
                "{\"name\":\"dbg\",\"image\":\"busybox\",\"command\":[\"sh\"],\"env\":[{\"name\":\"A\",\"value\":\"b="
                "c\"}],"
                "\"stdin\":true,\"tty\":true,\"targetContainerName\":\"app\",\"terminationMessagePolicy\":\"File\","
                "\"securityContext\":{\"capabilities\":{\"add\":[\"SYS_PTRACE\"]}}}");
}

TEST(a_profile_decides_what_an_ephemeral_container_may_do) {
        static const struct {
                const char *profile, *security;
        } rows[] = {
                { "general", "{\"capabilities\":{\"add\":[\"SYS_PTRACE\"]}}" },
                { "baseline", NULL },
                { "restricted",
                  "{\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":[\"ALL\"]},\"runAsNonRoot\":true,"
                  "\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}" },
                { "netadmin", "{\"capabilities\":{\"add\":[\"NET_ADMIN\",\"NET_RAW\"]}}" },
                { "sysadmin", "{\"privileged\":true}" },
                { "legacy", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                const struct debug_options options = {
                        .image = "b", .container = "d", .profile = rows[i].profile, .command = no_words
                };
                _cleanup_json_ json_t *p = pod();
                assert_true(debug_profile_is_known(rows[i].profile));
                assert_ok(debug_add_ephemeral(&options, p));
                const json_t *added = json_array_get(field_at(p, "spec.ephemeralContainers"), 1);
                if (rows[i].security)
                        json_is(json_object_get(added, "securityContext"), rows[i].security);
                else
                        assert_null(json_object_get(added, "securityContext"));
        }
        assert_false(debug_profile_is_known("root"));
}

TEST(a_copy_leaves_behind_what_would_make_it_part_of_the_original) {
        char *images[] = { "app=app:debug", "*=tools", NULL };
        const struct debug_options options = { .copy_to = "copy",
                                               .profile = "general",
                                               .command = no_words,
                                               .images = images,
                                               .share_processes = -1,
                                               .keep_init_containers = true };
        _cleanup_json_ json_t *p = pod(), *copy = NULL;
        const char *container;

        assert_ok(debug_copy(&options, p, &copy, &container));
        assert_null(container);
        json_is(copy,
                "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"copy\",\"namespace\":\"shop\"},"
                "\"spec\":{\"shareProcessNamespace\":true,\"initContainers\":[{\"name\":\"i\",\"image\":\"i:1\"}],"
                "\"containers\":[{\"name\":\"app\",\"image\":\"app:debug\",\"args\":[\"serve\"]},"
                "{\"name\":\"side\",\"image\":\"tools\"}]}}");
}

TEST(a_copy_keeps_what_it_is_told_to) {
        const struct debug_options options = { .image = "b",
                                               .copy_to = "copy",
                                               .profile = "general",
                                               .command = no_words,
                                               .same_node = true,
                                               .keep_labels = true,
                                               .keep_annotations = true,
                                               .keep_liveness = true,
                                               .keep_startup = true };
        _cleanup_json_ json_t *p = pod(), *copy = NULL;
        const char *container;

        assert_ok(debug_copy(&options, p, &copy, &container));
        assert_true(strncmp(container, "debugger-", 9) == 0);
        json_is(json_object_get(copy, "metadata"),
                "{\"name\":\"copy\",\"namespace\":\"shop\",\"labels\":{\"app\":\"web\"},"
                "\"annotations\":{\"note\":\"x\"}}");
        json_is(field_at(copy, "spec.nodeName"), "\"n\"");
        json_is(field_at(copy, "spec.shareProcessNamespace"), "false"); /* asked for: 0 */
        assert_null(field_at(copy, "spec.initContainers"));
        const json_t *app = json_array_get(field_at(copy, "spec.containers"), 0);
        assert_non_null(json_object_get(app, "livenessProbe"));
        assert_null(json_object_get(app, "readinessProbe"));
        assert_non_null(json_object_get(app, "startupProbe"));
        assert_int_equal(json_array_size(field_at(copy, "spec.containers")), 3);
}

TEST(a_container_of_the_copy_can_be_changed_instead) {
        char *command[] = { "sh", NULL };
        const struct debug_options options = { .container = "app",
                                               .copy_to = "copy",
                                               .profile = "legacy",
                                               .command = command,
                                               .share_processes = -1,
                                               .use_stdin = true };
        _cleanup_json_ json_t *p = pod(), *copy = NULL;
        const char *container;

        assert_ok(debug_copy(&options, p, &copy, &container));
        assert_string_equal(container, "app");
        json_is(json_array_get(field_at(copy, "spec.containers"), 0),
                "{\"name\":\"app\",\"image\":\"app:1\",\"command\":[\"sh\"],\"stdin\":true,\"tty\":false}");
        assert_null(field_at(copy, "spec.shareProcessNamespace"));
}

TEST(custom_fields_are_merged_but_for_those_that_make_the_container) {
        _cleanup_json_ json_t *custom = parse("{\"env\":[{\"name\":\"A\",\"value\":\"1\"}],\"resources\":{}}");
        _cleanup_json_ json_t *forbidden = parse("{\"image\":\"other\"}"), *p = pod(), *q = pod();
        struct debug_options options = {
                .image = "b", .container = "d", .profile = "legacy", .command = no_words, .custom = custom
        };

        assert_ok(debug_add_ephemeral(&options, p));
        json_is(json_object_get(json_array_get(field_at(p, "spec.ephemeralContainers"), 1), "env"),
                "[{\"name\":\"A\",\"value\":\"1\"}]");
        options.custom = forbidden;
        assert_error(debug_add_ephemeral(&options, q), ERROR_INVALID, "--custom may not set \"image\"");
}

TEST(a_node_is_debugged_in_its_own_namespaces_if_the_profile_says_so) {
        _cleanup_json_ json_t *node = parse("{\"metadata\":{\"name\":\"vm\"}}"), *open = NULL, *closed = NULL;
        struct debug_options options = { .image = "b", .profile = "sysadmin", .command = no_words };

        assert_ok(debug_node(&options, node, &open));
        assert_true(strncmp(object_name(open), "node-debugger-vm-", 17) == 0);
        assert_true(field_is_true(open, "spec.hostPID") && field_is_true(open, "spec.hostNetwork"));
        json_is(json_object_get(json_array_get(field_at(open, "spec.containers"), 0), "volumeMounts"),
                "[{\"name\":\"host-root\",\"mountPath\":\"/host\"}]");
        options.profile = "restricted";
        assert_ok(debug_node(&options, node, &closed));
        assert_null(field_at(closed, "spec.hostPID"));
        assert_null(field_at(closed, "spec.volumes"));
}
