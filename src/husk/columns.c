#include "husk/columns.h"

#include <ctype.h>
#include <inttypes.h>

#include "base/str.h"
#include "base/duration.h"
#include "server/field.h"
#include "husk/pod-summary.h"

#define NONE "<none>"

static char *age(const json_t *object, int64_t now) {
        char buf[DURATION_MAX];
        return xstrdup(duration_format_since(field_text(object, "metadata.creationTimestamp"), now, buf));
}

/* ---- pods ---- */

static char *pod_ready(const json_t *pod, int64_t now) {
        _cleanup_pod_summary_ struct pod_summary summary;

        pod_summary_make(pod, &summary);
        return xasprintf("%zu/%zu", summary.ready, summary.total);
}

static char *pod_status(const json_t *pod, int64_t now) {
        _cleanup_pod_summary_ struct pod_summary summary;

        pod_summary_make(pod, &summary);
        return TAKE_PTR(summary.status);
}

static char *pod_restarts(const json_t *pod, int64_t now) {
        _cleanup_pod_summary_ struct pod_summary summary;

        pod_summary_make(pod, &summary);
        return pod_summary_restarts(&summary, now);
}

static char *pod_readiness_gates(const json_t *pod, int64_t now) {
        const json_t *gates = field_at(pod, "spec.readinessGates");
        size_t ready = 0, i;
        json_t *gate;

        if (!json_array_size(gates))
                return xstrdup(NONE);
        json_array_foreach(gates, i, gate) ready +=
                streq_ptr(field_condition(pod, field_text_or(gate, "conditionType", "")), "True");
        return xasprintf("%zu/%zu", ready, json_array_size(gates));
}

static const struct column pod_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "READY", .text = pod_ready },
        { "STATUS", .text = pod_status },
        { "RESTARTS", .text = pod_restarts },
        { "AGE", .text = age },
        { "IP", true, "status.podIP" },
        { "NODE", true, "spec.nodeName" },
        { "NOMINATED NODE", true, "status.nominatedNodeName" },
        { "READINESS GATES", true, .text = pod_readiness_gates },
        { 0 },
};

/* ---- configuration ---- */

static char *data_count(const json_t *object, int64_t now) {
        return xasprintf("%zu",
                         json_object_size(field_at(object, "data")) + json_object_size(field_at(object, "binaryData")));
}

static const struct column configmap_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "DATA", .text = data_count },
        { "AGE", .text = age },
        { 0 },
};

static const struct column secret_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "TYPE", .path = "type" },
        { "DATA", .text = data_count },
        { "AGE", .text = age },
        { 0 },
};

static char *service_account_secrets(const json_t *object, int64_t now) {
        return xasprintf("%zu", json_array_size(field_at(object, "secrets")));
}

static const struct column service_account_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "SECRETS", .text = service_account_secrets },
        { "AGE", .text = age },
        { 0 },
};

static const struct column namespace_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "STATUS", .path = "status.phase" },
        { "AGE", .text = age },
        { 0 },
};

static char *class_is_default(const json_t *class, int64_t now) {
        return xstrdup(field_is_true(class, "globalDefault") ? "true" : "false");
}

static char *class_value(const json_t *class, int64_t now) {
        return xasprintf("%" PRId64, field_number(class, "value", 0));
}

static const struct column priority_class_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "VALUE", .text = class_value },
        { "GLOBAL-DEFAULT", .text = class_is_default },
        { "AGE", .text = age },
        { "PREEMPTIONPOLICY", .path = "preemptionPolicy" },
        { 0 },
};

static const struct column runtime_class_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "HANDLER", .path = "handler" },
        { "AGE", .text = age },
        { 0 },
};

/* ---- nodes ---- */

static char *node_status(const json_t *node, int64_t now) {
        const char *ready = field_condition(node, "Ready");
        const char *text = !ready ? "Unknown" : streq(ready, "True") ? "Ready" : "NotReady";

        return xasprintf("%s%s", text, field_is_true(node, "spec.unschedulable") ? ",SchedulingDisabled" : "");
}

/* Roles are labels: node-role.kubernetes.io/<role>, or kubernetes.io/role=<role>. */
static char *node_roles(const json_t *node, int64_t now) {
        static const char prefix[] = "node-role.kubernetes.io/";
        _cleanup_strbuf_ struct strbuf roles = STRBUF_INIT;
        const char *key;
        json_t *value;

        json_object_foreach(field_at(node, "metadata.labels"), key, value) {
                const char *role = NULL;
                if (str_starts_with(key, prefix))
                        role = key + strlen(prefix);
                else if (streq(key, "kubernetes.io/role"))
                        role = json_string_value(value);
                if (!str_empty(role))
                        strbuf_addf(&roles, "%s%s", roles.len ? "," : "", role);
        }
        return roles.len ? strbuf_take(&roles) : xstrdup(NONE);
}

