/* ConfigMap, Secret, Namespace, Node, PriorityClass and RuntimeClass: small kinds with few rules. */
#include "api/priority.h"
#include "api/validate-walk.h"

#define DATA_MAX_BYTES (1024 * 1024)

static const char immutable_sentence[] = "field is immutable when `immutable` is set";

static bool has_bytes_key(V1BytesEntry *const *entries, size_t n, const char *key) {
        for (size_t i = 0; i < n; i++)
                if (streq_ptr(entries[i]->key, key))
                        return true;
        return false;
}

void api_validate_config_map(const V1ConfigMap *map, struct diagnostics *diags) {
        path_t data = CHILD(NULL, "data"), binary = CHILD(NULL, "binaryData");
        size_t bytes = 0;

        validate_meta(diags, map->metadata, true, text_check_dns_subdomain);
        for (size_t i = 0; i < map->n_data; i++) {
                const char *key = text_or_empty(map->data[i]->key);

                validate_text(diags, key, text_check_config_key, KEY(data, key));
                if (has_bytes_key(map->binarydata, map->n_binarydata, key))
                        fault_invalid(diags, KEY(data, key), key, "duplicate of key present in binaryData");
                bytes += strlen(text_or_empty(map->data[i]->value));
        }
        for (size_t i = 0; i < map->n_binarydata; i++) {
                const char *key = text_or_empty(map->binarydata[i]->key);

                validate_text(diags, key, text_check_config_key, KEY(binary, key));
                bytes += map->binarydata[i]->value.len;
        }
        if (bytes > DATA_MAX_BYTES)
                fault_too_long(diags, NULL, DATA_MAX_BYTES);
}

/* The object with nothing in it but its data, so that two of them can be compared. */
static V1ConfigMap only_data(const V1ConfigMap *map) {
        V1ConfigMap copy = V1_CONFIG_MAP__INIT;

        copy.data = map->data;
        copy.n_data = map->n_data;
        return copy;
}

static V1ConfigMap only_binary_data(const V1ConfigMap *map) {
        V1ConfigMap copy = V1_CONFIG_MAP__INIT;

        copy.binarydata = map->binarydata;
        copy.n_binarydata = map->n_binarydata;
        return copy;
}

void api_validate_config_map_update(const V1ConfigMap *new_map, const V1ConfigMap *old_map, struct diagnostics *diags) {
        if (new_map->metadata && old_map->metadata)
                validate_meta_update(diags, new_map->metadata, old_map->metadata);
        if (old_map->has_immutable && old_map->immutable) {
                V1ConfigMap now = only_data(new_map), was = only_data(old_map);
                V1ConfigMap now_binary = only_binary_data(new_map), was_binary = only_binary_data(old_map);

                if (!new_map->has_immutable || !new_map->immutable)
                        fault_forbidden(diags, CHILD(NULL, "immutable"), immutable_sentence);
                if (!api_equal(&now.base, &was.base))
                        fault_forbidden(diags, CHILD(NULL, "data"), immutable_sentence);
                if (!api_equal(&now_binary.base, &was_binary.base))
                        fault_forbidden(diags, CHILD(NULL, "binaryData"), immutable_sentence);
        }
        api_validate_config_map(new_map, diags);
}

static const ProtobufCBinaryData *secret_get(const V1Secret *secret, const char *key) {
        for (size_t i = 0; i < secret->n_data; i++)
                if (streq_ptr(secret->data[i]->key, key))
                        return &secret->data[i]->value;
        return NULL;
}

/* What each known type of secret has to hold. Any one of `keys` is enough if `any`; `json` says that it is an object.
 */
static const struct secret_type {
        const char *type;
        const char *keys[2];
        bool any, json, not_empty;
} secret_types[] = {
        { "kubernetes.io/dockercfg", { ".dockercfg" }, false, true, false },
        { "kubernetes.io/dockerconfigjson", { ".dockerconfigjson" }, false, true, false },
        { "kubernetes.io/basic-auth", { "username", "password" }, true, false, false },
        { "kubernetes.io/ssh-auth", { "ssh-privatekey" }, false, false, true },
        { "kubernetes.io/tls", { "tls.crt", "tls.key" }, false, false, false },
};

