#include "api/runtime-class.h"

#include "api/on-demand.h"
#include "base/str.h"

static struct api_arena *arena; /* of all classes */
static const V1RuntimeClass **classes;
static size_t n_classes;

static struct on_demand source;

void runtime_classes_on_demand(void (*load)(void *arg), void *arg) {
        source = (struct on_demand){ load, arg };
}

void runtime_class_add(const V1RuntimeClass *class) {
        const char *name = class->metadata ? class->metadata->name : NULL;
        size_t at = 0;

        if (str_empty(name))
                return;
        on_demand_load(&source);
        while (at < n_classes && !streq(classes[at]->metadata->name, name))
                at++;
        if (at == n_classes)
                classes = xreallocarray(classes, ++n_classes, sizeof(*classes));
        if (!arena)
                arena = api_arena_new();
        classes[at] = api_copy(arena, &class->base);
}

void runtime_classes_forget(void) {
        free(classes);
        classes = NULL;
        n_classes = 0;
        arena = api_arena_free(arena);
}

const V1RuntimeClass *runtime_class_find(const char *name) {
        on_demand_load(&source);
        for (size_t i = 0; i < n_classes; i++)
                if (streq_ptr(classes[i]->metadata->name, name))
                        return classes[i];
        return NULL;
}

/* ---- admission ---- */

static void set_overhead(V1PodSpec *spec, const V1Overhead *overhead, struct api_arena *to) {
        for (size_t i = 0; i < overhead->n_podfixed; i++)
                *(V1QuantityEntry **)api_arena_append(to, &spec->overhead, &spec->n_overhead, sizeof(void *)) =
                        api_copy(to, &overhead->podfixed[i]->base);
}

static void add_selector(V1PodSpec *spec, const V1StringEntry *entry, struct api_arena *to) {
        for (size_t i = 0; i < spec->n_nodeselector; i++)
                if (streq_ptr(spec->nodeselector[i]->key, entry->key))
                        return;
        *(V1StringEntry **)api_arena_append(to, &spec->nodeselector, &spec->n_nodeselector, sizeof(void *)) =
                api_copy(to, &entry->base);
}

static void add_toleration(V1PodSpec *spec, const V1Toleration *toleration, struct api_arena *to) {
        for (size_t i = 0; i < spec->n_tolerations; i++)
                if (api_equal(&spec->tolerations[i]->base, &toleration->base))
                        return;
        *(V1Toleration **)api_arena_append(to, &spec->tolerations, &spec->n_tolerations, sizeof(void *)) =
                api_copy(to, &toleration->base);
}

void runtime_class_set(V1PodSpec *spec, struct api_arena *to) {
        const V1RuntimeClass *class = spec->runtimeclassname ? runtime_class_find(spec->runtimeclassname) : NULL;

        if (!class)
                return;
        if (class->overhead && spec->n_overhead == 0)
                set_overhead(spec, class->overhead, to);
        for (size_t i = 0; class->scheduling && i < class->scheduling->n_nodeselector; i++)
                add_selector(spec, class->scheduling->nodeselector[i], to);
        for (size_t i = 0; class->scheduling && i < class->scheduling->n_tolerations; i++)
                add_toleration(spec, class->scheduling->tolerations[i], to);
}
