#include "api/validate-walk.h"

#define ANNOTATIONS_MAX_BYTES (256 * 1024)

static const char *const standard_finalizers[] = { "foregroundDeletion", "kubernetes", "orphan", NULL };

void validate_labels(struct diagnostics *diags, V1StringEntry *const *labels, size_t n, path_t path) {
        /* The paths name the map, not the entry: Kubernetes' ValidateLabels. */
        for (size_t i = 0; i < n; i++) {
                validate_text(diags, labels[i]->key, text_check_qualified_name, path);
                validate_text(diags, labels[i]->value, text_check_label_value, path);
        }
}

void validate_annotations(struct diagnostics *diags, V1StringEntry *const *annotations, size_t n, path_t path) {
        size_t bytes = 0;

        for (size_t i = 0; i < n; i++) {
                validate_text(diags, annotations[i]->key, text_check_annotation_key, path);
                bytes += strlen(text_or_empty(annotations[i]->key)) + strlen(text_or_empty(annotations[i]->value));
        }
        if (bytes > ANNOTATIONS_MAX_BYTES)
                fault_too_long(diags, path, ANNOTATIONS_MAX_BYTES);
}

void validate_finalizer(struct diagnostics *diags, const char *finalizer, path_t path) {
        finalizer = text_or_empty(finalizer);
        if (!strchr(finalizer, '/') && !words_contain(standard_finalizers, finalizer))
                fault_invalid(diags, path, finalizer,
                              "name is neither a standard finalizer name nor is it fully qualified");
}

static void validate_finalizers(struct diagnostics *diags, const V1ObjectMeta *meta, path_t path) {
        bool orphan = false, foreground = false;

        for (size_t i = 0; i < meta->n_finalizers; i++) {
                validate_text(diags, meta->finalizers[i], text_check_qualified_name, path);
                validate_finalizer(diags, meta->finalizers[i], INDEX(path, i));
                orphan = orphan || streq(meta->finalizers[i], "orphan");
                foreground = foreground || streq(meta->finalizers[i], "foregroundDeletion");
        }
        if (orphan && foreground)
                fault_invalid_object(diags, path,
                                     "finalizers orphan and foregroundDeletion cannot be both set at the same time");
}

static void validate_owner(struct diagnostics *diags, const V1OwnerReference *owner, path_t path) {
        const char *version = text_or_empty(owner->apiversion), *slash = strchr(version, '/');

        if (!*(slash ? slash + 1 : version))
                fault_invalid(diags, CHILD(path, "apiVersion"), version, "version must not be empty");
        if (str_empty(owner->kind))
                fault_invalid(diags, CHILD(path, "kind"), "", "must not be empty");
        if (str_empty(owner->name))
                fault_invalid(diags, CHILD(path, "name"), "", "must not be empty");
        if (str_empty(owner->uid))
                fault_invalid(diags, CHILD(path, "uid"), "", "must not be empty");
        if (streq(version, "v1") && streq_ptr(owner->kind, "Event"))
                fault_invalid_object(diags, path, "/v1, Kind=Event is disallowed from being an owner");
}

static void validate_owners(struct diagnostics *diags, const V1ObjectMeta *meta, path_t path) {
        const char *controller = NULL;

        for (size_t i = 0; i < meta->n_ownerreferences; i++) {
                const V1OwnerReference *owner = meta->ownerreferences[i];

                validate_owner(diags, owner, path);
                if (!owner->has_controller || !owner->controller)
                        continue;
                if (controller)
                        diagnostics_add(diags, DIAGNOSTIC_INVALID, path,
                                        "Only one reference can have Controller set to true. Found \"true\" in "
                                        "references for %s and %s",
                                        controller, text_or_empty(owner->name));
                else
                        controller = text_or_empty(owner->name);
        }
}

/* What may be changed at any time and is checked at every time. */
static void validate_meta_free_fields(struct diagnostics *diags, const V1ObjectMeta *meta, path_t path) {
        validate_labels(diags, meta->labels, meta->n_labels, CHILD(path, "labels"));
        validate_annotations(diags, meta->annotations, meta->n_annotations, CHILD(path, "annotations"));
        validate_owners(diags, meta, CHILD(path, "ownerReferences"));
        validate_finalizers(diags, meta, CHILD(path, "finalizers"));
}

/* A prefix that random letters will be appended to may end in a hyphen. */
static void validate_generate_name(struct diagnostics *diags, const char *prefix, text_check check, path_t path) {
        _cleanup_free_ char *name = xstrdup(prefix);
        struct text_faults faults = { 0 };
        size_t len = strlen(name);

        if (len > 1 && name[len - 1] == '-') {
                name[len - 2] = 'a';
                name[len - 1] = '\0';
        }
        check(name, &faults);
        for (size_t i = 0; i < faults.n; i++)
                fault_invalid(diags, path, prefix, faults.sentence[i]);
}

