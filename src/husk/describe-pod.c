/* describe-pod.c - everything about a pod, in kubectl's order and words. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/downward.h"
#include "base/str.h"
#include "husk/columns.h"
#include "husk/describe.h"

#define NONE "<none>"

static char *list_format(const json_t *list, const char *separator) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        json_t *item;
        size_t i;

        json_array_foreach(list, i, item)
                strbuf_addf(&text, "%s%s", i ? separator : "", json_is_string(item) ? json_string_value(item) : "");
        return strbuf_take(&text);
}

/* An int or a name, as ports are given. */
static char *int_or_string(const json_t *value) {
        if (json_is_integer(value))
                return xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return xstrdup(json_is_string(value) ? json_string_value(value) : "");
}

/* ---- the pod itself ---- */

static void describe_addresses(struct page *page, const json_t *pod) {
        const json_t *ips = field_at(pod, "status.podIPs");
        json_t *ip;
        size_t i;

        page_field(page, 0, "IP", field_text(pod, "status.podIP"));
        if (!json_array_size(ips)) {
                page_field(page, 0, "IPs", NONE);
                return;
        }
        page_heading(page, 0, "IPs");
        json_array_foreach(ips, i, ip) page_field(page, 1, "IP", field_text(ip, "ip"));
}

static void describe_status(struct page *page, const json_t *pod) {
        const char *deleted = field_text(pod, "metadata.deletionTimestamp");
        const char *node = field_text(pod, "spec.nodeName");

        page_fieldf(page, 0, "Priority", "%" PRId64, field_number(pod, "spec.priority", 0));
        if (field_text(pod, "spec.priorityClassName"))
                page_field(page, 0, "Priority Class Name", field_text(pod, "spec.priorityClassName"));
        if (field_text(pod, "spec.runtimeClassName"))
                page_field(page, 0, "Runtime Class Name", field_text(pod, "spec.runtimeClassName"));
        page_field(page, 0, "Service Account", field_text_or(pod, "spec.serviceAccountName", "default"));
        if (node)
                page_fieldf(page, 0, "Node", "%s/%s", node, field_text_or(pod, "status.hostIP", ""));
        else
                page_field(page, 0, "Node", NONE);
        if (field_text(pod, "status.startTime"))
                page_time(page, 0, "Start Time", field_text(pod, "status.startTime"));
        page_map(page, 0, "Labels", field_at(pod, "metadata.labels"), "=");
        page_map(page, 0, "Annotations", field_at(pod, "metadata.annotations"), ": ");
        if (deleted) {
                page_fieldf(page, 0, "Status", "Terminating (until %s)", deleted);
                page_fieldf(page, 0, "Termination Grace Period", "%" PRId64 "s",
                            field_number(pod, "metadata.deletionGracePeriodSeconds", 0));
        } else {
                page_field(page, 0, "Status", field_text_or(pod, "status.phase", "Pending"));
        }
        if (field_text(pod, "status.reason"))
                page_field(page, 0, "Reason", field_text(pod, "status.reason"));
        if (field_text(pod, "status.message"))
                page_field(page, 0, "Message", field_text(pod, "status.message"));
        if (field_text(pod, "spec.securityContext.seccompProfile.type")) {
                const json_t *seccomp = field_at(pod, "spec.securityContext.seccompProfile");
                page_field(page, 0, "SeccompProfile", field_text(seccomp, "type"));
                if (field_text(seccomp, "localhostProfile"))
                        page_field(page, 0, "LocalhostProfile", field_text(seccomp, "localhostProfile"));
        }
        describe_addresses(page, pod);
        if (field_text(pod, "status.nominatedNodeName"))
                page_field(page, 0, "NominatedNodeName", field_text(pod, "status.nominatedNodeName"));
}

/* ---- containers ---- */

