/* debug.c - `husk debug`: a container with tools of its own beside those of a pod, in a copy of it, or on the node. */
#include <stdio.h>

#include "api/yaml.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "husk/container.h"
#include "husk/debug-pod.h"
#include "husk/delete.h"
#include "husk/selection.h"
#include "husk/session.h"
#include "husk/submit.h"
#include "husk/verbs.h"
#include "server/field.h"

#define CUSTOM_SIZE_MAX (1U << 20)
#define TARGET_TIMEOUT_NS (60 * NSEC_PER_SEC) /* the pod may just have been made */

static struct selection selection;
static struct debug_options options = { .profile = "general", .share_processes = -1, .keep_init_containers = true };
static const char *attach, *share_processes, *custom_file;
static char **env, **images;
static bool quiet, replace;

const struct flag debug_flags[] = {
        { "image", 0, FLAG_TEXT, &options.image, "IMAGE", NULL, "The image of the debugging container" },
        { "container", 'c', FLAG_TEXT, &options.container, "NAME", NULL,
          "Its name; with --copy-to also a container to change (default debugger-…)" },
        { "target", 0, FLAG_TEXT, &options.target, "CONTAINER", NULL, "See the processes of this container" },
        { "stdin", 'i', FLAG_BOOL, &options.use_stdin, NULL, NULL, "Keep standard input open and attach to it" },
        { "tty", 't', FLAG_BOOL, &options.use_tty, NULL, NULL, "Give the container a terminal" },
        { "attach", 0, FLAG_TEXT, &attach, "true|false", "true", "Attach when it runs (default: with -i)" },
        { "env", 0, FLAG_TEXTS, &env, "NAME=VALUE", NULL, "An environment variable" },
        { "arguments-only", 0, FLAG_BOOL, &options.as_arguments, NULL, NULL,
          "What follows -- is arguments, not the command" },
        { "image-pull-policy", 0, FLAG_TEXT, &options.pull_policy, "POLICY", NULL, "Always, IfNotPresent or Never" },
        { "profile", 0, FLAG_TEXT, &options.profile, "NAME", NULL,
          "Its rights: general, baseline, restricted, netadmin, sysadmin or legacy (default general)" },
        { "custom", 0, FLAG_TEXT, &custom_file, "FILE", NULL, "Fields of a container that are merged into it" },
        { "copy-to", 0, FLAG_TEXT, &options.copy_to, "NAME", NULL,
          "Leave the pod alone and debug a copy of this name" },
        { "set-image", 0, FLAG_WORDS, &images, "CONTAINER=IMAGE,…", NULL, "Images of the copy's containers; * is all" },
        { "share-processes", 0, FLAG_TEXT, &share_processes, "true|false", "true",
          "Do the copy's containers see each other's processes?" },
        { "replace", 0, FLAG_BOOL, &replace, NULL, NULL, "Delete the pod that is copied" },
        { "same-node", 0, FLAG_BOOL, &options.same_node, NULL, NULL, "Put the copy on the same node" },
        { "keep-labels", 0, FLAG_BOOL, &options.keep_labels, NULL, NULL, "The copy has the pod's labels" },
        { "keep-annotations", 0, FLAG_BOOL, &options.keep_annotations, NULL, NULL, "… its annotations" },
        { "keep-liveness", 0, FLAG_BOOL, &options.keep_liveness, NULL, NULL, "… its liveness probes" },
        { "keep-readiness", 0, FLAG_BOOL, &options.keep_readiness, NULL, NULL, "… its readiness probes" },
        { "keep-startup", 0, FLAG_BOOL, &options.keep_startup, NULL, NULL, "… its startup probes" },
        { "keep-init-containers", 0, FLAG_BOOL, &options.keep_init_containers, NULL, NULL, "… its init containers" },
        { "filename", 'f', FLAG_TEXTS, &selection.filenames, "FILE|DIR|-", NULL,
          "Debug the pods that this file names" },
        { "quiet", 'q', FLAG_BOOL, &quiet, NULL, NULL, "Print only what the container prints" },
        { 0 },
};

static bool wants_attach(void) {
        return attach ? streq(attach, "true") : options.use_stdin;
}

static struct error *attach_if_wanted(struct cli *cli, const json_t *pod, const char *container) {
        const struct attach_options how = { .use_stdin = options.use_stdin,
                                            .use_tty = options.use_tty,
                                            .quiet = quiet };

        if (!wants_attach() || !container)
                return NULL;
        return session_run(cli, pod, container, -1, &how);
}

/* ---- the three ways ---- */

static struct error *add_container(json_t *pod, void *arg) {
        return debug_add_ephemeral(arg, pod);
}

static struct error *debug_in_pod(struct cli *cli, const json_t *pod) {
        _cleanup_free_ char *made_up = options.container ? NULL : debug_container_name(pod);
        struct debug_options own = options;
        _cleanup_json_ json_t *result = NULL;
        struct error *err;

        if (made_up) {
                own.container = made_up;
                if (!quiet)
                        fprintf(stderr, "Defaulting debug container name to %s.\n", made_up);
        }
        if (own.target && !container_spec(pod, own.target))
                return error_new(ERROR_BAD_REQUEST, "pod %s has no container %s to target", object_name(pod),
                                 own.target);
        if (own.target) {
                _cleanup_json_ json_t *started = NULL;
                err = session_wait(cli, pod, own.target, TARGET_TIMEOUT_NS, &started);
                if (err)
                        return err;
        }
        err = submit_modify(cli, api_kind_of("Pod"), object_namespace(pod), object_name(pod), "ephemeralcontainers",
                            false, add_container, &own, &result, NULL);
        return err ? err : attach_if_wanted(cli, result, own.container);
}

