#include "api/validate-walk.h"

/* What a reference to a field of the pod may name. The environment is fixed at start, so it cannot hold what changes
 * (all labels); a volume is made before the pod has an address. */
static const char *const env_fields[] = {
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
        "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs", NULL,
};
static const char *const volume_fields[] = { "metadata.annotations", "metadata.labels", "metadata.name",
                                             "metadata.namespace",   "metadata.uid",    NULL };
/* All that the API knows as a field label of a pod; another path is a mistake of its own kind. */
static const char *const known_fields[] = {
        "metadata.annotations", "metadata.labels", "metadata.name",      "metadata.namespace",
        "metadata.uid",         "spec.nodeName",   "spec.restartPolicy", "spec.serviceAccountName",
        "spec.schedulerName",   "status.phase",    "status.hostIP",      "status.hostIPs",
        "status.podIP",         "status.podIPs",   "spec.host",          NULL,
};
static const char *const resource_fields[] = {
        "limits.cpu",   "limits.ephemeral-storage",   "limits.memory",
        "requests.cpu", "requests.ephemeral-storage", "requests.memory",
        NULL,
};

/* metadata.labels['KEY']: splits into the part before and the key. */
static bool split_subscript(const char *text, char **ret_field, char **ret_key) {
        const char *open = strstr(text, "['");
        size_t len = strlen(text);

        if (!open || open == text || !str_ends_with(text, "']") || open + 2 > text + len - 2)
                return false;
        *ret_field = xstrndup(text, (size_t)(open - text));
        *ret_key = xstrndup(open + 2, (size_t)(text + len - 2 - (open + 2)));
        return true;
}

static void validate_field_ref(struct diagnostics *diags, const V1ObjectFieldSelector *ref, words_t fields,
                               path_t path) {
        _cleanup_free_ char *field = NULL, *key = NULL;
        const char *text = text_or_empty(ref->fieldpath);

        if (str_empty(ref->apiversion)) {
                fault_required(diags, CHILD(path, "apiVersion"), NULL);
                return;
        }
        if (!*text) {
                fault_required(diags, CHILD(path, "fieldPath"), NULL);
                return;
        }
        if (!streq(ref->apiversion, "v1")) {
                diagnostics_add_string(diags, DIAGNOSTIC_INVALID, CHILD(path, "fieldPath"), text,
                                       "error converting fieldPath: unsupported pod version: %s", ref->apiversion);
                return;
        }
        if (split_subscript(text, &field, &key)) {
                if (streq(field, "metadata.labels"))
                        validate_text(diags, key, text_check_qualified_name, path);
                else if (streq(field, "metadata.annotations"))
                        validate_text(diags, key, text_check_annotation_key, path);
                else
                        diagnostics_add_string(diags, DIAGNOSTIC_INVALID, CHILD(path, "fieldPath"), text,
                                               "error converting fieldPath: field label does not support subscript: %s",
                                               text);
        } else if (!words_contain(known_fields, text))
                diagnostics_add_string(diags, DIAGNOSTIC_INVALID, CHILD(path, "fieldPath"), text,
                                       "error converting fieldPath: field label not supported: %s", text);
        else if (!streq(text, "spec.host") || fields != env_fields) /* an old name of spec.nodeName */
                validate_word(diags, text, fields, CHILD(path, "fieldPath"));
}

