#include "api/downward.h"

#include <limits.h>
#include <stdio.h>

#include "api/quantity.h"
#include "base/str.h"

static int compare_entries(const void *a, const void *b) {
        return strcmp((*(V1StringEntry *const *)a)->key, (*(V1StringEntry *const *)b)->key);
}

static bool is_printable(unsigned char c) {
        return c >= 0x20 && c != 0x7f;
}

/* As Go's %q: what a shell-like reader of the file can take back. Bytes above ASCII stay as they are (UTF-8). */
static void add_quoted(struct strbuf *b, const char *s) {
        static const char named[] = "\a\b\f\n\r\t\v", letters[] = "abfnrtv";

        strbuf_addc(b, '"');
        for (; *s; s++) {
                const char *name = strchr(named, *s);

                if (*s == '"' || *s == '\\')
                        strbuf_addf(b, "\\%c", *s);
                else if (name)
                        strbuf_addf(b, "\\%c", letters[name - named]);
                else if (!is_printable(*s))
                        strbuf_addf(b, "\\x%02x", (unsigned char)*s);
                else
                        strbuf_addc(b, *s);
        }
        strbuf_addc(b, '"');
}

/* All labels or annotations: sorted key="value" lines, no newline after the last. */
static char *format_map(V1StringEntry *const *entries, size_t n) {
        _cleanup_free_ V1StringEntry **sorted = n ? xmemdup(entries, n * sizeof(*entries)) : NULL;
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

        if (n)
                qsort(sorted, n, sizeof(*sorted), compare_entries);
        for (size_t i = 0; i < n; i++) {
                strbuf_addf(&b, "%s%s=", i ? "\n" : "", sorted[i]->key);
                add_quoted(&b, sorted[i]->value ? sorted[i]->value : "");
        }
        return strbuf_take(&b);
}

/* "metadata.labels['a/b']" with prefix "metadata.labels": the key, or NULL if the path is something else. */
static char *subscript(const char *path, const char *prefix) {
        size_t len = strlen(path), n = strlen(prefix);

        if (!str_starts_with(path, prefix) || len < n + 4 || path[n] != '[' || path[n + 1] != '\'' ||
            !str_ends_with(path, "']"))
                return NULL;
        return xstrndup(path + n + 2, len - n - 4);
}

static char *copy_or_empty(const char *s) {
        return xstrdup(s ? s : "");
}

static char *map_value(V1StringEntry *const *entries, size_t n, const char *key) {
        return copy_or_empty(api_map_get(entries, n, key));
}

/* Plain strings of the pod, by path; the offsets are into V1ObjectMeta and V1PodSpec. */
static const struct {
        const char *path;
        bool of_spec;
        size_t offset;
} string_fields[] = {
        { "metadata.name", false, offsetof(V1ObjectMeta, name) },
        { "metadata.namespace", false, offsetof(V1ObjectMeta, namespace_) },
        { "metadata.uid", false, offsetof(V1ObjectMeta, uid) },
        { "spec.nodeName", true, offsetof(V1PodSpec, nodename) },
        { "spec.serviceAccountName", true, offsetof(V1PodSpec, serviceaccountname) },
};

struct error *downward_field(const struct downward *d, const char *field_path, char **ret) {
        const V1ObjectMeta *meta = d->pod->metadata;
        _cleanup_free_ char *label = subscript(field_path, "metadata.labels");
        _cleanup_free_ char *annotation = subscript(field_path, "metadata.annotations");

        for (size_t i = 0; i < ARRAY_SIZE(string_fields); i++)
                if (streq(field_path, string_fields[i].path)) {
                        const char *base = string_fields[i].of_spec ? (const char *)d->pod->spec : (const char *)meta;

                        const char *value = *(char *const *)(base + string_fields[i].offset);

                        /* A pod that runs was bound to the node, also where its spec was not written anew for it. */
                        if (!value && d->node && streq(field_path, "spec.nodeName"))
                                value = d->node->metadata->name;
                        *ret = copy_or_empty(value);
                        return NULL;
                }
        if (label)
                *ret = map_value(meta->labels, meta->n_labels, label);
        else if (annotation)
                *ret = map_value(meta->annotations, meta->n_annotations, annotation);
        else if (streq(field_path, "metadata.labels"))
                *ret = format_map(meta->labels, meta->n_labels);
        else if (streq(field_path, "metadata.annotations"))
                *ret = format_map(meta->annotations, meta->n_annotations);
        else if (streq(field_path, "status.podIP"))
                *ret = copy_or_empty(d->pod_ips ? d->pod_ips[0] : NULL);
        else if (streq(field_path, "status.hostIP"))
                *ret = copy_or_empty(d->host_ips ? d->host_ips[0] : NULL);
        else if (streq(field_path, "status.podIPs"))
                *ret = strv_join(d->pod_ips, ",");
        else if (streq(field_path, "status.hostIPs"))
                *ret = strv_join(d->host_ips, ",");
        else
                return error_new(ERROR_INVALID, "unsupported fieldPath: %s", field_path);
        return NULL;
}

