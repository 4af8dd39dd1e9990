#include "test.h"

#include "husk/columns.h"
#include "server/field.h"

static char *row_of(const char *kind, const json_t *object, const struct columns_style *style) {
        _cleanup_table_ struct table table = TABLE_INIT;
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        columns_add_header(&table, columns_of(kind), style);
        columns_add_row(&table, columns_of(kind), style, object, 1000000300);
        table_print(&table, f);
        fclose(f);
        return text;
}

TEST(a_pod_has_kubectls_columns) {
        _cleanup_json_ json_t *pod =
                json_pack("{s:{s:s, s:s, s:s, s:{s:s}}, s:{s:[{s:s}]}, s:{s:s, s:s}}", "metadata", "name", "web",
                          "namespace", "n", "creationTimestamp", "2001-09-09T01:46:40Z", "labels", "app", "x", "spec",
                          "containers", "name", "a", "status", "phase", "Running", "podIP", "10.0.0.1");
        _cleanup_free_ char *plain = row_of("Pod", pod, &(struct columns_style){ 0 });
        assert_string_equal(plain, "NAME   READY   STATUS    RESTARTS   AGE\n"
                                   "web    0/1     Running   0          5m\n");
        char *labels[] = { (char *)"example.org/app", (char *)"app", NULL };
        _cleanup_free_ char *wide = row_of("Pod", pod,
                                           &(struct columns_style){ .wide = true,
                                                                    .with_namespace = true,
                                                                    .with_labels = true,
                                                                    .label_columns = labels,
                                                                    .name_prefix = "pod" });
        assert_string_equal(wide, "NAMESPACE   NAME      READY   STATUS    RESTARTS   AGE   IP         NODE     "
                                  "NOMINATED NODE   READINESS GATES   APP      APP   LABELS\n"
                                  "n           pod/web   0/1     Running   0          5m    10.0.0.1   <none>   <none> "
                                  "          <none>            <none>   x     app=x\n");
}

TEST(a_kind_without_columns_of_its_own_has_name_and_age) {
        _cleanup_json_ json_t *object = json_pack("{s:{s:s}}", "metadata", "name", "x");
        _cleanup_free_ char *text = row_of("Endpoints", object, &(struct columns_style){ 0 });
        assert_string_equal(text, "NAME   AGE\nx      <unknown>\n");
}

TEST(roles_and_readiness_of_a_node_come_from_labels_and_conditions) {
        _cleanup_json_ json_t *node =
                json_pack("{s:{s:s, s:{s:s}}, s:{s:b}, s:{s:[{s:s, s:s}]}}", "metadata", "name", "n1", "labels",
                          "node-role.kubernetes.io/worker", "", "spec", "unschedulable", 1, "status", "conditions",
                          "type", "Ready", "status", "True");
        _cleanup_free_ char *text = row_of("Node", node, &(struct columns_style){ 0 });
        assert_non_null(strstr(text, "n1     Ready,SchedulingDisabled   worker"));
}

TEST(an_object_without_any_field_can_be_shown_as_any_kind) {
        static const char *const kinds[] = { "Pod",
                                             "ConfigMap",
                                             "Secret",
                                             "ServiceAccount",
                                             "Namespace",
                                             "Node",
                                             "Event",
                                             "PersistentVolumeClaim",
                                             "PersistentVolume",
                                             "Other" };
        _cleanup_json_ json_t *empty = json_object();
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                free(row_of(kinds[i], empty, &(struct columns_style){ .wide = true, .with_labels = true }));
}

TEST(labels_are_sorted) {
        _cleanup_json_ json_t *labels = json_pack("{s:s, s:s, s:s}", "c", "3", "a", "1", "b", "2");
        _cleanup_free_ char *text = labels_format(labels);
        assert_string_equal(text, "a=1,b=2,c=3");
        _cleanup_free_ char *none = labels_format(NULL);
        assert_string_equal(none, "<none>");
}
