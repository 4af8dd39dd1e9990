#include "api/validate-walk.h"

#include <inttypes.h>

#include "api/resources.h"

#define RESTART_RULES_MAX 20
#define EXIT_CODES_MAX 255

static const char *const protocols[] = { "SCTP", "TCP", "UDP", NULL };
static const char *const pull_policies[] = { "Always", "IfNotPresent", "Never", NULL };
static const char *const message_policies[] = { "File", "FallbackToLogsOnError", NULL };
static const char *const propagations[] = { "Bidirectional", "HostToContainer", "None", NULL };
static const char *const recursive_read_only[] = { "Disabled", "Enabled", "IfPossible", NULL };
static const char *const resizable[] = { "cpu", "memory", NULL };
static const char *const resize_policies[] = { "NotRequired", "RestartContainer", NULL };
static const char *const restart_policies[] = { "Always", "Never", "OnFailure", NULL };
static const char *const restart_actions[] = { "Restart", "RestartAllContainers", NULL };
static const char *const exit_code_operators[] = { "In", "NotIn", NULL };

/* An ephemeral container looks into a pod; it is no part of what the pod does. */
static const char *const ephemeral_fields[] = {
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "envFrom",
        "env",
        "volumeMounts",
        "volumeDevices",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        NULL,
};

static void validate_ports(const struct pod_walk *walk, const V1Container *c, path_t path) {
        for (size_t i = 0; i < c->n_ports; i++) {
                const V1ContainerPort *port = c->ports[i];
                path_t at = INDEX(path, i);
                size_t before = walk->diags->n;

                if (!str_empty(port->name)) {
                        validate_text(walk->diags, port->name, text_check_port_name, CHILD(at, "name"));
                        for (size_t j = 0; j < i && walk->diags->n == before; j++)
                                if (streq_ptr(c->ports[j]->name, port->name))
                                        fault_duplicate(walk->diags, CHILD(at, "name"), port->name);
                }
                if (port->containerport == 0)
                        fault_required(walk->diags, CHILD(at, "containerPort"), NULL);
                else
                        validate_port(walk->diags, port->containerport, CHILD(at, "containerPort"));
                if (port->hostport != 0)
                        validate_port(walk->diags, port->hostport, CHILD(at, "hostPort"));
                validate_required_word(walk->diags, port->protocol, protocols, CHILD(at, "protocol"));
        }
}

static bool same_host_port(const V1ContainerPort *a, const V1ContainerPort *b) {
        return a->hostport == b->hostport && streq(text_or_empty(a->protocol), text_or_empty(b->protocol)) &&
               streq(text_or_empty(a->hostip), text_or_empty(b->hostip));
}

static bool host_port_taken(const V1Container *c, size_t n_ports, const V1ContainerPort *port) {
        for (size_t i = 0; i < n_ports; i++)
                if (same_host_port(c->ports[i], port))
                        return true;
        return false;
}

/* Two containers that run at the same time cannot have the same port of the host. `containers` run together. */
static void validate_host_ports(struct diagnostics *diags, V1Container *const *containers, size_t n, path_t path) {
        for (size_t i = 0; i < n; i++)
                for (size_t p = 0; p < containers[i]->n_ports; p++) {
                        const V1ContainerPort *port = containers[i]->ports[p];
                        bool taken = port->hostport != 0 && host_port_taken(containers[i], p, port);

                        for (size_t j = 0; port->hostport != 0 && j < i && !taken; j++)
                                taken = host_port_taken(containers[j], containers[j]->n_ports, port);
                        if (taken) {
                                _cleanup_free_ char *shown = xasprintf("%s/%s/%" PRId32, text_or_empty(port->protocol),
                                                                       text_or_empty(port->hostip), port->hostport);

                                fault_duplicate(diags, CHILD(INDEX(CHILD(INDEX(path, i), "ports"), p), "hostPort"),
                                                shown);
                        }
                }
}