static char *node_address(const json_t *node, const char *type) {
        const json_t *address = field_find(node, "status.addresses", "type", type);
        return xstrdup(field_text_or(address, "address", NONE));
}

static char *node_internal_ip(const json_t *node, int64_t now) {
        return node_address(node, "InternalIP");
}

static char *node_external_ip(const json_t *node, int64_t now) {
        return node_address(node, "ExternalIP");
}

static const struct column node_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "STATUS", .text = node_status },
        { "ROLES", .text = node_roles },
        { "AGE", .text = age },
        { "VERSION", .path = "status.nodeInfo.kubeletVersion" },
        { "INTERNAL-IP", true, .text = node_internal_ip },
        { "EXTERNAL-IP", true, .text = node_external_ip },
        { "OS-IMAGE", true, "status.nodeInfo.osImage" },
        { "KERNEL-VERSION", true, "status.nodeInfo.kernelVersion" },
        { "CONTAINER-RUNTIME", true, "status.nodeInfo.containerRuntimeVersion" },
        { 0 },
};

/* ---- events ---- */

const char *event_last_seen(const json_t *event) {
        static const char *const paths[] = { "series.lastObservedTime", "lastTimestamp", "eventTime", "firstTimestamp",
                                             "metadata.creationTimestamp" };

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                const char *text = field_text(event, paths[i]);
                if (text)
                        return text;
        }
        return NULL;
}

int64_t event_count(const json_t *event) {
        return field_number(event, "series.count", field_number(event, "count", 1));
}

static char *event_seen(const json_t *event, int64_t now) {
        char buf[DURATION_MAX];
        return xstrdup(duration_format_since(event_last_seen(event), now, buf));
}

static char *event_first_seen(const json_t *event, int64_t now) {
        const char *first = field_text(event, "firstTimestamp");
        char buf[DURATION_MAX];

        if (!first)
                first = field_text(event, "eventTime");
        return xstrdup(duration_format_since(first, now, buf));
}

static char *event_object(const json_t *event, int64_t now) {
        char *text = xasprintf("%s/%s", field_text_or(event, "involvedObject.kind", "?"),
                               field_text_or(event, "involvedObject.name", "?"));

        for (char *c = text; *c && *c != '/'; c++)
                *c = tolower((unsigned char)*c);
        return text;
}

static char *event_source(const json_t *event, int64_t now) {
        const char *component = field_text_or(event, "source.component", "");
        const char *host = field_text(event, "source.host");

        if (!*component)
                component = field_text_or(event, "reportingComponent", "");
        return xasprintf("%s%s%s", component, host ? ", " : "", host ? host : "");
}

static char *event_count_text(const json_t *event, int64_t now) {
        return xasprintf("%" PRId64, event_count(event));
}

char *event_message(const json_t *event, int64_t now) {
        char *text = xstrdup(field_text_or(event, "message", ""));

        for (size_t n = strlen(text); n && isspace((unsigned char)text[n - 1]);)
                text[--n] = '\0';
        return text;
}

static const struct column event_columns[] = {
        { "LAST SEEN", .text = event_seen },
        { "TYPE", .path = "type" },
        { "REASON", .path = "reason" },
        { "OBJECT", .text = event_object },
        { "SUBOBJECT", true, "involvedObject.fieldPath" },
        { "SOURCE", true, .text = event_source },
        { "MESSAGE", .text = event_message },
        { "FIRST SEEN", true, .text = event_first_seen },
        { "COUNT", true, .text = event_count_text },
        { "NAME", true, "metadata.name" },
        { 0 },
};

/* ---- storage ---- */

char *access_modes(const json_t *modes) {
        static const struct {
                const char *mode, *text;
        } names[] = {
                { "ReadWriteOnce", "RWO" },
                { "ReadOnlyMany", "ROX" },
                { "ReadWriteMany", "RWX" },
                { "ReadWriteOncePod", "RWOP" },
        };
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        json_t *mode;
        size_t i;

        json_array_foreach(modes, i, mode) for (size_t n = 0; n < ARRAY_SIZE(names);
                                                n++) if (streq_ptr(json_string_value(mode), names[n].mode))
                strbuf_addf(&text, "%s%s", text.len ? "," : "", names[n].text);
        return strbuf_take(&text);
}

static char *claim_access_modes(const json_t *claim, int64_t now) {
        return access_modes(field_at(claim, "status.accessModes"));
}

static char *volume_access_modes(const json_t *volume, int64_t now) {
        return access_modes(field_at(volume, "spec.accessModes"));
}

static char *volume_claim(const json_t *volume, int64_t now) {
        const char *name = field_text(volume, "spec.claimRef.name");

        if (!name)
                return xstrdup("");
        return xasprintf("%s/%s", field_text_or(volume, "spec.claimRef.namespace", ""), name);
}