static const V1Container *find_container(const V1Pod *pod, const char *name) {
        for (size_t i = 0; i < pod->spec->n_containers; i++)
                if (streq_ptr(pod->spec->containers[i]->name, name))
                        return pod->spec->containers[i];
        for (size_t i = 0; i < pod->spec->n_initcontainers; i++)
                if (streq_ptr(pod->spec->initcontainers[i]->name, name))
                        return pod->spec->initcontainers[i];
        return NULL;
}

static const char *quantity_text(V1QuantityEntry *const *entries, size_t n, const char *name) {
        const V1Quantity *q = api_quantity_get(entries, n, name);

        return q ? q->string : NULL;
}

static bool is_zero(const char *text) {
        struct quantity q;

        return quantity_parse(text, &q, NULL) && quantity_sign(q) == 0;
}

static bool is_main_container(const V1Pod *pod, const V1Container *container) {
        for (size_t i = 0; i < pod->spec->n_containers; i++)
                if (pod->spec->containers[i] == container)
                        return true;
        return false;
}

/* A limit that the container does not set, or sets to 0, is the pod's (pod-level resources), else what the node can
 * allocate; but not where an environment names an init container (`fallback` is false): so a kubelet does it. */
static const char *limit_text(const struct downward *d, const V1Container *container, const char *resource,
                              bool fallback) {
        const V1ResourceRequirements *own = container->resources, *pod = d->pod->spec->resources;
        const char *text = own ? quantity_text(own->limits, own->n_limits, resource) : NULL;

        if (!fallback || (text && !is_zero(text)))
                return text;
        if (!streq(resource, "cpu") && !streq(resource, "memory") && !streq(resource, "ephemeral-storage"))
                return text;
        text = pod ? quantity_text(pod->limits, pod->n_limits, resource) : NULL;
        if (!text && d->node && d->node->status)
                text = quantity_text(d->node->status->allocatable, d->node->status->n_allocatable, resource);
        return text;
}

static bool is_known_resource(const char *name) {
        return streq(name, "cpu") || streq(name, "memory") || streq(name, "ephemeral-storage") ||
               str_starts_with(name, "hugepages-");
}

struct error *downward_resource(const struct downward *d, const V1Container *container,
                                const V1ResourceFieldSelector *selector, char **ret) {
        const char *resource = selector->resource ? selector->resource : "", *dot = strchr(resource, '.'), *text = NULL;
        struct quantity q = quantity_from_int(0, QUANTITY_DECIMAL_SI),
                        divisor = quantity_from_int(1, QUANTITY_DECIMAL_SI);
        bool fallback = true;

        if (!str_empty(selector->containername)) {
                bool for_volume = !container;

                container = find_container(d->pod, selector->containername);
                if (!container)
                        return error_new(ERROR_INVALID, "container %s not found", selector->containername);
                fallback = for_volume || is_main_container(d->pod, container);
        }
        if (!container)
                return error_new(ERROR_INVALID, "resourceFieldRef %s names no container", resource);
        if (!dot || !is_known_resource(dot + 1))
                return error_new(ERROR_INVALID, "Unsupported container resource : %s", resource);
        if (str_starts_with(resource, "limits."))
                text = limit_text(d, container, dot + 1, fallback);
        else if (str_starts_with(resource, "requests.")) {
                if (container->resources)
                        text = quantity_text(container->resources->requests, container->resources->n_requests, dot + 1);
        } else
                return error_new(ERROR_INVALID, "Unsupported container resource : %s", resource);

        if (text && !quantity_parse(text, &q, NULL))
                return error_new(ERROR_INVALID, "%s: %s is no quantity", resource, text);
        if (selector->divisor && selector->divisor->string &&
            !quantity_parse(selector->divisor->string, &divisor, NULL))
                return error_new(ERROR_INVALID, "divisor %s is no quantity", selector->divisor->string);
        *ret = xasprintf("%lld", (long long)quantity_divide_up(q, divisor));
        return NULL;
}
