/* run.c - `husk run`: a pod of one container, made from the command line. */
#include <stdio.h>

#include "api/patch.h"
#include "api/yaml.h"
#include "base/clock.h"
#include "base/str.h"
#include "husk/delete.h"
#include "husk/output.h"
#include "husk/selection.h"
#include "husk/session.h"
#include "husk/submit.h"
#include "husk/verbs.h"
#include "server/field.h"

static const char *image, *port, *restart, *output_text, *template_text, *dry_run_text, *cascade_text;
static const char *pull_policy, *labels, *overrides, *override_type = "merge";
static struct delete_options removal = DELETE_OPTIONS_INIT;
static char **env, **annotations;
static bool use_stdin, use_tty, attach, remove_after, as_command, privileged, quiet, leave_open, force;
static int64_t running_timeout_ns = 60 * NSEC_PER_SEC;

const struct flag run_flags[] = {
        { "image", 0, FLAG_TEXT, &image, "IMAGE", NULL, "The image of the container" },
        { "command", 0, FLAG_BOOL, &as_command, NULL, NULL, "What follows is the command, not its arguments" },
        { "env", 0, FLAG_TEXTS, &env, "NAME=VALUE", NULL, "An environment variable" },
        { "port", 0, FLAG_TEXT, &port, "PORT", NULL, "The port the container serves" },
        { "labels", 'l', FLAG_TEXT, &labels, "KEY=VALUE,…", NULL, "Labels of the pod (default run=NAME)" },
        { "annotations", 0, FLAG_TEXTS, &annotations, "KEY=VALUE", NULL, "An annotation of the pod" },
        { "restart", 0, FLAG_TEXT, &restart, "POLICY", NULL, "Always, OnFailure or Never (default Always)" },
        { "image-pull-policy", 0, FLAG_TEXT, &pull_policy, "POLICY", NULL, "Always, IfNotPresent or Never" },
        { "privileged", 0, FLAG_BOOL, &privileged, NULL, NULL, "Run the container privileged" },
        { "overrides", 0, FLAG_TEXT, &overrides, "JSON", NULL, "Fields that are merged into the Pod" },
        { "override-type", 0, FLAG_TEXT, &override_type, "merge|strategic|json", NULL,
          "How: lists replaced (merge, the default), merged by their keys, or a JSON patch" },
        { "stdin", 'i', FLAG_BOOL, &use_stdin, NULL, NULL, "Keep standard input open and attach to it" },
        { "tty", 't', FLAG_BOOL, &use_tty, NULL, NULL, "Give the container a terminal" },
        { "attach", 0, FLAG_BOOL, &attach, NULL, NULL, "Wait until the pod runs and attach to it" },
        { "leave-stdin-open", 0, FLAG_BOOL, &leave_open, NULL, NULL,
          "Keep standard input open after the first attach" },
        { "rm", 0, FLAG_BOOL, &remove_after, NULL, NULL, "Delete the pod when it has ended; needs -i or --attach" },
        { "quiet", 'q', FLAG_BOOL, &quiet, NULL, NULL, "Print only what the container prints" },
        { "pod-running-timeout", 0, FLAG_DURATION, &running_timeout_ns, NULL, NULL,
          "Longest time to wait until it runs" },
        FLAG_DRY_RUN(dry_run_text),
        FLAG_OUTPUT(output_text),
        FLAG_TEMPLATE(template_text),
        FLAG_MISSING_KEYS,
        FLAG_MANAGED_FIELDS,
        FLAG_FIELD_MANAGER,
        { "grace-period", 0, FLAG_NUMBER, &removal.grace, "SECONDS", NULL, "With --rm: time the pod gets to end" },
        { "timeout", 0, FLAG_DURATION, &removal.timeout_ns, NULL, NULL,
          "With --rm: how long to wait for its end (0: for ever)" },
        { "force", 0, FLAG_BOOL, &force, NULL, NULL, "With --rm: kill it at once, without any grace" },
        { "expose", 0, FLAG_REFUSED, NULL, NULL, NULL,
          "there are no Services on one machine; see `husk port-forward`" },
        { "filename", 'f', FLAG_REFUSED, NULL, "FILE", NULL, "`husk apply -f` runs what a file describes" },
        { "kustomize", 'k', FLAG_REFUSED, NULL, "DIR", NULL, "`husk apply -f` runs what a file describes" },
        { "recursive", 'R', FLAG_REFUSED, NULL, NULL, NULL, "`husk apply -f` runs what a file describes" },
        { "save-config", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "a later apply merges without it" },
        { "wait", 0, FLAG_ACCEPTED, NULL, NULL, NULL, "--rm always waits" },
        FLAG_CASCADE(cascade_text),
        { 0 },
};

