#include "test.h"

#include "base/str.h"
#include "husk/container.h"

static json_t *pod_of(const char *annotation) {
        json_t *pod = json_pack("{s:{s:s, s:{}}, s:{s:[{s:s},{s:s}], s:[{s:s}], s:[{s:s}]}}", "metadata", "name", "web",
                                "annotations", "spec", "containers", "name", "a", "name", "b", "initContainers", "name",
                                "i", "ephemeralContainers", "name", "e");
        if (annotation)
                json_object_set_new(field_at(pod, "metadata.annotations"), "kubectl.kubernetes.io/default-container",
                                    json_string(annotation));
        return pod;
}

static void chooses(const char *annotation, const char *wanted, const char *name) {
        _cleanup_json_ json_t *pod = pod_of(annotation);
        const char *chosen;
        assert_ok(container_choose(pod, wanted, true, &chosen));
        assert_string_equal(chosen, name);
}

TEST(the_first_container_is_meant_unless_something_else_is_said) {
        chooses(NULL, NULL, "a");
        chooses(NULL, "b", "b");
        chooses(NULL, "i", "i");
        chooses(NULL, "e", "e");
}

TEST(the_annotation_names_the_default_container) {
        chooses("b", NULL, "b");
        chooses("b", "a", "a");
        chooses("nosuch", NULL, "a");
}

TEST(an_unknown_container_is_an_error_that_names_the_others) {
        _cleanup_json_ json_t *pod = pod_of(NULL);
        const char *chosen;
        assert_error(container_choose(pod, "x", true, &chosen), ERROR_BAD_REQUEST,
                     "container x is not valid for pod web; it has: a, b, e (ephem), i (init)");
}

TEST(names_come_in_the_order_of_their_start) {
        _cleanup_json_ json_t *pod = pod_of(NULL);
        _cleanup_free_ const char **names = container_names_in_order(pod);
        _cleanup_free_ char *text = strv_join((char *const *)names, ",");
        assert_string_equal(text, "i,a,b,e");
}