static bool device_named(const V1Container *c, const char *name) {
        for (size_t i = 0; i < c->n_volumedevices; i++)
                if (streq_ptr(c->volumedevices[i]->name, name))
                        return true;
        return false;
}

static bool device_at(const V1Container *c, const char *path) {
        for (size_t i = 0; i < c->n_volumedevices; i++)
                if (streq_ptr(c->volumedevices[i]->devicepath, path))
                        return true;
        return false;
}

static bool mount_named(const V1Container *c, const char *name) {
        for (size_t i = 0; i < c->n_volumemounts; i++)
                if (streq_ptr(c->volumemounts[i]->name, name))
                        return true;
        return false;
}

static bool mount_at(const V1Container *c, size_t before, const char *path) {
        for (size_t i = 0; i < before; i++)
                if (streq(text_or_empty(c->volumemounts[i]->mountpath), text_or_empty(path)))
                        return true;
        return false;
}

static bool is_privileged(const V1Container *c) {
        return c->securitycontext && c->securitycontext->has_privileged && c->securitycontext->privileged;
}

static void validate_propagation(const struct pod_walk *walk, const V1Container *c, const V1VolumeMount *mount,
                                 path_t path) {
        if (!mount->mountpropagation)
                return;
        validate_word(walk->diags, mount->mountpropagation, propagations, path);
        if (streq(mount->mountpropagation, "Bidirectional") && !is_privileged(c))
                fault_forbidden(walk->diags, path,
                                "Bidirectional mount propagation is available only to privileged containers");
}

static void validate_recursive_read_only(const struct pod_walk *walk, const V1VolumeMount *mount, path_t path) {
        const char *mode = mount->recursivereadonly;

        if (!mode || streq(mode, "Disabled"))
                return;
        if (!words_contain(recursive_read_only, mode)) {
                validate_word(walk->diags, mode, recursive_read_only, path);
                return;
        }
        if (!mount->readonly)
                fault_forbidden(walk->diags, path, "may only be specified when readOnly is true");
        if (mount->mountpropagation && !streq(mount->mountpropagation, "None"))
                fault_forbidden(walk->diags, path,
                                "may only be specified when mountPropagation is None or not specified");
}

/* subPath, subPathExpr, mountPropagation and recursiveReadOnly are reported below the list, without an index, as in
 * Kubernetes. */
static void validate_mount(const struct pod_walk *walk, const V1Container *c, size_t i, path_t list) {
        const V1VolumeMount *mount = c->volumemounts[i];
        struct diagnostics *diags = walk->diags;
        path_t at = INDEX(list, i);

        if (str_empty(mount->name))
                fault_required(diags, CHILD(at, "name"), NULL);
        if (!pod_walk_volume(walk, mount->name))
                fault_not_found(diags, CHILD(at, "name"), mount->name);
        if (str_empty(mount->mountpath))
                fault_required(diags, CHILD(at, "mountPath"), NULL);
        if (mount_at(c, i, mount->mountpath))
                fault_invalid(diags, CHILD(at, "mountPath"), mount->mountpath, "must be unique");
        if (device_named(c, mount->name))
                fault_invalid(diags, CHILD(at, "name"), mount->name, "must not already exist in volumeDevices");
        if (device_at(c, mount->mountpath))
                fault_invalid(diags, CHILD(at, "mountPath"), mount->mountpath,
                              "must not already exist as a path in volumeDevices");
        validate_descending_path(diags, text_or_empty(mount->subpath), CHILD(list, "subPath"));
        if (!str_empty(mount->subpathexpr) && !str_empty(mount->subpath))
                fault_invalid(diags, CHILD(at, "subPathExpr"), mount->subpathexpr,
                              "subPathExpr and subPath are mutually exclusive");
        validate_descending_path(diags, text_or_empty(mount->subpathexpr), CHILD(list, "subPathExpr"));
        validate_propagation(walk, c, mount, CHILD(list, "mountPropagation"));
        validate_recursive_read_only(walk, mount, CHILD(list, "recursiveReadOnly"));
}