static bool is_json_object(const ProtobufCBinaryData *data) {
        json_t *json = json_loadb((const char *)data->data, data->len, 0, NULL);
        bool is = json_is_object(json);

        json_decref(json);
        return is;
}

static void validate_secret_type(const V1Secret *secret, const struct secret_type *type, struct diagnostics *diags) {
        const ProtobufCBinaryData *found[2] = { NULL };
        bool any = false;

        for (size_t i = 0; i < 2 && type->keys[i]; i++) {
                found[i] = secret_get(secret, type->keys[i]);
                if (found[i] && type->not_empty && found[i]->len == 0)
                        found[i] = NULL;
                any = any || found[i];
        }
        for (size_t i = 0; i < 2 && type->keys[i]; i++) {
                path_t path = KEY(CHILD(NULL, "data"), type->keys[i]);

                if (!found[i] && !(type->any && any))
                        fault_required(diags, path, NULL);
                else if (found[i] && type->json && !is_json_object(found[i]))
                        fault_invalid(diags, path, "<secret contents redacted>", "must be a JSON object");
        }
}

void api_validate_secret(const V1Secret *secret, struct diagnostics *diags) {
        static const char account[] = "kubernetes.io/service-account.name";
        const V1ObjectMeta *meta = secret->metadata;
        path_t data = CHILD(NULL, "data");
        size_t bytes = 0;

        validate_meta(diags, meta, true, text_check_dns_subdomain);
        for (size_t i = 0; i < secret->n_data; i++) {
                const char *key = text_or_empty(secret->data[i]->key);

                validate_text(diags, key, text_check_config_key, KEY(data, key));
                bytes += secret->data[i]->value.len;
        }
        if (bytes > DATA_MAX_BYTES)
                fault_too_long(diags, data, DATA_MAX_BYTES);

        for (size_t i = 0; i < ARRAY_SIZE(secret_types); i++)
                if (streq_ptr(secret->type, secret_types[i].type))
                        validate_secret_type(secret, &secret_types[i], diags);
        if (streq_ptr(secret->type, "kubernetes.io/service-account-token") &&
            (!meta || str_empty(api_map_get(meta->annotations, meta->n_annotations, account))))
                fault_required(diags, KEY(CHILD(CHILD(NULL, "metadata"), "annotations"), account), NULL);
}

void api_validate_secret_update(const V1Secret *new_secret, const V1Secret *old_secret, struct diagnostics *diags) {
        if (new_secret->metadata && old_secret->metadata)
                validate_meta_update(diags, new_secret->metadata, old_secret->metadata);
        if (!streq(text_or_empty(new_secret->type), text_or_empty(old_secret->type)))
                fault_invalid(diags, CHILD(NULL, "type"), new_secret->type, "field is immutable");
        if (old_secret->has_immutable && old_secret->immutable) {
                V1Secret now = V1_SECRET__INIT, was = V1_SECRET__INIT;

                now.data = new_secret->data;
                now.n_data = new_secret->n_data;
                was.data = old_secret->data;
                was.n_data = old_secret->n_data;
                if (!new_secret->has_immutable || !new_secret->immutable)
                        fault_forbidden(diags, CHILD(NULL, "immutable"), immutable_sentence);
                if (!api_equal(&now.base, &was.base))
                        fault_forbidden(diags, CHILD(NULL, "data"), immutable_sentence);
        }
        api_validate_secret(new_secret, diags);
}

void api_validate_namespace(const V1Namespace *ns, struct diagnostics *diags) {
        path_t path = CHILD(CHILD(NULL, "spec"), "finalizers");

        validate_meta(diags, ns->metadata, false, text_check_dns_label);
        for (size_t i = 0; ns->spec && i < ns->spec->n_finalizers; i++) {
                validate_text(diags, ns->spec->finalizers[i], text_check_qualified_name, path);
                validate_finalizer(diags, ns->spec->finalizers[i], path);
        }
}

