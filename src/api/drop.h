/* drop.h - in test builds only: fields that decoding leaves out, as if nobody had written them.
 *
 * HUSK_TEST_DROP names them, separated by commas: by their path without indexes ("spec.containers.tty"), or by message
 * and field as in fields.tsv, wherever the message stands ("Container.tty": init containers too). A test that passes
 * although the field it is about has been dropped shows nothing; tests/system/fields_table.py looks for such tests.
 * Only strict decoding drops (what people wrote), never what husk reads back from its own files. Without the meson
 * option test_hooks nothing of this is in the programs. */
#pragma once

#include "api/message.h"

#ifdef HUSK_TEST_HOOKS
const char *drop_list(void); /* NULL: nothing is dropped */
/* Does the list name this field? `path` ends with the field. */
bool drop_has(const char *list, const struct api_type *type, const struct api_field *field,
              const struct field_path *path);
#else
static inline const char *drop_list(void) {
        return NULL;
}
static inline bool drop_has(const char *list, const struct api_type *type, const struct api_field *field,
                            const struct field_path *path) {
        return false;
}
#endif
