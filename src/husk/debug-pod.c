#include "husk/debug-pod.h"

#include <sys/random.h>

#include "api/patch.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/flag.h"
#include "server/field.h"

#define SUFFIX_LEN 5

/* ---- profiles ---- */

/* Where a debugging container goes. */
enum place { PLACE_POD, PLACE_COPY, PLACE_NODE, PLACE_MAX };

struct profile {
        const char *name;
        bool fresh_security; /* begins with an empty securityContext */
        bool restricted;     /* no root, no capabilities, no gaining of rights, the runtime's seccomp profile */
        bool privileged;
        const char *capabilities[PLACE_MAX]; /* added, separated by commas; NULL: none */
        bool host_namespaces, host_files;    /* on a node */
        bool shares_processes;               /* in a copy */
};

static const struct profile profiles[] = {
        { .name = "general",
          .capabilities = { [PLACE_POD] = "SYS_PTRACE", [PLACE_COPY] = "SYS_PTRACE" },
          .host_namespaces = true,
          .host_files = true,
          .shares_processes = true },
        { .name = "baseline", .fresh_security = true, .shares_processes = true },
        { .name = "restricted", .fresh_security = true, .restricted = true, .shares_processes = true },
        { .name = "netadmin",
          .capabilities = { "NET_ADMIN,NET_RAW", "NET_ADMIN,NET_RAW", "NET_ADMIN,NET_RAW" },
          .host_namespaces = true,
          .shares_processes = true },
        { .name = "sysadmin",
          .privileged = true,
          .host_namespaces = true,
          .host_files = true,
          .shares_processes = true },
        { .name = "legacy", .host_namespaces = true, .host_files = true },
};

static const struct profile *profile_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(profiles); i++)
                if (streq_ptr(profiles[i].name, name))
                        return &profiles[i];
        return &profiles[0];
}

bool debug_profile_is_known(const char *profile) {
        return streq(profile_find(profile)->name, profile);
}

static void profile_apply(const struct profile *p, enum place place, json_t *container) {
        json_t *security = p->fresh_security ? NULL : json_object_get(container, "securityContext");

        security = security ? json_incref(security) : json_object();
        if (p->restricted) {
                json_object_set_new(security, "runAsNonRoot", json_true());
                json_object_set_new(security, "allowPrivilegeEscalation", json_false());
                json_object_set_new(security, "capabilities", json_pack("{s:[s]}", "drop", "ALL"));
                json_object_set_new(security, "seccompProfile", json_pack("{s:s}", "type", "RuntimeDefault"));
        }
        if (p->privileged)
                json_object_set_new(security, "privileged", json_true());
        if (p->capabilities[place]) {
                json_t *capabilities = field_make_object(security, "capabilities");
                _cleanup_strv_ char **names = strv_split(p->capabilities[place], ',');
                json_t *list = json_object_get(capabilities, "add");
                if (!list) {
                        list = json_array();
                        json_object_set_new(capabilities, "add", list);
                }
                for (size_t i = 0; names[i]; i++)
                        json_array_append_new(list, json_string(names[i]));
        }
        if (json_object_size(security))
                json_object_set(container, "securityContext", security);
        else
                json_object_del(container, "securityContext");
        json_decref(security);
}

/* ---- the container ---- */

static void append_suffix(struct strbuf *b) {
        static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
        unsigned char bytes[SUFFIX_LEN] = { 0 };

        if (getrandom(bytes, sizeof(bytes), 0) < 0)
                bytes[0] = (unsigned char)b->len;
        for (size_t i = 0; i < sizeof(bytes); i++)
                strbuf_addc(b, letters[bytes[i] % (sizeof(letters) - 1)]);
}

char *debug_container_name(const json_t *pod) {
        for (;;) {
                struct strbuf name = STRBUF_INIT;
                strbuf_adds(&name, "debugger-");
                append_suffix(&name);
                char *text = strbuf_take(&name);
                if (!container_spec(pod, text))
                        return text;
                free(text);
        }
}

static json_t *word_list(char *const *words) {
        json_t *list = json_array();

        for (size_t i = 0; words && words[i]; i++)
                json_array_append_new(list, json_string(words[i]));
        return list;
}

static struct error *set_environment(json_t *container, char *const *env) {
        json_t *list = json_array();

        json_object_set_new(container, "env", list);
        for (size_t i = 0; env[i]; i++) {
                const char *equals = strchr(env[i], '=');
                if (!equals || equals == env[i])
                        return usage_error("invalid env: %s, expected NAME=VALUE", env[i]);
                _cleanup_free_ char *name = xstrndup(env[i], equals - env[i]);
                json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "value", equals + 1));
        }
        return NULL;
}

