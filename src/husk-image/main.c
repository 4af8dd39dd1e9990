/* husk-image - fetches, verifies, unpacks and keeps images.
 *
 *     husk-image [--root DIR] [--run DIR] pull REFERENCE
 *     husk-image [--root DIR] [--run DIR] load FILE|FOLDER|-
 *     …and ls, inspect, history, tag, rm, prune, save, df, verify: see `husk-image --help`
 *
 * Results go to standard output: tables for people, JSON with -o json. What went wrong goes to standard error in one
 * line, which husk-pod puts into a pod's status and events as it is. The exit status says of which kind it was:
 *
 *      0  done
 *      1  failed in a way that has no number of its own
 *      2  wrong usage
 *      3  not found: no such image, tag or platform in the registry; no such image or file here
 *      4  unauthorized: the registry wants credentials, or others
 *      5  unavailable: registry down, name not resolved, TLS failed, timed out, too many requests. Try again later
 *      6  bad reference: it cannot be the name of an image (Kubernetes' InvalidImageName)
 *      7  corrupt: wrong digest, truncated or malformed archive, hostile layer
 *      8  no space: the disk is full, or a limit on size or entries was reached
 *      9  not supported: more than 500 layers, unknown compression, manifest of schema 1
 *     10  in use: a pod uses the image that shall go
 *
 * They are enum image_exit of image/image.h. */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/str.h"
#include "husk-image/options.h"
#include "image/image.h"
#include "image/layout.h"

static const struct verb {
        const char *name, *arguments, *help, *example;
        size_t min, max; /* number of arguments */
        verb_function run;
} verbs[] = {
        { "pull", "REFERENCE", "fetch an image from its registry", "husk-image pull docker.io/library/redis:7", 1, 1,
          verb_pull },
        { "load", "FILE|FOLDER|-", "take images from an OCI or docker archive, an OCI layout, or standard input",
          "docker save app:1 | husk-image load -", 1, 1, verb_load },
        { "ls", "[NAME]", "list the images that are here", "husk-image ls -o json", 0, 1, verb_ls },
        { "inspect", "IMAGE...", "show all that is known of an image, as JSON", "husk-image inspect redis:7", 1,
          SIZE_MAX, verb_inspect },
        { "history", "IMAGE", "show what made each layer of an image", "husk-image history redis:7", 1, 1,
          verb_history },
        { "tag", "IMAGE REFERENCE", "give an image another name", "husk-image tag redis:7 localhost/cache:1", 2, 2,
          verb_tag },
        { "rm", "IMAGE...", "remove names, and images that have none left", "husk-image rm redis:7", 1, SIZE_MAX,
          verb_rm },
        { "prune", "", "remove images without a name (--all: all that no pod uses) and what is left over",
          "husk-image prune --all", 0, 0, verb_prune },
        { "gc", "", "remove images that no pod uses if the disk is as full as the node's configuration says",
          "husk-image gc", 0, 0, verb_gc },
        { "save", "IMAGE...", "write images into an OCI archive that docker, podman and containerd read too",
          "husk-image save --output redis.tar redis:7", 1, SIZE_MAX, verb_save },
        { "df", "", "show what images take on the disk", "husk-image df", 0, 0, verb_df },
        { "verify", "[IMAGE...]", "check every byte of images against their digests (--repair: put right what is not)",
          "husk-image verify --repair", 0, SIZE_MAX, verb_verify },
};

enum flag_kind { FLAG_BOOL, FLAG_TEXT, FLAG_LIST, FLAG_NUMBER, FLAG_SIZE, FLAG_OUTPUT, FLAG_PROGRESS };

