/* cni-plugin.h - inside src/net: one call of one CNI plugin, apart from running it: which program, what it is told, and
 * what its answer means (https://www.cni.dev/docs/spec/, sections 2 and 5). */
#pragma once

#include <jansson.h>

#include "net/cni-record.h"
#include "net/job.h"

enum cni_command { CNI_ADD, CNI_DEL, CNI_CHECK, CNI_GC, CNI_STATUS, CNI_VERSION };

/* Error codes that the specification gives a meaning of their own. */
#define CNI_TRY_AGAIN_LATER 11

#define CNI_OUTPUT_MAX ((size_t)1 << 20)

struct cni_call {
        char *argv[2];
        char **env;
        char *input;
};
/* Are the programs of all plugins there? */
struct error *cni_plugins_find(const struct attachment *a) _must_check_;
/* previous: the result that the plugin gets to see, NULL: none; attachments: for GC. */
struct error *cni_call_make(const struct attachment *a, enum cni_command command, const json_t *plugin,
                            const json_t *previous, const json_t *attachments, struct cni_call *ret) _must_check_;
void cni_call_release(struct cni_call *call);

/* Takes the answer apart. *ret: the JSON object it printed, NULL: none; the caller's. Of a failure *ret_code is the
 * plugin's own error code, 0: it gave none. */
struct error *cni_answer_read(const char *type, enum cni_command command, const struct net_answer *answer, json_t **ret,
                              int *ret_code) _must_check_;
const char *cni_plugin_type(const json_t *plugin);