/* ---- the Pod ---- */

static struct error *add_pairs(json_t *map, char *const *pairs, const char *what) {
        for (size_t i = 0; pairs && pairs[i]; i++) {
                char *equals = strchr(pairs[i], '=');
                if (!equals || equals == pairs[i])
                        return usage_error("invalid %s: %s, expected KEY=VALUE", what, pairs[i]);
                _cleanup_free_ char *key = xstrndup(pairs[i], equals - pairs[i]);
                json_object_set_new(map, key, json_string(equals + 1));
        }
        return NULL;
}

static struct error *make_metadata(const char *name, json_t *metadata) {
        json_t *map = field_make_object(metadata, "labels");
        _cleanup_strv_ char **pairs = labels ? strv_split(labels, ',') : NULL;

        json_object_set_new(metadata, "name", json_string(name));
        if (!labels)
                json_object_set_new(map, "run", json_string(name));
        struct error *err = add_pairs(map, pairs, "label");
        if (!err && annotations)
                err = add_pairs(field_make_object(metadata, "annotations"), annotations, "annotation");
        return err;
}

static struct error *add_environment(json_t *container) {
        json_t *list = json_array();

        json_object_set_new(container, "env", list);
        for (size_t i = 0; env[i]; i++) {
                char *equals = strchr(env[i], '=');
                if (!equals || equals == env[i])
                        return usage_error("invalid env: %s, expected NAME=VALUE", env[i]);
                _cleanup_free_ char *key = xstrndup(env[i], equals - env[i]);
                json_array_append_new(list, json_pack("{s:s, s:s}", "name", key, "value", equals + 1));
        }
        return NULL;
}

static struct error *make_container(const char *name, char *const *words, json_t *container) {
        uint64_t number;
        struct error *err = NULL;

        json_object_set_new(container, "name", json_string(name));
        json_object_set_new(container, "image", json_string(image));
        if (words[0]) {
                json_t *list = json_array();
                for (size_t i = 0; words[i]; i++)
                        json_array_append_new(list, json_string(words[i]));
                json_object_set_new(container, as_command ? "command" : "args", list);
        }
        if (env)
                err = add_environment(container);
        if (port) {
                if (!str_to_u64(port, &number) || number > 65535)
                        return usage_error("invalid port: %s", port);
                json_object_set_new(container, "ports", json_pack("[{s:I}]", "containerPort", (json_int_t)number));
        }
        if (pull_policy)
                json_object_set_new(container, "imagePullPolicy", json_string(pull_policy));
        if (privileged)
                json_object_set_new(container, "securityContext", json_pack("{s:b}", "privileged", 1));
        if (use_stdin) {
                json_object_set_new(container, "stdin", json_true());
                if (!leave_open)
                        json_object_set_new(container, "stdinOnce", json_true());
        }
        if (use_tty)
                json_object_set_new(container, "tty", json_true());
        return err;
}

static struct error *merge_overrides(json_t *pod) {
        _cleanup_json_ json_t *patch = NULL, *merged = NULL;
        struct error *err = yaml_parse(overrides, strlen(overrides), &patch, NULL);