static void validate_device(const struct pod_walk *walk, const V1Container *c, size_t i, path_t path) {
        const V1VolumeDevice *device = c->volumedevices[i];
        const V1Volume *volume = pod_walk_volume(walk, device->name);
        struct diagnostics *diags = walk->diags;
        bool same_name = false, same_path = false;

        for (size_t j = 0; j < i; j++) {
                same_name =
                        same_name || (!str_empty(device->name) && streq_ptr(c->volumedevices[j]->name, device->name));
                same_path = same_path ||
                            streq(text_or_empty(c->volumedevices[j]->devicepath), text_or_empty(device->devicepath));
        }
        if (str_empty(device->name))
                fault_required(diags, CHILD(path, "name"), NULL);
        if (same_name)
                fault_invalid(diags, CHILD(path, "name"), device->name, "must be unique");
        if (!volume)
                fault_not_found(diags, CHILD(path, "name"), device->name);
        else if (!volume->volumesource->persistentvolumeclaim && !volume->volumesource->ephemeral)
                fault_invalid(diags, CHILD(path, "name"), device->name,
                              "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
        if (str_empty(device->devicepath))
                fault_required(diags, CHILD(path, "devicePath"), NULL);
        if (same_path)
                fault_invalid(diags, CHILD(path, "devicePath"), device->devicepath, "must be unique");
        if (text_has_backstep(text_or_empty(device->devicepath)))
                fault_invalid(diags, CHILD(path, "devicePath"), device->devicepath, "can not contain backsteps ('..')");
        if (mount_named(c, device->name))
                fault_invalid(diags, CHILD(path, "name"), device->name, "must not already exist in volumeMounts");
        if (!str_empty(device->devicepath) && mount_at(c, c->n_volumemounts, device->devicepath))
                fault_invalid(diags, CHILD(path, "devicePath"), device->devicepath,
                              "must not already exist as a path in volumeMounts");
}

static void validate_resize_policy(const struct pod_walk *walk, const V1Container *c, path_t path) {
        bool never = streq_ptr(walk->spec->restartpolicy, "Never");

        for (size_t i = 0; i < c->n_resizepolicy; i++) {
                const V1ContainerResizePolicy *policy = c->resizepolicy[i];

                for (size_t j = 0; j < i; j++)
                        if (streq(text_or_empty(c->resizepolicy[j]->resourcename),
                                  text_or_empty(policy->resourcename))) {
                                fault_duplicate(walk->diags, INDEX(path, i), policy->resourcename);
                                break;
                        }
                validate_required_word(walk->diags, policy->resourcename, resizable, path);
                validate_required_word(walk->diags, policy->restartpolicy, resize_policies, path);
                if (never && !streq_ptr(policy->restartpolicy, "NotRequired"))
                        fault_invalid(walk->diags, path, policy->restartpolicy,
                                      "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
}

/* What every kind of container has to fulfil. */
static void validate_common(const struct pod_walk *walk, const V1Container *c, path_t path) {
        struct diagnostics *diags = walk->diags;
        size_t image_len = strlen(text_or_empty(c->image));

        validate_name(diags, c->name, text_check_dns_label, CHILD(path, "name"));
        if (image_len == 0)
                fault_required(diags, CHILD(path, "image"), NULL);
        else if (strchr(" \t\n\v\f\r", c->image[0]) || strchr(" \t\n\v\f\r", c->image[image_len - 1]))
                fault_invalid(diags, CHILD(path, "image"), c->image, "must not have leading or trailing whitespace");
        validate_required_word(diags, c->terminationmessagepolicy, message_policies,
                               CHILD(path, "terminationMessagePolicy"));
        validate_ports(walk, c, CHILD(path, "ports"));
        validate_env(walk, c, path);
        for (size_t i = 0; i < c->n_volumemounts; i++)
                validate_mount(walk, c, i, CHILD(path, "volumeMounts"));
        for (size_t i = 0; i < c->n_volumedevices; i++)
                validate_device(walk, c, i, INDEX(CHILD(path, "volumeDevices"), i));
        validate_required_word(diags, c->imagepullpolicy, pull_policies, CHILD(path, "imagePullPolicy"));
        validate_requirements(walk, c->resources, RESOURCES_OF_CONTAINER, CHILD(path, "resources"));
        validate_resize_policy(walk, c, CHILD(path, "resizePolicy"));
        validate_container_security(walk, c->securitycontext, CHILD(path, "securityContext"));
}

static void validate_restart_rule(struct diagnostics *diags, const V1ContainerRestartRule *rule, path_t path) {
        const V1ContainerRestartRuleOnExitCodes *codes = rule->exitcodes;

        validate_word(diags, rule->action, restart_actions, CHILD(path, "action"));
        if (!codes) {
                fault_required(diags, CHILD(path, "exitCodes"), "must be specified");
                return;
        }
        validate_word(diags, codes->operator_, exit_code_operators, CHILD(CHILD(path, "exitCodes"), "operator"));
        if (codes->n_values > EXIT_CODES_MAX)
                fault_too_many(diags, CHILD(CHILD(path, "exitCodes"), "values"), codes->n_values, EXIT_CODES_MAX);
}

/* A container's own restart policy and the exceptions to it (KEP-5307). */
static void validate_restart(struct diagnostics *diags, const V1Container *c, path_t path) {
        if (c->restartpolicy)
                validate_word(diags, c->restartpolicy, restart_policies, CHILD(path, "restartPolicy"));
        else if (c->n_restartpolicyrules > 0)
                fault_required(diags, CHILD(path, "restartPolicy"),
                               "must specify restartPolicy when restart rules are used");
        if (c->n_restartpolicyrules > RESTART_RULES_MAX)
                fault_too_many(diags, CHILD(path, "restartPolicyRules"), c->n_restartpolicyrules, RESTART_RULES_MAX);
        for (size_t i = 0; i < c->n_restartpolicyrules; i++)
                validate_restart_rule(diags, c->restartpolicyrules[i], INDEX(CHILD(path, "restartPolicyRules"), i));
}

/* Hooks and probes belong to what runs for long. */
static void validate_long_running(const struct pod_walk *walk, const V1Container *c, path_t path) {
        validate_lifecycle(walk, c->lifecycle, CHILD(path, "lifecycle"));
        validate_liveness_probe(walk, c->livenessprobe, CHILD(path, "livenessProbe"));
        validate_readiness_probe(walk, c->readinessprobe, CHILD(path, "readinessProbe"));
        validate_liveness_probe(walk, c->startupprobe, CHILD(path, "startupProbe"));
}

static void forbid_long_running(struct diagnostics *diags, const V1Container *c, path_t path) {
        static const char sentence[] = "may not be set for init containers without restartPolicy=Always";

        if (c->lifecycle)
                fault_forbidden(diags, CHILD(path, "lifecycle"), sentence);
        if (c->livenessprobe)
                fault_forbidden(diags, CHILD(path, "livenessProbe"), sentence);
        if (c->readinessprobe)
                fault_forbidden(diags, CHILD(path, "readinessProbe"), sentence);
        if (c->startupprobe)
                fault_forbidden(diags, CHILD(path, "startupProbe"), sentence);
}

static bool main_named(const V1PodSpec *spec, size_t before, const char *name) {
        for (size_t i = 0; i < before; i++)
                if (streq(text_or_empty(spec->containers[i]->name), text_or_empty(name)))
                        return true;
        return false;
}

static bool init_named(const V1PodSpec *spec, size_t before, const char *name) {
        for (size_t i = 0; i < before; i++)
                if (streq(text_or_empty(spec->initcontainers[i]->name), text_or_empty(name)))
                        return true;
        return false;
}

static void validate_main(const struct pod_walk *walk, path_t path) {
        const V1PodSpec *spec = walk->spec;

        if (spec->n_containers == 0)
                fault_required(walk->diags, path, NULL);
        for (size_t i = 0; i < spec->n_containers; i++) {
                const V1Container *c = spec->containers[i];
                path_t at = INDEX(path, i);

                validate_common(walk, c, at);
                if (main_named(spec, i, c->name))
                        fault_duplicate(walk->diags, CHILD(at, "name"), c->name);
                validate_long_running(walk, c, at);
                validate_restart(walk->diags, c, at);
                validate_file_key_volumes(walk, c, at);
        }
        validate_host_ports(walk->diags, spec->containers, spec->n_containers, path);
}

static void validate_init(const struct pod_walk *walk, path_t path) {
        const V1PodSpec *spec = walk->spec;

        for (size_t i = 0; i < spec->n_initcontainers; i++) {
                V1Container *c = spec->initcontainers[i];
                path_t at = INDEX(path, i);

                validate_common(walk, c, at);
                validate_restart(walk->diags, c, at);
                if (main_named(spec, spec->n_containers, c->name) ||
                    (!str_empty(c->name) && init_named(spec, i, c->name)))
                        fault_duplicate(walk->diags, CHILD(at, "name"), c->name);
                /* They run one after the other: each on its own may use any port. */
                validate_host_ports(walk->diags, &c, 1, path);
                if (api_container_is_sidecar(c))
                        validate_long_running(walk, c, at);
                else
                        forbid_long_running(walk->diags, c, at);
                validate_file_key_volumes(walk, c, at);
        }
}

static bool ephemeral_named(const V1PodSpec *spec, size_t before, const char *name) {
        for (size_t i = 0; i < before; i++) {
                const V1EphemeralContainerCommon *c = spec->ephemeralcontainers[i]->ephemeralcontainercommon;

                if (c && streq(text_or_empty(c->name), text_or_empty(name)))
                        return true;
        }
        return false;
}

static void validate_ephemeral(const struct pod_walk *walk, size_t i, path_t path) {
        const V1PodSpec *spec = walk->spec;
        const V1EphemeralContainer *ephemeral = spec->ephemeralcontainers[i];
        V1Container c = container_of_ephemeral(ephemeral);
        const char *target = ephemeral->targetcontainername;

        validate_common(walk, &c, path);
        if (main_named(spec, spec->n_containers, c.name) || init_named(spec, spec->n_initcontainers, c.name) ||
            ephemeral_named(spec, i, c.name))
                fault_duplicate(walk->diags, CHILD(path, "name"), c.name);
        if (!str_empty(target) && !main_named(spec, spec->n_containers, target) &&
            !init_named(spec, spec->n_initcontainers, target))
                fault_not_found(walk->diags, CHILD(path, "targetContainerName"), target);
        validate_only_fields(walk->diags, &c.base, ephemeral_fields, "cannot be set for an Ephemeral Container", path);
        for (size_t m = 0; m < c.n_volumemounts; m++) {
                path_t at = INDEX(CHILD(path, "volumeMounts"), m);

                if (!str_empty(c.volumemounts[m]->subpath))
                        fault_forbidden(walk->diags, CHILD(at, "subPath"), "cannot be set for an Ephemeral Container");
                if (!str_empty(c.volumemounts[m]->subpathexpr))
                        fault_forbidden(walk->diags, CHILD(at, "subPathExpr"),
                                        "cannot be set for an Ephemeral Container");
        }
}

void validate_containers(const struct pod_walk *walk, path_t spec_path) {
        validate_main(walk, CHILD(spec_path, "containers"));
        validate_init(walk, CHILD(spec_path, "initContainers"));
        for (size_t i = 0; i < walk->spec->n_ephemeralcontainers; i++)
                validate_ephemeral(walk, i, INDEX(CHILD(spec_path, "ephemeralContainers"), i));
}