static void describe_ports(struct page *page, const json_t *container) {
        const json_t *ports = field_at(container, "ports");
        _cleanup_strbuf_ struct strbuf inside = STRBUF_INIT, outside = STRBUF_INIT;
        json_t *port;
        size_t i;

        json_array_foreach(ports, i, port) {
                const char *protocol = field_text_or(port, "protocol", "TCP"), *name = field_text(port, "name");
                _cleanup_free_ char *called = name ? xasprintf(" (%s)", name) : xstrdup("");
                strbuf_addf(&inside, "%s%" PRId64 "/%s%s", i ? ", " : "", field_number(port, "containerPort", 0),
                            protocol, called);
                strbuf_addf(&outside, "%s%" PRId64 "/%s%s", i ? ", " : "", field_number(port, "hostPort", 0), protocol,
                            called);
        }
        bool several = json_array_size(ports) > 1, none = json_array_size(ports) == 0;
        page_field(page, 2, several ? "Ports" : "Port", none ? NONE : strbuf_str(&inside));
        page_field(page, 2, several ? "Host Ports" : "Host Port", none ? NONE : strbuf_str(&outside));
}

static void describe_words(struct page *page, const char *key, const json_t *words) {
        json_t *word;
        size_t i;

        if (!json_array_size(words))
                return;
        page_heading(page, 2, "%s", key);
        json_array_foreach(words, i, word) page_text(page, 3, json_is_string(word) ? json_string_value(word) : "");
}

static void describe_terminated(struct page *page, const json_t *terminated) {
        int64_t signal = field_number(terminated, "signal", 0);

        if (field_text(terminated, "reason"))
                page_field(page, 3, "Reason", field_text(terminated, "reason"));
        if (field_text(terminated, "message"))
                page_field(page, 3, "Message", field_text(terminated, "message"));
        page_fieldf(page, 3, "Exit Code", "%" PRId64, field_number(terminated, "exitCode", 0));
        if (signal)
                page_fieldf(page, 3, "Signal", "%" PRId64, signal);
        page_time(page, 3, "Started", field_text(terminated, "startedAt"));
        page_time(page, 3, "Finished", field_text(terminated, "finishedAt"));
}

static void describe_state(struct page *page, const char *key, const json_t *state) {
        const json_t *running = field_at(state, "running"), *waiting = field_at(state, "waiting");
        const json_t *terminated = field_at(state, "terminated");

        if (running) {
                page_field(page, 2, key, "Running");
                page_time(page, 3, "Started", field_text(running, "startedAt"));
        } else if (terminated) {
                page_field(page, 2, key, "Terminated");
                describe_terminated(page, terminated);
        } else {
                page_field(page, 2, key, "Waiting");
                if (field_text(waiting, "reason"))
                        page_field(page, 3, "Reason", field_text(waiting, "reason"));
                if (field_text(waiting, "message"))
                        page_field(page, 3, "Message", field_text(waiting, "message"));
        }
}

static void describe_resources(struct page *page, const char *title, const json_t *list) {
        const char *name;
        json_t *value;

        if (!json_object_size(list))
                return;
        page_heading(page, 2, "%s", title);
        json_object_foreach((json_t *)list, name, value)
                page_field(page, 3, name, json_is_string(value) ? json_string_value(value) : "");
}

static char *probe_action(const json_t *probe) {
        const json_t *http = field_at(probe, "httpGet"), *tcp = field_at(probe, "tcpSocket");
        const json_t *grpc = field_at(probe, "grpc");

        if (field_at(probe, "exec")) {
                _cleanup_free_ char *command = list_format(field_at(probe, "exec.command"), " ");
                return xasprintf("exec [%s]", command);
        }
        if (http) {
                _cleanup_free_ char *port = int_or_string(field_at(http, "port"));
                const char *scheme = field_text_or(http, "scheme", "HTTP");
                return xasprintf("http-get %s://%s:%s%s", streq(scheme, "HTTPS") ? "https" : "http",
                                 field_text_or(http, "host", ""), port, field_text_or(http, "path", ""));
        }
        if (tcp) {
                _cleanup_free_ char *port = int_or_string(field_at(tcp, "port"));
                return xasprintf("tcp-socket %s:%s", field_text_or(tcp, "host", ""), port);
        }
        if (grpc)
                return xasprintf("grpc <pod>:%" PRId64 " %s", field_number(grpc, "port", 0),
                                 field_text_or(grpc, "service", ""));
        return xstrdup("unknown");
}

