#include "api/drop.h"

#ifdef HUSK_TEST_HOOKS
#include <stdlib.h>

#include "base/str.h"

const char *drop_list(void) {
        const char *list = getenv("HUSK_TEST_DROP");
        return str_empty(list) ? NULL : list;
}

/* Takes the last word of a dotted path if it is this name. */
static bool take_last(const char *path, size_t *len, const char *name) {
        size_t n = strlen(name);

        if (*len < n || strncmp(path + *len - n, name, n) != 0 || (*len > n && path[*len - n - 1] != '.'))
                return false;
        *len -= *len > n ? n + 1 : n;
        return true;
}

static bool is_path(const char *word, size_t len, const struct field_path *path) {
        for (; path; path = path->parent)
                if (path->name && !path->is_key && !take_last(word, &len, path->name))
                        return false;
        return len == 0;
}

bool drop_has(const char *list, const struct api_type *type, const struct api_field *field,
              const struct field_path *path) {
        const char *message = api_type_name(type) + strlen("V1");
        size_t len;

        for (const char *word = list; *word; word += len + (word[len] == ',')) {
                size_t rest = len = strcspn(word, ",");

                if (is_path(word, len, path) || (take_last(word, &rest, api_field_name(field)) &&
                                                 rest == strlen(message) && strncmp(word, message, rest) == 0))
                        return true;
        }
        return false;
}
#endif
