/* create-data.h - the data of a ConfigMap or Secret as `husk create` takes it: --from-file, --from-literal,
 * --from-env-file, by kubectl's rules. */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct data_source {
        char **files, **literals, **env_files;
};
#define FLAGS_DATA_SOURCE(s) \
        { "from-file", \
          0, \
          FLAG_TEXTS, \
          &(s).files, \
          "[KEY=]FILE|DIR", \
          NULL, \
          "A file's content, under its name or KEY; or each file of a folder" }, \
                { "from-literal", 0, FLAG_TEXTS, &(s).literals, "KEY=VALUE", NULL, "This value" }, \
                { "from-env-file", \
                  0, \
                  FLAG_TEXTS, \
                  &(s).env_files, \
                  "FILE", \
                  NULL, \
                  "A file of KEY=VALUE lines; KEY alone is taken from the environment" }, \
        { \
                "append-hash", 0, FLAG_REFUSED, NULL, NULL, NULL, "give it the name that you want" \
        }

/* One key and its bytes. */
typedef struct error *(*data_add)(void *arg, const char *key, const char *value, size_t len);
/* Calls `add` for all of them, in the order of kubectl: files, literals, env files. */
struct error *data_source_read(const struct data_source *source, data_add add, void *arg) _must_check_;
