/* version.c - `husk version`. */
#include <stdio.h>

#include <jansson.h>

#include "husk/cli.h"
#include "server/field.h"
#include "husk/output.h"
#include "husk/verbs.h"

/* The release whose Pod husk implements: fields, defaults, validation and words. */
#define KUBERNETES_MAJOR "1"
#define KUBERNETES_MINOR "36"
#define KUBERNETES_VERSION "v" KUBERNETES_MAJOR "." KUBERNETES_MINOR ".2"

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#define ARCHITECTURE "unknown"
#endif

static const char *output;
static bool client;

const struct flag version_flags[] = {
        { "output", 'o', FLAG_TEXT, &output, "json|yaml", NULL, "Format of the output" },
        { "client", 0, FLAG_BOOL, &client, NULL, NULL, "Only the version of this program" },
        { 0 },
};

static json_t *version_object(void) {
        json_t *object = json_pack("{s:{s:s, s:s, s:s}}", "clientVersion", "gitVersion", "v" HUSK_VERSION, "compiler",
                                   __VERSION__, "platform", "linux/" ARCHITECTURE);
        if (!client)
                json_object_set_new(object, "serverVersion",
                                    json_pack("{s:s, s:s, s:s}", "major", KUBERNETES_MAJOR, "minor", KUBERNETES_MINOR,
                                              "gitVersion", KUBERNETES_VERSION));
        return object;
}

struct error *version_run(struct cli *cli, struct arguments *arguments) {
        if (arguments->n_words)
                return usage_error("unexpected arguments: %s", arguments->words[0]);
        if (output) {
                _cleanup_json_ json_t *object = version_object();
                return output_document(output, object);
        }
        printf("Husk Version: v%s\n", HUSK_VERSION);
        if (!client)
                printf("Kubernetes API: %s\n", KUBERNETES_VERSION);
        return NULL;
}