#define AT(field) offsetof(struct options, field)
static const struct flag {
        const char *name;
        enum flag_kind kind;
        size_t at;
        const char *value, *help;
} flags[] = {
        { "--root", FLAG_TEXT, AT(root), "DIR", "where images are kept (HUSK_ROOT, /var/lib/husk)" },
        { "--run", FLAG_TEXT, AT(run), "DIR", "run-time folder of the same node (HUSK_RUN, /run/husk)" },
        { "-o", FLAG_OUTPUT, AT(json), "table|json", "form of the result" },
        { "--quiet", FLAG_BOOL, AT(quiet), NULL, "names or ids only" },
        { "--credentials-file", FLAG_LIST, AT(credentials), "FILE",
          "like ~/.docker/config.json; may be given more than once" },
        { "--no-default-credentials", FLAG_BOOL, AT(no_default_credentials), NULL,
          "use no credentials but those files" },
        { "--insecure", FLAG_LIST, AT(insecure), "HOST[:PORT]",
          "registry that may speak HTTP or show any certificate (loopback ones may)" },
        { "--ca-file", FLAG_TEXT, AT(ca_file), "FILE", "certificates to trust besides the machine's" },
        { "--certs-dir", FLAG_LIST, AT(certs), "DIR",
          "folder like /etc/containers/certs.d, asked before it: certificates and hosts.toml of registries" },
        { "--platform", FLAG_TEXT, AT(platform), "OS/ARCH[/VARIANT]", "instead of this machine's" },
        { "--parallel", FLAG_NUMBER, AT(parallel), "N", "layers to download at a time (6)" },
        { "--retries", FLAG_NUMBER, AT(retries), "N", "further tries after a passing failure (5)" },
        { "--timeout", FLAG_NUMBER, AT(timeout), "SECONDS",
          "give up a registry that is silent so long (10 to connect, 30 later)" },
        { "--end-with", FLAG_NUMBER, AT(end_with), "PID",
          "end, as if interrupted, when this process, the parent, ends" },
        { "--for-pod", FLAG_BOOL, AT(for_pod), NULL,
          "pull: note with which pod's Secret it was got, as other pods may not use it without one" },
        { "--progress", FLAG_PROGRESS, AT(progress), "auto|none|bars|lines",
          "what to show meanwhile, on standard error" },
        { "--max-layer-size", FLAG_SIZE, AT(limits.size), "SIZE", "refuse a layer that unpacks to more (64G)" },
        { "--max-layer-entries", FLAG_NUMBER, AT(limits.entries), "N", "refuse a layer of more files (4000000)" },
        { "--max-size", FLAG_SIZE, AT(max_size), "SIZE", "load: refuse an archive larger than that (256G)" },
        { "--keep-free", FLAG_SIZE, AT(limits.keep_free), "SIZE", "stop when less would stay free on the disk (256M)" },
        { "--name", FLAG_TEXT, AT(name), "REFERENCE", "load: name of an image that has none in the archive" },
        { "--output", FLAG_TEXT, AT(output), "FILE", "save: write there, not to standard output" },
        { "--all", FLAG_BOOL, AT(all), NULL, "prune: also images that have a name" },
        { "--force", FLAG_BOOL, AT(force), NULL, "rm: although a pod uses it" },
        { "--pin", FLAG_BOOL, AT(pin), NULL, "pull, load, tag: prune never takes it" },
        { "--unpin", FLAG_BOOL, AT(unpin), NULL, "tag: prune and garbage collection may take it again" },
        { "--repair", FLAG_BOOL, AT(repair), NULL,
          "verify: unpack damaged layers anew, remove what cannot be repaired" },
        { "--no-trunc", FLAG_BOOL, AT(no_trunc), NULL, "whole ids and commands in tables" },
};

/* What the user calls this program: "husk image" if husk started it. */
static const char *program = "husk-image";

/* An example line, for the name the program was called by. */
static void print_example(FILE *to, const char *line) {
        const char *name = strstr(line, "husk-image");

        fprintf(to, "  %.*s%s%s\n", (int)(name - line), line, program, name + strlen("husk-image"));
}

static void print_help(FILE *to) {
        fprintf(to, "Fetches, verifies, unpacks and keeps images.\n\nUsage:\n  %s VERB [flags]\n\nVerbs:\n", program);
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                fprintf(to, "  %-8s %-16s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
        fprintf(to, "\nFlags:\n");
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
                char left[64];
                snprintf(left, sizeof(left), "%s%s%s", flags[i].name, flags[i].value ? " " : "",
                         flags[i].value ? flags[i].value : "");
                fprintf(to, "  %-34s %s\n", left, flags[i].help);
        }
        fprintf(to, "\nExit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 unauthorized, 5 unavailable (try "
                    "again later),\n"
                    "6 bad reference, 7 corrupt, 8 no space, 9 not supported, 10 in use.\n\nExamples:\n");
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                print_example(to, verbs[i].example);
}