static void describe_probe(struct page *page, const char *title, const json_t *probe) {
        if (!probe)
                return;
        _cleanup_free_ char *action = probe_action(probe);
        page_fieldf(page, 2, title,
                    "%s delay=%" PRId64 "s timeout=%" PRId64 "s period=%" PRId64 "s #success=%" PRId64
                    " #failure=%" PRId64,
                    action, field_number(probe, "initialDelaySeconds", 0), field_number(probe, "timeoutSeconds", 1),
                    field_number(probe, "periodSeconds", 10), field_number(probe, "successThreshold", 1),
                    field_number(probe, "failureThreshold", 3));
}

static void describe_env_from(struct page *page, const json_t *sources) {
        json_t *source;
        size_t i;

        if (!json_array_size(sources))
                return;
        page_heading(page, 2, "Environment Variables from");
        json_array_foreach(sources, i, source) {
                bool secret = field_at(source, "secretRef") != NULL;
                const json_t *ref = field_at(source, secret ? "secretRef" : "configMapRef");
                const char *prefix = field_text(source, "prefix");
                page_fieldf(page, 3, field_text_or(ref, "name", ""), "%s%s%s%s  Optional: %s",
                            secret ? "Secret" : "ConfigMap", prefix ? " with prefix '" : "", prefix ? prefix : "",
                            prefix ? "'" : "", field_is_true(ref, "optional") ? "true" : "false");
        }
}

/* "1 (limits.cpu)"; what a container does not say of itself is 0 here, as nothing is asked about its node. */
static char *resource_source(const json_t *pod, const json_t *container, const json_t *ref) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        struct downward downward = { .pod = api_decode(pod, &v1_pod__descriptor, arena, &diags) };
        const V1Container *own = api_decode(container, &v1_container__descriptor, arena, &diags);
        const V1ResourceFieldSelector *selector =
                api_decode(ref, &v1_resource_field_selector__descriptor, arena, &diags);
        _cleanup_free_ char *value = NULL;
        _cleanup_(error_freep) struct error *err = NULL;

        if (downward.pod && own && selector)
                err = downward_resource(&downward, own, selector, &value);
        return xasprintf("%s (%s)", err || !value ? "" : value, field_text_or(ref, "resource", ""));
}

/* Where a variable's value comes from, for one that is not written down. A secret is named, not shown. */
static char *env_source(const json_t *pod, const json_t *container, const json_t *from) {
        static const struct {
                const char *path, *text;
        } refs[] = { { "configMapKeyRef", "of config map" }, { "secretKeyRef", "in secret" } };

        for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
                const json_t *ref = field_at(from, refs[i].path);
                if (ref)
                        return xasprintf("<set to the key '%s' %s '%s'>  Optional: %s", field_text_or(ref, "key", ""),
                                         refs[i].text, field_text_or(ref, "name", ""),
                                         field_is_true(ref, "optional") ? "true" : "false");
        }
        if (field_at(from, "fieldRef"))
                return xasprintf("%s (%s:%s)", field_text_or(pod, field_text_or(from, "fieldRef.fieldPath", ""), ""),
                                 field_text_or(from, "fieldRef.apiVersion", "v1"),
                                 field_text_or(from, "fieldRef.fieldPath", ""));
        if (field_at(from, "resourceFieldRef"))
                return resource_source(pod, container, field_at(from, "resourceFieldRef"));
        return xstrdup("");
}

static void describe_env(struct page *page, const json_t *pod, const json_t *container) {
        const json_t *env = field_at(container, "env");
        json_t *variable;
        size_t i;

        if (!json_array_size(env)) {
                page_field(page, 2, "Environment", NONE);
                return;
        }
        page_heading(page, 2, "Environment");
        json_array_foreach(env, i, variable) {
                const json_t *from = field_at(variable, "valueFrom");
                _cleanup_free_ char *value =
                        from ? env_source(pod, container, from) : xstrdup(field_text_or(variable, "value", ""));
                page_field(page, 3, field_text_or(variable, "name", ""), value);
        }
}