void api_validate_namespace_update(const V1Namespace *new_ns, const V1Namespace *old_ns, struct diagnostics *diags) {
        api_validate_namespace(new_ns, diags);
        if (new_ns->metadata && old_ns->metadata)
                validate_meta_update(diags, new_ns->metadata, old_ns->metadata);
}

static void validate_taints(const V1Node *node, struct diagnostics *diags) {
        path_t path = CHILD(CHILD(NULL, "spec"), "taints");

        for (size_t i = 0; node->spec && i < node->spec->n_taints; i++) {
                const V1Taint *taint = node->spec->taints[i];

                validate_taint(diags, taint, INDEX(path, i));
                for (size_t j = 0; j < i; j++)
                        if (streq_ptr(node->spec->taints[j]->key, taint->key) &&
                            streq_ptr(node->spec->taints[j]->effect, taint->effect)) {
                                fault_duplicate(diags, INDEX(path, i), taint->key);
                                break;
                        }
        }
}

void api_validate_node(const V1Node *node, struct diagnostics *diags) {
        validate_meta(diags, node->metadata, false, text_check_dns_subdomain);
        validate_taints(node, diags);
}

void api_validate_node_update(const V1Node *new_node, const V1Node *old_node, struct diagnostics *diags) {
        api_validate_node(new_node, diags);
        if (new_node->metadata && old_node->metadata)
                validate_meta_update(diags, new_node->metadata, old_node->metadata);
}

/* ---- PriorityClass ---- */

#define USER_PRIORITY_MAX 1000000000

/* Names of the system's own classes are taken; who writes them down as they are does no harm. */
static void validate_system_class(const V1PriorityClass *class, struct diagnostics *diags) {
        const struct priority_class *known = priority_class_find_known(class->metadata->name);
        path_t path = CHILD(CHILD(NULL, "metadata"), "name");
        static const char reserved[] = "priority class names with 'system-' prefix are reserved for system use only. "
                                       "error: ";

        if (!known)
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, path, "%s%s is not a known system priority class",
                                reserved, class->metadata->name);
        else if (class->value != known->value)
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, path, "%svalue of %s PriorityClass must be %d", reserved,
                                known->name, (int)known->value);
        else if (class->has_globaldefault && class->globaldefault)
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, path, "%sglobalDefault of %s PriorityClass must be false",
                                reserved, known->name);
}

static void validate_global_default(const V1PriorityClass *class, struct diagnostics *diags) {
        const struct priority_class *by_default = priority_class_find(NULL);

        if (class->has_globaldefault && class->globaldefault && by_default->global_default &&
            !streq_ptr(by_default->name, class->metadata->name))
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(NULL, "globalDefault"),
                                "PriorityClass %s is already marked as default. Only one default can exist",
                                by_default->name);
}

void api_validate_priority_class(const V1PriorityClass *class, struct diagnostics *diags) {
        path_t policy = CHILD(NULL, "preemptionPolicy");
        static const char *const policies[] = { "Never", "PreemptLowerPriority", NULL };

        validate_meta(diags, class->metadata, false, text_check_dns_subdomain);
        if (class->metadata && str_starts_with(text_or_empty(class->metadata->name), "system-"))
                validate_system_class(class, diags);
        else if (class->value > USER_PRIORITY_MAX)
                diagnostics_add(diags, DIAGNOSTIC_FORBIDDEN, CHILD(NULL, "value"),
                                "maximum allowed value of a user defined priority is %d", USER_PRIORITY_MAX);
        if (class->metadata)
                validate_global_default(class, diags);
        validate_required_word(diags, class->preemptionpolicy, policies, policy);
}

