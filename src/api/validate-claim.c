/* Persistent volume claims, and the template of one inside an ephemeral volume. */
#include "api/validate-walk.h"

static const char *const access_modes[] = { "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod",
                                            NULL };
static const char *const volume_modes[] = { "Block", "Filesystem", NULL };
static const char *const template_meta_fields[] = { "annotations", "labels", NULL };
static const char class_annotation[] = "volume.beta.kubernetes.io/storage-class";

static void validate_access_modes(struct diagnostics *diags, const V1PersistentVolumeClaimSpec *spec, path_t path) {
        bool alone = false, others = false;

        if (spec->n_accessmodes == 0)
                fault_required(diags, path, "at least 1 access mode is required");
        for (size_t i = 0; i < spec->n_accessmodes; i++) {
                validate_word(diags, spec->accessmodes[i], access_modes, path);
                if (streq(spec->accessmodes[i], "ReadWriteOncePod"))
                        alone = true;
                else if (words_contain(access_modes, spec->accessmodes[i]))
                        others = true;
        }
        if (alone && others)
                fault_forbidden(diags, path, "may not use ReadWriteOncePod with other access modes");
}

static void validate_size(struct diagnostics *diags, const V1VolumeResourceRequirements *resources, path_t path) {
        const V1Quantity *size =
                resources ? api_quantity_get(resources->requests, resources->n_requests, "storage") : NULL;

        if (!size)
                fault_required(diags, path, NULL);
        else if (quantity_sign(quantity_of(size)) <= 0)
                fault_invalid(diags, path, size->string, "must be greater than zero");
}