static struct error *create_pod(struct cli *cli, const json_t *pod, const char *ns, json_t **ret) {
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        const struct api_kind *pods = api_kind_of("Pod");
        struct error *err;

        submit_check_new(pods, pod, ns, &diags, ret);
        err = submit_mistakes(pods, object_name(pod), &diags);
        return err ? err : submit_create(cli, pods, *ret);
}

static struct error *debug_in_copy(struct cli *cli, const json_t *pod) {
        const struct delete_options at_once = { .grace = 0, .wait = true };
        _cleanup_json_ json_t *copy = NULL, *created = NULL;
        const char *container;
        struct error *err = debug_copy(&options, pod, &copy, &container);

        if (!err && container && !options.container && !quiet)
                fprintf(stderr, "Defaulting debug container name to %s.\n", container);
        if (!err)
                err = create_pod(cli, copy, object_namespace(pod), &created);
        if (!err && replace)
                err = delete_object(cli, api_kind_of("Pod"), pod, &at_once);
        return err ? err : attach_if_wanted(cli, created, container);
}

static struct error *debug_on_node(struct cli *cli, const json_t *node) {
        _cleanup_json_ json_t *pod = NULL, *created = NULL;
        const char *container = options.container ? options.container : "debugger";
        struct error *err = debug_node(&options, node, &pod);

        if (!err)
                err = create_pod(cli, pod, cli_namespace(cli), &created);
        if (err)
                return err;
        if (!quiet)
                fprintf(stderr, "Creating debugging pod %s with container %s on node %s.\n", object_name(created),
                        container, object_name(node));
        return attach_if_wanted(cli, created, container);
}

static struct error *debug_one(struct cli *cli, const json_t *object) {
        const char *kind = field_text_or(object, "kind", "");

        if (streq(kind, "Node"))
                return debug_on_node(cli, object);
        if (!streq(kind, "Pod"))
                return usage_error("%s/%s cannot be debugged: pods and the node can", kind, object_name(object));
        return options.copy_to ? debug_in_copy(cli, object) : debug_in_pod(cli, object);
}

/* ---- the verb ---- */

static struct error *check_bool(const char *flag, const char *text) {
        if (!text || streq(text, "true") || streq(text, "false"))
                return NULL;
        return usage_error("invalid argument \"%s\" for \"--%s\" flag: must be true or false", text, flag);
}

static struct error *check_copy_flags(void) {
        if (options.copy_to) {
                if (options.target)
                        return usage_error("--target is incompatible with --copy-to. Use --share-processes instead.");
                if (!options.image && !options.images && !options.command[0])
                        return usage_error("you must specify --image, --set-image or command arguments.");
                if (options.command[0] && !options.container && !options.image)
                        return usage_error(
                                "you must specify an existing container or a new image when specifying args.");
                return NULL;
        }
        if (replace)
                return usage_error("--replace may only be used with --copy-to.");
        if (options.same_node)
                return usage_error("--same-node may only be used with --copy-to.");
        if (options.images)
                return usage_error("--set-image may only be used with --copy-to.");
        if (!options.image)
                return usage_error("you must specify --image when not using --copy-to.");
        return NULL;
}

static struct error *check_flags(void) {
        struct error *err = check_bool("attach", attach);

        if (!err)
                err = check_bool("share-processes", share_processes);
        if (!err)
                err = check_copy_flags();
        if (err)
                return err;
        if (!debug_profile_is_known(options.profile))
                return usage_error(
                        "unknown profile: %s; expected general, baseline, restricted, netadmin, sysadmin or legacy",
                        options.profile);
        if (options.use_tty && !options.use_stdin)
                return usage_error("-i/--stdin is required for containers with -t/--tty=true");
        return NULL;
}

static struct error *read_custom(json_t **ret) {
        _cleanup_free_ char *text = NULL;
        struct error *err;
        size_t len;

        if (!custom_file)
                return NULL;
        err = file_read(custom_file, CUSTOM_SIZE_MAX, &text, &len);
        if (!err)
                err = yaml_parse(text, len, ret, NULL);
        if (!err && !json_is_object(*ret))
                err = usage_error("no container");
        return err ? error_context(err, "--custom %s", custom_file) : NULL;
}

struct error *debug_run(struct cli *cli, struct arguments *arguments) {
        size_t n_names = arguments->dash >= 0 ? (size_t)arguments->dash : arguments->n_words, i;
        _cleanup_requests_ struct requests requests = REQUESTS_INIT;
        _cleanup_json_ json_t *custom = NULL;
        struct error *err;
        json_t *object;

        options.command = arguments->words + n_names;
        options.stdin_ends = options.use_stdin && !isatty(STDIN_FILENO);
        options.env = env;
        options.images = images;
        if (share_processes)
                options.share_processes = streq(share_processes, "true");
        if (n_names == 0 && !selection.filenames)
                return usage_error("NAME or filename is required for debug");
        err = check_flags();
        if (!err)
                err = read_custom(&custom);
        options.custom = custom;
        if (!err)
                err = selection_parse(cli, &selection, arguments->words, n_names, api_kind_of("Pod"), &requests);
        if (err)
                return err;
        _cleanup_json_ json_t *objects = requests_load(cli, &requests, &selection);
        json_array_foreach(objects, i, object) cli_report(cli, debug_one(cli, object));
        return NULL;
}
