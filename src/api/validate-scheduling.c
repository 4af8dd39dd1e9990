#include "api/validate-walk.h"

static const char *const taint_effects[] = { "NoSchedule", "PreferNoSchedule", "NoExecute", NULL };
static const char *const toleration_operators[] = { "Equal", "Exists", NULL };
static const char *const spread_actions[] = { "DoNotSchedule", "ScheduleAnyway", NULL };
static const char *const inclusion_policies[] = { "Honor", "Ignore", NULL };

/* One requirement on a node's labels; only what must be fulfilled has its values checked (`strict`): a wish for a value
 * no label can have does no harm. */
static void validate_label_requirement(struct diagnostics *diags, const V1NodeSelectorRequirement *r, bool strict,
                                       path_t path) {
        const char *op = text_or_empty(r->operator_);

        if (streq(op, "In") || streq(op, "NotIn")) {
                if (r->n_values == 0)
                        fault_required(diags, CHILD(path, "values"),
                                       "must be specified when `operator` is 'In' or 'NotIn'");
        } else if (streq(op, "Exists") || streq(op, "DoesNotExist")) {
                if (r->n_values > 0)
                        fault_forbidden(diags, CHILD(path, "values"),
                                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        } else if (streq(op, "Gt") || streq(op, "Lt")) {
                if (r->n_values != 1)
                        fault_required(diags, CHILD(path, "values"),
                                       "must be specified single value when `operator` is 'Lt' or 'Gt'");
        } else
                fault_invalid(diags, CHILD(path, "operator"), op, "not a valid selector operator");

        validate_text(diags, r->key, text_check_qualified_name, CHILD(path, "key"));
        for (size_t i = 0; strict && i < r->n_values; i++)
                validate_text(diags, r->values[i], text_check_label_value, INDEX(CHILD(path, "values"), i));
}

/* The only field of a node that can be selected is its name. */
static void validate_field_requirement(struct diagnostics *diags, const V1NodeSelectorRequirement *r, path_t path) {
        const char *op = text_or_empty(r->operator_);

        if (!streq(op, "In") && !streq(op, "NotIn"))
                fault_invalid(diags, CHILD(path, "operator"), op, "not a valid selector operator");
        else if (r->n_values != 1)
                fault_required(diags, CHILD(path, "values"),
                               "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
        if (!streq_ptr(r->key, "metadata.name")) {
                fault_invalid(diags, CHILD(path, "key"), r->key, "not a valid field selector key");
                return;
        }
        for (size_t i = 0; i < r->n_values; i++)
                validate_text(diags, r->values[i], text_check_dns_subdomain, INDEX(CHILD(path, "values"), i));
}

static void validate_node_term(struct diagnostics *diags, const V1NodeSelectorTerm *term, bool strict, path_t path) {
        if (!term)
                return;
        for (size_t i = 0; i < term->n_matchexpressions; i++)
                validate_label_requirement(diags, term->matchexpressions[i], strict,
                                           INDEX(CHILD(path, "matchExpressions"), i));
        for (size_t i = 0; i < term->n_matchfields; i++)
                validate_field_requirement(diags, term->matchfields[i], INDEX(CHILD(path, "matchFields"), i));
}

static void validate_weight(struct diagnostics *diags, int32_t weight, path_t path) {
        if (weight < 1 || weight > 100)
                fault_invalid_int(diags, CHILD(path, "weight"), weight, "must be in the range 1-100");
}

static void validate_node_affinity(struct diagnostics *diags, const V1NodeAffinity *affinity, path_t path) {
        const V1NodeSelector *required = affinity->requiredduringschedulingignoredduringexecution;
        path_t terms = CHILD(CHILD(path, "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms");
        path_t wishes = CHILD(path, "preferredDuringSchedulingIgnoredDuringExecution");

        if (required && required->n_nodeselectorterms == 0)
                fault_required(diags, terms, "must have at least one node selector term");
        for (size_t i = 0; required && i < required->n_nodeselectorterms; i++)
                validate_node_term(diags, required->nodeselectorterms[i], true, INDEX(terms, i));
        for (size_t i = 0; i < affinity->n_preferredduringschedulingignoredduringexecution; i++) {
                const V1PreferredSchedulingTerm *wish = affinity->preferredduringschedulingignoredduringexecution[i];

                validate_weight(diags, wish->weight, INDEX(wishes, i));
                validate_node_term(diags, wish->preference, false, CHILD(INDEX(wishes, i), "preference"));
        }
}

static bool list_contains(char *const *list, size_t n, const char *text) {
        for (size_t i = 0; i < n; i++)
                if (streq(list[i], text))
                        return true;
        return false;
}

static void validate_label_keys(struct diagnostics *diags, char *const *keys, size_t n, const V1LabelSelector *selector,
                                path_t path) {
        if (n > 0 && !selector) {
                fault_forbidden(diags, path, "must not be specified when labelSelector is not set");
                return;
        }
        for (size_t i = 0; i < n; i++)
                validate_text(diags, keys[i], text_check_qualified_name, INDEX(path, i));
}

/* How often the selector names a key. One of them may be what the defaults made of matchLabelKeys. */
static size_t count_key(const V1LabelSelector *selector, const char *key) {
        size_t n = 0;

        for (size_t i = 0; selector && i < selector->n_matchlabels; i++)
                n += streq_ptr(selector->matchlabels[i]->key, key);
        for (size_t i = 0; selector && i < selector->n_matchexpressions; i++)
                n += streq_ptr(selector->matchexpressions[i]->key, key);
        return n;
}

static void validate_pod_term(struct diagnostics *diags, const V1PodAffinityTerm *term, path_t path) {
        if (!term)
                return;
        validate_label_selector(diags, term->labelselector, CHILD(path, "labelSelector"));
        validate_label_selector(diags, term->namespaceselector, CHILD(path, "namespaceSelector"));
        for (size_t i = 0; i < term->n_namespaces; i++)
                validate_text(diags, term->namespaces[i], text_check_dns_label, CHILD(path, "namespace"));
        validate_label_keys(diags, term->matchlabelkeys, term->n_matchlabelkeys, term->labelselector,
                            CHILD(path, "matchLabelKeys"));
        validate_label_keys(diags, term->mismatchlabelkeys, term->n_mismatchlabelkeys, term->labelselector,
                            CHILD(path, "mismatchLabelKeys"));
        for (size_t i = 0; i < term->n_matchlabelkeys; i++) {
                const char *key = term->matchlabelkeys[i];

                if (count_key(term->labelselector, key) > 1)
                        fault_invalid(diags, INDEX(path, i), key, "exists in both matchLabelKeys and labelSelector");
                if (list_contains(term->mismatchlabelkeys, term->n_mismatchlabelkeys, key))
                        fault_invalid(diags, INDEX(CHILD(path, "matchLabelKeys"), i), key,
                                      "exists in both matchLabelKeys and mismatchLabelKeys");
        }
        if (str_empty(term->topologykey))
                fault_required(diags, CHILD(path, "topologyKey"), "can not be empty");
        validate_text(diags, term->topologykey, text_check_qualified_name, CHILD(path, "topologyKey"));
}

static void validate_pod_terms(struct diagnostics *diags, V1PodAffinityTerm *const *terms, size_t n,
                               V1WeightedPodAffinityTerm *const *wishes, size_t n_wishes, path_t path) {
        path_t required = CHILD(path, "requiredDuringSchedulingIgnoredDuringExecution");
        path_t preferred = CHILD(path, "preferredDuringSchedulingIgnoredDuringExecution");

        for (size_t i = 0; i < n; i++)
                validate_pod_term(diags, terms[i], INDEX(required, i));
        for (size_t i = 0; i < n_wishes; i++) {
                validate_weight(diags, wishes[i]->weight, INDEX(preferred, i));
                validate_pod_term(diags, wishes[i]->podaffinityterm, CHILD(INDEX(preferred, i), "podAffinityTerm"));
        }
}

void validate_affinity(const struct pod_walk *walk, path_t path) {
        const V1Affinity *affinity = walk->spec->affinity;
        const V1PodAffinity *near;
        const V1PodAntiAffinity *far;

        if (!affinity)
                return;
        near = affinity->podaffinity;
        far = affinity->podantiaffinity;
        if (affinity->nodeaffinity)
                validate_node_affinity(walk->diags, affinity->nodeaffinity, CHILD(path, "nodeAffinity"));
        if (near)
                validate_pod_terms(walk->diags, near->requiredduringschedulingignoredduringexecution,
                                   near->n_requiredduringschedulingignoredduringexecution,
                                   near->preferredduringschedulingignoredduringexecution,
                                   near->n_preferredduringschedulingignoredduringexecution, CHILD(path, "podAffinity"));
        if (far)
                validate_pod_terms(walk->diags, far->requiredduringschedulingignoredduringexecution,
                                   far->n_requiredduringschedulingignoredduringexecution,
                                   far->preferredduringschedulingignoredduringexecution,
                                   far->n_preferredduringschedulingignoredduringexecution,
                                   CHILD(path, "podAntiAffinity"));
}

static void validate_min_domains(struct diagnostics *diags, const V1TopologySpreadConstraint *c, path_t path) {
        if (!c->has_mindomains)
                return;
        if (c->mindomains <= 0)
                fault_invalid_int(diags, path, c->mindomains, "must be greater than zero");
        if (!streq_ptr(c->whenunsatisfiable, "DoNotSchedule"))
                diagnostics_add_int(diags, DIAGNOSTIC_INVALID, path, c->mindomains,
                                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %s",
                                    text_or_empty(c->whenunsatisfiable));
}

static bool same_spread(const V1TopologySpreadConstraint *a, const V1TopologySpreadConstraint *b) {
        return streq(text_or_empty(a->topologykey), text_or_empty(b->topologykey)) &&
               streq(text_or_empty(a->whenunsatisfiable), text_or_empty(b->whenunsatisfiable));
}

static void validate_spread_repeat(const struct pod_walk *walk, size_t i, path_t path) {
        const V1TopologySpreadConstraint *c = walk->spec->topologyspreadconstraints[i];

        for (size_t j = i + 1; j < walk->spec->n_topologyspreadconstraints; j++)
                if (same_spread(c, walk->spec->topologyspreadconstraints[j])) {
                        _cleanup_free_ char *shown = xasprintf("{%s, %s}", text_or_empty(c->topologykey),
                                                               text_or_empty(c->whenunsatisfiable));

                        fault_duplicate(walk->diags, CHILD(path, "{topologyKey, whenUnsatisfiable}"), shown);
                        return;
                }
}

static void validate_spread(const struct pod_walk *walk, size_t i, path_t path) {
        const V1TopologySpreadConstraint *c = walk->spec->topologyspreadconstraints[i];
        struct diagnostics *diags = walk->diags;

        if (c->maxskew <= 0)
                fault_invalid_int(diags, CHILD(path, "maxSkew"), c->maxskew, "must be greater than zero");
        if (str_empty(c->topologykey))
                fault_required(diags, CHILD(path, "topologyKey"), "can not be empty");
        validate_word(diags, c->whenunsatisfiable, spread_actions, CHILD(path, "whenUnsatisfiable"));
        validate_spread_repeat(walk, i, path);
        validate_min_domains(diags, c, CHILD(path, "minDomains"));
        if (c->nodeaffinitypolicy)
                validate_word(diags, c->nodeaffinitypolicy, inclusion_policies, CHILD(path, "nodeAffinityPolicy"));
        if (c->nodetaintspolicy)
                validate_word(diags, c->nodetaintspolicy, inclusion_policies, CHILD(path, "nodeTaintsPolicy"));
        validate_label_keys(diags, c->matchlabelkeys, c->n_matchlabelkeys, c->labelselector,
                            CHILD(path, "matchLabelKeys"));
        for (size_t k = 0; k < c->n_matchlabelkeys; k++)
                if (count_key(c->labelselector, c->matchlabelkeys[k]) > 1)
                        fault_invalid(diags, INDEX(CHILD(path, "matchLabelKeys"), k), c->matchlabelkeys[k],
                                      "exists in both matchLabelKeys and labelSelector");
        validate_label_selector(diags, c->labelselector, CHILD(path, "labelSelector"));
}

void validate_topology_spread(const struct pod_walk *walk, path_t path) {
        for (size_t i = 0; i < walk->spec->n_topologyspreadconstraints; i++)
                validate_spread(walk, i, INDEX(path, i));
}

static void validate_toleration(struct diagnostics *diags, const V1Toleration *t, path_t path) {
        const char *op = text_or_empty(t->operator_), *value = text_or_empty(t->value);

        if (!str_empty(t->key))
                validate_text(diags, t->key, text_check_qualified_name, CHILD(path, "key"));
        else if (!streq(op, "Exists"))
                fault_invalid(diags, CHILD(path, "operator"), op,
                              "operator must be Exists when `key` is empty, which means \"match all values and all "
                              "keys\"");
        if (t->has_tolerationseconds && !streq_ptr(t->effect, "NoExecute"))
                fault_invalid(diags, CHILD(path, "effect"), t->effect,
                              "effect must be 'NoExecute' when `tolerationSeconds` is set");
        if (streq(op, "Exists")) {
                if (*value)
                        fault_invalid(diags, CHILD(path, "operator"), value,
                                      "value must be empty when `operator` is 'Exists'");
        } else if (!*op || streq(op, "Equal")) {
                struct text_faults faults = { 0 };

                text_check_label_value(value, &faults);
                if (faults.n > 0)
                        diagnostics_add_string(diags, DIAGNOSTIC_INVALID, CHILD(path, "operator"), value, "%s%s%s",
                                               faults.sentence[0], faults.n > 1 ? ";" : "",
                                               faults.n > 1 ? faults.sentence[1] : "");
        } else
                validate_word(diags, op, toleration_operators, CHILD(path, "operator"));
        if (!str_empty(t->effect))
                validate_word(diags, t->effect, taint_effects, CHILD(path, "effect"));
}

void validate_tolerations(struct diagnostics *diags, V1Toleration *const *tolerations, size_t n, path_t path) {
        for (size_t i = 0; i < n; i++)
                validate_toleration(diags, tolerations[i], INDEX(path, i));
}

void validate_taint(struct diagnostics *diags, const V1Taint *taint, path_t path) {
        validate_text(diags, taint->key, text_check_qualified_name, CHILD(path, "key"));
        validate_text(diags, taint->value, text_check_label_value, CHILD(path, "value"));
        validate_required_word(diags, taint->effect, taint_effects, CHILD(path, "effect"));
}