/* What a claim is filled from: dataSource knows claims and snapshots, dataSourceRef anything. */
static void validate_data_source(struct diagnostics *diags, const char *group, const char *kind, const char *name,
                                 path_t path) {
        if (str_empty(name))
                fault_required(diags, CHILD(path, "name"), NULL);
        if (str_empty(kind))
                fault_required(diags, CHILD(path, "kind"), NULL);
        if (!str_empty(group))
                validate_text(diags, group, text_check_dns_subdomain, CHILD(path, "apiGroup"));
        else if (!streq_ptr(kind, "PersistentVolumeClaim"))
                fault_invalid(diags, path, kind,
                              "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
}

static void validate_data_sources(struct diagnostics *diags, const V1PersistentVolumeClaimSpec *spec, path_t path) {
        const V1TypedLocalObjectReference *source = spec->datasource;
        const V1TypedObjectReference *ref = spec->datasourceref;
        bool elsewhere = ref && !str_empty(ref->namespace_);

        if (source)
                validate_data_source(diags, source->apigroup, source->kind, source->name, CHILD(path, "dataSource"));
        if (ref)
                validate_data_source(diags, ref->apigroup, ref->kind, ref->name, CHILD(path, "dataSourceRef"));
        if (elsewhere)
                validate_text(diags, ref->namespace_, text_check_dns_label,
                              CHILD(CHILD(path, "dataSourceRef"), "namespace"));
        if (!source || !ref)
                return;
        if (elsewhere)
                fault_invalid(diags, path, "dataSource",
                              "may not be specified when dataSourceRef.namespace is specified");
        else if (!streq_ptr(source->apigroup, ref->apigroup) || !streq_ptr(source->kind, ref->kind) ||
                 !streq_ptr(source->name, ref->name))
                fault_invalid(diags, path, "dataSource", "must match dataSourceRef");
}

void validate_claim_spec(struct diagnostics *diags, const V1PersistentVolumeClaimSpec *spec, path_t path) {
        static const V1PersistentVolumeClaimSpec none = V1_PERSISTENT_VOLUME_CLAIM_SPEC__INIT;

        if (!spec)
                spec = &none;
        validate_access_modes(diags, spec, CHILD(path, "accessModes"));
        validate_label_selector(diags, spec->selector, CHILD(path, "selector"));
        validate_size(diags, spec->resources, KEY(CHILD(path, "resources"), "storage"));
        if (!str_empty(spec->storageclassname))
                validate_text(diags, spec->storageclassname, text_check_dns_subdomain, CHILD(path, "storageClassName"));
        if (spec->volumemode)
                validate_word(diags, spec->volumemode, volume_modes, CHILD(path, "volumeMode"));
        validate_data_sources(diags, spec, path);
        if (!str_empty(spec->volumeattributesclassname))
                validate_text(diags, spec->volumeattributesclassname, text_check_dns_subdomain,
                              CHILD(path, "volumeAttributesClassName"));
}

void validate_claim_template(struct diagnostics *diags, const V1PersistentVolumeClaimTemplate *template, path_t path) {
        const V1ObjectMeta *meta = template->metadata;
        path_t at = CHILD(path, "metadata");

        if (meta) {
                validate_annotations(diags, meta->annotations, meta->n_annotations, CHILD(at, "annotations"));
                validate_labels(diags, meta->labels, meta->n_labels, CHILD(at, "labels"));
                validate_only_fields(diags, &meta->base, template_meta_fields, "cannot be set", at);
        }
        validate_claim_spec(diags, template->spec, CHILD(path, "spec"));
}

void api_validate_claim(const V1PersistentVolumeClaim *claim, struct diagnostics *diags) {
        validate_meta(diags, claim->metadata, true, text_check_dns_subdomain);
        validate_claim_spec(diags, claim->spec, CHILD(NULL, "spec"));
}

static bool is_bound(const V1PersistentVolumeClaim *claim) {
        return claim->status && streq_ptr(claim->status->phase, "Bound");
}

static const char *class_by_annotation(const V1PersistentVolumeClaim *claim) {
        return api_map_get(claim->metadata->annotations, claim->metadata->n_annotations, class_annotation);
}

/* The new spec with everything that may be changed put back to the old values; what then differs is forbidden. */
static void put_back(V1PersistentVolumeClaimSpec *spec, const V1PersistentVolumeClaim *new_claim,
                     const V1PersistentVolumeClaim *old_claim) {
        const V1PersistentVolumeClaimSpec *old_spec = old_claim->spec;
        const char *by_annotation = class_by_annotation(old_claim);

        /* The volume is filled in once, when the claim is bound. */
        if (str_empty(old_spec->volumename))
                spec->volumename = old_spec->volumename;
        /* A class may be given to a claim that had none (or had it in the old annotation). */
        if (spec->storageclassname && !old_spec->storageclassname &&
            (!by_annotation || streq(by_annotation, spec->storageclassname)))
                spec->storageclassname = NULL;
        if (!is_bound(old_claim))
                return;
        if (spec->resources && old_spec->resources && spec->resources->n_requests > 0) {
                spec->resources->requests = old_spec->resources->requests;
                spec->resources->n_requests = old_spec->resources->n_requests;
        }
        if (spec->volumeattributesclassname)
                spec->volumeattributesclassname = old_spec->volumeattributesclassname;
}

static struct quantity storage_of(V1QuantityEntry *const *entries, size_t n) {
        return quantity_of(api_quantity_get(entries, n, "storage"));
}

static void validate_shrink(struct diagnostics *diags, const V1PersistentVolumeClaim *new_claim,
                            const V1PersistentVolumeClaim *old_claim) {
        const V1VolumeResourceRequirements *wanted = new_claim->spec->resources, *was = old_claim->spec->resources;
        const V1PersistentVolumeClaimStatus *status = old_claim->status;
        struct quantity size = wanted ? storage_of(wanted->requests, wanted->n_requests) : quantity_of(NULL);

        if (!was || quantity_compare(size, storage_of(was->requests, was->n_requests)) >= 0)
                return;
        /* Down to what is really there, to get out of a growth that failed. */
        if (quantity_compare(size, status ? storage_of(status->capacity, status->n_capacity) : quantity_of(NULL)) <= 0)
                fault_forbidden(diags, CHILD(CHILD(CHILD(CHILD(NULL, "spec"), "resources"), "requests"), "storage"),
                                "field can not be less than status.capacity");
}

void api_validate_claim_update(const V1PersistentVolumeClaim *new_claim, const V1PersistentVolumeClaim *old_claim,
                               struct diagnostics *diags) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1PersistentVolumeClaimSpec *spec;

        api_validate_claim(new_claim, diags);
        if (!new_claim->metadata || !old_claim->metadata || !new_claim->spec || !old_claim->spec)
                return;
        validate_meta_update(diags, new_claim->metadata, old_claim->metadata);

        spec = api_copy(arena, &new_claim->spec->base);
        put_back(spec, new_claim, old_claim);
        if (!api_equal(&spec->base, &old_claim->spec->base))
                fault_forbidden(diags, CHILD(NULL, "spec"),
                                "spec is immutable after creation except resources.requests and "
                                "volumeAttributesClassName for bound claims");
        validate_shrink(diags, new_claim, old_claim);
        if (!streq_ptr(new_claim->spec->volumemode, old_claim->spec->volumemode))
                fault_invalid(diags, CHILD(NULL, "volumeMode"), new_claim->spec->volumemode, "field is immutable");
        if (old_claim->spec->volumeattributesclassname && str_empty(new_claim->spec->volumeattributesclassname))
                fault_forbidden(diags, CHILD(CHILD(NULL, "spec"), "volumeAttributesClassName"),
                                new_claim->spec->volumeattributesclassname
                                        ? "update from non-nil value to an empty string is forbidden"
                                        : "update from non-nil value to nil is forbidden");
}