static char *claim_status(const json_t *claim, int64_t now) {
        return xstrdup(field_text(claim, "metadata.deletionTimestamp") ? "Terminating"
                                                                       : field_text_or(claim, "status.phase", ""));
}

static const struct column claim_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "STATUS", .text = claim_status },
        { "VOLUME", .path = "spec.volumeName" },
        { "CAPACITY", .path = "status.capacity.storage" },
        { "ACCESS MODES", .text = claim_access_modes },
        { "STORAGECLASS", .path = "spec.storageClassName" },
        { "AGE", .text = age },
        { "VOLUMEMODE", true, "spec.volumeMode" },
        { 0 },
};

static const struct column volume_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "CAPACITY", .path = "spec.capacity.storage" },
        { "ACCESS MODES", .text = volume_access_modes },
        { "RECLAIM POLICY", .path = "spec.persistentVolumeReclaimPolicy" },
        { "STATUS", .path = "status.phase" },
        { "CLAIM", .text = volume_claim },
        { "STORAGECLASS", .path = "spec.storageClassName" },
        { "REASON", .path = "status.reason" },
        { "AGE", .text = age },
        { "VOLUMEMODE", true, "spec.volumeMode" },
        { 0 },
};

static const struct column other_columns[] = {
        { "NAME", .path = "metadata.name" },
        { "AGE", .text = age },
        { 0 },
};

static const struct {
        const char *kind;
        const struct column *columns;
} kinds[] = {
        { "Pod", pod_columns },
        { "ConfigMap", configmap_columns },
        { "Secret", secret_columns },
        { "ServiceAccount", service_account_columns },
        { "Namespace", namespace_columns },
        { "Node", node_columns },
        { "Event", event_columns },
        { "PersistentVolumeClaim", claim_columns },
        { "PersistentVolume", volume_columns },
        { "PriorityClass", priority_class_columns },
        { "RuntimeClass", runtime_class_columns },
};

const struct column *columns_of(const char *kind) {
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (streq(kinds[i].kind, kind))
                        return kinds[i].columns;
        return other_columns;
}

char *labels_format(const json_t *labels) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_free_ const char **keys = xcalloc(json_object_size(labels) + 1, sizeof(char *));
        const char *key;
        json_t *value;
        size_t n = 0;

        /* Sorted, as the maps of the API are; labels are few. */
        json_object_foreach((json_t *)labels, key, value) {
                size_t i = n++;
                for (; i > 0 && strcmp(keys[i - 1], key) > 0; i--)
                        keys[i] = keys[i - 1];
                keys[i] = key;
        }
        for (size_t i = 0; i < n; i++) {
                const char *text_value = json_string_value(json_object_get(labels, keys[i]));
                strbuf_addf(&text, "%s%s=%s", i ? "," : "", keys[i], text_value ? text_value : "");
        }
        return n ? strbuf_take(&text) : xstrdup(NONE);
}

/* "app.kubernetes.io/name" has the title NAME. */
static void add_label_title(struct table *table, const char *key) {
        const char *slash = strrchr(key, '/');
        char *title = xstrdup(slash ? slash + 1 : key);

        for (char *c = title; *c; c++)
                *c = toupper((unsigned char)*c);
        table_cell_take(table, title);
}

void columns_add_header(struct table *table, const struct column *columns, const struct columns_style *style) {
        table_row(table);
        if (style->with_namespace)
                table_cell(table, "NAMESPACE");
        for (const struct column *c = columns; c->title; c++)
                if (!c->wide || style->wide)
                        table_cell(table, c->title);
        for (size_t i = 0; style->label_columns && style->label_columns[i]; i++)
                add_label_title(table, style->label_columns[i]);
        if (style->with_labels)
                table_cell(table, "LABELS");
}

static void add_cell(struct table *table, const struct column *c, const struct columns_style *style,
                     const json_t *object, int64_t now) {
        if (c->text)
                table_cell_take(table, c->text(object, now));
        else if (style->name_prefix && streq(c->path, "metadata.name"))
                table_cellf(table, "%s/%s", style->name_prefix, object_name(object));
        else
                table_cell(table, field_text_or(object, c->path, c->wide ? NONE : ""));
}

void columns_add_row(struct table *table, const struct column *columns, const struct columns_style *style,
                     const json_t *object, int64_t now) {
        const json_t *labels = field_at(object, "metadata.labels");

        table_row(table);
        if (style->with_namespace)
                table_cell(table, object_namespace(object));
        for (const struct column *c = columns; c->title; c++)
                if (!c->wide || style->wide)
                        add_cell(table, c, style, object, now);
        for (size_t i = 0; style->label_columns && style->label_columns[i]; i++) {
                const char *value = json_string_value(json_object_get(labels, style->label_columns[i]));
                table_cell(table, value ? value : NONE);
        }
        if (style->with_labels)
                table_cell_take(table, labels_format(labels));
}
