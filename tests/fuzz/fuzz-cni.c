/* A CNI configuration is a file of root's, and the answers of plugins are programs' words: whatever they are, what is
 * taken of them has the checked form, and what is said of them can be shown. */
#include <arpa/inet.h>

#include "net/cni-config.h"
#include "net/cni-plugin.h"
#include "net/cni-result.h"

static void check_address(const char *text, int family) {
        uint8_t bytes[16];

        if (*text && inet_pton(family, text, bytes) != 1)
                abort();
}

/* It becomes part of a status or an event. */
static void check_message(struct error *err) {
        if (!err)
                return;
        json_t *text = json_string(error_message(err));
        if (!text || strpbrk(error_message(err), "\033\r\b\n"))
                abort();
        json_decref(text);
        error_free(err);
}

static void take_answer(enum cni_command command, int status, const char *text, size_t len) {
        struct net_answer answer = { .status = status, .output = text, .output_len = len, .errors = text };
        struct net_result result;
        json_t *json = NULL;
        int code;
        struct error *err = cni_answer_read("x", command, &answer, &json, &code);

        if (!err && json && command == CNI_ADD)
                err = cni_result_parse(json, &result);
        if (!err && json && command == CNI_ADD) {
                check_address(result.ip4, AF_INET);
                check_address(result.gateway4, AF_INET);
                check_address(result.ip6, AF_INET6);
                check_address(result.gateway6, AF_INET6);
                if (strlen(result.mac) >= sizeof(result.mac) || !*result.ifname)
                        abort();
        }
        check_message(err);
        json_decref(json);
}

static void take_config(const char *text, size_t len) {
        struct cni_config config = { 0 };
        struct error *err = cni_config_parse("x.conflist", text, len, NULL, &config);
        const json_t *plugin;
        size_t i;

        if (!err) {
                if (!config.offered || strchr(config.name, '/'))
                        abort();
                json_array_foreach(config.plugins, i, plugin) if (strchr(cni_plugin_type(plugin), '/')) abort();
                json_decref(cni_config_json(&config));
                cni_config_release(&config);
        }
        error_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);

        memcpy(text, data, size);
        text[size] = '\0';
        take_config(text, size);
        take_answer(CNI_ADD, 0, text, size);
        take_answer(CNI_ADD, 1 << 8, text, size);
        take_answer(CNI_VERSION, 0, text, size);
        free(text);
        return 0;
}
