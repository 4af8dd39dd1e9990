#include "server/classes.h"

#include "api/priority.h"
#include "base/log.h"
#include "server/field.h"

void classes_add(const json_t *object) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1PriorityClass *class = NULL;
        _cleanup_error_ struct error *err = api_decode_stored(object, &v1_priority_class__descriptor, arena, &class);

        if (!err)
                priority_class_add(class);
}

void classes_load(struct store *store) {
        _cleanup_json_ json_t *list = NULL;
        _cleanup_error_ struct error *err = store_list(store, api_kind_of("PriorityClass"), NULL, &list);
        json_t *object;
        size_t i;

        priority_classes_forget();
        if (err)
                log_warning("%s", error_message(err));
        json_array_foreach(list, i, object) classes_add(object);
}
