#include "store/network-problem.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#define PROBLEM_SIZE_MAX ((size_t)64 << 10)

static char *path_of(const struct store *store) {
        return path_join(store->run, "network-problem.json");
}

char *network_problem_read(const struct store *store, char **ret_since) {
        _cleanup_free_ char *path = path_of(store), *text = NULL;
        size_t len = 0;

        error_free(file_read(path, PROBLEM_SIZE_MAX, &text, &len));
        json_auto_t *json = text ? json_loadb(text, len, 0, NULL) : NULL;
        const char *message = json_string_value(json_object_get(json, "message"));
        const char *since = json_string_value(json_object_get(json, "since"));
        if (!message || !since)
                return NULL;
        *ret_since = xstrdup(since);
        return xstrdup(message);
}

void network_problem_tell(const struct store *store, const char *message) {
        _cleanup_free_ char *path = path_of(store), *since = NULL, *old = NULL, *text = NULL;
        char now[RFC3339_MAX];

        if (!message) {
                unlink(path);
                return;
        }
        old = network_problem_read(store, &since);
        if (streq_ptr(old, message))
                return;
        rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, now);
        json_auto_t *json = json_pack("{s:s, s:s}", "message", message, "since", since ? since : now);
        text = json ? json_dumps(json, JSON_COMPACT) : NULL;
        if (text)
                error_free(file_replace(path, text, strlen(text), 0600, 0));
}