/* What the flags say of a container, new or one of a copy. */
static struct error *set_container(const struct debug_options *o, json_t *container) {
        if (o->command[0]) {
                json_object_set_new(container, o->as_arguments ? "args" : "command", word_list(o->command));
                if (!o->as_arguments)
                        json_object_del(container, "args");
        }
        if (o->image)
                json_object_set_new(container, "image", json_string(o->image));
        if (o->pull_policy)
                json_object_set_new(container, "imagePullPolicy", json_string(o->pull_policy));
        json_object_set_new(container, "stdin", json_boolean(o->use_stdin));
        json_object_set_new(container, "tty", json_boolean(o->use_tty));
        return o->env ? set_environment(container, o->env) : NULL;
}

/* Without stdinOnce a program that reads to the end of a pipe would wait for ever. */
static void set_stdin_once(const struct debug_options *o, json_t *container) {
        if (o->stdin_ends)
                json_object_set_new(container, "stdinOnce", json_true());
}

/* --custom: what may not be in it is what makes this container this container. */
static struct error *merge_custom(const struct debug_options *o, json_t *container) {
        static const char *const fixed[] = { "name", "command", "image", "lifecycle", "volumeDevices" };
        _cleanup_json_ json_t *merged = NULL;
        struct error *err;

        if (!o->custom)
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
                if (json_object_get(o->custom, fixed[i]))
                        return usage_error("--custom may not set \"%s\"", fixed[i]);
        err = patch_strategic(api_type_named("V1Container"), container, o->custom, &merged);
        if (err)
                return error_context(err, "--custom");
        json_object_clear(container);
        json_object_update(container, merged);
        return NULL;
}

/* ---- in the pod ---- */

struct error *debug_add_ephemeral(const struct debug_options *o, json_t *pod) {
        json_t *spec = field_make_object(pod, "spec"), *list = json_object_get(spec, "ephemeralContainers");
        _cleanup_json_ json_t *container =
                json_pack("{s:s, s:s}", "name", o->container, "terminationMessagePolicy", "File");
        struct error *err = set_container(o, container);

        set_stdin_once(o, container);
        if (o->target)
                json_object_set_new(container, "targetContainerName", json_string(o->target));
        profile_apply(profile_find(o->profile), PLACE_POD, container);
        if (!err)
                err = merge_custom(o, container);
        if (err)
                return err;
        if (!list) {
                list = json_array();
                json_object_set_new(spec, "ephemeralContainers", list);
        }
        json_array_append(list, container);
        return NULL;
}

/* ---- in a copy ---- */

static void remove_probes(const struct debug_options *o, json_t *containers) {
        json_t *container;
        size_t i;

        json_array_foreach(containers, i, container) {
                if (!o->keep_liveness)
                        json_object_del(container, "livenessProbe");
                if (!o->keep_readiness)
                        json_object_del(container, "readinessProbe");
                if (!o->keep_startup)
                        json_object_del(container, "startupProbe");
        }
}

/* CONTAINER=IMAGE, "*" for those that no other names. */
static struct error *set_images(json_t *pod, char *const *images) {
        json_t *container;
        size_t c;

        for (size_t i = 0; images && images[i]; i++)
                if (!strchr(images[i], '='))
                        return usage_error("--set-image: expected CONTAINER=IMAGE, not %s", images[i]);
        json_array_foreach(field_at(pod, "spec.containers"), c, container) {
                const char *name = field_text_or(container, "name", ""), *image = NULL;
                size_t len = strlen(name);
                for (size_t i = 0; images && images[i]; i++) {
                        const char *equals = strchr(images[i], '=');
                        bool named = (size_t)(equals - images[i]) == len && strncmp(images[i], name, len) == 0;
                        if (named || (str_starts_with(images[i], "*=") && !image))
                                image = equals + 1;
                        if (named)
                                break;
                }
                if (image)
                        json_object_set_new(container, "image", json_string(image));
        }
        return NULL;
}

