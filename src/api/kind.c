#include "api/api.h"

#include <strings.h>

#include "base/str.h"

#define SHORT(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* Kinds a node keeps as objects. Lists are the readers' business (manifest.h). */
static const struct api_kind kinds[] = {
        { "Pod", "pods", "pod", SHORT("po"), "v1", true, &v1_pod__descriptor },
        { "ConfigMap", "configmaps", "configmap", SHORT("cm"), "v1", true, &v1_config_map__descriptor },
        { "Secret", "secrets", "secret", SHORT(), "v1", true, &v1_secret__descriptor },
        { "Namespace", "namespaces", "namespace", SHORT("ns"), "v1", false, &v1_namespace__descriptor },
        { "Node", "nodes", "node", SHORT("no"), "v1", false, &v1_node__descriptor },
        { "Event", "events", "event", SHORT("ev"), "v1", true, &v1_event__descriptor },
        { "PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim", SHORT("pvc"), "v1", true,
          &v1_persistent_volume_claim__descriptor },
        { "PriorityClass", "priorityclasses", "priorityclass", SHORT("pc"), "scheduling.k8s.io/v1", false,
          &v1_priority_class__descriptor },
        { "RuntimeClass", "runtimeclasses", "runtimeclass", SHORT(), "node.k8s.io/v1", false,
          &v1_runtime_class__descriptor },
};

const struct api_kind *api_kinds(size_t *ret_count) {
        *ret_count = ARRAY_SIZE(kinds);
        return kinds;
}

const struct api_kind *api_kind_of(const char *kind) {
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (streq(kinds[i].kind, kind))
                        return &kinds[i];
        return NULL;
}

static bool is_word_of(const struct api_kind *kind, const char *word) {
        if (strcasecmp(word, kind->kind) == 0 || strcasecmp(word, kind->plural) == 0)
                return true;
        for (size_t i = 0; kind->short_names[i]; i++)
                if (strcasecmp(word, kind->short_names[i]) == 0)
                        return true;
        return false;
}

/* What follows a resource's name in kubectl's resource[.version].group: the group of core/v1 is empty, so "pods.v1."
 * and "pods." are full forms, "pods.v1" one that goes without saying. */
static bool is_group_of(const struct api_kind *kind, const char *rest) {
        const char *slash = strchr(kind->api_version, '/'), *version = slash ? slash + 1 : kind->api_version;
        _cleanup_free_ char *group = slash ? xstrndup(kind->api_version, slash - kind->api_version) : xstrdup("");
        _cleanup_free_ char *full = xasprintf(".%s.%s", version, group), *shorter = xasprintf(".%s", group);
        _cleanup_free_ char *only_version = xasprintf(".%s", version);

        return *rest == '\0' || streq(rest, full) || streq(rest, shorter) || streq(rest, only_version);
}

const struct api_kind *api_kind_lookup(const char *word) {
        size_t len = strcspn(word, ".");
        _cleanup_free_ char *resource = xstrndup(word, len);

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (is_word_of(&kinds[i], resource) && is_group_of(&kinds[i], word + len))
                        return &kinds[i];
        return NULL;
}

/* Kinds that people feed to a tool for Pods, and what they may do instead. */
static const struct {
        const char *kind;
        const char *advice;
} foreign[] = {
#define ONE_POD_EACH "husk runs Pods: put its pod template under kind: Pod, once for each replica"
#define NO_API_SERVER "there is no API server here whose use could be ruled; leave it out"
#define NO_STORAGE "husk makes volumes for claims itself; leave it out"
#define NO_QUOTA "say in each pod what it requests and may use; leave it out"
        { "APIService", "there is no API server here to extend" },
        { "CSIDriver", NO_STORAGE },
        { "ClusterRole", NO_API_SERVER },
        { "ClusterRoleBinding", NO_API_SERVER },
        { "CronJob", "start its pod template as a Pod from cron or a systemd timer" },
        { "CustomResourceDefinition", "there is no API server here to extend" },
        { "DaemonSet", "on one machine its pod template is a Pod: put that under kind: Pod" },
        { "Deployment", ONE_POD_EACH },
        { "EndpointSlice", "reach the pod by its address or give its container a hostPort" },
        { "Endpoints", "reach the pod by its address or give its container a hostPort" },
        { "HorizontalPodAutoscaler", "nothing here makes more pods of one; leave it out" },
        { "Ingress", "give the container a hostPort" },
        { "IngressClass", "give the container a hostPort" },
        { "Job", "put its pod template under kind: Pod with restartPolicy: OnFailure" },
        { "LimitRange", NO_QUOTA },
        { "MutatingWebhookConfiguration", "there is no API server here to ask it" },
        { "NetworkPolicy", "filter with the machine's own firewall (nftables) what reaches the pods" },
        { "PersistentVolume", NO_STORAGE },
        { "PodDisruptionBudget", "nothing here evicts pods for the sake of maintenance; leave it out" },
        { "PodTemplate", "husk runs Pods: put what it holds under kind: Pod" },
        { "ReplicaSet", ONE_POD_EACH },
        { "ReplicationController", ONE_POD_EACH },
        { "ResourceQuota", NO_QUOTA },
        { "Role", NO_API_SERVER },
        { "RoleBinding", NO_API_SERVER },
        { "Service", "reach the pod by its address or give its container a hostPort" },
        { "ServiceAccount", "there is no API server here for it to speak to; leave it out" },
        { "StatefulSet", ONE_POD_EACH },
        { "StorageClass", NO_STORAGE },
        { "ValidatingWebhookConfiguration", "there is no API server here to ask it" },
        { "VolumeAttachment", NO_STORAGE },
};

