/* The sentences of explain.tsv, as husk explain uses them. That none is missing is checked by the build. */
#include "test.h"

#include "api/api.h"
#include "api/explain.h"
#include "base/str.h"

TEST(every_kind_that_husk_serves_is_explained) {
        size_t n;
        const struct api_kind *kinds = api_kinds(&n);

        for (size_t i = 0; i < n; i++)
                if (!api_type_explanation(api_type_of(kinds[i].descriptor)))
                        fail_msg("no sentence about %s", kinds[i].kind);
        assert_non_null(api_explanation_text(&api_explanation_of_api_version));
        assert_non_null(api_explanation_text(&api_explanation_of_kind));
}

TEST(a_sentence_belongs_to_its_field) {
        const struct api_name *name = api_type_find(api_type_named("V1PodSpec"), "terminationGracePeriodSeconds");
        const struct api_explanation *e = api_explanation_of(api_name_field(name));

        assert_non_null(strstr(api_explanation_text(e), "Default 30"));
        assert_null(api_explanation_values(e));
        assert_false(e->required);
        e = api_explanation_of(api_name_field(api_type_find(api_type_named("V1PodSpec"), "containers")));
        assert_true(e->required);
        /* what is inlined is explained where it is declared */
        e = api_explanation_of(api_name_field(api_type_find(api_type_named("V1Probe"), "httpGet")));
        assert_non_null(strstr(api_explanation_text(e), "HTTP"));
}

TEST(values_are_sorted_and_fields_fit_a_page) {
        for (size_t i = 0; i < api_types_count; i++) {
                const struct api_type *type = &api_types[i];

                assert_true(type->n_names < 200);
                for (size_t j = 0; j < type->n_fields; j++) {
                        const char *values = api_explanation_values(api_explanation_of(api_type_field(type, j)));
                        if (!values)
                                continue;
                        _cleanup_strv_ char **parts = strv_split(values, ',');
                        for (size_t k = 1; parts[k]; k++)
                                if (strcmp(parts[k - 1], parts[k]) >= 0)
                                        fail_msg("%s.%s: %s", api_type_name(type),
                                                 api_field_name(api_type_field(type, j)), values);
                }
        }
}
