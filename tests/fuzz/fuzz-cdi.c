/* Device specifications are files of root, often written by vendors' tools: whatever stands in them, what is taken has
 * the checked form, and applying it to a container's configuration ends well. */
#include "oci/cdi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_cdi_ struct cdi_registry registry = CDI_REGISTRY_INIT;
        struct error *err = cdi_parse((const char *)data, size, 0, &registry);

        if (err && registry.n)
                abort();
        error_free(err);
        cdi_settle(&registry);
        for (size_t i = 0; i < registry.n; i++) {
                const struct cdi_device *device = &registry.devices[i];
                json_t *spec = json_object();

                if (!strchr(device->kind, '/') || strchr(device->name, '/') || strchr(device->name, '='))
                        abort();
                for (int userns = 0; userns < 2; userns++) {
                        error_free(cdi_apply(device->common, userns, spec));
                        error_free(cdi_apply(device->edits, userns, spec));
                }
                char *text = json_dumps(spec, JSON_COMPACT);
                if (!text)
                        abort();
                free(text);
                json_decref(spec);
        }
        return 0;
}