/* The same spec under another name, without what the original has become since. */
static json_t *copy_bare(const struct debug_options *o, const json_t *pod, bool share) {
        json_t *copy = json_pack("{s:s, s:s, s:{s:s, s:s}, s:o}", "apiVersion", "v1", "kind", "Pod", "metadata", "name",
                                 o->copy_to, "namespace", object_namespace(pod), "spec",
                                 json_deep_copy(json_object_get(pod, "spec")));
        json_t *spec = json_object_get(copy, "spec"), *metadata = json_object_get(copy, "metadata");
        json_t *labels = field_at(pod, "metadata.labels");
        _cleanup_json_ json_t *annotations = json_deep_copy(field_at(pod, "metadata.annotations"));

        json_object_del(annotations, LAST_APPLIED_ANNOTATION);
        if (o->keep_labels && labels)
                json_object_set_new(metadata, "labels", json_deep_copy(labels));
        if (o->keep_annotations && annotations)
                json_object_set(metadata, "annotations", annotations);
        json_object_del(spec, "ephemeralContainers");
        if (!o->same_node)
                json_object_del(spec, "nodeName");
        if (!o->keep_init_containers)
                json_object_del(spec, "initContainers");
        remove_probes(o, json_object_get(spec, "containers"));
        remove_probes(o, json_object_get(spec, "initContainers"));
        if (o->share_processes >= 0)
                json_object_set_new(spec, "shareProcessNamespace", json_boolean(o->share_processes));
        else if (share && !json_object_get(spec, "shareProcessNamespace") &&
                 !json_is_true(json_object_get(spec, "hostPID")))
                json_object_set_new(spec, "shareProcessNamespace", json_true());
        return copy;
}

struct error *debug_copy(const struct debug_options *o, const json_t *pod, json_t **ret, const char **ret_container) {
        const struct profile *profile = profile_find(o->profile);
        _cleanup_json_ json_t *copy = copy_bare(o, pod, profile->shares_processes);
        json_t *containers = field_at(copy, "spec.containers");
        json_t *container = o->container ? container_spec(copy, o->container) : NULL;
        struct error *err = set_images(copy, o->images);

        *ret_container = NULL;
        if (!err && !container && !o->image && o->images) { /* other images are all that was asked for */
                *ret = TAKE_PTR(copy);
                return NULL;
        }
        if (!err && !container && !o->image)
                err = usage_error("you must specify image when creating new container");
        if (err)
                return err;
        if (!container) {
                _cleanup_free_ char *made_up = o->container ? NULL : debug_container_name(copy);
                container = json_pack("{s:s, s:s}", "name", o->container ? o->container : made_up,
                                      "terminationMessagePolicy", "FallbackToLogsOnError");
                json_array_append_new(containers, container);
        }
        err = set_container(o, container);
        profile_apply(profile, PLACE_COPY, container);
        if (!err)
                err = merge_custom(o, container);
        if (err)
                return err;
        *ret_container = field_text(container, "name");
        *ret = TAKE_PTR(copy);
        return NULL;
}

/* ---- on the node ---- */

struct error *debug_node(const struct debug_options *o, const json_t *node, json_t **ret) {
        const struct profile *profile = profile_find(o->profile);
        _cleanup_strbuf_ struct strbuf name = STRBUF_INIT;

        strbuf_addf(&name, "node-debugger-%s-", object_name(node));
        append_suffix(&name);
        _cleanup_json_ json_t *pod =
                json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:s, s:s, s:[{s:s, s:s}], s:[{s:s}]}}", "apiVersion", "v1",
                          "kind", "Pod", "metadata", "name", strbuf_str(&name), "labels",
                          "app.kubernetes.io/managed-by", "husk-debug", "spec", "nodeName", object_name(node),
                          "restartPolicy", "Never", "containers", "name", o->container ? o->container : "debugger",
                          "terminationMessagePolicy", "File", "tolerations", "operator", "Exists");
        json_t *spec = json_object_get(pod, "spec");
        json_t *container = json_array_get(json_object_get(spec, "containers"), 0);
        struct error *err = set_container(o, container);

        set_stdin_once(o, container);
        if (profile->host_files) {
                json_object_set_new(spec, "volumes",
                                    json_pack("[{s:s, s:{s:s}}]", "name", "host-root", "hostPath", "path", "/"));
                json_object_set_new(container, "volumeMounts",
                                    json_pack("[{s:s, s:s}]", "name", "host-root", "mountPath", "/host"));
        }
        if (profile->host_namespaces) {
                json_object_set_new(spec, "hostNetwork", json_true());
                json_object_set_new(spec, "hostPID", json_true());
                json_object_set_new(spec, "hostIPC", json_true());
        }
        profile_apply(profile, PLACE_NODE, container);
        if (!err)
                err = merge_custom(o, container);
        if (err)
                return err;
        *ret = TAKE_PTR(pod);
        return NULL;
}