void api_validate_priority_class_update(const V1PriorityClass *new_class, const V1PriorityClass *old_class,
                                        struct diagnostics *diags) {
        api_validate_priority_class(new_class, diags);
        if (new_class->metadata && old_class->metadata)
                validate_meta_update(diags, new_class->metadata, old_class->metadata);
        if (new_class->value != old_class->value)
                fault_forbidden(diags, CHILD(NULL, "value"), "may not be changed in an update.");
        if (!streq_ptr(new_class->preemptionpolicy, old_class->preemptionpolicy))
                fault_invalid(diags, CHILD(NULL, "preemptionPolicy"), new_class->preemptionpolicy,
                              "field is immutable");
}

/* ---- RuntimeClass ---- */

void api_validate_runtime_class(const V1RuntimeClass *class, struct diagnostics *diags) {
        const V1Scheduling *scheduling = class->scheduling;
        path_t path = CHILD(NULL, "scheduling");

        validate_meta(diags, class->metadata, false, text_check_dns_subdomain);
        /* An empty one is no DNS label either. */
        validate_text(diags, text_or_empty(class->handler), text_check_dns_label, CHILD(NULL, "handler"));
        if (class->overhead)
                validate_overhead_list(diags, class->overhead->podfixed, class->overhead->n_podfixed,
                                       CHILD(CHILD(NULL, "overhead"), "podFixed"));
        if (!scheduling)
                return;
        validate_labels(diags, scheduling->nodeselector, scheduling->n_nodeselector, CHILD(path, "nodeSelector"));
        validate_tolerations(diags, scheduling->tolerations, scheduling->n_tolerations, CHILD(path, "tolerations"));
}

void api_validate_runtime_class_update(const V1RuntimeClass *new_class, const V1RuntimeClass *old_class,
                                       struct diagnostics *diags) {
        api_validate_runtime_class(new_class, diags);
        if (new_class->metadata && old_class->metadata)
                validate_meta_update(diags, new_class->metadata, old_class->metadata);
        if (!streq_ptr(new_class->handler, old_class->handler))
                fault_invalid(diags, CHILD(NULL, "handler"), new_class->handler, "field is immutable");
}

/* One row a kind. */
#define KIND(type, function) \
        static void create_##function(const ProtobufCMessage *m, struct diagnostics *d) { \
                api_validate_##function((const type *)m, d); \
        } \
        static void update_##function(const ProtobufCMessage *now, const ProtobufCMessage *was, \
                                      struct diagnostics *d) { \
                api_validate_##function##_update((const type *)now, (const type *)was, d); \
        }
KIND(V1Pod, pod)
KIND(V1ConfigMap, config_map)
KIND(V1Secret, secret)
KIND(V1Namespace, namespace)
KIND(V1PersistentVolumeClaim, claim)
KIND(V1Node, node)
KIND(V1PriorityClass, priority_class)
KIND(V1RuntimeClass, runtime_class)

static const struct kind_rules {
        const ProtobufCMessageDescriptor *descriptor;
        void (*create)(const ProtobufCMessage *object, struct diagnostics *diags);
        void (*update)(const ProtobufCMessage *now, const ProtobufCMessage *was, struct diagnostics *diags);
} kind_rules[] = {
        { &v1_pod__descriptor, create_pod, update_pod },
        { &v1_config_map__descriptor, create_config_map, update_config_map },
        { &v1_secret__descriptor, create_secret, update_secret },
        { &v1_namespace__descriptor, create_namespace, update_namespace },
        { &v1_persistent_volume_claim__descriptor, create_claim, update_claim },
        { &v1_node__descriptor, create_node, update_node },
        { &v1_runtime_class__descriptor, create_runtime_class, update_runtime_class },
        { &v1_priority_class__descriptor, create_priority_class, update_priority_class },
};

void api_validate(const ProtobufCMessage *object, const ProtobufCMessage *old_object, struct diagnostics *diags) {
        for (size_t i = 0; i < ARRAY_SIZE(kind_rules); i++) {
                if (kind_rules[i].descriptor != object->descriptor)
                        continue;
                if (old_object)
                        kind_rules[i].update(object, old_object, diags);
                else
                        kind_rules[i].create(object, diags);
        }
}