static int compare_mounts(const void *a, const void *b) {
        return strcmp(field_text_or(*(json_t *const *)a, "mountPath", ""),
                      field_text_or(*(json_t *const *)b, "mountPath", ""));
}

static void describe_mounts(struct page *page, const json_t *mounts) {
        _cleanup_free_ json_t **sorted = xcalloc(json_array_size(mounts) + 1, sizeof(json_t *));
        size_t n = json_array_size(mounts);

        if (n == 0) {
                page_field(page, 2, "Mounts", NONE);
                return;
        }
        for (size_t i = 0; i < n; i++)
                sorted[i] = json_array_get(mounts, i);
        qsort(sorted, n, sizeof(json_t *), compare_mounts);
        page_heading(page, 2, "Mounts");
        for (size_t i = 0; i < n; i++) {
                const json_t *mount = sorted[i];
                const char *sub = field_text(mount, "subPath");
                _cleanup_free_ char *text =
                        xasprintf("%s from %s (%s%s%s%s)", field_text_or(mount, "mountPath", ""),
                                  field_text_or(mount, "name", ""), field_is_true(mount, "readOnly") ? "ro" : "rw",
                                  sub ? ",path=\"" : "", sub ? sub : "", sub ? "\"" : "");
                page_text(page, 3, text);
        }
}

static void describe_container(struct page *page, const json_t *pod, const json_t *container, const json_t *status) {
        page_heading(page, 1, "%s", field_text_or(container, "name", ""));
        page_field(page, 2, "Container ID", field_text(status, "containerID"));
        page_field(page, 2, "Image", field_text(container, "image"));
        page_field(page, 2, "Image ID", field_text(status, "imageID"));
        describe_ports(page, container);
        describe_words(page, "Command", field_at(container, "command"));
        describe_words(page, "Args", field_at(container, "args"));
        describe_state(page, "State", field_at(status, "state"));
        if (field_at(status, "lastState.terminated"))
                describe_state(page, "Last State", field_at(status, "lastState"));
        page_field(page, 2, "Ready", field_is_true(status, "ready") ? "True" : "False");
        page_fieldf(page, 2, "Restart Count", "%" PRId64, field_number(status, "restartCount", 0));
        describe_resources(page, "Limits", field_at(container, "resources.limits"));
        describe_resources(page, "Requests", field_at(container, "resources.requests"));
        describe_probe(page, "Liveness", field_at(container, "livenessProbe"));
        describe_probe(page, "Readiness", field_at(container, "readinessProbe"));
        describe_probe(page, "Startup", field_at(container, "startupProbe"));
        describe_env_from(page, field_at(container, "envFrom"));
        describe_env(page, pod, container);
        describe_mounts(page, field_at(container, "volumeMounts"));
}

static void describe_containers(struct page *page, const json_t *pod, const char *title, const char *spec,
                                const char *statuses) {
        json_t *container;
        size_t i;

        if (!json_array_size(field_at(pod, spec)))
                return;
        page_heading(page, 0, "%s", title);
        json_array_foreach(field_at(pod, spec), i, container) describe_container(
                page, pod, container, field_find(pod, statuses, "name", field_text_or(container, "name", "")));
}

/* ---- conditions and volumes ---- */

static void describe_conditions(struct page *page, const json_t *pod) {
        const json_t *conditions = field_at(pod, "status.conditions");
        json_t *condition;
        size_t i, width = strlen("Type");

        if (!json_array_size(conditions))
                return;
        page_heading(page, 0, "Conditions");
        json_array_foreach(conditions, i, condition) width = MAX(width, strlen(field_text_or(condition, "type", "")));
        _cleanup_free_ char *titles = xasprintf("%-*s  Status", (int)width, "Type");
        page_text(page, 1, titles);
        json_array_foreach(conditions, i, condition) {
                _cleanup_free_ char *line = xasprintf("%-*s  %s", (int)width, field_text_or(condition, "type", ""),
                                                      field_text_or(condition, "status", ""));
                page_text(page, 1, line);
        }
}

