#include "api/priority.h"

#include "api/on-demand.h"
#include "base/str.h"

/* https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/ */
static char no_name[] = "", cluster_critical[] = "system-cluster-critical", node_critical[] = "system-node-critical";
static const struct priority_class known[] = {
        { no_name, 0, "PreemptLowerPriority", false },
        { cluster_critical, 2000000000, "PreemptLowerPriority", false },
        { node_critical, 2000001000, "PreemptLowerPriority", false },
};

static struct priority_class *added;
static size_t n_added;

static struct on_demand source;

void priority_classes_on_demand(void (*load)(void *arg), void *arg) {
        source = (struct on_demand){ load, arg };
}

static const char *policy_of(const V1PriorityClass *class) {
        return streq_ptr(class->preemptionpolicy, "Never") ? "Never" : "PreemptLowerPriority";
}

void priority_class_add(const V1PriorityClass *class) {
        const char *name = class->metadata ? class->metadata->name : NULL;
        struct priority_class *place = NULL;

        if (str_empty(name))
                return;
        on_demand_load(&source);
        for (size_t i = 0; i < n_added; i++)
                if (streq(added[i].name, name))
                        place = &added[i];
        if (!place) {
                added = xreallocarray(added, n_added + 1, sizeof(*added));
                place = &added[n_added++];
                place->name = xstrdup(name);
        }
        place->value = class->has_value ? class->value : 0;
        place->preemption_policy = policy_of(class);
        place->global_default = class->has_globaldefault && class->globaldefault;
}

void priority_classes_forget(void) {
        for (size_t i = 0; i < n_added; i++)
                free(added[i].name);
        free(added);
        added = NULL;
        n_added = 0;
}

/* Of several (they can come about by chance) the one of the lowest value. */
static const struct priority_class *find_default(void) {
        const struct priority_class *found = NULL;

        for (size_t i = 0; i < n_added; i++)
                if (added[i].global_default && (!found || added[i].value < found->value))
                        found = &added[i];
        return found;
}

const struct priority_class *priority_class_find_known(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (streq(known[i].name, name ? name : ""))
                        return &known[i];
        return NULL;
}

const struct priority_class *priority_class_find(const char *name) {
        const struct priority_class *found = NULL;

        on_demand_load(&source);
        if (str_empty(name))
                found = find_default();
        if (!found)
                found = priority_class_find_known(name);
        if (found)
                return found;
        for (size_t i = 0; i < n_added; i++)
                if (streq(added[i].name, name))
                        return &added[i];
        return NULL;
}

void priority_set(V1PodSpec *spec, struct api_arena *arena) {
        const struct priority_class *class = priority_class_find(spec->priorityclassname);

        if (!class)
                return;
        if (!spec->has_priority) {
                spec->has_priority = true;
                spec->priority = class->value;
                if (str_empty(spec->priorityclassname) && *class->name)
                        spec->priorityclassname = api_arena_strdup(arena, class->name);
        }
        if (!spec->preemptionpolicy)
                spec->preemptionpolicy = api_arena_strdup(arena, class->preemption_policy);
}
