#include "api/selector.h"
#include "api/validate-name.h"
#include "base/str.h"

enum operator{ OP_IN, OP_NOT_IN, OP_EXISTS, OP_DOES_NOT_EXIST, OP_GREATER, OP_LESS };

static const char *const operator_names[] = {
        [OP_IN] = "In",      [OP_NOT_IN] = "NotIn", [OP_EXISTS] = "Exists", [OP_DOES_NOT_EXIST] = "DoesNotExist",
        [OP_GREATER] = "Gt", [OP_LESS] = "Lt",
};

static bool operator_of(const char *name, enum operator* ret) {
        for (size_t i = 0; i < ARRAY_SIZE(operator_names); i++)
                if (name && streq(name, operator_names[i])) {
                        *ret = (enum operator)i;
                        return true;
                }
        return false;
}

/* `value` is NULL if the key is not there. What is not there is in no set, and larger or smaller than nothing. */
static bool operator_holds(enum operator op, const char *value, char *const *values, size_t n_values) {
        int64_t x, y;
        bool found = false;

        for (size_t i = 0; i < n_values && value; i++)
                found |= streq(values[i], value);
        switch (op) {
        case OP_IN:
                return found;
        case OP_NOT_IN:
                return !found;
        case OP_EXISTS:
                return value;
        case OP_DOES_NOT_EXIST:
                return !value;
        case OP_GREATER:
        case OP_LESS:
                if (!value || n_values != 1 || !str_to_i64(value, &x) || !str_to_i64(values[0], &y))
                        return false;
                return op == OP_GREATER ? x > y : x < y;
        }
        return false;
}

struct requirement {
        char *key;
        enum operator op;
        char **values;
};

struct label_selector {
        struct requirement *requirements;
        size_t n;
        bool nothing; /* made from no selector at all */
};

struct label_selector *label_selector_free(struct label_selector *selector) {
        if (!selector)
                return NULL;
        for (size_t i = 0; i < selector->n; i++) {
                free(selector->requirements[i].key);
                strv_free(selector->requirements[i].values);
        }
        free(selector->requirements);
        free(selector);
        return NULL;
}

static struct requirement *requirement_add(struct label_selector *selector, const char *key, enum operator op) {
        struct requirement *r;

        selector->requirements = xreallocarray(selector->requirements, selector->n + 1, sizeof(*r));
        r = &selector->requirements[selector->n++];
        *r = (struct requirement){ .key = xstrdup(key), .op = op };
        return r;
}

/* Rules that hold however the selector was written. */
static struct error *requirement_check(const struct requirement *r) {
        size_t n = strv_len(r->values);
        int64_t number;
        struct text_faults faults = { 0 };

        text_check_qualified_name(r->key, &faults);
        if (faults.n > 0)
                return error_new(ERROR_BAD_REQUEST, "label key \"%s\": %s", r->key, faults.sentence[0]);
        if ((r->op == OP_IN || r->op == OP_NOT_IN) && n == 0)
                return error_new(ERROR_BAD_REQUEST,
                                 "label key \"%s\": for 'in' and 'notin' operators, values set can't be empty", r->key);
        if ((r->op == OP_EXISTS || r->op == OP_DOES_NOT_EXIST) && n > 0)
                return error_new(ERROR_BAD_REQUEST,
                                 "label key \"%s\": values set must be empty for exists and does not exist", r->key);
        if ((r->op == OP_GREATER || r->op == OP_LESS) && (n != 1 || !str_to_i64(r->values[0], &number)))
                return error_new(ERROR_BAD_REQUEST,
                                 "label key \"%s\": for 'Gt' and 'Lt' operators, the value must be an integer", r->key);
        for (size_t i = 0; i < n; i++) {
                text_check_label_value(r->values[i], &faults);
                if (faults.n > 0)
                        return error_new(ERROR_BAD_REQUEST, "label value \"%s\": %s", r->values[i], faults.sentence[0]);
        }
        return NULL;
}

/* ---- "app=web,tier in (a,b),!old" ---- */

struct text {
        const char *start, *p;
};