/* A divisor is one unit of a suffix, so that what comes out can be read as "in MiB". */
static const char *const cpu_divisors[] = { "1", "1m", NULL };
static const char *const byte_divisors[] = { "1",   "1k",  "1M",  "1G",  "1T",  "1P",  "1E",
                                             "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL };
static const struct divisor_rule {
        const char *prefix; /* of the resource's name after "limits." or "requests." */
        bool whole;         /* it is the whole name */
        words_t divisors;
        const char *sentence;
} divisor_rules[] = {
        { "cpu", true, cpu_divisors, "only divisor's values 1m and 1 are supported with the cpu resource" },
        { "memory", true, byte_divisors,
          "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the "
          "memory resource" },
        { "ephemeral-storage", true, byte_divisors,
          "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the local "
          "ephemeral storage resource" },
        { "hugepages-", false, byte_divisors,
          "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the "
          "hugepages resource" },
};

static const char *after_side(const char *resource) {
        if (str_starts_with(resource, "limits."))
                return resource + strlen("limits.");
        if (str_starts_with(resource, "requests."))
                return resource + strlen("requests.");
        return NULL;
}

static void validate_divisor(struct diagnostics *diags, const V1ResourceFieldSelector *ref, path_t path) {
        const char *resource = text_or_empty(ref->resource), *name = after_side(resource);
        _cleanup_free_ char *divisor = NULL;

        if (!name || quantity_sign(quantity_of(ref->divisor)) == 0)
                return;
        divisor = quantity_canonical(ref->divisor->string);
        for (size_t i = 0; i < ARRAY_SIZE(divisor_rules); i++) {
                const struct divisor_rule *rule = &divisor_rules[i];

                if ((rule->whole ? streq(name, rule->prefix) : str_starts_with(name, rule->prefix)) &&
                    !words_contain(rule->divisors, text_or_empty(divisor)))
                        fault_invalid(diags, CHILD(path, "divisor"), resource, rule->sentence);
        }
}

static void validate_resource_ref(struct diagnostics *diags, const V1ResourceFieldSelector *ref, bool in_volume,
                                  path_t path) {
        const char *resource = text_or_empty(ref->resource);

        /* A volume belongs to no container, so it has to name one. */
        if (in_volume && str_empty(ref->containername))
                fault_required(diags, CHILD(path, "containerName"), NULL);
        else if (!*resource)
                fault_required(diags, CHILD(path, "resource"), NULL);
        else if (!str_starts_with(resource, "limits.hugepages-") && !str_starts_with(resource, "requests.hugepages-"))
                validate_word(diags, resource, resource_fields, CHILD(path, "resource"));
        validate_divisor(diags, ref, path);
}

void validate_volume_field_ref(struct diagnostics *diags, const V1ObjectFieldSelector *ref, path_t path) {
        validate_field_ref(diags, ref, volume_fields, path);
}

void validate_volume_resource_ref(struct diagnostics *diags, const V1ResourceFieldSelector *ref, path_t path) {
        validate_resource_ref(diags, ref, true, path);
}

static const char *reference_name(const V1LocalObjectReference *ref) {
        return ref ? text_or_empty(ref->name) : "";
}

/* configMapKeyRef and secretKeyRef. */
static void validate_key_ref(struct diagnostics *diags, const V1LocalObjectReference *object, const char *key,
                             path_t path) {
        validate_text(diags, reference_name(object), text_check_dns_subdomain, CHILD(path, "name"));
        validate_name(diags, key, text_check_config_key, CHILD(path, "key"));
}

static void validate_file_key_ref(struct diagnostics *diags, const V1FileKeySelector *ref, path_t path) {
        validate_name(diags, ref->key, text_check_env_name, CHILD(path, "key"));
        validate_name(diags, ref->volumename, text_check_dns_label, CHILD(path, "volumeName"));
        if (str_empty(ref->path))
                fault_required(diags, CHILD(path, "path"), NULL);
        else
                validate_unreserved_path(diags, ref->path, CHILD(path, "path"));
}

static size_t validate_value_sources(struct diagnostics *diags, const V1EnvVarSource *from, path_t path) {
        size_t n = 0;

        if (from->fieldref && ++n)
                validate_field_ref(diags, from->fieldref, env_fields, CHILD(path, "fieldRef"));
        if (from->resourcefieldref && ++n)
                validate_resource_ref(diags, from->resourcefieldref, false, CHILD(path, "resourceFieldRef"));
        if (from->configmapkeyref && ++n)
                validate_key_ref(diags, from->configmapkeyref->localobjectreference, from->configmapkeyref->key,
                                 CHILD(path, "configMapKeyRef"));
        if (from->secretkeyref && ++n)
                validate_key_ref(diags, from->secretkeyref->localobjectreference, from->secretkeyref->key,
                                 CHILD(path, "secretKeyRef"));
        if (from->filekeyref && ++n)
                validate_file_key_ref(diags, from->filekeyref, CHILD(path, "fileKeyRef"));
        return n;
}

static void validate_value_from(struct diagnostics *diags, const V1EnvVar *var, path_t path) {
        size_t n;

        if (!var->valuefrom)
                return;
        n = validate_value_sources(diags, var->valuefrom, path);
        if (n == 0)
                fault_invalid(diags, path, "",
                              "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` "
                              "or `fileKeyRef`");
        else if (!str_empty(var->value))
                fault_invalid(diags, path, "", "may not be specified when `value` is not empty");
        else if (n > 1)
                fault_invalid(diags, path, "", "may not have more than one field specified at a time");
}

static void validate_env_from(struct diagnostics *diags, const V1EnvFromSource *from, path_t path, path_t list) {
        size_t n = 0;

        if (!str_empty(from->prefix))
                validate_text(diags, from->prefix, text_check_env_name, CHILD(path, "prefix"));
        if (from->configmapref && ++n)
                validate_name(diags, reference_name(from->configmapref->localobjectreference), text_check_dns_subdomain,
                              CHILD(CHILD(path, "configMapRef"), "name"));
        if (from->secretref && ++n)
                validate_name(diags, reference_name(from->secretref->localobjectreference), text_check_dns_subdomain,
                              CHILD(CHILD(path, "secretRef"), "name"));
        if (n == 0)
                fault_invalid(diags, list, "", "must specify one of: `configMapRef` or `secretRef`");
        else if (n > 1)
                fault_invalid(diags, list, "", "may not have more than one field specified at a time");
}

void validate_env(const struct pod_walk *walk, const V1Container *c, path_t path) {
        path_t env = CHILD(path, "env"), env_from = CHILD(path, "envFrom");

        for (size_t i = 0; i < c->n_env; i++) {
                validate_name(walk->diags, c->env[i]->name, text_check_env_name, CHILD(INDEX(env, i), "name"));
                validate_value_from(walk->diags, c->env[i], CHILD(INDEX(env, i), "valueFrom"));
        }
        for (size_t i = 0; i < c->n_envfrom; i++)
                validate_env_from(walk->diags, c->envfrom[i], INDEX(env_from, i), env_from);
}

/* A file of environment variables is written by an init container into an emptyDir that nobody outside can reach. */
void validate_file_key_volumes(const struct pod_walk *walk, const V1Container *c, path_t path) {
        for (size_t i = 0; i < c->n_env; i++) {
                const V1FileKeySelector *ref = c->env[i]->valuefrom ? c->env[i]->valuefrom->filekeyref : NULL;
                path_t at = CHILD(CHILD(CHILD(INDEX(CHILD(path, "env"), i), "valueFrom"), "fileKeyRef"), "volumeName");
                const V1Volume *volume;

                if (!ref || str_empty(ref->volumename))
                        continue;
                volume = pod_walk_volume(walk, ref->volumename);
                if (!volume)
                        fault_not_found(walk->diags, at, ref->volumename);
                else if (!volume->volumesource->emptydir)
                        fault_invalid(walk->diags, at, ref->volumename, "referenced volume must be of type emptyDir");
        }
}
