/* create-priorityclass.c - `husk create priorityclass NAME`. */
#include "base/str.h"
#include "husk/create.h"
#include "husk/verbs.h"
#include "server/field.h"

static struct create_flags flags;
static const char *description, *preemption_policy;
static bool global_default;
static int64_t value;

const struct flag create_priorityclass_flags[] = {
        { "value", 0, FLAG_NUMBER, &value, "N", NULL, "The priority of its pods; higher comes first (default 0)" },
        { "description", 0, FLAG_TEXT, &description, "TEXT", NULL, "What the class is for" },
        { "global-default", 0, FLAG_BOOL, &global_default, NULL, NULL, "Give it to pods that name no class" },
        { "preemption-policy", 0, FLAG_TEXT, &preemption_policy, "POLICY", NULL,
          "PreemptLowerPriority (the default) or Never" },
        FLAGS_CREATE(flags),
        { 0 },
};

struct error *create_priorityclass_run(struct cli *cli, struct arguments *arguments) {
        const char *name;
        struct error *err = create_name(cli, arguments, &name);

        if (err)
                return err;
        _cleanup_json_ json_t *class =
                json_pack("{s:s, s:s, s:{s:s}, s:I, s:b, s:s}", "apiVersion", "scheduling.k8s.io/v1", "kind",
                          "PriorityClass", "metadata", "name", name, "value", (json_int_t)value, "globalDefault",
                          global_default, "preemptionPolicy", preemption_policy ?: "PreemptLowerPriority");
        if (!str_empty(description))
                json_object_set_new(class, "description", json_string(description));
        return create_object(cli, class, &flags);
}