void validate_meta(struct diagnostics *diags, const V1ObjectMeta *meta, bool namespaced, text_check name_check) {
        static const V1ObjectMeta none = V1_OBJECT_META__INIT;
        path_t path = CHILD(NULL, "metadata");

        if (!meta)
                meta = &none;
        if (!str_empty(meta->generatename))
                validate_generate_name(diags, meta->generatename, name_check, CHILD(path, "generateName"));
        if (str_empty(meta->name))
                fault_required(diags, CHILD(path, "name"), "name or generateName is required");
        else
                validate_text(diags, meta->name, name_check, CHILD(path, "name"));
        if (namespaced)
                validate_name(diags, meta->namespace_, text_check_dns_label, CHILD(path, "namespace"));
        else if (!str_empty(meta->namespace_))
                fault_forbidden(diags, CHILD(path, "namespace"), "not allowed on this type");
        if (meta->has_generation)
                validate_non_negative(diags, meta->generation, CHILD(path, "generation"));
        validate_meta_free_fields(diags, meta, path);
}

/* A field that only the system writes: left out means unchanged. */
static void validate_system_text(struct diagnostics *diags, const char *new_value, const char *old_value, path_t path) {
        if (!str_empty(new_value) && !streq(new_value, text_or_empty(old_value)))
                fault_invalid(diags, path, new_value, "field is immutable");
}

static void validate_system_time(struct diagnostics *diags, const V1Time *new_value, const V1Time *old_value,
                                 path_t path) {
        if (new_value && !api_equal_messages(new_value, old_value))
                fault_invalid_object(diags, path, "field is immutable");
}

static bool has_finalizer(const V1ObjectMeta *meta, const char *finalizer) {
        for (size_t i = 0; i < meta->n_finalizers; i++)
                if (streq(meta->finalizers[i], finalizer))
                        return true;
        return false;
}

void validate_meta_update(struct diagnostics *diags, const V1ObjectMeta *new_meta, const V1ObjectMeta *old_meta) {
        path_t path = CHILD(NULL, "metadata");

        if (old_meta->deletiontimestamp)
                for (size_t i = 0; i < new_meta->n_finalizers; i++)
                        if (!has_finalizer(old_meta, new_meta->finalizers[i]))
                                fault_forbidden(diags, CHILD(path, "finalizers"),
                                                "no new finalizers can be added if the object is being deleted");
        if (new_meta->has_generation && new_meta->generation < old_meta->generation)
                fault_invalid_int(diags, CHILD(path, "generation"), new_meta->generation, "must not be decremented");
        validate_system_text(diags, new_meta->name, old_meta->name, CHILD(path, "name"));
        validate_system_text(diags, new_meta->namespace_, old_meta->namespace_, CHILD(path, "namespace"));
        validate_system_text(diags, new_meta->uid, old_meta->uid, CHILD(path, "uid"));
        validate_system_time(diags, new_meta->creationtimestamp, old_meta->creationtimestamp,
                             CHILD(path, "creationTimestamp"));
        validate_system_time(diags, new_meta->deletiontimestamp, old_meta->deletiontimestamp,
                             CHILD(path, "deletionTimestamp"));
        if (new_meta->has_deletiongraceperiodseconds &&
            (!old_meta->has_deletiongraceperiodseconds ||
             new_meta->deletiongraceperiodseconds != old_meta->deletiongraceperiodseconds))
                fault_invalid_int(diags, CHILD(path, "deletionGracePeriodSeconds"),
                                  new_meta->deletiongraceperiodseconds, "field is immutable");
}

static void validate_requirement(struct diagnostics *diags, const V1LabelSelectorRequirement *r, path_t path) {
        const char *op = text_or_empty(r->operator_);

        if (streq(op, "In") || streq(op, "NotIn")) {
                if (r->n_values == 0)
                        fault_required(diags, CHILD(path, "values"),
                                       "must be specified when `operator` is 'In' or 'NotIn'");
        } else if (streq(op, "Exists") || streq(op, "DoesNotExist")) {
                if (r->n_values > 0)
                        fault_forbidden(diags, CHILD(path, "values"),
                                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        } else
                fault_invalid(diags, CHILD(path, "operator"), op, "not a valid selector operator");

        validate_text(diags, r->key, text_check_qualified_name, CHILD(path, "key"));
        for (size_t i = 0; i < r->n_values; i++)
                validate_text(diags, r->values[i], text_check_label_value, INDEX(CHILD(path, "values"), i));
}

void validate_label_selector(struct diagnostics *diags, const V1LabelSelector *selector, path_t path) {
        if (!selector)
                return;
        validate_labels(diags, selector->matchlabels, selector->n_matchlabels, CHILD(path, "matchLabels"));
        for (size_t i = 0; i < selector->n_matchexpressions; i++)
                validate_requirement(diags, selector->matchexpressions[i], INDEX(CHILD(path, "matchExpressions"), i));
}