static struct error *syntax(const struct text *t, const char *wanted) {
        return error_new(ERROR_BAD_REQUEST, "unable to parse selector \"%s\": found '%.20s', expected: %s", t->start,
                         t->p, wanted);
}

static void skip_blanks(struct text *t) {
        t->p += strspn(t->p, " \t\r\n");
}

static char *take_word(struct text *t) {
        size_t len;
        const char *start;

        skip_blanks(t);
        start = t->p;
        len = strcspn(start, " \t\r\n,()=!<>");
        t->p += len;
        return xstrndup(start, len);
}

static bool take(struct text *t, const char *token) {
        skip_blanks(t);
        if (!str_starts_with(t->p, token))
                return false;
        t->p += strlen(token);
        return true;
}

static struct error *read_set(struct text *t, struct requirement *r) {
        if (!take(t, "("))
                return syntax(t, "'('");
        if (take(t, ")"))
                return NULL;
        do
                r->values = strv_add_take(r->values, take_word(t));
        while (take(t, ","));
        return take(t, ")") ? NULL : syntax(t, "',' or ')'");
}

static const struct {
        const char *token;
        enum operator op;
} signs[] = {
        { "==", OP_IN }, { "=", OP_IN }, { "!=", OP_NOT_IN }, { ">", OP_GREATER }, { "<", OP_LESS },
};

static struct error *read_requirement(struct text *t, struct label_selector *selector) {
        bool absent = take(t, "!");
        _cleanup_free_ char *key = take_word(t), *word = NULL;
        struct requirement *r;

        if (!*key)
                return syntax(t, "a label's key");
        r = requirement_add(selector, key, absent ? OP_DOES_NOT_EXIST : OP_EXISTS);
        skip_blanks(t);
        if (absent || *t->p == '\0' || *t->p == ',')
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
                if (take(t, signs[i].token)) {
                        r->op = signs[i].op;
                        r->values = strv_add_take(r->values, take_word(t));
                        return NULL;
                }
        word = take_word(t);
        if (!streq(word, "in") && !streq(word, "notin")) {
                t->p -= strlen(word);
                return syntax(t, "'=', '!=', '==', 'in', 'notin', '>' or '<'");
        }
        r->op = streq(word, "in") ? OP_IN : OP_NOT_IN;
        return read_set(t, r);
}

struct error *label_selector_parse(const char *text, struct label_selector **ret) {
        _cleanup_(label_selector_freep) struct label_selector *selector = new0(struct label_selector);
        struct text t = { text, text };
        struct error *err = NULL;

        skip_blanks(&t);
        while (*t.p && !err) {
                err = read_requirement(&t, selector);
                if (!err)
                        err = requirement_check(&selector->requirements[selector->n - 1]);
                skip_blanks(&t);
                if (!err && *t.p && !take(&t, ","))
                        err = syntax(&t, "','");
                else if (!err && t.p > text && t.p[-1] == ',' && !t.p[strspn(t.p, " \t\r\n")])
                        err = syntax(&t, "a label's key after ','");
        }
        if (err)
                return err;
        *ret = TAKE_PTR(selector);
        return NULL;
}

struct error *label_selector_from(const V1LabelSelector *spec, struct label_selector **ret) {
        _cleanup_(label_selector_freep) struct label_selector *selector = new0(struct label_selector);
        struct error *err;

        selector->nothing = !spec;
        for (size_t i = 0; spec && i < spec->n_matchlabels; i++) {
                struct requirement *r = requirement_add(selector, spec->matchlabels[i]->key, OP_IN);

                r->values = strv_add(NULL, spec->matchlabels[i]->value ? spec->matchlabels[i]->value : "");
        }
        for (size_t i = 0; spec && i < spec->n_matchexpressions; i++) {
                const V1LabelSelectorRequirement *expression = spec->matchexpressions[i];
                enum operator op;
                struct requirement *r;

                if (!operator_of(expression->operator_, &op) || op == OP_GREATER || op == OP_LESS)
                        return error_new(ERROR_INVALID, "\"%s\" is not a valid label selector operator",
                                         expression->operator_ ? expression->operator_ : "");
                r = requirement_add(selector, expression->key ? expression->key : "", op);
                for (size_t j = 0; j < expression->n_values; j++)
                        r->values = strv_add(r->values, expression->values[j]);
                err = requirement_check(r);
                if (err)
                        return err;
        }
        *ret = TAKE_PTR(selector);
        return NULL;
}

