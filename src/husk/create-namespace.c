/* create-namespace.c - `husk create namespace`. */
#include <jansson.h>

#include "husk/create.h"
#include "husk/verbs.h"
#include "server/field.h"

static struct create_flags flags;

const struct flag create_namespace_flags[] = { FLAGS_CREATE(flags), { 0 } };

struct error *create_namespace_run(struct cli *cli, struct arguments *arguments) {
        _cleanup_json_ json_t *ns = NULL;
        const char *name;
        struct error *err = create_name(cli, arguments, &name);

        if (err)
                return err;
        ns = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata", "name", name);
        return create_object(cli, ns, &flags);
}