/* "64G", "512Mi", "1000" */
static bool parse_size(const char *text, uint64_t *ret) {
        static const char units[] = "kMGT";
        size_t digits = strspn(text, "0123456789");
        _cleanup_free_ char *number = xstrndup(text, digits);
        const char *unit = text + digits;

        if (!str_to_u64(number, ret))
                return false;
        if (!*unit)
                return true;
        const char *found = strchr(units, *unit == 'K' ? 'k' : *unit);
        if (!found || !(unit[1] == '\0' || streq(unit + 1, "i") || streq(unit + 1, "B") || streq(unit + 1, "iB")))
                return false;
        for (const char *p = units; p <= found; p++)
                if (__builtin_mul_overflow(*ret, 1024, ret))
                        return false;
        return true;
}

static struct error *usage(const char *format, const char *what) {
        return error_new(ERROR_INVALID, format, what);
}

static struct error *set_flag(const struct flag *flag, const char *value, struct options *o) {
        static const char *const modes[] = {
                [PROGRESS_AUTO] = "auto", [PROGRESS_NONE] = "none", [PROGRESS_BARS] = "bars", [PROGRESS_LINES] = "lines"
        };
        void *at = (char *)o + flag->at;

        switch (flag->kind) {
        case FLAG_BOOL:
                *(bool *)at = true;
                return NULL;
        case FLAG_TEXT:
                *(const char **)at = value;
                return NULL;
        case FLAG_LIST:
                *(char ***)at = strv_add(*(char ***)at, value);
                return NULL;
        case FLAG_NUMBER:
                o->has_retries = o->has_retries || streq(flag->name, "--retries");
                return str_to_u64(value, at) && *(uint64_t *)at <= INT32_MAX ? NULL
                                                                             : usage("\"%s\" is not a number", value);
        case FLAG_SIZE:
                return parse_size(value, at) ? NULL : usage("\"%s\" is not a size like 512M or 64G", value);
        case FLAG_OUTPUT:
                *(bool *)at = streq(value, "json");
                return streq(value, "json") || streq(value, "table") ? NULL
                                                                     : usage("-o %s: it is table or json", value);
        case FLAG_PROGRESS:
                for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
                        if (streq(value, modes[i])) {
                                *(enum progress_mode *)at = i;
                                return NULL;
                        }
                return usage("--progress %s: it is auto, none, bars or lines", value);
        }
        return NULL;
}

static const struct flag *find_flag(const char *argument, const char **ret_value) {
        static const char *const aliases[][2] = {
                { "-q", "--quiet" }, { "-a", "--all" }, { "-f", "--force" }, { "--out", "-o" }
        };
        size_t n = strcspn(argument, "=");

        for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
                if (streq(argument, aliases[i][0])) {
                        argument = aliases[i][1];
                        n = strlen(argument);
                }
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
                if (strlen(flags[i].name) == n && !memcmp(flags[i].name, argument, n)) {
                        *ret_value = argument[n] == '=' ? argument + n + 1 : NULL;
                        return &flags[i];
                }
        return NULL;
}

static struct error *parse_arguments(int argc, char **argv, struct options *o) {
        bool only_arguments = false;

        for (int i = 1; i < argc; i++) {
                const char *value, *argument = argv[i];
                if (only_arguments || argument[0] != '-' || streq(argument, "-")) {
                        o->arguments = strv_add(o->arguments, argument);
                        continue;
                }
                if (streq(argument, "--")) {
                        only_arguments = true;
                        continue;
                }
                const struct flag *flag = find_flag(argument, &value);
                if (!flag)
                        return usage("unknown flag %s", argument);
                if (flag->kind != FLAG_BOOL && !value) {
                        if (i + 1 == argc)
                                return usage("%s needs a value", argument);
                        value = argv[++i];
                }
                struct error *err = set_flag(flag, value, o);
                if (err)
                        return err;
        }
        return NULL;
}