bool label_selector_matches(const struct label_selector *selector, const json_t *labels) {
        if (!selector)
                return true;
        if (selector->nothing)
                return false;
        for (size_t i = 0; i < selector->n; i++) {
                const struct requirement *r = &selector->requirements[i];
                const char *value = json_string_value(json_object_get(labels, r->key));

                if (!operator_holds(r->op, value, r->values, strv_len(r->values)))
                        return false;
        }
        return true;
}

char *label_selector_format(const struct label_selector *selector) {
        struct strbuf b = STRBUF_INIT;

        for (size_t i = 0; i < selector->n; i++) {
                const struct requirement *r = &selector->requirements[i];
                _cleanup_free_ char *values = strv_join(r->values, ",");
                const char *value = r->values ? r->values[0] : "";

                strbuf_adds(&b, i > 0 ? "," : "");
                switch (r->op) {
                case OP_IN:
                        strbuf_addf(&b, strv_len(r->values) == 1 ? "%s=%s" : "%s in (%s)", r->key, values);
                        break;
                case OP_NOT_IN:
                        strbuf_addf(&b, strv_len(r->values) == 1 ? "%s!=%s" : "%s notin (%s)", r->key, values);
                        break;
                case OP_EXISTS:
                        strbuf_adds(&b, r->key);
                        break;
                case OP_DOES_NOT_EXIST:
                        strbuf_addf(&b, "!%s", r->key);
                        break;
                case OP_GREATER:
                        strbuf_addf(&b, "%s>%s", r->key, value);
                        break;
                case OP_LESS:
                        strbuf_addf(&b, "%s<%s", r->key, value);
                        break;
                }
        }
        return strbuf_take(&b);
}

/* ---- fields ---- */

struct field_requirement {
        char *field;
        char *value;
        bool differs; /* != */
};

struct field_selector {
        struct field_requirement *requirements;
        size_t n;
};

/* What can be selected by, and what it counts as where an object does not say it. */
static const struct {
        const char *kind; /* NULL: any */
        const char *field;
        const char *absent;
} selectable[] = {
        { NULL, "metadata.name", "" },
        { NULL, "metadata.namespace", "" },
        { "Pod", "spec.nodeName", "" },
        { "Pod", "spec.restartPolicy", "" },
        { "Pod", "spec.schedulerName", "" },
        { "Pod", "spec.serviceAccountName", "" },
        { "Pod", "spec.hostNetwork", "false" },
        { "Pod", "status.phase", "" },
        { "Pod", "status.podIP", "" },
        { "Pod", "status.nominatedNodeName", "" },
        { "Event", "involvedObject.kind", "" },
        { "Event", "involvedObject.namespace", "" },
        { "Event", "involvedObject.name", "" },
        { "Event", "involvedObject.uid", "" },
        { "Event", "involvedObject.apiVersion", "" },
        { "Event", "involvedObject.resourceVersion", "" },
        { "Event", "involvedObject.fieldPath", "" },
        { "Event", "reason", "" },
        { "Event", "reportingComponent", "" },
        { "Event", "type", "" },
        { "Node", "spec.unschedulable", "false" },
        { "Namespace", "status.phase", "" },
        { "Secret", "type", "" },
};

struct field_selector *field_selector_free(struct field_selector *selector) {
        if (!selector)
                return NULL;
        for (size_t i = 0; i < selector->n; i++) {
                free(selector->requirements[i].field);
                free(selector->requirements[i].value);
        }
        free(selector->requirements);
        free(selector);
        return NULL;
}

/* Up to one of `ends`; a backslash keeps a comma, an equals sign or a backslash that belongs to the value. */
static char *take_escaped(const char **p, const char *ends) {
        struct strbuf b = STRBUF_INIT;

        while (**p && !strchr(ends, **p)) {
                if (**p == '\\' && (*p)[1] && strchr("\\,=", (*p)[1]))
                        (*p)++;
                strbuf_addc(&b, *(*p)++);
        }
        return strbuf_take(&b);
}