/* The words by which kubectl's users call some of them. */
static const struct {
        const char *word, *kind;
} foreign_words[] = {
        { "cj", "CronJob" },
        { "crd", "CustomResourceDefinition" },
        { "deploy", "Deployment" },
        { "ds", "DaemonSet" },
        { "ep", "Endpoints" },
        { "hpa", "HorizontalPodAutoscaler" },
        { "ing", "Ingress" },
        { "ingresses", "Ingress" },
        { "netpol", "NetworkPolicy" },
        { "networkpolicies", "NetworkPolicy" },
        { "pdb", "PodDisruptionBudget" },
        { "pv", "PersistentVolume" },
        { "quota", "ResourceQuota" },
        { "rc", "ReplicationController" },
        { "rs", "ReplicaSet" },
        { "sa", "ServiceAccount" },
        { "sc", "StorageClass" },
        { "storageclasses", "StorageClass" },
        { "sts", "StatefulSet" },
        { "svc", "Service" },
};

const char *api_kind_advice(const char *word, const char **ret_kind) {
        for (size_t i = 0; i < ARRAY_SIZE(foreign_words); i++)
                if (strcasecmp(foreign_words[i].word, word) == 0)
                        word = foreign_words[i].kind;
        for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
                size_t len = strlen(foreign[i].kind);
                if (strncasecmp(foreign[i].kind, word, len) == 0 && (!word[len] || strcasecmp(word + len, "s") == 0)) {
                        *ret_kind = foreign[i].kind;
                        return foreign[i].advice;
                }
        }
        return NULL;
}

static const char *advice_for(const char *kind) {
        for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
                if (streq(foreign[i].kind, kind))
                        return foreign[i].advice;
        return NULL;
}

/* A kind close enough to `word` to be what was meant: one slip in a short word, two in a longer one. */
static const struct api_kind *nearest_kind(const char *word) {
        const struct api_kind *best = NULL;
        size_t best_distance = strlen(word) >= 6 ? 3 : 2;

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                size_t distance;

                if (is_word_of(&kinds[i], word))
                        return &kinds[i];
                distance = str_distance(word, kinds[i].kind);
                if (distance < best_distance) {
                        best = &kinds[i];
                        best_distance = distance;
                }
        }
        return best;
}

static const char *required_string(const json_t *json, const char *name, struct diagnostics *diags) {
        struct field_path path = field_path_child(NULL, name);
        const json_t *value = json_object_get(json, name);

        if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
                diagnostics_add(diags, DIAGNOSTIC_REQUIRED, &path, "every object says its %s", name);
        else if (!json_is_string(value))
                diagnostics_add(diags, DIAGNOSTIC_DECODE, &path, "%s must be a string", name);
        else
                return json_string_value(value);
        return NULL;
}

const struct api_kind *api_kind_of_json(const json_t *json, struct diagnostics *diags) {
        struct field_path at_kind = field_path_child(NULL, "kind"), at_version = field_path_child(NULL, "apiVersion");
        const struct api_kind *kind;
        const char *word, *version;

        if (!json_is_object(json)) {
                diagnostics_add(diags, DIAGNOSTIC_DECODE, NULL,
                                "a Kubernetes object is a mapping with apiVersion and kind");
                return NULL;
        }
        version = required_string(json, "apiVersion", diags);
        word = required_string(json, "kind", diags);
        if (!word || !version)
                return NULL;
        kind = api_kind_of(word);
        if (!kind) {
                const char *advice = advice_for(word);
                const struct api_kind *near = advice ? NULL : nearest_kind(word);

                if (near)
                        diagnostics_add(diags, DIAGNOSTIC_DECODE, &at_kind,
                                        "no kind \"%s\" in version \"%s\"; did you mean \"%s\"?", word, version,
                                        near->kind);
                else
                        diagnostics_add(diags, DIAGNOSTIC_DECODE, &at_kind,
                                        "no kind \"%s\" in version \"%s\" on a single machine: %s", word, version,
                                        advice ? advice
                                               : "husk runs Pods; `husk api-resources` lists what else it keeps");
                return NULL;
        }
        if (!streq(version, kind->api_version)) {
                diagnostics_add(diags, DIAGNOSTIC_DECODE, &at_version,
                                "no kind \"%s\" in version \"%s\"; its version is \"%s\"", word, version,
                                kind->api_version);
                return NULL;
        }
        return kind;
}