/* Names in archives and what registries say are parts of messages, and must not move a terminal's cursor. */
static void print_failure(const struct error *err) {
        _cleanup_free_ char *text = xstrdup(error_message(err));

        str_make_printable(text);
        fprintf(stderr, "%s\n", text);
}

static int exit_status(const struct error *err) {
        static const enum image_exit statuses[_ERROR_REASON_MAX] = {
                [ERROR_INTERNAL] = IMAGE_EXIT_FAILED,         [ERROR_NOT_FOUND] = IMAGE_EXIT_NOT_FOUND,
                [ERROR_ALREADY_EXISTS] = IMAGE_EXIT_FAILED,   [ERROR_CONFLICT] = IMAGE_EXIT_IN_USE,
                [ERROR_INVALID] = IMAGE_EXIT_BAD_REFERENCE,   [ERROR_BAD_REQUEST] = IMAGE_EXIT_CORRUPT,
                [ERROR_FORBIDDEN] = IMAGE_EXIT_UNAUTHORIZED,  [ERROR_TIMEOUT] = IMAGE_EXIT_UNAVAILABLE,
                [ERROR_UNAVAILABLE] = IMAGE_EXIT_UNAVAILABLE, [ERROR_NOT_SUPPORTED] = IMAGE_EXIT_NOT_SUPPORTED,
                [ERROR_EXHAUSTED] = IMAGE_EXIT_NO_SPACE,
        };

        /* What this machine's kernel forbids is no matter of the registry's credentials. */
        if (error_is(err, ERROR_FORBIDDEN) && error_errnum(err))
                return IMAGE_EXIT_FAILED;
        return statuses[error_reason(err)];
}

static struct error *run_verb(const struct verb *verb, const struct options *o) {
        struct context context = { .options = o };
        struct error *err = store_open(o->root, o->run, &context.store);

        if (!err) {
                context.images = layout_root(context.store);
                err = verb->run(&context);
        }
        free(context.images);
        store_free(context.store);
        if (!err && (fflush(stdout) || ferror(stdout)))
                err = error_errno(errno, "write to standard output");
        return err;
}

static void options_release(struct options *o) {
        strv_free(o->arguments);
        strv_free(o->credentials);
        strv_free(o->insecure);
        strv_free(o->certs);
}

int main(int argc, char **argv) {
        _cleanup_error_ struct error *err = NULL;
        const struct verb *verb = NULL;
        struct options o = {
                .limits = { .size = 64ULL << 30, .entries = 4000000, .keep_free = 256 << 20 },
                .max_size = 256ULL << 30,
        };

        log_set_name("husk-image");
        if (argc > 0 && streq(argv[0], "husk image"))
                program = argv[0];
        signal(SIGPIPE, SIG_IGN);
        for (int i = 1; i < argc; i++)
                if (streq(argv[i], "--help") || streq(argv[i], "-h")) {
                        print_help(stdout);
                        return 0;
                }
        err = parse_arguments(argc, argv, &o);
        for (size_t i = 0; !err && o.arguments && i < ARRAY_SIZE(verbs); i++)
                if (streq(verbs[i].name, o.arguments[0]))
                        verb = &verbs[i];
        if (!err && !verb)
                err = o.arguments ? usage("unknown verb \"%s\"", o.arguments[0]) : usage("%s", "no verb was given");
        size_t n = verb ? strv_len(o.arguments) - 1 : 0;
        if (verb && !err && (n < verb->min || n > verb->max))
                err = error_new(ERROR_INVALID, "usage: %s %s %s", program, verb->name, verb->arguments);
        if (err) {
                fprintf(stderr, "error: %s\nSee `%s --help`.\n", error_message(err), program);
                options_release(&o);
                return IMAGE_EXIT_USAGE;
        }
        if (o.end_with)
                prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (o.end_with && getppid() != (pid_t)o.end_with) {
                fprintf(stderr, "the process that wanted this has ended\n");
                options_release(&o);
                return IMAGE_EXIT_FAILED;
        }
        free(o.arguments[0]); /* the rest are the verb's */
        memmove(o.arguments, o.arguments + 1, (n + 1) * sizeof(*o.arguments));
        err = run_verb(verb, &o);
        options_release(&o);
        if (!err)
                return IMAGE_EXIT_OK;
        print_failure(err);
        return exit_status(err);
}