struct error *field_selector_parse(const char *text, struct field_selector **ret) {
        _cleanup_(field_selector_freep) struct field_selector *selector = new0(struct field_selector);

        for (const char *p = text; *p; p += *p == ',') {
                struct field_requirement *r;

                selector->requirements = xreallocarray(selector->requirements, selector->n + 1, sizeof(*r));
                r = &selector->requirements[selector->n++];
                *r = (struct field_requirement){ .field = take_escaped(&p, "=!,") };
                r->differs = *p == '!';
                if (!*r->field || (r->differs && p[1] != '=') || (*p != '=' && *p != '!'))
                        return error_new(ERROR_BAD_REQUEST,
                                         "invalid field selector: \"%s\"; it is written as field=value or field!=value",
                                         text);
                p += r->differs || p[1] == '=' ? 2 : 1;
                r->value = take_escaped(&p, ",");
        }
        *ret = TAKE_PTR(selector);
        return NULL;
}

/* NULL if the kind cannot be selected by this field. */
static const char *absent_value(const char *field, const char *kind) {
        for (size_t i = 0; i < ARRAY_SIZE(selectable); i++)
                if (streq(selectable[i].field, field) &&
                    (!selectable[i].kind || !kind || streq(selectable[i].kind, kind)))
                        return selectable[i].absent;
        return NULL;
}

struct error *field_selector_check(const struct field_selector *selector, const struct api_kind *kind) {
        for (size_t i = 0; i < selector->n; i++)
                if (!absent_value(selector->requirements[i].field, kind->kind))
                        return error_new(ERROR_BAD_REQUEST, "field label not supported: %s",
                                         selector->requirements[i].field);
        return NULL;
}

static const json_t *json_at(const json_t *json, const char *path) {
        while (*path && json) {
                size_t len = strcspn(path, ".");
                json = json_object_getn(json, path, len);
                path += len + (path[len] == '.');
        }
        return json;
}

static bool field_is(const json_t *object, const char *field, const char *wanted) {
        const json_t *json = json_at(object, field);
        const char *absent;
        char number[32];

        if (json_is_string(json))
                return streq(json_string_value(json), wanted);
        if (json_is_boolean(json))
                return streq(json_is_true(json) ? "true" : "false", wanted);
        if (json_is_integer(json)) {
                snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(json));
                return streq(number, wanted);
        }
        absent = absent_value(field, NULL);
        return streq(absent ? absent : "", wanted);
}

bool field_selector_matches(const struct field_selector *selector, const json_t *object) {
        if (!selector)
                return true;
        for (size_t i = 0; i < selector->n; i++) {
                const struct field_requirement *r = &selector->requirements[i];

                if (field_is(object, r->field, r->value) == r->differs)
                        return false;
        }
        return true;
}

/* ---- nodes ---- */

static bool node_requirement_holds(const V1NodeSelectorRequirement *r, const char *value) {
        enum operator op;

        return operator_of(r->operator_, &op) && operator_holds(op, value, r->values, r->n_values);
}

bool node_selector_term_matches(const V1NodeSelectorTerm *term, const json_t *labels, const char *node_name) {
        if (term->n_matchexpressions == 0 && term->n_matchfields == 0)
                return false;
        for (size_t i = 0; i < term->n_matchexpressions; i++) {
                const V1NodeSelectorRequirement *r = term->matchexpressions[i];

                if (!node_requirement_holds(r, json_string_value(json_object_get(labels, r->key ? r->key : ""))))
                        return false;
        }
        for (size_t i = 0; i < term->n_matchfields; i++) {
                const V1NodeSelectorRequirement *r = term->matchfields[i];

                if (!streq_ptr(r->key, "metadata.name") || !node_requirement_holds(r, node_name))
                        return false;
        }
        return true;
}

bool node_selector_matches(const V1NodeSelector *selector, const json_t *labels, const char *node_name) {
        for (size_t i = 0; i < selector->n_nodeselectorterms; i++)
                if (node_selector_term_matches(selector->nodeselectorterms[i], labels, node_name))
                        return true;
        return false;
}