static void describe_volumes(struct page *page, const json_t *pod) {
        const json_t *volumes = field_at(pod, "spec.volumes");
        json_t *volume;
        size_t i;

        if (!json_array_size(volumes)) {
                page_field(page, 0, "Volumes", NONE);
                return;
        }
        page_heading(page, 0, "Volumes");
        json_array_foreach(volumes, i, volume) describe_volume(page, volume);
}

static char *toleration_format(const json_t *toleration) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        const char *value = field_text(toleration, "value"), *effect = field_text(toleration, "effect");
        int64_t seconds = field_number(toleration, "tolerationSeconds", -1);

        strbuf_adds(&text, field_text_or(toleration, "key", ""));
        if (value)
                strbuf_addf(&text, "=%s", value);
        if (effect)
                strbuf_addf(&text, ":%s", effect);
        if (streq(field_text_or(toleration, "operator", ""), "Exists") && !value)
                strbuf_adds(&text, text.len ? " op=Exists" : "op=Exists");
        if (seconds >= 0)
                strbuf_addf(&text, " for %" PRId64 "s", seconds);
        return strbuf_take(&text);
}

/* "zone:DoNotSchedule when max skew 1 is exceeded for selector app=web" */
static void describe_spread(struct page *page, const json_t *pod) {
        const json_t *constraints = field_at(pod, "spec.topologySpreadConstraints");
        json_t *c;
        size_t i;

        json_array_foreach(constraints, i, c) {
                _cleanup_free_ char *labels = labels_format(field_at(c, "labelSelector.matchLabels"));
                page_fieldf(page, 0, i ? "" : "Topology Spread Constraints",
                            "%s:%s when max skew %" PRId64 " is exceeded for selector %s",
                            field_text_or(c, "topologyKey", ""), field_text_or(c, "whenUnsatisfiable", ""),
                            field_number(c, "maxSkew", 1), labels);
        }
}

static void describe_readiness_gates(struct page *page, const json_t *pod) {
        const json_t *gates = field_at(pod, "spec.readinessGates");
        json_t *gate;
        size_t i, width = strlen("Type");

        if (!json_array_size(gates))
                return;
        page_heading(page, 0, "Readiness Gates");
        json_array_foreach(gates, i, gate) width = MAX(width, strlen(field_text_or(gate, "conditionType", "")));
        _cleanup_free_ char *titles = xasprintf("%-*s  Status", (int)width, "Type");
        page_text(page, 1, titles);
        json_array_foreach(gates, i, gate) {
                const char *type = field_text_or(gate, "conditionType", ""), *status = field_condition(pod, type);
                _cleanup_free_ char *line = xasprintf("%-*s  %s", (int)width, type, status ? status : NONE);
                page_text(page, 1, line);
        }
}

static void describe_scheduling(struct page *page, const json_t *pod) {
        const json_t *tolerations = field_at(pod, "spec.tolerations");
        json_t *toleration;
        size_t i;

        page_field(page, 0, "QoS Class", field_text_or(pod, "status.qosClass", NONE));
        page_map(page, 0, "Node-Selectors", field_at(pod, "spec.nodeSelector"), "=");
        if (!json_array_size(tolerations))
                page_field(page, 0, "Tolerations", NONE);
        json_array_foreach(tolerations, i, toleration) {
                _cleanup_free_ char *text = toleration_format(toleration);
                page_field(page, 0, i ? "" : "Tolerations", text);
        }
        describe_spread(page, pod);
}

void describe_pod(struct page *page, const json_t *pod) {
        page_field(page, 0, "Name", object_name(pod));
        page_field(page, 0, "Namespace", object_namespace(pod));
        describe_status(page, pod);
        describe_containers(page, pod, "Init Containers", "spec.initContainers", "status.initContainerStatuses");
        describe_containers(page, pod, "Containers", "spec.containers", "status.containerStatuses");
        describe_containers(page, pod, "Ephemeral Containers", "spec.ephemeralContainers",
                            "status.ephemeralContainerStatuses");
        describe_readiness_gates(page, pod);
        describe_conditions(page, pod);
        describe_volumes(page, pod);
        describe_scheduling(page, pod);
}
