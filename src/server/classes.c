#include "server/classes.h"

#include "api/priority.h"
#include "api/runtime-class.h"
#include "base/str.h"
#include "base/log.h"
#include "server/field.h"

static void add_priority_class(const ProtobufCMessage *class) {
        priority_class_add((const V1PriorityClass *)class);
}

static void add_runtime_class(const ProtobufCMessage *class) {
        runtime_class_add((const V1RuntimeClass *)class);
}

static const struct {
        const char *kind;
        void (*add)(const ProtobufCMessage *class);
} kinds[] = { { "PriorityClass", add_priority_class }, { "RuntimeClass", add_runtime_class } };

void classes_add(const json_t *object) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        const char *kind = field_text_or(object, "kind", "");
        ProtobufCMessage *class = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                if (!streq(kinds[i].kind, kind))
                        continue;
                _cleanup_error_ struct error *err =
                        api_decode_stored(object, api_kind_of(kind)->descriptor, arena, &class);
                if (!err)
                        kinds[i].add(class);
        }
}

static void load(struct store *store, const char *kind) {
        _cleanup_json_ json_t *list = NULL;
        _cleanup_error_ struct error *err = store_list(store, api_kind_of(kind), NULL, &list);
        json_t *object;
        size_t i;

        if (err)
                log_warning("%s", error_message(err));
        json_array_foreach(list, i, object) classes_add(object);
}

void classes_load(struct store *store) {
        priority_classes_forget();
        load(store, "PriorityClass");
}

void runtime_classes_load(struct store *store) {
        runtime_classes_forget();
        load(store, "RuntimeClass");
}