        if (err)
                return error_context(err, "--overrides");
        if (streq(override_type, "json"))
                err = patch_json(pod, patch, &merged);
        else if (!json_is_object(patch))
                err = usage_error("an object is expected");
        else if (streq(override_type, "merge"))
                merged = patch_merge(pod, patch);
        else if (streq(override_type, "strategic"))
                err = patch_strategic(api_type_named("V1Pod"), pod, patch, &merged);
        else
                return usage_error("invalid override type: %s; expected json, merge or strategic", override_type);
        if (!err && !json_is_object(merged))
                err = usage_error("nothing is left of the pod");
        if (err)
                return error_context(err, "--overrides");
        json_object_clear(pod);
        json_object_update(pod, merged);
        return NULL;
}

static struct error *make_pod(const char *name, char *const *words, json_t **ret) {
        _cleanup_json_ json_t *pod = json_pack("{s:s, s:s, s:{}, s:{s:[{}]}}", "apiVersion", "v1", "kind", "Pod",
                                               "metadata", "spec", "containers");
        json_t *spec = json_object_get(pod, "spec");
        struct error *err;

        err = make_metadata(name, json_object_get(pod, "metadata"));
        if (!err)
                err = make_container(name, words, json_array_get(json_object_get(spec, "containers"), 0));
        if (restart)
                json_object_set_new(spec, "restartPolicy", json_string(restart));
        if (!err && overrides)
                err = merge_overrides(pod);
        if (err)
                return err;
        *ret = TAKE_PTR(pod);
        return NULL;
}

struct error *run_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_output_ struct output output = OUTPUT_INIT;
        _cleanup_json_ json_t *pod = NULL, *checked = NULL;
        const struct api_kind *pods = api_kind_of("Pod");
        enum dry_run dry_run;
        struct error *err;

        attach = attach || use_stdin;
        if (arguments->n_words == 0)
                return usage_error("NAME is required for run");
        if (!image)
                return usage_error("required flag(s) \"image\" not set");
        if (remove_after && !attach)
                return usage_error("--rm should only be used for attached containers");
        if (use_tty && !use_stdin)
                return usage_error("-i/--stdin is required for containers with -t/--tty=true");
        err = cascade_parse(cascade_text, &removal.cascade);
        if (!err)
                err = dry_run_parse(dry_run_text, &dry_run);
        if (!err)
                err = output_parse(output_text, template_text, &output);
        if (!err)
                err = make_pod(arguments->words[0], arguments->words + 1, &pod);
        if (err)
                return err;
        submit_check_new(pods, pod, cli_namespace(cli), &diags, &checked);
        err = submit_mistakes(pods, arguments->words[0], &diags);
        if (!err && dry_run == DRY_RUN_NONE)
                err = submit_create(cli, pods, checked);
        else if (!err && dry_run == DRY_RUN_SERVER)
                err = submit_create_dry(cli, pods, checked);
        if (err)
                return err;
        _cleanup_free_ char *action = xasprintf("created%s", dry_run_suffix(dry_run));
        if (!attach || dry_run != DRY_RUN_NONE)
                return output_result(&output, dry_run == DRY_RUN_CLIENT ? pod : checked, action);
        const struct attach_options options = { .use_stdin = use_stdin, .use_tty = use_tty, .quiet = quiet };
        const char *container = field_text_or(json_array_get(field_at(checked, "spec.containers"), 0), "name", "");
        err = session_run(cli, checked, container, running_timeout_ns, &options);
        if (remove_after) {
                if (force && removal.grace < 0)
                        removal.grace = 0;
                struct error *problem = delete_object(cli, pods, checked, &removal);
                if (!problem && !quiet)
                        fprintf(stderr, "pod \"%s\" deleted from %s namespace\n", object_name(checked),
                                object_namespace(checked));
                cli_report(cli, problem);
        }
        return err;
}
